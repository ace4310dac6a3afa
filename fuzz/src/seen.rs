//! The cache of seen files: whatever the bytes of its database are, it gives rows that were written into it or none.
//!
//! An input says how a sound database is changed: places and bytes, and in the end perhaps a length that it is cut to.

use super::input::Input;
use nightsafe::repo::cbor::Time;
use nightsafe::repo::id::{CredentialId, RepositoryId};
use nightsafe::snapshot::seen::{SeenFile, SeenFiles, SeenOwner, Stamp};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const KEY: [u8; 32] = [3; 32];
const DIRS: [&[u8]; 3] = [b"/", b"/srv/data", b"/srv/data/\xff"];
const OWNER: SeenOwner =
    SeenOwner { repository: RepositoryId::from_bytes([1; 16]), credential: CredentialId::from_bytes([2; 16]) };

struct Sound {
    folder: TempDir,
    bytes: Vec<u8>,
    /// The rows of each directory.
    rows: Vec<Vec<SeenFile>>,
}

thread_local! {
    static SOUND: Sound = sound();
}

fn sound() -> Sound {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a temporary folder");
    let mut seen = open(folder.path()).expect("a new cache");
    for (n, dir) in (1u64..).zip(DIRS) {
        for name in [&b"a"[..], b"name", &[b'x'; 200]] {
            let time = Time { seconds: 1_000_000, nanoseconds: 5 };
            let stamp = Stamp { size: n, mtime: time, ctime: time, inode: 77 };
            let began = Time { seconds: 2_000_000, nanoseconds: 0 };
            assert!(seen.record(dir, name, stamp, &[n.to_le_bytes()[0]; 60], began).expect("a row can be written"));
        }
    }
    seen.commit().expect("a cache can be committed");
    let rows = DIRS.map(|dir| seen.dir(dir).expect("its rows").files().to_vec()).into();
    drop(seen);
    let bytes = fs::read(folder.path().join("seen.sqlite")).expect("its file");
    Sound { folder, bytes, rows }
}

fn open(folder: &Path) -> Option<SeenFiles> {
    SeenFiles::open(folder, OWNER, &KEY).ok().flatten()
}

pub fn run(data: &[u8]) {
    SOUND.with(|Sound { folder, bytes, rows }| {
        let mut bytes = bytes.clone();
        let mut input = Input::new(data);
        let (changes, length) = (input.byte() % 8, usize::from(input.word()));
        for _ in 0..changes {
            let (at, n) = (usize::from(input.word()), usize::from(input.byte() % 16));
            for (byte, new) in bytes.iter_mut().skip(at).zip(input.bytes(n)) {
                *byte = *new;
            }
        }
        if length.is_multiple_of(5) {
            bytes.truncate(length);
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(folder.path().join(format!("seen.sqlite{suffix}")));
        }
        fs::write(folder.path().join("seen.sqlite"), &bytes).expect("a file in the temporary folder");
        let Some(mut seen) = open(folder.path()) else { return };
        for (dir, rows) in DIRS.iter().zip(rows) {
            let Ok(found) = seen.dir(dir) else { continue };
            for file in found.files() {
                assert!(rows.contains(file), "a row that nobody wrote: {file:?}");
            }
        }
    });
}
