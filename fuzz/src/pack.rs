//! Packs: their openings and ends, the sealed trailer, tables, bitmaps.

use super::input::Input;
use super::keys;
use super::memory;
use minicbor::bytes::ByteVec;
use nightsafe::repo::format::{Class, Kind, MAX_FRAME};
use nightsafe::repo::id::{FrameId, PackHash, PackId, RepositoryId, RunId};
use nightsafe::repo::keys::DomainKeys;
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::pack::presence::Presence;
use nightsafe::repo::pack::table::Table;
use nightsafe::repo::pack::trailer::{self, TrailerFrame};
use nightsafe::repo::seal::seal_salted;
use std::sync::LazyLock;

struct Fixed {
    domain: DomainKeys,
    repository: RepositoryId,
    run: RunId,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let (write, read) = keys::of_content().full();
    let run = RunId::new(write.credential(), [7; 16]);
    Fixed { domain: read.domain(write.domain().id()), repository: write.repository(), run }
});

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 6 {
        0 => table(input.rest()),
        1 => {
            let n = usize::from(input.word());
            bitmap(n, input.rest());
        }
        2 => {
            whole(input.rest());
        }
        3 => {
            // Behind a sound opening.
            whole(&[&opening()[..], input.rest()].concat());
        }
        4 => {
            let end = u64::from(input.word()) * 16;
            trailer(input.rest(), end);
        }
        _ => {
            let end = u64::from(input.word()) * 16;
            let plain = proven(input.rest());
            let frames = trailer(&plain, end);
            assert_eq!(assembled(&plain, end), frames.filter(|_| end >= 140));
        }
    }
}

fn table(bytes: &[u8]) {
    let Ok(table) = memory::at_most(1_024 + 4 * bytes.len(), || Table::decode(bytes)) else { return };
    assert_eq!(table.encode(), bytes);
    let length: usize = table.chunks.iter().map(|chunk| chunk.length as usize).sum();
    assert!((1..=65_535).contains(&table.chunks.len()) && length <= MAX_FRAME);
    assert!(table.chunks.iter().all(|chunk| chunk.length > 0));
}

fn bitmap(n: usize, bits: &[u8]) {
    let set: Vec<usize> = (0..bits.len() * 8).filter(|i| bits[i / 8] >> (i % 8) & 1 == 1).collect();
    let sound = bits.len() == n.div_ceil(8) && !set.is_empty() && set.len() < n && set.iter().all(|i| *i < n);
    let found = Presence::from_bytes(bits, n);
    assert_eq!(found.is_some(), sound);
    if let Some(found) = found {
        let held = found.runs().into_iter().flat_map(|(first, count)| (usize::from(first)..).take(usize::from(count)));
        assert!(held.eq(set.iter().copied()));
        // What is asked for each chunk takes its time.
        if n < 2_000 {
            assert_eq!(Presence::of(n, |i| set.contains(&i)).as_ref(), Some(&found));
        }
    }
}

fn opening() -> Vec<u8> {
    let Fixed { domain, repository, run } = &*FIXED;
    [&Kind::Pack.header()[..], repository.as_bytes(), domain.id().as_bytes(), run.as_bytes(), &[9; 80]].concat()
}

/// What a pack of these bytes holds; nothing if it isn't one.
fn whole(bytes: &[u8]) -> Option<Vec<TrailerFrame>> {
    let Fixed { domain, repository, run } = &*FIXED;
    let id = PackId { run: *run, hash: PackHash::from_bytes([0; 32]) };
    let most = (16 << 10) + 16 * bytes.len();
    let pack = memory::at_most(most, || WholePack::unhashed(id, bytes, *repository)).ok()?;
    let frames = memory::at_most(most, || pack.frames(domain)).ok()?;
    for frame in &frames {
        assert_eq!(pack.frame(frame).map(<[u8]>::len), Some(frame.stored_length as usize));
    }
    Some(frames)
}

/// What is in a trailer that is in order.
fn trailer(plain: &[u8], end: u64) -> Option<Vec<TrailerFrame>> {
    let ids = FIXED.domain.ids();
    let frames = memory::at_most((64 << 10) + 64 * plain.len(), || trailer::decode(plain, ids, 140, end)).ok()?;
    let mut at = 140;
    for frame in &frames {
        assert_eq!(u64::from(frame.offset), at);
        at += u64::from(frame.stored_length);
        let present: usize = frame
            .table
            .chunks
            .iter()
            .enumerate()
            .filter(|(i, _)| frame.holds(*i))
            .map(|(_, chunk)| chunk.length as usize)
            .sum();
        assert_eq!(frame.raw_length as usize, present);
        assert!(0 < present && present <= MAX_FRAME && frame.table.class == frames[0].table.class);
        assert!(frame.table.class == Class::Secret || ids.frame_id(&frame.table.encode()) == frame.id);
    }
    assert!(at <= end && !frames.is_empty());
    let records: Vec<Record> = frames.iter().map(record).collect();
    assert_eq!(minicbor::to_vec(records).expect("memory can be written"), plain, "another spelling was taken");
    Some(frames)
}

type Record = (FrameId, u32, u32, ByteVec, ByteVec);

fn record(frame: &TrailerFrame) -> Record {
    let present = frame.present.as_ref().map(|present| present.as_bytes().to_vec()).unwrap_or_default();
    (frame.id, frame.stored_length, frame.raw_length, frame.table.encode().into(), present.into())
}

/// The same trailer with the ids that its tables have: no fuzzer finds those.
fn proven(plain: &[u8]) -> Vec<u8> {
    let Ok(mut records) = minicbor::decode::<Vec<Record>>(plain) else { return plain.to_vec() };
    for record in &mut records {
        record.0 = FIXED.domain.ids().frame_id(&record.3);
    }
    minicbor::to_vec(records).expect("memory can be written")
}

/// What a whole pack with this trailer holds, whose frames end at `end`.
fn assembled(plain: &[u8], end: u64) -> Option<Vec<TrailerFrame>> {
    let Fixed { domain, repository, run } = &*FIXED;
    let aad: [&[u8]; 3] = [repository.as_bytes(), run.as_bytes(), b"trailer"];
    let sealed = seal_salted(domain.index(), b"trailer", &aad, plain);
    let mut bytes = opening();
    bytes.resize(usize::try_from(end).ok()?.max(140), 0);
    bytes.extend_from_slice(&sealed);
    bytes.extend_from_slice(&u32::try_from(sealed.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&Kind::PackEnd.header());
    whole(&bytes)
}
