//! What a manifest says of a run.

use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use crate::snapshot::backup::{BackupOptions, TOOL};
use crate::snapshot::capture::Captured;
use crate::snapshot::history::History;
use crate::snapshot::manifest::application::Application;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::manifest::{OpenPart, SealedPart, Source, State};
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::tree::problem::Problem;

/// Knows all of a run but what it captured.
pub(super) struct Recorder<'c> {
    pub options: &'c BackupOptions,
    pub application: Option<&'c Application>,
    /// When the run began, or the time that the user gave.
    pub started: Time,
    /// The snapshot that it's compared with.
    pub parent: Option<RunId>,
    /// The sources, given the problems.
    pub sources: &'c dyn Fn(&[Problem]) -> Vec<Source>,
    /// The absolute paths that were asked for.
    pub paths: Vec<Vec<u8>>,
    /// What is left out on purpose, given what was found on other file systems.
    pub exclusions: &'c dyn Fn(&Elsewhere) -> Vec<Exclusion>,
}

impl Recorder<'_> {
    /// Both parts of the manifest that comes after those of `history`.
    pub(super) fn parts(&self, captured: Captured, history: &History) -> (OpenPart, SealedPart) {
        let open = OpenPart {
            needs: None,
            time: self.started,
            zone: self.options.zone.clone(),
            host: self.options.host.clone(),
            app: self.options.app.clone(),
            tags: self.options.tags.clone(),
            state: if captured.problems.is_empty() { State::Complete } else { State::Incomplete },
            sequence: history.next(),
            previous: history.last().map(|last| last.hash),
            parent: self.parent,
            replaces: None,
            tool: TOOL.to_owned(),
            statistics: captured.statistics,
            sources: (self.sources)(&captured.problems),
            brings_back: None,
            checkpoint_of: None,
        };
        let sealed = SealedPart {
            needs: None,
            root: captured.top,
            paths: self.paths.iter().cloned().map(Into::into).collect(),
            problems: captured.problems,
            secrets: captured.secrets,
            user: self.options.user.clone(),
            databases: Some(captured.databases).filter(|databases| !databases.is_empty()),
            application: self.application.cloned(),
            details: Some(captured.sources),
            dumps: Some(captured.dumps).filter(|dumps| !dumps.is_empty()),
            exclusions: Some((self.exclusions)(&captured.elsewhere)).filter(|exclusions| !exclusions.is_empty()),
        };
        (open, sealed)
    }
}
