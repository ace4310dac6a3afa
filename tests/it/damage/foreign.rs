//! Objects that are sound and don't belong there: of another repository, of another time, under another's name, by somebody who may not.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::prune::{assert_restores, at_once, forget, night, pruned, try_prune};
use crate::world::{World, noise};
use crate::write_only::Host;
use nightsafe::repo::format::{MARKER, key};
use nightsafe::repo::gc::error::GcError;
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::{Passphrase, Secret, Sharing};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Note};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::check::{CheckOptions, CheckReport, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::snapshots::snapshots;
use std::collections::BTreeMap;
use std::sync::Arc;

fn forget_caches(world: &World) {
    let _ = std::fs::remove_dir_all(world.cache());
}

fn checked(world: &World) -> CheckReport {
    let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
    check(&world.repo(), &options, &Silent::default()).unwrap()
}

fn all(world: &World) -> BTreeMap<String, Vec<u8>> {
    world.objects("").into_keys().map(|key| (key.clone(), world.bytes(&key))).collect()
}

fn is_named(report: &CheckReport, key: &str) -> bool {
    report.errors.iter().any(|damage| damage.object == key)
        || report.warnings.iter().any(|warning| warning.starts_with(key))
}

fn with_three_nights(secret: Arc<Secret>) -> (World, Vec<(RunId, crate::world::Portrait)>) {
    let world = World::opened_by(secret);
    let nights = (0..3)
        .map(|n| {
            world.write("changing", noise(30_000 + n));
            world.write(".env", format!("KEY={n}\n"));
            night(&world)
        })
        .collect();
    (world, nights)
}

/// Somebody copies two repositories into one folder, and both have the same password. Whichever credential's id came first decided which of them was opened; the other's snapshots then looked damaged.
#[test]
fn of_two_repositories_in_one_folder_each_can_be_had_and_neither_loses_anything() {
    for n in 0..6 {
        let secret = Arc::new(Secret::Passphrase(Passphrase::new("the same").unwrap()));
        let (one, nights) = with_three_nights(Arc::clone(&secret));
        let (other, other_nights) = with_three_nights(secret);
        let theirs = all(&other);
        for (key, bytes) in theirs.iter().filter(|(key, _)| *key != MARKER) {
            one.store.put(key, &bytes.clone().into()).unwrap();
        }
        forget_caches(&one);
        assert_restores(&one, &nights);
        if n > 0 {
            continue; // which id comes first is chance; the rest isn't
        }
        let report = checked(&one);
        for key in theirs.keys().filter(|key| *key != MARKER) {
            assert!(is_named(&report, key), "{key}: {:#?}", (&report.errors, &report.warnings));
        }
        assert!(report.errors.iter().all(|damage| theirs.contains_key(&damage.object)), "{:#?}", report.errors);
        let before = all(&one);
        forget(&one, nights[0].0);
        let refused = try_prune(&one, &at_once());
        assert!(matches!(refused, Err(GcError::Foreign { .. } | GcError::Manifest { .. })), "{refused:?}");
        let after = all(&one);
        for (key, bytes) in
            before.iter().filter(|(key, _)| key.starts_with(key::PACKS) || key.starts_with(key::SNAPSHOTS))
        {
            assert_eq!(after.get(key), Some(bytes), "{key}");
        }
        // Backing up goes on, and so does the other one once it has its marker back.
        one.write("more", noise(10_000));
        let more = night(&one);
        assert_restores(&one, &[more]);
        one.replace(MARKER, theirs[MARKER].clone());
        forget_caches(&one);
        assert_restores(&one, &other_nights);
        let damage = checked(&one).errors;
        assert!(damage.iter().any(|damage| damage.object.starts_with(key::SNAPSHOTS)));
    }
}

#[test]
fn without_a_marker_that_fits_the_password_alone_decides_and_a_check_says_so() {
    let (world, nights) = with_three_nights(World::new().secret);
    world.replace(MARKER, format!(r#"{{"nightsafe":1,"repository":"{}"}}"#, "ab".repeat(16)).into_bytes());
    forget_caches(&world);
    assert_restores(&world, &nights);
    let errors = checked(&world).errors;
    assert_eq!(errors.iter().map(|damage| damage.object.as_str()).collect::<Vec<_>>(), [MARKER]);
}

#[test]
fn what_was_removed_and_comes_back_is_not_believed() {
    let (world, nights) = with_three_nights(World::new().secret);
    let old = all(&world);
    forget(&world, nights[0].0);
    let tombstone = key::forgotten(nights[0].0);
    pruned(&world);
    let replayed: Vec<&String> = old.keys().filter(|key| world.store.length(key).unwrap().is_none()).collect();
    assert!(replayed.contains(&&key::snapshot(nights[0].0)), "{replayed:?}");
    for key in replayed.iter().filter(|key| !key.starts_with(key::PACKS)) {
        world.store.put(key, &old[*key].clone().into()).unwrap();
    }
    forget_caches(&world);
    assert_restores(&world, &nights[1..]);
    assert_eq!(checked(&world).errors, [], "its tombstone hides it");
    // Without the tombstone it's offered, and what is gone of it is named.
    world.store.delete(&tombstone).unwrap();
    forget_caches(&world);
    assert_restores(&world, &nights[1..]);
    let report = checked(&world);
    assert!(report.errors.iter().any(|damage| damage.snapshots.iter().any(|(id, _)| *id == nights[0].0)));
    let (target, result) = world.try_restore(nights[0].0);
    let whole = result.is_ok_and(|summary| summary.problems.is_empty());
    assert!(!whole, "{} can't be whole", target.display());
}

#[test]
fn objects_under_anothers_name_count_as_absent_and_are_named() {
    let (world, nights) = with_three_nights(World::new().secret);
    let repo = world.repo();
    let run = repo.keys().new_run();
    let moved = [
        (key::snapshot(nights[0].0), key::snapshot(run)),
        (key::segment(nights[0].0, 0), key::segment(run, 0)),
        (key::run(nights[0].0), key::run(run)),
    ];
    for (from, to) in &moved {
        world.store.put(to, &world.bytes(from).into()).unwrap();
    }
    forget_caches(&world);
    let report = checked(&world);
    for (_, to) in &moved {
        assert!(is_named(&report, to), "{to}: {:#?}", (&report.errors, &report.warnings));
    }
    assert_restores(&world, &nights);
    assert_eq!(snapshots(&repo).unwrap().list.len(), 3);
}

/// A stolen host writes what only others may.
#[test]
fn what_a_write_only_host_signs_for_others_counts_as_absent_and_is_named() {
    let (world, nights) = with_three_nights(World::new().secret);
    let host = Host::new(&world, Sharing::Alone);
    let stolen = host.repo(&world);
    let full = world.repo();
    let sealed = |store_key: &str, run: RunId| {
        let record = record::RunRecord {
            needs: Needs::NONE,
            started: nightsafe::snapshot::backup::now(),
            host: run.to_string(),
            tool: String::new(),
        };
        record::seal_record(stolen.keys(), store_key, &record)
    };
    // A run of another credential's.
    let theirs = full.keys().new_run();
    let mut planted = vec![(key::run(theirs), sealed(&key::run(theirs), theirs))];
    // A note that takes tags, and one under the name of a full credential.
    let note = Note {
        needs: Needs::NONE,
        time: nightsafe::snapshot::backup::now(),
        snapshot: Some(nights[0].0),
        tags: vec!["planted".to_owned()],
        untags: Vec::new(),
        protects: true,
        withdraws: Vec::new(),
        verified: Vec::new(),
    };
    for run in [stolen.keys().new_run(), theirs] {
        let store_key = key::note(run, 0);
        planted.push((store_key.clone(), record::seal_record(stolen.keys(), &store_key, &note)));
    }
    // What the admin key must sign.
    for store_key in [key::forgotten(nights[0].0), key::stop(nights[0].0), key::gc(stolen.keys().new_run())] {
        planted.push((store_key.clone(), sealed(&store_key, nights[0].0)));
    }
    for (key, bytes) in &planted {
        world.store.put(key, &bytes.clone().into()).unwrap();
    }
    forget_caches(&world);
    let all = snapshots(&full).unwrap();
    assert_eq!(all.list.len(), 3);
    assert!(all.list.iter().all(|snapshot| snapshot.tags.is_empty() && !snapshot.protected));
    assert_restores(&world, &nights);
    let report = checked(&world);
    let said =
        |key: &String| is_named(&report, key) || report.warnings.iter().any(|warning| warning.contains(key.as_str()));
    for (key, _) in &planted {
        assert!(said(key), "{key}: {:#?}", (&report.errors, &report.warnings));
    }
}
