//! The rows of a block of COPY data.

use crate::chunker::archive::ArchiveError;
use crate::chunker::archive::block::BlockReader;
use crate::chunker::archive::event::{BlockKind, Event};
use crate::chunker::archive::token::{BLOCK_HEAD, Token};

/// Unpacks the rows of one block whose bytes are pushed: from its head to its end, which are boundaries of chunks.
///
/// Holds the row that isn't complete. That may be as long as the stream makes it; PostgreSQL writes up to 2 GiB.
#[derive(Debug, Default)]
pub struct RowReader {
    head: Token,
    block: Option<BlockReader>,
    row: Vec<u8>,
    ended: bool,
}

impl RowReader {
    /// A reader at the start of a block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes and calls `each` for every row that is complete, without its line feed.
    ///
    /// The inner error says that this is no block of rows; the outer one is the caller's.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), ArchiveError>, E> {
        loop {
            match self.next(&mut bytes) {
                Ok(Some(Event::Row { part, ends })) => self.add(part, ends, each)?,
                // The first bytes of a terminator look like those of a row.
                Ok(Some(Event::Terminator(_))) => self.row.clear(),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Ends the block. Fails if it isn't complete.
    pub fn finish(self) -> Result<(), ArchiveError> {
        let at = self.block.map_or(0, |block| block.at());
        if self.ended { Ok(()) } else { Err(ArchiveError::Truncated { at }) }
    }

    fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        if self.ended {
            return if input.is_empty() { Ok(None) } else { Err(ArchiveError::UnknownTail) };
        }
        if self.block.is_none() {
            let Some([kind, ..]) = self.head.take::<BLOCK_HEAD>(input) else {
                return Ok(None);
            };
            if kind != 1 {
                return Err(ArchiveError::NoBlock { at: 0, kind });
            }
        }
        let block = self.block.get_or_insert_with(|| BlockReader::new(BlockKind::Rows, BLOCK_HEAD as u64));
        let event = block.next(input)?;
        self.ended = event == Some(Event::BlockEnd);
        Ok(event)
    }

    fn add<E>(&mut self, part: &[u8], ends: bool, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match part {
            [row @ .., b'\n'] if ends && self.row.is_empty() => return each(row),
            [end @ .., b'\n'] if ends => self.row.extend_from_slice(end),
            _ => self.row.extend_from_slice(part),
        }
        if ends {
            each(&self.row)?;
            self.row.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::archive::fixture::{Made, MadeBlock};
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn read(bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let (mut reader, mut rows) = (RowReader::new(), Vec::new());
        for bytes in bytes.chunks(step) {
            let Ok(outcome) = reader.push(bytes, &mut |row| {
                rows.push(row.to_vec());
                Ok::<_, Infallible>(())
            });
            outcome?;
        }
        reader.finish().map(|()| rows)
    }

    proptest! {
        #[test]
        fn rows_come_back(
            rows in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"ab\\."[..]), 0..50), 0..30),
            shared in 1usize..4,
            step in 1usize..200,
            end: prop::sample::Index,
        ) {
            let rows: Vec<_> = rows.into_iter().filter(|row| row != b"\\.").collect();
            let blocks = vec![MadeBlock::Rows(rows.clone(), shared)];
            let made = Made { minor: 16, compressed: false, blocks, with_tail: false };
            let bytes = made.block(0);
            prop_assert_eq!(read(&bytes, step).unwrap(), rows);
            prop_assert!(read(&bytes[..end.index(bytes.len())], step).is_err());
        }
    }

    #[test]
    fn other_blocks_have_no_rows() {
        let objects = vec![MadeBlock::Objects(vec![(1, vec![b"one".to_vec()])])];
        let made = Made { minor: 16, compressed: false, blocks: objects, with_tail: false };
        assert_eq!(read(&made.block(0), 10), Err(ArchiveError::NoBlock { at: 0, kind: 3 }));
        let rows = Made::of_rows(&[b"1"]).block(0);
        assert_eq!(read(&[&rows[..], b"x"].concat(), 10), Err(ArchiveError::UnknownTail));
    }

    #[test]
    fn a_failing_consumer_stops_the_reader() {
        let bytes = Made::of_rows(&[b"1", b"2"]).block(0);
        assert_eq!(RowReader::new().push(&bytes, &mut |_| Err("full")), Err("full"));
    }
}
