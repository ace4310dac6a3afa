//! Expansion: the compression of containers is undone before their bytes are cut, so that they deduplicate, in such a way that every container can be rebuilt bit for bit.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`Format`] | a container that can be expanded, told by its first bytes |
//! | [`Expansion`] | from a container that is pushed into it to the stream that is stored instead, and a recipe |
//! | [`Rebuilder`] | from that stream and the recipe to the container |
//!
//! What is expanded is proven: while compression is undone, the same bytes are compressed again and compared, and only what came out equal is passed on. Everything else stays as it is. So
//! any bytes whatever can be expanded; of some nothing comes. Both directions are streams, of bounded memory.

mod allowance;
mod codec;
mod crew;
mod deflate;
mod deflater;
mod expander;
mod gnu;
mod group;
mod guided;
mod gzip;
mod habits;
#[cfg(test)]
mod harness;
mod inflater;
mod left;
mod line;
mod look;
mod lz4;
mod method;
mod miniz;
mod out;
mod pgdump;
mod pieces;
mod pigz;
mod proof;
mod proven;
mod rebuild;
mod recipe;
mod rehearsal;
mod rows;
mod stages;
mod streams;
mod sum;
mod take;
mod tar;
#[cfg(test)]
mod tests;
mod trial;
mod undoing;
mod watched;
mod wrapped;
mod zip;
mod zlib;
mod zlib_rs;
mod zstd;

pub use crew::Crew;
pub use expander::{Expansion, Finished, Format, MAX_DEPTH, Outcome, SNIFF};
pub use left::Left;
pub use out::{Each, Inner};
pub use proven::{Ahead, Proven, Trusted};
pub use rebuild::{Output, RebuildError, Rebuilder};
pub use recipe::RecipeError;
#[cfg(test)]
pub(crate) use rehearsal::spoiled;
pub use streams::{Prover, StreamPlace, Streams};
pub use zip::TAIL;
