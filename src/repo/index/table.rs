//! One file of a map: sorted by key, of fixed width, memory-mapped.
//!
//! # Layout
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | `"nstable"`, version 1 |
//! | 8 | 2 + 2 | bytes of a key, of a value |
//! | 12 | 4 | buckets b |
//! | 16 | 8 | records n |
//! | 24 | 8 | zero |
//! | 32 | 32 | BLAKE3 of the lines |
//! | 64 | 32 | BLAKE3 of the records |
//! | 96 | 32 | BLAKE3 of the 96 bytes before |
//! | 128 | 64·(b+1) | lines |
//! | … | n·(k+v) | records, key ‖ value, by key; of several with one key the newest is first |
//!
//! Keys are hashes, so the first 8 bytes of a key, big-endian, as a fraction of 2⁶⁴, say in which of the b buckets it
//! is. A bucket has a *line* of 64 bytes, one line of the processor's cache: the number of its first record (`u32`),
//! then a Bloom filter of 480 bits for its about 40 keys, 6 bits each, of which 0.6 % of absent keys pass. So a miss
//! mostly costs one line, a hit two or three pages. The last line only says where the last bucket ends.
//!
//! Lines go up with the keys, so both parts are written from front to back in constant memory. Keys that aren't spread
//! evenly (another writer can put what it likes into a trailer) cost time, nothing else.
//!
//! # Checksums
//!
//! [`Table::open`] reads the whole file once, not through the map: about 0.5 s a GB (BLAKE3 on one core), besides what
//! the disk takes. Known chunks take 0.3 GB for a TB of files in 64 KiB chunks and 2.4 GB for a TB of database text in
//! 8 KiB chunks. Checksums protect from accidents, not from who may write to the folder.

use super::IndexError;
use super::file::{CacheFile, SectionReader};
use memmap2::{Advice, Mmap};
use std::cmp::Ordering;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: [u8; 8] = *b"nstable\x01";
pub(super) const HEADER_LEN: usize = 128;
pub(super) const LINE_LEN: usize = 64;
/// What a bucket holds on average.
pub(super) const BUCKET_KEYS: u64 = 40;
/// Where the filter begins in a line.
const FILTER_AT: usize = 4;
const FILTER_BITS: u64 = 480;
/// Bits set for a key. With 40 keys in 480 bits, 8.3 would be best for keys spread evenly and 6 is best for buckets
/// that differ in size.
const FILTER_PROBES: u32 = 6;

/// The fixed first part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key_len: u16,
    pub(super) value_len: u16,
    pub(super) buckets: u32,
    pub(super) count: u64,
    pub(super) lines_hash: [u8; 32],
    pub(super) records_hash: [u8; 32],
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.key_len.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.value_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.buckets.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.lines_hash);
        bytes[64..96].copy_from_slice(&self.records_hash);
        let hash = blake3::hash(&bytes[..96]);
        bytes[96..].copy_from_slice(hash.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let mut cursor = crate::repo::codec::Cursor::new("index table", &bytes[8..]);
        let header = Self {
            key_len: cursor.u16().ok()?,
            value_len: cursor.u16().ok()?,
            buckets: cursor.u32().ok()?,
            count: u64::from_le_bytes(cursor.array().ok()?),
            lines_hash: {
                cursor.array::<8>().ok()?;
                cursor.array().ok()?
            },
            records_hash: cursor.array().ok()?,
        };
        // Every byte of the header is either a field or covered here.
        (header.encode() == *bytes).then_some(header)
    }

    /// Length of the file, if the numbers make sense.
    fn file_len(&self) -> Option<u64> {
        let width = u64::from(self.key_len) + u64::from(self.value_len);
        self.count.checked_mul(width)?.checked_add(self.records_at())
    }

    /// Where the records begin.
    pub(super) fn records_at(&self) -> u64 {
        HEADER_LEN as u64 + self.lines_len()
    }

    fn lines_len(&self) -> u64 {
        (u64::from(self.buckets) + 1) * LINE_LEN as u64
    }
}

/// The bucket of `key` among `buckets`.
pub(super) fn bucket_of(key: &[u8], buckets: u32) -> u32 {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&key[..8]);
    let place = (u128::from(u64::from_be_bytes(prefix)) * u128::from(buckets)) >> 64;
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The bits of a line that stand for `key`: byte in the line, and mask.
fn probes(key: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&key[8..16]);
    let word = u64::from_le_bytes(bytes);
    (0..FILTER_PROBES).map(move |i| {
        // 10 of the 60 bits each, as a fraction of the filter.
        let bit = (((word >> (10 * i)) & 1023) * FILTER_BITS) >> 10;
        (FILTER_AT + (bit / 8) as usize, 1 << (bit % 8))
    })
}

/// Notes `key` in the filter of `line`.
pub(super) fn filter_insert(line: &mut [u8; LINE_LEN], key: &[u8]) {
    for (at, mask) in probes(key) {
        line[at] |= mask;
    }
}

/// Whether the filter of `line` lets `key` pass.
fn filter_passes(line: &[u8; LINE_LEN], key: &[u8]) -> bool {
    probes(key).all(|(at, mask)| line[at] & mask != 0)
}

fn first_record(line: &[u8; LINE_LEN]) -> usize {
    u32::from_le_bytes([line[0], line[1], line[2], line[3]]) as usize
}

