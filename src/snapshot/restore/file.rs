//! Writing files: pieces of their streams from windows, the hash compared before the name is given.

use crate::repo::error::ReadError;
use crate::repo::pack::frame::OpenFrame;
use crate::repo::reader::{Fetched, Reader};
use crate::snapshot::monitor::Progress;
use crate::snapshot::rebuilt::{Flow, FlowError};
use crate::snapshot::restore::overwrite::{NOT_MINE, Placement, is_part_of};
use crate::snapshot::restore::session::{Session, lock};
use crate::snapshot::restore::window::{Piece, Window};
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::stream;
use crate::snapshot::target::attributes::Subject;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::writer::NewFile;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use crate::snapshot::tree::reference::Reference;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A file that is being restored.
pub(super) struct Output<'r> {
    session: &'r Session<'r>,
    reader: &'r Reader<'r>,
    parent: Arc<Directory>,
    path: SafePath,
    /// The path below the target.
    below: SafePath,
    entry: Entry,
    placement: Placement,
    state: Mutex<State<'r>>,
}

/// How far a file is.
enum State<'r> {
    /// Nothing was written.
    New,
    /// Some was.
    Open(Box<Writing<'r>>),
    /// It failed, and that was reported.
    Failed,
    /// It's in its place.
    Done,
}

/// A file without a name.
struct Writing<'r> {
    file: NewFile,
    flow: Flow<'r>,
    /// Bytes of the file that were written; those of the extents of a sparse one.
    position: u64,
}

impl<'r> Output<'r> {
    pub(super) fn new(
        session: &'r Session<'r>,
        reader: &'r Reader<'r>,
        parent: Arc<Directory>,
        (path, below): (SafePath, SafePath),
        entry: Entry,
        placement: Placement,
    ) -> Self {
        Self { session, reader, parent, path, below, entry, placement, state: Mutex::new(State::New) }
    }

    /// Writes one piece.
    fn write(&self, piece: &Piece<Self>, fetched: &Fetched) {
        let mut state = lock(&self.state);
        if self.session.is_full() {
            *state = State::Failed;
        }
        let writing = match std::mem::replace(&mut *state, State::Failed) {
            State::New => {
                match (self.parent.new_file(&self.entry), Flow::of(self.reader, &self.entry, &self.session.crew)) {
                    (Ok(file), Ok(flow)) => Box::new(Writing { file, flow, position: 0 }),
                    (Err(error), _) => return self.session.failed(&self.path, "create", &error),
                    (_, Err(error)) => {
                        self.session.unreadable(&self.path, &error);
                        return;
                    }
                }
            }
            State::Open(writing) => writing,
            State::Failed | State::Done => return,
        };
        match self.go_on(writing, piece, fetched) {
            Ok(next) => *state = next,
            Err(FlowError::Read(error)) => {
                self.session.unreadable(&self.path, &error);
            }
            Err(FlowError::Write(error)) => self.session.failed(&self.path, "write", &error),
        }
    }

    fn go_on(
        &self,
        mut writing: Box<Writing<'r>>,
        piece: &Piece<Self>,
        fetched: &Fetched,
    ) -> Result<State<'r>, FlowError> {
        let class = stream::class_of(&self.entry);
        for reference in &piece.references {
            let frame = frame_of(fetched, reference)?;
            let bytes = stream::referred(frame, reference, class)?;
            let Writing { file, flow, position } = &mut *writing;
            flow.push(frame, bytes, &mut |given| self.append(file, position, given))?;
        }
        if !piece.is_last {
            return Ok(State::Open(writing));
        }
        let Writing { mut file, flow, mut position } = *writing;
        if let Some(bytes) = &self.entry.inline {
            file.write_at(0, bytes).map_err(FlowError::Write)?;
        } else {
            flow.finish(&self.entry, &mut |given| self.append(&mut file, &mut position, given))?;
        }
        file.complete().map_err(FlowError::Write)?;
        if self.placement == Placement::OverPart {
            let found = self.parent.pin(&self.entry.name).and_then(|found| found.open_file());
            if !found
                .and_then(|found| is_part_of(&found, file.file(), self.session.monitor))
                .map_err(FlowError::Write)?
            {
                self.session.problem(&self.path, ProblemKind::Other, NOT_MINE.to_owned());
                return Ok(State::Failed);
            }
        }
        self.place(file).map_err(FlowError::Write)?;
        Ok(State::Done)
    }

    /// Writes the next bytes.
    fn append(&self, file: &mut NewFile, position: &mut u64, bytes: &[u8]) -> io::Result<()> {
        file.write_at(*position, bytes)?;
        *position += bytes.len() as u64;
        Progress::add(&self.session.monitor.progress().bytes_done, bytes.len() as u64);
        Ok(())
    }

    /// Gives the file its name, the last thing of all: what has a name is whole, attributes included.
    fn place(&self, file: NewFile) -> io::Result<()> {
        self.session.apply(Subject::Open(file.as_fd()), &self.path, &self.entry);
        let name = &self.entry.name;
        let placed = match self.placement {
            Placement::New => file.place(name)?,
            Placement::Over | Placement::OverPart => file.place_over(name)?,
            Placement::InsteadOfDirectory => {
                self.parent.remove_directory(name)?;
                file.place(name)?
            }
        };
        let identity = Metadata::of_open(&placed).map(|metadata| metadata.identity());
        self.session.remember(&self.below, &self.entry, identity);
        self.session.restored(&self.path, &self.entry, self.placement != Placement::New);
        Ok(())
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
