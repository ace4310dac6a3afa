//! The manifest in an application's export: read, kept, and held against what is in the export.
//!
//! What was written by somebody who doesn't wish us well costs little and claims nothing: a manifest of another shape than that of Nosdesk's is none, and only what was read to its end is compared.

use crate::chunker::export::{Export as Found, ExportedTable};
use crate::snapshot::manifest::export::{Export, ExportFiles, ExportTable};
use crate::snapshot::tree::path::escape_name;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Versions of the format whose layout is known; of others nothing is compared.
const KNOWN: std::ops::RangeInclusive<u64> = 1..=2;
/// Most tables that are taken.
const MAX_TABLES: usize = 10_000;
/// Most bytes of a table's name, and of another text.
const MAX_NAME: usize = 256;
const MAX_TEXT: usize = 1 << 10;
/// Numbers beyond this are nobody's counts.
const MAX_COUNT: u64 = (1 << 53) - 1;
/// Most contradictions that are listed.
const MAX_LISTED: usize = 20;

/// What the manifest of an export of Nosdesk says.
#[derive(Debug, Deserialize)]
struct Said {
    backup_format_version: Count,
    nosdesk_version: Text,
    schema_hash: Text,
    migration_version: Option<Text>,
    schema_sha256: Option<Text>,
    created_at: Text,
    tables: Tables,
    files: Option<FilesSaid>,
}

/// What it says of a table.
#[derive(Debug, Deserialize)]
struct TableSaid {
    count: Count,
    sha256: Option<Text>,
}

/// What it says of uploaded files.
#[derive(Debug, Deserialize)]
struct FilesSaid {
    total_count: Count,
    total_size_bytes: Count,
}

/// A text that isn't too long.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() <= MAX_TEXT { Ok(Self(text)) } else { Err("a text is too long") }
    }
}

/// A number that isn't too large.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct Count(u64);

impl TryFrom<u64> for Count {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number <= MAX_COUNT { Ok(Self(number)) } else { Err("a number is too large") }
    }
}

/// Tables by name; not too many, and none twice.
#[derive(Debug)]
struct Tables(BTreeMap<String, TableSaid>);

impl<'d> Deserialize<'d> for Tables {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'d> Visitor<'d> for Each {
            type Value = Tables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables by name")
            }

            fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Tables, A::Error> {
                let mut tables = BTreeMap::new();
                while let Some((name, table)) = map.next_entry::<String, TableSaid>()? {
                    let fits = name.len() <= MAX_NAME && tables.len() < MAX_TABLES;
                    if !fits || tables.insert(name, table).is_some() {
                        return Err(A::Error::custom("too many tables, or one twice"));
                    }
                }
                Ok(Tables(tables))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// What is to be kept of an export; nothing if its manifest isn't that of an application that is known.
pub fn read(found: &Found) -> Option<Export> {
    let said: Said = serde_json::from_slice(&found.manifest).ok()?;
    let is_known = KNOWN.contains(&said.backup_format_version.0);
    let contradictions = if is_known { contradictions(&said, found) } else { Vec::new() };
    let table = |(name, table): (String, TableSaid)| {
        let read = found.tables.get(&name).copied().flatten().filter(|_| is_known);
        ExportTable {
            rows: table.count.0,
            counted: read.and_then(|read| read.rows),
            bytes: read.map(|read| read.bytes),
            sha256: table.sha256.and_then(|text| hash_in(&text)),
            name,
        }
    };
    Some(Export {
        application: "Nosdesk".to_owned(),
        version: said.nosdesk_version.0,
        format: said.backup_format_version.0,
        schema_hash: said.schema_hash.0,
        schema_sha256: said.schema_sha256.map(|text| text.0),
        migration: said.migration_version.map(|text| text.0),
        created: said.created_at.0,
        tables: said.tables.0.into_iter().map(table).collect(),
        files: said.files.map(|of| ExportFiles { count: of.total_count.0, bytes: of.total_size_bytes.0 }),
        contradictions,
    })
}

/// The hash that a text tells.
fn hash_in(text: &Text) -> Option<[u8; 32]> {
    // Any hash of 32 bytes, in hex.
    blake3::Hash::from_hex(text.0.to_ascii_lowercase()).ok().map(|hash| *hash.as_bytes())
}

/// Where a manifest says something else than what is there.
fn contradictions(said: &Said, found: &Found) -> Vec<String> {
    let mut all = Vec::new();
    for (name, table) in &said.tables.0 {
        let shown = escape_name(name.as_bytes());
        match found.tables.get(name) {
            Some(Some(read)) => all.extend(of_table(&shown, table, read)),
            None if found.is_complete => {
                all.push(format!("its table {shown} is missing, and its manifest says {}", in_rows(table.count.0)));
            }
            // It couldn't be read, or it's there twice: it isn't known what whoever restores it reads. Or it may be there.
            Some(None) | None => {}
        }
    }
    if let Some(files) = said.files.as_ref().filter(|_| found.is_complete) {
        let (count, bytes) = (files.total_count.0, files.total_size_bytes.0);
        if found.files.count != count {
            all.push(format!("{} uploaded files are in it, and its manifest says {count}", found.files.count));
        }
        if let Some(read) = found.files.bytes.filter(|read| *read != bytes) {
            all.push(format!("its uploaded files are {read} bytes, and its manifest says {bytes}"));
        }
    }
    let more = all.len().saturating_sub(MAX_LISTED);
    all.truncate(MAX_LISTED);
    if more > 0 {
        all.push(format!("and so on, {more} times more"));
    }
    all
}

fn in_rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn of_table(shown: &str, said: &TableSaid, read: &ExportedTable) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(rows) = read.rows.filter(|rows| *rows != said.count.0) {
        all.push(format!("its table {shown} has {}, and its manifest says {}", in_rows(rows), said.count.0));
    }
    // What isn't a hash is no claim.
    if let Some(hash) = said.sha256.as_ref().and_then(hash_in).filter(|hash| *hash != read.sha256) {
        let [found, said] = [read.sha256, hash].map(|hash| blake3::Hash::from_bytes(hash).to_hex());
        all.push(format!("the SHA-256 of its table {shown} is {found}, and its manifest says {said}"));
    }
    all
}

#[cfg(test)]
mod tests;
