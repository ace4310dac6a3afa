//! Notes that can't be read: nothing is forgotten because of them, `repair notes` takes them away, and whoever writes one makes sure that it's there.

use crate::binary::Scene;
use crate::world::{World, kdf, label, noise};
use crate::write_only::Host;
use nightsafe::repo::error::RepoError;
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::{KeyFile, Secret, Sharing, ring};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::note::Matter;
use nightsafe::repo::record::{self, Note};
use nightsafe::repo::repair::notes::{NotesPlan, plan};
use nightsafe::repo::repository::{AnyRepo, CacheDir, open};
use nightsafe::repo::store::StoreErrorKind;
use nightsafe::repo::store::faulty::{Fault, FaultyStore};
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::retry::{Backoff, RetryingStore};
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::check::{CheckOptions, CheckReport, Damaged, check};
use nightsafe::snapshot::forget::{ForgetError, ForgetPlan, execute};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::notes;
use nightsafe::snapshot::policy::{Count, Options, Policy, Refusal, Rule, Unit};
use nightsafe::snapshot::snapshots::{Filter, snapshots};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// Three snapshots, of which the first is protected and the second has a tag that rules keep.
struct Noted {
    world: World,
    ids: Vec<RunId>,
    protecting: String,
    tagging: String,
}

/// Bytes of header and repository id.
const HEAD: usize = 24;

fn all(world: &World) -> BTreeMap<String, Vec<u8>> {
    world.objects("").into_keys().map(|key| (key.clone(), world.bytes(&key))).collect()
}

fn notes_of(world: &World) -> Vec<String> {
    world.objects("notes/").into_keys().collect()
}

impl Noted {
    fn new() -> Self {
        let world = World::new();
        let night = |n: usize| {
            world.write("file", noise(1_000 + n));
            world.back_up().snapshot.unwrap()
        };
        let ids: Vec<RunId> = (0..3).map(night).collect();
        let repo = world.repo();
        let said = snapshots(&repo).unwrap().notes;
        notes::write(&repo, &said.reprotect(ids[0], true, now()).unwrap()).unwrap();
        let protecting = notes_of(&world)[0].clone();
        notes::write(&repo, &said.retag(ids[1], &[], &["kept".to_owned()], now()).unwrap()).unwrap();
        let tagging = notes_of(&world).into_iter().find(|key| *key != protecting).unwrap();
        Self { world, ids, protecting, tagging }
    }

    fn plan(&self) -> NotesPlan {
        plan(&self.world.repo()).unwrap()
    }

    /// What the rules forget that keep the newest and those with a tag.
    fn forget(&self) -> Result<Vec<RunId>, ForgetError> {
        let repo = self.world.repo();
        let policy = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1)), Rule::Tags(vec!["kept".to_owned()])]);
        let plan = ForgetPlan::by_policy(&snapshots(&repo).unwrap(), &Filter::default(), &policy, &Options::default());
        execute(&repo, &plan, now()).map(|forgotten| forgotten.ids)
    }

    fn check(&self, read_data: bool) -> CheckReport {
        let read_data = read_data.then(|| "100%".parse().unwrap());
        check(&self.world.repo(), &CheckOptions { read_data, time: None }, &Silent::default()).unwrap()
    }

    /// The note `key` is damaged: that is told, keeps all snapshots, and a repair removes it and nothing else.
    fn assert_is_repaired(&self, key: &str, matter: Matter, what: &str) {
        for read_data in [false, !what.contains("bit ")] {
            let report = self.check(read_data);
            if matter == Matter::Powerless {
                assert_eq!(report.errors, [], "{what}");
                assert!(report.warnings.iter().any(|warning| warning.contains(key)), "{what}: {:?}", report.warnings);
                continue;
            }
            let [damage] = &report.errors[..] else { panic!("{what}: {:?}", report.errors) };
            assert_eq!((damage.object.as_str(), damage.kind), (key, Damaged::Note(matter)), "{what}");
        }
        let before = all(&self.world);
        if matter != Matter::Powerless {
            let refused = self.forget();
            let Err(ForgetError::Refused(refusals)) = refused else { panic!("{what}: {refused:?}") };
            assert!(matches!(&refusals[..], [Refusal::Note(note)] if note.key == key), "{what}: {refusals:?}");
        }
        let plan = self.plan();
        assert_eq!(plan.damaged.iter().map(|note| note.key.as_str()).collect::<Vec<_>>(), [key], "{what}");
        assert_eq!((plan.damaged[0].matter, plan.others.len()), (matter, 0), "{what}: {:?}", plan.damaged);
        assert_eq!(all(&self.world), before, "{what}: a plan changes nothing");
        let outcome = plan.carry_out(&self.world.repo()).unwrap();
        let mut expected = before;
        expected.remove(key);
        let mut found = all(&self.world);
        let there = found.remove(key);
        assert_eq!(found, expected, "{what}: nothing else is touched");
        // All but header and repository id is signed, so a note with another head says what it said.
        let is_mended = there.is_some();
        let keys = |is: bool| if is { vec![key.to_owned()] } else { vec![] };
        assert_eq!((outcome.removed, outcome.mended), (keys(!is_mended), keys(is_mended)), "{what}");
        assert_eq!(outcome.spared, [] as [String; 0], "{what}");
        let is_of_head = what.split_once(", bit ").is_some_and(|(_, bit)| bit.parse::<usize>().unwrap() < HEAD * 8);
        assert_eq!(is_mended, is_of_head, "{what}");
        assert_eq!(self.check(false).errors, [], "{what}");
        assert!(self.plan().damaged.is_empty(), "{what}");
    }
}

