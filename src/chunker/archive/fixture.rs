//! Archives made for tests, and a simple parser to compare with.

use super::{ArchiveCutter, ArchiveError, Contents, Cut, RowTarget};
use crate::chunker::Gear;
use crate::chunker::steps::in_steps;
use std::convert::Infallible;

/// An archive to be written.
#[derive(Debug, Clone)]
pub(in crate::chunker) struct Made {
    pub(in crate::chunker) minor: u8,
    pub(in crate::chunker) compressed: bool,
    pub(in crate::chunker) blocks: Vec<MadeBlock>,
    pub(in crate::chunker) with_tail: bool,
}

#[derive(Debug, Clone)]
pub(in crate::chunker) enum MadeBlock {
    /// Each row without its line feed; how many of them share a piece.
    Rows(Vec<Vec<u8>>, usize),
    /// Pieces.
    Data(Vec<Vec<u8>>),
    Objects(Vec<(u32, Vec<Vec<u8>>)>),
}

fn integer(value: i64) -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(value.unsigned_abs()).unwrap().to_le_bytes();
    vec![u8::from(value < 0), a, b, c, d]
}

fn string(text: &str) -> Vec<u8> {
    [integer(i64::try_from(text.len()).unwrap()), text.as_bytes().to_vec()].concat()
}

fn piece(bytes: &[u8]) -> Vec<u8> {
    [integer(i64::try_from(bytes.len()).unwrap()), bytes.to_vec()].concat()
}

impl Made {
    pub(in crate::chunker) fn of_rows(rows: &[&[u8]]) -> Self {
        let rows = rows.iter().map(|row| row.to_vec()).collect();
        Self { minor: 14, compressed: false, blocks: vec![MadeBlock::Rows(rows, 1)], with_tail: false }
    }

    pub(in crate::chunker) fn head(&self) -> Vec<u8> {
        let mut head = [&b"PGDMP\x01"[..], &[self.minor, 0, 4, 8, 1]].concat();
        match (self.minor >= 15, self.compressed) {
            (true, compressed) => head.push(u8::from(compressed)),
            (false, compressed) => head.extend(integer(if compressed { -1 } else { 0 })),
        }
        for number in [1, 2, 3, 4, 5, 126, 0] {
            head.extend(integer(number));
        }
        for text in ["shop", "15.1", "15.2"] {
            head.extend(string(text));
        }
        head
    }

    pub(in crate::chunker) fn toc(&self) -> Vec<u8> {
        let mut toc = integer(i64::try_from(self.blocks.len() + 1).unwrap());
        toc.extend(self.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", "", false));
        for (i, block) in self.blocks.iter().enumerate() {
            let (desc, copy) = match block {
                MadeBlock::Rows(..) => ("TABLE DATA", format!("COPY public.t{i} (a, b) FROM stdin;\n")),
                MadeBlock::Data(_) => ("TABLE DATA", String::new()),
                MadeBlock::Objects(_) => ("BLOBS", String::new()),
            };
            toc.extend(self.entry(id(i), desc, &format!("t{i}"), "", &copy, true));
        }
        toc
    }

    fn entry(&self, id: i64, desc: &str, tag: &str, definition: &str, copy: &str, data: bool) -> Vec<u8> {
        let mut entry =
            [integer(id), integer(data.into()), string("0"), string("0"), string(tag), string(desc)].concat();
        if self.minor >= 11 {
            entry.extend(integer(if data { 3 } else { 2 }));
        }
        entry.extend([string(definition), string(""), string(copy), string("public"), string("")].concat());
        if self.minor >= 14 {
            entry.extend(integer(-1));
        }
        if self.minor >= 16 {
            entry.extend(integer(114));
        }
        entry.extend([string("me"), string("false"), string("12"), string("3"), integer(-1)].concat());
        entry.push(if data { 1 } else { 3 });
        entry.extend([0; 8]);
        entry
    }

    pub(in crate::chunker) fn block(&self, i: usize) -> Vec<u8> {
        let mut bytes = vec![if matches!(self.blocks[i], MadeBlock::Objects(_)) { 3 } else { 1 }];
        bytes.extend(integer(id(i)));
        let pieces = |pieces: &[Vec<u8>]| pieces.iter().flat_map(|bytes| piece(&with_feed(bytes))).collect::<Vec<_>>();
        match &self.blocks[i] {
            MadeBlock::Rows(rows, _) if self.compressed => bytes.extend(pieces(rows)),
            MadeBlock::Rows(rows, shared) => {
                for rows in rows.chunks(*shared) {
                    bytes.extend(piece(&rows.iter().flat_map(|row| with_feed(row)).collect::<Vec<_>>()));
                }
                bytes.extend(piece(b"\\.\n\n\n"));
            }
            MadeBlock::Data(data) => bytes.extend(pieces(data)),
            MadeBlock::Objects(objects) => {
                for (oid, data) in objects {
                    bytes.extend(integer(oid.cast_signed().into()));
                    bytes.extend(pieces(data));
                    bytes.extend(integer(0));
                }
            }
        }
        bytes.extend(integer(0));
        bytes
    }

    pub(in crate::chunker) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.head(), self.toc()].concat();
        (0..self.blocks.len()).for_each(|i| bytes.extend(self.block(i)));
        if self.with_tail {
            bytes.extend(self.toc());
        }
        bytes
    }
}

fn id(i: usize) -> i64 {
    i64::try_from(i).unwrap() + 100
}

/// So that no piece is empty.
fn with_feed(row: &[u8]) -> Vec<u8> {
    [row, b"\n"].concat()
}

/// The chunks of `bytes` when pushed in pieces of these lengths, and what the cutter says at the end.
pub(in crate::chunker) fn cut_up(bytes: &[u8], steps: &[usize]) -> (Vec<Vec<u8>>, Result<Contents, ArchiveError>) {
    let gear = Gear::new(&[7; 32]);
    let mut cutter = ArchiveCutter::new(&gear, RowTarget::DEFAULT);
    let mut chunks = Vec::new();
    let mut each = |cut: Cut<'_>| {
        if let Cut::Chunk(chunk) = cut {
            chunks.push(chunk.to_vec());
        }
        Ok::<_, Infallible>(())
    };
    for part in in_steps(bytes, steps) {
        let Ok(()) = cutter.push(part, &mut each);
    }
    let Ok(outcome) = cutter.finish(&mut each);
    (chunks, outcome)
}
