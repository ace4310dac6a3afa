//! Signatures on objects, and who must have made them (`docs/format.md`, section 3).
//!
//! A signed object ends in the certificate, if a credential signed, ‖ signature ‖ signer. The signature covers the object's store key and all bytes before
//! it, the certificate included.

use super::bundle::{ReadKeys, WriteKeys};
use super::certificate::{Certificate, CertificateError};
use crate::repo::format::{Kind, key};
use crate::repo::id::{CredentialId, RepositoryId, RunId};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

const CONTEXT: &[u8] = b"nightsafe 1 object";
const BY_ADMIN: u8 = 0;
const BY_CREDENTIAL: u8 = 1;
const SIGNATURE_LEN: usize = 64;

/// Bytes that a signature by the admin key adds to an object.
pub const ADMIN_BLOCK_LEN: usize = SIGNATURE_LEN + 1;
/// Bytes that a signature by a credential adds to an object.
pub const CREDENTIAL_BLOCK_LEN: usize = Certificate::LEN + SIGNATURE_LEN + 1;

/// Which repository, and whose word counts there in the end. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    repository: RepositoryId,
    admin: VerifyingKey,
}

impl Authority {
    pub(super) const fn new(repository: RepositoryId, admin: VerifyingKey) -> Self {
        Self { repository, admin }
    }

    /// The repository.
    pub const fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The public half of the admin key.
    pub(super) const fn admin(&self) -> &VerifyingKey {
        &self.admin
    }
}

/// Who signed an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The admin key, which only full credentials have.
    Admin,
    /// A credential.
    Credential(Certificate),
}

/// Why an object counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature where one must be.
    #[error("not signed")]
    Missing,
    /// The certificate isn't one of this repository's.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The signature isn't one over these bytes under this name.
    #[error("the signature is wrong")]
    Wrong,
    /// Only the admin key may sign this.
    #[error("signed by credential {0}, not by the admin key")]
    NotAdmin(CredentialId),
    /// The admin key doesn't sign this: a credential does.
    #[error("signed by the admin key, not by the run's credential")]
    NotCredential,
    /// The signer isn't the credential that the run's id begins with.
    #[error("signed by credential {signer}, which run {run} doesn't belong to")]
    OtherCredential {
        /// Who signed.
        signer: CredentialId,
        /// The run in the object's name.
        run: RunId,
    },
    /// Nothing of this name is ever signed.
    #[error("an object of this name isn't signed")]
    Unsignable,
}

/// Who must sign what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Admin,
    Run(RunId),
}

/// The kind that a store key demands, and who must have signed the object.
fn duty(store_key: &str) -> Option<(Kind, Duty)> {
    let (folder, name) = store_key.split_at(store_key.find('/')? + 1);
    let run = || key::parse_run(folder, store_key);
    let numbered = || key::parse_numbered(folder, store_key).map(|(run, _)| run);
    Some(match folder {
        key::CREDENTIALS => name.parse::<CredentialId>().ok().map(|_| (Kind::Credential, Duty::Admin))?,
        key::RUNS => (Kind::Run, Duty::Run(run()?)),
        key::INDEX => (Kind::Segment, Duty::Run(numbered()?)),
        key::PINS => (Kind::Pins, Duty::Run(numbered()?)),
        key::NOTES => (Kind::Note, Duty::Run(numbered()?)),
        key::SNAPSHOTS => (Kind::Snapshot, Duty::Run(run()?)),
        key::STOPS => run().map(|_| (Kind::Stop, Duty::Admin))?,
        key::FORGOTTEN => run().map(|_| (Kind::Forgotten, Duty::Admin))?,
        key::GC => run().map(|_| (Kind::Condemned, Duty::Admin))?,
        _ => return None,
    })
}

/// The kind of a signed object, by its store key.
pub(in crate::repo) fn kind_of(store_key: &str) -> Option<Kind> {
    duty(store_key).map(|(kind, _)| kind)
}

impl WriteKeys {
    /// Appends this credential's signature to an object that will be stored under `store_key`.
    pub fn sign_object(&self, store_key: &str, mut object: Vec<u8>) -> Vec<u8> {
        object.extend_from_slice(self.certificate().as_bytes());
        append_signature(&self.signing, self.authority().repository(), store_key, &mut object);
        object.push(BY_CREDENTIAL);
        object
    }
}

impl ReadKeys {
    /// Appends the admin key's signature to an object that will be stored under `store_key`.
    pub fn sign_object(&self, store_key: &str, mut object: Vec<u8>) -> Vec<u8> {
        append_signature(&self.admin, self.authority().repository(), store_key, &mut object);
        object.push(BY_ADMIN);
        object
    }
}

fn append_signature(signer: &SigningKey, repository: RepositoryId, store_key: &str, object: &mut Vec<u8>) {
    let signature = signer.sign(&message(repository, store_key, object));
    object.extend_from_slice(&signature.to_bytes());
}

/// What is signed: short, whatever the object's length.
fn message(repository: RepositoryId, store_key: &str, object: &[u8]) -> Vec<u8> {
    // Keys that the format knows have less than 200 bytes; a longer one signs, and verifies, as nothing real.
    let length = u16::try_from(store_key.len()).unwrap_or(u16::MAX).to_le_bytes();
    let hash = blake3::hash(object);
    [CONTEXT, repository.as_bytes(), &length, store_key.as_bytes(), hash.as_bytes()].concat()
}

