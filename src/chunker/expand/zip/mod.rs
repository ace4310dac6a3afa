//! ZIP (APPNOTE.TXT 6.3 of PKWARE), read from front to back: members, each behind its header, and whatever else.
//!
//! Headers and descriptors go into the recipe: they hold times, which change each night in archives that programs make, while the members don't. So the stream is what members hold, a border
//! before each, then the central directory as it is. Whatever isn't understood stays as it is up to the next header that looks like one, which is also how the ZIP behind a program is found:
//! nothing hangs on the central directory, which comes too late.

#[cfg(test)]
mod bombs;
#[cfg(test)]
mod fixture;
mod header;
#[cfg(test)]
mod known;
#[cfg(test)]
mod marks;
mod member;
mod places;
mod search;
#[cfg(test)]
mod tests;

use super::expander::{Expander, Outcome};
use super::habits::Habits;
use super::left::Left;
use super::out::Out;
use super::take::take;
use super::undoing::Given;
use super::watched::{Undone, Watched};
use crate::chunker::export::Tally;
use header::{Header, Mark};
use member::{After, Deflated, Stored, compare};
pub(super) use places::Members;
use search::Found;

/// So many members are looked at; what follows stays as it is.
const MAX_MEMBERS: u64 = 1 << 20;
/// The end of the central directory, without a comment.
const END: usize = 22;
/// Bytes at the end of a file that tell whether a ZIP ends there: the end of its central directory, and a comment as long as one may be.
pub const TAIL: usize = END + u16::MAX as usize;

/// Reads ZIP.
pub(super) struct Zip {
    state: State,
    common: Common,
}

/// What isn't of one member.
struct Common {
    depth: usize,
    members: u64,
    /// Whether what comes next has nothing to do with what came.
    is_apart: bool,
    habits: Habits,
    /// Where what was pushed ends, in bytes.
    ends: u64,
}

enum State {
    /// Where a header may come. What stays as it is before it has gone.
    Between(Vec<u8>),
    Stored(Box<Stored>),
    Deflated(Box<Deflated>),
    /// So many bytes that stay as they are.
    Verbatim(u64, After),
    /// Where a descriptor may be, behind a member of so many bytes whose content is this.
    Descriptor(Vec<u8>, u64, Option<Mark>),
    /// What stays as it is.
    Rest,
}

impl Zip {
    pub(super) fn new(depth: usize) -> Self {
        let common = Common { depth, members: 0, is_apart: true, habits: Habits::default(), ends: 0 };
        Self { state: State::Between(Vec::new()), common }
    }

    pub(super) fn push<E>(&mut self, mut input: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let common = &mut self.common;
        common.ends += input.len() as u64;
        while !input.is_empty() {
            self.state = match std::mem::replace(&mut self.state, State::Rest) {
                State::Between(held) => common.between(held, &mut input, outcome, out)?,
                State::Stored(stored) => stored.push(&mut input, common, outcome, out)?,
                State::Deflated(deflated) => deflated.push(&mut input, common, outcome, out)?,
                State::Verbatim(left, after) => {
                    let (now, left) = take(&mut input, left);
                    common.raw(now, out)?;
                    if left == 0 { after.state(outcome) } else { State::Verbatim(left, after) }
                }
                State::Descriptor(mut held, size, content) => {
                    let (now, _) = take(&mut input, (header::LOOKED_AT - held.len()) as u64);
                    held.extend_from_slice(now);
                    if held.len() < header::LOOKED_AT {
                        State::Descriptor(held, size, content)
                    } else {
                        let found = header::descriptor(&held, size);
                        compare(found.map(|found| found.mark), content, outcome);
                        let rest = held.split_off(found.map_or(0, |found| found.length));
                        out.literal(&held);
                        common.is_apart |= !held.is_empty();
                        common.between(rest, &mut input, outcome, out)?
                    }
                }
                State::Rest => {
                    common.raw(std::mem::take(&mut input), out)?;
                    State::Rest
                }
            };
        }
        Ok(())
    }

    pub(super) fn finish<E>(mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        match self.state {
            State::Between(held) | State::Descriptor(held, ..) => self.common.gap(&held, out),
            State::Stored(mut stored) => stored.finish(outcome, out),
            State::Deflated(mut deflated) => deflated.finish(&mut self.common, outcome, out),
            State::Verbatim(..) | State::Rest => Ok(()),
        }
    }
}

impl Common {
    /// Bytes that stay as they are.
    fn raw<E>(&mut self, bytes: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        if !bytes.is_empty() && std::mem::take(&mut self.is_apart) {
            out.border()?;
        }
        out.raw(bytes)
    }

