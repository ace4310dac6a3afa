//! What is wrong with a configuration, and where.

use crate::cli::ui::clean;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How many findings are kept: whoever wrote a file with more has seen enough.
const MOST: usize = 200;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration can't be used.
    Problem,
    /// It can, but somebody should look.
    Warning,
}

/// Something to be said of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where, unless it's about no line of a file.
    pub place: Option<Place>,
    /// The key concerned, such as `app.wiki.source.db`; empty if it's about the whole file.
    pub key: String,
    /// What it is.
    pub message: String,
}

/// `FILE:LINE: KEY: MESSAGE`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Collects findings, and where each key stands.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, in the order in which it was.
    pub findings: Vec<Finding>,
    /// Where each key stands that was looked at.
    pub places: BTreeMap<String, Place>,
}

impl Report {
    /// Notes something that makes the configuration useless.
    pub fn problem(&mut self, place: Option<Place>, key: &str, message: impl AsRef<str>) {
        self.push(Severity::Problem, place, key, message.as_ref());
    }

    /// Notes something to look at.
    pub fn warning(&mut self, place: Option<Place>, key: &str, message: impl AsRef<str>) {
        self.push(Severity::Warning, place, key, message.as_ref());
    }

    /// Notes a problem with a key that was decoded before.
    pub fn problem_at(&mut self, key: &str, message: impl AsRef<str>) {
        self.problem(self.places.get(key).cloned(), key, message);
    }

    /// Notes a warning about a key that was decoded before.
    pub fn warning_at(&mut self, key: &str, message: impl AsRef<str>) {
        self.warning(self.places.get(key).cloned(), key, message);
    }

    /// Puts the findings into the order of files and lines.
    pub fn sort(&mut self) {
        self.findings.sort_by(|a, b| a.place.cmp(&b.place));
    }

    /// The problems.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Problem)
    }

    /// What is to be looked at.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Warning)
    }

    fn push(&mut self, severity: Severity, place: Option<Place>, key: &str, message: &str) {
        if self.findings.iter().filter(|finding| finding.severity == severity).count() < MOST {
            // Names of keys and errors of other parts may quote what stood there.
            let (key, message) = (visible(key), visible(message));
            self.findings.push(Finding { severity, place, key, message });
        }
    }
}

/// The text with nothing in it that a terminal obeys, line by line: errors of the parser show the line with a mark below it.
fn visible(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}
