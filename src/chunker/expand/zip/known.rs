//! Members that are known before they're undone.

use super::fixture::{Made, Sizes, deflate, text};
use crate::chunker::expand::harness::knowing::{all_known, expand_knowing, places};
use crate::chunker::expand::harness::{gzip, rebuild};
use crate::chunker::expand::{Format, Streams};
use std::collections::BTreeMap;

fn made() -> Vec<u8> {
    let (one, other) = (text(1, 9_000), text(2, 700));
    Made::default()
        .deflated("one", &one, 6)
        .stored("other", &other)
        .deflated("also", &other, 1)
        .deflated("dump.gz", &gzip(&one, 9), 9)
        .member("64", (8, 0), &deflate(&other, 4), Sizes::InZip64)
        .deflated("empty", b"", 6)
        .bytes(b"a comment")
}

#[test]
fn members_that_are_known_are_not_proven_again() {
    let bytes = made();
    let (plain, without) = expand_knowing(&bytes, BTreeMap::new(), &[70_000]);
    assert_eq!((without.learned.len(), without.contradicted), (5, false));
    assert_eq!(places(&bytes, &[1, 700]).len(), 5);
    assert_eq!(all_known(&bytes, &[999, 1, 5_000]).len(), 5, "each by itself");
    // As the ones before it had it: of a short stream more than one method may be true.
    let learned = |hash| without.learned.iter().find(|stream| stream.hash == hash).copied();
    let known = places(&bytes, &[100]).iter().filter_map(|place| Some((place.begins, learned(place.hash)?))).collect();
    let (knowing, with) = expand_knowing(&bytes, known, &[4_000, 1, 33]);
    assert!(!with.contradicted && with.learned.is_empty());
    assert!(knowing.stream == plain.stream && knowing.recipe == plain.recipe && knowing.borders == plain.borders);
    assert_eq!(knowing.outcome, plain.outcome);
}

#[test]
fn members_that_changed_meanwhile_are_noticed() {
    let bytes = made();
    let known = all_known(&bytes, &[100_000]);
    for (begins, stream) in &known {
        let place = places(&bytes, &[100_000]).into_iter().find(|place| place.begins == *begins).unwrap();
        assert_eq!(place.hash, stream.hash);
        for at in [place.begins, u64::midpoint(place.begins, place.ends), place.ends - 1] {
            let mut flipped = bytes.clone();
            flipped[usize::try_from(at).unwrap()] ^= 8;
            assert!(expand_knowing(&flipped, known.clone(), &[100_000]).1.contradicted, "a bit at {at}");
        }
    }
}

/// A header may tell of more than there is: what stands behind the stream is no part of it, and such a member is proven in its turn.
#[test]
fn what_headers_tell_wrongly_is_not_known() {
    let content = text(4, 2_000);
    let longer = [&deflate(&content, 6)[..], b"something else"].concat();
    let bytes =
        Made::default().member("long", (8, 0), &longer, Sizes::InHeader).deflated("two", &content, 6).bytes(b"");
    assert_eq!((places(&bytes, &[50]).len(), all_known(&bytes, &[50]).len()), (2, 1));
    let (expanded, sheet) = expand_knowing(&bytes, all_known(&bytes, &[50]), &[1_000]);
    assert!(!sheet.contradicted);
    assert!(rebuild(&expanded.recipe, &expanded.stream, &[70_000]).unwrap() == bytes);
    // What was written into a pipe tells sizes behind its members.
    let piped = Made::default().member("a", (8, 0), &deflate(&content, 6), super::fixture::BEHIND[0]).bytes(b"");
    assert_eq!(Format::of(&piped), Some(Format::Zip));
    assert_eq!(places(&piped, &[100]), []);
}

#[test]
fn what_is_not_compressed_need_not_be_looked_at() {
    let picture = vec![7; 50_000];
    let bytes = Made::default().stored("picture", &picture).deflated("one", &text(1, 900), 6).bytes(b"");
    let (mut streams, mut at, mut passed) = (Streams::of(Format::Zip, 0), 0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + 700);
        streams.push(&bytes[at..end]);
        let idle = usize::try_from(streams.idle()).unwrap();
        // Not all at once.
        let jump = idle.min(30_000);
        streams.pass_over(jump as u64);
        (at, passed) = (end + jump, passed + jump);
    }
    assert!(passed > 45_000, "{passed}");
    assert_eq!(streams.found(), places(&bytes, &[1_000]));
}
