//! Reads the small objects, which no snapshot refers to: each must be one of this repository's, under its own name, signed by somebody who may.
//!
//! What fails that counts as absent, so it hides itself: a tombstone with a flipped bit brings a snapshot back.

use crate::repo::error::RepoError;
use crate::repo::format::{MARKER, MAX_OBJECT, key};
use crate::repo::id::RunId;
use crate::repo::record::{self, Condemned, Fault, ObjectError, Pins, Record, RunRecord, Segment, Stop, Tombstone};
use crate::repo::repository::{Full, Repo, marked_id};
use crate::repo::store::{StoreError, StoreErrorKind};
use crate::repo::view::in_parallel;
use crate::snapshot::check::{Damage, Damaged};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::snapshots::{self, Snapshots};
use std::sync::{Mutex, PoisonError};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Odd {
    /// Objects that count as absent, and what is wrong with them.
    pub damages: Vec<Damage>,
    /// Those without which nothing is lost, or that a newer program may understand.
    pub warnings: Vec<String>,
}

/// What an object is, by its name.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Run,
    Pins,
    Stop,
    Tombstone,
    Condemned,
    Segment,
    /// The manifest of a snapshot that isn't offered.
    Manifest(RunId),
}

/// Reads all of them.
pub(super) fn read_objects(repo: &Repo<Full>, all: &Snapshots, monitor: &dyn Monitor) -> Result<Odd, RepoError> {
    let mut odd = Odd::default();
    match marked_id(&**repo.store()) {
        Ok(id) if id == repo.id() => {}
        Ok(id) => odd.damages.push(damage(MARKER, format!("it says that here is the repository {id}"))),
        Err(RepoError::Store(error)) => return Err(error.into()),
        Err(error) => odd.damages.push(damage(MARKER, error)),
    }
    for credential in repo.credentials()? {
        if let Err(error) = credential.what {
            odd.damages.push(damage(&key::credential(credential.id), error.fault));
        }
    }
    let objects = list(repo, all)?;
    let found = Mutex::new(odd);
    in_parallel(repo.store().connections(), &objects, &|(kind, key): &(Kind, String)| {
        if monitor.interrupted() {
            return Ok(());
        }
        let Some(why) = fault(repo, *kind, key)? else { return Ok(()) };
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        match (why, kind) {
            // The trailers of packs say the same as a segment.
            (Why::Unknown(why), _) | (Why::Damaged(why), Kind::Segment) => found.warnings.push(format!("{key}: {why}")),
            (Why::Damaged(why), _) => found.damages.push(damage(key, why)),
        }
        Ok::<(), RepoError>(())
    })?;
    let mut odd = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    odd.damages.sort_by(|one, other| one.object.cmp(&other.object));
    odd.warnings.sort();
    Ok(odd)
}

pub(super) fn damage(object: &str, what: impl std::fmt::Display) -> Damage {
    Damage { object: object.to_owned(), kind: Damaged::Other, what: what.to_string(), snapshots: Vec::new() }
}

/// All of them but credentials, packs, and what snapshots were loaded from: their manifests and all notes.
fn list(repo: &Repo<Full>, all: &Snapshots) -> Result<Vec<(Kind, String)>, RepoError> {
    let mut objects = Vec::new();
    let of_run = [
        (key::RUNS, Kind::Run),
        (key::STOPS, Kind::Stop),
        (key::FORGOTTEN, Kind::Tombstone),
        (key::GC, Kind::Condemned),
    ];
    for (prefix, kind) in of_run {
        repo.store().list(prefix, &mut |listed| {
            objects.extend(key::parse_run(prefix, &listed.key).map(|_| (kind, listed.key)));
        })?;
    }
    for (prefix, kind) in [(key::PINS, Kind::Pins), (key::INDEX, Kind::Segment)] {
        repo.store().list(prefix, &mut |listed| {
            objects.extend(key::parse_numbered(prefix, &listed.key).map(|_| (kind, listed.key)));
        })?;
    }
    let is_known = |run: &&RunId| {
        all.list.iter().any(|snapshot| snapshot.id == **run) || all.unreadable.iter().any(|(id, _)| id == *run)
    };
    let others = all.listed.iter().filter(|run| !is_known(run));
    objects.extend(others.map(|&run| (Kind::Manifest(run), key::snapshot(run))));
    Ok(objects)
}

/// Why an object can't be used.
enum Why {
    Damaged(String),
    Unknown(String),
}

/// What is wrong with an object, if anything is. One that was removed meanwhile isn't wrong.
fn fault(repo: &Repo<Full>, kind: Kind, key: &str) -> Result<Option<Why>, RepoError> {
    if let Kind::Manifest(run) = kind {
        return match snapshots::load(repo, run) {
            Ok(_) => Ok(None),
            Err(RepoError::Damaged { why, .. }) => Ok(Some(Why::Damaged(why))),
            Err(RepoError::Store(error)) => of_store(error),
            Err(error) => Err(error),
        };
    }
    let bytes = match repo.store().get(key, MAX_OBJECT) {
        Ok(bytes) => bytes,
        Err(error) => return of_store(error),
    };
    let opened = match kind {
        Kind::Run => open::<RunRecord>(repo, key, &bytes),
        Kind::Pins => open::<Pins>(repo, key, &bytes),
        Kind::Stop => open::<Stop>(repo, key, &bytes),
        Kind::Tombstone => open::<Tombstone>(repo, key, &bytes),
        Kind::Condemned => open::<Condemned>(repo, key, &bytes),
        Kind::Segment | Kind::Manifest(_) => open::<Segment>(repo, key, &bytes),
    };
    Ok(opened.err().map(|error| match error.fault {
        fault if fault.is_unknown_version() => Why::Unknown(fault.to_string()),
        fault @ Fault::ForeignRepository(_) => Why::Damaged(format!("it {fault}: two repositories seem to be mixed")),
        fault => Why::Damaged(fault.to_string()),
    }))
}

fn open<T: Record>(repo: &Repo<Full>, key: &str, bytes: &[u8]) -> Result<(), ObjectError> {
    record::open_record::<T>(repo.read_keys(), key, bytes).map(|_| ())
}

/// Whether only this object can't be had, as opposed to the store.
fn of_store(error: StoreError) -> Result<Option<Why>, RepoError> {
    match error.kind {
        StoreErrorKind::NotFound => Ok(None),
        kind if kind.is_of_object() => Ok(Some(Why::Damaged(kind.to_string()))),
        _ => Err(error.into()),
    }
}
