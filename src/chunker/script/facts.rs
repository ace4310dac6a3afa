//! What a script says of itself, and what it holds.

use super::data::Data;
use super::inserts::{Inserts, Table};
use super::lexer::Statement;
use super::{CLUSTER_FOOT, CLUSTER_HEAD, FOOT, HEAD};
use crate::chunker::archive::copy::{CopyStatement, KeptTable, Names, Wanted};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that names of tables and extensions may take, each with [`ROOM`] more.
const MOST_NAMES: usize = 4 << 20;
const ROOM: usize = 64;

/// What is in a whole script of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptContents {
    /// The database; empty unless the script makes it, as with `--create`.
    pub database: String,
    /// When it was begun, such as `2026-11-20 03:00:05`, on the clock of the host that made it; empty unless it was made with `--verbose`.
    pub started: String,
    /// The version of the server, as it calls itself; empty where the script doesn't tell.
    pub server: String,
    /// The version of the `pg_dump` that made it, likewise.
    pub client: String,
    /// Names of the extensions, sorted.
    pub extensions: Vec<String>,
    /// Tables of which there is data, sorted by schema and name.
    pub tables: Vec<ScriptTable>,
    /// Large objects with their data.
    pub large_objects: u64,
    /// Tables whose rows were to be kept, and could be.
    pub kept: Vec<KeptTable>,
}

/// A table, and what the script holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptTable {
    /// Its schema; empty if the script names none.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Rows; nothing where INSERT takes them from elsewhere.
    pub rows: Option<u64>,
    /// Bytes of the rows in COPY's text format, line feeds included; nothing where some are in INSERT statements.
    pub bytes: Option<u64>,
}

/// Gathers what a script says.
#[derive(Debug)]
pub(super) struct Facts {
    /// Beginnings of dumps, and ends.
    heads: u64,
    feet: u64,
    /// Those of dumps of all databases of a server.
    cluster_heads: u64,
    cluster_feet: u64,
    /// How often another database is connected to.
    connections: u64,
    server: Option<String>,
    client: Option<String>,
    started: Option<String>,
    database: Option<String>,
    /// The first schema of the search path: statements before PostgreSQL 11 name none.
    search_path: String,
    extensions: BTreeSet<String>,
    /// Rows and bytes.
    tables: BTreeMap<(String, String), (Option<u64>, Option<u64>)>,
    /// Bytes of all these names.
    names: usize,
    large_objects: u64,
    /// The schema of the table whose data comes, and what COPY names.
    copying: Option<(String, CopyStatement)>,
    /// Whether something came that can't be told of.
    is_unclear: bool,
    /// Rows of INSERT that are kept.
    inserts: Inserts,
}

impl Facts {
    /// Of nothing; the rows of tables that are wanted are kept where they stand in INSERT.
    pub(super) const fn new(wanted: Wanted) -> Self {
        Self {
            heads: 0,
            feet: 0,
            cluster_heads: 0,
            cluster_feet: 0,
            connections: 0,
            server: None,
            client: None,
            started: None,
            database: None,
            search_path: String::new(),
            extensions: BTreeSet::new(),
            tables: BTreeMap::new(),
            names: 0,
            large_objects: 0,
            copying: None,
            is_unclear: false,
            inserts: Inserts::new(wanted),
        }
    }

