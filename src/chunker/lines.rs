//! The chunks of text whose lines are what changes: scripts of a database, exports, logs.

use crate::chunker::archive::RowTarget;
use crate::chunker::archive::row::{MAX_ROWS, RowRule};
use crate::chunker::{Cutter, Gear, Profile};
use memchr::memchr;

/// The chunks of text that is pushed. Lines take the place of the rows of an archive, by the same rule ([`crate::chunker::archive::ArchiveCutter`]); one beyond 16 KiB is cut by FastCDC, `text-4k`.
///
/// Memory: 32 KiB.
pub struct LineCutter<'g> {
    rule: RowRule<'g>,
    /// Lines that no chunk has taken, and the one that isn't complete.
    pending: Vec<u8>,
    /// Bytes of the complete ones.
    open: usize,
    /// Bytes of the line that isn't complete.
    line: usize,
    /// Whether that is beyond 16 KiB: its bytes go to FastCDC at once.
    long: bool,
    text: Cutter<'g>,
}

/// Whoever takes the chunks.
type Each<'e, E> = &'e mut dyn FnMut(&[u8]) -> Result<(), E>;

impl<'g> LineCutter<'g> {
    /// A cutter at the start of a text.
    pub fn new(gear: &'g Gear, target: RowTarget) -> Self {
        let (rule, text) = (RowRule::new(gear, target), Cutter::new(gear, Profile::Text4k));
        Self { rule, pending: Vec::new(), open: 0, line: 0, long: false, text }
    }

    /// Appends `bytes` to the text and calls `each` for every chunk that is certain by now. After `each` failed, the cutter must not be used any more.
    pub fn push<E>(&mut self, mut bytes: &[u8], each: Each<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let feed = memchr(b'\n', bytes);
            let (part, later) = bytes.split_at(feed.map_or(bytes.len(), |feed| feed + 1));
            bytes = later;
            self.grow(part, each)?;
            if feed.is_some() {
                self.end_line(each)?;
            }
        }
        Ok(())
    }

    /// Ends the text: calls `each` for the chunks that are left.
    pub fn finish<E>(mut self, each: Each<'_, E>) -> Result<(), E> {
        if self.long {
            return self.text.finish(each);
        }
        if self.open + self.line > MAX_ROWS {
            self.give_open(each)?;
        }
        if self.pending.is_empty() { Ok(()) } else { each(&self.pending) }
    }

    fn grow<E>(&mut self, part: &[u8], each: Each<'_, E>) -> Result<(), E> {
        self.rule.add(part);
        self.line += part.len();
        if self.long {
            return self.text.push(part, each);
        }
        if self.line <= MAX_ROWS {
            self.pending.extend_from_slice(part);
            return Ok(());
        }
        self.long = true;
        self.give_open(each)?;
        let begun = std::mem::take(&mut self.pending);
        self.text.push(&begun, each)?;
        self.text.push(part, each)
    }

    fn end_line<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        let ends_chunk = self.rule.ends_chunk(line);
        if std::mem::take(&mut self.long) {
            return self.text.finish(each);
        }
        if self.open + line > MAX_ROWS {
            self.give_open(each)?;
        }
        self.open += line;
        if ends_chunk { self.give_open(each) } else { Ok(()) }
    }

    /// Gives out the complete lines, if there are some.
    fn give_open<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let open = std::mem::take(&mut self.open);
        if open > 0 {
            each(&self.pending[..open])?;
            self.pending.drain(..open);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::steps::in_steps;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::convert::Infallible;

    fn cut(text: &[u8], steps: &[usize]) -> Vec<Vec<u8>> {
        let gear = Gear::new(&[7; 32]);
        let (mut cutter, mut chunks) = (LineCutter::new(&gear, RowTarget::DEFAULT), Vec::new());
        let mut each = |chunk: &[u8]| {
            chunks.push(chunk.to_vec());
            Ok::<_, Infallible>(())
        };
        for part in in_steps(text, steps) {
            let Ok(()) = cutter.push(part, &mut each);
        }
        let Ok(()) = cutter.finish(&mut each);
        chunks
    }

    proptest! {
        #[test]
        fn chunks_are_whole_lines_however_the_text_arrives(
            lines in prop::collection::vec((0usize..400, any::<u8>()), 0..400),
            long in prop::option::of(17_000usize..60_000),
            steps in prop::collection::vec(1usize..5_000, 1..4),
            ends in any::<bool>(),
        ) {
            let mut text = Vec::new();
            for (nth, (length, seed)) in lines.iter().enumerate() {
                let letter = |at: usize| b'a' + (at.wrapping_mul(usize::from(*seed) | 1) % 25).to_le_bytes()[0];
                text.extend((0..if nth == 30 { long.unwrap_or(*length) } else { *length }).map(letter));
                text.push(b'\n');
            }
            if ends {
                text.pop();
            }
            let chunks = cut(&text, &steps);
            prop_assert_eq!(&chunks.concat(), &text);
            prop_assert_eq!(&cut(&text, &[text.len().max(1)]), &chunks);
            prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MAX_ROWS));
            let broken = chunks.iter().rev().skip(1).filter(|chunk| !chunk.ends_with(b"\n")).count();
            prop_assert!(broken == 0 || long.is_some());
        }
    }

    #[test]
    fn a_changed_line_changes_few_chunks() {
        let line = |n: usize| format!("{n}\t{}\n", blake3::hash(&n.to_le_bytes()).to_hex());
        let mut lines: Vec<String> = (0..20_000).map(line).collect();
        let before: HashSet<_> = cut(lines.concat().as_bytes(), &[65_536]).into_iter().collect();
        for n in (0..20_000).step_by(200) {
            lines[n] = line(n + 1_000_000);
        }
        let after = cut(lines.concat().as_bytes(), &[65_536]);
        let new: usize = after.iter().filter(|chunk| !before.contains(*chunk)).map(Vec::len).sum();
        assert!(new < 100 * 2_000, "{new} bytes for 100 lines");
    }
}
