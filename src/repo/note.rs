//! Notes, as objects: all of them are read here, and written (`docs/format.md`, section 9). What they say is the business of others.
//!
//! One that can't be used says nothing, and that may be worse than it looks: a protection, or a tag that a rule keeps, may be gone with it. So it's told apart what
//! is the matter ([`Matter`]): who forgets must know, and so must who repairs.

use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::{Kind, MAX_OBJECT, key};
use crate::repo::id::{CredentialId, DomainId, RunId};
use crate::repo::keys::{Role, Signer};
use crate::repo::record::{self, Fault, Note};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::{StoreError, StoreErrorKind};
use crate::repo::view::in_parallel;
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// How often a note that can't be used is read.
const MOST_READS: u32 = 4;
/// How often a note is written that isn't there as it was written.
const MOST_WRITES: u32 = 3;
/// Where the domain stands in a record: behind header and repository id.
const DOMAIN_AT: std::ops::Range<usize> = 24..40;

/// All notes there are.
#[derive(Debug, Default)]
pub struct Notes {
    /// Those that full credentials wrote, in the order of their keys.
    pub sound: Vec<FoundNote>,
    /// Those that say nothing, likewise.
    pub unusable: Vec<UnusableNote>,
}

/// A note of a full credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNote {
    /// Its key.
    pub key: String,
    /// The run in its key.
    pub run: RunId,
    /// What it says.
    pub note: Note,
    /// Who wrote it.
    pub by: CredentialId,
}

/// A note that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct UnusableNote {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
    /// What is the matter.
    pub matter: Matter,
}

/// What is the matter with a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// Its bytes are nobody's: torn, flipped, emptied or forged. What it said is lost.
    Damaged,
    /// It's whole, and of somebody whose notes say nothing.
    Powerless,
    /// A newer nightsafe wrote it, which can read it.
    Newer,
    /// It says that it's another repository's.
    Foreign,
    /// The storage doesn't give it, or gives something else each time. It may be whole.
    Withheld,
}

impl Matter {
    /// Whether it may have said something that keeps a snapshot from being forgotten.
    pub const fn may_keep(self) -> bool {
        !matches!(self, Self::Powerless)
    }

    /// Whether nobody will ever read anything from it.
    pub const fn is_for_good(self) -> bool {
        matches!(self, Self::Damaged | Self::Powerless)
    }

    /// What to do about it.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::Damaged | Self::Powerless => "`nightsafe repair notes` takes such notes away",
            Self::Newer => "use the newer nightsafe that wrote it",
            Self::Foreign => "move what is another repository's out of this one",
            Self::Withheld => {
                "look at the storage and try again; if the note can't be had for good, remove this object there"
            }
        }
    }
}

