//! The file of the seen-files cache: opened, locked, bound to its owner, and made anew when it's of no use.

use super::{SeenError, SeenOwner};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "seen.sqlite";
/// A cache of another version is emptied.
const SCHEMA_VERSION: i64 = 3;

/// Directories have numbers so that each row needn't repeat a path. Rows of a directory lie together, by name as
/// unsigned bytes.
const SCHEMA: &str = "
    DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS seen; DROP TABLE IF EXISTS dirs;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE dirs (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE) STRICT;
    CREATE TABLE seen (
        dir INTEGER NOT NULL, name BLOB NOT NULL,
        size INTEGER NOT NULL, mtime INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        ctime INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        read_at INTEGER NOT NULL, content BLOB NOT NULL, mac BLOB NOT NULL,
        PRIMARY KEY (dir, name)
    ) STRICT, WITHOUT ROWID;";

/// The path of the database in `folder`.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Whether the file itself is at fault.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the database for this process alone; `None` while another one has it. A corrupt file is made anew.
pub(super) fn open(folder: &Path, owner: &SeenOwner) -> Result<Option<Connection>, SeenError> {
    let io = |source| SeenError::Io { path: folder.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let path = path(folder);
    let outcome = match connect(&path, owner) {
        Err(Failure::Sqlite(error)) if is_corrupt(&error) => {
            remove(folder).map_err(io)?;
            connect(&path, owner)
        }
        other => other,
    };
    match outcome {
        Ok(connection) => Ok(Some(connection)),
        Err(Failure::Sqlite(error))
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) =>
        {
            Ok(None)
        }
        Err(Failure::Sqlite(source)) => Err(SeenError::Database { path, source }),
        Err(Failure::Io(source)) => Err(SeenError::Io { path, source }),
    }
}

/// Removes the database and what belongs to it.
pub(super) fn remove(folder: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(folder.join(format!("{FILE}{suffix}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

enum Failure {
    Sqlite(rusqlite::Error),
    Io(std::io::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn connect(path: &Path, owner: &SeenOwner) -> Result<Connection, Failure> {
    // SQLite would create it for all to read; an empty file is an empty database.
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(Failure::Io)?;
    let mut connection = Connection::open(path)?;
    // Whoever comes second goes without.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(32);
    // A killed process loses the transaction under way (WAL). After a power failure the file may be damaged (no fsync):
    // found out, and made anew.
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;",
    )?;
    // The lock that this takes stays until the connection closes.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    if !belongs_to(&transaction, owner)? {
        transaction.execute_batch(SCHEMA)?;
        let mut insert = transaction.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
        insert.execute(params!["repository", owner.repository.as_bytes()])?;
        insert.execute(params!["credential", owner.credential.as_bytes()])?;
        drop(insert);
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// Whether the database has this version's tables and is the owner's.
fn belongs_to(transaction: &Transaction<'_>, owner: &SeenOwner) -> rusqlite::Result<bool> {
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'dirs', 'seen')";
    let tables: i64 = transaction.query_row(tables, [], |row| row.get(0))?;
    if version != SCHEMA_VERSION || tables != 3 {
        return Ok(false);
    }
    let mut select = transaction.prepare("SELECT value FROM meta WHERE name = ?1")?;
    let mut is = |name, bytes: &[u8]| {
        let found: Option<Vec<u8>> = select.query_row([name], |row| row.get(0)).optional()?;
        Ok::<_, rusqlite::Error>(found.as_deref() == Some(bytes))
    };
    Ok(is("repository", owner.repository.as_bytes())? && is("credential", owner.credential.as_bytes())?)
}
