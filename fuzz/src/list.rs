//! Lists of references.

use super::memory;
use nightsafe::snapshot::tree::list::{List, ListReader};
use nightsafe::snapshot::tree::reference::Reference;
use std::collections::HashSet;

/// References that are read of a list: one of a few bytes may have millions.
const MOST: usize = 1 << 12;

pub fn run(data: &[u8]) {
    // The decompressors' own memory isn't Rust's; their windows are bounded to 8 MiB each.
    let Ok(mut reader) = memory::at_most((64 << 10) + 8 * data.len(), || ListReader::new(data)) else { return };
    let (bytes, left) = (reader.bytes(), reader.left());
    assert!(left <= bytes && left <= 1 << 26 && (left == 0) == (bytes == 0));
    let mut references: Vec<Reference> = Vec::new();
    while references.len() < MOST {
        match memory::at_most(4_096, || reader.next()) {
            Some(Ok(reference)) => references.push(reference),
            Some(Err(_)) => {
                assert!(reader.next().is_none(), "it goes on behind an error");
                return;
            }
            None => break,
        }
    }
    assert!(references.iter().all(|reference| reference.count > 0 && reference.first + reference.count <= 65_535));
    if references.len() == MOST {
        return;
    }
    assert_eq!(references.len() as u64, left);
    let list = List { bytes, hash: reader.hash(), references };
    assert_eq!(List::decode(data).as_ref(), Ok(&list));
    let written = list.encode();
    assert_eq!(List::decode(&written).as_ref(), Ok(&list));
    // All but how the columns are compressed is spelt in one way: version, bytes, hash, frames, references.
    let frames = list.references.iter().map(|reference| reference.frame).collect::<HashSet<_>>().len();
    let head = 1 + varint_len(bytes) + 32 + varint_len(frames as u64) + 32 * frames + varint_len(left);
    assert_eq!(data[..head], written[..head]);
    let mut rest = &data[head..];
    for _ in 0..3 {
        let packed = usize::try_from(varint(&mut rest)).expect("it was read");
        varint(&mut rest);
        assert!(window(&rest[..packed]) <= 8 << 20, "a window of {} bytes", window(&rest[..packed]));
        rest = &rest[packed..];
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let length = rest.iter().position(|byte| byte & 0x80 == 0).expect("it was read") + 1;
    let (bytes, later) = rest.split_at(length);
    *rest = later;
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// The window that a zstd frame asks for (RFC 8878, section 3.1.1.1).
fn window(frame: &[u8]) -> u64 {
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd], "not a zstd frame");
    let descriptor = frame[4];
    if descriptor >> 5 & 1 == 0 {
        let (exponent, mantissa) = (frame[5] >> 3, u64::from(frame[5] & 7));
        let base = 1u64 << (10 + exponent);
        return base + base / 8 * mantissa;
    }
    // Its content is the window.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (width, more) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    frame[at..at + width].iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte)) + more
}

fn varint_len(value: u64) -> usize {
    (64 - value.leading_zeros() as usize).div_ceil(7).max(1)
}
