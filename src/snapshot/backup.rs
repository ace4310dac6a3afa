//! One backup: the steps of a run in their order, around a capture (`docs/protocol.md`).

use crate::repo::cbor::{self, Time};
use crate::repo::clock::Clock;
use crate::repo::envelope;
use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::id::{PackId, RunId};
use crate::repo::repository::{Access, Repo};
use crate::repo::run::{self, Commit, Run};
use crate::repo::store::Store;
use crate::repo::store::dry_run::DryRun;
use crate::repo::view::View;
use crate::repo::writer::{Durable, WriteError, Writer, WriterStart};
use crate::snapshot::application::fingerprint_key;
use crate::snapshot::capture::application::ApplicationSource;
use crate::snapshot::capture::{Capture, Captured};
use crate::snapshot::checkpoint::{Cadence, Checkpoints, Progressing, RunCheckpoints};
use crate::snapshot::history::{History, OwnManifest};
use crate::snapshot::manifest::application::Application;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::manifest::{OpenPart, SealedPart, Source, SourceDetail, State, Statistics};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::postgres::source::PostgresSource;
use crate::snapshot::recorder::Recorder;
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::source::excludes::{ExcludeError, ExcludeOptions};
use crate::snapshot::source::pipe::PipeSource;
use crate::snapshot::source::roots::RootError;
use crate::snapshot::source::secrets::SecretPatternError;
use crate::snapshot::source::walk::WalkError;
use crate::snapshot::tree::problem::Problem;
use crate::snapshot::vanished::{remember, untold, vanished};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a run is begun again when its own packs were lost or it was declared dead.
const MAX_ATTEMPTS: u32 = 3;
/// How often a capture is repeated within a run because packs that it relies on were lost meanwhile.
const MAX_PASSES: u32 = 4;
/// What the manifest names as its writer.
pub const TOOL: &str = concat!("nightsafe ", env!("CARGO_PKG_VERSION"));

/// Files and folders to back up by the same rules.
#[derive(Debug, Clone, Default)]
pub struct FilesSource {
    /// The name that they are stored under at the top of the tree; without one they're stored by their absolute paths.
    pub name: Option<String>,
    /// With a name: where the paths lie, whose last components are then their names below it. Without a folder the name stands for the only path itself.
    pub folder: Option<PathBuf>,
    /// Existing paths.
    pub paths: Vec<PathBuf>,
    /// What to leave out.
    pub excludes: ExcludeOptions,
    /// Further files to treat as secret, as gitignore-style patterns.
    pub secrets: Vec<String>,
    /// What the manifest says it is, such as `stack`; nothing stands for `files`.
    pub kind: Option<&'static str>,
    /// Whether containers are stored as they are, compressed.
    pub no_expand: bool,
    /// Files that describe the dumps beside them, as a gitignore-style pattern.
    pub sidecar: Option<String>,
}

/// What to back up, and how.
#[derive(Clone, Default)]
pub struct BackupOptions {
    /// Files and folders; several only with names of their own.
    pub files: Vec<FilesSource>,
    /// Databases, captured before the files.
    pub databases: Vec<PostgresSource>,
    /// Streams that no file holds, captured after the databases.
    pub streams: Vec<PipeSource>,
    /// Where version and keys of the application are found.
    pub application: Option<ApplicationSource>,
    /// The app that the snapshot is of.
    pub app: Option<String>,
    /// The host.
    pub host: String,
    /// Tags.
    pub tags: Vec<String>,
    /// The time to record instead of now.
    pub time: Option<Time>,
    /// The zone of the host, an IANA name.
    pub zone: String,
    /// The user who runs it.
    pub user: Option<String>,
    /// Whether to read every file, whatever the cache of seen files says.
    pub no_cache: bool,
    /// Whether to store nothing.
    pub dry_run: bool,
    /// When what is done so far is committed as a snapshot of its own; never in a dry run.
    pub checkpoints: Cadence,
}

