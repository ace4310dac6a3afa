//! The credentials of a repository, in its store.
//!
//! An object is written before the one it replaces is removed, and it is read again in between; so at every moment some
//! credential opens the repository, whatever is interrupted.

use super::bundle::{Bundle, Opened, ReadKeys};
use super::certificate::Role;
use super::credential::{Credential, CredentialError, Fault, Label, Method, Secret};
use super::kdf::KdfParams;
use crate::repo::format::key;
use crate::repo::id::{CredentialId, RepositoryId};
use crate::repo::store::{Store, StoreError, StoreErrorKind};
use bytes::Bytes;

/// How many passphrase credentials are tried: each takes a derivation, and anyone who writes to the store can add some.
pub const MAX_PASSPHRASES_TRIED: usize = 8;

/// What can go wrong with a ring of credentials.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no credential at all.
    #[error("there are no credentials: no repository, or one that lost them")]
    NoCredentials,
    /// No credential is opened by this secret. Says nothing else, on purpose.
    #[error("wrong passphrase or key file{}", untried_note(*.untried))]
    WrongSecret {
        /// Passphrase credentials beyond the first [`MAX_PASSPHRASES_TRIED`], which weren't tried.
        untried: usize,
    },
    /// The one credential concerned can't be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// There is no such credential.
    #[error("credentials/{0}: there is no such credential")]
    NotFound(CredentialId),
    /// It must stay: nothing else would open the repository to read it.
    #[error(
        "credentials/{0} is the last full credential: without it no backup could be read again. Add another one first"
    )]
    LastFull(CredentialId),
    /// Only a full credential can be replaced by what it holds itself.
    #[error("credentials/{0} is write-only: remove it and make a new one with a full credential")]
    NotFull(CredentialId),
    /// The store gave back other bytes than were written.
    #[error("credentials/{0} came back from the store with other bytes than were written")]
    NotWritten(CredentialId),
}

fn untried_note(untried: usize) -> String {
    match untried {
        0 => String::new(),
        n => format!(" ({n} more credentials weren't tried: name the one to open)"),
    }
}

/// A credential's object in a listing.
pub struct Found {
    /// The credential, as its object's name has it.
    pub id: CredentialId,
    /// The object, if it's one.
    pub object: Result<Credential, CredentialError>,
}

/// All credentials, by id. None of them is verified; [`Credential::label`] does that.
pub fn list(store: &dyn Store) -> Result<Vec<Found>, RingError> {
    let mut ids: Vec<CredentialId> = Vec::new();
    store.list(key::CREDENTIALS, &mut |listed| {
        let name = listed.key.strip_prefix(key::CREDENTIALS);
        ids.extend(name.and_then(|name| name.parse::<CredentialId>().ok()));
    })?;
    ids.sort_unstable();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        // One that was removed since is none.
        found.extend(get(store, id)?.map(|object| Found { id, object }));
    }
    Ok(found)
}

