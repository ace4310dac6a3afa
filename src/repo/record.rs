//! Records: small sealed objects that tell what runs do and what pruners decided (`docs/format.md`, section 3, *Records*).
//!
//! Those of a run are sealed for its domain and signed by its credential ([`ByRun`]); those that stop, forget or condemn are
//! sealed for all and signed by the admin key ([`ByAdmin`]). Which is which is in the types, so that write-only keys can't be
//! given the wrong one to seal.

mod body;

pub use body::{
    Condemned, Note, PACK_HEAD_LEN, Pins, RunRecord, Segment, SegmentFrame, SegmentPack, Stop, Tombstone, VerifiedPacks,
};

use crate::repo::cbor;
use crate::repo::codec::{Cursor, Malformed};
use crate::repo::format::Kind;
use crate::repo::header::{HeaderError, check_header};
use crate::repo::id::{DomainId, RepositoryId};
use crate::repo::keys::sign::{SignatureError, kind_of, verify_object};
use crate::repo::keys::wrap::WrapError;
use crate::repo::keys::{Access, ReadKeys, Signer, WriteKeys};
use crate::repo::needs::{self, NeedsError};
use crate::repo::seal::{NotAuthentic, SealKey, open_salted, seal_salted};
use minicbor::{Decode, Encode};

const LABEL: &[u8] = b"record";

/// A kind of record.
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> {
    /// The kind of its object.
    const KIND: Kind;
    /// What it's called in errors.
    const NAME: &'static str;
    /// Whether it's sealed for all credentials, under no domain.
    const FOR_ALL: bool;

    /// Succeeds when what was decoded makes sense.
    fn check(&self) -> Result<(), Malformed> {
        Ok(())
    }
}

/// A record that a run writes.
pub trait ByRun: Record {}

/// A record that only full credentials write.
pub trait ByAdmin: Record {}

/// Which object is the matter, and what's the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct ObjectError {
    /// The object's store key.
    pub key: String,
    /// What's the matter.
    pub fault: Fault,
}

