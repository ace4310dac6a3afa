//! Rows that are kept of INSERT statements, of the few small tables of which somebody wants to know: put into COPY's text format, as if they had come in it.
//!
//! Which columns they have stands in CREATE TABLE, unless INSERT itself says. Of a table of which anything isn't understood nothing is kept.

use crate::chunker::archive::copy::{KeptTable, Names, Wanted};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Bytes that are kept of all tables. What would exceed them isn't kept.
const MOST_BYTES: usize = 4 << 20;
/// Bytes that a name takes besides its own.
const NAME: usize = 24;
/// What begins a part of CREATE TABLE that is no column. As the name of one it stands in quotes.
const CONSTRAINTS: [&str; 7] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "LIKE"];

/// Schema and name of a table.
pub(super) type Table = (String, String);

/// Keeps the rows of tables that are wanted.
#[derive(Debug)]
pub(super) struct Inserts {
    wanted: Wanted,
    tables: BTreeMap<Table, Inserted>,
    /// Bytes of all names and rows.
    bytes: usize,
}

/// A table that is wanted.
#[derive(Debug)]
struct Inserted {
    columns: Vec<String>,
    /// In COPY's text format. Nothing if something wasn't understood.
    rows: Option<Vec<u8>>,
}

impl Inserts {
    pub(super) const fn new(wanted: Wanted) -> Self {
        Self { wanted, tables: BTreeMap::new(), bytes: 0 }
    }

    /// Takes what follows the name of a table in CREATE TABLE, if that is all of it.
    pub(super) fn create(&mut self, table: Table, rest: &mut Names<'_>, is_whole: bool) {
        if let Some(columns) = columns_of_table(rest).filter(|_| is_whole) {
            self.expect(table, columns);
        }
    }

    /// Looks out for the rows of a table, if it's wanted.
    fn expect(&mut self, table: Table, columns: Vec<String>) {
        let names = [&table.0, &table.1].into_iter().chain(&columns);
        let bytes = names.map(|name| name.len() + NAME).sum::<usize>();
        if !(self.wanted)(&table.1, &columns) || self.bytes + bytes > MOST_BYTES {
            return;
        }
        match self.tables.entry(table) {
            Entry::Vacant(new) => {
                self.bytes += bytes;
                new.insert(Inserted { columns, rows: Some(Vec::new()) });
            }
            // Which of both it is nobody knows.
            Entry::Occupied(mut known) => known.get_mut().rows = None,
        }
    }

    /// Takes what follows the name of a table in INSERT, if that is all of it.
    pub(super) fn insert(&mut self, table: &Table, rest: &mut Names<'_>, is_whole: bool) {
        rest.skip_spaces();
        let named = if rest.is_at('(') { names_in_parentheses(rest) } else { None };
        if let Some(columns) = &named
            && (self.wanted)(&table.1, columns)
            && !self.tables.contains_key(table)
        {
            self.expect(table.clone(), columns.clone());
        }
        let Some(held) = self.tables.get_mut(table) else { return };
        let Some(rows) = &mut held.rows else { return };
        let columns = named.unwrap_or_else(|| held.columns.clone());
        if columns != held.columns {
            let bytes = columns.iter().map(String::len).sum::<usize>() + columns.len() * NAME;
            let is_wanted = (self.wanted)(&table.1, &columns);
            if !rows.is_empty() || !is_whole || !is_wanted || self.bytes + bytes > MOST_BYTES {
                self.bytes -= rows.len();
                held.rows = None;
                return;
            }
            self.bytes += bytes;
            held.columns = columns;
        }
        match values(rest, held.columns.len()).filter(|_| is_whole) {
            Some(new) if self.bytes + new.len() <= MOST_BYTES => {
                self.bytes += new.len();
                rows.extend(new);
            }
            _ => {
                self.bytes -= rows.len();
                held.rows = None;
            }
        }
    }

    /// Keeps nothing, and nothing more.
    pub(super) fn give_up(&mut self) {
        self.tables.clear();
        self.bytes = MOST_BYTES;
    }

    /// All tables of which there are rows.
    pub(super) fn finish(self) -> impl Iterator<Item = KeptTable> {
        let of = |((schema, table), Inserted { columns, rows }): (Table, Inserted)| {
            let rows = rows.filter(|rows| !rows.is_empty())?;
            Some(KeptTable::of((schema, table), columns, rows))
        };
        self.tables.into_iter().filter_map(of)
    }
}