/// Reads all notes.
///
/// # Errors
/// If the store fails, as opposed to one note.
pub fn load(repo: &Repo<Full>) -> Result<Notes, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::NOTES, &mut |object| {
        listed.extend(key::parse_numbered(key::NOTES, &object.key).map(|(run, _)| (run, object.key)));
    })?;
    let found: Mutex<Notes> = Mutex::default();
    in_parallel(repo.store().connections(), &listed, &|(run, key): &(RunId, String)| {
        let looked = look_at(repo, *run, key)?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            None => {}
            Some(Ok(note)) => found.sound.push(note),
            Some(Err(unusable)) => found.unusable.push(unusable),
        }
        Ok::<(), RepoError>(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sound.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    found.unusable.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// Reads one note; nothing if it's gone. What can't be used is read again, and is believed to be so only if it's the same bytes twice: a bit that flips on the way looks just
/// like one that flipped in the storage.
pub fn look_at(repo: &Repo<Full>, run: RunId, key: &str) -> Result<Option<Result<FoundNote, UnusableNote>>, RepoError> {
    let mut before: Option<Bytes> = None;
    for _ in 0..MOST_READS {
        let bytes = match repo.store().get(key, MAX_OBJECT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind.is_of_object() => return Ok(Some(Err(withheld(repo, key, &error)?))),
            Err(error) => return Err(error.into()),
        };
        match open(repo, run, key, &bytes) {
            Err(unusable) if before.as_ref() == Some(&bytes) => return Ok(Some(Err(unusable))),
            Err(_) => before = Some(bytes),
            sound => return Ok(Some(sound)),
        }
    }
    Ok(Some(Err(unusable(key, Matter::Withheld, "it reads differently each time"))))
}

/// What is the matter with a note that the store can't give. The length tells by itself of one that was emptied, or that is longer than any note.
fn withheld(repo: &Repo<Full>, key: &str, error: &StoreError) -> Result<UnusableNote, RepoError> {
    Ok(match repo.store().length(key)? {
        Some(0) => unusable(key, Matter::Damaged, "it is empty"),
        Some(length) if length > MAX_OBJECT => unusable(key, Matter::Damaged, error.kind),
        _ => {
            let source = error.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
            unusable(key, Matter::Withheld, format!("the storage doesn't give it: {}{source}", error.kind))
        }
    })
}

/// The note in these bytes: signed by a full credential, and sealed for domain zero.
fn open(repo: &Repo<Full>, run: RunId, key: &str, bytes: &[u8]) -> Result<FoundNote, UnusableNote> {
    let opened = record::open_record::<Note>(repo.read_keys(), key, bytes);
    let (note, signer) = opened.map_err(|why| match why.fault {
        Fault::Header(_) | Fault::ForeignRepository(_) if mended(repo, key, bytes).is_some() => {
            unusable(key, Matter::Damaged, "its first bytes are damaged")
        }
        fault @ Fault::ForeignRepository(_) => {
            unusable(key, Matter::Foreign, format_args!("it {fault}: two repositories seem to be mixed"))
        }
        fault if fault.is_unknown_version() => unusable(key, Matter::Newer, fault),
        fault => unusable(key, Matter::Damaged, fault),
    })?;
    match signer {
        Signer::Credential(by) if by.role() != Role::Full => {
            Err(unusable(key, Matter::Powerless, "signed by a credential that may only write"))
        }
        Signer::Credential(_) if bytes.get(DOMAIN_AT) != Some(DomainId::SHARED.as_bytes()) => {
            Err(unusable(key, Matter::Powerless, "sealed for another domain than notes are"))
        }
        Signer::Credential(by) => Ok(FoundNote { key: key.to_owned(), run, note, by: by.credential() }),
        Signer::Admin => Err(unusable(key, Matter::Powerless, "signed by the admin key, which writes no notes")),
    }
}

/// A note of which only the head is damaged, with the right one. A version that nobody knows is a newer program's, or a flipped bit, and so it is with another repository's id: what opens with the right
/// head was never written with another one, since the head is signed, too.
fn mended(repo: &Repo<Full>, key: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let head = [Kind::Note.header().as_slice(), repo.id().as_bytes()].concat();
    let mended = [&head, bytes.get(head.len()..)?].concat();
    record::open_record::<Note>(repo.read_keys(), key, &mended).is_ok().then_some(mended)
}

/// Puts a damaged note into its own place again, as it was written, if only its head is damaged: all that it says is signed. False if it can't be.
///
/// # Errors
/// If the store fails. Between taking it away and putting it, a failure loses it: the error names it.
pub fn mend(repo: &Repo<Full>, key: &str) -> Result<bool, RepoError> {
    let Ok(bytes) = repo.store().get(key, MAX_OBJECT) else { return Ok(false) };
    let Some(mended) = mended(repo, key, &bytes).map(Bytes::from) else { return Ok(false) };
    repo.store().delete(key)?;
    repo.store().put(key, &mended)?;
    fetch::read_back(repo, key, &mended)?;
    Ok(true)
}

fn unusable(key: &str, matter: Matter, why: impl std::fmt::Display) -> UnusableNote {
    UnusableNote { key: key.to_owned(), why: why.to_string(), matter }
}

/// Writes a note under a run id of its own, and makes sure that it's there. Gives its key.
///
/// A torn one would make every check find damage, and who reads it would miss what it says: so one that isn't there as it was written is taken away, and written again under another
/// name, since no key is written over.
///
/// # Errors
/// If the store fails, or tears it again and again; the error names the note.
pub fn write(repo: &Repo<Full>, note: &Note) -> Result<(RunId, String), RepoError> {
    let mut tries = 1;
    loop {
        let run = repo.keys().new_run();
        let key = key::note(run, 0);
        let sealed = Bytes::from(record::seal_record(repo.keys(), &key, note));
        let (error, is_torn) = match repo.store().put(&key, &sealed) {
            Ok(()) => match fetch::read_back(repo, &key, &sealed) {
                Ok(()) => return Ok((run, key)),
                Err(error) => {
                    let is_torn = is_of_object(&error);
                    (error, is_torn)
                }
            },
            Err(error) => {
                // Nobody else writes under this name: an earlier try of the same put was cut short.
                let is_torn = error.kind == StoreErrorKind::Exists;
                (error.into(), is_torn)
            }
        };
        // A courtesy: of one that stays a check tells, and a repair takes it away.
        let _ = repo.store().delete(&key);
        if tries >= MOST_WRITES || !is_torn {
            return Err(error);
        }
        tries += 1;
    }
}

/// Whether what was read back isn't what was written, as opposed to a store that fails.
fn is_of_object(error: &RepoError) -> bool {
    match error {
        RepoError::Damaged { .. } => true,
        RepoError::Store(error) => error.kind.is_of_object() || error.kind == StoreErrorKind::NotFound,
        _ => false,
    }
}