/// A note was torn by a store that lied, or by one that crashed. Every check found it from then on, and there was nothing that would have taken it away. Rules took the snapshot that it had
/// protected for any other, and forgot it after no more than a warning.
#[test]
fn a_damaged_note_lets_nothing_be_forgotten_and_is_taken_away() {
    let noted = Noted::new();
    let Noted { world, tagging, protecting, ids } = &noted;
    for (key, what) in [(tagging, "tagging"), (protecting, "protecting")] {
        let good = world.bytes(key);
        let mut damaged: Vec<(String, Vec<u8>)> = [0, 1, 7, 8, 23, 24, 40, good.len() / 2, good.len() - 1]
            .map(|length| (format!("cut to {length}"), good[..length].to_vec()))
            .into();
        damaged.push(("garbage".to_owned(), noise(good.len())));
        damaged.push(("zeros".to_owned(), vec![0; good.len()]));
        damaged.push(("with something behind it".to_owned(), [good.as_slice(), b"x"].concat()));
        damaged.push(("another object".to_owned(), world.bytes(if key == tagging { protecting } else { tagging })));
        // Every byte of the head, and some bits of all others; more by NIGHTSAFE_DAMAGE_STRIDE=1.
        let stride = std::env::var("NIGHTSAFE_DAMAGE_STRIDE").ok().and_then(|stride| stride.parse().ok());
        for bit in
            (0..40 * 8).step_by(stride.unwrap_or(9)).chain((40 * 8..good.len() * 8).step_by(stride.unwrap_or(397)))
        {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            damaged.push((format!("bit {bit}"), flipped));
        }
        for (how, bytes) in damaged {
            world.replace(key, bytes);
            noted.assert_is_repaired(key, Matter::Damaged, &format!("{what}, {how}"));
            if notes_of(world).contains(key) {
                assert_eq!(world.bytes(key), good, "{what}, {how}: as it was written");
            } else {
                world.put_back(key, good.clone());
            }
        }
    }
    // As long as all notes are whole, rules go by them.
    assert_eq!(noted.forget().unwrap(), [], "{ids:?}");
    // What a note said that was taken away is lost: that is what is said beforehand.
    world.replace(tagging, vec![1, 2, 3]);
    noted.plan().carry_out(&world.repo()).unwrap();
    assert_eq!(noted.forget().unwrap(), [ids[1]]);
}

#[test]
fn a_snapshot_that_is_named_is_kept_by_a_damaged_note_too() {
    let Noted { world, ids, protecting, .. } = Noted::new();
    world.replace(&protecting, noise(100));
    let repo = world.repo();
    let all = snapshots(&repo).unwrap();
    let plan = ForgetPlan::by_ids(&all, &ids[..1], &Options::default());
    assert!(matches!(&plan.refusals[..], [Refusal::Note(_)]), "{:?}", plan.refusals);
    // Rules by which nothing goes have nothing to refuse.
    let everything = Policy::new([Rule::Newest(Unit::Snapshot, Count::All)]);
    let plan = ForgetPlan::by_policy(&all, &Filter::default(), &everything, &Options::default());
    assert_eq!((plan.ids(), plan.refusals), (vec![], vec![]));
}

