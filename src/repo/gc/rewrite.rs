//! Rewriting packs: the frames that are still needed go, sealed again, into new packs under the run id of whoever rewrites.
//!
//! What is written may soon be the only copy. So each frame is opened before and after it's sealed, and each pack read back and compared with its name.
//!
//! Memory: a source pack a thread, and up to 6 packs that are being filled.

use crate::repo::cbor::Time;
use crate::repo::error::{ReadError, RepoError};
use crate::repo::format::{Class, MAX_OBJECT, key};
use crate::repo::gc::error::GcError;
use crate::repo::id::{DomainId, FrameId, PackHash, PackId, RunId};
use crate::repo::keys::domain::DomainKeys;
use crate::repo::keys::wrap::{RunKey, Wrap};
use crate::repo::needs::Needs;
use crate::repo::pack::builder::{FinishedPack, PackBuilder, PackOpening};
use crate::repo::pack::frame::{SealedFrame, Zstd};
use crate::repo::pack::parse::{PackError, WholePack};
use crate::repo::pack::presence::Presence;
use crate::repo::pack::reseal::{ProvenFrame, Resealer};
use crate::repo::record::{self, Segment, SegmentPack};
use crate::repo::repository::{Full, Repo};
use crate::repo::run;
use crate::repo::writer::PACK_TARGET;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Packs that are filled at once, one for each domain and class.
const MAX_OPEN: usize = 6;
/// Packs that a segment names.
const SEGMENT_PACKS: usize = 64;

/// Decides what stays of a frame: `None` for all of it that goes, else which of its chunks stay.
pub type Keep<'a> = dyn Fn(FrameId) -> Option<Box<dyn Fn(u32) -> bool + 'a>> + Sync + 'a;

/// What came of rewriting a pack.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// How many chunks of each frame were moved.
    pub moved: HashMap<FrameId, u32>,
    /// Frames that can't be moved, and why.
    pub stuck: Vec<(FrameId, String)>,
}

/// Moves frames into new packs. Usable from many threads.
pub struct Rewriter<'r> {
    repo: &'r Repo<Full>,
    run: RunId,
    run_key: RunKey,
    wrap: Wrap,
    open: Mutex<BTreeMap<(DomainId, Class), Filling>>,
    done: Mutex<Done>,
}

/// A pack that is being filled.
struct Filling {
    builder: PackBuilder,
    /// The packs that its frames come from.
    sources: BTreeSet<PackId>,
}

#[derive(Default)]
struct Done {
    unnamed: BTreeMap<DomainId, Vec<SegmentPack>>,
    segments: u64,
    moved: Moved,
}

