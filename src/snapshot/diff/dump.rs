//! What is compared of dumps among the files.

use crate::snapshot::diff::database::State;
use crate::snapshot::manifest::dump::{DumpContents, DumpFile};
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::tree::path::SafePath;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Of the newest dump of each database in each folder: from one night to the next they're called otherwise. Dumps that don't name their database are of the same one if their names differ in numbers only.
/// Likewise the newest export of each application.
pub(super) fn newest_of<'d>(dumps: &[&'d DumpFile]) -> Vec<State<'d>> {
    let mut newest: BTreeMap<(String, bool, &str), &DumpFile> = BTreeMap::new();
    for &dump in dumps {
        let Some(Told { is_export, name, created }) = told(dump) else { continue };
        let folder = || dump.path.parent().unwrap_or_default().to_string();
        let whence = if name.is_empty() { without_numbers(&dump.path) } else { folder() };
        let age = (created, dump.path.as_bytes());
        let key = (whence, is_export, name);
        let older = newest.get(&key).and_then(|other| Some((told(other)?.created, other.path.as_bytes())));
        if older.is_none_or(|older| older < age) {
            newest.insert(key, dump);
        }
    }
    newest.into_iter().map(|((source, _, name), dump)| state(source, name, dump)).collect()
}

/// What tells dumps apart.
struct Told<'d> {
    is_export: bool,
    /// Of the database, or the application.
    name: &'d str,
    created: &'d str,
}

fn told(dump: &DumpFile) -> Option<Told<'_>> {
    match (&dump.export, &dump.contents) {
        (Some(export), _) => Some(Told { is_export: true, name: &export.application, created: &export.created }),
        (None, Some(of)) => Some(Told { is_export: false, name: &of.database, created: &of.created }),
        (None, None) => None,
    }
}

fn state<'d>(source: String, name: &'d str, dump: &'d DumpFile) -> State<'d> {
    let contents = dump.contents.as_ref();
    let tables = match &dump.export {
        Some(export) => Cow::Owned(export.as_tables()),
        None => Cow::Borrowed(contents.map_or(&[][..], |of| &of.tables)),
    };
    State {
        source,
        name,
        is_live: false,
        server: contents.and_then(|of| Version::of_number(&of.server)).map(|version| version.0),
        tables,
        ledgers: contents.map_or(&[], DumpContents::ledgers),
        extensions: contents.into_iter().flat_map(|of| &of.extensions).map(|name| (name.as_str(), "")).collect(),
    }
}

