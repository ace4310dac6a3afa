//! COPY's text format: which columns a block has, its rows, and their values.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`CopyStatement`] | table and columns, read from the statement in the table of contents |
//! | [`RowReader`] | the rows of a block whose bytes are pushed |
//! | [`Values`] | the values of a row |
//! | [`KeptTable`] | the rows of a small table, kept while a dump is read |

mod kept;
mod reader;
mod statement;
mod values;

pub(in crate::chunker) use kept::Keeper;
pub use kept::{KeptTable, Wanted};
pub use reader::RowReader;
pub use statement::CopyStatement;
pub(in crate::chunker) use statement::Names;
pub use values::{Values, values};
