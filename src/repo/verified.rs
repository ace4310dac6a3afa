//! Which packs were read and found whole, and when: notes in the repository, so that every host knows and a check goes on where the last
//! one ended (`docs/format.md`, section 3, *Records*, `T`).

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::id::{PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::note::{self, FoundNote};
use crate::repo::record::{Note, VerifiedPacks};
use crate::repo::repository::{Full, Repo};
use std::collections::{BTreeMap, HashMap, HashSet};

/// More notes than this of one credential are put together to one.
const MOST_NOTES: usize = 16;

/// When packs were verified last, by all notes that count.
#[derive(Debug, Default)]
pub struct Verified {
    times: HashMap<PackId, Time>,
    /// Keys of notes of this credential that say nothing else.
    own: Vec<String>,
}

impl Verified {
    /// Reads the notes. Those that aren't a full credential's count as absent; so do times later than `now`, which a wrong clock wrote: by
    /// them a pack would never be due again.
    pub fn load(repo: &Repo<Full>, now: Time) -> Result<Self, RepoError> {
        let found = note::load(repo)?.sound;
        let withdrawn: HashSet<RunId> = found.iter().flat_map(|found| found.note.withdraws.iter().copied()).collect();
        let mut verified = Self::default();
        for FoundNote { key, note, by, .. } in found.into_iter().filter(|found| !withdrawn.contains(&found.run)) {
            if by == repo.credential() && says_nothing_else(&note) {
                verified.own.push(key);
            }
            for VerifiedPacks { time, packs } in note.verified.into_iter().filter(|part| part.time <= now) {
                for pack in packs {
                    verified.remember(pack, time);
                }
            }
        }
        Ok(verified)
    }

    /// When a pack was verified last.
    pub fn time(&self, pack: &PackId) -> Option<Time> {
        self.times.get(pack).copied()
    }

    /// The latest time at which any of `packs` was verified.
    pub fn newest<'p>(&self, packs: impl IntoIterator<Item = &'p PackId>) -> Option<Time> {
        packs.into_iter().filter_map(|pack| self.time(pack)).max()
    }

    /// Notes here that a pack was verified.
    pub fn remember(&mut self, pack: PackId, time: Time) {
        let latest = self.times.entry(pack).or_insert(time);
        *latest = time.max(*latest);
    }

    /// Keeps that `packs` were verified: first in the repository, then here.
    pub fn note(&mut self, repo: &Repo<Full>, time: Time, packs: Vec<PackId>) -> Result<(), RepoError> {
        if packs.is_empty() {
            return Ok(());
        }
        for pack in &packs {
            self.remember(*pack, time);
        }
        self.own.push(put(repo, time, vec![VerifiedPacks { time, packs }])?);
        Ok(())
    }

    /// Puts the notes of this credential together to one, if there are too many. It holds the newest time of each pack that is still `listed`.
    pub fn tidy(&mut self, repo: &Repo<Full>, now: Time, listed: &HashSet<PackId>) -> Result<(), RepoError> {
        if self.own.len() <= MOST_NOTES {
            return Ok(());
        }
        let mut by_time: BTreeMap<Time, Vec<PackId>> = BTreeMap::new();
        for (pack, time) in self.times.iter().filter(|(pack, _)| listed.contains(pack)) {
            by_time.entry(*time).or_default().push(*pack);
        }
        let part = |(time, mut packs): (Time, Vec<PackId>)| {
            packs.sort_unstable();
            VerifiedPacks { time, packs }
        };
        let key = put(repo, now, by_time.into_iter().map(part).collect())?;
        for superseded in std::mem::replace(&mut self.own, vec![key]) {
            // A courtesy: one that stays says what the new one says, too.
            let _ = repo.store().delete(&superseded);
        }
        Ok(())
    }
}

/// Whether a note holds nothing but packs that were verified.
fn says_nothing_else(note: &Note) -> bool {
    let Note { needs: _, time: _, snapshot, tags, untags, protects, withdraws, verified: _ } = note;
    snapshot.is_none() && tags.is_empty() && untags.is_empty() && !protects && withdraws.is_empty()
}

/// Writes a note under a run id of its own, and gives its key.
fn put(repo: &Repo<Full>, time: Time, verified: Vec<VerifiedPacks>) -> Result<String, RepoError> {
    let note = Note {
        needs: Needs::NONE,
        time,
        snapshot: None,
        tags: Vec::new(),
        untags: Vec::new(),
        protects: false,
        withdraws: Vec::new(),
        verified,
    };
    Ok(note::write(repo, &note)?.1)
}
