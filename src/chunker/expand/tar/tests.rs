use super::fixture::{Made, SIZES, base256, gnu, header, parts, record, signed};
use super::header::BLOCK;
use super::{APART, MAX_RECORDS};
use crate::chunker::expand::harness::{self, Expanded, gzip, rebuild};
use crate::chunker::expand::tests::{archive, compressed, text};
use crate::chunker::expand::{Expansion, Format, Left, MAX_DEPTH, Outcome};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The shortest content that is put apart.
const SHORTEST: usize = 64 << 10;

fn expand(bytes: &[u8], steps: &[usize]) -> Expanded {
    harness::expand(Expansion::new(), bytes, steps)
}

/// Expands, and insists that the bytes come back, and that pieces decide nothing.
fn proven(bytes: &[u8]) -> Expanded {
    let expanded = expand(bytes, &[1 << 20]);
    assert!(rebuild(&expanded.recipe, &expanded.stream, &[70_000]).unwrap() == bytes, "other bytes come back");
    for steps in [&[1, 511, 7, 4_000][..], &[512], &[65_536, 1]] {
        let again = expand(bytes, steps);
        assert!(again.stream == expanded.stream && again.recipe == expanded.recipe, "pieces decide");
        assert_eq!((again.borders, again.outcome), (expanded.borders.clone(), expanded.outcome.clone()));
    }
    expanded
}

/// Its parts. A border may stand where nothing comes any more.
fn found(expanded: &Expanded) -> Vec<Vec<u8>> {
    let mut parts = expanded.parts();
    parts.retain(|part| !part.is_empty());
    parts
}

/// What comes of a tar in which nothing is compressed: all of it as it is, in the parts that are naively found.
fn plain(bytes: &[u8]) -> Vec<Vec<u8>> {
    let expanded = proven(bytes);
    assert!(expanded.stream == bytes);
    assert_eq!(expanded.outcome, only(&[Format::Tar]));
    assert_eq!(expanded.recipe.len(), 10, "a version and a step");
    assert!(found(&expanded) == parts(bytes, MAX_DEPTH), "other parts");
    expanded.parts()
}

fn only(formats: &[Format]) -> Outcome {
    Outcome { formats: formats.to_vec(), undone: 0, known: 0, left: BTreeSet::new(), is_cut: false }
}

/// What nothing compresses, and what isn't a container.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn what_longer_members_hold_is_between_borders() {
    let (one, other, short) = (noise(1, 200_000), text(4_000), noise(2, 3_000));
    let made = Made::default()
        .entry(b'5', "folder/", b"")
        .file("folder/short", &short)
        .file("folder/one", &one)
        .file("folder/other", &other)
        .file("folder/short too", &short)
        .file("folder/last", &one);
    let bytes = made.end();
    assert!(one.len() % BLOCK > 0 && other.len() % BLOCK > 0, "something pads them");
    let found = plain(&bytes);
    assert_eq!(found.len(), 7);
    assert!(found[1] == one && found[3] == other && found[5] == one);
    assert_eq!([found[0].len(), found[2].len()], [512 + 512 + 3_072 + 512, 512 - one.len() % 512 + 512]);
    // Where something ends and something else begins there is one border.
    let expanded = proven(&bytes);
    assert_eq!(expanded.borders.len(), 7);
    assert!(!expanded.outcome.is_whole(), "it's no file by itself");
}

#[test]
fn shorter_members_stay_with_what_is_between() {
    assert_eq!(APART, SHORTEST as u64);
    for (length, is_apart) in [(SHORTEST - 1, false), (SHORTEST, true), (SHORTEST + 1, true), (0, false), (1, false)] {
        let content = noise(3, length);
        let found = plain(&Made::default().file("a", &content).file("b", b"short").end());
        assert_eq!(found.len(), if is_apart { 3 } else { 1 }, "{length}");
        assert!(!is_apart || found[1] == content);
    }
    let mut made = Made::default();
    for n in 0..3_000 {
        made = made.file("short", &noise(n, n));
    }
    assert_eq!(proven(&made.end()).borders, [0]);
}

#[test]
fn sizes_are_told_in_many_ways() {
    for size in SIZES {
        let (one, other) = (noise(4, 70_001), noise(5, 99_000));
        let found = plain(&Made::default().sized(size, &one).sized(size, &other).file("last", &one).end());
        assert_eq!(found.len(), 7, "{size:?}");
        assert!(found[1] == one && found[3] == other && found[5] == one, "{size:?}");
    }
}

