//! Sessions beside the database that is restored: from there it is made, renamed and dropped.

use super::error::DatabaseError;
use super::name;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::pooler;
use crate::snapshot::postgres::programs::{Programs, Version};
use crate::snapshot::postgres::quote::{identifier, literal};
use crate::snapshot::postgres::server::Server;
use crate::snapshot::postgres::session::{LOCK_TIMEOUT, Session};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Databases that every cluster has, and nobody replaces by a restore while being connected with it.
const PLACES: [&str; 2] = ["postgres", "template1"];

/// The user of the sessions.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) superuser: bool,
    pub(super) createdb: bool,
    pub(super) createrole: bool,
}

/// Administers the databases of a server.
pub(super) struct Admin<'p> {
    place: Server,
    programs: &'p Programs,
    session: Option<Session>,
    /// Holds the advisory lock while it lives.
    lock: Option<Session>,
    version: Version,
}

impl<'p> Admin<'p> {
    /// Connects with a database beside `target`.
    pub(super) fn connect(server: &Server, programs: &'p Programs, target: &str) -> Result<Self, DatabaseError> {
        let mut first = None;
        for place in PLACES.into_iter().filter(|place| *place != target) {
            let place = server.clone().with_database(place);
            match pooler::connect(&place, programs).and_then(|mut session| {
                session.prepare(LOCK_TIMEOUT)?;
                Ok(session)
            }) {
                Ok(session) => {
                    let version = session.version();
                    return Ok(Self { place, programs, session: Some(session), lock: None, version });
                }
                Err(error @ PostgresError::Connect { .. }) => drop(first.get_or_insert(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(first.map_or(DatabaseError::NoDatabaseNamed, DatabaseError::from))
    }

    /// The server's version.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Runs something in a session; one that failed is replaced the next time.
    fn with<T>(&mut self, work: impl FnOnce(&mut Session) -> Result<T, PostgresError>) -> Result<T, PostgresError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.place, self.programs, LOCK_TIMEOUT)?,
        };
        let done = work(&mut session)?;
        self.session = Some(session);
        Ok(done)
    }

    /// Runs statements.
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.with(|session| session.execute(sql))
    }

    /// The rows of a query.
    pub(super) fn query<T: DeserializeOwned>(&mut self, sql: &str) -> Result<Vec<T>, PostgresError> {
        self.with(|session| session.query(sql))
    }

    /// The only row of a query.
    pub(super) fn query_one<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, PostgresError> {
        self.with(|session| session.query_one(sql))
    }

    /// Begins a new session: an interruption from the terminal may have ended the old one.
    pub(super) fn renew(&mut self) {
        self.session = None;
    }

    /// Keeps other restores away from a target, until this is dropped.
    pub(super) fn lock(&mut self, target: &str) -> Result<(), DatabaseError> {
        #[derive(Deserialize)]
        struct Row {
            locked: bool,
        }
        let mut session = Session::open(&self.place, self.programs, LOCK_TIMEOUT)?;
        let sql = format!("SELECT pg_try_advisory_lock({}) AS locked", name::lock_number(target));
        if !session.query_one::<Row>(&sql)?.locked {
            return Err(DatabaseError::Busy(target.to_owned()));
        }
        self.lock = Some(session);
        Ok(())
    }

    /// Makes sure that other restores were kept away until now: a lock whose session was ended is taken again, unless another restore has it by now.
    pub(super) fn still_locked(&mut self, target: &str) -> Result<(), DatabaseError> {
        if self.lock.as_mut().is_some_and(|session| session.execute("SELECT 1").is_ok()) {
            return Ok(());
        }
        self.lock(target)
    }

    /// The user.
    pub(super) fn user(&mut self) -> Result<User, PostgresError> {
        self.query_one(
            "SELECT rolname AS name, rolsuper AS superuser, rolcreatedb AS createdb, rolcreaterole AS createrole
            FROM pg_roles WHERE rolname = current_user",
        )
    }

    /// Databases that earlier attempts to restore `target` left behind.
    pub(super) fn leftovers(&mut self, target: &str) -> Result<Vec<String>, PostgresError> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            comment: Option<String>,
        }
        let rows: Vec<Row> = self.query(
            "SELECT datname AS name, shobj_description(oid, 'pg_database') AS comment FROM pg_database ORDER BY 1",
        )?;
        let ours = |row: &Row| name::is_unfinished(&row.name, row.comment.as_deref(), target);
        Ok(rows.into_iter().filter(ours).map(|row| row.name).collect())
    }

    /// Whether there is a database of this name.
    pub(super) fn exists(&mut self, database: &str) -> Result<bool, PostgresError> {
        #[derive(Deserialize)]
        struct Row {
            found: bool,
        }
        let sql = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {}) AS found", literal(database));
        self.query_one::<Row>(&sql).map(|row| row.found)
    }

    /// Who is connected with a database, in words.
    pub(super) fn sessions(&mut self, database: &str) -> Result<Vec<String>, PostgresError> {
        #[derive(Deserialize)]
        struct Row {
            application: String,
            role: String,
            count: u64,
        }
        let rows: Vec<Row> = self.query(&format!(
            "SELECT coalesce(nullif(application_name, ''), 'unnamed') AS application, coalesce(usename::text, '?') AS role, count(*) AS count
            FROM pg_stat_activity WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
            of(database)
        ))?;
        let words = |row: Row| {
            let sessions = if row.count == 1 { "session" } else { "sessions" };
            format!("{} {sessions} of {} (role {})", row.count, row.application, row.role)
        };
        Ok(rows.into_iter().map(words).collect())
    }

    /// Ends all sessions with a database.
    pub(super) fn disconnect(&mut self, database: &str) -> Result<(), PostgresError> {
        self.execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", of(database)))
    }

    /// Drops a database and ends what is still going on in it.
    pub(super) fn drop(&mut self, database: &str) -> Result<(), PostgresError> {
        if self.version.major() >= 13 {
            return self.execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(database)));
        }
        self.disconnect(database)?;
        self.execute(&format!("DROP DATABASE IF EXISTS {}", identifier(database)))
    }

    /// Writes the comment of a database.
    pub(super) fn comment(&mut self, database: &str, text: &str) -> Result<(), PostgresError> {
        self.execute(&comment(database, text))
    }

    /// A session with another database of the server.
    pub(super) fn enter(&self, database: &str) -> Result<Session, PostgresError> {
        Session::open(&self.place.clone().with_database(database), self.programs, LOCK_TIMEOUT)
    }
}

/// The statement that comments a database.
pub(super) fn comment(database: &str, text: &str) -> String {
    format!("COMMENT ON DATABASE {} IS {}", identifier(database), literal(text))
}

/// The condition for a database's sessions; who may not look at others' sees no kind.
fn of(database: &str) -> String {
    format!(
        "datname = {} AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'",
        literal(database)
    )
}

/// A row of one name.
#[derive(Debug, Deserialize)]
pub(super) struct Name {
    pub(super) name: String,
}
