//! Rows as they are written.

use crate::chunker::archive::copy::values;
use crate::snapshot::postgres::rows::{RowsError, RowsOptions, RowsSummary};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As they stand in the dump: what `COPY table (columns) FROM stdin` takes.
    #[default]
    Copy,
    /// RFC 4180 with line feeds, as `psql --csv` writes: a line of names first; NULL is empty, the empty text `""`.
    Csv,
    /// One JSON object a line: values as texts, NULL as null. What isn't UTF-8 is U+0000 and its bytes in hex.
    Jsonl,
}

/// Takes rows of COPY data and writes those that are wanted.
pub(super) struct Output<'o> {
    out: &'o mut dyn Write,
    format: Format,
    columns: Vec<String>,
    /// Indexes of columns, and which of the options' conditions are theirs.
    conditions: Vec<(usize, &'o super::Condition)>,
    summary: RowsSummary,
    line: Vec<u8>,
}

/// A value; nothing: NULL.
type Value<'v> = Option<Cow<'v, [u8]>>;

impl<'o> Output<'o> {
    /// An output for rows with these columns. Writes what stands before the first one.
    pub(super) fn new(
        columns: Vec<String>,
        options: &'o RowsOptions,
        out: &'o mut dyn Write,
    ) -> Result<Self, RowsError> {
        let mut conditions = Vec::with_capacity(options.conditions.len());
        for condition in &options.conditions {
            let Some(index) = columns.iter().position(|column| *column == condition.column) else {
                return Err(RowsError::NoColumn { column: condition.column.clone(), known: columns });
            };
            conditions.push((index, condition));
        }
        let line = Vec::new();
        let mut output =
            Self { out, format: options.format, columns, conditions, summary: RowsSummary::default(), line };
        if output.format == Format::Csv {
            let names = output.columns.clone();
            output.csv(names.iter().map(|name| Some(Cow::Borrowed(name.as_bytes()))));
            output.write_line().map_err(RowsError::Output)?;
        }
        Ok(output)
    }

    /// Takes a row, without its line feed.
    pub(super) fn row(&mut self, row: &[u8]) -> Result<(), RowsError> {
        self.summary.rows += 1;
        if self.format == Format::Copy && self.conditions.is_empty() {
            self.line.extend_from_slice(row);
        } else {
            let values: Vec<Value<'_>> = values(row).take(self.columns.len().max(1) + 1).collect();
            // The format can't tell a row without columns from one with an empty value.
            let is_empty = self.columns.is_empty() && row.is_empty();
            if values.len() != self.columns.len() && !is_empty {
                let (row, expected, found) = (self.summary.rows, self.columns.len(), values.len());
                return Err(RowsError::Values { row, expected, found });
            }
            let holds = |(index, condition): &(usize, &super::Condition)| {
                condition.holds(values.get(*index).and_then(|value| value.as_deref()))
            };
            if !self.conditions.iter().all(holds) {
                return Ok(());
            }
            match self.format {
                Format::Copy => self.line.extend_from_slice(row),
                Format::Csv => self.csv(values.into_iter().take(self.columns.len())),
                Format::Jsonl => self.json(&values)?,
            }
        }
        self.summary.written += 1;
        self.write_line().map_err(RowsError::Output)
    }

    /// Ends the output.
    pub(super) fn finish(self) -> Result<RowsSummary, RowsError> {
        self.out.flush().map_err(RowsError::Output)?;
        Ok(self.summary)
    }

