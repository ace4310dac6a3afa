//! Poolers that share connections between sessions.

use super::error::PostgresError;
use super::programs::Programs;
use super::server::Server;
use super::session::{Session, Text};

/// Which of two sessions is asked, one after the other.
///
/// Not in turns: a pooler that hands out its connections round robin would then give each session always the same one.
const ORDER: [usize; 10] = [0, 1, 1, 0, 0, 1, 0, 1, 1, 0];

/// The connection that the server sees: a process and when it began, since processes on other machines may have the same number.
const BACKEND: &str = "SELECT pg_catalog.concat(pid, ' ', backend_start) AS text FROM pg_catalog.pg_stat_activity
    WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()";

/// Connects, and refuses a pooler in transaction or statement mode. Nothing is set in the session yet.
///
/// A dump needs a session of its own: an exported snapshot and locks belong to a transaction of one connection, and what is set for a session would be left behind for others. With a pooler that lends a connection
/// only for a transaction, two sessions of ours that are open at once see the same process of the server sooner or later, or one session sees two of them. A server, or a pooler in session mode, never does that.
pub fn connect(server: &Server, programs: &Programs) -> Result<Session, PostgresError> {
    let mut sessions = [Session::connect(server, programs)?, Session::connect(server, programs)?];
    let mut seen: [Option<String>; 2] = [None, None];
    for which in ORDER {
        let backend = sessions[which].query_one::<Text>(BACKEND)?.text;
        let is_new = seen[which].as_ref().is_some_and(|before| *before != backend);
        if is_new || seen[1 - which].as_ref() == Some(&backend) {
            return Err(PostgresError::Pooled { server: server.describe() });
        }
        seen[which] = Some(backend);
    }
    let [session, other] = sessions;
    other.close()?;
    Ok(session)
}
