//! The same tree in the hands of a user who isn't root: what may comes back, and what may not is one line and exit code 3.

use super::facts::{Survey, survey};
use super::{as_restored_by, differences, is_root, remove_all, tree};
use crate::binary::{Said, Scene, as_somebody};
use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown};

/// Nobody.
const OTHER: u32 = 65_534;

fn as_other(scene: &Scene, arguments: &[&str]) -> Result<Said, String> {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    Ok(scene.complete(as_somebody(scene)?, &arguments).output().unwrap().into())
}

/// A scene with all of it in `source`, backed up by root.
fn scene_of_everything() -> Scene {
    let scene = Scene::new();
    std::fs::remove_dir(scene.at("source")).unwrap();
    tree::build(&scene.at("source"));
    assert_eq!(scene.back_up().code, Some(0));
    // Listed by somebody who has to show whatever a time or a name may be.
    let said = scene.run(["ls", "-R", "--json", "latest"]);
    assert!(
        said.code == Some(0) && said.out.lines().count() > 1_300 && said.out.contains("\"btime\":\"20"),
        "{}",
        said.err
    );
    let said = scene.run(["ls", "-R", "-l", "latest"]);
    assert!(said.code == Some(0) && said.out.bytes().all(|byte| byte == b'\n' || byte >= b' '), "{}", said.err);
    scene
}

/// What it complained of, but for the room that a sparse file would need if it weren't.
fn complaints(said: &Said) -> Vec<&str> {
    said.err.lines().filter(|line| !line.contains("there is less room than this needs")).collect()
}

#[test]
fn another_user_gets_back_what_may_be_and_one_line_about_the_rest() {
    if !is_root() {
        return eprintln!("skipped: only root makes what others may not restore");
    }
    let scene = scene_of_everything();
    let everything = ["--special", "--setuid", "--security-xattrs"];
    let restore = |target: &str, more: &[&str], by_root: bool| {
        let (folder, target) = (scene.at(target), scene.at(&format!("{target}/tree")));
        std::fs::create_dir(&folder).unwrap();
        chown(&folder, Some(if by_root { 0 } else { OTHER }), None).unwrap();
        let arguments = [&["restore", "latest:/data", "--target", target.to_str().unwrap()], more].concat();
        let said = if by_root { Ok(scene.run(arguments.iter().copied())) } else { as_other(&scene, &arguments) };
        said.map(|said| (said, survey(&target), folder))
    };
    let source = survey(&scene.at("source"));
    let (said, found, by_root) = restore("root", &everything, true).unwrap();
    assert_eq!((said.code, complaints(&said)), (Some(0), vec![]), "{said:?}");
    assert_eq!(differences(&source, &found), Vec::<String>::new());

    let expected: Survey =
        source.iter().filter_map(|(path, facts)| Some((path.clone(), as_restored_by(OTHER, facts)?))).collect();
    let devices = source.len() - expected.len();
    let (said, found, theirs) = match restore("theirs", &everything, false) {
        Ok(restored) => restored,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    assert_eq!((said.code, complaints(&said).len()), (Some(3), 1), "{said:?}");
    assert!(
        said.err.contains("not permitted to this user") && said.err.contains("6 devices") && devices == 6,
        "{devices}: {said:?}"
    );
    assert_eq!(differences(&expected, &found), Vec::<String>::new());

    // Without asking for more than may be, nothing is amiss.
    let (said, found, kept) = restore("kept", &["--owner", "keep"], false).unwrap();
    assert_eq!((said.code, complaints(&said)), (Some(0), vec![]), "{said:?}");
    let is_plain =
        |facts: &super::facts::Facts| facts.is_file() || facts.is_directory() || facts.mode & 0o170_000 == 0o120_000;
    let expected: Survey = expected.into_iter().filter(|(_, facts)| is_plain(facts)).collect();
    assert_eq!(differences(&expected, &found), Vec::<String>::new());
    for folder in [by_root, theirs, kept, scene.at("source")] {
        remove_all(&folder);
    }
}

#[test]
fn another_user_backs_up_what_may_be_read_and_names_the_rest() {
    if !is_root() {
        return eprintln!("skipped: nothing is forbidden to the owner of everything");
    }
    let scene = scene_of_everything();
    std::fs::create_dir_all(scene.at("cache")).unwrap();
    let source = scene.at("source");
    let arguments = ["backup", "--json", "--as", "theirs", source.to_str().unwrap()];
    let said = match as_other(&scene, &arguments) {
        Ok(said) => said,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    assert_eq!((said.code, &said.json()["state"]), (Some(3), &"incomplete".into()), "{said:?}");
    let everything = survey(&source);
    let others_may = |path: &[u8], bit: u32| everything[path].mode & bit != 0;
    let is_reached = |path: &[u8]| {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.clone().all(|end| others_may(&path[..end], 0o004) && others_may(&path[..end], 0o001))
    };
    // Other names of a file that can't be read are as lost as the first, which is told once; all else is told by its own name.
    let is_lost = |path: &[u8]| {
        let facts = &everything[path];
        (facts.is_file() || facts.is_directory()) && !others_may(path, 0o004)
    };
    let messages: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said_of = messages.iter().filter(|message| message["message_type"] == "error").count();
    let lost: Vec<_> = everything.keys().filter(|path| is_reached(path) && is_lost(path)).collect();
    assert!(lost.len() >= 6 && said_of >= lost.len() - 2, "{} {said_of}", lost.len());

    // What could be read comes back as it was.
    let id = said.json()["snapshot_id"].as_str().unwrap().to_owned();
    let target = scene.at("part");
    let snapshot = format!("{id}:/theirs");
    let said = scene.run(["restore", &snapshot, "--target", target.to_str().unwrap(), "--special", "--setuid"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let found = survey(&target);
    for (path, facts) in &everything {
        let is_there = is_reached(path) && !(is_lost(path) && facts.is_file());
        assert_eq!(found.contains_key(path), is_there, "{}", path.escape_ascii());
        if let Some(other) = found.get(path)
            && facts.is_file()
        {
            assert_eq!((facts.mode, facts.owner), (other.mode, other.owner), "{}", path.escape_ascii());
        }
    }
    assert!(found.len() > 1_250, "{}", found.len());
    for folder in [target, source] {
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        remove_all(&folder);
    }
}
