//! The order of reads and writes that `docs/protocol.md` promises, and what a run does when a pruner was there.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::intercept::Intercepted;
use crate::world::{World, noise, portrait};
use nightsafe::repo::cbor::Time;
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Condemned, Stop};
use nightsafe::repo::repository::{Full, Repo};
use nightsafe::repo::store::Store;
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::record::{Call, RecordingStore};
use nightsafe::snapshot::snapshots::snapshots;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOW: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };

fn recorded(world: &World) -> (Arc<RecordingStore>, Repo<Full>) {
    let store = Arc::new(RecordingStore::new(world.store.clone()));
    let repo = world.repo_over(store.clone());
    store.take();
    (store, repo)
}

/// Where the calls that fit are in the order.
fn places(calls: &[Call], operation: Operation, prefix: &str) -> Vec<usize> {
    let fits = |call: &Call| call.operation == operation && call.key.starts_with(prefix);
    (0..calls.len()).filter(|&i| fits(&calls[i])).collect()
}

fn only(places: &[usize]) -> usize {
    assert_eq!(places.len(), 1);
    places[0]
}

/// What holds of every run that succeeds.
fn assert_order(calls: &[Call], run: RunId) {
    let puts = places(calls, Operation::Put, "");
    let announced = only(&places(calls, Operation::Put, &key::run(run)));
    assert_eq!(announced, puts[0], "the run record is the first thing written");
    let manifest = only(&places(calls, Operation::Put, "snapshots/"));
    assert_eq!(Some(&manifest), puts.last(), "the manifest is the last thing written");
    assert_eq!(calls[manifest].key, key::snapshot(run));
    let stop = only(&places(calls, Operation::Get, "stops/"));
    assert_eq!((stop > manifest, &calls[stop].key), (true, &key::stop(run)), "the stop is looked for afterwards");
    let packs = places(calls, Operation::Put, "packs/");
    let segments = places(calls, Operation::Put, "index/");
    assert_eq!(packs.is_empty(), segments.is_empty());
    if let (Some(pack), Some(segment)) = (packs.last(), segments.last()) {
        assert!(pack < segment, "a segment follows the packs it names");
    }
    let listings = places(calls, Operation::List, "packs/");
    let condemnations = places(calls, Operation::List, "gc/");
    let pins = places(calls, Operation::Put, "pins/");
    for &pin in &pins {
        assert!(announced < pin);
        let look = condemnations.iter().find(|&&gc| gc > pin).expect("condemnations are looked for after pins");
        assert!(listings.iter().any(|listing| listing > look), "packs are listed after that");
    }
    if let Some(first) = packs.first() {
        assert!(condemnations.iter().any(|gc| (announced + 1..*first).contains(gc)), "the fence comes before packs");
    }
    let written = packs.iter().chain(&segments).chain(&pins).max();
    if let Some(written) = written {
        let last_look = |looks: &[usize]| looks.iter().any(|look| (written + 1..manifest).contains(look));
        assert!(last_look(&listings) && last_look(&condemnations), "the last look comes after all that is relied on");
    }
    for delete in places(calls, Operation::Delete, "") {
        assert!(delete > stop && calls[delete].key.starts_with(&format!("pins/{run}/")), "{:?}", calls[delete]);
    }
}

#[test]
fn runs_keep_the_order_that_was_promised() {
    let world = World::new();
    world.write("file", noise(3_000_000));
    for night in 0..4 {
        let (store, repo) = recorded(&world);
        world.write(&format!("new-{night}"), noise(200_000));
        let summary = world.try_back_up(&repo).unwrap();
        let calls = store.take();
        assert_order(&calls, summary.snapshot.unwrap());
        let pins = places(&calls, Operation::Put, "pins/");
        assert_eq!(pins.is_empty(), night == 0, "what others wrote is pinned");
        if night > 1 {
            // What the last snapshot relied on is pinned before anything is read or written.
            let fence = places(&calls, Operation::List, "gc/")[0];
            assert!(pins[0] < fence && fence < places(&calls, Operation::Put, "packs/")[0]);
        }
    }
    assert!(world.objects("pins/").is_empty(), "pins are removed when a run is decided");
}

#[test]
fn an_unchanged_backup_asks_little_of_the_store() {
    let world = World::new();
    for n in 0..300 {
        world.write(&format!("folder-{}/file-{n}", n % 7), noise(2_000));
    }
    world.write("large", noise(5_000_000));
    std::thread::sleep(Duration::from_millis(2_300));
    world.back_up();
    world.back_up();
    let (store, repo) = recorded(&world);
    let summary = world.try_back_up(&repo).unwrap();
    assert_eq!(summary.statistics.packs_added, 0);
    let calls = store.take();
    let count = |operation| places(&calls, operation, "").len();
    // The run record, the pins, the manifest.
    assert_eq!(count(Operation::Put), 3, "{calls:#?}");
    // Pins and manifest are read back, and the stop is looked for. Manifests and trailers of before are in the cache.
    assert_eq!(count(Operation::Get), 3, "{calls:#?}");
    assert_eq!(count(Operation::GetRange), 0, "{calls:#?}");
    assert!(count(Operation::List) <= 9, "{calls:#?}");
}

