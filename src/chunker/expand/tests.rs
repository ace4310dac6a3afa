use super::deflater::Deflater;
use super::harness::{self, Expanded, gzip, member, oddly, rebuild};
use super::method::Method;
use super::pieces::Framer;
use super::*;
use crate::chunker::archive::fixture::{Made, MadeBlock};
use crate::chunker::archive::{Event, Parser};
use crate::chunker::steps::in_steps;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use std::convert::Infallible;
use std::io::Write;

mod ahead;
mod damaged;
mod encoders;
mod frames;
mod hostile;
mod pieces;
mod signs;

fn expand(bytes: &[u8], steps: &[usize]) -> Expanded {
    harness::expand(Expansion::new(), bytes, steps)
}

/// Expands, and insists that the bytes come back.
fn proven(bytes: &[u8]) -> Expanded {
    let expanded = expand(bytes, &[100_000]);
    assert!(rebuild(&expanded.recipe, &expanded.stream, &[70_000]).unwrap() == bytes, "other bytes come back");
    expanded
}

/// Bytes come back, expanded in pieces of some lengths and rebuilt in others; what is sound gives the same in any.
fn comes_back(bytes: &[u8], (steps, others): (&[usize], &[usize]), is_sound: bool) -> Result<(), TestCaseError> {
    let expanded = expand(bytes, steps);
    let rebuilt = rebuild(&expanded.recipe, &expanded.stream, others);
    prop_assert!(rebuilt.is_ok_and(|rebuilt| rebuilt == bytes));
    let again = expand(bytes, &[1 << 20]);
    let same = again.stream == expanded.stream && again.recipe == expanded.recipe;
    // How far a damaged stream can be undone hangs on them.
    prop_assert!(same || !is_sound, "pieces decide");
    Ok(())
}

/// Text as databases have it.
pub(super) fn text(rows: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..rows {
        let hash = blake3::hash(&n.to_le_bytes());
        writeln!(text, "{n}\tuser {}\t{}\t2026-01-{:02} 10:00:00", n % 977, &hash.to_hex()[..12], n % 28 + 1).unwrap();
    }
    text
}

fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive as it would be with compression: made from one without, token by token.
pub(super) fn compressed(archive: &[u8], level: u32, piece: usize, offset: Option<u8>) -> Vec<u8> {
    let mut dump = compressed_by(archive, 1, &|content| zlib(content, level), piece, offset);
    if dump[6] < 15 {
        let level = if level == 6 { [1, 1, 0, 0, 0] } else { [0, u8::try_from(level).unwrap(), 0, 0, 0] };
        dump[11..16].copy_from_slice(&level);
    }
    dump
}

/// The same by any algorithm, which has a code.
fn compressed_by(archive: &[u8], code: u8, by: &dyn Fn(&[u8]) -> Vec<u8>, piece: usize, offset: Option<u8>) -> Vec<u8> {
    let mut parser = Parser::new();
    let (mut input, mut at) = (archive, 0);
    let (mut out, mut content, mut heads): (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) =
        (Vec::new(), Vec::new(), vec![Vec::new()]);
    let ends = |out: &mut Vec<u8>, content: &mut Vec<u8>| {
        let stream = by(content);
        content.clear();
        let mut framer = Framer::default();
        for part in stream.chunks(piece) {
            framer.expect(1, u32::try_from(part.len()).unwrap()).unwrap();
        }
        let mut push = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = framer.push(&stream, &mut push);
        let Ok(framed) = framer.finish(&mut push);
        framed.unwrap();
    };
    let mut in_objects = false;
    while let Some(event) = parser.next(&mut input).unwrap() {
        let bytes = &archive[at..at + event.length()];
        at += event.length();
        match event {
            Event::Head(_) => heads[0].extend(bytes),
            Event::Tail(_) => {
                heads.resize(2, Vec::new());
                heads[1].extend(bytes);
            }
            Event::BlockStart { kind, .. } => {
                in_objects = matches!(kind, crate::chunker::archive::BlockKind::Objects { .. });
                out.extend(bytes);
            }
            Event::ObjectStart { .. } => out.extend(bytes),
            Event::Piece { .. } => {}
            Event::Row { .. } | Event::Terminator(_) | Event::Data(_) => content.extend(bytes),
            Event::BlockEnd if in_objects => out.extend(bytes),
            Event::ObjectEnd | Event::BlockEnd => ends(&mut out, &mut content),
        }
    }
    // Where the data is: anything, as long as it's set.
    let offset_length = usize::from(parser.header().unwrap().offset_length());
    let last = parser.offsets().to_vec();
    let first = {
        let mut parser = Parser::new();
        let mut input = &heads[0][..];
        while parser.next(&mut input).unwrap().is_some() {}
        parser.offsets().to_vec()
    };
    if heads[0][6] >= 15 {
        heads[0][11] = code;
    }
    for (head, offsets) in heads.iter_mut().zip([first, last]) {
        for at in offsets {
            let at = usize::try_from(at).unwrap();
            if let (1, Some(byte)) = (head[at], offset) {
                head[at] = 2;
                head[at + 1..=at + offset_length].fill(byte);
            }
        }
    }
    [&heads[0][..], &out, heads.get(1).map_or(&[][..], |tail| tail)].concat()
}

