//! What becomes of a repository that is damaged: what checks remember, what repairs add, and what a backup brings back.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod notes;

use crate::world::{NAME, Portrait, World, noise, portrait};
use nightsafe::repo::cbor::Time;
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::pack::trailer::TrailerFrame;
use nightsafe::repo::repair::index;
use nightsafe::repo::repair::packs::{PacksOutcome, PacksPlan};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::check::{CheckError, CheckOptions, CheckReport, Subset, check, check_names};
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::prune::{PruneOptions, prune};
use nightsafe::snapshot::repair::losses::losses;
use nightsafe::snapshot::repair::packs::{self, PacksOptions};
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A repository with a few nights' snapshots, and what each must bring back.
struct Nights {
    world: World,
    snapshots: Vec<(RunId, Portrait)>,
}

impl Nights {
    fn new() -> Self {
        let mut nights = Self { world: World::new(), snapshots: Vec::new() };
        for night in 0..3 {
            for n in 0..4 {
                nights.world.write(&format!("folder-{n}/file-{night}"), noise(150_000));
            }
            nights.world.write("large", noise(900_000));
            nights.world.write("tiny", b"inline");
            nights.back_up();
        }
        nights
    }

    /// Another night.
    fn back_up(&mut self) -> RunId {
        let id = self.world.back_up().snapshot.unwrap();
        self.snapshots.push((id, portrait(&self.world.source())));
        id
    }

    fn packs(&self) -> Vec<PackId> {
        self.world.objects("packs/").keys().filter_map(|key| key::parse_pack(key)).collect()
    }

    fn forget_caches(&self) {
        let _ = std::fs::remove_dir_all(self.world.cache());
    }

    fn assert_all_come_back(&self, what: &str) {
        for (night, (id, expected)) in self.snapshots.iter().enumerate() {
            assert_eq!(&self.world.restored(*id), expected, "{what}: night {night}");
        }
    }

    fn check(&self, reading: Option<&str>, time: i64) -> CheckReport {
        let options = CheckOptions { read_data: reading.map(|reading| reading.parse().unwrap()), time: Some(at(time)) };
        check(&self.world.repo(), &options, &Silent::default()).unwrap()
    }

    fn frames(&self, pack: PackId) -> Vec<TrailerFrame> {
        let (repo, bytes) = (self.world.repo(), self.world.bytes(&key::pack(pack)));
        let whole = WholePack::new(pack, &bytes, repo.id()).unwrap();
        whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap()
    }

    /// Flips a bit in the middle of a frame.
    fn rot(&self, pack: PackId, frame: &TrailerFrame) {
        self.flip(pack, frame.offset as usize + 20);
    }

    fn flip(&self, pack: PackId, at: usize) {
        let mut bytes = self.world.bytes(&key::pack(pack));
        bytes[at] ^= 1;
        self.world.replace(&key::pack(pack), bytes);
    }

    fn repair_packs(&self, packs: &[PackId], dry_run: bool) -> (PacksPlan, PacksOutcome) {
        let packs: Vec<String> = packs.iter().map(|pack| key::pack(*pack)).collect();
        let read_data = packs.is_empty().then(|| "100%".parse().unwrap());
        let options = PacksOptions { packs, read_data, now: None, host: "here".to_owned(), dry_run };
        packs::repair(&self.world.repo(), &options, &Silent::default()).unwrap()
    }
}

fn at(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 0 }
}

const DAY: i64 = 86_400;

/// Interrupts after so many questions.
struct Interrupting {
    progress: Progress,
    left: AtomicU64,
}

