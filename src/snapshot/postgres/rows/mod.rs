//! Rows of one table out of a dump that a snapshot holds.
//!
//! Where the manifest knows in which chunks the table's data is, nothing else is read besides the dump's table of contents, up to the
//! table's entry: of live captures, and of archives among the files. Another dump is read from its start to the end of the table's data.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`TableName`] | a table as a person names it |
//! | [`Condition`] | what a column has to be |
//! | [`Format`] | how rows are written |

mod condition;
mod error;
mod name;
mod output;
mod source;

pub use condition::{Condition, ConditionError};
pub use error::RowsError;
pub use name::{NameError, TableName};
pub use output::Format;

use crate::chunker::archive::copy::{CopyStatement, RowReader};
use crate::chunker::archive::{BlockKind, Compression, Event, Parser, TocEntry};
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse;
use crate::snapshot::manifest::database::Table;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::postgres::rows::name::resolve;
use crate::snapshot::postgres::rows::output::Output;
use crate::snapshot::postgres::rows::source::Stream;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::entry::EntryType;
use crate::snapshot::tree::path::SafePath;
use std::io::Write;

/// The kind of the entries that tables' data belongs to.
const TABLE_DATA: &str = "TABLE DATA";

/// Which rows, and how.
#[derive(Debug, Clone)]
pub struct RowsOptions {
    /// The table.
    pub table: TableName,
    /// The database, if the snapshot has several.
    pub database: Option<String>,
    /// The dump, if the manifest doesn't know it, or several of the database.
    pub path: Option<SafePath>,
    /// What rows have to be: all of it.
    pub conditions: Vec<Condition>,
    /// How they are written.
    pub format: Format,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowsSummary {
    /// Rows of the table.
    pub rows: u64,
    /// Rows that were written.
    pub written: u64,
}

/// Writes rows of a table to `out`.
pub fn rows(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    options: &RowsOptions,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<RowsSummary, RowsError> {
    let (path, dump) = locate(snapshot, options)?;
    let reader = browse::reader(repo)?;
    let stream = open(&reader, snapshot, &path)?;
    let known = dump.map(|dump| in_manifest(dump, options)).transpose()?;
    match known {
        Some(table) if table.first_chunk.zip(table.chunks).is_some() => {
            one_table(&stream, &path, table, options, out, monitor)
        }
        Some(Table { rows: None, dumped_rows: None, .. }) => Err(RowsError::LeftOut { table: options.table.clone() }),
        _ => whole_dump(&stream, &path, options, out, monitor),
    }
}

/// A dump whose tables the manifest knows.
#[derive(Clone, Copy)]
struct KnownDump<'s> {
    /// The name of the database.
    database: &'s str,
    path: &'s SafePath,
    tables: &'s [Table],
}

/// The databases that were captured live; of a snapshot without any, the archive among its files, if that is the only dump.
fn known_dumps(snapshot: &Snapshot) -> Vec<KnownDump<'_>> {
    let live = snapshot.manifest.databases.iter();
    let live: Vec<_> = live
        .map(|database| KnownDump { database: &database.name, path: &database.dump, tables: &database.tables })
        .collect();
    // Of several dumps nobody guesses which night is meant: the one that can be read may not be the last.
    let is_only_dump = live.is_empty() && snapshot.manifest.dumps.len() == 1;
    if is_only_dump { archives(snapshot).collect() } else { live }
}

/// Archives among the files. Of plain SQL no table's chunks are known, and no rows can be read.
fn archives(snapshot: &Snapshot) -> impl Iterator<Item = KnownDump<'_>> {
    snapshot.manifest.dumps.iter().filter_map(|dump| {
        let contents = dump.contents.as_ref()?;
        let is_archive = contents.tables.iter().any(|table| table.first_chunk.is_some());
        let known = KnownDump { database: &contents.database, path: &dump.path, tables: &contents.tables };
        is_archive.then_some(known)
    })
}

