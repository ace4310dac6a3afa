//! The names in one directory, sorted by bytes, in little memory.

use rustix::fs::RawDir;
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;

/// What one call of getdents64(2) may fill: some 2,000 names.
const BUFFER: usize = 64 << 10;

/// The names in a directory: one allocation for their bytes and 8 bytes for each, so that 200,000 names of 30 bytes take 8 MB.
#[derive(Debug, Default)]
pub struct Listing {
    bytes: Vec<u8>,
    /// Start and length of each name.
    places: Vec<(u32, u32)>,
}

impl Listing {
    /// The names in an open directory that hasn't been read from yet, without `.` and `..`.
    ///
    /// If reading fails on the way, the names so far come with the error.
    pub fn read(dir: BorrowedFd<'_>) -> (Self, Option<io::Error>) {
        let mut listing = Self::default();
        let error = listing.fill(dir).err();
        listing.sort();
        (listing, error)
    }

    /// These names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut listing = Self::default();
        // Names that are in memory already fit there.
        let fitted = names.into_iter().try_for_each(|name| listing.push(name));
        debug_assert!(fitted.is_ok(), "more than 4 GiB of names");
        listing.sort();
        listing
    }

    fn fill(&mut self, dir: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => match entry.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => self.push(name)?,
                },
                Err(Errno::INTR) => {}
                // The directory was removed after it was opened: it is empty.
                Err(Errno::NOENT) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8]) -> io::Result<()> {
        let too_many = |_| io::Error::other("more than 4 GiB of names in one directory");
        let start = u32::try_from(self.bytes.len()).map_err(too_many)?;
        let length = u32::try_from(name.len()).map_err(too_many)?;
        self.bytes.extend_from_slice(name);
        self.places.push((start, length));
        Ok(())
    }

    /// A directory that changes while it is read may name an entry twice.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.places.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
        self.places.dedup_by(|a, b| slice(bytes, *a) == slice(bytes, *b));
    }

    /// How many names there are.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The `n`-th name.
    pub fn get(&self, n: usize) -> Option<&[u8]> {
        self.places.get(n).map(|&place| slice(&self.bytes, place))
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|&place| slice(&self.bytes, place))
    }

    /// Whether `name` is among them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.places.binary_search_by(|&place| slice(&self.bytes, place).cmp(name)).is_ok()
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u32)) -> &[u8] {
    &bytes[start as usize..][..length as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    proptest! {
        #[test]
        fn names_are_sorted_once_and_found(names: Vec<Vec<u8>>, other: Vec<u8>) {
            let listing = Listing::of(names.iter().map(Vec::as_slice));
            let mut expected = names.clone();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(listing.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(listing.contains(&other), expected.contains(&other));
            prop_assert!(names.iter().all(|name| listing.contains(name)));
            prop_assert_eq!(listing.get(expected.len()), None);
        }
    }

    #[test]
    fn a_directory_of_several_buffers_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..5_000).map(|i| format!("{i:05}{}", "x".repeat(i % 200))).collect();
        for name in &names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let (listing, error) = Listing::read(std::fs::File::open(dir.path()).unwrap().as_fd());
        assert!(error.is_none());
        assert_eq!(listing.iter().collect::<Vec<_>>(), names.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::tempfile().unwrap();
        let (listing, error) = Listing::read(file.as_fd());
        assert!(listing.is_empty() && error.is_some());
    }
}