/// Maps a finished file of the index into memory, for reading at random places.
///
/// A reader gets SIGBUS instead of bytes when somebody truncates the file under it or the disk can't be read: the first
/// takes the will of whoever runs this program (mode 0600), the second a failing disk, and neither a wrong byte.
pub(super) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map must not change while it is borrowed as `&[u8]`. The file was created by this program with mode
    // 0600, in a folder of its own, under a random name; it got that name when it was complete, and no code opens such
    // a file for writing afterwards: it is only unlinked, which leaves the map alone. Bytes that changed all the same
    // would be a wrong hint, never an index out of bounds: lengths and positions read from the map are checked at every
    // use. A file that is in memory alone has no name, and nobody else holds its descriptor.
    #[expect(unsafe_code, reason = "the only way to look into a file without loading it")]
    let map = unsafe { Mmap::map(file)? };
    // Lookups are at random; reading ahead would only push out what is of use.
    map.advise(Advice::Random)?;
    Ok(map)
}

/// A table that was opened and found whole. Keys have `K` bytes (at least 16), values `V`.
#[derive(Debug)]
pub struct Table<const K: usize, const V: usize> {
    file: File,
    map: Mmap,
    header: Header,
    guard: CacheFile,
}

impl<const K: usize, const V: usize> Table<K, V> {
    pub(super) const WIDTH: usize = K + V;
    /// Fails to compile for other keys: the bucket and the filter each need 8 bytes of the key.
    pub(super) const WIDTHS_FIT: () = assert!(K >= 16 && K <= 1024 && V <= 1024);

    /// Opens a table that is to stay, and reads it once to compare the checksums.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(IndexError::io(path))?;
        let table = Self::from_file(file, CacheFile::listed(path.to_owned()))?;
        let hash_of = |at, length| SectionReader::new(&table.file, at, length).finish().map_err(IndexError::io(path));
        let records_at = table.header.records_at();
        let lines = hash_of(HEADER_LEN as u64, table.header.lines_len())?;
        let records = hash_of(records_at, table.map.len() as u64 - records_at)?;
        if lines == table.header.lines_hash && records == table.header.records_hash {
            Ok(table)
        } else {
            Err(IndexError::damaged(path))
        }
    }

    /// The table that `file` holds, by its header and length only.
    pub(super) fn from_file(file: File, guard: CacheFile) -> Result<Self, IndexError> {
        let () = Self::WIDTHS_FIT;
        let path = guard.path();
        let length = file.metadata().map_err(IndexError::io(path))?.len();
        if length < HEADER_LEN as u64 {
            return Err(IndexError::damaged(path));
        }
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, 0).map_err(IndexError::io(path))?;
        let header = Header::decode(&bytes).ok_or_else(|| IndexError::damaged(path))?;
        let widths = (usize::from(header.key_len), usize::from(header.value_len));
        if widths != (K, V) || header.buckets == 0 || header.file_len() != Some(length) {
            return Err(IndexError::damaged(path));
        }
        let map = map(&file).map_err(IndexError::io(path))?;
        // What the lengths below are computed from.
        if map.len() as u64 != length {
            return Err(IndexError::damaged(path));
        }
        Ok(Self { file, map, header, guard })
    }

    /// How many records there are.
    pub const fn len(&self) -> u64 {
        self.header.count
    }

    /// How many bytes the file has.
    pub(super) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.header.count == 0
    }

    pub(super) const fn guard(&self) -> &CacheFile {
        &self.guard
    }

    /// The records from first to last, read from the disk.
    pub(super) fn reader(&self) -> SectionReader<'_> {
        let at = self.header.records_at();
        SectionReader::new(&self.file, at, self.map.len() as u64 - at)
    }

    /// A reader of nothing.
    pub(super) fn empty_reader(&self) -> SectionReader<'_> {
        SectionReader::new(&self.file, 0, 0)
    }

    pub(super) const fn records_hash(&self) -> &[u8; 32] {
        &self.header.records_hash
    }

    /// The first value of `key`: the newest.
    pub fn get(&self, key: &[u8; K]) -> Option<[u8; V]> {
        self.all(key).next()
    }

    /// All values of `key`, the newest first.
    pub fn all(&self, key: &[u8; K]) -> impl Iterator<Item = [u8; V]> {
        let range = self.range(key).unwrap_or(0..0);
        range.map_while(move |i| {
            let (found, value) = self.record(i)?.split_at_checked(K)?;
            if found == key { value.try_into().ok() } else { None }
        })
    }

    /// The records from the first one with `key` to the end of its bucket; `None` if there is surely none.
    fn range(&self, key: &[u8; K]) -> Option<Range<usize>> {
        let bucket = bucket_of(key, self.header.buckets);
        let line = self.line(bucket)?;
        if !filter_passes(line, key) {
            return None;
        }
        let (start, end) = (first_record(line), first_record(self.line(bucket + 1)?));
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle)?[..K].cmp(&key[..]) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        Some(low..end)
    }

    /// Whether the filter lets `key` pass.
    #[cfg(test)]
    pub(super) fn passes(&self, key: &[u8; K]) -> bool {
        self.line(bucket_of(key, self.header.buckets)).is_some_and(|line| filter_passes(line, key))
    }

    fn line(&self, bucket: u32) -> Option<&[u8; LINE_LEN]> {
        let at = HEADER_LEN + bucket as usize * LINE_LEN;
        self.map.get(at..at + LINE_LEN)?.try_into().ok()
    }

    fn record(&self, i: usize) -> Option<&[u8]> {
        let at = usize::try_from(self.header.records_at()).ok()?.checked_add(i.checked_mul(Self::WIDTH)?)?;
        self.map.get(at..at.checked_add(Self::WIDTH)?)
    }
}
