//! The repository: content-addressed, deduplicating, sealed and packed, on any store.
//!
//! `docs/format.md` specifies the bytes, `docs/protocol.md` the order in which they are written.

pub mod cache_fault;
pub mod cbor;
pub mod clock;
pub mod codec;
#[cfg(test)]
pub(crate) mod determined;
pub mod envelope;
pub mod error;
pub mod failure;
pub mod fetch;
pub mod format;
pub mod gc;
pub mod header;
pub mod id;
pub mod index;
pub mod keys;
pub mod needs;
pub mod note;
pub mod pack;
pub mod pack_set;
pub mod parallel;
pub mod reader;
pub mod record;
pub mod repair;
pub mod repository;
pub mod run;
pub(crate) mod sabotage;
pub mod seal;
pub mod store;
pub mod tables;
pub mod verified;
pub mod view;
pub mod witness;
pub mod writer;
