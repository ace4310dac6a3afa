//! Storing a script of `pg_dump`: read and cut by one thread, hashed and looked through by another.
//!
//! ```text
//! file ── pieces ──▶ cut, ids, known? ──▶ lane
//!            └─────▶ hashes, tables
//! ```
//!
//! Memory: 8 pieces of 256 KiB, what the cutter keeps, and what is kept of names and of ledgers (below 15 MiB).

use crate::chunker::archive::RowTarget;
use crate::chunker::script::{Script, ScriptContents, ScriptFault};
use crate::chunker::{Gear, LineCutter};
use crate::snapshot::capture::archive::{ArchiveStreamError, Hashes, PIECES, next_piece};
use crate::snapshot::capture::content::PendingStream;
use crate::snapshot::capture::place::Place;
use crate::snapshot::monitor::Monitor;
use crate::snapshot::postgres::ledger::dumped::is_wanted;
use crossbeam_channel::{Receiver, bounded};
use std::io::Read;
use std::sync::Arc;

/// A script that was stored; its frames may still be open.
pub(super) struct StoredScript {
    /// Its chunks.
    pub(super) stream: PendingStream,
    /// The SHA-256 of its bytes.
    pub(super) sha256: [u8; 32],
    /// What is in it, if that can be told, or why it isn't a whole script.
    pub(super) contents: Result<Option<ScriptContents>, ScriptFault>,
}

/// Stores what `input` gives, up to its end. It's cut as what is in a compressed script, with which it so shares its rows.
pub(super) fn store(
    input: &mut dyn Read,
    (gear, mut place): (&Gear, Place<'_>),
    monitor: &dyn Monitor,
) -> Result<StoredScript, ArchiveStreamError> {
    std::thread::scope(|scope| {
        let (pieces, read) = bounded::<Arc<Vec<u8>>>(PIECES);
        let reading = scope.spawn(move || look_through(&read));
        let mut cutter = LineCutter::new(gear, RowTarget::DEFAULT);
        let mut references = Vec::new();
        let mut put = |chunk: &[u8]| place.put(chunk, &mut references);
        let mut bytes = 0;
        while let Some(piece) = next_piece(input, monitor)? {
            bytes += piece.len() as u64;
            // Whoever looks through them ends after this does.
            let _ = pieces.send(Arc::clone(&piece));
            cutter.push(&piece, &mut put)?;
        }
        drop(pieces);
        cutter.finish(&mut put)?;
        place.close(1)?;
        let (hashes, contents) = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (hash, sha256) = hashes.finish();
        Ok(StoredScript { stream: PendingStream { references, bytes, hash }, sha256, contents })
    })
}

/// Hashes all pieces and looks what is in them.
fn look_through(pieces: &Receiver<Arc<Vec<u8>>>) -> (Hashes, Result<Option<ScriptContents>, ScriptFault>) {
    let (mut hashes, mut script) = (Hashes::default(), Script::keeping(is_wanted));
    for piece in pieces {
        hashes.update(&piece);
        script.push(&piece);
    }
    (hashes, script.finish())
}
