//! Puts directories together from entries whose content may still be on its way.
//!
//! A directory's stream names its children's frames, so a parent can't be written before its children's frames are closed. Closing a frame for every
//! parent would make thousands of tiny ones; instead directories wait, while others fill the frame. What waits is bounded: beyond
//! [`MAX_WAITING`] entries the open frames are closed early.

mod so_far;

use crate::repo::writer::{WriteError, Writer};
use crate::snapshot::capture::captured::{Captured, FileSlot, Outcome};
use crate::snapshot::capture::content::{GrowingStream, Progressed, StoredStream, StreamSink, Waiting};
use crate::snapshot::tree::entry::{Entry, encode_entry};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most entries that wait at once; about 20 MiB.
pub const MAX_WAITING: usize = 1 << 15;
/// Waiting directories are looked at again after so many were left.
const SWEEP_AFTER: usize = 64;

/// An entry that a directory waits for, or that waits for those before it.
enum Slot {
    /// It's known.
    Ready(Box<Entry>),
    /// Its content is being read.
    File(Box<Entry>, Content),
    /// Its content was read; frames are still open.
    Stream(Box<Entry>, Content, Waiting),
    /// It couldn't be read: the directory goes without it.
    Nothing,
    /// A directory; it will be put here when it's stored.
    Directory,
}

/// Where the content of a file comes from.
struct Content {
    slot: Arc<FileSlot>,
    /// Where the entry is, if it's another name than the one that the file is read by.
    other_name: Option<SafePath>,
}

/// A directory that isn't stored yet.
struct Directory<'c> {
    entry: Entry,
    /// The directory above, and the number of the slot in it.
    parent: Option<(u64, u64)>,
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    first_slot: u64,
    stream: Option<GrowingStream<'c>>,
    /// Whether all entries were added.
    left: bool,
    /// Once the stream is complete: what it waits for.
    waiting: Option<Waiting>,
}

/// Hears of files that are done.
pub trait Finished {
    /// `entry`, by whose name the file was read, has its content now.
    fn file(&mut self, entry: &Entry, captured: &Captured) -> Result<(), WriteError>;

    /// What is at `path` is another name of a file that couldn't be read by its first; only that was reported.
    fn lost_other_name(&mut self, path: SafePath);
}

/// Puts directories together.
pub struct Assembler<'c> {
    writer: &'c Writer,
    sink: StreamSink<'c>,
    /// All that aren't stored yet; children have higher numbers than their parents.
    directories: BTreeMap<u64, Directory<'c>>,
    next: u64,
    /// The open directories, innermost last.
    path: Vec<u64>,
    waiting_slots: usize,
    left_since_sweep: usize,
    top: Option<Entry>,
}

impl<'c> Assembler<'c> {
    /// Nothing yet.
    pub fn new(writer: &'c Writer, sink: StreamSink<'c>) -> Self {
        Self {
            writer,
            sink,
            directories: BTreeMap::new(),
            next: 0,
            path: Vec::new(),
            waiting_slots: 0,
            left_since_sweep: 0,
            top: None,
        }
    }

    /// Begins a directory.
    pub fn enter(&mut self, entry: Entry) {
        let parent = self.path.last().copied().map(|parent| (parent, self.push_slot(Slot::Directory)));
        let directory = Directory {
            entry,
            parent,
            slots: VecDeque::new(),
            first_slot: 0,
            stream: Some(GrowingStream::new(self.sink.gear)),
            left: false,
            waiting: None,
        };
        self.directories.insert(self.next, directory);
        self.path.push(self.next);
        self.next += 1;
    }

    /// Adds an entry that is known to the open directory.
    pub fn add(&mut self, entry: Entry) {
        self.push_slot(Slot::Ready(Box::new(entry)));
    }

    /// Adds a file whose content is on its way, by the name that it's read by, or by another one, whose path is given.
    pub fn add_file(&mut self, entry: Entry, slot: Arc<FileSlot>, other_name: Option<SafePath>) {
        self.push_slot(Slot::File(Box::new(entry), Content { slot, other_name }));
    }

    /// Ends the open directory.
    pub fn leave(&mut self, finished: &mut dyn Finished) -> Result<(), WriteError> {
        let Some(number) = self.path.pop() else { return Ok(()) };
        if let Some(directory) = self.directories.get_mut(&number) {
            directory.left = true;
        }
        self.left_since_sweep += 1;
        if self.left_since_sweep >= SWEEP_AFTER { self.sweep(finished) } else { self.advance(number, finished) }
    }

    /// Whether so much waits that frames should be closed early.
    pub fn is_crowded(&self) -> bool {
        self.waiting_slots > MAX_WAITING
    }

    /// Writes what the frames that are closed allow; children first.
    pub fn sweep(&mut self, finished: &mut dyn Finished) -> Result<(), WriteError> {
        self.left_since_sweep = 0;
        let numbers: Vec<u64> = self.directories.keys().rev().copied().collect();
        numbers.into_iter().try_for_each(|number| self.advance(number, finished))
    }

