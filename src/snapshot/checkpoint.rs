//! Checkpoints: snapshots of what a long run has done so far, which it commits while it goes on.
//!
//! To the protocol a checkpoint is a run of its own, as an undo is: it's announced, pins the packs of the run that goes on and those of others that this one relies on, looks at condemnations and at the
//! listing after that, commits a manifest, and looks for a stop. It stores nothing itself. So a pruner meets it as it meets any writer that relies on another's packs, whatever becomes of the run that
//! goes on; and what the next run of this host relies on is pinned before anything else, since it's what the last manifest made here reaches.
//!
//! A checkpoint is incomplete, names the run that it belongs to, and says in its problems what wasn't reached. It holds nothing that wasn't read to its end. But prunes keep all packs of
//! its run as long as it stands for that, so that what was stored of a dump or a file that takes more than a night needn't be stored again.

use crate::repo::cbor;
use crate::repo::clock::Clock;
use crate::repo::envelope;
use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::key;
use crate::repo::id::{PackId, RunId};
use crate::repo::record::Stop;
use crate::repo::repository::{Access, Repo};
use crate::repo::run::{self, Commit, Run};
use crate::repo::view::View;
use crate::repo::writer::{Settled, WriteError, Writer};
use crate::snapshot::backup::{BackupError, TOOL};
use crate::snapshot::capture::Captured;
use crate::snapshot::history::{History, OwnManifest};
use crate::snapshot::manifest::State;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::recorder::Recorder;
use crate::snapshot::vanished::remember;
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// After how much of a run's time a checkpoint is due, unless the user says otherwise.
pub const EVERY: Duration = Duration::from_mins(45);

/// When checkpoints are taken.
#[derive(Debug, Clone)]
pub struct Cadence {
    /// After how much time since the last one, or since the run began; `None`: never.
    pub every: Option<Duration>,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { every: Some(EVERY), clock: Clock::default() }
    }
}

/// Takes checkpoints. A capture asks it now and then, where what it has done so far could be restored.
pub trait Checkpoints {
    /// Whether it's time for one, and something new was stored since the last.
    fn is_due(&self) -> bool;

    /// Makes what was stored durable, and commits what was captured so far. Gives whether it's committed: that it can't be is a warning, and the run goes on.
    ///
    /// # Errors
    /// If the run itself can't go on: what it stored can't be made durable, the user wants an end, or a pruner took the run for dead.
    fn take(&self, so_far: Captured) -> Result<bool, BackupError>;
}

/// Takes none.
pub struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    fn is_due(&self) -> bool {
        false
    }

    fn take(&self, _: Captured) -> Result<bool, BackupError> {
        Ok(false)
    }
}

/// The checkpoints of one run.
pub(super) struct RunCheckpoints<'c, A: Access> {
    pub repo: &'c Repo<A>,
    pub recorder: &'c Recorder<'c>,
    /// The run that goes on.
    pub run: RunId,
    pub view: &'c View,
    pub writer: &'c Writer,
    pub monitor: &'c dyn Monitor,
    pub state: RefCell<Progressing>,
}

/// What changes from one checkpoint to the next.
pub(super) struct Progressing {
    /// The manifests of the credential.
    pub history: History,
    /// A manifest may be there that isn't in the history, because the answer to its put was lost.
    pub is_uncertain: bool,
    /// By the clock, when the run began.
    pub begun: Duration,
    /// When the last checkpoint was taken or tried, and how many bytes were new by then.
    pub last: (Duration, u64),
}

impl Progressing {
    pub(super) fn new(history: History, cadence: &Cadence) -> Self {
        let begun = cadence.clock.now();
        Self { history, is_uncertain: false, begun, last: (begun, 0) }
    }

    /// The history, read again if it may lack something.
    pub(super) fn history<A: Access>(&mut self, repo: &Repo<A>) -> &mut History {
        if self.is_uncertain
            && let Ok(again) = History::load(repo)
        {
            (self.history, self.is_uncertain) = (again, false);
        }
        &mut self.history
    }
}

