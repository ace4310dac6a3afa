//! An answer of `psql`: lines, up to the word that it prints behind them.

use std::io::{BufRead, Read};

/// There is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The output ended before the word, or can't be read.
    Ended,
    /// It has more bytes than may be.
    TooLong,
}

/// Reads an answer of at most so many bytes, the word's line among them, and hands out its lines; not the empty ones.
pub fn read_answer(
    output: &mut impl BufRead,
    marker: &str,
    most: u64,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), Unanswered> {
    let (mut left, mut line) = (most, Vec::new());
    loop {
        line.clear();
        let read = output.by_ref().take(left + 1).read_until(b'\n', &mut line).map_err(|_| Unanswered::Ended)?;
        left = left.checked_sub(read as u64).ok_or(Unanswered::TooLong)?;
        match line.strip_suffix(b"\n") {
            None => return Err(Unanswered::Ended),
            Some(text) if text == marker.as_bytes() => return Ok(()),
            Some([]) => {}
            Some(text) => take(text),
        }
    }
}
