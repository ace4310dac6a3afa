//! What a column of a row has to be.

use crate::snapshot::postgres::rows::name::part;
use std::str::FromStr;

/// A column, and the value that it has to have.
///
/// Values are compared as PostgreSQL writes them, byte by byte: `5` isn't `5.0`. `\N` is NULL, as in COPY; an empty value is the empty
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// The value; nothing for NULL.
    pub value: Option<String>,
}

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write COLUMN=VALUE, with \\N for NULL")]
pub struct ConditionError;

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (column, value) = if text.starts_with('"') {
            let (column, rest) = part(text).ok_or(ConditionError)?;
            (column, rest.strip_prefix('=').ok_or(ConditionError)?)
        } else {
            let (column, value) = text.split_once('=').ok_or(ConditionError)?;
            (column.to_owned(), value)
        };
        if column.is_empty() {
            return Err(ConditionError);
        }
        Ok(Self { column, value: (value != "\\N").then(|| value.to_owned()) })
    }
}

impl Condition {
    /// Whether a value is the one that is wanted.
    pub(super) fn holds(&self, value: Option<&[u8]>) -> bool {
        self.value.as_ref().map(String::as_bytes) == value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_as_people_write_them() {
        let parse = |text: &str| {
            text.parse::<Condition>().ok().map(|condition| (condition.column, condition.value.unwrap_or("NULL".into())))
        };
        let some = |column: &str, value: &str| Some((column.to_owned(), value.to_owned()));
        assert_eq!(parse("id=5"), some("id", "5"));
        assert_eq!(parse("name="), some("name", ""));
        assert_eq!(parse("name=\\N"), some("name", "NULL"));
        assert_eq!(parse("a=b=c"), some("a", "b=c"));
        assert_eq!(parse("\"a=b\"=c"), some("a=b", "c"));
        assert_eq!(parse("Odd Name= x "), some("Odd Name", " x "));
        for wrong in ["", "id", "=5", "\"a", "\"a\"5"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!("a=\\N".parse::<Condition>().unwrap().holds(None));
        assert!(!"a=".parse::<Condition>().unwrap().holds(None));
        assert!("a=x".parse::<Condition>().unwrap().holds(Some(b"x")));
    }
}
