//! Pruning: what no snapshot needs any more is removed, beside any number of writers and without a lock.
//!
//! Each step of `docs/protocol.md` is a function of [`crate::repo::gc`]; here they are called in their order, and what a snapshot reaches is known here only.

use crate::repo::cbor::Time;
use crate::repo::format::key;
use crate::repo::gc::canary::Canaries;
use crate::repo::gc::condemn::condemn;
use crate::repo::gc::error::GcError;
use crate::repo::gc::fence::{Roots, fence};
use crate::repo::gc::marks::Marks;
use crate::repo::gc::plan::{self, GcPlan, MaxUnused, PlanOptions};
use crate::repo::gc::prove::{Proven, Watch, prove};
use crate::repo::gc::records;
use crate::repo::gc::reserve;
use crate::repo::gc::rewrite::Rewriter;
use crate::repo::gc::survey::{ListedPack, Survey, SurveyOptions, survey};
use crate::repo::gc::sweep::{Swept, put_census, settle, sweep, tidy};
use crate::repo::gc::unknown;
use crate::repo::gc::usage::Usage;
use crate::repo::id::{PackId, RunId};
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::store::Store;
use crate::repo::view::View;
use crate::snapshot::backup::TOOL;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::reach::Reach;
use crate::snapshot::snapshots;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to prune.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// The time of this host.
    pub now: Time,
    /// For how long a forgotten snapshot still counts, by the store's time of its tombstone.
    pub grace: Duration,
    /// After how long without a sign of life a run is declared dead.
    pub stale_after: Duration,
    /// What may remain, and how much may be rewritten.
    pub plan: PlanOptions,
    /// Most percent of all bytes that may be deleted.
    pub max_delete: u8,
    /// No further pack is rewritten after so long.
    pub time_budget: Option<Duration>,
    /// Go on although snapshots are gone that nobody forgot.
    pub accept_census: bool,
    /// How long listings of this store may lag behind.
    pub listing_lag: Duration,
    /// Snapshots that are taken for forgotten although they aren't: to plan what forgetting them would bring.
    pub supposed: Vec<RunId>,
    /// The host's name, for the record of the run.
    pub host: String,
}

impl PruneOptions {
    /// The defaults, at this time.
    pub fn at(now: Time) -> Self {
        Self {
            now,
            grace: GRACE,
            stale_after: STALE_AFTER,
            plan: PlanOptions::default(),
            max_delete: MAX_DELETE,
            time_budget: None,
            accept_census: false,
            listing_lag: Duration::ZERO,
            supposed: Vec::new(),
            host: String::new(),
        }
    }
}

/// A forgotten snapshot can be brought back for so long.
pub const GRACE: Duration = Duration::from_hours(7 * 24);
/// A run of which nothing was heard for so long is declared dead.
pub const STALE_AFTER: Duration = Duration::from_hours(3 * 24);
/// Most percent of all bytes that are deleted at once.
pub const MAX_DELETE: u8 = 25;

/// What a prune would do, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Snapshots whose data stays.
    pub snapshots: u64,
    /// Of them, those that were forgotten and still count.
    pub snapshots_in_grace: u64,
    /// Packs there were, and their bytes.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that stay as they are.
    pub packs_kept: u64,
    /// Packs that were removed because nothing needs them.
    pub packs_removed: u64,
    /// Packs of which a part was needed, which was stored again.
    pub packs_rewritten: u64,
    /// Bytes that were stored again.
    pub bytes_rewritten: u64,
    /// Bytes by which the repository shrinks.
    pub bytes_freed: u64,
    /// Bytes in packs that stay that nothing needs.
    pub bytes_unused: u64,
    /// About how many bytes only snapshots within their grace need.
    pub bytes_pending: u64,
    /// When the last grace ends, in seconds since the epoch.
    pub pending_until: Option<i64>,
    /// Packs that a run going on, or another pruner, holds back.
    pub packs_held: u64,
    /// Packs that were given back after they were condemned.
    pub packs_rescued: u64,
    /// Runs that were declared dead.
    pub runs_stopped: u64,
    /// Frames that snapshots need and no pack holds.
    pub frames_missing: u64,
}

