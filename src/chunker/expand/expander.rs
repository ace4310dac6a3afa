//! From a container to the stream that is stored instead of it, and its recipe.

use super::allowance::Allowance;
use super::deflater::BLOCK;
use super::gzip::{self, Gzip};
use super::left::Left;
use super::out::{Each, Out};
use super::pgdump::{self, PgDump};
use super::proven::Ahead;
use super::recipe::RecipeWriter;
use super::rehearsal::Rehearsal;
use super::tar::{self, Tar};
use super::zip::{self, Zip};
use crate::chunker::export::{Collector, Export};
use std::collections::BTreeSet;

/// So many containers in each other are undone.
pub const MAX_DEPTH: usize = 4;
/// Bytes that tell a format: a header of a tar, which is the longest.
pub const SNIFF: usize = 512;
/// What programs begin with: of Windows, of Unix, and scripts.
const PROGRAMS: [&[u8]; 3] = [b"MZ", b"\x7fELF", b"#!"];

/// A container that can be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// gzip.
    Gzip,
    /// A compressed archive of `pg_dump --format=custom`.
    PgDump,
    /// tar. Nothing in it is compressed but what its members are.
    Tar,
    /// ZIP.
    Zip,
}

impl Format {
    /// What a stream that begins like this is, by [`SNIFF`] bytes or all that there are. More may be given.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(gzip::MAGIC) {
            Some(Self::Gzip)
        } else if pgdump::is_compressed(head) {
            Some(Self::PgDump)
        } else if zip::is_start(head) {
            Some(Self::Zip)
        } else if tar::is_start(head) {
            Some(Self::Tar)
        } else {
            None
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::PgDump => "pg_dump",
            Self::Tar => "tar",
            Self::Zip => "zip",
        }
    }

    /// Whether such a container is of many members, so that none of them is what it holds.
    pub const fn holds_many(self) -> bool {
        matches!(self, Self::Tar | Self::Zip)
    }

    /// Whether a file that begins like this may have something [behind](Self::behind) that: the end is worth a look.
    pub fn may_be_behind(head: &[u8]) -> bool {
        PROGRAMS.iter().any(|magic| head.starts_with(magic))
    }

    /// What stands behind something else in a file that begins with `head` and ends with `tail`, its last [`zip::TAIL`] bytes or all of them: a ZIP behind a program or a script that
    /// unpacks it. [`Format::of`] doesn't tell; [`Expansion::of`] expands it.
    pub fn behind(head: &[u8], tail: &[u8]) -> Option<Self> {
        (Self::may_be_behind(head) && zip::is_at_end(tail)).then_some(Self::Zip)
    }
}

/// What came of expanding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The containers, from the outermost on, as they were met.
    pub formats: Vec<Format>,
    /// Streams that were undone to their ends.
    pub undone: u64,
    /// Of these, streams that were proven another time. [`Ahead`] knows which, so whoever brings it counts them.
    pub known: u64,
    /// Why others stay as they are, wholly or in part.
    pub left: BTreeSet<Left>,
    /// Whether the outermost container ends in the middle of a stream.
    pub is_cut: bool,
}

impl Outcome {
    /// Whether all compression was undone, so that the stream is the content of the innermost container. That of a ZIP or a tar is members, with what stands between them.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && !self.holds_many()
    }

    /// Whether it holds other things besides what it begins with: there was a container of many members.
    pub fn holds_many(&self) -> bool {
        self.formats.iter().any(|format| format.holds_many())
    }

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
    /// Bytes of a block that isn't complete, in the outermost container's content.
    of_block: usize,
}

enum State {
    /// The first bytes.
    Sniffing(Vec<u8>),
    Gzip(Gzip),
    PgDump(Box<PgDump>),
    Tar(Box<Tar>),
    Zip(Box<Zip>),
    /// What is no container.
    Plain,
    Ended,
}

impl Expander {
    /// Of what is in so many containers already.
    pub(super) const fn within(depth: usize) -> Self {
        Self { state: State::Sniffing(Vec::new()), depth, of_block: 0 }
    }

