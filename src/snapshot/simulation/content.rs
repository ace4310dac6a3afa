//! What hosts hold, and how it's captured: a few files of a few chunks, in memory, put into the real writer.

use super::chance::Chance;
use super::store::World;
use crate::chunker::Gear;
use crate::repo::format::Class;
use crate::repo::repository::{Access, Repo};
use crate::repo::writer::{PendingRef, WriteError, Writer};
use crate::snapshot::backup::{BackupError, Captures};
use crate::snapshot::capture::Captured;
use crate::snapshot::capture::content::{GrowingStream, resolve};
use crate::snapshot::checkpoint::Checkpoints;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::manifest::{Source, State, Statistics};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::tree::entry::{Entry, EntryType, encode_entry};
use crate::snapshot::tree::problem::Problem;
use crate::snapshot::tree::reference::Reference;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a snapshot holds: the bytes of each file.
pub(super) type Content = BTreeMap<String, Vec<u8>>;

/// Files that were seen before: their bytes' hash and where they are.
pub(super) type Seen = BTreeMap<String, ([u8; 32], Vec<Reference>)>;

/// A file.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    /// Its chunks, by their numbers: the same number is the same bytes on every host.
    pub(super) chunks: Vec<u64>,
    /// It can't be read twice: what comes when it's read again has another chunk at its end.
    pub(super) is_stream: bool,
    /// Its chunks get a frame of their own.
    pub(super) is_apart: bool,
}

/// What a host holds one night.
pub(super) type Night = Vec<File>;

/// Numbers of chunks that hosts share; few, so that they do.
const SHARED: usize = 10;

/// The bytes of a chunk.
fn bytes(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 48 + usize::try_from(number % 5).unwrap_or(0) * 40];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Some files. Most chunks are ones that others hold too.
pub(super) fn night(chance: &mut Chance) -> Night {
    let files = 1 + chance.below(3);
    let file = |number: usize| {
        let from = chance.below(SHARED) as u64;
        let count = 1 + chance.below(4) as u64;
        let mut chunks: Vec<u64> = (from..from + count).collect();
        if chance.percent(25) {
            chunks.push(chance.number() | 1 << 40);
        }
        File { name: format!("file-{number}"), chunks, is_stream: chance.percent(20), is_apart: chance.percent(50) }
    };
    (0..files).map(file).collect()
}

/// Captures a night. What it captured is told to the world, as what a snapshot should hold.
pub(super) struct MemoryCapture<'n> {
    pub(super) night: &'n Night,
    pub(super) seen: &'n Seen,
    pub(super) chance: RefCell<Chance>,
    pub(super) world: Arc<World>,
    pub(super) actor: usize,
    /// Whether it takes checkpoints between its files: choices of their own, so that other histories stay as they are.
    pub(super) checkpoints: Option<RefCell<Chance>>,
    /// What is seen once this is committed.
    pub(super) now_seen: RefCell<Seen>,
}

impl MemoryCapture<'_> {
    /// The chunks of a file, as they are read this time.
    fn read(&self, file: &File) -> Vec<Vec<u8>> {
        let mut chunks: Vec<Vec<u8>> = file.chunks.iter().map(|&number| bytes(number)).collect();
        if file.is_stream {
            chunks.push(bytes(self.chance.borrow_mut().number() | 1 << 41));
        }
        chunks
    }

    /// Stores the directory of these entries.
    fn top<A: Access>(repo: &Repo<A>, writer: &Writer, entries: &[Entry]) -> Result<Entry, BackupError> {
        let gear = Gear::new(repo.keys().domain().gear());
        let mut meta = writer.lane(Class::Meta);
        let mut stream = GrowingStream::new(&gear);
        for entry in entries {
            let mut bytes = Vec::new();
            encode_entry(entry, &mut bytes);
            stream.push(&bytes, &mut meta)?;
        }
        let stream = stream.finish(&mut meta)?;
        meta.flush()?;
        let mut top = Entry::new(Vec::new(), EntryType::Directory);
        (top.mode, top.size, top.hash) = (0o755, Some(stream.bytes), Some(stream.hash));
        top.references = Some(resolve(&stream.references, writer).ok_or_else(stopped)?);
        Ok(top)
    }
}

