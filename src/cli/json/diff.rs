//! What is said about the differences of two snapshots.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{entry_type, path};
use crate::repo::id::RunId;
use crate::snapshot::diff::application::ApplicationDiff;
use crate::snapshot::diff::database::{DatabaseDiff, LedgerDiff, Presence, TableDiff};
use crate::snapshot::diff::entry::{Aspect, Change};
use crate::snapshot::diff::tree::Difference;
use crate::snapshot::diff::{self, Summary};
use crate::snapshot::manifest::application::Image;
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::tree::entry::{Entry, EntryType};
use serde::Serialize;

/// `change`: an entry differs.
#[derive(Debug, Serialize)]
pub struct Changed {
    pub message_type: &'static str,
    pub path: String,
    pub modifier: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub size_before: Option<u64>,
    pub size_after: Option<u64>,
    pub metadata: Vec<&'static str>,
    pub variables_added: Vec<String>,
    pub variables_removed: Vec<String>,
}

/// The letter for how an entry differs.
pub fn modifier(change: Change) -> &'static str {
    match change {
        Change::Added => "+",
        Change::Removed => "-",
        Change::Content => "M",
        Change::Unknown => "?",
        Change::Metadata => "U",
        Change::Type => "T",
    }
}

/// The word for a part of an entry's metadata.
pub fn aspect(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Mtime => "mtime",
        Aspect::Xattrs => "xattrs",
        Aspect::Secret => "secret",
    }
}

impl From<&Difference<'_>> for Changed {
    fn from(d: &Difference<'_>) -> Self {
        let size = |entry: Option<&Entry>| entry.filter(|entry| entry.kind == EntryType::File)?.size;
        Self {
            message_type: "change",
            path: path(d.path),
            modifier: modifier(d.change),
            kind: d.after.or(d.before).map_or("", |entry| entry_type(entry.kind)),
            size_before: size(d.before),
            size_after: size(d.after),
            metadata: d.metadata.iter().copied().map(aspect).collect(),
            variables_added: d.variables_added.clone(),
            variables_removed: d.variables_removed.clone(),
        }
    }
}

/// `database` of a diff: a database differs.
#[derive(Debug, Serialize)]
pub struct ChangedDatabase {
    pub message_type: &'static str,
    pub source: String,
    pub name: String,
    pub live: bool,
    pub presence: &'static str,
    pub server_version_before: Option<String>,
    pub server_version_after: Option<String>,
    pub tables: Vec<ChangedTable>,
    pub ledgers: Vec<ChangedLedger>,
    pub extensions: Vec<ChangedExtension>,
}

/// A table that differs.
#[derive(Debug, Serialize)]
pub struct ChangedTable {
    pub schema: String,
    pub name: String,
    pub presence: &'static str,
    pub rows_before: Option<u64>,
    pub rows_after: Option<u64>,
    pub bytes_before: Option<u64>,
    pub bytes_after: Option<u64>,
}

/// A ledger that differs.
#[derive(Debug, Serialize)]
pub struct ChangedLedger {
    pub kind: String,
    pub schema: String,
    pub table: String,
    pub diverged: bool,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// An extension that differs.
#[derive(Debug, Serialize)]
pub struct ChangedExtension {
    pub name: String,
    pub version_before: Option<String>,
    pub version_after: Option<String>,
}

fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Both => "both",
        Presence::Added => "added",
        Presence::Removed => "removed",
    }
}

impl From<&DatabaseDiff> for ChangedDatabase {
    fn from(d: &DatabaseDiff) -> Self {
        let extension = |(name, before, after): &(String, Option<String>, Option<String>)| ChangedExtension {
            name: name.clone(),
            version_before: before.clone(),
            version_after: after.clone(),
        };
        Self {
            message_type: "database",
            source: d.source.clone(),
            name: d.name.clone(),
            live: d.is_live,
            presence: presence(d.presence),
            server_version_before: d.server.map(|(before, _)| Version(before).to_string()),
            server_version_after: d.server.map(|(_, after)| Version(after).to_string()),
            tables: d.tables.iter().map(ChangedTable::from).collect(),
            ledgers: d.ledgers.iter().map(ChangedLedger::from).collect(),
            extensions: d.extensions.iter().map(extension).collect(),
        }
    }
}

