//! Before packs are condemned: the copies that make them superfluous are opened, and what is still needed of them is stored again.
//!
//! An index, a segment or a trailer may lie about what a pack holds. So nothing is condemned for the sake of a copy that this prune hasn't opened itself.

use crate::repo::error::ReadError;
use crate::repo::failure::Failure;
use crate::repo::gc::error::GcError;
use crate::repo::gc::marks::Marks;
use crate::repo::gc::plan::{DoomedPack, GcPlan};
use crate::repo::gc::rewrite::{Moved, Rewriter};
use crate::repo::gc::usage::{Kept, Usage};
use crate::repo::id::{FrameId, PackId};
use crate::repo::index::FramePlace;
use crate::repo::pack::frame::Zstd;
use crate::repo::parallel;
use crate::repo::reader::{Reader, Stretch};
use crate::repo::sabotage::{self, Fence};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// For each pack that may go, the packs that must stay for that.
pub type Dependencies = HashMap<PackId, HashSet<PackId>>;

/// What long work asks and tells.
pub struct Watch<'w> {
    /// Whether the user wants it to end.
    pub interrupted: &'w (dyn Fn() -> bool + Sync),
    /// So many bytes are done.
    pub done: &'w (dyn Fn(u64) + Sync),
    /// Something is odd; the pack concerned stays.
    pub odd: &'w (dyn Fn(String) + Sync),
    /// When no further pack is to be rewritten.
    pub deadline: Option<Instant>,
}

/// What was proven.
#[derive(Debug, Default)]
pub struct Proven {
    /// What may be condemned.
    pub packs: Vec<DoomedPack>,
    /// What must stay for that.
    pub depends: Dependencies,
    /// What was written.
    pub moved: Moved,
    /// Those of them of which something was moved.
    pub rewritten: Vec<PackId>,
}

/// A copy that goes because another one stays.
struct Superseded {
    frame: FrameId,
    stays: FramePlace,
    goes: Vec<u32>,
}

/// Opens the copies that stay, and moves what is needed of packs that go. `rewriter` is there if anything is to be rewritten.
pub fn prove(
    reader: &Reader<'_>,
    marks: &Marks,
    usage: &Usage<'_>,
    plan: &GcPlan,
    rewriter: Option<Rewriter<'_>>,
    watch: &Watch<'_>,
) -> Result<Proven, GcError> {
    let off = sabotage::is_off(Fence::OpenKeptCopy);
    let rewrites: HashSet<u32> = plan.rewrite.iter().map(|pack| pack.number).collect();
    let all: HashMap<u32, DoomedPack> =
        plan.remove.iter().chain(&plan.unknown).chain(&plan.rewrite).map(|pack| (pack.number, *pack)).collect();
    let superseded = superseded(marks, usage, &all)?;
    // Copies in packs that are rewritten are opened by that.
    let (moving, staying): (Vec<_>, Vec<_>) = superseded.iter().partition(|copy| rewrites.contains(&copy.stays.pack));
    let mut dropped = if off { HashSet::new() } else { open_all(reader, marks, &staying, watch)? };
    let (moved, rewritten) = match rewriter {
        Some(rewriter) => rewrite_all(marks, usage, &plan.rewrite, &dropped, rewriter, watch)?,
        None => (Moved::default(), BTreeSet::new()),
    };
    dropped.extend(rewrites.iter().filter(|number| !rewritten.contains(number)));
    // Who relies on the rewriting of a pack that stays after all would rely on a copy that nobody opened.
    for copy in &moving {
        if dropped.contains(&copy.stays.pack) {
            dropped.extend(&copy.goes);
        }
    }
    let name = |number: u32| reader.view().pack_id(number);
    let mut depends = Dependencies::new();
    for pack in all.values().filter(|pack| rewritten.contains(&pack.number)) {
        depends.entry(pack.id).or_default().extend(moved.places.get(&pack.id).into_iter().flatten());
    }
    for copy in superseded.iter().filter(|copy| !copy.goes.iter().all(|number| dropped.contains(number))) {
        let Some(stays) = name(copy.stays.pack) else { continue };
        let there: Vec<PackId> = match moved.places.get(&stays) {
            Some(places) if rewritten.contains(&copy.stays.pack) => places.iter().copied().collect(),
            _ => vec![stays],
        };
        for goes in copy.goes.iter().filter_map(|&number| name(number)) {
            depends.entry(goes).or_default().extend(&there);
        }
    }
    let mut packs: Vec<DoomedPack> = all.into_values().filter(|pack| !dropped.contains(&pack.number)).collect();
    packs.sort_by_key(|pack| pack.id);
    let rewritten = rewritten.iter().filter_map(|&number| name(number)).collect();
    Ok(Proven { packs, depends, moved, rewritten })
}

/// The copies that go with doomed packs because another one stays.
fn superseded(marks: &Marks, usage: &Usage<'_>, doomed: &HashMap<u32, DoomedPack>) -> Result<Vec<Superseded>, GcError> {
    let mut found = Vec::new();
    usage.superseded(marks, &mut |frame, stays, others| {
        let goes: Vec<u32> = others.iter().copied().filter(|number| doomed.contains_key(number)).collect();
        if !goes.is_empty() {
            found.push(Superseded { frame, stays, goes });
        }
    })?;
    Ok(found)
}

