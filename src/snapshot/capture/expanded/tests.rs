use crate::chunker::expand::{Left, spoiled};
use crate::repo::cbor::Time;
use crate::repo::keys::{KdfParams, KeyFile, Label, Secret};
use crate::repo::repository::{AnyRepo, CacheDir, CreateOptions, Repo, open};
use crate::repo::store::memory::MemoryStore;
use crate::snapshot::backup::{BackupOptions, FilesSource, backup};
use crate::snapshot::manifest::State;
use crate::snapshot::monitor::Silent;
use crate::snapshot::restore::{self, RestoreOptions};
use crate::snapshot::snapshots::load;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::Arc;

/// What doesn't fit together is stored as it is, what is beside it is expanded; both come back.
#[test]
fn a_misfit_is_stored_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gzip = |rows: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        (0..rows).for_each(|row| writeln!(encoder, "{row} of some rows\t{}", row * 7).unwrap());
        encoder.finish().unwrap()
    };
    let (misfit, other) = (gzip(90_001), gzip(20_000));
    spoiled::spoil(misfit.len() as u64);
    std::fs::create_dir(at("source")).unwrap();
    std::fs::write(at("source/misfit.gz"), &misfit).unwrap();
    std::fs::write(at("source/other.gz"), &other).unwrap();

    let secret = Secret::KeyFile(KeyFile::generate());
    let label = Label { text: "test".to_owned(), created: Time { seconds: 0, nanoseconds: 0 }, host: "h".to_owned() };
    let options = CreateOptions { kdf: KdfParams::new(8, 1, 1).unwrap(), label, cache: CacheDir::new(at("cache")) };
    let store = Arc::new(MemoryStore::new());
    Repo::create(store.clone(), &secret, &options).unwrap();
    let AnyRepo::Full(repo) = open(store, &secret, &CacheDir::new(at("cache"))).unwrap() else { panic!() };
    let source = FilesSource { name: Some("data".to_owned()), paths: vec![at("source")], ..FilesSource::default() };
    let options = BackupOptions {
        files: vec![source],
        host: "here".to_owned(),
        zone: "UTC".to_owned(),
        ..BackupOptions::default()
    };
    let summary = backup(&repo, &options, &Silent::default()).unwrap();
    assert_eq!((summary.state, summary.problems), (State::Complete, vec![]));
    let statistics = summary.statistics;
    assert_eq!(statistics.reasons.all().collect::<Vec<_>>(), [(Left::Misfit, 1)]);
    assert_eq!((statistics.containers, statistics.containers_left), (1, 1));

    let snapshot = load(&repo, summary.snapshot.unwrap()).unwrap();
    let options = RestoreOptions::into(at("target"));
    assert!(restore::restore(&repo, &snapshot, None, &options, &Silent::default()).unwrap().is_complete());
    for (name, bytes) in [("misfit.gz", misfit), ("other.gz", other)] {
        assert!(std::fs::read(at("target").join("data").join(name)).unwrap() == bytes, "{name}");
    }
}
