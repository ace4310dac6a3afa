//! What the manifest says of a dump that was captured as a file.

use crate::chunker::archive::copy::KeptTable;
use crate::chunker::archive::{ArchiveError, BlockKind, Contents, DataBlock, TocEntry};
use crate::chunker::expand::{Left, Outcome};
use crate::chunker::script::{ScriptContents, ScriptFault, ScriptTable};
use crate::snapshot::capture::sidecar;
use crate::snapshot::manifest::database::{Ledger, Table};
use crate::snapshot::manifest::dump::{DumpContents, DumpFile, Sidecar};
use crate::snapshot::manifest::export::Export;
use crate::snapshot::postgres::ledger::dumped;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;

/// Most dumps that a manifest tells of, and bytes that all of them together may take: it's read as a whole.
const MAX_DUMPS: usize = 1_000;
const MAX_BYTES: usize = 16 << 20;
/// What is in a dump is told if it takes no more bytes than this: some 40,000 tables do. Its names are what somebody wrote, who may not wish us well.
const MAX_CONTENTS: usize = 4 << 20;
/// Ledgers of a dump are told of if they take no more bytes than this.
const MAX_LEDGERS: usize = 1 << 20;
/// Bytes of a fault that are kept: it may name a table.
const MAX_FAULT: usize = 500;
/// Bytes of a table besides its names, and of one of an export.
const TABLE: usize = 40;
const EXPORT_TABLE: usize = 80;

/// The dump that was found in a container.
#[derive(Debug)]
pub(super) enum DumpInside {
    /// An archive; whether something came behind it.
    Archive { contents: Result<Contents, ArchiveError>, more: bool },
    /// A script. Of several members all was read.
    Script(Result<Option<ScriptContents>, ScriptFault>),
}

/// A dump or an export in a file, and the SHA-256 of the file.
#[derive(Debug)]
pub(super) struct FoundDump {
    /// What is in it, if that can be told, or why it isn't a whole dump.
    contents: Result<Option<DumpContents>, String>,
    /// What it says of itself, if it's an export.
    export: Option<Export>,
    /// Of the file.
    sha256: [u8; 32],
}

impl FoundDump {
    /// The archive that a file with this SHA-256 is.
    pub(super) fn archive(contents: Result<Contents, ArchiveError>, sha256: [u8; 32]) -> Self {
        let contents = contents.map(|contents| Some(of_archive(&contents))).map_err(|error| error.to_string());
        Self { contents, export: None, sha256 }
    }

    /// The script that a file with this SHA-256 is.
    pub(super) fn script(contents: Result<Option<ScriptContents>, ScriptFault>, sha256: [u8; 32]) -> Self {
        let contents = contents.map(|contents| contents.map(of_script)).map_err(|fault| fault.to_string());
        Self { contents, export: None, sha256 }
    }

    /// The export that a file with this SHA-256 is.
    pub(super) fn export(export: Export, sha256: [u8; 32]) -> Self {
        Self { contents: Ok(None), export: Some(export), sha256 }
    }

    /// The dump in a container with this SHA-256. Nothing if it can't be told whether it's whole.
    pub(super) fn expanded(inside: DumpInside, outcome: &Outcome, sha256: [u8; 32]) -> Option<Self> {
        if outcome.holds_many() {
            // It holds other things besides, and isn't a dump itself.
            return None;
        }
        let (found, goes_on) = match inside {
            DumpInside::Archive { contents, more } => (Self::archive(contents, sha256), more),
            // What stays compressed may be another one.
            DumpInside::Script(Ok(_)) if !outcome.is_cut && outcome.left.iter().any(|why| *why != Left::Damaged) => {
                return None;
            }
            DumpInside::Script(contents) => (Self::script(contents, sha256), false),
        };
        let fault = match found.contents {
            // A checksum says so.
            Ok(_) if outcome.left.contains(&Left::Damaged) => Left::Damaged.to_string(),
            Ok(_) => return Some(found),
            Err(_) if outcome.is_cut => Left::Truncated.to_string(),
            // The rest is there, in the next member or as it was.
            Err(_) if goes_on => return None,
            Err(fault) => match outcome.left.iter().find(|why| matches!(why, Left::Truncated | Left::Damaged)) {
                // What a compressed stream lacks is the cause; what the dump lacks is what comes of it.
                Some(cause) => cause.to_string(),
                None if !outcome.left.is_empty() => return None,
                None => fault,
            },
        };
        Some(Self { contents: Err(fault), export: None, sha256 })
    }

