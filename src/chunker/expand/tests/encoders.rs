//! Encoders of deflate beside zlib and GNU gzip.

use super::*;
use crate::chunker::expand::codec::Codec;
use crate::chunker::expand::deflate::reader::Token;
use crate::chunker::expand::habits::Habits;
use crate::chunker::expand::harness::{inflated, member};
use crate::chunker::expand::left::Left;
use crate::chunker::expand::look::{KEPT, Look};
use crate::chunker::expand::pigz::Way;
use crate::chunker::expand::trial::{Beginning, methods_of};

/// What a method makes of bytes that arrive in pieces.
pub(super) fn made(method: Method, bytes: &[u8], steps: &[usize], flushed: bool) -> Vec<u8> {
    let mut deflater = Deflater::new(method);
    let mut compressed = Vec::new();
    let mut out = |part: &[u8]| {
        compressed.extend_from_slice(part);
        Ok::<_, Infallible>(())
    };
    for part in in_steps(bytes, steps) {
        let Ok(()) = deflater.push(part, &mut out);
    }
    if flushed {
        let Ok(()) = deflater.flush(&mut out);
    }
    let Ok(()) = deflater.finish(&mut out);
    compressed
}

fn all() -> impl Iterator<Item = Method> {
    (1..=9).flat_map(|level| {
        [
            Method::Zlib(level),
            Method::Gnu(level),
            Method::Rsyncable(level),
            Method::Pigz(level, Way::Threads),
            Method::Pigz(level, Way::Single),
            Method::Pigz(level, Way::Independent),
            Method::Miniz(level),
            Method::Memory { level, memory: 9 },
            Method::Memory { level, memory: level },
            Method::ZlibRs { level, at_once: 16 },
            Method::ZlibRs { level, at_once: 13 },
        ]
    })
}

/// Bytes that shrink somehow.
pub(super) fn some(seed: u64, letters: u8, runs: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    for at in 0..length {
        bytes[at] = if at % runs == 0 { bytes[at] % letters } else { bytes[at - at % runs] ^ u8::from(at % 7 == 0) };
    }
    bytes
}

/// Of the raw streams that gzip 1.12, pigz 2.6 (`-p 3`, `-p 1`, `-i`), PHP 8.2's `gzencode` and Python's zlib 1.2.13 made of this text.
#[test]
fn programs_made_the_same() {
    let text = text(20_000);
    let pigz = |level, way| Method::Pigz(level, way);
    let memory = |level, memory| Method::Memory { level, memory };
    for (method, hash) in [
        (Method::Gnu(1), "c89a4fad"),
        (Method::Gnu(6), "1c392e24"),
        (Method::Gnu(9), "ef27d77d"),
        (Method::Rsyncable(1), "26884fec"),
        (Method::Rsyncable(3), "05ef2bed"),
        (Method::Rsyncable(6), "b540bd6c"),
        (Method::Rsyncable(9), "d278d1b0"),
        (pigz(1, Way::Threads), "d85a3ad7"),
        (pigz(3, Way::Threads), "1bfe07a3"),
        (pigz(6, Way::Threads), "00bffd1a"),
        (pigz(9, Way::Threads), "b20c533b"),
        (pigz(1, Way::Single), "7846335d"),
        (pigz(3, Way::Single), "58dcd21b"),
        (pigz(6, Way::Single), "00bffd1a"),
        (pigz(1, Way::Independent), "eec515a8"),
        (pigz(6, Way::Independent), "671106bb"),
        (pigz(9, Way::Independent), "f4a5b0ca"),
        (memory(1, 9), "3be1ff08"),
        (memory(3, 9), "f67ead39"),
        (memory(6, 9), "3bb797ef"),
        (memory(9, 9), "94eff68c"),
        (memory(6, 1), "7aa1ef9e"),
        (memory(6, 2), "6d2a36a4"),
        (memory(6, 4), "ed13dc4b"),
        (memory(6, 7), "dd1842f6"),
    ] {
        let made = made(method, &text, &[70_000], false);
        assert_eq!(blake3::hash(&made).to_hex()[..8], *hash, "{method:?}");
    }
}

/// As [`super::what_methods_make_never_changes`], and for the same reason: a library whose new version makes other bytes must not be upgraded.
#[test]
fn what_other_methods_make_never_changes() {
    let text = [text(3_000), some(1, 200, 90, 60_000)].concat();
    let mut hasher = blake3::Hasher::new();
    let mut hashes = Vec::new();
    for method in all() {
        for flushed in [false, true] {
            let hash = blake3::hash(&made(method, &text, &[65_536], flushed));
            hasher.update(hash.as_bytes());
            hashes.push((method, flushed, hash.to_hex()[..8].to_owned()));
        }
    }
    assert_eq!(hasher.finalize().to_hex()[..16], *"a1d4036e4e01af37", "{hashes:?}");
}

