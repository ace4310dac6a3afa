//! A repository that is older than it was, lacks a manifest, or is another one: each is sound in itself, and only memory and numbers tell.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::prune::{at_once, forget};
use crate::world::{Portrait, World, noise, portrait};
use crate::write_only::Host as StolenHost;
use nightsafe::repo::cbor::Time;
use nightsafe::repo::error::RepoError;
use nightsafe::repo::format::{Kind, key};
use nightsafe::repo::gc::tombstone::bury_run;
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::Sharing;
use nightsafe::repo::repository::{AnyRepo, CacheDir, Full, Repo, open_witnessed};
use nightsafe::repo::store::Store;
use nightsafe::repo::witness::{StateDir, Witness};
use nightsafe::snapshot::backup::{BackupOptions, backup, now};
use nightsafe::snapshot::check::{CheckOptions, CheckReport, Damage, check};
use nightsafe::snapshot::forget::{ForgetError, ForgetPlan, execute};
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::prune::{PruneOptions, prune};
use nightsafe::snapshot::snapshots::snapshots;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A monitor that keeps what it's warned of.
#[derive(Default)]
struct Warned {
    progress: Progress,
    warnings: Mutex<Vec<String>>,
}

impl Monitor for Warned {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn warning(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

/// A host that remembers.
struct Rememberer {
    state: tempfile::TempDir,
}

impl Rememberer {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("state")
    }

    fn witness(&self, world: &World) -> Witness {
        StateDir::new(self.folder()).witness(world.store.url()).0
    }

    fn try_open(&self, world: &World) -> Result<Repo<Full>, RepoError> {
        let cache = CacheDir::new(world.cache());
        let witness = Some(Arc::new(self.witness(world)));
        match open_witnessed(world.store.clone(), &world.secret, &cache, witness)? {
            AnyRepo::Full(repo) => Ok(repo),
            AnyRepo::WriteOnly(_) => panic!("another credential"),
        }
    }

    fn repo(&self, world: &World) -> Repo<Full> {
        self.try_open(world).unwrap()
    }

    /// Backs up on a day; gives the snapshot, what it holds, and the warnings.
    fn night(&self, world: &World, day: i64) -> (RunId, Portrait, Vec<String>) {
        world.write("changing", noise(5_000));
        let monitor = Warned::default();
        let summary = backup(&self.repo(world), &on(world, day), &monitor).unwrap();
        (summary.snapshot.unwrap(), portrait(&world.source()), monitor.warnings.into_inner().unwrap())
    }

    fn check(&self, world: &World) -> CheckReport {
        check(&self.repo(world), &CheckOptions::default(), &Silent::default()).unwrap()
    }
}

/// A backup that is taken on a day.
fn on(world: &World, day: i64) -> BackupOptions {
    let time = Time { seconds: 1_700_000_000 + day * 86_400, nanoseconds: 0 };
    BackupOptions { time: Some(time), ..world.options() }
}

fn state(world: &World) -> BTreeMap<String, Vec<u8>> {
    world.objects("").into_keys().map(|key| (key.clone(), world.bytes(&key))).collect()
}

/// Puts an old copy in the repository's place.
fn roll_back(world: &World, to: &BTreeMap<String, Vec<u8>>) {
    for key in world.objects("").into_keys() {
        world.store.delete(&key).unwrap();
    }
    bring(world, to);
}

fn bring(world: &World, objects: &BTreeMap<String, Vec<u8>>) {
    for (key, bytes) in objects {
        world.store.put(key, &bytes.clone().into()).unwrap();
    }
}

fn checked(world: &World) -> CheckReport {
    check(&world.repo(), &CheckOptions::default(), &Silent::default()).unwrap()
}

fn objects(errors: &[Damage]) -> Vec<&str> {
    errors.iter().map(|damage| damage.object.as_str()).collect()
}

#[test]
fn a_repository_put_back_to_an_older_state_is_noticed_and_nothing_is_lost_by_it() {
    let (world, host) = (World::new(), Rememberer::new());
    world.write("stays", noise(100_000));
    let (first, first_night, warnings) = host.night(&world, 0);
    assert_eq!(warnings, [] as [String; 0]);
    let old = state(&world);
    let mut gone: Vec<RunId> = (1..3).map(|day| host.night(&world, day).0).collect();
    gone.sort_unstable();
    assert_eq!(host.check(&world).errors, []);
    let new = state(&world);
    roll_back(&world, &old);
    // The caches know packs and files that aren't there any more.
    for day in 3..5 {
        let (id, night, warnings) = host.night(&world, day);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(gone.iter().all(|run| warnings[0].contains(&run.to_string())), "{warnings:?}");
        assert_eq!((world.restored(id), world.restored(first)), (night, first_night.clone()));
        let report = host.check(&world);
        assert_eq!(objects(&report.errors), gone.iter().map(|&run| key::snapshot(run)).collect::<Vec<_>>());
        assert!(report.errors[0].what.contains("this host has seen"), "{:?}", report.errors);
    }
    assert_eq!(checked(&world).errors, [], "nobody else can tell");
    // Both states at once: numbers were given twice, on different days.
    let after = state(&world);
    bring(&world, &new.into_iter().filter(|(key, _)| !after.contains_key(key)).collect());
    let report = host.check(&world);
    assert_eq!(report.errors, []);
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    assert!(report.warnings[0].contains("have the same number, 1"), "{:?}", report.warnings);
    // The old state once more, and on purpose.
    roll_back(&world, &old);
    assert!(host.check(&world).errors.len() >= 2);
    host.witness(&world).accept(world.repo().id()).unwrap();
    assert_eq!((host.check(&world).errors, host.night(&world, 9).2), (vec![], vec![]));
}

#[test]
fn another_repository_behind_the_same_url_is_refused_whatever_opens_it() {
    let (world, host) = (World::new(), Rememberer::new());
    host.night(&world, 0);
    let swapped = World::opened_by(world.secret.clone());
    let (known, found) = (world.repo().id(), swapped.repo().id());
    let Err(RepoError::Other(refused)) = host.try_open(&swapped) else { panic!("opened") };
    assert_eq!((refused.known, refused.found), (vec![known], found));
    assert_eq!(host.repo(&world).id(), known, "nothing has changed for the right one");
    host.witness(&swapped).accept(found).unwrap();
    assert_eq!(host.repo(&swapped).id(), found);
    assert_eq!(host.repo(&world).id(), known, "both take turns from now on");
    host.witness(&swapped).replace(found).unwrap();
    assert!(matches!(host.try_open(&world), Err(RepoError::Other(_))));
}

#[test]
fn a_memory_that_cannot_be_kept_or_read_keeps_nobody_from_backing_up() {
    let (world, host) = (World::new(), Rememberer::new());
    std::fs::write(host.folder(), "no folder").unwrap();
    let (id, night, warnings) = host.night(&world, 0);
    assert!(warnings.iter().any(|warning| warning.contains("can't be remembered")), "{warnings:?}");
    assert_eq!(world.restored(id), night);
    std::fs::remove_file(host.folder()).unwrap();
    host.night(&world, 1);
    let file = std::fs::read_dir(host.folder()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(host.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::write(file, noise(5_000)).unwrap();
    let (id, night, warnings) = host.night(&world, 2);
    assert_eq!((world.restored(id), warnings), (night, vec![]));
    assert_eq!(host.witness(&world).snapshots(world.repo().id()), [id], "it begins anew");
}

#[test]
fn what_was_rightly_forgotten_is_not_missed() {
    let (world, host) = (World::new(), Rememberer::new());
    let nights: Vec<RunId> = (0..5).map(|day| host.night(&world, day).0).collect();
    nights[1..3].iter().for_each(|&run| forget(&world, run));
    assert_eq!(host.check(&world).errors, [], "forgotten, and still there");
    prune(&world.repo(), &at_once(), &Silent::default()).unwrap();
    assert!(world.store.length(&key::snapshot(nights[1])).unwrap().is_none());
    let report = host.check(&world);
    assert_eq!((&report.errors[..], &report.warnings[..]), (&[][..], &[][..]));
    assert_eq!(host.night(&world, 5).2, [] as [String; 0]);
    assert!(!host.witness(&world).snapshots(world.repo().id()).contains(&nights[1]), "and no longer remembered");
    // A tombstone accounts for one manifest only, and one that a deleter put up in a run's name doesn't count.
    world.store.delete(&key::snapshot(nights[3])).unwrap();
    bury_run(&world.repo(), nights[3], now()).unwrap();
    let named = |report: &CheckReport| report.errors.iter().map(|damage| damage.what.clone()).collect::<String>();
    assert!(named(&host.check(&world)).contains(&nights[3].to_string()));
    assert!(named(&checked(&world)).contains(&nights[3].to_string()), "the prune saw it");
}

#[test]
fn a_manifest_that_is_missing_leaves_a_gap_in_its_credentials_numbers() {
    let (world, host) = (World::new(), Rememberer::new());
    let nights: Vec<RunId> = (0..4).map(|day| host.night(&world, day).0).collect();
    let good = world.bytes(&key::snapshot(nights[1]));
    world.store.delete(&key::snapshot(nights[1])).unwrap();
    // By a host that has seen nothing, in a repository that was never pruned.
    let report = checked(&world);
    assert_eq!(report.errors.len(), 1, "{:#?}", report.errors);
    let damage = &report.errors[0];
    assert!(damage.object.starts_with(&key::snapshot(nights[1])[..18]), "{damage:?}");
    assert!(damage.what.contains("number 1 of the manifests"), "{damage:?}");
    assert!(host.check(&world).errors[0].what.contains(&nights[1].to_string()), "who has seen it can name it");
    assert_eq!(host.check(&world).errors.len(), 1, "and it's said once");
    // It's found again.
    world.put_back(&key::snapshot(nights[1]), good);
    assert_eq!(checked(&world).errors, []);
    // Damaged is not missing.
    let mut bytes = world.bytes(&key::snapshot(nights[2]));
    bytes[300] ^= 1;
    world.replace(&key::snapshot(nights[2]), bytes);
    assert_eq!(objects(&checked(&world).errors), [key::snapshot(nights[2])]);
    // The newest leaves no gap: that it's gone only memory tells.
    world.store.delete(&key::snapshot(nights[2])).unwrap();
    world.store.delete(&key::snapshot(nights[3])).unwrap();
    assert_eq!((checked(&world).errors.len(), host.check(&world).errors.len()), (0, 2));
}

#[test]
fn what_is_lost_for_good_can_be_accepted() {
    let (world, host) = (World::new(), Rememberer::new());
    let nights: Vec<RunId> = (0..4).map(|day| host.night(&world, day).0).collect();
    nights[1..3].iter().for_each(|&run| world.store.delete(&key::snapshot(run)).unwrap());
    let accept = |ids: &[String]| {
        let repo = world.repo();
        let plan = ForgetPlan::of_unreadable(&snapshots(&repo).unwrap(), ids)?;
        execute(&repo, &plan, now())
    };
    // By its id where that is known, by what the check names instead where it isn't.
    accept(&[nights[1].to_string()]).unwrap();
    assert_eq!((host.check(&world).errors.len(), checked(&world).errors.len()), (1, 2), "one of two numbers");
    let what = checked(&world).errors[0].what.clone();
    accept(&[what.rsplit(' ').next().unwrap().to_owned()]).unwrap();
    assert_eq!(checked(&world).errors, []);
    accept(&[nights[2].to_string()]).unwrap();
    assert_eq!(host.check(&world).errors, []);
    // One that is there must be forgotten as others are, and a beginning isn't enough for what isn't there.
    for wrong in [nights[3].to_string(), nights[2].to_string()[..20].to_owned()] {
        assert!(matches!(accept(&[wrong]), Err(ForgetError::NotUnreadable(_))));
    }
}

/// A run that was declared dead and committed all the same left a gap behind once a prune had removed what came too late: reported by every check from then on. And to say that a manifest of a
/// buried run is lost for good was a success that changed nothing.
#[test]
fn manifests_of_buried_runs_can_be_accounted_for() {
    let (world, host) = (World::new(), Rememberer::new());
    let nights: Vec<RunId> = (0..5).map(|day| host.night(&world, day).0).collect();
    let late = world.bytes(&key::snapshot(nights[1]));
    for run in [nights[1], nights[3]] {
        world.store.delete(&key::snapshot(run)).unwrap();
        bury_run(&world.repo(), run, now()).unwrap();
    }
    assert_eq!((host.check(&world).errors.len(), checked(&world).errors.len()), (2, 2), "buried isn't forgotten");
    world.put_back(&key::snapshot(nights[1]), late);
    let options = PruneOptions { accept_census: true, ..at_once() };
    prune(&world.repo(), &options, &Silent::default()).unwrap();
    assert!(world.store.length(&key::snapshot(nights[1])).unwrap().is_none());
    let report = host.check(&world);
    assert_eq!(objects(&report.errors), [key::snapshot(nights[3])], "what came late is rightly gone");
    let what = checked(&world).errors[0].what.clone();
    assert!(what.contains("(1 of them aren't accounted for"), "{what}");
    let repo = world.repo();
    let plan = ForgetPlan::of_unreadable(&snapshots(&repo).unwrap(), &[nights[3].to_string()]).unwrap();
    execute(&repo, &plan, now()).unwrap();
    assert_eq!((host.check(&world).errors, checked(&world).errors), (vec![], vec![]));
}

/// Two arms of a fork that were gone, both with the same number, had one name, so that only one could be accepted as lost.
#[test]
fn each_missing_arm_of_a_fork_has_its_own_name() {
    let (world, host) = (World::new(), Rememberer::new());
    host.night(&world, 0);
    let trunk = state(&world);
    let mut arms = BTreeMap::new();
    for arm in 0..3 {
        roll_back(&world, &trunk);
        let first = host.night(&world, 1 + arm).0;
        host.night(&world, 5 + arm);
        let all = state(&world);
        arms.extend(all.into_iter().filter(|(store_key, _)| arm == 0 || *store_key != key::snapshot(first)));
    }
    roll_back(&world, &arms);
    let errors = checked(&world).errors;
    let stand_ins: Vec<String> =
        errors.iter().map(|damage| damage.what.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(stand_ins.len(), 2, "{errors:#?}");
    let repo = world.repo();
    for (left, stand_in) in (0..2).rev().zip(stand_ins) {
        let plan = ForgetPlan::of_unreadable(&snapshots(&repo).unwrap(), &[stand_in]).unwrap();
        execute(&repo, &plan, now()).unwrap();
        assert_eq!(checked(&world).errors.len(), if left == 0 { 0 } else { 2 }, "counted, so both are named");
    }
}

/// One object under `forgotten/` that can't be read, which anybody who may write could put there, ended every verb.
#[test]
fn a_tombstone_that_cannot_be_read_hides_nothing_and_is_told() {
    let (world, host) = (World::new(), Rememberer::new());
    let (there, night, _) = host.night(&world, 0);
    let gone = host.night(&world, 1).0;
    host.night(&world, 2);
    let mut of_the_future = Kind::Forgotten.header().to_vec();
    *of_the_future.iter_mut().rev().nth(1).unwrap() += 1;
    of_the_future.extend_from_slice(&noise(200));
    for run in [there, gone] {
        world.store.put(&key::forgotten(run), &of_the_future.clone().into()).unwrap();
    }
    world.store.delete(&key::snapshot(gone)).unwrap();
    let all = snapshots(&world.repo()).unwrap();
    assert_eq!(all.odd_tombstones.keys().collect::<Vec<_>>(), [&key::forgotten(there)]);
    assert!(all.list.iter().any(|snapshot| snapshot.id == there));
    assert_eq!(world.restored(there), night);
    for reading in [None, Some("100%".parse().unwrap())] {
        let options = CheckOptions { read_data: reading, ..CheckOptions::default() };
        let report = check(&host.repo(&world), &options, &Silent::default()).unwrap();
        let mut told = objects(&report.errors);
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), report.errors.len(), "each once: {:#?}", report.errors);
        assert!(told.contains(&&*key::forgotten(there)), "{:#?}", report.errors);
        assert!(told.contains(&&*key::snapshot(gone)), "{:#?}", report.errors);
    }
    assert!(prune(&world.repo(), &at_once(), &Silent::default()).is_err(), "who deletes must know");
}

#[test]
fn each_credential_counts_for_itself() {
    let world = World::new();
    let host = StolenHost::new(&world, Sharing::Alone);
    let mut nights = Vec::new();
    for _ in 0..3 {
        world.write("changing", noise(5_000));
        world.back_up();
        nights.push(host.back_up(&world).snapshot.unwrap());
    }
    assert_eq!(checked(&world).errors, []);
    world.store.delete(&key::snapshot(nights[0])).unwrap();
    let errors = checked(&world).errors;
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].what.contains("number 0") && errors[0].object.contains(&nights[0].to_string()[..8]),
        "{errors:?}"
    );
}
