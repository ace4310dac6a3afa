//! What belongs to a server and to no database: roles, memberships, tablespaces.

use super::client::Client;
use super::command::Input;
use super::error::PostgresError;
use super::interrupt::Output;
use super::programs::{Program, Programs};
use super::quote;
use super::server::Server;
use super::session::{LOCK_TIMEOUT, Session};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::Read;

/// Most bytes that are taken.
const MOST_BYTES: u64 = 64 << 20;

/// Roles and tablespaces as SQL.
pub struct Globals {
    /// The statements.
    pub sql: Vec<u8>,
    /// Whether the hashes of the roles' passwords are among them; not where we may not read them.
    pub with_passwords: bool,
}

/// Runs `pg_dumpall --globals-only`.
pub fn dump(server: &Server, programs: &Programs) -> Result<Globals, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        passwords: bool,
    }
    let mut session = Session::open(server, programs, LOCK_TIMEOUT)?;
    let row: Row = session.query_one(
        "SELECT current_database() AS name, has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS passwords",
    )?;
    let program = programs.fitting(Program::DumpAll, session.version())?;
    session.close()?;
    // Without this it would connect to `postgres`, which need not be there. libpq takes a name with a `=` for a connection string: in one it's only a name.
    let database = format!("--database=dbname={}", quote::parameter(&row.name));
    let mut arguments: Vec<OsString> = vec!["--globals-only".into(), database.into()];
    if !row.passwords {
        arguments.push("--no-role-passwords".into());
    }
    let mut client = Client::start(server, &program.path, &arguments, Input::None)?;
    let mut sql = Vec::new();
    if let Some(stdout) = client.take_stdout() {
        let read = Output::of(stdout, server.interrupt().clone()).take(MOST_BYTES + 1).read_to_end(&mut sql);
        server.interrupt().check()?;
        read.map_err(|source| client.pipe(source))?;
    }
    if sql.len() as u64 > MOST_BYTES {
        let (program, server) = (Program::DumpAll.name().into(), server.describe());
        return Err(PostgresError::TooLong { program, server, limit: MOST_BYTES });
    }
    client.succeed()?;
    Ok(Globals { sql, with_passwords: row.passwords })
}
