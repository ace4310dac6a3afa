//! What the tests of several modules need.

use super::bundle::{Opened, ReadKeys, Sharing, WriteKeys, create_repository};

/// The keys of a new repository.
pub(crate) fn repository() -> (WriteKeys, ReadKeys) {
    match create_repository().new_full().open() {
        Ok(Opened::Full(write, read)) => (write, read),
        _ => panic!("a new full bundle is one"),
    }
}

/// A new write-only credential in a domain of its own.
pub(crate) fn write_only(read: &ReadKeys) -> WriteKeys {
    match read.new_write_only(Sharing::Alone).open() {
        Ok(Opened::WriteOnly(write)) => write,
        _ => panic!("a new write-only bundle is one"),
    }
}

/// The bytes that hex digits stand for.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The hex digits of bytes.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
