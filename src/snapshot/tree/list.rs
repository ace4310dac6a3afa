//! Lists: the references of a long stream, in columns (`docs/format.md`, section 6).
//!
//! A night changes little of a database, so its list consists of few, long references, and even a fragmented one compresses well: slots and
//! ordinals mostly continue where they were left.

use crate::repo::codec::{Cursor, Malformed, put_varint, unzigzag, zigzag};
use crate::repo::format::ZSTD_MAGIC;
use crate::repo::id::FrameId;
use crate::snapshot::tree::reference::Reference;
use std::collections::{HashMap, HashSet};
use std::io::{Cursor as IoCursor, Read};

/// The version of a list.
const VERSION: u8 = 1;
/// How hard columns are compressed.
const LEVEL: i32 = 3;
/// Largest window that a column's zstd frame may ask for, as a power of two: 8 MiB, RFC 8878's recommended least.
const MAX_WINDOW_LOG: u32 = 23;
/// Most references of a list: about what a fragmented dump of 1 TB needs.
pub const MAX_REFERENCES: u64 = 1 << 26;

/// The error for anything that isn't a list.
const MALFORMED: Malformed = Malformed("list");

/// What a stream consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Bytes of the stream.
    pub bytes: u64,
    /// Content hash of the stream.
    pub hash: [u8; 32],
    /// The references, in the order of the stream.
    pub references: Vec<Reference>,
}

impl List {
    /// The list as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut frames: Vec<FrameId> = Vec::new();
        let mut places: HashMap<FrameId, Place> = HashMap::new();
        let [mut slots, mut firsts, mut counts] = [const { Vec::new() }; 3];
        let mut last_slot = 0;
        for reference in &self.references {
            let place = places.entry(reference.frame).or_insert_with(|| {
                frames.push(reference.frame);
                Place { slot: frames.len() as u64 - 1, left_at: 0 }
            });
            put_varint(&mut slots, zigzag(place.slot.wrapping_sub(last_slot).cast_signed()));
            put_varint(&mut firsts, zigzag(i64::from(reference.first) - place.left_at));
            put_varint(&mut counts, u64::from(reference.count));
            last_slot = place.slot;
            place.left_at = i64::from(reference.first) + i64::from(reference.count);
        }
        let mut out = vec![VERSION];
        put_varint(&mut out, self.bytes);
        out.extend_from_slice(&self.hash);
        put_varint(&mut out, frames.len() as u64);
        for frame in &frames {
            out.extend_from_slice(frame.as_bytes());
        }
        put_varint(&mut out, self.references.len() as u64);
        for column in [&slots, &firsts, &counts] {
            put_column(&mut out, column);
        }
        out
    }

    /// The list that `bytes` hold, all of them.
    ///
    /// Needs 40 bytes for each reference; [`ListReader`] needs none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let reader = ListReader::new(bytes)?;
        let (bytes, hash) = (reader.bytes(), reader.hash());
        let references = reader.collect::<Result<_, _>>()?;
        Ok(Self { bytes, hash, references })
    }
}

/// Where a frame stands among the frames, and where it was last left.
struct Place {
    slot: u64,
    left_at: i64,
}

fn put_column(out: &mut Vec<u8>, column: &[u8]) {
    // Compressing memory to memory fails only when memory runs out, which aborts anyway.
    let packed = zstd::bulk::compress(column, LEVEL).expect("the bound is zstd's own");
    put_varint(out, packed.len() as u64);
    put_varint(out, column.len() as u64);
    out.extend_from_slice(&packed);
}

/// Reads a list reference by reference; an iterator that ends after the first error.
///
/// Only a list whose iterator ended without an error is sound. Besides the list's own bytes it needs 40 bytes for each frame and three decompressors of at most 8 MiB, whatever
/// the list says of itself.
pub struct ListReader<'a> {
    bytes: u64,
    hash: [u8; 32],
    frames: Vec<(FrameId, u32)>,
    seen: usize,
    last_slot: u64,
    left: u64,
    columns: [Column<'a>; 3],
    done: bool,
}