    pub(super) fn push_into<E>(
        &mut self,
        mut bytes: &[u8],
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        if self.depth != 1 {
            return self.go_on(bytes, outcome, out);
        }
        // Counted by blocks, so that how bytes arrive decides nothing.
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.of_block));
            out.allowance.counts(true);
            self.go_on(now, outcome, out)?;
            out.allowance.counts(false);
            self.of_block += now.len();
            if self.of_block == BLOCK {
                out.allowance.take(std::mem::take(&mut self.of_block));
            }
            bytes = later;
        }
        Ok(())
    }

    fn go_on<E>(&mut self, bytes: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        match &mut self.state {
            State::Sniffing(head) => {
                head.extend_from_slice(bytes);
                if head.len() < SNIFF { Ok(()) } else { self.decide(outcome, out) }
            }
            State::Gzip(gzip) => gzip.push(bytes, outcome, out),
            State::PgDump(dump) => dump.push(bytes, outcome, out),
            State::Tar(tar) => tar.push(bytes, outcome, out),
            State::Zip(zip) => zip.push(bytes, outcome, out),
            State::Plain => out.raw(bytes),
            State::Ended => Ok(()),
        }
    }

    /// Ends it, wherever it is.
    pub(super) fn finish_into<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        if matches!(self.state, State::Sniffing(_)) {
            self.decide(outcome, out)?;
        }
        out.allowance.take(std::mem::take(&mut self.of_block));
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Gzip(gzip) => gzip.finish(outcome, out),
            State::PgDump(dump) => dump.finish(outcome, out),
            State::Tar(tar) => tar.finish(outcome, out),
            State::Zip(zip) => zip.finish(outcome, out),
            State::Sniffing(_) | State::Plain | State::Ended => Ok(()),
        }
    }

    fn decide<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let State::Sniffing(head) = std::mem::replace(&mut self.state, State::Plain) else { return Ok(()) };
        let mut format = Format::of(&head);
        if format.is_some() && (self.depth >= MAX_DEPTH || out.allowance.is_spent()) {
            outcome.note(Some(if self.depth >= MAX_DEPTH { Left::TooDeep } else { Left::Bomb }));
            format = None;
        }
        self.state = match format {
            Some(Format::Gzip) => State::Gzip(Gzip::new(self.depth + 1)),
            Some(Format::PgDump) => State::PgDump(Box::new(PgDump::new(self.depth + 1))),
            Some(Format::Tar) => State::Tar(Box::new(Tar::new(self.depth + 1))),
            Some(Format::Zip) => State::Zip(Box::new(Zip::new(self.depth + 1))),
            None => State::Plain,
        };
        match format {
            Some(format) => outcome.met(format),
            None => out.border()?,
        }
        self.go_on(&head, outcome, out)
    }
}

/// Expands a whole stream.
pub struct Expansion {
    expander: Expander,
    recipe: RecipeWriter,
    rehearsal: Rehearsal,
    /// Bytes of the container so far.
    length: u64,
    outcome: Outcome,
    allowance: Allowance,
    export: Collector,
    ahead: Option<Box<dyn Ahead>>,
}

/// What came of a whole stream.
#[derive(Debug)]
pub struct Finished {
    /// The rest of the recipe.
    pub recipe: Vec<u8>,
    /// What became of the containers.
    pub outcome: Outcome,
    /// Why following the recipe doesn't give the container, if that's so. It never should be; whoever stores it must then store the container as it is.
    pub misfit: Option<&'static str>,
    /// What an application's export holds, if the outermost container seems to be one and all of it may be undone.
    pub export: Option<Export>,
}

impl Default for Expansion {
    fn default() -> Self {
        Self::new()
    }
}

impl Expansion {
    /// At the start of a stream.
    pub fn new() -> Self {
        let (recipe, outcome, allowance) = (RecipeWriter::new(), Outcome::default(), Allowance::default());
        let export = Collector::default();
        let (expander, rehearsal) = (Expander::within(0), Rehearsal::default());
        Self { expander, recipe, rehearsal, length: 0, outcome, allowance, export, ahead: None }
    }

    /// The same, with somebody who knows streams of it. See [`Ahead`] for what follows from that.
    #[must_use]
    pub fn with(mut self, ahead: Box<dyn Ahead>) -> Self {
        self.ahead = Some(ahead);
        self
    }

    /// At the start of a stream that is of this format, of which its caller has seen more than the first bytes. Only a ZIP can stand behind something else, which stays as it is.
    pub fn of(format: Option<Format>) -> Self {
        let mut expansion = Self::new();
        if format == Some(Format::Zip) {
            expansion.expander.state = State::Zip(Box::new(Zip::new(1)));
            expansion.outcome.met(Format::Zip);
        }
        expansion
    }

    /// Takes the next bytes; calls `each` for what they give of the stream that is to be stored.
    ///
    /// After `each` failed nothing more may be asked of it.
    pub fn push<E>(&mut self, bytes: &[u8], each: Each<'_, E>) -> Result<(), E> {
        self.length += bytes.len() as u64;
        let Self { expander, recipe, rehearsal, outcome, allowance, export, ahead, .. } = self;
        let ahead = ahead.as_deref_mut();
        expander.push_into(bytes, outcome, &mut Out { recipe, rehearsal, stream: each, allowance, export, ahead })
    }

    /// What is certain of the recipe since it was last asked.
    pub fn take_recipe(&mut self) -> Vec<u8> {
        self.recipe.take()
    }

    /// Ends the stream; the rest of the recipe, and what came of it.
    pub fn finish<E>(self, each: Each<'_, E>) -> Result<(Vec<u8>, Outcome), E> {
        self.finish_all(each).map(|Finished { recipe, outcome, .. }| (recipe, outcome))
    }

    /// As [`finish`](Self::finish), and what else came of it.
    pub fn finish_all<E>(mut self, each: Each<'_, E>) -> Result<Finished, E> {
        let Self { expander, recipe, rehearsal, outcome, allowance, export, ahead, .. } = &mut self;
        let ahead = ahead.as_deref_mut();
        expander.finish_into(outcome, &mut Out { recipe, rehearsal, stream: each, allowance, export, ahead })?;
        // Of what is out of proportion not all was looked at.
        let export = self.export.finish().filter(|_| !self.outcome.left.contains(&Left::Bomb));
        let misfit = self.rehearsal.finish(self.length).err();
        Ok(Finished { recipe: self.recipe.finish(), outcome: self.outcome, misfit, export })
    }
}