/// What's the matter with a sealed object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not an object of this kind, or one that a newer program wrote.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Bytes that no program writes.
    #[error("damaged: {0}")]
    Malformed(#[from] Malformed),
    /// It says that it belongs to another repository.
    #[error("belongs to repository {0}")]
    ForeignRepository(RepositoryId),
    /// Nobody signed it who may: it counts as absent.
    #[error("wrongly signed: {0}")]
    Signature(#[from] SignatureError),
    /// Sound, but sealed for a domain that these keys don't open.
    #[error("sealed for domain {0}, which this credential doesn't belong to")]
    ForeignDomain(DomainId),
    /// Signed by a write-only credential for a domain that isn't its own: it counts as absent.
    #[error("wrongly signed: by a write-only credential of another domain than {0}")]
    OtherDomain(DomainId),
    /// Signed, but sealed by another key than it should be.
    #[error("damaged: {0}")]
    NotAuthentic(#[from] NotAuthentic),
    /// Needs a feature that this program doesn't know.
    #[error("needs the feature {0:?}, which this nightsafe doesn't know")]
    Needs(String),
    /// The run key in it can't be had.
    #[error("damaged: {0}")]
    Wrap(#[from] WrapError),
}

impl Fault {
    /// Whether the object counts as absent, because nobody signed it who may.
    pub const fn is_wrongly_signed(&self) -> bool {
        matches!(self, Self::Signature(_) | Self::OtherDomain(_))
    }

    /// Whether a newer program may be able to use the object.
    pub const fn is_unknown_version(&self) -> bool {
        matches!(self, Self::Header(HeaderError::Version(_) | HeaderError::Suite(_)) | Self::Needs(_))
    }
}

impl From<NeedsError> for Fault {
    fn from(error: NeedsError) -> Self {
        match error {
            NeedsError::Malformed(error) => Self::Malformed(error),
            NeedsError::Unknown(feature) => Self::Needs(feature),
        }
    }
}

/// Seals a run's record for this credential's domain, and signs it.
pub fn seal_record<T: ByRun>(keys: &WriteKeys, store_key: &str, record: &T) -> Vec<u8> {
    seal_record_for(keys, keys.domain().id(), keys.domain().index(), store_key, record)
}

/// Seals a run's record for another domain, as a pruner does that rewrites that domain's packs, and signs it.
pub fn seal_record_in<T: ByRun>(
    keys: &WriteKeys,
    read: &ReadKeys,
    domain: DomainId,
    store_key: &str,
    record: &T,
) -> Vec<u8> {
    seal_record_for(keys, domain, read.domain(domain).index(), store_key, record)
}

fn seal_record_for<T: ByRun>(
    keys: &WriteKeys,
    domain: DomainId,
    index: &SealKey,
    store_key: &str,
    record: &T,
) -> Vec<u8> {
    let object = seal(T::KIND, keys.repository(), domain, index, store_key, &cbor::encode(record));
    keys.sign_object(store_key, object)
}

/// Seals a record of the admin key's, and signs it.
pub fn seal_admin_record<T: ByAdmin>(keys: &ReadKeys, store_key: &str, record: &T) -> Vec<u8> {
    let repository = keys.authority().repository();
    let object = seal(T::KIND, repository, DomainId::SHARED, keys.common(), store_key, &cbor::encode(record));
    keys.sign_object(store_key, object)
}

/// Everything in front of the signature block. The body is given as bytes so that tests can seal what isn't a record.
pub(in crate::repo) fn seal(
    kind: Kind,
    repository: RepositoryId,
    domain: DomainId,
    key: &SealKey,
    store_key: &str,
    body: &[u8],
) -> Vec<u8> {
    let sealed = seal_salted(key, LABEL, &[repository.as_bytes(), store_key.as_bytes()], body);
    [kind.header().as_slice(), repository.as_bytes(), domain.as_bytes(), &sealed].concat()
}

/// The record that was found under `store_key`, and who signed it.
pub fn open_record<T: Record>(keys: &impl Access, store_key: &str, object: &[u8]) -> Result<(T, Signer), ObjectError> {
    open(keys, store_key, object).map_err(|fault| ObjectError { key: store_key.to_owned(), fault })
}

fn open<T: Record>(keys: &impl Access, store_key: &str, object: &[u8]) -> Result<(T, Signer), Fault> {
    let Parsed { domain, signer, rest } = verify(keys, T::KIND, T::NAME, store_key, object)?;
    let repository = keys.authority().repository();
    let aad: [&[u8]; 2] = [repository.as_bytes(), store_key.as_bytes()];
    let body = if T::FOR_ALL {
        if domain != DomainId::SHARED {
            return Err(Malformed(T::NAME).into());
        }
        open_salted(keys.common(), LABEL, &aad, rest)?
    } else {
        let index = keys.index_key(domain).ok_or(Fault::ForeignDomain(domain))?;
        open_salted(&index, LABEL, &aad, rest)?
    };
    let record: T = needs::decode(T::NAME, &body)?;
    record.check()?;
    Ok((record, signer))
}

/// An object whose header, repository and signature are right.
pub(in crate::repo) struct Parsed<'a> {
    pub(in crate::repo) domain: DomainId,
    pub(in crate::repo) signer: Signer,
    /// What stands between the domain and the signature block.
    pub(in crate::repo) rest: &'a [u8],
}

/// The checks that records and manifests share.
pub(in crate::repo) fn verify<'a>(
    keys: &impl Access,
    kind: Kind,
    what: &'static str,
    store_key: &str,
    object: &'a [u8],
) -> Result<Parsed<'a>, Fault> {
    let authority = keys.authority();
    let mut cursor = Cursor::new(what, check_header(kind, object)?);
    let repository = RepositoryId::from_bytes(cursor.array()?);
    if repository != authority.repository() {
        return Err(Fault::ForeignRepository(repository));
    }
    if kind_of(store_key) != Some(kind) {
        return Err(HeaderError::Kind(kind.letter()).into());
    }
    let (signer, body) = verify_object(authority, store_key, object)?;
    let mut cursor = Cursor::new(what, check_header(kind, body)?);
    cursor.bytes(RepositoryId::LEN)?;
    let domain = DomainId::from_bytes(cursor.array()?);
    match signer {
        Signer::Credential(certificate) if !certificate.may_write_for(domain) => Err(Fault::OtherDomain(domain)),
        Signer::Credential(_) | Signer::Admin => Ok(Parsed { domain, signer, rest: cursor.rest() }),
    }
}

#[cfg(test)]
mod tests;
