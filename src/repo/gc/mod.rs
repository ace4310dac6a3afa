//! Garbage collection.
pub mod error;
pub mod marks;
pub mod rewrite;
