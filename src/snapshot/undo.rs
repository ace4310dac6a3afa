//! Bringing a forgotten snapshot back, as long as its grace lasts.
//!
//! The tombstone stays: who saw it must not see the snapshot live again under the same id. So undoing is a run of its own, which relies on the packs that the snapshot reaches, passes the
//! same fence as a backup, and commits a manifest with the same content under a new id.

use crate::repo::cbor::{self, Time};
use crate::repo::clock::Clock;
use crate::repo::envelope;
use crate::repo::error::{ReadError, RepoError};
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::gc::error::GcError;
use crate::repo::gc::marks::Marks;
use crate::repo::gc::tombstone::tombstone;
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::needs;
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::run::{self, Commit, Run};
use crate::repo::store::StoreErrorKind;
use crate::repo::view::View;
use crate::repo::writer::{WriteError, Writer, WriterStart};
use crate::snapshot::backup::TOOL;
use crate::snapshot::history::History;
use crate::snapshot::manifest::{Manifest, OpenPart};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::notes;
use crate::snapshot::reach::Reach;
use crate::snapshot::snapshots;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often it's begun again when the run was declared dead.
const MAX_ATTEMPTS: u32 = 3;

/// Which snapshot to bring back, and as whom.
#[derive(Debug, Clone)]
pub struct UndoOptions {
    /// The time of this host.
    pub now: Time,
    /// For how long a forgotten snapshot can be brought back, by the store's time of its tombstone.
    pub grace: Duration,
    /// The host's name, for the record of the run.
    pub host: String,
}

/// Why a snapshot can't be brought back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// It's there.
    #[error("snapshot {0} wasn't forgotten")]
    NotForgotten(RunId),
    /// There is no such snapshot.
    #[error("there is no snapshot {0}, forgotten or not")]
    NotFound(RunId),
    /// Its grace is over: a prune may be removing its data at this moment.
    #[error("snapshot {run} was forgotten too long ago: its grace ended {seconds} seconds ago")]
    TooLate {
        /// The snapshot.
        run: RunId,
        /// How long ago that was.
        seconds: i64,
    },
    /// Data is gone, or about to go.
    #[error("snapshot {run} can't be brought back: {frames} frames of it are gone, or condemned by a prune")]
    Gone {
        /// The snapshot.
        run: RunId,
        /// How many frames lack chunks.
        frames: u64,
    },
    /// It can't be followed to its data.
    #[error("snapshot {run} can't be followed to its data")]
    Unreadable {
        /// The snapshot.
        run: RunId,
        /// Why not.
        source: ReadError,
    },
    /// Pruners kept declaring the run dead.
    #[error("the run was declared dead {0} times")]
    Stopped(u32),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

impl From<GcError> for UndoError {
    fn from(error: GcError) -> Self {
        match error {
            GcError::Repo(error) => Self::Repo(error),
            other => Self::Repo(RepoError::damaged(key::FORGOTTEN, other)),
        }
    }
}

