//! The subset of CBOR, and varints: taken is exactly what a second reader takes that was written by the letter of `docs/format.md`, section 1.

use super::memory;
use minicbor::{Decode, Decoder};
use nightsafe::repo::cbor;
use nightsafe::repo::codec::{Cursor, put_varint, unzigzag, zigzag};

/// Takes whatever is well-formed.
struct Anything;

impl<'b, C> Decode<'b, C> for Anything {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.skip().map(|()| Self)
    }
}

pub fn run(data: &[u8]) {
    let taken = memory::at_most(4_096, || cbor::decode::<Anything>("anything", data).is_ok());
    let mut rest = data;
    let sound = item(&mut rest, 1).is_some() && rest.is_empty();
    assert_eq!(taken, sound, "{data:02x?}");
    varint(data);
}

fn varint(data: &[u8]) {
    let mut cursor = Cursor::new("varint", data);
    let read = cursor.varint().ok();
    assert_eq!(read, by_the_letter(data), "{data:02x?}");
    if let Some(value) = read {
        let mut written = Vec::new();
        put_varint(&mut written, value);
        assert_eq!(data[..written.len()], written);
        assert_eq!(cursor.rest(), &data[written.len()..]);
        assert_eq!(zigzag(unzigzag(value)), value);
    }
}

fn by_the_letter(data: &[u8]) -> Option<u64> {
    let length = data.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let shortest = length == 1 || data[length - 1] != 0;
    let value = data[..length.min(11)].iter().rev().fold(0u128, |value, byte| value << 7 | u128::from(byte & 0x7f));
    u64::try_from(value).ok().filter(|_| shortest && length <= 10)
}

fn item(rest: &mut &[u8], depth: u32) -> Option<()> {
    let (major, argument) = head(rest)?;
    match major {
        0 | 1 => Some(()),
        2 => take(rest, argument).map(|_| ()),
        3 => take(rest, argument).and_then(|text| std::str::from_utf8(text).ok()).map(|_| ()),
        4 if depth <= 16 => (0..argument).try_for_each(|_| item(rest, depth + 1)),
        5 if depth <= 16 => {
            let mut last = None;
            (0..argument).try_for_each(|_| {
                let key = match head(rest)? {
                    (0, n) => i128::from(n),
                    (1, n) => -1 - i128::from(n),
                    _ => return None,
                };
                let ascends = last.replace(key).is_none_or(|last| last < key);
                item(rest, depth + 1).filter(|()| ascends)
            })
        }
        _ => None,
    }
}

/// The major type, and the argument in its shortest form.
fn head(rest: &mut &[u8]) -> Option<(u8, u64)> {
    let first = take(rest, 1)?[0];
    let (argument, least) = match first & 31 {
        short @ 0..=23 => (u64::from(short), 0),
        24 => (number(take(rest, 1)?), 24),
        25 => (number(take(rest, 2)?), 1 << 8),
        26 => (number(take(rest, 4)?), 1 << 16),
        27 => (number(take(rest, 8)?), 1 << 32),
        _ => return None,
    };
    (argument >= least).then_some((first >> 5, argument))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Option<&'a [u8]> {
    let (taken, later) = rest.split_at_checked(usize::try_from(n).ok()?)?;
    *rest = later;
    Some(taken)
}
