//! Pruning: what no snapshot needs any more is removed, beside any number of writers and without a lock.
//!
//! Each step of `docs/protocol.md` is a function of [`crate::repo::gc`]; here they are called in their order, and what a snapshot reaches is known here only.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
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
use crate::repo::gc::sweep::{Swept, Tidy, put_census, settle, sweep, tidy};
use crate::repo::gc::tombstone::bury_run;
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
use crate::snapshot::unfinished::unfinished;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
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
    /// Packs that a run going on, another pruner, or a checkpoint of a backup that didn't come to its end holds back.
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
    /// Packs were, or may have been, written under the gid.
    announced: bool,
}

/// What was deleted.
struct Outcome {
    swept: Swept,
    census_written: bool,
}

/// Marks what snapshots reach.
struct TreeRoots<'r> {
    repo: &'r Repo<Full>,
    view: Arc<View>,
    monitor: &'r dyn Monitor,
    /// The checkpoints among the snapshots that were marked, and the runs that they were taken of.
    checkpoints: RefCell<BTreeMap<RunId, RunId>>,
}

impl<'r> TreeRoots<'r> {
    fn new(repo: &'r Repo<Full>, view: &Arc<View>, monitor: &'r dyn Monitor) -> Self {
        Self { repo, view: Arc::clone(view), monitor, checkpoints: RefCell::default() }
    }
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
                RepoError::Damaged { why, .. } => GcError::Manifest { snapshot: id, why },
                other => other.into(),
            })?;
            let top = &snapshot.manifest.root;
            let mut walked = reach.mark(top, marks, &|| !self.monitor.interrupted());
            if walked.as_ref().is_err_and(|error| !error.is_store_failure()) {
                // Another pruner may have moved it meanwhile.
                self.view.learn(self.repo)?;
                walked = Reach::new(&reader).mark(top, marks, &|| !self.monitor.interrupted());
            }
            if !walked.map_err(|source| GcError::Unreadable { snapshot: id, source })? {
                return Err(GcError::Interrupted);
            }
            if let Some(run) = snapshot.manifest.checkpoint_of {
                self.checkpoints.borrow_mut().insert(id, run);
            }
        }
        Ok(())
    }
}