/// An archive without compression with some of everything.
pub(super) fn archive(minor: u8, rows: usize, with_tail: bool) -> Vec<u8> {
    let rows = text(rows).split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).map(<[u8]>::to_vec).collect();
    let object = |length: usize| vec![text(length / 30)[..length - 1].to_vec()];
    let blocks = vec![
        MadeBlock::Rows(rows, 1),
        MadeBlock::Rows(vec![], 1),
        MadeBlock::Rows(vec![b"only".to_vec(), vec![b'x'; 300_000]], 1),
        MadeBlock::Objects(vec![(5, object(16_384)), (3_000_000_000, object(100)), (7, vec![])]),
        MadeBlock::Data(vec![text(20)]),
    ];
    Made { minor, compressed: false, blocks, with_tail }.bytes()
}

#[test]
fn a_compressed_archive_becomes_the_one_without_compression() {
    for (minor, level, piece, offset, with_tail) in [
        (10, 6, 4096, None, false),
        (12, 9, 4096, Some(7), false),
        (14, 6, 4096, Some(200), true),
        (15, 1, 1000, Some(1), false),
        (16, 6, 4096, Some(9), true),
        (16, 3, 70_000, None, false),
    ] {
        let plain = archive(minor, 20_000, with_tail);
        let dump = compressed(&plain, level, piece, offset);
        let expanded = proven(&dump);
        assert!(expanded.stream == plain, "1.{minor}: another archive");
        assert_eq!(
            expanded.outcome,
            Outcome { formats: vec![Format::PgDump], undone: 7, known: 0, left: [].into(), is_cut: false }
        );
        assert!(expanded.recipe.len() < 3_000, "{} bytes of a recipe", expanded.recipe.len());
        assert!(dump.len() < plain.len() / 2);
    }
}

#[test]
fn every_level_of_zlib_is_found() {
    let text = text(40_000);
    for level in 1..=9 {
        let zipped = gzip(&text, level);
        let expanded = proven(&zipped);
        assert!(expanded.stream == text, "level {level}");
        assert!(expanded.recipe.len() < 200 && expanded.outcome.left.is_empty(), "{:?}", expanded.outcome);
        assert_eq!(expanded.borders.len(), 1);
    }
    // Stored blocks gain nothing.
    let expanded = proven(&gzip(&text, 0));
    assert_eq!(expanded.outcome.left, [Left::NoGain].into());
}

