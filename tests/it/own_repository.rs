//! A repository within the folder that is backed up: it isn't in its own backup, whatever its URL is.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::{Said, Scene};
use crate::world::noise;
use std::fs;
use std::path::Path;

/// Bytes of all files below.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let bytes = |entry: fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { size(&entry.path()) } else { metadata.len() }
    };
    entries.map(bytes).sum()
}

/// Each night stored again what the nights before had stored: a repository in a folder that was backed up into it doubled every night. Of a folder that is reached as `fs:PATH`,
/// `restore --delete` didn't know either that it holds a repository, and deleted it.
#[test]
fn a_repository_is_not_in_its_own_backup() {
    let scene = Scene::new();
    let source = scene.at("source");
    fs::create_dir(source.join("backups")).unwrap();
    fs::write(source.join("file"), noise(200_000)).unwrap();
    std::os::unix::fs::symlink(&source, scene.at("another name")).unwrap();
    let at = |name: &str| source.join("backups").join(name).to_str().unwrap().to_owned();
    let urls = [
        ("plain", at("plain")),
        ("file", format!("file:{}", at("file"))),
        ("fs", format!("fs:{}", at("fs"))),
        ("link", scene.at("another name/backups/link").to_str().unwrap().to_owned()),
    ];
    for (name, url) in urls {
        let folder = source.join("backups").join(name);
        let run = |arguments: &[&str]| -> Said {
            let mut command = scene.command(arguments.iter().copied());
            command.env("NIGHTSAFE_REPOSITORY", &url).output().unwrap().into()
        };
        let key = scene.at(&format!("{name}-key"));
        let said = run(&["init", "--generate-key", key.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let key = key.to_str().unwrap();
        let night = || {
            let said = run(&["backup", "--key-file", key, "--as", "data", source.to_str().unwrap()]);
            assert_eq!(said.code, Some(0), "{name}: {said:?}");
            size(&folder)
        };
        let first = night();
        assert!((200_000..300_000).contains(&first), "{name}: {first}");
        let second = night();
        assert!(second < first + 30_000, "{name}: {first}, then {second}");
        let listed = run(&["ls", "-R", "--key-file", key, "latest"]);
        let inside = format!("/data/backups/{name}/");
        let below: Vec<&str> = listed.out.lines().filter(|line| line.starts_with(&inside)).collect();
        assert_eq!(below, [inside.as_str()], "the folder is there, and nothing in it: {listed:?}");
        // The other way about, a restore that deletes keeps away from it.
        let back = ["restore", "latest:/data", "--key-file", key, "--into-existing", "--delete", "-t"];
        let said = run(&[&back[..], &[source.to_str().unwrap()]].concat());
        assert_eq!(said.code, Some(4), "{name}: {said:?}");
        assert!(said.err.contains("the repository lies there"), "{name}: {said:?}");
        let said = run(&["check", "--key-file", key, "--read-data"]);
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// A folder that is the repository itself has nothing else to back up.
#[test]
fn a_repository_that_is_to_be_backed_up_into_itself_is_an_empty_folder() {
    let scene = Scene::new();
    for _ in 0..2 {
        let said = scene.run(["backup", "--as", "data", scene.at("repository").to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let listed = scene.run(["ls", "-R", "latest"]);
    assert_eq!(listed.out.lines().collect::<Vec<_>>(), ["/data/"], "{listed:?}");
}
