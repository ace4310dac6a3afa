//! Reading parts of a file in any order.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A file whose parts are read in any order, by any thread.
#[derive(Debug)]
pub struct FileParts(File);

impl From<File> for FileParts {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl FileParts {
    /// The bytes of a range of it, or those that there are.
    pub fn part(&self, range: Range<u64>) -> impl Read + '_ {
        Part { file: &self.0, range }
    }
}

struct Part<'f> {
    file: &'f File,
    /// What is still to be read.
    range: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let got = self.file.read_at(&mut buffer[..room], self.range.start)?;
        self.range.start += got as u64;
        Ok(got)
    }
}
