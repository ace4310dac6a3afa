//! The cutter and the parser against what they are specified to do.

use super::fixture::{Made, MadeBlock, cut_up};
use super::row::MAX_ROWS;
use super::{ArchiveError, BlockKind, Compression, Contents, Parser};
use crate::chunker::{Gear, Profile, cut};
use proptest::prelude::*;
use std::collections::HashSet;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Chunks as the rules have them, from the archive as it was made.
fn naive(made: &Made) -> Vec<Vec<u8>> {
    let gear = Gear::new(&[7; 32]);
    let mut chunks = Vec::new();
    fast(&gear, Profile::Text4k, &[made.head(), made.toc()].concat(), &mut chunks);
    for (i, block) in made.blocks.iter().enumerate() {
        let bytes = made.block(i);
        match block {
            _ if made.compressed && !matches!(block, MadeBlock::Objects(_)) => {
                fast(&gear, Profile::Opaque64k, &bytes, &mut chunks);
            }
            MadeBlock::Data(_) => fast(&gear, Profile::Text4k, &bytes, &mut chunks),
            MadeBlock::Rows(rows, shared) => naive_rows(&gear, rows, *shared, &bytes, &mut chunks),
            MadeBlock::Objects(objects) => {
                let lengths: Vec<usize> =
                    objects.iter().map(|(_, p)| 10 + p.iter().map(|p| p.len() + 6).sum::<usize>()).collect();
                let mut rest = &bytes[..];
                for (i, length) in lengths.iter().enumerate() {
                    let head = if i == 0 { 6 } else { 0 };
                    let end = if i + 1 == lengths.len() { 5 } else { 0 };
                    fast(&gear, Profile::Opaque64k, rest.split_off(..head + length + end).unwrap(), &mut chunks);
                }
                fast(&gear, Profile::Opaque64k, rest, &mut chunks);
            }
        }
    }
    if made.with_tail {
        fast(&gear, Profile::Text4k, &made.toc(), &mut chunks);
    }
    chunks
}

fn fast(gear: &Gear, profile: Profile, mut bytes: &[u8], chunks: &mut Vec<Vec<u8>>) {
    while !bytes.is_empty() {
        let length = cut(gear, profile, bytes);
        chunks.push(bytes.split_off(..length).unwrap().to_vec());
    }
}

fn naive_rows(gear: &Gear, rows: &[Vec<u8>], shared: usize, mut bytes: &[u8], chunks: &mut Vec<Vec<u8>>) {
    let mut open = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let framing = if i == 0 { 6 } else { 0 } + if i % shared == 0 { 5 } else { 0 };
        let stretch = bytes.split_off(..=framing + row.len()).unwrap();
        if open.len() + stretch.len() > MAX_ROWS {
            chunks.push(std::mem::take(&mut open));
        }
        if stretch.len() > MAX_ROWS {
            fast(gear, Profile::Text4k, stretch, chunks);
            continue;
        }
        open.extend_from_slice(stretch);
        let text = [row, &b"\n"[..]].concat();
        let hash = text.iter().fold(0u64, |hash, byte| hash.rotate_left(1) ^ gear.plain()[usize::from(*byte)]);
        let threshold = stretch.len() as u64 * ((1 << 32) / 512);
        if stretch.len() >= 512 || hash.wrapping_mul(MULTIPLIER) >> 32 < threshold {
            chunks.push(std::mem::take(&mut open));
        }
    }
    if open.len() + bytes.len() > MAX_ROWS {
        chunks.push(std::mem::take(&mut open));
    }
    open.extend_from_slice(bytes);
    chunks.push(open);
    chunks.retain(|chunk| !chunk.is_empty());
}

/// What the cutter must find in the archive.
fn counts(made: &Made) -> Vec<(Option<u64>, u64, u64)> {
    let sum = |pieces: &[Vec<u8>]| pieces.iter().map(|p| p.len() as u64 + 1).sum::<u64>();
    let count = |block: &MadeBlock| match block {
        MadeBlock::Rows(rows, _) => ((!made.compressed).then_some(rows.len() as u64), sum(rows), 0),
        MadeBlock::Data(pieces) => (None, sum(pieces), 0),
        MadeBlock::Objects(o) => (None, o.iter().map(|(_, pieces)| sum(pieces)).sum(), o.len() as u64),
    };
    made.blocks.iter().map(count).collect()
}

