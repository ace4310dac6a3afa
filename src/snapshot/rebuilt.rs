//! From the streams of files to the files' bytes: what was expanded is rebuilt on the way, and all is compared with the content hash.

use crate::chunker::expand::{Crew, RebuildError, Rebuilder, RecipeError};
use crate::repo::error::ReadError;
use crate::repo::pack::frame::OpenFrame;
use crate::repo::reader::Reader;
use crate::snapshot::stream::{ContentHasher, StreamReader, unwrap_read_error};
use crate::snapshot::tree::entry::Entry;
use std::io::{self, Read};

/// Where the bytes of a file go.
pub type Output<'o> = &'o mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Why a file's bytes can't be had, or passed on.
#[derive(Debug)]
pub enum FlowError {
    /// They can't be read.
    Read(ReadError),
    /// They can't be written.
    Write(io::Error),
}

impl From<ReadError> for FlowError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<RebuildError<Self>> for FlowError {
    fn from(error: RebuildError<Self>) -> Self {
        match error {
            RebuildError::Output(error) => error,
            RebuildError::Recipe(RecipeError::Read(error)) => Self::Read(unwrap_read_error(error)),
            RebuildError::Recipe(error) => Self::Read(ReadError::Recipe { why: error.to_string() }),
        }
    }
}

/// Takes the stream of a file, in order, and gives the file.
pub struct Flow<'r> {
    how: How<'r>,
    /// Bytes of the stream so far.
    position: u64,
}

enum How<'r> {
    /// The stream is the file.
    Same(Box<ContentHasher>),
    /// The file is rebuilt.
    Rebuilt(Box<Rebuilt<'r>>),
}

struct Rebuilt<'r> {
    rebuilder: Rebuilder<StreamReader<'r>>,
    made: Made,
}

/// What was rebuilt so far.
struct Made {
    hasher: blake3::Hasher,
    bytes: u64,
    /// No more than this is the file.
    size: u64,
}

impl<'r> Flow<'r> {
    /// At the start of an entry's stream. What is rebuilt may come later than the bytes that it's made of, from these threads.
    pub fn of(reader: &'r Reader<'r>, entry: &Entry, crew: &Crew) -> Result<Self, ReadError> {
        let rebuilt = Rebuilt::of(reader, entry, |recipe| Rebuilder::with(recipe, crew))?;
        Ok(Self { how: rebuilt.map_or_else(|| How::Same(Box::default()), How::Rebuilt), position: 0 })
    }

    /// Gives what there is, because nothing more comes.
    pub fn settle(&mut self, out: Output<'_>) -> Result<(), FlowError> {
        match &mut self.how {
            How::Same(_) => Ok(()),
            How::Rebuilt(rebuilt) => rebuilt.settle(out),
        }
    }

    /// Takes the next bytes of the stream, which come from `frame`.
    pub fn push(&mut self, frame: &OpenFrame, bytes: &[u8], out: Output<'_>) -> Result<(), FlowError> {
        self.position += bytes.len() as u64;
        match &mut self.how {
            How::Same(hasher) => {
                hasher.update(frame, bytes);
                out(bytes).map_err(FlowError::Write)
            }
            How::Rebuilt(rebuilt) => rebuilt.push(bytes, out),
        }
    }

    /// Ends the stream. Fails unless the file is the one that was stored.
    pub fn finish(self, entry: &Entry, out: Output<'_>) -> Result<(), FlowError> {
        if Some(self.position) != entry.stream_len() {
            return Err(ReadError::ContentHash.into());
        }
        match self.how {
            How::Same(hasher) => Ok((*hasher).finish(entry.hash)?),
            How::Rebuilt(rebuilt) => rebuilt.finish(entry, out),
        }
    }
}

