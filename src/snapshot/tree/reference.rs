//! References: how streams name their chunks, and the data extents of sparse files (`docs/format.md`, sections 6 and 7).

use crate::repo::format::MAX_FRAME_CHUNKS;
use crate::repo::id::FrameId;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Some consecutive chunks of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The frame.
    pub frame: FrameId,
    /// Ordinal of the first chunk in it.
    pub first: u32,
    /// How many chunks: at least one.
    pub count: u32,
}

impl Reference {
    /// Whether a frame can hold these chunks at all.
    ///
    /// Whether *this* frame does is only known when it is open.
    pub fn is_possible(&self) -> bool {
        let end = u64::from(self.first) + u64::from(self.count);
        self.count > 0 && end <= MAX_FRAME_CHUNKS as u64
    }
}

impl<C> Encode<C> for Reference {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(3)?.encode(self.frame)?.u32(self.first)?.u32(self.count)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Reference {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.array()? != Some(3) {
            return Err(DecodeError::message("a reference has three parts"));
        }
        let reference = Self { frame: d.decode()?, first: d.u32()?, count: d.u32()? };
        if reference.is_possible() {
            Ok(reference)
        } else {
            Err(DecodeError::message("a reference to more chunks than a frame holds"))
        }
    }
}

/// A stretch of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes: at least one.
    pub length: u64,
}

impl Extent {
    /// Where it ends; nothing if that is beyond what 64 bits hold.
    pub const fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

impl<C> Encode<C> for Extent {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.u64(self.offset)?.u64(self.length)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Extent {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.array()? != Some(2) {
            return Err(DecodeError::message("an extent has two parts"));
        }
        Ok(Self { offset: d.u64()?, length: d.u64()? })
    }
}