#[test]
fn records_tell_of_the_next_member_only() {
    let (content, records) = (noise(6, 70_001), |records: &[Vec<u8>]| records.concat());
    let (told, other) = (record("size", "70001"), record("comment", "12 size=80000\n13 size=9"));
    let zero = header(b'0', "a", 0);
    let with = |text: &[u8]| Made::default().entry(b'x', "records", text).header(&zero).data(&content);
    // What isn't a record ends them, and what is told before it counts.
    for text in [
        told.clone(),
        records(&[record("size", "5"), other.clone(), told.clone()]),
        records(&[told.clone(), b"0 size=3\n".to_vec()]),
        records(&[told.clone(), b"999 size=3\n".to_vec()]),
        records(&[told.clone(), b"8 size=3 ".to_vec()]),
        records(&[told.clone(), b"123456789012345678901234567890 size=3\n".to_vec()]),
        records(&[told.clone(), noise(7, 40)]),
    ] {
        let expanded = proven(&with(&text).file("b", &content).end());
        let found = expanded.parts();
        assert!(found.len() == 5 && found[1] == content && found[3] == content, "{}", text.escape_ascii());
    }
    // Without a value, or with one that isn't, the header's counts: then what comes isn't a header.
    for text in [
        records(&[told.clone(), record("size", "")]),
        record("size", "-70001"),
        record("size", "70001x"),
        record("size", "99999999999999999999"),
        record("size", "9223372036854775808"),
        record("resize", "70001"),
        other,
    ] {
        assert_eq!(proven(&with(&text).file("b", &content).end()).borders, [0], "{}", text.escape_ascii());
    }
    // A long name may come between; another member, an end and other records don't get it.
    let apart = |made: Made| proven(&made.data(&content).end()).parts().contains(&content);
    let begun = || Made::default().entry(b'x', "records", &told);
    assert!(apart(begun().entry(b'L', "long", &noise(8, 600)).entry(b'g', "", &record("size", "1")).header(&zero)));
    assert!(!apart(begun().header(&header(b'5', "folder/", 0)).header(&zero)));
    assert!(!apart(begun().other(&[0; BLOCK]).header(&zero)));
    assert!(!apart(begun().entry(b'x', "records", &record("path", "a")).header(&zero)));
    // More of them than anybody reads: what comes then isn't understood.
    let most = usize::try_from(MAX_RECORDS).unwrap();
    for (length, is_read) in [(most, true), (most + 1, false)] {
        let records = [&told[..], &vec![b'x'; length - told.len()]].concat();
        assert_eq!(apart(Made::default().entry(b'x', "records", &records).header(&zero)), is_read, "{length}");
    }
}

#[test]
fn what_is_not_a_file_is_passed_over() {
    let (content, data) = (noise(9, 80_000), noise(10, 90_000));
    let follows = |made: Made| {
        let found = plain(&made.file("after", &content).end());
        assert!(found[found.len() - 2] == content);
        found
    };
    for kind in *b"gKLDMVANIE" {
        let found = follows(Made::default().entry(kind, "data", &data));
        assert_eq!(found.len(), 3, "{}", char::from(kind));
    }
    // A size that isn't one of data: the disk's, or that of what a link leads to.
    for kind in *b"123456" {
        assert_eq!(follows(Made::default().header(&header(kind, "nothing", 1 << 32))).len(), 3);
    }
    for kind in [0, b'0', b'7'] {
        let found = follows(Made::default().entry(kind, "file", &data).header(&gnu(header(b'0', "", 0))));
        assert!(found.len() == 5 && found[1] == data);
    }
    // A map of holes goes on behind the header, as often as its last byte but some says so. It looks like a header here, or a file's content.
    for blocks in 0..4 {
        let mut block = header(b'S', "sparse", data.len() as u64);
        block[482] = u8::from(blocks > 0);
        let mut made = Made::default().header(&gnu(block));
        for n in 1..=blocks {
            let mut map = if n % 2 > 0 { header(b'0', "map", 1 << 30) } else { noise(n, BLOCK) };
            map[504] = u8::from(n < blocks);
            made = made.other(&map);
        }
        let found = follows(made.data(&data));
        assert!(found.len() == 5 && found[1] == data, "{blocks}");
    }
}

