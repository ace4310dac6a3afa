//! The cache of proofs: what makes the compressed streams that were met before. A stream that is known here isn't compressed again to see that it can be made.
//!
//! One file in a folder that the caller gives; it may be deleted at any time, and a damaged one counts as none. A MAC under a key that only holders of the repository's keys have is over all of it, since
//! what it says is believed: a forged one would make backups that don't come back. Two processes at once each keep what they found, and the one that ends last stays.

use crate::chunker::expand::{Proven, Trusted};
use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file's name. Another number means that methods changed what they make, or the file its form.
const NAME: &str = "proofs-2";
const MAGIC: &[u8; 8] = b"nsproof\x01";
const HASH_LEN: usize = 32;
/// A stream's hash, what makes it, and the day when it was met last.
const ROW_LEN: usize = HASH_LEN + Proven::LEN + 4;
/// Most streams that are remembered; those that were met last stay.
const MAX_ROWS: usize = 1 << 17;
/// So many days a stream that isn't met is remembered.
const MAX_AGE: u32 = 100;
const DAY: i64 = 24 * 60 * 60;

/// The cache can't be used. No reason to fail: everything is proven again.
#[derive(Debug, thiserror::Error)]
#[error("cache of proofs, {}: {source}", path.display())]
pub struct ProofsError {
    /// The folder or file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    proven: Proven,
    /// Since the epoch, when it was met last.
    day: u32,
}

/// The cache. All of it is in memory: 6 MiB of rows, and twice as much while new ones come.
pub struct Proofs {
    file: PathBuf,
    key: Box<Zeroizing<[u8; 32]>>,
    rows: HashMap<[u8; HASH_LEN], Row>,
    today: u32,
    changed: bool,
}

impl Proofs {
    /// Reads what `folder` holds. `key` authenticates it; `now` is in seconds since the epoch. What can't be read counts as nothing.
    pub fn open(folder: &Path, key: &[u8; 32], now: i64) -> Self {
        let mut proofs = Self::empty(folder, key, now);
        if let Ok(bytes) = read(&proofs.file) {
            proofs.believe(&bytes);
        }
        proofs
    }

    /// Knows nothing yet.
    pub fn empty(folder: &Path, key: &[u8; 32], now: i64) -> Self {
        // Filled in place, so that no copy is left on the stack.
        let mut own_key = Box::new(Zeroizing::new([0; 32]));
        own_key.copy_from_slice(key);
        let today = u32::try_from(now / DAY).unwrap_or(0);
        Self { file: folder.join(NAME), key: own_key, rows: HashMap::new(), today, changed: false }
    }

    /// Knows what the bytes of a file say, and nothing else; whether they are authentic.
    pub fn believe(&mut self, bytes: &[u8]) -> bool {
        let rows = self.decode(bytes);
        let is_authentic = rows.is_some();
        self.rows = rows.unwrap_or_default();
        is_authentic
    }

    /// What makes the stream with this hash, if that is known.
    pub fn get(&mut self, hash: &[u8; HASH_LEN]) -> Option<Trusted> {
        let row = self.rows.get_mut(hash)?;
        self.changed |= row.day != self.today;
        row.day = self.today;
        Some(Trusted { hash: *hash, proven: row.proven })
    }

    /// Remembers a stream that was proven.
    pub fn insert(&mut self, stream: Trusted) {
        if self.rows.len() >= 2 * MAX_ROWS && !self.rows.contains_key(&stream.hash) {
            return;
        }
        let row = Row { proven: stream.proven, day: self.today };
        self.changed |= self.rows.insert(stream.hash, row) != Some(row);
    }

