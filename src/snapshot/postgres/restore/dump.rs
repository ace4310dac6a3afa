//! A dump in a snapshot: which one, and what its first bytes say of it.

use super::error::DatabaseError;
use crate::chunker::archive::{Event, Parser, TocEntry};
use crate::repo::error::ReadError;
use crate::repo::reader::Reader;
use crate::snapshot::browse;
use crate::snapshot::manifest::database::{Database, Ledger, Table};
use crate::snapshot::manifest::dump::DumpContents;
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::rebuilt::FileReader;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::stream::{StreamReader, unwrap_read_error};
use crate::snapshot::tree::entry::{Content, Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

/// Bytes by which a format is told.
const HEAD: usize = 4096;

/// What an archive and what gzip begins with; where a tar archive has its mark.
const ARCHIVE: &[u8] = b"PGDMP";
const GZIP: &[u8] = &[0x1f, 0x8b];
const TAR: (usize, &[u8]) = (257, b"ustar");

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `pg_dump --format=custom`, for `pg_restore`.
    Archive,
    /// SQL, for `psql`.
    Script,
}

/// A dump that can be restored.
#[derive(Debug, Clone)]
pub struct Dump {
    /// Where it is in the snapshot.
    pub path: SafePath,
    /// Its entry.
    pub entry: Entry,
    /// What the manifest knows of the database; nothing of a dump that something else made.
    pub database: Option<Database>,
    /// What it tells of such a one, if that could be read when it was stored.
    pub contents: Option<DumpContents>,
    /// How it's written.
    pub format: Format,
    /// Whether all of it is compressed by gzip.
    pub gzip: bool,
    /// The version of the server that it is of.
    pub server: Option<Version>,
    /// The version of the program that made it.
    pub client: Option<Version>,
    /// The extensions that an archive makes.
    pub extensions: Vec<String>,
    /// The roles that objects of an archive belong to.
    pub owners: Vec<String>,
    /// What the snapshot knows that it lacks, for people.
    pub problems: Vec<String>,
    /// Whether the database has settings of its own, which only `--create` would bring back.
    pub has_settings: bool,
}

impl Dump {
    /// Finds the dump that a person means: at a path, or of a captured database by its name, which may be left out if there is only one.
    pub fn find(
        reader: &Reader<'_>,
        snapshot: &Snapshot,
        path: Option<&SafePath>,
        name: Option<&str>,
    ) -> Result<Self, DatabaseError> {
        let databases = &snapshot.manifest.databases;
        let (path, database) = if let Some(path) = path.filter(|path| !path.is_top()) {
            (path.clone(), databases.iter().find(|database| database.dump == *path))
        } else {
            let database = choose(databases, name)?;
            (database.dump.clone(), Some(database))
        };
        let entry = browse::entry_at(reader, snapshot, &path)?;
        if entry.kind != EntryType::File {
            let why = "it isn't a file (the directory and tar formats of pg_dump aren't supported)".to_owned();
            return Err(DatabaseError::NotADump { path, why });
        }
        let told = snapshot.manifest.dumps.iter().find(|dump| dump.path == path);
        let mut dump = Self {
            contents: told.and_then(|dump| dump.contents.clone()).filter(|_| database.is_none()),
            problems: problems(&snapshot.manifest.problems, &path, database.is_some()),
            path,
            entry,
            database: database.cloned(),
            format: Format::Script,
            gzip: false,
            server: None,
            client: None,
            extensions: Vec::new(),
            owners: Vec::new(),
            has_settings: false,
        };
        dump.look(reader)?;
        if let Some(database) = database {
            dump.server = Some(Version(database.server));
            dump.client = Some(Version(database.client));
        }
        Ok(dump)
    }

    /// Bytes of the dump as it is stored: before gzip is undone.
    pub fn bytes(&self) -> u64 {
        self.entry.size.unwrap_or(0)
    }

    /// The migrations in it, if the manifest knows.
    pub fn ledgers(&self) -> Option<&[Ledger]> {
        match &self.database {
            Some(database) => Some(&database.ledgers),
            None => self.contents.as_ref()?.ledgers.as_deref(),
        }
    }

    /// The tables of which it has rows, if something else made it and the manifest knows.
    pub fn tables(&self) -> &[Table] {
        self.contents.as_ref().map_or(&[], |contents| &contents.tables)
    }

