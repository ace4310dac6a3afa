//! Forgetting: tombstones, tags, protection, refusals; and what stays still restores.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{World, kdf, label, noise, portrait};
use nightsafe::repo::cbor::Time;
use nightsafe::repo::format::key;
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::{KeyFile, Secret, Sharing, ring};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Note};
use nightsafe::repo::repository::{AnyRepo, CacheDir, Repo, WriteOnly, open};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::backup::{BackupOptions, backup};
use nightsafe::snapshot::forget::{ForgetError, ForgetPlan, execute};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::notes;
use nightsafe::snapshot::policy::{Count, Options, Policy, Refusal, Rule, Unit};
use nightsafe::snapshot::snapshots::{Filter, Snapshots, forgotten, snapshots};

/// 2026-01-01 03:30 UTC.
const FIRST: i64 = 1_767_238_200;

fn night(n: i64) -> Time {
    Time { seconds: FIRST + n * 86_400, nanoseconds: 0 }
}

fn back_up(world: &World, options: &BackupOptions) -> RunId {
    backup(&world.repo(), options, &Silent::default()).unwrap().snapshot.unwrap()
}

/// A repository with a snapshot of each of so many nights, the oldest first.
fn nights(number: i64) -> (World, Vec<RunId>) {
    let world = World::new();
    world.write("large", noise(200_000));
    let one = |n| {
        world.write(&format!("night-{n}"), noise(1000));
        back_up(&world, &BackupOptions { time: Some(night(n)), tags: vec![format!("n{n}")], ..world.options() })
    };
    let ids = (0..number).map(one).collect();
    (world, ids)
}

fn keep_last(number: u32) -> Policy {
    Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(number))])
}

fn by_policy(world: &World, policy: &Policy, options: &Options) -> ForgetPlan {
    ForgetPlan::by_policy(&snapshots(&world.repo()).unwrap(), &Filter::default(), policy, options)
}

fn listed(world: &World) -> Vec<RunId> {
    snapshots(&world.repo()).unwrap().list.iter().map(|snapshot| snapshot.id).collect()
}

#[test]
fn what_rules_don_t_keep_is_hidden_by_tombstones_and_the_rest_restores() {
    let (world, ids) = nights(5);
    let before = world.objects("");
    let plan = by_policy(&world, &keep_last(2), &Options::default());
    assert_eq!(world.objects(""), before, "a plan changes nothing");
    let mut removed = execute(&world.repo(), &plan, night(9)).unwrap().ids;
    removed.sort_by_key(|id| ids.iter().position(|one| one == id));
    assert_eq!(removed, ids[..3]);
    assert_eq!(listed(&world), ids[3..]);

    let added: Vec<String> = world.objects("").into_keys().filter(|key| !before.contains_key(key)).collect();
    let mut tombstones: Vec<String> = ids[..3].iter().map(|id| key::forgotten(*id)).collect();
    tombstones.sort();
    assert_eq!(added, tombstones, "and nothing else was written, nothing deleted");
    assert_eq!(world.restored(ids[4]), portrait(&world.source()));

    let (hidden, since) = forgotten(&world.repo()).unwrap();
    assert_eq!(hidden.list.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), ids[..3]);
    assert!(hidden.list.iter().all(|snapshot| since.contains_key(&snapshot.id)));
    // Once more there is nothing to do, and a tombstone that is there already is no error.
    assert_eq!(by_policy(&world, &keep_last(2), &Options::default()).ids(), []);
    assert_eq!(execute(&world.repo(), &plan, night(9)).unwrap().ids.len(), 3);
}

#[test]
fn tags_and_protection_are_seen_by_filters_and_rules() {
    let (world, ids) = nights(4);
    let note = |change: &dyn Fn(&Snapshots) -> Option<Note>| {
        let all = snapshots(&world.repo()).unwrap();
        notes::write(&world.repo(), &change(&all).unwrap()).unwrap();
    };
    let now = night(9);
    note(&|all| all.notes.retag(ids[0], &all.list[0].manifest.tags, &["before-upgrade".to_owned()], now));
    note(&|all| all.notes.reprotect(ids[1], true, now));
    let all = snapshots(&world.repo()).unwrap();
    assert_eq!(all.list[0].tags, ["before-upgrade"]);
    assert_eq!(all.list[0].manifest.tags, ["n0"], "the manifest is what it was");
    assert_eq!(all.list.iter().map(|snapshot| snapshot.protected).collect::<Vec<_>>(), [false, true, false, false]);
    let admits = |tag: &str| {
        let filter = Filter { tags: vec![tag.to_owned()], ..Filter::default() };
        all.list.iter().filter(|snapshot| filter.admits(snapshot)).map(|snapshot| snapshot.id).collect::<Vec<_>>()
    };
    assert_eq!((admits("before-upgrade"), admits("n0"), admits("n1")), (vec![ids[0]], vec![], vec![ids[1]]));

    let tagged = Rule::Tags(vec!["before-upgrade".to_owned()]);
    let policy = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1)), tagged]);
    execute(&world.repo(), &by_policy(&world, &policy, &Options::default()), night(9)).unwrap();
    assert_eq!(listed(&world), [ids[0], ids[1], ids[3]]);

    let refused = ForgetPlan::by_ids(&snapshots(&world.repo()).unwrap(), &[ids[0], ids[1]], &Options::default());
    assert_eq!(refused.refusals, [Refusal::Protected(ids[1])]);
    assert!(matches!(execute(&world.repo(), &refused, night(9)), Err(ForgetError::Refused(_))));
    assert_eq!(listed(&world).len(), 3, "nothing of it was done");
    note(&|all| all.notes.reprotect(ids[1], false, now));
    let plan = ForgetPlan::by_ids(&snapshots(&world.repo()).unwrap(), &[ids[0], ids[1]], &Options::default());
    execute(&world.repo(), &plan, night(9)).unwrap();
    assert_eq!(listed(&world), [ids[3]]);
}