#[test]
fn notes_of_those_whose_notes_say_nothing_are_taken_away() {
    let noted = Noted::new();
    let Noted { world, ids, .. } = &noted;
    // The third snapshot is kept by nothing else any more.
    world.write("file", noise(2_000));
    world.back_up();
    let host = Host::new(world, Sharing::Alone);
    let stolen = host.repo(world);
    let note = Note {
        needs: Needs::NONE,
        time: now(),
        snapshot: Some(ids[2]),
        tags: vec!["planted".to_owned()],
        untags: Vec::new(),
        protects: true,
        withdraws: Vec::new(),
        verified: Vec::new(),
    };
    // Under its own name it is whole and counts for nothing; under a full credential's it can't be told from damage.
    let own = stolen.keys().new_run();
    let forged = world.repo().keys().new_run();
    for (run, matter) in [(own, Matter::Powerless), (forged, Matter::Damaged)] {
        let key = nightsafe::repo::format::key::note(run, 0);
        world.put_back(&key, record::seal_record(stolen.keys(), &key, &note));
        noted.assert_is_repaired(&key, matter, &format!("{matter:?}"));
    }
}

#[test]
fn what_may_be_read_some_day_stays() {
    let noted = Noted::new();
    let Noted { world, tagging, .. } = &noted;
    let good = world.bytes(tagging);
    let stays = |matter: Matter| {
        let (before, plan) = (all(world), noted.plan());
        assert!(plan.damaged.is_empty(), "{:?}", plan.damaged);
        let others: Vec<_> = plan.others.iter().map(|note| (note.key.as_str(), note.matter)).collect();
        assert_eq!(others, [(tagging.as_str(), matter)]);
        plan.carry_out(&world.repo()).unwrap();
        assert_eq!(all(world), before);
        assert!(matches!(noted.forget(), Err(ForgetError::Refused(_))), "{matter:?}");
    };
    // One that a newer nightsafe wrote, whose signature says nothing to this one.
    let mut newer = good.clone();
    (newer[6], newer[60]) = (2, newer[60] ^ 1);
    world.replace(tagging, newer);
    stays(Matter::Newer);
    // Another repository's.
    let other = Noted::new();
    world.replace(tagging, other.world.bytes(&other.tagging));
    stays(Matter::Foreign);
}

/// What the storage does on the way is no damage.
#[test]
fn only_what_is_damaged_in_the_storage_is_taken_away() {
    let Noted { world, tagging, .. } = Noted::new();
    let before = all(&world);
    let gets = |fault: Option<Fault>| {
        let faulty = Arc::new(FaultyStore::new(world.store.clone()));
        let repo = world.repo_over(faulty.clone());
        let opened = faulty.calls(Operation::Get);
        if let Some(fault) = fault {
            // Of the notes, the first.
            faulty.plan(Operation::Get, opened, fault);
        }
        let plan = plan(&repo);
        assert_eq!(all(&world), before);
        plan.map(|plan| (plan.damaged.len(), plan.others.iter().map(|note| note.matter).collect::<Vec<_>>()))
    };
    for on_the_way in [Fault::Flipped(99), Fault::ShortRead(1), Fault::ShortRead(usize::MAX)] {
        assert_eq!(gets(Some(on_the_way)).unwrap(), (0, vec![]), "{on_the_way:?}");
    }
    // Of an object, but not of its content.
    assert_eq!(gets(Some(Fault::Before(StoreErrorKind::Other))).unwrap(), (0, vec![Matter::Withheld]));
    // Of the storage.
    for kind in [StoreErrorKind::Transient, StoreErrorKind::Denied, StoreErrorKind::RootMissing] {
        let refused = gets(Some(Fault::Before(kind)));
        assert!(matches!(&refused, Err(RepoError::Store(error)) if error.kind == kind), "{refused:?}");
    }
    // A note that is whole by the time at which it would be removed stays.
    let good = world.bytes(&tagging);
    world.replace(&tagging, good[..100].to_vec());
    let plan = plan(&world.repo()).unwrap();
    world.replace(&tagging, good);
    let outcome = plan.carry_out(&world.repo()).unwrap();
    assert_eq!((outcome.removed, outcome.spared), (vec![], vec![tagging]));
    assert_eq!(all(&world), before);
}

/// A store that tears what is put and reports success: the note is written again under another name, and nothing of the torn one is left.
#[test]
fn a_note_that_is_torn_is_written_again() {
    for fault in [Fault::TornSilently(0), Fault::TornSilently(100), Fault::Flipped(700), Fault::Torn(100)] {
        for lasts in [false, true] {
            let Noted { world, ids, .. } = Noted::new();
            let before = all(&world);
            let faulty = Arc::new(FaultyStore::new(world.store.clone()));
            let again = RetryingStore::with_sleep(faulty.clone(), Backoff::default(), |_| {});
            let repo = world.repo_over(Arc::new(again));
            let puts = faulty.calls(Operation::Put);
            if lasts {
                faulty.plan_from(Operation::Put, puts, fault);
            } else {
                faulty.plan(Operation::Put, puts, fault);
            }
            let note = snapshots(&repo).unwrap().notes.reprotect(ids[2], true, now()).unwrap();
            let written = notes::write(&repo, &note);
            faulty.recover();
            if lasts {
                let error = written.unwrap_err().to_string();
                assert!(error.contains("notes/"), "{error}");
                assert_eq!(all(&world), before, "{fault:?}: nothing is left of it");
            } else {
                written.unwrap();
                let after = snapshots(&repo).unwrap();
                assert_eq!((after.notes.unusable.as_slice(), after.notes.protects(ids[2])), (&[][..], true));
                assert_eq!(all(&world).len(), before.len() + 1, "{fault:?}");
            }
        }
    }
}

