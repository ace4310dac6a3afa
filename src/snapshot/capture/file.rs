//! Capturing one regular file: read, cut, put; again if it changed meanwhile.

use crate::chunker::expand::{self, Format, Left, TAIL};
use crate::chunker::{Buffer, Gear};
use crate::repo::format::MAX_INLINE_FILE;
use crate::repo::writer::{Lane, WriteError, Writer};
use crate::snapshot::capture::ahead::{Knowledge, Preview, SHORTEST_FILE};
use crate::snapshot::capture::archive::{self, ArchiveStreamError};
use crate::snapshot::capture::captured::{Before, Captured, FileSlot, Known, Origin, Outcome};
use crate::snapshot::capture::data::{DataSink, Expected, SNIFF};
use crate::snapshot::capture::secret::SecretSink;
use crate::snapshot::capture::sidecar;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::reader::{FileReader, Finished, OpenError};
use crate::snapshot::source::variables;
use crate::snapshot::tree::entry::Xattr;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// How often a file that changes while it's read is read again.
const MAX_READS: u32 = 3;
/// Bytes at the start of a secret file in which names of variables are looked for.
const MAX_NAMED: usize = 4 << 20;

/// A file to capture.
pub struct FileJob {
    /// Its directory, kept open.
    pub directory: Arc<OwnedFd>,
    /// How to open it there.
    pub at: Vec<u8>,
    /// Its path in the snapshot.
    pub path: SafePath,
    /// What it was when it was found.
    pub metadata: Metadata,
    /// Whether it's marked secret.
    pub is_secret: bool,
    /// Whether it may be expanded.
    pub expand: bool,
    /// Whether it describes a dump beside it.
    pub is_sidecar: bool,
    /// What is known of it from before.
    pub before: Before,
    /// What may have the same bytes.
    pub(super) known: Option<Arc<Known>>,
    /// Where the outcome goes.
    pub slot: Arc<FileSlot>,
}

/// What a thread that captures files works with.
pub struct FileReaderThread<'c> {
    /// Where chunks go.
    pub writer: &'c Writer,
    /// The boundaries.
    pub gear: &'c Gear,
    /// This thread's lane of class data.
    pub data: &'c Mutex<Lane>,
    /// What is known of streams in containers.
    pub(super) knowledge: &'c Knowledge,
    /// The lane of class secret, shared.
    pub secret: &'c Mutex<Lane>,
    /// Where problems go.
    pub problems: &'c dyn Fn(Problem),
    /// Who wants to know.
    pub monitor: &'c dyn Monitor,
}

/// How a file is read.
#[derive(Clone, Copy)]
struct Attempt {
    /// Whether what is known of it from a look is believed; whether rightly so turns out while it's read.
    trusting: bool,
    /// Whether it was tried to expand it, and what came of it didn't fit together.
    misfit: bool,
}

/// What happened to one reading.
enum Reading {
    Done(Box<Captured>),
    Changed(Box<Captured>),
}