#[test]
fn the_last_one_stays_unless_it_is_said_twice() {
    let (world, ids) = nights(2);
    let all = snapshots(&world.repo()).unwrap();
    let plan = ForgetPlan::by_ids(&all, &ids, &Options::default());
    assert!(matches!(&plan.refusals[..], [Refusal::Last { id, .. }] if *id == ids[1]));
    let options = Options { allow_empty_group: true, ..Options::default() };
    execute(&world.repo(), &ForgetPlan::by_ids(&all, &ids, &options), night(9)).unwrap();
    assert_eq!(listed(&world), []);
}

#[test]
fn a_snapshot_that_shrank_is_looked_at_first() {
    let (world, ids) = nights(2);
    std::fs::remove_file(world.source().join("large")).unwrap();
    let small = back_up(&world, &BackupOptions { time: Some(night(2)), ..world.options() });
    let plan = by_policy(&world, &keep_last(1), &Options::default());
    assert!(
        matches!(&plan.refusals[..], [Refusal::Shrunk { newest, before, .. }] if (*newest, *before) == (small, ids[1]))
    );
    assert!(matches!(execute(&world.repo(), &plan, night(9)), Err(ForgetError::Refused(_))));
    assert_eq!(listed(&world).len(), 3);
    let plan = by_policy(&world, &keep_last(1), &Options { accept_shrink: true, ..Options::default() });
    execute(&world.repo(), &plan, night(9)).unwrap();
    assert_eq!(listed(&world), [small]);
}

#[test]
fn a_snapshot_that_can_t_be_read_is_not_counted_and_goes_when_it_is_named() {
    let (world, ids) = nights(3);
    let mut bytes = world.bytes(&key::snapshot(ids[2]));
    bytes[200] ^= 1;
    world.replace(&key::snapshot(ids[2]), bytes);
    assert_eq!(by_policy(&world, &keep_last(1), &Options::default()).ids(), [ids[0]], "the others go on");
    let all = snapshots(&world.repo()).unwrap();
    let wrong = ForgetPlan::of_unreadable(&all, &[ids[0].to_string()]);
    assert!(matches!(wrong, Err(ForgetError::NotUnreadable(_))));
    assert!(matches!(ForgetPlan::of_unreadable(&all, &[String::new()]), Err(ForgetError::Ambiguous(_))));
    let plan = ForgetPlan::of_unreadable(&all, &[ids[2].random_part()[..8].to_owned()]).unwrap();
    assert_eq!(execute(&world.repo(), &plan, night(9)).unwrap().ids, [ids[2]]);
    let all = snapshots(&world.repo()).unwrap();
    assert_eq!((all.list.len(), all.unreadable.len()), (2, 0));
}

fn write_only(world: &World) -> Repo<WriteOnly> {
    let secret = Secret::KeyFile(KeyFile::generate());
    let repo = world.repo();
    let bundle = repo.read_keys().new_write_only(Sharing::Alone);
    ring::add(&*world.store, repo.read_keys(), &bundle, &secret, kdf(), &label()).unwrap();
    match open(world.store.clone(), &secret, &CacheDir::new(world.cache().join("host"))).unwrap() {
        AnyRepo::WriteOnly(repo) => repo,
        AnyRepo::Full(_) => panic!("a write-only credential opened as a full one"),
    }
}

#[test]
fn a_write_only_host_pushes_nothing_out_and_its_notes_don_t_count() {
    let (world, ids) = nights(2);
    let host = write_only(&world);
    for n in 3..6 {
        let options = BackupOptions { time: Some(night(n)), ..world.options() };
        backup(&host, &options, &Silent::default()).unwrap();
    }
    // Its snapshots are a group of their own, all of which the store received just now.
    let now = Options { now: nightsafe::snapshot::backup::now().seconds, ..Options::default() };
    assert_eq!(by_policy(&world, &keep_last(1), &now).ids(), [ids[0]]);
    let trusting = Options { trust_hosts: true, ..now };
    assert_eq!(by_policy(&world, &keep_last(1), &trusting).ids().len(), 3);

    let note = Note {
        needs: Needs::NONE,
        time: night(9),
        snapshot: Some(ids[0]),
        tags: vec!["forged".to_owned()],
        untags: vec![],
        protects: true,
        withdraws: vec![],
        verified: vec![],
    };
    let key = key::note(host.keys().new_run(), 0);
    world.store.put(&key, &record::seal_record(host.keys(), &key, &note).into()).unwrap();
    let all = snapshots(&world.repo()).unwrap();
    assert!(all.list.iter().all(|snapshot| !snapshot.protected && !snapshot.tags.contains(&"forged".to_owned())));
    assert_eq!(all.notes.unusable.len(), 1, "{:?}", all.notes.unusable);
}
