use super::*;
use crate::chunker::expand::harness::{self, Expanded, member, oddly, rebuild};
use crate::chunker::expand::{Expansion, Left};
use crate::chunker::steps::in_steps;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{DeflateEncoder, GzEncoder};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{Read, Write};

/// What another program made.
struct Made {
    program: &'static str,
    bytes: &'static [u8],
    /// A recipe of it that was written once.
    recipe: &'static [u8],
    /// So many hundredths of it a recipe may take.
    most: usize,
}

macro_rules! made {
    ($program:literal, $name:literal, $most:literal) => {
        Made {
            program: $program,
            bytes: include_bytes!(concat!("../../../../tests/data/deflate/", $name, ".gz")),
            recipe: include_bytes!(concat!("../../../../tests/data/deflate/", $name, ".recipe")),
            most: $most,
        }
    };
}

/// What other programs made of one text.
const MADE: [Made; 7] = [
    made!("Go, level 1", "go-1.19-1", 18),
    made!("Go, level 6", "go-1.19-6", 4),
    made!("Node, level 6", "node-20-6", 5),
    made!("7-Zip, level 5", "7zip-5", 13),
    made!("libdeflate, level 6", "libdeflate-6", 6),
    made!("libdeflate, level 12", "libdeflate-12", 10),
    made!("zopfli", "zopfli", 11),
];

const USUAL: Search = Search { depth: 128, least: 4 };

fn proven(bytes: &[u8], steps: &[usize]) -> Expanded {
    let expanded = harness::expand(Expansion::new(), bytes, steps);
    let rebuilt = rebuild(&expanded.recipe, &expanded.stream, steps);
    assert!(rebuilt.is_ok_and(|rebuilt| rebuilt == bytes), "other bytes come back");
    expanded
}

/// Rows, with stretches of zeros and of noise.
fn content(rows: usize) -> Vec<u8> {
    let mut content = Vec::new();
    for n in 0..rows {
        let hash = blake3::hash(&n.to_le_bytes());
        writeln!(content, "{n}\t{}\tcustomer {}", &hash.to_hex()[..14], hash.as_bytes()[0]).unwrap();
        if n % 400 == 399 {
            content.resize(content.len() + n % 1_000, 0);
            content.extend(hash.as_bytes().repeat(3));
        }
    }
    content
}

/// As who flushes from time to time, which no method does.
fn flushing(bytes: &[u8], level: u32, every: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    for part in bytes.chunks(every) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn gzipped(bytes: &[u8], every: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    for part in bytes.chunks(every) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

/// The guides to a stream and what they are for; nothing if it isn't guided to, to its end.
fn guides(stream: &[u8], search: Search, steps: &[usize]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut guider, mut guides) = (Guider::new(search), Vec::new());
    for part in in_steps(stream, steps) {
        guider.push(part);
        loop {
            match guider.next() {
                Next::Block { guide, content } => guides.push((guide.to_vec(), content.to_vec())),
                Next::More => break,
                Next::End => return Some(guides),
                Next::Unproven => return None,
            }
        }
    }
    None
}

/// What guides and contents give, or why they don't.
fn guided(
    guides: &[(Vec<u8>, Vec<u8>)],
    search: Search,
    announced: usize,
    steps: &[usize],
) -> Result<Vec<u8>, &'static str> {
    let (mut guided, mut out) = (Guided::new(search), Vec::new());
    let mut each = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok::<_, Infallible>(())
    };
    // So many guides come before the content that the first of them is for.
    for blocks in guides.chunks(announced.max(1)) {
        for (guide, content) in blocks {
            let Ok(()) = guided.expect(u32::try_from(content.len()).unwrap(), guide, &mut each);
        }
        for part in blocks.iter().flat_map(|(_, content)| in_steps(content, steps)) {
            let Ok(()) = guided.push(part, &mut each);
        }
    }
    let Ok(ended) = guided.finish(&mut each);
    ended.map(|()| out)
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn what_other_programs_made_is_made_again() {
    for Made { program, bytes, most, .. } in MADE {
        let expanded = proven(bytes, &[4_000]);
        assert!(expanded.stream == gunzipped(bytes), "{program}: {:?}", expanded.outcome);
        assert!(expanded.outcome.left.is_empty(), "{program}: {:?}", expanded.outcome);
        let length = expanded.recipe.len();
        assert!(length * 100 < bytes.len() * most, "{program}: a recipe of {length} bytes for {}", bytes.len());
    }
}

