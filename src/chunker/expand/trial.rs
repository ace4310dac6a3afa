//! Who made a stream: found by its first part.
//!
//! Most programs share the way in which zlib finds matches, and differ in where blocks end. So first the literals and matches of the stream's beginning are compared with those of each level, which
//! ends at the first that differs; only what agrees there is tried to the byte, and that as well only until a byte differs.

use super::deflater::{BLOCK, Deflater};
use super::gnu::Kind;
use super::habits::Habits;
use super::look::Look;
use super::method::{LEVELS, Method};
use super::pigz::Way;

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

/// What makes a stream that begins so. A level may be likely.
pub(super) fn method_of(beginning: Beginning<'_>, likely: Option<u8>, habits: &Habits) -> Option<Method> {
    if let Some(method) = habits.method().filter(|method| makes(*method, beginning)) {
        return Some(method);
    }
    if !habits.is_hopeful() {
        return None;
    }
    let look = Look::at(beginning.original);
    let levels = likely.into_iter().chain(LEVELS.into_iter().filter(move |level| Some(*level) != likely));
    if let Some(method) = classical(beginning, &look, levels.clone()) {
        return Some(method);
    }
    levels.map(Method::ZlibRs).find(|method| makes(*method, beginning))
}

/// What makes a stream that begins so, of those that find matches as zlib does.
fn classical(beginning: Beginning<'_>, look: &Look, levels: impl Iterator<Item = u8> + Clone) -> Option<Method> {
    for family in Family::of(look) {
        let agrees = |level: &u8| family.kind(*level).agrees(look, beginning.content, beginning.ended);
        let mut agreeing = levels.clone().filter(agrees);
        if look.is_whole {
            // The same literals and matches in a single block: the levels that agree, and the other families, give the same bytes.
            let Some(level) = agreeing.next() else { continue };
            return Some(family.methods(level)[0]).filter(|method| makes(*method, beginning));
        }
        let found =
            agreeing.find_map(|level| family.methods(level).into_iter().find(|method| makes(*method, beginning)));
        if found.is_some() {
            return found;
        }
    }
    None
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
    let finished = if ended { pushed.and_then(|()| deflater.finish(&mut compare)) } else { pushed };
    finished.is_ok() && (if ended { rest.is_empty() } else { given > 0 })
}
