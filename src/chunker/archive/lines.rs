//! The rows of COPY data: lines, up to the one that says that there are no more.

use super::error::ArchiveError;
use super::event::Event;
use memchr::memchr;

/// The line that ends COPY data. As data it would be escaped.
const TERMINATOR: &[u8] = b"\\.\n";

/// Counts rows, whatever pieces they arrive in.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Rows so far.
    pub(super) rows: u64,
    /// Their bytes, line feeds included.
    pub(super) bytes: u64,
    /// Whether the terminator came.
    pub(super) ended: bool,
    /// Bytes of the line that isn't complete.
    line: u64,
    /// Whether these are the first ones of the terminator.
    suspicious: bool,
}

impl Lines {
    /// What `payload` begins with, which isn't empty: a part of a row, or of what stands behind the last one.
    #[inline]
    pub(super) fn next<'b>(&mut self, payload: &'b [u8], at: u64) -> Result<Event<'b>, ArchiveError> {
        if self.ended {
            return behind(payload, at);
        }
        let Some(end) = memchr(b'\n', payload) else {
            self.suspicious = self.continues_terminator(payload);
            self.line += payload.len() as u64;
            return Ok(Event::Row { part: payload, ends: false });
        };
        let part = &payload[..=end];
        if self.continues_terminator(part) {
            self.ended = true;
            return Ok(Event::Terminator(part));
        }
        self.rows += 1;
        self.bytes += self.line + part.len() as u64;
        self.line = 0;
        Ok(Event::Row { part, ends: true })
    }

    /// Whether the line so far and `part` are what the terminator begins with.
    #[inline]
    fn continues_terminator(&self, part: &[u8]) -> bool {
        match usize::try_from(self.line) {
            Ok(0) => TERMINATOR.starts_with(part),
            Ok(line) if self.suspicious => TERMINATOR.get(line..).is_some_and(|rest| rest.starts_with(part)),
            _ => false,
        }
    }
}

/// Behind the terminator there may only be line feeds.
fn behind(payload: &[u8], at: u64) -> Result<Event<'_>, ArchiveError> {
    match payload.iter().take_while(|byte| **byte == b'\n').count() {
        0 => Err(ArchiveError::AfterTerminator { at }),
        feeds => Ok(Event::Terminator(&payload[..feeds])),
    }
}
