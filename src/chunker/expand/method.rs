//! Programs whose compression can be made again.

use super::gnu::{Gnu, Kind};
use super::lz4::{self, Lz4};
use super::miniz::Miniz;
use super::pigz::{Pigz, Way};
use super::recipe::Step;
use super::zlib::Zlib;
use super::zlib_rs::{MAX_AT_ONCE, MIN_AT_ONCE, ZlibRs};
use super::zstd::{self, Zstd};

/// A way to compress.
pub(super) trait Compressor {
    /// Compresses the next bytes, which are the `last` ones or a whole block, and appends what is certain to `out`.
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>);

    /// Ends a block, and has the next begin with a byte; what can't gives nothing.
    fn flush(&mut self, _out: &mut Vec<u8>) {}
}

/// Whose bytes, and at which level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// zlib's.
    Zlib(u8),
    /// GNU gzip's.
    Gnu(u8),
    /// zlib's with another memory level than 8: of PHP and Perl, and of what is built on libzip.
    Memory {
        /// 1 to 9.
        level: u8,
        /// 1 to 9.
        memory: u8,
    },
    /// GNU gzip's with `--rsyncable`.
    Rsyncable(u8),
    /// pigz's.
    Pigz(u8, Way),
    /// `miniz_oxide`'s.
    Miniz(u8),
    /// zlib-rs's.
    ZlibRs {
        /// 1 to 9.
        level: u8,
        /// 2 to the power of this is how many bytes it's given at once: 6 to 16.
        at_once: u8,
    },
    /// liblz4's: a frame.
    Lz4(u8),
    /// libzstd's: a frame.
    Zstd {
        /// The level.
        level: i32,
        /// With long-distance matching.
        long: bool,
    },
}

/// Levels in the order of their likeliness: the default, those of `-9` and `-1`, then the others.
pub(super) const LEVELS: [u8; 9] = [6, 9, 1, 5, 4, 3, 2, 7, 8];

/// What is wrong with a step that begins no method.
const NO_LEVEL: &str = "a level that there isn't";
/// In a step's number: with long-distance matching.
const LONG: u64 = 1 << 32;

mod code {
    pub(super) const ZLIB: u8 = 16;
    pub(super) const GNU: u8 = 17;
    pub(super) const MEMORY: u8 = 18;
    pub(super) const RSYNCABLE: u8 = 19;
    pub(super) const LZ4: u8 = 20;
    pub(super) const ZSTD: u8 = 21;
    pub(super) const PIGZ: u8 = 24;
    pub(super) const PIGZ_SINGLE: u8 = 25;
    pub(super) const PIGZ_INDEPENDENT: u8 = 26;
    pub(super) const MINIZ: u8 = 27;
    pub(super) const ZLIB_RS: u8 = 28;
}

impl Method {
    pub(super) fn compressor(self) -> Box<dyn Compressor + Send> {
        match self {
            Self::Zlib(level) => Box::new(Zlib::new(level)),
            Self::Pigz(level, way) => Box::new(Pigz::new(level, way)),
            Self::Miniz(level) => Box::new(Miniz::new(level)),
            Self::ZlibRs { level, at_once } => Box::new(ZlibRs::new(level, at_once)),
            Self::Gnu(level) => Box::new(Gnu::new(Kind::gzip(level))),
            Self::Rsyncable(level) => Box::new(Gnu::new(Kind::rsyncable(level))),
            Self::Memory { level, memory } => Box::new(Gnu::new(Kind::zlib(level, memory))),
            Self::Lz4(level) => Box::new(Lz4::new(level)),
            Self::Zstd { level, long } => Box::new(Zstd::new(level, long)),
        }
    }

    /// The step that begins it.
    pub(super) const fn step(self) -> Step {
        Step::Compress(self)
    }

    /// The code and the number of its step.
    pub(super) fn encode(self) -> (u8, u64) {
        match self {
            Self::Zlib(level) => (code::ZLIB, level.into()),
            Self::Gnu(level) => (code::GNU, level.into()),
            Self::Memory { level, memory } => (code::MEMORY, both(level, memory)),
            Self::Rsyncable(level) => (code::RSYNCABLE, level.into()),
            Self::Miniz(level) => (code::MINIZ, level.into()),
            Self::ZlibRs { level, at_once } => (code::ZLIB_RS, both(level, at_once)),
            Self::Pigz(level, Way::Threads) => (code::PIGZ, level.into()),
            Self::Pigz(level, Way::Single) => (code::PIGZ_SINGLE, level.into()),
            Self::Pigz(level, Way::Independent) => (code::PIGZ_INDEPENDENT, level.into()),
            Self::Lz4(level) => (code::LZ4, level.into()),
            Self::Zstd { level, long } => (code::ZSTD, zstd_number(level, long)),
        }
    }

    /// What a step of this code and number begins; `Err` if it's one of these without such a number, `None` if it's another one.
    pub(super) fn decode(code: u8, number: u64) -> Option<Result<Self, &'static str>> {
        let method: fn(u8) -> Self = match code {
            code::ZLIB => Self::Zlib,
            code::GNU => Self::Gnu,
            code::RSYNCABLE => Self::Rsyncable,
            code::MINIZ => Self::Miniz,
            code::PIGZ => |level| Self::Pigz(level, Way::Threads),
            code::PIGZ_SINGLE => |level| Self::Pigz(level, Way::Single),
            code::PIGZ_INDEPENDENT => |level| Self::Pigz(level, Way::Independent),
            code::MEMORY | code::ZLIB_RS => {
                return Some(match u16::try_from(number).map(u16::to_le_bytes) {
                    Ok([level @ 1..=9, memory @ 1..=9]) if code == code::MEMORY => Ok(Self::Memory { level, memory }),
                    Ok([level @ 1..=9, at_once @ MIN_AT_ONCE..=MAX_AT_ONCE]) if code == code::ZLIB_RS => {
                        Ok(Self::ZlibRs { level, at_once })
                    }
                    _ => Err(NO_LEVEL),
                });
            }
            code::LZ4 if lz4::is_here() => {
                return Some(match u8::try_from(number) {
                    Ok(level @ 0..=lz4::MAX_LEVEL) => Ok(Self::Lz4(level)),
                    _ => Err(NO_LEVEL),
                });
            }
            code::ZSTD if zstd::is_here() => return Some(zstd_of(number).ok_or(NO_LEVEL)),
            _ => return None,
        };
        Some(match u8::try_from(number) {
            Ok(level @ 1..=9) => Ok(method(level)),
            _ => Err(NO_LEVEL),
        })
    }
}

fn both(level: u8, other: u8) -> u64 {
    u64::from(other) << 8 | u64::from(level)
}

/// The number of a step that begins a frame of Zstandard.
fn zstd_number(level: i32, long: bool) -> u64 {
    u64::from(level.abs_diff(zstd::MIN_LEVEL)) + if long { LONG } else { 0 }
}

/// What the step with this number begins, if there is one.
fn zstd_of(number: u64) -> Option<Method> {
    let level = zstd::MIN_LEVEL.checked_add_unsigned(u32::try_from(number & !LONG).ok()?)?;
    let method = Method::Zstd { level, long: number & LONG != 0 };
    Some(method).filter(|_| level != 0 && level <= zstd::MAX_LEVEL)
}
