use super::*;
use crate::chunker::expand::{Expansion, Format, Inner, Rebuilder};
use crate::chunker::steps::in_steps;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write;

/// How a member tells its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizes {
    InHeader,
    /// In the header, in 64 bits.
    InZip64,
    /// Behind the member.
    Behind {
        signed: bool,
        wide: bool,
    },
}

const BEHIND: [Sizes; 4] = [
    Sizes::Behind { signed: true, wide: false },
    Sizes::Behind { signed: true, wide: true },
    Sizes::Behind { signed: false, wide: false },
    Sizes::Behind { signed: false, wide: true },
];

/// Writes ZIP.
#[derive(Default)]
struct Made {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
    /// What changes with each night.
    time: u32,
}

impl Made {
    fn stored(self, name: &str, content: &[u8]) -> Self {
        self.member(name, (0, 0), content, Sizes::InHeader)
    }

    fn deflated(self, name: &str, content: &[u8], level: u32) -> Self {
        self.member(name, (8, 0), &deflate(content, level), Sizes::InHeader)
    }

    fn member(mut self, name: &str, (method, flags): (u16, u16), data: &[u8], sizes: Sizes) -> Self {
        let length = data.len() as u64;
        let short = u32::try_from(length).unwrap();
        let flags = flags | if matches!(sizes, Sizes::Behind { .. }) { 8 } else { 0 };
        let (told, extra) = match sizes {
            Sizes::InHeader => (short, Vec::new()),
            Sizes::InZip64 => (u32::MAX, [&[1, 0, 16, 0][..], &length.to_le_bytes(), &length.to_le_bytes()].concat()),
            Sizes::Behind { .. } => (0, Vec::new()),
        };
        let mut header = b"PK\x03\x04\x14\0".to_vec();
        header.extend([flags.to_le_bytes(), method.to_le_bytes()].concat());
        header.extend([self.time, 0x1234_5678, told, told].iter().flat_map(|number| number.to_le_bytes()));
        header.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        header.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        header.extend([name.as_bytes(), &extra].concat());
        self.directory.extend([b"PK\x01\x02\x14\0", &header[4..28], &[0; 16], name.as_bytes()].concat());
        self.bytes.extend([&header, data].concat());
        if let Sizes::Behind { signed, wide } = sizes {
            self.bytes.extend(if signed { &b"PK\x07\x08crc."[..] } else { b"crc." });
            for _ in 0..2 {
                self.bytes.extend(if wide { length.to_le_bytes().to_vec() } else { short.to_le_bytes().to_vec() });
            }
        }
        self.members += 1;
        self
    }

