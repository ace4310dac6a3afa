//! tar (POSIX.1-2024, ustar and pax; GNU tar), read from front to back: members, each behind its header.
//!
//! Nothing in a tar is compressed, so nothing of it is undone: all of it is in the stream as it is. What a tar gives are borders around what its longer members hold, so that this is cut from its first byte to its last, as
//! the file itself is, and containers among them are expanded. Whatever isn't understood stays as it is, to the end.

#[cfg(test)]
mod fixture;
mod header;
#[cfg(test)]
mod tests;

use super::expander::{Expander, Outcome};
use super::out::Out;
use super::take::take;
use header::{BLOCK, Header, Kind};

/// What shorter members hold isn't put apart, nor looked at: it goes with headers and what else stands between longer ones. It's the average of a chunk of `opaque-64k`, so a member has one at least to itself, and what stands
/// before it costs as many chunks at most. A tar of ten thousand short files would become ten thousand chunks, each with a header's chunk before it.
const APART: u64 = 64 << 10;
/// Records of a member are looked at if they have so many bytes at most, as libarchive does it: behind longer ones it isn't known how long the member is.
const MAX_RECORDS: u64 = 1 << 20;

/// Reads tar.
pub(super) struct Tar {
    state: State,
    /// What members hold is in so many containers.
    depth: usize,
    /// Whether what comes next between members has nothing to do with what came.
    is_apart: bool,
    /// The size that records tell of the next member.
    told: Option<u64>,
}

enum State {
    /// Where a header comes, of which these bytes have.
    Header(Vec<u8>),
    /// Where the map of a sparse member of so many bytes goes on, by another block.
    Map(Vec<u8>, u64),
    /// Records, of which so many bytes are missing, and so many that pad them.
    Records(Vec<u8>, u64, u64),
    /// What a member holds: so many bytes more, and so many that pad them.
    Content(Box<Expander>, u64, u64),
    /// So many bytes that stay with what stands between members.
    Between(u64),
    /// What isn't understood.
    Rest,
}

impl Tar {
    /// At the start of one whose members are in so many containers.
    pub(super) const fn new(depth: usize) -> Self {
        Self { state: State::Header(Vec::new()), depth, is_apart: true, told: None }
    }

    pub(super) fn push<E>(&mut self, mut input: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        while !input.is_empty() {
            self.state = match std::mem::replace(&mut self.state, State::Rest) {
                State::Header(mut block) => {
                    // Whatever it says, it stays where it is, and needn't wait.
                    if self.fill(&mut block, &mut input, out)? { self.begin(&block) } else { State::Header(block) }
                }
                State::Map(mut block, size) => {
                    if !self.fill(&mut block, &mut input, out)? {
                        State::Map(block, size)
                    } else if header::goes_on(&block) {
                        State::Map(Vec::new(), size)
                    } else {
                        self.member(size)
                    }
                }
                State::Records(mut records, left, padding) => {
                    let (now, left) = take(&mut input, left);
                    records.extend_from_slice(now);
                    self.between(now, out)?;
                    if left > 0 {
                        State::Records(records, left, padding)
                    } else {
                        self.told = header::size_in(&records);
                        State::Between(padding)
                    }
                }
                State::Content(mut inner, left, padding) => {
                    let (now, left) = take(&mut input, left);
                    inner.push_into(now, outcome, out)?;
                    if left > 0 {
                        State::Content(inner, left, padding)
                    } else {
                        inner.finish_into(outcome, out)?;
                        self.is_apart = true;
                        State::Between(padding)
                    }
                }
                State::Between(left) => {
                    let (now, left) = take(&mut input, left);
                    self.between(now, out)?;
                    if left > 0 { State::Between(left) } else { State::Header(Vec::new()) }
                }
                State::Rest => {
                    self.between(std::mem::take(&mut input), out)?;
                    State::Rest
                }
            };
        }
        Ok(())
    }

    pub(super) fn finish<E>(self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        // A tar that ends in the middle of a member lacks nothing that would be undone.
        if let State::Content(mut inner, ..) = self.state { inner.finish_into(outcome, out) } else { Ok(()) }
    }

    /// Bytes that aren't what a longer member holds.
    fn between<E>(&mut self, bytes: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        if !bytes.is_empty() && std::mem::take(&mut self.is_apart) {
            out.border()?;
        }
        out.raw(bytes)
    }

    /// Takes what is missing of a block. Whether it's whole.
    fn fill<E>(&mut self, block: &mut Vec<u8>, input: &mut &[u8], out: &mut Out<'_, E>) -> Result<bool, E> {
        let (now, missing) = take(input, (BLOCK - block.len()) as u64);
        block.extend_from_slice(now);
        self.between(now, out)?;
        Ok(missing == 0)
    }

    /// A member begins behind its header, if this is one.
    fn begin(&mut self, block: &[u8]) -> State {
        if block == header::ZEROS {
            // An end, behind which there may be another tar.
            self.told = None;
            return State::Header(Vec::new());
        }
        let Some(Header { kind, size }) = header::read(block) else { return State::Rest };
        if kind == Kind::Records {
            return if size > MAX_RECORDS { State::Rest } else { State::Records(Vec::new(), size, padding(size)) };
        }
        if kind == Kind::Extension {
            return State::Between(size + padding(size));
        }
        let size = self.told.take().unwrap_or(size);
        match kind {
            Kind::Nothing => State::Header(Vec::new()),
            Kind::Sparse { goes_on: true } => State::Map(Vec::new(), size),
            Kind::File | Kind::Sparse { .. } => self.member(size),
            Kind::Records | Kind::Extension | Kind::Other => State::Between(size + padding(size)),
        }
    }

    /// What a member of so many bytes holds comes next.
    fn member(&self, size: u64) -> State {
        if size < APART {
            return State::Between(size + padding(size));
        }
        State::Content(Box::new(Expander::within(self.depth)), size, padding(size))
    }
}

/// Bytes that fill the last block of so many.
const fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// Whether a stream that begins like this is a tar, as far as one can tell: there's no mark in what was written before 1988.
pub(super) fn is_start(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| header::read(block).is_some())
}
