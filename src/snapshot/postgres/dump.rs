//! A dump of one database at one instant, with what the database says of itself at the same instant.
//!
//! Tables are listed, then locked in a transaction (`ACCESS SHARE`, which hinders nobody who reads or writes), and only then is its snapshot taken and exported: `LOCK` takes none. Were the snapshot older than the
//! locks, a `TRUNCATE` between would make `pg_dump` write an empty table and succeed. A second list, in the snapshot, finds tables that came between; then all begins again. The locks are held until the dump has ended.
//!
//! `pg_dump` locks the tables too. A `TRUNCATE` or `ALTER TABLE` that comes after our locks and before its own waits for us, and `pg_dump` waits behind it: a deadlock that the server can't see, since we wait for
//! `pg_dump` outside of it. So its first byte is waited for (it writes none before it has its locks), and where it's stuck like that, we let go, let the other one pass, and begin again.

use super::client::Client;
use super::command::Input;
use super::error::PostgresError;
use super::facts::{self, Properties};
use super::interrupt::{self, Interrupt};
use super::ledger;
use super::options;
pub use super::options::DumpOptions;
use super::pooler;
use super::programs::{Found, Program, Programs, Version};
use super::quote::{literal, qualified};
use super::server::Server;
use super::session::{LOCK_TIMEOUT, Session, Text};
use super::tables::{self, Denied, Relation};
use crate::repo::cbor::Time;
use crate::snapshot::backup::now;
use crate::snapshot::manifest::database::{Extension, Ledger, Role, Table};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How many tables one statement locks.
const LOCKED_AT_ONCE: usize = 500;

/// How often it's tried to lock all tables before others come.
const ATTEMPTS: u32 = 5;

/// What the server says if a table or schema is gone, or a right, since it was listed; or if somebody who changes tables and we waited for each other.
const GONE: [&str; 4] = ["42P01", "3F000", "42501", "40P01"];

/// How long the first byte of the archive is waited for before it's asked what `pg_dump` waits for.
const POLL: Duration = Duration::from_millis(200);

/// What the server says if a lock wasn't granted in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What is known of a database before its dump begins.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The server's version.
    pub server: Version,
    /// The version of the `pg_dump` that is used.
    pub client: Version,
    /// When the instant was, by our clock.
    pub taken: Time,
    /// The database's properties.
    pub properties: Properties,
    /// Its extensions.
    pub extensions: Vec<Extension>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Tables and sequences that the dump lacks because we may not read them.
    pub denied: Vec<Denied>,
}

/// What is counted while the dump runs.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Tables with their rows; no number where data was left out on purpose. What the dump has of them isn't known here.
    pub tables: Vec<Table>,
    /// How many large objects the dump has.
    pub large_objects: u64,
    /// The migration ledgers.
    pub ledgers: Vec<Ledger>,
    /// What people should know of the ledgers and that no ledger says.
    pub warnings: Vec<String>,
    /// The keys that the data needs, if a query was given.
    pub keys_in_use: Option<Vec<String>>,
}

/// A transaction that holds the locks and the snapshot of a dump.
pub struct DumpSession {
    session: Session,
    server: Server,
    programs: Programs,
    program: Found,
    options: DumpOptions,
    held: Held,
}

/// What belongs to one snapshot.
struct Held {
    relations: Vec<Relation>,
    snapshot: String,
    facts: Facts,
}

/// A running `pg_dump`. Killed when dropped.
pub struct DumpProcess {
    client: Client,
    output: Option<DumpOutput>,
}

/// The archive that `pg_dump` writes.
pub struct DumpOutput {
    first: io::Cursor<Vec<u8>>,
    rest: ChildStdout,
}

impl Read for DumpOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.first.read(buffer)? {
            0 => self.rest.read(buffer),
            read => Ok(read),
        }
    }
}

impl DumpProcess {
    /// The archive. Nothing the second time.
    pub fn take_output(&mut self) -> Option<DumpOutput> {
        self.output.take()
    }

    /// Kills `pg_dump` if the work is to end before `done` is closed.
    pub fn watch(&mut self, interrupt: &Interrupt, done: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(interrupt::POLL) {
            if interrupt.is_set() {
                return self.client.kill();
            }
        }
    }
}

