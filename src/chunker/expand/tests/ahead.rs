//! Streams that are known before they're undone.

use super::*;
use crate::chunker::expand::harness::knowing::{all_known, expand_knowing, places, prove};
use std::collections::BTreeMap;

fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let made = Made {
        minor: 14,
        compressed: false,
        blocks: vec![
            MadeBlock::Rows(text(3_000).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(), 1),
            MadeBlock::Objects(vec![(16_400, vec![text(900)]), (16_401, vec![b"short".to_vec()])]),
            MadeBlock::Rows(vec![b"1\tone".to_vec()], 1),
        ],
        with_tail: true,
    };
    vec![
        ("made", compressed(&made.bytes(), 6, 4_096, Some(2))),
        ("chinook", include_bytes!("../../../../tests/data/dumps/chinook-night1-pg11.dump").to_vec()),
        ("lz4", include_bytes!("../../../../tests/data/dumps/blocks-lz4-pg17.dump").to_vec()),
        ("zstd", include_bytes!("../../../../tests/data/dumps/blocks-zstd-pg17.dump").to_vec()),
    ]
}

#[test]
fn what_is_proven_apart_is_believed_and_the_same_comes_of_it() {
    for (name, bytes) in archives() {
        let (plain, without) = expand_knowing(&bytes, BTreeMap::new(), &[70_000]);
        assert!(!without.learned.is_empty() && !without.contradicted, "{name}");
        let known = all_known(&bytes, &[999, 1, 50_000]);
        assert_eq!(places(&bytes, &[3, 10_000]).len(), without.asked.len(), "{name}");
        let mut by_hash: Vec<_> = known.values().map(|known| (known.hash, known.proven.to_bytes())).collect();
        let mut learned: Vec<_> = without.learned.iter().map(|one| (one.hash, one.proven.to_bytes())).collect();
        by_hash.sort_unstable();
        learned.sort_unstable();
        assert_eq!(by_hash, learned, "{name}: apart and in its turn");
        let (knowing, with) = expand_knowing(&bytes, known, &[4_000, 1, 33]);
        assert!(!with.contradicted && with.learned.is_empty(), "{name}: nothing is proven again");
        assert!(knowing.stream == plain.stream && knowing.borders == plain.borders, "{name}");
        assert_eq!(knowing.outcome, plain.outcome, "{name}");
        assert!(knowing.recipe == plain.recipe, "{name}");
        assert!(rebuild(&knowing.recipe, &knowing.stream, &[70_000]).unwrap() == bytes, "{name}");
    }
}

#[test]
fn what_is_known_is_not_compressed_again() {
    let (_, bytes) = archives().swap_remove(0);
    let mut known = all_known(&bytes, &[100_000]);
    for stream in known.values_mut() {
        // What compresses again would notice.
        stream.proven.method = Method::Zlib(1);
    }
    let (_, sheet) = expand_knowing(&bytes, known, &[100_000]);
    assert!(!sheet.contradicted && sheet.learned.is_empty());
}

#[test]
fn other_bytes_than_those_that_are_known_are_noticed() {
    for (name, bytes) in archives() {
        let known = all_known(&bytes, &[100_000]);
        let other_hash = |stream: &Trusted| Trusted { hash: [7; 32], ..*stream };
        let others = known.iter().map(|(at, stream)| (*at, other_hash(stream))).collect();
        assert!(expand_knowing(&bytes, others, &[100_000]).1.contradicted, "{name}");
        let longest = places(&bytes, &[100_000]).into_iter().max_by_key(|place| place.ends - place.begins).unwrap();
        assert!(known.contains_key(&longest.begins), "{name}");
        let middle = u64::midpoint(longest.begins, longest.ends);
        for at in [longest.begins + 5, longest.begins + 9, middle, longest.ends - 1] {
            let mut flipped = bytes.clone();
            flipped[usize::try_from(at).unwrap()] ^= 4;
            let sheet = expand_knowing(&flipped, known.clone(), &[100_000]).1;
            assert!(sheet.contradicted, "{name}: a bit at {at}");
            assert_eq!(prove(&flipped, longest, &[100_000]), None, "{name}: a bit at {at}");
            let cut = &bytes[..usize::try_from(at).unwrap()];
            assert!(expand_knowing(cut, known.clone(), &[100_000]).1.contradicted, "{name}: cut off at {at}");
        }
    }
}

