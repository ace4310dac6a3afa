//! Puts sealed frames together to a pack.

use crate::repo::format::{Class, Kind};
use crate::repo::id::{DomainId, FrameId, PackHash, PackId, RepositoryId, RunId};
use crate::repo::keys::wrap::Wrap;
use crate::repo::pack::frame::SealedFrame;
use crate::repo::pack::padme;
use crate::repo::pack::presence::Presence;
use crate::repo::pack::trailer::TrailerBuilder;
use crate::repo::record::{SegmentFrame, SegmentPack};
use crate::repo::seal::{self, SealKey};
use bytes::Bytes;

/// Where the frames of a pack begin.
pub const FRAMES_START: usize = 140;
/// Bytes after the trailer: its length, and the closing header.
pub const FOOTER_LEN: usize = 12;

/// What all packs of a run begin with.
#[derive(Clone)]
pub struct PackOpening {
    /// The repository.
    pub repository: RepositoryId,
    /// The domain of the run's credential.
    pub domain: DomainId,
    /// The run.
    pub run: RunId,
    /// The wrap of its key.
    pub wrap: Wrap,
}

impl PackOpening {
    /// The first 140 bytes.
    pub fn encode(&self) -> [u8; FRAMES_START] {
        let mut out = [0; FRAMES_START];
        out[..8].copy_from_slice(&Kind::Pack.header());
        out[8..24].copy_from_slice(self.repository.as_bytes());
        out[24..40].copy_from_slice(self.domain.as_bytes());
        out[40..60].copy_from_slice(self.run.as_bytes());
        out[60..].copy_from_slice(self.wrap.as_bytes());
        out
    }
}

/// Where a frame lies in a finished pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFrame {
    /// The frame.
    pub id: FrameId,
    /// Where it starts.
    pub offset: u32,
    /// Its length in the pack.
    pub stored_length: u32,
    /// Bytes of plaintext that are present.
    pub raw_length: u32,
    /// How many chunks it has, absent ones included.
    pub chunks: u16,
    /// Which of them are present; `None`: all.
    pub present: Option<Presence>,
}

/// A pack that is ready to be stored.
pub struct FinishedPack {
    /// Its name.
    pub id: PackId,
    /// The class of its frames.
    pub class: Class,
    /// Its frames.
    pub frames: Vec<PlacedFrame>,
    /// Bytes of the sealed trailer.
    pub trailer_length: u32,
    /// The object.
    pub bytes: Bytes,
}

impl FinishedPack {
    /// What a segment says of it.
    pub fn segment_pack(&self) -> SegmentPack {
        let frame = |frame: &PlacedFrame| {
            let lengths = (frame.stored_length, frame.raw_length);
            SegmentFrame::new(frame.id, lengths, self.class, frame.chunks, frame.present.as_ref())
        };
        SegmentPack {
            pack: self.id,
            length: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            trailer_length: self.trailer_length,
            frames: self.frames.iter().map(frame).collect(),
        }
    }
}

/// A pack that is being filled.
pub struct PackBuilder {
    class: Class,
    bytes: Vec<u8>,
    frames: Vec<PlacedFrame>,
    trailer: TrailerBuilder,
}

impl PackBuilder {
    /// An empty pack for frames of `class`, with room for about `target` bytes.
    pub fn new(class: Class, opening: &PackOpening, target: usize) -> Self {
        let mut bytes = Vec::with_capacity(target + target / 8);
        bytes.extend_from_slice(&opening.encode());
        Self { class, bytes, frames: Vec::new(), trailer: TrailerBuilder::default() }
    }

    /// About how long the pack would be with one more frame, in bytes before padding; at least that long.
    pub fn length_with(&self, frame: &SealedFrame) -> usize {
        let trailer = self.trailer.most_bytes() + TrailerBuilder::most_bytes_of(frame) + seal::SALTED_OVERHEAD;
        self.bytes.len() + frame.bytes.len() + trailer + FOOTER_LEN
    }

    /// Whether no frame was added yet.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends a frame.
    pub fn push(&mut self, frame: &SealedFrame) {
        debug_assert_eq!(frame.class, self.class);
        self.frames.push(PlacedFrame {
            id: frame.id,
            offset: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            stored_length: u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX),
            raw_length: frame.raw_length,
            chunks: frame.chunks,
            present: frame.present.clone(),
        });
        self.trailer.push(frame);
        self.bytes.extend_from_slice(&frame.bytes);
    }

    /// Pads the pack, adds the sealed trailer and names the whole.
    pub fn finish(mut self, opening: &PackOpening, index_key: &SealKey) -> FinishedPack {
        let (repository, run) = (opening.repository, opening.run);
        let aad: [&[u8]; 3] = [repository.as_bytes(), run.as_bytes(), b"trailer"];
        let trailer = seal::seal_salted(index_key, b"trailer", &aad, &self.trailer.encode());
        let length = self.bytes.len() + trailer.len() + FOOTER_LEN;
        let padding = padme::padded(length as u64) - length as u64;
        append_random(&mut self.bytes, usize::try_from(padding).unwrap_or(0));
        self.bytes.extend_from_slice(&trailer);
        let trailer_length = u32::try_from(trailer.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&trailer_length.to_le_bytes());
        self.bytes.extend_from_slice(&Kind::PackEnd.header());
        let hash = PackHash::from_bytes(*blake3::hash(&self.bytes).as_bytes());
        FinishedPack {
            id: PackId { run: opening.run, hash },
            class: self.class,
            frames: self.frames,
            trailer_length,
            bytes: Bytes::from(self.bytes),
        }
    }
}

/// Appends `n` bytes that can't be told from ciphertext: the output of BLAKE3 under a random key.
fn append_random(bytes: &mut Vec<u8>, n: usize) {
    let start = bytes.len();
    bytes.resize(start + n, 0);
    let mut stream = blake3::Hasher::new_keyed(&seal::random()).finalize_xof();
    stream.fill(&mut bytes[start..]);
}