impl<'r> Rebuilt<'r> {
    /// Of an entry that is rebuilt by `with`, given the recipe.
    fn of(
        reader: &'r Reader<'r>,
        entry: &Entry,
        with: impl FnOnce(StreamReader<'r>) -> Rebuilder<StreamReader<'r>>,
    ) -> Result<Option<Box<Self>>, ReadError> {
        let Some(recipe) = &entry.recipe else { return Ok(None) };
        let rebuilder = with(StreamReader::of_recipe(reader, recipe)?);
        let made = Made { hasher: blake3::Hasher::new(), bytes: 0, size: entry.size.unwrap_or(0) };
        Ok(Some(Box::new(Self { rebuilder, made })))
    }

    fn push(&mut self, bytes: &[u8], out: Output<'_>) -> Result<(), FlowError> {
        let Self { rebuilder, made } = self;
        Ok(rebuilder.push(bytes, &mut |given| made.pass_on(given, out))?)
    }

    fn settle(&mut self, out: Output<'_>) -> Result<(), FlowError> {
        let Self { rebuilder, made } = self;
        Ok(rebuilder.settle(&mut |given| made.pass_on(given, out))?)
    }

    fn finish(self, entry: &Entry, out: Output<'_>) -> Result<(), FlowError> {
        let Self { rebuilder, mut made } = self;
        rebuilder.finish(&mut |given| made.pass_on(given, out))?;
        let is_right = Some(made.bytes) == entry.size && entry.hash.is_some_and(|hash| made.hasher.finalize() == hash);
        if is_right { Ok(()) } else { Err(ReadError::ContentHash.into()) }
    }
}

impl Made {
    /// Passes bytes on, and counts and hashes them. A recipe of a few bytes can be for more than any disk holds, so no more than the file has are passed on.
    fn pass_on(&mut self, given: &[u8], out: Output<'_>) -> Result<(), FlowError> {
        self.bytes += given.len() as u64;
        if self.bytes > self.size {
            return Err(ReadError::ContentHash.into());
        }
        self.hasher.update(given);
        out(given).map_err(FlowError::Write)
    }
}

/// Reads a file. Its end is only reached if all of it is what was stored.
pub struct FileReader<'r> {
    stream: StreamReader<'r>,
    /// What makes the file of the stream; nothing if they are the same, or once it has ended.
    rebuilt: Option<(Box<Rebuilt<'r>>, Entry)>,
    /// Bytes of the file that weren't asked for yet.
    ready: Vec<u8>,
    at: usize,
    room: Vec<u8>,
}

/// Bytes of a stream that are rebuilt at once.
const STEP: usize = 64 << 10;

impl<'r> FileReader<'r> {
    /// The file of an entry.
    pub fn new(reader: &'r Reader<'r>, entry: &Entry) -> Result<Self, ReadError> {
        // By one thread: what is before a place that can't be read comes out before the error does.
        let rebuilt = Rebuilt::of(reader, entry, Rebuilder::new)?.map(|rebuilt| (rebuilt, entry.clone()));
        Ok(Self { stream: StreamReader::of(reader, entry)?, rebuilt, ready: Vec::new(), at: 0, room: Vec::new() })
    }

    /// Rebuilds until something is ready or the file ends.
    fn advance(&mut self) -> Result<(), FlowError> {
        self.ready.clear();
        self.at = 0;
        self.room.resize(STEP, 0);
        while self.ready.is_empty() {
            let Some((rebuilt, _)) = &mut self.rebuilt else { return Ok(()) };
            let ready = &mut self.ready;
            let mut out = |given: &[u8]| {
                ready.extend_from_slice(given);
                Ok(())
            };
            let read = self.stream.read(&mut self.room).map_err(|error| FlowError::Read(unwrap_read_error(error)))?;
            if read > 0 {
                rebuilt.push(&self.room[..read], &mut out)?;
            } else if let Some((rebuilt, entry)) = self.rebuilt.take() {
                rebuilt.finish(&entry, &mut out)?;
            }
        }
        Ok(())
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            if self.rebuilt.is_none() && self.room.is_empty() {
                return self.stream.read(room);
            }
            self.advance().map_err(|error| match error {
                FlowError::Read(error) => io::Error::other(error),
                FlowError::Write(error) => error,
            })?;
        }
        let ready = &self.ready[self.at..];
        let taken = ready.len().min(room.len());
        room[..taken].copy_from_slice(&ready[..taken]);
        self.at += taken;
        Ok(taken)
    }
}