/// The dump that is meant, and what the manifest knows of it.
fn locate<'s>(snapshot: &'s Snapshot, options: &RowsOptions) -> Result<(SafePath, Option<KnownDump<'s>>), RowsError> {
    let dumps = known_dumps(snapshot);
    if let Some(path) = &options.path {
        let known = dumps.into_iter().chain(archives(snapshot)).find(|dump| dump.path == path);
        return Ok((path.clone(), known));
    }
    let named = |dump: &&KnownDump<'_>| options.database.as_ref().is_none_or(|name| dump.database == *name);
    let mut found: Vec<KnownDump<'_>> = dumps.iter().filter(named).copied().collect();
    if found.len() > 1 {
        // One of them that has such a table is as good as named.
        let has_table = |dump: &KnownDump<'_>| resolve(&options.table, dump.tables, pair).is_ok();
        let having: Vec<KnownDump<'_>> = found.iter().copied().filter(has_table).collect();
        if having.len() == 1 {
            found = having;
        }
    }
    let told = |of: &[KnownDump<'_>]| of.iter().map(|dump| (dump.database.to_owned(), dump.path.clone())).collect();
    match found[..] {
        [dump] => Ok((dump.path.clone(), Some(dump))),
        [] => Err(RowsError::NoDatabase { wanted: options.database.clone(), known: told(&dumps) }),
        _ => Err(RowsError::ManyDatabases { known: told(&found) }),
    }
}

fn pair(table: &Table) -> (&str, &str) {
    (&table.schema, &table.name)
}

/// The table as the manifest knows it.
fn in_manifest<'d>(dump: KnownDump<'d>, options: &RowsOptions) -> Result<&'d Table, RowsError> {
    resolve(&options.table, dump.tables, pair).map_err(|source| RowsError::Name { path: dump.path.clone(), source })
}

fn open<'r>(reader: &'r Reader<'r>, snapshot: &Snapshot, path: &SafePath) -> Result<Stream<'r>, RowsError> {
    let entry = browse::entry_at(reader, snapshot, path)?;
    if entry.kind != EntryType::File {
        return Err(RowsError::NotADump { path: path.clone() });
    }
    Ok(Stream::open(reader, &entry)?)
}

/// The columns of a table's entry.
fn columns(path: &SafePath, parser: &Parser, entry: &TocEntry) -> Result<Vec<String>, RowsError> {
    let unusable = |why| RowsError::Unusable { path: path.clone(), table: entry.tag.clone(), why };
    if parser.header().is_some_and(|header| header.compression != Compression::None) {
        return Err(unusable("the dump is compressed: pg_restore can read it"));
    }
    let statement = CopyStatement::parse(&entry.copy_statement);
    Ok(statement.ok_or_else(|| unusable("its rows aren't COPY data"))?.columns)
}