    /// Closes the open frame of directories, and writes what that allows.
    pub fn flush(&mut self, finished: &mut dyn Finished) -> Result<(), WriteError> {
        self.sweep(finished)?;
        self.sink.lane.flush()?;
        self.sweep(finished)
    }

    /// The top of the tree, once everything below is stored.
    pub fn take_top(&mut self) -> Option<Entry> {
        self.top.take()
    }

    fn push_slot(&mut self, slot: Slot) -> u64 {
        let Some(directory) = self.path.last().and_then(|number| self.directories.get_mut(number)) else { return 0 };
        self.waiting_slots += 1;
        directory.slots.push_back(slot);
        directory.first_slot + directory.slots.len() as u64 - 1
    }

    /// Goes on with one directory as far as possible.
    fn advance(&mut self, number: u64, finished: &mut dyn Finished) -> Result<(), WriteError> {
        let Some(mut directory) = self.directories.remove(&number) else { return Ok(()) };
        while let Some(slot) = directory.slots.pop_front() {
            match self.settle_slot(slot, finished)? {
                Slot::Ready(entry) => {
                    self.waiting_slots -= 1;
                    directory.first_slot += 1;
                    let mut bytes = Vec::new();
                    encode_entry(&entry, &mut bytes);
                    if let Some(stream) = &mut directory.stream {
                        stream.push(&bytes, &mut self.sink.lane)?;
                    }
                }
                Slot::Nothing => {
                    self.waiting_slots -= 1;
                    directory.first_slot += 1;
                }
                unsettled => {
                    directory.slots.push_front(unsettled);
                    break;
                }
            }
        }
        if directory.left
            && directory.slots.is_empty()
            && let Some(stream) = directory.stream.take()
        {
            directory.waiting = Some(Waiting::Stream(stream.finish(&mut self.sink.lane)?));
        }
        if let Some(waiting) = directory.waiting.take() {
            match waiting.progress(self.writer, &mut self.sink)? {
                Progressed::Stored(stream) => {
                    self.stored(directory.entry, directory.parent, stream);
                    return Ok(());
                }
                Progressed::Still(waiting) => directory.waiting = Some(waiting),
            }
        }
        self.directories.insert(number, directory);
        Ok(())
    }

    /// Goes on with one slot as far as possible.
    fn settle_slot(&mut self, slot: Slot, finished: &mut dyn Finished) -> Result<Slot, WriteError> {
        let (mut entry, file, waiting) = match slot {
            Slot::File(mut entry, file) => match file.slot.get() {
                None => return Ok(Slot::File(entry, file)),
                Some(Outcome::Lost) => {
                    if let Some(path) = file.other_name {
                        finished.lost_other_name(path);
                    }
                    return Ok(Slot::Nothing);
                }
                Some(Outcome::Captured(captured)) => {
                    captured.describe(&mut entry);
                    let Some(stream) = captured.stream() else {
                        if file.other_name.is_none() {
                            finished.file(&entry, captured)?;
                        }
                        return Ok(Slot::Ready(entry));
                    };
                    (entry, file, Waiting::Stream(stream))
                }
            },
            Slot::Stream(entry, file, waiting) => (entry, file, waiting),
            other => return Ok(other),
        };
        match waiting.progress(self.writer, &mut self.sink)? {
            Progressed::Still(waiting) => Ok(Slot::Stream(entry, file, waiting)),
            Progressed::Stored(stream) => {
                let Some(Outcome::Captured(captured)) = file.slot.get() else { return Ok(Slot::Nothing) };
                if let Some(recipe) = captured.recipe() {
                    if entry.content().is_none() {
                        put_content(&mut entry, stream);
                        return self.settle_slot(Slot::Stream(entry, file, Waiting::Stream(recipe)), finished);
                    }
                    captured.put_recipe(&mut entry, stream);
                } else {
                    put_content(&mut entry, stream);
                }
                if file.other_name.is_none() {
                    finished.file(&entry, captured)?;
                }
                Ok(Slot::Ready(entry))
            }
        }
    }

    /// Puts a stored directory into its parent.
    fn stored(&mut self, mut entry: Entry, parent: Option<(u64, u64)>, stream: StoredStream) {
        entry.size = Some(stream.bytes);
        put_content(&mut entry, stream);
        let Some((parent, slot)) = parent else {
            self.top = Some(entry);
            return;
        };
        if let Some(directory) = self.directories.get_mut(&parent) {
            let index = slot - directory.first_slot;
            if let Some(place) = usize::try_from(index).ok().and_then(|index| directory.slots.get_mut(index)) {
                *place = Slot::Ready(Box::new(entry));
            }
        }
    }
}

/// Gives an entry its content.
fn put_content(entry: &mut Entry, stream: StoredStream) {
    entry.hash = Some(stream.hash);
    if stream.is_list {
        entry.list = Some(stream.references);
    } else {
        entry.references = Some(stream.references);
    }
}
