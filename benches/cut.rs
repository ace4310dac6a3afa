//! How fast streams are cut, and chunks named.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nightsafe::chunker::{Buffer, Chunks, Gear, Profile, cut};
use std::hint::black_box;

/// Bytes of a stream.
const LENGTH: usize = 64 << 20;

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"bench").finalize_xof().fill(&mut bytes);
    bytes
}

fn cuts(c: &mut Criterion) {
    let (bytes, gear) = (random(LENGTH), Gear::new(&[1; 32]));
    let mut group = c.benchmark_group("cut");
    group.throughput(Throughput::Bytes(LENGTH as u64)).sample_size(10);
    for profile in Profile::ALL {
        group.bench_function(profile.name(), |b| {
            b.iter(|| {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    rest = &rest[black_box(cut(&gear, profile, rest))..];
                }
            });
        });
        group.bench_function(format!("{} read", profile.name()), |b| {
            let mut buffer = Buffer::new();
            b.iter(|| {
                let mut chunks = Chunks::new(&gear, profile, &bytes[..], &mut buffer);
                while let Some(chunk) = chunks.next_chunk().expect("memory can be read") {
                    black_box(chunk);
                }
            });
        });
    }
}

fn ids(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunk ids");
    group.throughput(Throughput::Bytes(LENGTH as u64)).sample_size(10);
    for size in [4 << 10, 64 << 10] {
        group.bench_function(format!("{} KiB", size >> 10), |b| {
            b.iter_batched_ref(
                || random(LENGTH),
                |bytes| {
                    for chunk in bytes.chunks(size) {
                        let hash = blake3::keyed_hash(&[2; 32], chunk);
                        let id: &[u8; 16] = hash.as_bytes().first_chunk().expect("a hash is longer");
                        black_box(id);
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, cuts, ids);
criterion_main!(benches);