    /// Whether the stream that is stored is the dump without any compression.
    fn is_undone(&self) -> bool {
        self.entry.recipe.as_ref().is_none_or(|recipe| recipe.is_whole)
    }

    /// All of it, gzip undone.
    pub(super) fn open<'r>(&self, reader: &'r Reader<'r>) -> Result<Box<dyn Read + Send + 'r>, ReadError> {
        let stream: Box<dyn Read + Send + 'r> = match self.entry.content() {
            // A small file stands in its directory, whose bytes were verified.
            Some(Content::Inline(bytes)) => Box::new(io::Cursor::new(bytes.to_vec())),
            // The stream is what is in the container then, which is better than what it was compressed to.
            _ if self.is_undone() => Box::new(StreamReader::of(reader, &self.entry)?),
            _ => Box::new(FileReader::new(reader, &self.entry)?),
        };
        if !self.gzip {
            return Ok(stream);
        }
        let stream = MultiGzDecoder::new(BufReader::new(stream));
        Ok(Box::new(Gunzipped { stream, path: self.path.clone() }))
    }

    /// Reads the beginning.
    fn look(&mut self, reader: &Reader<'_>) -> Result<(), DatabaseError> {
        let not = |why: &str| DatabaseError::NotADump { path: self.path.clone(), why: why.to_owned() };
        let mut head = head(&mut self.open(reader)?)?;
        if head.starts_with(GZIP) {
            self.gzip = true;
            head = self::head(&mut self.open(reader)?)?;
        }
        if head.starts_with(ARCHIVE) {
            self.format = Format::Archive;
            return self.look_into_archive(reader);
        }
        if head.get(TAR.0..TAR.0 + TAR.1.len()) == Some(TAR.1) {
            return Err(not("it is in pg_dump's tar format, which isn't supported"));
        }
        if head.starts_with(GZIP)
            || head.contains(&0)
            || std::str::from_utf8(&head).is_err_and(|e| e.error_len().is_some()) && !looks_like_sql(&head)
        {
            return Err(not("it is neither in pg_dump's custom format nor SQL, nor one of these in gzip"));
        }
        if head.trim_ascii().is_empty() {
            return Err(not("it is empty"));
        }
        self.server = said(&head, b"-- Dumped from database version ");
        self.client = said(&head, b"-- Dumped by pg_dump version ");
        Ok(())
    }

    fn look_into_archive(&mut self, reader: &Reader<'_>) -> Result<(), DatabaseError> {
        let mut parser = Parser::new();
        let mut stream = self.open(reader)?;
        let mut buffer = vec![0; 64 << 10];
        let broken =
            |why: &dyn std::fmt::Display| DatabaseError::NotADump { path: self.path.clone(), why: why.to_string() };
        'all: loop {
            let read = stream.read(&mut buffer).map_err(unwrap_read_error)?;
            let mut input = &buffer[..read];
            while let Some(event) = parser.next(&mut input).map_err(|error| broken(&error))? {
                if !matches!(event, Event::Head(_)) {
                    break 'all;
                }
            }
            if read == 0 {
                break;
            }
        }
        let header = parser.header().ok_or_else(|| broken(&"it ends before its table of contents does"))?;
        self.server = version(&header.server_version);
        self.client = version(&header.dump_version);
        let entries = parser.entries();
        let of = |desc: &str| entries.iter().filter(move |entry| &*entry.desc == desc).collect::<Vec<&TocEntry>>();
        self.extensions = of("EXTENSION").into_iter().map(|entry| entry.tag.clone()).collect();
        self.has_settings = !of("DATABASE PROPERTIES").is_empty();
        let owners: BTreeSet<&str> =
            entries.iter().filter(|entry| &*entry.desc != "DATABASE").map(|entry| &*entry.owner).collect();
        self.owners = owners.into_iter().filter(|owner| !owner.is_empty()).map(str::to_owned).collect();
        Ok(())
    }
}

/// The content of a gzip file.
struct Gunzipped<R> {
    stream: MultiGzDecoder<R>,
    path: SafePath,
}

