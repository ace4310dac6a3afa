//! The same tree over a service: what a folder as repository brings back, an S3 server must bring back, too.

use super::facts::survey;
use super::{back_up_into as back_up, differences, remove_all, restore_from, tree};
use crate::store::remote::{s3, unused, variable};
use crate::world::{World, everything_into, kdf, label};
use nightsafe::repo::repository::{CacheDir, CreateOptions, Repo};
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;

#[test]
fn everything_that_a_file_system_holds_comes_back_over_s3() {
    let Some(url) = variable("NIGHTSAFE_TEST_S3", "scripts/s3-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    tree::build(&source);
    let expected = survey(&source);
    assert!(expected.len() > 1_300, "{}", expected.len());

    // Its folder, its cache and its key; the repository is in the bucket.
    let world = World::new();
    let store = s3(&format!("{url}/{}", unused()));
    let options = CreateOptions { kdf: kdf(), label: label(), cache: CacheDir::new(world.cache()) };
    Repo::create(store.clone(), &world.secret, &options).unwrap();
    let first = back_up(&world.repo_over(store.clone()), &world, &source);

    // Another host, which knows nothing but the key.
    let lose_cache = || std::fs::remove_dir_all(world.cache()).unwrap();
    lose_cache();
    let repo = world.repo_over(store.clone());
    let summary = restore_from(&repo, first, &everything_into(target.clone()));
    assert!(summary.is_complete(), "{:?} {:?}", summary.denied, summary.problems);
    assert_eq!((summary.special_left_out, summary.left_out.xattrs, summary.left_out.set_ids), (0, 0, 0));
    assert_eq!(differences(&expected, &survey(&target)), Vec::<String>::new());
    super::ask_rsync(&source, &target);

    // That host backs up what it restored, and every byte in the bucket is right.
    back_up(&repo, &world, &target);
    lose_cache();
    let repo = world.repo_over(store);
    let report =
        check(&repo, &CheckOptions { read_data: Some("100%".parse().unwrap()), time: None }, &Silent::default());
    let report = report.unwrap();
    assert_eq!((report.errors, report.warnings, report.snapshots), (vec![], vec![], 2));
    remove_all(&source);
    remove_all(&target);
}
