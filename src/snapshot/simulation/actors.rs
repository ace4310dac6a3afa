//! Who acts: hosts that back up, pruners, somebody who forgets, checks and repairs, and a writer that forges. All of them run the real code, each in a thread of its own.

use super::chance::Chance;
use super::content::{MemoryCapture, Night, Seen};
use super::faults::Kind;
use super::history::Task;
use super::oracle::Promises;
use super::store::{Truth, World};
use crate::repo::clock::Clock;
use crate::repo::format::key;
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::keys::WriteKeys;
use crate::repo::pack::parse;
use crate::repo::repair::index;
use crate::repo::repository::{AnyRepo, Full, Repo};
use crate::repo::store::Store;
use crate::snapshot::backup::{self, BackupOptions, TOOL};
use crate::snapshot::check::{CheckOptions, Reading, Subset, check};
use crate::snapshot::forget::{self, ForgetPlan};
use crate::snapshot::monitor::{Monitor, Progress, Silent};
use crate::snapshot::policy::Options;
use crate::snapshot::prune::{GRACE, PruneOptions, prune};
use crate::snapshot::repair::packs::{self, PacksOptions};
use crate::snapshot::snapshots;
use crate::snapshot::undo::{UndoOptions, undo};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Somebody who acts.
pub(super) struct Actor {
    pub(super) number: usize,
    pub(super) repo: Arc<AnyRepo>,
    pub(super) world: Arc<World>,
    pub(super) promises: Arc<Mutex<Promises>>,
    pub(super) chance: Chance,
    /// Its cache, and those of all.
    pub(super) cache: PathBuf,
    pub(super) caches: PathBuf,
    pub(super) seen: Seen,
    /// If its backups take checkpoints: by which choices.
    pub(super) checkpoints: Option<Chance>,
}

impl Actor {
    /// Does one thing. That it fails is part of the history.
    pub(super) fn act(&mut self, task: &Task) -> String {
        match task {
            Task::BackUp(night) => self.back_up(night),
            Task::BackUpBlindly(night) => {
                // The index, and the fence.
                self.world.lock().blind[self.number] = 2;
                let told = self.back_up(night);
                self.world.lock().blind[self.number] = 0;
                told
            }
            Task::Prune(max_unused) => self.full(|actor, repo| {
                let now = actor.world.lock().clock.told_to(actor.number);
                let mut options = PruneOptions::at(now);
                (options.max_delete, options.plan.max_unused) = (100, *max_unused);
                match prune(repo, &options, &Silent::default()) {
                    Ok(report) => format!("{report:?}"),
                    Err(error) => format!("{error}"),
                }
            }),
            Task::Forget => self.full(|actor, repo| actor.forget(repo, false)),
            Task::ForgetFirst => self.full(|actor, repo| actor.forget(repo, true)),
            Task::Undo => self.full(Self::undo),
            Task::Repair => self.full(Self::repair),
            Task::Check => self.full(Self::check),
            Task::LoseCopy => self.full(Self::lose_copy),
            Task::Pass(seconds) => {
                self.world.lock().clock.pass(*seconds);
                String::new()
            }
            Task::LoseCache => {
                let _ = std::fs::remove_dir_all(&self.cache);
                self.seen.clear();
                String::new()
            }
            Task::TakeCache => {
                self.take_cache();
                String::new()
            }
            Task::Forge => self.forge().map_or_else(|error| error.to_string(), |()| String::new()),
        }
    }

    fn full(&mut self, work: impl FnOnce(&mut Self, &Repo<Full>) -> String) -> String {
        match &*Arc::clone(&self.repo) {
            AnyRepo::Full(full) => work(self, full),
            AnyRepo::WriteOnly(_) => "a write-only credential can't do this".to_owned(),
        }
    }

