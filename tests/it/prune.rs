//! Pruning: what nothing needs goes, what something needs stays, and nothing is believed that wasn't looked at.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Portrait, World, noise, portrait};
use nightsafe::repo::cbor::Time;
use nightsafe::repo::format::key;
use nightsafe::repo::gc::error::GcError;
use nightsafe::repo::gc::plan::{MaxUnused, PlanOptions};
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Condemned, Pins, Tombstone};
use nightsafe::repo::store::faulty::{Fault, FaultyStore};
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::record::RecordingStore;
use nightsafe::repo::store::{Store, StoreErrorKind};
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::{PruneOptions, PruneReport, plan, prune};
use std::sync::Arc;
use std::time::Duration;

/// Everything that was forgotten goes at once, however much it is.
pub(crate) fn at_once() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, max_delete: 100, ..PruneOptions::at(now()) }
}

pub(crate) fn forget(world: &World, run: RunId) {
    let store_key = key::forgotten(run);
    let tombstone = Tombstone { needs: Needs::NONE, time: now(), dead: false };
    let sealed = record::seal_admin_record(world.repo().read_keys(), &store_key, &tombstone);
    world.store.put(&store_key, &sealed.into()).unwrap();
}

pub(crate) fn try_prune(world: &World, options: &PruneOptions) -> Result<PruneReport, GcError> {
    prune(&world.repo(), options, &Silent::default())
}

pub(crate) fn pruned(world: &World) -> PruneReport {
    try_prune(world, &at_once()).unwrap()
}

pub(crate) fn packs(world: &World) -> Vec<PackId> {
    world.objects("packs/").keys().filter_map(|key| key::parse_pack(key)).collect()
}

/// A night: the snapshot, and what the folder looked like.
pub(crate) fn night(world: &World) -> (RunId, Portrait) {
    (world.back_up().snapshot.unwrap(), portrait(&world.source()))
}

pub(crate) fn assert_restores(world: &World, nights: &[(RunId, Portrait)]) {
    for (run, before) in nights {
        assert_eq!(&world.restored(*run), before, "{run}");
    }
}

#[test]
fn what_only_forgotten_snapshots_need_goes() {
    let world = World::new();
    world.write("stays", noise(300_000));
    world.write("goes", noise(900_000));
    let (first, _) = night(&world);
    std::fs::remove_file(world.source().join("goes")).unwrap();
    world.write("comes", noise(200_000));
    let second = night(&world);
    let before: u64 = world.objects("packs/").values().sum();
    assert_eq!(pruned(&world).packs_removed, 0, "nothing was forgotten");
    forget(&world, first);
    let report = pruned(&world);
    let after: u64 = world.objects("packs/").values().sum();
    assert!(before - after > 850_000, "{before} {after}");
    assert_eq!(before - after, report.bytes_freed, "{report:?}");
    assert_restores(&world, &[second]);
    assert_eq!(world.objects("snapshots/").len(), 1);
    let again = pruned(&world);
    assert_eq!((again.packs_removed, again.packs_rewritten), (0, 0), "{again:?}");
    assert!(world.objects("").keys().all(|key| !key.contains("zz-")), "canaries are removed");
}

/// The frames of small files that went hold those of others that stay: they are punched, and what refers to them still finds them.
#[test]
fn half_dead_packs_are_rewritten_and_later_backups_rely_on_them() {
    let world = World::new();
    for n in 0..200 {
        world.write(&format!("file-{n:03}"), noise(3_000));
    }
    std::thread::sleep(Duration::from_millis(2_300));
    let (first, _) = night(&world);
    for n in (0..200).filter(|n| n % 3 != 0) {
        std::fs::remove_file(world.source().join(format!("file-{n:03}"))).unwrap();
    }
    std::thread::sleep(Duration::from_millis(2_300));
    let second = night(&world);
    forget(&world, first);
    let report = pruned(&world);
    assert!(report.packs_rewritten >= 1, "{report:?}");
    let after: u64 = world.objects("packs/").values().sum();
    assert!(after < 300_000, "{after}: a third of 600,000 is needed");
    assert_restores(&world, std::slice::from_ref(&second));
    // The cache of seen files still holds: nothing is read, nothing stored.
    let store = Arc::new(RecordingStore::new(world.store.clone()));
    let summary = world.try_back_up(&world.repo_over(store.clone())).unwrap();
    assert_eq!((summary.statistics.bytes_read, summary.statistics.packs_added), (0, 0), "{:?}", summary.statistics);
    // Neither without any cache is anything stored again.
    std::fs::remove_dir_all(world.cache()).unwrap();
    let third = night(&world);
    assert!(world.objects("packs/").values().sum::<u64>() - after < 20_000);
    forget(&world, second.0);
    pruned(&world);
    assert_restores(&world, &[third]);
}

