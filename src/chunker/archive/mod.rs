//! Archives of `pg_dump --format=custom`: what is in them, and chunks whose boundaries are those of tables and rows.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`Parser`] | events of what is pushed into it; counts rows and bytes |
//! | [`Archive`] | what was found: header, table of contents, blocks |
//! | [`ArchiveCutter`] | the chunks of an archive that is pushed into it |
//! | [`Contents`] | what a cutter found, and which chunks are whose |
//! | [`copy`] | rows and columns of COPY data |
//!
//! Parsing knows nothing of chunks. Nothing is believed of what an archive says about itself: lengths make nobody
//! allocate, and memory is bounded whatever comes.
//!
//! An archive is: header; table of contents; one block for each entry with data, in any order; and perhaps the table of
//! contents once more. A block is: its kind (a byte), the dump id of its entry, then pieces (a length and so many bytes)
//! up to one of length 0. In a block of large objects each one is: its id, then such pieces; the id 0 ends the block.

mod block;
pub mod copy;
mod cutter;
mod error;
mod event;
mod fields;
#[cfg(test)]
pub(super) mod fixture;
mod header;
mod lines;
mod parser;
pub(super) mod row;
#[cfg(test)]
mod tests;
mod toc;
pub(super) mod token;
pub(super) mod window;

pub use block::Block;
pub(in crate::chunker) use block::BlockReader;
pub use cutter::{ArchiveCutter, Contents, Cut, DataBlock};
pub use error::ArchiveError;
pub use event::{BlockKind, Event};
pub use header::{Compression, Created, Header, Version};
pub use parser::{Archive, Parser};
pub use row::RowTarget;
pub use toc::{Section, TocEntry};