impl<R: io::BufRead> Read for Gunzipped<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.read(room).map_err(|error| match error.downcast::<ReadError>() {
            Ok(error) => io::Error::other(error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => error,
            // What is read was compared with its hash: the file was like that when it was backed up.
            Err(error) => io::Error::new(
                error.kind(),
                format!("{} is in gzip, and broken ({error}); it was like that when it was backed up", self.path),
            ),
        })
    }
}

/// What is said of the dump among a snapshot's problems; of a database that was captured also what is said of its source.
fn problems(all: &[Problem], dump: &SafePath, captured: bool) -> Vec<String> {
    let source = dump.parent().filter(|_| captured);
    let concerns = |problem: &&Problem| problem.path == *dump || source.as_ref() == Some(&problem.path);
    all.iter().filter(concerns).map(|problem| format!("{}: {}", problem.kind, problem.message)).collect()
}

/// The captured database that is meant.
fn choose<'d>(databases: &'d [Database], name: Option<&str>) -> Result<&'d Database, DatabaseError> {
    let names = || databases.iter().map(|database| database.name.clone()).collect();
    match (databases, name) {
        ([], _) => Err(DatabaseError::NoDatabaseStored),
        ([only], None) => Ok(only),
        (_, None) => Err(DatabaseError::SeveralStored(names())),
        (_, Some(name)) => {
            let found = databases.iter().find(|database| database.name == name);
            found.ok_or_else(|| DatabaseError::NoSuchDatabase { name: name.to_owned(), stored: names() })
        }
    }
}

fn head(stream: &mut dyn Read) -> Result<Vec<u8>, ReadError> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head).map_err(unwrap_read_error)?;
    Ok(head)
}

/// A script in another encoding than UTF-8 says so at its beginning, in ASCII.
fn looks_like_sql(head: &[u8]) -> bool {
    head.trim_ascii_start().starts_with(b"--") || head.windows(19).any(|part| part == b"SET client_encoding")
}

/// The version behind some words of a script's first lines.
fn said(head: &[u8], words: &[u8]) -> Option<Version> {
    let line = head.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(words))?;
    version(std::str::from_utf8(line).ok()?)
}

/// `15.14 (Debian …)`, `18beta1`, `9.6.24`.
pub(super) fn version(text: &str) -> Option<Version> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(|part| part.parse::<u32>().ok().filter(|part| *part < 100));
    let major = parts.next()??;
    let mut next = || parts.next().flatten().unwrap_or(0);
    Some(Version(if major >= 10 { major * 10_000 + next() } else { major * 10_000 + next() * 100 + next() }))
}

/// What a failed read of a dump means.
pub(super) fn of_reading(error: io::Error) -> DatabaseError {
    DatabaseError::Read(unwrap_read_error(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tree::problem::ProblemKind;

    #[test]
    fn problems_of_a_dump_are_its_own_and_those_of_its_source() {
        // A snapshot that lacked a table came back as if it were whole: nobody looked at its problems.
        let path = |text: &str| SafePath::parse(text.as_bytes()).unwrap();
        let problem = |at: &str| Problem { path: path(at), kind: ProblemKind::Denied, message: at.to_owned() };
        let all = ["db/wiki.dump", "db", "db/other.dump", "db2", "db/wiki.dump/x", ""].map(problem);
        let found = |captured| problems(&all, &path("db/wiki.dump"), captured);
        assert_eq!(found(true), ["permission denied: db/wiki.dump", "permission denied: db"]);
        assert_eq!(found(false), ["permission denied: db/wiki.dump"]);
    }

    #[test]
    fn versions_are_read_as_programs_say_them() {
        assert_eq!(version("15.14 (Debian 15.14-0+deb12u1)"), Some(Version(150_014)));
        assert_eq!(version("18beta1"), Some(Version(180_000)));
        assert_eq!(version("9.6.24"), Some(Version(90_624)));
        assert_eq!(version("x"), None);
        assert_eq!(version(""), None);
        let head = b"--\n-- PostgreSQL database dump\n--\n-- Dumped from database version 17.2\n-- Dumped by pg_dump version 18.1\n";
        assert_eq!(said(head, b"-- Dumped from database version "), Some(Version(170_002)));
        assert_eq!(said(head, b"-- Dumped by pg_dump version "), Some(Version(180_001)));
        assert_eq!(said(b"SELECT 1", b"-- Dumped by"), None);
    }
}