#[test]
fn every_method_is_found() {
    let text = text(9_000);
    for method in all().step_by(5) {
        let body = made(method, &text, &[65_536], false);
        let expanded = proven(&member(&body));
        assert!(expanded.stream == text, "{method:?}: {:?}", expanded.outcome);
        assert!(expanded.recipe.len() < 200 && expanded.outcome.left.is_empty(), "{method:?}");
    }
}

#[test]
fn what_was_flushed_before_its_end_is_found() {
    for text in [text(20_000), text(30), Vec::new()] {
        for method in [
            Method::Zlib(6),
            Method::Zlib(9),
            Method::Miniz(6),
            Method::ZlibRs { level: 6, at_once: 16 },
            Method::ZlibRs { level: 6, at_once: 13 },
        ] {
            let body = made(method, &text, &[65_536], true);
            assert!(body.ends_with(&[0, 0, 0xff, 0xff, 3, 0]), "{method:?}");
            let whole = [member(&body), member(&body)].concat();
            let expanded = proven(&whole);
            assert!(expanded.stream == [&text[..], &text].concat(), "{method:?}: {:?}", expanded.outcome);
            assert_eq!((expanded.outcome.undone, expanded.outcome.left.len()), (2, 0), "{method:?}");
        }
    }
    // As any writer does it.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&text(50_000)).unwrap();
    encoder.flush().unwrap();
    let expanded = proven(&encoder.finish().unwrap());
    assert!(expanded.stream == text(50_000));
    // What is in it holds its first bytes back.
    let inner = made(Method::Zlib(6), b"short", &[9], true);
    let expanded = proven(&member(&made(Method::Zlib(6), &member(&inner), &[9], true)));
    assert!(expanded.stream == b"short" && expanded.outcome.left.is_empty(), "{:?}", expanded.outcome);
}

#[test]
fn a_flush_of_nothing_is_refused() {
    let step = |code: u8| [&[code][..], &[0; 8]].concat();
    let recipes = [step(29), [step(32), step(29), step(0)].concat()];
    for recipe in recipes {
        let recipe = [vec![1], recipe].concat();
        assert!(matches!(rebuild(&recipe, &[], &[1]), Err(RebuildError::Recipe(RecipeError::Misfit(_)))));
    }
}

/// The first 128 KiB of streams of GNU gzip and zlib with more memory may agree, and pigz's are zlib's.
#[test]
fn what_is_ambiguous_at_first_is_decided_later() {
    // Nothing to find in the first half MiB, so that 128 KiB hold one block of pigz, and levels don't matter.
    let mut content = vec![0; 300_000];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    for byte in &mut content {
        *byte &= 0x7f;
    }
    content.extend(text(10_000));
    for method in [Method::Pigz(9, Way::Independent), Method::Zlib(2), Method::Memory { level: 4, memory: 9 }] {
        let expanded = proven(&member(&made(method, &content, &[65_536], false)));
        assert!(expanded.stream == content, "{method:?}: {:?}", expanded.outcome);
    }
}

#[test]
fn containers_remember_what_made_their_streams() {
    let text = text(100);
    // What is no deflate of any method's: the same content, one literal at a time, in a fixed block.
    let other = {
        let mut bits = vec![true, true, false];
        let code = |symbol: usize| if symbol < 144 { (0x30 + symbol, 8) } else { (0x190 + symbol - 144, 9) };
        for (code, length) in text.iter().map(|byte| code((*byte).into())).chain([(0, 7)]) {
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        bits.chunks(8)
            .map(|bits| {
                bits.iter().rev().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit)) << (8 - bits.len())
                    >> (8 - bits.len())
            })
            .collect::<Vec<u8>>()
    };
    assert!(inflated(&other) == text);
    let mut habits = Habits::default();
    let ask = |body: &[u8], habits: &mut Habits| {
        let beginning = Beginning { original: body, content: &text, ended: true };
        let method = methods_of(beginning, Codec::Deflate(None), *habits, 1).first().copied();
        habits.learn(method, None, method.is_none().then_some(Left::OtherEncoder));
        method
    };
    let rare = Method::ZlibRs { level: 9, at_once: 16 };
    let body = made(rare, &text, &[65_536], false);
    assert!(ask(&body, &mut habits).is_some());
    for nth in 0..200 {
        assert_eq!(ask(&other, &mut habits), None);
        assert_eq!(habits.is_hopeful(), nth < 31 || (nth + 1) % 32 == 0, "{nth}");
    }
    // What made one is always tried.
    assert!(ask(&body, &mut habits).is_some() && habits.is_hopeful());
}

