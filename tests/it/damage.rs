//! Damage to each kind of object: what a check says of it, and that nothing wrong is ever restored.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod exhaustive;
mod foreign;
mod limits;
mod program;
mod rollback;
mod trailers;

use crate::world::{NAME, Portrait, World, noise, portrait};
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackHash, PackId, RunId};
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::store::Store;
use nightsafe::repo::view::View;
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::check::{CheckOptions, CheckReport, Damage, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::{PruneOptions, prune};
use nightsafe::snapshot::snapshots::snapshots;
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A repository with two snapshots, and what each must bring back.
struct Scene {
    world: World,
    snapshots: Vec<(RunId, Portrait)>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let mut snapshots = Vec::new();
        for night in 0..2 {
            for n in 0..3 {
                world.write(&format!("folder-{n}/deep/file-{night}"), noise(20_000));
            }
            world.write("changing", noise(70_000));
            world.write("tiny", b"inline");
            world.write(".env", format!("KEY=value-{night}\n"));
            let id = world.back_up().snapshot.unwrap();
            snapshots.push((id, portrait(&world.source())));
        }
        Self { world, snapshots }
    }

    fn packs(&self) -> Vec<String> {
        self.world.objects("packs/").into_keys().collect()
    }

    fn check(&self, read_data: bool) -> CheckReport {
        let options = CheckOptions { read_data: read_data.then(|| "100%".parse().unwrap()), time: None };
        check(&self.world.repo(), &options, &Silent::default()).unwrap()
    }

    fn forget_caches(&self) {
        let _ = std::fs::remove_dir_all(self.world.cache());
    }

    /// Restores all snapshots. Whatever comes back is right, and what doesn't is named, or the restore says that it failed. Gives
    /// the paths that are missing, with their snapshots.
    fn lost(&self) -> BTreeSet<(RunId, SafePath)> {
        let mut lost = BTreeSet::new();
        for (id, expected) in &self.snapshots {
            let (target, result) = self.world.try_restore(*id);
            let found = if target.exists() { portrait(&target) } else { Portrait::new() };
            // What tells that the restore isn't complete stays as long as something is missing.
            let is_marker = |path: &Path| path.to_string_lossy().starts_with(".nightsafe-restore-");
            for (path, facts) in found.iter().filter(|(path, _)| !is_marker(path)) {
                let wanted = expected.get(path).unwrap_or_else(|| panic!("{} was never there", path.display()));
                assert_eq!((facts.size, &facts.content), (wanted.size, &wanted.content), "{}", path.display());
            }
            let missing: BTreeSet<SafePath> =
                expected.keys().filter(|path| !found.contains_key(*path)).map(|path| in_snapshot(path)).collect();
            if let Ok(summary) = result {
                let named: BTreeSet<SafePath> = summary.problems.into_iter().map(|problem| problem.path).collect();
                for path in &missing {
                    assert!(covers(&named, path), "{path} is missing and not named: {named:?}");
                }
            } else {
                assert!(!missing.is_empty(), "{result:?}, and nothing is missing");
            }
            lost.extend(missing.into_iter().map(|path| (*id, path)));
        }
        lost
    }
}

fn in_snapshot(path: &Path) -> SafePath {
    let joined = Path::new(NAME).join(path);
    SafePath::parse(joined.as_os_str().as_bytes()).unwrap()
}

/// Whether a path, or a folder that it is in, is among those.
fn covers(named: &BTreeSet<SafePath>, path: &SafePath) -> bool {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        if named.contains(&path) {
            return true;
        }
        at = path.parent();
    }
    false
}

fn hit(errors: &[Damage], id: RunId) -> BTreeSet<SafePath> {
    errors
        .iter()
        .flat_map(|damage| &damage.snapshots)
        .filter(|(run, _)| *run == id)
        .flat_map(|(_, paths)| paths.clone())
        .collect()
}

