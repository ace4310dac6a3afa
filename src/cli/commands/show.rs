//! `show`: what a snapshot says about itself.

mod application;
mod database;
mod dump;

use crate::cli::args::FilterArgs;
use crate::cli::commands::backup::{besides, render_problems};
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{Verbosity, clean, style, units};
use crate::snapshot::manifest::{Manifest, State};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::escape_name;
use anstyle::Style;
use clap::Args;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// How many problems are listed unless all are asked for.
const LISTED: usize = 20;
/// How many dumps are shown unless all are asked for.
const DUMPS: usize = 5;
/// Columns for the names of facts.
const WIDTH: usize = 10;

/// Show what a snapshot says about itself
#[derive(Debug, Args)]
#[command(after_help = "\
SNAP is the beginning of an id, `latest`, or `latest:APP`. Of secret files it names the variables, never values.
Of databases and dumps it lists the largest tables, with -v all of them; --json has whole hashes.

Examples:
  nightsafe show latest
  nightsafe show x8k2m4qp --problems")]
pub struct ShowArgs {
    /// The snapshot
    #[arg(value_name = "SNAP")]
    snapshot: String,
    /// List all problems
    #[arg(long)]
    problems: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Shows it.
pub fn show(args: ShowArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &args.snapshot, args.filter)?;
    if path.is_some() {
        return Err(CliError::usage("show takes a snapshot without a path").hint("nightsafe ls SNAP:/PATH lists files"));
    }
    if context.ui.is_json() {
        context.ui.json(&json::Manifest::from(snapshot))?;
    } else {
        let all_or = |most| if context.ui.verbosity() > Verbosity::Normal { usize::MAX } else { most };
        let most = Most {
            problems: if args.problems { usize::MAX } else { LISTED },
            tables: all_or(database::TABLES),
            dumps: all_or(DUMPS),
        };
        context.ui.print(&render(snapshot, &most, context.ui.zone()))?;
    }
    Ok(Exit::Done)
}

/// How much is listed.
struct Most {
    problems: usize,
    /// Of each database.
    tables: usize,
    /// Dumps among the files.
    dumps: usize,
}

fn render(snapshot: &Snapshot, most: &Most, zone: &TimeZone) -> String {
    let m = &snapshot.manifest;
    let mut text = String::new();
    for (name, value) in facts(snapshot, zone) {
        text.push_str(&line(name, &value));
    }
    text.push_str(&sources(m));
    if let Some(application) = &m.application {
        text.push_str(&application::render(application));
    }
    let short_id = json::short_id(snapshot.id);
    for database in &m.databases {
        text.push_str(&database::render(database, most.tables, &format!("nightsafe show {short_id} -v"), zone));
    }
    for dump in m.dumps.iter().take(most.dumps) {
        text.push_str(&dump::render(dump, most.tables, &format!("nightsafe show {short_id} -v")));
    }
    if let more @ 1.. = m.dumps.len().saturating_sub(most.dumps) {
        writeln!(text, "\nand {}: nightsafe show {short_id} -v", units::counted(more as u64, "more dump"))
            .expect("writing to a String can't fail");
    }
    if !m.secrets.is_empty() {
        text.push_str(&heading("secret files, and the variables that they set"));
        for file in &m.secrets {
            let (path, names) = (&file.path, &file.names);
            let names = if names.is_empty() { "(none found)".to_owned() } else { clean(&names.join(", ")) };
            writeln!(text, "{path}: {names}").expect("writing to a String can't fail");
        }
    }
    if !m.problems.is_empty() {
        text.push_str(&heading(&units::counted(m.problems.len() as u64, "problem")));
        text.push_str(&render_problems(&m.problems, most.problems, Some(&short_id)));
    }
    text
}

/// A fact: its name, then what it is.
fn line(name: &str, value: &str) -> String {
    format!("{} {value}\n", style::paint(style::FAINT, &format!("{name:<WIDTH$}")))
}

fn heading(words: &str) -> String {
    format!("\n{}\n", style::paint(style::HEADING, words))
}