#[test]
fn containers_in_it_are_expanded() {
    let rows = text(12_000);
    let plain = archive(14, 12_000, false);
    let (zipped, dump) = (gzip(&rows, 6), compressed(&plain, 6, 4096, None));
    let short = gzip(&text(300), 6);
    assert!(zipped.len() > SHORTEST && dump.len() > SHORTEST && short.len() < SHORTEST);
    let made = || Made::default().file("short.gz", &short).file("db.sql.gz", &zipped).file("db.dump", &dump);
    let bytes = made().file("inner.tar", &Made::default().file("a", &rows).end()).end();
    let expanded = proven(&bytes);
    let found = expanded.parts();
    assert!(found[1] == rows && found[3] == plain && found[6] == rows);
    assert_eq!(found.len(), 9, "what ends a tar and what follows are apart");
    assert!(found[0] == bytes[..found[0].len()] && found[0].len() == 512 + short.len().next_multiple_of(512) + 512);
    assert_eq!(expanded.outcome.formats, [Format::Tar, Format::Gzip, Format::PgDump]);
    assert_eq!((expanded.outcome.undone, expanded.outcome.left.len()), (8, 0));
    let compressed = proven(&gzip(&bytes, 6));
    assert!(compressed.stream == expanded.stream);
    assert_eq!(compressed.outcome.formats, [Format::Gzip, Format::Tar, Format::PgDump]);
    assert_eq!((compressed.outcome.undone, compressed.outcome.is_whole()), (9, false));
}

/// Photos: no stream of deflate gets shorter by them, but what a tar holds is shared with what is beside it.
#[test]
fn a_tar_of_what_does_not_shrink_is_undone() {
    let photo = noise(11, 300_000);
    assert_eq!(proven(&gzip(&photo, 6)).outcome.left, [Left::NoGain].into());
    let expanded = proven(&gzip(&Made::default().file("photo", &photo).end(), 6));
    assert!(expanded.parts()[1] == photo);
    assert_eq!((expanded.outcome.undone, expanded.outcome.left.len()), (1, 0));
}

#[test]
fn containers_are_undone_to_a_depth() {
    let mut deep = noise(12, 100_000);
    for depth in 1..=6 {
        deep = Made::default().file("deeper.tar", &deep).end();
        let expanded = proven(&deep);
        assert!(expanded.stream == deep);
        // Two parts are outside of each.
        assert_eq!(expanded.parts().len(), 1 + 2 * depth.min(4), "{depth}");
        let left = if depth > 4 { [Left::TooDeep].into() } else { BTreeSet::new() };
        assert_eq!(expanded.outcome, Outcome { left, ..only(&[Format::Tar]) });
    }
    let rows = text(12_000);
    let nested = |times: usize| (0..times).fold(gzip(&rows, 6), |inner, _| Made::default().file("a", &inner).end());
    assert!(proven(&nested(3)).parts().contains(&rows));
    let expanded = proven(&nested(4));
    assert_eq!((expanded.outcome.undone, expanded.outcome.left), (0, [Left::TooDeep].into()));
}

#[test]
fn behind_an_end_there_may_be_another() {
    let content = noise(13, 70_000);
    let made = || Made::default().file("a", &content).end();
    let found = plain(&[made(), vec![0; 50 * BLOCK], made(), made()].concat());
    assert!(found.len() == 7 && [1, 3, 5].iter().all(|at| found[*at] == content));
    // Something else stays as it is, whatever comes later.
    for other in [&b"something else"[..], &noise(14, 512), &[1]] {
        assert_eq!(plain(&[&made(), other, &made()].concat()).len(), 3);
    }
}

#[test]
fn behind_a_header_that_is_not_sound_nothing_is_looked_for() {
    let content = noise(15, 70_000);
    let bytes = Made::default().file("a", &content).file("b", &content).file("c", &content).end();
    let second = 512 + 70_144;
    assert_eq!(plain(&bytes).len(), 7);
    for at in 0..BLOCK {
        // The sum tells, but not of what stands behind its own digits.
        let is_told = !(154..156).contains(&at);
        let mut damaged = bytes.clone();
        damaged[second + at] ^= 1;
        let expanded = expand(&damaged, &[100_000]);
        assert!(expanded.stream == damaged && found(&expanded) == parts(&damaged, MAX_DEPTH), "{at}");
        assert!(!is_told || expanded.parts().len() == 3, "{at}");
    }
    // Sums that are right, of what isn't understood all the same.
    for (at, with) in [(257, &b"Ustar"[..]), (262, b"x"), (263, b"x"), (124, b"9"), (124, b"\xff"), (124, b"\x80\x01")]
    {
        let mut damaged = bytes.clone();
        damaged[second + at..][..with.len()].copy_from_slice(with);
        let block = signed(damaged[second..][..BLOCK].to_vec());
        damaged[second..][..BLOCK].copy_from_slice(&block);
        assert_eq!(plain(&damaged).len(), if at == 263 { 7 } else { 3 }, "{at}");
    }
}

