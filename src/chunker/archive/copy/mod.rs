//! COPY's text format: which columns a block has, its rows, and their values.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`CopyStatement`] | table and columns, read from the statement in the table of contents |
//! | [`RowReader`] | the rows of a block whose bytes are pushed |
//! | [`Values`] | the values of a row |

mod reader;
mod statement;
mod values;

pub use reader::RowReader;
pub use statement::CopyStatement;
pub(in crate::chunker) use statement::Names;
pub use values::{Values, values};
