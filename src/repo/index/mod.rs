//! Where frames are and which chunks are known: a writer's and reader's local index.
//!
//! All of it lies in one folder that the caller gives, is a *hint* and may be deleted at any time: it is rebuilt from
//! segments and trailers. What is damaged counts as absent. Numbers of packs and frames mean something only within one
//! folder.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`IndexCache`] | the folder as a whole: opened as one, committed as one |
//! | [`PackTable`] | pack number ↔ pack id, lengths |
//! | [`FrameNumbers`] | frame number → frame id |
//! | [`FrameIndex`] | frame id → where its copies are |
//! | [`KnownChunks`] | chunk id → frame number and ordinal: the deduplication |
//! | [`Tiers`] | the map below the last two: a table in memory, spilled to files that are merged in tiers |
//! | [`Table`] | one such file: sorted, of fixed width, memory-mapped |
//!
//! # Several processes
//!
//! Files are written once, under random names, and the file `state` that names the live ones is replaced as a whole: a
//! process sees all of what one other process committed or nothing of it, never a mixture, in which a number could mean
//! another frame. Whoever commits last wins; one whose files were removed by then doesn't commit.
//!
//! # Memory
//!
//! Files are mapped and looked into, never loaded. Private memory: about 28 MiB for each [`Tiers`] while it spills (14
//! MiB else), 16 MiB for frame numbers, and the pack table (see there); none of them but the last grows with the
//! repository. Where the disk takes no more, up to 128 MiB of frames, of chunks and of numbers each are kept in memory
//! instead of files (twice that while files are merged), and are gone with the process: the index is a hint, and a full
//! disk of the cache ends nothing. What needs an index larger than that, fails.

mod cache;
mod distinct;
mod file;
mod frames;
mod known;
mod memory;
mod merge;
mod numbers;
mod packs;
mod table;
mod table_writer;
mod tiers;

pub use cache::{Committed, Found, IndexCache};
pub use frames::{FrameIndex, FramePlace};
pub use known::{ChunkPlace, KnownChunks};
pub use numbers::FrameNumbers;
pub use packs::{Indexed, PackRow, PackTable};
pub use table::Table;
pub use table_writer::TableWriter;
pub use tiers::Tiers;

use std::io;
use std::path::{Path, PathBuf};

/// A file of the local index that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content isn't what was written. The index is rebuilt without it.
    #[error("{}: damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// More entries than the numbers of the index can count.
    #[error("{}: too many {what} for the local index", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// What there are too many of.
        what: &'static str,
    },
}

impl IndexError {
    /// For `map_err`: the failure of a call that concerned `path`.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    fn damaged(path: &Path) -> Self {
        Self::Damaged { path: path.to_owned() }
    }
}
