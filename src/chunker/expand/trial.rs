//! Who made a stream: found by its first part.
//!
//! Most programs share the way in which zlib finds matches, and differ in where blocks end. So first the literals and matches of the stream's beginning are compared with those of each level, which
//! ends at the first that differs; only what agrees there is tried to the byte, and that as well only until a byte differs.

use super::codec::Codec;
use super::deflater::{BLOCK, Deflater, is_flushed};
use super::gnu::Kind;
use super::habits::Habits;
use super::look::Look;
use super::lz4;
use super::method::{LEVELS, Method};
use super::pigz::Way;
use super::zlib_rs::MAX_AT_ONCE;
use super::zstd;

/// The first part of a stream.
#[derive(Clone, Copy)]
pub(super) struct Beginning<'b> {
    /// Its bytes.
    pub(super) original: &'b [u8],
    /// What all of these are undone to, of which more follows unless it `ended`.
    pub(super) content: &'b [u8],
    pub(super) ended: bool,
}

/// Programs that make the same literals and matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// zlib, as it is by itself.
    Zlib,
    Gnu,
    /// zlib with another memory level.
    Memory(u8),
}

impl Family {
    const fn kind(self, level: u8) -> Kind {
        match self {
            Self::Zlib => Kind::zlib(level, 8),
            Self::Gnu => Kind::gzip(level),
            Self::Memory(memory) => Kind::zlib(level, memory),
        }
    }

    fn methods(self, level: u8) -> Vec<Method> {
        match self {
            Self::Zlib => {
                let pigz = |way| Method::Pigz(level, way);
                vec![Method::Zlib(level), pigz(Way::Threads), pigz(Way::Single), pigz(Way::Independent)]
            }
            Self::Gnu => vec![Method::Gnu(level), Method::Rsyncable(level)],
            Self::Memory(memory) => vec![Method::Memory { level, memory }],
        }
    }

    /// Those that a stream may be of, likely ones first: by the literals and matches of its first block, where zlib's memory level decides.
    fn of(look: &Look) -> [Self; 3] {
        const GATHERED: usize = 1 << 6;
        match look.first.map(|count| count + 1).filter(|count| count.is_power_of_two()) {
            Some(0x8000) => [Self::Gnu, Self::Memory(9), Self::Zlib],
            Some(count @ 0x80..0x4000) => {
                let memory = u8::try_from((count / GATHERED).ilog2()).unwrap_or(9);
                [Self::Memory(memory), Self::Zlib, Self::Gnu]
            }
            _ => [Self::Zlib, Self::Gnu, Self::Memory(9)],
        }
    }
}

/// What makes a stream that begins so, likely ones first. More than one where it doesn't decide yet, but at most as many as are asked for.
pub(super) fn methods_of(beginning: Beginning<'_>, codec: Codec, habits: Habits, at_most: usize) -> Vec<Method> {
    match codec {
        Codec::Deflate(likely) => deflate(beginning, likely, habits, at_most),
        Codec::Lz4 => frame(beginning, lz4::methods(), habits),
        Codec::Zstd => frame(beginning, zstd::methods(beginning.original), habits),
    }
}

/// What makes a frame: trying all levels takes long, so where nothing made the one before, only one is tried.
fn frame(beginning: Beginning<'_>, methods: Vec<Method>, habits: Habits) -> Vec<Method> {
    let likely = habits.method().filter(|likely| methods.contains(likely));
    let others = methods.into_iter().filter(|method| Some(*method) != likely);
    let most = if habits.has_missed() { 1 } else { usize::MAX };
    likely.into_iter().chain(others).take(most).find(|method| makes(*method, beginning)).into_iter().collect()
}

