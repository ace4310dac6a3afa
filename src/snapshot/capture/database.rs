//! Capturing live databases: each one's dump, and what the database says of itself at the same instant.
//!
//! ```text
//! session: lock, snapshot ── facts ──────────── counts, ledgers ─────────── COMMIT
//!                         └─ pg_dump ── pipe ── cut, hash, store ── status ──┘
//! ```
//!
//! A dump that isn't whole is never an entry of the tree: what went wrong is a problem of the snapshot, and the other sources go on.

mod record;

use self::record::{differences, missing, record};
use crate::chunker::Gear;
use crate::repo::cbor::Time;
use crate::repo::format::Class;
use crate::repo::writer::{WriteError, Writer};
use crate::snapshot::backup::BackupError;
use crate::snapshot::capture::MadeDirectory;
use crate::snapshot::capture::archive::{self, ArchiveStreamError, StoredArchive};
use crate::snapshot::capture::captured::{Before, Captured, FileSlot, Outcome};
use crate::snapshot::capture::content::PendingStream;
use crate::snapshot::capture::fault::Fault;
use crate::snapshot::capture::made::{Made, OfferCheckpoint};
use crate::snapshot::capture::measured::Measured;
use crate::snapshot::capture::offering::{Offer, Offering};
use crate::snapshot::manifest::database::Database;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::postgres::dump::{Contents, DumpOutput, DumpProcess, DumpSession};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::globals;
use crate::snapshot::postgres::interrupt::{Interrupt, POLL};
use crate::snapshot::postgres::programs::Programs;
use crate::snapshot::postgres::server::Server;
use crate::snapshot::postgres::source::PostgresSource;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// Only the owner may read a dump that was restored as a file.
const FILE_MODE: u32 = 0o600;
/// Likewise the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// What roles and grants are stored as.
const GLOBALS: &str = "globals.sql";
/// Longest chunk of class secret.
const SECRET_CHUNK: usize = 256 << 10;

/// What captures databases.
pub(super) struct DatabaseCapture<'c> {
    /// Where chunks go.
    pub writer: &'c Writer,
    /// Finds the boundaries.
    pub gear: &'c Gear,
    /// Who wants to know.
    pub monitor: &'c dyn Monitor,
    /// Where problems go.
    pub problem: &'c dyn Fn(Problem),
    /// Offers a checkpoint, given what is captured and what it lacks.
    pub checkpoint: &'c OfferCheckpoint<'c>,
    /// Whether an earlier snapshot had the same sources, as far as known.
    pub has_parent: bool,
}

/// The files of a source, by name.
type Files = BTreeMap<Vec<u8>, (Entry, Arc<FileSlot>)>;

