//! Frames: consecutive new chunks, compressed and sealed as one.
//!
//! A frame proves itself: opening it recomputes the ids of its chunks, builds the table from them and compares the table's hash with the
//! id that was asked for. So neither index nor trailer has to be believed.

use crate::repo::codec::{Cursor, Malformed, put_varint};
use crate::repo::format::{Class, MAX_CHUNK, MAX_FRAME, MAX_FRAME_CHUNKS, SUITE, ZSTD_MAGIC};
use crate::repo::id::{ChunkId, FrameId, RepositoryId, RunId};
use crate::repo::keys::domain::{IdKeys, SecretRoot};
use crate::repo::keys::wrap::RunKey;
use crate::repo::pack::presence::Presence;
use crate::repo::pack::table::{Table, TableChunk};
use crate::repo::seal::{self, Plain};
use std::ops::Range;

/// Raw bytes after which a frame is closed. Half a MiB compresses as well as anything larger and still reads quickly.
pub const FRAME_TARGET: usize = 512 << 10;
/// Frames of class secret are padded to a multiple of this.
pub(super) const SECRET_BLOCK: usize = 4096;

/// A frame that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes aren't a frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The seal is broken: bytes were changed, or belong to another run or repository.
    #[error("the seal of the frame is broken")]
    Seal,
    /// It can't be decompressed to its length.
    #[error("the frame can't be decompressed")]
    Compression,
    /// It's a whole frame, but not the one asked for.
    #[error("the frame holds other chunks than it should")]
    OtherFrame,
}

/// How the frames of a kind of stream are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShape {
    /// Raw bytes after which a frame is closed.
    pub target: usize,
    /// The level of zstd.
    pub level: i32,
}

impl FrameShape {
    /// Of files and directories. Level 3, zstd's own default, costs little more than 1 on text and gains 10 % (`docs/decisions.md`).
    pub const FILES: Self = Self { target: FRAME_TARGET, level: 3 };
    /// Of dumps whose chunks are rows. These are many and alike, and a night has few new ones: larger frames and a higher level make up for what the ids of rows cost
    /// (`docs/decisions.md`, 28 and 124).
    pub const ROWS: Self = Self { target: 4 << 20, level: 9 };
}

/// A frame that is being filled.
pub struct FrameBuilder {
    class: Class,
    shape: FrameShape,
    chunks: Vec<TableChunk>,
    body: Vec<u8>,
}

impl FrameBuilder {
    /// An empty frame of this class.
    pub fn new(class: Class, shape: FrameShape) -> Self {
        Self { class, shape, chunks: Vec::new(), body: Vec::new() }
    }

    /// Whether a chunk of `length` bytes should go into the next frame instead.
    pub fn is_full_for(&self, length: usize) -> bool {
        !self.chunks.is_empty()
            && (self.body.len() + length > self.shape.target || self.chunks.len() == MAX_FRAME_CHUNKS)
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of its chunks.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The place of the next chunk.
    pub fn next_ordinal(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }

    /// Appends a chunk, which must not be longer than 8 MiB.
    pub fn push(&mut self, id: ChunkId, plaintext: &[u8]) {
        debug_assert!(!plaintext.is_empty() && plaintext.len() <= MAX_CHUNK);
        if self.body.capacity() == 0 {
            self.body.reserve(self.shape.target.max(plaintext.len()));
        }
        self.chunks.push(TableChunk { length: u32::try_from(plaintext.len()).unwrap_or(u32::MAX), id });
        self.body.extend_from_slice(plaintext);
    }

    /// The closed frame with its id.
    pub fn finish(self, keys: &IdKeys) -> RawFrame {
        let table = Table { class: self.class, chunks: self.chunks };
        let encoded_table = table.encode();
        let (id, level) = (keys.frame_id(&encoded_table), self.shape.level);
        RawFrame { id, table, encoded_table, present: None, body: self.body, level }
    }
}

/// A closed frame, not yet compressed or sealed.
pub struct RawFrame {
    /// The frame's id.
    pub id: FrameId,
    /// Its chunks.
    pub table: Table,
    /// The table's bytes.
    pub encoded_table: Vec<u8>,
    /// Which of them are present; `None`: all.
    pub present: Option<Presence>,
    /// The plaintext of those that are.
    pub body: Vec<u8>,
    /// The level of zstd that it's to be compressed with.
    pub level: i32,
}

impl RawFrame {
    /// Its chunks, and which of them are present.
    fn chunks(&self) -> impl Iterator<Item = (&TableChunk, bool)> {
        let is_present = |i| self.present.as_ref().is_none_or(|present| present.holds(i));
        self.table.chunks.iter().enumerate().map(move |(i, chunk)| (chunk, is_present(i)))
    }
}

/// A frame as it stands in a pack.
pub struct SealedFrame {
    /// The frame's id.
    pub id: FrameId,
    /// Its class.
    pub class: Class,
    /// The table's bytes, for the trailer.
    pub encoded_table: Vec<u8>,
    /// How many chunks it has, absent ones included.
    pub chunks: u16,
    /// Which of them are present; `None`: all.
    pub present: Option<Presence>,
    /// Bytes of plaintext that are present.
    pub raw_length: u32,
    /// What is stored.
    pub bytes: Vec<u8>,
}

/// What the frames of one run are sealed with.
pub struct FrameSealer<'k> {
    /// The repository.
    pub repository: RepositoryId,
    /// The run that writes.
    pub run: RunId,
    /// Its key.
    pub run_key: &'k RunKey,
    /// The root that goes into frames of class secret.
    pub secret_root: &'k SecretRoot,
}

