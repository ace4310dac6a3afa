//! What differs between two states of a database, as their manifests know them.

use crate::snapshot::diff::application::pairs;
use crate::snapshot::manifest::database::{Database, Ledger, Table};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What differs of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseDiff {
    /// The source that it belongs to; of a dump or an export among the files the folder that it's in, or, if the dump doesn't name its database, its path with `*` for each number.
    pub source: String,
    /// Its name; empty if the dump doesn't tell. Of an export the application's.
    pub name: String,
    /// Whether it was captured live, or is the newest dump in its folder.
    pub is_live: bool,
    /// Whether it is only in one of the snapshots.
    pub presence: Presence,
    /// The server's version before and after, if it differs.
    pub server: Option<(u32, u32)>,
    /// Tables whose rows or bytes differ, or that are only on one side; sorted by schema and name.
    pub tables: Vec<TableDiff>,
    /// Ledgers that differ.
    pub ledgers: Vec<LedgerDiff>,
    /// Extensions that differ: name, version before, version after. Sorted by name. A dump doesn't tell versions: then they're empty.
    pub extensions: Vec<(String, Option<String>, Option<String>)>,
}

/// In which snapshots something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// In both.
    Both,
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
}

/// A table that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDiff {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it held; nothing if it wasn't there.
    pub before: Option<Held>,
    /// What it holds; nothing if it isn't there.
    pub after: Option<Held>,
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Rows; nothing if its data was left out.
    pub rows: Option<u64>,
    /// Bytes of the rows as text.
    pub bytes: Option<u64>,
}

/// A ledger that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerDiff {
    /// The framework.
    pub kind: String,
    /// The schema of its table.
    pub schema: String,
    /// The name of its table.
    pub table: String,
    /// Migrations that are only in the second, in the order in which they were applied.
    pub added: Vec<String>,
    /// Migrations that are only in the first, likewise.
    pub removed: Vec<String>,
}

impl LedgerDiff {
    /// Whether each side has migrations that the other lacks.
    pub fn is_diverged(&self) -> bool {
        !self.added.is_empty() && !self.removed.is_empty()
    }
}

/// What is compared of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State<'d> {
    pub(super) source: String,
    pub(super) name: &'d str,
    pub(super) is_live: bool,
    pub(super) server: Option<u32>,
    pub(super) tables: Cow<'d, [Table]>,
    pub(super) ledgers: &'d [Ledger],
    pub(super) extensions: BTreeMap<&'d str, &'d str>,
}

impl<'d> State<'d> {
    /// Of a database that was captured live.
    pub(super) fn live(of: &'d Database) -> Self {
        Self {
            source: of.source.clone(),
            name: &of.name,
            is_live: true,
            server: Some(of.server),
            tables: Cow::Borrowed(&of.tables),
            ledgers: &of.ledgers,
            extensions: of.extensions.iter().map(|e| (e.name.as_str(), e.version.as_str())).collect(),
        }
    }
}