#[expect(clippy::cast_precision_loss, reason = "a duration in milliseconds is far below 2⁵³")]
fn facts(snapshot: &Snapshot, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let (m, s) = (&snapshot.manifest, &snapshot.manifest.statistics);
    let seconds = s.milliseconds as f64 / 1000.0;
    let mut facts = vec![
        ("snapshot", snapshot.id.to_string()),
        ("state", json::state(m.state).to_owned()),
        (
            "time",
            format!("{} (made in {}; took {})", units::time(m.time, zone), clean(&m.zone), units::duration(seconds)),
        ),
        ("host", clean(&m.host)),
    ];
    let mut optional =
        |name, value: Option<String>| facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
    optional("app", m.app.as_deref().map(clean));
    optional("tags", Some(clean(&snapshot.tags.join(", "))));
    optional("kept", snapshot.protected.then(|| "protected from being forgotten".to_owned()));
    optional("user", m.user.as_deref().map(clean));
    facts.extend(m.paths.iter().map(|path| ("path", escape_name(path))));
    facts.push((
        "files",
        format!(
            "{} in {}; {}",
            units::size(s.bytes),
            units::counted(s.files, "file"),
            besides(s.directories, s.others)
        ),
    ));
    let changes = [(s.files_new, "new"), (s.files_changed, "changed"), (s.files_unmodified, "unmodified")];
    facts.push(("changes", changes.map(|(number, what)| format!("{} {what}", units::count(number))).join(", ")));
    facts.push((
        "added",
        format!(
            "{} of new data, {} stored in {}",
            units::size(s.raw_added),
            units::size(s.stored_added),
            units::counted(s.packs_added, "pack")
        ),
    ));
    facts.extend(m.parent.map(|parent| ("parent", parent.to_string())));
    facts.push(("made by", format!("{}, as number {} of its key", clean(&m.tool), units::count(m.sequence))));
    facts
}

