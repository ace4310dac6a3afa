//! The rows of COPY data in a script: lines, up to the one that says that there are no more.

use memchr::memchr;

/// Counts rows, whatever pieces they arrive in. Begins behind the statement, on its line.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// Rows so far.
    pub(super) rows: u64,
    /// Their bytes, line feeds included.
    pub(super) bytes: u64,
    /// Whether the statement's own line has ended.
    has_begun: bool,
    /// Bytes of the line that isn't complete.
    line: u64,
    /// The first of them.
    start: [u8; 4],
    /// Bytes that are no rows: in front of them and behind.
    around: (usize, usize),
}

impl Data {
    /// Bytes of what was taken, once the data has ended, that are no rows: the rest of the statement's line, and the line that ends the data.
    pub(super) const fn around(&self) -> (usize, usize) {
        self.around
    }

    /// Takes what belongs to the data off `input`; whether it ends there.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> bool {
        while !input.is_empty() {
            let feed = memchr(b'\n', input);
            let (part, later) = input.split_at(feed.map_or(input.len(), |feed| feed + 1));
            *input = later;
            if self.line < 4 {
                let at = usize::try_from(self.line).unwrap_or(0);
                let room = part.len().min(4 - at);
                self.start[at..at + room].copy_from_slice(&part[..room]);
            }
            self.line += part.len() as u64;
            if feed.is_some() && self.end_line() {
                return true;
            }
        }
        false
    }

    /// Whether the line that is complete ends the data. As data it would be escaped.
    fn end_line(&mut self) -> bool {
        let length = std::mem::take(&mut self.line);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if !std::mem::replace(&mut self.has_begun, true) {
            self.around.0 = bytes;
            return false;
        }
        if (length == 3 && self.start[..3] == *b"\\.\n") || (length == 4 && self.start == *b"\\.\r\n") {
            self.around.1 = bytes;
            return true;
        }
        self.rows += 1;
        self.bytes += length;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rows_up_to_the_terminator() {
        for end in ["\\.\n", "\\.\r\n"] {
            let text = format!("  \n1\ta\n\n\\.x\n\\\\.\n{end}SELECT 1;");
            for size in 1..text.len() {
                let mut data = Data::default();
                let mut rest = Vec::new();
                let mut has_ended = false;
                for mut piece in text.as_bytes().chunks(size) {
                    has_ended = has_ended || data.take(&mut piece);
                    rest.extend_from_slice(piece);
                }
                assert_eq!((has_ended, &rest[..]), (true, &b"SELECT 1;"[..]), "{size}");
                assert_eq!((data.rows, data.bytes), (4, 4 + 1 + 4 + 4), "{size}");
                assert_eq!(data.around(), ("  \n".len(), end.len()));
            }
        }
    }
}