/// Verifies the signature on the object found under `store_key`, and that its signer is who must sign objects of this name.
/// Gives the signer and what stands before the signature block.
pub fn verify_object<'a>(
    authority: &Authority,
    store_key: &str,
    object: &'a [u8],
) -> Result<(Signer, &'a [u8]), SignatureError> {
    let (_, duty) = duty(store_key).ok_or(SignatureError::Unsignable)?;
    let (&by, rest) = object.split_last().ok_or(SignatureError::Missing)?;
    let (signed, signature) = rest.split_last_chunk::<SIGNATURE_LEN>().ok_or(SignatureError::Missing)?;
    let (signer, key, body) = match by {
        BY_ADMIN => (Signer::Admin, authority.admin, signed),
        BY_CREDENTIAL => {
            let (body, bytes) = signed.split_last_chunk().ok_or(SignatureError::Missing)?;
            let (certificate, key) = Certificate::verify_with_key(bytes, authority)?;
            (Signer::Credential(certificate), key, body)
        }
        _ => return Err(SignatureError::Missing),
    };
    key.verify_strict(&message(authority.repository, store_key, signed), &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::Wrong)?;
    match (duty, signer) {
        (Duty::Admin, Signer::Credential(c)) => Err(SignatureError::NotAdmin(c.credential())),
        (Duty::Run(_), Signer::Admin) => Err(SignatureError::NotCredential),
        (Duty::Run(run), Signer::Credential(c)) if !run.belongs_to(c.credential()) => {
            Err(SignatureError::OtherCredential { signer: c.credential(), run })
        }
        (Duty::Admin, Signer::Admin) | (Duty::Run(_), Signer::Credential(_)) => Ok((signer, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::keys::testing::{repository, write_only};

    #[test]
    fn every_altered_bit_and_every_truncation_is_refused() {
        let (write, read) = repository();
        let run = write.new_run();
        for (name, signed) in [
            (key::run(run), write.sign_object(&key::run(run), b"words".to_vec())),
            (key::stop(run), read.sign_object(&key::stop(run), b"words".to_vec())),
        ] {
            assert_eq!(verify_object(write.authority(), &name, &signed).unwrap().1, b"words");
            for bit in 0..signed.len() * 8 {
                let mut bytes = signed.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(verify_object(write.authority(), &name, &bytes).is_err(), "{name}: bit {bit}");
            }
            for length in 0..signed.len() {
                assert!(verify_object(write.authority(), &name, &signed[..length]).is_err(), "{name}: {length}");
            }
        }
    }

    #[test]
    fn a_signature_holds_for_one_name_in_one_repository() {
        let (write, _) = repository();
        let (run, other_run) = (write.new_run(), write.new_run());
        let signed = write.sign_object(&key::run(run), b"words".to_vec());
        let verify = |authority: &Authority, name: &str| verify_object(authority, name, &signed).map(|_| ());
        assert_eq!(verify(write.authority(), &key::run(run)), Ok(()));
        assert_eq!(verify(write.authority(), &key::run(other_run)), Err(SignatureError::Wrong));
        assert_eq!(verify(write.authority(), &key::snapshot(run)), Err(SignatureError::Wrong));
        let (foreign, _) = repository();
        assert_eq!(verify(foreign.authority(), &key::run(run)), Err(CertificateError.into()));
    }

    #[test]
    fn only_who_may_sign_counts() {
        let (write, read) = repository();
        let host = write_only(&read);
        let run = write.new_run();
        let admin_names =
            [key::credential(write.credential()), key::stop(run), key::forgotten(run), format!("{}{run}", key::GC)];
        for name in admin_names {
            let by_host = host.sign_object(&name, b"words".to_vec());
            let error = verify_object(write.authority(), &name, &by_host).err();
            assert_eq!(error, Some(SignatureError::NotAdmin(host.credential())), "{name}");
            let by_admin = read.sign_object(&name, b"words".to_vec());
            assert_eq!(
                verify_object(write.authority(), &name, &by_admin),
                Ok((Signer::Admin, &b"words"[..])),
                "{name}"
            );
        }
        for name in [key::run(run), key::segment(run, 0), key::pins(run, 7), key::snapshot(run)] {
            let by_host = host.sign_object(&name, b"words".to_vec());
            let error = verify_object(write.authority(), &name, &by_host).err();
            assert_eq!(error, Some(SignatureError::OtherCredential { signer: host.credential(), run }), "{name}");
            let by_admin = read.sign_object(&name, b"words".to_vec());
            let error = verify_object(write.authority(), &name, &by_admin).err();
            assert_eq!(error, Some(SignatureError::NotCredential), "{name}");
            let own = write.sign_object(&name, b"words".to_vec());
            let signer = Signer::Credential(*write.certificate());
            assert_eq!(verify_object(write.authority(), &name, &own), Ok((signer, &b"words"[..])), "{name}");
        }
    }

    #[test]
    fn names_of_no_signed_object_are_refused() {
        let (write, read) = repository();
        let run = write.new_run();
        for name in ["", "runs", "runs/", "runs/x", "credentials/00", "packs/00/x", "nightsafe.json"] {
            assert_eq!(kind_of(name), None, "{name}");
            let signed = read.sign_object(name, b"words".to_vec());
            assert_eq!(
                verify_object(write.authority(), name, &signed).err(),
                Some(SignatureError::Unsignable),
                "{name}"
            );
        }
        assert_eq!(kind_of(&format!("index/{run}/00")), None, "leading zeros");
        assert_eq!(kind_of(&key::segment(run, 10)), Some(Kind::Segment));
    }
}