impl DumpSession {
    /// Connects, locks all tables, takes the snapshot and reads what the database says of itself.
    pub fn begin(server: &Server, programs: &Programs, options: &DumpOptions) -> Result<Self, PostgresError> {
        options::check(&options.extra_arguments)?;
        let mut session = pooler::connect(server, programs)?;
        let program = programs.fitting(Program::Dump, session.version())?.clone();
        let held = hold(&mut session, server, programs, &program, options)?;
        let (server, programs, options) = (server.clone(), programs.clone(), options.clone());
        Ok(Self { session, server, programs, program, options, held })
    }

    /// What is known before the dump. [`DumpSession::start_dump`] may take another snapshot: what is to be kept has to be read after it.
    pub fn facts(&self) -> &Facts {
        &self.held.facts
    }

    /// Starts `pg_dump` in this snapshot, and comes back when it writes. To be called before [`DumpSession::count`]: where `pg_dump` can't get its locks because of ours, both begin again with a new snapshot.
    pub fn start_dump(&mut self) -> Result<DumpProcess, PostgresError> {
        for _ in 0..ATTEMPTS {
            let name = format!("nightsafe {}", self.held.snapshot);
            let server = self.server.clone().with_application(&name);
            let mut client = Client::start(&server, &self.program.path, &self.arguments(), Input::None)?;
            let first = first_bytes(&mut client);
            loop {
                self.server.interrupt().check()?;
                match first.recv_timeout(POLL) {
                    Ok(output) => return Ok(DumpProcess { client, output: Some(output) }),
                    Err(RecvTimeoutError::Disconnected) => return Ok(DumpProcess { client, output: None }),
                    Err(RecvTimeoutError::Timeout) if self.is_stuck(&name)? => break,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            drop(client);
            self.session.execute("ROLLBACK")?;
            self.held = hold(&mut self.session, &self.server, &self.programs, &self.program, &self.options)?;
        }
        Err(lock_timeout(&self.server, &self.programs, self.options.lock_wait))
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--format=custom".into(),
            "--compress=0".into(),
            format!("--snapshot={}", self.held.snapshot).into(),
            format!("--lock-wait-timeout={}", self.options.lock_wait.as_millis().clamp(1, i32::MAX as u128)).into(),
        ];
        let option = |option: &str, value: &String| OsString::from(format!("{option}={value}"));
        arguments.extend(self.options.schemas.iter().map(|schema| option("--schema", schema)));
        arguments.extend(self.options.exclude_table_data.iter().map(|name| option("--exclude-table-data", name)));
        arguments.extend(self.held.facts.denied.iter().map(|denied| denied.argument().into()));
        arguments.extend(self.options.extra_arguments.iter().map(OsString::from));
        arguments
    }

    /// Whether `pg_dump` waits for somebody who waits for us.
    fn is_stuck(&mut self, name: &str) -> Result<bool, PostgresError> {
        // Without this a transaction sees the activity as it was when it first looked.
        self.session.execute("SELECT pg_stat_clear_snapshot()")?;
        let waiting = format!(
            "SELECT a.pid AS text FROM pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) b
            WHERE a.application_name = {} AND pg_backend_pid() = ANY (pg_blocking_pids(b))",
            literal(name)
        );
        Ok(!self.session.query::<serde_json::Value>(&waiting)?.is_empty())
    }

    /// Counts rows and large objects, reads ledgers and keys, all in the snapshot of the dump, which may run meanwhile.
    pub fn count(&mut self) -> Result<Contents, PostgresError> {
        let tables: Vec<&Relation> = self.held.relations.iter().filter(|relation| relation.has_data()).collect();
        let has = |argument: &str| self.options.extra_arguments.iter().any(|given| given == argument);
        // On a server that follows another these tables are empty and can't be read.
        let no_unlogged = self.held.facts.properties.standby || has("--no-unlogged-table-data");
        let counted = facts::count(&mut self.session, &tables, |relation| {
            !(relation.excluded || no_unlogged && relation.unlogged)
        })?;
        let all = ["-B", "--no-blobs", "--no-large-objects"].iter().all(|argument| !has(argument));
        let asked = ["-b", "--blobs", "--large-objects"].iter().any(|argument| has(argument));
        let with_objects = all && (asked || self.options.schemas.is_empty());
        let large_objects = if with_objects { facts::large_objects(&mut self.session)? } else { 0 };
        let oids: Vec<u32> = tables.iter().map(|relation| relation.oid).collect();
        let (ledgers, warnings) = ledger::read(&mut self.session, &oids)?;
        let keys_in_use =
            self.options.keys_query.as_deref().map(|query| facts::keys(&mut self.session, query)).transpose()?;
        Ok(Contents { tables: counted, large_objects, ledgers, warnings, keys_in_use })
    }

    /// Waits for the end of the dump, whose output has to be read by then, and lets go of the locks. Gives what `pg_dump` warned about.
    pub fn finish(mut self, dump: DumpProcess) -> Result<String, PostgresError> {
        let said = dump.client.succeed()?;
        // That the transaction still exists is what tells that the locks were held until now.
        self.session.execute("COMMIT")?;
        self.session.close()?;
        Ok(said)
    }
}

/// Locks all tables and takes a snapshot in which there are no others.
fn hold(
    session: &mut Session,
    server: &Server,
    programs: &Programs,
    program: &Found,
    options: &DumpOptions,
) -> Result<Held, PostgresError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        session.prepare(options.lock_wait)?;
        match try_to_hold(session, options) {
            Ok(Some((relations, snapshot, taken))) => {
                let facts = read(session, program, &relations, taken)?;
                return Ok(Held { relations, snapshot, facts });
            }
            Ok(None) => session.execute("ROLLBACK")?,
            Err(error) => match error.sqlstate() {
                Some(state) if GONE.contains(&state) => {
                    last = Some(error);
                    *session = Session::connect(server, programs)?;
                }
                Some(LOCK_NOT_AVAILABLE) => return Err(lock_timeout(server, programs, options.lock_wait)),
                _ => return Err(error),
            },
        }
    }
    Err(last.unwrap_or(PostgresError::TablesKeepChanging { server: server.describe(), attempts: ATTEMPTS }))
}

