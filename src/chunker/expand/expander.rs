//! From a container to the stream that is stored instead of it, and its recipe.

use super::gzip::{self, Gzip};
use super::left::Left;
use super::out::{Each, Out};
use super::pgdump::{self, PgDump};
use super::recipe::RecipeWriter;
use std::collections::BTreeSet;

/// So many containers in each other are undone.
pub const MAX_DEPTH: usize = 4;
/// Bytes that tell a format.
pub const SNIFF: usize = 16;

/// A container that can be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// gzip.
    Gzip,
    /// A compressed archive of `pg_dump --format=custom`.
    PgDump,
}

impl Format {
    /// What a stream that begins like this is, by [`SNIFF`] bytes or all that there are.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(gzip::MAGIC) {
            Some(Self::Gzip)
        } else if pgdump::is_compressed(head) {
            Some(Self::PgDump)
        } else {
            None
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::PgDump => "pg_dump",
        }
    }
}

/// What came of expanding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The containers, from the outermost on, as they were met.
    pub formats: Vec<Format>,
    /// Streams that were undone to their ends.
    pub undone: u64,
    /// Why others stay as they are, wholly or in part.
    pub left: BTreeSet<Left>,
}

impl Outcome {
    /// A compressed stream has ended, or its bytes have.
    pub(super) fn note(&mut self, left: Option<Left>) {
        match left {
            None => self.undone += 1,
            Some(why) => drop(self.left.insert(why)),
        }
    }

    fn met(&mut self, format: Format) {
        if !self.formats.contains(&format) {
            self.formats.push(format);
        }
    }
}

/// Expands what is pushed into it.
///
/// Memory: some 10 MiB for each level of nesting, and the table of contents of an archive; what Zstandard takes in one, which is 100 MiB at level 19, and up to 300 MiB with long-distance matching.
pub struct Expander {
    state: State,
    depth: usize,
}

enum State {
    /// The first bytes.
    Sniffing(Vec<u8>),
    Gzip(Gzip),
    PgDump(Box<PgDump>),
    /// What is no container.
    Plain,
    Ended,
}

impl Expander {
    /// Of what is in so many containers already.
    pub(super) const fn within(depth: usize) -> Self {
        Self { state: State::Sniffing(Vec::new()), depth }
    }

    pub(super) fn push_into<E>(&mut self, bytes: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        match &mut self.state {
            State::Sniffing(head) => {
                head.extend_from_slice(bytes);
                if head.len() < SNIFF { Ok(()) } else { self.decide(outcome, out) }
            }
            State::Gzip(gzip) => gzip.push(bytes, outcome, out),
            State::PgDump(dump) => dump.push(bytes, outcome, out),
            State::Plain => out.raw(bytes),
            State::Ended => Ok(()),
        }
    }

    /// Ends it, wherever it is.
    pub(super) fn finish_into<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        if matches!(self.state, State::Sniffing(_)) {
            self.decide(outcome, out)?;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Gzip(gzip) => gzip.finish(outcome, out),
            State::PgDump(dump) => dump.finish(outcome, out),
            State::Sniffing(_) | State::Plain | State::Ended => Ok(()),
        }
    }

    fn decide<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let State::Sniffing(head) = std::mem::replace(&mut self.state, State::Plain) else { return Ok(()) };
        let mut format = Format::of(&head);
        if format.is_some() && self.depth >= MAX_DEPTH {
            outcome.note(Some(Left::TooDeep));
            format = None;
        }
        self.state = match format {
            Some(Format::Gzip) => State::Gzip(Gzip::new(self.depth + 1)),
            Some(Format::PgDump) => State::PgDump(Box::default()),
            None => State::Plain,
        };
        match format {
            Some(format) => outcome.met(format),
            None => out.border()?,
        }
        self.push_into(&head, outcome, out)
    }
}

/// Expands a whole stream.
pub struct Expansion {
    expander: Expander,
    recipe: RecipeWriter,
    outcome: Outcome,
}

impl Default for Expansion {
    fn default() -> Self {
        Self::new()
    }
}

impl Expansion {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self { expander: Expander::within(0), recipe: RecipeWriter::new(), outcome: Outcome::default() }
    }

    /// Takes the next bytes; calls `each` for what they give of the stream that is to be stored.
    ///
    /// After `each` failed nothing more may be asked of it.
    pub fn push<E>(&mut self, bytes: &[u8], each: Each<'_, E>) -> Result<(), E> {
        let mut out = Out { recipe: &mut self.recipe, stream: each };
        self.expander.push_into(bytes, &mut self.outcome, &mut out)
    }

    /// What is certain of the recipe since it was last asked.
    pub fn take_recipe(&mut self) -> Vec<u8> {
        self.recipe.take()
    }

    /// Ends the stream; the rest of the recipe, and what came of it.
    pub fn finish<E>(mut self, each: Each<'_, E>) -> Result<(Vec<u8>, Outcome), E> {
        let mut out = Out { recipe: &mut self.recipe, stream: each };
        self.expander.finish_into(&mut self.outcome, &mut out)?;
        Ok((self.recipe.finish(), self.outcome))
    }
}
