//! Sizes beyond any limit: refused before memory is taken for them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{World, everything_into, kdf, label, noise, portrait};
use nightsafe::repo::format::{MARKER, MAX_OBJECT, key};
use nightsafe::repo::id::{PackHash, PackId, RunId};
use nightsafe::repo::repository::{AnyRepo, CacheDir, CreateOptions, Full, Repo, open};
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::store::{Store, StoreErrorKind};
use nightsafe::snapshot::backup::backup;
use nightsafe::snapshot::check::{CheckOptions, Subset, check, check_names};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore::restore;
use nightsafe::snapshot::snapshots::snapshots;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// More than any machine of ours has, in a file that takes no room.
const HUGE: u64 = 1 << 42;

/// Puts an object of that length there.
fn plant(root: &Path, key: &str, length: u64) {
    let path = root.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().set_len(length).unwrap();
}

/// A check read a pack with the length that the listing gave as its limit: whoever can put a sparse file into the folder ended it by want of memory, and with it what it was to find. And one note or manifest of a
/// length that none has kept everybody from listing snapshots.
#[test]
fn objects_of_any_kind_that_are_longer_than_any_can_be_are_named_and_not_read() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let root = folder.path().join("repository");
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(&root));
    let options = CreateOptions { kdf: kdf(), label: label(), cache: CacheDir::new(world.cache()) };
    Repo::create(Arc::clone(&store), &world.secret, &options).unwrap();
    let repo = || -> Repo<Full> {
        let cache = CacheDir::new(folder.path().join(format!("cache-{}", noise(1)[0])));
        match open(Arc::clone(&store), &world.secret, &cache).unwrap() {
            AnyRepo::Full(repo) => repo,
            AnyRepo::WriteOnly(_) => panic!("another credential"),
        }
    };
    world.write("file", noise(20_000));
    backup(&repo(), &world.options(), &Silent::default()).unwrap();
    let run: RunId = repo().keys().new_run();
    let pack = |length: u8| key::pack(PackId { run, hash: PackHash::from_bytes([length; 32]) });
    let planted = [
        (pack(1), HUGE),
        (pack(2), MAX_OBJECT + 1),
        (key::snapshot(run), HUGE),
        (key::segment(run, 0), HUGE),
        (key::run(run), HUGE),
        (key::pins(run, 0), HUGE),
        (key::note(run, 0), HUGE),
        (key::stop(run), HUGE),
        (key::gc(run), HUGE),
        (key::forgotten(run), HUGE),
        (format!("{}{}", key::CREDENTIALS, "ab".repeat(16)), HUGE),
    ];
    for (key, length) in &planted {
        plant(&root, key, *length);
    }
    let read = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
    let report = check(&repo(), &read, &Silent::default()).unwrap();
    for (key, _) in &planted {
        let named = report.errors.iter().any(|damage| damage.object == *key);
        assert!(named || report.warnings.iter().any(|warning| warning.starts_with(key)), "{key}: {report:#?}");
    }
    let names = check_names(&*store, Subset::All, &Silent::default()).unwrap();
    assert_eq!(names.errors.len(), 2, "{:#?}", names.errors);
    let unread = StoreErrorKind::TooLong.to_string();
    for pack in [pack(1), pack(2)] {
        for errors in [&report.errors, &names.errors] {
            assert!(errors.iter().any(|damage| damage.object == pack && damage.what.contains(&unread)), "{errors:#?}");
        }
    }
    // What there is can be had, and added to.
    world.write("more", noise(20_000));
    backup(&repo(), &world.options(), &Silent::default()).unwrap();
    let all = snapshots(&repo()).unwrap();
    let target = folder.path().join("target");
    restore(&repo(), &all.list[1], None, &everything_into(target.clone()), &Silent::default()).unwrap();
    assert_eq!(portrait(&target.join("data")), portrait(&world.source()));
    plant(&root, MARKER, HUGE);
    assert!(open(store, &world.secret, &CacheDir::new(folder.path().join("cache"))).is_err());
}
