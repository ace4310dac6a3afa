//! The table of contents of an archive.

use super::error::ArchiveError;
use super::fields::{Fields, Reading};
use super::header::Header;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Poll, ready};

/// An entry of the table of contents.
///
/// Texts that aren't UTF-8 (in dumps of other encodings) are kept with replacement characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// Its number in this dump; the next dump of the same database may give it another one.
    pub dump_id: i32,
    /// Whether a block of data belongs to it.
    pub has_data: bool,
    /// Its name; for a table's data, the table.
    pub tag: String,
    /// What it is: `TABLE`, `TABLE DATA`, `BLOBS`, `INDEX`, …
    pub desc: Arc<str>,
    /// Which part of a restore it belongs to.
    pub section: Section,
    /// The SQL that makes it, as far as there is some.
    pub definition: String,
    /// The COPY statement that takes its data; empty where the data is something else, as after `--inserts`.
    pub copy_statement: String,
    /// Its schema, empty if it is in none.
    pub schema: Arc<str>,
    /// Its owner, empty if it has none.
    pub owner: Arc<str>,
}

/// A part of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// The archive doesn't tell: versions before 1.11.
    Unknown,
    /// Goes with what it belongs to: comments, privileges.
    None,
    /// Before the data.
    PreData,
    /// The data.
    Data,
    /// After the data.
    PostData,
}

/// The fields of an entry, in their order.
#[derive(Debug, Clone, Copy)]
enum Field {
    DumpId,
    HasData,
    Tag,
    Desc,
    Section,
    Definition,
    CopyStatement,
    Schema,
    Owner,
    /// An integer that nobody asks for.
    OtherInteger,
    /// A string that nobody asks for.
    OtherString,
    /// Strings up to the first that isn't there.
    Dependencies,
    Offset,
}

/// Each field, and the minor version that introduced it.
const FIELDS: [(Field, u8); 18] = [
    (Field::DumpId, 0),
    (Field::HasData, 0),
    (Field::OtherString, 0), // the object id of its catalog
    (Field::OtherString, 0), // its own object id
    (Field::Tag, 0),
    (Field::Desc, 0),
    (Field::Section, 11),
    (Field::Definition, 0),
    (Field::OtherString, 0), // how to drop it
    (Field::CopyStatement, 0),
    (Field::Schema, 0),
    (Field::OtherString, 10),  // tablespace
    (Field::OtherString, 14),  // table access method
    (Field::OtherInteger, 16), // kind of relation
    (Field::Owner, 0),
    (Field::OtherString, 0), // whether it has OIDs
    (Field::Dependencies, 0),
    (Field::Offset, 0),
];

/// Where the data is isn't known: written to a pipe.
const OFFSET_NOT_SET: u8 = 1;
/// Where the data is was written afterwards.
const OFFSET_SET: u8 = 2;
/// There is no data.
const OFFSET_NO_DATA: u8 = 3;

/// Reads a table of contents, entry by entry.
#[derive(Debug, Default)]
pub(super) struct TocReader {
    count: Option<u32>,
    read: u32,
    /// Index of the next field in [`FIELDS`].
    field: usize,
    draft: Option<TocEntry>,
    names: Names,
    /// Where offsets of data stand, in bytes from where the fields begin.
    pub(super) offsets: Vec<u64>,
}

impl TocReader {
    /// The next entry; `None` behind the last one.
    pub(super) fn read(
        &mut self,
        header: &Header,
        fields: &mut Fields,
        input: &mut &[u8],
    ) -> Reading<Option<TocEntry>> {
        let count = match self.count {
            Some(count) => count,
            None => *self.count.insert(ready!(self.read_count(fields, input))?),
        };
        if self.read == count {
            return Poll::Ready(Ok(None));
        }
        while let Some((field, since)) = FIELDS.get(self.field) {
            if *since <= header.version.minor {
                ready!(self.read_field(*field, header, fields, input))?;
            }
            self.field += 1;
        }
        (self.field, self.read) = (0, self.read + 1);
        Poll::Ready(Ok(self.draft.take()))
    }

    fn read_count(&self, fields: &mut Fields, input: &mut &[u8]) -> Reading<u32> {
        let count = ready!(fields.integer(input))?;
        Poll::Ready(count.length().ok_or_else(|| self.damaged("their number", count.value())))
    }

    fn read_field(&mut self, field: Field, header: &Header, fields: &mut Fields, input: &mut &[u8]) -> Reading<()> {
        match field {
            Field::DumpId | Field::HasData | Field::Section | Field::OtherInteger => {
                let value = ready!(fields.integer(input))?.value();
                Poll::Ready(self.keep_number(field, value))
            }
            Field::Offset => {
                let length = 1 + usize::from(header.offset_length);
                let bytes = ready!(fields.bytes(input, length))?;
                self.offsets.push(fields.position() - length as u64);
                let state = bytes.first().copied().unwrap_or_default();
                let known = [OFFSET_NOT_SET, OFFSET_SET, OFFSET_NO_DATA].contains(&state);
                Poll::Ready(if known { Ok(()) } else { Err(self.damaged("the kind of its offset", state.into())) })
            }
            Field::Dependencies => loop {
                if ready!(fields.string(input))?.is_none() {
                    return Poll::Ready(Ok(()));
                }
            },
            _ => {
                let text = ready!(fields.string(input))?.unwrap_or_default();
                self.keep_text(field, text);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn keep_number(&mut self, field: Field, value: i64) -> Result<(), ArchiveError> {
        match field {
            Field::DumpId => match i32::try_from(value) {
                Ok(dump_id @ 1..) => self.draft = Some(TocEntry::new(dump_id)),
                _ => return Err(self.damaged("its dump id", value)),
            },
            Field::Section => {
                let section = match value {
                    1 => Section::None,
                    2 => Section::PreData,
                    3 => Section::Data,
                    4 => Section::PostData,
                    _ => return Err(self.damaged("its section", value)),
                };
                self.edit(|entry| entry.section = section);
            }
            Field::HasData => self.edit(|entry| entry.has_data = value != 0),
            _ => {}
        }
        Ok(())
    }

    fn keep_text(&mut self, field: Field, text: String) {
        match field {
            Field::Tag => self.edit(|entry| entry.tag = text),
            Field::Definition => self.edit(|entry| entry.definition = text),
            Field::CopyStatement => self.edit(|entry| entry.copy_statement = text),
            Field::Desc => {
                let desc = self.names.get(text);
                self.edit(|entry| entry.desc = desc);
            }
            Field::Schema => {
                let schema = self.names.get(text);
                self.edit(|entry| entry.schema = schema);
            }
            Field::Owner => {
                let owner = self.names.get(text);
                self.edit(|entry| entry.owner = owner);
            }
            _ => {}
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut TocEntry)) {
        if let Some(entry) = &mut self.draft {
            edit(entry);
        }
    }

    const fn damaged(&self, what: &'static str, found: i64) -> ArchiveError {
        let entry = if self.count.is_some() { self.read + 1 } else { 0 };
        ArchiveError::Entry { entry, what, found }
    }
}

impl TocEntry {
    fn new(dump_id: i32) -> Self {
        let nothing: Arc<str> = Arc::from("");
        Self {
            dump_id,
            has_data: false,
            tag: String::new(),
            desc: nothing.clone(),
            section: Section::Unknown,
            definition: String::new(),
            copy_statement: String::new(),
            schema: nothing.clone(),
            owner: nothing,
        }
    }
}

/// Names that many entries share, kept once.
#[derive(Debug, Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn get(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.0.get(name.as_str()) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        name
    }
}
