//! The files of the local index, with checksums that fit: whoever may write to its folder can make lookups miss, and nothing else.

use super::input::Input;
use super::memory;
use nightsafe::repo::cbor;
use nightsafe::repo::id::{ChunkId, FrameId};
use nightsafe::repo::index::{Found, IndexCache, Table};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const BINDING: [u8; 32] = [1; 32];
/// Bytes of a table's header, and of each line that follows.
const HEADER: usize = 128;
const LINE: usize = 64;
/// Bytes of keys and values: those of the map of frames, and of the map of chunks.
const FRAMES: (u16, u16) = (32, 21);
const KNOWN: (u16, u16) = (16, 9);

thread_local! {
    /// In memory, where there is such a folder.
    static FOLDER: TempDir = {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        folder.expect("a temporary folder")
    };
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    FOLDER.with(|folder| match choice % 4 {
        0 => table(folder.path(), input.rest()),
        1 => state(folder.path(), input.rest()),
        _ => parts(folder.path(), choice, input),
    });
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a file in the temporary folder");
}

fn hashed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = parts.concat();
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// A table whose checksums fit what they cover.
fn repaired(bytes: &[u8], widths: (u16, u16)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER {
        return bytes;
    }
    bytes[..8].copy_from_slice(b"nstable\x01");
    bytes[8..10].copy_from_slice(&widths.0.to_le_bytes());
    bytes[10..12].copy_from_slice(&widths.1.to_le_bytes());
    bytes[24..32].fill(0);
    let buckets = bytes[12..16].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let records_at = (HEADER + LINE * (buckets + 1)).min(bytes.len());
    let lines = blake3::hash(&bytes[HEADER..records_at]);
    let records = blake3::hash(&bytes[records_at..]);
    bytes[32..64].copy_from_slice(lines.as_bytes());
    bytes[64..96].copy_from_slice(records.as_bytes());
    let header = blake3::hash(&bytes[..96]);
    bytes[96..HEADER].copy_from_slice(header.as_bytes());
    bytes
}

fn table(folder: &Path, bytes: &[u8]) {
    let name = format!("{:032x}.test", 0);
    write(folder, &name, &repaired(bytes, (16, 3)));
    let most = (1 << 20) + 4 * bytes.len();
    let Ok(table) = memory::at_most(most, || Table::<16, 3>::open(&folder.join(name))) else { return };
    let mut keys: Vec<[u8; 16]> =
        bytes.windows(16).step_by(19).take(64).filter_map(|key| key.try_into().ok()).collect();
    keys.extend([[0; 16], [0xff; 16]]);
    for key in keys {
        let all: Vec<[u8; 3]> = memory::at_most(most, || table.all(&key).collect());
        assert!(all.len() as u64 <= table.len());
        assert_eq!(table.get(&key), all.first().copied());
    }
}

fn state(folder: &Path, record: &[u8]) {
    // Apart from the files that other inputs left.
    let folder = &folder.join("alone");
    fs::create_dir_all(folder).expect("a folder in the temporary one");
    write(folder, "state", &hashed(&[b"nsindex\x03", record]));
    let most = (1 << 20) + 128 * record.len();
    let (_, found) = memory::at_most(most, || IndexCache::open(folder, BINDING));
    assert!(!matches!(found, Found::Whole), "it names files that aren't there");
}

/// What the file `state` says.
#[derive(minicbor::Encode)]
#[cbor(map)]
struct State {
    #[cbor(n(1), with = "minicbor::bytes")]
    binding: [u8; 32],
    #[n(2)]
    packs: String,
    #[n(3)]
    numbers: Vec<String>,
    #[n(4)]
    frames: Vec<String>,
    #[n(5)]
    known: Vec<String>,
}

fn parts(folder: &Path, choice: u8, mut input: Input<'_>) {
    let mut part = || {
        let length = usize::from(input.word());
        input.bytes(length)
    };
    let (packs, numbers, frames, known) = (part(), part(), part(), part());
    let name = |n: u8, kind: &str| format!("{n:032x}.{kind}");
    let mut state = State {
        binding: BINDING,
        packs: name(1, "packs"),
        numbers: vec![name(2, "numbers")],
        frames: vec![name(3, "frames")],
        known: vec![name(4, "known")],
    };
    write(folder, &state.packs, &hashed(&[b"nspacks\x02", packs]));
    write(folder, &state.numbers[0], &hashed(&[b"nsnumber", numbers]));
    write(folder, &state.frames[0], &repaired(frames, FRAMES));
    write(folder, &state.known[0], &repaired(known, KNOWN));
    // Without some of them, so that the others can be whole.
    for (bit, names) in [(2, &mut state.numbers), (3, &mut state.frames), (4, &mut state.known)] {
        if choice >> bit & 1 == 1 {
            names.clear();
        }
    }
    write(folder, "state", &hashed(&[b"nsindex\x03", &cbor::encode(&state)]));
    let most = (2 << 20) + 16 * (packs.len() + numbers.len() + frames.len() + known.len());
    let (index, found) = memory::at_most(most, || IndexCache::open(folder, BINDING));
    if matches!(found, Found::Whole) {
        look(&index, frames, known);
    }
}

fn look(index: &IndexCache, frames: &[u8], known: &[u8]) {
    for (number, row) in index.packs.rows() {
        assert_eq!(index.packs.number(&row.id), Some(number));
    }
    for number in [0, 1, 100, u32::MAX] {
        assert!(index.numbers.get(number).is_none() || u64::from(number) < index.numbers.len());
    }
    for key in frames.windows(FrameId::LEN).step_by(60).take(16) {
        let id = FrameId::from_bytes(key.try_into().expect("its length"));
        assert_eq!(index.frames.get(&id), index.frames.all(&id).first().copied());
    }
    for key in known.windows(ChunkId::LEN).step_by(25).take(16) {
        let id = ChunkId::from_bytes(key.try_into().expect("its length"));
        let place = index.known.get(&id);
        assert_eq!(place, index.known.all(&id).first().copied());
        let _ = place.map(|place| index.numbers.get(place.frame));
    }
    let mut chunks = 0;
    let _ = index.known.scan(&mut |_, _| chunks += 1);
    assert!(chunks <= known.len() / 25);
}
