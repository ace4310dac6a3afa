//! Storing bytes of class secret: one chunk of them is in memory at a time.

use crate::chunker::Profile;
use crate::repo::writer::{Lane, WriteError, Writer};
use crate::snapshot::capture::archive::ArchiveStreamError;
use crate::snapshot::capture::captured::Captured;
use crate::snapshot::monitor::{Monitor, Progress};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Stores bytes of class secret.
pub(super) struct SecretSink<'c> {
    pub(super) writer: &'c Writer,
    pub(super) lane: &'c Mutex<Lane>,
    pub(super) monitor: &'c dyn Monitor,
}

impl SecretSink<'_> {
    /// Stores what `reader` gives, up to its end, and shows each part to `look`. `captured` learns what came of it.
    pub(super) fn store(
        &self,
        reader: &mut dyn Read,
        look: &mut dyn FnMut(&[u8]),
        captured: &mut Captured,
    ) -> Result<(), ArchiveStreamError> {
        let mut chunk = Zeroizing::new(vec![0; Profile::for_opaque(Some(0)).max()]);
        let mut hasher = self.writer.secret_content_hasher();
        let (mut references, mut bytes) = (Vec::new(), 0);
        loop {
            let length = fill(reader, &mut chunk).map_err(ArchiveStreamError::Read)?;
            let part = &chunk[..length];
            if part.is_empty() {
                break;
            }
            if self.monitor.interrupted() {
                return Err(WriteError::Interrupted.into());
            }
            look(part);
            hasher.update(part);
            self.lane.lock().unwrap_or_else(PoisonError::into_inner).put(part, &mut references)?;
            bytes += length as u64;
            Progress::add(&self.monitor.progress().bytes_done, length as u64);
        }
        let hash = if bytes == 0 { blake3::hash(b"") } else { hasher.finalize() };
        captured.set_stream(references, bytes, *hash.as_bytes());
        Ok(())
    }
}

/// Fills `buffer` as far as there is something to read. Gives how far that is.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
