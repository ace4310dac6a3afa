//! A table as a person names it.

use crate::snapshot::postgres::quote;
use std::fmt;
use std::str::FromStr;

/// How many near names are told.
const NEAR: usize = 5;

/// A table's name, perhaps with its schema: `users`, `public.users`, `"Odd.Name"."T"`.
///
/// Names are compared as they are: capitals matter with quotes and without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema; nothing if any will do.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// A name that doesn't say which table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It isn't written as a name is.
    #[error("{0:?} isn't the name of a table: write TABLE or SCHEMA.TABLE, odd names as \"Odd.Name\"")]
    Syntax(String),
    /// There is no such table.
    #[error("there is no data of a table {wanted}")]
    Unknown {
        /// What was asked for.
        wanted: TableName,
        /// Names that could have been meant.
        near: Vec<TableName>,
    },
    /// Several schemas have such a table.
    #[error("{} schemas have a table {wanted}", found.len())]
    Ambiguous {
        /// What was asked for.
        wanted: TableName,
        /// The tables.
        found: Vec<TableName>,
    },
}

impl FromStr for TableName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let syntax = || NameError::Syntax(text.to_owned());
        let (first, rest) = part(text).ok_or_else(syntax)?;
        if rest.is_empty() {
            return Ok(Self { schema: None, table: first });
        }
        let (second, rest) = rest.strip_prefix('.').and_then(part).ok_or_else(syntax)?;
        if rest.is_empty() { Ok(Self { schema: Some(first), table: second }) } else { Err(syntax()) }
    }
}

/// A name at the start of `text`, quoted or up to the next dot, and what follows.
pub(super) fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (inside, behind) = rest.split_once('"')?;
        name.push_str(inside);
        let Some(more) = behind.strip_prefix('"') else {
            return (!name.is_empty()).then_some((name, behind));
        };
        name.push('"');
        rest = more;
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| {
            let is_plain = !name.is_empty() && !name.contains(['.', '"']);
            if is_plain { name.to_owned() } else { quote::identifier(name) }
        };
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.table))
    }
}

/// The one of `tables` that a name means; `names` gives schema and name of one.
pub(super) fn resolve<'t, T>(
    wanted: &TableName,
    tables: &'t [T],
    names: impl Fn(&'t T) -> (&'t str, &'t str),
) -> Result<&'t T, NameError> {
    let matches = |table: &&'t T| {
        let (schema, name) = names(table);
        name == wanted.table && wanted.schema.as_ref().is_none_or(|wanted| wanted == schema)
    };
    let found: Vec<&'t T> = tables.iter().filter(matches).collect();
    let named = |table: &'t T| {
        let (schema, name) = names(table);
        TableName { schema: Some(schema.to_owned()), table: name.to_owned() }
    };
    match found[..] {
        [table] => Ok(table),
        [] => {
            let mut near: Vec<(usize, TableName)> =
                tables.iter().map(named).filter_map(|name| Some((distance(wanted, &name)?, name))).collect();
            near.sort_by_key(|(distance, _)| *distance);
            let near = near.into_iter().take(NEAR).map(|(_, name)| name).collect();
            Err(NameError::Unknown { wanted: wanted.clone(), near })
        }
        _ => {
            let found = found.into_iter().map(named).collect();
            Err(NameError::Ambiguous { wanted: wanted.clone(), found })
        }
    }
}

/// How far a name is from what was asked for; nothing if that is too far to be meant.
fn distance(wanted: &TableName, name: &TableName) -> Option<usize> {
    let (one, other) = (wanted.table.to_lowercase(), name.table.to_lowercase());
    let distance = strsim::damerau_levenshtein(&one, &other);
    let is_near = distance <= one.chars().count().div_ceil(3) || other.starts_with(&one);
    is_near.then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(schema: &str, table: &str) -> TableName {
        TableName { schema: (!schema.is_empty()).then(|| schema.to_owned()), table: table.to_owned() }
    }

    #[test]
    fn names_as_people_write_them() {
        let parse = |text: &str| text.parse::<TableName>().ok();
        assert_eq!(parse("users"), Some(name("", "users")));
        assert_eq!(parse("public.users"), Some(name("public", "users")));
        assert_eq!(parse("\"Odd.Name\".\"T\""), Some(name("Odd.Name", "T")));
        assert_eq!(parse("s.\"a\"\"b\""), Some(name("s", "a\"b")));
        assert_eq!(parse("Größe x"), Some(name("", "Größe x")));
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a\"b", "\"a\"b", "\"a\".\"b\"c"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_written(schema: Option<String>, table in ".+") {
            let name = TableName { schema: schema.filter(|schema| !schema.is_empty()), table };
            prop_assert_eq!(name.to_string().parse::<TableName>().unwrap(), name);
        }
    }

    #[test]
    fn one_table_is_meant_or_an_error_tells_which_could_be() {
        let tables = [("public", "users"), ("audit", "users"), ("public", "user_roles"), ("public", "page")];
        let of = |text: &str| resolve(&text.parse().unwrap(), &tables, |&(schema, table)| (schema, table)).copied();
        assert_eq!(of("page"), Ok(("public", "page")));
        assert_eq!(of("audit.users"), Ok(("audit", "users")));
        let found = vec![name("public", "users"), name("audit", "users")];
        assert_eq!(of("users"), Err(NameError::Ambiguous { wanted: name("", "users"), found: found.clone() }));
        let Err(NameError::Unknown { near, .. }) = of("public.user") else { panic!("unknown") };
        assert_eq!(near, [&found[..], &[name("public", "user_roles")]].concat());
        assert_eq!(
            of("Page"),
            Err(NameError::Unknown { wanted: name("", "Page"), near: vec![name("public", "page")] })
        );
        assert_eq!(of("xyz"), Err(NameError::Unknown { wanted: name("", "xyz"), near: vec![] }));
    }
}