/// What must hold whatever is damaged: a check of the data names every path that a restore doesn't bring back.
fn assert_all_named(scene: &Scene, what: &str) -> (CheckReport, BTreeSet<(RunId, SafePath)>) {
    let report = scene.check(true);
    let lost = scene.lost();
    for (id, path) in &lost {
        assert!(
            covers(&hit(&report.errors, *id), path),
            "{what}: {id}:/{path} is lost, but only: {:#?}",
            report.errors
        );
    }
    (report, lost)
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn an_intact_repository_has_no_errors() {
    let scene = Scene::new();
    for forget in [false, true] {
        if forget {
            scene.forget_caches();
        }
        let (structure, data) = (scene.check(false), scene.check(true));
        assert_eq!((&structure.errors[..], &structure.warnings[..]), (&[][..], &[][..]));
        assert_eq!((&data.errors[..], data.snapshots, data.packs_read), (&[][..], 2, scene.packs().len() as u64));
        assert_eq!(scene.lost(), BTreeSet::new());
    }
}

#[test]
fn a_flipped_bit_is_found_when_data_is_read_and_hits_what_is_named() {
    let scene = Scene::new();
    let repo = scene.world.repo();
    let mut total_lost = 0;
    for key in scene.packs() {
        let good = scene.world.bytes(&key);
        let pack = key::parse_pack(&key).unwrap();
        let whole = WholePack::new(pack, &good, repo.id()).unwrap();
        let frames = whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap();
        let trailer = good.len() - 12 - 20;
        let mut places: Vec<(String, usize)> = vec![
            ("magic".into(), 0),
            ("run".into(), 45),
            ("wrap".into(), 100),
            ("trailer".into(), trailer),
            ("trailer's length".into(), good.len() - 12),
            ("footer".into(), good.len() - 3),
        ];
        for frame in &frames {
            places.push(("frame".into(), frame.offset as usize + 20));
        }
        for (what, at) in places {
            scene.forget_caches();
            scene.world.replace(&key, flipped(&good, at));
            let structure = scene.check(false);
            let (report, lost) = assert_all_named(&scene, &format!("{what} of {key}"));
            total_lost += lost.len();
            assert!(report.errors.iter().any(|damage| damage.object == key), "{what} of {key}: {:#?}", report.errors);
            if what == "frame" {
                let frame = frames.iter().find(|frame| frame.offset as usize + 20 == at).unwrap();
                let named = report.errors.iter().find(|damage| damage.object == format!("frame {}", frame.id));
                assert!(named.is_some_and(|damage| !damage.snapshots.is_empty()), "{:#?}", report.errors);
                assert!(!lost.is_empty());
            }
            if what != "frame" {
                // Segments say what trailers do, and other packs of the run what its head does.
                assert_eq!((&structure.errors[..], lost.len()), (&[][..], 0), "{what}");
            }
        }
        scene.world.replace(&key, good);
    }
    assert!(total_lost > 10);
    assert_eq!(scene.lost(), BTreeSet::new());
}

#[test]
fn packs_that_are_gone_or_short_are_found_without_reading_data() {
    for warm in [true, false] {
        let scene = Scene::new();
        for key in scene.packs() {
            let good = scene.world.bytes(&key);
            for what in ["removed", "short", "long", "empty"] {
                if warm {
                    scene.check(false);
                } else {
                    scene.forget_caches();
                }
                match what {
                    "removed" => scene.world.store.delete(&key).map(drop).unwrap(),
                    "short" => scene.world.replace(&key, good[..good.len() - 1].to_vec()),
                    "long" => scene.world.replace(&key, [&good[..], b"x"].concat()),
                    _ => scene.world.replace(&key, Vec::new()),
                }
                let structure = scene.check(false);
                let context = format!("{what}, warm: {warm}, {key}");
                let (_, lost) = assert_all_named(&scene, &context);
                for (id, path) in &lost {
                    assert!(covers(&hit(&structure.errors, *id), path), "{context}: {path}: {:#?}", structure.errors);
                }
                assert!(!structure.errors.is_empty() || lost.is_empty(), "{context}");
                if what != "long" {
                    assert!(!structure.errors.is_empty(), "{context}");
                }
                let _ = scene.world.store.delete(&key);
                scene.world.replace(&key, good.clone());
            }
        }
        assert_eq!(scene.lost(), BTreeSet::new(), "mended");
    }
}

#[test]
fn packs_that_were_swapped_are_noticed() {
    let scene = Scene::new();
    let packs = scene.packs();
    for pair in packs.windows(2) {
        scene.forget_caches();
        let [one, other] = [&pair[0], &pair[1]].map(|key| scene.world.bytes(key));
        scene.world.replace(&pair[0], other.clone());
        scene.world.replace(&pair[1], one.clone());
        let (report, lost) = assert_all_named(&scene, "swapped");
        for key in pair {
            assert!(report.errors.iter().any(|damage| damage.object == *key), "{key}: {:#?}", report.errors);
        }
        // Packs of one run are opened by the same key, so their frames may be found by the trailers, and are believed by their ids.
        let [run, other_run] = [&pair[0], &pair[1]].map(|key| key::parse_pack(key).unwrap().run);
        assert!(run == other_run || !lost.is_empty());
        scene.world.replace(&pair[0], one);
        scene.world.replace(&pair[1], other);
    }
}

#[test]
fn without_segments_everything_works_from_trailers() {
    let scene = Scene::new();
    let segments = scene.world.objects("index/");
    assert_eq!(segments.len(), 2);
    for key in segments.keys() {
        let good = scene.world.bytes(key);
        for bad in [flipped(&good, good.len() / 2), flipped(&good, 3), good[..40].to_vec(), Vec::new()] {
            scene.forget_caches();
            scene.world.replace(key, bad);
            let report = scene.check(true);
            assert_eq!(report.errors, []);
            assert!(report.warnings.iter().any(|warning| warning.contains(key.as_str())), "{:?}", report.warnings);
            assert_eq!(scene.lost(), BTreeSet::new());
        }
        scene.world.store.delete(key).unwrap();
    }
    scene.forget_caches();
    let report = scene.check(true);
    assert_eq!((&report.errors[..], &report.warnings[..]), (&[][..], &[][..]));
    assert_eq!(scene.lost(), BTreeSet::new());
    let s = scene.world.back_up().statistics;
    assert!(s.raw_added < 5_000, "{s:?}");
}

#[test]
fn a_manifest_that_is_damaged_or_wrongly_signed_is_listed_as_unreadable() {
    let scene = Scene::new();
    let (id, _) = scene.snapshots[0];
    let (other, _) = scene.snapshots[1];
    let object = key::snapshot(id);
    let good = scene.world.bytes(&object);
    let places = [0, 10, 30, 50, 100, 160, 300, good.len() / 2, good.len() - 190, good.len() - 30, good.len() - 1];
    let mut bad: Vec<Vec<u8>> = places.iter().map(|&at| flipped(&good, at)).collect();
    // Sound, and of another run: moved under this name.
    bad.extend([Vec::new(), good[..good.len() - 1].to_vec(), scene.world.bytes(&key::snapshot(other))]);
    for bad in bad {
        scene.world.replace(&object, bad);
        let all = snapshots(&scene.world.repo()).unwrap();
        assert_eq!(all.list.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [other]);
        assert_eq!(all.unreadable.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id]);
        let report = scene.check(false);
        assert!(report.errors.iter().any(|damage| damage.object == object && damage.snapshots[0].0 == id));
        assert_eq!(scene.world.restored(other), scene.snapshots[1].1);
        // It doesn't keep anybody from backing up.
        let summary = scene.world.back_up();
        scene.world.store.delete(&key::snapshot(summary.snapshot.unwrap())).unwrap();
    }
    scene.world.replace(&object, good);
    assert_eq!(scene.lost(), BTreeSet::new());
}