#[test]
fn a_look_sees_literals_and_matches() {
    let body = made(Method::Zlib(6), b"abcabcabcabc!", &[99], false);
    let look = Look::at(&body);
    let letters = b"abca".iter().map(|byte| Token::Literal(*byte));
    let expected: Vec<Token> = letters.chain([Token::Match { distance: 3, length: 8 }, Token::Literal(b'!')]).collect();
    assert_eq!((look.tokens, look.first, look.is_whole), (expected, None, true));
    let text = text(20_000);
    for (method, first) in [
        (Method::Zlib(6), 16_383),
        (Method::Memory { level: 6, memory: 9 }, 32_767),
        (Method::Memory { level: 1, memory: 3 }, 511),
        (Method::ZlibRs { level: 6, at_once: 16 }, 16_383),
    ] {
        let look = Look::at(&made(method, &text, &[65_536], false));
        assert_eq!((look.tokens.len(), look.first, look.is_whole), (KEPT, Some(first), false), "{method:?}");
    }
}

/// Where the input ends within the last 262 bytes of the window, zlib moves that once more and goes on finding matches, which GNU gzip doesn't: the engine did as GNU gzip. A property test found it.
#[test]
fn the_window_moves_at_the_end_as_zlibs_does() {
    for length in (65_250..65_560).step_by(17).chain((98_000..98_330).step_by(37)) {
        let bytes = some(2_907_447_578_526_915_460, 134, 1, length);
        for level in 1..=9 {
            let ours = made(Method::Memory { level, memory: 8 }, &bytes, &[65_536], false);
            assert!(ours == made(Method::Zlib(level), &bytes, &[65_536], false), "{length} {level}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The engine that GNU gzip shares with it makes zlib's bytes, if it's told to.
    #[test]
    fn the_engine_is_zlibs(
        seed: u64,
        letters in 1u8..=255,
        runs in 1usize..400,
        length in 0usize..220_000,
        level in 1u8..=9,
    ) {
        let bytes = some(seed, letters, runs, length);
        let ours = made(Method::Memory { level, memory: 8 }, &bytes, &[65_536], false);
        prop_assert!(ours == made(Method::Zlib(level), &bytes, &[65_536], false));
    }

    /// Whatever is compressed, however it arrives, a reader of deflate finds in it what went in.
    #[test]
    fn what_others_would_make_is_deflate(
        seed: u64,
        letters in 1u8..=255,
        runs in 1usize..400,
        length in 0usize..220_000,
        nth in 0usize..99,
        flushed: bool,
        steps in prop::collection::vec(1usize..70_000, 1..5),
    ) {
        let bytes = some(seed, letters, runs, length);
        let method = all().nth(nth).unwrap();
        let compressed = made(method, &bytes, &steps, flushed);
        prop_assert!(inflated(&compressed) == bytes);
        prop_assert!(compressed == made(method, &bytes, &[65_536], flushed));
    }

    /// And it's found, whatever it is, or some method's that makes the same; damage and all pieces come back.
    #[test]
    fn what_others_made_comes_back(
        seed: u64,
        runs in 1usize..400,
        length in 0usize..150_000,
        nth in 0usize..99,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 0..2),
        cut in prop::option::of(any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..9_000, 1..4),
    ) {
        let bytes = some(seed, 100, runs, length);
        let whole = member(&made(all().nth(nth).unwrap(), &bytes, &[65_536], false));
        let whole = damaged(&[&whole[..], &whole].concat(), &changes, cut);
        let expanded = expand(&whole, &steps);
        let rebuilt = rebuild(&expanded.recipe, &expanded.stream, &steps);
        prop_assert!(rebuilt.is_ok_and(|rebuilt| rebuilt == whole));
    }

    #[test]
    fn any_bytes_may_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let look = Look::at(&bytes);
        prop_assert!(look.tokens.len() <= KEPT);
        // And compared with any content.
        let beginning = Beginning { original: &bytes, content: &bytes, ended: false };
        let _ = methods_of(beginning, Codec::Deflate(None), Habits::default(), 2);
    }
}
