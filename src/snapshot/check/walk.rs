//! Walks the trees of snapshots: does everything exist, and which paths does damage hit?

use crate::repo::error::ReadError;
use crate::repo::format::{Class, MAX_DEPTH};
use crate::repo::id::{FrameId, RunId};
use crate::repo::reader::Reader;
use crate::snapshot::check::{CheckError, Damage, Damaged, Findings, MAX_PATHS};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::reach::identity;
use crate::snapshot::snapshots::{Snapshot, Snapshots};
use crate::snapshot::stream::{self, StreamReader};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::reader::EntryReader;
use crate::snapshot::tree::reference::Reference;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufReader;

/// What is said of a frame that is nowhere.
const MISSING: &str = "it is in no pack of the repository";
/// What is said of a frame of which only a part is there.
pub(super) const LACKS_CHUNKS: &str = "some of its chunks are in no pack of the repository";

/// The damage that paths of snapshots suffer, by frame.
pub(super) type Hits = BTreeMap<FrameId, BTreeMap<RunId, Vec<SafePath>>>;

/// Whoever goes along with a walk.
trait Visitor {
    /// An entry is met, the top included. Whether the walk goes into it, if it's a directory, or so many entries are known to be below it.
    fn meet(&mut self, path: &SafePath, entry: &Entry) -> Result<Way, CheckError>;

    /// A directory that the walk went into is behind it, with so many entries below.
    fn leave(&mut self, directory: &Entry, below: u64);

    /// What comes next in a directory, or all of it, can't be read.
    fn unreadable(&mut self, path: &SafePath, error: ReadError) -> Result<(), CheckError>;
}

/// Where a walk goes.
enum Way {
    Into,
    Past(u64),
}

/// Looks up every frame that some snapshot refers to. Directories that several snapshots share are read once.
pub(super) fn frames_exist(
    reader: &Reader<'_>,
    snapshots: &Snapshots,
    findings: &mut Findings,
    monitor: &dyn Monitor,
) -> Result<(), CheckError> {
    let mut visited = HashMap::new();
    for snapshot in &snapshots.list {
        let mut visitor = Existing { reader, snapshot, visited: &mut visited, findings, monitor };
        let found = walk(reader, snapshot, &mut visitor)?;
        let counted = snapshot.manifest.statistics.entries();
        if found > counted {
            findings.other.push(Damage {
                object: format!("snapshot {}", snapshot.id),
                kind: Damaged::Other,
                what: format!("its directories list {found} entries, and its manifest counts {counted}: it can't be restored as a whole"),
                snapshots: vec![(snapshot.id, Vec::new())],
            });
        }
    }
    Ok(())
}

/// Looks up what entries refer to.
struct Existing<'a> {
    reader: &'a Reader<'a>,
    snapshot: &'a Snapshot,
    /// The entries below each directory that was met. 16 bytes of a hash: enough to know one again, half the memory.
    visited: &'a mut HashMap<[u8; 16], u64>,
    findings: &'a mut Findings,
    monitor: &'a dyn Monitor,
}

impl Visitor for Existing<'_> {
    fn meet(&mut self, path: &SafePath, entry: &Entry) -> Result<Way, CheckError> {
        if self.monitor.interrupted() {
            return Err(CheckError::Interrupted);
        }
        // By its references, too: the same directory may be stored twice, and one of the two be lost.
        if entry.kind == EntryType::Directory
            && let Some(below) = self.visited.get(&identity(entry))
        {
            return Ok(Way::Past(*below));
        }
        match lookup(self.reader, entry) {
            Ok(missing) => {
                for frame in missing {
                    let what = if self.reader.exists(frame) { LACKS_CHUNKS } else { MISSING };
                    self.findings.frames.entry(frame).or_insert_with(|| what.to_owned());
                }
                Ok(Way::Into)
            }
            Err(error) => damaged(self.snapshot, path, error, self.findings).map(|()| Way::Past(0)),
        }
    }

    fn leave(&mut self, directory: &Entry, below: u64) {
        self.visited.insert(identity(directory), below);
    }

    fn unreadable(&mut self, path: &SafePath, error: ReadError) -> Result<(), CheckError> {
        damaged(self.snapshot, path, error, self.findings)
    }
}

