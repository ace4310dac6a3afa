//! What `repair` ends with.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::path;
use crate::cli::ui::units;
use crate::repo::format::key;
use crate::repo::note::UnusableNote;
use crate::repo::repair::index::IndexPlan;
use crate::repo::repair::notes::{NotesOutcome, NotesPlan};
use crate::repo::repair::packs::{DamagedPack, PacksOutcome, PacksPlan};
use crate::snapshot::repair::losses::{Loss, Losses};
use serde::Serialize;

/// An object, and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Fault {
    pub object: String,
    pub message: String,
}

/// `summary` of `repair index`.
#[derive(Debug, Serialize)]
pub struct RepairIndex {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub run: Option<String>,
    pub packs: u64,
    pub added_packs: u64,
    pub unusable_segments: Vec<Fault>,
    pub unreadable_packs: Vec<Fault>,
    pub total_duration: f64,
}

impl RepairIndex {
    /// The message for a plan.
    pub fn new(plan: &IndexPlan, dry_run: bool) -> Self {
        let fault = |object: String, message: &String| Fault { object, message: message.clone() };
        Self {
            message_type: "summary",
            dry_run,
            run: None,
            packs: plan.packs,
            added_packs: plan.added_packs(),
            unusable_segments: plan.unusable.iter().map(|(key, why)| fault(key.clone(), why)).collect(),
            unreadable_packs: plan.unreadable.iter().map(|(pack, why)| fault(key::pack(*pack), why)).collect(),
            total_duration: 0.0,
        }
    }
}

/// A damaged pack.
#[derive(Debug, Serialize)]
pub struct RepairedPack {
    pub pack: String,
    pub was_set_aside: bool,
    pub copied: u64,
    pub elsewhere: u64,
    pub lost: Vec<Fault>,
}

impl From<&DamagedPack> for RepairedPack {
    fn from(damaged: &DamagedPack) -> Self {
        let lost = damaged.lost.iter();
        Self {
            pack: key::pack(damaged.pack),
            was_set_aside: damaged.is_set_aside,
            copied: damaged.copied.len() as u64,
            elsewhere: damaged.elsewhere,
            lost: lost.map(|(id, why)| Fault { object: format!("frame {id}"), message: why.clone() }).collect(),
        }
    }
}

/// `summary` of `repair packs`.
#[derive(Debug, Serialize)]
pub struct RepairPacks {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub run: Option<String>,
    pub damaged: Vec<RepairedPack>,
    pub sound: Vec<String>,
    pub frames_copied: u64,
    pub packs_written: u64,
    pub bytes_written: u64,
    pub packs_set_aside: u64,
    pub total_duration: f64,
}

impl RepairPacks {
    /// The message for a plan and what came of it.
    pub fn new(plan: &PacksPlan, outcome: &PacksOutcome, dry_run: bool, seconds: f64) -> Self {
        Self {
            message_type: "summary",
            dry_run,
            run: outcome.run.map(|run| run.to_string()),
            damaged: plan.damaged.iter().map(RepairedPack::from).collect(),
            sound: plan.sound.iter().map(|pack| key::pack(*pack)).collect(),
            frames_copied: outcome.copied,
            packs_written: outcome.written.0,
            bytes_written: outcome.written.1,
            packs_set_aside: outcome.set_aside,
            total_duration: seconds,
        }
    }
}

/// `summary` of `repair notes`.
#[derive(Debug, Serialize)]
pub struct RepairNotes {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub sound: u64,
    pub damaged: Vec<Fault>,
    pub removed: Vec<String>,
    pub mended: Vec<String>,
    pub staying: Vec<Fault>,
    pub total_duration: f64,
}

impl RepairNotes {
    /// The message for a plan and what came of it; without that it's a dry run.
    pub fn new(plan: &NotesPlan, outcome: Option<&NotesOutcome>, seconds: f64) -> Self {
        let fault = |note: &UnusableNote| Fault { object: note.key.clone(), message: note.why.clone() };
        Self {
            message_type: "summary",
            dry_run: outcome.is_none(),
            sound: plan.sound,
            damaged: plan.damaged.iter().map(fault).collect(),
            removed: outcome.map(|outcome| outcome.removed.clone()).unwrap_or_default(),
            mended: outcome.map(|outcome| outcome.mended.clone()).unwrap_or_default(),
            staying: plan.others.iter().map(fault).collect(),
            total_duration: seconds,
        }
    }
}

/// A snapshot that has lost something.
#[derive(Debug, Serialize)]
pub struct LostIn {
    pub id: String,
    pub readable: bool,
    pub time: Option<String>,
    pub host: Option<String>,
    pub app: Option<String>,
    pub paths: Vec<LostPath>,
}

/// A path that can't be restored.
#[derive(Debug, Serialize)]
pub struct LostPath {
    pub path: String,
    pub may_come_back: bool,
}

impl From<&Loss> for LostIn {
    fn from(loss: &Loss) -> Self {
        let snapshot = loss.snapshot.as_ref();
        let lost = |(at, heals): (&_, &bool)| LostPath { path: path(at), may_come_back: *heals };
        Self {
            id: loss.id.to_string(),
            readable: snapshot.is_some(),
            time: snapshot.map(|snapshot| units::rfc3339(snapshot.time())),
            host: snapshot.map(|snapshot| snapshot.manifest.host.clone()),
            app: snapshot.and_then(|snapshot| snapshot.manifest.app.clone()),
            paths: loss.paths.iter().map(lost).collect(),
        }
    }
}

/// `summary` of `repair snapshots`.
#[derive(Debug, Serialize)]
pub struct RepairSnapshots {
    pub message_type: &'static str,
    pub snapshots_checked: u64,
    pub damaged: Vec<LostIn>,
    pub total_duration: f64,
}

impl RepairSnapshots {
    /// The message for what was found.
    pub fn new(losses: &Losses, seconds: f64) -> Self {
        Self {
            message_type: "summary",
            snapshots_checked: losses.snapshots,
            damaged: losses.damaged.iter().map(LostIn::from).collect(),
            total_duration: seconds,
        }
    }
}