/// A plan that can be shown, and carried out.
pub struct Prune<'r> {
    repo: &'r Repo<Full>,
    options: PruneOptions,
    gid: RunId,
    canaries: Canaries<'r>,
    packs: Vec<ListedPack>,
    survey: Survey,
    view: Arc<View>,
    marks: Marks,
    condemned: HashSet<PackId>,
    plan: GcPlan,
    pending: u64,
    /// The disk is full: nothing can be rewritten.
    full: bool,
}

/// Marks what snapshots reach.
struct TreeRoots<'r> {
    repo: &'r Repo<Full>,
    view: Arc<View>,
    monitor: &'r dyn Monitor,
}

impl Roots for TreeRoots<'_> {
    fn mark(&self, wanted: &BTreeSet<RunId>, marks: &mut Marks) -> Result<(), GcError> {
        self.view.learn(self.repo)?;
        let reader = Reader::new(self.repo, Arc::clone(&self.view));
        let mut reach = Reach::new(&reader);
        for &id in wanted {
            if self.monitor.interrupted() {
                return Err(GcError::Interrupted);
            }
            let snapshot = snapshots::load(self.repo, id).map_err(|error| match error {
                crate::repo::error::RepoError::Damaged { why, .. } => GcError::Manifest { snapshot: id, why },
                other => other.into(),
            })?;
            let top = &snapshot.manifest.root;
            let mut walked = reach.mark(top, marks, &|| !self.monitor.interrupted());
            if walked.as_ref().is_err_and(|error| !error.is_store_failure()) {
                // Another pruner may have moved it meanwhile.
                self.view.learn(self.repo)?;
                walked = Reach::new(&reader).mark(top, marks, &|| !self.monitor.interrupted());
            }
            walked.map_err(|source| GcError::Unreadable { snapshot: id, source })?;
        }
        Ok(())
    }
}

/// Steps 1 to 6: makes a plan. Runs that are silent for too long are declared dead by it, unless `dry_run`.
pub fn plan<'r>(
    repo: &'r Repo<Full>,
    options: &PruneOptions,
    dry_run: bool,
    monitor: &'r dyn Monitor,
) -> Result<Prune<'r>, GcError> {
    let gid = repo.keys().new_run();
    let store = &**repo.store();
    monitor.progress().enter("looking at runs and snapshots");
    let (mut canaries, full) = match dry_run {
        true => (Canaries::none(store, gid), false),
        false => place_canaries(store, gid, options.listing_lag)?,
    };
    let packs = list_packs(repo)?;
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let stale = Some(seconds(options.stale_after)).filter(|_| !dry_run);
    let survey_options = SurveyOptions { now: options.now, grace: seconds(options.grace), stale };
    let mut survey = survey(repo, &mut canaries, gid, &packs, &survey_options)?;
    if dry_run {
        survey.suppose_forgotten(&options.supposed, &survey_options);
    }
    compare_with_census(repo, &survey, options)?;
    let live = survey.snapshots();
    if live.is_empty() && !packs.is_empty() {
        return Err(GcError::NoSnapshots);
    }
    monitor.progress().enter("reading the index");
    let (view, warnings) = View::for_reading(repo)?;
    warnings.iter().for_each(|warning| monitor.warning(warning));
    let view = Arc::new(view);
    monitor.progress().enter("following snapshots to their data");
    let roots = TreeRoots { repo, view: Arc::clone(&view), monitor };
    let mut marks = Marks::default();
    roots.mark(&survey.live, &mut marks)?;
    let condemned: HashSet<PackId> =
        survey.records.iter().flat_map(|record| record.body.condemned.iter().copied()).collect();
    let mut without_grace = None;
    if !survey.in_grace.is_empty() {
        let usage = Usage::of(&view, &marks, &condemned)?;
        without_grace = Some(plan::plan(&view, &marks, &usage, &packs, &survey, &options.plan)?.bytes_freed());
        roots.mark(&survey.in_grace.keys().copied().collect(), &mut marks)?;
    }
    let mut usage = Usage::of(&view, &marks, &condemned)?;
    if !usage.missing().is_empty() {
        // Segments are hints; trailers are the last word on what packs hold.
        view.learn_trailers(repo)?;
        usage = Usage::of(&view, &marks, &condemned)?;
    }
    let max_unused = if full { MaxUnused::Unlimited } else { options.plan.max_unused };
    let plan_options = PlanOptions { max_unused, ..options.plan };
    let plan = plan::plan(&view, &marks, &usage, &packs, &survey, &plan_options)?;
    let pending = without_grace.map_or(0, |freed| freed.saturating_sub(plan.bytes_freed()));
    let options = options.clone();
    Ok(Prune { repo, options, gid, canaries, packs, survey, view, marks, condemned, plan, pending, full })
}