    /// What the manifest says of it.
    pub(super) fn record(&self, path: SafePath, bytes: u64) -> DumpFile {
        let (contents, fault) = match &self.contents {
            Ok(contents) => (contents.clone().filter(|contents| bytes_of(contents) <= MAX_CONTENTS), None),
            Err(fault) => (None, Some(fault.chars().take(MAX_FAULT).collect())),
        };
        let export = self.export.clone().filter(|export| bytes_of_export(export) <= MAX_CONTENTS);
        DumpFile { path, bytes, sha256: self.sha256, fault, contents, sidecar: None, export }
    }
}

fn of_archive(found: &Contents) -> DumpContents {
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
        ledgers: ledgers(&found.kept),
    }
}

fn of_script(found: ScriptContents) -> DumpContents {
    let table = |ScriptTable { schema, table, rows, bytes }| Table {
        schema,
        name: table,
        rows: None,
        dumped_rows: rows,
        bytes,
        first_chunk: None,
        chunks: None,
    };
    DumpContents {
        database: found.database,
        created: found.started,
        server: found.server,
        client: found.client,
        extensions: found.extensions,
        tables: found.tables.into_iter().map(table).collect(),
        large_objects: Some(found.large_objects),
        ledgers: ledgers(&found.kept),
    }
}

/// The ledgers among these tables, unless there are none, or too much is in them.
fn ledgers(tables: &[KeptTable]) -> Option<Vec<Ledger>> {
    Some(dumped::ledgers(tables)).filter(|all| !all.is_empty() && bytes_of_ledgers(all) <= MAX_LEDGERS)
}

/// About how many bytes these take.
fn bytes_of_ledgers(ledgers: &[Ledger]) -> usize {
    let texts = |ledger: &Ledger| {
        let lists = ledger.rows.iter().chain(&ledger.warnings).map(|text| text.len() + 1);
        ledger.schema.len() + ledger.table.len() + lists.sum::<usize>() + TABLE
    };
    ledgers.iter().map(texts).sum()
}

/// About how many bytes this takes.
fn bytes_of(contents: &DumpContents) -> usize {
    let texts = [&contents.database, &contents.created, &contents.server, &contents.client];
    let tables = contents.tables.iter().map(|table| table.schema.len() + table.name.len() + TABLE);
    texts.into_iter().chain(&contents.extensions).map(|text| text.len() + 1).sum::<usize>() + tables.sum::<usize>()
}

/// About how many bytes this takes.
fn bytes_of_export(export: &Export) -> usize {
    let texts = [&export.application, &export.version, &export.schema_hash, &export.created];
    let texts = texts.into_iter().chain(&export.schema_sha256).chain(&export.migration).chain(&export.contradictions);
    let tables = export.tables.iter().map(|table| table.name.len() + EXPORT_TABLE);
    texts.map(|text| text.len() + 1).sum::<usize>() + tables.sum::<usize>()
}

/// The dumps that were met, and what describes them.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    all: Vec<DumpFile>,
    sidecars: Vec<Sidecar>,
    /// Bytes of both.
    bytes: usize,
}

impl Dumps {
    /// Takes one more, unless there are too many; without its ledgers where these are too much.
    pub(super) fn push(&mut self, mut dump: DumpFile) {
        let known = dump.contents.as_ref().map_or(0, bytes_of) + dump.export.as_ref().map_or(0, bytes_of_export);
        let bytes = dump.path.as_bytes().len() + known;
        if self.all.len() == MAX_DUMPS || self.bytes + bytes > MAX_BYTES {
            return;
        }
        self.bytes += bytes;
        if let Some(contents) = &mut dump.contents {
            let bytes = bytes_of_ledgers(contents.ledgers());
            if self.bytes + bytes <= MAX_BYTES {
                self.bytes += bytes;
            } else {
                contents.ledgers = None;
            }
        }
        self.all.push(dump);
    }