impl FileReaderThread<'_> {
    /// Captures a file. Only errors of the repository are errors; the file's are problems.
    pub fn capture(&self, job: &FileJob, buffer: &mut Buffer) -> Result<(), WriteError> {
        let outcome = match self.read_until_stable(job, buffer) {
            Ok(captured) => {
                if captured.changed {
                    let message = format!("it changed during each of {MAX_READS} readings; the last one is kept");
                    self.problem(job, ProblemKind::Changed, message);
                }
                Outcome::Captured(captured)
            }
            Err(FileError::Repository(error)) => return Err(error),
            Err(FileError::Source { kind, message }) => {
                self.problem(job, kind, message);
                Outcome::Lost
            }
            Err(FileError::Misfit(message)) => {
                self.problem(job, ProblemKind::Other, message);
                Outcome::Lost
            }
            Err(FileError::Replaced) => {
                self.problem(job, ProblemKind::Changed, OpenError::Replaced.to_string());
                Outcome::Lost
            }
        };
        // The slot is set once, by this thread alone.
        let _ = job.slot.set(outcome);
        Ok(())
    }

    fn problem(&self, job: &FileJob, kind: ProblemKind, message: String) {
        (self.problems)(Problem { path: job.path.clone(), kind, message });
    }

    fn read_until_stable(&self, job: &FileJob, buffer: &mut Buffer) -> Result<Box<Captured>, FileError> {
        let mut metadata = job.metadata;
        let (mut reads, mut misfit) = (1, false);
        loop {
            match self.read(job, metadata, (Attempt { trusting: reads == 1, misfit }, buffer)) {
                Ok(Reading::Done(captured)) => return Ok(captured),
                Ok(Reading::Changed(captured)) if reads == MAX_READS => return Ok(captured),
                Ok(Reading::Changed(_)) => {}
                // That's how programs save a file: the new one is as good. But not if other names of the old one wait for the content that is read here.
                Err(FileError::Replaced) if reads < MAX_READS && job.metadata.links == 1 => {}
                // It's stored as it is.
                Err(FileError::Misfit(_)) if !misfit => (misfit, reads) = (true, reads - 1),
                Err(error) => return Err(error),
            }
            reads += 1;
            metadata = Metadata::of(job.directory.as_fd(), &job.at).map_err(|error| FileError::of("look", &error))?;
            if job.metadata.links != 1 && metadata.identity() != job.metadata.identity() {
                return Err(FileError::Replaced);
            }
        }
    }

    /// The extended attributes of a file that isn't any more as it was found, such as one that took its place; nothing if it is.
    fn xattrs_of_other(&self, job: &FileJob, metadata: &Metadata, reader: &FileReader) -> Option<Vec<Xattr>> {
        // Also the same file may have lost an ACL before it got what others must not read.
        if metadata.identity() == job.metadata.identity() && metadata.ctime == job.metadata.ctime {
            return None;
        }
        let (xattrs, faults) = reader.xattrs();
        for fault in faults {
            self.problem(job, fault.kind, fault.message);
        }
        Some(xattrs)
    }

    /// Reads a file once.
    fn read(
        &self,
        job: &FileJob,
        metadata: Metadata,
        (attempt, buffer): (Attempt, &mut Buffer),
    ) -> Result<Reading, FileError> {
        let read_at = crate::snapshot::backup::now();
        let mut reader = FileReader::open(job.directory.as_fd(), &job.at, &metadata)?;
        let mut is_as_it_was = true;
        let replaced = self.xattrs_of_other(job, &metadata, &reader);
        let mut captured = Captured {
            inline: None,
            stream: None,
            known: None,
            expanded: None,
            size: metadata.size,
            extents: None,
            path: job.path.clone(),
            before: job.before.clone(),
            origin: Some(Origin { at: job.at.clone(), metadata, read_at, replaced }),
            changed: false,
            names: Vec::new(),
            is_secret: job.is_secret,
            outcome: None,
            dump: None,
            sidecar: None,
            is_sidecar: job.is_sidecar,
        };
        if job.is_secret {
            self.read_secret(&mut reader, &mut captured)?;
        } else if reader.stream_len() <= MAX_INLINE_FILE as u64 && reader.extents().is_none() {
            let mut bytes = Vec::with_capacity(MAX_INLINE_FILE);
            reader.read_to_end(&mut bytes).map_err(|error| FileError::of("read", &error))?;
            captured.inline = Some(bytes);
        } else {
            captured.known = self.known(&mut reader, job)?;
            if captured.known.is_none() {
                if job.known.is_some() {
                    reader = FileReader::open(job.directory.as_fd(), &job.at, &metadata)?;
                }
                is_as_it_was = self.read_data(&mut reader, job, &mut captured, (attempt, buffer))?;
            }
        }
        let Finished { size, extents, changed } = reader.finish().map_err(|error| FileError::of("look", &error))?;
        let changed = changed || !is_as_it_was;
        (captured.size, captured.extents, captured.changed) = (size, extents, changed);
        Ok(if changed { Reading::Changed(Box::new(captured)) } else { Reading::Done(Box::new(captured)) })
    }

    /// What is stored of the same bytes, if that's so: reading them is all that it takes to know, while undoing compression again takes as long as compressing.
    fn known(&self, reader: &mut FileReader, job: &FileJob) -> Result<Option<Arc<Known>>, FileError> {
        let Some(known) = &job.known else { return Ok(None) };
        if reader.extents().is_some() || known.entry.size != Some(reader.stream_len()) {
            return Ok(None);
        }
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        while let Some(piece) = archive::next_piece(reader, self.monitor)? {
            hasher.update(&piece);
            bytes += piece.len() as u64;
        }
        let is_it = known.entry.hash.as_ref() == Some(hasher.finalize().as_bytes());
        if !is_it {
            Progress::take_back(&self.monitor.progress().bytes_done, bytes);
        }
        Ok(is_it.then(|| Arc::clone(known)))
    }

    /// Reads a file of class data, as large as it may be. Whether it was what it had been when it was looked through.
    fn read_data(
        &self,
        reader: &mut FileReader,
        job: &FileJob,
        captured: &mut Captured,
        (attempt, buffer): (Attempt, &mut Buffer),
    ) -> Result<bool, FileError> {
        let length = reader.stream_len();
        let mut head = Vec::with_capacity(SNIFF);
        let sniff = if job.is_sidecar { sidecar::MAX_BYTES } else { SNIFF as u64 };
        reader.by_ref().take(sniff).read_to_end(&mut head).map_err(|error| FileError::of("read", &error))?;
        if job.is_sidecar {
            captured.sidecar = sidecar::read(&job.path, &head);
        }
        // The holes of a sparse file aren't in its stream: what is read there isn't the container.
        let format = if job.expand && reader.extents().is_none() { Self::format(&head, reader) } else { None };
        let sink = DataSink { writer: self.writer, gear: self.gear, lane: self.data, monitor: self.monitor };
        if let Some(format) = format.filter(|_| attempt.misfit) {
            sink.store(head, reader, Expected { length: Some(length), format: None, preview: None }, captured, buffer)?;
            captured.outcome =
                Some(expand::Outcome { formats: vec![format], left: [Left::Misfit].into(), ..Default::default() });
            return Ok(true);
        }
        let preview = format.filter(|_| attempt.trusting).and_then(|format| self.look(reader, (length, format)));
        let expected = Expected { length: Some(length), format, preview: preview.as_ref() };
        let stored = sink.store(head, reader, expected, captured, buffer);
        let Some(preview) = preview else { return stored.map(|()| true).map_err(FileError::from) };
        let known = preview.end();
        // What was believed and wasn't so fits nothing.
        if known.is_some() || !matches!(stored, Err(ArchiveStreamError::Misfit(_))) {
            stored?;
        }
        if let (Some(known), Some(outcome)) = (known, &mut captured.outcome) {
            outcome.known = known;
        }
        Ok(known.is_some())
    }

    /// Looks through a container, if that is worth it. What can't be read is found when it's its turn.
    fn look(&self, reader: &FileReader, (length, format): (u64, Format)) -> Option<Preview<'_>> {
        if length < SHORTEST_FILE || matches!(format, Format::Gzip | Format::Tar) {
            return None;
        }
        self.knowledge.look(reader.beside().ok()?, (length, format), self.monitor).ok().flatten()
    }

    /// The container that a file is, which its first bytes tell, or its last ones.
    fn format(head: &[u8], reader: &FileReader) -> Option<Format> {
        let format = Format::of(head);
        if format.is_some() || !Format::may_be_behind(head) {
            return format;
        }
        // If the end can't be read, or is gone by now, that is found when it's its turn.
        Format::behind(head, &reader.tail(TAIL).unwrap_or_default())
    }

    /// Reads a file of class secret. It's mostly small, but somebody may have marked any file: one chunk of it is in memory at a time, and for the names of variables its start.
    fn read_secret(&self, reader: &mut FileReader, captured: &mut Captured) -> Result<(), FileError> {
        // Of its full size from the start: growing would leave copies behind.
        let start = usize::try_from(reader.stream_len()).map_or(MAX_NAMED, |length| length.min(MAX_NAMED));
        let mut named = Zeroizing::new(Vec::with_capacity(start));
        let mut look = |part: &[u8]| {
            let room = start - named.len();
            named.extend_from_slice(&part[..part.len().min(room)]);
        };
        let sink = SecretSink { writer: self.writer, lane: self.secret, monitor: self.monitor };
        sink.store(reader, &mut look, captured)?;
        captured.names = variables::variable_names(&named);
        Ok(())
    }
}

/// Why a file wasn't captured.
enum FileError {
    /// The repository's fault: ends the run.
    Repository(WriteError),
    /// The file's fault: a problem of the snapshot.
    Source { kind: ProblemKind, message: String },
    /// Another file is in its place, or something else is.
    Replaced,
    /// What was made of it doesn't fit together: it's to be read again, and not expanded.
    Misfit(String),
}

impl FileError {
    fn of(what: &str, error: &std::io::Error) -> Self {
        Self::Source { kind: ProblemKind::of(error), message: format!("{what}: {error}") }
    }
}

impl From<ArchiveStreamError> for FileError {
    fn from(error: ArchiveStreamError) -> Self {
        match error {
            ArchiveStreamError::Repository(error) => Self::Repository(error),
            ArchiveStreamError::Read(error) => Self::of("read", &error),
            ArchiveStreamError::Misfit(_) => Self::Misfit(error.to_string()),
        }
    }
}

impl From<WriteError> for FileError {
    fn from(error: WriteError) -> Self {
        Self::Repository(error)
    }
}

impl From<OpenError> for FileError {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Replaced => Self::Replaced,
            OpenError::Open(cause) => Self::Source { kind: ProblemKind::of(cause), message: error.to_string() },
        }
    }
}
