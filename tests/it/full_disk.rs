//! A disk that is full: that of the repository, that of the folder that is restored into, that of the cache. And one that isn't mounted.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::Scene;
use crate::disk::Disk;
use crate::world::{noise, portrait};
use std::os::unix::fs::symlink;
use std::path::Path;

fn fill(scene: &Scene, name: &str, files: usize) {
    let folder = scene.at("source").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for n in 0..files {
        std::fs::write(folder.join(format!("file-{n:02}")), noise(100_000)).unwrap();
    }
}

fn back_up(scene: &Scene) -> crate::binary::Said {
    scene.run(["backup", "--json", "--as", "data", scene.at("source").to_str().unwrap()])
}

fn restore(scene: &Scene, target: &Path) -> crate::binary::Said {
    scene.run(["restore", "latest:/data", "--target", target.to_str().unwrap()])
}

#[test]
fn a_backup_onto_a_full_disk_fails_and_the_next_one_goes_on() {
    let scene = Scene::new();
    let Some(disk) = Disk::tmpfs("3m") else { return };
    let root = disk.path().join("repository");
    assert!(
        std::process::Command::new("cp").arg("-a").arg(scene.at("repository")).arg(&root).status().unwrap().success()
    );
    std::fs::remove_dir_all(scene.at("repository")).unwrap();
    symlink(&root, scene.at("repository")).unwrap();
    fill(&scene, "first", 2);
    assert_eq!(back_up(&scene).code, Some(0));
    let first = portrait(&scene.at("source"));
    fill(&scene, "second", 50);
    for _ in 0..2 {
        let said = back_up(&scene);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("no space left") && said.err.contains("repository: "), "{said:?}");
    }
    // What was committed is whole, and can be read.
    let said = scene.run(["snapshots", "--json"]);
    assert_eq!(said.json().as_array().unwrap().len(), 1, "{said:?}");
    let said = scene.run(["check", "--read-data"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let target = scene.at("restored");
    assert_eq!(restore(&scene, &target).code, Some(0));
    assert_eq!(portrait(&target), first);
    std::fs::remove_dir_all(&target).unwrap();
    disk.resize("24m");
    let said = back_up(&scene);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(restore(&scene, &target).code, Some(0));
    assert_eq!(portrait(&target), portrait(&scene.at("source")));
}

/// It used to be one problem for each file that didn't fit, and exit code 3.
#[test]
fn a_restore_onto_a_full_disk_ends_with_one_error_and_goes_on_when_there_is_room() {
    let scene = Scene::new();
    let Some(disk) = Disk::tmpfs("2m") else { return };
    fill(&scene, "folder", 50);
    std::fs::write(scene.at("source/.env"), "KEY=value\n").unwrap();
    std::fs::hard_link(scene.at("source/folder/file-00"), scene.at("source/name")).unwrap();
    assert_eq!(back_up(&scene).code, Some(0));
    let target = disk.path().join("restored");
    let good = portrait(&scene.at("source"));
    for size in ["2m", "3m"] {
        disk.resize(size);
        let said = restore(&scene, &target);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert_eq!(said.err.matches("No space left").count(), 1, "{said:?}");
        assert!(said.err.contains(" in ") && said.err.contains(target.to_str().unwrap()), "{said:?}");
        assert!(said.err.contains("more is needed") && said.err.contains("typed again, goes on"), "{said:?}");
        for (path, facts) in portrait(&target) {
            if facts.size.is_some() && !path.to_string_lossy().contains(".nightsafe-") {
                assert_eq!(facts.content, good[&path].content, "{}", path.display());
            }
        }
    }
    disk.resize("24m");
    let said = restore(&scene, &target);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(" kept"), "{said:?}");
    assert_eq!(portrait(&target), good);
}

