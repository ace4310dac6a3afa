//! The repository: content-addressed, deduplicated, sealed and packed, on any store.
//!
//! `docs/format.md` specifies the bytes, `docs/protocol.md` the order in which they are written.

pub mod cbor;
pub mod codec;
pub mod format;
pub mod id;
pub mod keys;
pub mod record;
pub mod seal;
pub mod store;
