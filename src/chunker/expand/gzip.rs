//! gzip (RFC 1952): members, one behind the other, and perhaps something else behind the last.

use super::codec::Codec;
use super::expander::{Expander, Outcome};
use super::habits::Habits;
use super::left::Left;
use super::out::Out;
use super::sum::Sum;
use super::undoing::{Given, Undoing};

/// What a member begins with.
pub(super) const MAGIC: &[u8] = &[0x1f, 0x8b, 8];
/// The header without what flags announce.
const FIXED: usize = 10;
/// CRC and length.
const TRAILER: usize = 8;
/// No header is longer: names are those of files.
const MAX_HEADER: usize = 128 << 10;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;

/// Reads gzip.
pub(super) struct Gzip {
    state: State,
    depth: usize,
    habits: Habits,
}

enum State {
    /// Before or within a header.
    Header(Vec<u8>),
    Body(Box<Body>),
    Trailer {
        /// What came of it.
        came: Vec<u8>,
        /// What it should be, if the stream's end was found.
        expected: Option<[u8; TRAILER]>,
        /// Whether it belongs to the stream.
        verbatim: bool,
    },
    /// What isn't a member.
    Garbage,
}

/// A member behind its header.
struct Body {
    undoing: Undoing,
    inner: Expander,
    /// Until it's known what becomes of the body: what stays as it is stays with its header.
    header: Vec<u8>,
    verbatim: bool,
}

impl Gzip {
    pub(super) fn new(depth: usize) -> Self {
        Self { state: State::Header(Vec::new()), depth, habits: Habits::default() }
    }

    pub(super) fn push<E>(&mut self, mut input: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header(header) => {
                    // Short, and the same bytes are looked at again only if they come in pieces.
                    let (held, more) = (header.len(), input.len().min(MAX_HEADER));
                    header.extend_from_slice(&input[..more]);
                    match header_length(header) {
                        Length::Is(_) if self.depth > 1 && out.allowance.is_spent() => {
                            input = &input[more..];
                            let header = std::mem::take(header);
                            self.state = State::Garbage;
                            outcome.note(Some(Left::Bomb));
                            out.border()?;
                            out.raw(&header)?;
                        }
                        Length::Is(length) => {
                            input = &input[length - held..];
                            header.truncate(length);
                            let (header, inner) = (std::mem::take(header), Expander::within(self.depth));
                            let undoing = Undoing::of(Codec::Deflate(likely(&header)), self.depth);
                            let undoing = undoing.after(self.habits).summing(Sum::CRC);
                            self.state = State::Body(Box::new(Body { undoing, inner, header, verbatim: false }));
                        }
                        Length::Unknown if header.len() < MAX_HEADER => return Ok(()),
                        Length::Unknown | Length::None => {
                            input = &input[more..];
                            let header = std::mem::take(header);
                            self.state = State::Garbage;
                            out.border()?;
                            out.raw(&header)?;
                        }
                    }
                }
                State::Body(body) => {
                    body.push(&mut input, outcome, out)?;
                    if body.undoing.has_ended() {
                        outcome.note(body.undoing.left());
                        self.habits = body.undoing.habits();
                        let expected = body.undoing.sum().map(|(sum, length)| trailer(sum, length));
                        self.state = State::Trailer { came: Vec::new(), expected, verbatim: body.verbatim };
                    }
                }
                State::Trailer { came, expected, verbatim } => {
                    let (now, later) = input.split_at(input.len().min(TRAILER - came.len()));
                    came.extend_from_slice(now);
                    if *verbatim {
                        out.raw(now)?;
                    } else {
                        out.literal(now);
                    }
                    input = later;
                    if came.len() == TRAILER {
                        if expected.is_some_and(|expected| came[..] != expected) {
                            outcome.note(Some(Left::Damaged));
                        }
                        self.state = State::Header(Vec::new());
                    }
                }
                State::Garbage => {
                    out.raw(input)?;
                    input = &[];
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish<E>(self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        match self.state {
            State::Header(header) => out.raw(&header),
            State::Body(mut body) => {
                body.finish(outcome, out)?;
                outcome.note(body.undoing.left());
                outcome.is_cut |= self.depth == 1 && body.undoing.left() == Some(Left::Truncated);
                Ok(())
            }
            State::Trailer { .. } | State::Garbage => Ok(()),
        }
    }
}

impl Body {
    fn push<E>(&mut self, input: &mut &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let Self { undoing, inner, header, verbatim } = self;
        undoing.push(input, &mut |given| pass_on(&given, (inner, header, verbatim), outcome, out))
    }

    fn finish<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let Self { undoing, inner, header, verbatim } = self;
        undoing.finish(&mut |given| pass_on(&given, (inner, header, verbatim), outcome, out))
    }
}

/// What becomes of a body's parts: its content is expanded itself.
fn pass_on<E>(
    given: &Given<'_>,
    (inner, header, verbatim): (&mut Expander, &mut Vec<u8>, &mut bool),
    outcome: &mut Outcome,
    out: &mut Out<'_, E>,
) -> Result<(), E> {
    match given {
        Given::Begin(..) | Given::Guided(..) => out.literal(&std::mem::take(header)),
        Given::Guide { .. } | Given::Made { .. } => {}
        Given::Content(bytes) => inner.push_into(bytes, outcome, out)?,
        Given::Flush | Given::End | Given::Cut(_) => inner.finish_into(outcome, out)?,
        Given::Verbatim(bytes) => {
            if !std::mem::replace(verbatim, true) {
                out.border()?;
                out.raw(&std::mem::take(header))?;
            }
            out.raw(bytes)?;
        }
    }
    out.given(given);
    Ok(())
}

/// What comes behind a body (RFC 1952, section 2.3.1).
fn trailer(sum: [u8; 4], length: u64) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..4].copy_from_slice(&sum);
    trailer[4..].copy_from_slice(&length.to_le_bytes()[..4]);
    trailer
}

/// The level that a header hints at.
fn likely(header: &[u8]) -> Option<u8> {
    match header.get(8) {
        Some(2) => Some(9),
        Some(4) => Some(1),
        _ => None,
    }
}

enum Length {
    Is(usize),
    /// More of it must come.
    Unknown,
    /// It isn't a header.
    None,
}

/// The length of the header that `bytes` begins with.
fn header_length(bytes: &[u8]) -> Length {
    if !bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic) {
        return Length::None;
    }
    let Some(flags) = bytes.get(3).filter(|_| bytes.len() >= FIXED) else { return Length::Unknown };
    if flags & 0xe0 != 0 {
        return Length::None;
    }
    let mut length = FIXED;
    if flags & FEXTRA != 0 {
        let Some([low, high]) = bytes.get(length..length + 2) else { return Length::Unknown };
        length += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let rest = bytes.get(length..).unwrap_or_default();
            let Some(end) = memchr::memchr(0, rest) else { return Length::Unknown };
            length += end + 1;
        }
    }
    if flags & FHCRC != 0 {
        length += 2;
    }
    if length <= bytes.len() { Length::Is(length) } else { Length::Unknown }
}
