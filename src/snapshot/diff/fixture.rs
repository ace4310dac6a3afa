//! What tests of differences compare.

use crate::snapshot::manifest::database::Table;

/// A table of the schema `public`.
pub(super) fn table(name: &str, rows: u64, bytes: u64) -> Table {
    let (schema, name) = ("public".to_owned(), name.to_owned());
    let (rows, bytes) = (Some(rows), Some(bytes));
    Table { schema, name, rows, dumped_rows: rows, bytes, first_chunk: None, chunks: None }
}