/// Compares all databases; those of the same source and name with each other.
pub(super) fn compare_all(before: Vec<State<'_>>, after: Vec<State<'_>>) -> Vec<DatabaseDiff> {
    fn by_name(all: Vec<State<'_>>) -> BTreeMap<(bool, String, &str), State<'_>> {
        all.into_iter().map(|state| ((!state.is_live, state.source.clone(), state.name), state)).collect()
    }
    let (mut before, mut after) = (by_name(before), by_name(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    names.iter().filter_map(|name| compare_states(before.remove(name).as_ref(), after.remove(name).as_ref())).collect()
}

/// Compares two states of a database that was captured live.
#[cfg(test)]
pub(crate) fn compare(before: Option<&Database>, after: Option<&Database>) -> Option<DatabaseDiff> {
    compare_states(before.map(State::live).as_ref(), after.map(State::live).as_ref())
}

/// Compares two states of a database; nothing if they are alike in all that is compared.
fn compare_states(before: Option<&State<'_>>, after: Option<&State<'_>>) -> Option<DatabaseDiff> {
    let either = after.or(before)?;
    let presence = match (before, after) {
        (None, _) => Presence::Added,
        (_, None) => Presence::Removed,
        _ => Presence::Both,
    };
    let server = before.zip(after).and_then(|(before, after)| before.server.zip(after.server));
    let extensions = |of: Option<&State<'_>>| -> BTreeMap<String, String> {
        let all = of.into_iter().flat_map(|state| &state.extensions);
        all.map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    };
    let diff = DatabaseDiff {
        source: either.source.clone(),
        name: either.name.to_owned(),
        is_live: either.is_live,
        presence,
        server: server.filter(|(before, after)| before != after),
        tables: tables(before, after),
        ledgers: ledgers(before, after),
        extensions: pairs(extensions(before), extensions(after)),
    };
    let alike = diff.tables.is_empty() && diff.ledgers.is_empty() && diff.extensions.is_empty();
    let is_nothing = presence == Presence::Both && diff.server.is_none() && alike;
    (!is_nothing).then_some(diff)
}

impl TableDiff {
    /// In which of the two it is.
    pub fn presence(&self) -> Presence {
        match (self.before, self.after) {
            (None, _) => Presence::Added,
            (_, None) => Presence::Removed,
            _ => Presence::Both,
        }
    }
}

impl Held {
    fn of(table: &Table) -> Self {
        Self { rows: table.rows.or(table.dumped_rows), bytes: table.bytes }
    }
}

fn tables(before: Option<&State<'_>>, after: Option<&State<'_>>) -> Vec<TableDiff> {
    let held = |of: Option<&State<'_>>| -> BTreeMap<(String, String), Held> {
        let all = of.into_iter().flat_map(|state| state.tables.iter());
        all.map(|table| ((table.schema.clone(), table.name.clone()), Held::of(table))).collect()
    };
    let pairs = pairs(held(before), held(after));
    pairs.into_iter().map(|((schema, name), before, after)| TableDiff { schema, name, before, after }).collect()
}

fn ledgers(before: Option<&State<'_>>, after: Option<&State<'_>>) -> Vec<LedgerDiff> {
    fn by_table<'d>(of: Option<&State<'d>>) -> BTreeMap<(&'d str, &'d str, &'d str), &'d Ledger> {
        let all = of.into_iter().flat_map(|state| state.ledgers);
        all.map(|l| ((l.schema.as_str(), l.table.as_str(), l.kind.as_str()), l)).collect()
    }
    let steps = |ledger: Option<&Ledger>| ledger.map_or_else(Vec::new, |ledger| ledger.rows.clone());
    let differing =
        pairs(by_table(before), by_table(after)).into_iter().map(|((schema, table, kind), before, after)| {
            let (before, after) = (steps(before), steps(after));
            LedgerDiff {
                kind: kind.to_owned(),
                schema: schema.to_owned(),
                table: table.to_owned(),
                added: without(&after, &before),
                removed: without(&before, &after),
            }
        });
    differing.filter(|ledger| !(ledger.added.is_empty() && ledger.removed.is_empty())).collect()
}

/// What is in `all` and not in `others`, in order, as often as it is there more often.
fn without(all: &[String], others: &[String]) -> Vec<String> {
    let mut left: HashMap<&String, usize> = HashMap::new();
    for other in others {
        *left.entry(other).or_default() += 1;
    }
    let mut new = Vec::new();
    for row in all {
        match left.get_mut(row) {
            Some(number) if *number > 0 => *number -= 1,
            _ => new.push(row.clone()),
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor::Time;
    use crate::snapshot::diff::fixture::table;
    use crate::snapshot::manifest::database::Extension;
    use crate::snapshot::tree::path::SafePath;

    fn ledger(rows: &[&str]) -> Ledger {
        let rows = rows.iter().map(|&row| row.to_owned()).collect();
        let (kind, schema, table) = ("prisma".to_owned(), "public".to_owned(), "m".to_owned());
        Ledger { kind, schema, table, rows, hash: [0; 32], warnings: vec![] }
    }

    fn database(tables: Vec<Table>, rows: &[&str], extensions: &[(&str, &str)]) -> Database {
        let extension = |(name, version): &(&str, &str)| Extension {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            schema: "public".to_owned(),
        };
        Database {
            source: "db".to_owned(),
            name: "wiki".to_owned(),
            dump: SafePath::parse(b"db/wiki.dump").unwrap(),
            bytes: 1,
            blake3: [0; 32],
            sha256: [0; 32],
            taken: Time::default(),
            server: 150_014,
            client: 150_014,
            encoding: String::new(),
            collation: String::new(),
            character_type: String::new(),
            owner: String::new(),
            extensions: extensions.iter().map(extension).collect(),
            tables,
            large_objects: 0,
            roles: vec![],
            ledgers: vec![ledger(rows)],
            keys_in_use: None,
            locale_provider: None,
            icu_locale: None,
        }
    }

    #[test]
    fn tables_with_other_rows_or_bytes() {
        let before = database(vec![table("a", 1, 10), table("b", 2, 20), table("c", 3, 30)], &[], &[]);
        let mut after = database(vec![table("a", 1, 10), table("b", 2, 21), table("d", 4, 40)], &[], &[]);
        // Where it is in the dump is no difference.
        after.tables[0].first_chunk = Some(9);
        let diff = compare(Some(&before), Some(&after)).unwrap();
        let held = |rows, bytes| Some(Held { rows: Some(rows), bytes: Some(bytes) });
        let shown: Vec<_> = diff.tables.iter().map(|t| (t.name.as_str(), t.before, t.after)).collect();
        assert_eq!(shown, [("b", held(2, 20), held(2, 21)), ("c", held(3, 30), None), ("d", None, held(4, 40))]);
        assert_eq!(
            compare(Some(&before), Some(&Database { taken: Time { seconds: 9, nanoseconds: 0 }, ..before.clone() })),
            None
        );
    }

    #[test]
    fn migrations_are_compared_whatever_their_order() {
        let steps = |before: &[&str], after: &[&str]| {
            let diff = compare(Some(&database(vec![], before, &[])), Some(&database(vec![], after, &[])));
            diff.map(|diff| {
                (diff.ledgers[0].added.join(" "), diff.ledgers[0].removed.join(" "), diff.ledgers[0].is_diverged())
            })
        };
        assert_eq!(steps(&["1", "2"], &["2", "1"]), None);
        assert_eq!(steps(&["1"], &["1", "2", "3"]), Some(("2 3".into(), String::new(), false)));
        assert_eq!(steps(&["1", "2"], &["1"]), Some((String::new(), "2".into(), false)));
        assert_eq!(steps(&["1", "2"], &["1", "3"]), Some(("3".into(), "2".into(), true)));
        assert_eq!(steps(&["1"], &["1", "1"]), Some(("1".into(), String::new(), false)));
    }

    #[test]
    fn servers_extensions_and_databases_that_come_and_go() {
        let before = database(vec![], &[], &[("a", "1"), ("b", "1")]);
        let mut after = database(vec![], &[], &[("b", "2"), ("c", "1")]);
        after.server = 170_000;
        let diff = compare(Some(&before), Some(&after)).unwrap();
        assert_eq!((diff.presence, diff.server), (Presence::Both, Some((150_014, 170_000))));
        let some = |text: &str| Some(text.to_owned());
        let expected =
            [("a".into(), some("1"), None), ("b".into(), some("1"), some("2")), ("c".into(), None, some("1"))];
        assert_eq!(diff.extensions, expected);
        let other = Database { name: "other".to_owned(), ..after.clone() };
        let moved = Database { source: "db2".to_owned(), ..other.clone() };
        let states = [[&before, &other], [&before, &moved]].map(|all| all.map(State::live).to_vec());
        let [before, after] = states;
        let all = compare_all(before, after);
        let shown: Vec<_> = all.iter().map(|diff| (diff.source.as_str(), diff.presence)).collect();
        assert_eq!(shown, [("db", Presence::Removed), ("db2", Presence::Added)]);
    }
}