/// The object of one credential; `None` if there is none.
fn get(store: &dyn Store, id: CredentialId) -> Result<Option<Result<Credential, CredentialError>>, RingError> {
    match store.get(&key::credential(id), Credential::LEN as u64) {
        Ok(bytes) => Ok(Some(Credential::parse(id, &bytes))),
        // Too long for a credential: as wrong as any other bytes.
        Err(error) if error.kind == StoreErrorKind::TooLong => Ok(Some(Credential::parse(id, b"nsafeC\x01\x01"))),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens whichever credential `secret` opens: first the `remembered` one, by itself; then all key-file ones, or of the passphrase
/// ones the first [`MAX_PASSPHRASES_TRIED`]. Those of the repository `expected` come before all others.
pub fn open_any(
    store: &dyn Store,
    secret: &Secret,
    remembered: Option<CredentialId>,
    expected: Option<RepositoryId>,
) -> Result<Opened, RingError> {
    let is_other = |object: &Result<Credential, CredentialError>| {
        let repository = object.as_ref().ok().map(Credential::repository);
        expected.is_some() && repository != expected
    };
    let mut attempt = Attempt { secret, derived: 0, refused: 0, untried: 0, error: None };
    if let Some(id) = remembered
        && let Some(object) = get(store, id)?
        && !is_other(&object)
        && let Some(opened) = attempt.open(object)
    {
        return Ok(opened);
    }
    let mut all = list(store)?;
    if all.is_empty() {
        return Err(RingError::NoCredentials);
    }
    let tried = |found: &Found| Some(found.id) == remembered && !is_other(&found.object);
    all.retain(|found| !tried(found));
    all.sort_by_key(|found| is_other(&found.object)); // stable: by id among themselves
    for found in all {
        if let Some(opened) = attempt.open(found.object) {
            return Ok(opened);
        }
    }
    Err(attempt.failed())
}

/// Going through credentials with one secret.
struct Attempt<'a> {
    secret: &'a Secret,
    /// Derivations from a passphrase.
    derived: usize,
    /// Credentials that the secret doesn't open.
    refused: usize,
    untried: usize,
    /// The worst that was met, if it's more than a secret that doesn't fit: (whether the secret was right, what).
    error: Option<(bool, CredentialError)>,
}

impl Attempt<'_> {
    fn open(&mut self, object: Result<Credential, CredentialError>) -> Option<Opened> {
        let (known_right, error) = match object {
            Err(error) => (false, error),
            Ok(credential) => {
                if matches!((credential.method(), self.secret), (Method::Passphrase(_), Secret::Passphrase(_))) {
                    if self.derived == MAX_PASSPHRASES_TRIED {
                        self.untried += 1;
                        return None;
                    }
                    self.derived += 1;
                }
                match credential.open(self.secret) {
                    Ok(opened) => return Some(opened),
                    Err(CredentialError { fault: Fault::OtherMethod, .. }) => return None,
                    Err(CredentialError { fault: Fault::WrongSecret, .. }) => {
                        self.refused += 1;
                        return None;
                    }
                    Err(error) => (!matches!(error.fault, Fault::Kdf(_)), error),
                }
            }
        };
        if self.error.as_ref().is_none_or(|(right, _)| known_right && !right) {
            self.error = Some((known_right, error));
        }
        None
    }

    /// A damaged credential that the secret does fit is named; so is one that can't be tried on this machine, and one that may be
    /// what the secret is for when there was no other. Beyond that a wrong secret learns nothing.
    fn failed(self) -> RingError {
        match self.error {
            Some((true, error)) => error.into(),
            Some((false, error)) if self.refused == 0 || matches!(error.fault, Fault::Kdf(_)) => error.into(),
            _ => RingError::WrongSecret { untried: self.untried },
        }
    }
}

/// Seals a bundle, tries it, writes it and reads it again.
pub fn add(
    store: &dyn Store,
    admin: &ReadKeys,
    bundle: &Bundle,
    secret: &Secret,
    params: KdfParams,
    label: &Label,
) -> Result<CredentialId, RingError> {
    let credential = Credential::seal(bundle, admin, secret, params, label)?;
    credential.open(secret)?;
    let id = credential.id();
    let bytes = Bytes::copy_from_slice(credential.as_bytes());
    store.put(&key::credential(id), &bytes)?;
    match store.get(&key::credential(id), Credential::LEN as u64) {
        Ok(read) if read == bytes => Ok(id),
        Ok(_) => Err(RingError::NotWritten(id)),
        Err(error) => Err(error.into()),
    }
}

/// Removes a credential, unless no other full one is left. Doesn't revoke what it gave: see [the module](super).
pub fn remove(store: &dyn Store, keys: &ReadKeys, id: CredentialId) -> Result<(), RingError> {
    let all = list(store)?;
    let is = |found: &Found, role: Role| {
        let verified = |c: &Credential| c.verify(keys.authority()).is_ok() && c.role() == role;
        found.object.as_ref().is_ok_and(verified)
    };
    let Some(this) = all.iter().find(|found| found.id == id) else {
        return Err(RingError::NotFound(id));
    };
    // One that is damaged may be a full one that can be mended: only what is surely write-only goes without asking.
    let other_full = all.iter().any(|found| found.id != id && is(found, Role::Full));
    if !other_full && !is(this, Role::WriteOnly) {
        return Err(RingError::LastFull(id));
    }
    Ok(store.delete(&key::credential(id))?)
}

/// Replaces a full credential by a new one, with another secret: changes a passphrase. Gives the new credential's id. Doesn't
/// revoke the old secret in copies of the repository: see [the module](super).
pub fn replace(
    store: &dyn Store,
    keys: &ReadKeys,
    old: CredentialId,
    secret: &Secret,
    params: KdfParams,
    label: &Label,
) -> Result<CredentialId, RingError> {
    let current = get(store, old)?.ok_or(RingError::NotFound(old))??;
    current.verify(keys.authority())?;
    if current.role() != Role::Full {
        return Err(RingError::NotFull(old));
    }
    let new = add(store, keys, &keys.new_full(), secret, params, label)?;
    remove(store, keys, old)?;
    Ok(new)
}

#[cfg(test)]
mod tests;
