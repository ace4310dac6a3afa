//! Segments, which say where the frames of packs are: written as a run goes on, so that the work of one that is killed can be found.

use super::{MIB, SlowLine, back_up};
use crate::world::{World, noise};
use bytes::Bytes;
use nightsafe::repo::clock::Clock;
use nightsafe::repo::format::key;
use nightsafe::repo::id::PackId;
use nightsafe::repo::record::{self, Segment};
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::repo::store::{Listed, Store, StoreError, StoreErrorKind};
use nightsafe::repo::view::View;
use nightsafe::snapshot::backup::{BackupError, BackupOptions, BackupSummary, backup};
use nightsafe::snapshot::checkpoint::Cadence;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::source::pipe::{Input, PipeFrom, PipeSource};
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many packs a segment names, as `docs/protocol.md` says.
const PACKS: usize = 64;
/// Of a pack only its beginning and its end are kept: its frames are asked for by nobody here, and there are more than a GiB of them.
const HEAD: usize = 4 << 10;
const TAIL: usize = 512 << 10;

/// After five minutes, by the clock, the packs that none names yet are named by one; so the work of a run that is killed can be found.
#[test]
fn packs_are_named_within_five_minutes() {
    // Killed after the first pack, and after the second.
    for (budget, packs, segments) in [(20 * MIB, 1, 0), (33 * MIB, 2, 1)] {
        let world = World::new();
        world.write("file", noise(usize::try_from(36 * MIB).unwrap()));
        // Six minutes for a pack of 16 MiB.
        let line = SlowLine::new(&world, 360_000_000_000 / (16 * MIB));
        line.begin(budget);
        assert!(back_up(&world, line.clone(), Cadence { every: None, clock: line.clock() }).is_err());
        assert_eq!((world.objects("packs/").len(), world.objects("index/").len()), (packs, segments));
    }
}

/// A store that keeps no frames, over one connection: what is put comes in order.
struct Hollow {
    inner: Arc<MemoryStore>,
    packs: Mutex<Packs>,
}

#[derive(Default)]
struct Packs {
    /// The lengths of packs, of which less is kept.
    lengths: std::collections::BTreeMap<String, u64>,
    /// Packs and segments of all runs, in the order in which they were put.
    put: Vec<String>,
    /// So many packs may still come; then the run is killed.
    left: usize,
}

impl Hollow {
    fn killed(&self, key: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Other, key, self.inner.url()).because("it was killed")
    }

    fn alive(&self, key: &str) -> Result<(), StoreError> {
        if self.packs.lock().unwrap().left == 0 { Err(self.killed(key)) } else { Ok(()) }
    }
}

impl Store for Hollow {
    fn url(&self) -> &str {
        self.inner.url()
    }
    fn connections(&self) -> usize {
        1
    }
    fn create_root(&self) -> Result<(), StoreError> {
        self.inner.create_root()
    }
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.alive(key)?;
        let mut packs = self.packs.lock().unwrap();
        if key.starts_with(key::INDEX) {
            packs.put.push(key.to_owned());
        }
        if !key.starts_with(key::PACKS) {
            return self.inner.put(key, bytes);
        }
        packs.left -= 1;
        packs.put.push(key.to_owned());
        packs.lengths.insert(key.to_owned(), bytes.len() as u64);
        let kept = if bytes.len() > HEAD + TAIL {
            [&bytes[..HEAD], &bytes[bytes.len() - TAIL..]].concat().into()
        } else {
            bytes.clone()
        };
        self.inner.put(key, &kept)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.inner.get(key, limit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let cut = self.packs.lock().unwrap().lengths.get(key).map_or(0, |whole| {
            let kept = (HEAD + TAIL) as u64;
            whole.saturating_sub(kept)
        });
        let offset = if cut == 0 || offset + length <= HEAD as u64 { offset } else { offset - cut };
        assert!(cut == 0 || offset + length <= HEAD as u64 || offset >= HEAD as u64, "{key}: a frame is asked for");
        self.inner.get_range(key, offset, length)
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let cut = self.packs.lock().unwrap().lengths.get(key).copied();
        Ok(self.inner.length(key)?.map(|length| cut.unwrap_or(length)))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let lengths = self.packs.lock().unwrap().lengths.clone();
        self.inner.list(prefix, &mut |listed| {
            let length = lengths.get(&listed.key).copied().unwrap_or(listed.length);
            each(Listed { length, ..listed });
        })
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
}

/// So many bytes that nothing compresses, the same each time.
fn endless(bytes: u64) -> impl Read + Send + 'static {
    blake3::Hasher::new().finalize_xof().take(bytes)
}

/// Backs so many bytes up, of which so many packs arrive before it's killed.
fn back_up_until(world: &World, store: &Arc<Hollow>, bytes: u64, packs: usize) -> Result<BackupSummary, BackupError> {
    store.packs.lock().unwrap().left = packs;
    let from = PipeFrom::Input(Input::new(endless(bytes)));
    let stream =
        PipeSource { name: "stdin".to_owned(), file: "large".to_owned(), from, no_expand: true, secrets: Vec::new() };
    // By this clock no time goes by.
    let checkpoints = Cadence { every: None, clock: Clock::of(|| Duration::ZERO) };
    let options = BackupOptions { files: Vec::new(), streams: vec![stream], checkpoints, ..world.options() };
    backup(&world.repo_over(store.clone()), &options, &Silent::default())
}

/// The packs that a segment names.
fn named(world: &World, store_key: &str) -> BTreeSet<PackId> {
    let (segment, _) =
        record::open_record::<Segment>(world.repo().read_keys(), store_key, &world.bytes(store_key)).unwrap();
    segment.packs.into_iter().map(|pack| pack.pack).collect()
}

/// A segment comes after 64 packs, before the next pack, though no time goes by: a run that is killed then has told of all it stored.
#[test]
fn packs_are_named_every_64() {
    // 70 packs of 16 MiB.
    const BYTES: u64 = 70 * 16 * MIB;
    let world = World::new();
    let store = Arc::new(Hollow { inner: world.store.clone(), packs: Mutex::default() });
    // Killed when the 64th was stored and named, and the 65th was to come.
    assert!(back_up_until(&world, &store, BYTES, PACKS + 1).is_err());
    let put = store.packs.lock().unwrap().put.clone();
    let place = put.iter().position(|key| key.starts_with(key::INDEX));
    assert_eq!(place, Some(PACKS), "{put:?}");
    let before: BTreeSet<PackId> = put[..PACKS].iter().map(|key| key::parse_pack(key).unwrap()).collect();
    assert_eq!(named(&world, &put[PACKS]), before, "the segment names the 64 packs before it");
    // Another host, without a cache, knows what is in them: nothing of the first of them is stored again.
    std::fs::remove_dir_all(world.cache()).unwrap();
    let done = back_up_until(&world, &store, BYTES / 20, usize::MAX).unwrap();
    let stored = done.statistics.raw_added;
    assert!(stored < MIB, "{stored} bytes of {} were stored again", BYTES / 20);
    let (view, odd) = View::for_reading(&world.repo_over(store)).unwrap();
    assert!(odd.is_empty() && before.iter().all(|pack| !view.frames_of(*pack).unwrap().is_empty()), "{odd:?}");
}