#[test]
fn what_was_written_once_is_read_for_ever() {
    for Made { program, bytes, recipe, .. } in MADE {
        let rebuilt = rebuild(recipe, &gunzipped(bytes), &[5_000]);
        assert!(rebuilt.is_ok_and(|rebuilt| rebuilt == bytes), "{program}");
    }
}

#[test]
fn a_long_stream_forgets_what_is_out_of_reach() {
    // More than is kept before places move, with matches across that.
    let content = content(60_000);
    assert!(content.len() > 2 << 20);
    let bytes = gzipped(&content, 50_000);
    let expanded = proven(&bytes, &[70_000]);
    assert!(expanded.stream == content && expanded.outcome.left.is_empty(), "{:?}", expanded.outcome);
    assert!(expanded.recipe.len() * 100 < bytes.len(), "{} of {}", expanded.recipe.len(), bytes.len());
}

#[test]
fn what_guides_are_not_worth_stays() {
    let bytes = member(&oddly(&content(3_000)));
    let expanded = proven(&bytes, &[5_000]);
    assert_eq!(expanded.outcome.left, [Left::OtherEncoder].into());
    assert_eq!(expanded.stream, bytes);
}

#[test]
fn a_stream_that_ends_early_or_goes_wrong_is_made_again_up_to_there() {
    let content = content(20_000);
    let whole = gzipped(&content, 20_000);
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle..middle + 200].fill(0xff);
    // Damage may well be deflate.
    for (bytes, why) in [(&whole[..middle], [Left::Truncated].into()), (&damaged, BTreeSet::new())] {
        let expanded = proven(bytes, &[10_000]);
        let common = expanded.stream.iter().zip(&content).take_while(|(one, other)| one == other).count();
        assert!(common > content.len() / 3, "{common} of {}", content.len());
        assert!(expanded.outcome.left.is_superset(&why), "{:?}", expanded.outcome);
    }
}

#[test]
fn the_last_bits_are_looked_at() {
    // What comes behind the last block's end up to the byte's is zero, by custom alone.
    let stream = flushing(b"one, two, three, one, two, three, four", 6, 30);
    assert!(guides(&stream, USUAL, &[7]).is_some());
    let mut odd = stream;
    *odd.last_mut().unwrap() |= 0x80;
    assert!(guides(&odd, USUAL, &[7]).is_none());
}

#[test]
fn guides_that_do_not_fit_are_errors() {
    let content = content(500);
    let good = guides(&flushing(&content, 6, 4_000), USUAL, &[999]).unwrap();
    assert!(guided(&good, USUAL, 1, &[100]).is_ok());
    let (guide, first) = good[0].clone();
    let longer = [&guide[..], &[1, 2, 3, 4, 5, 6]].concat();
    assert!(guided(&[(longer, first.clone())], USUAL, 1, &[100]).is_err(), "bytes that say nothing");
    let mut stage = Guided::new(USUAL);
    let mut nowhere = |_: &[u8]| Ok::<_, Infallible>(());
    let Ok(()) = stage.push(b"content", &mut nowhere);
    assert!(stage.given().is_err(), "content without a guide");
    let mut stage = Guided::new(USUAL);
    let Ok(()) = stage.expect(u32::try_from(first.len()).unwrap(), &guide, &mut nowhere);
    let Ok(()) = stage.push(&first[1..], &mut nowhere);
    assert!(stage.given().is_err(), "content that isn't whole");
    let mut stage = Guided::new(USUAL);
    for _ in 0..600 {
        let Ok(()) = stage.expect(1, &vec![7; MAX_GUIDE], &mut nowhere);
    }
    assert!(stage.given().is_err(), "guides beyond all measure");
}

