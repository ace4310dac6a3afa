//! Dumps of PostgreSQL in its custom format: what is found and where they are cut doesn't depend on how they arrive, and no byte is lost.

use super::input::pieces;
use super::memory;
use nightsafe::chunker::Gear;
use nightsafe::chunker::archive::copy::RowReader;
use nightsafe::chunker::archive::{ArchiveCutter, ArchiveError, BlockKind, Contents, Cut, Parser, RowTarget};
use std::convert::Infallible;
use std::sync::LazyLock;

static GEAR: LazyLock<Gear> = LazyLock::new(|| Gear::new(&[3; 32]));

/// The length of each chunk, and a 0 for each border.
type Lengths = Vec<usize>;

pub fn run(data: &[u8]) {
    let most = (2 << 20) + 64 * data.len();
    let (chunks, lengths, found) = memory::at_most(most, || cut(std::iter::once(data)));
    assert!(chunks.concat() == data, "bytes are lost");
    let (_, others, again) = memory::at_most(most, || cut(pieces(data)));
    assert_eq!((&lengths, &found), (&others, &again), "pieces decide");
    assert_eq!(parsed(std::iter::once(data)), found.as_ref().map(|_| ()).map_err(Clone::clone));
    if let Ok(contents) = found {
        blocks(&chunks, &contents);
    }
}

fn cut<'a>(input: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Lengths, Result<Contents, ArchiveError>) {
    let (mut chunks, mut lengths) = (Vec::new(), Vec::new());
    let mut each = |cut: Cut<'_>| {
        if let Cut::Chunk(chunk) = cut {
            assert!(!chunk.is_empty());
            chunks.push(chunk.to_vec());
        }
        lengths.push(if let Cut::Chunk(chunk) = cut { chunk.len() } else { 0 });
        Ok::<(), Infallible>(())
    };
    let mut cutter = ArchiveCutter::new(&GEAR, RowTarget::DEFAULT);
    for piece in input {
        let Ok(()) = cutter.push(piece, &mut each);
    }
    let Ok(found) = cutter.finish(&mut each);
    (chunks, lengths, found)
}

/// The parser alone: its events cover the stream.
fn parsed<'a>(input: impl Iterator<Item = &'a [u8]>) -> Result<(), ArchiveError> {
    let mut parser = Parser::new();
    let (mut pushed, mut covered) = (0, 0);
    for mut piece in input {
        pushed += piece.len();
        while let Some(event) = parser.next(&mut piece)? {
            covered += event.length();
        }
        assert!(piece.is_empty() && covered <= pushed);
    }
    let archive = parser.finish()?;
    assert_eq!(covered, pushed);
    assert!(archive.blocks.len() <= archive.entries.len());
    Ok(())
}

/// A block's chunks are that block, and rows are read from them as they were counted.
fn blocks(chunks: &[Vec<u8>], contents: &Contents) {
    for block in &contents.blocks {
        let first = usize::try_from(block.first_chunk).expect("few");
        let stretch = &chunks[first..first + usize::try_from(block.chunks).expect("few")];
        if block.kind != BlockKind::Rows {
            continue;
        }
        let (mut rows, mut bytes, mut reader) = (0, 0, RowReader::new());
        for chunk in stretch {
            let mut each = |row: &[u8]| {
                (rows, bytes) = (rows + 1, bytes + row.len() as u64 + 1);
                Ok::<(), Infallible>(())
            };
            let Ok(read) = reader.push(chunk, &mut each);
            assert_eq!(read, Ok(()));
        }
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!((Some(rows), bytes), (block.rows, block.bytes));
    }
}
