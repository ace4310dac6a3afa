//! `show`: what a snapshot says about itself.

use crate::cli::args::FilterArgs;
use crate::cli::commands::backup::{besides, render_problems};
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::snapshot::manifest::Manifest;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::escape_name;
use clap::Args;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// How many problems are listed unless all are asked for.
const LISTED: usize = 20;

/// Show what a snapshot says about itself
#[derive(Debug, Args)]
#[command(after_help = "\
SNAP is the beginning of an id, `latest`, or `latest:APP`. Of secret files it names the variables, never values.

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
        let most = if args.problems { usize::MAX } else { LISTED };
        context.ui.print(&render(snapshot, most, context.ui.zone()))?;
    }
    Ok(Exit::Done)
}

fn render(snapshot: &Snapshot, most_problems: usize, zone: &TimeZone) -> String {
    let m = &snapshot.manifest;
    let mut text = String::new();
    for (name, value) in facts(snapshot, zone) {
        let name = style::paint(style::FAINT, &format!("{name:<9}"));
        writeln!(text, "{name} {value}").expect("writing to a String can't fail");
    }
    text.push_str(&sources(m));
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
        text.push_str(&render_problems(&m.problems, most_problems, Some(&json::short_id(snapshot.id))));
    }
    text
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
    optional("tags", Some(clean(&m.tags.join(", "))));
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
    let mut table = Table::new(&[("SOURCE", Align::Left), ("KIND", Align::Left), ("STATE", Align::Left)]);
    for source in &m.sources {
        table.row([clean(&source.name), clean(&source.kind), json::state(source.state).to_owned()]);
    }
    format!("\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn what_an_operator_reads() {
        let mut snapshot = test_data::snapshot(1);
        snapshot.manifest.problems = test_data::problems(3);
        insta::assert_snapshot!(style::plain(&render(&snapshot, 2, &TimeZone::UTC)), @r"
        snapshot  11111111-954mjja9954mjja9954mjja994
        state     complete
        time      2026-11-20 12:05 (made in Europe/Berlin; took 12 s)
        host      web1
        app       wiki
        tags      nightly
        user      root
        path      /srv/app
        files     2.0 GiB in 20 360 files; 1 205 folders, 3 links or devices
        changes   12 new, 3 changed, 20 345 unmodified
        added     12.2 MiB of new data, 4.1 MiB stored in 2 packs
        made by   nightsafe 0.1.0, as number 42 of its key

        SOURCE  KIND   STATE
        files   files  complete

        secret files, and the variables that they set
        /srv/app/.env: DB_PASSWORD, JWT_KEY

        3 problems
        problem: /srv/app/file\x1b0: permission denied: open: number 0
        problem: /srv/app/file\x1b1: changed while it was read: open: number 1
        and 1 more: nightsafe show 954mjja9 --problems
        ");
    }
}