impl TreeRoots<'_> {
    /// Marks forgotten snapshots within their grace. One that can't be read can't be brought back either, so it's no reason to stop.
    fn mark_what_can_be(&self, wanted: BTreeSet<RunId>, marks: &mut Marks) -> Result<(), GcError> {
        for id in wanted {
            match self.mark(&BTreeSet::from([id]), marks) {
                Err(error @ (GcError::Manifest { .. } | GcError::Unreadable { .. })) => {
                    self.monitor.warning(&format!("forgotten, and can't be brought back: {error}"));
                }
                other => other?,
            }
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
    let (mut canaries, full) =
        if dry_run { (Canaries::none(store, gid), false) } else { place_canaries(store, gid, options.listing_lag)? };
    let packs = list_packs(repo)?;
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let stale = Some(seconds(options.stale_after)).filter(|_| !dry_run);
    let survey_options =
        SurveyOptions { now: options.now, grace: seconds(options.grace), stale, accept_census: options.accept_census };
    let mut survey = survey(repo, &mut canaries, gid, &packs, &survey_options)?;
    if dry_run {
        survey.suppose_forgotten(&options.supposed, &survey_options);
    }
    for odd in &survey.odd {
        monitor.warning(odd);
    }
    let live = survey.snapshots();
    if live.is_empty() && !packs.is_empty() {
        return Err(GcError::NoSnapshots);
    }
    monitor.progress().enter("reading the index");
    let view = view(repo, monitor)?;
    monitor.progress().enter("following snapshots to their data");
    let roots = TreeRoots::new(repo, &view, monitor);
    let mut marks = Marks::default();
    roots.mark(&survey.live, &mut marks)?;
    let now = canaries.now().unwrap_or(options.now.seconds);
    survey.unfinished = unfinished(repo, &roots.checkpoints.take(), now)?;
    let condemned: HashSet<PackId> =
        survey.records.iter().flat_map(|record| record.body.condemned.iter().copied()).collect();
    let max_unused = if full { MaxUnused::Unlimited } else { options.plan.max_unused };
    let planner = Planner {
        repo,
        view: &view,
        condemned: &condemned,
        packs: &packs,
        survey: &survey,
        options: PlanOptions { max_unused, ..options.plan },
    };
    let mut without_grace = None;
    if !survey.in_grace.is_empty() {
        without_grace = Some(planner.plan(&marks)?.bytes_freed());
        roots.mark_what_can_be(survey.in_grace.keys().copied().collect(), &mut marks)?;
    }
    let plan = planner.plan_by_trailers(&marks)?;
    let pending = without_grace.map_or(0, |freed| freed.saturating_sub(plan.bytes_freed()));
    let options = options.clone();
    Ok(Prune {
        repo,
        options,
        gid,
        canaries,
        packs,
        survey,
        view,
        marks,
        condemned,
        plan,
        pending,
        full,
        announced: false,
    })
}

/// What the index knows.
fn view(repo: &Repo<Full>, monitor: &dyn Monitor) -> Result<Arc<View>, GcError> {
    let (view, warnings) = View::for_reading(repo)?;
    for warning in &warnings {
        monitor.warning(warning);
    }
    Ok(Arc::new(view))
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

/// The age from which on an unfinished file is nobody's any more.
const UNFINISHED_AFTER: Duration = Duration::from_hours(24);

impl<'r> Prune<'r> {
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
        let before = report.bytes;
        let outcome = self.collect(monitor, &mut report)?;
        let swept = &outcome.swept;
        report.packs_removed = swept.packs.len() as u64 - report.packs_rewritten;
        report.packs_kept = report.packs.saturating_sub(swept.packs.len() as u64);
        report.bytes_freed = swept.bytes.saturating_sub(report.bytes_rewritten);
        report.bytes = before;
        monitor.progress().enter("tidying up");
        let listed: Vec<PackId> = self.packs.iter().map(|pack| pack.id).collect();
        let tidied = Tidy {
            survey: &self.survey,
            gid: self.gid,
            forgotten: &forgotten,
            remaining: listed.into_iter().filter(|pack| !swept.packs.contains(pack)).map(|pack| pack.run).collect(),
            census_written: outcome.census_written,
            now: self.options.now,
        };
        if let Err(error) = tidy(self.repo, &self.canaries, &tidied) {
            monitor.warning(&format!("what has lost its meaning stays until the next prune: {error}"));
        }
        if report.frames_missing == 0 {
            // The cache of this host; that it grows is no reason to fail.
            let _ = self.view.forget_what_is_gone();
        }
        // Neither is an unfinished file that a crash left, and that can't be removed now.
        let _ = self.repo.store().remove_stale_temporaries(UNFINISHED_AFTER);
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

    fn collect(&mut self, monitor: &dyn Monitor, report: &mut PruneReport) -> Result<Outcome, GcError> {
        let proven = self.prove(monitor)?;
        report.bytes_rewritten = proven.moved.packs.iter().map(|(_, length)| length).sum();
        let rewritten = proven.rewritten.clone();
        let census = self.survey.snapshots();
        let same_census = records::census(&self.survey.records).iter().copied().collect::<BTreeSet<_>>() == census;
        if proven.packs.is_empty() {
            if self.announced {
                bury_run(self.repo, self.gid, self.options.now)?;
            }
            if !same_census {
                put_census(self.repo, &census, self.options.now)?;
            }
            report.packs_rewritten = 0;
            return Ok(Outcome { swept: Swept::default(), census_written: !same_census });
        }
        let condemned = condemn(self.repo, self.gid, proven, &census, self.options.now)?;
        std::thread::sleep(self.options.listing_lag * 2);
        monitor.progress().enter("looking again whether somebody needs it");
        let roots = TreeRoots::new(self.repo, &self.view, monitor);
        let known: BTreeSet<RunId> = census.union(&self.survey.dead).copied().collect();
        let looked = fence(self.repo, &self.view, &roots, &mut self.canaries, &self.packs, &known, condemned);
        let sentenced = match looked {
            Ok(sentenced) => sentenced,
            Err(error) => {
                // Nothing was deleted yet, so all of it can be taken back; else the next prune would have to copy it.
                let _ = settle(self.repo, self.gid, self.announced, &census, self.options.now);
                return Err(error);
            }
        };
        report.packs_rescued = sentenced.rescued;
        monitor.progress().enter("removing packs");
        let swept = sweep(self.repo, sentenced, &|| monitor.interrupted())?;
        report.packs_rewritten = rewritten.iter().filter(|pack| swept.packs.contains(pack)).count() as u64;
        if swept.lingering > 0 {
            // Whoever relied on them would lose them later, so the condemnation stays until they are gone.
            monitor.warning(
                "the storage still shows packs that it has deleted; nobody relies on them until they are gone",
            );
            return Ok(Outcome { swept, census_written: false });
        }
        // Listings may still show what is gone, and whoever looks there must find the condemnation as long.
        std::thread::sleep(self.options.listing_lag * 2);
        settle(self.repo, self.gid, self.announced, &census, self.options.now)?;
        Ok(Outcome { swept, census_written: true })
    }

    /// Opens what is to stay, and stores again what is still needed of what goes. On a full disk nothing is stored, and what would have to be stays.
    fn prove(&mut self, monitor: &dyn Monitor) -> Result<Proven, GcError> {
        let unknown = std::mem::take(&mut self.plan.unknown);
        self.plan.unknown = unknown::removable(self.repo, unknown, &|pack| self.condemned.contains(pack), &|what| {
            monitor.warning(&what);
        })?;
        monitor.progress().enter("rewriting packs");
        Progress::add(&monitor.progress().bytes_total, self.plan.rewrite.iter().map(|pack| pack.length).sum());
        let reader = Reader::new(self.repo, Arc::clone(&self.view));
        let view = Arc::clone(&self.view);
        let usage = Usage::of(&view, &self.marks, &self.condemned)?;
        let rewriter = self.rewriter();
        let watch = Watch {
            interrupted: &|| monitor.interrupted(),
            done: &|bytes| Progress::add(&monitor.progress().bytes_done, bytes),
            odd: &|what| monitor.warning(&what),
            deadline: self.options.time_budget.map(|budget| Instant::now() + budget),
        };
        let attempt = rewriter.and_then(|rewriter| prove(&reader, &self.marks, &usage, &self.plan, rewriter, &watch));
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

    fn rewriter(&mut self) -> Result<Option<Rewriter<'r>>, GcError> {
        if self.plan.rewrite.is_empty() {
            return Ok(None);
        }
        self.announced = true;
        Ok(Some(Rewriter::start(self.repo, self.gid, self.options.now, &self.options.host, TOOL)?))
    }

    /// Manifests of forgotten snapshots that can go. The newest of each credential stays: the next one continues its sequence.
    fn outlived(&self) -> Result<Vec<RunId>, GcError> {
        snapshots::superseded(self.repo, &self.survey.dead, &self.survey.snapshots()).map_err(Into::into)
    }
}

/// Makes plans of the same repository.
struct Planner<'p> {
    repo: &'p Repo<Full>,
    view: &'p View,
    condemned: &'p HashSet<PackId>,
    packs: &'p [ListedPack],
    survey: &'p Survey,
    options: PlanOptions,
}

impl Planner<'_> {
    /// A plan by what the index knows.
    fn plan(&self, marks: &Marks) -> Result<GcPlan, GcError> {
        let usage = Usage::of(self.view, marks, self.condemned)?;
        plan::plan(self.view, &usage, self.packs, self.survey, &self.options)
    }

    /// A plan that dooms no pack whose own trailer wasn't read: segments are hints, and a stolen host could write one that leaves out what its packs hold. A trailer belongs to its pack by the pack's name.
    fn plan_by_trailers(&self, marks: &Marks) -> Result<GcPlan, GcError> {
        let mut plan = self.plan(marks)?;
        if !plan.missing.is_empty() {
            self.view.learn_trailers(self.repo)?;
            plan = self.plan(marks)?;
        }
        // Each round reads the trailers of packs that weren't doomed before, so it ends.
        while self.view.learn_trailers_of(self.repo, &plan.numbers())? {
            plan = self.plan(marks)?;
        }
        plan.doubt(&|pack| !self.view.is_read(pack.number));
        Ok(plan)
    }
}

/// Makes a plan and carries it out.
pub fn prune(repo: &Repo<Full>, options: &PruneOptions, monitor: &dyn Monitor) -> Result<PruneReport, GcError> {
    plan(repo, options, false, monitor)?.execute(monitor)
}
