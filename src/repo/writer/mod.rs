//! Writing: chunks in, sealed packs in the store out.
//!
//! ```text
//! lanes (one per reading thread) ── frames ──▶ sealers (one per core) ──▶ a pack per class ── packs ──▶ uploaders
//! ```
//!
//! Memory is bounded by what the stages hold: `lanes × 1 frame + (queue + sealers) × 3 frames + (classes + queue + uploaders) × 1 pack`, with
//! frames of half a MiB (4 MiB of rows, 8 MiB for a lone large chunk) and packs of 16 MiB. The map of known chunks spills to disk.
//!
//! The first error of any thread stops all of them and is the one that callers get.

mod flight;
mod lane;
mod mend;
mod seal;
mod settle;
mod upload;

pub use lane::{Lane, PendingRef};
pub use settle::Settled;

use crate::repo::clock::Clock;
use crate::repo::failure::Failure;
use crate::repo::format::Class;
use crate::repo::id::{ChunkId, FrameId, PackId, RunId};
use crate::repo::index::IndexError;
use crate::repo::keys::bundle::WriteKeys;
use crate::repo::keys::domain::SecretRoot;
use crate::repo::keys::wrap::RunKey;
use crate::repo::pack::builder::{FinishedPack, PackBuilder, PackOpening};
use crate::repo::pack::frame::{FrameError, FrameShape, RawFrame};
use crate::repo::pack_set::PackSet;
use crate::repo::parallel;
use crate::repo::run::Fence;
use crate::repo::store::{Store, StoreError};
use crate::repo::view::View;
use crate::repo::writer::flight::Flight;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Packs are closed before they exceed this many bytes. A power of two, below which padding is half as coarse as above it.
pub const PACK_TARGET: usize = 16 << 20;

/// Why a run can't go on. These are errors of the repository, never of a source.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A frame didn't survive being sealed: a fault of this machine.
    #[error("a frame could not be verified after sealing ({0}); the memory or processor of this machine may be faulty")]
    Verify(#[source] FrameError),
    /// A local cache file could not be written.
    #[error("the local cache can't be written: {0}")]
    Cache(#[from] IndexError),
    /// A thread or a compressor could not be had.
    #[error("this machine refuses what the run needs: {0}")]
    System(#[from] std::io::Error),
    /// The run was interrupted by the user.
    #[error("interrupted")]
    Interrupted,
    /// A frame stayed open while very many others were closed.
    #[error("a frame stayed open too long")]
    Numbers,
    /// Another thread failed first; its error is reported.
    #[error("stopped because another part of the run failed")]
    Stopped,
}

/// What was written so far.
#[derive(Debug, Default)]
pub struct Written {
    /// Chunks that weren't known.
    pub chunks: AtomicU64,
    /// Their bytes.
    pub raw_bytes: AtomicU64,
    /// Bytes of the packs that were stored.
    pub stored_bytes: AtomicU64,
    /// Packs stored.
    pub packs: AtomicU64,
}

/// What all threads of a writer share.
struct Shared {
    store: Arc<dyn Store>,
    keys: Arc<WriteKeys>,
    opening: PackOpening,
    run_key: Arc<RunKey>,
    secret_root: SecretRoot,
    view: Arc<View>,
    /// Packs of others that passed the fence.
    fenced: PackSet,
    /// Packs that a pruner removed: nothing is missing with them.
    pruned: PackSet,
    /// Those of the fenced ones that something refers to.
    relied: PackSet,
    /// Lost frames that are stored again.
    mending: mend::Mending,
    /// The first frame number of this run: those with a lower one are older. A frame has a number from the moment its first chunk is
    /// placed, and an id when it's closed.
    first_own: u32,
    /// Chunks of class secret that this run stored.
    secrets: Mutex<HashMap<ChunkId, (u32, u16)>>,
    open_packs: [Mutex<Option<PackBuilder>>; 3],
    segments: upload::Segments,
    /// Frames on their way into packs.
    frames_sent: Flight,
    /// Packs on their way into the store.
    packs_sent: Flight,
    clock: Clock,
    /// Sealers that still work: the last one closes the open packs.
    sealing: AtomicUsize,
    failure: Failure<WriteError>,
    written: Written,
}

/// A poisoned lock means that a thread panicked; its panic is passed on when it is joined, so the data is taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fail(&self, error: WriteError) -> WriteError {
        self.failure.set(error);
        WriteError::Stopped
    }

    fn run(&self) -> RunId {
        self.opening.run
    }

    /// Whether a run may refer to chunks of a frame that is older than itself; notes that it does. Gives the run of chunks that they belong to, all of which
    /// it may refer to.
    fn rely_on(&self, frame: FrameId, first: u32, count: u32) -> Option<Range<u32>> {
        let mut found = None;
        for place in self.view.frames().all(&frame) {
            if place.holds(first, count) && self.fenced.contains(place.pack) {
                self.relied.insert(place.pack);
                let run = u32::from(place.first)..u32::from(place.first) + u32::from(place.count);
                found = found.or(Some(run));
            }
        }
        found
    }

    /// Whether a frame was there and has no whole copy any more that this run may refer to, though no pruner removed it.
    fn is_lost(&self, frame: FrameId) -> bool {
        let places = self.view.frames().all(&frame);
        !places
            .iter()
            .any(|place| !place.partial && self.fenced.contains(place.pack) || self.pruned.contains(place.pack))
    }

    fn id_of(&self, number: u32) -> Option<FrameId> {
        self.view.numbers().get(number)
    }
}

