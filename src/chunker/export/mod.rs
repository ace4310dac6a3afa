//! Exports that applications write as a ZIP: tables as arrays of JSON, uploaded files, and a manifest that tells of both. What is in one is noted while the ZIP is expanded.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`Export`] | what such a ZIP holds, beside what its manifest says |
//! | [`Elements`] | counts the elements of an array of JSON |
//!
//! Nothing is claimed of what wasn't read to its end, and nothing of the whole unless every member was met that the ZIP's directory counts. Memory: names of tables, and a manifest of up to 4 MiB.

mod collector;
mod directory;
mod elements;
mod tally;

pub(super) use collector::Collector;
pub use elements::Elements;
pub(super) use tally::Tally;

use std::collections::BTreeMap;

/// The member that tells of the others.
const MANIFEST: &[u8] = b"manifest.json";
/// Between these stands the name of a table.
const TABLE: (&[u8], &[u8]) = (b"data/", b".json");
/// What uploaded files are below.
const FILES: &[u8] = b"files/";
/// Most bytes of a manifest.
const MAX_MANIFEST: usize = 4 << 20;
/// Most tables that are noted, and bytes of a table's name.
const MAX_TABLES: usize = 10_000;
const MAX_NAME: usize = 256;

/// A ZIP with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The manifest's bytes, whatever they are.
    pub manifest: Vec<u8>,
    /// The tables that there are, by name. Of what couldn't be read, or is there twice, nothing is known.
    pub tables: BTreeMap<String, Option<ExportedTable>>,
    /// The uploaded files.
    pub files: ExportedFiles,
    /// Whether these are all members that there are.
    pub is_complete: bool,
}

/// A table of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportedTable {
    /// Bytes of its JSON.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Elements of the array, if it is one.
    pub rows: Option<u64>,
}

/// The uploaded files of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportedFiles {
    /// How many there are.
    pub count: u64,
    /// Their bytes, if all were read.
    pub bytes: Option<u64>,
}
