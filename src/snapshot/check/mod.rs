//! Checking a repository: everything that snapshots refer to is there, and with `--read-data` is what it should be.
//!
//! 1. Packs are listed; segments and trailers say which frames they hold.
//! 2. Every snapshot's tree is walked, each directory once: every frame that is referred to is in a pack that exists with its length.
//! 3. With data: packs are read whole, hashed, and every frame in them is opened. Which were whole is noted in the repository.
//!    The small objects, which nothing refers to, are opened as well; notes are without.
//! 4. No manifest is missing: by the numbers of each credential's, by what the last prune saw, and by what this host remembers.
//! 5. If anything was found, the snapshots are walked again for the paths that it hits.

mod budget;
mod data;
mod names;
mod objects;
mod sequence;
mod subset;
mod verifying;
mod walk;

pub use budget::{Budget, Reading, ReadingError};
pub use names::check_names;
pub use subset::{Subset, SubsetError};

use crate::repo::cbor::Time;
use crate::repo::error::{ReadError, RepoError};
use crate::repo::format::key;
use crate::repo::gc::records;
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::note::Matter;
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::view::View;
use crate::snapshot::backup::now;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::snapshots::{self, Snapshots};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use verifying::Verifying;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Which part of the packs to read; none if absent.
    pub read_data: Option<Reading>,
    /// The time to reckon with instead of now.
    pub time: Option<Time>,
}

/// Most paths that are named per snapshot and damage.
pub const MAX_PATHS: usize = 1000;

/// What a damage is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// A pack; the frames in it may be elsewhere, too.
    Pack(PackId),
    /// A frame that can't be had from anywhere.
    Frame(FrameId),
    /// A note; what it said is lost.
    Note(Matter),
    /// Anything else.
    Other,
}

/// Something is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object or frame, in words.
    pub object: String,
    /// What it is.
    pub kind: Damaged,
    /// What is wrong with it.
    pub what: String,
    /// The snapshots that it hits, and in each the paths (at most [`MAX_PATHS`]).
    pub snapshots: Vec<(RunId, Vec<SafePath>)>,
}

/// How long ago packs were verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verification {
    /// When the check began.
    pub at: Time,
    /// When the pack was verified whose turn is longest ago; nothing if none ever was.
    pub oldest: Option<Time>,
    /// Packs that never were, or that this check found damaged.
    pub never: u64,
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
    /// How long ago the packs were verified, these among them.
    pub verification: Verification,
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
    /// Packs that a repair set aside: that they are damaged is known, and no run relies on them.
    set_aside: HashSet<PackId>,
    /// Frames that were found in no other packs than those: they matter only if a snapshot refers to them.
    only_set_aside: HashSet<FrameId>,
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
    let mut findings = Findings { set_aside: records::condemned(repo)?, ..Findings::default() };
    for (id, why) in &snapshots.unreadable {
        let (object, what) = (key::snapshot(*id), why.clone());
        let kind = Damaged::Other;
        findings.other.push(Damage { object, kind, what, snapshots: vec![(*id, Vec::new())] });
    }
    let (damaged, powerless) = notes(&snapshots);
    findings.other.extend(damaged);
    warnings.extend(powerless);
    findings.other.extend(snapshots.odd_tombstones.iter().map(|(key, why)| objects::damage(key, why)));
    let missing = sequence::missing(repo, &snapshots)?;
    findings.other.extend(missing.damages);
    warnings.extend(missing.warnings);
    for (pack, length) in view.misfits() {
        findings.packs.insert(pack, format!("it has {length} bytes, which isn't the length that it was stored with"));
    }
    monitor.progress().enter("checking snapshots");
    walk::frames_exist(&reader, &snapshots, &mut findings, monitor)?;
    let mut report = CheckReport { snapshots: snapshots.list.len() as u64, ..CheckReport::default() };
    report.packs = view.all_listed().len() as u64;
    let verifying = Verifying::begin(repo, options.time.unwrap_or_else(now))?;
    if let Some(reading) = options.read_data {
        monitor.progress().enter("reading packs");
        data::read_packs(&reader, repo, reading, &verifying, &mut findings, &mut report, monitor)?;
        monitor.progress().enter("reading small objects");
        let odd = objects::read_objects(repo, &snapshots, monitor)?;
        let said: HashSet<String> = findings.other.iter().map(|damage| damage.object.clone()).collect();
        findings.other.extend(odd.damages.into_iter().filter(|damage| !said.contains(&damage.object)));
        warnings.extend(odd.warnings);
    }
    report.warnings.append(&mut warnings);
    let (verification, unkept) = verifying.end(&view.all_listed());
    report.verification = verification;
    report.warnings.extend(unkept);
    let (errors, set_aside) = damages(&reader, &snapshots, findings, monitor)?;
    report.errors = errors;
    report.warnings.extend(set_aside);
    Ok(report)
}

/// Notes that can't be used: those that may have said something, and in words those that say nothing or that a newer program may understand.
fn notes(snapshots: &Snapshots) -> (Vec<Damage>, Vec<String>) {
    let (mut damages, mut warnings) = (Vec::new(), Vec::new());
    for note in &snapshots.notes.unusable {
        match note.matter {
            Matter::Damaged | Matter::Foreign | Matter::Withheld => damages.push(Damage {
                object: note.key.clone(),
                kind: Damaged::Note(note.matter),
                what: note.why.clone(),
                snapshots: Vec::new(),
            }),
            Matter::Powerless | Matter::Newer => {
                warnings.push(format!("a note doesn't count: {note}: {}", note.matter.next_step()));
            }
        }
    }
    (damages, warnings)
}

/// Turns findings into damages with the snapshots and paths they hit, and into warnings.
fn damages(
    reader: &Reader<'_>,
    snapshots: &Snapshots,
    findings: Findings,
    monitor: &dyn Monitor,
) -> Result<(Vec<Damage>, Vec<String>), CheckError> {
    let wanted: BTreeSet<FrameId> = findings.frames.keys().copied().collect();
    let mut hits = if wanted.is_empty() {
        BTreeMap::new()
    } else {
        monitor.progress().enter("finding what is hit");
        walk::paths_hit(reader, snapshots, &wanted, monitor)?
    };
    let mut damages: Vec<Damage> = Vec::new();
    let mut warnings = Vec::new();
    for (pack, what) in findings.packs {
        let object = key::pack(pack);
        if findings.set_aside.contains(&pack) {
            warnings.push(format!("{object}: {what}; it is set aside, so no backup relies on it"));
        } else {
            damages.push(Damage { object, kind: Damaged::Pack(pack), what, snapshots: Vec::new() });
        }
    }
    for (frame, what) in findings.frames {
        let snapshots: Vec<_> = hits.remove(&frame).unwrap_or_default().into_iter().collect();
        if !snapshots.is_empty() || !findings.only_set_aside.contains(&frame) {
            damages.push(Damage { object: format!("frame {frame}"), kind: Damaged::Frame(frame), what, snapshots });
        }
    }
    damages.extend(findings.other);
    Ok((damages, warnings))
}
