//! What `--json` writes, and what the texts for people are made from. `docs/json.md` specifies each message; a test compares.
//!
//! All that the command line knows of manifests, entries and summaries passes through here or the verb's own file.

pub mod application;
pub mod configuration;
pub mod databases;
pub mod diff;
pub mod exports;
pub mod forget;
pub mod messages;
pub mod pruned;
pub mod record;
pub mod repair;
pub mod restore;
pub mod restored;
pub mod results;
pub mod snapshots;
#[cfg(test)]
mod specification;

pub use application::{Application, Image, Key};
pub use configuration::{ConfigCheck, Configuration};
pub use databases::{Database, DumpContents, DumpFile, Extension, Ledger, Role, Table};
pub use diff::{Changed, ChangedApplication, ChangedDatabase, Diff, aspect, modifier};
pub use exports::{Export, ExportFiles, ExportTable};
pub use forget::{ForgetGroup, Protection, Tagged};
pub use messages::{Checkpoint, Container, ExitError, Problem, Status, Verbose, Warning};
pub use pruned::{Pruned, Undone};
pub use record::DumpRecord;
pub use repair::{RepairIndex, RepairNotes, RepairPacks, RepairSnapshots};
pub use restore::{Plan, Restore};
pub use restored::{DatabasePlan, RestoreDatabase};
pub use results::{Backup, Broken, Check, Credential, CredentialChange, Hit, Initialized, Probed, Recovery};
use snapshots::entry_type;
pub use snapshots::{Counts, Entry, Manifest, SecretFile, Snapshot, Source};

use crate::repo::id::RunId;
use crate::snapshot::manifest::State;
use crate::snapshot::monitor::EntryAction;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use std::fmt::Write as _;

/// How many characters of an id tables show.
pub const SHORT_ID: usize = 8;

/// The part of a snapshot's id that people type.
pub fn short_id(id: RunId) -> String {
    id.random_part().chars().take(SHORT_ID).collect()
}

/// A name or path: as it is if it is UTF-8, else U+0000 (which no path holds) and the bytes in hex.
pub fn name(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    format!("\0{}", hex(bytes))
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String can't fail");
        text
    })
}

/// A path inside a snapshot, beginning with `/`.
pub fn path(path: &SafePath) -> String {
    name(&[b"/", path.as_bytes()].concat())
}

/// The word for a state.
pub fn state(state: State) -> &'static str {
    match state {
        State::Complete => "complete",
        State::Incomplete => "incomplete",
    }
}

/// The word for what happened to an entry.
pub fn action(action: EntryAction) -> &'static str {
    match action {
        EntryAction::New => "new",
        EntryAction::Changed => "changed",
        EntryAction::Unmodified => "unmodified",
        EntryAction::Restored => "restored",
        EntryAction::Deleted => "deleted",
    }
}

/// The word for a kind of problem.
fn problem_kind(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Other => "other",
        ProblemKind::Unreadable => "unreadable",
        ProblemKind::Changed => "changed",
        ProblemKind::Vanished => "vanished",
        ProblemKind::TooLong => "too_long",
        ProblemKind::Unsupported => "unsupported",
        ProblemKind::Denied => "denied",
        ProblemKind::Failed => "failed",
        ProblemKind::NotReached => "not_reached",
    }
}