impl From<&TableDiff> for ChangedTable {
    fn from(t: &TableDiff) -> Self {
        Self {
            schema: t.schema.clone(),
            name: t.name.clone(),
            presence: presence(t.presence()),
            rows_before: t.before.and_then(|held| held.rows),
            rows_after: t.after.and_then(|held| held.rows),
            bytes_before: t.before.and_then(|held| held.bytes),
            bytes_after: t.after.and_then(|held| held.bytes),
        }
    }
}

impl From<&LedgerDiff> for ChangedLedger {
    fn from(l: &LedgerDiff) -> Self {
        Self {
            kind: l.kind.clone(),
            schema: l.schema.clone(),
            table: l.table.clone(),
            diverged: l.is_diverged(),
            added: l.added.clone(),
            removed: l.removed.clone(),
        }
    }
}

/// `application` of a diff: the application differs.
#[derive(Debug, Serialize)]
pub struct ChangedApplication {
    pub message_type: &'static str,
    pub version_before: Option<String>,
    pub version_after: Option<String>,
    pub images: Vec<ChangedImage>,
    pub keys_added: Vec<String>,
    pub keys_removed: Vec<String>,
    pub keys_changed: Vec<String>,
}

/// A service that runs another image.
#[derive(Debug, Serialize)]
pub struct ChangedImage {
    pub service: String,
    pub image_before: Option<String>,
    pub image_after: Option<String>,
    pub digest_before: Option<String>,
    pub digest_after: Option<String>,
}

impl From<&ApplicationDiff> for ChangedApplication {
    fn from(d: &ApplicationDiff) -> Self {
        let (version_before, version_after) = d.version.clone().unwrap_or_default();
        let image = |(service, before, after): &(String, Option<Image>, Option<Image>)| ChangedImage {
            service: service.clone(),
            image_before: before.as_ref().map(|image| image.image.clone()),
            image_after: after.as_ref().map(|image| image.image.clone()),
            digest_before: before.as_ref().and_then(|image| image.digest.clone()),
            digest_after: after.as_ref().and_then(|image| image.digest.clone()),
        };
        Self {
            message_type: "application",
            version_before,
            version_after,
            images: d.images.iter().map(image).collect(),
            keys_added: d.keys_added.clone(),
            keys_removed: d.keys_removed.clone(),
            keys_changed: d.keys_changed.clone(),
        }
    }
}

/// `summary` of a diff.
#[derive(Debug, Serialize)]
pub struct Diff {
    pub message_type: &'static str,
    pub before: String,
    pub after: String,
    pub added: Counted,
    pub removed: Counted,
    pub changed: Counted,
    pub unknown: u64,
    pub metadata: u64,
    pub types: u64,
    pub bytes_added: u64,
    pub bytes_removed: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Entries of each kind.
#[derive(Debug, Serialize)]
pub struct Counted {
    pub files: u64,
    pub directories: u64,
    pub others: u64,
}

impl Diff {
    /// The message for the differences of two snapshots.
    pub fn new(before: RunId, after: RunId, summary: &Summary) -> Self {
        let counted = |c: diff::Counts| Counted { files: c.files, directories: c.directories, others: c.others };
        Self {
            message_type: "summary",
            before: before.to_string(),
            after: after.to_string(),
            added: counted(summary.added),
            removed: counted(summary.removed),
            changed: counted(summary.changed),
            unknown: summary.unknown,
            metadata: summary.metadata,
            types: summary.types,
            bytes_added: summary.bytes_added,
            bytes_removed: summary.bytes_removed,
            bytes_before: summary.bytes_before,
            bytes_after: summary.bytes_after,
        }
    }
}