    fn csv<'v>(&mut self, values: impl Iterator<Item = Value<'v>>) {
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.line.push(b',');
            }
            let Some(value) = value else { continue };
            // `\.` alone on a line would end what COPY reads.
            let special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
            if !value.is_empty() && !value.iter().any(special) && *value != *b"\\." {
                self.line.extend_from_slice(&value);
                continue;
            }
            self.line.push(b'"');
            for (i, part) in value.split(|&byte| byte == b'"').enumerate() {
                self.line.extend_from_slice(if i > 0 { b"\"\"" } else { b"" });
                self.line.extend_from_slice(part);
            }
            self.line.push(b'"');
        }
    }

    fn json(&mut self, values: &[Value<'_>]) -> Result<(), RowsError> {
        let line = &mut self.line;
        line.push(b'{');
        for (i, (column, value)) in self.columns.iter().zip(values).enumerate() {
            line.extend_from_slice(if i > 0 { b"," } else { b"" });
            write_json(line, column)?;
            line.push(b':');
            match value.as_deref().map(text) {
                Some(text) => write_json(line, &text)?,
                None => line.extend_from_slice(b"null"),
            }
        }
        line.push(b'}');
        Ok(())
    }

    fn write_line(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

fn write_json(line: &mut Vec<u8>, text: &str) -> Result<(), RowsError> {
    serde_json::to_writer(line, text).map_err(|error| RowsError::Output(error.into()))
}

/// A value as text. PostgreSQL's texts hold no U+0000, so that one in front can say that hex follows.
fn text(value: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(value) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(value.iter().fold("\0".to_owned(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String can't fail");
        hex
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, columns: &[&str], conditions: &[&str], rows: &[&[u8]]) -> Result<String, RowsError> {
        let conditions = conditions.iter().map(|text| text.parse().unwrap()).collect();
        let table = "t".parse().unwrap();
        let options = RowsOptions { table, database: None, path: None, conditions, format };
        let mut bytes = Vec::new();
        let mut output = Output::new(columns.iter().map(|&name| name.to_owned()).collect(), &options, &mut bytes)?;
        rows.iter().try_for_each(|row| output.row(row))?;
        let summary = output.finish()?;
        assert_eq!(summary.rows, rows.len() as u64);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    const ROWS: [&[u8]; 4] = [b"1\ta,\"b\"\\n\\\\", b"2\t\\N", b"3\t", b"4\t\\\\."];

    #[test]
    fn each_format_keeps_values_nulls_and_empty_texts() {
        let all = |format| written(format, &["id", "odd, \"name\""], &[], &ROWS).unwrap();
        assert_eq!(all(Format::Copy), "1\ta,\"b\"\\n\\\\\n2\t\\N\n3\t\n4\t\\\\.\n");
        let csv = "id,\"odd, \"\"name\"\"\"\n1,\"a,\"\"b\"\"\n\\\"\n2,\n3,\"\"\n4,\"\\.\"\n";
        assert_eq!(all(Format::Csv), csv);
        let shown: Vec<serde_json::Value> =
            all(Format::Jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(shown[0], serde_json::json!({"id": "1", "odd, \"name\"": "a,\"b\"\n\\"}));
        assert_eq!(shown[1]["odd, \"name\""], serde_json::Value::Null);
        assert_eq!(shown[2]["odd, \"name\""], "");
        assert!(all(Format::Jsonl).starts_with("{\"id\":\"1\","), "columns stay in their order");
        let latin = written(Format::Jsonl, &["a"], &[], &[b"\xfc"]).unwrap();
        assert_eq!(latin, "{\"a\":\"\\u0000fc\"}\n");
    }

    #[test]
    fn conditions_must_all_hold() {
        let found = |conditions: &[&str]| written(Format::Copy, &["id", "b"], conditions, &ROWS).unwrap();
        assert_eq!(found(&["id=2"]), "2\t\\N\n");
        assert_eq!(found(&["b=\\N"]), "2\t\\N\n");
        assert_eq!(found(&["b="]), "3\t\n");
        assert_eq!(found(&["b=\\."]), "4\t\\\\.\n", "values are compared, not their escapes");
        assert_eq!(found(&["id=2", "b="]), "");
        let wrong = written(Format::Copy, &["id", "b"], &["c=1"], &ROWS);
        assert!(matches!(wrong, Err(RowsError::NoColumn { column, known }) if column == "c" && known == ["id", "b"]));
    }

    #[test]
    fn rows_that_do_not_fit_their_columns_are_an_error() {
        for row in [&b"1"[..], b"1\t2\t3", b""] {
            let wrong = written(Format::Csv, &["a", "b"], &[], &[b"1\t2", row]);
            assert!(matches!(wrong, Err(RowsError::Values { row: 2, expected: 2, .. })), "{row:?}");
        }
        assert_eq!(written(Format::Jsonl, &[], &[], &[b"", b""]).unwrap(), "{}\n{}\n");
        assert_eq!(written(Format::Csv, &[], &[], &[b""]).unwrap(), "\n\n");
    }
}
