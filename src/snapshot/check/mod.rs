//! Checking a repository: everything that snapshots refer to is there, and with `--read-data` is what it should be.
//!
//! 1. Packs are listed; segments and trailers say which frames they hold.
//! 2. Every snapshot's tree is walked, each directory once: every frame that is referred to is in a pack that exists with its length.
//! 3. With data: packs are read whole, hashed, and every frame in them is opened.
//! 4. If anything was found, the snapshots are walked again for the paths that it hits.

mod data;
mod subset;
mod walk;

pub use subset::{Subset, SubsetError};

use crate::repo::error::{ReadError, RepoError};
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::view::View;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::snapshots::{self, Snapshots};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Which part of the packs to read; none if absent.
    pub read_data: Option<Subset>,
}

/// Most paths that are named per snapshot and damage.
pub const MAX_PATHS: usize = 1000;

/// Something is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object or frame.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// The snapshots that it hits, and in each the paths (at most [`MAX_PATHS`]).
    pub snapshots: Vec<(RunId, Vec<SafePath>)>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Snapshots that were walked.
    pub snapshots: u64,
    /// Packs in the repository.
    pub packs: u64,
    /// Packs that were read.
    pub packs_read: u64,
    /// Bytes that were read of them.
    pub bytes_read: u64,
    /// What is damaged.
    pub errors: Vec<Damage>,
    /// What is odd but loses nothing.
    pub warnings: Vec<String>,
}

/// What ends a check before its time.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The repository can't be read at all.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A thread or a file of this machine failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

/// What was found so far, by object.
#[derive(Default)]
struct Findings {
    /// Frames that can't be had, and why.
    frames: BTreeMap<FrameId, String>,
    /// Packs that are damaged, and how; their frames may be elsewhere too.
    packs: BTreeMap<PackId, String>,
    /// Other damage, hitting paths that are known already.
    other: Vec<Damage>,
}

/// Checks a repository.
pub fn check(repo: &Repo<Full>, options: &CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport, CheckError> {
    monitor.progress().enter("reading the index");
    let (view, mut warnings) = View::for_reading(repo)?;
    let view = Arc::new(view);
    let reader = Reader::new(repo, Arc::clone(&view));
    let snapshots = snapshots::snapshots(repo)?;
    let mut findings = Findings::default();
    for (id, why) in &snapshots.unreadable {
        let (object, what) = (crate::repo::format::key::snapshot(*id), why.clone());
        findings.other.push(Damage { object, what, snapshots: vec![(*id, Vec::new())] });
    }
    monitor.progress().enter("checking snapshots");
    walk::frames_exist(&reader, &snapshots, &mut findings, monitor)?;
    let mut report = CheckReport { snapshots: snapshots.list.len() as u64, ..CheckReport::default() };
    report.packs = view.all_listed().len() as u64;
    if let Some(subset) = options.read_data {
        monitor.progress().enter("reading packs");
        data::read_packs(&reader, repo, subset, &mut findings, &mut report, monitor)?;
    }
    report.warnings.append(&mut warnings);
    report.errors = damages(&reader, &snapshots, findings, monitor)?;
    Ok(report)
}

/// Turns findings into damages with the snapshots and paths they hit.
fn damages(
    reader: &Reader<'_>,
    snapshots: &Snapshots,
    findings: Findings,
    monitor: &dyn Monitor,
) -> Result<Vec<Damage>, CheckError> {
    let wanted: BTreeSet<FrameId> = findings.frames.keys().copied().collect();
    let mut hits = if wanted.is_empty() {
        BTreeMap::new()
    } else {
        monitor.progress().enter("finding what is hit");
        walk::paths_hit(reader, snapshots, &wanted, monitor)?
    };
    let mut damages: Vec<Damage> = Vec::new();
    for (pack, what) in findings.packs {
        damages.push(Damage { object: crate::repo::format::key::pack(pack), what, snapshots: Vec::new() });
    }
    for (frame, what) in findings.frames {
        let snapshots = hits.remove(&frame).unwrap_or_default().into_iter().collect();
        damages.push(Damage { object: format!("frame {frame}"), what, snapshots });
    }
    damages.extend(findings.other);
    Ok(damages)
}