/// Things that don't belong there.
#[test]
fn strange_objects_are_no_danger() {
    let scene = Scene::new();
    for name in [
        "packs/zz/x",
        "packs/00/short",
        "index/strange",
        "snapshots/strange",
        "runs/x",
        "gc/x",
        "stops/x",
        "pins/x/0",
        "other",
    ] {
        scene.world.store.put(name, &noise(100).into()).unwrap();
    }
    scene.forget_caches();
    assert_eq!(scene.check(true).errors, []);
    assert_eq!(scene.lost(), BTreeSet::new());
    let summary = scene.world.back_up();
    assert_eq!(scene.world.restored(summary.snapshot.unwrap()), scene.snapshots[1].1);
}

/// The local index would keep for ever what it knew of packs that were pruned long ago.
#[test]
fn an_index_of_what_is_gone_is_made_anew() {
    let scene = Scene::new();
    let run = scene.snapshots[0].0;
    let names: Vec<String> = (0..1100)
        .map(|_| key::pack(PackId { run, hash: PackHash::from_bytes(noise(32).try_into().unwrap()) }))
        .collect();
    for name in &names {
        scene.world.store.put(name, &noise(10).into()).unwrap();
    }
    let known = || View::for_reading(&scene.world.repo()).unwrap().0.packs().len();
    let before = known();
    assert!(before > 1100, "{before}");
    for name in &names {
        scene.world.store.delete(name).unwrap();
    }
    assert_eq!(known(), before, "what is gone may have been lost, and be stored again by what is known of it");
    let options = PruneOptions { max_delete: 100, ..PruneOptions::at(now()) };
    prune(&scene.world.repo(), &options, &Silent::default()).unwrap();
    assert_eq!(known(), before - 1100, "a prune knows that nothing is missing");
    assert_eq!(scene.lost(), BTreeSet::new());
}