    fn back_up(&mut self, night: &Night) -> String {
        let time = self.world.lock().clock.told_to(self.number);
        let options = BackupOptions {
            host: format!("host-{}", self.number),
            zone: "UTC".to_owned(),
            time: Some(time),
            ..BackupOptions::default()
        };
        let capture = MemoryCapture {
            night,
            seen: &self.seen,
            chance: RefCell::new(self.chance.fork()),
            world: Arc::clone(&self.world),
            actor: self.number,
            checkpoints: self.checkpoints.as_mut().map(|chance| RefCell::new(chance.fork())),
            now_seen: RefCell::default(),
        };
        let (clock, monitor) = (Clock::default(), Hearing::default());
        let done = match &*self.repo {
            AnyRepo::Full(repo) => backup::take(repo, &options, &capture, None, &clock, &monitor),
            AnyRepo::WriteOnly(repo) => backup::take(repo, &options, &capture, None, &clock, &monitor),
        };
        let checkpoints = monitor.checkpoints.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.promises.lock().unwrap_or_else(PoisonError::into_inner).reported.extend(checkpoints);
        match done {
            Ok(summary) => {
                let seen = capture.now_seen.into_inner();
                self.seen.extend(seen);
                let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
                promises.reported.extend(summary.snapshot);
                format!("{:?}", summary.snapshot)
            }
            Err(error) => error.to_string(),
        }
    }

    fn forget(&mut self, repo: &Repo<Full>, is_first: bool) -> String {
        let found = match snapshots::snapshots(repo) {
            Ok(found) => found,
            Err(error) => return error.to_string(),
        };
        let list = &found.list;
        // The last one stays: without any snapshot nothing is pruned.
        let some = &list[..list.len().saturating_sub(1)];
        let chosen = if is_first { some.first() } else { self.chance.pick(some) };
        let Some(run) = chosen.map(|snapshot| snapshot.id) else {
            return "nothing to forget".to_owned();
        };
        self.promises.lock().unwrap_or_else(PoisonError::into_inner).forgotten.insert(run);
        let now = self.world.lock().clock.told_to(self.number);
        let options = Options { now: now.seconds, allow_empty_group: true, ..Options::default() };
        match forget::execute(repo, &ForgetPlan::by_ids(&found, &[run], &options), now) {
            Ok(forgotten) => format!("{:?}", forgotten.ids),
            Err(error) => error.to_string(),
        }
    }

    /// All packs are read, and what is found damaged is set aside, which may be because a read went wrong; and the index is written again for packs that it doesn't name.
    fn repair(&mut self, repo: &Repo<Full>) -> String {
        let now = self.world.lock().clock.told_to(self.number);
        let all = Some(Reading::Subset(Subset::All));
        let options = PacksOptions { read_data: all, now: Some(now), ..PacksOptions::default() };
        let packs = match packs::repair(repo, &options, &Silent::default()) {
            Ok((plan, outcome)) => format!("{} damaged, {outcome:?}", plan.damaged.len()),
            Err(error) => error.to_string(),
        };
        let index = index::plan(repo).and_then(|plan| plan.carry_out(repo, now, "", TOOL));
        let index = index.map_or_else(|error| error.to_string(), |run| format!("{run:?}"));
        format!("{packs}; index: {index}")
    }

    /// A check that reads all, and notes what it verified.
    fn check(&mut self, repo: &Repo<Full>) -> String {
        let now = self.world.lock().clock.told_to(self.number);
        let options = CheckOptions { read_data: Some(Reading::Subset(Subset::All)), time: Some(now) };
        match check(repo, &options, &Silent::default()) {
            Ok(report) => format!("{} errors", report.errors.len()),
            Err(error) => error.to_string(),
        }
    }