/// The rows of a table whose chunks are known.
fn one_table(
    stream: &Stream<'_>,
    path: &SafePath,
    table: &Table,
    options: &RowsOptions,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<RowsSummary, RowsError> {
    let damaged = |source| RowsError::Archive { path: path.clone(), source };
    let (first, chunks) = (table.first_chunk.unwrap_or(0), table.chunks.unwrap_or(0));
    let mut parser = Parser::new();
    let mut found = None;
    // Its entry comes before any data, so at most what stands before this table's is looked at.
    stream.read(0, first, &mut |mut bytes| {
        while found.is_none() && parser.next(&mut bytes).map_err(damaged)?.is_some() {
            let is_wanted = |e: &&TocEntry| *e.desc == *TABLE_DATA && *e.schema == *table.schema && e.tag == table.name;
            if let Some(entry) = parser.entries().iter().find(is_wanted) {
                found = Some(columns(path, &parser, entry)?);
            }
        }
        if monitor.interrupted() { Err(RowsError::Interrupted) } else { Ok(found.is_none()) }
    })?;
    let Some(columns) = found else {
        return Err(RowsError::Unusable {
            path: path.clone(),
            table: table.to_string(),
            why: "the dump's table of contents doesn't name it",
        });
    };
    let mut output = Output::new(columns, options, out)?;
    let mut rows = RowReader::new();
    stream.read_many(first, chunks, &mut |bytes| {
        rows.push(bytes, &mut |row| output.row(row))?.map_err(damaged)?;
        if monitor.interrupted() { Err(RowsError::Interrupted) } else { Ok(true) }
    })?;
    rows.finish().map_err(damaged)?;
    let summary = output.finish()?;
    match table.dumped_rows {
        Some(expected) if expected != summary.rows => Err(RowsError::Count { expected, found: summary.rows }),
        _ => Ok(summary),
    }
}

/// The rows of a table of a dump of which nothing is known.
fn whole_dump(
    stream: &Stream<'_>,
    path: &SafePath,
    options: &RowsOptions,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<RowsSummary, RowsError> {
    let damaged = |source| RowsError::Archive { path: path.clone(), source };
    let mut search = Search { path, options, parser: Parser::new(), wanted: None, inside: false, row: Vec::new() };
    let mut out = Some(out);
    let mut output = None;
    let mut ended = false;
    stream.read_many(0, u64::MAX, &mut |mut bytes| {
        while let Some(event) = search.parser.next(&mut bytes).map_err(damaged)? {
            if let Event::BlockStart { entry, kind } = event {
                search.start_block(entry, kind)?;
                if let (true, Some(out)) = (search.inside, out.take_if(|_| search.inside)) {
                    output = Some(Output::new(search.columns()?, options, out)?);
                }
            }
            let Some(output) = output.as_mut().filter(|_| search.inside) else { continue };
            ended = search.inside_block(event, output)?;
            if ended {
                return Ok(false);
            }
        }
        if monitor.interrupted() { Err(RowsError::Interrupted) } else { Ok(true) }
    })?;
    if let Some(output) = output.filter(|_| ended) {
        return output.finish();
    }
    // Either the end is missing, or there was no data at all, and so no look at the tables.
    let known = search.wanted().map(drop);
    search.parser.finish().map_err(damaged)?;
    known?;
    Err(RowsError::LeftOut { table: options.table.clone() })
}

/// Looks for a table's data in a dump.
struct Search<'o> {
    path: &'o SafePath,
    options: &'o RowsOptions,
    parser: Parser,
    /// Index of the table's entry, once all entries are known.
    wanted: Option<usize>,
    /// Whether its data passes by.
    inside: bool,
    /// The row that isn't complete.
    row: Vec<u8>,
}

impl Search<'_> {
    /// Index of the table's entry among all.
    fn wanted(&mut self) -> Result<usize, RowsError> {
        if let Some(wanted) = self.wanted {
            return Ok(wanted);
        }
        let is_data = |(_, entry): &(usize, &TocEntry)| *entry.desc == *TABLE_DATA;
        let tables: Vec<(usize, &TocEntry)> = self.parser.entries().iter().enumerate().filter(is_data).collect();
        let found = resolve(&self.options.table, &tables, |(_, entry)| (&entry.schema, &entry.tag));
        let (index, _) = found.map_err(|source| RowsError::Name { path: self.path.clone(), source })?;
        self.wanted = Some(*index);
        Ok(*index)
    }

    fn start_block(&mut self, entry: usize, kind: BlockKind) -> Result<(), RowsError> {
        self.inside = self.wanted()? == entry;
        if self.inside && kind != BlockKind::Rows {
            self.columns()?;
        }
        Ok(())
    }

    fn columns(&mut self) -> Result<Vec<String>, RowsError> {
        let wanted = self.wanted()?;
        columns(self.path, &self.parser, &self.parser.entries()[wanted])
    }

    /// Takes a part of the table's data; whether that was its end.
    fn inside_block(&mut self, event: Event<'_>, output: &mut Output<'_>) -> Result<bool, RowsError> {
        match event {
            Event::Row { part, ends } => {
                self.row.extend_from_slice(part.strip_suffix(b"\n").filter(|_| ends).unwrap_or(part));
                if ends {
                    output.row(&self.row)?;
                    self.row.clear();
                }
            }
            // The first bytes of a terminator look like those of a row.
            Event::Terminator(_) => self.row.clear(),
            Event::BlockEnd => return Ok(true),
            _ => {}
        }
        Ok(false)
    }
}