/// Opens each copy that is to stay. Gives the packs that must not go, because the copy that was to replace theirs can't.
fn open_all(
    reader: &Reader<'_>,
    marks: &Marks,
    copies: &[&Superseded],
    watch: &Watch<'_>,
) -> Result<HashSet<u32>, GcError> {
    let dropped: Mutex<HashSet<u32>> = Mutex::default();
    let goes: HashMap<FrameId, &[u32]> = copies.iter().map(|copy| (copy.frame, copy.goes.as_slice())).collect();
    let stretches = Stretch::of(copies.iter().map(|copy| (copy.frame, copy.stays)).collect());
    each(&stretches, reader.threads(), watch, &|stretch: &Stretch, zstd| {
        let opened = reader.open_copies(stretch, zstd, &mut |frame, _, copy| {
            let serves = match copy {
                Ok(open) => {
                    let marked = marks.get(&frame);
                    let mut chunks = 0..u32::try_from(open.count()).unwrap_or(u32::MAX);
                    marked.is_none_or(|marked| chunks.all(|i| !marked.contains(i) || open.chunk(i).is_some()))
                }
                Err(error) if error.is_store_failure() => return Err(error),
                Err(error) => {
                    (watch.odd)(format!("a second copy can't be used: {error}"));
                    false
                }
            };
            if !serves {
                let goes = goes.get(&frame).copied().unwrap_or_default();
                dropped.lock().unwrap_or_else(PoisonError::into_inner).extend(goes);
            }
            Ok(())
        });
        opened.map_err(GcError::Rewrite)
    })?;
    Ok(dropped.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What must be moved out of each pack: frames, and how many chunks of them.
fn expected(
    marks: &Marks,
    usage: &Usage<'_>,
    packs: &[DoomedPack],
) -> Result<HashMap<u32, Vec<(FrameId, u32)>>, GcError> {
    let mut expected: HashMap<u32, Vec<(FrameId, u32)>> = HashMap::new();
    if !packs.is_empty() {
        let numbers = packs.iter().map(|pack| pack.number).collect();
        usage.kept_in(&numbers, marks, &mut |frame, pack, chunks| {
            expected.entry(pack).or_default().push((frame, chunks));
        })?;
    }
    Ok(expected)
}

/// Rewrites packs. Gives what was moved, and the packs of which all that is needed was.
fn rewrite_all(
    marks: &Marks,
    usage: &Usage<'_>,
    packs: &[DoomedPack],
    dropped: &HashSet<u32>,
    rewriter: Rewriter<'_>,
    watch: &Watch<'_>,
) -> Result<(Moved, BTreeSet<u32>), GcError> {
    let rewritten: Mutex<BTreeSet<u32>> = Mutex::default();
    let expected = expected(marks, usage, packs)?;
    let mut packs: Vec<DoomedPack> = packs.iter().filter(|pack| !dropped.contains(&pack.number)).copied().collect();
    // Packs of one domain follow each other: few are filled at once.
    packs.sort_by_key(|pack| pack.id);
    each(&packs, parallel::threads(), watch, &|pack: &DoomedPack, zstd| {
        if watch.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Ok(());
        }
        let keep = |frame: FrameId| {
            let here = match usage.kept(&frame, marks) {
                Kept::None => false,
                Kept::All => true,
                Kept::One(place) => place.pack == pack.number,
            };
            let marked = marks.get(&frame).filter(|_| here)?;
            Some(Box::new(|ordinal: u32| marked.contains(ordinal)) as Box<dyn Fn(u32) -> bool>)
        };
        match rewriter.rewrite(pack.id, pack.length, &keep, zstd) {
            Ok(outcome) => {
                let moved =
                    |(frame, chunks): &(FrameId, u32)| outcome.moved.get(frame).is_some_and(|moved| moved >= chunks);
                let wanted = expected.get(&pack.number).map(Vec::as_slice).unwrap_or_default();
                if outcome.stuck.is_empty() && wanted.iter().all(moved) {
                    rewritten.lock().unwrap_or_else(PoisonError::into_inner).insert(pack.number);
                } else if outcome.stuck.is_empty() {
                    (watch.odd)(format!("pack {} stays: it holds less than the index says", pack.id));
                }
                for (frame, why) in outcome.stuck {
                    (watch.odd)(format!("pack {} stays: frame {frame}: {why}", pack.id));
                }
            }
            Err(GcError::Rewrite(error)) if !error.is_store_failure() => (watch.odd)(error.to_string()),
            Err(error) => return Err(error),
        }
        (watch.done)(pack.length);
        Ok(())
    })?;
    let rewritten = rewritten.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((rewriter.finish()?, rewritten))
}

/// Calls `work` for each item, on so many threads, each with a decompressor of its own; the first error ends it.
fn each<T: Sync>(
    items: &[T],
    threads: usize,
    watch: &Watch<'_>,
    work: &(dyn Fn(&T, &mut Zstd) -> Result<(), GcError> + Sync),
) -> Result<(), GcError> {
    let (next, failure) = (AtomicUsize::new(0), Failure::default());
    let take = || -> Result<(), GcError> {
        let mut zstd = Zstd::new().map_err(ReadError::from).map_err(GcError::Rewrite)?;
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if (watch.interrupted)() {
                return Err(GcError::Interrupted);
            }
            if failure.is_set() {
                break;
            }
            work(item, &mut zstd)?;
        }
        Ok(())
    };
    let threads = threads.min(items.len());
    if threads <= 1 {
        return take();
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| take().unwrap_or_else(|error| failure.set(error)));
        }
    });
    failure.take().map_or(Ok(()), Err)
}
