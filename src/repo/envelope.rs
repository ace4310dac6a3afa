//! The envelope of a manifest: a part that the domain's writers open, and one that only full credentials do (`docs/format.md`,
//! section 8). What the parts say, as CBOR, is the snapshots' business.

use crate::repo::codec::{Cursor, Malformed};
use crate::repo::format::{Kind, MAX_OBJECT, key};
use crate::repo::id::{DomainId, RunId};
use crate::repo::keys::{Access, Certificate, ReadKeys, RunKey, Signer, Wrap, WriteKeys};
use crate::repo::record::{Fault, ObjectError, Parsed, verify};
use crate::repo::seal::{SALT_LEN, SealKey, open_salted, seal_salted};

const LABEL: &[u8] = b"manifest";
const OPEN: &[u8] = b"open";
const SEALED: &[u8] = b"sealed";
const WHAT: &str = "manifest";

/// A manifest's object, verified, its open part opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    run: RunId,
    domain: DomainId,
    wrap: Wrap,
    signer: Certificate,
    open: Vec<u8>,
    /// In the salted form.
    sealed: Vec<u8>,
}

/// The object of a manifest: `open` and `sealed` are the two parts as CBOR; `wrap` is one of `run_key`.
///
/// # Errors
/// If it is longer than an object may be, so that nobody would open it.
pub fn seal_manifest(
    keys: &WriteKeys,
    run: RunId,
    run_key: &RunKey,
    wrap: &Wrap,
    open: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, ObjectError> {
    let store_key = key::snapshot(run);
    let repository = keys.repository();
    let mut object = Vec::with_capacity(open.len() + sealed.len() + 512);
    object.extend_from_slice(&Kind::Snapshot.header());
    object.extend_from_slice(repository.as_bytes());
    object.extend_from_slice(keys.domain().id().as_bytes());
    object.extend_from_slice(run.as_bytes());
    object.extend_from_slice(wrap.as_bytes());
    let mut part = |key: &SealKey, name: &[u8], cbor: &[u8]| {
        let bytes = seal_salted(key, LABEL, &[repository.as_bytes(), store_key.as_bytes(), name], cbor);
        let (salt, ciphertext) = bytes.split_at(SALT_LEN);
        let length = u32::try_from(ciphertext.len()).map_err(|_| Malformed(WHAT))?;
        object.extend_from_slice(salt);
        object.extend_from_slice(&length.to_le_bytes());
        object.extend_from_slice(ciphertext);
        Ok::<(), Malformed>(())
    };
    part(keys.domain().index(), OPEN, open)
        .and_then(|()| part(run_key.seal_key(), SEALED, sealed))
        .map_err(|error| ObjectError { key: store_key.clone(), fault: error.into() })?;
    let signed = keys.sign_object(&store_key, object);
    if signed.len() as u64 > MAX_OBJECT {
        return Err(ObjectError { key: store_key, fault: Malformed("manifest: longer than an object may be").into() });
    }
    Ok(signed)
}

/// The manifest of `run`, as found under its name.
pub fn open_manifest(keys: &impl Access, run: RunId, object: &[u8]) -> Result<Envelope, ObjectError> {
    open(keys, run, object).map_err(|fault| ObjectError { key: key::snapshot(run), fault })
}

fn open(keys: &impl Access, run: RunId, object: &[u8]) -> Result<Envelope, Fault> {
    let store_key = key::snapshot(run);
    let Parsed { domain, signer, rest } = verify(keys, Kind::Snapshot, WHAT, &store_key, object)?;
    let Signer::Credential(signer) = signer else {
        return Err(Malformed(WHAT).into()); // not reached: the rule of names demands a credential
    };
    let mut cursor = Cursor::new(WHAT, rest);
    if RunId::from_bytes(cursor.array()?) != run {
        return Err(Malformed(WHAT).into());
    }
    let wrap = Wrap::from_bytes(cursor.array()?);
    let open = take_part(&mut cursor)?;
    let sealed = take_part(&mut cursor)?;
    cursor.end()?;
    let index = keys.index_key(domain).ok_or(Fault::ForeignDomain(domain))?;
    let repository = keys.authority().repository();
    let open = open_salted(&index, LABEL, &[repository.as_bytes(), store_key.as_bytes(), OPEN], &open)?;
    Ok(Envelope { run, domain, wrap, signer, open, sealed })
}

/// A part, in the salted form.
fn take_part(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Malformed> {
    let salt = cursor.bytes(SALT_LEN)?;
    let length = usize::try_from(cursor.u32()?).map_err(|_| cursor.malformed())?;
    Ok([salt, cursor.bytes(length)?].concat())
}

impl Envelope {
    /// The run that committed the snapshot.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// The domain that it was written for.
    pub const fn domain(&self) -> DomainId {
        self.domain
    }

    /// The run's key.
    pub const fn wrap(&self) -> &Wrap {
        &self.wrap
    }

    /// Who signed it.
    pub const fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// The open part, as CBOR.
    pub fn open_part(&self) -> &[u8] {
        &self.open
    }

    /// Opens the sealed part: CBOR.
    pub fn open_sealed_part(&self, keys: &ReadKeys) -> Result<Vec<u8>, ObjectError> {
        let store_key = key::snapshot(self.run);
        let repository = keys.authority().repository();
        let aad: [&[u8]; 3] = [repository.as_bytes(), store_key.as_bytes(), SEALED];
        let opened = keys
            .unwrap_run_key(&self.wrap, self.run)
            .map_err(Fault::from)
            .and_then(|key| Ok(open_salted(key.seal_key(), LABEL, &aad, &self.sealed)?));
        opened.map_err(|fault| ObjectError { key: store_key, fault })
    }
}

#[cfg(test)]
mod tests;
