//! What `prune` and `forget --undo` end with.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use crate::cli::ui::units;
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use crate::snapshot::prune::PruneReport;
use serde::Serialize;

/// `summary` of a prune.
#[derive(Debug, Serialize)]
pub struct Pruned {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub snapshots: u64,
    pub snapshots_in_grace: u64,
    pub packs: u64,
    pub bytes: u64,
    pub packs_kept: u64,
    pub packs_removed: u64,
    pub packs_rewritten: u64,
    pub packs_held: u64,
    pub packs_rescued: u64,
    pub bytes_rewritten: u64,
    pub bytes_freed: u64,
    pub bytes_unused: u64,
    pub bytes_pending: u64,
    pub pending_until: Option<String>,
    pub runs_stopped: u64,
    pub frames_missing: u64,
}

impl Pruned {
    /// Of a report.
    pub fn new(report: &PruneReport, dry_run: bool) -> Self {
        let time = |seconds| units::rfc3339(Time { seconds, nanoseconds: 0 });
        Self {
            message_type: "summary",
            dry_run,
            snapshots: report.snapshots,
            snapshots_in_grace: report.snapshots_in_grace,
            packs: report.packs,
            bytes: report.bytes,
            packs_kept: report.packs_kept,
            packs_removed: report.packs_removed,
            packs_rewritten: report.packs_rewritten,
            packs_held: report.packs_held,
            packs_rescued: report.packs_rescued,
            bytes_rewritten: report.bytes_rewritten,
            bytes_freed: report.bytes_freed,
            bytes_unused: report.bytes_unused,
            bytes_pending: report.bytes_pending,
            pending_until: report.pending_until.map(time),
            runs_stopped: report.runs_stopped,
            frames_missing: report.frames_missing,
        }
    }
}

/// `undone`: a forgotten snapshot came back.
#[derive(Debug, Serialize)]
pub struct Undone {
    pub message_type: &'static str,
    pub forgotten: String,
    pub snapshot_id: String,
}

impl Undone {
    /// Of a snapshot and its new id.
    pub fn new(forgotten: RunId, back: RunId) -> Self {
        Self { message_type: "undone", forgotten: forgotten.to_string(), snapshot_id: back.to_string() }
    }
}