/// What makes a stream of deflate; a level may be likely.
fn deflate(beginning: Beginning<'_>, likely: Option<u8>, habits: Habits, at_most: usize) -> Vec<Method> {
    if let Some(method) = habits.method().filter(|method| makes(*method, beginning)) {
        return vec![method];
    }
    if !habits.is_hopeful() {
        return Vec::new();
    }
    let look = Look::at(beginning.original);
    let levels = likely.into_iter().chain(LEVELS.into_iter().filter(move |level| Some(*level) != likely));
    let mut found = classical(beginning, &look, &levels, at_most);
    if found.is_empty() {
        let others = levels.flat_map(|level| others(level, &look, beginning.content.len()));
        found.extend(others.filter(|method| makes(*method, beginning)).take(at_most));
    }
    found
}

/// What makes a stream that begins so, of those that find matches as zlib does.
fn classical(
    beginning: Beginning<'_>,
    look: &Look,
    levels: &(impl Iterator<Item = u8> + Clone),
    at_most: usize,
) -> Vec<Method> {
    let mut found = Vec::new();
    for family in Family::of(look) {
        let agrees = |level: &u8| family.kind(*level).agrees(look, beginning.content, beginning.ended);
        let mut agreeing = levels.clone().filter(agrees);
        if look.is_whole {
            // The same literals and matches in a single block: the levels that agree, and the other families, give the same bytes.
            let Some(level) = agreeing.next() else { continue };
            found.extend(Some(family.methods(level)[0]).filter(|method| makes(*method, beginning)));
            return found;
        }
        for method in agreeing.flat_map(|level| family.methods(level)) {
            if found.len() < at_most && !is_the_same(&found, method) && makes(method, beginning) {
                found.push(method);
            }
        }
    }
    found
}

/// At these levels pigz gives the same with one thread as with many, as far as it's known.
fn is_the_same(found: &[Method], method: Method) -> bool {
    matches!(method, Method::Pigz(level, Way::Single) if level > 3 && found.contains(&Method::Pigz(level, Way::Threads)))
}

/// Those at a level that find other matches, as far as the first block of a stream allows for them.
fn others(level: u8, look: &Look, length: usize) -> impl Iterator<Item = Method> {
    /// zlib-rs ends its blocks as zlib does, but for those of its quickest level.
    const GATHERED: usize = (1 << 14) - 1;
    const QUICKEST: u8 = 1;
    /// Bytes that are given at once, as powers of 2: all, those of copying files, and those that `flate2` reads.
    const AT_ONCE: [u8; 4] = [MAX_AT_ONCE, 13, 15, 14];
    let is_zlib_rs = look.first.is_none_or(|count| count == GATHERED || level == QUICKEST);
    let is_miniz = look.first.is_none_or(|count| count != GATHERED);
    let differs = matches!(level, QUICKEST | 3..=6);
    let at_once = AT_ONCE
        .into_iter()
        .filter(move |at_once| is_zlib_rs && (*at_once == MAX_AT_ONCE || (differs && length > 1 << at_once)));
    at_once.map(move |at_once| Method::ZlibRs { level, at_once }).chain(is_miniz.then_some(Method::Miniz(level)))
}

/// Whether a method makes the beginning.
fn makes(method: Method, Beginning { original, content, ended }: Beginning<'_>) -> bool {
    let (mut deflater, mut rest) = (Deflater::new(method), original);
    let mut compare = |given: &[u8]| {
        // Beyond what came of the original nothing can be compared.
        let (given, beyond) = given.split_at(given.len().min(rest.len()));
        rest = rest.strip_prefix(given).ok_or(())?;
        if ended && !beyond.is_empty() { Err(()) } else { Ok(()) }
    };
    // Block by block, so that it ends at the first that differs.
    let pushed = content.chunks(BLOCK).try_for_each(|block| deflater.push(block, &mut compare));
    let given = deflater.given();
    let flushed =
        pushed.and_then(|()| if is_flushed(original) && ended { deflater.flush(&mut compare) } else { Ok(()) });
    let finished = flushed.and_then(|()| if ended { deflater.finish(&mut compare) } else { Ok(()) });
    finished.is_ok() && (if ended { rest.is_empty() } else { given > 0 })
}