/// What was moved.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// The packs that were written, with their lengths.
    pub packs: Vec<(PackId, u64)>,
    /// For each pack that frames were moved from, the packs that they are in now.
    pub places: HashMap<PackId, HashSet<PackId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'r> Rewriter<'r> {
    /// Announces `run`, under which packs will be written: pruners leave them alone as long as it's undecided.
    pub fn start(repo: &'r Repo<Full>, run: RunId, now: Time, host: &str, tool: &str) -> Result<Self, RepoError> {
        run::announce(repo, run, now, host, tool)?;
        let run_key = RunKey::generate();
        let wrap = repo.keys().wrap(&run_key, run);
        Ok(Self { repo, run, run_key, wrap, open: Mutex::default(), done: Mutex::default() })
    }

    /// Moves what `keep` wants of a pack's frames. Which frames it has, its own trailer says; an index may have said otherwise.
    ///
    /// # Errors
    /// [`GcError::Rewrite`] if this pack can't be used, others if nothing can be written.
    pub fn rewrite(&self, pack: PackId, length: u64, keep: &Keep<'_>, zstd: &mut Zstd) -> Result<Rewritten, GcError> {
        let of_pack = |source: PackError| GcError::Rewrite(ReadError::Pack { pack, source });
        let bytes = self.repo.store().get(&key::pack(pack), length).map_err(|error| of_pack(error.into()))?;
        // Not by its hash: of a damaged pack the sound frames are wanted all the more.
        let whole = WholePack::unhashed(pack, &bytes, self.repo.id()).map_err(of_pack)?;
        let keys = self.repo.read_keys();
        let run_key = keys.unwrap_run_key(&whole.opening.wrap, pack.run);
        let run_key = run_key.map_err(|_| GcError::Rewrite(ReadError::RunKey { run: pack.run }))?;
        let domain = keys.domain(whole.opening.domain);
        let resealer = Resealer { repository: self.repo.id(), run: self.run, run_key: &self.run_key };
        let mut rewritten = Rewritten::default();
        for frame in whole.frames(&domain).map_err(of_pack)? {
            let Some(keep) = keep(frame.id) else { continue };
            let sealed = whole.frame(&frame).unwrap_or_default();
            let from = (self.repo.id(), pack.run, &run_key);
            let moved = ProvenFrame::open(sealed, frame.id, frame.table.class, from, domain.ids(), zstd)
                .and_then(|proven| resealer.reseal(&proven, &*keep, domain.ids(), zstd));
            match moved {
                Ok(Some(sealed)) => {
                    let present = |present: &Presence| present.runs().iter().map(|(_, count)| u32::from(*count)).sum();
                    let chunks = sealed.present.as_ref().map_or(u32::from(sealed.chunks), present);
                    self.add(domain.id(), &sealed, pack)?;
                    rewritten.moved.insert(frame.id, chunks);
                }
                Ok(None) => {}
                Err(error) => rewritten.stuck.push((frame.id, error.to_string())),
            }
        }
        Ok(rewritten)
    }

    /// Moves a frame that was opened, with all of its chunks that are there.
    pub fn adopt(
        &self,
        proven: &ProvenFrame,
        id: FrameId,
        (source, domain): (PackId, &DomainKeys),
        zstd: &mut Zstd,
    ) -> Result<(), GcError> {
        let resealer = Resealer { repository: self.repo.id(), run: self.run, run_key: &self.run_key };
        let sealed = resealer.reseal(proven, &|_| true, domain.ids(), zstd);
        let sealed = sealed.map_err(|fault| ReadError::Frame { frame: id, pack: source, source: fault });
        match sealed.map_err(GcError::Rewrite)? {
            Some(sealed) => self.add(domain.id(), &sealed, source),
            None => Ok(()),
        }
    }

    /// Adds a frame to the pack of its domain and class; stores packs that are full, or one too many.
    fn add(&self, domain: DomainId, frame: &SealedFrame, source: PackId) -> Result<(), GcError> {
        let full = {
            let mut open = lock(&self.open);
            let at = (domain, frame.class);
            let is_full = open.get(&at).is_some_and(|filling| filling.builder.length_with(frame) > PACK_TARGET);
            let crowded = !open.contains_key(&at) && open.len() >= MAX_OPEN;
            let out = if is_full { Some(at) } else { open.keys().next().copied().filter(|_| crowded) };
            let full = out.and_then(|out| Some((out.0, open.remove(&out)?)));
            let filling = open.entry(at).or_insert_with(|| Filling {
                builder: PackBuilder::new(frame.class, &self.opening(domain), PACK_TARGET),
                sources: BTreeSet::new(),
            });
            filling.builder.push(frame);
            filling.sources.insert(source);
            full
        };
        full.map_or(Ok(()), |(domain, filling)| self.store(domain, filling))
    }

    fn opening(&self, domain: DomainId) -> PackOpening {
        PackOpening { repository: self.repo.id(), domain, run: self.run, wrap: self.wrap }
    }

    /// Stores a pack and reads it back.
    fn store(&self, domain: DomainId, filling: Filling) -> Result<(), GcError> {
        let keys = self.repo.read_keys().domain(domain);
        let pack = filling.builder.finish(&self.opening(domain), keys.index());
        let store_key = key::pack(pack.id);
        self.repo.store().put(&store_key, &pack.bytes)?;
        let stored = self.repo.store().get(&store_key, MAX_OBJECT)?;
        if PackHash::from_bytes(*blake3::hash(&stored).as_bytes()) != pack.id.hash {
            return Err(
                RepoError::damaged(&store_key, "it was just written and is another object when it's read").into()
            );
        }
        let due = self.note(domain, &pack, &filling.sources);
        due.map_or(Ok(()), |(n, packs)| self.write_segment(domain, n, packs))
    }

    /// Notes a pack that is stored. Gives what a segment is due for.
    fn note(
        &self,
        domain: DomainId,
        pack: &FinishedPack,
        sources: &BTreeSet<PackId>,
    ) -> Option<(u64, Vec<SegmentPack>)> {
        let mut done = lock(&self.done);
        done.moved.packs.push((pack.id, pack.bytes.len() as u64));
        for source in sources {
            done.moved.places.entry(*source).or_default().insert(pack.id);
        }
        let unnamed = done.unnamed.entry(domain).or_default();
        unnamed.push(pack.segment_pack());
        if unnamed.len() < SEGMENT_PACKS {
            return None;
        }
        let packs = std::mem::take(unnamed);
        done.segments += 1;
        Some((done.segments - 1, packs))
    }

    fn write_segment(&self, domain: DomainId, n: u64, packs: Vec<SegmentPack>) -> Result<(), GcError> {
        let store_key = key::segment(self.run, n);
        let segment = Segment { needs: Needs::NONE, packs };
        let sealed = record::seal_record_in(self.repo.keys(), self.repo.read_keys(), domain, &store_key, &segment);
        Ok(self.repo.store().put(&store_key, &Bytes::from(sealed))?)
    }

    /// Stores what is still open. What is given is durable and was read back.
    pub fn finish(self) -> Result<Moved, GcError> {
        for ((domain, _), filling) in std::mem::take(&mut *lock(&self.open)) {
            self.store(domain, filling)?;
        }
        let unnamed = std::mem::take(&mut lock(&self.done).unnamed);
        for (domain, packs) in unnamed.into_iter().filter(|(_, packs)| !packs.is_empty()) {
            let n = {
                let mut done = lock(&self.done);
                done.segments += 1;
                done.segments - 1
            };
            self.write_segment(domain, n, packs)?;
        }
        Ok(std::mem::take(&mut lock(&self.done).moved))
    }
}
