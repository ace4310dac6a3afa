//! Keeps what a check verifies, while it goes on.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::id::PackId;
use crate::repo::repository::{Full, Repo};
use crate::repo::verified::Verified;
use crate::snapshot::check::Verification;
use crate::snapshot::check::budget::Budget;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A note is written after so long at the latest, so that a check that is killed needn't be done again.
const NOTE_AGE: Duration = Duration::from_mins(5);

/// What was verified, by earlier checks and by this one. Used by many threads.
pub(super) struct Verifying<'r> {
    repo: &'r Repo<Full>,
    /// When this check began: the time that its notes give, so that the next day's check isn't late because this one took long.
    began: Time,
    state: Mutex<State>,
}

struct State {
    verified: Verified,
    /// Packs that no note holds yet, and since when.
    pending: Vec<PackId>,
    since: Instant,
    /// Whether this check verified anything: one that doesn't read data writes nothing.
    noted: bool,
    /// Why a note couldn't be written.
    failed: Option<RepoError>,
}

impl<'r> Verifying<'r> {
    /// Reads what earlier checks noted.
    pub(super) fn begin(repo: &'r Repo<Full>, began: Time) -> Result<Self, RepoError> {
        let verified = Verified::load(repo, began)?;
        let state = State { verified, pending: Vec::new(), since: Instant::now(), noted: false, failed: None };
        Ok(Self { repo, began, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packs that a budget lets be read now.
    pub(super) fn due(&self, budget: Budget, packs: Vec<(PackId, u64)>) -> Vec<(PackId, u64)> {
        budget.choose(packs, &self.lock().verified, self.began)
    }

    /// A pack was read and is whole.
    pub(super) fn add(&self, pack: PackId) {
        let mut state = self.lock();
        state.pending.push(pack);
        if state.since.elapsed() >= NOTE_AGE {
            self.write(&mut state);
        }
    }

    /// Writes what no note holds yet.
    pub(super) fn finish(&self) {
        self.write(&mut self.lock());
    }

    /// That it can't be kept is no reason to end a check that finds damage.
    fn write(&self, state: &mut State) {
        let packs = std::mem::take(&mut state.pending);
        state.since = Instant::now();
        state.noted |= !packs.is_empty();
        if let Err(error) = state.verified.note(self.repo, self.began, packs) {
            state.failed = Some(error);
        }
    }

    /// Puts notes together if they are many, and tells how long ago the packs were verified, and what couldn't be kept.
    pub(super) fn end(self, listed: &[(PackId, u64)]) -> (Verification, Option<String>) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { mut verified, mut failed, noted, .. } = state;
        if noted && failed.is_none() {
            let packs: HashSet<PackId> = listed.iter().map(|(pack, _)| *pack).collect();
            failed = verified.tidy(self.repo, self.began, &packs).err();
        }
        let times = || listed.iter().map(|(pack, _)| verified.time(pack));
        let never = times().filter(Option::is_none).count() as u64;
        let verification = Verification { at: self.began, oldest: times().flatten().min(), never };
        let warning = failed.map(|why| format!("which packs were verified couldn't be noted in the repository: {why}"));
        (verification, warning)
    }
}
