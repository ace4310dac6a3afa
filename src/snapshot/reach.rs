//! What snapshots reach: every chunk that restoring them takes.
//!
//! Trees are walked many directories at a time, whose frames are fetched together and in the order of packs. A directory that several snapshots share is walked once.

use crate::repo::error::ReadError;
use crate::repo::gc::marks::Marks;
use crate::repo::id::FrameId;
use crate::repo::reader::Reader;
use crate::snapshot::stream::{self, StreamReader};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::reader::EntryReader;
use std::collections::HashSet;
use std::io::BufReader;

/// Raw bytes of frames that are fetched together; the reader keeps more than that at hand.
const BATCH_BYTES: u64 = 12 << 20;
/// Most directories, or files with lists, that are looked at together.
const BATCH: usize = 256;

/// Marks what snapshots reach, one after the other.
pub struct Reach<'r> {
    reader: &'r Reader<'r>,
    /// Directories that were met. 16 bytes of a hash: enough to know one again, half the memory.
    visited: HashSet<[u8; 16]>,
}

/// Recognises a directory: by its content, and by the references, since the same one may be stored twice and one of the two be lost.
pub fn identity(entry: &Entry) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.hash.unwrap_or_default());
    for reference in entry.named() {
        hasher.update(reference.frame.as_bytes());
        hasher.update(&reference.first.to_le_bytes()).update(&reference.count.to_le_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

impl<'r> Reach<'r> {
    /// Nothing was walked yet.
    pub fn new(reader: &'r Reader<'r>) -> Self {
        Self { reader, visited: HashSet::new() }
    }

    /// Marks all that the tree below `top` reaches. `go_on` is asked now and then; gives whether it always said yes: else the walk ended early.
    pub fn mark(&mut self, top: &Entry, marks: &mut Marks, go_on: &dyn Fn() -> bool) -> Result<bool, ReadError> {
        if !self.visited.insert(identity(top)) {
            return Ok(true);
        }
        let mut pending = vec![top.clone()];
        let mut lists = Vec::new();
        while !pending.is_empty() {
            if !go_on() {
                return Ok(false);
            }
            let batch = self.batch(&mut pending)?;
            for directory in &batch {
                self.entries(directory, marks, &mut pending, &mut lists)?;
                if lists.len() >= BATCH {
                    self.lists(&mut lists, marks)?;
                }
            }
        }
        self.lists(&mut lists, marks)?;
        Ok(true)
    }

    /// Takes the next directories, with their frames at hand.
    fn batch(&self, pending: &mut Vec<Entry>) -> Result<Vec<Entry>, ReadError> {
        let (mut batch, mut frames, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut seen = HashSet::new();
        while let Some(directory) = pending.pop_if(|_| batch.len() < BATCH && bytes < BATCH_BYTES) {
            for frame in direct(&directory).filter(|frame| seen.insert(*frame)) {
                bytes += u64::from(self.reader.raw_length(frame));
                frames.push(frame);
            }
            batch.push(directory);
        }
        self.reader.prefetch(&frames)?;
        Ok(batch)
    }

    /// Marks the stream of a directory and what its entries refer to; directories below go to `pending`, files with lists to `lists`.
    fn entries(
        &mut self,
        directory: &Entry,
        marks: &mut Marks,
        pending: &mut Vec<Entry>,
        lists: &mut Vec<Entry>,
    ) -> Result<(), ReadError> {
        mark_list_itself(directory, marks);
        for reference in stream::references(self.reader, directory)? {
            marks.mark(reference.frame, reference.first, reference.count);
        }
        for entry in EntryReader::new(BufReader::new(StreamReader::of(self.reader, directory)?)) {
            let entry = entry.map_err(stream::of_tree_error)?;
            if entry.kind == EntryType::Directory {
                if self.visited.insert(identity(&entry)) {
                    pending.push(entry);
                }
            } else if entry.has_list() {
                if self.visited.insert(identity(&entry)) {
                    lists.push(entry);
                }
            } else {
                for reference in entry.named() {
                    marks.mark(reference.frame, reference.first, reference.count);
                }
            }
        }
        Ok(())
    }

    /// Marks what long streams refer to, and their lists.
    fn lists(&self, lists: &mut Vec<Entry>, marks: &mut Marks) -> Result<(), ReadError> {
        let frames: Vec<FrameId> = lists.iter().flat_map(direct).collect();
        if frames.len() <= BATCH {
            self.reader.prefetch(&frames)?;
        }
        for entry in lists.drain(..) {
            mark_list_itself(&entry, marks);
            stream::each_reference(self.reader, &entry, &mut |reference| {
                marks.mark(reference.frame, reference.first, reference.count);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The frames that an entry names itself.
fn direct(entry: &Entry) -> impl Iterator<Item = FrameId> + '_ {
    entry.named().map(|reference| reference.frame)
}

fn mark_list_itself(entry: &Entry, marks: &mut Marks) {
    let of_recipe = entry.recipe.iter().flat_map(|recipe| &recipe.list);
    for reference in entry.list.iter().chain(of_recipe).flatten() {
        marks.mark(reference.frame, reference.first, reference.count);
    }
}