impl Monitor for Interrupting {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn interrupted(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_budget_reads_what_is_due_and_remembers_it_across_hosts() {
    let nights = Nights::new();
    let packs = nights.packs().len() as u64;
    let first = nights.check(Some("20%/day"), 0);
    assert!(first.packs_read > 0 && first.packs_read < packs, "{first:?}");
    assert_eq!(first.verification.never, packs - first.packs_read);
    nights.forget_caches(); // another host
    assert_eq!(nights.check(Some("20%/day"), DAY / 2).packs_read, 0, "twice a day");
    let mut read = first.packs_read;
    for night in 1..20 {
        read += nights.check(Some("20%/day"), night * DAY).packs_read;
        if nights.check(None, night * DAY).verification.never == 0 {
            break;
        }
    }
    // Those that were never read come first, so few are read again before all were read once.
    assert!((packs..2 * packs).contains(&read), "{read} of {packs}");
    let report = nights.check(None, 20 * DAY);
    assert_eq!(report.verification.never, 0);
}

#[test]
fn what_an_interrupted_check_verified_is_kept_and_what_is_damaged_is_not() {
    let nights = Nights::new();
    let packs = nights.packs();
    // One of data: the check walks through directories before it reads packs.
    let bad = packs.iter().copied().find(|pack| nights.frames(*pack)[0].table.class == Class::Data).unwrap();
    let asked = {
        // How often a check asks before it reads packs.
        let counting = Interrupting { progress: Progress::default(), left: AtomicU64::new(u64::MAX) };
        check(&nights.world.repo(), &CheckOptions::default(), &counting).unwrap();
        u64::MAX - counting.left.load(Ordering::Relaxed)
    };
    nights.rot(bad, &nights.frames(bad)[0]);
    let monitor = Interrupting { progress: Progress::default(), left: AtomicU64::new(asked + 4) };
    let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: Some(at(0)) };
    let result = check(&nights.world.repo(), &options, &monitor);
    assert!(matches!(result, Err(CheckError::Interrupted)), "{result:?}");
    let left = nights.check(None, 1).verification.never;
    assert!((packs.len() as u64 - 4..packs.len() as u64).contains(&left), "{left} of {}", packs.len());
    let report = nights.check(Some("100%/run"), 2);
    assert_eq!((report.verification.never, report.packs_read), (1, packs.len() as u64));
    assert!(report.errors.iter().any(|damage| damage.object == key::pack(bad)));
}

#[test]
fn notes_are_put_together_when_they_are_many() {
    let nights = Nights::new();
    for night in 0..18 {
        nights.check(Some("1B/run"), night);
    }
    let notes = nights.world.objects("notes/").len();
    assert!((1..=16).contains(&notes), "{notes}");
    let report = nights.check(None, 100);
    assert_eq!(report.verification.never, (nights.packs().len() as u64).saturating_sub(18));
}

#[test]
fn notes_of_nobody_and_of_the_future_count_for_nothing() {
    let nights = Nights::new();
    nights.check(Some("100%"), 1_000_000);
    assert_eq!(nights.check(None, 999_999).verification.never, nights.packs().len() as u64);
    for (key, _) in nights.world.objects("notes/") {
        let mut bytes = nights.world.bytes(&key);
        bytes[60] ^= 1;
        nights.world.replace(&key, bytes);
    }
    assert_eq!(nights.check(None, 1_000_001).verification.never, nights.packs().len() as u64);
}

#[test]
fn names_of_packs_tell_damage_without_any_key() {
    let nights = Nights::new();
    let names = || check_names(&*nights.world.store, Subset::All, &Silent::default()).unwrap();
    let packs = nights.packs();
    let report = names();
    assert_eq!((report.errors, report.packs_read), (vec![], packs.len() as u64));

    let said = |report: &CheckReport, pack: PackId| {
        let found = report.errors.iter().find(|damage| damage.object == key::pack(pack));
        found.map(|damage| damage.what.clone()).unwrap_or_default()
    };
    // Rot.
    let good = nights.world.bytes(&key::pack(packs[0]));
    nights.flip(packs[0], good.len() / 2);
    assert_eq!(said(&names(), packs[0]), "its bytes don't hash to its name");
    nights.world.replace(&key::pack(packs[0]), good.clone());
    // One in the place of another.
    nights.world.replace(&key::pack(packs[1]), good.clone());
    assert!(said(&names(), packs[1]).ends_with(&format!("they are those of {}", key::pack(packs[0]))));
    // One under the name of another run.
    let foreign_run = PackId { run: nights.world.repo().keys().new_run(), hash: packs[0].hash };
    nights.world.store.put(&key::pack(foreign_run), &good.clone().into()).unwrap();
    assert!(said(&names(), foreign_run).contains(&packs[0].run.to_string()));
    // Two repositories in one folder.
    let other = Nights::new();
    let strange = other.packs()[0];
    nights.world.store.put(&key::pack(strange), &other.world.bytes(&key::pack(strange)).into()).unwrap();
    assert!(said(&names(), strange).contains(&other.world.repo().id().to_string()));
    assert_eq!(names().errors.len(), 3);
    // With a key all of that is found, too.
    let report = nights.check(Some("100%"), 0);
    for pack in [packs[1], foreign_run, strange] {
        assert_ne!(said(&report, pack), "", "{:#?}", report.errors);
    }
}

#[test]
fn the_index_is_made_again_from_trailers() {
    let nights = Nights::new();
    let packs = nights.packs().len() as u64;
    let plan = index::plan(&nights.world.repo()).unwrap();
    assert_eq!((plan.packs, plan.added_packs(), plan.unusable.len()), (packs, 0, 0));
    assert_eq!(plan.carry_out(&nights.world.repo(), at(0), "here", "test").unwrap(), None);

    let segments: Vec<String> = nights.world.objects("index/").into_keys().collect();
    nights.world.store.delete(&segments[0]).unwrap();
    let mut bytes = nights.world.bytes(&segments[1]);
    bytes[100] ^= 1;
    nights.world.replace(&segments[1], bytes);
    let plan = index::plan(&nights.world.repo()).unwrap();
    assert_eq!(plan.unusable[0].0, segments[1]);
    assert!((1..packs).contains(&plan.added_packs()));
    let before = nights.world.objects("");
    let run = plan.carry_out(&nights.world.repo(), at(0), "here", "test").unwrap().unwrap();
    let after = nights.world.objects("");
    let added: Vec<&String> = after.keys().filter(|key| !before.contains_key(*key)).collect();
    assert_eq!(added, [&key::segment(run, 0), &key::run(run)]);
    assert_eq!(index::plan(&nights.world.repo()).unwrap().added_packs(), 0);
    nights.forget_caches();
    nights.assert_all_come_back("with a new index");
    // A prune that finds the repair over keeps its segments as long as they speak of packs that are there.
    let options = PruneOptions { max_delete: 100, stale_after: Duration::ZERO, ..PruneOptions::at(now()) };
    std::thread::sleep(Duration::from_millis(2_100));
    prune(&nights.world.repo(), &options, &Silent::default()).unwrap();
    assert!(nights.world.objects("index/").contains_key(&key::segment(run, 0)));
    // And what they say is used: the trailers can't be read any more.
    for pack in nights.packs() {
        let mut bytes = nights.world.bytes(&key::pack(pack));
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        nights.world.replace(&key::pack(pack), bytes);
    }
    nights.forget_caches();
    nights.assert_all_come_back("by the segments of the repair");
}

/// A pack is gone. A backup of the source, which still has everything, brings all snapshots back: it stores the chunks again under the ids
/// of their old frames.
#[test]
fn a_backup_heals_snapshots_whose_packs_are_gone() {
    let mut nights = Nights::new();
    for pack in nights.packs() {
        nights.world.store.delete(&key::pack(pack)).unwrap();
        let report = nights.check(None, 0);
        assert!(!report.errors.is_empty(), "{pack}");
        nights.back_up();
        // What only older nights had isn't met again; here everything is still there but `large`, which was rewritten.
        let report = nights.check(Some("100%"), 0);
        let hit: BTreeSet<&SafePath> =
            report.errors.iter().flat_map(|damage| &damage.snapshots).flat_map(|(_, paths)| paths).collect();
        let large = SafePath::parse(format!("{NAME}/large").as_bytes()).unwrap();
        assert!(
            hit.iter().all(|path| **path == large || path.to_string() == "/" || !path.to_string().contains("file")),
            "{pack}: {hit:?}"
        );
    }
    let (newest, expected) = nights.snapshots.last().unwrap();
    assert_eq!(&nights.world.restored(*newest), expected);
}

#[test]
fn all_come_back_when_the_source_still_has_all() {
    for forget_seen in [false, true] {
        let mut nights = Nights { world: World::new(), snapshots: Vec::new() };
        for night in 0..2 {
            for n in 0..4 {
                nights.world.write(&format!("folder-{night}/file-{n}"), noise(150_000));
            }
            nights.back_up();
        }
        for pack in nights.packs() {
            let bytes = nights.world.bytes(&key::pack(pack));
            let class = nights.frames(pack)[0].table.class;
            nights.world.store.delete(&key::pack(pack)).unwrap();
            if forget_seen {
                let _ = std::fs::remove_dir_all(nights.world.cache().join("seen"));
            }
            nights.back_up();
            if class == Class::Data {
                nights.assert_all_come_back(&format!("without {pack}"));
                assert_eq!(nights.check(Some("100%"), 0).errors, []);
            } else {
                // Directories of older nights aren't what they were: the source has them no more.
                nights.world.put_back(&key::pack(pack), bytes);
            }
        }
        nights.assert_all_come_back("in the end");
    }
}

/// Rot in the middle of a pack, which a listing doesn't show. A repair copies the frames that are good and sets the pack aside; the next
/// backup stores the others again.
#[test]
fn rot_is_repaired_by_a_repair_and_a_backup() {
    let nights = Nights::new();
    let pack = nights.packs().into_iter().find(|pack| nights.frames(*pack).len() > 1).unwrap();
    let frames = nights.frames(pack);
    nights.check(Some("100%"), 0);
    nights.rot(pack, &frames[0]);
    assert_eq!(nights.check(Some("100%"), 1).verification.never, 1, "that it was whole once says nothing");
    let before = nights.world.objects("");
    let (plan, outcome) = nights.repair_packs(&[], true);
    assert_eq!((plan.damaged.len(), outcome.run), (1, None));
    let without_notes = |objects: std::collections::BTreeMap<String, u64>| -> Vec<String> {
        objects.into_keys().filter(|key| !key.starts_with("notes/")).collect()
    };
    assert_eq!(without_notes(nights.world.objects("")), without_notes(before.clone()), "a dry run");

    let (plan, outcome) = nights.repair_packs(&[pack], false);
    let damaged = &plan.damaged[0];
    assert_eq!((damaged.pack, damaged.copied.len(), damaged.lost.len()), (pack, frames.len() - 1, 1));
    assert_eq!((outcome.copied, outcome.set_aside), (frames.len() as u64 - 1, 1));
    let after = nights.world.objects("");
    assert!(before.keys().all(|key| after.contains_key(key)), "only adds");

    let (plan, outcome) = nights.repair_packs(&[pack], false);
    assert!(plan.is_empty() && outcome.run.is_none(), "done already");

    let found = losses(
        &nights.world.repo(),
        &CheckOptions { read_data: Some("100%".parse().unwrap()), time: None },
        &Silent::default(),
    );
    let found = found.unwrap();
    assert!(!found.damaged.is_empty());
    assert!(found.damaged.iter().all(|loss| loss.paths.values().all(|heals| *heals)), "{:?}", found.damaged);

    // The good frames are in another pack now: this one may go.
    let rotten = nights.world.bytes(&key::pack(pack));
    nights.world.store.delete(&key::pack(pack)).unwrap();
    let lost: usize = nights.check(None, 0).errors.len();
    assert_eq!(lost, 1, "only the frame that was damaged");
    nights.world.put_back(&key::pack(pack), rotten);
}

#[test]
fn rot_in_what_the_source_still_has_is_healed() {
    let mut nights = Nights { world: World::new(), snapshots: Vec::new() };
    for night in 0..2 {
        nights.world.write(&format!("folder-{night}/one"), noise(700_000));
        nights.world.write(&format!("folder-{night}/two"), noise(700_000));
        nights.back_up();
    }
    for pack in
        nights.packs().into_iter().filter(|pack| nights.frames(*pack)[0].table.class == Class::Data).collect::<Vec<_>>()
    {
        let frames = nights.frames(pack);
        nights.rot(pack, &frames[frames.len() / 2]);
        nights.repair_packs(&[], false);
        nights.forget_caches(); // The table of the lost frame is in the trailer.
        nights.back_up();
        nights.assert_all_come_back("healed");
        let report = nights.check(Some("100%"), 0);
        assert_eq!(report.errors, []);
        assert!(report.warnings.iter().any(|warning| warning.contains(&key::pack(pack))), "{:?}", report.warnings);
    }
}

/// Head and trailer are damaged; the index and other packs of the run tell what they did.
#[test]
fn frames_are_found_in_packs_whose_ends_are_damaged() {
    let nights = Nights::new();
    for pack in nights.packs() {
        let (good, frames) = (nights.world.bytes(&key::pack(pack)), nights.frames(pack));
        for place in [45, good.len() - 12 - 20] {
            nights.check(None, 0); // so that the index knows
            nights.flip(pack, place);
            let (plan, _) = nights.repair_packs(&[pack], true);
            let damaged = &plan.damaged[0];
            assert_eq!(
                (damaged.copied.len() as u64 + damaged.elsewhere, damaged.lost.len()),
                (frames.len() as u64, 0),
                "{pack} at {place}"
            );
            nights.world.replace(&key::pack(pack), good.clone());
        }
    }
}

/// Without the local index nobody knows which chunks a lost frame consisted of: the new snapshot is whole, the old ones stay as they are,
/// and restore all the rest.
#[test]
fn without_tables_new_snapshots_are_whole_and_old_ones_restore_the_rest() {
    let mut nights = Nights { world: World::new(), snapshots: Vec::new() };
    nights.world.write("one", noise(300_000));
    nights.back_up();
    let two = noise(300_000);
    nights.world.write("two", &two);
    let old = nights.back_up();
    let pack = nights
        .packs()
        .into_iter()
        .rfind(|pack| nights.frames(*pack)[0].table.class == Class::Data && pack.run == old)
        .unwrap();
    nights.world.store.delete(&key::pack(pack)).unwrap();
    nights.forget_caches();
    // Other chunks with those that are met again: another frame.
    nights.world.write("two", [&noise(150_000)[..], &two[150_000..]].concat());
    let new = nights.back_up();
    assert_eq!(nights.world.restored(new), nights.snapshots[2].1);
    let (target, result) = nights.world.try_restore(old);
    let problems = result.unwrap().problems;
    assert_eq!(problems.iter().map(|problem| problem.path.to_string()).collect::<Vec<_>>(), [format!("/{NAME}/two")]);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 2, "the rest, and what tells that something is missing");
    let found = losses(&nights.world.repo(), &CheckOptions::default(), &Silent::default()).unwrap();
    let [loss] = &found.damaged[..] else { panic!("{:?}", found.damaged) };
    assert_eq!(loss.id, old);
    assert_eq!(
        loss.paths.iter().map(|(path, heals)| (path.to_string(), *heals)).collect::<Vec<_>>(),
        [(format!("/{NAME}/two"), false)]
    );
}

/// Of what changed since, the frame gets a copy with the chunks that are still there: whatever refers only to those comes back.
#[test]
fn a_source_that_changed_heals_what_it_still_has() {
    let mut nights = Nights { world: World::new(), snapshots: Vec::new() };
    nights.world.write("kept", noise(200_000));
    nights.world.write("lost", noise(200_000));
    let old = nights.back_up();
    let pack = nights.packs().into_iter().find(|pack| nights.frames(*pack)[0].table.class == Class::Data).unwrap();
    nights.world.store.delete(&key::pack(pack)).unwrap();
    nights.world.write("lost", noise(200_000));
    nights.back_up();
    let (target, result) = nights.world.try_restore(old);
    let problems = result.unwrap().problems;
    assert_eq!(problems.iter().map(|problem| problem.path.to_string()).collect::<Vec<_>>(), [format!("/{NAME}/lost")]);
    assert_eq!(portrait(&target).len(), 3, "the top, `kept`, and what tells that something is missing");
    nights.forget_caches();
    let newest = nights.snapshots.last().unwrap();
    assert_eq!(nights.world.restored(newest.0), newest.1);
}
