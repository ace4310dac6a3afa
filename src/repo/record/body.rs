//! The bodies of records, as CBOR.

use super::{ByAdmin, ByRun, Record};
use crate::repo::cbor::{self, Time};
use crate::repo::codec::Malformed;
use crate::repo::format::{Class, Kind, MAX_FRAME};
use crate::repo::id::{FrameId, PackId};
use crate::repo::needs::Needs;
use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};

/// A run began.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RunRecord {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// When.
    #[n(1)]
    pub started: Time,
    /// On which host.
    #[n(2)]
    pub host: String,
    /// By which program and version.
    #[n(3)]
    pub tool: String,
}

/// Foreign packs that a run relies on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pins {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// The packs.
    #[n(1)]
    pub packs: Vec<PackId>,
}

/// A run was declared dead.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stop {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// When.
    #[n(1)]
    pub time: Time,
}

/// A snapshot was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tombstone {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// When.
    #[n(1)]
    pub time: Time,
}

/// Packs were condemned.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Condemned {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// When.
    #[n(1)]
    pub time: Time,
    /// The packs.
    #[n(2)]
    pub condemned: Vec<PackId>,
}

/// Where frames are. A hint: what it says is checked when a frame is opened.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Segment {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// The packs.
    #[n(1)]
    pub packs: Vec<SegmentPack>,
}

/// A pack of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct SegmentPack {
    /// Its name.
    #[n(0)]
    pub pack: PackId,
    /// Its length in bytes.
    #[n(1)]
    pub length: u32,
    /// The length of its trailer in bytes.
    #[n(2)]
    pub trailer_length: u32,
    /// Its frames, one after the other from [`PACK_HEAD_LEN`] on.
    #[n(3)]
    pub frames: Vec<SegmentFrame>,
}

/// A frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct SegmentFrame {
    /// The frame.
    #[n(0)]
    pub id: FrameId,
    /// Its length in the pack, in bytes.
    #[n(1)]
    pub stored_length: u32,
    /// The lengths of its present chunks, added up.
    #[n(2)]
    pub raw_length: u32,
    /// Class and whether chunks are absent: [`SegmentFrame::flags`].
    #[n(3)]
    flags: u8,
}

/// Where the frames of a pack begin.
pub const PACK_HEAD_LEN: u32 = 140;
/// Bytes at a pack's end, behind the trailer.
const PACK_TAIL_LEN: u32 = 12;
/// Longest pack.
const MAX_PACK: u32 = 256 << 20;
const CLASS_BITS: u8 = 0b011;
const PARTIAL_BIT: u8 = 0b100;

impl SegmentFrame {
    /// A frame of a segment; `partial` when not all of its chunks are present.
    pub const fn new(id: FrameId, stored_length: u32, raw_length: u32, class: Class, partial: bool) -> Self {
        let flags = class.code() | if partial { PARTIAL_BIT } else { 0 };
        Self { id, stored_length, raw_length, flags }
    }

    /// Its class; `None` for one that doesn't exist, which no segment that was opened holds.
    pub const fn class(&self) -> Option<Class> {
        Class::from_code(self.flags & CLASS_BITS)
    }

    /// Whether not all of its chunks are present.
    pub const fn is_partial(&self) -> bool {
        self.flags & PARTIAL_BIT != 0
    }

    fn makes_sense(&self) -> bool {
        let known = self.flags & !(CLASS_BITS | PARTIAL_BIT) == 0 && self.class().is_some();
        known && self.raw_length as usize <= MAX_FRAME
    }
}

impl SegmentPack {
    /// Whether the frames have room in a pack of this length.
    fn makes_sense(&self) -> bool {
        let stored: u64 = self.frames.iter().map(|frame| u64::from(frame.stored_length)).sum();
        let rest = u64::from(self.trailer_length) + u64::from(PACK_HEAD_LEN + PACK_TAIL_LEN);
        self.length <= MAX_PACK
            && stored + rest <= u64::from(self.length)
            && self.frames.iter().all(SegmentFrame::makes_sense)
    }
}

impl<'b, C> Decode<'b, C> for SegmentPack {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 4)?;
        Ok(Self { pack: d.decode()?, length: d.u32()?, trailer_length: d.u32()?, frames: d.decode()? })
    }
}

impl<'b, C> Decode<'b, C> for SegmentFrame {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 4)?;
        Ok(Self { id: d.decode()?, stored_length: d.u32()?, raw_length: d.u32()?, flags: d.u8()? })
    }
}

impl Record for Segment {
    const KIND: Kind = Kind::Segment;
    const NAME: &'static str = "segment";
    const FOR_ALL: bool = false;

    fn check(&self) -> Result<(), Malformed> {
        let sensible = self.packs.iter().all(SegmentPack::makes_sense);
        if sensible { Ok(()) } else { Err(Malformed(Self::NAME)) }
    }
}

/// Says of a record what isn't in its bytes.
macro_rules! record {
    ($name:ident, $kind:ident, $what:literal, for_all: $for_all:literal) => {
        impl Record for $name {
            const KIND: Kind = Kind::$kind;
            const NAME: &'static str = $what;
            const FOR_ALL: bool = $for_all;
        }
    };
}

record!(RunRecord, Run, "run record", for_all: false);
record!(Pins, Pins, "pins", for_all: false);
record!(Stop, Stop, "stop", for_all: true);
record!(Tombstone, Forgotten, "tombstone", for_all: true);
record!(Condemned, Condemned, "condemnation", for_all: true);

impl ByRun for RunRecord {}
impl ByRun for Pins {}
impl ByRun for Segment {}
impl ByAdmin for Stop {}
impl ByAdmin for Tombstone {}
impl ByAdmin for Condemned {}
