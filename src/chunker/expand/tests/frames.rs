//! Archives whose blocks are frames of LZ4 and Zstandard.

use super::*;
use ::lz4::EncoderBuilder;
use ::lz4::liblz4::{BlockChecksum, BlockMode, BlockSize, ContentChecksum};
use ::zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// Codes of the algorithms in an archive's header.
const LZ4: u8 = 2;
const ZSTD: u8 = 3;

/// Made by `pg_dump` 17.12 of one database (liblz4 1.10.0, libzstd 1.5.7, and 1.5.4).
const REAL: [&[u8]; 4] = [
    include_bytes!("../../../../tests/data/dumps/blocks-lz4-pg17.dump"),
    include_bytes!("../../../../tests/data/dumps/blocks-zstd-pg17.dump"),
    include_bytes!("../../../../tests/data/dumps/blocks-zstd-long-pg17.dump"),
    include_bytes!("../../../../tests/data/dumps/blocks-zstd-1.5.4-pg17.dump"),
];

/// As `pg_dump` does: by the row.
fn rows(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n')
}

fn lz4(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = EncoderBuilder::new()
        .checksum(ContentChecksum::NoChecksum)
        .block_checksum(BlockChecksum::NoBlockChecksum)
        .level(level)
        .build(Vec::new())
        .unwrap();
    rows(content).flat_map(|row| row.chunks(4096)).for_each(|part| encoder.write_all(part).unwrap());
    let (frame, result) = encoder.finish();
    result.unwrap();
    frame
}

fn zstd(content: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in parameters {
        context.set_parameter(*parameter).unwrap();
    }
    let mut frame = Vec::new();
    let mut room = vec![0; CCtx::out_size()];
    for row in rows(content) {
        let mut input = InBuffer::around(row);
        while input.pos() < row.len() {
            let mut output = OutBuffer::around(&mut room[..]);
            context.compress_stream(&mut output, &mut input).unwrap();
            frame.extend_from_slice(output.as_slice());
        }
    }
    loop {
        let mut output = OutBuffer::around(&mut room[..]);
        let left = context.end_stream(&mut output).unwrap();
        frame.extend_from_slice(output.as_slice());
        if left == 0 {
            return frame;
        }
    }
}

fn level(level: i32) -> Vec<CParameter> {
    vec![CParameter::CompressionLevel(level)]
}

fn long(of: i32) -> Vec<CParameter> {
    [level(of), vec![CParameter::EnableLongDistanceMatching(true)]].concat()
}

/// A way to compress, and its code.
type Way = (u8, Box<dyn Fn(&[u8]) -> Vec<u8>>);

/// Ways that `pg_dump` has.
fn ways() -> Vec<Way> {
    let lz4s = [0, 1, 3, 9].map(|level| -> Way { (LZ4, Box::new(move |content| lz4(content, level))) });
    let zstds = [level(3), level(1), level(-5), level(2), level(7), level(9), long(3)];
    let zstds = zstds.map(|of| -> Way { (ZSTD, Box::new(move |content| zstd(content, &of))) });
    lz4s.into_iter().chain(zstds).collect()
}

#[test]
fn frames_become_the_archive_without_compression() {
    let slow: [Way; 3] = [
        (LZ4, Box::new(|content| lz4(content, 12))),
        (ZSTD, Box::new(|content| zstd(content, &level(16)))),
        (ZSTD, Box::new(|content| zstd(content, &long(12)))),
    ];
    for (nth, (code, compress)) in ways().into_iter().chain(slow).enumerate() {
        let (minor, offset) = if nth % 2 == 0 { (16, Some(9)) } else { (15, None) };
        let plain = archive(minor, 20_000, nth % 3 == 0);
        let dump = compressed_by(&plain, code, &*compress, [20_000, 500_000, 4096][nth % 3], offset);
        let expanded = proven(&dump);
        assert!(expanded.stream == plain, "{nth}: another archive");
        assert_eq!(
            expanded.outcome,
            Outcome { formats: vec![Format::PgDump], undone: 7, known: 0, left: [].into(), is_cut: false },
            "{nth}"
        );
        assert!(expanded.recipe.len() < 4_000, "{} bytes of a recipe", expanded.recipe.len());
        assert!(dump.len() < plain.len() * 2 / 3);
    }
}

#[test]
fn real_archives_of_one_database_become_the_same_stream() {
    // The header tells when they were made.
    const HEAD: usize = 64;
    let all: Vec<Expanded> = REAL.iter().map(|dump| proven(dump)).collect();
    for (expanded, dump) in all.iter().zip(REAL).take(3) {
        assert!(expanded.outcome.left.is_empty() && expanded.outcome.undone > 5, "{:?}", expanded.outcome);
        assert!(expanded.stream.len() > dump.len() * 3);
        assert!(expanded.stream[HEAD..] == all[0].stream[HEAD..]);
    }
    // An older library: some tables come out, not all.
    assert!(!all[3].outcome.left.is_empty() && all[3].outcome.undone > 0, "{:?}", all[3].outcome);
}

