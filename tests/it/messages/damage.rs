//! What is read of bytes that changed: in frames, in the heads of packs, of one of them or all.

use super::Transcript;
use crate::binary::Scene;
use crate::world::noise;
use nightsafe::repo::pack::builder::FRAMES_START;
use std::fs;
use std::path::PathBuf;

/// Where in a pack's head the repository's id is, and where the run's sealed key.
const REPOSITORY: usize = 10;
const WRAP: usize = 80;

/// Changes a bit in each of these, runs something, and puts them back. As a host without a cache.
fn with_damage(scene: &Scene, packs: &[PathBuf], at: usize, work: impl FnOnce()) {
    let good: Vec<_> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    let put = |change: u8| {
        for (pack, bytes) in packs.iter().zip(&good) {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            // They can't be written to.
            fs::remove_file(pack).unwrap();
            fs::write(pack, bytes).unwrap();
        }
        let _ = fs::remove_dir_all(scene.at("cache"));
    };
    put(1);
    work();
    put(0);
}

#[test]
fn of_damage() {
    let scene = Scene::new();
    fs::write(scene.at("source/file"), noise(300_000)).unwrap();
    fs::create_dir(scene.at("source/folder")).unwrap();
    let source = scene.at("source");
    let said = scene.run(["backup", "--host", "a", "--as", "data", "--time", "2026-11-20", source.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut packs: Vec<_> = scene.packs().into_iter().map(|(path, length)| (length, path)).collect();
    packs.sort();
    let packs: Vec<PathBuf> = packs.into_iter().map(|(_, path)| path).collect();
    let [folders, files] = &packs[..] else { panic!("{packs:?}") };
    let target = scene.at("target");
    let target = target.to_str().unwrap();
    let body = FRAMES_START + 100;
    let mut on = Transcript::new(&scene);
    let folder_of = |pack: &PathBuf| pack.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    on.others = packs.iter().map(|pack| (format!("packs/{}/", folder_of(pack)), "packs/XX/".to_owned())).collect();
    with_damage(&scene, std::slice::from_ref(files), body, || {
        on.run(&["dump", "latest:/data/file"], &[]);
        on.run(&["restore", "latest", "-t", target], &[]);
        on.run(&["check", "--read-data"], &[]);
    });
    fs::remove_dir_all(target).unwrap();
    with_damage(&scene, std::slice::from_ref(folders), body, || {
        on.run(&["ls", "latest:/data"], &[]);
        on.run(&["restore", "latest", "-t", target], &[]);
        on.run(&["check"], &[]);
    });
    for at in [REPOSITORY, WRAP] {
        with_damage(&scene, &packs, at, || {
            on.run(&["ls", "latest:/data"], &[]);
            on.run(&["check"], &[]);
        });
    }
    assert_eq!(scene.run(["check", "--read-data"]).code, Some(0));
    insta::assert_snapshot!("damage", on.text);
}
