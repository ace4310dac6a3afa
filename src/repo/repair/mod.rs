//! Repairs. One of packs or of the index is a run like a backup: it announces itself, and only ever adds. It never changes or removes what is there.
//! Only one of notes removes objects: such as nobody can read.
//!
//! Each has a plan that can be shown before it's carried out.

pub mod index;
pub mod notes;
pub mod packs;