fn sources(m: &Manifest) -> String {
    if m.sources.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("SOURCE", Align::Shortened),
        ("KIND", Align::Left),
        ("STATE", Align::Left),
        ("ENTRIES", Align::Right),
        ("SIZE", Align::Right),
        ("ADDED", Align::Right),
        ("TOOK", Align::Right),
    ]);
    for source in json::Source::all(&m.sources, &m.details) {
        let known = |number: Option<u64>, show: fn(u64) -> String| number.map_or_else(|| "-".to_owned(), show);
        let cells = [
            clean(&source.name),
            clean(&source.kind),
            source.state.to_owned(),
            known(source.entries, units::count),
            known(source.bytes, units::size),
            known(source.data_added, units::size),
            source.duration.map_or_else(|| "-".to_owned(), units::duration),
        ];
        let is_complete = source.state == json::state(State::Complete);
        table.styled_row(cells, if is_complete { Style::new() } else { style::WARNING });
    }
    format!("\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::snapshot::manifest::Source;
    use crate::snapshot::manifest::database::Table;

    #[test]
    fn what_an_operator_reads() {
        let mut snapshot = test_data::snapshot(1);
        snapshot.manifest.problems = test_data::problems(3);
        snapshot.manifest.sources.push(Source {
            name: "db".to_owned(),
            kind: "postgres".to_owned(),
            state: State::Incomplete,
        });
        snapshot.manifest.details = test_data::details();
        snapshot.manifest.dumps = test_data::dumps();
        let shown = render(&snapshot, &Most { problems: 2, tables: 2, dumps: 1 }, &TimeZone::UTC);
        insta::assert_snapshot!(style::plain(&shown), @r"
        snapshot   11111111-954mjja9954mjja9954mjja994
        state      complete
        time       2026-11-20 12:05 (made in Europe/Berlin; took 12 s)
        host       web1
        app        wiki
        tags       nightly
        user       root
        path       /srv/app
        files      2.0 GiB in 20 360 files; 1 205 folders, 3 links or devices
        changes    12 new, 3 changed, 20 345 unmodified
        added      12.2 MiB of new data, 4.1 MiB stored in 2 packs
        made by    nightsafe 0.1.0, as number 42 of its key

        SOURCE  KIND      STATE       ENTRIES     SIZE     ADDED  TOOK
        files   files     complete     21 568  2.0 GiB  12.2 MiB  12 s
        db      postgres  incomplete        -        -         -     -

        dump /backups/cut.dump
        size       4.0 KiB
        hash       sha256 5a5a5a5a5a5a…
                   not a whole dump: the archive ends too early, after 99 bytes

        and 1 more dump: nightsafe show 954mjja9 -v

        secret files, and the variables that they set
        /srv/app/.env: DB_PASSWORD, JWT_KEY

        3 problems
        problem: /srv/app/file\x1b0: permission denied: open: number 0
        problem: /srv/app/file\x1b1: changed while it was read: open: number 1
        and 1 more: nightsafe show 954mjja9 --problems
        ");
    }

    #[test]
    fn what_an_operator_reads_of_an_export() {
        let mut dump = test_data::export();
        let shown = super::dump::render(&dump, 1, "…");
        insta::assert_snapshot!(style::plain(&shown), @r"

        export /uploads/backups/backup-2026-11-20-030005.zip
        size       121 KiB
        hash       sha256 5a5a5a5a5a5a…
        made by    Nosdesk 1.0.13, format 2 of its exports
        made       2026-11-20T03:00:05.123456789+00:00
        schema     hash 0319c33351b4a3c4, last migration 20260618100000, sha256 616161616161…
        files      4.0 KiB in 3 uploaded files

        TABLE           ROWS      SIZE
        public.tickets   120  11.7 KiB
        and 1 more: …
        ");
        let export = dump.export.as_mut().unwrap();
        export.tables[0].counted = Some(9);
        export.contradictions = vec!["its table tickets has 9 rows, and its manifest says 120\x1b".to_owned()];
        (export.files, export.migration, export.schema_sha256) = (None, None, None);
        insta::assert_snapshot!(style::plain(&super::dump::render(&dump, 9, "…")), @r"

        export /uploads/backups/backup-2026-11-20-030005.zip
        size       121 KiB
        hash       sha256 5a5a5a5a5a5a…
        made by    Nosdesk 1.0.13, format 2 of its exports
        made       2026-11-20T03:00:05.123456789+00:00
        schema     hash 0319c33351b4a3c4
                   its table tickets has 9 rows, and its manifest says 120\x1b

        TABLE                            ROWS      SIZE
        public.tickets  120, 9 of them dumped  11.7 KiB
        public.users                        7     700 B
        ");
    }

    #[test]
    fn what_an_operator_reads_of_databases_and_of_the_application() {
        let mut snapshot = test_data::snapshot(1);
        snapshot.manifest.application = Some(test_data::application());
        let mut odd = test_data::database();
        (odd.name, odd.server, odd.locale_provider, odd.keys_in_use) =
            ("a\u{7}b".into(), 90_624, Some("i".into()), None);
        odd.icu_locale = Some("de".to_owned());
        odd.tables = vec![test_data::table("public", "part", 10), test_data::table("public", "out", 0)];
        odd.tables[0].dumped_rows = Some(9);
        odd.tables[1] = Table { rows: None, dumped_rows: None, bytes: None, chunks: None, ..odd.tables[1].clone() };
        odd.ledgers[0].warnings.clear();
        (odd.roles, odd.extensions, odd.large_objects) = (vec![], vec![], 0);
        snapshot.manifest.databases = vec![test_data::database(), odd];
        let shown = render(&snapshot, &Most { problems: 2, tables: 2, dumps: 1 }, &TimeZone::UTC);
        let shown = style::plain(&shown);
        insta::assert_snapshot!(shown.split_once("application\n").unwrap().1, @r"
        version    2.4.1
        image      web: ghcr.io/wiki/wiki:2.4.1 (sha256:9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f; version 2.4.1)

        KEY          USE       ID  FINGERPRINT
        DATA_KEY     decrypts  k1  4f4f4f4f4f4f…
        SESSION_KEY  signs     -   not set

        database wiki (source db)
        dump       /db/wiki.dump, 1.0 GiB
        hashes     blake3 b3b3b3b3b3b3…, sha256 5a5a5a5a5a5a…
        instant    2026-11-20 12:05
        server     PostgreSQL 15.14, dumped by pg_dump 17.2
        encoding   UTF8; collation de_DE.UTF-8, character type C
        owner      wiki
        roles      reader (no login; in wiki), wiki
        extensions pg_trgm 1.6, vector 0.7.0
        objects    3 large objects
        keys used  k1
        ledger     prisma in public._prisma_migrations: 2 migrations, the last one 20260202_pages 2c3d (5e5e5e5e5e5e…)
                   20260303_half began and didn't end

        TABLE           ROWS      SIZE
        public.page  120 000  11.4 MiB
        stats.hit      3 000   293 KiB
        and 1 more: nightsafe show 954mjja9 -v

        database a\x07b (source db)
        dump       /db/wiki.dump, 1.0 GiB
        hashes     blake3 b3b3b3b3b3b3…, sha256 5a5a5a5a5a5a…
        instant    2026-11-20 12:05
        server     PostgreSQL 9.6.24, dumped by pg_dump 17.2
        encoding   UTF8; collation de_DE.UTF-8, character type C, locale of icu de
        owner      wiki
        ledger     prisma in public._prisma_migrations: 2 migrations, the last one 20260202_pages 2c3d (5e5e5e5e5e5e…)

        TABLE                        ROWS    SIZE
        public.part  10, 9 of them dumped  1000 B
        public.out               left out       -

        secret files, and the variables that they set
        /srv/app/.env: DB_PASSWORD, JWT_KEY
        ");
    }
}