/// `(a, "b")`.
fn names_in_parentheses(rest: &mut Names<'_>) -> Option<Vec<String>> {
    rest.eat('(').then_some(())?;
    let mut names = Vec::new();
    loop {
        rest.skip_spaces();
        names.push(rest.name()?);
        rest.skip_spaces();
        if rest.eat(')') {
            return Some(names);
        }
        rest.eat(',').then_some(())?;
    }
}

/// The columns of a table that is created, and nothing else: not a partition, say.
fn columns_of_table(rest: &mut Names<'_>) -> Option<Vec<String>> {
    rest.skip_spaces();
    rest.eat('(').then_some(())?;
    let mut columns = Vec::new();
    loop {
        rest.skip_spaces();
        let is_quoted = rest.is_at('"');
        let name = rest.name()?;
        if is_quoted || !CONSTRAINTS.contains(&name.as_str()) {
            columns.push(name);
        }
        if !goes_on(rest)? {
            return Some(columns);
        }
    }
}

/// Passes over the rest of what stands between commas; whether another one follows.
fn goes_on(rest: &mut Names<'_>) -> Option<bool> {
    let mut depth = 0;
    loop {
        match rest.next()? {
            ',' if depth == 0 => return Some(true),
            ')' if depth == 0 => return Some(false),
            '(' => depth += 1,
            ')' => depth -= 1,
            // Doubled ones are two strings here.
            quote @ ('\'' | '"') => while rest.next()? != quote {},
            _ => {}
        }
    }
}

/// The rows behind VALUES, each of so many values.
fn values(rest: &mut Names<'_>, columns: usize) -> Option<Vec<u8>> {
    let mut word = || {
        rest.skip_spaces();
        rest.name()
    };
    let mut first = word()?;
    if first == "OVERRIDING" {
        first = [word()?, word()?, word()?].join(" ");
        first = first.strip_prefix("SYSTEM VALUE ").or_else(|| first.strip_prefix("USER VALUE "))?.to_owned();
    }
    (first == "VALUES").then_some(())?;
    let mut rows = Vec::new();
    loop {
        rest.skip_spaces();
        rest.eat('(').then_some(())?;
        for column in 0..columns {
            if column > 0 {
                rest.eat(',').then_some(())?;
                rows.push(b'\t');
            }
            rest.skip_spaces();
            value(rest, &mut rows)?;
            rest.skip_spaces();
        }
        rest.eat(')').then_some(())?;
        rows.push(b'\n');
        rest.skip_spaces();
        if rest.eat(';') || rest.name().is_some_and(|word| word == "ON") {
            return Some(rows);
        }
        rest.eat(',').then_some(())?;
    }
}

/// A value as `pg_dump` writes it, which COPY would write like this.
fn value(rest: &mut Names<'_>, row: &mut Vec<u8>) -> Option<()> {
    if rest.is_at('\'') {
        return text(rest, row);
    }
    let mut plain = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        plain.push(c);
    }
    match plain.as_str() {
        // Bits.
        "B" if rest.is_at('\'') => return text(rest, row),
        "NULL" => row.extend(b"\\N"),
        "true" => row.push(b't'),
        "false" => row.push(b'f'),
        number if number.parse::<f64>().is_ok() => row.extend(number.bytes()),
        // An expression, a default, a string with escapes.
        _ => return None,
    }
    Some(())
}