fn line(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"abc\\.,\t0"[..]), length)
        .prop_filter("it would be the terminator", |line| line != b"\\.")
}

fn block() -> impl Strategy<Value = MadeBlock> {
    let rows =
        prop::collection::vec(prop_oneof![8 => line(0..40), 2 => line(200..600), 1 => line(15_000..40_000)], 0..60);
    let pieces = || prop::collection::vec(line(0..3000), 0..5);
    prop_oneof![
        4 => (rows, 1usize..5).prop_map(|(rows, shared)| MadeBlock::Rows(rows, shared)),
        1 => pieces().prop_map(MadeBlock::Data),
        1 => prop::collection::vec((1u32.., pieces()), 0..4).prop_map(MadeBlock::Objects),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    (10u8..=16, prop::bool::weighted(0.2), prop::collection::vec(block(), 0..4), any::<bool>())
        .prop_map(|(minor, compressed, blocks, with_tail)| Made { minor, compressed, blocks, with_tail })
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    (prop::collection::vec(1usize..2000, 0..5), 1usize..40_000).prop_map(|(small, last)| [small, vec![last]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn chunks_are_those_of_the_rules(mut made in made(), steps in steps()) {
        // Without a block the table of contents and its twin are one stretch: tested by itself.
        made.with_tail &= !made.blocks.is_empty();
        let bytes = made.bytes();
        let (chunks, outcome) = cut_up(&bytes, &steps);
        prop_assert_eq!(chunks.concat(), &bytes[..]);
        prop_assert_eq!(&chunks, &naive(&made));
        let contents = outcome.unwrap();
        let found: Vec<_> = contents.blocks.iter().map(|b| (b.rows, b.bytes, b.objects)).collect();
        prop_assert_eq!(found, counts(&made));
        prop_assert_eq!(contents.tail, if made.with_tail { made.toc().len() as u64 } else { 0 });
        for (i, block) in contents.blocks.iter().enumerate() {
            let (first, count) = (usize::try_from(block.first_chunk).unwrap(), usize::try_from(block.chunks).unwrap());
            prop_assert_eq!(chunks[first..first + count].concat(), made.block(i));
        }
    }

    #[test]
    fn damage_loses_no_byte(
        made in made(),
        steps in steps(),
        flip in any::<prop::sample::Index>(),
        bit in 0u8..8,
        end: Option<prop::sample::Index>,
    ) {
        let mut bytes = made.bytes();
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        let (chunks, outcome) = cut_up(&bytes, &steps);
        prop_assert_eq!(chunks.concat(), &bytes[..]);
        let (others, other) = cut_up(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(chunks, others);
        prop_assert_eq!(outcome.is_ok(), other.is_ok());
    }

    #[test]
    fn bytes_behind_a_valid_head_may_be_anything(made in made(), junk: Vec<u8>, steps in steps(), whole: bool) {
        let head = if whole { [made.head(), made.toc()].concat() } else { made.head() };
        let bytes = [head, junk].concat();
        let (chunks, _) = cut_up(&bytes, &steps);
        prop_assert_eq!(chunks.concat(), &bytes[..]);
        prop_assert_eq!(chunks, cut_up(&bytes, &[bytes.len()]).0);
    }

    #[test]
    fn an_archive_cut_short_is_never_complete(made in made(), end: prop::sample::Index) {
        let bytes = made.bytes();
        let end = end.index(bytes.len());
        let data_ends = if made.with_tail { bytes.len() - made.toc().len() } else { bytes.len() };
        let (_, outcome) = cut_up(&bytes[..end], &[4096]);
        prop_assert_eq!(outcome.is_ok(), made.with_tail && end == data_ends);
    }
}

fn tiny_rows(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| blake3::hash(&i.to_le_bytes()).to_hex()[..24].as_bytes().to_vec()).collect()
}

fn new_chunks(old: &[Vec<u8>], new: &[Vec<u8>]) -> usize {
    let made = |rows: &[Vec<u8>]| {
        let blocks = vec![MadeBlock::Rows(rows.to_vec(), 1)];
        let made = Made { minor: 14, compressed: false, blocks, with_tail: false };
        cut_up(&made.bytes(), &[65_536]).0.into_iter().collect::<HashSet<_>>()
    };
    let (old, new) = (made(old), made(new));
    assert!(old.len() > 1000, "{} chunks", old.len());
    new.difference(&old).count()
}

#[test]
fn changed_rows_change_few_chunks() {
    let rows = tiny_rows(20_000);
    let mut inserted = rows.clone();
    inserted.insert(10_000, b"one more, of some length".to_vec());
    assert!(new_chunks(&rows, &inserted) <= 2);
    let mut changed = rows.clone();
    changed[777] = b"of the same length as it".to_vec();
    assert!(new_chunks(&rows, &changed) <= 2);
    let mut removed = rows.clone();
    removed.drain(5000..5010);
    assert!(new_chunks(&rows, &removed) <= 2);
}

/// Pins the rules: if this fails, every repository would store its databases once more.
#[test]
fn boundaries_never_change() {
    let mut rows = tiny_rows(5000);
    rows.extend((0..300u32).map(|i| vec![b'a' + u8::try_from(i % 26).unwrap(); 700]));
    rows.push(vec![b'x'; 50_000]);
    let large = blake3::hash(b"large").as_bytes().repeat(20_000);
    let objects = MadeBlock::Objects(vec![(1, vec![large.clone()]), (2, vec![b"small".to_vec()])]);
    let blocks =
        vec![MadeBlock::Rows(rows.clone(), 1), MadeBlock::Rows(rows, 7), objects, MadeBlock::Data(vec![large])];
    let made = Made { minor: 16, compressed: false, blocks, with_tail: true };
    let (chunks, outcome) = cut_up(&made.bytes(), &[65_536]);
    let stretches: Vec<_> = outcome.unwrap().blocks.iter().map(|b| (b.first_chunk, b.chunks)).collect();
    let lengths: Vec<u8> = chunks.iter().flat_map(|chunk| u32::try_from(chunk.len()).unwrap().to_le_bytes()).collect();
    let found = format!("{} {stretches:?} {}", chunks.len(), &blake3::hash(&lengths).to_hex()[..16]);
    assert_eq!(found, "1247 [(1, 624), (625, 577), (1202, 4), (1206, 40)] cbdbcf83e282dd2e");
}

fn real(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/dumps/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn real_dumps_are_understood() {
    for (name, entries, blocks) in [("chinook-night1-pg11.dump", 109, 16), ("chinook-night2-pg11.dump", 79, 11)] {
        let bytes = real(name);
        let (chunks, outcome) = cut_up(&bytes, &[1000, 17]);
        assert_eq!(chunks.concat(), bytes);
        let contents = outcome.unwrap();
        assert_eq!(contents.header.version.to_string(), "1.13");
        assert_eq!(contents.header.compression, Compression::Gzip { level: Some(-1) });
        assert_eq!((contents.entries.len(), contents.blocks.len()), (entries, blocks));
        assert!(contents.blocks.iter().all(|block| block.kind == BlockKind::Compressed && block.rows.is_none()));
    }
}

/// Odd names, a table without columns and one without rows, partitions, rows like the terminator, one of 38 KB, large
/// objects: straight from a pipe, and (of a newer version) into a file opened for appending.
#[test]
fn real_rows_are_counted() {
    for (name, version, tail) in [("odd-pg15.dump", "1.14", 0), ("odd-appended-pg17.dump", "1.16", 5026)] {
        let bytes = real(name);
        let (chunks, outcome) = cut_up(&bytes, &[4096]);
        assert_eq!(chunks.concat(), bytes);
        let contents = outcome.unwrap();
        assert_eq!((&*contents.header.version.to_string(), contents.large_objects, contents.tail), (version, 6, tail));
        let mut tables: Vec<_> = contents
            .blocks
            .iter()
            .filter_map(|b| Some(format!("{}.{} {} {}", b.schema, b.table, b.rows?, b.bytes)))
            .collect();
        tables.sort();
        let expected = [
            "S.1 odd.Odd \"name 301 17837",
            "public.empty_one 0 0",
            "public.nocols 9 9",
            "public.one 10 31",
            "public.part1 49 1412",
            "public.part2 151 6140",
            "public.wide 2 57602",
        ];
        assert_eq!(tables, expected);
    }
}

fn failure(bytes: &[u8]) -> ArchiveError {
    let (chunks, outcome) = cut_up(bytes, &[7]);
    assert_eq!(chunks.concat(), bytes);
    outcome.unwrap_err()
}

#[test]
fn what_is_no_archive_is_named() {
    let made = Made::of_rows(&[b"1\tone", b"2\ttwo"]);
    let good = made.bytes();
    let change = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        failure(&bytes)
    };
    assert_eq!(failure(b""), ArchiveError::Truncated { at: 0 });
    assert_eq!(failure(b"-- PostgreSQL database dump"), ArchiveError::NotAnArchive);
    assert_eq!(change(6, 17), ArchiveError::Version { major: 1, minor: 17 });
    assert_eq!(change(6, 9), ArchiveError::Version { major: 1, minor: 9 });
    assert_eq!(change(8, 8), ArchiveError::Header { what: "the length of integers", found: 8 });
    assert_eq!(change(10, 3), ArchiveError::Header { what: "its format", found: 3 });
    let data = made.head().len() + made.toc().len();
    assert_eq!(change(data, 2), ArchiveError::NoBlock { at: data as u64, kind: 2 });
    assert_eq!(change(data + 2, 99), ArchiveError::Unannounced { at: data as u64, id: 99 });
    assert_eq!(change(data + 6, 1), ArchiveError::Piece { at: data as u64 + 6, found: -6 });
    assert!(matches!(change(good.len() - 6, b'x'), ArchiveError::AfterTerminator { .. }));
    assert!(matches!(change(good.len() - 10, b'x'), ArchiveError::NoTerminator { .. }));
    assert_eq!(failure(&[&good[..], b"x"].concat()), ArchiveError::Truncated { at: good.len() as u64 + 1 });
    assert_eq!(failure(&[&good[..], b"unknown"].concat()), ArchiveError::UnknownTail);
    let missing = ArchiveError::Missing { missing: 1, first: "TABLE DATA public.t0".to_owned() };
    assert_eq!(failure(&good[..data]), missing);
}

#[test]
fn claimed_lengths_are_not_believed() {
    let made = Made::of_rows(&[]);
    // The name of the database claims 2 GiB.
    let mut bytes = made.head();
    let at = bytes.len() - 3 * 5 - "shop15.115.2".len();
    bytes[at + 1..at + 5].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(failure(&bytes), ArchiveError::TooLarge { .. }));
    // So many entries that they would not fit: they are waited for, and nothing else.
    let bytes = [made.head(), vec![0, 0xff, 0xff, 0xff, 0x7f], vec![0; 40]].concat();
    assert!(matches!(failure(&bytes), ArchiveError::Entry { entry: 1, .. }));
    let mut parser = Parser::with_limit(100);
    let long = [made.head(), made.toc()].concat();
    let mut input = &long[..];
    let outcome = loop {
        match parser.next(&mut input) {
            Ok(Some(_)) => {}
            other => break other.map(|event| event.is_some()),
        }
    };
    assert_eq!(outcome, Err(ArchiveError::TooLarge { limit: 100 }));
}

#[test]
fn a_tail_without_data_is_a_tail() {
    let made = Made { minor: 16, compressed: false, blocks: Vec::new(), with_tail: true };
    let (chunks, outcome) = cut_up(&made.bytes(), &[3]);
    assert_eq!(chunks.concat(), made.bytes());
    let Contents { tail, blocks, .. } = outcome.unwrap();
    assert_eq!((tail, blocks.len()), (made.toc().len() as u64, 0));
}

#[test]
fn facts_are_those_of_the_archive() {
    let made = Made::of_rows(&[b"1\tone", b"\\\\.", b"", b"3\t\\N"]);
    let contents = cut_up(&made.bytes(), &[1]).1.unwrap();
    assert_eq!(contents.header.database, "shop");
    assert_eq!((&*contents.header.server_version, &*contents.header.dump_version), ("15.1", "15.2"));
    assert_eq!(contents.header.created.to_string(), "2026-06-04 03:02:01");
    let [encoding, data] = &contents.entries[..] else { panic!("two entries") };
    assert_eq!((&*encoding.desc, &*encoding.definition), ("ENCODING", "SET client_encoding = 'UTF8';\n"));
    assert_eq!((&*data.schema, &*data.tag, &*data.owner, data.dump_id), ("public", "t0", "me", 100));
    let [block] = &contents.blocks[..] else { panic!("one block") };
    assert_eq!((&*block.schema, &*block.table, block.rows, block.bytes), ("public", "t0", Some(4), 16));
}