    /// Bytes that are no member.
    fn other(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// The central directory and its end.
    fn end(&self, comment: &[u8]) -> Vec<u8> {
        let mut end = [&self.directory[..], b"PK\x05\x06\0\0\0\0"].concat();
        end.extend([self.members.to_le_bytes(), self.members.to_le_bytes()].concat());
        end.extend(
            [self.directory.len(), self.bytes.len()].iter().flat_map(|n| u32::try_from(*n).unwrap().to_le_bytes()),
        );
        end.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        [&end, comment].concat()
    }

    fn bytes(&self, comment: &[u8]) -> Vec<u8> {
        [self.bytes.clone(), self.end(comment)].concat()
    }
}

fn deflate(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As no method does: its blocks end elsewhere.
fn oddly(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    for part in bytes.chunks(bytes.len().div_ceil(5)) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn text(seed: usize, rows: usize) -> Vec<u8> {
    let row =
        |n: usize| format!("{n};{};customer {}\n", &blake3::hash(&(seed + n).to_le_bytes()).to_hex()[..9], n % 97);
    (0..rows).map(row).collect::<String>().into_bytes()
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// What comes of bytes: the stream in parts between its borders.
#[derive(Debug, PartialEq, Eq)]
struct Expanded {
    parts: Vec<Vec<u8>>,
    recipe: Vec<u8>,
    outcome: Outcome,
}

impl Expanded {
    fn stream(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

fn expand(mut expansion: Expansion, bytes: &[u8], steps: &[usize]) -> Expanded {
    let (mut parts, mut recipe) = (vec![Vec::new()], Vec::new());
    let mut each = |inner: Inner<'_>| {
        match inner {
            Inner::Border if parts.last().unwrap().is_empty() => {}
            Inner::Border => parts.push(Vec::new()),
            Inner::Bytes(bytes) => parts.last_mut().unwrap().extend_from_slice(bytes),
        }
        Ok::<_, Infallible>(())
    };
    for part in in_steps(bytes, steps) {
        let Ok(()) = expansion.push(part, &mut each);
        recipe.extend(expansion.take_recipe());
    }
    let Ok((rest, outcome)) = expansion.finish(&mut each);
    recipe.extend(rest);
    Expanded { parts, recipe, outcome }
}

fn rebuild(expanded: &Expanded) -> Vec<u8> {
    let mut rebuilder = Rebuilder::new(&expanded.recipe[..]);
    let mut bytes = Vec::new();
    let mut out = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<_, Infallible>(())
    };
    for part in in_steps(&expanded.stream(), &[70_000]) {
        rebuilder.push(part, &mut out).unwrap();
    }
    rebuilder.finish(&mut out).unwrap();
    bytes
}

/// Expands, and insists that the bytes come back, and that pieces decide nothing.
fn proven(bytes: &[u8]) -> Expanded {
    let expanded = expand(Expansion::new(), bytes, &[100_000]);
    assert!(rebuild(&expanded) == bytes, "other bytes come back");
    assert!(expand(Expansion::new(), bytes, &[1, 7, 4_000]) == expanded, "pieces decide");
    expanded
}

fn left(expanded: &Expanded) -> Vec<Left> {
    expanded.outcome.left.iter().copied().collect()
}

#[test]
fn the_stream_is_what_members_hold_and_the_central_directory() {
    let (one, other, picture) = (text(1, 9_000), text(2, 500), noise(40_000));
    let made = Made::default()
        .deflated("one", &one, 6)
        .stored("folder/", b"")
        .stored("other", &other)
        .deflated("empty", b"", 6)
        .deflated("also", &other, 9)
        .stored("picture", &picture);
    let expanded = proven(&made.bytes(b"a comment"));
    assert!(expanded.parts == [one, other.clone(), other, picture, made.end(b"a comment")]);
    assert_eq!(expanded.outcome, Outcome { formats: vec![Format::Zip], undone: 3, left: BTreeSet::new() });
    assert!(!expanded.outcome.is_whole(), "it's no file by itself");
    assert!(expanded.recipe.len() < 600, "{}", expanded.recipe.len());
}

#[test]
fn sizes_stand_in_many_places() {
    let content = text(3, 3_000);
    for level in [1, 6, 9] {
        for sizes in [Sizes::InHeader, Sizes::InZip64].into_iter().chain(BEHIND) {
            let mut made = Made::default();
            for name in ["a", "b"] {
                made = made.member(name, (8, 0x800), &deflate(&content, level), sizes);
            }
            // Nothing, in a stream of two bytes, of which a descriptor can be mistaken for a longer one.
            made = made.member("empty", (8, 0), &deflate(b"", level), sizes);
            made = made.member("c", (8, 0), &deflate(&content, level), sizes);
            let expanded = proven(&made.bytes(b""));
            assert!(expanded.parts == [&content[..], &content, &content, &made.end(b"")], "{sizes:?}");
            assert_eq!((expanded.outcome.undone, left(&expanded)), (4, vec![]));
        }
    }
}

#[test]
fn what_is_stored_without_a_size_goes_on_to_the_next_header() {
    let content = text(4, 3_000);
    for sizes in BEHIND {
        let made = Made::default()
            .member("stored", (0, 0), &content, sizes)
            .member("deflated", (8, 0), &deflate(&content, 6), sizes)
            .member("last", (0, 0), &content, sizes);
        let expanded = proven(&made.bytes(b""));
        let [stored, deflated, last] = &expanded.parts[..] else { panic!("{} parts", expanded.parts.len()) };
        assert!(stored.starts_with(&content) && stored.len() <= content.len() + 24);
        assert!(*deflated == content && last.starts_with(&content) && last.ends_with(&made.end(b"")));
    }
}

#[test]
fn what_is_not_understood_stays_and_what_follows_is_expanded() {
    let content = text(5, 3_000);
    let body = oddly(&content);
    let packed = deflate(&content, 6);
    // A block of a kind that there isn't.
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&content).unwrap();
    encoder.flush().unwrap();
    let damaged = [encoder.get_ref(), &[0xff; 5_000][..]].concat();
    for (method, flags, data, why, undone) in [
        (8, 1, &packed, Some(Left::Unsupported), false),
        (12, 0, &packed, Some(Left::Unsupported), false),
        (9, 0, &packed, Some(Left::Unsupported), false),
        (0, 1, &packed, Some(Left::Unsupported), false),
        (8, 0, &body, Some(Left::OtherEncoder), false),
        (8, 0, &deflate(&noise(9_000), 6), Some(Left::NoGain), false),
        (8, 0, &damaged, Some(Left::Damaged), false),
        (8, 0, &packed[..9_000].to_vec(), Some(Left::Truncated), false),
        (8, 0, &[&packed[..], b"more than the stream"].concat(), None, true),
    ] {
        for sizes in [Sizes::InHeader, BEHIND[0]] {
            let made = Made::default().member("odd", (method, flags), data, sizes).deflated("good", &content, 6);
            let (bytes, name) = (made.bytes(b""), format!("{method} {flags} {why:?} {sizes:?}"));
            let expanded = expand(Expansion::new(), &bytes, &[100_000]);
            assert!(rebuild(&expanded) == bytes, "{name}: other bytes come back");
            if why == Some(Left::Truncated) && sizes != Sizes::InHeader {
                continue; // What comes then is part of the stream.
            }
            assert_eq!(left(&expanded), why.into_iter().collect::<Vec<_>>(), "{name}");
            assert_eq!(expanded.outcome.undone, 1 + u64::from(undone), "{name}");
            let [.., good, end] = &expanded.parts[..] else { panic!("{name}") };
            assert!(*good == content && *end == made.end(b""), "{name}");
            // As it is, without its header, so that its times don't matter.
            assert!(undone || expanded.parts[0].starts_with(data), "{name}");
        }
    }
}

#[test]
fn only_the_recipe_knows_times() {
    let contents = [text(6, 2_000), noise(30_000), text(7, 2_000)];
    let night = |time, last: &[u8]| {
        let made = Made { time, ..Made::default() };
        let made = made.deflated("a", &contents[0], 6).stored("b", &contents[1]);
        let made = made.member("c", (8, 0), &deflate(&contents[1], 6), BEHIND[0]);
        proven(&made.member("d", (8, 0), &oddly(&contents[0]), Sizes::InHeader).deflated("e", last, 6).bytes(b"")).parts
    };
    let (one, other) = (night(1, &contents[2]), night(99, &contents[0]));
    assert!(one[..4] == other[..4], "members that are the same are stored the same");
    assert!(one[4] == contents[2] && other[4] == contents[0]);
}

#[test]
fn containers_in_it_are_expanded() {
    let content = text(8, 4_000);
    let inner = Made::default().deflated("x", &content, 6).stored("y", &gzip(&content));
    let inner_bytes = inner.bytes(b"");
    let outer = Made::default().stored("stored.zip", &inner_bytes).deflated("deflated.zip", &inner_bytes, 6);
    let expanded = proven(&gzip(&outer.stored("a.gz", &gzip(&content)).bytes(b"")));
    let end = inner.end(b"");
    assert!(expanded.parts[..7] == [&content[..], &content, &end, &content, &content, &end, &content]);
    assert_eq!(expanded.outcome.formats, [Format::Gzip, Format::Zip]);
    let mut deep = inner_bytes;
    for _ in 0..8 {
        deep = Made::default().stored("deeper.zip", &deep).bytes(b"");
    }
    assert_eq!(left(&proven(&deep)), [Left::TooDeep]);
}

#[test]
fn a_zip_behind_a_program_is_found() {
    let content = text(9, 3_000);
    // Programs that unpack know the signature, too.
    let program = [&b"\x7fELF"[..], &noise(50_000), SIGNATURE_LOOKALIKE, &noise(3_000), b"PK\x03"].concat();
    let made = Made::default().deflated("a", &content, 6).stored("b", &content);
    let bytes = [&program[..], &made.bytes(b"")].concat();
    assert_eq!(Format::of(&bytes), None);
    assert_eq!(Format::behind(&bytes[..16], &bytes[bytes.len() - 200..]), Some(Format::Zip));
    for steps in [&[1_000_000][..], &[1, 3, 5_000]] {
        let expanded = expand(Expansion::of(Some(Format::Zip)), &bytes, steps);
        assert!(rebuild(&expanded) == bytes);
        assert!(expanded.parts == [&program[..], &content, &content, &made.end(b"")]);
    }
    let none = expand(Expansion::of(Some(Format::Zip)), &program, &[999]);
    assert!(none.stream() == program && rebuild(&none) == program);
    assert!(proven(&bytes).stream() == bytes, "nobody has looked at its end");
}

const SIGNATURE_LOOKALIKE: &[u8] = b"PK\x03\x04PK\x01\x02 unzip: cannot find or open PK";

#[test]
fn a_zip_behind_a_program_is_told_by_both_ends() {
    let zip = Made::default().stored("a", b"content").bytes(b"a comment PK\x05\x06 of many bytes, more than there are");
    for head in [&b"MZ\x90"[..], b"\x7fELF\x02", b"#!/usr/bin/env python3\n"] {
        assert_eq!(Format::behind(head, &zip), Some(Format::Zip));
        assert_eq!(Format::behind(head, &zip[..zip.len() - 1]), None);
        assert_eq!(Format::behind(head, &[&zip[..], b"x"].concat()), None);
        assert_eq!(Format::behind(head, b"PK\x05\x06"), None);
        assert_eq!(Format::behind(head, b""), None);
    }
    assert_eq!(Format::behind(b"M", &zip), None);
}

#[test]
fn what_is_not_a_member_stays_between_those_that_are() {
    let content = text(10, 2_000);
    let hole = noise(5_000);
    let made = Made::default().deflated("a", &content, 6).other(&hole).deflated("b", &content, 9);
    let expanded = proven(&[made.bytes(b""), made.bytes(b"twice")].concat());
    let parts = [&content[..], &hole, &content, &made.end(b""), &content, &hole, &content, &made.end(b"twice")];
    assert!(expanded.parts == parts);
    for bytes in [
        &b"PK\x05\x06"[..],
        b"PK\x07\x08PK\x03\x04",
        b"PK00PK\x03\x04",
        b"PK\x03\x04",
        b"PK\x03\x04\x14\0\0\0\x07\0aaaaaa",
    ] {
        let bytes = [bytes, &hole].concat();
        let expanded = proven(&bytes);
        assert!(expanded.stream() == bytes, "{bytes:?}");
    }
}

#[test]
fn encoders_that_no_method_is_are_not_tried_for_ever() {
    let content = text(11, 300);
    let odd = oddly(&content);
    let mut made = Made::default();
    for n in 0..PATIENCE + 10 {
        made = made.member(&n.to_string(), (8, 0), &odd, BEHIND[n as usize % 4]);
    }
    // One of those that are passed over, one that is tried, one behind it.
    made = made.deflated("passed over", &content, 6);
    for n in 0..PATIENCE - 11 {
        made = made.member(&n.to_string(), (8, 0), &odd, Sizes::InHeader);
    }
    let expanded = proven(&made.deflated("tried", &content, 6).deflated("and", &content, 6).bytes(b""));
    assert_eq!((expanded.outcome.undone, left(&expanded)), (2, vec![Left::OtherEncoder]));
}

#[test]
fn bombs_stay_bounded() {
    // Streams out of proportion, each for itself.
    let zeros = deflate(&vec![0; 70 << 20], 9);
    let member = |made: Made, name: &str| made.member(name, (8, 0), &zeros, Sizes::InHeader);
    let bytes = member(member(Made::default(), "a"), "b").bytes(b"");
    let expanded = expand(Expansion::new(), &bytes, &[1 << 20]);
    assert!(rebuild(&expanded) == bytes);
    assert_eq!(left(&expanded), [Left::Bomb]);
    assert!(expanded.stream().len() < 132 << 20);
    // Containers in containers, each in proportion: 16 of 16 of 16 of 16 MiB.
    let mut layer = Made::default().deflated("zeros", &vec![0; 16 << 20], 9).bytes(b"");
    for _ in 0..3 {
        let mut made = Made::default();
        for n in 0..16 {
            made = made.deflated(&n.to_string(), &layer, 9);
        }
        layer = made.bytes(b"");
    }
    let expanded = expand(Expansion::new(), &layer, &[1 << 20]);
    assert!(rebuild(&expanded) == layer);
    assert!(left(&expanded).contains(&Left::Bomb), "{:?}", expanded.outcome);
    let given = expanded.stream().len();
    assert!(given > 64 << 20 && given < 200 << 20, "{given} bytes of {}", layer.len());
    assert!(expand(Expansion::new(), &layer, &[77]) == expanded, "pieces decide");
}

/// David Fifield's: members quote the headers of those behind them, so that all end in the same kernel. Read from front to back the first one is all there is.
#[test]
fn members_that_overlap_are_one() {
    let kernel = deflate(&vec![0; 4 << 20], 9);
    let mut bytes = kernel;
    for n in 0..50u8 {
        let header = |length: usize| {
            let mut header = b"PK\x03\x04\x14\0\0\0\x08\0........".to_vec();
            header.extend([length, 0].iter().flat_map(|size| u32::try_from(*size).unwrap().to_le_bytes()));
            [&header[..], &[1, 0, 0, 0, n]].concat()
        };
        // A block that is stored and not the last one holds the header before.
        if n > 0 {
            let length = u16::try_from(header(0).len()).unwrap();
            bytes = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &bytes].concat();
        }
        bytes = [header(bytes.len()), bytes].concat();
    }
    let expanded = proven(&bytes);
    assert!(expanded.stream().len() < 5 << 20, "{:?}", expanded.outcome);
}

#[test]
fn there_are_only_so_many_members() {
    let (content, empty) = (text(12, 900), Made::default().stored("", b"").bytes);
    let made = Made::default().deflated("last", &content, 6).deflated("too many", &content, 6);
    let bytes = [empty.repeat(usize::try_from(MAX_MEMBERS - 1).unwrap()), made.bytes(b"")].concat();
    let expanded = expand(Expansion::new(), &bytes, &[1 << 20]);
    assert!(rebuild(&expanded) == bytes);
    assert_eq!((expanded.outcome.undone, left(&expanded)), (1, vec![Left::Bomb]));
    assert!(expanded.parts[0] == content && expanded.parts.len() == 2);
}

/// One of everything.
fn some_of_all(sizes: Sizes) -> Vec<u8> {
    let content = text(13, 1_500);
    let inner = Made::default().deflated("x", &content, 1).stored("y", &gzip(&content)).bytes(b"inner");
    Made::default()
        .member("a", (8, 0), &deflate(&content, 6), sizes)
        .member("b", (0, 0), &inner, Sizes::InHeader)
        .member("c", (8, 2), &deflate(&inner, 9), sizes)
        .member("d", (0, 0), &content[..700], sizes)
        .other(b"\0\0\0a hole")
        .member("e", (8, 0), &oddly(&content[..5_000]), sizes)
        .member("f", (8, 1), &noise(900), sizes)
        .deflated("g", &content, 6)
        .bytes(b"a comment")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_becomes_of_a_zip_it_comes_back(
        sizes in prop::sample::select([&[Sizes::InHeader, Sizes::InZip64][..], &BEHIND].concat()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 0..4),
        // Where headers are: a byte there does more than one of a stream.
        in_headers in prop::collection::vec((any::<prop::sample::Index>(), 0usize..34, any::<u8>()), 0..3),
        length in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        moved in prop::option::weighted(0.3, any::<[prop::sample::Index; 3]>()),
        steps in prop::collection::vec(1usize..9_000, 1..4),
        of_program: bool,
    ) {
        let whole = some_of_all(sizes);
        let mut bytes = whole.clone();
        for (at, with) in &changes {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        let headers: Vec<usize> = memchr::memmem::find_iter(&whole, b"PK").collect();
        for (header, offset, byte) in &in_headers {
            let at = headers[header.index(headers.len())] + offset;
            bytes[at.min(whole.len() - 1)] = *byte;
        }
        if let Some([from, to, length]) = moved {
            let from = from.index(bytes.len());
            let part = bytes[from..bytes.len().min(from + length.index(3_000))].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..to, part);
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        let begun = || if of_program { Expansion::of(Some(Format::Zip)) } else { Expansion::new() };
        let expanded = expand(begun(), &bytes, &steps);
        prop_assert!(rebuild(&expanded) == bytes);
        if bytes == whole {
            prop_assert_eq!(&expand(begun(), &bytes, &[1 << 20]), &expanded);
            prop_assert!(expanded.outcome.undone > 5);
        }
    }

    #[test]
    fn anything_between_signatures_comes_back(
        parts in prop::collection::vec(
            prop_oneof![
                Just(b"PK\x03\x04".to_vec()),
                Just(b"PK\x03\x04\x14\0\0\0\0\0....crc.\x05\0\0\0\x05\0\0\0\x01\0\0\0".to_vec()),
                Just(b"PK\x03\x04\x14\0\x08\0\x08\0....crc.\0\0\0\0\0\0\0\0\x01\0\0\0".to_vec()),
                Just(b"PK\x07\x08crc.\x02\0\0\0\0\0\0\0".to_vec()),
                Just(b"PK\x01\x02".to_vec()),
                Just(b"PK".to_vec()),
                Just(vec![3, 0]),
                Just(deflate(b"some content", 6)),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
            0..40,
        ),
        steps in prop::collection::vec(1usize..50, 1..4),
    ) {
        let bytes = parts.concat();
        let begun = || Expansion::of(Some(Format::Zip));
        let expanded = expand(begun(), &bytes, &steps);
        prop_assert!(rebuild(&expanded) == bytes);
        if !expanded.outcome.left.contains(&Left::Damaged) {
            prop_assert_eq!(&expand(begun(), &bytes, &[1 << 20]), &expanded);
        }
    }
}
