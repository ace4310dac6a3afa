//! Recipes: how the bytes of a container are rebuilt from the stream that was made of it (`docs/format.md`, section 6).
//!
//! A recipe is a sequence of steps of 9 bytes, a code and a number (little-endian). Some take bytes from the stream, some bring their own, some change what the steps between them and their
//! end give. Recipes are written and read as streams: neither side holds one.

use super::deflate::reader::MAX_CONTENT;
use super::guided::{MAX_DEPTH, MAX_GUIDE, Search};
use super::method::Method;
use std::io::{self, Read};

/// What every recipe begins with: the version.
pub(super) const VERSION: u8 = 1;
/// Bytes of a step.
pub(super) const STEP: usize = 9;
/// Most bytes that a step brings along.
pub(super) const MAX_LITERAL: usize = 64 << 10;
/// How deep steps that change others may stand in each other.
pub const MAX_NESTING: usize = 16;

/// A step of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// What was begun last ends. If it's a compression, its stream ends with it.
    End,
    /// What was begun last is broken off, and has given so many bytes.
    Cut(u64),
    /// The next bytes of the stream, as they are.
    Raw(u64),
    /// The next bytes of the stream are pieces of a `pg_dump` archive, each with its length before it: their contents.
    Pieced(u64),
    /// The next bytes of the stream give nothing.
    Skip(u64),
    /// These bytes.
    Literal(Vec<u8>),
    /// What was begun last, a compression, ends a block, and has the next begin with a byte.
    Flush,
    /// Up to the end: compressed like this.
    Compress(Method),
    /// Up to the end: compressed as guides to this level say.
    Guided(u8, Search),
    /// The next block of the stream with this level has so many bytes, and this guide.
    Guide {
        /// Bytes of content.
        length: u32,
        /// Which of the streams that are guided to.
        level: u8,
        /// What differs from what is expected.
        guide: Vec<u8>,
    },
    /// Up to the end: framed in pieces of a `pg_dump` archive, the last of which is followed by an empty one.
    Pieces,
    /// So many pieces that come next have this many bytes each.
    Sizes {
        /// How many.
        count: u32,
        /// Bytes of each: at least one.
        size: u32,
    },
}

/// A recipe that can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It isn't one, or one that this program doesn't know.
    #[error("malformed recipe: {0}")]
    Malformed(&'static str),
    /// It takes more bytes than the stream has, or fewer.
    #[error("the recipe doesn't fit its stream: {0}")]
    Misfit(&'static str),
}

mod code {
    pub(super) const END: u8 = 0;
    pub(super) const CUT: u8 = 1;
    pub(super) const RAW: u8 = 2;
    pub(super) const PIECED: u8 = 3;
    pub(super) const SKIP: u8 = 4;
    pub(super) const LITERAL: u8 = 5;
    pub(super) const FLUSH: u8 = 29;
    pub(super) const GUIDED: u8 = 30;
    pub(super) const GUIDE: u8 = 31;
    pub(super) const PIECES: u8 = 32;
    pub(super) const SIZES: u8 = 33;
}

impl Step {
    fn encode(&self, out: &mut Vec<u8>) {
        let (code, number) = match self {
            Self::End => (code::END, 0),
            Self::Cut(length) => (code::CUT, *length),
            Self::Raw(length) => (code::RAW, *length),
            Self::Pieced(length) => (code::PIECED, *length),
            Self::Skip(length) => (code::SKIP, *length),
            Self::Literal(bytes) => (code::LITERAL, bytes.len() as u64),
            Self::Compress(method) => method.encode(),
            Self::Flush => (code::FLUSH, 0),
            Self::Guided(level, search) => (code::GUIDED, guided_number(*level, *search)),
            Self::Guide { length, level, guide } => {
                (code::GUIDE, u64::from(*length) << 32 | u64::from(*level) << 24 | guide.len() as u64)
            }
            Self::Pieces => (code::PIECES, 0),
            Self::Sizes { count, size } => (code::SIZES, u64::from(*count) << 32 | u64::from(*size)),
        };
        out.push(code);
        out.extend_from_slice(&number.to_le_bytes());
        if let Self::Literal(bytes) | Self::Guide { guide: bytes, .. } = self {
            out.extend_from_slice(bytes);
        }
    }
}

/// Writes a recipe; steps that go on with the one before are joined to it.
#[derive(Debug)]
pub(super) struct RecipeWriter {
    pending: Option<Step>,
    encoded: Vec<u8>,
}

impl RecipeWriter {
    pub(super) fn new() -> Self {
        Self { pending: None, encoded: vec![VERSION] }
    }

    pub(super) fn push(&mut self, step: Step) {
        match (&mut self.pending, step) {
            (_, Step::Raw(0) | Step::Pieced(0) | Step::Skip(0)) => {}
            (_, Step::Literal(bytes)) if bytes.is_empty() => {}
            (Some(Step::Raw(length)), Step::Raw(more))
            | (Some(Step::Pieced(length)), Step::Pieced(more))
            | (Some(Step::Skip(length)), Step::Skip(more)) => *length += more,
            (Some(Step::Literal(bytes)), Step::Literal(more)) if bytes.len() + more.len() <= MAX_LITERAL => {
                bytes.extend(more);
            }
            (Some(Step::Sizes { count, size }), Step::Sizes { count: more, size: of })
                if *size == of && count.checked_add(more).is_some() =>
            {
                *count += more;
            }
            (_, step) => {
                self.settle();
                self.pending = Some(step);
            }
        }
    }

    /// These bytes, in as many steps as they take.
    pub(super) fn literal(&mut self, bytes: &[u8]) {
        bytes.chunks(MAX_LITERAL).for_each(|part| self.push(Step::Literal(part.to_vec())));
    }

    fn settle(&mut self) {
        if let Some(step) = self.pending.take() {
            step.encode(&mut self.encoded);
        }
    }

    /// What is certain of the recipe since it was last asked.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.encoded)
    }

    /// The rest.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.settle();
        self.encoded
    }
}

