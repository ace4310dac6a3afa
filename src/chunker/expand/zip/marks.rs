//! Tests of checksums: what is damaged is told, and comes back as it is.

use super::fixture::{BEHIND, Made, Sizes, deflate, expand, gzip, left, noise, proven, text};
use super::*;
use crate::chunker::expand::Expansion;
use crate::chunker::expand::harness::oddly;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

/// All ways to tell of a content.
fn all_sizes() -> impl Iterator<Item = Sizes> {
    [Sizes::InHeader, Sizes::InZip64].into_iter().chain(BEHIND)
}

/// A content of so many rows, and one of which a bit is another.
fn contents(rows: usize) -> [Vec<u8>; 2] {
    let content = text(1, rows);
    let mut flipped = content.clone();
    flipped[10_000] ^= 4;
    [content, flipped]
}

/// What remains of a ZIP with one member between sound ones, which says that it holds `told`.
fn left_of(flags: (u16, u16), data: &[u8], told: (&[u8], Sizes)) -> Vec<Left> {
    let made = Made::default().deflated("before", &text(2, 900), 6).marked("this", flags, data, told);
    let expanded = proven(&made.deflated("behind", &text(3, 900), 6).bytes(b""));
    assert!(expanded.outcome.undone >= 2, "{told:?}: what is around it is undone");
    left(&expanded)
}

#[test]
fn a_flipped_bit_in_a_member_is_told() {
    let [content, flipped] = contents(900);
    for sizes in all_sizes() {
        let of = |data: &[u8]| left_of((8, 0), data, (&content, sizes));
        assert_eq!(of(&deflate(&content, 6)), [], "{sizes:?}");
        // It was damaged before it was compressed: the stream is sound.
        assert_eq!(of(&deflate(&flipped, 6)), [Left::Damaged], "{sizes:?}");
    }
    for sizes in [Sizes::InHeader, Sizes::InZip64] {
        assert_eq!(left_of((0, 0), &content, (&content, sizes)), [], "{sizes:?}");
        assert_eq!(left_of((0, 0), &flipped, (&content, sizes)), [Left::Damaged], "{sizes:?}");
    }
    // Also of what another program compressed; long enough that guides to it aren't worth it.
    let [content, flipped] = contents(3_000);
    for sizes in [Sizes::InHeader, BEHIND[0]] {
        let of = |data: &[u8]| left_of((8, 0), data, (&content, sizes));
        assert_eq!(of(&oddly(&content)), [Left::OtherEncoder], "{sizes:?}");
        assert_eq!(of(&oddly(&flipped)), [Left::Damaged, Left::OtherEncoder], "{sizes:?}");
    }
}

/// Once, what hardly shrinks or is of another encoder was only looked at to find its end, and its not having one wasn't told.
#[test]
fn a_stream_without_an_end_is_told_whatever_made_it() {
    let noise = noise(200_000);
    for (content, why) in [(&noise, Left::NoGain), (&text(1, 9_000), Left::OtherEncoder)] {
        let packed = if why == Left::NoGain { deflate(content, 6) } else { oddly(content) };
        let told = (&content[..], Sizes::InHeader);
        assert_eq!(left_of((8, 0), &packed, told), [why]);
        assert_eq!(left_of((8, 0), &packed[..packed.len() - 300], told), [Left::Truncated, why]);
    }
    // A block of a kind that there isn't.
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&noise).unwrap();
    encoder.flush().unwrap();
    let damaged = [encoder.get_ref(), &[0xff; 100][..]].concat();
    assert_eq!(left_of((8, 0), &damaged, (&noise, Sizes::InHeader)), [Left::Damaged, Left::NoGain]);
}