impl DatabaseCapture<'_> {
    /// Captures all sources, one database after the other. A checkpoint may be taken between two of them and while one is being dumped: it keeps what is stored of that dump, which isn't in its tree.
    pub(super) fn run(&self, sources: &[PostgresSource]) -> Result<Made, BackupError> {
        let interrupt = Interrupt::default();
        std::thread::scope(|scope| {
            // Closed however the capture ends.
            let (_running, done) = channel::<()>();
            let (monitor, interrupt) = (self.monitor, &interrupt);
            scope.spawn(move || watch(monitor, interrupt, &done));
            self.capture(sources, interrupt)
        })
    }

    fn capture(&self, sources: &[PostgresSource], interrupt: &Interrupt) -> Result<Made, BackupError> {
        let mut sources: Vec<&PostgresSource> = sources.iter().collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let mut made = Made::default();
        let begun_later =
            |from: usize| sources.iter().skip(from).map(|source| Problem::not_begun(source.name.as_bytes()));
        for (nth, source) in sources.iter().enumerate() {
            let later: Vec<Problem> = begun_later(nth + 1).collect();
            self.monitor.progress().enter("dumping databases");
            let measured = Measured::begin(self.writer);
            let mut files = BTreeMap::new();
            let top = SafePath::parse(source.name.as_bytes()).unwrap_or_default();
            let server = source.server.clone().with_interrupt(interrupt.clone());
            let source = &PostgresSource { server, ..(*source).clone() };
            match self.source(source, &mut files, &mut made, &later) {
                Ok(()) => {}
                Err(Fault::Source(message)) => self.failed(top, message)?,
                Err(Fault::Repository(error)) => return Err(error),
            }
            let bytes = files.values().map(|(_, slot): &(Entry, Arc<FileSlot>)| bytes_read(slot)).sum();
            made.details.push(measured.end(source.name.clone(), files.len() as u64 + 1, bytes));
            made.directories.push_back(directory_of(source, &files));
            (self.checkpoint)(&made, &later)?;
        }
        Ok(made)
    }

    /// Notes what failed, unless that's because the user wants an end: Ctrl-C on a terminal ends the programs, too.
    fn failed(&self, path: SafePath, message: String) -> Result<(), WriteError> {
        if self.monitor.interrupted() {
            return Err(WriteError::Interrupted);
        }
        (self.problem)(Problem { path, kind: ProblemKind::Failed, message });
        Ok(())
    }

    /// The databases and the globals of one server; what fails alone is a problem of its own.
    fn source(
        &self,
        source: &PostgresSource,
        files: &mut Files,
        made: &mut Made,
        later: &[Problem],
    ) -> Result<(), Fault> {
        let programs = Programs::find(&source.server)?;
        let servers = source.databases(&programs)?;
        let path = SafePath::parse(source.name.as_bytes()).unwrap_or_default();
        let lacks: Vec<Problem> = [Problem::reached(path)].into_iter().chain(later.iter().cloned()).collect();
        for (nth, server) in servers.iter().enumerate() {
            let mut so_far = made.clone();
            so_far.directories.push_back(directory_of(source, files));
            let offer = || (self.checkpoint)(&so_far, &lacks);
            if nth > 0 {
                offer()?;
            }
            let mut name = file_name(server.database().unwrap_or("database"));
            match self.database(source, server, &programs, files, &mut name, &offer) {
                Ok((database, entry, captured)) => {
                    files.insert(entry.name.clone(), (entry, slot_of(captured)));
                    made.databases.push(database);
                }
                Err(Fault::Source(message)) => self.failed(path_in(source, &name), message)?,
                Err(error) => return Err(error),
            }
        }
        if source.globals {
            match self.globals(source, &programs) {
                Ok((entry, captured)) => drop(files.insert(entry.name.clone(), (entry, slot_of(captured)))),
                Err(Fault::Source(message)) => self.failed(path_in(source, GLOBALS), message)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Dumps one database. `file` becomes the name of the dump as soon as the database has told its own.
    fn database(
        &self,
        source: &PostgresSource,
        server: &Server,
        programs: &Programs,
        files: &Files,
        file: &mut String,
        offer: &Offer<'_>,
    ) -> Result<(Database, Entry, Captured), Fault> {
        let mut session = DumpSession::begin(server, programs, &source.options)?;
        *file = file_name(&session.facts().properties.name);
        if files.contains_key(file.as_bytes()) {
            // A pooler may have several names for one database.
            return Err(Fault::Source(format!("{} is captured already, under another name", server.describe())));
        }
        let mut dump = session.start_dump()?;
        let facts = session.facts().clone();
        let path = path_in(source, file);
        for denied in &facts.denied {
            (self.problem)(Problem { path: path.clone(), kind: ProblemKind::Denied, message: denied.to_string() });
        }
        if !self.has_parent {
            Progress::add(&self.monitor.progress().bytes_total, facts.properties.bytes.unwrap_or(0));
            Progress::add(&self.monitor.progress().files_total, 1);
        }
        let Some(pipe) = dump.take_output() else {
            let silent = || Fault::Source("pg_dump wrote nothing".to_owned());
            return Err(session.finish(dump).err().map_or_else(silent, Fault::from));
        };
        let (stored, counted) = self.store_and_count(&mut session, &mut dump, (pipe, offer), server.interrupt());
        let stored = stored?;
        let counted = match counted {
            Ok(counted) => counted,
            Err(PostgresError::Interrupted) => return Err(WriteError::Interrupted.into()),
            // What pg_dump says of the same cause, if anything, is closer to it.
            Err(error) => return Err(session.finish(dump).err().unwrap_or(error).into()),
        };
        let said = session.finish(dump)?;
        for warning in said.lines().chain(counted.warnings.iter().map(String::as_str)) {
            self.monitor.warning(&format!("{}: {warning}", facts.properties.name));
        }
        let StoredArchive { stream, sha256, contents } = stored;
        let found =
            contents.map_err(|error| Fault::Source(format!("what pg_dump wrote isn't a whole dump: {error}")))?;
        let entry = made_file(file.as_bytes(), facts.taken);
        let (bytes, blake3) = (stream.bytes, stream.hash);
        let record = record(source, path.clone(), facts, counted, &found);
        let mut record = Database { bytes, blake3, sha256, ..record };
        for (kind, message) in differences(&record.tables, &found, record.large_objects) {
            (self.problem)(Problem { path: path.clone(), kind, message });
        }
        for table in missing(&mut record.tables, &found.entries) {
            self.monitor.warning(&format!("{}: {table} isn't in the dump", record.name));
        }
        for (ledger, warning) in record.ledgers.iter().flat_map(|l| l.warnings.iter().map(move |w| (l, w))) {
            self.monitor
                .warning(&format!("{}: {} {}.{}: {warning}", record.name, ledger.kind, ledger.schema, ledger.table));
        }
        Ok((record, entry, Captured::stream_of(path, self.before(), stream, false)))
    }

    /// Stores what `pg_dump` writes, while the rows are counted; an interruption ends both. While it goes on, checkpoints are offered.
    fn store_and_count(
        &self,
        session: &mut DumpSession,
        dump: &mut DumpProcess,
        (mut pipe, offer): (DumpOutput, &Offer<'_>),
        interrupt: &Interrupt,
    ) -> (Result<StoredArchive, Fault>, Result<Contents, PostgresError>) {
        std::thread::scope(|scope| {
            let (storing, done) = channel::<()>();
            scope.spawn(move || dump.watch(interrupt, &done));
            let counting = scope.spawn(|| session.count());
            let mut reading = Offering::new(&mut pipe, offer);
            let stored = archive::store(&mut reading, self.writer, self.gear, self.monitor);
            let stored = reading.settle(stored).map_err(Fault::from).and_then(|stored| {
                stored.map_err(|error| match error {
                    ArchiveStreamError::Read(error) => Fault::Source(format!("reading what pg_dump writes: {error}")),
                    other => other.into(),
                })
            });
            // If that ended early, pg_dump learns so now.
            drop((pipe, storing));
            (stored, counting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    const fn before(&self) -> Before {
        if self.has_parent { Before::Changed(None) } else { Before::New }
    }

    /// Roles and what they're granted; with the hashes of their passwords that is a secret.
    fn globals(&self, source: &PostgresSource, programs: &Programs) -> Result<(Entry, Captured), Fault> {
        let found = globals::dump(&source.server, programs)?;
        let is_secret = found.with_passwords;
        let mut references = Vec::new();
        let mut lane = self.writer.lane(if is_secret { Class::Secret } else { Class::Data });
        for chunk in found.sql.chunks(SECRET_CHUNK) {
            lane.put(chunk, &mut references)?;
        }
        lane.flush()?;
        let hash = if is_secret && !found.sql.is_empty() {
            self.writer.secret_content_hasher().update(&found.sql).finalize()
        } else {
            blake3::hash(&found.sql)
        };
        let stream = PendingStream { references, bytes: found.sql.len() as u64, hash: *hash.as_bytes() };
        let entry = made_file(GLOBALS.as_bytes(), crate::snapshot::backup::now());
        Ok((entry, Captured::stream_of(path_in(source, GLOBALS), self.before(), stream, is_secret)))
    }
}

/// Hands on that the user wants an end, until `done` is closed: who waits for a server can't ask the monitor.
pub(super) fn watch(monitor: &dyn Monitor, interrupt: &Interrupt, done: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(POLL) {
        if monitor.interrupted() {
            return interrupt.set();
        }
    }
}

/// A file that no disk holds.
pub(super) fn made_file(name: &[u8], mtime: Time) -> Entry {
    made_entry(name, EntryType::File, mtime)
}

/// Likewise a directory.
pub(super) fn made_directory(name: &[u8], mtime: Time) -> Entry {
    made_entry(name, EntryType::Directory, mtime)
}

/// What a file that no disk holds is called and belongs to.
fn made_entry(name: &[u8], kind: EntryType, mtime: Time) -> Entry {
    let mode = if kind == EntryType::Directory { DIRECTORY_MODE } else { FILE_MODE };
    let metadata = Metadata { kind, mode, mtime, ctime: mtime, ..Metadata::synthetic() };
    metadata.entry(name, None, Vec::new(), &mut Owners::default())
}

/// A directory of these files.
fn directory_of(source: &PostgresSource, files: &Files) -> MadeDirectory {
    let taken = files.values().map(|(entry, _)| entry.mtime).max().unwrap_or_default();
    let entry = made_directory(source.name.as_bytes(), taken);
    MadeDirectory { entry, files: files.values().cloned().collect() }
}

/// A place that holds what was captured.
pub(super) fn slot_of(captured: Captured) -> Arc<FileSlot> {
    let slot = FileSlot::new();
    // It's new, so nothing is in it.
    let _ = slot.set(Outcome::Captured(Box::new(captured)));
    Arc::new(slot)
}

fn bytes_read(slot: &FileSlot) -> u64 {
    match slot.get() {
        Some(Outcome::Captured(captured)) => captured.bytes_read(),
        Some(Outcome::Lost) | None => 0,
    }
}

/// The name of a database's dump. A slash, which a name may hold, would lead elsewhere.
fn file_name(database: &str) -> String {
    let mut name = database.replace('%', "%25").replace('/', "%2F");
    name.retain(|c| c != '\0');
    name + ".dump"
}

fn path_in(source: &PostgresSource, file: &str) -> SafePath {
    let top = SafePath::parse(source.name.as_bytes()).unwrap_or_default();
    top.join(file.as_bytes()).unwrap_or(top)
}
