//! What the program says of a repository that isn't the one that was there before.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::{Said, Scene};
use crate::world::noise;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

fn id_of(repository: &Path) -> String {
    let marker: serde_json::Value =
        serde_json::from_slice(&std::fs::read(repository.join("nightsafe.json")).unwrap()).unwrap();
    marker["repository"].as_str().unwrap().to_owned()
}

/// Another repository in the first one's place, opened by the same key, made by a host whose memory is elsewhere.
fn swap(scene: &Scene) -> (String, String) {
    let repository = scene.at("repository");
    let known = id_of(&repository);
    std::fs::rename(&repository, scene.at("aside")).unwrap();
    let mut init = scene.complete(Command::new(env!("CARGO_BIN_EXE_nightsafe")), &[OsStr::new("init")]);
    init.env("NIGHTSAFE_KEY_FILE", scene.at("key")).env("NIGHTSAFE_STATE_DIR", scene.at("elsewhere"));
    let said: Said = init.output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    (known, id_of(&repository))
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_repository_that_was_swapped_is_refused_until_its_id_is_accepted() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(10_000)).unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    let (known, found) = swap(&scene);
    let objects = || walk(&scene.at("repository"));
    let before = objects();
    for said in [scene.back_up(), scene.run(["snapshots"]), scene.run(["check"]), scene.run(["prune"])] {
        assert_eq!(said.code, Some(4), "{said:?}");
        let text = format!("{}{}", said.err, said.out);
        assert!(text.contains(&known) && text.contains(&format!("--accept-repository {found}")), "{said:?}");
    }
    assert_eq!(objects(), before, "nothing was written");
    // The cache may go; what is known of repositories isn't in it.
    std::fs::remove_dir_all(scene.at("cache")).unwrap();
    assert_eq!(scene.run(["snapshots"]).code, Some(4));
    assert_eq!(scene.run(["snapshots", "--accept-repository", &known]).code, Some(4), "the wrong one");
    assert_eq!(scene.run(["snapshots", "--accept-repository", "x"]).code, Some(2));
    assert_eq!(scene.run(["snapshots", "--accept-repository", &found]).code, Some(0));
    assert_eq!(scene.back_up().code, Some(0));
    // Once accepted, both may take turns; under another name the first one can be had all the time.
    let aside = scene.at("aside");
    let said = scene.run(["snapshots", "-r", aside.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    std::fs::rename(scene.at("repository"), scene.at("second")).unwrap();
    std::fs::rename(aside, scene.at("repository")).unwrap();
    let said = scene.run(["snapshots"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_new_repository_where_another_was_is_known_from_then_on() {
    let scene = Scene::new();
    assert_eq!(scene.run(["snapshots"]).code, Some(0));
    let known = id_of(&scene.at("repository"));
    std::fs::remove_dir_all(scene.at("repository")).unwrap();
    std::fs::remove_file(scene.at("key")).unwrap();
    let key = scene.at("key");
    let said = scene.run(["init", "--generate-key", key.to_str().unwrap()]);
    assert!(said.code == Some(0) && said.err.contains(&known), "{said:?}");
    assert_eq!(scene.run(["snapshots"]).code, Some(0));
}

#[test]
fn a_repository_that_was_put_back_is_told_by_every_verb_that_lists_snapshots() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(10_000)).unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    copy(&scene.at("repository"), &scene.at("old"));
    let gone = scene.back_up().json()["snapshot_id"].as_str().unwrap().to_owned();
    assert_eq!(scene.run(["check"]).code, Some(0));
    std::fs::remove_dir_all(scene.at("repository")).unwrap();
    std::fs::rename(scene.at("old"), scene.at("repository")).unwrap();
    let listed = scene.run(["snapshots"]);
    assert!(listed.code == Some(0) && listed.err.contains(&gone), "{listed:?}");
    let said = scene.back_up();
    assert!(said.code == Some(0) && format!("{}{}", said.err, said.out).contains(&gone), "{said:?}");
    let said = scene.run(["check"]);
    assert!(said.code == Some(1) && format!("{}{}", said.err, said.out).contains(&gone), "{said:?}");
    let said = scene.run(["forget", "--unreadable", &gone]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = scene.run(["check"]);
    assert_eq!(said.code, Some(0), "accepted: {said:?}");
}

/// The paths below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}