#[test]
fn gzip_has_headers_members_and_garbage() {
    let text = text(3_000);
    let header = GzBuilder::new().filename("a.sql").comment("by hand").extra(&b"xyz"[..]).mtime(77);
    let mut member = header.write(Vec::new(), Compression::new(9));
    member.write_all(&text).unwrap();
    let member = member.finish().unwrap();
    let whole = [&member[..], &gzip(b"", 6), &gzip(&text, 1), b"\0\0\0garbage"].concat();
    let expanded = proven(&whole);
    assert!(expanded.stream == [&text[..], &text, b"\0\0\0garbage"].concat());
    assert_eq!(expanded.outcome.undone, 3);
    for length in (0..whole.len()).step_by(997).chain(whole.len() - 40..whole.len()).chain(0..60) {
        proven(&whole[..length]);
    }
}

#[test]
fn containers_in_containers_are_undone_to_a_depth() {
    let plain = archive(14, 10_000, false);
    let dump = compressed(&plain, 6, 4096, None);
    let twice = gzip(&dump, 6);
    let expanded = proven(&twice);
    assert!(expanded.stream == plain);
    assert_eq!(expanded.outcome.formats, [Format::Gzip, Format::PgDump]);
    let mut deep = text(20_000);
    for _ in 0..8 {
        deep = gzip(&deep, 6);
    }
    let expanded = proven(&deep);
    assert_eq!((expanded.outcome.undone, expanded.outcome.left), (4, [Left::TooDeep].into()));
}

#[test]
fn streams_that_stop_being_zlibs_are_kept_from_there_on() {
    // One level up to some point, another one from there.
    let text = text(100_000);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&text[..3_000_000]).unwrap();
    encoder.flush().unwrap();
    let mut encoder = DeflateEncoder::new(encoder.get_ref().clone(), Compression::new(9));
    encoder.write_all(&text[3_000_000..]).unwrap();
    let body = encoder.finish().unwrap();
    let whole = [&gzip(b"", 6)[..10], &body, b"checksum", &gzip(b"another member", 6)].concat();
    let expanded = proven(&whole);
    assert_eq!(expanded.outcome.left, [Left::Damaged, Left::Differs].into());
    assert_eq!(expanded.outcome.undone, 1, "the member behind it");
    assert!(expanded.stream.starts_with(&text[..2_500_000]));
    assert!(expanded.stream.len() < text.len());
}

#[test]
fn a_bomb_stays_as_it_is() {
    let zeros = gzip(&vec![0; 100 << 20], 9);
    let expanded = proven(&zeros);
    assert_eq!(expanded.outcome.left, [Left::Bomb].into());
    assert!(expanded.stream.len() < 66 << 20, "{}", expanded.stream.len());
    let text = text(10_000);
    let other = [&gzip(&text, 6)[..], &zeros].concat();
    assert_eq!(proven(&other).outcome.undone, 1);
}

