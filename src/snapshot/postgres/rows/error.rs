//! Why rows can't be had.

use crate::chunker::archive::ArchiveError;
use crate::repo::error::{ReadError, RepoError};
use crate::snapshot::browse::BrowseError;
use crate::snapshot::postgres::rows::{NameError, TableName};
use crate::snapshot::tree::path::SafePath;
use std::io;

/// What ends the reading of rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The dump can't be looked at.
    #[error(transparent)]
    Browse(#[from] BrowseError),
    /// Its content can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The snapshot has no such database.
    #[error("{}", no_database(wanted.as_deref()))]
    NoDatabase {
        /// The name that was asked for.
        wanted: Option<String>,
        /// The names of those that it has, and where their dumps are.
        known: Vec<(String, SafePath)>,
    },
    /// Several databases could be meant.
    #[error("the snapshot holds {} databases", known.len())]
    ManyDatabases {
        /// Their names, and where their dumps are.
        known: Vec<(String, SafePath)>,
    },
    /// What should be a dump is a directory or a link.
    #[error("{path} is not a regular file")]
    NotADump {
        /// Where it is.
        path: SafePath,
    },
    /// The dump can't be understood.
    #[error("{path}: {source}")]
    Archive {
        /// Where it is.
        path: SafePath,
        /// Why.
        source: ArchiveError,
    },
    /// The name doesn't say which table.
    #[error("{path}: {source}")]
    Name {
        /// The dump.
        path: SafePath,
        /// Why.
        source: NameError,
    },
    /// The dump has the table, but not in a form that rows can be taken from.
    #[error("{path}: table {table}: {why}")]
    Unusable {
        /// The dump.
        path: SafePath,
        /// The table.
        table: String,
        /// Why.
        why: &'static str,
    },
    /// The data of the table isn't in the dump, on purpose.
    #[error("the data of {table} was left out of the dump")]
    LeftOut {
        /// The table.
        table: TableName,
    },
    /// A condition is about a column that the table doesn't have.
    #[error("there is no column {column:?}")]
    NoColumn {
        /// The column.
        column: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A row has another number of values than the table has columns.
    #[error("row {row} has {found} values, not {expected}")]
    Values {
        /// Which row; the first one is 1.
        row: u64,
        /// How many columns there are.
        expected: usize,
        /// How many values it has.
        found: usize,
    },
    /// The dump holds another number of rows than when it was made.
    #[error("the dump holds {found} rows of the table; {expected} were counted when it was made")]
    Count {
        /// What the manifest says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The rows can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[source] io::Error),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

fn no_database(wanted: Option<&str>) -> String {
    match wanted {
        Some(name) => format!("the snapshot holds no database {name:?}"),
        None => "the snapshot holds no database that was captured live, and no archive of one".to_owned(),
    }
}
