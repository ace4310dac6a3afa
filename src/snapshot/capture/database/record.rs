//! What the manifest says of a database, from what the database said and what its dump holds.

use crate::chunker::archive::{BlockKind, Contents as Found, DataBlock, TocEntry};
use crate::snapshot::manifest::database::{Database, Table};
use crate::snapshot::postgres::dump::{Contents, Facts};
use crate::snapshot::postgres::source::PostgresSource;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use std::collections::{BTreeMap, BTreeSet};

/// What the manifest says of a database; length and hashes of the dump aren't known here.
pub(super) fn record(
    source: &PostgresSource,
    dump: SafePath,
    facts: Facts,
    counted: Contents,
    found: &Found,
) -> Database {
    let blocks: BTreeMap<(&str, &str), &DataBlock> =
        found.blocks.iter().map(|block| ((block.schema.as_str(), block.table.as_str()), block)).collect();
    let dumped = |table: Table| match blocks.get(&(table.schema.as_str(), table.name.as_str())) {
        Some(block) => Table {
            dumped_rows: block.rows,
            bytes: Some(block.bytes),
            first_chunk: Some(block.first_chunk),
            chunks: Some(block.chunks),
            ..table
        },
        None => table,
    };
    let properties = facts.properties;
    Database {
        source: source.name.clone(),
        name: properties.name,
        dump,
        bytes: 0,
        blake3: [0; 32],
        sha256: [0; 32],
        taken: facts.taken,
        server: facts.server.0,
        client: facts.client.0,
        encoding: properties.encoding,
        collation: properties.collation,
        character_type: properties.character_type,
        owner: properties.owner,
        extensions: facts.extensions,
        tables: counted.tables.into_iter().map(dumped).collect(),
        large_objects: counted.large_objects,
        roles: facts.roles,
        ledgers: counted.ledgers,
        keys_in_use: counted.keys_in_use,
        locale_provider: Some(properties.locale_provider),
        icu_locale: properties.locale,
    }
}

/// Takes out the tables of which the dump has nothing: a restore would miss them.
pub(super) fn missing(tables: &mut Vec<Table>, entries: &[TocEntry]) -> Vec<Table> {
    let entries = entries.iter().filter(|entry| matches!(&*entry.desc, "TABLE" | "TABLE DATA"));
    let dumped: BTreeSet<(&str, &str)> = entries.map(|entry| (&*entry.schema, entry.tag.as_str())).collect();
    tables.extract_if(.., |table| !dumped.contains(&(table.schema.as_str(), table.name.as_str()))).collect()
}

/// Where the dump and the database's own counts differ.
pub(super) fn differences(tables: &[Table], found: &Found, large_objects: u64) -> Vec<(ProblemKind, String)> {
    let mut differences = Vec::new();
    for table in tables {
        match (table.rows, table.dumped_rows) {
            (Some(rows), Some(dumped)) if rows != dumped => {
                let message = format!("{table}: the database counted {rows} rows, and the dump has {dumped}");
                differences.push((ProblemKind::Changed, message));
            }
            // As INSERT statements rows can't be counted.
            (Some(rows), None) if rows > 0 && table.bytes.is_none() => {
                let message = format!("{table}: the database counted {rows} rows, and the dump has no data of it");
                differences.push((ProblemKind::Failed, message));
            }
            _ => {}
        }
    }
    let holds_objects = found.blocks.iter().any(|block| matches!(block.kind, BlockKind::Objects { .. }));
    if found.large_objects != large_objects && (holds_objects || large_objects > 0) {
        let message =
            format!("the database counted {large_objects} large objects, and the dump has {}", found.large_objects);
        differences.push((ProblemKind::Changed, message));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::archive::Section;

    fn entry(desc: &str, schema: &str, tag: &str) -> TocEntry {
        TocEntry {
            dump_id: 1,
            has_data: false,
            tag: tag.into(),
            desc: desc.into(),
            section: Section::PreData,
            definition: String::new(),
            copy_statement: String::new(),
            schema: schema.into(),
            owner: "".into(),
        }
    }

    #[test]
    fn tables_that_the_dump_lacks_are_not_promised() {
        // `-T empty_t` left an empty table out of the dump alone: the snapshot was complete, and each restore said that its rows differ (0 against –).
        let table = |schema: &str, name: &str| Table {
            schema: schema.into(),
            name: name.into(),
            rows: Some(0),
            dumped_rows: None,
            bytes: None,
            first_chunk: None,
            chunks: None,
        };
        let mut tables =
            vec![table("a", "kept"), table("a", "of an extension"), table("b", "kept"), table("a", "view")];
        let entries = [
            entry("TABLE", "a", "kept"),
            entry("TABLE DATA", "a", "kept"),
            entry("TABLE DATA", "a", "of an extension"),
            entry("VIEW", "a", "view"),
        ];
        let lacking = missing(&mut tables, &entries);
        assert_eq!(lacking, [table("b", "kept"), table("a", "view")]);
        assert_eq!(tables, [table("a", "kept"), table("a", "of an extension")]);
    }
}