/// Recipes name a method and a level, so their bytes must stay what they are for ever: a change here is a loss of what was expanded, not a snapshot to renew.
#[test]
fn what_methods_make_never_changes() {
    let text = text(20_000);
    let mut all = blake3::Hasher::new();
    let mut hashes = Vec::new();
    for method in (1..=9).flat_map(|level| [Method::Zlib(level), Method::Gnu(level)]) {
        let mut deflater = Deflater::new(method);
        let mut hasher = blake3::Hasher::new();
        let mut out = |part: &[u8]| {
            hasher.update(part);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = deflater.push(&text, &mut out);
        let Ok(()) = deflater.finish(&mut out);
        all.update(hasher.finalize().as_bytes());
        hashes.push((method, hasher.finalize().to_hex()[..8].to_owned()));
    }
    assert_eq!(all.finalize().to_hex()[..16], *"d980ec8824e85074", "{hashes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is compressed, a reader of deflate finds in it what went in.
    #[test]
    fn what_gnu_gzip_would_make_is_deflate(
        seed: u64,
        letters in 1u8..=255,
        runs in 1usize..400,
        length in 0usize..300_000,
        level in 1u8..=9,
        steps in prop::collection::vec(1usize..70_000, 1..5),
    ) {
        let bytes = encoders::some(seed, letters, runs, length);
        let compressed = encoders::made(Method::Gnu(level), &bytes, &steps, false);
        prop_assert!(harness::inflated(&compressed) == bytes);
    }
}

#[test]
fn other_encoders_streams_are_kept() {
    let text = text(30_000);
    let zipped = member(&oddly(&text));
    let expanded = proven(&zipped);
    assert_eq!(expanded.outcome.left, [Left::OtherEncoder].into());
    assert!(expanded.stream.len() <= zipped.len());
}

fn damaged(bytes: &[u8], changes: &[(prop::sample::Index, u8)], length: Option<prop::sample::Index>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, with) in changes {
        let at = at.index(bytes.len());
        bytes[at] ^= with;
    }
    if let Some(length) = length {
        bytes.truncate(length.index(bytes.len() + 1));
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_expanded_comes_back(
        kind in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 0..3),
        length in prop::option::of(any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..9_000, 1..4),
        others in prop::collection::vec(1usize..90_000, 1..4),
    ) {
        let plain = archive(if kind == 1 { 16 } else { 13 }, 3_000, kind == 1);
        let whole = match kind {
            0 => gzip(&plain, 6),
            1 => compressed(&plain, 6, 4096, Some(3)),
            2 => gzip(&compressed(&plain, 9, 500, None), 1),
            _ => [gzip(&plain, 2), gzip(b"short", 9), plain].concat(),
        };
        let bytes = damaged(&whole, &changes, length);
        comes_back(&bytes, (&steps, &others), changes.is_empty() && length.is_none())?;
    }

    #[test]
    fn recipes_that_do_not_fit_are_errors(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 1..3),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let dump = compressed(&archive(14, 500, false), 6, 4096, Some(3));
        let expanded = expand(&dump, &[1 << 20]);
        let recipe = damaged(&expanded.recipe, &changes, length);
        // Other bytes come out, or an error: no panic, and no more memory than the stream has.
        let _ = rebuild(&recipe, &expanded.stream, &[10_000]);
        let longer = [&expanded.stream[..], b"x"].concat();
        prop_assert!(rebuild(&expanded.recipe, &longer, &[10_000]).is_err());
        prop_assert!(rebuild(&expanded.recipe, &expanded.stream[1..], &[10_000]).map_or(true, |bytes| bytes != dump));
    }
}

/// Blocks of an archive, and the archive itself, by who flushes, which no method does: guides to both come before content that rows hold back.
#[test]
fn guides_are_told_apart_by_what_is_in_what() {
    let flushing = |bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
        for part in bytes.chunks(9_000) {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    };
    for rows in [40, 9_000] {
        let archive = archive(15, rows, true);
        let inner = compressed_by(&archive, 1, &flushing, 4_096, None);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        for part in inner.chunks(7_000) {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
        let expanded = proven(&encoder.finish().unwrap());
        // To a block of next to nothing, flushed often, a guide isn't worth it.
        assert!(expanded.outcome.undone >= 6, "{:?}", expanded.outcome);
        let last = text(rows).split(|byte| *byte == b'\n').rev().nth(1).unwrap().to_vec();
        assert!(expanded.stream.windows(last.len()).any(|part| part == last), "{rows}");
    }
}

#[test]
fn a_wrong_checksum_is_told_and_comes_back() {
    let text = text(3_000);
    let mut zipped = gzip(&text, 6);
    let end = zipped.len();
    for at in [end - 8, end - 1] {
        zipped[at] ^= 0x20;
        let expanded = proven(&zipped);
        assert!(expanded.stream == text, "{at}");
        assert_eq!((expanded.outcome.undone, expanded.outcome.left), (1, [Left::Damaged].into()), "{at}");
        zipped[at] ^= 0x20;
    }
    assert!(proven(&zipped).outcome.left.is_empty());
    let by = |content: &[u8]| {
        let mut stream = zlib(content, 6);
        *stream.last_mut().unwrap() ^= 1;
        stream
    };
    let archive = archive(15, 300, true);
    let expanded = proven(&compressed_by(&archive, 1, &by, 4_096, None));
    assert_eq!(expanded.outcome.left, [Left::Damaged].into());
    assert!(proven(&compressed(&archive, 6, 4_096, None)).outcome.left.is_empty());
}