#[test]
fn what_gains_nothing_is_undone_all_the_same() {
    let mut noise = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let plain = Made { minor: 16, compressed: false, blocks: vec![MadeBlock::Rows(vec![], 1)], with_tail: false };
    let noise = noise.into_iter().map(|byte| if byte == b'\n' { b'n' } else { byte }).collect::<Vec<u8>>();
    let blocks = vec![MadeBlock::Rows(noise.chunks(700).map(<[u8]>::to_vec).collect(), 1)];
    let plain = Made { blocks, ..plain }.bytes();
    for (code, compress) in ways() {
        let expanded = proven(&compressed_by(&plain, code, &*compress, 9_000, None));
        assert!(expanded.stream == plain);
    }
}

/// As of the other methods: a change here is a loss of what was expanded, not a snapshot to renew. A library of another version needs a code of its own in recipes.
#[test]
fn what_the_libraries_make_never_changes() {
    let text = text(8_000);
    let lz4s = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(Method::Lz4);
    let levels = (1..=19).chain([-1, -2, -5, -7, -10, -50, -100]);
    let zstds = levels.map(|level| Method::Zstd { level, long: false });
    let longs = [1, 3, 6, 9, 19].into_iter().map(|level| Method::Zstd { level, long: true });
    let mut all = blake3::Hasher::new();
    for method in lz4s.into_iter().chain(zstds).chain(longs) {
        let mut deflater = Deflater::new(method);
        let mut hasher = blake3::Hasher::new();
        let mut out = |part: &[u8]| {
            hasher.update(part);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = deflater.push(&text, &mut out);
        let Ok(()) = deflater.finish(&mut out);
        assert!(deflater.given() > 50_000, "{method:?}");
        all.update(hasher.finalize().as_bytes());
    }
    assert_eq!(all.finalize().to_hex()[..16], *"30cc0a66e48796d3");
}

#[test]
fn frames_that_pg_dump_does_not_make_stay_as_they_are() {
    let text = text(20_000);
    let plain = archive(16, 10_000, false);
    let odd = |builder: &mut EncoderBuilder| {
        let mut encoder = builder.build(Vec::new()).unwrap();
        text.chunks(10_000).for_each(|part| encoder.write_all(part).unwrap());
        encoder.finish().0
    };
    let unchecked = || {
        EncoderBuilder::new()
            .checksum(ContentChecksum::NoChecksum)
            .block_checksum(BlockChecksum::NoBlockChecksum)
            .clone()
    };
    let mut claims = zstd(&text, &level(3));
    // A window of 2 GiB.
    claims[5] = 21 << 3;
    let frames = [
        (LZ4, odd(&mut EncoderBuilder::new())),
        (LZ4, odd(unchecked().block_mode(BlockMode::Independent))),
        (LZ4, odd(unchecked().block_size(BlockSize::Max4MB))),
        (LZ4, odd(unchecked().content_size(text.len() as u64))),
        (LZ4, odd(unchecked().auto_flush(true))),
        (LZ4, zstd(&text, &level(3))),
        (LZ4, vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
        (LZ4, vec![0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0, 0xff, 0xff, 0xff, 0x7f]),
        (ZSTD, claims),
        (ZSTD, zstd(&text, &[CParameter::ChecksumFlag(true)])),
        (ZSTD, zstd(&text, &[CParameter::WindowLog(15)])),
        (ZSTD, zstd(&text, &[CParameter::WindowLog(23)])),
        (ZSTD, zstd(&text, &[CParameter::HashLog(10)])),
        (ZSTD, ::zstd::bulk::compress(&text, 3).unwrap()),
        (ZSTD, ::zstd::bulk::compress(b"", 3).unwrap()),
        (ZSTD, lz4(&text, 0)),
        (ZSTD, vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
        (ZSTD, vec![0x28, 0xb5, 0x2f, 0xfd]),
    ];
    for (nth, (code, frame)) in frames.into_iter().enumerate() {
        let dump = compressed_by(&plain, code, &|_| frame.clone(), 4096, None);
        let expanded = proven(&dump);
        // The empty frame is the one that there is for empty objects.
        assert!(expanded.outcome.undone == 0 || nth == 14, "{nth}: {:?}", expanded.outcome);
        assert!(expanded.stream.len() < dump.len() + 200, "{nth}");
    }
}

#[test]
fn frames_with_something_behind_them_come_back() {
    let plain = archive(16, 3_000, false);
    for (code, compress) in ways() {
        let expanded = proven(&compressed_by(&plain, code, &|c| [&compress(c)[..], b"more"].concat(), 4096, None));
        assert_eq!(expanded.outcome.undone, 7);
    }
}

#[test]
fn bombs_are_cut() {
    let plain = Made { minor: 16, compressed: false, blocks: vec![MadeBlock::Rows(vec![], 1)], with_tail: false };
    let plain = plain.bytes();
    let zeros = vec![0; 100 << 20];
    let frame = zstd(&zeros, &level(1));
    let expanded = proven(&compressed_by(&plain, ZSTD, &|_| frame.clone(), 4096, None));
    assert_eq!(expanded.outcome.left, [Left::Bomb].into());
    assert!(expanded.stream.len() < 66 << 20, "{}", expanded.stream.len());
    // LZ4 can't pass the ratio by much.
    let frame = lz4(&zeros, 0);
    let expanded = proven(&compressed_by(&plain, LZ4, &|_| frame.clone(), 4096, None));
    assert!(expanded.stream.len() <= 101 << 20, "{}", expanded.stream.len());
}

#[test]
fn one_large_window_is_enough() {
    let begin = |code: u8, number: u64| [&[code][..], &number.to_le_bytes()].concat();
    let (zstd, end) = (begin(21, 131_075), begin(0, 0));
    let literal = [&begin(5, 1)[..], b"x"].concat();
    let made = rebuild(&[&[1][..], &begin(20, 0), &zstd, &literal, &end, &end].concat(), b"", &[1]).unwrap();
    assert!(made.starts_with(&[0x04, 0x22, 0x4d, 0x18]) && made.len() > 20);
    assert!(rebuild(&[&[1][..], &zstd, &zstd, &literal, &end, &end].concat(), b"", &[1]).is_err());
    assert!(rebuild(&[&[1][..], &zstd, &literal, &end, &zstd, &literal, &end].concat(), b"", &[1]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_expanded_comes_back_with_frames(
        way in any::<prop::sample::Index>(),
        piece in 1_000usize..200_000,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 0..3),
        length in prop::option::of(any::<prop::sample::Index>()),
        steps in prop::collection::vec(1usize..9_000, 1..4),
        others in prop::collection::vec(1usize..90_000, 1..4),
    ) {
        let (code, compress) = ways().swap_remove(way.index(ways().len()));
        let whole = compressed_by(&archive(16, 6_000, true), code, &*compress, piece, Some(3));
        let bytes = damaged(&whole, &changes, length);
        comes_back(&bytes, (&steps, &others), changes.is_empty() && length.is_none())?;
    }

    /// Content of any kind: what one way made is made again, wherever its pieces lay.
    #[test]
    fn any_content_is_made_again(
        seed: u64,
        letters in 1u8..=255,
        runs in 1usize..3_000,
        length in 0usize..700_000,
        way in any::<prop::sample::Index>(),
    ) {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        for at in 0..length {
            bytes[at] = if at % runs == 0 { bytes[at] % letters } else { bytes[at - at % runs] ^ u8::from(at % 7 == 0) };
        }
        let plain = Made { minor: 16, compressed: false, blocks: vec![MadeBlock::Data(vec![])], with_tail: false }.bytes();
        let (code, compress) = ways().swap_remove(way.index(ways().len()));
        let frame = compress(&bytes);
        let expanded = proven(&compressed_by(&plain, code, &|_| frame.clone(), 30_000, None));
        prop_assert_eq!(expanded.outcome.left, [].into());
        prop_assert_eq!(expanded.outcome.undone, 1);
    }

    #[test]
    fn recipes_of_frames_that_do_not_fit_are_errors(
        way in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 1..3),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (code, compress) = ways().swap_remove(way.index(ways().len()));
        let dump = compressed_by(&archive(16, 500, false), code, &*compress, 4096, Some(3));
        let expanded = expand(&dump, &[1 << 20]);
        let recipe = damaged(&expanded.recipe, &changes, length);
        // Other bytes come out, or an error: no panic.
        let _ = rebuild(&recipe, &expanded.stream, &[10_000]);
        let longer = [&expanded.stream[..], b"x"].concat();
        prop_assert!(rebuild(&expanded.recipe, &longer, &[10_000]).is_err());
    }
}

#[test]
fn archives_of_frames_come_back_wherever_they_are_damaged() {
    let rows = text(8).split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).map(<[u8]>::to_vec).collect();
    let blocks = vec![MadeBlock::Rows(rows, 1), MadeBlock::Objects(vec![(5, vec![text(3)]), (7, vec![])])];
    let plain = Made { minor: 15, compressed: false, blocks, with_tail: false }.bytes();
    harness::each_damage(&compressed_by(&plain, LZ4, &|content| lz4(content, 0), 4096, Some(7)));
    harness::each_damage(&compressed_by(&plain, ZSTD, &|content| zstd(content, &level(3)), 100, None));
}
