//! What nobody sane makes.

use super::{expand, gzip, proven};
use crate::chunker::expand::Format;
use std::io::Write as _;

/// A thousand in each other: as many levels are undone as the limit says, and the rest stays.
#[test]
fn a_thousandfold_gzip_is_undone_to_the_limit() {
    let mut bytes = b"at the bottom of it".to_vec();
    for _ in 0..1_000 {
        bytes = gzip(&bytes, 6);
    }
    let expanded = proven(&bytes);
    assert!(expanded.outcome.undone <= 4 && !expanded.outcome.left.is_empty(), "{:?}", expanded.outcome);
    assert!(expanded.stream.len() <= bytes.len() + 1_000);
}

/// PowerShell's `>` turns what a program writes into UTF-16: nothing is left to be recognised.
#[test]
fn a_dump_that_became_utf_16_is_no_container() {
    let dump = include_bytes!("../../../../tests/data/dumps/northwind-pg13.dump");
    let mangled = |little: bool| -> Vec<u8> {
        let text = String::from_utf8_lossy(dump);
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    assert_eq!(Format::of(dump), Some(Format::PgDump));
    for bytes in [mangled(true), mangled(false)] {
        let expanded = expand(&bytes, &[10_000]);
        assert!(expanded.stream == bytes && expanded.outcome.formats.is_empty(), "{:?}", expanded.outcome);
    }
}

/// 10 GB of zeros in 10 MB: a block that stands for 64 KiB of them, over and over. What it holds in the end is never made.
#[test]
fn a_bomb_of_ten_gigabytes_is_given_up_early() {
    let piece = {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(9));
        encoder.write_all(&vec![0; 16 << 20]).unwrap();
        encoder.flush().unwrap();
        encoder.get_ref().clone()
    };
    let mut bytes = gzip(b"", 6)[..10].to_vec();
    (0..640).for_each(|_| bytes.extend_from_slice(&piece));
    let expanded = proven(&bytes);
    assert!(expanded.outcome.undone == 0 && !expanded.outcome.left.is_empty(), "{:?}", expanded.outcome);
    assert!(expanded.stream.len() < (66 << 20) + bytes.len(), "{}", expanded.stream.len());
}