#[test]
fn what_no_method_makes_is_not_proven_apart() {
    let blocks = vec![MadeBlock::Rows(vec![text(3_000)], 1)];
    let made = Made { minor: 15, compressed: false, blocks, with_tail: false };
    let by = |content: &[u8]| [&[0x78, 0x9c][..], &oddly(content), &[0; 4]].concat();
    let bytes = compressed_by(&made.bytes(), 1, &by, 4_096, None);
    assert_eq!(places(&bytes, &[100_000]).len(), 1);
    assert!(all_known(&bytes, &[100_000]).is_empty());
    for bytes in [&b""[..], b"PGDMP", &[0; 5_000], &gzip(&text(10), 6)] {
        assert!(places(bytes, &[7]).is_empty());
    }
}

#[test]
fn only_what_is_long_enough_is_told() {
    let (_, bytes) = archives().swap_remove(0);
    let mut streams = Streams::of(Format::PgDump, 1_000);
    streams.push(&bytes);
    let long = streams.found();
    assert_eq!(long.len(), 2, "a table and a large object");
    assert!(long.iter().all(|place| place.ends - place.begins >= 1_000));
}

#[test]
fn proofs_survive_as_bytes_and_nothing_else_does() {
    let (_, bytes) = archives().swap_remove(1);
    for known in all_known(&bytes, &[100_000]).values() {
        assert_eq!(Proven::from_bytes(known.proven.to_bytes()), Some(known.proven));
    }
    let good = Proven { method: Method::Zlib(6), flushed: true }.to_bytes();
    assert_eq!(Proven::from_bytes(good), Some(Proven { method: Method::Zlib(6), flushed: true }));
    for (at, byte) in [(0, 0), (0, 255), (1, 0), (1, 10), (2, 1), (9, 2)] {
        let mut bad = good;
        bad[at] = byte;
        assert_eq!(Proven::from_bytes(bad), None, "byte {at} is {byte}");
    }
}

/// The same bytes may be a member of a ZIP, which is undone from its first byte, and a block of an archive, which is undone behind a header of two: somebody can make such that are whole streams of other content each way.
/// What had been proven of one was believed of the other, and a file was stored that didn't come back.
#[test]
fn what_was_proven_of_a_member_says_nothing_of_a_block() {
    let made =
        Made { minor: 15, compressed: false, blocks: vec![MadeBlock::Rows(vec![text(300)], 1)], with_tail: false };
    let stream = zlib(&text(300), 6);
    let archive_of = |code: u8| compressed_by(&made.bytes(), code, &|_| stream.clone(), 4_096, None);
    let hashes: Vec<_> = (1..=3).map(|code| places(&archive_of(code), &[1_000])[0].hash).collect();
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    let header = [&b"PK\x03\x04\x14\0\0\0\x08\0"[..], &[0; 8]].concat();
    let size = u32::try_from(stream.len()).unwrap().to_le_bytes();
    let zip = [&header, &size[..], &size, b"\x01\0\0\0a", &stream].concat();
    let [member] = places(&zip, &[1_000])[..] else { panic!("a member") };
    assert!(!hashes.contains(&member.hash));
}

/// What has the hash that is known, and doesn't come to its end, was never proven like this.
#[test]
fn what_is_known_wrongly_is_noticed_where_it_does_not_end() {
    let made =
        Made { minor: 15, compressed: false, blocks: vec![MadeBlock::Rows(vec![text(300)], 1)], with_tail: false };
    for code in [2, 3] {
        let bytes = compressed_by(&made.bytes(), code, &|_| zlib(&text(300), 6), 4_096, None);
        let [place] = places(&bytes, &[1_000])[..] else { panic!("a block") };
        let proven = Proven { method: Method::Zlib(6), flushed: false };
        let known = BTreeMap::from([(place.begins, Trusted { hash: place.hash, proven })]);
        assert!(expand_knowing(&bytes, known, &[1_000]).1.contradicted, "{code}");
    }
}

proptest! {
    #[test]
    fn damaged_archives_come_back_or_are_contradicted(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..20_000, 1..4),
    ) {
        let (_, mut bytes) = archives().swap_remove(0);
        let known = all_known(&bytes, &[100_000]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (expanded, sheet) = expand_knowing(&bytes, known, &steps);
        let rebuilt = rebuild(&expanded.recipe, &expanded.stream, &[70_000]);
        prop_assert!(sheet.contradicted || rebuilt.is_ok_and(|rebuilt| rebuilt == bytes));
    }
}
