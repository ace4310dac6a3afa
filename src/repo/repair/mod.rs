//! Repairs. A repair is a run like a backup: it announces itself, and only ever adds. It never changes or removes what is there.
//!
//! Each has a plan that can be shown before it's carried out.

pub mod index;
pub mod packs;
