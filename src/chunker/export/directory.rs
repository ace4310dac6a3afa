//! What stands between members of a ZIP and behind them: nothing, and the central directory.

/// What an entry of the central directory begins with.
const ENTRY: &[u8] = b"PK\x01\x02";
/// The directory's end, without a comment, and where it tells how many entries there are.
const END: usize = 22;
const END_COUNT: usize = 10;
/// A count that doesn't fit, and stands in another end before it, of 64 bits; between both is a locator of 20 bytes.
const ELSEWHERE: u16 = u16::MAX;
const WIDE_END: usize = 56;
const WIDE_COUNT: usize = 32;
/// Both ends.
const TAIL: usize = WIDE_END + 20 + END;

/// Looks at the bytes that are no member's.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// The first ones since the last member.
    first: Vec<u8>,
    /// The last ones.
    tail: Vec<u8>,
}

impl Directory {
    /// Takes bytes that are no member's.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let missing = ENTRY.len() - self.first.len();
        self.first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let kept = self.tail.len().min(TAIL - bytes.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(bytes);
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Whether this is the directory of so many members, to its end.
    pub(super) fn counts(&self, members: u64) -> bool {
        self.first == ENTRY && self.count() == Some(members)
    }

    /// How many entries it tells of.
    fn count(&self) -> Option<u64> {
        let end = self.tail.get(self.tail.len().checked_sub(END)?..)?;
        if !end.starts_with(b"PK\x05\x06") || !end.ends_with(&[0, 0]) {
            return None;
        }
        let count = u16::from_le_bytes(end.get(END_COUNT..END_COUNT + 2)?.try_into().ok()?);
        if count != ELSEWHERE {
            return Some(count.into());
        }
        let wide = self.tail.first_chunk::<WIDE_END>().filter(|wide| wide.starts_with(b"PK\x06\x06"))?;
        Some(u64::from_le_bytes(wide.get(WIDE_COUNT..WIDE_COUNT + 8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::steps::in_steps;

    /// A directory whose end tells of so many entries.
    fn directory(count: u16, wide: Option<u64>) -> Vec<u8> {
        let mut bytes = [ENTRY, &[7; 300]].concat();
        if let Some(count) = wide {
            bytes.extend([b"PK\x06\x06", &[1; 20][..], &[2; 8], &count.to_le_bytes(), &[3; 16]].concat());
            bytes.extend([b"PK\x06\x07", &[4; 16][..]].concat());
        }
        bytes
            .extend([b"PK\x05\x06\0\0\0\0", &count.to_le_bytes()[..], &count.to_le_bytes(), &[5; 8], &[0; 2]].concat());
        bytes
    }

    #[test]
    fn a_directory_tells_how_many_entries_it_has() {
        for steps in [&[1000][..], &[1], &[90, 3]] {
            let counted = |bytes: &[u8], members| {
                let mut directory = Directory::default();
                in_steps(bytes, steps).for_each(|part| directory.push(part));
                directory.counts(members)
            };
            assert!(counted(&directory(3, None), 3) && !counted(&directory(3, None), 2));
            assert!(counted(&directory(u16::MAX, Some(70_000)), 70_000));
            assert!(!counted(&directory(u16::MAX, None), 65_535), "it's elsewhere, and isn't there");
            assert!(!counted(&directory(3, None)[..100], 3), "cut off");
            assert!(!counted(&[&directory(3, None)[..], b"x"].concat(), 3), "something follows");
            assert!(!counted(&[b"hole", &directory(3, None)[..]].concat(), 3), "something is before it");
            assert!(!counted(b"", 0));
        }
    }
}
