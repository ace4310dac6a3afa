//! A database of its own on a server for tests, and what is done with it.

use super::server::{Server, succeed};
use crate::world::noise;
use nightsafe::snapshot::postgres::dump::{Contents, DumpOptions, DumpProcess, DumpSession};
use nightsafe::snapshot::postgres::programs::Programs;
use nightsafe::snapshot::postgres::server;
use nightsafe::snapshot::postgres::session::Session;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Longer than anything here should take.
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// A database of its own, dropped at the end.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) database: String,
    folder: tempfile::TempDir,
}

impl World {
    /// Nothing, and a word why, where no server can be had.
    pub(super) fn find(tables: &str) -> Option<Self> {
        Server::find().map_err(|reason| eprintln!("skipped: {reason}")).ok().map(|server| Self::on(server, tables))
    }

    pub(super) fn on(server: Server, tables: &str) -> Self {
        let database = format!("ns_Odd {}", u64::from_le_bytes(noise(8).try_into().unwrap()) ^ unique());
        server.query("postgres", &format!("CREATE DATABASE \"{database}\""));
        let world = Self { server, database, folder: tempfile::tempdir().unwrap() };
        if !tables.is_empty() {
            world.sql(tables);
        }
        world
    }

    pub(super) fn sql(&self, sql: &str) -> String {
        self.server.query(&self.database, sql)
    }

    pub(super) fn location(&self) -> server::Server {
        let server = server::Server::parse("user=postgres port=5432").unwrap();
        server.with_host(self.server.socket.to_str().unwrap()).with_database(&self.database)
    }

    pub(super) fn session(&self) -> Session {
        let location = self.location();
        Session::open(&location, &Programs::find(&location).unwrap(), MINUTE).unwrap()
    }

    pub(super) fn begin(&self, options: &DumpOptions) -> DumpSession {
        let location = self.location();
        DumpSession::begin(&location, &Programs::find(&location).unwrap(), options).unwrap()
    }

    /// A psql that runs statements beside us.
    pub(super) fn beside(&self, sql: &str) -> Child {
        let mut psql = self.server.command("psql");
        psql.env("PGDATABASE", &self.database).args(["-X", "-q", "-c", sql]);
        psql.stdout(Stdio::null()).spawn().unwrap()
    }

    /// Waits until a statement of ours waits for a lock.
    pub(super) fn until_waiting(&self, number: usize) {
        let waiting = format!(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE NOT granted AND datname = '{}'",
            self.database
        );
        while self.server.query("postgres", &waiting).trim() != number.to_string() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Dumps to a file, counting meanwhile.
    pub(super) fn dump(&self, mut session: DumpSession) -> (PathBuf, Contents) {
        let process = session.start_dump().unwrap();
        self.finish(session, process)
    }

    pub(super) fn finish(&self, mut session: DumpSession, mut process: DumpProcess) -> (PathBuf, Contents) {
        let file = self.folder.path().join("dump");
        let mut stdout = process.take_output().unwrap();
        let contents = std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| std::io::copy(&mut stdout, &mut std::fs::File::create(&file).unwrap()).unwrap());
            let contents = session.count().unwrap();
            reader.join().unwrap();
            contents
        });
        session.finish(process).unwrap();
        (file, contents)
    }

    /// The rows per table of a dump, by restoring it.
    pub(super) fn restored(&self, dump: &PathBuf) -> BTreeMap<String, u64> {
        let copy = format!("{} copy", self.database);
        self.server.query("postgres", &format!("CREATE DATABASE \"{copy}\""));
        let mut restore = self.server.command("pg_restore");
        restore.args(["--exit-on-error", "-d", &copy]).arg(dump);
        succeed(restore);
        let counts = self.server.query(
            &copy,
            "SELECT c.oid::regclass, (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ONLY ' || c.oid::regclass, false, true, '')))[1]
            FROM pg_class c WHERE relkind = 'r' AND c.oid >= 16384",
        );
        self.server.query("postgres", &format!("DROP DATABASE \"{copy}\""));
        // A name may hold a line feed: what comes before a number is the name.
        counts
            .split_terminator('\n')
            .fold((BTreeMap::new(), String::new()), |(mut map, name), line| {
                match line.rsplit_once('|').and_then(|(rest, n)| n.parse().ok().map(|n| (rest, n))) {
                    Some((rest, n)) => drop(map.insert(name + rest, n)),
                    None => return (map, name + line + "\n"),
                }
                (map, String::new())
            })
            .0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mut psql = self.server.command("psql");
        psql.args(["-X", "-q", "-c", &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.database)]);
        let _ = psql.stderr(Stdio::null()).status();
    }
}

/// A number that no other test has.
pub(super) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id())
}
