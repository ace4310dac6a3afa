//! Pure: bytes in, boundaries of chunks out. Knows no keys beyond a gear table and does no I/O of its own.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`Profile`] | minimum, average and maximum length of the chunks of a stream |
//! | [`Gear`] | the secret table that decides where boundaries lie |
//! | [`cut`] | the length of the first chunk of a slice |
//! | [`Chunks`] | the chunks of what a reader gives |
//! | [`Cutter`] | the chunks of what is pushed into it |
//! | [`LineCutter`] | the chunks of text, whose lines are what changes |
//! | [`expand::Expansion`] | containers without their compression, and what makes them again |
//! | [`export::Export`] | what an application's export holds, a ZIP of tables as JSON |
//! | [`archive::ArchiveCutter`] | the chunks of a `pg_dump` archive: tables and rows |
//! | [`script::Script`] | what a script of `pg_dump` holds |
//!
//! The boundaries of a stream depend on its bytes, the gear table and the profile alone, not on how the bytes arrive
//! (`docs/format.md`, section 5).

pub mod archive;
mod cut;
pub mod expand;
pub mod export;
mod gear;
mod lines;
mod profile;
pub mod script;
#[cfg(test)]
mod steps;
mod stream;

pub use cut::cut;
pub use gear::Gear;
pub use lines::LineCutter;
pub use profile::Profile;
pub use stream::{Buffer, Chunks, Cutter};