#[test]
fn a_tar_may_end_anywhere() {
    let (content, rows) = (noise(16, 70_000), gzip(&text(12_000), 6));
    let records = record("size", "70000");
    let bytes = Made::default()
        .file("a", &content)
        .entry(b'x', "", &records)
        .header(&header(b'0', "b", 0))
        .data(&content)
        .file("short", b"short")
        .end();
    for length in (SNIFFED..bytes.len()).step_by(997).chain((SNIFFED..2_000).step_by(13)).chain(70_500..72_800) {
        let cut = &bytes[..length];
        let expanded = expand(cut, &[30_000]);
        assert!(expanded.stream == cut && found(&expanded) == parts(cut, MAX_DEPTH), "{length}");
        assert_eq!(expanded.outcome, only(&[Format::Tar]), "{length}");
    }
    let bytes = Made::default().file("a.gz", &rows).file("b", &content).end();
    for length in (0..bytes.len()).step_by(9_973) {
        proven(&bytes[..length]);
    }
    let expanded = proven(&bytes[..100_000]);
    assert_eq!(expanded.outcome.left, [Left::Truncated].into());
    assert!(!expanded.outcome.is_cut, "the tar is what ends, which isn't compressed");
}

const SNIFFED: usize = 512;

#[test]
fn a_tar_is_told_by_its_first_block() {
    let good = header(b'0', "a", 70_000);
    let of = |block: Vec<u8>| Format::of(&block);
    assert_eq!(of(good.clone()), Some(Format::Tar));
    assert_eq!(of([&good[..], &noise(17, 4_000)].concat()), Some(Format::Tar));
    assert_eq!(of(good[..511].to_vec()), None);
    assert_eq!(of(gnu(good.clone())), Some(Format::Tar));
    assert_eq!(of(vec![0; 1_024]), None);
    let changed = |at: usize, with: &[u8], sign: bool| {
        let mut block = good.clone();
        block[at..at + with.len()].copy_from_slice(with);
        Format::of(&if sign { signed(block) } else { block })
    };
    assert_eq!(changed(0, b"b", false), None, "the sum");
    assert_eq!(changed(0, b"b", true), Some(Format::Tar));
    assert_eq!(changed(257, &[0; 8], true), None, "of Unix V7");
    // Sums as several programs write them.
    let sum = super::header::sum(&good);
    for text in [format!("{sum:06o}\0 "), format!("{sum:06o} \0"), format!("{sum:>7o}\0"), format!("{sum:08o}")] {
        assert_eq!(changed(148, text.as_bytes(), false), Some(Format::Tar), "{text:?}");
    }
    assert_eq!(changed(148, &[0; 8], false), None);
    let largest = base256(i64::MAX as u64);
    assert_eq!(changed(124, &largest, true), Some(Format::Tar));
    assert_eq!(changed(124, &base256(1 << 63), true), None, "nobody can have so much");
    assert_eq!(changed(124, b"\x80\0\0\x01", true), None);
    assert_eq!(changed(124, &[0xff; 12], true), None);
    assert_eq!(changed(124, &[0; 12], true), Some(Format::Tar));
    // A size that nothing comes up to takes no memory, and is no error.
    for size in [base256(i64::MAX as u64), *b"777777777777"] {
        for kind in *b"0LxSgD" {
            let mut block = header(kind, "a", 0);
            block[124..136].copy_from_slice(&size);
            proven(&Made::default().file("before", b"").header(&signed(block)).data(&noise(18, 99_000)).bytes);
        }
    }
}