impl<'a> ListReader<'a> {
    /// Reads the head of a list.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(MALFORMED.0, bytes);
        if cursor.u8()? != VERSION {
            return Err(MALFORMED);
        }
        let bytes = cursor.varint()?;
        let hash = cursor.array()?;
        let most = cursor.rest().len() / FrameId::LEN;
        let f = cursor.varint_up_to(most)?;
        let mut frames = Vec::with_capacity(f);
        for _ in 0..f {
            frames.push((FrameId::from_bytes(cursor.array()?), 0));
        }
        let ids: HashSet<FrameId> = frames.iter().map(|(id, _)| *id).collect();
        let n = cursor.varint()?;
        // Every chunk has at least a byte, and every frame at least one reference.
        if ids.len() != f || n > MAX_REFERENCES || n > bytes || (f as u64) > n || (n == 0) != (bytes == 0) {
            return Err(MALFORMED);
        }
        let columns = [Column::new(&mut cursor, n)?, Column::new(&mut cursor, n)?, Column::new(&mut cursor, n)?];
        cursor.end()?;
        Ok(Self { bytes, hash, frames, seen: 0, last_slot: 0, left: n, columns, done: false })
    }

    /// Bytes of the stream.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Content hash of the stream.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// References that haven't been read yet.
    pub const fn left(&self) -> u64 {
        self.left
    }

    fn read(&mut self) -> Result<Reference, Malformed> {
        let [slots, firsts, counts] = &mut self.columns;
        let slot = self.last_slot.checked_add_signed(unzigzag(slots.varint()?)).ok_or(MALFORMED)?;
        self.last_slot = slot;
        let slot = usize::try_from(slot).map_err(|_| MALFORMED)?;
        if slot > self.seen {
            return Err(MALFORMED);
        }
        self.seen = self.seen.max(slot + 1);
        let (frame, left_at) = self.frames.get_mut(slot).ok_or(MALFORMED)?;
        let first = i64::from(*left_at).checked_add(unzigzag(firsts.varint()?)).ok_or(MALFORMED)?;
        let first = u32::try_from(first).map_err(|_| MALFORMED)?;
        let count = u32::try_from(counts.varint()?).map_err(|_| MALFORMED)?;
        let reference = Reference { frame: *frame, first, count };
        if !reference.is_possible() {
            return Err(MALFORMED);
        }
        *left_at = first + count;
        Ok(reference)
    }

    /// Checks that everything was used up.
    fn finish(&mut self) -> Result<(), Malformed> {
        if self.seen != self.frames.len() {
            return Err(MALFORMED);
        }
        self.columns.iter_mut().try_for_each(Column::end)
    }
}

impl Iterator for ListReader<'_> {
    type Item = Result<Reference, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.left == 0 {
            self.done = true;
            return self.finish().err().map(Err);
        }
        self.left -= 1;
        let next = self.read();
        self.done = next.is_err();
        Some(next)
    }
}

/// The window that a zstd frame asks for, in bytes; `None` where none begins (RFC 8878, section 3.1.1.1).
fn window(frame: &[u8]) -> Option<u64> {
    let (descriptor, rest) = frame.strip_prefix(&ZSTD_MAGIC)?.split_first()?;
    let is_single_segment = descriptor >> 5 & 1 == 1;
    if !is_single_segment {
        let (exponent, mantissa) = (rest.first()? >> 3, rest.first()? & 7);
        let base = 1u64 << (10 + exponent);
        return Some(base + base / 8 * u64::from(mantissa));
    }
    // What is in it is the window. Its length stands behind the id of a dictionary.
    let mut length = Cursor::new(MALFORMED.0, rest);
    length.bytes([0, 1, 2, 4][usize::from(descriptor & 3)]).ok()?;
    match descriptor >> 6 {
        0 => length.u8().ok().map(u64::from),
        1 => length.u16().ok().map(|length| u64::from(length) + 256),
        2 => length.u32().ok().map(u64::from),
        _ => length.array().ok().map(u64::from_le_bytes),
    }
}

/// One column: varints out of a zstd frame that must end with them.
struct Column<'a> {
    input: zstd::stream::read::Decoder<'static, IoCursor<&'a [u8]>>,
    raw_left: u64,
    buffer: Box<[u8; 4096]>,
    at: usize,
    filled: usize,
}

impl<'a> Column<'a> {
    /// The next column of a list with `n` references.
    fn new(cursor: &mut Cursor<'a>, n: u64) -> Result<Self, Malformed> {
        let most = cursor.rest().len();
        let packed = cursor.varint_up_to(most)?;
        let raw_left = cursor.varint()?;
        let packed = cursor.bytes(packed)?;
        // A slot's difference needs at most 10 bytes; a value at least one.
        if raw_left < n || raw_left > n.saturating_mul(10) {
            return Err(MALFORMED);
        }
        // The decompressor itself would skip what isn't data, and looks at the window only where it needs one.
        if window(packed).is_none_or(|window| window > 1 << MAX_WINDOW_LOG) {
            return Err(MALFORMED);
        }
        let input = zstd::stream::read::Decoder::with_buffer(IoCursor::new(packed)).map_err(|_| MALFORMED)?;
        let mut input = input.single_frame();
        input.window_log_max(MAX_WINDOW_LOG).map_err(|_| MALFORMED)?;
        Ok(Self { input, raw_left, buffer: Box::new([0; 4096]), at: 0, filled: 0 })
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut bytes = [0; crate::repo::codec::MAX_VARINT];
        for i in 0..bytes.len() {
            bytes[i] = self.byte()?;
            if bytes[i] & 0x80 == 0 {
                return Cursor::new(MALFORMED.0, &bytes[..=i]).varint();
            }
        }
        Err(MALFORMED)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        if self.at == self.filled {
            self.filled = self.input.read(&mut self.buffer[..]).map_err(|_| MALFORMED)?;
            self.at = 0;
        }
        self.raw_left = self.raw_left.checked_sub(1).ok_or(MALFORMED)?;
        let byte = *self.buffer[..self.filled].get(self.at).ok_or(MALFORMED)?;
        self.at += 1;
        Ok(byte)
    }

