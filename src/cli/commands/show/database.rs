//! What `show` says about a database.

use super::{heading, line};
use crate::cli::json::{databases::locale_provider, hex};
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::snapshot::manifest::database::{self, Database, Ledger, Role};
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::tree::path::escape_name;
use anstyle::Style;
use jiff::tz::TimeZone;

/// How many tables are listed unless all are asked for.
pub(super) const TABLES: usize = 20;
/// How much of a hash is shown, in bytes.
pub(super) const SHORT_HASH: usize = 6;

/// All about one; of its tables the largest. `rest` says how to see the others.
pub(super) fn render(database: &Database, most_tables: usize, rest: &str, zone: &TimeZone) -> String {
    let mut text = heading(&format!("database {} (source {})", name(&database.name), name(&database.source)));
    for (name, value) in facts(database, zone) {
        text.push_str(&line(name, &value));
    }
    for ledger in &database.ledgers {
        text.push_str(&self::ledger(ledger));
    }
    text.push_str(&tables(&database.tables, most_tables, rest));
    text
}

/// A name out of a database, on one line and harmless for a terminal; two names never look the same.
pub(super) fn name(name: &str) -> String {
    escape_name(name.as_bytes())
}

fn names<'n>(all: impl IntoIterator<Item = &'n String>) -> String {
    all.into_iter().map(|one| name(one)).collect::<Vec<_>>().join(", ")
}

fn facts(d: &Database, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let hash = |bytes: &[u8]| format!("{}…", hex(&bytes[..SHORT_HASH.min(bytes.len())]));
    let mut facts = vec![
        ("dump", format!("{}, {}", d.dump, units::size(d.bytes))),
        ("hashes", format!("blake3 {}, sha256 {}", hash(&d.blake3), hash(&d.sha256))),
        ("instant", units::time(d.taken, zone)),
        ("server", format!("PostgreSQL {}, dumped by pg_dump {}", Version(d.server), Version(d.client))),
        ("encoding", encoding(d)),
        ("owner", name(&d.owner)),
    ];
    let mut list = |name, list: Vec<String>| {
        if !list.is_empty() {
            facts.push((name, list.join(", ")));
        }
    };
    list("roles", d.roles.iter().map(role).collect());
    let extension = |e: &database::Extension| format!("{} {}", name(&e.name), clean(&e.version));
    list("extensions", d.extensions.iter().map(extension).collect());
    if d.large_objects > 0 {
        facts.push(("objects", units::counted(d.large_objects, "large object")));
    }
    if let Some(keys) = &d.keys_in_use {
        facts.push(("keys used", if keys.is_empty() { "none".to_owned() } else { names(keys) }));
    }
    facts
}

fn encoding(d: &Database) -> String {
    let mut parts = vec![format!("{}; collation {}", clean(&d.encoding), clean(&d.collation))];
    if d.character_type != d.collation {
        parts.push(format!("character type {}", clean(&d.character_type)));
    }
    if let Some(provider) = d.locale_provider.as_deref().filter(|letter| *letter != "c") {
        let locale = d.icu_locale.as_deref().map(clean).unwrap_or_default();
        parts.push(format!("locale of {} {locale}", locale_provider(provider)).trim_end().to_owned());
    }
    parts.join(", ")
}

fn role(role: &Role) -> String {
    let mut traits = Vec::new();
    if !role.login {
        traits.push("no login".to_owned());
    }
    if !role.member_of.is_empty() {
        traits.push(format!("in {}", names(&role.member_of)));
    }
    if !role.inherit {
        traits.push("inherits nothing".to_owned());
    }
    let name = name(&role.name);
    if traits.is_empty() { name } else { format!("{name} ({})", traits.join("; ")) }
}

/// The migrations that a framework noted.
pub(super) fn ledger(ledger: &Ledger) -> String {
    let last = ledger.last().map(|last| format!(", the last one {}", clean(last))).unwrap_or_default();
    let mut text = line(
        "ledger",
        &format!(
            "{} in {}.{}: {}{last} ({}…)",
            clean(&ledger.kind),
            name(&ledger.schema),
            name(&ledger.table),
            units::counted(ledger.rows.len() as u64, "migration"),
            hex(&ledger.hash[..SHORT_HASH]),
        ),
    );
    for warning in &ledger.warnings {
        text.push_str(&line("", &style::paint(style::WARNING, &clean(warning))));
    }
    text
}

/// The tables, those with the most bytes first.
pub(super) fn tables(tables: &[database::Table], most: usize, rest: &str) -> String {
    if tables.is_empty() {
        return line("tables", "none");
    }
    let mut sorted: Vec<&database::Table> = tables.iter().collect();
    // A stable sort: those of the same size stay in the order of their names.
    sorted.sort_by_key(|table| std::cmp::Reverse(table.bytes.unwrap_or(0)));
    let mut grid = Table::new(&[("TABLE", Align::Shortened), ("ROWS", Align::Right), ("SIZE", Align::Right)]);
    for table in sorted.iter().take(most) {
        let (rows, style) = rows(table);
        let size = table.bytes.map_or_else(|| "-".to_owned(), units::size);
        grid.styled_row([format!("{}.{}", name(&table.schema), name(&table.name)), rows, size], style);
    }
    let more = match sorted.len().saturating_sub(most) as u64 {
        0 => String::new(),
        more => format!("and {} more: {rest}\n", units::count(more)),
    };
    format!("\n{}{more}", grid.render())
}

/// The rows of a table, and whether they need a look.
fn rows(table: &database::Table) -> (String, Style) {
    match (table.rows, table.dumped_rows) {
        (None, None) if table.bytes.is_none() && table.chunks.is_some() => ("not counted".to_owned(), style::FAINT),
        (None, None) => ("left out".to_owned(), style::FAINT),
        (Some(counted), Some(dumped)) if counted != dumped => {
            (format!("{}, {} of them dumped", units::count(counted), units::count(dumped)), style::WARNING)
        }
        (Some(rows), _) | (None, Some(rows)) => (units::count(rows), Style::new()),
    }
}
