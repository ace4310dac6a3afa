//! Rows that are kept while a dump is read, of the few small tables of which somebody wants to know.

use super::CopyStatement;
use super::values::values;

/// Bytes that are kept of all tables of a dump. What would exceed them isn't kept.
const MOST_BYTES: usize = 4 << 20;

/// Whether the rows of a table of this name, with these columns, are wanted.
pub type Wanted = fn(&str, &[String]) -> bool;

/// A table whose rows were kept, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTable {
    /// Its schema; empty if the dump names none.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// The columns, in the order of the values.
    pub columns: Vec<String>,
    /// The rows in COPY's text format.
    rows: Vec<u8>,
}

impl KeptTable {
    /// A table with these rows, in COPY's text format.
    pub(in crate::chunker) fn of((schema, table): (String, String), columns: Vec<String>, rows: Vec<u8>) -> Self {
        Self { schema, table, columns, rows }
    }

    /// The values of each row, in the order of the columns; NULL is nothing. Bytes that aren't UTF-8 are replaced.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Option<String>>> {
        let text = |value: std::borrow::Cow<'_, [u8]>| String::from_utf8_lossy(&value).into_owned();
        let row = move |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            values(line).map(|value| value.map(text)).collect()
        };
        let lines = self.rows.strip_suffix(b"\n").map(|rows| rows.split(|byte| *byte == b'\n'));
        lines.into_iter().flatten().map(row)
    }
}

/// Keeps the rows of tables that are wanted.
#[derive(Debug)]
pub(in crate::chunker) struct Keeper {
    wanted: Wanted,
    tables: Vec<KeptTable>,
    /// Whether those of the last one are coming.
    is_open: bool,
    /// Bytes of all rows.
    bytes: usize,
}

impl Keeper {
    pub(in crate::chunker) const fn new(wanted: Wanted) -> Self {
        Self { wanted, tables: Vec::new(), is_open: false, bytes: 0 }
    }

    /// Begins with the data of a table.
    pub(in crate::chunker) fn begin(&mut self, schema: &str, copy: &CopyStatement) {
        self.is_open = (self.wanted)(&copy.table, &copy.columns);
        if self.is_open {
            let (schema, table, columns) = (schema.to_owned(), copy.table.clone(), copy.columns.clone());
            self.bytes += schema.len() + table.len() + columns.iter().map(String::len).sum::<usize>();
            self.tables.push(KeptTable { schema, table, columns, rows: Vec::new() });
            self.bound();
        }
    }

    /// Whether what comes is kept.
    #[inline]
    pub(in crate::chunker) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes a part of the data.
    pub(in crate::chunker) fn add(&mut self, part: &[u8]) {
        if let (true, Some(table)) = (self.is_open, self.tables.last_mut()) {
            self.bytes += part.len();
            table.rows.extend_from_slice(part);
            self.bound();
        }
    }

    /// Ends the data of the table, of which `around` is no row: so many bytes in front and behind. What begins a line and doesn't end it is none either.
    pub(in crate::chunker) fn end(&mut self, (front, behind): (usize, usize)) {
        if let (true, Some(table)) = (std::mem::take(&mut self.is_open), self.tables.last_mut()) {
            table.rows.truncate(table.rows.len().saturating_sub(behind));
            table.rows.truncate(memchr::memrchr(b'\n', &table.rows).map_or(0, |feed| feed + 1));
            table.rows.drain(..front.min(table.rows.len()));
        }
    }

    /// Keeps to the limit.
    fn bound(&mut self) {
        if self.bytes > MOST_BYTES {
            let dropped = self.tables.pop();
            self.bytes -= dropped.map_or(0, |table| table.rows.len());
            self.is_open = false;
        }
    }

    /// All tables that came to their end.
    pub(in crate::chunker) fn finish(mut self) -> Vec<KeptTable> {
        if self.is_open {
            self.tables.pop();
        }
        self.tables
    }
}
