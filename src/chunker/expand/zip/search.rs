//! Looking for the next header, wherever it is.

use super::header::{self, Header, Read};
use super::take;

/// What was found of a header, and its bytes.
pub(super) enum Found {
    Header(Header, Vec<u8>),
    /// Bytes that may begin one.
    Part(Vec<u8>),
}

/// Takes bytes from the front of `input` up to the end of the next header, of which there are perhaps some bytes. What is before it goes to `gap`.
pub(super) fn next<E>(
    mut held: Vec<u8>,
    input: &mut &[u8],
    gap: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<Found, E> {
    loop {
        if held.is_empty() {
            let (before, later) = input.split_at(header::before(input));
            gap(before)?;
            *input = later;
        }
        match header::read(&held) {
            Read::Header(header) => return Ok(Found::Header(header, held)),
            Read::None => {
                let rest = held.split_off(1);
                let (before, rest) = rest.split_at(header::before(&rest));
                gap(&held)?;
                gap(before)?;
                held = rest.to_vec();
            }
            Read::Needs(_) if input.is_empty() => return Ok(Found::Part(held)),
            Read::Needs(length) => held.extend_from_slice(take(input, (length - held.len()) as u64).0),
        }
    }
}