    /// Bytes that are no member's.
    fn gap<E>(&mut self, bytes: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        if self.is_outermost() {
            out.export.between(bytes);
        }
        self.raw(bytes, out)
    }

    /// Whether it's no container's content.
    const fn is_outermost(&self) -> bool {
        self.depth == 1
    }

    /// Looks for the next header, of which there are perhaps some bytes.
    fn between<E>(
        &mut self,
        held: Vec<u8>,
        input: &mut &[u8],
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<State, E> {
        Ok(match search::next(held, input, &mut |bytes| self.gap(bytes, out))? {
            Found::Header(header, bytes) => {
                return self.begin(header, (&bytes, self.ends - input.len() as u64), outcome, out);
            }
            Found::Part(held) => State::Between(held),
        })
    }

    /// A member begins, at a byte behind its header.
    fn begin<E>(
        &mut self,
        header: Header,
        (bytes, at): (&[u8], u64),
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<State, E> {
        self.members += 1;
        if self.members > MAX_MEMBERS {
            outcome.note(Some(Left::Bomb));
            self.raw(bytes, out)?;
            return Ok(State::Rest);
        }
        out.literal(bytes);
        self.is_apart = true;
        let Header { method, is_encrypted, has_descriptor, size, mark, likely } = header;
        let tally = if self.is_outermost() { out.export.begin(header::name(bytes)) } else { None };
        let after = After::unread(size, has_descriptor);
        // Without a size its end is found where the next header is.
        let verbatim = size.map_or(State::Between(Vec::new()), |size| State::Verbatim(size, after));
        Ok(match (method, size) {
            (_, Some(0)) => {
                if method == header::STORED && !is_encrypted {
                    compare(mark, Some(Mark::of([0; 4], 0)), outcome);
                    self.read(tally, 0, out);
                }
                after.state(outcome)
            }
            (header::STORED, Some(size)) if !is_encrypted => {
                State::Stored(Box::new(Stored::new((size, tally), self.depth, (mark, has_descriptor))))
            }
            (header::DEFLATED, _) if !is_encrypted => {
                let watched = Watched::of((at, Undone::Raw), self.depth, out);
                let is_known = watched.as_ref().is_some_and(|watched| watched.proven().is_some());
                if self.depth > 1 && out.allowance.is_spent() {
                    outcome.note(Some(Left::Bomb));
                    verbatim
                } else if self.habits.is_hopeless() && !is_known {
                    // Not even looked at.
                    let left = Some(Left::OtherEncoder);
                    self.habits.learn(None, None, left);
                    outcome.note(left);
                    verbatim
                } else {
                    let member = Deflated::new(self, (size, likely, tally), (mark, has_descriptor));
                    State::Deflated(Box::new(member.watched(watched)))
                }
            }
            (header::STORED, _) if !is_encrypted => verbatim,
            _ => {
                outcome.note(Some(Left::Unsupported));
                verbatim
            }
        })
    }

    /// All of a member was read: so many bytes of content.
    fn read<E>(&self, tally: Option<Box<Tally>>, bytes: u64, out: &mut Out<'_, E>) {
        if self.is_outermost() {
            out.export.end(tally, bytes);
        }
    }

    /// What becomes of a compressed member's parts.
    fn pass_on<E>(
        &mut self,
        given: &Given<'_>,
        inner: &mut Expander,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        match given {
            Given::Begin(..) | Given::Guided(..) | Given::Guide { .. } | Given::Made { .. } => {}
            Given::Content(bytes) => inner.push_into(bytes, outcome, out)?,
            Given::Flush | Given::End | Given::Cut(_) => {
                inner.finish_into(outcome, out)?;
                self.is_apart = true;
            }
            Given::Verbatim(bytes) => self.raw(bytes, out)?,
        }
        out.given(given);
        Ok(())
    }
}

/// Whether a stream that begins like this is a ZIP, and not one in parts or without members.
pub(super) fn is_start(head: &[u8]) -> bool {
    header::is_start(head)
}

/// Whether a ZIP ends where these bytes do, the last [`TAIL`] of a file or all of them.
pub(super) fn is_at_end(tail: &[u8]) -> bool {
    memchr::memmem::rfind_iter(tail, b"PK\x05\x06").any(|at| {
        let comment = tail.get(at + END - 2..at + END).and_then(|length| length.try_into().ok());
        comment.is_some_and(|length| at + END + usize::from(u16::from_le_bytes(length)) == tail.len())
    })
}