/// What a backup did.
#[derive(Debug, Clone)]
pub struct BackupSummary {
    /// The snapshot; none after a dry run.
    pub snapshot: Option<RunId>,
    /// Whether everything was captured.
    pub state: State,
    /// Counts.
    pub statistics: Statistics,
    /// What wasn't captured as it should.
    pub problems: Vec<Problem>,
    /// What was captured.
    pub sources: Vec<Source>,
    /// What each source came to.
    pub details: Vec<SourceDetail>,
    /// Databases that were captured.
    pub databases: Vec<Database>,
    /// How long it took.
    pub seconds: f64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What was asked for can't be captured.
    #[error(transparent)]
    Roots(#[from] RootError),
    /// What should be left out can't be understood.
    #[error(transparent)]
    Excludes(#[from] ExcludeError),
    /// A pattern for secret files can't be understood.
    #[error(transparent)]
    Secrets(#[from] SecretPatternError),
    /// The pattern of files that describe others can't be understood.
    #[error("sidecar pattern `{pattern}`: {message}")]
    Sidecar {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// The walk can't begin.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// Only a single path can be renamed.
    #[error("a new name can be given to a single path only")]
    RenameOne,
    /// Two sources would be stored at one place.
    #[error("two sources would be stored as /{0}")]
    SameName(String),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Writing failed.
    #[error(transparent)]
    Write(WriteError),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
    /// A pruner took the run for dead, which was found out before its end. It's begun again; this is an error only where that isn't possible.
    #[error("a prune declared this run ({0}) dead while it went on")]
    Stopped(RunId),
    /// Packs kept vanishing while the run went on.
    #[error(
        "packs that this run needs were removed {times} times while it went on, the last time {object}: something else deletes objects of this repository"
    )]
    Unstable {
        /// How often.
        times: u32,
        /// The store key of one of the last that were missed: a pack, or the run if that was declared dead.
        object: String,
    },
}

impl From<WriteError> for BackupError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Interrupted => Self::Interrupted,
            other => Self::Write(other),
        }
    }
}

/// How an attempt ended.
enum Attempt {
    Done(Box<BackupSummary>),
    /// It must be begun again: this run's packs can be used, its id can't.
    Again {
        /// The run.
        dead: RunId,
        /// A pack that it needed and that was gone, if that is why.
        pack: Option<PackId>,
    },
}

