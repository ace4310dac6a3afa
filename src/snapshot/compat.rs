//! Whether what a snapshot holds fits where it is to go: version, migrations, keys.
//!
//! Pure: facts in, findings out. A restore of a database asks for an [`Approved`], which only [`compare`] gives.

pub mod keys;
pub mod ledger;

use crate::snapshot::manifest::application::Application;
use crate::snapshot::manifest::database::{Ledger, Table};
use crate::snapshot::source::variables::values::Variables;

/// What a finding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Needs a look.
    Warning,
    /// Forbids the restore, unless it's allowed explicitly.
    Refused,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The application's version.
    Version,
    /// The migrations.
    Ledger,
    /// The keys.
    Keys,
}

/// Something that was found by comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it's about.
    pub subject: Subject,
    /// What it does.
    pub weight: Weight,
    /// What was found, for people.
    pub text: String,
}

impl Finding {
    fn new(subject: Subject, weight: Weight, text: String) -> Self {
        Self { subject, weight, text }
    }
}

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored<'a> {
    /// The migrations in the dump, if that is known.
    pub ledgers: Option<&'a [Ledger]>,
    /// Tables of which it has rows, if it's a dump that something else made: of one of these migrations may be there that couldn't be read.
    pub tables: &'a [Table],
    /// Ids of the keys that its data uses, if that is known.
    pub keys_in_use: Option<&'a [String]>,
    /// The application.
    pub application: Option<&'a Application>,
}

/// What is known of where it is to go.
#[derive(Debug, Default)]
pub struct Target<'a> {
    /// The version of the application that will run on it.
    pub version: Option<&'a str>,
    /// The migrations in the database that is to be replaced; empty if there is none.
    pub ledgers: &'a [Ledger],
    /// What the environment of the application will be, and what fingerprints are made with; nothing if it wasn't given.
    pub environment: Option<(&'a Variables, &'a [u8; 32])>,
}

/// What the user allows all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Migrations that don't fit.
    pub ledger: bool,
    /// Keys that are missing or other ones.
    pub keys: bool,
}

impl Overrides {
    fn allow(self, subject: Subject) -> bool {
        match subject {
            Subject::Version => true,
            Subject::Ledger => self.ledger,
            Subject::Keys => self.keys,
        }
    }
}

/// The result of a comparison that forbids nothing, or only what the user allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    findings: Vec<Finding>,
    overridden: Vec<&'static str>,
}

impl Approved {
    /// All that was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The options that were needed, such as `--allow-key-mismatch`.
    pub fn overridden(&self) -> &[&'static str] {
        &self.overridden
    }
}

/// The result of a comparison that forbids the restore.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", forbidding(.findings, *.overrides))]
pub struct Mismatch {
    /// All that was found.
    pub findings: Vec<Finding>,
    /// What was allowed.
    pub overrides: Overrides,
}

impl Mismatch {
    /// The options that would allow it.
    pub fn options(&self) -> Vec<&'static str> {
        options(self.findings.iter().filter(|finding| forbids(finding, self.overrides)))
    }
}

fn forbids(finding: &Finding, overrides: Overrides) -> bool {
    finding.weight == Weight::Refused && !overrides.allow(finding.subject)
}

fn forbidding(findings: &[Finding], overrides: Overrides) -> String {
    let texts = findings.iter().filter(|finding| forbids(finding, overrides)).map(|finding| finding.text.as_str());
    texts.collect::<Vec<_>>().join("; ")
}

fn options<'f>(findings: impl Iterator<Item = &'f Finding>) -> Vec<&'static str> {
    let option = |finding: &Finding| match finding.subject {
        Subject::Version => None,
        Subject::Ledger => Some("--allow-ledger-mismatch"),
        Subject::Keys => Some("--allow-key-mismatch"),
    };
    let mut options: Vec<_> = findings.filter_map(option).collect();
    options.dedup();
    options
}

/// Compares a snapshot with where it's to go.
pub fn compare(stored: Stored<'_>, target: &Target<'_>, overrides: Overrides) -> Result<Approved, Mismatch> {
    let mut findings: Vec<Finding> = version(stored, target).into_iter().collect();
    findings.extend(ledger::compare(stored.ledgers, stored.tables, target.ledgers));
    findings.extend(keys::compare(stored, target.environment));
    if findings.iter().any(|finding| forbids(finding, overrides)) {
        return Err(Mismatch { findings, overrides });
    }
    let overridden = options(findings.iter().filter(|finding| finding.weight == Weight::Refused));
    Ok(Approved { findings, overridden })
}

fn version(stored: Stored<'_>, target: &Target<'_>) -> Option<Finding> {
    let stored = stored.application?.version.as_deref()?;
    let target = target.version?;
    (stored != target).then(|| {
        let text =
            format!("the snapshot is of version {stored} of the application, and version {target} will run on it");
        Finding::new(Subject::Version, Weight::Warning, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_differ_are_warned_of() {
        let application = Application { version: Some("1.2".into()), ..Application::default() };
        let stored = Stored { application: Some(&application), ..Stored::default() };
        let with = |version| Target { version, ..Target::default() };
        let found = |version| compare(stored, &with(version), Overrides::default()).unwrap().findings.len();
        assert_eq!((found(None), found(Some("1.2")), found(Some("1.3"))), (0, 0, 1));
        assert!(compare(Stored::default(), &with(Some("1")), Overrides::default()).unwrap().findings().is_empty());
    }

    #[test]
    fn what_is_refused_is_named_and_what_is_allowed_is_recorded() {
        let ledger = |rows: &[&str]| ledger::tests::ledger(rows);
        let (old, new) = (ledger(&["1"]), ledger(&["1", "2"]));
        let ledgers = [new];
        let stored = Stored { ledgers: Some(&ledgers), ..Stored::default() };
        let target = Target { ledgers: &[old], ..Target::default() };
        let refused = compare(stored, &target, Overrides { keys: true, ..Overrides::default() }).unwrap_err();
        assert_eq!(refused.options(), ["--allow-ledger-mismatch"]);
        assert!(refused.to_string().contains("prisma"), "{refused}");
        let approved = compare(stored, &target, Overrides { ledger: true, ..Overrides::default() }).unwrap();
        assert_eq!(approved.overridden(), ["--allow-ledger-mismatch"]);
        assert_eq!(approved.findings().len(), 1);
    }
}
