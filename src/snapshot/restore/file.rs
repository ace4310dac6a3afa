//! Writing files: pieces of their streams from windows, the hash compared before the name is given.

use crate::repo::error::ReadError;
use crate::repo::pack::frame::OpenFrame;
use crate::repo::reader::Fetched;
use crate::snapshot::monitor::Progress;
use crate::snapshot::restore::window::{Piece, Window};
use crate::snapshot::restore::{Restore, lock};
use crate::snapshot::stream::{self, ContentHasher};
use crate::snapshot::target::attributes::Subject;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::writer::NewFile;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use crate::snapshot::tree::reference::{Extent, Reference};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Why a file can't be restored.
#[derive(Debug)]
pub(super) enum FileError {
    /// Its content can't be read.
    Read(ReadError),
    /// It can't be written.
    Write(io::Error),
}

impl From<ReadError> for FileError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// A file that is being restored.
pub(super) struct Output<'r> {
    restore: &'r Restore<'r>,
    parent: Arc<Directory>,
    path: SafePath,
    entry: Entry,
    state: Mutex<State>,
}

/// How far a file is.
enum State {
    /// Nothing was written.
    New,
    /// Some was.
    Open(Box<Writing>),
    /// It failed, and that was reported.
    Failed,
    /// It's in its place.
    Done,
}

/// A file without a name.
struct Writing {
    file: NewFile,
    hasher: ContentHasher,
    /// Bytes of the stream that were written.
    position: u64,
}

impl<'r> Output<'r> {
    pub(super) fn new(restore: &'r Restore<'r>, parent: Arc<Directory>, path: SafePath, entry: Entry) -> Self {
        Self { restore, parent, path, entry, state: Mutex::new(State::New) }
    }

    /// Writes one piece.
    fn write(&self, piece: &Piece<Self>, fetched: &Fetched) {
        let mut state = lock(&self.state);
        let writing = match std::mem::replace(&mut *state, State::Failed) {
            State::New => match self.parent.new_file(&self.entry) {
                Ok(file) => Box::new(Writing { file, hasher: ContentHasher::new(), position: 0 }),
                Err(error) => return self.restore.failed(&self.path, "create", &error),
            },
            State::Open(writing) => writing,
            State::Failed | State::Done => return,
        };
        match self.go_on(writing, piece, fetched) {
            Ok(next) => *state = next,
            Err(FileError::Read(error)) => {
                self.restore.problem(&self.path, ProblemKind::Unreadable, error.to_string());
            }
            Err(FileError::Write(error)) => self.restore.failed(&self.path, "write", &error),
        }
    }

    fn go_on(&self, mut writing: Box<Writing>, piece: &Piece<Self>, fetched: &Fetched) -> Result<State, FileError> {
        let class = stream::class_of(&self.entry);
        for reference in &piece.references {
            let frame = frame_of(fetched, reference)?;
            let bytes = stream::referred(frame, reference, class)?;
            writing.hasher.update(frame, bytes);
            writing.file.write_at(writing.position, bytes).map_err(FileError::Write)?;
            writing.position += bytes.len() as u64;
            Progress::add(&self.restore.monitor.progress().bytes_done, bytes.len() as u64);
        }
        if !piece.is_last {
            return Ok(State::Open(writing));
        }
        let Writing { mut file, hasher, position } = *writing;
        if let Some(bytes) = &self.entry.inline {
            file.write_at(0, bytes).map_err(FileError::Write)?;
        } else {
            hasher.finish(self.entry.hash)?;
            if Some(position) != self.entry.stream_len() {
                return Err(ReadError::ContentHash.into());
            }
        }
        file.complete().map_err(FileError::Write)?;
        let placed = file.place(&self.entry.name).map_err(FileError::Write)?;
        self.restore.apply(Subject::Open(placed.as_fd()), &self.path, &self.entry);
        self.restore.file_done(&self.path, &self.entry);
        Ok(State::Done)
    }
}

/// The fetched frame of a reference.
pub(super) fn frame_of<'f>(fetched: &'f Fetched, reference: &Reference) -> Result<&'f OpenFrame, ReadError> {
    let id = reference.frame;
    match (fetched.frames.get(&id), fetched.lost.get(&id)) {
        (Some(frame), _) => Ok(frame),
        (None, Some(why)) => Err(ReadError::Lost { why: why.clone() }),
        (None, None) => Err(ReadError::Missing { frame: id }),
    }
}

/// Writes all pieces of a window, several at once.
pub(super) fn write_window(window: Window<Output<'_>>) {
    let Window { pieces, fetched } = window;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            piece.output.write(piece, &fetched);
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(pieces.len());
    if threads <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
}

/// Puts the holes of a sparse file back as zeros, for outputs that can't seek.
pub(super) struct Holes {
    extents: Vec<Extent>,
    current: usize,
    /// Bytes of the current extent that were written.
    done: u64,
    /// Bytes written, zeros included.
    position: u64,
}

impl Holes {
    pub(super) fn new(entry: &Entry) -> Self {
        let whole = Extent { offset: 0, length: entry.size.unwrap_or(0) };
        let extents = entry.extents.clone().unwrap_or_else(|| vec![whole]);
        Self { extents, current: 0, done: 0, position: 0 }
    }

    /// Writes the next bytes of the stream.
    pub(super) fn write(&mut self, mut bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        while !bytes.is_empty() {
            let extent = *self.extents.get(self.current).ok_or(io::ErrorKind::InvalidData)?;
            self.zeros_up_to(extent.offset + self.done, out)?;
            let room = usize::try_from(extent.length - self.done).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            out.write_all(now)?;
            self.done += now.len() as u64;
            self.position += now.len() as u64;
            if self.done == extent.length {
                self.current += 1;
                self.done = 0;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes the hole at the end, if there is one.
    pub(super) fn finish(mut self, size: u64, out: &mut dyn Write) -> io::Result<()> {
        self.zeros_up_to(size, out)
    }

    fn zeros_up_to(&mut self, position: u64, out: &mut dyn Write) -> io::Result<()> {
        let gap = position.saturating_sub(self.position);
        io::copy(&mut io::Read::take(io::repeat(0), gap), out)?;
        self.position += gap;
        Ok(())
    }
}