/// Brings a snapshot back; gives its new id.
pub fn undo(
    repo: &Repo<Full>,
    forgotten: RunId,
    options: &UndoOptions,
    monitor: &dyn Monitor,
) -> Result<RunId, UndoError> {
    for nth in 1..=MAX_ATTEMPTS {
        match attempt(repo, forgotten, options, monitor) {
            Ok(Some(run)) => return Ok(run),
            // A prune may just have moved it.
            Err(UndoError::Gone { .. }) if nth < MAX_ATTEMPTS => {}
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    Err(UndoError::Stopped(MAX_ATTEMPTS))
}

/// One run; `None` if it was declared dead and must be done again.
fn attempt(
    repo: &Repo<Full>,
    forgotten: RunId,
    options: &UndoOptions,
    monitor: &dyn Monitor,
) -> Result<Option<RunId>, UndoError> {
    let history = History::load(repo)?;
    let mut run = Run::announce(repo, options.now, &options.host, TOOL)?;
    let mut traces = Traces::default();
    let result = commit_again(repo, &mut run, &history, forgotten, options, &mut traces, monitor);
    if traces.has_put_manifest {
        // A manifest whose put failed may still arrive. Then somebody must know of this run, so that it's declared dead first.
        if result.is_ok() {
            run.unpin(repo);
        }
        return result;
    }
    // It can't commit any more, so what it pinned needn't wait until it's declared dead. Courtesies.
    for key in traces.note.map(|note| key::note(note, 0)).into_iter().chain([key::run(run.id)]) {
        let _ = repo.store().delete(&key);
    }
    run.unpin(repo);
    result
}

/// What an attempt left behind.
#[derive(Default)]
struct Traces {
    /// The note that carries tags and protection over.
    note: Option<RunId>,
    /// Whether it tried to put its manifest.
    has_put_manifest: bool,
}

/// The steps of a run that was announced.
fn commit_again(
    repo: &Repo<Full>,
    run: &mut Run,
    history: &History,
    forgotten: RunId,
    options: &UndoOptions,
    traces: &mut Traces,
    monitor: &dyn Monitor,
) -> Result<Option<RunId>, UndoError> {
    within_grace(repo, forgotten, run.id, options)?;
    let Loaded { mut open, sealed, manifest } = load(repo, forgotten)?;
    monitor.progress().enter("reading the index");
    let (view, _) = View::for_reading(repo)?;
    let view = Arc::new(view);
    let marks = {
        let reader = Reader::new(repo, Arc::clone(&view));
        let mut marks = Marks::default();
        let walked = Reach::new(&reader).mark(&manifest.root, &mut marks, &|| !monitor.interrupted());
        if !walked.map_err(|source| UndoError::Unreadable { run: forgotten, source })? {
            return Err(UndoError::Interrupted);
        }
        marks
    };
    let relied = holders(&view, &marks);
    run.pin(repo, relied.iter().filter_map(|&number| view.pack_id(number)).collect::<Vec<PackId>>())?;
    let lost: HashSet<u32> = run::last_look(repo, &view, &[], &relied)?.lost.into_iter().collect();
    let gone = marks.frames().filter(|frame| !is_covered(&view, frame, &marks, &lost)).count();
    if gone > 0 {
        return Err(UndoError::Gone { run: forgotten, frames: gone as u64 });
    }
    let sound: Vec<u32> = relied.into_iter().filter(|number| !lost.contains(number)).collect();
    let fence = run.fence(repo, &view)?;
    let writer = Writer::start(WriterStart {
        store: Arc::clone(repo.store()),
        keys: Arc::clone(repo.keys()),
        run: run.id,
        view: Arc::clone(&view),
        fence,
        clock: Clock::default(),
    })?;
    let durable = writer.finish()?;
    open.sequence = history.next();
    open.previous = history.last().map(|last| last.hash);
    open.brings_back = Some(open.brings_back.unwrap_or(forgotten));
    open.needs = None;
    // Somebody wants just this one, whatever its run came to.
    open.checkpoint_of = None;
    if !run::last_look(repo, &view, &[], &sound)?.lost.is_empty() {
        return Ok(None);
    }
    let again = envelope::seal_manifest(
        repo.keys(),
        run.id,
        &durable.run_key,
        &durable.opening.wrap,
        &cbor::encode(&open),
        &sealed,
    )
    .map_err(|why| RepoError::damaged(&why.key, &why.fault))?;
    // Before the commit, so that no snapshot comes back without its protection; of a run that isn't committed it says nothing.
    if let Some(note) = notes::notes(repo)?.carried(forgotten, run.id, &manifest.tags, options.now) {
        traces.note = Some(notes::write(repo, &note)?);
    }
    traces.has_put_manifest = true;
    if run.commit(repo, &durable, again)? == Commit::Stopped {
        return Ok(None);
    }
    Ok(Some(run.id))
}

/// Whether the tombstone is young enough. The store's clock decides: what it says of the run that was just announced is its time now.
fn within_grace(repo: &Repo<Full>, forgotten: RunId, mine: RunId, options: &UndoOptions) -> Result<(), UndoError> {
    let store = &**repo.store();
    let there = store.length(&key::snapshot(forgotten)).map_err(RepoError::from)?.is_some();
    let tombstone = match tombstone(repo, forgotten)? {
        Some(tombstone) if there && !tombstone.dead => tombstone,
        None if there => return Err(UndoError::NotForgotten(forgotten)),
        _ => return Err(UndoError::NotFound(forgotten)),
    };
    let modified = |prefix: &str, wanted: String| {
        let mut found = None;
        store.list(prefix, &mut |listed| {
            if listed.key == wanted {
                found = listed.modified;
            }
        })?;
        Ok::<_, RepoError>(found)
    };
    let now = modified(key::RUNS, key::run(mine))?.unwrap_or(options.now.seconds);
    let then = modified(key::FORGOTTEN, key::forgotten(forgotten))?.unwrap_or(tombstone.time.seconds);
    let grace = i64::try_from(options.grace.as_secs()).unwrap_or(i64::MAX);
    let left = then.saturating_add(grace).saturating_sub(now);
    if left > 0 { Ok(()) } else { Err(UndoError::TooLate { run: forgotten, seconds: -left }) }
}

/// A manifest: its open part, the sealed one as it stands there, and what it says.
struct Loaded {
    open: OpenPart,
    sealed: Vec<u8>,
    manifest: Manifest,
}

fn load(repo: &Repo<Full>, run: RunId) -> Result<Loaded, UndoError> {
    let store_key = key::snapshot(run);
    let bytes = match repo.store().get(&store_key, MAX_OBJECT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StoreErrorKind::NotFound => return Err(UndoError::NotFound(run)),
        Err(error) => return Err(RepoError::from(error).into()),
    };
    let damaged = |why: &dyn std::fmt::Display| RepoError::damaged(&store_key, why);
    let envelope = envelope::open_manifest(repo.read_keys(), run, &bytes).map_err(|why| damaged(&why.fault))?;
    let sealed = envelope.open_sealed_part(repo.read_keys()).map_err(|why| damaged(&why.fault))?;
    let open: OpenPart = needs::decode("manifest", envelope.open_part()).map_err(|why| damaged(&why))?;
    let manifest = snapshots::load(repo, run)?.manifest;
    Ok(Loaded { open, sealed, manifest })
}

/// The packs that hold a chunk that is marked.
fn holders(view: &View, marks: &Marks) -> Vec<u32> {
    let mut packs = BTreeSet::new();
    for frame in marks.frames() {
        let Some(marked) = marks.get(frame) else { continue };
        for place in view.frames().all(frame) {
            if view.is_listed(place.pack) && marked.count_in(place.first.into(), place.count.into()) > 0 {
                packs.insert(place.pack);
            }
        }
    }
    packs.into_iter().collect()
}

/// Whether packs that aren't lost hold all chunks of a frame that are marked.
fn is_covered(view: &View, frame: &FrameId, marks: &Marks, lost: &HashSet<u32>) -> bool {
    let mut places = view.frames().all(frame);
    places.retain(|place| view.is_listed(place.pack) && !lost.contains(&place.pack));
    let runs = places.iter().map(|place| (place.first, place.count));
    marks.get(frame).is_none_or(|marked| marked.is_covered_by(&runs))
}
