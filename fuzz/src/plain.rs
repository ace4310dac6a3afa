//! Dumps of PostgreSQL as plain SQL: what is told of them and where they are cut doesn't depend on how they arrive, and no byte is lost.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::chunker::archive::RowTarget;
use nightsafe::chunker::script::{Script, ScriptContents, ScriptFault, is_script};
use nightsafe::chunker::{Gear, LineCutter};
use nightsafe::repo::cbor;
use nightsafe::snapshot::manifest::database::Ledger;
use nightsafe::snapshot::postgres::ledger::dumped::{is_wanted, ledgers};
use std::convert::Infallible;
use std::sync::LazyLock;

const HEAD: &[u8] = b"-- PostgreSQL database dump\n";
const FOOT: &[u8] = b"\n-- PostgreSQL database dump complete\n";
/// A table whose rows are kept.
const COPY: &[u8] = b"COPY public.schema_migrations (version, dirty) FROM stdin;\n";

static GEAR: LazyLock<Gear> = LazyLock::new(|| Gear::new(&[3; 32]));

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => drop(script(input.rest())),
        // No fuzzer keeps both of these whole for long.
        1 => drop(script(&[HEAD, input.rest(), FOOT].concat())),
        _ => rows(input.rest()),
    }
}

type Told = Result<Option<ScriptContents>, ScriptFault>;

fn tell<'a>(input: impl Iterator<Item = &'a [u8]>) -> Told {
    let mut script = Script::keeping(is_wanted);
    input.for_each(|piece| script.push(piece));
    script.finish()
}

fn script(bytes: &[u8]) -> Told {
    cut(bytes);
    let told = memory::at_most((256 << 10) + 64 * bytes.len(), || tell(std::iter::once(bytes)));
    assert_eq!(told, tell(pieces(bytes)), "pieces decide");
    if let Err(ScriptFault::InData { at, .. } | ScriptFault::Truncated { at }) = told {
        assert_eq!(at, bytes.len() as u64);
    }
    let Ok(Some(contents)) = &told else { return told };
    assert!(contents.tables.is_sorted_by(|a, b| (&a.schema, &a.table) < (&b.schema, &b.table)), "one is there twice");
    assert!(contents.extensions.is_sorted_by(|a, b| a < b), "one is there twice");
    assert!(contents.tables.iter().filter_map(|table| table.bytes).sum::<u64>() <= bytes.len() as u64);
    assert!(contents.tables.iter().filter_map(|table| table.rows).sum::<u64>() <= bytes.len() as u64);
    assert!(contents.kept.iter().all(|table| is_wanted(&table.table, &table.columns)));
    let found = memory::at_most((256 << 10) + 64 * bytes.len(), || ledgers(&contents.kept));
    for ledger in found {
        assert_eq!(cbor::decode::<Ledger>("ledger", &cbor::encode(&ledger)), Ok(ledger));
    }
    // A comment in front says nothing, and neither does a line that comes before the title.
    if !bytes.starts_with(b"\xef\xbb\xbf") {
        let commented = [b"-- x\n", bytes].concat();
        assert_eq!(told, tell(std::iter::once(&commented[..])), "a comment decides");
        assert_eq!(is_script(bytes), is_script(&commented));
    }
    told
}

/// Whatever stands in the data of a table, it's rows until the line that ends them, as many as it has lines.
fn rows(data: &[u8]) {
    let is_end = |line: &[u8]| matches!(line.strip_suffix(b"\n").unwrap_or(line), b"\\." | b"\\.\r");
    let lines: Vec<&[u8]> = data.split_inclusive(|byte| *byte == b'\n').take_while(|line| !is_end(line)).collect();
    let data = lines.concat();
    let feed: &[u8] = if data.is_empty() || data.ends_with(b"\n") { b"" } else { b"\n" };
    let told = script(&[HEAD, COPY, &data, feed, b"\\.\n", FOOT].concat());
    let contents = told.expect("a whole script").expect("one that is understood");
    let table = &contents.tables[0];
    let (rows, bytes) = (lines.len() as u64, (data.len() + feed.len()) as u64);
    assert_eq!((contents.tables.len(), table.rows, table.bytes), (1, Some(rows), Some(bytes)));
    if let Some(kept) = contents.kept.first() {
        assert_eq!(kept.rows().count() as u64, rows);
    }
}

fn cut(bytes: &[u8]) {
    let whole = memory::at_most((256 << 10) + 8 * bytes.len(), || chunks(std::iter::once(bytes)));
    assert!(whole.concat() == bytes, "bytes are lost");
    assert!(whole.iter().all(|chunk| !chunk.is_empty()));
    assert_eq!(whole, chunks(pieces(bytes)), "pieces decide");
}

fn chunks<'a>(input: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut cutter, mut chunks) = (LineCutter::new(&GEAR, RowTarget::DEFAULT), Vec::new());
    let mut each = |chunk: &[u8]| {
        chunks.push(chunk.to_vec());
        Ok::<_, Infallible>(())
    };
    for piece in input {
        let Ok(()) = cutter.push(piece, &mut each);
    }
    let Ok(()) = cutter.finish(&mut each);
    chunks
}