/// Notes that something at `path` can't be read; a store that fails altogether ends the check.
fn damaged(snapshot: &Snapshot, path: &SafePath, error: ReadError, findings: &mut Findings) -> Result<(), CheckError> {
    if error.is_store_failure() {
        return Err(error.into());
    }
    match error {
        ReadError::Missing { frame } | ReadError::Frame { frame, .. } => {
            findings.frames.entry(frame).or_insert_with(|| of_frame(&error));
        }
        other => findings.other.push(Damage {
            object: path.to_string(),
            kind: Damaged::Other,
            what: other.to_string(),
            snapshots: vec![(snapshot.id, vec![path.clone()])],
        }),
    }
    Ok(())
}

/// What is wrong with a frame, behind its name.
pub(super) fn of_frame(error: &ReadError) -> String {
    match error {
        ReadError::Missing { .. } => MISSING.to_owned(),
        ReadError::Frame { pack, source, .. } => format!("pack {pack}: {source}"),
        other => other.to_string(),
    }
}

/// The frames that an entry refers to and that no pack holds, or not with all chunks that it needs.
fn lookup(reader: &Reader<'_>, entry: &Entry) -> Result<BTreeSet<FrameId>, ReadError> {
    // Each once: a list may name two in turn 2²⁶ times.
    let mut missing = BTreeSet::new();
    stream::each_reference(reader, entry, &mut |Reference { frame, first, count }| {
        if !missing.contains(&frame) && !reader.holds(frame, first, count)? {
            missing.insert(frame);
        }
        Ok(())
    })?;
    Ok(missing)
}

/// What is left of frames that are damaged: of some, other copies hold a part.
#[derive(Default)]
struct Left(HashMap<FrameId, Vec<bool>>);

impl Left {
    /// Whether these chunks can be read.
    fn holds(&mut self, reader: &Reader<'_>, frame: FrameId, first: u32, count: u32) -> bool {
        let chunks = self.0.entry(frame).or_insert_with(|| match reader.frame_with(frame, first, count) {
            Ok(opened) => (0..).take(opened.count()).map(|ordinal| opened.chunk(ordinal).is_some()).collect(),
            Err(_) => Vec::new(),
        });
        let (first, count) = (first as usize, count as usize);
        chunks.get(first..first.saturating_add(count)).is_some_and(|chunks| chunks.iter().all(|there| *there))
    }
}

/// For each of `wanted`, the snapshots and paths that need it.
pub(super) fn paths_hit(
    reader: &Reader<'_>,
    snapshots: &Snapshots,
    wanted: &BTreeSet<FrameId>,
    monitor: &dyn Monitor,
) -> Result<Hits, CheckError> {
    let (mut hits, mut left, mut sound) = (Hits::new(), Left::default(), HashSet::new());
    for snapshot in &snapshots.list {
        walk(
            reader,
            snapshot,
            &mut Hitting {
                reader,
                snapshot: snapshot.id,
                wanted,
                monitor,
                hits: &mut hits,
                left: &mut left,
                sound: &mut sound,
                visits: HashMap::new(),
                before: Vec::new(),
                met: 0,
            },
        )?;
    }
    Ok(hits)
}

/// Notes the paths that need what is damaged.
struct Hitting<'a> {
    reader: &'a Reader<'a>,
    snapshot: RunId,
    wanted: &'a BTreeSet<FrameId>,
    monitor: &'a dyn Monitor,
    hits: &'a mut Hits,
    left: &'a mut Left,
    /// Directories in and below which nothing is hit.
    sound: &'a mut HashSet<[u8; 16]>,
    /// How often the others were met in this snapshot: no more paths of them are named than of a frame.
    visits: HashMap<[u8; 16], usize>,
    /// How much was hit when each directory on the path was entered.
    before: Vec<u64>,
    /// How much was hit so far.
    met: u64,
}

impl Hitting<'_> {
    fn look(&mut self, path: &SafePath, Reference { frame, first, count }: Reference) {
        if self.wanted.contains(&frame) && !self.left.holds(self.reader, frame, first, count) {
            self.met += 1;
            let paths = self.hits.entry(frame).or_default().entry(self.snapshot).or_default();
            if paths.len() < MAX_PATHS && paths.last() != Some(path) {
                paths.push(path.clone());
            }
        }
    }
}

