//! For tests: a writer of tar that can write what is odd, and a reader that has all of it at once.

use super::header::{self, BLOCK};
use super::{APART, MAX_RECORDS};

/// Writes tar.
#[derive(Default)]
pub(super) struct Made {
    /// So far.
    pub(super) bytes: Vec<u8>,
}

/// How a size is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Octal,
    /// Twelve digits with nothing behind them.
    FullOctal,
    /// Blanks before and behind it, as old programs do it.
    Blanks,
    Base256,
    /// In records (pax), while the header has a 0.
    Records,
}

/// All of those.
pub(super) const SIZES: [Size; 5] = [Size::Octal, Size::FullOctal, Size::Blanks, Size::Base256, Size::Records];

impl Made {
    /// A file.
    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(b'0', name, content)
    }

    /// Whatever of this kind.
    pub(super) fn entry(self, kind: u8, name: &str, data: &[u8]) -> Self {
        self.header(&header(kind, name, data.len() as u64)).data(data)
    }

    /// A file whose size is told like this.
    pub(super) fn sized(self, size: Size, content: &[u8]) -> Self {
        let length = content.len() as u64;
        let mut block = header(b'0', "sized", if size == Size::Records { 0 } else { length });
        match size {
            Size::Octal | Size::Records => {}
            Size::FullOctal => block[124..136].copy_from_slice(format!("{length:012o}").as_bytes()),
            Size::Blanks => block[124..136].copy_from_slice(format!("{length:>11o} ").as_bytes()),
            Size::Base256 => block[124..136].copy_from_slice(&base256(length)),
        }
        let records = [record("path", "sized"), record("size", &length.to_string())].concat();
        let made = if size == Size::Records { self.entry(b'x', "records", &records) } else { self };
        made.header(&signed(block)).data(content)
    }

    pub(super) fn header(mut self, block: &[u8]) -> Self {
        self.bytes.extend_from_slice(block);
        self
    }

    /// Data, and what pads it.
    pub(super) fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Whatever else.
    pub(super) fn other(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The end, as it is written: records of 20 blocks.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK]);
        self.bytes.resize(self.bytes.len().next_multiple_of(20 * BLOCK), 0);
        self.bytes
    }
}

/// A header of POSIX.
pub(super) fn header(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..136].copy_from_slice(format!("0000644\x000001750\x000001750\x00{size:011o}\x00").as_bytes());
    block[136..148].copy_from_slice(b"14712345670\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    signed(block)
}

/// The same with its checksum.
pub(super) fn signed(mut block: Vec<u8>) -> Vec<u8> {
    let sum = header::sum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The same by GNU tar.
pub(super) fn gnu(mut block: Vec<u8>) -> Vec<u8> {
    block[257..265].copy_from_slice(b"ustar  \0");
    signed(block)
}

/// A size that octal digits don't hold.
pub(super) fn base256(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

/// A record of pax, which tells its own length.
pub(super) fn record(name: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {name}={value}\n");
    let length = (1..99_999).find(|length: &usize| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}").into_bytes()
}

/// The parts that borders make of a tar, naively: what a member holds that is long enough, and what is between them. So many are in each other at most.
pub(super) fn parts(bytes: &[u8], depth: usize) -> Vec<Vec<u8>> {
    // What a member holds may begin with an end, or be cut before a header is whole: that's no tar, whatever comes later.
    if bytes.get(..BLOCK).is_none_or(|block| block.iter().all(|byte| *byte == 0)) {
        return if bytes.is_empty() { Vec::new() } else { vec![bytes.to_vec()] };
    }
    let (mut parts, mut from, mut at, mut told) = (Vec::new(), 0, 0, None);
    while let Some(block) = bytes.get(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            told = None;
            continue;
        }
        let mut blanked = block.to_vec();
        blanked[148..156].fill(b' ');
        let sum: u32 = blanked.iter().map(|byte| u32::from(*byte)).sum();
        let is_sound = number(&block[148..156]) == Some(sum.into()) && &block[257..262] == b"ustar";
        let Some(size) = number(&block[124..136]).filter(|_| is_sound && matches!(block[262], 0 | b' ')) else { break };
        let kind = block[156];
        if matches!(kind, b'1'..=b'6') {
            told = None;
            continue;
        }
        let size = if b"xXgKL".contains(&kind) { size } else { told.take().unwrap_or(size) };
        if kind == b'S' && block[482] != 0 {
            while let Some(map) = bytes.get(at..at + BLOCK) {
                at += BLOCK;
                if map[504] == 0 {
                    break;
                }
            }
        }
        if b"xX".contains(&kind) && size > MAX_RECORDS {
            break;
        }
        let data = at.min(bytes.len())..at.saturating_add(usize::try_from(size).unwrap()).min(bytes.len());
        if b"xX".contains(&kind) {
            let text = String::from_utf8_lossy(&bytes[data.clone()]);
            told =
                text.lines().filter_map(|line| line.split_once(" size=")).next_back().and_then(|(_, n)| n.parse().ok());
        }
        if b"0\x007S".contains(&kind) && size >= APART && !data.is_empty() {
            parts.push(bytes[from..data.start].to_vec());
            let content = &bytes[data.clone()];
            parts.extend(if depth > 1 { self::parts(content, depth - 1) } else { vec![content.to_vec()] });
            from = data.end;
        }
        at = data.end.next_multiple_of(BLOCK);
    }
    parts.push(bytes[from..].to_vec());
    parts.retain(|part| !part.is_empty());
    parts
}

/// What a field holds.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let number = field[1..].iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
        return u64::try_from(number).ok().filter(|number| field[0] == 0x80 && *number < 1 << 63);
    }
    let text: String = field.iter().map(|byte| char::from(*byte)).collect();
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let end = text.find(['\0', ' ']).unwrap_or(text.len());
    let digits = &text[..end];
    let is_octal = digits.chars().all(|digit| ('0'..'8').contains(&digit));
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok().filter(|_| is_octal) }
}
