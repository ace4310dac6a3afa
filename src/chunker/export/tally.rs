//! What is gathered of a member while it's read.

use super::elements::Elements;
use super::{ExportedTable, MAX_MANIFEST};
use sha2::{Digest, Sha256};

/// Gathers what counts of a member.
pub(in crate::chunker) enum Tally {
    /// Of a table: its hash, and how many rows it has.
    Table(Sha256, Elements),
    /// Of a manifest: its bytes, unless there are too many.
    Manifest(Option<Vec<u8>>),
}

impl Tally {
    /// Of a table of which nothing has come.
    pub(super) fn table() -> Box<Self> {
        Box::new(Self::Table(Sha256::new(), Elements::default()))
    }

    /// Of a manifest of which nothing has come.
    pub(super) fn manifest() -> Box<Self> {
        Box::new(Self::Manifest(Some(Vec::new())))
    }

    /// Takes the next bytes of the member.
    pub(in crate::chunker) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Table(sha256, elements) => {
                sha256.update(bytes);
                elements.push(bytes);
            }
            Self::Manifest(held) => {
                if let Some(all) = held {
                    if all.len() + bytes.len() > MAX_MANIFEST {
                        *held = None;
                    } else {
                        all.extend_from_slice(bytes);
                    }
                }
            }
        }
    }

    /// The table that it was, of so many bytes.
    pub(super) fn into_table(self, bytes: u64) -> Option<ExportedTable> {
        match self {
            Self::Table(sha256, elements) => {
                Some(ExportedTable { bytes, sha256: sha256.finalize().into(), rows: elements.finish() })
            }
            Self::Manifest(_) => None,
        }
    }

    /// The manifest that it was.
    pub(super) fn into_manifest(self) -> Option<Vec<u8>> {
        match self {
            Self::Manifest(bytes) => bytes,
            Self::Table(..) => None,
        }
    }
}
