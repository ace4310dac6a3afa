//! Reading a directory's stream entry by entry, in bounded memory.

use crate::repo::cbor;
use crate::repo::codec::{MAX_VARINT, Malformed};
use crate::snapshot::tree::check::EntryError;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::escape_name;
use std::io::{self, Read};

/// Longest entry, in bytes: room for its largest references (3 MiB), extents (1.5 MiB) and many extended attributes.
pub const MAX_ENTRY: usize = 16 << 20;

/// Most items of CBOR in an entry: four for each of the most references or three for each of the most extents, and many extended attributes. What they need in memory is bounded by it.
pub const MAX_ENTRY_ITEMS: u64 = 1 << 20;

/// What the buffer keeps for the next entry; what a larger entry needed is given back.
const KEPT_BUFFER: usize = 256 << 10;

/// A directory's stream that can't be read or believed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The stream below failed.
    #[error("the directory's stream can't be read")]
    Read(#[source] io::Error),
    /// It ends within an entry.
    #[error("the directory ends within an entry")]
    Truncated,
    /// An entry is longer than any can be.
    #[error("an entry of {0} bytes: at most {MAX_ENTRY} are possible")]
    TooLong(u64),
    /// It isn't what the format says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An entry breaks a rule.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Names aren't in ascending order, or one occurs twice.
    #[error("entry {} is out of order", escape_name(.0))]
    Order(Vec<u8>),
}

/// Reads the entries of a directory from its stream; an iterator that ends after the first error.
///
/// Needs memory for one entry at a time: at most [`MAX_ENTRY`] for its bytes, and never more than has been read.
#[derive(Debug)]
pub struct EntryReader<R> {
    input: R,
    buffer: Vec<u8>,
    last: Option<Vec<u8>>,
    done: bool,
}

impl<R: Read> EntryReader<R> {
    /// A reader of `input`, which should be buffered: lengths are read byte by byte.
    pub const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), last: None, done: false }
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, TreeError> {
        let Some(length) = self.read_length()? else { return Ok(None) };
        let fits = usize::try_from(length).ok().filter(|&n| n <= MAX_ENTRY);
        let expected = fits.ok_or(TreeError::TooLong(length))?;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        self.input.by_ref().take(length).read_to_end(&mut self.buffer).map_err(TreeError::Read)?;
        if self.buffer.len() != expected {
            return Err(TreeError::Truncated);
        }
        let entry: Entry = cbor::decode_up_to(MAX_ENTRY_ITEMS, "directory entry", &self.buffer)?;
        entry.check()?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(TreeError::Order(entry.name));
        }
        self.last = Some(entry.name.clone());
        Ok(Some(entry))
    }

    /// The varint before an entry; nothing at the end of the stream.
    fn read_length(&mut self) -> Result<Option<u64>, TreeError> {
        let malformed = || TreeError::Malformed(Malformed("length of a directory entry"));
        let mut value = 0u64;
        for i in 0..MAX_VARINT {
            let Some(byte) = self.read_byte()? else {
                return if i == 0 { Ok(None) } else { Err(TreeError::Truncated) };
            };
            let bits = u64::from(byte & 0x7f);
            if i == MAX_VARINT - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || i == 0;
                return if shortest { Ok(Some(value)) } else { Err(malformed()) };
            }
        }
        Err(malformed())
    }

    fn read_byte(&mut self) -> Result<Option<u8>, TreeError> {
        let mut byte = [0];
        loop {
            match self.input.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TreeError::Read(e)),
            }
        }
    }
}

