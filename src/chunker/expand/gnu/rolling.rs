//! Where blocks end that are to survive changes before them: `gzip --rsyncable`.

/// Bytes that decide.
const WINDOW: usize = 4096;

/// The sum of the last bytes.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    sum: u64,
    /// The first byte since the last end of a block whose sum is a multiple of [`WINDOW`].
    end: Option<usize>,
}

impl Rolling {
    /// Adds so many bytes of `window` from `at` on. Before the first byte are none.
    pub(super) fn add(&mut self, window: &[u8], at: usize, count: usize) {
        for place in at..at + count {
            self.sum = self.sum.wrapping_add(window[place].into());
            // The first bytes of the input only fill the sum. Later there is always as much before them in the window.
            let Some(gone) = place.checked_sub(WINDOW) else { continue };
            self.sum = self.sum.wrapping_sub(window[gone].into());
            if self.end.is_none() && self.sum.is_multiple_of(WINDOW as u64) {
                self.end = Some(place);
            }
        }
    }

    /// Whether the block ends, now that the next byte to be looked at is `at`.
    pub(super) fn ends(&mut self, at: usize) -> bool {
        self.end.take_if(|end| at > *end).is_some()
    }

    /// The window has moved.
    pub(super) fn moved(&mut self, by: usize) {
        // gzip lets it wrap around; what was before the window has been passed, and is taken by the next `ends`.
        self.end = self.end.map(|end| end.saturating_sub(by));
    }
}
