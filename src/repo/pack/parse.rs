//! Reads packs, believing nothing.

use crate::repo::codec::{Cursor, Malformed};
use crate::repo::format::{Kind, MAX_OBJECT};
use crate::repo::id::{DomainId, PackHash, PackId, RepositoryId, RunId};
use crate::repo::keys::domain::DomainKeys;
use crate::repo::keys::wrap::Wrap;
use crate::repo::pack::builder::{FOOTER_LEN, FRAMES_START, PackOpening};
use crate::repo::pack::trailer::{self, TrailerFrame};
use crate::repo::seal;
use crate::repo::store::{Store, StoreError};

/// Bytes that are read from the end of a pack at first: enough for the trailer of nearly every pack.
const TAIL_GUESS: u64 = 32 << 10;

/// A pack that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes aren't a pack.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It belongs to another repository or run than its name says.
    #[error("it belongs to another repository or run")]
    Foreign,
    /// The seal of its trailer is broken, or it's another domain's.
    #[error("the seal of its trailer is broken")]
    Trailer,
    /// Its bytes don't hash to its name.
    #[error("its bytes don't hash to its name")]
    Hash,
}

/// Reads the opening of a pack, whatever repository and run it names.
fn any_opening(bytes: &[u8]) -> Result<PackOpening, Malformed> {
    let mut cursor = Cursor::new("opening of a pack", bytes);
    if cursor.array()? != Kind::Pack.header() {
        return Err(cursor.malformed());
    }
    Ok(PackOpening {
        repository: RepositoryId::from_bytes(cursor.array()?),
        domain: DomainId::from_bytes(cursor.array()?),
        run: RunId::from_bytes(cursor.array()?),
        wrap: Wrap::from_bytes(cursor.array()?),
    })
}

/// What the bytes of a pack claim to be, without any key: nothing vouches for it.
pub fn claimed(bytes: &[u8]) -> Option<PackOpening> {
    any_opening(bytes).ok()
}

/// Reads the opening of a pack; rejects one of another repository or run.
pub fn opening(bytes: &[u8], repository: RepositoryId, run: RunId) -> Result<PackOpening, PackError> {
    let opening = any_opening(bytes)?;
    if opening.repository == repository && opening.run == run { Ok(opening) } else { Err(PackError::Foreign) }
}

/// The length of the sealed trailer, from the last bytes of a pack of `length` bytes.
fn trailer_length(tail: &[u8], length: u64) -> Result<u64, Malformed> {
    let mut cursor = Cursor::new("end of a pack", tail);
    let end = cursor.bytes_from_end(8)?;
    let trailer = u32::from_le_bytes(cursor.bytes_from_end(4)?.try_into().map_err(|_| cursor.malformed())?);
    let fits = FRAMES_START as u64 + u64::from(trailer) + FOOTER_LEN as u64 <= length;
    if end == Kind::PackEnd.header() && fits { Ok(u64::from(trailer)) } else { Err(cursor.malformed()) }
}

/// The frames of a pack, from its sealed trailer.
fn open_trailer(
    sealed: &[u8],
    length: u64,
    repository: RepositoryId,
    run: RunId,
    domain: &DomainKeys,
) -> Result<Vec<TrailerFrame>, PackError> {
    let aad: [&[u8]; 3] = [repository.as_bytes(), run.as_bytes(), b"trailer"];
    let plain = seal::open_salted(domain.index(), b"trailer", &aad, sealed).map_err(|_| PackError::Trailer)?;
    let frames_end = length - FOOTER_LEN as u64 - sealed.len() as u64;
    Ok(trailer::decode(&plain, domain.ids(), FRAMES_START as u64, frames_end)?)
}

/// A pack's frames and the length of its trailer.
pub struct Trailer {
    /// The frames.
    pub frames: Vec<TrailerFrame>,
    /// Bytes of the sealed trailer.
    pub length: u32,
}

/// Reads the trailer of a stored pack of `length` bytes.
pub fn read_trailer(
    store: &dyn Store,
    pack: PackId,
    length: u64,
    repository: RepositoryId,
    domain: &DomainKeys,
) -> Result<Trailer, PackError> {
    if length > MAX_OBJECT || length < (FRAMES_START + FOOTER_LEN) as u64 {
        return Err(Malformed("length of a pack").into());
    }
    let key = crate::repo::format::key::pack(pack);
    let guess = TAIL_GUESS.min(length);
    let tail = store.get_range(&key, length - guess, guess)?;
    let trailer = trailer_length(&tail, length)?;
    let wanted = trailer + FOOTER_LEN as u64;
    let tail = if wanted <= guess { tail } else { store.get_range(&key, length - wanted, wanted)? };
    let mut cursor = Cursor::new("end of a pack", &tail);
    let end = cursor.bytes_from_end(usize::try_from(wanted).unwrap_or(usize::MAX))?;
    let sealed = &end[..end.len() - FOOTER_LEN];
    let frames = open_trailer(sealed, length, repository, pack.run, domain)?;
    Ok(Trailer { frames, length: u32::try_from(trailer).unwrap_or(u32::MAX) })
}

/// A whole pack.
pub struct WholePack<'b> {
    /// Its opening.
    pub opening: PackOpening,
    bytes: &'b [u8],
}

impl<'b> WholePack<'b> {
    /// Checks name, opening and end of the bytes of a pack.
    pub fn new(pack: PackId, bytes: &'b [u8], repository: RepositoryId) -> Result<Self, PackError> {
        if PackHash::from_bytes(*blake3::hash(bytes).as_bytes()) != pack.hash {
            return Err(PackError::Hash);
        }
        Self::unhashed(pack, bytes, repository)
    }

    /// The same for a pack whose frames are looked at one by one, so that the rest of it may be damaged.
    pub fn unhashed(pack: PackId, bytes: &'b [u8], repository: RepositoryId) -> Result<Self, PackError> {
        let opening = bytes.get(..FRAMES_START).ok_or(Malformed("opening of a pack"))?;
        Ok(Self { opening: self::opening(opening, repository, pack.run)?, bytes })
    }

    /// The same for one whose head may be damaged, too: what it says is known from another pack of its run.
    pub fn unheaded(bytes: &'b [u8], (repository, domain, run): (RepositoryId, DomainId, RunId)) -> Option<Self> {
        let wrap = bytes.get(60..FRAMES_START)?.try_into().ok()?;
        Some(Self { opening: PackOpening { repository, domain, run, wrap: Wrap::from_bytes(wrap) }, bytes })
    }

    /// The frames that the trailer names.
    pub fn frames(&self, domain: &DomainKeys) -> Result<Vec<TrailerFrame>, PackError> {
        let length = self.bytes.len() as u64;
        let trailer = trailer_length(self.bytes, length)?;
        let start = self.bytes.len() - FOOTER_LEN - usize::try_from(trailer).unwrap_or(0);
        let sealed = &self.bytes[start..self.bytes.len() - FOOTER_LEN];
        open_trailer(sealed, length, self.opening.repository, self.opening.run, domain)
    }

    /// The stored bytes of a frame.
    pub fn frame(&self, frame: &TrailerFrame) -> Option<&'b [u8]> {
        let start = frame.offset as usize;
        self.bytes.get(start..start.checked_add(frame.stored_length as usize)?)
    }
}
