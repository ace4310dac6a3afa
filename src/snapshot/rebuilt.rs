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

impl From<RebuildError<io::Error>> for FlowError {
    fn from(error: RebuildError<io::Error>) -> Self {
        match error {
            RebuildError::Output(error) => Self::Write(error),
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
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<'r> Flow<'r> {
    /// At the start of an entry's stream. What is rebuilt may come later than the bytes that it's made of, from these threads.
    pub fn of(reader: &'r Reader<'r>, entry: &Entry, crew: &Crew) -> Result<Self, ReadError> {
        let how = match &entry.recipe {
            None => How::Same(Box::default()),
            Some(recipe) => {
                let rebuilder = Rebuilder::with(StreamReader::of_recipe(reader, recipe)?, crew);
                How::Rebuilt(Box::new(Rebuilt { rebuilder, hasher: blake3::Hasher::new(), bytes: 0 }))
            }
        };
        Ok(Self { how, position: 0 })
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

impl Rebuilt<'_> {
    fn push(&mut self, bytes: &[u8], out: Output<'_>) -> Result<(), FlowError> {
        let Self { rebuilder, hasher, bytes: count } = self;
        let mut each = counted(hasher, count, out);
        Ok(rebuilder.push(bytes, &mut each)?)
    }

    fn finish(self, entry: &Entry, out: Output<'_>) -> Result<(), FlowError> {
        let Self { rebuilder, mut hasher, mut bytes } = self;
        rebuilder.finish(&mut counted(&mut hasher, &mut bytes, out))?;
        let is_right = Some(bytes) == entry.size && entry.hash.is_some_and(|hash| hasher.finalize() == hash);
        if is_right { Ok(()) } else { Err(ReadError::ContentHash.into()) }
    }
}

/// Passes bytes on, and counts and hashes them.
fn counted<'c>(
    hasher: &'c mut blake3::Hasher,
    count: &'c mut u64,
    out: Output<'c>,
) -> impl FnMut(&[u8]) -> io::Result<()> + 'c {
    move |given| {
        hasher.update(given);
        *count += given.len() as u64;
        out(given)
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
        let rebuilt = match Flow::of(reader, entry, &Crew::of_all_cores())?.how {
            How::Same(_) => None,
            How::Rebuilt(rebuilt) => Some((rebuilt, entry.clone())),
        };
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
