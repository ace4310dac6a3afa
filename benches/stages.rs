//! What the stages of the writer cost on one core, as bytes of plaintext per second: compress, seal, and the whole of it with the
//! verification; and opening, which every restore does. Cutting and ids are in `cut.rs`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nightsafe::repo::format::Class;
use nightsafe::repo::id::DomainId;
use nightsafe::repo::keys::bundle::create_repository;
use nightsafe::repo::keys::{DomainKeys, Opened, RunKey, SecretRoot};
use nightsafe::repo::pack::frame::{self, FRAME_TARGET, FrameBuilder, FrameSealer, FrameShape, RawFrame, Zstd};
use nightsafe::repo::seal::{SealKey, seal_salted};
use std::hint::black_box;

/// Half a MiB that doesn't compress.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; FRAME_TARGET];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Half a MiB like the rows of a table: numbers, words, repetition.
fn text() -> Vec<u8> {
    let words = ["open", "closed", "pending", "alpha", "server", "attachment", "2026-11-20", "\\N"];
    let mut rows = Vec::new();
    for row in 0u32.. {
        let hash = blake3::hash(&row.to_le_bytes());
        let word = |i: usize| words[usize::from(hash.as_bytes()[i]) % words.len()];
        let line = format!("{row}\t{}\t{}\t{}\t{}\n", word(0), word(1), &hash.to_hex()[..12], word(2));
        rows.extend_from_slice(line.as_bytes());
        if rows.len() >= FRAME_TARGET {
            break;
        }
    }
    rows.truncate(FRAME_TARGET);
    rows
}

/// A frame of 8 KiB chunks.
fn raw_frame(domain: &DomainKeys, bytes: &[u8]) -> RawFrame {
    let mut builder = FrameBuilder::new(Class::Data, FrameShape::FILES);
    for chunk in bytes.chunks(8 << 10) {
        builder.push(domain.ids().chunk_id(chunk), chunk);
    }
    builder.finish(domain.ids())
}

fn stages(c: &mut Criterion) {
    let read = create_repository();
    let bundle = read.new_full().open().expect("a new bundle opens");
    let Opened::Full(write, _) = bundle else { panic!("a new full bundle is a full one") };
    let domain = read.domain(DomainId::SHARED);
    let (run, run_key, secret_root) = (write.new_run(), RunKey::generate(), SecretRoot::generate());
    let sealer = FrameSealer { repository: write.repository(), run, run_key: &run_key, secret_root: &secret_root };
    let key = SealKey::generate();
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Bytes(FRAME_TARGET as u64));
    for (name, bytes) in [("text", text()), ("noise", noise())] {
        group.bench_function(format!("{name}: zstd 3"), |b| {
            let mut zstd = zstd::bulk::Compressor::new(3).expect("memory for zstd");
            b.iter(|| black_box(zstd.compress(black_box(&bytes)).expect("zstd")));
        });
        group.bench_function(format!("{name}: seal"), |b| {
            b.iter(|| black_box(seal_salted(&key, b"frame", &[b"x"], black_box(&bytes))));
        });
        let mut zstd = Zstd::new().expect("memory for zstd");
        group.bench_function(format!("{name}: compress, seal, open, compare"), |b| {
            let frame = || raw_frame(&domain, &bytes);
            b.iter_batched(frame, |frame| sealer.seal(frame, &mut zstd).expect("seals"), BatchSize::LargeInput);
        });
        let sealed = sealer.seal(raw_frame(&domain, &bytes), &mut zstd).expect("seals");
        group.bench_function(format!("{name}: open and verify"), |b| {
            let from = (write.repository(), run, &run_key);
            b.iter(|| {
                frame::open(&sealed.bytes, sealed.id, Class::Data, from, domain.ids(), &mut zstd).expect("opens")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
