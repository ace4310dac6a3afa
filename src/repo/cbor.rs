//! CBOR records: strict decoding of what `minicbor` derives (`docs/format.md`, section 1).

use crate::repo::codec::Malformed;
use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode};

/// Deepest nesting of arrays and maps.
const MAX_NESTING: usize = 16;

/// Most items of a record, itself and those in it counted: 16 bytes for each of the longest object's.
///
/// An item takes a byte of a record and up to 72 of memory (an empty text, while the array that it is in grows). Records that say something have longer ones: their length bounds them earlier.
pub const MAX_ITEMS: u64 = 1 << 24;

/// The record as CBOR.
///
/// # Panics
/// Never: writing to memory doesn't fail.
pub fn encode<T: Encode<()>>(record: &T) -> Vec<u8> {
    minicbor::to_vec(record).expect("encoding to memory can't fail")
}

/// The record that `bytes` hold, all of them.
///
/// Rejects trailing bytes, deep nesting, more than [`MAX_ITEMS`] items, indefinite lengths, integers and lengths that aren't in their shortest form, map keys that
/// aren't integers in ascending order, and all types of CBOR that the format doesn't use.
pub fn decode<'b, T: Decode<'b, ()>>(what: &'static str, bytes: &'b [u8]) -> Result<T, Malformed> {
    decode_up_to(MAX_ITEMS, what, bytes)
}

/// As [`decode`], for a record of at most so many items.
pub fn decode_up_to<'b, T: Decode<'b, ()>>(
    most_items: u64,
    what: &'static str,
    bytes: &'b [u8],
) -> Result<T, Malformed> {
    let mut scan = Decoder::new(bytes);
    well_formed(&mut scan, most_items).ok_or(Malformed(what))?;
    if scan.position() != bytes.len() {
        return Err(Malformed(what));
    }
    minicbor::decode(bytes).map_err(|_| Malformed(what))
}

/// What an open array or map still expects.
struct Open {
    items_left: u64,
    is_map: bool,
    last_key: Option<i128>,
}

/// Walks over one item without recursion; over at most so many in it, itself counted.
fn well_formed(d: &mut Decoder<'_>, most_items: u64) -> Option<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut items_left = most_items;
    loop {
        items_left = items_left.checked_sub(1)?;
        let start = d.position();
        let key_of_map = open.last().is_some_and(|top| top.is_map && top.items_left.is_multiple_of(2));
        let datatype = d.datatype().ok()?;
        if key_of_map && !is_integer(datatype) {
            return None;
        }
        let opened = match datatype {
            Type::Array => {
                let items_left = d.array().ok()??;
                shortest(items_left, d.position() - start)?;
                Some(Open { items_left, is_map: false, last_key: None })
            }
            Type::Map => {
                let pairs = d.map().ok()??;
                shortest(pairs, d.position() - start)?;
                Some(Open { items_left: pairs.checked_mul(2)?, is_map: true, last_key: None })
            }
            integer if is_integer(integer) => {
                let value = i128::from(d.int().ok()?);
                let argument = if value < 0 { -1 - value } else { value };
                shortest(u64::try_from(argument).ok()?, d.position() - start)?;
                if key_of_map {
                    let top = open.last_mut()?;
                    if top.last_key.is_some_and(|last| last >= value) {
                        return None;
                    }
                    top.last_key = Some(value);
                }
                None
            }
            Type::Bytes => {
                let length = d.bytes().ok()?.len();
                shortest(length as u64, d.position() - start - length)?;
                None
            }
            Type::String => {
                let length = d.str().ok()?.len();
                shortest(length as u64, d.position() - start - length)?;
                None
            }
            _ => return None,
        };
        if let Some(top) = open.last_mut() {
            top.items_left -= 1;
        }
        open.extend(opened);
        if open.len() > MAX_NESTING {
            return None;
        }
        while open.last().is_some_and(|top| top.items_left == 0) {
            open.pop();
        }
        if open.is_empty() {
            return Some(());
        }
    }
}

const fn is_integer(datatype: Type) -> bool {
    use Type::{I8, I16, I32, I64, Int, U8, U16, U32, U64};
    matches!(datatype, U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int)
}

/// Succeeds when `head_len`, in bytes, is the shortest in which the head of an item can give `argument`: each record has one spelling.
fn shortest(argument: u64, head_len: usize) -> Option<()> {
    let needed = match argument {
        0..24 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    };
    (head_len == needed).then_some(())
}

/// The head of an array that must have exactly `n` elements; what `minicbor` derives would skip more.
pub fn array_of(d: &mut Decoder<'_>, n: u64) -> Result<(), minicbor::decode::Error> {
    if d.array()? == Some(n) { Ok(()) } else { Err(minicbor::decode::Error::message("an array of another length")) }
}

/// Yes or no as 1 or 0, since the format has no booleans: for `#[cbor(with = "crate::repo::cbor::yes_or_no")]`.
pub mod yes_or_no {
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    /// Writes 1 or 0.
    pub fn encode<C, W: Write>(yes: &bool, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u8(u8::from(*yes))?.ok()
    }

    /// Reads 1 or 0.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<bool, DecodeError> {
        match d.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::message("neither 0 nor 1")),
        }
    }
}

/// A moment: seconds since 1970-01-01T00:00:00Z, negative before, and nanoseconds below 10⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds of that second.
    pub nanoseconds: u32,
}