/// A path with `*` for each number in the file's name.
fn without_numbers(path: &SafePath) -> String {
    let path = path.to_string();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let mut shown = format!("{folder}/");
    for c in name.chars() {
        if !c.is_ascii_digit() {
            shown.push(c);
        } else if !shown.ends_with('*') {
            shown.push('*');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::diff::database::{Held, Presence, compare_all};
    use crate::snapshot::diff::fixture::table;
    use crate::snapshot::manifest::database::{Ledger, Table};
    use crate::snapshot::manifest::export;

    /// With so many migrations.
    fn ledger(rows: u64) -> Ledger {
        let rows = (0..rows).map(|n| n.to_string()).collect();
        let (kind, schema, table) = ("django".to_owned(), "public".to_owned(), "django_migrations".to_owned());
        Ledger { kind, schema, table, rows, hash: [0; 32], warnings: vec![] }
    }

    fn dump(path: &str, created: &str, rows: u64) -> DumpFile {
        let table = Table { rows: None, ..table("t", rows, 10 * rows) };
        let contents = DumpContents {
            database: "wiki".to_owned(),
            created: created.to_owned(),
            server: "15.14 (Debian 15.14-1)".to_owned(),
            client: "17.2".to_owned(),
            extensions: vec!["hstore".to_owned()],
            tables: vec![table],
            large_objects: None,
            ledgers: Some(vec![ledger(rows)]),
        };
        let path = SafePath::parse(path.as_bytes()).unwrap();
        let (contents, export) = (Some(contents), None);
        DumpFile { path, bytes: 1, sha256: [0; 32], fault: None, contents, sidecar: None, export }
    }

    #[test]
    fn of_dumps_the_newest_in_a_folder_is_compared() {
        let before = [dump("b/1.dump", "2026-11-01 03:00:00", 1), dump("b/2.dump", "2026-11-02 03:00:00", 2)];
        let cut = DumpFile { contents: None, ..dump("b/4.dump", "", 0) };
        let mut after = [dump("b/3.dump", "2026-11-03 03:00:00", 3), before[1].clone(), cut, dump("c/1.dump", "", 1)];
        after[0].contents.as_mut().unwrap().server = "17.2".to_owned();
        let states = |dumps: &[DumpFile]| compare_all(Vec::new(), newest_of(&dumps.iter().collect::<Vec<_>>()));
        assert_eq!(states(&before).len(), 1);
        let (before, after): (Vec<_>, Vec<_>) = (before.iter().collect(), after.iter().collect());
        let diff = compare_all(newest_of(&before), newest_of(&after));
        let [changed, added] = &diff[..] else { panic!("{diff:?}") };
        let held = |rows| Some(Held { rows: Some(rows), bytes: Some(10 * rows) });
        assert_eq!((changed.source.as_str(), changed.server), ("/b", Some((150_014, 170_002))));
        assert_eq!((changed.tables[0].before, changed.tables[0].after), (held(2), held(3)));
        assert_eq!(changed.ledgers[0].added, ["2"]);
        assert_eq!((added.source.as_str(), added.presence, added.is_live), ("/c", Presence::Added, false));
    }

    #[test]
    fn of_exports_the_newest_in_a_folder_is_compared() {
        let export = |path: &str, created: &str, rows| {
            let mut export = export::Export { created: created.to_owned(), ..export::sample() };
            export.tables[0].rows = rows;
            DumpFile { contents: None, export: Some(export), ..dump(path, "", 0) }
        };
        let before =
            [export("b/9.zip", "2026-11-01T03:00:00+00:00", 5), export("b/1.zip", "2026-11-02T03:00:00+00:00", 6)];
        let after = [&before[..], &[export("b/2.zip", "2026-11-03T03:00:00+00:00", 7)]].concat();
        let [before, after] = [&before[..], &after].map(|dumps| dumps.iter().collect::<Vec<_>>());
        let diff = compare_all(newest_of(&before), newest_of(&after));
        let [nosdesk] = &diff[..] else { panic!("{diff:?}") };
        assert_eq!(
            (nosdesk.source.as_str(), nosdesk.name.as_str(), nosdesk.presence),
            ("/b", "Nosdesk", Presence::Both)
        );
        let [tickets] = &nosdesk.tables[..] else { panic!("{nosdesk:?}") };
        let rows = |held: Option<Held>| held.and_then(|held| held.rows);
        assert_eq!((tickets.name.as_str(), rows(tickets.before), rows(tickets.after)), ("tickets", Some(6), Some(7)));
    }

    #[test]
    fn dumps_that_name_no_database_are_told_apart_by_their_names() {
        let nameless = |path: &str, rows: u64| {
            let mut dump = dump(path, "", rows);
            dump.contents.as_mut().unwrap().database = String::new();
            dump
        };
        let before = [nameless("b/wiki-2026-11-01.sql", 1), nameless("b/shop-2026-11-01.sql", 7)];
        let after = [&before[..], &[nameless("b/wiki-2026-11-02.sql", 2)]].concat();
        let [before, after] = [&before[..], &after].map(|dumps| dumps.iter().collect::<Vec<_>>());
        let diff = compare_all(newest_of(&before), newest_of(&after));
        let [wiki] = &diff[..] else { panic!("{diff:?}") };
        assert_eq!((wiki.source.as_str(), wiki.name.as_str()), ("/b/wiki-*-*-*.sql", ""));
        let rows = |held: Option<Held>| held.and_then(|held| held.rows);
        assert_eq!((rows(wiki.tables[0].before), rows(wiki.tables[0].after)), (Some(1), Some(2)));
        assert_eq!(without_numbers(&SafePath::parse(b"7/a12b3.9.sql").unwrap()), "/7/a*b*.*.sql");
    }
}
