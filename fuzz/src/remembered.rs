//! What a host remembers in files of its own, with checksums that fit: the witness of a repository, the history of a credential, the cache of proofs.

use super::input::{Input, assert_spelling};
use super::memory;
use minicbor::Encode;
use nightsafe::chunker::expand::{Proven, Trusted};
use nightsafe::repo::cbor;
use nightsafe::repo::witness::Remembered;
use nightsafe::snapshot::history::Kept;
use nightsafe::snapshot::proofs::Proofs;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

const WITNESS: &[u8] = b"nswitns\x02";
const PROOFS: &[u8] = b"nsproof\x01";
const HASH_LEN: usize = 32;
/// Most repositories that are remembered of a URL.
const MOST_REPOSITORIES: usize = 16;
/// The key of the proofs, and the bytes of each: a hash, what makes the stream, a day.
const KEY: [u8; 32] = [3; 32];
const ROW: usize = HASH_LEN + Proven::LEN + 4;
/// So many days a proof is kept.
const MOST_DAYS: u32 = 100;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => witness(input.rest()),
        1 => history(input.rest()),
        _ => proofs(input.word(), input.rest()),
    }
}

/// What was taken of a file with this record is written as it was read, and a file with a wrong bit isn't taken.
fn same<T: PartialEq + Debug + Encode<()>>(
    (file, record): (&[u8], &[u8]),
    decode: impl Fn(&[u8]) -> Option<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<T> {
    let taken = memory::at_most(memory::for_records(record), || decode(file))?;
    let written = encode(&taken);
    assert_spelling(record, &cbor::encode(&taken));
    assert_eq!(decode(&written).as_ref(), Some(&taken));
    let mut damaged = file.to_vec();
    damaged[record.len() * 7 % file.len()] ^= 1 << (record.len() % 8);
    assert_eq!(decode(&damaged), None, "what is damaged was taken");
    Some(taken)
}

fn witness(record: &[u8]) {
    let mut file = [WITNESS, record].concat();
    file.extend_from_slice(blake3::hash(&file).as_bytes());
    if let Some(remembered) = same((&file, record), Remembered::decode, Remembered::encode) {
        assert!(remembered.known.len() <= MOST_REPOSITORIES);
    }
}

fn history(record: &[u8]) {
    let file = [blake3::hash(record).as_bytes(), record].concat();
    same((&file, record), Kept::decode, Kept::encode);
}

/// What is believed is what its rows say, the last one of a stream.
fn proofs(today: u16, rows: &[u8]) {
    let sealed = |content: &[u8]| [content, blake3::keyed_hash(&KEY, content).as_bytes()].concat();
    let now = 86_400 * i64::from(today);
    let of = |file: &[u8]| {
        let mut proofs = Proofs::empty(Path::new("/nowhere"), &KEY, now);
        proofs.believe(file).then_some(proofs)
    };
    let file = sealed(&[PROOFS, rows].concat());
    let believed = memory::at_most((4 << 10) + 16 * rows.len(), || of(&file));
    assert_eq!(believed.is_some(), rows.len().is_multiple_of(ROW));
    let Some(mut believed) = believed else { return };
    let written = believed.encode();
    assert_eq!(of(&written).map(|again| again.encode()).as_ref(), Some(&written));
    let mut said: BTreeMap<[u8; HASH_LEN], ([u8; Proven::LEN], u32)> = BTreeMap::new();
    for row in rows.chunks_exact(ROW) {
        let (hash, rest) = row.split_first_chunk().expect("a hash");
        let (proven, day) = rest.split_first_chunk().expect("what makes it");
        // Another program may know what this one doesn't.
        if Proven::from_bytes(*proven).is_some() {
            said.insert(*hash, (*proven, u32::from_le_bytes(day.try_into().expect("a day"))));
        }
    }
    let lasting = said.values().filter(|(_, day)| day.abs_diff(today.into()) <= MOST_DAYS).count();
    assert_eq!(written.len(), PROOFS.len() + ROW * lasting + HASH_LEN);
    for (hash, (proven, _)) in said {
        let Some(Trusted { hash: found, proven: known }) = believed.get(&hash) else { panic!("a row is lost") };
        assert_eq!((found, known.to_bytes()), (hash, proven), "another spelling was taken");
    }
}