    /// Replaces the file, if anything changed, without what wasn't met for long.
    pub fn save(&mut self) -> Result<(), ProofsError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let bytes = self.encode();
        let error = |source| ProofsError { path: self.file.clone(), source };
        let folder = self.file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(error)?;
        let mut temporary = tempfile::Builder::new().prefix("tmp-").tempfile_in(folder).map_err(error)?;
        // Without fsync: what a power failure leaves isn't authentic, and counts as nothing.
        temporary.write_all(&bytes).map_err(error)?;
        temporary.persist(&self.file).map_err(|failed| error(failed.error))?;
        Ok(())
    }

    /// The bytes of the file: what was met in the last days, the last first.
    pub fn encode(&self) -> Vec<u8> {
        let mut rows: Vec<_> = self.rows.iter().filter(|(_, row)| self.today.abs_diff(row.day) <= MAX_AGE).collect();
        rows.sort_unstable_by_key(|(hash, row)| (std::cmp::Reverse(row.day), **hash));
        let mut bytes = MAGIC.to_vec();
        for (hash, row) in rows.into_iter().take(MAX_ROWS) {
            bytes.extend_from_slice(hash);
            bytes.extend_from_slice(&row.proven.to_bytes());
            bytes.extend_from_slice(&row.day.to_le_bytes());
        }
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(mac.as_bytes());
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Option<HashMap<[u8; HASH_LEN], Row>> {
        let (content, mac) = bytes.split_last_chunk::<HASH_LEN>()?;
        if self.mac(content) != *mac {
            return None;
        }
        let (rows, rest) = content.strip_prefix(MAGIC)?.as_chunks::<ROW_LEN>();
        if !rest.is_empty() {
            return None;
        }
        let row = |bytes: &[u8; ROW_LEN]| {
            let (hash, rest) = bytes.split_first_chunk::<HASH_LEN>()?;
            let (proven, rest) = rest.split_first_chunk::<{ Proven::LEN }>()?;
            let day = u32::from_le_bytes(*rest.first_chunk()?);
            Some((*hash, Row { proven: Proven::from_bytes(*proven)?, day }))
        };
        // What this program can't make, but another one could, is proven in its own way.
        Some(rows.iter().filter_map(row).collect())
    }

    fn mac(&self, content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(content);
        let mac = hasher.finalize();
        zeroize::Zeroize::zeroize(&mut hasher);
        mac
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = MAGIC.len() + MAX_ROWS * ROW_LEN + HASH_LEN;
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KEY: [u8; 32] = [3; 32];
    const NOW: i64 = 20_000 * DAY + 5;

    fn stream(n: u32) -> Trusted {
        let mut bytes = [0; Proven::LEN];
        (bytes[0], bytes[1], bytes[9]) = (16, 1 + u8::try_from(n % 9).unwrap(), u8::from(n % 2 == 1));
        Trusted { hash: *blake3::hash(&n.to_le_bytes()).as_bytes(), proven: Proven::from_bytes(bytes).unwrap() }
    }

    fn kept(folder: &Path, streams: impl Iterator<Item = u32>, now: i64) {
        let mut proofs = Proofs::open(folder, &KEY, now);
        streams.for_each(|n| proofs.insert(stream(n)));
        proofs.save().unwrap();
    }

    #[test]
    fn what_was_proven_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("new");
        kept(&below, 0..5, NOW);
        let mut proofs = Proofs::open(&below, &KEY, NOW);
        for n in 0..5 {
            assert_eq!(proofs.get(&stream(n).hash), Some(stream(n)));
        }
        assert_eq!(proofs.get(&stream(5).hash), None);
        assert!(!proofs.changed, "on the same day");
    }

    #[test]
    fn what_is_not_met_for_long_is_forgotten_and_what_is_met_stays() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), 0..2, NOW);
        let mut later = Proofs::open(folder.path(), &KEY, NOW + 60 * DAY);
        assert!(later.get(&stream(1).hash).is_some());
        later.save().unwrap();
        kept(folder.path(), 2..3, NOW + 130 * DAY);
        let mut last = Proofs::open(folder.path(), &KEY, NOW + 130 * DAY);
        let known = |proofs: &mut Proofs, n| proofs.get(&stream(n).hash).is_some();
        assert_eq!([0, 1, 2].map(|n| known(&mut last, n)), [false, true, true]);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let most = u32::try_from(MAX_ROWS).unwrap();
        kept(folder.path(), 0..most, NOW);
        kept(folder.path(), most..most + 10, NOW + DAY);
        let mut proofs = Proofs::open(folder.path(), &KEY, NOW + DAY);
        assert_eq!(proofs.rows.len(), MAX_ROWS);
        assert!((most..most + 10).all(|n| proofs.get(&stream(n).hash).is_some()), "the newest stay");
    }

    #[test]
    fn nothing_is_believed_that_is_damaged_or_another_ones() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), 0..3, NOW);
        let file = folder.path().join(NAME);
        let sound = fs::read(&file).unwrap();
        assert_eq!(Proofs::open(folder.path(), &[4; 32], NOW).rows.len(), 0, "another key");
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(Proofs::open(folder.path(), &KEY, NOW).rows.len(), 0, "byte {at}");
            fs::write(&file, &sound[..at]).unwrap();
            assert_eq!(Proofs::open(folder.path(), &KEY, NOW).rows.len(), 0, "length {at}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(Proofs::open(folder.path(), &KEY, NOW).rows.len(), 0, "none");
    }
}