/// Canaries, and whether the storage is full.
fn place_canaries(store: &dyn Store, gid: RunId, lag: Duration) -> Result<(Canaries<'_>, bool), GcError> {
    match Canaries::place(store, gid, lag) {
        Err(error) if error.is_full() => {
            // The reserve is kept for just this: a prune that has no room can't make room.
            reserve::give_up(store)?;
            Ok((Canaries::place(store, gid, lag)?, true))
        }
        other => Ok((other?, false)),
    }
}

/// The packs there are.
fn list_packs(repo: &Repo<Full>) -> Result<Vec<ListedPack>, GcError> {
    let mut packs = Vec::new();
    repo.store().list(key::PACKS, &mut |listed| {
        let pack = key::parse_pack(&listed.key);
        packs.extend(pack.map(|id| ListedPack { id, length: listed.length, modified: listed.modified }));
    })?;
    Ok(packs)
}

/// Step 1: every snapshot that the last prune saw is still there, or was forgotten.
fn compare_with_census(repo: &Repo<Full>, survey: &Survey, options: &PruneOptions) -> Result<(), GcError> {
    if options.accept_census {
        return Ok(());
    }
    let known = survey.snapshots();
    let mut missing = Vec::new();
    for &run in records::census(&survey.records) {
        let there = known.contains(&run) || survey.dead.contains(&run);
        if !there && crate::repo::gc::survey::tombstone(repo, run)?.is_none() {
            missing.push(run);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(GcError::Census { missing }) }
}

impl Prune<'_> {
    /// What the plan comes to.
    pub fn report(&self) -> PruneReport {
        let (plan, survey) = (&self.plan, &self.survey);
        let removed = (plan.remove.len() + plan.unknown.len()) as u64;
        let rewritten = plan.rewrite.len() as u64;
        PruneReport {
            snapshots: survey.snapshots().len() as u64,
            snapshots_in_grace: survey.in_grace.len() as u64,
            packs: plan.packs,
            bytes: plan.bytes,
            packs_kept: plan.packs - removed - rewritten,
            packs_removed: removed,
            packs_rewritten: rewritten,
            bytes_rewritten: plan.bytes_rewritten(),
            bytes_freed: plan.bytes_freed(),
            bytes_unused: plan.unused_after,
            bytes_pending: self.pending,
            pending_until: survey.in_grace.values().max().copied(),
            packs_held: plan.held,
            packs_rescued: 0,
            runs_stopped: survey.stopped.len() as u64,
            frames_missing: plan.missing.len() as u64,
        }
    }

    /// Whether the storage has no room, so that nothing can be rewritten.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Steps 7 to 9: carries the plan out.
    pub fn execute(mut self, monitor: &dyn Monitor) -> Result<PruneReport, GcError> {
        let mut report = self.report();
        self.refuse_too_much(&report)?;
        let forgotten = self.outlived()?;
        let (swept, census_written) = self.collect(monitor, &mut report)?;
        report.packs_removed = swept.packs.saturating_sub(report.packs_rewritten);
        report.packs_kept = report.packs.saturating_sub(swept.packs);
        report.bytes_freed = swept.bytes.saturating_sub(report.bytes_rewritten);
        monitor.progress().enter("tidying up");
        tidy(self.repo, &self.canaries, &self.survey, self.gid, &forgotten, census_written, self.options.now)?;
        drop(self.canaries);
        reserve::keep(&**self.repo.store());
        Ok(report)
    }

    /// More than this must have been asked for.
    fn refuse_too_much(&self, report: &PruneReport) -> Result<(), GcError> {
        let (limit, freed) = (u64::from(self.options.max_delete), report.bytes_freed);
        // Divided last, so that a little above the limit is above it.
        if freed.saturating_mul(100) > limit.saturating_mul(report.bytes) {
            let percent = freed.saturating_mul(100).div_ceil(report.bytes.max(1));
            return Err(GcError::TooMuch { percent, limit });
        }
        Ok(())
    }

    /// Gives what was deleted, and whether a new census was written.
    fn collect(&mut self, monitor: &dyn Monitor, report: &mut PruneReport) -> Result<(Swept, bool), GcError> {
        let proven = self.prove(monitor)?;
        report.packs_rewritten = proven.rewritten;
        report.bytes_rewritten = proven.moved.packs.iter().map(|(_, length)| length).sum();
        let census = self.survey.snapshots();
        let same_census = records::census(&self.survey.records).iter().copied().collect::<BTreeSet<_>>() == census;
        if proven.packs.is_empty() {
            if !same_census {
                put_census(self.repo, &census, self.options.now)?;
            }
            return Ok((Swept::default(), !same_census));
        }
        let wrote = !proven.moved.packs.is_empty();
        let condemned = condemn(self.repo, self.gid, proven, &census, self.options.now)?;
        std::thread::sleep(self.options.listing_lag * 2);
        monitor.progress().enter("looking again whether somebody needs it");
        let roots = TreeRoots { repo: self.repo, view: Arc::clone(&self.view), monitor };
        let known: BTreeSet<RunId> = census.union(&self.survey.dead).copied().collect();
        let sentenced = fence(self.repo, &self.view, &roots, &mut self.canaries, &self.packs, &known, condemned)?;
        report.packs_rescued = sentenced.rescued;
        monitor.progress().enter("removing packs");
        let swept = sweep(self.repo, sentenced, &|| monitor.interrupted())?;
        settle(self.repo, self.gid, wrote, &census, self.options.now)?;
        Ok((swept, true))
    }

    /// Opens what is to stay, and stores again what is still needed of what goes. On a full disk nothing is stored, and what would have to be stays.
    fn prove(&mut self, monitor: &dyn Monitor) -> Result<Proven, GcError> {
        self.plan.unknown = unknown::of_this_repository(self.repo, std::mem::take(&mut self.plan.unknown), &|what| {
            monitor.warning(&what)
        })?;
        monitor.progress().enter("rewriting packs");
        Progress::add(&monitor.progress().bytes_total, self.plan.rewrite.iter().map(|pack| pack.length).sum());
        let reader = Reader::new(self.repo, Arc::clone(&self.view));
        let usage = Usage::of(&self.view, &self.marks, &self.condemned)?;
        let watch = Watch {
            interrupted: &|| monitor.interrupted(),
            done: &|bytes| Progress::add(&monitor.progress().bytes_done, bytes),
            odd: &|what| monitor.warning(&what),
            deadline: self.options.time_budget.map(|budget| Instant::now() + budget),
        };
        let attempt =
            self.rewriter().and_then(|rewriter| prove(&reader, &self.marks, &usage, &self.plan, rewriter, &watch));
        match attempt {
            Err(error) if error.is_full() && !self.plan.rewrite.is_empty() => {
                monitor.warning("the storage is full: packs of which a part is needed stay as they are this time");
                reserve::give_up(&**self.repo.store())?;
                (self.full, self.plan.rewrite) = (true, Vec::new());
                prove(&reader, &self.marks, &usage, &self.plan, None, &watch)
            }
            other => other,
        }
    }

    fn rewriter(&self) -> Result<Option<Rewriter<'_>>, GcError> {
        if self.plan.rewrite.is_empty() {
            return Ok(None);
        }
        Ok(Some(Rewriter::start(self.repo, self.gid, self.options.now, &self.options.host, TOOL)?))
    }

    /// Manifests of forgotten snapshots that can go. The newest of each credential stays: the next one continues its sequence.
    fn outlived(&self) -> Result<Vec<RunId>, GcError> {
        snapshots::superseded(self.repo, &self.survey.dead, &self.survey.snapshots()).map_err(Into::into)
    }
}

/// Makes a plan and carries it out.
pub fn prune(repo: &Repo<Full>, options: &PruneOptions, monitor: &dyn Monitor) -> Result<PruneReport, GcError> {
    plan(repo, options, false, monitor)?.execute(monitor)
}
