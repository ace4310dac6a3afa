//! Storing bytes of class data, whatever they are: containers, archives, others.

use crate::chunker::expand::Format;
use crate::chunker::script;
use crate::chunker::{Buffer, Chunks, Gear, Profile};
use crate::repo::writer::{Lane, WriteError, Writer};
use crate::snapshot::capture::ahead::Preview;
use crate::snapshot::capture::archive::{self, ArchiveStreamError};
use crate::snapshot::capture::captured::{Captured, Expanded};
use crate::snapshot::capture::content::PendingStream;
use crate::snapshot::capture::dump::FoundDump;
use crate::snapshot::capture::place::Place;
use crate::snapshot::capture::{expanded, script as scripts};
use crate::snapshot::monitor::{Monitor, Progress};
use std::io::{Cursor, Read};
use std::sync::{Mutex, PoisonError};

/// Bytes at the start of a stream that tell what it is.
pub(super) const SNIFF: usize = 4096;
/// What a dump in PostgreSQL's custom format begins with.
const ARCHIVE_MAGIC: &[u8] = b"PGDMP";

/// What is known of a stream before it's stored.
#[derive(Clone, Copy)]
pub(super) struct Expected<'k> {
    /// How long it is.
    pub(super) length: Option<u64>,
    /// The container that it is, if it's to be expanded.
    pub(super) format: Option<Format>,
    /// The container, if it was looked through.
    pub(super) preview: Option<&'k Preview<'k>>,
}

/// Stores bytes of class data.
pub(super) struct DataSink<'c> {
    pub(super) writer: &'c Writer,
    pub(super) gear: &'c Gear,
    pub(super) lane: &'c Mutex<Lane>,
    pub(super) monitor: &'c dyn Monitor,
}

impl DataSink<'_> {
    /// Stores what `reader` gives behind `head`, up to its end. `captured` learns what came of it.
    pub(super) fn store(
        &self,
        head: Vec<u8>,
        reader: impl Read,
        expected: Expected<'_>,
        captured: &mut Captured,
        buffer: &mut Buffer,
    ) -> Result<(), ArchiveStreamError> {
        let length = expected.length;
        if let Some(format) = expected.format {
            return self.container(&mut Cursor::new(head).chain(reader), (format, expected), captured);
        }
        if head.starts_with(ARCHIVE_MAGIC) {
            return self.archive(&mut Cursor::new(head).chain(reader), captured);
        }
        if script::is_script(&head) {
            return self.script(&mut Cursor::new(head).chain(reader), length, captured);
        }
        let profile = Profile::for_opaque(length);
        let mut references = Vec::new();
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        let mut chunks = Chunks::new(self.gear, profile, Cursor::new(head).chain(reader), buffer);
        while let Some(chunk) = chunks.next_chunk().map_err(ArchiveStreamError::Read)? {
            if self.monitor.interrupted() {
                return Err(WriteError::Interrupted.into());
            }
            hasher.update(chunk);
            // For each chunk by itself: a checkpoint closes the open frame, and can't wait until a large file ends.
            self.lane.lock().unwrap_or_else(PoisonError::into_inner).put(chunk, &mut references)?;
            bytes += chunk.len() as u64;
            Progress::add(&self.monitor.progress().bytes_done, chunk.len() as u64);
        }
        captured.set_stream(references, bytes, *hasher.finalize().as_bytes());
        Ok(())
    }

    /// A container, whose compression is undone.
    fn container(
        &self,
        reader: &mut dyn Read,
        container: (Format, Expected<'_>),
        captured: &mut Captured,
    ) -> Result<(), ArchiveStreamError> {
        let places = (self.writer, self.gear, self.lane);
        let stored = expanded::store(reader, container, places, self.monitor)?;
        let PendingStream { references, bytes, hash } = stored.stream;
        captured.set_stream(references, bytes, hash);
        captured.size = stored.bytes;
        captured.expanded =
            stored.recipe.map(|recipe| Expanded { recipe, hash: stored.hash, is_whole: stored.outcome.is_whole() });
        // A tar that is stored as it is isn't a container that was left: it was never compressed.
        let is_one = captured.expanded.is_some() || stored.outcome.formats.first() != Some(&Format::Tar);
        captured.outcome = is_one.then_some(stored.outcome);
        captured.dump = stored.dump;
        Ok(())
    }

    /// A dump that somebody made, which is cut as a live one is.
    fn archive(&self, reader: &mut dyn Read, captured: &mut Captured) -> Result<(), ArchiveStreamError> {
        let stored = archive::store(reader, self.writer, self.gear, self.monitor)?;
        let PendingStream { references, bytes, hash } = stored.stream;
        captured.set_stream(references, bytes, hash);
        captured.dump = Some(FoundDump::archive(stored.contents, stored.sha256));
        Ok(())
    }

    /// A dump as plain text: cut finely, since a changed row is small.
    fn script(
        &self,
        reader: &mut dyn Read,
        length: Option<u64>,
        captured: &mut Captured,
    ) -> Result<(), ArchiveStreamError> {
        let place = Place::of(length, self.writer, self.lane);
        let stored = scripts::store(reader, (self.gear, place), self.monitor)?;
        let PendingStream { references, bytes, hash } = stored.stream;
        captured.set_stream(references, bytes, hash);
        captured.dump = Some(FoundDump::script(stored.contents, stored.sha256));
        Ok(())
    }
}