impl Visitor for Hitting<'_> {
    fn meet(&mut self, path: &SafePath, entry: &Entry) -> Result<Way, CheckError> {
        if self.monitor.interrupted() {
            return Err(CheckError::Interrupted);
        }
        let before = self.met;
        if entry.kind == EntryType::Directory {
            let id = identity(entry);
            if self.sound.contains(&id) {
                return Ok(Way::Past(0));
            }
            let visits = self.visits.entry(id).or_default();
            *visits += 1;
            if *visits > MAX_PATHS {
                self.met += 1;
                return Ok(Way::Past(0));
            }
        }
        let reader = self.reader;
        entry.named().copied().for_each(|reference| self.look(path, reference));
        // A list that can't be read hits its file by its own frames.
        let _ = stream::each_reference(reader, entry, &mut |reference| {
            self.look(path, reference);
            Ok(())
        });
        if entry.kind == EntryType::Directory {
            self.before.push(before);
        }
        Ok(Way::Into)
    }

    fn leave(&mut self, directory: &Entry, _: u64) {
        if self.before.pop() == Some(self.met) {
            let id = identity(directory);
            self.visits.remove(&id);
            self.sound.insert(id);
        }
    }

    /// What can't be read was hit itself.
    fn unreadable(&mut self, _: &SafePath, _: ReadError) -> Result<(), CheckError> {
        self.met += 1;
        Ok(())
    }
}

/// What a walk does next.
enum Next {
    Enter(SafePath, Entry),
    Leave(Entry),
}

/// Walks a snapshot; tells how many entries are below its top. A directory is read as a whole before those in it, so that one stream is open at a time: memory grows with depth times the directories of a level.
fn walk(reader: &Reader<'_>, snapshot: &Snapshot, visitor: &mut dyn Visitor) -> Result<u64, CheckError> {
    let mut next = vec![Next::Enter(SafePath::top(), snapshot.manifest.root.clone())];
    // Entries that were met below each directory on the way, and below the top.
    let mut below: Vec<u64> = vec![0];
    let add = |below: &mut Vec<u64>, more: u64| {
        if let Some(last) = below.last_mut() {
            *last = last.saturating_add(more);
        }
    };
    while let Some(step) = next.pop() {
        match step {
            Next::Leave(directory) => {
                let inside = below.pop().unwrap_or(0);
                visitor.leave(&directory, inside);
                add(&mut below, inside);
            }
            // Where a restore stops, too.
            Next::Enter(path, _) if path.depth() > MAX_DEPTH => {
                let why = format!("deeper than {MAX_DEPTH} directories");
                visitor.unreadable(&path, ReadError::Directory { why })?;
            }
            Next::Enter(path, directory) => match visitor.meet(&path, &directory)? {
                Way::Past(inside) => add(&mut below, inside),
                Way::Into => {
                    let (met, directories) = read(reader, &path, &directory, visitor)?;
                    below.push(met);
                    next.push(Next::Leave(directory));
                    next.extend(directories.into_iter().rev().map(|(path, entry)| Next::Enter(path, entry)));
                }
            },
        }
    }
    Ok(below.pop().unwrap_or(0))
}

/// How many entries a directory has, as far as it can be read, and those of them that are directories: they are met later.
fn read(
    reader: &Reader<'_>,
    path: &SafePath,
    directory: &Entry,
    visitor: &mut dyn Visitor,
) -> Result<(u64, Vec<(SafePath, Entry)>), CheckError> {
    debug_assert_eq!(stream::class_of(directory), Class::Meta);
    let (mut met, mut directories) = (0, Vec::new());
    let entries = match StreamReader::of(reader, directory) {
        Ok(stream) => EntryReader::new(BufReader::new(stream)),
        Err(error) => return visitor.unreadable(path, error).map(|()| (met, directories)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                visitor.unreadable(path, stream::of_tree_error(error))?;
                break;
            }
        };
        met += 1;
        match path.join(&entry.name) {
            Ok(below) if entry.kind == EntryType::Directory => directories.push((below, entry)),
            Ok(below) => {
                visitor.meet(&below, &entry)?;
            }
            Err(_) => {
                let why = "the path of an entry is too long".to_owned();
                visitor.unreadable(path, ReadError::Directory { why })?;
            }
        }
    }
    Ok((met, directories))
}
