//! The tree of a snapshot: what is known of each file, and how that is written down (`docs/format.md`, sections 6 to 8).

pub mod check;
pub mod entry;
pub mod list;
pub mod path;
pub mod problem;
pub mod reader;
pub mod recipe;
pub mod reference;
