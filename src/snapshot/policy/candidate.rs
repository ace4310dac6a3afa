//! What the rules ask of a snapshot.

use crate::repo::cbor::Time;
use crate::repo::id::RunId;

/// A snapshot, as far as rules are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: RunId,
    /// The snapshot that it is, or that it brings back: its id begins with that of the key that signed it.
    pub origin: RunId,
    /// When it was taken, as it claims.
    pub time: Time,
    /// The host, as it claims.
    pub host: String,
    /// The app, if it is of one.
    pub app: Option<String>,
    /// What was asked for.
    pub paths: Vec<Vec<u8>>,
    /// Its tags, those added later included.
    pub tags: Vec<String>,
    /// Whether the key that signed it may only write.
    pub write_only: bool,
    /// Whether it holds all that it should.
    pub complete: bool,
    /// If it's a checkpoint: the run that went on. Its id begins with that of the same key.
    pub checkpoint_of: Option<RunId>,
    /// Its number among the snapshots of its key.
    pub sequence: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether somebody protected it.
    pub protected: bool,
    /// When the store received it, in seconds since the epoch, where the store says so.
    pub stored: Option<i64>,
}