/// Gives entries their content: the frames are closed by now.
fn settle(entries: &mut [Entry], waiting: Vec<(usize, Vec<PendingRef>)>, writer: &Writer) -> Result<(), BackupError> {
    for (at, pending) in waiting {
        entries[at].references = Some(resolve(&pending, writer).ok_or_else(stopped)?);
    }
    Ok(())
}

fn stopped() -> BackupError {
    BackupError::from(WriteError::Stopped)
}

/// What was captured, with nothing to say of it.
fn captured(top: Entry, files: usize) -> Captured {
    Captured {
        top,
        statistics: Statistics { files: files as u64, ..Statistics::default() },
        problems: Vec::new(),
        secrets: Vec::new(),
        databases: Vec::new(),
        dumps: Vec::new(),
        sources: Vec::new(),
        elsewhere: Elsewhere::default(),
        seen: None,
    }
}

impl Captures for MemoryCapture<'_> {
    fn run<A: Access>(
        &self,
        repo: &Repo<A>,
        writer: &Writer,
        _: bool,
        checkpoints: &dyn Checkpoints,
        _: &dyn Monitor,
    ) -> Result<Captured, BackupError> {
        let mut lane = writer.lane(Class::Data);
        let (mut content, mut waiting, mut entries) = (Content::new(), Vec::new(), Vec::new());
        for (nth, file) in self.night.iter().enumerate() {
            if self.checkpoints.as_ref().is_some_and(|chance| nth > 0 && chance.borrow_mut().percent(50)) {
                lane.flush()?;
                settle(&mut entries, std::mem::take(&mut waiting), writer)?;
                let top = Self::top(repo, writer, &entries)?;
                // It's the checkpoint's manifest that is put next by this actor.
                self.world.lock().captured[self.actor] = content.clone();
                if checkpoints.take(captured(top, entries.len()))? {
                    self.world.lock().checkpoints += 1;
                }
            }
            let chunks = self.read(file);
            let whole = chunks.concat();
            let hash = *blake3::hash(&whole).as_bytes();
            let mut entry = Entry::new(file.name.as_bytes(), EntryType::File);
            (entry.mode, entry.size, entry.hash) = (0o644, Some(whole.len() as u64), Some(hash));
            // As of a file that didn't change: it isn't read if what was stored of it can be relied on.
            let seen = self.seen.get(&file.name).filter(|seen| seen.0 == hash && !file.is_stream);
            match seen {
                Some((_, references)) if references.iter().all(|at| writer.rely_on(at.frame, at.first, at.count)) => {
                    entry.references = Some(references.clone());
                }
                _ => {
                    let mut pending = Vec::new();
                    chunks.iter().try_for_each(|chunk| lane.put(chunk, &mut pending))?;
                    if file.is_apart {
                        lane.flush()?;
                    }
                    waiting.push((entries.len(), pending));
                }
            }
            content.insert(file.name.clone(), whole);
            entries.push(entry);
        }
        lane.flush()?;
        settle(&mut entries, waiting, writer)?;
        for entry in &entries {
            let seen = (entry.hash.unwrap_or_default(), entry.references.clone().unwrap_or_default());
            self.now_seen.borrow_mut().insert(String::from_utf8_lossy(&entry.name).into_owned(), seen);
        }
        let top = Self::top(repo, writer, &entries)?;
        self.world.lock().captured[self.actor] = content;
        Ok(captured(top, entries.len()))
    }

    fn sources(&self, _: &[Problem]) -> Vec<Source> {
        vec![Source { name: "memory".to_owned(), kind: "files".to_owned(), state: State::Complete }]
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn exclusions(&self, _: &Elsewhere) -> Vec<Exclusion> {
        Vec::new()
    }
}