/// A store in which something happens just before the first object under `prefix` is written.
fn meanwhile(
    world: &World,
    prefix: &'static str,
    what: impl FnOnce(&dyn Store, &str) + Send + 'static,
) -> Arc<Intercepted> {
    let what = Mutex::new(Some(what));
    Arc::new(Intercepted::new(world.store.clone(), move |inner, key, _| {
        if key.starts_with(prefix)
            && let Some(what) = what.lock().unwrap().take()
        {
            what(inner, key);
        }
        Ok(())
    }))
}

type SealStop = fn(&Repo<Full>, &str) -> Vec<u8>;
type SealCondemned = fn(&Repo<Full>, &str, &Condemned) -> Vec<u8>;

fn run_of(snapshot_key: &str) -> RunId {
    key::parse_run(key::SNAPSHOTS, snapshot_key).unwrap()
}

/// A stop of the run whose manifest is about to be written, as `seal` makes it.
fn stopping(world: &World, seal: impl FnOnce(&Repo<Full>, &str) -> Vec<u8> + Send + 'static) -> Arc<Intercepted> {
    let repo = world.repo();
    meanwhile(world, key::SNAPSHOTS, move |store, snapshot| {
        let stop = key::stop(run_of(snapshot));
        store.put(&stop, &seal(&repo, &stop).into()).unwrap();
    })
}

#[test]
fn a_run_that_was_declared_dead_begins_again_under_a_new_id() {
    let world = World::new();
    world.write("file", noise(500_000));
    world.back_up();
    world.write("other", noise(500_000));
    let stopping = stopping(&world, |repo, stop| {
        record::seal_admin_record(repo.read_keys(), stop, &Stop { needs: Needs::NONE, time: NOW })
    });
    let store = Arc::new(RecordingStore::new(stopping));
    let repo = world.repo_over(store.clone());
    store.take();
    let summary = world.try_back_up(&repo).unwrap();
    let calls = store.take();
    let manifests = store_keys(&calls, key::SNAPSHOTS);
    assert_eq!(manifests.len(), 2, "the dead run's and the new one's");
    let (dead, alive) = (run_of(&manifests[0]), run_of(&manifests[1]));
    assert_eq!(summary.snapshot, Some(alive));
    // The second attempt is a whole run, in the promised order.
    let second = calls.iter().position(|call| call.operation == Operation::Put && call.key == key::run(alive)).unwrap();
    assert_order(&calls[second..], alive);
    // It relies on the packs that the dead one wrote, having pinned them, and stores the data once.
    let data: u64 = calls[second..]
        .iter()
        .filter(|call| call.operation == Operation::Put && call.key.starts_with("packs/"))
        .map(|call| call.amount)
        .sum();
    assert!(data < 50_000, "{data}");
    let open = nightsafe::repo::envelope::open_manifest(&**repo.keys(), alive, &world.bytes(&manifests[1])).unwrap();
    let open: nightsafe::snapshot::manifest::OpenPart =
        nightsafe::repo::cbor::decode("manifest", open.open_part()).unwrap();
    assert_eq!(open.replaces, Some(vec![dead]));
    assert_eq!(world.restored(alive), portrait(&world.source()));
}

fn store_keys(calls: &[Call], prefix: &str) -> Vec<String> {
    places(calls, Operation::Put, prefix).into_iter().map(|i| calls[i].key.clone()).collect()
}

#[test]
fn stops_that_nobody_signed_who_may_count_as_absent() {
    let forged: [SealStop; 3] = [
        |_, _| noise(200),
        // Signed by the admin key, but for another run.
        |repo, _| {
            let other = key::stop(repo.keys().new_run());
            record::seal_admin_record(repo.read_keys(), &other, &Stop { needs: Needs::NONE, time: NOW })
        },
        // Of another repository.
        |_, stop| {
            let foreign = World::new().repo();
            record::seal_admin_record(foreign.read_keys(), stop, &Stop { needs: Needs::NONE, time: NOW })
        },
    ];
    for seal in forged {
        let world = World::new();
        world.write("file", noise(100_000));
        let summary = world.try_back_up(&world.repo_over(stopping(&world, seal))).unwrap();
        assert_eq!(world.objects("snapshots/").len(), 1);
        assert_eq!(world.objects("stops/").len(), 1);
        assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
    }
}

fn data_packs(world: &World) -> Vec<PackId> {
    world.objects("packs/").keys().filter_map(|key| key::parse_pack(key)).collect()
}

/// Puts a condemnation of all packs there are, as `seal` makes it. Returns the packs.
fn condemn(world: &World, seal: impl FnOnce(&Repo<Full>, &str, &Condemned) -> Vec<u8>) -> Vec<PackId> {
    let repo = world.repo();
    let key = format!("{}{}", key::GC, repo.keys().new_run());
    let condemned = data_packs(world);
    let body = Condemned { needs: Needs::NONE, time: NOW, condemned: condemned.clone(), kept: vec![], census: vec![] };
    world.store.put(&key, &seal(&repo, &key, &body).into()).unwrap();
    condemned
}

