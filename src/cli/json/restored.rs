//! What is said about databases that come back.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::path;
use crate::cli::commands::restore::database::weight;
use crate::repo::id::RunId;
use crate::snapshot::compat;
use crate::snapshot::postgres::restore::plan::{self, Before};
use crate::snapshot::postgres::restore::rows::TableRows;
use crate::snapshot::postgres::restore::run::DatabaseSummary;
use serde::Serialize;

/// What the restore of a database will do.
#[derive(Debug, Clone, Serialize)]
pub struct DatabasePlan {
    pub dump: String,
    pub bytes: u64,
    pub database: String,
    pub server: String,
    pub server_version: String,
    pub dump_version: Option<String>,
    pub before: &'static str,
    pub roles: Vec<String>,
    pub leftovers: Vec<String>,
    pub findings: Vec<Finding>,
    pub warnings: Vec<String>,
    pub refused: Vec<String>,
}

/// Something that doesn't fit, or that is worth knowing.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub weight: &'static str,
    pub message: String,
}

impl DatabasePlan {
    /// The plan, and what was found by comparing.
    pub fn new(plan: &plan::DatabasePlan, findings: &[compat::Finding]) -> Self {
        Self {
            dump: path(&plan.dump.path),
            bytes: plan.dump.bytes(),
            database: plan.target.clone(),
            server: plan.server.clone(),
            server_version: plan.version.to_string(),
            dump_version: plan.dump.server.map(|version| version.to_string()),
            before: match plan.before {
                Before::Nothing => "nothing",
                Before::Empty => "empty",
                Before::Filled => "filled",
            },
            roles: plan.roles.iter().map(|role| role.name.clone()).collect(),
            leftovers: plan.leftovers.clone(),
            findings: findings
                .iter()
                .map(|finding| Finding { weight: weight(finding.weight), message: finding.text.clone() })
                .collect(),
            warnings: plan.warnings.clone(),
            refused: plan.refused.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A step of a restore.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    pub name: String,
    pub state: &'static str,
    pub seconds: f64,
}

/// The rows of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    pub schema: String,
    pub name: String,
    pub expected: Option<u64>,
    pub found: Option<u64>,
}

impl From<&TableRows> for Rows {
    fn from(table: &TableRows) -> Self {
        let TableRows { schema, name, expected, found, .. } = table.clone();
        Self { schema, name, expected, found }
    }
}

/// `summary` of the restore of a database.
#[derive(Debug, Serialize)]
pub struct RestoreDatabase {
    pub message_type: &'static str,
    pub snapshot_id: String,
    pub dry_run: bool,
    pub plan: DatabasePlan,
    pub steps: Vec<Step>,
    pub tables: Vec<Rows>,
    pub differing: u64,
    pub old: Option<String>,
    pub kept: Option<String>,
    pub overridden: Vec<String>,
    pub by_hand: Vec<String>,
    pub total_duration: f64,
}

impl RestoreDatabase {
    /// The message for what was done.
    pub fn new(snapshot: RunId, plan: DatabasePlan, summary: &DatabaseSummary, seconds: f64) -> Self {
        let step = |step: &crate::snapshot::postgres::restore::run::Step| Step {
            name: step.name.to_owned(),
            state: "done",
            seconds: step.seconds,
        };
        Self {
            message_type: "summary",
            snapshot_id: snapshot.to_string(),
            dry_run: false,
            plan,
            steps: summary.steps.iter().map(step).collect(),
            tables: summary.tables.iter().map(Rows::from).collect(),
            differing: summary.tables.iter().filter(|table| table.differs()).count() as u64,
            old: summary.old.clone(),
            kept: summary.kept.clone(),
            overridden: summary.overridden.iter().map(|&option| option.to_owned()).collect(),
            by_hand: summary.by_hand.clone(),
            total_duration: seconds,
        }
    }

    /// The message for what would be done.
    pub fn dry(snapshot: RunId, plan: DatabasePlan) -> Self {
        Self { dry_run: true, ..Self::new(snapshot, plan, &DatabaseSummary::default(), 0.0) }
    }
}
