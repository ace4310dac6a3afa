//! Gathering what is in an export, member by member.

use super::directory::Directory;
use super::tally::Tally;
use super::{Export, ExportedFiles, ExportedTable, FILES, MANIFEST, MAX_NAME, MAX_TABLES, TABLE};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Gathers what is in a ZIP whose members are met one by one.
#[derive(Debug, Default)]
pub(in crate::chunker) struct Collector {
    member: Member,
    members: u64,
    manifest: Manifest,
    tables: BTreeMap<String, Table>,
    files: u64,
    /// Bytes of these.
    file_bytes: u64,
    /// Files that weren't read to their ends.
    files_unread: u64,
    directory: Directory,
    /// Whether something was met that isn't understood.
    is_unclear: bool,
}

/// The member that is read.
#[derive(Debug, Default)]
enum Member {
    #[default]
    Other,
    Manifest,
    Table(String),
    File,
}

#[derive(Debug, Default)]
enum Manifest {
    #[default]
    Missing,
    /// Begun, and perhaps read.
    Met(Option<Vec<u8>>),
    Twice,
}

#[derive(Debug)]
enum Table {
    /// Begun, and perhaps read.
    Met(Option<ExportedTable>),
    Twice,
}

impl Collector {
    /// A member of this name begins; what its content is to be given to.
    pub(in crate::chunker) fn begin(&mut self, name: &[u8]) -> Option<Box<Tally>> {
        self.members += 1;
        // Between members is nothing, or they aren't what they seem to be.
        self.is_unclear |= !self.directory.is_empty();
        let (member, tally) = if name == MANIFEST {
            self.manifest()
        } else if let Some(name) = name.strip_prefix(TABLE.0).and_then(|name| name.strip_suffix(TABLE.1)) {
            self.table(name)
        } else if name.starts_with(FILES) && !name.ends_with(b"/") {
            self.files += 1;
            self.files_unread += 1;
            (Member::File, None)
        } else {
            (Member::Other, None)
        };
        self.member = member;
        tally
    }

    fn manifest(&mut self) -> (Member, Option<Box<Tally>>) {
        if !matches!(self.manifest, Manifest::Missing) {
            self.manifest = Manifest::Twice;
            return (Member::Other, None);
        }
        self.manifest = Manifest::Met(None);
        (Member::Manifest, Some(Tally::manifest()))
    }

    fn table(&mut self, name: &[u8]) -> (Member, Option<Box<Tally>>) {
        let name = str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME).map(str::to_owned);
        let is_full = self.tables.len() == MAX_TABLES;
        match name.map(|name| self.tables.entry(name)) {
            Some(Entry::Occupied(mut known)) => drop(known.insert(Table::Twice)),
            Some(Entry::Vacant(new)) if !is_full => {
                let name = new.key().clone();
                new.insert(Table::Met(None));
                return (Member::Table(name), Some(Tally::table()));
            }
            Some(Entry::Vacant(_)) | None => self.is_unclear = true,
        }
        (Member::Other, None)
    }

    /// All of the member was read: so many bytes, which `tally` was given.
    pub(in crate::chunker) fn end(&mut self, tally: Option<Box<Tally>>, bytes: u64) {
        match (std::mem::take(&mut self.member), tally) {
            (Member::File, _) => {
                self.files_unread -= 1;
                self.file_bytes = self.file_bytes.saturating_add(bytes);
            }
            (Member::Manifest, Some(tally)) => {
                if let Manifest::Met(manifest) = &mut self.manifest {
                    *manifest = tally.into_manifest();
                }
            }
            (Member::Table(name), Some(tally)) => {
                if let Some(Table::Met(table)) = self.tables.get_mut(&name) {
                    *table = tally.into_table(bytes);
                }
            }
            (Member::Manifest | Member::Table(_) | Member::Other, _) => {}
        }
    }

    /// Bytes that are no member's.
    pub(in crate::chunker) fn between(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.directory.push(bytes);
        }
    }

    /// What was gathered, if there is a manifest.
    pub(in crate::chunker) fn finish(self) -> Option<Export> {
        let Manifest::Met(Some(manifest)) = self.manifest else { return None };
        let read = |table| match table {
            Table::Met(table) => table,
            Table::Twice => None,
        };
        let tables = self.tables.into_iter().map(|(name, table)| (name, read(table))).collect();
        let files =
            ExportedFiles { count: self.files, bytes: Some(self.file_bytes).filter(|_| self.files_unread == 0) };
        let is_complete = !self.is_unclear && self.directory.counts(self.members);
        Some(Export { manifest, tables, files, is_complete })
    }
}
