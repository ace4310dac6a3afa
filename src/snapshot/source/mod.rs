//! Sources: what is captured.
//!
//! Files are found by `walk`, described by `metadata`, read by `reader`. Everything is done relative to the
//! descriptors of open directories, so that no path is too long and nothing can be swapped for a link in between.

pub mod elsewhere;
pub mod event;
pub mod excludes;
pub mod listing;
pub mod metadata;
pub mod owners;
pub mod parts;
pub mod patterns;
pub mod pipe;
pub mod reader;
pub mod roots;
pub mod secrets;
pub mod variables;
pub mod walk;
pub mod xattrs;
