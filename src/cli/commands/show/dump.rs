//! What `show` says about dumps among the files.

use super::database::{SHORT_HASH, ledger, name, tables};
use super::{heading, line};
use crate::cli::json::hex;
use crate::cli::ui::{clean, style, units};
use crate::snapshot::manifest::dump::{DumpContents, DumpFile};
use crate::snapshot::manifest::export::Export;

/// All about one; of its tables the largest. `rest` says how to see the others.
pub(super) fn render(dump: &DumpFile, most_tables: usize, rest: &str) -> String {
    let mut text = heading(&format!("{} {}", if dump.export.is_some() { "export" } else { "dump" }, dump.path));
    text.push_str(&line("size", &units::size(dump.bytes)));
    text.push_str(&line("hash", &format!("sha256 {}…", hex(&dump.sha256[..SHORT_HASH]))));
    if let Some(fault) = &dump.fault {
        text.push_str(&line("", &style::paint(style::WARNING, &format!("not a whole dump: {}", clean(fault)))));
    }
    if let Some(sidecar) = &dump.sidecar {
        let fields = sidecar.fields.iter().map(|(name, value)| format!("{} {}", clean(name), clean(value)));
        text.push_str(&line("described", &format!("{}: {}", sidecar.path, fields.collect::<Vec<_>>().join(", "))));
    }
    if let Some(contents) = &dump.contents {
        for (name, value) in facts(contents) {
            text.push_str(&line(name, &value));
        }
        text.extend(contents.ledgers().iter().map(ledger));
        text.push_str(&tables(&contents.tables, most_tables, rest));
    }
    if let Some(export) = &dump.export {
        for (name, value) in export_facts(export) {
            text.push_str(&line(name, &value));
        }
        text.push_str(&tables(&export.as_tables(), most_tables, rest));
    }
    text
}

fn export_facts(of: &Export) -> Vec<(&'static str, String)> {
    let mut schema = vec![format!("hash {}", clean(&of.schema_hash))];
    schema.extend(of.migration.as_ref().map(|migration| format!("last migration {}", clean(migration))));
    schema.extend(of.schema_sha256.as_ref().map(|sha256| {
        let short: String = clean(sha256).chars().take(2 * SHORT_HASH).collect();
        format!("sha256 {short}…")
    }));
    let application = format!("{} {}, format {} of its exports", clean(&of.application), clean(&of.version), of.format);
    let mut facts = vec![("made by", application), ("made", clean(&of.created)), ("schema", schema.join(", "))];
    if let Some(files) = of.files {
        facts.push((
            "files",
            format!("{} in {}", units::size(files.bytes), units::counted(files.count, "uploaded file")),
        ));
    }
    let wrong = |text: &String| ("", style::paint(style::WARNING, &clean(text)));
    facts.extend(of.contradictions.iter().map(wrong));
    facts
}

fn facts(of: &DumpContents) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if !of.database.is_empty() {
        facts.push(("database", name(&of.database)));
    }
    if !of.created.is_empty() {
        facts.push(("begun", format!("{}, on the clock of the host that made it", clean(&of.created))));
    }
    let version = |text: &str| if text.is_empty() { "of an unknown version".to_owned() } else { clean(text) };
    facts.push(("server", format!("PostgreSQL {}, dumped by pg_dump {}", version(&of.server), version(&of.client))));
    if !of.extensions.is_empty() {
        let names: Vec<String> = of.extensions.iter().map(|extension| name(extension)).collect();
        facts.push(("extensions", names.join(", ")));
    }
    match of.large_objects {
        Some(0) => {}
        Some(objects) => facts.push(("objects", units::counted(objects, "large object"))),
        None => facts.push(("objects", "large objects that nobody counted".to_owned())),
    }
    facts
}