/// What a writer is started with.
pub struct WriterStart {
    /// Where packs go.
    pub store: Arc<dyn Store>,
    /// The keys of the credential.
    pub keys: Arc<WriteKeys>,
    /// The run.
    pub run: RunId,
    /// What is known of packs and frames.
    pub view: Arc<View>,
    /// What the fence let pass.
    pub fence: Fence,
    /// What time it is, for segments.
    pub clock: Clock,
}

/// Stores the chunks of one run.
pub struct Writer {
    shared: Arc<Shared>,
    frames: Option<Sender<Numbered<RawFrame>>>,
    packs: Option<Sender<Numbered<FinishedPack>>>,
    sealers: Vec<JoinHandle<()>>,
    uploaders: Vec<JoinHandle<()>>,
}

/// Proof that everything a run stored is durable: what a manifest needs to be committed.
#[non_exhaustive]
pub struct Durable {
    /// The run.
    pub run: RunId,
    /// The packs it wrote, with their lengths.
    pub own: Vec<(PackId, u64)>,
    /// The packs of others that it refers to.
    pub relied: Vec<u32>,
    /// The wrap of the run's key, for the manifest.
    pub opening: PackOpening,
    /// The key, for the sealed part of the manifest.
    pub run_key: Arc<RunKey>,
}

impl Writer {
    /// Starts the threads of a writer.
    pub fn start(start: WriterStart) -> Result<Self, WriteError> {
        let cores = parallel::threads();
        let run_key = Arc::new(RunKey::generate());
        let wrap = start.keys.wrap(&run_key, start.run);
        let keys = start.keys;
        let opening = PackOpening { repository: keys.repository(), domain: keys.domain().id(), run: start.run, wrap };
        let bound = start.view.pack_numbers();
        let uploads = start.store.connections().clamp(1, 4);
        let shared = Arc::new(Shared {
            secret_root: SecretRoot::generate(),
            opening,
            run_key,
            first_own: u32::try_from(start.view.numbers().len()).unwrap_or(u32::MAX),
            view: start.view,
            fenced: start.fence.passed,
            pruned: start.fence.pruned,
            relied: PackSet::new(bound),
            mending: mend::Mending::default(),
            secrets: Mutex::default(),
            open_packs: [const { Mutex::new(None) }; 3],
            segments: upload::Segments::default(),
            frames_sent: Flight::default(),
            packs_sent: Flight::default(),
            clock: start.clock,
            sealing: AtomicUsize::new(cores),
            failure: Failure::default(),
            written: Written::default(),
            store: start.store,
            keys,
        });
        let (frames, frames_in) = bounded(2 * cores);
        let mut writer = Self { shared, frames: Some(frames), packs: None, sealers: Vec::new(), uploaders: Vec::new() };
        // After `writer`, so that it's dropped before it when a thread can't be had: uploaders end when nobody can send to them.
        let (packs, packs_in) = bounded(1);
        for _ in 0..uploads {
            let handle = writer.spawn("upload", upload::work, packs_in.clone())?;
            writer.uploaders.push(handle);
        }
        for _ in 0..cores {
            let handle = writer.spawn("seal", seal::work, (frames_in.clone(), packs.clone()))?;
            writer.sealers.push(handle);
        }
        writer.packs = Some(packs);
        Ok(writer)
    }

    fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: fn(&Shared, T),
        channels: T,
    ) -> Result<JoinHandle<()>, WriteError> {
        let shared = Arc::clone(&self.shared);
        Ok(std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(parallel::inherit(move || work(&shared, channels)))?)
    }

    /// A lane: a place to put chunks that belong together. Each thread that reads has its own.
    pub fn lane(&self, class: Class) -> Lane {
        Lane::new(Arc::clone(&self.shared), self.frames.clone(), class, FrameShape::FILES)
    }

    /// A lane of class data for streams whose chunks are rows of a database.
    pub fn lane_of_rows(&self) -> Lane {
        Lane::new(Arc::clone(&self.shared), self.frames.clone(), Class::Data, FrameShape::ROWS)
    }

    /// The id of a frame, once it's closed.
    pub fn frame_id(&self, number: u32) -> Option<FrameId> {
        self.shared.id_of(number)
    }

    /// Whether this run may refer to `count` chunks of `frame` from `first` on, which an earlier one wrote.
    pub fn rely_on(&self, frame: FrameId, first: u32, count: u32) -> bool {
        self.shared.rely_on(frame, first, count).is_some()
    }

    /// A hasher for content hashes of class secret.
    pub fn secret_content_hasher(&self) -> blake3::Hasher {
        self.shared.secret_root.content_hasher()
    }

    /// What was written so far.
    pub fn written(&self) -> &Written {
        &self.shared.written
    }

    /// Whether a thread failed.
    pub fn has_failed(&self) -> bool {
        self.shared.failure.is_set()
    }

    /// Nothing more is stored: whoever puts chunks fails before long.
    pub fn abandon(&self) {
        self.shared.failure.set(WriteError::Stopped);
    }

    /// The error that stopped the writer, if one did; else the one given.
    pub fn first_error(&self, otherwise: WriteError) -> WriteError {
        match self.shared.failure.take() {
            // Whoever abandoned it knows why.
            None | Some(WriteError::Stopped) => otherwise,
            Some(first) => first,
        }
    }

    /// Packs of others that something refers to so far.
    pub fn relied(&self) -> Vec<u32> {
        self.shared.relied.iter().collect()
    }

    /// No longer relies on a pack: chunks that are only there are stored again when they are met again.
    pub fn distrust(&self, pack: u32) {
        self.shared.fenced.remove(pack);
        self.shared.relied.remove(pack);
        self.shared.mending.look_again();
    }

    /// Stores what is left and waits until everything is durable. All lanes must have been flushed.
    pub fn finish(mut self) -> Result<Durable, WriteError> {
        for frame in self.shared.mending.finish(&self.shared) {
            // That nobody takes it any more means that something failed, which `join` finds.
            let _ = self.frames.as_ref().map(|frames| frames.send(frame));
        }
        self.join();
        if self.shared.failure.is_set() {
            return Err(self.first_error(WriteError::Stopped));
        }
        upload::write_segment(&self.shared)?;
        let shared = &self.shared;
        Ok(Durable {
            run: shared.run(),
            own: shared.segments.own_packs(),
            relied: shared.relied.iter().collect(),
            opening: shared.opening.clone(),
            run_key: Arc::clone(&shared.run_key),
        })
    }

    /// Ends the threads, last stage last. A panic in one of them goes on here.
    fn join(&mut self) {
        self.frames = None;
        join_all(&mut self.sealers);
        self.packs = None;
        join_all(&mut self.uploaders);
    }
}

fn join_all(threads: &mut Vec<JoinHandle<()>>) {
    for handle in threads.drain(..) {
        if let Err(panic) = handle.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.failure.set(WriteError::Stopped);
        self.join();
    }
}

/// Something on its way to the next stage, with its number among all that were.
type Numbered<T> = (u64, T);

/// The two ends a sealer works between.
type SealChannels = (Receiver<Numbered<RawFrame>>, Sender<Numbered<FinishedPack>>);

/// Adds to a counter.
fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}