/// The associated data of a frame.
pub(super) fn associated_data(repository: RepositoryId, run: RunId, class: Class) -> [u8; 38] {
    let mut aad = [0; 38];
    aad[0] = SUITE;
    aad[1..17].copy_from_slice(repository.as_bytes());
    aad[17..37].copy_from_slice(run.as_bytes());
    aad[37] = class.code();
    aad
}

/// A zstd compressor and decompressor, reused from frame to frame.
pub struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Zstd {
    /// Fails when memory is short.
    pub fn new() -> std::io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(FrameShape::FILES.level)?;
        Ok(Self { compressor, decompressor: zstd::bulk::Decompressor::new()? })
    }
}

impl FrameSealer<'_> {
    /// Compresses and seals a frame, then opens it again and compares: a fault of memory, compressor or cipher is found before the
    /// only copy of the data is gone.
    pub fn seal(&self, frame: RawFrame, zstd: &mut Zstd) -> Result<SealedFrame, FrameError> {
        let class = frame.table.class;
        let compressed = if class == Class::Secret { None } else { compress(&frame.body, frame.level, zstd) };
        let body = compressed.as_ref().unwrap_or(&frame.body);
        let mut plain = Plain::with_capacity(body.len() + 5 * frame.table.chunks.len() + 64 + SECRET_BLOCK);
        plain.push(u8::from(compressed.is_some()));
        if class == Class::Secret {
            plain.extend_from_slice(self.secret_root.as_bytes());
        }
        let mut lengths = Vec::with_capacity(5 * (frame.table.chunks.len() + 1));
        put_varint(&mut lengths, frame.table.chunks.len() as u64);
        for (chunk, is_present) in frame.chunks() {
            put_varint(&mut lengths, u64::from(chunk.length) << 1 | u64::from(!is_present));
            if !is_present {
                lengths.extend_from_slice(chunk.id.as_bytes());
            }
        }
        plain.extend_from_slice(&lengths);
        plain.extend_from_slice(body);
        if class == Class::Secret {
            let length = plain.len();
            plain.grow(length.next_multiple_of(SECRET_BLOCK) - length);
        }
        let aad = associated_data(self.repository, self.run, class);
        let buffer = plain.seal(self.run_key.seal_key(), b"frame", &[&aad]);
        self.compare(&frame, &buffer, zstd)?;
        Ok(SealedFrame {
            id: frame.id,
            class,
            chunks: u16::try_from(frame.table.chunks.len()).unwrap_or(u16::MAX),
            present: frame.present,
            encoded_table: frame.encoded_table,
            raw_length: u32::try_from(frame.body.len()).unwrap_or(u32::MAX),
            bytes: buffer,
        })
    }

    /// Opens what was just sealed and compares it with the original.
    fn compare(&self, frame: &RawFrame, sealed: &[u8], zstd: &mut Zstd) -> Result<(), FrameError> {
        let class = frame.table.class;
        let plain = unseal(sealed, class, (self.repository, self.run, self.run_key))?;
        let parts = Parts::parse(class, &plain)?;
        let body = parts.inflate(zstd)?;
        let sealed_chunks = frame.chunks().map(|(chunk, is_present)| (chunk.length, (!is_present).then_some(chunk.id)));
        let same_chunks = parts.chunks.iter().copied().eq(sealed_chunks);
        if same_chunks && body == frame.body { Ok(()) } else { Err(FrameError::OtherFrame) }
    }
}