/// Once, each verb ended with exit code 1 where the disk of the cache was full, although the cache is a hint: no backup and no restore until somebody cleaned up.
#[test]
fn a_full_disk_of_the_cache_costs_one_warning() {
    let scene = Scene::new();
    let Some(disk) = Disk::tmpfs("1m") else { return };
    fill(&scene, "folder", 3);
    assert_eq!(back_up(&scene).code, Some(0));
    let cache = disk.path().join("cache");
    let filler = disk.fill(0);
    let target = scene.at("restored");
    let source = scene.at("source");
    let (cache, target, source) = (cache.to_str().unwrap(), target.to_str().unwrap(), source.to_str().unwrap());
    let verbs: [&[&str]; 8] = [
        &["check", "--read-data"],
        &["snapshots"],
        &["restore", "latest:/data", "--target", target],
        &["backup", "--as", "data", source],
        &["diff", "latest", "latest"],
        &["forget", "--keep-last", "1"],
        &["prune"],
        &["repair", "index"],
    ];
    let first = portrait(Path::new(source));
    std::fs::write(scene.at("source/new"), noise(50_000)).unwrap();
    for verb in verbs {
        let said = scene.run(verb.iter().copied().chain(["--cache-dir", cache]));
        assert_eq!(said.code, Some(0), "{verb:?}: {said:?}");
        // Who looks at the index hears once that it can't be kept, and where it could be; who doesn't, hears nothing.
        let uses_index = !matches!(verb[0], "snapshots" | "forget" | "repair");
        let warnings = usize::from(uses_index);
        assert_eq!(said.err.matches("warning:").count(), warnings, "{verb:?}: {said:?}");
        assert_eq!(said.err.matches("--cache-dir").count(), warnings, "{verb:?}: {said:?}");
        assert!(!uses_index || said.err.contains("No space left"), "{verb:?}: {said:?}");
        if target_is_there(target) {
            assert_eq!(portrait(Path::new(target)), first);
            std::fs::remove_dir_all(target).unwrap();
        }
    }
    let said = scene.run(["snapshots", "--json", "--cache-dir", cache]);
    assert_eq!(said.json().as_array().unwrap().len(), 1, "the other one was forgotten: {said:?}");
    // With room again the half-written cache is no obstacle, and elsewhere there is none.
    std::fs::remove_file(filler).unwrap();
    disk.resize("16m");
    for verb in verbs {
        for place in [cache, scene.at("elsewhere").to_str().unwrap()] {
            let said = scene.run(verb.iter().copied().chain(["--cache-dir", place]));
            assert_eq!(said.code, Some(0), "{verb:?} {place}: {said:?}");
            if target_is_there(target) {
                assert_eq!(portrait(Path::new(target)), portrait(Path::new(source)));
                std::fs::remove_dir_all(target).unwrap();
            }
        }
    }
}

/// Once, it was an error. Whatever keeps a cache from being kept, it's a hint.
#[test]
fn a_cache_that_cannot_be_made_costs_one_warning() {
    let scene = Scene::new();
    fill(&scene, "folder", 3);
    std::fs::write(scene.at("text"), "no folder").unwrap();
    let (text, source) = (scene.at("text"), scene.at("source"));
    let text = text.to_str().unwrap();
    let said = scene.run(["backup", "--as", "data", "--cache-dir", text, source.to_str().unwrap()]);
    assert_eq!((said.code, said.err.matches("warning:").count()), (Some(0), 1), "{said:?}");
    assert!(said.err.contains(text) && said.err.contains("--cache-dir"), "{said:?}");
    let target = scene.at("restored");
    let target = target.to_str().unwrap();
    let said = scene.run(["restore", "latest:/data", "--target", target, "--cache-dir", text, "--json"]);
    assert_eq!((said.code, said.err.matches("\"warning\"").count()), (Some(0), 1), "{said:?}");
    assert_eq!(portrait(Path::new(target)), portrait(&source));
}

fn target_is_there(target: &str) -> bool {
    Path::new(target).exists()
}

/// A backup disk that isn't mounted: each verb says so by its exit code, and creates nothing where it should be.
#[test]
fn no_verb_makes_a_repository_where_there_is_none() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), "x").unwrap();
    assert_eq!(back_up(&scene).code, Some(0));
    let (away, root) = (scene.at("away"), scene.at("repository"));
    std::fs::rename(&root, &away).unwrap();
    let source = scene.at("source");
    let source = source.to_str().unwrap();
    let target = scene.at("restored");
    let target = target.to_str().unwrap();
    let new_key = scene.at("new-key");
    let new_key = new_key.to_str().unwrap();
    let verbs: [&[&str]; 22] = [
        &["backup", source],
        &["backup", "--dry-run", source],
        &["snapshots"],
        &["show", "latest"],
        &["ls", "latest"],
        &["diff", "latest", "latest"],
        &["dump", "latest:/file"],
        &["restore", "latest", "--target", target],
        &["restore", "latest", "--target", target, "--dry-run"],
        &["forget", "--keep-last", "1"],
        &["forget", "latest"],
        &["tag", "latest", "--add", "x"],
        &["protect", "latest"],
        &["check"],
        &["check", "--read-data"],
        &["check", "--packs-only"],
        &["prune"],
        &["prune", "--dry-run"],
        &["repair", "index"],
        &["repair", "packs", "--read-data"],
        &["key", "list"],
        &["key", "add", "--generate-key", new_key],
    ];
    // A folder that isn't there, and an empty one: the mount point.
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(&root).unwrap();
        }
        let before = portrait(scene.at("source").parent().unwrap());
        for verb in verbs {
            let said = scene.run(verb.iter().copied());
            assert_eq!(said.code, Some(10), "{verb:?}: {said:?}");
            assert!(said.err.contains(root.to_str().unwrap()), "{verb:?}: {said:?}");
            let now = portrait(scene.at("source").parent().unwrap());
            let new: Vec<_> =
                now.keys().filter(|path| !before.contains_key(*path) && !path.starts_with("cache")).collect();
            assert_eq!(new, [""; 0].map(Path::new).iter().collect::<Vec<_>>(), "{verb:?}");
        }
    }
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(scene.run(["check", "--read-data"]).code, Some(0));
}