    /// Bytes that it holds, about.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let tables = self.tables.keys().map(|(schema, table)| schema.capacity() + table.capacity() + ROOM);
        tables.sum::<usize>() + self.extensions.iter().map(|name| name.capacity() + ROOM).sum::<usize>()
    }

    /// Whether as many dumps ended as began.
    pub(super) const fn is_whole(&self) -> bool {
        self.heads == self.feet && self.cluster_heads == self.cluster_feet && self.heads + self.cluster_heads > 0
    }

    /// The table whose data comes, for people.
    pub(super) fn copying(&self) -> Option<String> {
        let (schema, CopyStatement { table, .. }) = self.copying.as_ref()?;
        Some(if schema.is_empty() { table.clone() } else { format!("{schema}.{table}") })
    }

    /// The schema of the table whose data comes, and what COPY names.
    pub(super) fn copy(&self) -> Option<(&str, &CopyStatement)> {
        self.copying.as_ref().map(|(schema, copy)| (schema.as_str(), copy))
    }

    /// What is in it, if it's of one database and all of it is clear.
    pub(super) fn contents(self) -> Option<ScriptContents> {
        if self.is_unclear || self.heads != 1 || self.cluster_heads > 0 || self.connections > 1 {
            return None;
        }
        let table =
            |((schema, table), (rows, bytes)): ((String, String), _)| ScriptTable { schema, table, rows, bytes };
        Some(ScriptContents {
            database: self.database.unwrap_or_default(),
            started: self.started.unwrap_or_default(),
            server: self.server.unwrap_or_default(),
            client: self.client.unwrap_or_default(),
            extensions: self.extensions.into_iter().collect(),
            tables: self.tables.into_iter().map(table).collect(),
            large_objects: self.large_objects,
            kept: self.inserts.finish().collect(),
        })
    }

    /// Takes a comment that stands between statements.
    pub(super) fn comment(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        match text.trim() {
            HEAD => self.heads += 1,
            FOOT => self.feet += 1,
            CLUSTER_HEAD => self.cluster_heads += 1,
            CLUSTER_FOOT => self.cluster_feet += 1,
            text => self.told(text),
        }
    }

    /// Takes a comment that may tell of the dump; the first one counts.
    fn told(&mut self, text: &str) {
        let first = |of: &mut Option<String>, value: &str| {
            of.get_or_insert_with(|| value.to_owned());
        };
        if let Some(version) = text.strip_prefix("Dumped from database version ") {
            first(&mut self.server, version);
        } else if let Some(version) = text.strip_prefix("Dumped by pg_dump version ") {
            first(&mut self.client, version);
        } else if let Some(time) = text.strip_prefix("Started on ").and_then(time) {
            first(&mut self.started, time);
        }
    }

    /// Takes a command of `psql`.
    pub(super) fn command(&mut self, text: &[u8]) {
        let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        match word {
            b"\\connect" | b"\\c" => self.connections += 1,
            b"\\restrict" | b"\\unrestrict" | b"\\encoding" | b"\\set" | b"\\echo" => {}
            // Another file may be read, or what comes left out.
            _ => self.is_unclear = true,
        }
    }

    /// Takes a statement; whether COPY's data follow.
    pub(super) fn statement(&mut self, statement: &Statement<'_>) -> bool {
        let text = String::from_utf8_lossy(statement.text);
        if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("COPY ")) {
            return self.copies(&text, statement.is_whole);
        }
        if let Some(rest) = text.strip_prefix("INSERT INTO ") {
            self.insert(rest, statement);
        } else if let Some(rest) = text.strip_prefix("CREATE TABLE ") {
            let mut rest = Names::of(rest);
            if let Some(table) = self.table(&mut rest) {
                self.inserts.create(table, &mut rest, statement.is_whole);
            }
        } else if let Some(rest) = text.strip_prefix("CREATE EXTENSION ") {
            let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
            match Names::of(rest).name() {
                Some(name) if self.has_room(name.len()) => drop(self.extensions.insert(name)),
                _ => self.is_unclear = true,
            }
        } else if let Some(rest) = text.strip_prefix("CREATE DATABASE ") {
            self.is_unclear |= self.database.is_some();
            self.database = Names::of(rest).name();
        } else if let Some(rest) = text.strip_prefix("SET search_path = ") {
            self.search_path = Names::of(rest).name().unwrap_or_default();
        } else if text.starts_with("SELECT pg_catalog.lo_open(") {
            self.large_objects += 1;
        }
        false
    }

    fn copies(&mut self, text: &str, is_whole: bool) -> bool {
        let Some(mut copy) = CopyStatement::parse(text).filter(|_| is_whole) else {
            // Not as pg_dump writes it: with other options, or longer than anything that it writes.
            self.is_unclear = true;
            let text = text.to_ascii_lowercase();
            return !is_whole || text.contains("from stdin");
        };
        self.copying = Some((copy.schema.take().unwrap_or_else(|| self.search_path.clone()), copy));
        true
    }

    /// Takes the data of the table that COPY named.
    pub(super) fn copied(&mut self, data: &Data) {
        if let Some((schema, copy)) = self.copying.take() {
            self.add((schema, copy.table), Some(data.rows), Some(data.bytes));
        }
    }

    /// The table that a statement names next.
    fn table(&self, rest: &mut Names<'_>) -> Option<Table> {
        let first = rest.name()?;
        if rest.eat('.') { Some((first, rest.name()?)) } else { Some((self.search_path.clone(), first)) }
    }

    fn insert(&mut self, rest: &str, statement: &Statement<'_>) {
        let mut rest = Names::of(rest);
        match self.table(&mut rest) {
            Some(table) => {
                self.inserts.insert(&table, &mut rest, statement.is_whole);
                self.add(table, statement.rows, None);
            }
            None => self.is_unclear = true,
        }
    }

    fn add(&mut self, table: (String, String), rows: Option<u64>, bytes: Option<u64>) {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        if let Some(held) = self.tables.get_mut(&table) {
            *held = (sum(held.0, rows), sum(held.1, bytes));
        } else if self.has_room(table.0.len() + table.1.len()) {
            self.tables.insert(table, (rows, bytes));
        }
    }

    /// Whether another name is kept. One too many, and none is.
    fn has_room(&mut self, length: usize) -> bool {
        self.names = self.names.saturating_add(length + ROOM);
        if self.names > MOST_NAMES {
            self.is_unclear = true;
            self.tables.clear();
            self.extensions.clear();
            self.inserts.give_up();
        }
        self.names <= MOST_NAMES
    }
}

/// The time that a text begins with: `2026-11-20 03:00:05 CET`.
fn time(text: &str) -> Option<&str> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let time = text.get(..SHAPE.len())?;
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    time.bytes().zip(SHAPE).all(fits).then_some(time)
}
