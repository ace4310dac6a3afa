//! Containers that end anywhere, and of which any byte is another one.

use super::*;
use crate::chunker::expand::harness::each_damage;

/// A little of everything.
fn archive(minor: u8) -> Vec<u8> {
    let rows =
        |count| text(count).split_inclusive(|byte| *byte == b'\n').map(|row| row[..row.len() - 1].to_vec()).collect();
    let blocks = vec![
        MadeBlock::Rows(rows(8), 1),
        MadeBlock::Rows(vec![], 1),
        MadeBlock::Objects(vec![(5, vec![text(3)]), (7, vec![])]),
        MadeBlock::Data(vec![text(2)]),
    ];
    Made { minor, compressed: false, blocks, with_tail: minor == 16 }.bytes()
}

/// A dump that ended just behind zlib's header was backed up and couldn't be rebuilt: bytes that had waited for the size of their piece
/// counted as pieces of other sizes where pieces are broken off. Fuzzing found it.
#[test]
fn an_archive_that_ends_behind_the_head_of_a_stream_comes_back() {
    let dump = compressed(&archive(14), 6, 4096, None);
    let head = dump.windows(2).position(|two| two == [0x78, 0x9c]).unwrap();
    for length in [head, head + 1, head + 2, head + 3] {
        let expanded = proven(&dump[..length]);
        assert_eq!((expanded.outcome.formats, expanded.outcome.undone), (vec![Format::PgDump], 0));
    }
    // The same where it goes on, as no archive does.
    let mut dump = dump;
    dump[head - 5..head].copy_from_slice(&[0, 2, 0, 0, 0]);
    dump[head + 2..head + 7].fill(0xff);
    proven(&dump);
}

#[test]
fn archives_come_back_wherever_they_are_damaged() {
    each_damage(&compressed(&archive(10), 6, 4096, None));
    each_damage(&compressed(&archive(16), 9, 50, Some(7)));
}

#[test]
fn gzip_comes_back_wherever_it_is_damaged() {
    each_damage(&[gzip(&text(12), 9), gzip(b"", 6), gzip(&text(9), 1), b"garbage".to_vec()].concat());
    each_damage(&gzip(&compressed(&archive(14), 9, 50, None), 6));
}
