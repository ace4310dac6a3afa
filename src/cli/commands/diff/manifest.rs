//! What `diff` says about databases and the application.

use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::snapshot::diff::application::ApplicationDiff;
use crate::snapshot::diff::database::{DatabaseDiff, LedgerDiff, Presence, TableDiff};
use crate::snapshot::manifest::application::Image;
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::tree::path::escape_name;
use anstyle::Style;

/// What differs of a database.
pub(super) fn database(d: &DatabaseDiff) -> String {
    let (name, source) = (escape_name(d.name.as_bytes()), escape_name(d.source.as_bytes()));
    let presence = match d.presence {
        Presence::Both => "",
        Presence::Added => ": only in the second",
        Presence::Removed => ": only in the first",
    };
    let whence = match (d.is_live, name.is_empty()) {
        (true, _) => format!("database {name} (source {source})"),
        (false, false) => format!("database {name} (newest dump in {source})"),
        (false, true) => format!("database in the newest of {source}"),
    };
    let mut lines = vec![style::paint(style::HEADING, &format!("{whence}{presence}"))];
    if let Some((before, after)) = d.server {
        lines.push(format!("server: PostgreSQL {} → {}", Version(before), Version(after)));
    }
    if d.presence == Presence::Both {
        let extension = |(name, before, after): &(String, Option<String>, Option<String>)| {
            format!("extension {}: {}", escape_name(name.as_bytes()), step(before.as_deref(), after.as_deref()))
        };
        lines.extend(d.extensions.iter().map(extension));
        lines.extend(d.ledgers.iter().flat_map(ledger));
    }
    let tables = if d.presence == Presence::Both { tables(&d.tables) } else { String::new() };
    format!("\n{}\n{tables}", lines.join("\n"))
}

/// From what to what.
fn step(before: Option<&str>, after: Option<&str>) -> String {
    let shown = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), clean);
    format!("{} → {}", shown(before), shown(after))
}

fn ledger(l: &LedgerDiff) -> Vec<String> {
    let name = format!("{}.{}", escape_name(l.schema.as_bytes()), escape_name(l.table.as_bytes()));
    let counted = |rows: &[String]| units::counted(rows.len() as u64, "migration");
    let what = match (&l.added[..], &l.removed[..]) {
        (added, []) => format!("{} added", counted(added)),
        ([], removed) => format!("{} removed", counted(removed)),
        (added, removed) => {
            style::paint(style::WARNING, &format!("diverged: {} added, {} removed", counted(added), removed.len()))
        }
    };
    let step = |mark: &str, row: &String| format!("  {mark} {}", clean(row));
    let mut lines = vec![format!("ledger {name} ({}): {what}", clean(&l.kind))];
    lines.extend(l.removed.iter().map(|row| step("-", row)));
    lines.extend(l.added.iter().map(|row| step("+", row)));
    lines
}

fn tables(tables: &[TableDiff]) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let mut grid = Table::new(&[
        ("", Align::Left),
        ("TABLE", Align::Shortened),
        ("ROWS", Align::Right),
        ("→", Align::Right),
        ("SIZE", Align::Right),
        ("→", Align::Right),
    ]);
    for table in tables {
        let (mark, style) = match table.presence() {
            Presence::Both => ("M", Style::new()),
            Presence::Added => ("+", style::GOOD),
            Presence::Removed => ("-", style::BAD),
        };
        let known = |number: Option<u64>, show: fn(u64) -> String| number.map_or_else(|| "-".to_owned(), show);
        let cells = [
            mark.to_owned(),
            format!("{}.{}", escape_name(table.schema.as_bytes()), escape_name(table.name.as_bytes())),
            known(table.before.and_then(|held| held.rows), units::count),
            known(table.after.and_then(|held| held.rows), units::count),
            known(table.before.and_then(|held| held.bytes), units::size),
            known(table.after.and_then(|held| held.bytes), units::size),
        ];
        grid.styled_row(cells, style);
    }
    grid.render()
}

/// What differs of the application.
pub(super) fn application(d: &ApplicationDiff) -> String {
    let mut lines = vec![style::paint(style::HEADING, "application")];
    if let Some((before, after)) = &d.version {
        lines.push(format!("version: {}", step(before.as_deref(), after.as_deref())));
    }
    for (service, before, after) in &d.images {
        let image = |image: &Option<Image>| {
            image.as_ref().map(|image| match &image.digest {
                Some(digest) => format!("{} ({digest})", image.image),
                None => image.image.clone(),
            })
        };
        let (before, after) = (image(before), image(after));
        lines.push(format!("image of {}: {}", clean(service), step(before.as_deref(), after.as_deref())));
    }
    for (names, what) in [(&d.keys_added, "added"), (&d.keys_removed, "removed"), (&d.keys_changed, "changed")] {
        if !names.is_empty() {
            lines.push(format!("keys {what}: {}", clean(&names.join(", "))));
        }
    }
    format!("\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::snapshot::diff;

    #[test]
    fn databases_and_applications() {
        let before = test_data::database();
        let mut after = before.clone();
        after.server = 170_002;
        after.tables[0] = test_data::table("public", "page", 121_000);
        after.tables.remove(1);
        after.tables.push(test_data::table("stats", "new", 1));
        after.extensions[0].version = "1.7".to_owned();
        after.extensions.pop();
        after.ledgers[0].rows = vec!["20260101_init 0a1b".to_owned(), "20260303_more\n ff".to_owned()];
        let changed = diff::database::compare(Some(&before), Some(&after)).unwrap();
        let added = diff::database::compare(None, Some(&after)).unwrap();
        let mut newer = test_data::application();
        newer.version = Some("2.5.0".to_owned());
        newer.images[0].digest = None;
        newer.keys.remove(1);
        newer.keys[0].id = Some("k2".to_owned());
        let application = diff::application::compare(Some(&test_data::application()), Some(&newer)).unwrap();
        let text = database(&changed) + &database(&added) + &super::application(&application);
        insta::assert_snapshot!(style::plain(&text), @r"

        database wiki (source db)
        server: PostgreSQL 15.14 → 17.2
        extension pg_trgm: 1.6 → 1.7
        extension vector: 0.7.0 → none
        ledger public._prisma_migrations (prisma): diverged: 1 migration added, 1 removed
          - 20260202_pages 2c3d
          + 20260303_more\n ff
           TABLE               ROWS        →      SIZE         →
        -  public.User\x1b       12        -   1.2 KiB         -
        M  public.page      120 000  121 000  11.4 MiB  11.5 MiB
        +  stats.new              -        1         -     100 B

        database wiki (source db): only in the second

        application
        version: 2.4.1 → 2.5.0
        image of web: ghcr.io/wiki/wiki:2.4.1 (sha256:9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f) → ghcr.io/wiki/wiki:2.4.1
        keys removed: SESSION_KEY
        keys changed: DATA_KEY
        ");
    }
}
