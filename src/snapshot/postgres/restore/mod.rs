//! Bringing a database back: from a dump in a snapshot into a database of a live server.
//!
//! | step | what happens |
//! | --- | --- |
//! | plan | the dump's beginning, the server and the target are looked at; nothing is changed, and whatever forbids the restore is found |
//! | beside | a new database is made, with a comment that says it's unfinished; roles that are missing, too |
//! | restore | `pg_restore` or `psql` is fed from the repository |
//! | verify | statistics are gathered, the rows of every table counted and compared with the manifest |
//! | rename | the database that was there gets a dated name, the new one its name, in one transaction |
//!
//! Until the last step the target is as it was, so neither a failure nor a power cut leaves half a database under its name. What an interrupted attempt leaves is known by its name
//! and comment; the next attempt drops it. An advisory lock keeps two attempts apart.

mod admin;
mod convert;
mod create;
pub mod dump;
pub mod error;
pub mod feed;
mod name;
pub mod plan;
mod roles;
pub mod rows;
pub mod run;
pub mod script;
mod spool;
mod swap;
mod target;

use crate::snapshot::postgres::server::Server;
use std::path::PathBuf;

/// How a database is to be restored.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct DatabaseOptions {
    /// The server, and the database to restore into.
    pub server: Server,
    /// Replace a database that isn't empty; it is kept under another name.
    pub replace: bool,
    /// Replace it also by a dump that the snapshot says isn't all.
    pub allow_incomplete: bool,
    /// End the sessions of others with the database that is replaced.
    pub disconnect: bool,
    /// Restore with so many jobs at once, from a spool file.
    pub jobs: Option<usize>,
    /// Where the spool file goes.
    pub spool: PathBuf,
    /// Don't give objects to their owners.
    pub no_owner: bool,
    /// Don't restore who may do what.
    pub no_acl: bool,
    /// Restore as this role.
    pub role: Option<String>,
    /// Restore these schemas alone.
    pub schemas: Vec<String>,
    /// Make the database with the locale of the one that is there, or the server's own.
    pub default_locale: bool,
}

impl DatabaseOptions {
    /// Into the database that `server` names, otherwise as it was.
    pub fn new(server: Server, spool: PathBuf) -> Self {
        Self {
            server,
            replace: false,
            allow_incomplete: false,
            disconnect: false,
            jobs: None,
            spool,
            no_owner: false,
            no_acl: false,
            role: None,
            schemas: Vec::new(),
            default_locale: false,
        }
    }
}