    fn undo(&mut self, repo: &Repo<Full>) -> String {
        let forgotten: Vec<RunId> = {
            let promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
            promises.forgotten.iter().copied().collect()
        };
        let Some(&run) = self.chance.pick(&forgotten) else { return "nothing to bring back".to_owned() };
        let now = {
            let mut state = self.world.lock();
            let content = state.manifests.get(&key::snapshot(run)).cloned().unwrap_or_default();
            state.captured[self.number] = content;
            state.clock.told_to(self.number)
        };
        match undo(repo, run, &UndoOptions { now, grace: GRACE, host: String::new() }, &Silent::default()) {
            Ok(id) => {
                self.promises.lock().unwrap_or_else(PoisonError::into_inner).reported.insert(id);
                format!("{id}")
            }
            Err(error) => error.to_string(),
        }
    }

    fn lose_copy(&mut self, repo: &Repo<Full>) -> String {
        let truth = Truth(Arc::clone(&self.world));
        let mut packs = Vec::new();
        let listed = truth.list(key::PACKS, &mut |listed| {
            packs.extend(key::parse_pack(&listed.key).map(|pack| (pack, listed.length)));
        });
        let frames = |&(pack, length): &(PackId, u64)| -> Option<BTreeSet<FrameId>> {
            let trailer = parse::read_trailer(&truth, pack, length, repo.id(), repo.keys().domain()).ok()?;
            let whole = trailer.frames.into_iter().filter(|frame| frame.present.is_none());
            Some(whole.map(|frame| frame.id).collect())
        };
        // Not what a writer forged, nor what a lying disk keeps only a part of.
        let is_sound = |pack: &PackId| {
            truth
                .get(&key::pack(*pack), u64::MAX)
                .is_ok_and(|bytes| blake3::hash(&bytes).as_bytes() == pack.hash.as_bytes())
        };
        packs.retain(|(pack, _)| is_sound(pack));
        let held: Vec<(PackId, BTreeSet<FrameId>)> =
            packs.iter().filter_map(|pack| Some((pack.0, frames(pack)?))).collect();
        let elsewhere = |(pack, mine): &&(PackId, BTreeSet<FrameId>)| {
            let others = held.iter().filter(|(other, _)| other.run != pack.run);
            !mine.is_empty() && mine.iter().all(|frame| others.clone().any(|(_, theirs)| theirs.contains(frame)))
        };
        let doubled: Vec<PackId> = held.iter().filter(elsewhere).map(|(pack, _)| *pack).collect();
        let mut state = self.world.lock();
        let condemned = state.objects.keys().any(|key| key.starts_with(key::GC) && !key.contains("/zz-"));
        let has_forged = state.faults.hits[Kind::Forged as usize] > 0;
        match self.chance.pick(&doubled) {
            Some(pack) if listed.is_ok() && !condemned && !has_forged => {
                state.faults.hit(Kind::Lost);
                state.lose(&key::pack(*pack));
                format!("{pack} is lost")
            }
            _ => "nothing to lose".to_owned(),
        }
    }

    /// As a copy of a machine would, from before it wrote what it wrote since.
    fn take_cache(&mut self) {
        let Ok(others) = std::fs::read_dir(&self.caches) else { return };
        let mut others: Vec<PathBuf> = others.filter_map(|entry| Some(entry.ok()?.path())).collect();
        others.sort();
        others.retain(|other| *other != self.cache);
        if let Some(other) = self.chance.pick(&others) {
            let _ = std::fs::remove_dir_all(&self.cache);
            copy(other, &self.cache);
        }
    }

    pub(super) fn parts(&self) -> (Arc<dyn Store>, Arc<WriteKeys>) {
        match &*self.repo {
            AnyRepo::Full(repo) => (Arc::clone(repo.store()), Arc::clone(repo.keys())),
            AnyRepo::WriteOnly(repo) => (Arc::clone(repo.store()), Arc::clone(repo.keys())),
        }
    }
}

/// Hears of checkpoints, which are promises like any snapshot that is reported.
#[derive(Default)]
struct Hearing {
    progress: Progress,
    checkpoints: Mutex<Vec<RunId>>,
}

impl Monitor for Hearing {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn checkpoint(&self, snapshot: RunId, _: u64, _: u64) {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
    }
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::create_dir_all(to);
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            copy(&entry.path(), &target);
        } else {
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}