#[test]
fn within_the_grace_forgotten_snapshots_count() {
    let world = World::new();
    world.write("file", noise(500_000));
    let first = night(&world);
    world.write("file", noise(500_000));
    let second = night(&world);
    forget(&world, first.0);
    let options = PruneOptions { grace: Duration::from_hours(1), ..at_once() };
    let report = try_prune(&world, &options).unwrap();
    assert_eq!((report.packs_removed, report.snapshots_in_grace), (0, 1));
    assert!(report.bytes_pending > 400_000 && report.pending_until.is_some(), "{report:?}");
    assert_restores(&world, &[first, second]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new();
    world.write("file", noise(500_000));
    let (first, _) = night(&world);
    world.write("file", noise(500_000));
    night(&world);
    forget(&world, first);
    let store = Arc::new(RecordingStore::new(world.store.clone()));
    let repo = world.repo_over(store.clone());
    let report = plan(&repo, &at_once(), true, &Silent::default()).unwrap().report();
    assert!(report.packs_removed > 0 && report.bytes_freed > 400_000, "{report:?}");
    assert_eq!((store.count(Operation::Put, ""), store.count(Operation::Delete, "")), (0, 0));
}

/// A run that was announced, and nothing else.
fn announce(world: &World) -> RunId {
    let repo = world.repo();
    let run = repo.keys().new_run();
    nightsafe::repo::run::announce(&repo, run, now(), "elsewhere", "test").unwrap();
    run
}

fn pin(world: &World, run: RunId, packs: Vec<PackId>) {
    let (repo, store_key) = (world.repo(), key::pins(run, 0));
    let sealed = record::seal_record(repo.keys(), &store_key, &Pins { needs: Needs::NONE, packs });
    world.store.put(&store_key, &sealed.into()).unwrap();
}

#[test]
fn what_a_run_pins_stays_as_long_as_it_may_commit() {
    let world = World::new();
    world.write("file", noise(500_000));
    let (first, _) = night(&world);
    world.write("file", noise(500_000));
    let second = night(&world);
    let run = announce(&world);
    pin(&world, run, packs(&world));
    forget(&world, first);
    let report = pruned(&world);
    assert_eq!((report.packs_removed, report.packs_held > 0), (0, true), "{report:?}");
    // Silent for too long: declared dead, and what it pinned goes.
    let dead = PruneOptions { stale_after: Duration::ZERO, ..at_once() };
    std::thread::sleep(Duration::from_millis(2_100));
    let report = try_prune(&world, &dead).unwrap();
    assert_eq!((report.runs_stopped, report.packs_removed > 0), (1, true), "{report:?}");
    assert_eq!(world.objects("stops/").len(), 1);
    assert_restores(&world, &[second]);
    assert!(world.objects("pins/").is_empty() && world.objects("runs/").is_empty());
}

/// Packs of a run that isn't decided are nobody's garbage, even if its record is gone.
#[test]
fn what_a_run_wrote_stays_as_long_as_it_may_commit() {
    let world = World::new();
    world.write("file", noise(500_000));
    let store = Arc::new(FaultyStore::new(world.store.clone()));
    let repo = world.repo_over(store.clone());
    let kept = night(&world);
    world.write("other", noise(500_000));
    // Killed before its manifest.
    let before = packs(&world).len();
    let manifest = 2 + store.calls(Operation::Put);
    for put in manifest..manifest + 9 {
        store.plan(Operation::Put, put + 1, Fault::Before(StoreErrorKind::Denied));
    }
    world.try_back_up(&repo).unwrap_err();
    assert!(packs(&world).len() > before, "it left packs");
    for key in world.objects("runs/").keys() {
        world.store.delete(key).unwrap();
    }
    assert_eq!(pruned(&world).packs_removed, 0);
    std::thread::sleep(Duration::from_millis(2_100));
    let report = try_prune(&world, &PruneOptions { stale_after: Duration::ZERO, ..at_once() }).unwrap();
    assert!(report.packs_removed > 0 && report.runs_stopped == 1, "{report:?}");
    assert_eq!(packs(&world).len(), before);
    assert_restores(&world, &[kept]);
}

#[test]
fn refusals_delete_nothing() {
    let world = World::new();
    world.write("file", noise(500_000));
    let first = night(&world);
    world.write("file", noise(500_000));
    let second = night(&world);
    pruned(&world);
    let nights = [first, second];
    let refused = |options: &PruneOptions| {
        let before = world.objects("packs/");
        let error = try_prune(&world, options).unwrap_err();
        assert_eq!(world.objects("packs/"), before);
        error
    };
    // A snapshot that nobody forgot is gone from the listing.
    let lost = key::snapshot(nights[0].0);
    let bytes = world.bytes(&lost);
    world.store.delete(&lost).unwrap();
    let error = refused(&at_once());
    assert!(matches!(&error, GcError::Census { missing } if *missing == [nights[0].0]), "{error}");
    world.store.put(&lost, &bytes.clone().into()).unwrap();
    // A manifest that can't be understood.
    world.replace(&lost, bytes[..bytes.len() - 1].to_vec());
    assert!(matches!(refused(&at_once()), GcError::Manifest { snapshot, .. } if snapshot == nights[0].0));
    world.replace(&lost, bytes);
    // Pins that can't be understood: what is relied on can't be told.
    let run = announce(&world);
    world.store.put(&key::pins(run, 0), &noise(100).into()).unwrap();
    assert!(matches!(refused(&at_once()), GcError::Pins { .. }));
    // … but of a run that is dead they are void.
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(try_prune(&world, &PruneOptions { stale_after: Duration::ZERO, ..at_once() }).unwrap().runs_stopped, 1);
    // More than a quarter of all.
    forget(&world, nights[0].0);
    let error = refused(&PruneOptions { grace: Duration::ZERO, ..PruneOptions::at(now()) });
    assert!(matches!(error, GcError::TooMuch { percent: 40..=60, limit: 25 }), "{error}");
    forget(&world, nights[1].0);
    assert!(matches!(refused(&at_once()), GcError::NoSnapshots));
}

/// Any single listing of a prune that is cut short: what is left is enough, or nothing goes.
#[test]
fn listings_that_lie_lose_nothing() {
    let (mut pruned, mut refused) = (0, 0);
    for nth in 0..16 {
        for shown in [0, 1, 2] {
            let world = World::new();
            world.write("goes", noise(60_000));
            world.write("stays", noise(30_000));
            let (first, _) = night(&world);
            std::fs::remove_file(world.source().join("goes")).unwrap();
            world.write("more", noise(20_000));
            let kept = [night(&world), night(&world)];
            forget(&world, first);
            let store = Arc::new(FaultyStore::new(world.store.clone()));
            let repo = world.repo_over(store.clone());
            store.plan(Operation::List, store.calls(Operation::List) + nth, Fault::ShortListing(shown));
            match prune(&repo, &at_once(), &Silent::default()) {
                Ok(_) => pruned += 1,
                Err(_) => refused += 1,
            }
            assert_restores(&world, &kept);
        }
    }
    assert!(pruned > 5 && refused > 5, "{pruned} and {refused}");
}

/// The listing of `rsync`: packs came, manifests didn't yet. A prune that ran then buried nothing, so when the rest is there all is as it was.
#[test]
fn a_half_copied_repository_is_left_alone() {
    let world = World::new();
    world.write("file", noise(300_000));
    night(&world);
    let second = night(&world);
    pruned(&world); // puts a census
    let store_key = key::snapshot(second.0);
    let bytes = world.bytes(&store_key);
    world.store.delete(&store_key).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    let impatient = PruneOptions { stale_after: Duration::ZERO, ..at_once() };
    assert!(matches!(try_prune(&world, &impatient), Err(GcError::Census { .. })));
    assert!(world.objects("stops/").is_empty() && world.objects("forgotten/").is_empty(), "nobody was declared dead");
    world.store.put(&store_key, &bytes.into()).unwrap();
    try_prune(&world, &impatient).unwrap();
    assert_restores(&world, &[second]);
}

#[test]
fn what_others_condemned_is_copied_before_it_goes() {
    let world = World::new();
    world.write("file", noise(400_000));
    let kept = night(&world);
    let (repo, gid) = (world.repo(), world.repo().keys().new_run());
    let body =
        Condemned { needs: Needs::NONE, time: now(), condemned: packs(&world), kept: vec![], census: vec![kept.0] };
    let sealed = record::seal_admin_record(repo.read_keys(), &key::gc(gid), &body);
    world.store.put(&key::gc(gid), &sealed.into()).unwrap();
    let before = packs(&world);
    let report = pruned(&world);
    assert_eq!(report.packs_rewritten, before.len() as u64, "{report:?}");
    assert!(packs(&world).iter().all(|pack| !before.contains(pack)));
    assert_restores(&world, &[kept]);
}

#[test]
fn how_much_may_remain_is_for_the_user_to_say() {
    let world = World::new();
    // So few that the folder is one chunk.
    for n in 0..12 {
        world.write(&format!("file-{n:02}"), noise(40_000));
    }
    let (first, _) = night(&world);
    for n in 0..2 {
        std::fs::remove_file(world.source().join(format!("file-{n:02}"))).unwrap();
    }
    let second = night(&world);
    forget(&world, first);
    let with = |max_unused, max_repack| {
        let options = PruneOptions { plan: PlanOptions { max_unused, max_repack }, ..at_once() };
        let repo = world.repo();
        plan(&repo, &options, true, &Silent::default()).unwrap().report()
    };
    assert_eq!(with(MaxUnused::ByPack, None).packs_rewritten, 0, "a sixth is dead");
    assert_eq!(with(MaxUnused::Percent(50), None).packs_rewritten, 0);
    assert_eq!(with(MaxUnused::Percent(5), None).packs_rewritten, 1);
    assert_eq!(with(MaxUnused::Bytes(10_000), None).packs_rewritten, 1);
    assert_eq!(with(MaxUnused::Percent(5), Some(10_000)).packs_rewritten, 0, "the pack is larger than that");
    assert_eq!(with(MaxUnused::Unlimited, None).packs_rewritten, 0);
    let options =
        PruneOptions { plan: PlanOptions { max_unused: MaxUnused::Percent(0), max_repack: None }, ..at_once() };
    let report = try_prune(&world, &options).unwrap();
    assert!(report.packs_rewritten >= 1 && report.bytes_unused < 5_000, "{report:?}");
    assert_restores(&world, &[second]);
}

/// Steps 1 to 9 in their order, as the store sees them.
#[test]
fn a_prune_keeps_the_order_that_was_promised() {
    let world = World::new();
    for n in 0..50 {
        world.write(&format!("file-{n}"), noise(5_000));
    }
    let (first, _) = night(&world);
    for n in 0..30 {
        std::fs::remove_file(world.source().join(format!("file-{n}"))).unwrap();
    }
    night(&world);
    forget(&world, first);
    let store = Arc::new(RecordingStore::new(world.store.clone()));
    let repo = world.repo_over(store.clone());
    store.take();
    let report = prune(&repo, &at_once(), &Silent::default()).unwrap();
    assert!(report.packs_rewritten > 0);
    let calls = store.take();
    let at = |operation, prefix: &str| -> Vec<usize> {
        (0..calls.len()).filter(|&i| calls[i].operation == operation && calls[i].key.starts_with(prefix)).collect()
    };
    let of_name = |operation, prefix: &str| -> Vec<usize> {
        at(operation, prefix).into_iter().filter(|&i| !calls[i].key.contains("zz-")).collect()
    };
    let (lists, puts) = (|prefix| at(Operation::List, prefix), |prefix| of_name(Operation::Put, prefix));
    let condemned = puts("gc/")[0];
    let first = |places: Vec<usize>| places[0];
    assert!(first(lists("packs/")) < first(lists("runs/")), "packs are listed before runs");
    assert!(first(lists("runs/")) < first(lists("pins/")), "runs and pins before …");
    assert!(lists("snapshots/").into_iter().any(|list| list > first(lists("pins/")) && list < condemned), "snapshots");
    assert!(puts("runs/")[0] < puts("packs/")[0], "the pruner's own run is announced before its packs");
    for pack in puts("packs/") {
        let key = &calls[pack].key;
        assert!((pack..condemned).any(|i| calls[i].operation == Operation::Get && calls[i].key == *key), "read back");
    }
    let after = |places: Vec<usize>| places.into_iter().find(|&i| i > condemned).unwrap();
    let (runs, snapshots) = (after(lists("runs/")), lists("snapshots/").into_iter().rfind(|&i| i > condemned).unwrap());
    assert!(runs < snapshots, "8a before 8b");
    assert!(after(lists("pins/")) < snapshots);
    let others =
        lists("gc/").into_iter().rfind(|&i| i > condemned && i < first(of_name(Operation::Delete, "packs/"))).unwrap();
    let kept = at(Operation::Length, "packs/").into_iter().find(|&i| i > others).unwrap();
    assert!(snapshots < others && others < kept, "8b before 8c before 8d");
    let deleted = of_name(Operation::Delete, "packs/")[0];
    assert!(kept < deleted, "and then packs are deleted");
}

/// The times of tombstones are the store's: a host whose clock is off by years neither hurries nor delays anything.
#[test]
fn clocks_of_hosts_decide_nothing() {
    let world = World::new();
    world.write("file", noise(300_000));
    let first = night(&world);
    world.write("file", noise(300_000));
    let second = night(&world);
    forget(&world, first.0);
    for years in [-10, 10] {
        let now = Time { seconds: now().seconds + years * 365 * 86_400, nanoseconds: 0 };
        let options = PruneOptions { now, grace: Duration::from_hours(24), ..at_once() };
        let report = try_prune(&world, &options).unwrap();
        assert_eq!((report.packs_removed, report.runs_stopped), (0, 0));
    }
    assert_restores(&world, &[first, second]);
}