#[test]
fn a_length_that_is_not_the_contents_is_told() {
    let [content, _] = contents(900);
    let packed = deflate(&content, 6);
    for sizes in all_sizes() {
        let crc = fixture::mark(&content).crc;
        let made = Made::default().member("this", (8, 0), &packed, sizes).deflated("behind", &content, 6);
        let mut bytes = made.bytes(b"");
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        // Where it's told: behind the checksum, or in an extra field, that of this member first.
        let from = memchr::memmem::find(&bytes, &crc).unwrap();
        let at = from + memchr::memmem::find(&bytes[from..], &length).unwrap();
        bytes[at] ^= 1;
        assert_eq!(left(&proven(&bytes)), [Left::Damaged], "{sizes:?}");
    }
}

#[test]
fn a_flipped_bit_of_a_checksum_is_told() {
    let [content, _] = contents(900);
    let crc = fixture::mark(&content).crc;
    for sizes in all_sizes() {
        for (method, data) in [(8, deflate(&content, 6)), (0, content.clone())] {
            if method == 0 && matches!(sizes, Sizes::Behind { .. }) {
                continue;
            }
            let mut bytes = Made::default().member("this", (method, 0), &data, sizes).bytes(b"");
            let at = memchr::memmem::find(&bytes, &crc).unwrap();
            bytes[at + 3] ^= 0x80;
            let expanded = proven(&bytes);
            assert_eq!((left(&expanded), expanded.outcome.undone), (vec![Left::Damaged], u64::from(method == 8)));
            assert!(expanded.parts[0] == content, "it's undone all the same");
        }
    }
}

/// The size of a stored member may stand in its header although a descriptor follows.
#[test]
fn a_stored_member_with_a_descriptor_is_checked_by_it() {
    let [content, flipped] = contents(900);
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    for (data, expected) in [(&content, vec![]), (&flipped, vec![Left::Damaged])] {
        let made = Made::default().marked("this", (0, 0), data, (&content, BEHIND[0])).deflated("behind", &content, 6);
        let mut bytes = made.bytes(b"");
        bytes[18..22].copy_from_slice(&length);
        bytes[22..26].copy_from_slice(&length);
        let expanded = proven(&bytes);
        assert!(expanded.parts[0] == *data && expanded.parts[1] == content);
        assert_eq!(left(&expanded), expected);
    }
}

#[test]
fn what_has_no_checksum_of_its_bytes_is_not_compared() {
    let [content, flipped] = contents(900);
    let packed = deflate(&flipped, 6);
    for sizes in all_sizes() {
        // Encrypted by a password, by AES, compressed otherwise: the checksum is that of another content.
        for (method, flags) in [(8, 1), (0, 1), (99, 1), (99, 0), (12, 0)] {
            assert_eq!(left_of((method, flags), &packed, (&content, sizes)), [Left::Unsupported], "{sizes:?}");
        }
    }
    // No descriptor where one should be: the next header follows at once.
    let mut made = Made::default();
    made = made.member("this", (8, 8), &packed, Sizes::InHeader).deflated("behind", &content, 6);
    assert_eq!(left(&proven(&made.bytes(b""))), []);
    // A folder, and a file of no bytes.
    let empty = Made::default().stored("folder/", b"").deflated("empty", b"", 6);
    assert_eq!(left(&proven(&empty.bytes(b""))), []);
    let wrong = Made::default().marked("empty", (0, 0), b"", (b"not empty", Sizes::InZip64)).bytes(b"");
    assert_eq!(left(&proven(&wrong)), [Left::Damaged]);
}

#[test]
fn members_of_containers_in_it_are_checked() {
    let [content, flipped] = contents(900);
    let inner = Made::default().marked("x", (8, 0), &deflate(&flipped, 6), (&content, BEHIND[1])).bytes(b"");
    let outer = Made::default().stored("stored.zip", &inner).bytes(b"");
    assert_eq!(left(&proven(&outer)), [Left::Damaged]);
    assert_eq!(left(&proven(&gzip(&outer))), [Left::Damaged]);
    // Cut off before the end of the member: that isn't damage of what there is.
    let cut = expand(Expansion::new(), &inner[..inner.len() / 2], &[7_000]);
    assert_eq!(left(&cut), [Left::Truncated]);
}
