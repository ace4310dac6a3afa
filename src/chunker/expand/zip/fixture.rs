//! For tests: a writer of ZIP that can write what is odd.

use super::header::Mark;
use crate::chunker::expand::sum::Sum;
use crate::chunker::expand::{Expansion, Left, Outcome, harness};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read, Write};

/// How a member tells its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    InHeader,
    /// In the header, in 64 bits.
    InZip64,
    /// Behind the member.
    Behind {
        signed: bool,
        wide: bool,
    },
}

/// All of those.
pub(super) const BEHIND: [Sizes; 4] = [
    Sizes::Behind { signed: true, wide: false },
    Sizes::Behind { signed: true, wide: true },
    Sizes::Behind { signed: false, wide: false },
    Sizes::Behind { signed: false, wide: true },
];

/// Writes ZIP.
#[derive(Default)]
pub(super) struct Made {
    /// So far.
    pub(super) bytes: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
    /// What changes with each night.
    time: u32,
}

impl Made {
    /// With this time in all headers.
    pub(super) fn at(time: u32) -> Self {
        Self { time, ..Self::default() }
    }

    pub(super) fn stored(self, name: &str, content: &[u8]) -> Self {
        self.member(name, (0, 0), content, Sizes::InHeader)
    }

    pub(super) fn deflated(self, name: &str, content: &[u8], level: u32) -> Self {
        self.member(name, (8, 0), &deflate(content, level), Sizes::InHeader)
    }

    pub(super) fn member(self, name: &str, (method, flags): (u16, u16), data: &[u8], sizes: Sizes) -> Self {
        let content = content(method, data);
        self.marked(name, (method, flags), data, (&content, sizes))
    }

    /// A member of which it's said that this is its content.
    pub(super) fn marked(
        mut self,
        name: &str,
        (method, flags): (u16, u16),
        data: &[u8],
        (content, sizes): (&[u8], Sizes),
    ) -> Self {
        let (length, unpacked, crc) = (data.len() as u64, content.len() as u64, mark(content).crc);
        let shorten = |length: u64| u32::try_from(length).unwrap();
        let flags = flags | if matches!(sizes, Sizes::Behind { .. }) { 8 } else { 0 };
        let (told, extra) = match sizes {
            Sizes::InHeader => ([shorten(length), shorten(unpacked)], Vec::new()),
            Sizes::InZip64 => {
                ([u32::MAX; 2], [&[1, 0, 16, 0][..], &unpacked.to_le_bytes(), &length.to_le_bytes()].concat())
            }
            Sizes::Behind { .. } => ([0; 2], Vec::new()),
        };
        let told_crc = if matches!(sizes, Sizes::Behind { .. }) { [0; 4] } else { crc };
        let mut header = b"PK\x03\x04\x14\0".to_vec();
        header.extend([flags.to_le_bytes(), method.to_le_bytes()].concat());
        header.extend([&self.time.to_le_bytes()[..], &told_crc].concat());
        header.extend(told.iter().flat_map(|number| number.to_le_bytes()));
        header.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        header.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        header.extend([name.as_bytes(), &extra].concat());
        self.directory.extend([b"PK\x01\x02\x14\0", &header[4..28], &[0; 16], name.as_bytes()].concat());
        self.bytes.extend([&header, data].concat());
        if let Sizes::Behind { signed, wide } = sizes {
            self.bytes.extend(if signed { &b"PK\x07\x08"[..] } else { b"" });
            self.bytes.extend(crc);
            for length in [length, unpacked] {
                self.bytes.extend(&length.to_le_bytes()[..if wide { 8 } else { 4 }]);
            }
        }
        self.members += 1;
        self
    }

    /// Bytes that are no member.
    pub(super) fn other(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// The central directory and its end.
    pub(super) fn end(&self, comment: &[u8]) -> Vec<u8> {
        let mut end = [&self.directory[..], b"PK\x05\x06\0\0\0\0"].concat();
        end.extend([self.members.to_le_bytes(), self.members.to_le_bytes()].concat());
        end.extend(
            [self.directory.len(), self.bytes.len()].iter().flat_map(|n| u32::try_from(*n).unwrap().to_le_bytes()),
        );
        end.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        [&end, comment].concat()
    }

    pub(super) fn bytes(&self, comment: &[u8]) -> Vec<u8> {
        [self.bytes.clone(), self.end(comment)].concat()
    }
}

/// What a member holds, as far as it can be read.
fn content(method: u16, data: &[u8]) -> Vec<u8> {
    if method != 8 {
        return data.to_vec();
    }
    let mut content = Vec::new();
    let _ = DeflateDecoder::new(data).read_to_end(&mut content); // the rest of it is missing, or damaged
    content
}

/// By what a content is checked.
pub(super) fn mark(content: &[u8]) -> Mark {
    let mut sum = Sum::CRC;
    sum.add(content);
    Mark::of(sum.bytes(), content.len() as u64)
}

/// As zlib does.
pub(super) fn deflate(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What gzip makes of it.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    harness::gzip(bytes, 6)
}

/// Lines that shrink.
pub(super) fn text(seed: usize, rows: usize) -> Vec<u8> {
    let row =
        |n: usize| format!("{n};{};customer {}\n", &blake3::hash(&(seed + n).to_le_bytes()).to_hex()[..9], n % 97);
    (0..rows).map(row).collect::<String>().into_bytes()
}

/// What nothing compresses.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// What comes of bytes: the stream in parts between its borders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) parts: Vec<Vec<u8>>,
    pub(super) recipe: Vec<u8>,
    pub(super) outcome: Outcome,
}

impl Expanded {
    pub(super) fn stream(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// What comes of bytes that arrive in pieces of these lengths.
pub(super) fn expand(expansion: Expansion, bytes: &[u8], steps: &[usize]) -> Expanded {
    let expanded = harness::expand(expansion, bytes, steps);
    Expanded { parts: expanded.parts(), recipe: expanded.recipe, outcome: expanded.outcome }
}

/// What comes back.
pub(super) fn rebuild(expanded: &Expanded) -> Vec<u8> {
    harness::rebuild(&expanded.recipe, &expanded.stream(), &[70_000]).unwrap()
}

/// Expands, and insists that the bytes come back, and that pieces decide nothing.
pub(super) fn proven(bytes: &[u8]) -> Expanded {
    let expanded = expand(Expansion::new(), bytes, &[100_000]);
    assert!(rebuild(&expanded) == bytes, "other bytes come back");
    assert!(expand(Expansion::new(), bytes, &[1, 7, 4_000]) == expanded, "pieces decide");
    expanded
}

/// Why parts stay as they are.
pub(super) fn left(expanded: &Expanded) -> Vec<Left> {
    expanded.outcome.left.iter().copied().collect()
}
