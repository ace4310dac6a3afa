//! Reads packs whole: their hash, their trailer, and every frame in them.

use crate::repo::error::ReadError;
use crate::repo::failure::Failure;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::{FrameId, PackId};
use crate::repo::pack::frame::{self, Zstd};
use crate::repo::pack::parse::{PackError, WholePack};
use crate::repo::parallel;
use crate::repo::reader::Reader;
use crate::repo::repository::{Full, Repo};
use crate::repo::seal;
use crate::snapshot::check::verifying::Verifying;
use crate::snapshot::check::walk::{LACKS_CHUNKS, of_frame};
use crate::snapshot::check::{CheckError, CheckReport, Findings, Reading};
use crate::snapshot::monitor::{Monitor, Progress};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is wrong with one pack.
struct BadPack {
    pack: PackId,
    what: String,
    /// Its frames that can't be used; all of them if the pack can't be read at all.
    frames: Vec<FrameId>,
}

/// Reads the packs that `reading` chooses, and keeps which of them were whole, also when it's interrupted.
pub(super) fn read_packs(
    reader: &Reader<'_>,
    repo: &Repo<Full>,
    reading: Reading,
    verifying: &Verifying<'_>,
    findings: &mut Findings,
    report: &mut CheckReport,
    monitor: &dyn Monitor,
) -> Result<(), CheckError> {
    let mut packs: Vec<(PackId, u64)> = reader.view().all_listed();
    packs.sort_unstable_by_key(|(pack, _)| pack.hash);
    let packs = match reading {
        Reading::Subset(subset) => subset.choose(packs, u64::from_le_bytes(seal::random())),
        Reading::Budget(budget) => verifying.due(budget, packs),
    };
    let read = read_all(repo, &packs, verifying, monitor);
    verifying.finish();
    let bad = read?;
    report.packs_read = packs.len() as u64;
    report.bytes_read = packs.iter().map(|(_, length)| length).sum();
    for found in bad {
        let frames = if found.frames.is_empty() { reader.view().frames_of(found.pack)? } else { found.frames };
        for id in frames {
            // Another copy may serve, or several together.
            let what = match reader.frame(id) {
                Ok(frame) if frame.is_whole() => None,
                Ok(_) => Some(LACKS_CHUNKS.to_owned()),
                Err(error) if error.is_store_failure() => return Err(error.into()),
                Err(error) => Some(of_frame(&error)),
            };
            if let Some(what) = what {
                if findings.set_aside.contains(&found.pack) && !findings.frames.contains_key(&id) {
                    findings.only_set_aside.insert(id);
                }
                findings.frames.entry(id).or_insert(what);
            }
        }
        findings.packs.insert(found.pack, found.what);
    }
    Ok(())
}

/// Reads packs by several threads, each of which holds one at a time, and gives what is wrong.
fn read_all(
    repo: &Repo<Full>,
    packs: &[(PackId, u64)],
    verifying: &Verifying<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<BadPack>, CheckError> {
    Progress::add(&monitor.progress().bytes_total, packs.iter().map(|(_, length)| length).sum());
    let next = AtomicUsize::new(0);
    let bad: Mutex<Vec<BadPack>> = Mutex::default();
    let failure = Failure::default();
    let work = || -> Result<(), CheckError> {
        let mut zstd = Zstd::new().map_err(ReadError::from)?;
        while let Some((pack, length)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if monitor.interrupted() {
                return Err(CheckError::Interrupted);
            }
            if failure.is_set() {
                return Ok(());
            }
            match read_pack(repo, *pack, *length, &mut zstd)? {
                Some(found) => {
                    verifying.found_damaged(*pack);
                    bad.lock().unwrap_or_else(PoisonError::into_inner).push(found);
                }
                None => verifying.add(*pack),
            }
            Progress::add(&monitor.progress().bytes_done, *length);
        }
        Ok(())
    };
    let threads = parallel::threads().min(packs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work().unwrap_or_else(|error| failure.set(error)));
        }
    });
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(bad.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Reads one pack; `None` if all is well.
fn read_pack(repo: &Repo<Full>, pack: PackId, length: u64, zstd: &mut Zstd) -> Result<Option<BadPack>, CheckError> {
    let bad = |what: String, frames| Ok(Some(BadPack { pack, what, frames }));
    let bytes = match repo.store().get(&key::pack(pack), length.min(MAX_OBJECT)) {
        Ok(bytes) => bytes,
        Err(error) => {
            let error = ReadError::Pack { pack, source: PackError::Store(error) };
            return if error.is_store_failure() { Err(error.into()) } else { bad(error.to_string(), Vec::new()) };
        }
    };
    let whole = match WholePack::new(pack, &bytes, repo.id()) {
        Ok(whole) => whole,
        // The hash is wrong, so something in it is; which frames are hit is only known by opening them.
        Err(error) => return bad(error.to_string(), Vec::new()),
    };
    let run = pack.run;
    let Ok(run_key) = repo.read_keys().unwrap_run_key(&whole.opening.wrap, run) else {
        return bad("the wrap of its run's key can't be opened".to_owned(), Vec::new());
    };
    let domain = repo.read_keys().domain(whole.opening.domain);
    let frames = match whole.frames(&domain) {
        Ok(frames) => frames,
        Err(error) => return bad(error.to_string(), Vec::new()),
    };
    let ids = domain.ids();
    let mut unusable = Vec::new();
    let mut what = String::new();
    for entry in &frames {
        let sealed = whole.frame(entry).unwrap_or_default();
        let opened = frame::open(sealed, entry.id, entry.table.class, (repo.id(), run, &run_key), ids, zstd);
        let agrees = opened.map(|opened| opened.encoded_table == entry.table.encode());
        match agrees {
            Ok(true) => continue,
            Ok(false) => what = format!("frame {} has another table than the trailer says", entry.id),
            Err(error) => what = format!("frame {}: {error}", entry.id),
        }
        unusable.push(entry.id);
    }
    if unusable.is_empty() { Ok(None) } else { bad(what, unusable) }
}
