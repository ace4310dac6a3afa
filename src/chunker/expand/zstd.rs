//! Frames of Zstandard (RFC 8878) as `pg_dump --compress=zstd` makes them: by libzstd's streaming functions, with a level and perhaps with long-distance matching, the rest being its defaults;
//! and without a size in the header, which isn't known when the first bytes come.
//!
//! The library gathers 128 KiB for each block: how the bytes come makes no difference. What it makes of them hangs on its version, though, at most levels: this is the one that this program
//! brings along. Other versions' frames stay as they are where they differ.

use super::codec::Decompressor;
use super::method::{Compressor, Method};
use ::zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer};

/// The lowest level (`ZSTD_minCLevel`).
pub(super) const MIN_LEVEL: i32 = -(128 << 10);
/// Beyond this level windows and tables take up to 1 GiB.
pub(super) const MAX_LEVEL: i32 = 19;
/// The largest window, as a power of two: that of long-distance matching. `pg_restore` takes none that is larger, either.
const MAX_WINDOW: u32 = 27;
/// In the header: no size, no checksum, no dictionary; a window.
const PLAIN: u8 = 0;
/// In the header: a size of one byte instead of a window. That is an empty large object.
const SIZED: u8 = 1 << 5;

/// The levels that ask for a window, as it stands in the header (power of two less 10, times 8), likely ones first.
const LEVELS: [(u8, &[i32]); 5] = [
    (9 << 3, &[1, -1, -5, -3, -2, -4, -6, -7, -8, -9, -10, -20, -30, -40, -50, -100]),
    (10 << 3, &[2]),
    (11 << 3, &[3, 6, 5, 8, 7, 4]),
    (12 << 3, &[9, 10, 12, 15, 11, 13, 14, 16]),
    (13 << 3, &[19, 18, 17]),
];
/// The window of long-distance matching, and levels. Between 12 and 19 contexts are as large as at 19, and nobody asks for them.
const LONG: (u8, [i32; 13]) = (17 << 3, [3, 1, 9, 6, 12, 5, 2, 4, 7, 8, 10, 11, 19]);

/// The version whose bytes these are (`ZSTD_VERSION_NUMBER`).
const VERSION: u32 = 10_507;

/// Whether the library here is the one whose bytes these are: another makes others.
pub(super) fn is_here() -> bool {
    zstd_safe::version_number() == VERSION
}

/// What may have made a frame that begins with `original`, likely methods first.
pub(super) fn methods(original: &[u8]) -> Vec<Method> {
    let of = |levels: &[i32], long| levels.iter().map(|level| Method::Zstd { level: *level, long }).collect();
    match original.get(4..6).filter(|_| is_here()) {
        Some([PLAIN, window]) if *window == LONG.0 => of(&LONG.1, true),
        Some([PLAIN, window]) => {
            LEVELS.iter().find(|(of, _)| of == window).map_or_else(Vec::new, |(_, l)| of(l, false))
        }
        Some([SIZED, 0]) => of(&[3], false),
        _ => Vec::new(),
    }
}

/// Makes a frame.
pub(super) struct Zstd(Option<CCtx<'static>>);

impl Zstd {
    pub(super) fn new(level: i32, long: bool) -> Self {
        let make = || {
            let mut context = CCtx::try_create()?;
            context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
            if long {
                context.set_parameter(CParameter::EnableLongDistanceMatching(true)).ok()?;
            }
            Some(context)
        };
        Self(make())
    }
}

impl Compressor for Zstd {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        // The library can only fail for want of memory; what is missing then is found by whoever compares.
        let Some(context) = &mut self.0 else { return };
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            if with_room(out, |out| context.compress_stream(out, &mut input)).is_none() {
                return;
            }
        }
        while last && with_room(out, |out| context.end_stream(out)).is_some_and(|left| left > 0) {}
    }
}

/// Has `run` append to `out`, with as much room as the library advises.
fn with_room(
    out: &mut Vec<u8>,
    run: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> Result<usize, usize>,
) -> Option<usize> {
    out.reserve(CCtx::out_size());
    let length = out.len();
    run(&mut OutBuffer::around_pos(out, length)).ok()
}

/// Undoes a frame.
pub(super) struct ZstdDecoder {
    /// `None` if there is no memory for it.
    context: Option<DCtx<'static>>,
    room: Vec<u8>,
    ended: bool,
}

impl ZstdDecoder {
    pub(super) fn new() -> Self {
        let make = || {
            let mut context = DCtx::try_create()?;
            context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW)).ok()?;
            Some(context)
        };
        Self { context: make(), room: Vec::with_capacity(DCtx::out_size()), ended: false }
    }
}

impl Decompressor for ZstdDecoder {
    fn step(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let (mut from, context) = (InBuffer::around(input), self.context.as_mut()?);
        self.room.clear();
        let left = context.decompress_stream(&mut OutBuffer::around(&mut self.room), &mut from).ok()?;
        *input = input.get(from.pos()..)?;
        self.ended = left == 0;
        Some(&self.room)
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn may_hold_more(&self) -> bool {
        !self.ended && self.room.len() == self.room.capacity()
    }
}
