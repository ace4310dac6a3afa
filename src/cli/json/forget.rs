//! What is said of snapshots that go, and of tags and protection.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::name;
use crate::cli::ui::units;
use crate::repo::id::RunId;
use crate::snapshot::forget::ForgetPlan;
use crate::snapshot::policy::{Group, Verdict};
use serde::Serialize;

/// A group of snapshots.
#[derive(Debug, Serialize)]
pub struct ForgetGroup {
    pub app: Option<String>,
    pub host: Option<String>,
    pub paths: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub key: Option<String>,
    pub keep: Vec<String>,
    pub remove: Vec<String>,
    pub reasons: Vec<Reasons>,
}

/// Why a snapshot stays or goes.
#[derive(Debug, Serialize)]
pub struct Reasons {
    pub id: String,
    pub time: Option<String>,
    pub stays: bool,
    pub why: Vec<String>,
}

impl ForgetGroup {
    /// All groups of a plan; snapshots that can't be read are one of their own.
    pub fn all(plan: &ForgetPlan) -> Vec<Self> {
        let mut all: Vec<Self> = plan.groups.iter().map(Self::from).collect();
        if !plan.unreadable.is_empty() {
            let why = |id: &RunId| Reasons {
                id: id.to_string(),
                time: None,
                stays: false,
                why: vec!["can't be read, and named".to_owned()],
            };
            all.push(Self {
                app: None,
                host: None,
                paths: None,
                tags: None,
                key: None,
                keep: Vec::new(),
                remove: plan.unreadable.iter().map(ToString::to_string).collect(),
                reasons: plan.unreadable.iter().map(why).collect(),
            });
        }
        all
    }
}

impl From<&Group> for ForgetGroup {
    fn from(group: &Group) -> Self {
        let key = &group.key;
        let reasons = |verdict: &Verdict| Reasons {
            id: verdict.id.to_string(),
            time: Some(units::rfc3339(verdict.time)),
            stays: verdict.stays,
            why: verdict.reasons.iter().map(ToString::to_string).collect(),
        };
        Self {
            app: key.app.clone().flatten(),
            host: key.host.clone(),
            paths: key.paths.as_ref().map(|paths| paths.iter().map(|path| name(path)).collect()),
            tags: key.tags.clone(),
            key: key.key.map(|key| super::hex(&key)),
            keep: group.kept().map(|verdict| verdict.id.to_string()).collect(),
            remove: group.removed().map(|verdict| verdict.id.to_string()).collect(),
            reasons: group.verdicts.iter().map(reasons).collect(),
        }
    }
}

/// `tagged`: the tags that a snapshot has now.
#[derive(Debug, Serialize)]
pub struct Tagged {
    pub message_type: &'static str,
    pub id: String,
    pub tags: Vec<String>,
    pub changed: bool,
}

impl Tagged {
    /// The message for a snapshot.
    pub fn new(id: RunId, tags: &[String], changed: bool) -> Self {
        Self { message_type: "tagged", id: id.to_string(), tags: tags.to_vec(), changed }
    }
}

/// `protection`: whether a snapshot is protected now.
#[derive(Debug, Serialize)]
pub struct Protection {
    pub message_type: &'static str,
    pub id: String,
    pub protected: bool,
    pub changed: bool,
}

impl Protection {
    /// The message for a snapshot.
    pub fn new(id: RunId, protected: bool, changed: bool) -> Self {
        Self { message_type: "protection", id: id.to_string(), protected, changed }
    }
}
