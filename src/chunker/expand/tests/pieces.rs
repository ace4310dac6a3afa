//! Pieces of an archive that no program writes.

use super::*;

/// A row isn't passed on before its end, and sizes wait for it: an archive of pieces that are a byte or two long was backed up, and rebuilding refused to keep as many sizes.
#[test]
fn pieces_that_are_too_small_for_an_archive_come_back() {
    for (length, flushed, is_undone) in [(500_000, false, true), (2_000_000, false, false), (2_500_000, true, false)] {
        let mut row = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut row);
        for byte in &mut row {
            *byte = *byte & 63 | 64; // so that it's one line, and shrinks
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(1));
        for part in row.chunks(40_000) {
            encoder.write_all(part).unwrap();
            if flushed {
                // It's guided to, and tells sizes with each block.
                encoder.flush().unwrap();
            }
        }
        let stream = encoder.finish().unwrap();
        let made = Made { minor: 14, compressed: true, blocks: vec![MadeBlock::Rows(vec![], 1)], with_tail: false };
        let mut dump = made.bytes();
        let end = dump.split_off(dump.len() - 5);
        for piece in in_steps(&stream, &[1, 2]) {
            dump.extend([&[0, u8::try_from(piece.len()).unwrap(), 0, 0, 0], piece].concat());
        }
        dump.extend(end);
        let expanded = proven(&dump);
        assert_eq!(expanded.outcome.undone, u64::from(is_undone), "{length}: {:?}", expanded.outcome.left);
    }
}
