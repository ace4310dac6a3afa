//! COPY: a block of rows, the values of a row, and the statement.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::chunker::archive::ArchiveError;
use nightsafe::chunker::archive::copy::{CopyStatement, RowReader, values};
use std::convert::Infallible;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => block(input.rest()),
        1 => row(input.rest()),
        _ => statement(&String::from_utf8_lossy(input.rest())),
    }
}

fn block(bytes: &[u8]) {
    let (rows, outcome) = memory::at_most((64 << 10) + 64 * bytes.len(), || rows(std::iter::once(bytes)));
    let (others, again) = rows_of_pieces(bytes);
    assert_eq!((&rows, &outcome), (&others, &again), "pieces decide");
    assert!(rows.iter().all(|row| !row.contains(&b'\n')));
    assert!(rows.iter().map(|row| row.len() + 1).sum::<usize>() <= bytes.len());
    rows.iter().take(50).for_each(|bytes| row(bytes));
}

fn rows_of_pieces(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), ArchiveError>) {
    rows(pieces(bytes))
}

fn rows<'a>(input: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Result<(), ArchiveError>) {
    let (mut rows, mut reader) = (Vec::new(), RowReader::new());
    for piece in input {
        let mut each = |row: &[u8]| {
            rows.push(row.to_vec());
            Ok::<(), Infallible>(())
        };
        let Ok(read) = reader.push(piece, &mut each);
        if read.is_err() {
            return (rows, read);
        }
    }
    let outcome = reader.finish();
    (rows, outcome)
}

fn row(bytes: &[u8]) {
    let values: Vec<Option<Vec<u8>>> = values(bytes).map(|value| value.map(std::borrow::Cow::into_owned)).collect();
    let given: Vec<&[u8]> = bytes.split(|byte| *byte == b'\t').collect();
    assert_eq!(values.len(), given.len());
    for (value, given) in values.iter().zip(given) {
        match value {
            None => assert_eq!(given, b"\\N"),
            Some(value) if given.contains(&b'\\') => assert!(value.len() <= given.len()),
            Some(value) => assert_eq!(value, given),
        }
    }
}

fn statement(text: &str) {
    let Some(statement) = memory::at_most(4_096 + 64 * text.len(), || CopyStatement::parse(text)) else { return };
    let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    let schema = statement.schema.as_ref().map(|schema| quote(schema) + ".").unwrap_or_default();
    let columns = statement.columns.iter().map(quote).collect::<Vec<_>>().join(", ");
    let columns = if columns.is_empty() { columns } else { format!("({columns})") };
    let written = format!("COPY {schema}{} {columns} FROM stdin;\n", quote(&statement.table));
    assert_eq!(CopyStatement::parse(&written), Some(statement), "{text:?}");
}