/// Takes a snapshot.
pub fn backup<A: Access>(
    repo: &Repo<A>,
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<BackupSummary, BackupError> {
    let clock = Clock::default();
    let capture = Capture::prepare(options)?;
    capture.warnings().for_each(|warning| monitor.warning(&warning));
    // Once, and not between the last look and the commit: the commands may take their time.
    let source = options.application.as_ref().filter(|_| !options.dry_run);
    let application =
        source.map(|source| source.look(&fingerprint_key(repo.keys().domain()), &|why| monitor.warning(&why)));
    take(repo, options, &capture, application.as_ref(), &clock, monitor)
}

/// What a run captures. Its steps are the same whatever that is.
pub(super) trait Captures {
    /// Captures everything once, as [`Capture::run`] does.
    fn run<A: Access>(
        &self,
        repo: &Repo<A>,
        writer: &Writer,
        known_total: bool,
        checkpoints: &dyn Checkpoints,
        monitor: &dyn Monitor,
    ) -> Result<Captured, BackupError>;

    /// The sources, as [`Capture::sources`] tells them.
    fn sources(&self, problems: &[Problem]) -> Vec<Source>;

    /// The absolute paths that were asked for.
    fn paths(&self) -> Vec<Vec<u8>>;

    /// What is left out on purpose, root by root.
    fn exclusions(&self, elsewhere: &Elsewhere) -> Vec<Exclusion>;
}

impl Captures for Capture {
    fn run<A: Access>(
        &self,
        repo: &Repo<A>,
        writer: &Writer,
        known_total: bool,
        checkpoints: &dyn Checkpoints,
        monitor: &dyn Monitor,
    ) -> Result<Captured, BackupError> {
        self.run(repo, writer, known_total, checkpoints, monitor)
    }

    fn sources(&self, problems: &[Problem]) -> Vec<Source> {
        self.sources(problems)
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        self.paths().map(<[u8]>::to_vec).collect()
    }

    fn exclusions(&self, elsewhere: &Elsewhere) -> Vec<Exclusion> {
        self.exclusions(elsewhere)
    }
}

/// Takes a snapshot of what `capture` captures. `clock` began with the work.
pub(super) fn take<A: Access>(
    repo: &Repo<A>,
    options: &BackupOptions,
    capture: &impl Captures,
    application: Option<&Application>,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<BackupSummary, BackupError> {
    let (mut replaces, mut missed) = (Vec::new(), String::new());
    for _ in 0..MAX_ATTEMPTS {
        match attempt(repo, options, capture, application, &replaces, clock, monitor)? {
            Attempt::Done(summary) => return Ok(*summary),
            Attempt::Again { dead, pack } => {
                missed = pack.map_or_else(|| key::run(dead), key::pack);
                replaces.push(dead);
            }
        }
    }
    Err(BackupError::Unstable { times: MAX_ATTEMPTS, object: missed })
}

/// One run, from its announcement to its commit.
fn attempt<A: Access>(
    repo: &Repo<A>,
    options: &BackupOptions,
    capture: &impl Captures,
    application: Option<&Application>,
    replaces: &[RunId],
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<Attempt, BackupError> {
    let started = options.time.unwrap_or_else(now);
    monitor.progress().enter("reading the index");
    let history = History::load(repo)?;
    look_for_what_vanished(repo, &history, monitor);
    let parent = history.parent(&options.host, options.app.as_deref()).cloned();
    let whole = parent.as_ref().filter(|parent| parent.checkpoint_of.is_none());
    let known_total = whole.is_some();
    if let Some(parent) = whole {
        // About what it was the last time: good enough for the time left.
        monitor.progress().files_total.store(parent.files, Ordering::Relaxed);
        monitor.progress().bytes_total.store(parent.bytes, Ordering::Relaxed);
    }
    // A dry run relies on nothing in the end, so nobody needs to know of it.
    let (mut run, store) = if options.dry_run {
        (Run::pretend(repo), Arc::new(DryRun(Arc::clone(repo.store()))) as Arc<dyn Store>)
    } else {
        (Run::announce(repo, started, &options.host, TOOL)?, Arc::clone(repo.store()))
    };
    let view = Arc::new(View::for_writing(repo)?);
    run.pin(repo, history.reach.iter().copied().filter(|pack| view.packs().number(pack).is_some()))?;
    let fence = run.fence(repo, &view)?;
    let writer = Writer::start(WriterStart {
        store,
        keys: Arc::clone(repo.keys()),
        run: run.id,
        view: Arc::clone(&view),
        fence,
        clock: options.checkpoints.clock.clone(),
    })?;
    monitor.progress().enter("backing up");
    let sources = |problems: &[Problem]| capture.sources(problems);
    let parent = parent.map(|parent| parent.run);
    let exclusions = |elsewhere: &Elsewhere| capture.exclusions(elsewhere);
    let (paths, exclusions) = (capture.paths(), &exclusions);
    let recorder = Recorder { options, application, started, parent, sources: &sources, paths, exclusions };
    let state = RefCell::new(Progressing::new(history, &options.checkpoints));
    let checkpoints =
        RunCheckpoints { repo, recorder: &recorder, run: run.id, view: &view, writer: &writer, monitor, state };
    let once = || capture.run(repo, &writer, known_total, &checkpoints, monitor);
    let mut captured = match capture_until_stable(repo, &mut run, &view, &writer, &once) {
        Err(BackupError::Stopped(dead)) => return Ok(Attempt::Again { dead, pack: None }),
        captured => captured?,
    };
    let mut state = checkpoints.state.into_inner();
    let written = writer.written();
    captured.statistics.raw_added = written.raw_bytes.load(Ordering::Relaxed);
    captured.statistics.chunks_added = written.chunks.load(Ordering::Relaxed);
    monitor.progress().enter("finishing");
    let durable = writer.finish()?;
    captured.statistics.stored_added = durable.own.iter().map(|(_, length)| length).sum();
    captured.statistics.packs_added = durable.own.len() as u64;
    captured.statistics.milliseconds = u64::try_from(clock.now().as_millis()).unwrap_or(u64::MAX);
    if options.dry_run {
        return Ok(Attempt::Done(Box::new(dry_summary(captured, clock.now()))));
    }
    let look = run::last_look(repo, &view, &durable.own, &durable.relied)?;
    if look.own_lost.is_some() || !look.lost.is_empty() {
        let pack = look.own_lost.or_else(|| view.pack_id(*look.lost.first()?));
        return Ok(Attempt::Again { dead: run.id, pack });
    }
    let seen = captured.seen.take();
    let history = state.history(repo);
    let (mut open, sealed) = recorder.parts(captured, history);
    open.replaces = Some(replaces.to_vec()).filter(|runs| !runs.is_empty());
    let summary = BackupSummary {
        snapshot: Some(run.id),
        state: open.state,
        statistics: open.statistics,
        problems: sealed.problems.clone(),
        sources: open.sources.clone(),
        details: sealed.details.clone().unwrap_or_default(),
        databases: sealed.databases.clone().unwrap_or_default(),
        seconds: clock.now().as_secs_f64(),
    };
    commit(repo, run, &view, &durable, history, (&open, &sealed), monitor).map(|commit| match commit {
        Ok(()) => {
            // What can't be kept costs time the next time, no more.
            if let Some(Err(error)) = seen.map(|mut seen| seen.commit()) {
                repo.cache_fault().note(&error);
            }
            Attempt::Done(Box::new(summary))
        }
        Err(dead) => Attempt::Again { dead, pack: None },
    })
}

/// Warns of snapshots that this host has seen and that are gone. That it can't be told is a warning, too: it's no reason to go without a backup tonight.
fn look_for_what_vanished<A: Access>(repo: &Repo<A>, history: &History, monitor: &dyn Monitor) {
    match vanished(repo, &history.listed, []) {
        Ok(vanished) => vanished.warnings().iter().for_each(|warning| monitor.warning(warning)),
        Err(error) => monitor.warning(&untold(&error)),
    }
}

/// Captures, and captures again as long as packs that the run relies on turn out to be gone: steps 4 and 5.
fn capture_until_stable<A: Access>(
    repo: &Repo<A>,
    run: &mut Run,
    view: &View,
    writer: &Writer,
    once: &dyn Fn() -> Result<Captured, BackupError>,
) -> Result<Captured, BackupError> {
    let mut missed = String::new();
    for _ in 0..MAX_PASSES {
        let captured = once().map_err(|error| match error {
            BackupError::Write(error) => writer.first_error(error).into(),
            other => other,
        })?;
        let relied = writer.relied();
        let further = relied.iter().filter_map(|&number| view.pack_id(number)).collect::<Vec<PackId>>();
        run.pin(repo, further)?;
        let look = run::last_look(repo, view, &[], &relied)?;
        if look.lost.is_empty() {
            return Ok(captured);
        }
        if let Some(pack) = look.lost.first().and_then(|&number| view.pack_id(number)) {
            missed = key::pack(pack);
        }
        look.lost.into_iter().for_each(|pack| writer.distrust(pack));
    }
    Err(BackupError::Unstable { times: MAX_PASSES, object: missed })
}

/// Steps 6 and 7. Gives the run's id back if it must be done again.
fn commit<A: Access>(
    repo: &Repo<A>,
    run: Run,
    view: &View,
    durable: &Durable,
    history: &mut History,
    (open, sealed): (&OpenPart, &SealedPart),
    monitor: &dyn Monitor,
) -> Result<Result<(), RunId>, BackupError> {
    let key = key::snapshot(run.id);
    let (open_part, sealed_part) = (cbor::encode(open), cbor::encode(sealed));
    let wrap = &durable.opening.wrap;
    let manifest = envelope::seal_manifest(repo.keys(), run.id, &durable.run_key, wrap, &open_part, &sealed_part)
        .map_err(|why| RepoError::damaged(&key, why))?;
    let hash = *blake3::hash(&manifest).as_bytes();
    if run.commit(repo, durable, manifest)? == Commit::Stopped {
        return Ok(Err(run.id));
    }
    let reach = durable.relied.iter().filter_map(|&number| view.pack_id(number));
    let reach = reach.chain(durable.own.iter().map(|(id, _)| *id)).collect();
    history.add(OwnManifest::of(run.id, hash, open), reach);
    view.save();
    remember(repo, run.id, monitor);
    run.unpin(repo);
    Ok(Ok(()))
}

/// What a dry run would have done.
fn dry_summary(captured: Captured, took: Duration) -> BackupSummary {
    BackupSummary {
        snapshot: None,
        state: state_of(&captured.problems),
        statistics: captured.statistics,
        problems: captured.problems,
        sources: Vec::new(),
        details: captured.sources,
        databases: captured.databases,
        seconds: took.as_secs_f64(),
    }
}

/// Whether nothing is missing.
pub fn state_of(problems: &[Problem]) -> State {
    if problems.is_empty() { State::Complete } else { State::Incomplete }
}

/// The time of this host.
pub fn now() -> Time {
    let now = jiff::Timestamp::now();
    let seconds = now.as_second();
    Time { seconds, nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0) }
}
