//! Messages that any long work writes.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{action, name, path, problem_kind, short_id};
use crate::cli::error::CliError;
use crate::repo::id::RunId;
use crate::snapshot::monitor::EntryAction;
use crate::snapshot::monitor::Outcome;
use crate::snapshot::tree::problem;
use serde::Serialize;

/// `exit_error`: the program failed. On standard error.
#[derive(Debug, Serialize)]
pub struct ExitError<'a> {
    pub message_type: &'static str,
    pub code: u8,
    pub message: &'a str,
    pub causes: &'a [String],
    pub hint: Option<&'a str>,
}

impl<'a> From<&'a CliError> for ExitError<'a> {
    fn from(error: &'a CliError) -> Self {
        let (message, causes) = (error.message(), error.causes());
        Self { message_type: "exit_error", code: error.exit().code(), message, causes, hint: error.next_step() }
    }
}

/// `warning`: on standard error.
#[derive(Debug, Serialize)]
pub struct Warning<'a> {
    pub message_type: &'static str,
    pub message: &'a str,
}

/// `status`: how far long work is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub message_type: &'static str,
    pub phase: &'static str,
    pub seconds_elapsed: f64,
    pub percent_done: Option<f64>,
    pub files_total: u64,
    pub files_done: u64,
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub bytes_stored: u64,
    pub bytes_per_second: u64,
    pub seconds_left: Option<f64>,
}

impl Status {
    /// Fills in what can be said once the totals are known.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn estimate(&mut self) {
        let (done, total) = (self.bytes_done.min(self.bytes_total), self.bytes_total);
        self.percent_done = (total > 0).then(|| done as f64 / total as f64 * 100.0);
        let known = total > 0 && self.bytes_per_second > 0;
        self.seconds_left = known.then(|| (total - done) as f64 / self.bytes_per_second as f64);
    }
}

/// `checkpoint`: what a backup has done so far can be restored.
#[derive(Debug, Clone, Serialize)]
pub struct Checkpoint {
    pub message_type: &'static str,
    pub snapshot_id: String,
    pub short_id: String,
    pub files: u64,
    pub bytes: u64,
}

impl Checkpoint {
    /// The message for a checkpoint.
    pub fn new(snapshot: RunId, files: u64, bytes: u64) -> Self {
        let (snapshot_id, short_id) = (snapshot.to_string(), short_id(snapshot));
        Self { message_type: "checkpoint", snapshot_id, short_id, files, bytes }
    }
}

/// `verbose`: an entry is done.
#[derive(Debug, Serialize)]
pub struct Verbose {
    pub message_type: &'static str,
    pub action: &'static str,
    pub path: String,
    pub size: u64,
}

impl Verbose {
    /// The message for an entry.
    pub fn new(path: &[u8], what: EntryAction, size: u64) -> Self {
        Self { message_type: "verbose", action: action(what), path: name(path), size }
    }
}

/// `container`: compression was undone, or wasn't.
#[derive(Debug, Serialize)]
pub struct Container {
    pub message_type: &'static str,
    pub path: String,
    pub formats: Vec<&'static str>,
    pub size: u64,
    pub stored_as: Option<u64>,
    pub streams: u64,
    pub streams_known: u64,
    pub left: Vec<&'static str>,
}

impl Container {
    /// The message for a container.
    pub fn new(path: &[u8], size: u64, stored_as: Option<u64>, outcome: &Outcome) -> Self {
        let formats = outcome.formats.iter().map(|format| format.name()).collect();
        let left = outcome.left.iter().map(|left| left.code()).collect();
        let (streams, streams_known) = (outcome.undone, outcome.known);
        Self { message_type: "container", path: name(path), formats, size, stored_as, streams, streams_known, left }
    }
}

/// `error`: a problem that doesn't end the run.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub message_type: &'static str,
    pub path: String,
    pub kind: &'static str,
    pub message: String,
}

impl From<&problem::Problem> for Problem {
    fn from(problem: &problem::Problem) -> Self {
        let (path, kind) = (path(&problem.path), problem_kind(problem.kind));
        Self { message_type: "error", path, kind, message: problem.message.clone() }
    }
}
