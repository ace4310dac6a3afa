//! What the verbs of the configuration end with.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::name;
use crate::cli::config::{self, Loaded};
use jiff::Zoned;
use serde::Serialize;
use std::path::Path;

/// `configuration`: all of it, with defaults.
#[derive(Debug, Serialize)]
pub struct Configuration<'a, T> {
    pub message_type: &'static str,
    pub configuration: &'a T,
}

/// `summary` of `config check`.
#[derive(Debug, Serialize)]
pub struct ConfigCheck {
    pub message_type: &'static str,
    pub files: Vec<String>,
    pub problems: Vec<Finding>,
    pub warnings: Vec<Finding>,
    pub schedules: Vec<Schedule>,
}

/// Something to be said of a configuration.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub file: Option<String>,
    pub line: Option<usize>,
    pub key: String,
    pub message: String,
}

/// When an application is backed up.
#[derive(Debug, Serialize)]
pub struct Schedule {
    pub app: String,
    pub next: Vec<String>,
}

impl ConfigCheck {
    /// The message for a configuration that was looked at.
    pub fn new(loaded: &Loaded, schedules: &[(String, Vec<Zoned>)]) -> Self {
        let schedule = |(app, times): &(String, Vec<Zoned>)| Schedule {
            app: app.clone(),
            next: times.iter().map(|time| time.timestamp().to_string()).collect(),
        };
        Self {
            message_type: "summary",
            files: loaded.files.iter().map(|file| path(file)).collect(),
            problems: loaded.report.problems().map(Finding::from).collect(),
            warnings: loaded.report.warnings().map(Finding::from).collect(),
            schedules: schedules.iter().map(schedule).collect(),
        }
    }
}

impl From<&config::Finding> for Finding {
    fn from(finding: &config::Finding) -> Self {
        Self {
            file: finding.place.as_ref().map(|place| path(&place.file)),
            line: finding.place.as_ref().map(|place| place.line),
            key: finding.key.clone(),
            message: finding.message.clone(),
        }
    }
}

fn path(path: &Path) -> String {
    name(path.as_os_str().as_encoded_bytes())
}
