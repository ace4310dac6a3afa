//! What ends or forbids the restore of a database.

use crate::repo::error::{ReadError, RepoError};
use crate::snapshot::browse::BrowseError;
use crate::snapshot::compat::Mismatch;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::tree::path::SafePath;
use std::io;
use std::path::PathBuf;

/// Why a database isn't restored.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The server or a client program failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The path can't be looked at.
    #[error(transparent)]
    Browse(#[from] BrowseError),
    /// The dump can't be read from the repository.
    #[error("the dump can't be read: {0}")]
    Read(#[from] ReadError),
    /// The location names no database.
    #[error("the location names no database to restore into: write postgres://user@host/DATABASE")]
    NoDatabaseNamed,
    /// The location names a database whose name the server would cut.
    #[error("'{0}' is too long for the name of a database: 63 bytes are kept")]
    NameTooLong(String),
    /// The location names a database that mustn't be replaced.
    #[error("'{0}' is a template for new databases, nothing to restore into")]
    Template(String),
    /// The snapshot holds no database that was captured live.
    #[error(
        "the snapshot holds no database that was captured from a server: name the dump, as in SNAP:/path/to/file.dump"
    )]
    NoDatabaseStored,
    /// The snapshot holds several.
    #[error("the snapshot holds {} databases: {}", .0.len(), .0.join(", "))]
    SeveralStored(Vec<String>),
    /// The snapshot doesn't hold this one.
    #[error("the snapshot holds no database '{name}', but {}", stored.join(", "))]
    NoSuchDatabase {
        /// The name that was asked for.
        name: String,
        /// Those that it holds.
        stored: Vec<String>,
    },
    /// What is stored there isn't a dump that can be restored.
    #[error("{path} is no dump that can be restored: {why}")]
    NotADump {
        /// Where it is in the snapshot.
        path: SafePath,
        /// Why not.
        why: String,
    },
    /// A script does what would leave the new database, or run programs.
    #[error(
        "line {line} of the script is '{command}', which isn't passed on: a script restores into one database and runs nothing else"
    )]
    Script {
        /// The line, from 1.
        line: u64,
        /// The command.
        command: String,
    },
    /// A script is cut off.
    #[error("the dump isn't complete: the script ends in line {line}, {why}")]
    CutOff {
        /// The last line, from 1.
        line: u64,
        /// What is missing.
        why: &'static str,
    },
    /// An option needs the other kind of dump.
    #[error("{option} isn't possible with {what}")]
    Option {
        /// The option.
        option: &'static str,
        /// With what.
        what: &'static str,
    },
    /// The target holds something.
    #[error("database '{database}' isn't empty: {}", contents(.tables, .hidden, *.large_objects))]
    NotEmpty {
        /// The target.
        database: String,
        /// Some of the tables with rows.
        tables: Vec<String>,
        /// Some of what can't be looked into, and why.
        hidden: Vec<String>,
        /// Large objects.
        large_objects: u64,
    },
    /// A database is to be replaced by a dump that lacks something.
    #[error("{dump} isn't all of the database: {}", problems.join("; "))]
    Incomplete {
        /// Where the dump is in the snapshot.
        dump: SafePath,
        /// What the snapshot says of it.
        problems: Vec<String>,
    },
    /// Others are connected with the database that is to be replaced.
    #[error("database '{database}' is in use by {}{}", sessions.join(", "), kept(.beside.as_ref()))]
    Connected {
        /// The target.
        database: String,
        /// Who, in words.
        sessions: Vec<String>,
        /// The database that was restored completely and couldn't be renamed.
        beside: Option<String>,
    },
    /// Another restore into the same database is under way.
    #[error("another restore into database '{0}' is under way")]
    Busy(String),
    /// The user may not create databases.
    #[error("user '{user}' may not create databases, and a restore fills a new one")]
    MayNotCreate {
        /// The user.
        user: String,
    },
    /// The user may not do to the target what a restore needs.
    #[error("user '{user}' may not rename database '{database}', which belongs to '{owner}'")]
    MayNotRename {
        /// The user.
        user: String,
        /// The target.
        database: String,
        /// Its owner.
        owner: String,
    },
    /// The server lacks extensions.
    #[error("the server lacks extensions that the database needs: {}", .0.join(", "))]
    Extensions(Vec<String>),
    /// The server is older than the one that the dump is of.
    #[error("the dump is of PostgreSQL {dump} and the server is {server}, which is older: restore into {} or newer", dump.major())]
    ServerOlder {
        /// The server's version.
        server: Version,
        /// The version that the dump is of.
        dump: Version,
    },
    /// No program reads the archive.
    #[error("the dump was made by pg_dump {client}, and no pg_restore of that version or newer was found (Debian: apt-get install postgresql-client-{})", client.major())]
    ArchiveTooNew {
        /// The version of the program that made it.
        client: Version,
    },
    /// The server doesn't know the database's locale.
    #[error("the server can't make a database with {wanted}: {said}")]
    Locale {
        /// Encoding and locale that it should have.
        wanted: String,
        /// The server's own words.
        said: String,
    },
    /// Roles are missing and can't be made.
    #[error("the server lacks roles that objects belong or are granted to, and user '{user}' may not create them: {}", roles.join(", "))]
    Roles {
        /// The user.
        user: String,
        /// The roles.
        roles: Vec<String>,
    },
    /// There is too little room for the spool file.
    #[error("{} has {free} bytes free, and the dump needs {needed}", folder.display())]
    SpoolTooSmall {
        /// The folder.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes of the dump.
        needed: u64,
    },
    /// The spool file can't be written.
    #[error("the spool file in {} can't be written: {source}", folder.display())]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The snapshot doesn't fit the target.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The user wanted it.
    #[error("interrupted")]
    Interrupted,
}

impl DatabaseError {
    /// Whether this is a safety check's doing, rather than a failure.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NotEmpty { .. }
                | Self::Incomplete { .. }
                | Self::Connected { .. }
                | Self::Busy(_)
                | Self::Extensions(_)
                | Self::ServerOlder { .. }
                | Self::Roles { .. }
                | Self::Script { .. }
                | Self::Template(_)
                | Self::Mismatch(_)
        )
    }
}

fn contents(tables: &[String], hidden: &[String], large_objects: u64) -> String {
    let mut parts = Vec::new();
    if !tables.is_empty() {
        parts.push(format!("rows in {}", tables.join(", ")));
    }
    if large_objects > 0 {
        parts.push(format!("{large_objects} large objects"));
    }
    if !hidden.is_empty() {
        parts.push(format!("maybe rows in {}", hidden.join(", ")));
    }
    parts.join(" and ")
}

fn kept(beside: Option<&String>) -> String {
    let text = |name: &String| format!("; what was restored is complete, and kept as database '{name}'");
    beside.map(text).unwrap_or_default()
}
