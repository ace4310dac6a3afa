//! Packs: immutable objects of frames with a sealed trailer (`docs/format.md`, section 4).

pub mod builder;
pub mod frame;
pub mod padme;
pub mod parse;
pub mod presence;
pub mod reseal;
pub mod table;
pub mod trailer;
