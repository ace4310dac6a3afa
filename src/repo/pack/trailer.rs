//! The sealed trailer of a pack: every frame with its table. Writers of the domain learn from it which chunks exist.

use crate::repo::cbor;
use crate::repo::codec::Malformed;
use crate::repo::format::{Class, MAX_FRAME};
use crate::repo::id::FrameId;
use crate::repo::keys::domain::IdKeys;
use crate::repo::pack::frame::SealedFrame;
use crate::repo::pack::presence::Presence;
use crate::repo::pack::table::Table;
use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};

/// Most bytes before the records.
const HEAD: usize = 16;
/// Most bytes of a record besides its table: a CBOR array of id, two lengths, and the heads of table and bitmap.
const RECORD_HEADS: usize = 1 + 2 + FrameId::LEN + 5 + 5 + 9 + 9;

/// One frame of a trailer, as stored.
#[derive(Debug, Clone, Encode)]
#[cbor(array)]
struct TrailerRecord {
    #[n(0)]
    id: FrameId,
    #[n(1)]
    stored_length: u32,
    #[n(2)]
    raw_length: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    table: Vec<u8>,
    #[cbor(n(4), with = "minicbor::bytes")]
    present: Vec<u8>,
}

impl<'b, C> Decode<'b, C> for TrailerRecord {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 5)?;
        Ok(Self {
            id: d.decode()?,
            stored_length: d.u32()?,
            raw_length: d.u32()?,
            table: d.bytes()?.to_vec(),
            present: d.bytes()?.to_vec(),
        })
    }
}

/// One frame of a trailer, its table decoded and checked against its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailerFrame {
    /// The frame's id.
    pub id: FrameId,
    /// Where it starts in the pack.
    pub offset: u32,
    /// Its length in the pack.
    pub stored_length: u32,
    /// Bytes of plaintext that are present.
    pub raw_length: u32,
    /// Its chunks.
    pub table: Table,
    /// Which chunks are present; `None`: all.
    pub present: Option<Presence>,
}

impl TrailerFrame {
    /// Whether chunk `ordinal` is present.
    pub fn holds(&self, ordinal: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present.holds(ordinal))
    }
}

/// Collects what the trailer will say.
#[derive(Default)]
pub struct TrailerBuilder {
    records: Vec<TrailerRecord>,
    /// Most bytes that they take.
    bytes: usize,
}

impl TrailerBuilder {
    /// Most bytes that the records so far take, encoded.
    pub fn most_bytes(&self) -> usize {
        HEAD + self.bytes
    }

    /// Most bytes that the record of a frame takes.
    pub fn most_bytes_of(frame: &SealedFrame) -> usize {
        RECORD_HEADS + frame.encoded_table.len() + frame.present.as_ref().map_or(0, |present| present.as_bytes().len())
    }

    /// Adds a frame that follows the ones before.
    pub fn push(&mut self, frame: &SealedFrame) {
        self.bytes += Self::most_bytes_of(frame);
        self.records.push(TrailerRecord {
            id: frame.id,
            stored_length: u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX),
            raw_length: frame.raw_length,
            table: frame.encoded_table.clone(),
            present: frame.present.as_ref().map(|present| present.as_bytes().to_vec()).unwrap_or_default(),
        });
    }

    /// The trailer's plaintext.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&self.records)
    }
}

/// Reads a trailer's plaintext. `frames_start` and `frames_end` are where the pack's frames may lie.
///
/// Rejects tables that don't hash to their ids (class secret excepted: its keys are in its frames), frames beyond the pack, lengths
/// that don't agree with the tables, and mixed classes.
pub fn decode(plain: &[u8], keys: &IdKeys, frames_start: u64, frames_end: u64) -> Result<Vec<TrailerFrame>, Malformed> {
    let malformed = || Malformed("trailer of a pack");
    let records: Vec<TrailerRecord> = cbor::decode("trailer of a pack", plain)?;
    let mut frames = Vec::with_capacity(records.len());
    let mut class = None;
    let mut offset = frames_start;
    for record in records {
        let table = Table::decode(&record.table)?;
        if *class.get_or_insert(table.class) != table.class {
            return Err(malformed());
        }
        if table.class != Class::Secret && keys.frame_id(&record.table) != record.id {
            return Err(malformed());
        }
        let present = match record.present.as_slice() {
            [] => None,
            bits => Some(Presence::from_bytes(bits, table.chunks.len()).ok_or_else(malformed)?),
        };
        let end = offset.checked_add(u64::from(record.stored_length)).filter(|&end| end <= frames_end);
        let frame = TrailerFrame {
            id: record.id,
            offset: u32::try_from(offset).map_err(|_| malformed())?,
            stored_length: record.stored_length,
            raw_length: record.raw_length,
            table,
            present,
        };
        check(&frame).ok_or_else(malformed)?;
        offset = end.ok_or_else(malformed)?;
        frames.push(frame);
    }
    if frames.is_empty() { Err(malformed()) } else { Ok(frames) }
}

/// Whether the raw length agrees with the table.
fn check(frame: &TrailerFrame) -> Option<()> {
    let chunks = frame.table.chunks.iter().enumerate();
    let raw: usize = chunks.filter(|(i, _)| frame.holds(*i)).map(|(_, chunk)| chunk.length as usize).sum();
    (raw == frame.raw_length as usize && raw <= MAX_FRAME).then_some(())
}
