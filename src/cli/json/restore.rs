//! What is said about files that come back.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{name, path};
use crate::repo::id::RunId;
use crate::snapshot::restore::plan::Listed;
use crate::snapshot::restore::{RestorePlan, RestoreSummary};
use serde::Serialize;

/// Entries: all are counted, the first are named.
#[derive(Debug, Clone, Serialize)]
pub struct Entries {
    pub count: u64,
    pub paths: Vec<String>,
}

impl From<&Listed> for Entries {
    fn from(listed: &Listed) -> Self {
        Self { count: listed.count, paths: listed.first.iter().map(path).collect() }
    }
}

/// What a restore is going to do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub target: String,
    pub files: u64,
    pub directories: u64,
    pub others: u64,
    pub bytes: u64,
    pub free: Option<u64>,
    pub goes_on: bool,
    pub created: Entries,
    pub overwritten: Entries,
    pub kept: Entries,
    pub refused: Entries,
    pub deleted: Entries,
    pub spared: Entries,
    pub untouched: Entries,
    pub unreadable: Entries,
}

impl From<&RestorePlan> for Plan {
    fn from(plan: &RestorePlan) -> Self {
        Self {
            target: name(plan.target.as_os_str().as_encoded_bytes()),
            files: plan.files,
            directories: plan.directories,
            others: plan.others,
            bytes: plan.bytes,
            free: plan.free,
            goes_on: plan.goes_on,
            created: Entries::from(&plan.created),
            overwritten: Entries::from(&plan.overwritten),
            kept: Entries::from(&plan.kept),
            refused: Entries::from(&plan.refused),
            deleted: Entries::from(&plan.deleted),
            spared: Entries::from(&plan.spared),
            untouched: Entries::from(&plan.untouched),
            unreadable: Entries::from(&plan.unreadable),
        }
    }
}

/// What nobody asked for.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    pub set_ids: u64,
    pub special: u64,
    pub xattrs: u64,
}

/// What the system didn't permit.
#[derive(Debug, Clone, Serialize)]
pub struct Denied {
    pub owners: u64,
    pub set_ids: u64,
    pub devices: u64,
    pub xattrs: u64,
}

/// `summary` of a restore.
#[derive(Debug, Serialize)]
pub struct Restore {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub snapshot_id: String,
    pub plan: Plan,
    pub files: u64,
    pub directories: u64,
    pub others: u64,
    pub bytes: u64,
    pub overwritten: u64,
    pub kept: u64,
    pub deleted: u64,
    pub spared: u64,
    pub left_out: LeftOut,
    pub denied: Denied,
    pub problems: u64,
    pub total_duration: f64,
}

impl Restore {
    /// The message for what was done.
    pub fn new(snapshot: RunId, plan: &RestorePlan, summary: &RestoreSummary) -> Self {
        let (left_out, denied) = (summary.left_out, summary.denied);
        Self {
            message_type: "summary",
            dry_run: false,
            snapshot_id: snapshot.to_string(),
            plan: Plan::from(plan),
            files: summary.files,
            directories: summary.directories,
            others: summary.others,
            bytes: summary.bytes,
            overwritten: summary.overwritten,
            kept: summary.kept,
            deleted: summary.deleted,
            spared: summary.spared,
            left_out: LeftOut { set_ids: left_out.set_ids, special: summary.special_left_out, xattrs: left_out.xattrs },
            denied: Denied {
                owners: denied.owners,
                set_ids: denied.set_ids,
                devices: denied.devices,
                xattrs: denied.xattrs,
            },
            problems: summary.problem_count,
            total_duration: summary.seconds,
        }
    }

    /// The message for what would be done.
    pub fn dry(snapshot: RunId, plan: &RestorePlan) -> Self {
        Self { dry_run: true, ..Self::new(snapshot, plan, &RestoreSummary::default()) }
    }
}
