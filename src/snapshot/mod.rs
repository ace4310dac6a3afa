//! What is captured, how, and how it comes back.

pub mod source;
pub mod tree;