    /// Checks that neither values nor compressed bytes are left.
    fn end(&mut self) -> Result<(), Malformed> {
        let nothing_decoded = self.at == self.filled && self.raw_left == 0;
        let nothing_to_decode = matches!(self.input.read(&mut self.buffer[..1]), Ok(0));
        let input = self.input.get_ref();
        let all_used = input.position() == input.get_ref().len() as u64;
        if nothing_decoded && nothing_to_decode && all_used { Ok(()) } else { Err(MALFORMED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(n: u32) -> FrameId {
        FrameId::from_bytes(*blake3::hash(&n.to_be_bytes()).as_bytes())
    }

    fn list(references: Vec<Reference>) -> List {
        let bytes = references.iter().map(|r| u64::from(r.count)).sum();
        List { bytes, hash: [7; 32], references }
    }

    fn references() -> impl Strategy<Value = Vec<Reference>> {
        let reference = (0..20u32, 0..60_000u32, 1..5_000u32);
        let built = reference.prop_map(|(n, first, count)| Reference { frame: frame(n), first, count });
        prop::collection::vec(built, 0..200)
    }

    proptest! {
        #[test]
        fn lists_survive(references in references()) {
            let list = list(references);
            prop_assert_eq!(List::decode(&list.encode()), Ok(list.clone()));
            prop_assert_eq!(list.encode(), list.encode());
        }

        #[test]
        fn a_cut_or_longer_list_is_refused(references in references(), cut in 1usize..100) {
            let bytes = list(references).encode();
            prop_assert!(List::decode(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
            prop_assert!(List::decode(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn any_change_is_answered(references in references(), at: prop::sample::Index, to: u8) {
            let mut bytes = list(references).encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(list) = List::decode(&bytes) {
                prop_assert!(list.references.iter().all(Reference::is_possible));
            }
        }
    }

    /// A list as bytes whose parts are given freely.
    fn raw(bytes: u64, frames: &[FrameId], n: u64, columns: [&[u64]; 3]) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, bytes);
        out.extend_from_slice(&[7; 32]);
        put_varint(&mut out, frames.len() as u64);
        for frame in frames {
            out.extend_from_slice(frame.as_bytes());
        }
        put_varint(&mut out, n);
        for column in columns {
            let mut raw = Vec::new();
            for &value in column {
                put_varint(&mut raw, value);
            }
            put_column(&mut out, &raw);
        }
        out
    }

    #[test]
    fn what_the_format_forbids_is_refused() {
        let (a, b) = (frame(1), frame(2));
        let ok = |bytes: Vec<u8>| List::decode(&bytes).is_ok();
        assert!(ok(raw(9, &[a, b], 2, [&[0, 2], &[0, 0], &[1, 1]])));
        assert!(!ok(raw(9, &[a, a], 2, [&[0, 2], &[0, 0], &[1, 1]])), "a frame twice");
        assert!(!ok(raw(9, &[a, b], 2, [&[2, 1], &[0, 0], &[1, 1]])), "not in order of first use");
        assert!(!ok(raw(9, &[a, b], 2, [&[0, 0], &[0, 0], &[1, 1]])), "a frame that isn't used");
        assert!(!ok(raw(9, &[a], 2, [&[0, 2], &[0, 0], &[1, 1]])), "a slot out of range");
        assert!(!ok(raw(9, &[a], 1, [&[1], &[0], &[1]])), "a slot before the first");
        assert!(!ok(raw(9, &[a], 1, [&[0], &[1], &[1]])), "a first before the first");
        assert!(!ok(raw(9, &[a], 1, [&[0], &[0], &[0]])), "a count of zero");
        assert!(!ok(raw(9, &[a], 1, [&[0], &[131_070], &[2]])), "beyond any frame");
        assert!(!ok(raw(9, &[a], 2, [&[0, 0], &[0, 0], &[1]])), "a value too few");
        assert!(!ok(raw(9, &[a], 1, [&[0], &[0], &[1, 1]])), "a value too many");
        assert!(!ok(raw(1, &[a], 2, [&[0, 0], &[0, 0], &[1, 1]])), "more references than bytes");
        assert!(!ok(raw(0, &[a], 1, [&[0], &[0], &[1]])), "references to nothing");
        assert!(!ok(raw(9, &[], 0, [&[], &[], &[]])), "bytes from nowhere");
        assert!(ok(raw(0, &[], 0, [&[], &[], &[]])));
    }

    #[test]
    fn claims_are_not_believed_before_they_are_paid_for() {
        let huge = raw(u64::MAX, &[frame(1)], MAX_REFERENCES, [&[0], &[0], &[1]]);
        assert!(ListReader::new(&huge).is_err(), "columns too short for the number of references");
        let mut frames = vec![VERSION, 9];
        frames.extend_from_slice(&[0; 32]);
        put_varint(&mut frames, u64::from(u32::MAX));
        assert!(ListReader::new(&frames).is_err(), "more frames than bytes");
    }

    #[test]
    fn zstd_frames_hold_exactly_their_column() {
        let good = raw(9, &[frame(1)], 1, [&[0], &[0], &[1]]);
        let column = zstd::bulk::compress(&[1], LEVEL).unwrap();
        let tail = [&[u8::try_from(column.len()).unwrap(), 1][..], &column].concat();
        let head = good.strip_suffix(&tail[..]).unwrap();
        let with =
            |raw_len: u8, packed: &[u8]| [head, &[u8::try_from(packed.len()).unwrap(), raw_len], packed].concat();
        assert!(List::decode(&with(1, &column)).is_ok());
        assert!(List::decode(&with(2, &column)).is_err(), "a wrong raw length");
        assert!(List::decode(&with(1, &[&column[..], &column].concat())).is_err(), "two frames");
        assert!(List::decode(&with(1, &[&column[..], &[0]].concat())).is_err(), "bytes behind the frame");
        assert!(List::decode(&with(1, &column[..column.len() - 1])).is_err(), "a cut frame");
    }

    /// The list of an empty stream has empty columns, and a decompressor makes as much of a skippable frame (RFC 8878, section 3.1.2): such a list was taken, with whatever the frame held.
    /// The fuzzer's second look at what was taken found it.
    #[test]
    fn a_skippable_frame_is_no_empty_column() {
        let good = raw(0, &[], 0, [&[], &[], &[]]);
        let column = zstd::bulk::compress(&[], LEVEL).unwrap();
        let head = good.strip_suffix(&column[..]).unwrap().strip_suffix(&[column.len().to_le_bytes()[0], 0]).unwrap();
        let with = |packed: &[u8]| [head, &[packed.len().to_le_bytes()[0], 0], packed].concat();
        assert!(List::decode(&with(&column)).is_ok());
        assert!(List::decode(&with(b"\x50\x2a\x4d\x18\x04\0\0\0data")).is_err());
        assert!(List::decode(&with(b"")).is_err(), "no frame at all");
    }

    /// Where a frame gives the length of what is in it and that fits, a decompressor doesn't look at the window: one of 16 MiB and more was taken, which other readers refuse.
    #[test]
    fn a_window_counts_where_the_length_is_known_too() {
        let with = |window: u8| {
            let mut list = vec![VERSION];
            put_varint(&mut list, 1_000);
            list.extend([7; 32]);
            list.push(1);
            list.extend_from_slice(frame(1).as_bytes());
            put_varint(&mut list, 256);
            for value in [0, 0, 1] {
                // Magic; two bytes of length; window; 256 more than this length; the last block, which repeats a byte 256 times (RFC 8878, section 3.1.1).
                let column = [&ZSTD_MAGIC[..], &[0x40, window, 0, 0, 0x03, 0x08, 0, value]].concat();
                put_varint(&mut list, column.len() as u64);
                put_varint(&mut list, 256);
                list.extend(column);
            }
            List::decode(&list)
        };
        assert_eq!(with(13 << 3).unwrap().references.len(), 256, "8 MiB");
        assert!(with(13 << 3 | 1).is_err(), "9 MiB");
        assert!(with(14 << 3).is_err(), "16 MiB");
    }

    #[test]
    fn a_night_that_changes_little_makes_a_small_list() {
        // 2,000 frames of 100 chunks; every 200th chunk of the stream is new and in one of tonight's frames.
        let mut references = Vec::new();
        for n in 0..2_000 {
            let old = |first, count| Reference { frame: frame(n), first, count };
            if n % 2 == 0 {
                references.push(old(0, 100));
            } else {
                let new = Reference { frame: frame(10_000 + n / 128), first: n / 2 % 64, count: 1 };
                references.extend([old(0, 50), new, old(51, 49)]);
            }
        }
        let list = list(references);
        let ids: HashSet<FrameId> = list.references.iter().map(|r| r.frame).collect();
        let beyond_ids = list.encode().len() - ids.len() * FrameId::LEN;
        assert!(list.references.len() == 4_000 && beyond_ids < 1_000, "{beyond_ids} bytes besides the frames' ids");
    }
}
