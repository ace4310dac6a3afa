//! Writing one file's bytes to an output.

use crate::chunker::expand::Crew;
use crate::repo::error::ReadError;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::browse;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::rebuilt::Flow;
use crate::snapshot::restore::RestoreError;
use crate::snapshot::restore::file::frame_of;
use crate::snapshot::restore::window::{self, Window};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::stream;
use crate::snapshot::tree::entry::{Content, Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::reference::Extent;
use std::io::{self, Write};

/// Writes a file's bytes, holes as zeros. Gives their number.
///
/// The content hash is compared at the end; an error then means that what was written isn't what was stored.
pub fn dump(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: &SafePath,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<u64, RestoreError> {
    let reader = browse::reader(repo)?;
    let entry = browse::entry_at(&reader, snapshot, path)?;
    if entry.kind != EntryType::File {
        return Err(RestoreError::NotAFile(path.clone()));
    }
    let size = entry.size.unwrap_or(0);
    Progress::add(&monitor.progress().bytes_total, size);
    if let Some(Content::Inline(bytes)) = entry.content() {
        out.write_all(bytes).map_err(RestoreError::Output)?;
        return Ok(size);
    }
    let references = stream::references(&reader, &entry)?;
    let class = stream::class_of(&entry);
    let mut flow = Flow::of(&reader, &entry, &Crew::of_all_cores())?;
    let mut sparse = Holes::new(&entry);
    let mut give = |given: &[u8]| {
        sparse.write(given, out)?;
        Progress::add(&monitor.progress().bytes_done, given.len() as u64);
        Ok(())
    };
    let write = |window: Window<()>| -> Result<(), RestoreError> {
        for reference in window.pieces.iter().flat_map(|piece| &piece.references) {
            if monitor.interrupted() {
                return Err(RestoreError::Interrupted);
            }
            let frame = frame_of(&window.fetched, reference)?;
            let bytes = stream::referred(frame, reference, class)?;
            flow.push(frame, bytes, &mut give)?;
        }
        Ok(())
    };
    let (gathered, written) = window::run(&reader, |gatherer| gatherer.add((), references), write);
    if let Err(error) = written {
        // Whoever saves what can be saved gets all that comes before what can't be read.
        if matches!(error, RestoreError::Read(_)) && flow.settle(&mut give).is_ok() {
            out.flush().map_err(RestoreError::Output)?;
        }
        return Err(error);
    }
    // Closed means that the writing side failed, whose error was given back above.
    debug_assert!(gathered.is_ok());
    flow.finish(&entry, &mut give)?;
    if !sparse.is_filled() {
        return Err(ReadError::ContentHash.into());
    }
    sparse.finish(size, out).map_err(RestoreError::Output)?;
    out.flush().map_err(RestoreError::Output)?;
    Ok(size)
}

/// Puts the holes of a sparse file back as zeros, for outputs that can't seek.
struct Holes {
    extents: Vec<Extent>,
    current: usize,
    /// Bytes of the current extent that were written.
    done: u64,
    /// Bytes written, zeros included.
    position: u64,
    /// There were more bytes than the file has by its entry; the rest isn't written.
    has_more: bool,
}

impl Holes {
    fn new(entry: &Entry) -> Self {
        let whole = Extent { offset: 0, length: entry.size.unwrap_or(0) };
        let extents = entry.extents.clone().unwrap_or_else(|| vec![whole]);
        Self { extents, current: 0, done: 0, position: 0, has_more: false }
    }

    /// Whether there were as many bytes as the file has by its entry, which may lie.
    fn is_filled(&self) -> bool {
        let left: u64 = self.extents[self.current..].iter().map(|extent| extent.length).sum();
        !self.has_more && left == self.done
    }

    /// Writes the next bytes of the stream.
    fn write(&mut self, mut bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        while !bytes.is_empty() {
            let Some(&extent) = self.extents.get(self.current) else {
                self.has_more = true;
                return Ok(());
            };
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
    fn finish(mut self, size: u64, out: &mut dyn Write) -> io::Result<()> {
        self.zeros_up_to(size, out)
    }

    fn zeros_up_to(&mut self, position: u64, out: &mut dyn Write) -> io::Result<()> {
        let gap = position.saturating_sub(self.position);
        io::copy(&mut io::Read::take(io::repeat(0), gap), out)?;
        self.position += gap;
        Ok(())
    }
}