/// Lists, locks, exports and lists again; nothing if the second list has more than was locked.
fn try_to_hold(
    session: &mut Session,
    options: &DumpOptions,
) -> Result<Option<(Vec<Relation>, String, Time)>, PostgresError> {
    let list = |session: &mut Session| tables::list(session, &options.schemas, &options.exclude_table_data);
    let lockable = |relations: &[Relation]| -> BTreeSet<(u32, String, String)> {
        let locked = relations.iter().filter(|relation| relation.is_locked());
        locked.map(|relation| (relation.oid, relation.schema.clone(), relation.name.clone())).collect()
    };
    let before = lockable(&list(session)?);
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
    let names: Vec<_> = before.iter().map(|(_, schema, name)| format!("ONLY {}", qualified(schema, name))).collect();
    for batch in names.chunks(LOCKED_AT_ONCE) {
        session.execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", batch.join(", ")))?;
    }
    let snapshot = session.query_one::<Text>("SELECT pg_export_snapshot() AS text")?.text;
    let taken = now();
    let relations = list(session)?;
    let held = lockable(&relations).is_subset(&before);
    Ok(held.then_some((relations, snapshot, taken)))
}

/// The first bytes of the archive, with what follows them, as soon as there are some; nothing comes if there are none.
fn first_bytes(client: &mut Client) -> Receiver<DumpOutput> {
    let (sender, receiver) = channel();
    if let Some(mut rest) = client.take_stdout() {
        std::thread::spawn(move || {
            let mut first = vec![0; 4096];
            // An error comes again from the reads that follow.
            let read = rest.read(&mut first).unwrap_or_default();
            first.truncate(read);
            let _ = sender.send(DumpOutput { first: io::Cursor::new(first), rest });
        });
    }
    receiver
}

fn read(session: &mut Session, program: &Found, relations: &[Relation], taken: Time) -> Result<Facts, PostgresError> {
    Ok(Facts {
        server: session.version(),
        client: program.version,
        taken,
        properties: facts::properties(session)?,
        extensions: facts::extensions(session)?,
        roles: facts::roles(session)?,
        denied: relations.iter().filter_map(Relation::denied).collect(),
    })
}

/// The error of a lock that wasn't granted, with those who hold one like it, if they can be found.
fn lock_timeout(server: &Server, programs: &Programs, waited: Duration) -> PostgresError {
    let holders = || -> Result<Vec<Text>, PostgresError> {
        let mut session = Session::open(server, programs, LOCK_TIMEOUT)?;
        session.query(
            "SELECT DISTINCT concat(n.nspname, '.', c.relname, ' is locked by process ', l.pid, ' of ', a.usename,
                ' (', a.application_name, ')') AS text
            FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 5",
        )
    };
    let holders: Vec<_> = holders().unwrap_or_default().into_iter().map(|row| row.text).collect();
    let holders = super::error::clean(holders.join(", ").as_bytes());
    PostgresError::LockTimeout { server: server.describe(), seconds: waited.as_secs(), holders }
}
