//! What differs between two snapshots: entries of their trees, databases, the application.
//!
//! | module | what |
//! | --- | --- |
//! | [`entry`] | two entries of the same name |
//! | [`tree`] | two trees, walked side by side; what has the same hash isn't looked into |
//! | [`database`] | tables, migrations, extensions |
//! | [`mod@application`] | version, images, keys |
//!
//! Of secrets only names are told, never values.

pub mod application;
pub mod database;
mod dump;
pub mod entry;
#[cfg(test)]
mod fixture;
pub mod tree;

use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse::{self, BrowseError};
use crate::snapshot::diff::application::ApplicationDiff;
use crate::snapshot::diff::database::{DatabaseDiff, State};
use crate::snapshot::diff::tree::{Difference, Trees};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::ops::ControlFlow;

/// A snapshot, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Part<'s> {
    /// The snapshot.
    pub snapshot: &'s Snapshot,
    /// What of it; nothing: all.
    pub path: Option<&'s SafePath>,
}

impl<'s> Part<'s> {
    fn path(&self) -> SafePath {
        self.path.cloned().unwrap_or_else(SafePath::top)
    }

    /// The databases that were captured live and whose dumps are in the part, and the newest of the dumps among its files.
    fn databases(&self) -> Vec<State<'s>> {
        let path = self.path();
        let manifest = &self.snapshot.manifest;
        let live = manifest.databases.iter().filter(|database| database.dump.below(&path).is_some()).map(State::live);
        let dumps: Vec<_> = manifest.dumps.iter().filter(|dump| dump.path.below(&path).is_some()).collect();
        live.chain(dump::newest_of(&dumps)).collect()
    }

    /// The names that a secret file sets; nothing if it isn't known as one.
    fn variables(&self, path: &SafePath) -> &'s [String] {
        let file = self.snapshot.manifest.secrets.iter().find(|file| file.path == *path);
        file.map_or(&[], |file| &file.names)
    }
}

/// How many entries of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links and others.
    pub others: u64,
}

impl Counts {
    fn count(&mut self, entry: &Entry) {
        *match entry.kind {
            EntryType::File => &mut self.files,
            EntryType::Directory => &mut self.directories,
            _ => &mut self.others,
        } += 1;
    }
}

/// All differences of two trees, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Entries that are only in the second.
    pub added: Counts,
    /// Entries that are only in the first.
    pub removed: Counts,
    /// Entries with other content.
    pub changed: Counts,
    /// Secret files of which it can't be told.
    pub unknown: u64,
    /// Entries with other metadata alone.
    pub metadata: u64,
    /// Entries of another type.
    pub types: u64,
    /// Bytes of the files that are only in the second.
    pub bytes_added: u64,
    /// Bytes of the files that are only in the first.
    pub bytes_removed: u64,
    /// Bytes that the files with other content had.
    pub bytes_before: u64,
    /// Bytes that they have.
    pub bytes_after: u64,
}

/// Calls `each` for what differs between the trees of two snapshots, in order of paths, until it breaks. A directory that can't be read
/// ends it.
///
/// Paths are those of the snapshots if both parts are at the same one, else they begin at the parts.
pub fn trees(
    repo: &Repo<Full>,
    before: Part<'_>,
    after: Part<'_>,
    each: &mut dyn FnMut(&Difference<'_>) -> ControlFlow<()>,
) -> Result<Summary, BrowseError> {
    let reader = browse::reader(repo)?;
    let tops = [before, after].map(|part| browse::entry_at(&reader, part.snapshot, &part.path()));
    let [top_before, top_after] = tops;
    let mut trees = Trees::new(&reader, before, after);
    trees.compare(&top_before?, &top_after?, each)?;
    Ok(trees.summary())
}

/// What differs between the databases of two snapshots, as their manifests know them; those that are alike are left out.
pub fn databases(before: Part<'_>, after: Part<'_>) -> Vec<DatabaseDiff> {
    database::compare_all(before.databases(), after.databases())
}

/// What differs between the applications of two snapshots; nothing if they are alike, or if only parts are compared.
pub fn application(before: Part<'_>, after: Part<'_>) -> Option<ApplicationDiff> {
    if [before, after].iter().any(|part| !part.path().is_top()) {
        return None;
    }
    let [before, after] = [before, after].map(|part| part.snapshot.manifest.application.as_ref());
    application::compare(before, after)
}
