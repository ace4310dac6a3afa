//! Tests of what is hostile: it stays bounded and comes back.

use super::fixture::{BEHIND, Made, Sizes, deflate, expand, gzip, left, noise, proven, rebuild, text};
use super::*;
use crate::chunker::expand::Expansion;
use crate::chunker::expand::habits::PATIENCE;
use crate::chunker::expand::harness::oddly;

#[test]
fn encoders_that_no_method_is_are_not_tried_for_ever() {
    let content: Vec<u8> = (0..900).flat_map(|n| format!("customer {};", n * n % 97).into_bytes()).collect();
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
    for levels in [[9, 9, 9], [9, 9, 0]] {
        let mut whole = layer.clone();
        for level in levels {
            let names = (0..16).map(|n| n.to_string());
            let made = names.fold(Made::default(), |made, name| match level {
                0 => made.stored(&name, &whole),
                _ => made.deflated(&name, &whole, level),
            });
            whole = made.bytes(b"");
        }
        let expanded = expand(Expansion::new(), &whole, &[1 << 20]);
        assert!(rebuild(&expanded) == whole);
        assert!(left(&expanded).contains(&Left::Bomb), "{:?}", expanded.outcome);
        let given = expanded.stream().len();
        assert!(given > 60 << 20 && given < 200 << 20, "{given} bytes of {}", whole.len());
        assert!(expand(Expansion::new(), &whole, &[77]) == expanded, "pieces decide");
        // What comes of gzip in it is counted, too.
        layer = gzip(&layer);
    }
}

/// One container in another, whose members each are in proportion; with noise between them, so that what may come of it grows until it's spent.
#[test]
fn many_members_of_a_container_in_another_stay_bounded() {
    let (zeros, noise) = (vec![0; 16 << 20], noise(300_000));
    let (deflated, gzipped) = (deflate(&zeros, 9), gzip(&zeros));
    let zipped = (0..12).fold(Made::default(), |made, n| {
        made.member(&n.to_string(), (8, 0), &deflated, Sizes::InHeader).stored("noise", &noise)
    });
    for inner in [zipped.bytes(b""), gzipped.repeat(9)] {
        let bytes = Made::default().stored("outermost", &inner).bytes(b"");
        let expanded = expand(Expansion::new(), &bytes, &[1 << 20]);
        assert!(rebuild(&expanded) == bytes);
        assert_eq!(left(&expanded), [Left::Bomb]);
        let given = expanded.stream().len();
        assert!(
            given > 60 << 20 && given < (64 << 20).max(50 * inner.len()) + (17 << 20),
            "{given} of {}",
            inner.len()
        );
        assert!(given + (34 << 20) > 50 * inner.len(), "{given} of {}: what is in proportion is undone", inner.len());
        let again = expand(Expansion::new(), &bytes, &[7_000, 90_000]);
        assert!(again == expanded, "pieces decide: {:?} {:?}", again.outcome, expanded.outcome);
    }
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
