//! Names and texts as SQL, as parts of a connection string, and as patterns of `pg_dump`.

use crate::repo::seal::random;

/// A name as SQL: `"odd ""name"""`. Always in quotes, so that no keyword and no capital matters.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name with its schema.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text as SQL. Backslashes stand for themselves, which `standard_conforming_strings` says and every session here sets.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value in a connection string.
pub fn parameter(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The pattern of `pg_dump` that matches this table and no other: in double quotes every character stands for itself.
pub fn pattern(schema: &str, name: &str) -> String {
    qualified(schema, name)
}

/// A word of 128 random bits, which nothing that is read or written holds by chance.
pub(super) fn unknown_word() -> String {
    format!("{:032x}", u128::from_le_bytes(random()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_differ() {
        let (a, b) = (unknown_word(), unknown_word());
        assert!(a.len() == 32 && a != b);
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("users"), "\"users\"");
        assert_eq!(qualified("My.Schema", "a\"b*"), "\"My.Schema\".\"a\"\"b*\"");
        assert_eq!(literal("it's \\ 50%"), "'it''s \\ 50%'");
        assert_eq!(parameter("it's \\ x"), "'it\\'s \\\\ x'");
    }
}
