//! The COPY statement of a table's entry.

use std::iter::Peekable;
use std::str::Chars;

/// What a COPY statement names: `COPY public."Odd ""name" (id, "Mixed Case") FROM stdin;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatement {
    /// The schema; `None` where the statement names none, as before PostgreSQL 11.
    pub schema: Option<String>,
    /// The table. The parent where its entry is a partition and the dump was told to load through the root.
    pub table: String,
    /// The columns, in the order of the values. Empty for a table without columns.
    pub columns: Vec<String>,
}

impl CopyStatement {
    /// Reads a statement as `pg_dump` writes it; `None` if it isn't one.
    pub fn parse(statement: &str) -> Option<Self> {
        let mut rest = Names::of(statement.strip_prefix("COPY ")?);
        let first = rest.name()?;
        let (schema, table) = if rest.eat('.') { (Some(first), rest.name()?) } else { (None, first) };
        rest.skip_spaces();
        let mut columns = Vec::new();
        if rest.eat('(') {
            loop {
                rest.skip_spaces();
                columns.push(rest.name()?);
                rest.skip_spaces();
                if rest.eat(')') {
                    break;
                }
                rest.eat(',').then_some(())?;
            }
        }
        let end: String = rest.chars.collect();
        let end: Vec<_> = end.split_whitespace().collect();
        matches!(end[..], ["FROM", "stdin;"]).then_some(Self { schema, table, columns })
    }
}

/// Reads names off a statement.
pub(in crate::chunker) struct Names<'s> {
    chars: Peekable<Chars<'s>>,
}

impl<'s> Names<'s> {
    /// Those that `text` begins with.
    pub(in crate::chunker) fn of(text: &'s str) -> Self {
        Self { chars: text.chars().peekable() }
    }

    /// Takes this character off, if it's the next one.
    pub(in crate::chunker) fn eat(&mut self, expected: char) -> bool {
        self.chars.next_if_eq(&expected).is_some()
    }

    /// Whether this character is the next one.
    pub(in crate::chunker) fn is_at(&mut self, expected: char) -> bool {
        self.chars.peek() == Some(&expected)
    }

    /// Takes the next character off, if it's such a one.
    pub(in crate::chunker) fn next_if(&mut self, is_one: impl Fn(char) -> bool) -> Option<char> {
        self.chars.next_if(|c| is_one(*c))
    }

    /// Takes the next character off.
    pub(in crate::chunker) fn next(&mut self) -> Option<char> {
        self.chars.next()
    }

    /// Takes white space off.
    pub(in crate::chunker) fn skip_spaces(&mut self) {
        while self.chars.next_if(char::is_ascii_whitespace).is_some() {}
    }

    /// A name as it is meant: without quotes, doubled ones being one. Nothing if none comes next.
    pub(in crate::chunker) fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        if !self.eat('"') {
            let plain = |c: &char| c.is_alphanumeric() || ['_', '$'].contains(c);
            while let Some(c) = self.chars.next_if(plain) {
                name.push(c);
            }
            return (!name.is_empty()).then_some(name);
        }
        loop {
            match self.chars.next()? {
                '"' if self.eat('"') => name.push('"'),
                '"' => return Some(name),
                c => name.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(statement: &str) -> Option<(Option<String>, String, String)> {
        let CopyStatement { schema, table, columns } = CopyStatement::parse(statement)?;
        Some((schema, table, columns.join("|")))
    }

    #[test]
    fn statements_of_all_versions() {
        let some = |schema: &str, table: &str, columns: &str| {
            let schema = (!schema.is_empty()).then(|| schema.to_owned());
            Some((schema, table.to_owned(), columns.to_owned()))
        };
        assert_eq!(parsed("COPY public.actor (id, name) FROM stdin;\n"), some("public", "actor", "id|name"));
        assert_eq!(parsed("COPY actor (id, name) FROM stdin;\n"), some("", "actor", "id|name"));
        assert_eq!(
            parsed("COPY \"S.1\".\"Odd \"\"name\" (id, \"Mixed Case\", \"a,b) FROM\") FROM stdin;\n"),
            some("S.1", "Odd \"name", "id|Mixed Case|a,b) FROM")
        );
        assert_eq!(parsed("COPY public.nothing  FROM stdin;\n"), some("public", "nothing", ""));
        assert_eq!(parsed("COPY größe.tür (öl) FROM stdin;"), some("größe", "tür", "öl"));
    }

    #[test]
    fn other_texts_are_no_statements() {
        for text in [
            "",
            "COPY ",
            "COPY a",
            "COPY a (b",
            "COPY a (b c) FROM stdin;",
            "COPY a () FROM stdin;",
            "COPY \"a (b) FROM stdin;",
            "COPY a (b) TO stdout;",
            "COPY a.b.c (d) FROM stdin;",
            "INSERT INTO a VALUES (1);",
        ] {
            assert_eq!(CopyStatement::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_names_come_back(schema: String, table: String, columns in prop::collection::vec(any::<String>(), 1..5)) {
            let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
            let list = columns.iter().map(quote).collect::<Vec<_>>().join(", ");
            let text = format!("COPY {}.{} ({list}) FROM stdin;\n", quote(&schema), quote(&table));
            prop_assert_eq!(CopyStatement::parse(&text), Some(CopyStatement { schema: Some(schema), table, columns }));
        }

        #[test]
        fn anything_may_come(text: String) {
            CopyStatement::parse(&text);
            CopyStatement::parse(&format!("COPY {text}"));
        }
    }
}