/// The compressed body, if that is shorter.
pub(super) fn compress(body: &[u8], level: i32, zstd: &mut Zstd) -> Option<Vec<u8>> {
    zstd.compressor.set_compression_level(level).ok()?;
    let compressed = zstd.compressor.compress(body).ok()?;
    (compressed.len() < body.len()).then_some(compressed)
}

/// The parts of a frame's plaintext, not yet verified.
struct Parts<'p> {
    compressed: bool,
    secret_root: Option<SecretRoot>,
    /// Length, and the id of an absent chunk.
    chunks: Vec<(u32, Option<ChunkId>)>,
    raw_length: usize,
    body: &'p [u8],
}

impl<'p> Parts<'p> {
    fn parse(class: Class, plain: &'p [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("frame", plain);
        let compressed = match cursor.u8()? {
            0 => false,
            1 if class != Class::Secret => true,
            _ => return Err(cursor.malformed()),
        };
        let secret_root = match class {
            Class::Secret => Some(SecretRoot::from_bytes(cursor.array()?)),
            Class::Data | Class::Meta => None,
        };
        let n = cursor.varint_up_to(MAX_FRAME_CHUNKS)?;
        if n == 0 || cursor.rest().len() < n {
            return Err(cursor.malformed());
        }
        let mut chunks = Vec::with_capacity(n);
        let (mut raw_length, mut whole_length) = (0, 0);
        for _ in 0..n {
            let packed = cursor.varint_up_to(MAX_CHUNK * 2 + 1)?;
            let length = packed >> 1;
            let absent = packed & 1 == 1;
            let id = if absent { Some(ChunkId::from_bytes(cursor.array()?)) } else { None };
            whole_length += length;
            raw_length += if absent { 0 } else { length };
            chunks.push((u32::try_from(length).map_err(|_| cursor.malformed())?, id));
            if length == 0 || whole_length > MAX_FRAME {
                return Err(cursor.malformed());
            }
        }
        // A frame of which nothing is left isn't written; the length of a secret shows in blocks only.
        if raw_length == 0 || (class == Class::Secret && !plain.len().is_multiple_of(SECRET_BLOCK)) {
            return Err(cursor.malformed());
        }
        let body = cursor.rest();
        Ok(Self { compressed, secret_root, chunks, raw_length, body })
    }

    /// The plaintext of the chunks that are present.
    fn inflate(&self, zstd: &mut Zstd) -> Result<Vec<u8>, FrameError> {
        if self.compressed {
            // The decompressor itself would go on with further frames, and skip what isn't data.
            let whole = zstd::zstd_safe::find_frame_compressed_size(self.body) == Ok(self.body.len());
            if !whole || !self.body.starts_with(&ZSTD_MAGIC) {
                return Err(FrameError::Compression);
            }
            let inflated = zstd.decompressor.decompress(self.body, self.raw_length);
            let body = inflated.map_err(|_| FrameError::Compression)?;
            return if body.len() == self.raw_length { Ok(body) } else { Err(FrameError::Compression) };
        }
        let (body, padding) = self.body.split_at_checked(self.raw_length).ok_or(Malformed("frame"))?;
        let is_secret = self.secret_root.is_some();
        let padding_fits = if is_secret { padding.len() < SECRET_BLOCK } else { padding.is_empty() };
        if padding_fits && padding.iter().all(|&byte| byte == 0) {
            Ok(body.to_vec())
        } else {
            Err(Malformed("frame").into())
        }
    }
}

/// A frame whose every present chunk was verified.
pub struct OpenFrame {
    /// The class it was sealed as.
    pub class: Class,
    /// The secret root, in class secret.
    pub secret_root: Option<SecretRoot>,
    /// Where each chunk lies in the body; `None` for absent ones.
    places: Vec<Option<Range<u32>>>,
    body: Vec<u8>,
    /// The encoded table, which hashes to the frame's id.
    pub encoded_table: Vec<u8>,
}

impl OpenFrame {
    /// The plaintext of a chunk; `None` if it's absent or there is no such chunk.
    pub fn chunk(&self, ordinal: u32) -> Option<&[u8]> {
        let place = self.places.get(ordinal as usize)?.as_ref()?;
        self.body.get(place.start as usize..place.end as usize)
    }