/// A check's own note was torn silently, and each later check found damage because of it.
#[test]
fn a_note_of_a_check_that_is_torn_is_written_again() {
    let noted = Noted::new();
    let faulty = Arc::new(FaultyStore::new(noted.world.store.clone()));
    let repo = noted.world.repo_over(faulty.clone());
    let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
    faulty.plan_next(Operation::Put, Fault::TornSilently(500));
    let report = check(&repo, &options, &Silent::default()).unwrap();
    assert_eq!((report.errors, report.warnings, report.verification.never), (vec![], vec![], 0));
    let report = noted.check(true);
    assert_eq!((report.errors, report.warnings, report.verification.never), (vec![], vec![], 0));
    // Where it can't be written at all, that is told.
    faulty.plan_from(Operation::Put, faulty.calls(Operation::Put), Fault::TornSilently(500));
    let report = check(&repo, &options, &Silent::default()).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("notes/")), "{:?}", report.warnings);
    assert_eq!(noted.check(true).errors, []);
}

#[test]
fn the_program_names_the_note_and_what_to_do() {
    let scene = Scene::new();
    for n in 0..2 {
        fs::write(scene.at("source/file"), noise(2_000 + n)).unwrap();
        assert_eq!(scene.back_up().code, Some(0));
    }
    assert_eq!(scene.run(["protect", "latest"]).code, Some(0));
    let run = fs::read_dir(scene.at("repository/notes")).unwrap().next().unwrap().unwrap().path();
    let note = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let key = note.strip_prefix(scene.at("repository")).unwrap().to_str().unwrap().to_owned();
    let good = fs::read(&note).unwrap();
    fs::set_permissions(&note, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&note, &good[..100]).unwrap();
    let next = "`nightsafe repair notes` takes such notes away";
    let tells = |arguments: &[&str], code: i32| {
        let said = scene.run(arguments.iter().copied());
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        let text = [said.out, said.err].concat();
        assert!(text.contains(&key) && text.contains(next), "{arguments:?}: {text}");
    };
    tells(&["snapshots"], 0);
    tells(&["check"], 1);
    tells(&["check", "--read-data"], 1);
    tells(&["forget", "--keep-last", "1", "--dry-run"], 4);
    tells(&["forget", "--keep-last", "1"], 4);
    tells(&["tag", "latest", "--add", "x"], 0);
    let said = scene.run(["repair", "notes", "-n"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(&format!("damaged: {key}")) && said.out.contains("1 note would be removed"), "{said:?}");
    assert!(note.exists());
    let said = scene.run(["repair", "notes"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("1 note removed, 2 sound notes left"), "{said:?}");
    assert!(!note.exists());
    let said = scene.run(["repair", "notes"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "no damaged note, 2 sound notes\n"), "{said:?}");
    assert_eq!(scene.run(["check", "--read-data"]).code, Some(0));
    assert_eq!(scene.run(["forget", "--keep-last", "1"]).code, Some(0));
}

#[test]
fn a_key_that_may_only_write_repairs_nothing() {
    let scene = Scene::new();
    assert_eq!(scene.back_up().code, Some(0));
    let opened = fs::read_to_string(scene.at("key")).unwrap();
    let opened = Secret::KeyFile(KeyFile::parse(&opened).unwrap());
    let store = Arc::new(LocalStore::new(&scene.at("repository")));
    let AnyRepo::Full(repo) = open(store, &opened, &CacheDir::new(scene.at("cache"))).unwrap() else {
        panic!("a full credential opened as write-only")
    };
    let (key, weak) = (scene.at("weak-key"), KeyFile::generate());
    fs::write(&key, weak.to_text().as_bytes()).unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let bundle = repo.read_keys().new_write_only(Sharing::Alone);
    ring::add(&**repo.store(), repo.read_keys(), &bundle, &Secret::KeyFile(weak), kdf(), &label()).unwrap();
    for verb in ["notes", "index"] {
        let mut command = scene.command(["repair", verb]);
        let said: crate::binary::Said = command.env("NIGHTSAFE_KEY_FILE", &key).output().unwrap().into();
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("this key may only write"), "{said:?}");
    }
}
