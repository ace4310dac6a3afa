//! Deflate (RFC 1951): its tables and codes, and streams as the literals and matches that they are made of.

pub(super) mod bits;
pub(super) mod huffman;
pub(super) mod reader;
pub(super) mod runs;
pub(super) mod tables;
pub(super) mod writer;
