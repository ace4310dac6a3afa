//! What the manifest says of a dump that was captured as a file.

use crate::chunker::archive::{ArchiveError, BlockKind, Contents, DataBlock, TocEntry};
use crate::chunker::expand::Left;
use crate::snapshot::capture::sidecar;
use crate::snapshot::manifest::database::Table;
use crate::snapshot::manifest::dump::{DumpContents, DumpFile, Sidecar};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;
use std::collections::BTreeSet;

/// Most dumps that a manifest tells of, and most tables of all of them together: it's read as a whole.
const MAX_DUMPS: usize = 1_000;
const MAX_TABLES: usize = 100_000;

/// An archive in a file, and the SHA-256 of the file.
#[derive(Debug)]
pub(super) struct FoundArchive {
    /// What is in it, or why it isn't a whole archive.
    contents: Result<Contents, String>,
    /// Of the file.
    sha256: [u8; 32],
}

impl FoundArchive {
    /// In a file with this SHA-256, whose compression was undone as far as `left` tells.
    pub(super) fn new(contents: Result<Contents, ArchiveError>, left: &BTreeSet<Left>, sha256: [u8; 32]) -> Self {
        // What a compressed stream lacks is the cause; what the archive lacks is what comes of it.
        let cause = left.iter().find(|why| matches!(why, Left::Truncated | Left::Damaged));
        let fault = |error: ArchiveError| cause.map_or_else(|| error.to_string(), ToString::to_string);
        Self { contents: contents.map_err(fault), sha256 }
    }

    /// What the manifest says of it.
    pub(super) fn record(&self, path: SafePath, bytes: u64) -> DumpFile {
        let (contents, fault) = match &self.contents {
            Ok(contents) => (Some(record(contents)), None),
            Err(fault) => (None, Some(fault.clone())),
        };
        DumpFile { path, bytes, sha256: self.sha256, fault, contents, sidecar: None }
    }
}

fn record(found: &Contents) -> DumpContents {
    let table = |block: &DataBlock| Table {
        schema: block.schema.clone(),
        name: block.table.clone(),
        rows: None,
        dumped_rows: block.rows,
        // Of data that stayed compressed it isn't known.
        bytes: (block.kind != BlockKind::Compressed).then_some(block.bytes),
        first_chunk: Some(block.first_chunk),
        chunks: Some(block.chunks),
    };
    let is_table = |block: &&DataBlock| {
        found.entries.get(block.entry).is_some_and(|entry: &TocEntry| &*entry.desc == "TABLE DATA")
    };
    let mut tables: Vec<Table> = found.blocks.iter().filter(is_table).map(table).collect();
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    let extensions = found.entries.iter().filter(|entry| &*entry.desc == "EXTENSION");
    let mut extensions: Vec<String> = extensions.map(|entry| entry.tag.clone()).collect();
    extensions.sort();
    let objects_unread = found.blocks.iter().any(|block| {
        block.kind == BlockKind::Compressed
            && found.entries.get(block.entry).is_some_and(|entry| matches!(&*entry.desc, "BLOBS" | "BLOB DATA"))
    });
    DumpContents {
        database: found.header.database.clone(),
        created: found.header.created.to_string(),
        server: found.header.server_version.clone(),
        client: found.header.dump_version.clone(),
        extensions,
        tables,
        large_objects: (!objects_unread).then_some(found.large_objects),
    }
}

/// The dumps that were met, and what describes them.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    all: Vec<DumpFile>,
    tables: usize,
    sidecars: Vec<Sidecar>,
}

impl Dumps {
    /// Takes one more, unless there are too many.
    pub(super) fn push(&mut self, dump: DumpFile) {
        let tables = dump.contents.as_ref().map_or(0, |contents| contents.tables.len());
        if self.all.len() < MAX_DUMPS && self.tables + tables <= MAX_TABLES {
            self.tables += tables;
            self.all.push(dump);
        }
    }

    /// Takes what describes a dump.
    pub(super) fn push_sidecar(&mut self, sidecar: Sidecar) {
        if self.sidecars.len() < MAX_DUMPS {
            self.sidecars.push(sidecar);
        }
    }

    /// All dumps so far, sorted by path and with what describes them; and what is wrong with them by that.
    pub(super) fn settled(&self) -> (Vec<DumpFile>, Vec<Problem>) {
        let mut all = self.all.clone();
        all.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let problems = sidecar::assign(&mut all, &self.sidecars);
        (all, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_dumps_are_told_of_and_no_more() {
        let dump = |n: usize, tables: usize| {
            let table = Table {
                schema: "public".into(),
                name: "t".into(),
                rows: None,
                dumped_rows: None,
                bytes: None,
                first_chunk: None,
                chunks: None,
            };
            let contents = DumpContents {
                database: String::new(),
                created: String::new(),
                server: String::new(),
                client: String::new(),
                extensions: Vec::new(),
                tables: vec![table; tables],
                large_objects: None,
            };
            let path = SafePath::parse(format!("{n:09}").as_bytes()).unwrap();
            DumpFile { path, bytes: 0, sha256: [0; 32], fault: None, contents: Some(contents), sidecar: None }
        };
        let mut dumps = Dumps::default();
        (0..=MAX_DUMPS).rev().for_each(|n| dumps.push(dump(n, 1)));
        let all = dumps.settled().0;
        assert_eq!(all.len(), MAX_DUMPS);
        assert!(all.is_sorted_by_key(|dump| dump.path.as_bytes().to_vec()));
        let mut dumps = Dumps::default();
        dumps.push(dump(1, MAX_TABLES));
        dumps.push(dump(2, 1));
        dumps.push(dump(3, 0));
        assert_eq!(dumps.settled().0.len(), 2, "the second has a table too many");
    }
}
