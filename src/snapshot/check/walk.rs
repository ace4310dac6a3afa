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

/// Looks up every frame that some snapshot refers to. Directories that several snapshots share are read once.
pub(super) fn frames_exist(
    reader: &Reader<'_>,
    snapshots: &Snapshots,
    findings: &mut Findings,
    monitor: &dyn Monitor,
) -> Result<(), CheckError> {
    // 16 bytes of a hash: enough to know a directory again, half the memory.
    let mut visited: HashSet<[u8; 16]> = HashSet::new();
    for snapshot in &snapshots.list {
        let mut first_visit = |entry: &Entry| {
            // With the references: the same directory may be stored twice, and one of the two be lost.
            visited.insert(identity(entry))
        };
        let mut each = |path: &SafePath, entry: &Entry| -> Result<bool, CheckError> {
            if monitor.interrupted() {
                return Err(CheckError::Interrupted);
            }
            if entry.kind == EntryType::Directory && !first_visit(entry) {
                return Ok(false);
            }
            match lookup(reader, entry) {
                Ok(missing) => {
                    for frame in missing {
                        let what = if reader.exists(frame) { LACKS_CHUNKS } else { MISSING };
                        findings.frames.entry(frame).or_insert_with(|| what.to_owned());
                    }
                    Ok(true)
                }
                Err(error) => damaged(snapshot, path, error, findings).map(|()| false),
            }
        };
        let mut unreadable = Vec::new();
        walk(reader, snapshot, &mut each, &mut |path, error| {
            unreadable.push((path.clone(), error));
            Ok(())
        })?;
        for (path, error) in unreadable {
            damaged(snapshot, &path, error, findings)?;
        }
    }
    Ok(())
}

/// Notes that something at `path` can't be read; a store that fails altogether ends the check.
fn damaged(snapshot: &Snapshot, path: &SafePath, error: ReadError, findings: &mut Findings) -> Result<(), CheckError> {
    if error.is_store_failure() {
        return Err(error.into());
    }
    match error {
        ReadError::Missing { frame } => {
            findings.frames.entry(frame).or_insert_with(|| MISSING.to_owned());
        }
        ReadError::Frame { frame, .. } => {
            findings.frames.entry(frame).or_insert_with(|| error.to_string());
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
    let mut hits = Hits::new();
    let mut left = Left::default();
    for snapshot in &snapshots.list {
        let mut hit = |path: &SafePath, frame: FrameId| {
            let paths = hits.entry(frame).or_default().entry(snapshot.id).or_default();
            if paths.len() < MAX_PATHS && paths.last() != Some(path) {
                paths.push(path.clone());
            }
        };
        let mut each = |path: &SafePath, entry: &Entry| -> Result<bool, CheckError> {
            if monitor.interrupted() {
                return Err(CheckError::Interrupted);
            }
            let mut look = |Reference { frame, first, count }| {
                if wanted.contains(&frame) && !left.holds(reader, frame, first, count) {
                    hit(path, frame);
                }
            };
            entry.named().copied().for_each(&mut look);
            // A list that can't be read hits its file by its own frames.
            let _ = stream::each_reference(reader, entry, &mut |reference| {
                look(reference);
                Ok(())
            });
            Ok(true)
        };
        walk(reader, snapshot, &mut each, &mut |_, _| Ok(()))?;
    }
    Ok(hits)
}

/// Calls `each` for every entry of a snapshot, the top included; `each` says whether to go into a directory. Directories that
/// can't be read go to `unreadable`.
fn walk(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    each: &mut dyn FnMut(&SafePath, &Entry) -> Result<bool, CheckError>,
    unreadable: &mut dyn FnMut(&SafePath, ReadError) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    let top = SafePath::top();
    if !each(&top, &snapshot.manifest.root)? {
        return Ok(());
    }
    // Directories that are still to be read. Bounded by depth times the directories of one level; entries themselves aren't kept.
    let mut pending = vec![(top, snapshot.manifest.root.clone())];
    while let Some((path, directory)) = pending.pop() {
        debug_assert_eq!(stream::class_of(&directory), Class::Meta);
        let entries = match StreamReader::of(reader, &directory) {
            Ok(stream) => EntryReader::new(BufReader::new(stream)),
            Err(error) => {
                unreadable(&path, error)?;
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    unreadable(&path, stream::of_tree_error(error))?;
                    break;
                }
            };
            let Ok(below) = path.join(&entry.name) else {
                unreadable(&path, ReadError::Directory { why: "the path of an entry is too long".to_owned() })?;
                continue;
            };
            if !each(&below, &entry)? || entry.kind != EntryType::Directory {
                continue;
            }
            // Where a restore stops, too.
            if below.depth() > MAX_DEPTH {
                unreadable(&below, ReadError::Directory { why: format!("deeper than {MAX_DEPTH} directories") })?;
            } else {
                pending.push((below, entry));
            }
        }
    }
    Ok(())
}
