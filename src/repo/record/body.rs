//! The bodies of records, as CBOR.

use super::{ByAdmin, ByRun, Record};
use crate::repo::cbor::{self, Time};
use crate::repo::codec::Malformed;
use crate::repo::format::{Class, Kind, MAX_FRAME};
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::pack::presence::Presence;
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
    /// Whether there was no manifest to forget: the run was declared dead before it committed. A grace has nothing to bring back then.
    #[cbor(n(2), with = "crate::repo::cbor::yes_or_no")]
    pub dead: bool,
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
    /// Packs that hold the copies which made those in condemned packs superfluous: nobody else may condemn them.
    #[n(3)]
    pub kept: Vec<PackId>,
    /// The snapshots that the pruner marked. The next one misses those that are neither listed nor forgotten.
    #[n(4)]
    pub census: Vec<RunId>,
}

/// What is said of a snapshot, or of packs, after they were written. Notes are only ever added; one that no longer counts is withdrawn by another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Note {
    /// Features that are needed to use this.
    #[n(0)]
    pub needs: Needs,
    /// When.
    #[n(1)]
    pub time: Time,
    /// The snapshot that it is about.
    #[n(2)]
    pub snapshot: Option<RunId>,
    /// Tags that the snapshot gets.
    #[n(3)]
    pub tags: Vec<String>,
    /// Tags of its manifest that don't count any more. Those that notes gave are taken away by withdrawing these.
    #[n(4)]
    pub untags: Vec<String>,
    /// Whether the snapshot is protected by this note.
    #[cbor(n(5), with = "crate::repo::cbor::yes_or_no")]
    pub protects: bool,
    /// Notes that don't count any more.
    #[n(6)]
    pub withdraws: Vec<RunId>,
    /// Packs that were read and found whole.
    #[n(7)]
    pub verified: Vec<VerifiedPacks>,
}

/// Packs that were verified at one time.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct VerifiedPacks {
    /// When.
    #[n(0)]
    pub time: Time,
    /// The packs.
    #[n(1)]
    pub packs: Vec<PackId>,
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
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
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
    /// The code of its class: [`SegmentFrame::class`].
    #[n(3)]
    class: u8,
    /// How many chunks it has, absent ones included.
    #[n(4)]
    pub chunks: u16,
    /// Which of them are present; nothing if all are.
    #[cbor(n(5), with = "minicbor::bytes")]
    present: Vec<u8>,
}

/// Where the frames of a pack begin.
pub const PACK_HEAD_LEN: u32 = 140;
/// Bytes at a pack's end, behind the trailer.
const PACK_TAIL_LEN: u32 = 12;
/// Longest pack.
const MAX_PACK: u32 = 256 << 20;

impl SegmentFrame {
    /// A frame of a segment; without `present` it is whole.
    pub fn new(
        id: FrameId,
        (stored_length, raw_length): (u32, u32),
        class: Class,
        chunks: u16,
        present: Option<&Presence>,
    ) -> Self {
        let present = present.map(|present| present.as_bytes().to_vec()).unwrap_or_default();
        Self { id, stored_length, raw_length, class: class.code(), chunks, present }
    }

    /// Its class; `None` for one that doesn't exist, which no segment that was opened holds.
    pub const fn class(&self) -> Option<Class> {
        Class::from_code(self.class)
    }

    /// Which chunks are present; `None` if all are.
    pub fn present(&self) -> Option<Presence> {
        Presence::from_bytes(&self.present, usize::from(self.chunks))
    }

    fn makes_sense(&self) -> bool {
        let sound = self.present.is_empty() || self.present().is_some();
        sound && self.class().is_some() && self.chunks > 0 && self.raw_length as usize <= MAX_FRAME
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
        cbor::array_of(d, 6)?;
        let (id, stored_length, raw_length) = (d.decode()?, d.u32()?, d.u32()?);
        let (class, chunks, present) = (d.u8()?, d.u16()?, d.bytes()?.to_vec());
        Ok(Self { id, stored_length, raw_length, class, chunks, present })
    }
}

impl<'b, C> Decode<'b, C> for VerifiedPacks {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 2)?;
        Ok(Self { time: d.decode()?, packs: d.decode()? })
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
record!(Note, Note, "note", for_all: false);

impl ByRun for RunRecord {}
impl ByRun for Pins {}
impl ByRun for Segment {}
impl ByRun for Note {}
impl ByAdmin for Stop {}
impl ByAdmin for Tombstone {}
impl ByAdmin for Condemned {}
