//! Reading what may take days: a checkpoint may be taken between two reads.

use crate::snapshot::backup::BackupError;
use std::io::{self, Read};

/// Offers a checkpoint, and fails if the run can't go on.
pub(super) type Offer<'o> = dyn Fn() -> Result<(), BackupError> + 'o;

/// A reader that offers a checkpoint before each of its reads.
pub(super) struct Offering<'o, R> {
    inner: R,
    offer: &'o Offer<'o>,
    fault: Option<BackupError>,
}

impl<'o, R: Read> Offering<'o, R> {
    pub(super) fn new(inner: R, offer: &'o Offer<'o>) -> Self {
        Self { inner, offer, fault: None }
    }

    /// What `outcome` came to: if the run can't go on, that is why the reading failed.
    pub(super) fn settle<T, E>(self, outcome: Result<T, E>) -> Result<Result<T, E>, BackupError> {
        self.fault.map_or(Ok(outcome), Err)
    }
}

impl<R: Read> Read for Offering<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault.is_none() {
            self.fault = (self.offer)().err();
        }
        // What it says is in the fault.
        if self.fault.is_some() { Err(io::Error::other("the run can't go on")) } else { self.inner.read(buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn each_read_offers_a_checkpoint_and_a_run_that_cannot_go_on_ends_it() {
        let offers = Cell::new(0);
        let offer = || {
            offers.set(offers.get() + 1);
            if offers.get() < 3 { Ok(()) } else { Err(BackupError::Interrupted) }
        };
        let mut reader = Offering::new(&b"12345678"[..], &offer);
        let (mut buffer, mut read) = ([0; 3], Vec::new());
        let ended = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(n) => read.extend_from_slice(&buffer[..n]),
                Err(error) => break Err(error),
            }
        };
        assert_eq!((&read[..], ended.is_err()), (&b"123456"[..], true));
        assert!(reader.read(&mut buffer).is_err(), "it doesn't begin again");
        assert!(matches!(reader.settle(ended), Err(BackupError::Interrupted)));
        assert_eq!(offers.get(), 3);

        let reader = Offering::new(&b""[..], &offer);
        assert!(matches!(reader.settle(Err::<(), _>("other")), Ok(Err("other"))), "what else went wrong is told");
    }
}