impl<R: Read> Iterator for EntryReader<R> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read_entry().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor::Time;
    use crate::repo::codec::put_varint;
    use crate::repo::id::FrameId;
    use crate::snapshot::tree::entry::{EntryType, Xattr, encode_entry};
    use crate::snapshot::tree::reference::{Extent, Reference};
    use proptest::prelude::*;

    fn times() -> impl Strategy<Value = Time> {
        (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
    }

    fn names() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 1..20)
            .prop_filter("a possible name", |n| crate::snapshot::tree::check::is_name(n))
    }

    prop_compose! {
        fn base()(
            mode in 0..0o10000u32, ids: (u32, u32), user in prop::option::of(prop::collection::vec(any::<u8>(), 1..10)),
            mtime in times(), ctime in prop::option::of(times()), btime in prop::option::of(times()), group: Option<[u8; 8]>,
            xattrs in prop::collection::btree_map(prop::collection::vec(1u8.., 1..10), any::<Vec<u8>>(), 0..4),
        ) -> Entry {
            let xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect();
            let (uid, gid) = ids;
            let group_name = user.clone();
            Entry { mode, uid, gid, user, group: group_name, mtime, ctime, btime, link_group: group, xattrs, ..Entry::new("x", EntryType::Fifo) }
        }
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let references = prop::collection::vec((any::<[u8; 32]>(), 0..60_000u32, 1..5_000u32), 1..5).prop_map(|all| {
            all.into_iter()
                .map(|(id, first, count)| Reference { frame: FrameId::from_bytes(id), first, count })
                .collect::<Vec<_>>()
        });
        (base(), 0..6u8, references, any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 1..64)).prop_map(
            |(base, kind, references, hash, bytes)| match kind {
                0 => Entry { kind: EntryType::File, size: Some(bytes.len() as u64), inline: Some(bytes), ..base },
                1 => Entry { kind: EntryType::File, size: Some(7), list: Some(references), hash: Some(hash), ..base },
                2 => {
                    let extents = Some(vec![Extent { offset: 1, length: 2 }, Extent { offset: 4, length: 3 }]);
                    Entry {
                        kind: EntryType::File,
                        size: Some(7),
                        references: Some(references),
                        hash: Some(hash),
                        extents,
                        ..base
                    }
                }
                3 => Entry {
                    kind: EntryType::Directory,
                    size: Some(7),
                    references: Some(references),
                    hash: Some(hash),
                    link_group: None,
                    ..base
                },
                4 => Entry { kind: EntryType::Symlink, target: Some(b"to".to_vec()), ..base },
                _ => base,
            },
        )
    }

    proptest! {
        #[test]
        fn directories_survive(entries in prop::collection::btree_map(names(), entries(), 0..12)) {
            let mut stream = Vec::new();
            let entries: Vec<Entry> = entries.into_iter().map(|(name, entry)| Entry { name, ..entry }).collect();
            for entry in &entries {
                encode_entry(entry, &mut stream);
            }
            let read: Result<Vec<Entry>, TreeError> = EntryReader::new(&stream[..]).collect();
            prop_assert_eq!(read.unwrap(), entries.clone());
            let mut again = Vec::new();
            for entry in &entries {
                encode_entry(entry, &mut again);
            }
            prop_assert_eq!(&again, &stream);
            if let Some(cut) = stream.len().checked_sub(1) {
                let last = EntryReader::new(&stream[..cut]).last();
                prop_assert!(matches!(last, Some(Err(TreeError::Truncated))));
            }
        }

        #[test]
        fn any_bytes_are_answered(entry in entries(), at: prop::sample::Index, to: u8) {
            let mut stream = Vec::new();
            encode_entry(&entry, &mut stream);
            let at = at.index(stream.len());
            stream[at] = to;
            for entry in EntryReader::new(&stream[..]).flatten() {
                prop_assert!(entry.check().is_ok());
            }
        }
    }

    fn fifo(name: &str) -> Entry {
        Entry::new(name, EntryType::Fifo)
    }

    #[test]
    fn names_out_of_order_are_refused() {
        for (a, b) in [("b", "a"), ("a", "a"), ("a", "B")] {
            let mut stream = Vec::new();
            encode_entry(&fifo(a), &mut stream);
            encode_entry(&fifo(b), &mut stream);
            let mut reader = EntryReader::new(&stream[..]);
            assert!(matches!(reader.next(), Some(Ok(_))));
            assert!(matches!(reader.next(), Some(Err(TreeError::Order(name))) if name == b.as_bytes()));
            assert!(reader.next().is_none(), "ends after an error");
        }
    }

    #[test]
    fn a_claimed_length_is_not_allocated() {
        let mut stream = Vec::new();
        put_varint(&mut stream, MAX_ENTRY as u64);
        stream.extend_from_slice(b"short");
        let mut reader = EntryReader::new(&stream[..]);
        assert!(matches!(reader.next(), Some(Err(TreeError::Truncated))));
        assert!(reader.buffer.capacity() < 4096);
        stream.clear();
        put_varint(&mut stream, MAX_ENTRY as u64 + 1);
        assert!(matches!(EntryReader::new(&stream[..]).next(), Some(Err(TreeError::TooLong(_)))));
        for overlong in [&[0x80, 0][..], &[0xff; 10]] {
            assert!(matches!(EntryReader::new(overlong).next(), Some(Err(TreeError::Malformed(_)))));
        }
    }

    #[test]
    fn unsound_and_unknown_entries_are_refused() {
        let mut stream = Vec::new();
        encode_entry(&Entry { mode: 0o10000, ..fifo("x") }, &mut stream);
        assert!(matches!(EntryReader::new(&stream[..]).next(), Some(Err(TreeError::Entry(_)))));
        stream.clear();
        encode_entry(&fifo("x"), &mut stream);
        let kind = stream.windows(2).position(|pair| pair == [1, 4]).unwrap() + 1;
        stream[kind] = 8;
        assert!(matches!(EntryReader::new(&stream[..]).next(), Some(Err(TreeError::Malformed(_)))));
    }
}
