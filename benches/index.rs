//! How fast chunks are found, and found missing, among five million.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nightsafe::repo::index::{Table, TableWriter, Tiers};
use std::hint::black_box;
use std::path::Path;
use std::thread;

const RECORDS: u64 = 5_000_000;
/// Lookups of an iteration.
const LOOKUPS: u64 = 100_000;

type Key = [u8; 16];

/// The i-th key: as spread as a hash, and quickly made.
fn key(i: u64) -> Key {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes());
    key[8..].copy_from_slice(&mix(i ^ 0x5555_5555_5555_5555).to_le_bytes());
    key
}

fn table(folder: &Path) -> Table<16, 6> {
    let mut keys: Vec<_> = (0..RECORDS).map(key).collect();
    keys.sort_unstable();
    let mut writer = TableWriter::create(folder, RECORDS).expect("the folder is writable");
    for key in &keys {
        writer.push(key, &[1; 6]).expect("the folder is writable");
    }
    writer.finish("bench").expect("the folder is writable")
}

/// Looks 100,000 keys up that are far from each other; those from `RECORDS` on are absent.
fn look(first: u64, found: impl Fn(&Key) -> bool) -> usize {
    (0..LOOKUPS).filter(|i| found(&key(first + i * 7919 % RECORDS))).count()
}

fn lookups(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let table = table(folder.path());
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(LOOKUPS)).sample_size(20);
    group.bench_function("table, hits", |b| b.iter(|| black_box(look(0, |key| table.get(key).is_some()))));
    group.bench_function("table, misses", |b| b.iter(|| black_box(look(RECORDS, |key| table.get(key).is_some()))));

    let tiers = Tiers::<16, 6>::new(folder.path(), "bench");
    for i in 0..RECORDS {
        tiers.insert(&key(i), &[1; 6]).expect("the folder is writable");
    }
    group.bench_function("tiers, hits", |b| b.iter(|| black_box(look(0, |key| tiers.get(key).is_some()))));
    group.bench_function("tiers, misses", |b| b.iter(|| black_box(look(RECORDS, |key| tiers.get(key).is_some()))));
    group.throughput(Throughput::Elements(2 * LOOKUPS));
    group.bench_function("tiers, hits, two threads", |b| {
        b.iter(|| {
            thread::scope(|scope| {
                let other = scope.spawn(|| look(0, |key| tiers.get(key).is_some()));
                black_box(look(1, |key| tiers.get(key).is_some()));
                black_box(other.join().expect("lookups don't panic"));
            });
        });
    });
}

fn insertions(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(10);
    group.bench_function("tiers, insert_if_absent with spills and merges", |b| {
        b.iter(|| {
            let folder = tempfile::tempdir().expect("there is a folder for temporary files");
            let tiers = Tiers::<16, 6>::new(folder.path(), "bench");
            for i in 0..RECORDS {
                black_box(tiers.insert_if_absent(&key(i), &[1; 6]).expect("the folder is writable"));
            }
        });
    });
}

criterion_group!(benches, lookups, insertions);
criterion_main!(benches);