    /// Takes what describes a dump.
    pub(super) fn push_sidecar(&mut self, sidecar: Sidecar) {
        let fields = sidecar.fields.iter().map(|(name, value)| name.len() + value.len());
        let bytes = sidecar.path.as_bytes().len() + fields.sum::<usize>();
        if self.sidecars.len() < MAX_DUMPS && self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
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
    use crate::chunker::Gear;
    use crate::chunker::archive::{ArchiveCutter, Cut, RowTarget};
    use crate::chunker::expand::Format;
    use std::convert::Infallible;

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
                ledgers: None,
            };
            let path = SafePath::parse(format!("{n:09}").as_bytes()).unwrap();
            let (contents, export) = (Some(contents), None);
            DumpFile { path, bytes: 0, sha256: [0; 32], fault: None, contents, sidecar: None, export }
        };
        let mut dumps = Dumps::default();
        (0..=MAX_DUMPS).rev().for_each(|n| dumps.push(dump(n, 1)));
        let all = dumps.settled().0;
        assert_eq!(all.len(), MAX_DUMPS);
        assert!(all.is_sorted_by_key(|dump| dump.path.as_bytes().to_vec()));
        let mut dumps = Dumps::default();
        let (large, small) = (dump(1, MAX_BYTES / 3 / (TABLE + 7)), dump(3, 1));
        (0..3).for_each(|_| dumps.push(large.clone()));
        dumps.push(small);
        assert_eq!(dumps.settled().0.len(), 3, "the third large one is too many");
        let ledger = |bytes: usize| Ledger {
            kind: "alembic".into(),
            schema: "public".into(),
            table: "alembic_version".into(),
            rows: vec!["x".repeat(bytes)],
            hash: [0; 32],
            warnings: Vec::new(),
        };
        let mut dumps = Dumps::default();
        for n in 0..3 {
            let mut dump = dump(n, 1);
            dump.contents.as_mut().unwrap().ledgers = Some(vec![ledger(MAX_BYTES / 2 - 1000)]);
            dumps.push(dump);
        }
        let told: Vec<_> =
            dumps.settled().0.iter().map(|dump| dump.contents.as_ref().unwrap().ledgers().len()).collect();
        assert_eq!(told, [1, 1, 0], "the third one is told of without its migrations");
    }

    #[test]
    fn what_somebody_wrote_to_fill_the_manifest_is_left_out() {
        let gear = Gear::new(&[1; 32]);
        let mut cutter = ArchiveCutter::new(&gear, RowTarget::DEFAULT);
        let mut nowhere = |_: Cut<'_>| Ok::<_, Infallible>(());
        let Ok(()) = cutter.push(include_bytes!("../../../tests/data/dumps/odd-pg15.dump"), &mut nowhere);
        let Ok(made) = cutter.finish(&mut nowhere);
        let mut made = made.unwrap();
        let record = |contents: &Contents| {
            FoundDump::archive(Ok(contents.clone()), [0; 32]).record(SafePath::parse(b"x").unwrap(), 1)
        };
        assert!(record(&made).contents.is_some());
        made.header.database = "x".repeat(MAX_CONTENTS);
        let dump = record(&made);
        assert_eq!((dump.contents, dump.fault), (None, None));
        let fault = ArchiveError::Missing { missing: 1, first: "x".repeat(MAX_CONTENTS) };
        let dump = FoundDump::archive(Err(fault), [0; 32]).record(SafePath::parse(b"x").unwrap(), 1);
        assert_eq!(dump.fault.map(|fault| fault.len()), Some(MAX_FAULT));
    }

    #[test]
    fn an_archive_that_goes_on_elsewhere_is_not_called_broken() {
        let outcome = |left: &[Left], formats: &[Format]| Outcome {
            formats: formats.to_vec(),
            undone: 1,
            known: 0,
            left: left.iter().copied().collect(),
            is_cut: left == [Left::Truncated],
        };
        let of = |more, outcome: &Outcome| {
            let contents = Err(ArchiveError::Truncated { at: 9 });
            let found = FoundDump::expanded(DumpInside::Archive { contents, more }, outcome, [0; 32]);
            found.map(|found| found.contents.unwrap_err())
        };
        let gzip = [Format::Gzip];
        assert!(of(false, &outcome(&[], &gzip)).unwrap().contains("ends too early"));
        assert_eq!(of(true, &outcome(&[], &gzip)), None, "in the next member");
        assert_eq!(of(true, &outcome(&[Left::Differs], &gzip)), None, "behind what stays compressed");
        assert_eq!(of(true, &outcome(&[Left::Truncated], &gzip)), Some(Left::Truncated.to_string()));
        assert_eq!(of(false, &outcome(&[], &[Format::Zip])), None);
        assert_eq!(of(false, &outcome(&[], &[Format::Gzip, Format::Tar])), None);
    }

    #[test]
    fn of_a_script_all_must_have_been_read() {
        let of = |contents: Result<_, _>, left: &[Left]| {
            let (left, is_cut) = (left.iter().copied().collect(), left == [Left::Truncated]);
            let outcome = Outcome { formats: vec![Format::Gzip], undone: 1, known: 0, left, is_cut };
            FoundDump::expanded(DumpInside::Script(contents), &outcome, [0; 32]).map(|found| found.contents)
        };
        let cut = || Err(ScriptFault::Truncated { at: 9 });
        assert_eq!(of(Ok(None), &[]), Some(Ok(None)));
        assert_eq!(of(Ok(None), &[Left::Truncated]), Some(Ok(None)), "the end of the container alone isn't there");
        assert_eq!(of(Ok(None), &[Left::Differs]), None, "there may be others");
        assert_eq!(of(cut(), &[Left::Differs]), None, "the rest may be there");
        assert_eq!(of(cut(), &[]), Some(Err(ScriptFault::Truncated { at: 9 }.to_string())));
        assert_eq!(of(cut(), &[Left::Truncated]), Some(Err(Left::Truncated.to_string())));
    }
}