    /// The plaintext of `count` chunks from `first` on, which lie side by side; `None` if one is absent or missing.
    pub fn chunks(&self, first: u32, count: u32) -> Option<&[u8]> {
        let places = self.places.get(first as usize..first.checked_add(count)? as usize)?;
        let present = places.iter().all(Option::is_some);
        let (start, end) = (places.first()?.as_ref()?.start, places.last()?.as_ref()?.end);
        self.body.get(start as usize..end as usize).filter(|_| present)
    }

    /// Whether no chunk is absent.
    pub fn is_whole(&self) -> bool {
        self.places.iter().all(Option::is_some)
    }

    /// The chunks of this copy and of another one of the same frame together.
    #[must_use]
    pub fn joined(self, other: &Self) -> Self {
        debug_assert_eq!(self.encoded_table, other.encoded_table);
        let mut joined = Self { places: Vec::with_capacity(self.places.len()), body: Vec::new(), ..self };
        for ordinal in 0..u32::try_from(self.places.len()).unwrap_or(u32::MAX) {
            let mine =
                self.places[ordinal as usize].clone().map(|place| &self.body[place.start as usize..place.end as usize]);
            let chunk = mine.or_else(|| other.chunk(ordinal));
            joined.places.push(chunk.map(|chunk| {
                let start = u32::try_from(joined.body.len()).unwrap_or(u32::MAX);
                joined.body.extend_from_slice(chunk);
                start..start + u32::try_from(chunk.len()).unwrap_or(u32::MAX)
            }));
        }
        joined
    }

    /// One that holds these chunks.
    #[cfg(test)]
    pub(crate) fn of_chunks(chunks: &[Option<Vec<u8>>]) -> Self {
        let mut body = Vec::new();
        let mut place = |chunk: &Vec<u8>| {
            let start = u32::try_from(body.len()).unwrap();
            body.extend_from_slice(chunk);
            start..u32::try_from(body.len()).unwrap()
        };
        let places = chunks.iter().map(|chunk| chunk.as_ref().map(&mut place)).collect();
        Self { class: Class::Data, secret_root: None, places, body, encoded_table: Vec::new() }
    }

    /// How many chunks the frame has, absent ones included.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Raw bytes of the present chunks.
    pub fn raw_length(&self) -> usize {
        self.body.len()
    }
}

/// Opens a stored frame and believes it only if it is the frame `id`.
///
/// `domain` are the id keys of the pack's domain; class secret brings its own.
pub fn open(
    sealed: &[u8],
    id: FrameId,
    class: Class,
    (repository, run, run_key): (RepositoryId, RunId, &RunKey),
    domain: &IdKeys,
    zstd: &mut Zstd,
) -> Result<OpenFrame, FrameError> {
    verify(&unseal(sealed, class, (repository, run, run_key))?, id, class, domain, zstd)
}

/// The plaintext of a stored frame, not yet verified.
pub(super) fn unseal(
    sealed: &[u8],
    class: Class,
    (repository, run, run_key): (RepositoryId, RunId, &RunKey),
) -> Result<Vec<u8>, FrameError> {
    let aad = associated_data(repository, run, class);
    seal::open_salted(run_key.seal_key(), b"frame", &[&aad], sealed).map_err(|_| FrameError::Seal)
}

/// Recomputes all ids of a frame's plaintext, and believes it only if it is the frame `id`.
pub(super) fn verify(
    plain: &[u8],
    id: FrameId,
    class: Class,
    domain: &IdKeys,
    zstd: &mut Zstd,
) -> Result<OpenFrame, FrameError> {
    let parts = Parts::parse(class, plain)?;
    let body = parts.inflate(zstd)?;
    let keys = parts.secret_root.as_ref().map_or(domain, SecretRoot::ids);
    let mut table = Table { class, chunks: Vec::with_capacity(parts.chunks.len()) };
    let mut places = Vec::with_capacity(parts.chunks.len());
    let mut at = 0;
    for &(length, absent) in &parts.chunks {
        let chunk_id = if let Some(chunk_id) = absent {
            places.push(None);
            chunk_id
        } else {
            places.push(Some(at..at + length));
            let plaintext = &body[at as usize..(at + length) as usize];
            at += length;
            keys.chunk_id(plaintext)
        };
        table.chunks.push(TableChunk { length, id: chunk_id });
    }
    let encoded_table = table.encode();
    if keys.frame_id(&encoded_table) != id {
        return Err(FrameError::OtherFrame);
    }
    Ok(OpenFrame { class, secret_root: parts.secret_root, places, body, encoded_table })
}
