//! The tree of what is done so far, while the rest is still on its way.
//!
//! Directories that aren't complete are written twice: what is in them now, for a checkpoint, and later as a whole. Their streams are copied for that and the copies closed, deepest first, since a
//! parent names its children's frames.

use super::{Assembler, Finished, Slot, put_content};
use crate::repo::writer::{WriteError, Writer};
use crate::snapshot::capture::MadeDirectory;
use crate::snapshot::capture::captured::{Captured, Outcome};
use crate::snapshot::capture::content::{GrowingStream, PendingStream, Progressed, StoredStream, StreamSink, Waiting};
use crate::snapshot::tree::entry::{Entry, encode_entry};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, HashMap};

/// Closing the frame of a stream lets its list be written, if it needs one; closing that one's frame ends it.
const ROUNDS: usize = 3;

/// What is done so far.
pub struct SoFar {
    /// The top of the tree.
    pub top: Entry,
    /// Files that are on their way, and so aren't in it.
    pub unfinished: Vec<SafePath>,
    /// The innermost directory that is open.
    pub at: SafePath,
}

impl Assembler<'_> {
    /// Whether there is a tree that isn't complete yet.
    pub fn is_open(&self) -> bool {
        !self.directories.is_empty()
    }

    /// Closes frames of directories until nothing waits for that any more: what isn't stored then is either open or waits for a file. The frames of files must have been closed.
    pub fn settle(&mut self, finished: &mut dyn Finished) -> Result<(), WriteError> {
        for _ in 0..=2 * crate::repo::format::MAX_DEPTH {
            // Also what waits behind an entry that isn't ready.
            let numbers: Vec<u64> = self.directories.keys().copied().collect();
            for number in numbers {
                let Some(mut directory) = self.directories.remove(&number) else { continue };
                for slot in &mut directory.slots {
                    *slot = self.settle_slot(std::mem::replace(slot, Slot::Nothing), finished)?;
                }
                self.directories.insert(number, directory);
            }
            self.flush(finished)?;
            let waits = |slot: &Slot| matches!(slot, Slot::Stream(_, _, Waiting::List { .. }));
            if !self.directories.values().any(|d| d.waiting.is_some() || d.slots.iter().any(waits)) {
                break;
            }
        }
        Ok(())
    }

    /// Writes the tree of what is done so far; `made` are directories that come behind all that was entered. `None` if there is nothing to go on.
    pub fn so_far(&mut self, made: &[MadeDirectory]) -> Result<Option<SoFar>, WriteError> {
        if self.top.is_some() || self.directories.is_empty() {
            return Ok(None);
        }
        let behind = self.made(made)?;
        let (mut depths, mut paths) = (BTreeMap::new(), BTreeMap::new());
        for (&number, directory) in &self.directories {
            let above = directory.parent.map(|(parent, _)| parent);
            let depth = above.and_then(|parent| depths.get(&parent)).map_or(0, |depth| depth + 1);
            let path =
                above.and_then(|parent| paths.get(&parent)).and_then(|p: &SafePath| p.join(&directory.entry.name).ok());
            depths.insert(number, depth);
            paths.insert(number, path.unwrap_or_default());
        }
        let mut unfinished = Vec::new();
        // By the directory and the slot in it where they belong.
        let mut stored: HashMap<(u64, u64), Entry> = HashMap::new();
        let mut top = None;
        let deepest = depths.values().max().copied().unwrap_or(0);
        for level in (0..=deepest).rev() {
            let (mut copies, mut streams) = (Vec::new(), Vec::new());
            for (&number, directory) in self.directories.iter().filter(|(number, _)| depths.get(number) == Some(&level))
            {
                // One whose own stream is complete would only wait for it; `settle` has waited.
                let Some(stream) = &directory.stream else { continue };
                let mut copy = stream.clone();
                for (nth, slot) in (directory.first_slot..).zip(&directory.slots) {
                    match slot {
                        Slot::Ready(entry) => push(&mut copy, entry, &mut self.sink)?,
                        Slot::Directory => {
                            if let Some(entry) = stored.get(&(number, nth)) {
                                push(&mut copy, entry, &mut self.sink)?;
                            }
                        }
                        Slot::File(entry, _) | Slot::Stream(entry, _, _) => {
                            unfinished.extend(paths.get(&number).and_then(|path| path.join(&entry.name).ok()));
                        }
                        Slot::Nothing => {}
                    }
                }
                if level == 0 {
                    behind.iter().try_for_each(|entry| push(&mut copy, entry, &mut self.sink))?;
                }
                copies.push((directory.entry.clone(), directory.parent));
                streams.push(Waiting::Stream(copy.finish(&mut self.sink.lane)?));
            }
            let streams = store_all(streams, self.writer, &mut self.sink)?;
            for ((mut entry, parent), stream) in copies.into_iter().zip(streams) {
                entry.size = Some(stream.bytes);
                put_content(&mut entry, stream);
                match parent {
                    Some(place) => drop(stored.insert(place, entry)),
                    None => top = Some(entry),
                }
            }
        }
        let at = self.path.last().and_then(|number| paths.get(number)).cloned().unwrap_or_default();
        unfinished.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        Ok(top.map(|top| SoFar { top, unfinished, at }))
    }

    /// Stores directories that no walk comes across, all of whose files are there.
    fn made(&mut self, made: &[MadeDirectory]) -> Result<Vec<Entry>, WriteError> {
        let mut entries = Vec::new();
        for directory in made {
            let mut files: Vec<(Entry, &Captured)> = Vec::new();
            for (entry, slot) in &directory.files {
                let Some(Outcome::Captured(captured)) = slot.get() else { continue };
                let mut entry = entry.clone();
                captured.describe(&mut entry);
                files.push((entry, captured));
            }
            self.stored_of(&mut files, Captured::stream, |_, entry, stream| put_content(entry, stream))?;
            self.stored_of(&mut files, Captured::recipe, Captured::put_recipe)?;
            let mut stream = GrowingStream::new(self.sink.gear);
            files.iter().try_for_each(|(entry, _)| push(&mut stream, entry, &mut self.sink))?;
            let stream = Waiting::Stream(stream.finish(&mut self.sink.lane)?);
            for stream in store_all(vec![stream], self.writer, &mut self.sink)? {
                let mut entry = directory.entry.clone();
                entry.size = Some(stream.bytes);
                put_content(&mut entry, stream);
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Gives the files of which `which` is a stream what it's stored as.
    fn stored_of(
        &mut self,
        files: &mut [(Entry, &Captured)],
        which: impl Fn(&Captured) -> Option<PendingStream>,
        put: impl Fn(&Captured, &mut Entry, StoredStream),
    ) -> Result<(), WriteError> {
        let with_stream = files.iter_mut().filter_map(|file| Some((which(file.1)?, file)));
        let (streams, files): (Vec<_>, Vec<_>) = with_stream.unzip();
        let streams = streams.into_iter().map(Waiting::Stream).collect();
        for ((entry, captured), stream) in files.into_iter().zip(store_all(streams, self.writer, &mut self.sink)?) {
            put(captured, entry, stream);
        }
        Ok(())
    }
}

/// Appends an entry to the stream of a directory.
fn push(stream: &mut GrowingStream<'_>, entry: &Entry, sink: &mut StreamSink<'_>) -> Result<(), WriteError> {
    let mut bytes = Vec::new();
    encode_entry(entry, &mut bytes);
    stream.push(&bytes, &mut sink.lane)
}

/// Closes frames until all of these streams can be referred to.
fn store_all(
    mut streams: Vec<Waiting>,
    writer: &Writer,
    sink: &mut StreamSink<'_>,
) -> Result<Vec<StoredStream>, WriteError> {
    let mut stored: Vec<Option<StoredStream>> = streams.iter().map(|_| None).collect();
    let mut places: Vec<usize> = (0..streams.len()).collect();
    for _ in 0..ROUNDS {
        sink.lane.flush()?;
        let (mut left, mut left_places) = (Vec::new(), Vec::new());
        for (stream, place) in streams.into_iter().zip(places) {
            match stream.progress(writer, sink)? {
                Progressed::Stored(stream) => stored[place] = Some(stream),
                Progressed::Still(waiting) => {
                    left.push(waiting);
                    left_places.push(place);
                }
            }
        }
        (streams, places) = (left, left_places);
    }
    // All of their frames are this lane's, or were closed before: nothing is left.
    stored.into_iter().collect::<Option<Vec<_>>>().ok_or(WriteError::Stopped)
}