impl<A: Access> Checkpoints for RunCheckpoints<'_, A> {
    fn is_due(&self) -> bool {
        let Cadence { every: Some(every), clock } = self.cadence() else { return false };
        let (at, raw) = self.state.borrow().last;
        !self.recorder.options.dry_run
            && self.writer.written().raw_bytes.load(Ordering::Relaxed) > raw
            && clock.now().saturating_sub(at) >= *every
    }

    fn take(&self, so_far: Captured) -> Result<bool, BackupError> {
        let raw = self.writer.written().raw_bytes.load(Ordering::Relaxed);
        self.heed_a_stop()?;
        let go_on = || if self.monitor.interrupted() { Err(WriteError::Interrupted) } else { Ok(()) };
        let settled = self.writer.settle(&go_on).map_err(|error| self.writer.first_error(error))?;
        let (files, bytes) = (so_far.statistics.files, so_far.statistics.bytes);
        let committed = self.commit(&settled, so_far);
        self.state.borrow_mut().last = (self.cadence().clock.now(), raw);
        match committed {
            Ok(Some(checkpoint)) => {
                self.monitor.checkpoint(checkpoint, files, bytes);
                Ok(true)
            }
            Ok(None) => {
                self.monitor.warning("no checkpoint: packs that it needs were removed; the backup goes on");
                // Perhaps those of this very run, by a pruner that took it for dead.
                self.heed_a_stop()?;
                Ok(false)
            }
            Err(error) => {
                self.monitor.warning(&format!("no checkpoint, and the backup goes on: {error}"));
                Ok(false)
            }
        }
    }
}

impl<A: Access> RunCheckpoints<'_, A> {
    fn cadence(&self) -> &Cadence {
        &self.recorder.options.checkpoints
    }

    /// What a run stores that was declared dead may be deleted at any time: it begins again at once, rather than when all is captured. That it can't be asked is no reason to end: the commit asks again.
    fn heed_a_stop(&self) -> Result<(), BackupError> {
        match fetch::by_admin::<_, Stop>(self.repo, &key::stop(self.run)) {
            Ok(Some(_)) => Err(BackupError::Stopped(self.run)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// The steps of the checkpoint's own run. `None` if what it relies on isn't there, or a pruner took it for dead.
    fn commit(&self, settled: &Settled, so_far: Captured) -> Result<Option<RunId>, RepoError> {
        let mut run = Run::announce(self.repo, self.recorder.started, &self.recorder.options.host, TOOL)?;
        let mut has_put_manifest = false;
        let committed = self.commit_as(&mut run, settled, so_far, &mut has_put_manifest);
        if !has_put_manifest {
            // It can't commit any more, so what it pinned needn't wait until it's declared dead. A courtesy.
            let _ = self.repo.store().delete(&key::run(run.id));
        } else if committed.is_err() {
            // Its manifest may still arrive, so its pins stay.
            return committed;
        }
        run.unpin(self.repo);
        committed
    }

    fn commit_as(
        &self,
        run: &mut Run,
        settled: &Settled,
        so_far: Captured,
        has_put_manifest: &mut bool,
    ) -> Result<Option<RunId>, RepoError> {
        let (repo, view) = (self.repo, self.view);
        let durable = settled.relied_on_by(run.id, repo.keys(), view);
        let reach: Vec<PackId> = durable.relied.iter().filter_map(|&number| view.pack_id(number)).collect();
        run.pin(repo, reach.iter().copied())?;
        if !run::last_look(repo, view, &[], &durable.relied)?.lost.is_empty() {
            return Ok(None);
        }
        let mut state = self.state.borrow_mut();
        let begun = state.begun;
        let history = state.history(repo);
        let (mut open, sealed) = self.recorder.parts(self.counted(settled, so_far, begun), history);
        (open.state, open.checkpoint_of) = (State::Incomplete, Some(self.run));
        let (open_part, sealed_part) = (cbor::encode(&open), cbor::encode(&sealed));
        let wrap = &durable.opening.wrap;
        let manifest = envelope::seal_manifest(repo.keys(), run.id, &durable.run_key, wrap, &open_part, &sealed_part)
            .map_err(|why| RepoError::damaged(&key::snapshot(run.id), why))?;
        let hash = *blake3::hash(&manifest).as_bytes();
        *has_put_manifest = true;
        match run.commit(repo, &durable, manifest) {
            Ok(Commit::Done) => {
                state.history.add(OwnManifest::of(run.id, hash, &open), reach);
                remember(repo, run.id, self.monitor);
                Ok(Some(run.id))
            }
            other => {
                state.is_uncertain = true;
                other.map(|_| None)
            }
        }
    }

    /// What is captured so far, with what was stored by now.
    fn counted(&self, settled: &Settled, mut so_far: Captured, begun: Duration) -> Captured {
        let (written, statistics) = (self.writer.written(), &mut so_far.statistics);
        statistics.raw_added = written.raw_bytes.load(Ordering::Relaxed);
        statistics.chunks_added = written.chunks.load(Ordering::Relaxed);
        (statistics.stored_added, statistics.packs_added) = settled.stored();
        let took = self.cadence().clock.now().saturating_sub(begun);
        statistics.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        so_far
    }
}