/// Reads a recipe.
#[derive(Debug)]
pub(super) struct RecipeReader<R> {
    from: R,
    begun: bool,
}

impl<R: Read> RecipeReader<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, begun: false }
    }

    /// The next step; `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<Step>, RecipeError> {
        if !std::mem::replace(&mut self.begun, true) {
            let mut version = [0];
            self.from.read_exact(&mut version)?;
            if version != [VERSION] {
                return Err(RecipeError::Malformed("its version is unknown"));
            }
        }
        let mut step = [0; STEP];
        let mut held = 0;
        while held < STEP {
            match self.from.read(&mut step[held..]) {
                Ok(0) if held == 0 => return Ok(None),
                Ok(0) => return Err(RecipeError::Malformed("it ends within a step")),
                Ok(n) => held += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let [code, number @ ..] = step;
        self.step(code, u64::from_le_bytes(number)).map(Some)
    }

    fn step(&mut self, code: u8, number: u64) -> Result<Step, RecipeError> {
        let none = |step| if number == 0 { Ok(step) } else { Err(RecipeError::Malformed("a number for nothing")) };
        let some = |step| if number > 0 { Ok(step) } else { Err(RecipeError::Malformed("a step that does nothing")) };
        match code {
            code::END => none(Step::End),
            code::CUT => Ok(Step::Cut(number)),
            code::RAW => some(Step::Raw(number)),
            code::PIECED => some(Step::Pieced(number)),
            code::SKIP => some(Step::Skip(number)),
            code::LITERAL => self.literal(number).map(Step::Literal),
            code::FLUSH => none(Step::Flush),
            code::GUIDED => guided(number),
            code::GUIDE => self.guide(number),
            code::PIECES => none(Step::Pieces),
            code::SIZES => {
                let [count, size] = [number >> 32, number & u64::from(u32::MAX)].map(u32::try_from);
                match (count, size) {
                    // Lengths are C's `int`.
                    (Ok(count @ 1..), Ok(size @ 1..=0x7fff_ffff)) => Ok(Step::Sizes { count, size }),
                    _ => Err(RecipeError::Malformed("pieces without a size")),
                }
            }
            _ => match Method::decode(code, number) {
                Some(method) => method.map(Step::Compress).map_err(RecipeError::Malformed),
                None => Err(RecipeError::Malformed("an unknown step")),
            },
        }
    }

    fn literal(&mut self, length: u64) -> Result<Vec<u8>, RecipeError> {
        match usize::try_from(length) {
            Ok(length @ 1..=MAX_LITERAL) => self.bytes(length),
            _ => Err(RecipeError::Malformed("the length of a literal")),
        }
    }

    fn guide(&mut self, number: u64) -> Result<Step, RecipeError> {
        let [length, bytes] = [number >> 32, number & 0xff_ffff].map(usize::try_from);
        let level = number.to_le_bytes()[3];
        match (length, bytes) {
            (Ok(length @ ..=MAX_CONTENT), Ok(bytes @ ..=MAX_GUIDE)) => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                Ok(Step::Guide { length, level, guide: self.bytes(bytes)? })
            }
            _ => Err(RecipeError::Malformed("the length of a guide")),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, RecipeError> {
        let mut bytes = vec![0; count];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The number of a step that begins a stream that is guided to.
fn guided_number(level: u8, search: Search) -> u64 {
    u64::from(search.least) << 24 | u64::from(search.depth) << 8 | u64::from(level)
}

/// What such a step begins.
fn guided(number: u64) -> Result<Step, RecipeError> {
    match number.to_le_bytes() {
        [level, low, high, least @ (3 | 4), 0, 0, 0, 0] => {
            let search = Search { depth: u16::from_le_bytes([low, high]), least };
            (1..=MAX_DEPTH).contains(&search.depth).then_some(Step::Guided(level, search))
        }
        _ => None,
    }
    .ok_or(RecipeError::Malformed("a way to look for matches that there isn't"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(bytes: &[u8]) -> Result<Vec<Step>, RecipeError> {
        let mut reader = RecipeReader::new(bytes);
        let mut steps = Vec::new();
        while let Some(step) = reader.next()? {
            steps.push(step);
        }
        Ok(steps)
    }

    #[test]
    fn steps_that_go_on_are_joined_and_all_come_back() {
        let mut writer = RecipeWriter::new();
        let search = Search { depth: 1024, least: 4 };
        let all = [
            Step::Raw(3),
            Step::Raw(4),
            Step::Skip(0),
            Step::Skip(1),
            Step::Literal(b"ab".to_vec()),
            Step::Literal(b"c".to_vec()),
            Step::Pieces,
            Step::Sizes { count: 2, size: 4096 },
            Step::Sizes { count: 1, size: 4096 },
            Step::Sizes { count: 1, size: 7 },
            Step::Compress(Method::Zlib(6)),
            Step::Compress(Method::Lz4(0)),
            Step::Compress(Method::Zstd { level: -131_072, long: false }),
            Step::Compress(Method::Zstd { level: 19, long: true }),
            Step::Guided(3, search),
            Step::Guide { length: 8_454_144, level: 3, guide: vec![7; 65_536] },
            Step::Guide { length: 0, level: 3, guide: vec![] },
            Step::Flush,
            Step::Pieced(10),
            Step::Pieced(u64::MAX - 10),
            Step::Cut(5),
            Step::End,
        ];
        for step in all {
            writer.push(step);
        }
        let begun = writer.take();
        let bytes = [begun, writer.finish()].concat();
        let expected = [
            Step::Raw(7),
            Step::Skip(1),
            Step::Literal(b"abc".to_vec()),
            Step::Pieces,
            Step::Sizes { count: 3, size: 4096 },
            Step::Sizes { count: 1, size: 7 },
            Step::Compress(Method::Zlib(6)),
            Step::Compress(Method::Lz4(0)),
            Step::Compress(Method::Zstd { level: -131_072, long: false }),
            Step::Compress(Method::Zstd { level: 19, long: true }),
            Step::Guided(3, search),
            Step::Guide { length: 8_454_144, level: 3, guide: vec![7; 65_536] },
            Step::Guide { length: 0, level: 3, guide: vec![] },
            Step::Flush,
            Step::Pieced(u64::MAX),
            Step::Cut(5),
            Step::End,
        ];
        assert_eq!(steps(&bytes).unwrap(), expected);
        assert_eq!(bytes[..10], [1, 2, 7, 0, 0, 0, 0, 0, 0, 0]);
        for length in (0..300).chain(bytes.len() - 100..bytes.len()) {
            // Between two steps it's shorter, and its end is missed by who follows it.
            assert!(steps(&bytes[..length]).map_or(true, |steps| steps.len() < expected.len()), "{length}");
        }
    }

    #[test]
    fn long_literals_are_several() {
        let mut writer = RecipeWriter::new();
        writer.literal(&vec![7; 3 * MAX_LITERAL + 1]);
        let all = steps(&writer.finish()).unwrap();
        let lengths: Vec<usize> =
            all.iter().map(|step| if let Step::Literal(bytes) = step { bytes.len() } else { 0 }).collect();
        assert_eq!(lengths, [MAX_LITERAL, MAX_LITERAL, MAX_LITERAL, 1]);
    }

    #[test]
    fn what_is_no_step_is_refused() {
        let with = |code: u8, number: u64| steps(&[&[VERSION, code][..], &number.to_le_bytes()].concat());
        for (code, number) in [
            (0, 1),
            (2, 0),
            (3, 0),
            (4, 0),
            (5, 0),
            (5, MAX_LITERAL as u64 + 1),
            (6, 0),
            (16, 0),
            (16, 10),
            (16, 257),
            (17, 0),
            (17, 10),
            (18, 6),
            (18, 10 << 8 | 6),
            (18, 9 << 8),
            (18, 1 << 16 | 9 << 8 | 6),
            (19, 0),
            (24, 10),
            (25, 256),
            (26, 0),
            (20, 13),
            (20, 256),
            (21, 131_072),
            (21, 131_092),
            (21, (1 << 32) + 131_072),
            (21, (1 << 33) + 131_075),
            (29, 1),
            (30, 3 << 24),
            (30, 3 << 24 | 1025 << 8),
            (30, 2 << 24 | 1 << 8),
            (30, 5 << 24 | 1 << 8),
            (30, 1 << 32 | 3 << 24 | 1 << 8),
            (31, 8_454_145 << 32),
            (31, 65_537),
            (32, 1),
            (33, 0),
            (33, 1 << 32),
            (33, 1),
            (33, 1 << 32 | 0x8000_0000),
            (255, 0),
        ] {
            assert!(matches!(with(code, number), Err(RecipeError::Malformed(_))), "{code} {number}");
        }
        assert!(steps(&[2]).is_err(), "another version");
        assert!(steps(&[]).is_err(), "no version");
        assert_eq!(steps(&[VERSION]).unwrap(), []);
    }
}