impl<C> Encode<C> for Time {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.i64(self.seconds)?.u32(self.nanoseconds)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Time {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        array_of(d, 2)?;
        let time = Self { seconds: d.i64()?, nanoseconds: d.u32()? };
        if time.nanoseconds < 1_000_000_000 {
            Ok(time)
        } else {
            Err(minicbor::decode::Error::message("a second has fewer nanoseconds"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        number: u64,
        #[n(3)]
        text: Option<String>,
        #[n(7)]
        times: Vec<Time>,
    }

    proptest! {
        #[test]
        fn records_survive(number: u64, text: Option<String>, seconds: Vec<i64>) {
            let times = seconds.into_iter().map(|seconds| Time { seconds, nanoseconds: 5 }).collect();
            let sample = Sample { number, text, times };
            prop_assert_eq!(decode::<Sample>("sample", &encode(&sample)), Ok(sample));
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = decode::<Sample>("sample", &bytes);
        }
    }

    #[test]
    fn what_the_format_forbids_is_refused() {
        let ok = |bytes: &[u8]| decode::<Sample>("sample", bytes).is_ok();
        assert!(ok(&[0xa2, 0, 1, 7, 0x80]));
        assert!(ok(&[0xa3, 0, 1, 7, 0x80, 8, 9]), "unknown keys are ignored");
        assert!(!ok(&[0xa2, 0, 1, 7, 0x80, 0]), "trailing bytes");
        assert!(!ok(&[0xa2, 7, 0x80, 0, 1]), "keys out of order");
        assert!(!ok(&[0xa3, 0, 1, 0, 2, 7, 0x80]), "a key twice");
        assert!(!ok(&[0xbf, 0, 1, 7, 0x80, 0xff]), "indefinite length");
        assert!(!ok(&[0xa2, 0, 1, 7, 0x9f, 0xff]), "indefinite length of an array");
        assert!(!ok(&[0xa2, 0, 0x18, 1, 7, 0x80]), "a longer form of an integer");
        assert!(!ok(&[0xa2, 0x18, 0, 1, 7, 0x80]), "a longer form of a key");
        assert!(!ok(&[0xa2, 0, 1, 7, 0x98, 0]), "a longer form of a length");
        assert!(!ok(&[0xb8, 2, 0, 1, 7, 0x80]), "a longer form of a map's length");
        assert!(!ok(&[0xa3, 0, 1, 3, 0x78, 1, b'x', 7, 0x80]), "a longer form of a text's length");
        assert!(!ok(&[0xa3, 0, 1, 3, 0xf6, 7, 0x80]), "null for an absent field");
        assert!(!ok(&[0xa3, 0, 1, 7, 0x80, 8, 0xf4]), "a boolean");
        assert!(!ok(&[0xa3, 0, 1, 7, 0x80, 8, 0xc0, 0]), "a tag");
        assert!(!ok(&[0xa2, 0x41, 0, 1, 7, 0x80]), "a key that is no integer");
        assert!(!ok(&[0xa3, 0, 1, 3, 0x61, 0xff, 7, 0x80]), "text that isn't UTF-8");
        assert!(!ok(&[0xa2, 0, 1, 7, 0x81, 0x83, 0, 0, 0]), "an array of another length");
        let longest = [&[0xa2, 0][..], &[0x1b], &u64::MAX.to_be_bytes(), &[7, 0x80]].concat();
        assert!(ok(&longest), "the largest integer");
        let nested = |depth: usize| [&[0xa3, 0, 1, 7, 0x80, 8][..], &vec![0x81; depth - 2], &[0x80]].concat();
        assert!(ok(&nested(16)) && !ok(&nested(17)), "16 levels, the record's own included");
        let deep = [&[0xa3, 0, 1, 7, 0x80, 8][..], &[0x81; 40], &[0]].concat();
        assert!(!ok(&deep), "deep nesting");
        assert!(!ok(&[0xa2, 0, 1, 7, 0x81, 0x82, 0, 0x1a, 0x3b, 0x9a, 0xca, 0]), "10⁹ nanoseconds");
    }

    /// Behind a first key that was an integer, one of another type went unnoticed: in maps of fields that aren't known, which nothing else looks into. A second reader of the same subset,
    /// fuzzed beside this one, refused it.
    #[test]
    fn every_key_of_a_map_must_be_an_integer() {
        let ok = |inner: &[u8]| decode::<Sample>("sample", &[&[0xa3, 0, 1, 7, 0x80, 8][..], inner].concat()).is_ok();
        assert!(ok(&[0xa2, 0, 1, 1, 1]));
        assert!(!ok(&[0xa2, 0, 1, 0x61, b'x', 1]), "a text");
        assert!(!ok(&[0xa2, 0, 1, 0x41, b'x', 1]), "bytes");
        assert!(!ok(&[0xa2, 0, 1, 0x81, 0, 1]), "an array");
        assert!(!ok(&[0xa1, 0x61, b'x', 1]), "also the first");
    }

    /// An array of empty texts, a byte each, took 24 bytes of memory for each of them: 18 GiB for an object of 256 MiB, while it grew. A host that may only write could have ended every
    /// restore so. Found by measuring what the fuzzed decoders hold.
    #[test]
    fn more_items_than_a_record_can_need_are_refused() {
        let texts = |n: u32| [&[0x9a][..], &n.to_be_bytes(), &vec![0x60; n as usize]].concat();
        let most = u32::try_from(MAX_ITEMS).unwrap();
        assert_eq!(decode::<Vec<String>>("texts", &texts(most)), Err(Malformed("texts")));
        assert_eq!(decode::<Vec<String>>("texts", &texts(70_000)).map(|texts| texts.len()), Ok(70_000));
        let up_to = |most| decode_up_to::<Vec<Time>>(most, "times", &[0x82, 0x82, 0, 0, 0x82, 0, 0]).is_ok();
        assert!(up_to(7) && !up_to(6), "two times of three items, and the array");
    }
}
