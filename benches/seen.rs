//! How fast 100,000 files in 1,000 directories are noted and found again.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nightsafe::repo::cbor::Time;
use nightsafe::repo::id::{CredentialId, RepositoryId};
use nightsafe::snapshot::seen::{SeenFiles, SeenOwner, Stamp};
use std::hint::black_box;
use std::path::Path;
use tempfile::TempDir;

const DIRS: u64 = 1_000;
const FILES: u64 = 100;
const READ: Time = Time { seconds: 2_000_000_000, nanoseconds: 0 };

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a folder for temporary files")
}

fn open(folder: &Path) -> SeenFiles {
    let owner =
        SeenOwner { repository: RepositoryId::from_bytes([1; 16]), credential: CredentialId::from_bytes([2; 16]) };
    let seen = SeenFiles::open(folder, owner, &[3; 32]).expect("the folder is writable");
    seen.expect("nobody else has it")
}

fn dir(i: u64) -> Vec<u8> {
    format!("/srv/app/data/uploads/{i:04}").into_bytes()
}

fn name(i: u64) -> Vec<u8> {
    format!("photograph-{i:05}.jpeg").into_bytes()
}

fn fill(seen: &mut SeenFiles) {
    for d in 0..DIRS {
        let dir = dir(d);
        for f in 0..FILES {
            let time = Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
            let stamp = Stamp { size: f, mtime: time, ctime: time, inode: d * FILES + f };
            seen.record(&dir, &name(f), stamp, &[7; 48], READ).expect("the folder is writable");
        }
    }
    seen.commit().expect("the folder is writable");
}

fn seen(c: &mut Criterion) {
    let mut group = c.benchmark_group("seen files");
    group.throughput(Throughput::Elements(DIRS * FILES)).sample_size(10);
    group.bench_function("note all", |b| {
        b.iter_batched_ref(
            || {
                let folder = folder();
                let seen = open(folder.path());
                (seen, folder)
            },
            |(seen, _)| fill(seen),
            BatchSize::PerIteration,
        );
    });
    let folder = folder();
    let mut seen = open(folder.path());
    fill(&mut seen);
    group.bench_function("note the same again", |b| b.iter(|| fill(&mut seen)));
    group.bench_function("find all, by directory", |b| {
        b.iter(|| {
            for d in 0..DIRS {
                let found = seen.dir(&dir(d)).expect("the folder is readable");
                for f in 0..FILES {
                    black_box(found.get(&name(f)).expect("noted before"));
                }
            }
        });
    });
}

criterion_group!(benches, seen);
criterion_main!(benches);