/// A file that was backed up and would not have come back, found by a review: half the header of another member held the content back, while cheap blocks before had earned more guides than a reader keeps.
#[test]
fn guides_are_bounded_from_each_block_to_each_other() {
    let inner = [gzipped(&content(9_000), 1 << 20), b"\x1f\x8b\x08\0\0".to_vec()].concat();
    let mut body = Vec::new();
    for part in inner.chunks(0xffff) {
        let length = u16::try_from(part.len()).unwrap();
        body.extend([&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), part].concat());
    }
    // Worth nothing, but cheaper than what came before made up for.
    body.extend(b"\0\0\0\xff\xff".repeat(20_000));
    body.extend(b"\x01\x05\0\xfa\xff\0\0\0\0\xff");
    // In a stream that shrinks, so that it's undone.
    let expanded = proven(&member(&body), &[100_000]);
    assert!(expanded.outcome.left.contains(&Left::OtherEncoder), "{:?}", expanded.outcome);
    assert!(expanded.recipe.len() < 500_000, "{}", expanded.recipe.len());
}

#[test]
fn many_empty_blocks_are_given_up_soon() {
    // Fixed ones have 10 bits each: so that they end with a byte there are four in five.
    let mut body = flushing(&content(300), 6, 9_000);
    body.truncate(body.len() - 2);
    body.extend([0x02, 0x08, 0x20, 0x80, 0x00].repeat(20_000));
    body.extend([3, 0]);
    let expanded = proven(&member(&body), &[100_000]);
    assert!(expanded.recipe.len() < 20_000, "{}", expanded.recipe.len());
}

/// The place itself was among the places before it once the one behind it had been looked at, so that the nearest match could not be said: found by a review.
#[test]
fn a_place_is_not_before_itself() {
    let mut matches = Matches::new(USUAL);
    matches.begin();
    matches.content.extend(b"abcdef_abcdeg_abcdef");
    assert_eq!((matches.longest(14).length, matches.longest(15).length), (6, 5));
    assert_eq!(matches.distances(14, 4).collect::<Vec<_>>(), [7, 14]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_an_encoder_does_is_made_again(
        rows in 0usize..400,
        level in 0u32..10,
        every in 1usize..9_000,
        depth in 1u16..40,
        least in 3u8..5,
        announced in 1usize..5,
        is_odd in any::<bool>(),
        steps in proptest::collection::vec(1usize..3_000, 1..4),
    ) {
        let content = content(rows);
        let stream = if is_odd { oddly(&content) } else { flushing(&content, level, every) };
        let search = Search { depth, least };
        let guides = guides(&stream, search, &steps).unwrap();
        let back: Vec<u8> = guides.iter().flat_map(|(_, content)| content.clone()).collect();
        prop_assert!(back == content);
        prop_assert!(guided(&guides, search, announced, &steps) == Ok(stream));
    }

    /// Whoever can write to a repository can write any guide: time and memory stay bounded, and nothing panics.
    #[test]
    fn any_guide_may_come(
        blocks in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..200), proptest::collection::vec(0u8..4, 0..2_000)),
            1..5,
        ),
        damage in proptest::option::of((any::<prop::sample::Index>(), 0u8..8)),
    ) {
        let mut all = Vec::new();
        if let Some((at, bit)) = damage {
            all = guides(&flushing(&content(100), 6, 1_000), USUAL, &[999]).unwrap();
            let block = at.index(all.len());
            let guide = &mut all[block].0;
            if !guide.is_empty() {
                let place = at.index(guide.len());
                guide[place] ^= 1 << bit;
            }
        }
        all.extend(blocks);
        let _ = guided(&all, USUAL, 2, &[700]);
    }
}

#[test]
fn what_is_guided_to_comes_back_wherever_it_is_damaged() {
    harness::each_damage(&gzipped(&content(30), 400));
}
