//! An end that comes from outside, for whoever waits for a server.

use super::error::PostgresError;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often it's looked at while waiting.
pub const POLL: Duration = Duration::from_millis(100);

/// Most bytes of a piece.
const PIECE: usize = 64 << 10;

/// How many pieces are read before somebody wants them.
const AHEAD: usize = 4;

/// Whether work with a server is to end. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the work: whoever waits for a server learns it soon, and kills the program that was asked.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if the work is to end.
    pub fn check(&self) -> Result<(), PostgresError> {
        if self.is_set() { Err(PostgresError::Interrupted) } else { Ok(()) }
    }
}

/// What a program writes, read by a thread of its own, so that waiting for it can end.
pub struct Output {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    interrupt: Interrupt,
}

impl Output {
    /// Reads ahead until the end, or until this is dropped.
    pub fn of(mut pipe: impl Read + Send + 'static, interrupt: Interrupt) -> Self {
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = match pipe.read(&mut piece) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let goes_on = read.as_ref().is_ok_and(|read| *read > 0);
                piece.truncate(*read.as_ref().unwrap_or(&0));
                // Of an end nothing is sent: the channel is closed.
                let sent = goes_on || read.is_err();
                if sent && sender.send(read.map(|_| piece)).is_err() || !goes_on {
                    return;
                }
            }
        });
        Self { pieces, piece: io::Cursor::default(), interrupt }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(buffer)? {
                0 if !buffer.is_empty() => {}
                read => return Ok(read),
            }
            match self.pieces.recv_timeout(POLL) {
                Ok(piece) => self.piece = io::Cursor::new(piece?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                // Not `Interrupted`, which means that one should try again.
                Err(RecvTimeoutError::Timeout) if self.interrupt.is_set() => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn all_that_is_written_is_read() {
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut read = Vec::new();
        Output::of(io::Cursor::new(bytes.clone()), Interrupt::default()).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn waiting_for_a_program_ends_when_it_is_told_to() {
        // Ctrl-C wasn't heard while psql waited for a lock or counted: that took as long as it took.
        let (reader, mut writer) = io::pipe().unwrap();
        let interrupt = Interrupt::default();
        let mut output = Output::of(reader, interrupt.clone());
        writer.write_all(b"a").unwrap();
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        interrupt.set();
        assert_eq!(output.read(&mut byte).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(matches!(interrupt.check(), Err(PostgresError::Interrupted)));
        // Until here it could have been written to.
        writer.write_all(b"b").unwrap();
    }
}
