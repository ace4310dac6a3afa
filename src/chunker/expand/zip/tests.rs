use super::fixture::{BEHIND, Made, Sizes, deflate, expand, gzip, left, noise, proven, rebuild, text};
use super::*;
use crate::chunker::expand::harness::{each_damage, oddly};
use crate::chunker::expand::{Expansion, Format};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Write;

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
    assert_eq!(
        expanded.outcome,
        Outcome { formats: vec![Format::Zip], undone: 3, known: 0, left: BTreeSet::new(), is_cut: false }
    );
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
        let made = Made::at(time);
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

#[test]
fn a_zip_comes_back_wherever_it_is_damaged() {
    let (one, other) = (text(1, 12), text(2, 4));
    let made = Made::default()
        .deflated("one", &one, 6)
        .stored("other", &other)
        .deflated("empty", b"", 6)
        .member("piped", (8, 0), &deflate(&other, 9), BEHIND[0])
        .member("64", (8, 0), &deflate(&other, 4), Sizes::InZip64)
        .deflated("inner.gz", &gzip(&one), 9);
    each_damage(&made.bytes(b"a comment"));
}
