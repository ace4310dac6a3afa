//! What each verb ends with.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{Counts, Source, path, state};
use crate::cli::ui::units;
use crate::repo::id::RunId;
use crate::repo::keys::Role;
use crate::repo::keys::credential::Method;
use crate::repo::repository::CredentialInfo;
use crate::repo::store::probe::Probe;
use crate::snapshot::backup::BackupSummary;
use crate::snapshot::check::{CheckReport, Damage};
use crate::snapshot::manifest::database::Database;
use crate::snapshot::tree::path::SafePath;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// `initialized`: a repository was made.
#[derive(Debug, Serialize)]
pub struct Initialized {
    pub message_type: &'static str,
    pub id: String,
    pub repository: String,
    pub credential: String,
    pub probe: Probed,
    pub recovery: Option<String>,
}

/// A recovery page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recovery {
    pub message_type: &'static str,
    pub file: Option<String>,
    pub sha256: String,
    pub words: bool,
    pub page: Option<String>,
}

/// What was found out about the storage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probed {
    pub refuses_overwriting: bool,
    pub steps: u64,
    pub slowest_step_seconds: f64,
    pub seconds: f64,
}

impl From<&Probe> for Probed {
    fn from(probe: &Probe) -> Self {
        let seconds = probe.steps.iter().map(|(_, took)| took.as_secs_f64());
        Self {
            refuses_overwriting: probe.refuses_overwriting,
            steps: probe.steps.len() as u64,
            slowest_step_seconds: seconds.clone().fold(0.0, f64::max),
            seconds: seconds.sum(),
        }
    }
}

/// `summary` of a backup.
#[derive(Debug, Serialize)]
pub struct Backup {
    pub message_type: &'static str,
    pub dry_run: bool,
    pub snapshot_id: Option<String>,
    pub state: &'static str,
    #[serde(flatten)]
    pub counts: Counts,
    pub problems: u64,
    pub total_duration: f64,
    pub sources: Vec<Source>,
    pub databases: Vec<DumpedDatabase>,
}

/// A database that was captured.
#[derive(Debug, Serialize)]
pub struct DumpedDatabase {
    pub source: String,
    pub name: String,
    pub path: String,
    pub tables: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl From<&Database> for DumpedDatabase {
    fn from(database: &Database) -> Self {
        Self {
            source: database.source.clone(),
            name: database.name.clone(),
            path: path(&database.dump),
            tables: database.tables.len() as u64,
            rows: database.rows(),
            bytes: database.bytes,
        }
    }
}

impl Backup {
    /// The message for a run.
    pub fn new(summary: &BackupSummary, dry_run: bool) -> Self {
        Self {
            message_type: "summary",
            dry_run,
            snapshot_id: summary.snapshot.map(|id| id.to_string()),
            state: state(summary.state),
            counts: Counts::from(&summary.statistics),
            problems: summary.problems.len() as u64,
            total_duration: summary.seconds,
            sources: Source::all(&summary.sources, &summary.details),
            databases: summary.databases.iter().map(DumpedDatabase::from).collect(),
        }
    }
}

/// `error` of a check: something is damaged.
#[derive(Debug, Serialize)]
pub struct Broken {
    pub message_type: &'static str,
    pub object: String,
    pub message: String,
    pub snapshots: Vec<Hit>,
}

/// The paths of a snapshot that a damage hits.
#[derive(Debug, Serialize)]
pub struct Hit {
    pub id: String,
    pub paths: Vec<String>,
}

impl From<&Damage> for Broken {
    fn from(damage: &Damage) -> Self {
        let hit =
            |(id, paths): &(RunId, Vec<SafePath>)| Hit { id: id.to_string(), paths: paths.iter().map(path).collect() };
        Self {
            message_type: "error",
            object: damage.object.clone(),
            message: damage.what.clone(),
            snapshots: damage.snapshots.iter().map(hit).collect(),
        }
    }
}

/// `summary` of a check.
#[derive(Debug, Serialize)]
pub struct Check {
    pub message_type: &'static str,
    pub errors: u64,
    pub warnings: Vec<String>,
    pub packs: u64,
    pub packs_read: u64,
    pub bytes_read: u64,
    pub oldest_verification: Option<String>,
    pub never_verified: u64,
    pub snapshots_checked: u64,
    pub broken_packs: Vec<String>,
    pub snapshots: Vec<Hit>,
    pub total_duration: f64,
}

impl Check {
    /// The message for a check that took so long.
    pub fn new(report: &CheckReport, seconds: f64) -> Self {
        let mut hits: BTreeMap<RunId, BTreeSet<String>> = BTreeMap::new();
        for (id, paths) in report.errors.iter().flat_map(|damage| &damage.snapshots) {
            hits.entry(*id).or_default().extend(paths.iter().map(path));
        }
        let packs = report.errors.iter().filter(|damage| damage.object.starts_with("packs/"));
        let packs: BTreeSet<_> = packs.map(|damage| damage.object.clone()).collect();
        let hit =
            |(id, paths): (RunId, BTreeSet<String>)| Hit { id: id.to_string(), paths: paths.into_iter().collect() };
        Self {
            message_type: "summary",
            errors: report.errors.len() as u64,
            warnings: report.warnings.clone(),
            packs: report.packs,
            packs_read: report.packs_read,
            bytes_read: report.bytes_read,
            oldest_verification: report.verification.oldest.map(units::rfc3339),
            never_verified: report.verification.never,
            snapshots_checked: report.snapshots,
            broken_packs: packs.into_iter().collect(),
            snapshots: hits.into_iter().map(hit).collect(),
            total_duration: seconds,
        }
    }
}

/// A credential in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Credential {
    pub id: String,
    pub role: &'static str,
    pub kind: &'static str,
    pub label: String,
    pub host: String,
    pub created: String,
    pub current: bool,
}

impl From<&CredentialInfo> for Credential {
    fn from(info: &CredentialInfo) -> Self {
        let facts = info.what.as_ref().ok();
        Self {
            id: info.id.to_string(),
            role: facts.map_or("unusable", |facts| match facts.role {
                Role::Full => "full",
                Role::WriteOnly => "write-only",
            }),
            kind: facts.map_or("", |facts| match facts.method {
                Method::Passphrase(_) => "password",
                Method::KeyFile => "key file",
            }),
            label: info.what.as_ref().map_or_else(ToString::to_string, |facts| facts.label.text.clone()),
            host: facts.map(|facts| facts.label.host.clone()).unwrap_or_default(),
            created: facts.map(|facts| units::rfc3339(facts.label.created)).unwrap_or_default(),
            current: info.current,
        }
    }
}

/// `credential`: one was added, replaced or removed.
#[derive(Debug, Serialize)]
pub struct CredentialChange {
    pub message_type: &'static str,
    pub action: &'static str,
    pub id: String,
}