/// Something that may be in a tar.
#[derive(Debug, Clone)]
enum Part {
    /// Of a kind, of so many bytes, told like this.
    Member(u8, usize, usize),
    /// A header that says this of its size and of a map, whatever comes.
    Odd(u8, Vec<u8>, bool),
    Zeros(usize),
    Other(Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    let lengths = prop_oneof![0..2_000usize, SHORTEST - 2..SHORTEST + 3, 60_000..200_000usize];
    let kinds = || prop::sample::select(b"00000\x007xgKLDMVS5162".to_vec());
    let size = prop_oneof![
        Just(b"00000000000\0".to_vec()),
        Just(b"00000177777\0".to_vec()),
        Just(b"00000200000 ".to_vec()),
        Just(b"777777777777".to_vec()),
        any::<u32>().prop_map(|size| base256(size.into()).to_vec()),
        prop::collection::vec(any::<u8>(), 12),
    ];
    prop_oneof![
        6 => (kinds(), lengths, 0..SIZES.len()).prop_map(|(kind, length, size)| Part::Member(kind, length, size)),
        1 => (kinds(), size, any::<bool>()).prop_map(|(kind, size, goes_on)| Part::Odd(kind, size, goes_on)),
        1 => (0..5usize).prop_map(Part::Zeros),
        1 => prop::collection::vec(any::<u8>(), 0..600).prop_map(Part::Other),
    ]
}

fn made(parts: &[Part]) -> Vec<u8> {
    let made = parts.iter().enumerate().fold(Made::default(), |made, (n, part)| match part {
        Part::Member(b'0', length, size) => made.sized(SIZES[*size], &noise(n, *length)),
        Part::Member(b'x', length, _) => {
            made.entry(b'x', "", &[record("comment", "x"), record("size", &length.to_string())].concat())
        }
        Part::Member(kind, length, _) => made.entry(*kind, "name", &noise(n, *length)),
        Part::Odd(kind, size, goes_on) => {
            let mut block = header(*kind, "odd", 0);
            block[124..136].copy_from_slice(size);
            block[482] = u8::from(*goes_on);
            made.header(&signed(block))
        }
        Part::Zeros(blocks) => made.other(&vec![0; blocks * BLOCK]),
        Part::Other(bytes) => made.other(bytes),
    });
    made.bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parts_are_those_that_are_naively_found(
        parts_of_it in prop::collection::vec(part(), 0..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..BLOCK, any::<u8>()), 0..2),
        length in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..90_000, 1..5),
        others in prop::collection::vec(1usize..90_000, 1..4),
    ) {
        let mut bytes = [header(b'5', "folder/", 0), made(&parts_of_it)].concat();
        let headers: Vec<usize> = memchr::memmem::find_iter(&bytes, b"ustar").map(|at| at.saturating_sub(257)).collect();
        for (header, at, byte) in changes {
            let at = headers[header.index(headers.len())] + at;
            let last = bytes.len() - 1;
            bytes[at.min(last)] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        let expanded = expand(&bytes, &steps);
        prop_assert!(expanded.stream == bytes);
        prop_assert!(rebuild(&expanded.recipe, &expanded.stream, &others).unwrap() == bytes);
        if Format::of(&bytes) == Some(Format::Tar) {
            prop_assert!(found(&expanded) == parts(&bytes, MAX_DEPTH));
            // A header may have come to stand where a member's content is.
            prop_assert_eq!((expanded.outcome.formats, expanded.outcome.undone), (vec![Format::Tar], 0));
        } else {
            prop_assert_eq!(expanded.outcome, only(&[]));
        }
    }
}

proptest! {
    // What is compressed is compressed again and again.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_becomes_of_what_is_in_it_it_comes_back(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 0..4),
        length in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..90_000, 1..4),
        is_compressed: bool,
    ) {
        let rows = gzip(&text(8_000), 6);
        prop_assert!(rows.len() > SHORTEST);
        let inner = Made::default().file("c.gz", &rows).file("d", &noise(20, 66_000)).end();
        let whole = Made::default().file("a.gz", &rows).file("inner.tar", &inner).file("b", b"short").end();
        let mut bytes = if is_compressed { gzip(&whole, 6) } else { whole };
        for (at, with) in &changes {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        let expanded = expand(&bytes, &steps);
        prop_assert!(rebuild(&expanded.recipe, &expanded.stream, &[70_000]).unwrap() == bytes);
        if changes.is_empty() {
            let again = expand(&bytes, &[1 << 20]);
            prop_assert!(again.stream == expanded.stream && again.recipe == expanded.recipe);
            prop_assert_eq!(again.borders, expanded.borders);
            prop_assert_eq!(again.outcome, expanded.outcome);
        }
    }
}
