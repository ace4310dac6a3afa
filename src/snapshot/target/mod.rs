//! Putting things back into a file system.
//!
//! Everything is done relative to descriptors of directories that were opened one component at a time without following links, so that a link in
//! the target, old or planted meanwhile, leads nowhere.

pub mod attributes;
pub mod branch;
pub mod directory;
pub mod node;
pub mod removal;
pub mod writer;