fn by_admin(repo: &Repo<Full>, key: &str, body: &Condemned) -> Vec<u8> {
    record::seal_admin_record(repo.read_keys(), key, body)
}

/// A folder that two snapshots hold, so that its files are in the cache of seen files.
fn settled() -> World {
    let world = World::new();
    world.write("file", noise(600_000));
    world.write("folder/other", noise(2_000));
    std::thread::sleep(Duration::from_millis(2_300));
    world.back_up();
    let second = world.back_up();
    assert_eq!(second.statistics.bytes_read, 0, "the cache knows the files");
    world
}

#[test]
fn packs_that_were_condemned_are_not_relied_on() {
    let world = settled();
    let condemned = condemn(&world, by_admin);
    let (store, repo) = recorded(&world);
    let summary = world.try_back_up(&repo).unwrap();
    assert_order(&store.take(), summary.snapshot.unwrap());
    let s = summary.statistics;
    assert!(s.raw_added >= 602_000 && s.bytes_read >= 602_000, "stored again, and read for that: {s:?}");
    // The pruner goes on: what it condemned is deleted, and the snapshot needs none of it.
    for pack in condemned {
        world.store.delete(&key::pack(pack)).unwrap();
    }
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
}

#[test]
fn packs_that_are_condemned_while_a_run_goes_on_are_stored_again() {
    for prefix in ["runs/", "pins/", "packs/"] {
        let world = settled();
        world.write("new", noise(10_000));
        let repo = world.repo();
        let gc = format!("{}{}", key::GC, repo.keys().new_run());
        let condemned = data_packs(&world);
        let body =
            Condemned { needs: Needs::NONE, time: NOW, condemned: condemned.clone(), kept: vec![], census: vec![] };
        let sealed = by_admin(&repo, &gc, &body);
        let store = meanwhile(&world, prefix, move |store, _| store.put(&gc, &sealed.into()).unwrap());
        let summary = world.try_back_up(&world.repo_over(store)).unwrap();
        for pack in condemned {
            world.store.delete(&key::pack(pack)).unwrap();
        }
        assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()), "condemned before {prefix}");
    }
}

#[test]
fn condemnations_that_nobody_signed_who_may_count_as_absent() {
    let seals: [SealCondemned; 3] = [
        |_, _, _| noise(300),
        |repo, _, body| by_admin(repo, &format!("{}{}", key::GC, repo.keys().new_run()), body),
        |_, key, body| by_admin(&World::new().repo(), key, body),
    ];
    let world = settled();
    for seal in seals {
        condemn(&world, seal);
        let summary = world.back_up();
        assert_eq!((summary.statistics.packs_added, summary.statistics.bytes_read), (0, 0));
    }
}

#[test]
fn packs_that_vanished_are_stored_again() {
    let world = settled();
    for pack in data_packs(&world) {
        world.store.delete(&key::pack(pack)).unwrap();
    }
    let summary = world.back_up();
    let s = summary.statistics;
    assert!(s.bytes_read >= 602_000 && s.raw_added >= 602_000, "{s:?}");
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
    // Cut short is as bad as gone.
    for pack in data_packs(&world) {
        let key = key::pack(pack);
        let bytes = world.bytes(&key);
        world.replace(&key, bytes[..bytes.len() - 1].to_vec());
    }
    let summary = world.back_up();
    assert!(summary.statistics.raw_added >= 602_000);
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
}

/// Packs may also go while a run relies on them, or be lost right after they were written.
#[test]
fn packs_that_vanish_while_a_run_goes_on_are_stored_again() {
    for prefix in ["runs/", "pins/", "packs/", "index/"] {
        let world = settled();
        world.write("new", noise(10_000));
        let store = meanwhile(&world, prefix, |store, _| {
            let mut keys = Vec::new();
            store.list("packs/", &mut |listed| keys.push(listed.key)).unwrap();
            for key in keys {
                store.delete(&key).unwrap();
            }
        });
        let summary = world.try_back_up(&world.repo_over(store)).unwrap();
        assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()), "gone before {prefix}");
    }
}

#[test]
fn sequence_numbers_count_and_manifests_are_chained() {
    let world = World::new();
    world.write("file", b"x");
    let ids: Vec<RunId> = (0..3).map(|_| world.back_up().snapshot.unwrap()).collect();
    std::fs::remove_dir_all(world.cache()).unwrap();
    let last = world.back_up().snapshot.unwrap();
    let all = snapshots(&world.repo()).unwrap();
    assert_eq!(all.unreadable, []);
    let of = |id| &all.list.iter().find(|snapshot| snapshot.id == id).unwrap().manifest;
    let mut before = None;
    for (n, id) in ids.into_iter().chain([last]).enumerate() {
        assert_eq!(
            (of(id).sequence, of(id).previous, of(id).parent),
            (n as u64, before.map(|(_, hash)| hash), before.map(|(id, _)| id))
        );
        before = Some((id, *blake3::hash(&world.bytes(&key::snapshot(id))).as_bytes()));
    }
}
