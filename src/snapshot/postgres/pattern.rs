//! Patterns of `pg_dump` as regular expressions of the server.
//!
//! Which tables `--schema` and `--exclude-table-data` mean has to be known here too: for the locks, the counts and the manifest. The server then matches, as it does for `pg_dump`, so that both agree on every detail.

use super::quote::literal;

/// What the server's regular expressions take as more than itself.
const SPECIAL: &str = "|*+?()[]{}.^\\";

/// The condition that the name of a schema fits a pattern; `column` holds the name.
pub(super) fn schema(pattern: &str, column: &str) -> String {
    matches(column, parts(pattern).last().map_or("", String::as_str))
}

/// The condition that a table fits a pattern, by the columns of its schema's and its own name; and whether it also has to be visible by its name alone.
pub(super) fn table(pattern: &str, schema: &str, name: &str) -> (String, bool) {
    let parts = parts(pattern);
    let own = matches(name, parts.last().map_or("", String::as_str));
    match parts.len().checked_sub(2).map(|at| &parts[at]) {
        Some(part) => (format!("({} AND {own})", matches(schema, part)), false),
        None => (own, true),
    }
}

fn matches(column: &str, expression: &str) -> String {
    format!("({column})::text ~ {} COLLATE \"default\"", literal(&format!("^({expression})$")))
}

/// The pattern's parts between dots, each as a regular expression.
fn parts(pattern: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if !quoted && character == '.' {
            parts.push(String::new());
            continue;
        }
        let last = parts.len() - 1;
        let part = &mut parts[last];
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => quoted = !quoted,
            '*' if !quoted => part.push_str(".*"),
            '?' if !quoted => part.push('.'),
            // Otherwise it would be the end of the text.
            '$' => part.push_str("\\$"),
            // The brackets of a type: not an empty class of characters.
            '[' if !quoted && characters.peek() == Some(&']') => part.push_str("\\["),
            special if quoted && SPECIAL.contains(special) => part.extend(['\\', special]),
            other if quoted => part.push(other),
            other => part.push(other.to_ascii_lowercase()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        for (pattern, expected) in [
            ("users", vec!["users"]),
            ("Public.Log_*", vec!["public", "log_.*"]),
            ("a?b", vec!["a.b"]),
            (r#""A.b*""#, vec![r"A\.b\*"]),
            (r#""a""b".c$"#, vec!["a\"b", r"c\$"]),
            ("[a-c]x|y", vec!["[a-c]x|y"]),
            ("int[]", vec![r"int\[]"]),
            ("", vec![""]),
        ] {
            assert_eq!(parts(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_table_without_a_schema_has_to_be_visible() {
        let (condition, visible) = table("log", "s", "t");
        assert_eq!((condition.as_str(), visible), ("(t)::text ~ '^(log)$' COLLATE \"default\"", true));
        let (condition, visible) = table("a.log", "s", "t");
        assert!(condition.contains("'^(a)$'") && condition.contains("'^(log)$'") && !visible);
        assert_eq!(table("db.a.log", "s", "t"), (condition, false));
    }
}