/// A string between quotes, in which backslashes are nothing special.
fn text(rest: &mut Names<'_>, row: &mut Vec<u8>) -> Option<()> {
    rest.eat('\'').then_some(())?;
    loop {
        let c = match rest.next()? {
            '\'' if !rest.eat('\'') => return Some(()),
            c => c,
        };
        match c {
            '\\' => row.extend(b"\\\\"),
            '\n' => row.extend(b"\\n"),
            '\r' => row.extend(b"\\r"),
            '\t' => row.extend(b"\\t"),
            c => row.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Vec<Option<String>>;

    /// What is kept of tables whose name begins with `t`, of statements given as what follows CREATE TABLE or INSERT INTO.
    fn kept(statements: &[&str]) -> Vec<(String, Vec<String>, Vec<Row>)> {
        let mut inserts = Inserts::new(|table, _| table.starts_with('t'));
        for statement in statements {
            let (verb, rest) = statement.split_once(' ').unwrap();
            let mut names = Names::of(rest);
            let table = ("s".to_owned(), names.name().unwrap());
            if verb == "C" { inserts.create(table, &mut names, true) } else { inserts.insert(&table, &mut names, true) }
        }
        inserts.finish().map(|of| (of.table.clone(), of.columns.clone(), of.rows().collect())).collect()
    }

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn rows_are_what_copy_would_have_given() {
        let create = "C t (\n    id integer DEFAULT nextval('a,b)'::regclass) NOT NULL,\n    \"CHECK\" numeric(10,2),\n    txt text DEFAULT 'x'::text,\n    ok boolean,\n    CONSTRAINT c CHECK ((id > (0)))\n);";
        let found = kept(&[
            create,
            "I t VALUES (1, -1.50, 'it''s a \\ tab\tline\nend', true);",
            "I other VALUES (now());",
            "I t VALUES (2, 'NaN', '', false), (3, NULL, B'101', NULL)\n ON CONFLICT DO NOTHING;",
            "I t OVERRIDING SYSTEM VALUE VALUES (4, 1e+30, '\u{e9}', 't');",
        ]);
        let [(table, columns, rows)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((table.as_str(), columns.join("|")), ("t", "id|CHECK|txt|ok".to_owned()));
        assert_eq!(
            rows[..],
            [
                row(&[Some("1"), Some("-1.50"), Some("it's a \\ tab\tline\nend"), Some("t")]),
                row(&[Some("2"), Some("NaN"), Some(""), Some("f")]),
                row(&[Some("3"), None, Some("101"), None]),
                row(&[Some("4"), Some("1e+30"), Some("\u{e9}"), Some("t")]),
            ]
        );
    }

    #[test]
    fn columns_may_stand_in_the_statement() {
        let found = kept(&["C t2 (a int, b int);", "I t2 (b, a) VALUES (1, 2);", "I t1 (\"x y\") VALUES ('1');"]);
        let told: Vec<_> = found.iter().map(|(table, columns, _)| (table.as_str(), columns.join("|"))).collect();
        assert_eq!(told, [("t1", "x y".to_owned()), ("t2", "b|a".to_owned())]);
    }

    /// Rows were kept of a table that was wanted for the columns that it was created with, also where a statement named others: nobody asked for those. A fuzzer wrote it.
    #[test]
    fn columns_that_nobody_wants_end_what_is_kept() {
        let kept = |statement: &str| {
            let mut inserts = Inserts::new(|_, columns| columns.iter().any(|column| column == "dirty"));
            let table = ("s".to_owned(), "t".to_owned());
            inserts.create(table.clone(), &mut Names::of(" (version bigint, dirty boolean);"), true);
            inserts.insert(&table, &mut Names::of(statement), true);
            inserts.finish().map(|table| table.columns.join("|")).collect::<Vec<_>>()
        };
        assert_eq!(kept(" (dirty, version) VALUES (true, 7);"), ["dirty|version"]);
        assert!(kept(" (version, dhrty) VALUES (7, true);").is_empty());
    }

    #[test]
    fn of_what_is_not_understood_nothing_is_kept() {
        for odd in [
            "I t VALUES (1, DEFAULT);",
            "I t VALUES (1, now());",
            "I t VALUES (1, E'\\n');",
            "I t VALUES (1);",
            "I t VALUES (1, 2, 3);",
            "I t VALUES (1, 2), (3);",
            "I t VALUES (1, 2) RETURNING 1;",
            "I t VALUES (1, 'cut",
            "I t DEFAULT VALUES;",
            "I t SELECT 1, 2;",
            "I t (b, a) VALUES (1, 2);",
            "C t (a int, b int);",
        ] {
            let all = ["C t (a int, b int);", "I t VALUES (1, 2);", odd, "I t VALUES (3, 4);"];
            assert_eq!(kept(&all), [], "{odd}");
        }
        for odd in ["C t PARTITION OF u DEFAULT;", "C t (LIKE u);", "C t (a int", "C t AS SELECT 1;", "C u (a int);"] {
            assert_eq!(kept(&[odd, "I t VALUES (1);"]), [], "{odd}");
        }
        assert_eq!(kept(&["C t (a int);"]), [], "without rows it isn't known whether they were left out");
    }

    #[test]
    fn no_more_is_kept_than_that() {
        let row = |name: &str| format!("I {name} (a) VALUES ('{}');", "x".repeat(MOST_BYTES / 3));
        let (one, other) = (row("t1"), row("t2"));
        let found = kept(&[&one, &other, &one, &one, &other]);
        let names: Vec<_> = found.iter().map(|(table, _, rows)| (table.as_str(), rows.len())).collect();
        assert_eq!(names, [("t2", 2)], "of the one that has too much nothing");
    }
}
