//! The steps of a run, in the order that keeps it safe beside pruners (`docs/protocol.md`; numbers are its steps).
//!
//! Each step is one function. `snapshot::backup` calls them in order.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::fetch::{self, read_back};
use crate::repo::format::key;
use crate::repo::gc::records;
use crate::repo::id::{PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::pack_set::PackSet;
use crate::repo::record::{self, Pins, RunRecord, Stop};
use crate::repo::repository::{Access, Repo};
use crate::repo::sabotage::{self, is_off};
use crate::repo::view::View;
use crate::repo::writer::Durable;
use bytes::Bytes;
use std::collections::HashSet;

/// A run that was announced.
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Packs that its pins name.
    pinned: HashSet<PackId>,
    pins_written: u64,
    /// Whether it writes nothing.
    pretends: bool,
}

/// What the fence tells of packs that the local index knows.
pub struct Fence {
    /// Packs that the run may rely on.
    pub passed: PackSet,
    /// Packs that a pruner condemned and that are gone. Others that are gone were lost.
    pub pruned: PackSet,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The snapshot is there and stays.
    Done,
    /// A pruner had declared the run dead: it must be done again as a new run.
    Stopped,
}

impl Run {
    /// Step 1: announces a run, before anything else of it is written.
    pub fn announce<A: Access>(repo: &Repo<A>, started: Time, host: &str, tool: &str) -> Result<Self, RepoError> {
        let id = repo.keys().new_run();
        announce(repo, id, started, host, tool)?;
        Ok(Self { id, pinned: HashSet::new(), pins_written: 0, pretends: false })
    }

    /// A run that nobody hears of, since it will write nothing.
    pub fn pretend<A: Access>(repo: &Repo<A>) -> Self {
        Self { id: repo.keys().new_run(), pinned: HashSet::new(), pins_written: 0, pretends: true }
    }

    /// Step 2a: pins packs that the run will rely on; nothing if all of them are pinned.
    pub fn pin<A: Access>(&mut self, repo: &Repo<A>, packs: impl IntoIterator<Item = PackId>) -> Result<(), RepoError> {
        let mut packs: Vec<PackId> = packs.into_iter().filter(|pack| !self.pinned.contains(pack)).collect();
        if packs.is_empty() || self.pretends || is_off(sabotage::Fence::WriterPins) {
            self.pinned.extend(packs);
            return Ok(());
        }
        packs.sort_unstable();
        let body = Pins { needs: Needs::NONE, packs: packs.clone() };
        let key = key::pins(self.id, self.pins_written);
        // Counted before: also one that was written in part is taken away in the end.
        self.pins_written += 1;
        let written = put_record(repo, &key, &body)?;
        // A pruner that finds half a record can't tell what is pinned.
        read_back(repo, &key, &written)?;
        self.pinned.extend(packs);
        Ok(())
    }

    /// Step 2b, the fence: looks at condemnations and at the listing *after* pinning. What passes is listed with its right length and
    /// condemned by nobody.
    pub fn fence<A: Access>(&self, repo: &Repo<A>, view: &View) -> Result<Fence, RepoError> {
        let condemned = condemned(repo)?;
        view.list_packs(&**repo.store())?;
        let new = || PackSet::new(view.pack_numbers());
        let fence = Fence { passed: new(), pruned: new() };
        for (number, row) in view.packs().rows() {
            let condemned = condemned.contains(&row.id);
            if view.is_listed(number) {
                if !condemned {
                    fence.passed.insert(number);
                }
            } else if condemned || !self.pinned.contains(&row.id) {
                // A pack that the last snapshot of this host reaches can't have gone rightly; of others that is most likely.
                fence.pruned.insert(number);
            }
        }
        Ok(fence)
    }

    /// Step 6: commits the manifest, then looks for a stop.
    ///
    /// What others wrote is made durable before: the last look may have shown a pack whose writer was killed before it was.
    pub fn commit<A: Access>(&self, repo: &Repo<A>, durable: &Durable, manifest: Vec<u8>) -> Result<Commit, RepoError> {
        debug_assert_eq!(durable.run, self.id);
        let manifest = Bytes::from(manifest);
        repo.store().settle()?;
        fetch::put_and_read_back(repo, &key::snapshot(self.id), &manifest)?;
        if is_off(sabotage::Fence::LookForStop) {
            return Ok(Commit::Done);
        }
        Ok(match fetch::by_admin::<_, Stop>(repo, &key::stop(self.id))? {
            Some(_) => Commit::Stopped,
            None => Commit::Done,
        })
    }

    /// Step 7: removes the pins. They count for nothing any more, so a failure is no error.
    pub fn unpin<A: Access>(self, repo: &Repo<A>) {
        for n in 0..self.pins_written {
            let _ = repo.store().delete(&key::pins(self.id, n));
        }
    }
}

/// Announces that a run has begun: pruners leave its packs alone until it's decided.
pub fn announce<A: Access>(repo: &Repo<A>, run: RunId, started: Time, host: &str, tool: &str) -> Result<(), RepoError> {
    let body = RunRecord { needs: Needs::NONE, started, host: host.to_owned(), tool: tool.to_owned() };
    put_record(repo, &key::run(run), &body).map(|_| ())
}

/// Step 5, the last look: which packs that the run relies on are missing, of another length, or condemned.
pub fn last_look<A: Access>(
    repo: &Repo<A>,
    view: &View,
    own: &[(PackId, u64)],
    relied: &[u32],
) -> Result<LastLook, RepoError> {
    if is_off(sabotage::Fence::LastLook) {
        return Ok(LastLook { own_lost: None, lost: Vec::new() });
    }
    let condemned = condemned(repo)?;
    view.list_packs(&**repo.store())?;
    let is_sound =
        |number: u32| view.is_listed(number) && view.pack_id(number).is_some_and(|id| !condemned.contains(&id));
    let own_lost = own.iter().map(|(id, _)| *id).find(|id| !view.packs().number(id).is_some_and(is_sound));
    let lost = relied.iter().copied().filter(|&number| !is_sound(number));
    Ok(LastLook { own_lost, lost: lost.collect() })
}

/// What the last look found.
pub struct LastLook {
    /// A pack that this run wrote and that is gone, if there is one.
    pub own_lost: Option<PackId>,
    /// Packs of others that can't be relied on any more.
    pub lost: Vec<u32>,
}

/// What pruners condemned.
fn condemned<A: Access>(repo: &Repo<A>) -> Result<HashSet<PackId>, RepoError> {
    if is_off(sabotage::Fence::WriterCondemnations) {
        return Ok(HashSet::new());
    }
    records::condemned(repo)
}

/// Seals, signs and writes a record; gives its bytes.
fn put_record<A: Access, T: record::ByRun>(repo: &Repo<A>, key: &str, body: &T) -> Result<Bytes, RepoError> {
    let sealed = Bytes::from(record::seal_record(repo.keys(), key, body));
    repo.store().put(key, &sealed)?;
    Ok(sealed)
}
