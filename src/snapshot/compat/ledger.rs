//! Whether the migrations of a snapshot fit the application that is to run on it.

use super::{Finding, Subject, Weight};
use crate::snapshot::manifest::database::{Ledger, Table};

/// How the migrations in a snapshot relate to those in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The same were applied.
    Equal,
    /// The target has all of the snapshot's, and more: the application migrates what is restored.
    TargetNewer,
    /// The snapshot has all of the target's, and more: the application doesn't know them.
    TargetOlder,
    /// Each has some that the other lacks, or the order differs.
    Diverged,
}

/// How two histories relate; each in the order in which it was applied.
///
/// That the same migrations were applied in another order makes no difference to a schema: a fresh installation and one that was upgraded often differ so.
pub fn relation(snapshot: &[String], target: &[String]) -> Relation {
    if sorted(snapshot) == sorted(target) {
        Relation::Equal
    } else if target.starts_with(snapshot) {
        Relation::TargetNewer
    } else if snapshot.starts_with(target) {
        Relation::TargetOlder
    } else {
        Relation::Diverged
    }
}

fn sorted(rows: &[String]) -> Vec<&String> {
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort();
    sorted
}

/// The relation of two ledgers of the same table.
fn of(snapshot: &Ledger, target: &Ledger) -> Relation {
    // These keep one row: the version that was reached.
    let version = |ledger: &Ledger| match ledger.rows.as_slice() {
        [only] if ledger.kind == "golang-migrate" => only.parse::<u64>().ok(),
        _ => None,
    };
    match (version(snapshot), version(target)) {
        (Some(snapshot), Some(target)) if snapshot < target => Relation::TargetNewer,
        (Some(snapshot), Some(target)) if snapshot > target => Relation::TargetOlder,
        _ => relation(&snapshot.rows, &target.rows),
    }
}

/// Compares the ledgers of a dump, if they are known, with those of the database that it is to replace.
pub(super) fn compare(stored: Option<&[Ledger]>, tables: &[Table], target: &[Ledger]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in target.iter().filter(|ledger| !ledger.rows.is_empty()) {
        let same = |ledger: &&Ledger| ledger.schema == target.schema && ledger.table == target.table;
        let name = format!("migrations of {} ({}.{})", target.kind, target.schema, target.table);
        let is_there = tables.iter().any(|table| table.schema == target.schema && table.name == target.table);
        let Some(stored) = stored.filter(|stored| !is_there || stored.iter().any(|ledger| same(&ledger))) else {
            let text = format!("{name}: those of the dump aren't known");
            findings.push(Finding::new(Subject::Ledger, Weight::Note, text));
            continue;
        };
        let (weight, text) = match stored.iter().find(same) {
            None => (Weight::Refused, format!("{name}: the snapshot has none: is it of the same application?")),
            Some(stored) if stored.kind != target.kind => {
                (Weight::Refused, format!("{name}: in the snapshot they are of {}", stored.kind))
            }
            Some(stored) => {
                let (weight, text) = describe(of(stored, target), stored, target);
                (weight, format!("{name}: {text}"))
            }
        };
        findings.push(Finding::new(Subject::Ledger, weight, text));
    }
    findings
}

fn describe(relation: Relation, stored: &Ledger, target: &Ledger) -> (Weight, String) {
    let (has, wants) = (stored.rows.len(), target.rows.len());
    let last = |ledger: &Ledger| ledger.last().unwrap_or("none").to_owned();
    match relation {
        Relation::Equal => (Weight::Note, format!("the same {has} in the snapshot and in the target")),
        Relation::TargetNewer => (
            Weight::Note,
            format!(
                "the target has {wants} and the snapshot the first {has}: the application has to migrate what is restored"
            ),
        ),
        Relation::TargetOlder => (
            Weight::Refused,
            format!(
                "the snapshot has {has}, up to '{}', and the target only {wants}, up to '{}': the application there is too old for it",
                last(stored),
                last(target)
            ),
        ),
        Relation::Diverged => (
            Weight::Refused,
            format!(
                "they diverged: the last is '{}' in the snapshot and '{}' in the target",
                last(stored),
                last(target)
            ),
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::snapshot::compat) fn ledger(rows: &[&str]) -> Ledger {
        Ledger {
            kind: "prisma".into(),
            schema: "public".into(),
            table: "_prisma_migrations".into(),
            rows: rows.iter().map(|row| (*row).to_owned()).collect(),
            hash: [0; 32],
            warnings: vec![],
        }
    }

    fn weight(stored: &[Ledger], target: &[Ledger]) -> Vec<Weight> {
        compare(Some(stored), &[], target).into_iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn each_relation_has_its_weight() {
        let two = || vec![ledger(&["a 1", "b 2"])];
        assert_eq!(weight(&two(), &two()), [Weight::Note]);
        assert_eq!(weight(&two(), &[ledger(&["b 2", "a 1"])]), [Weight::Note], "the order alone differs");
        assert_eq!(weight(&two(), &[ledger(&["a 1", "b 2", "c 3"])]), [Weight::Note]);
        assert_eq!(weight(&two(), &[ledger(&["a 1"])]), [Weight::Refused]);
        assert_eq!(weight(&two(), &[ledger(&["a 1", "b 3"])]), [Weight::Refused], "a checksum differs");
        assert_eq!(weight(&two(), &[ledger(&[])]), [], "the application never migrated there");
        assert_eq!(weight(&two(), &[]), []);
        assert_eq!(weight(&[], &two()), [Weight::Refused], "another application's database");
        let unknown = compare(None, &[], &two());
        assert_eq!(unknown.iter().map(|finding| finding.weight).collect::<Vec<_>>(), [Weight::Note]);
        assert!(unknown[0].text.contains("aren't known"), "{unknown:?}");
        let table = Table {
            schema: "public".into(),
            name: "_prisma_migrations".into(),
            rows: None,
            dumped_rows: Some(2),
            bytes: None,
            first_chunk: None,
            chunks: None,
        };
        assert_eq!(compare(Some(&[]), &[table], &two()), unknown, "they are there, and couldn't be read");
        let django = Ledger { kind: "django".into(), ..ledger(&["a 1", "b 2"]) };
        assert_eq!(weight(&two(), &[django]), [Weight::Refused]);
    }

    #[test]
    fn a_ledger_of_one_number_is_compared_as_a_number() {
        let at = |version: &str| Ledger { kind: "golang-migrate".into(), ..ledger(&[version]) };
        assert_eq!(weight(&[at("9")], &[at("10")]), [Weight::Note]);
        assert_eq!(weight(&[at("10")], &[at("9")]), [Weight::Refused]);
        assert_eq!(weight(&[at("10")], &[at("10")]), [Weight::Note]);
        assert_eq!(weight(&[at("x")], &[at("y")]), [Weight::Refused]);
    }

    /// By the letter: every row of the shorter at the same place of the longer.
    fn naive(snapshot: &[String], target: &[String]) -> Relation {
        let count = |rows: &[String], row: &String| rows.iter().filter(|other| *other == row).count();
        let all = snapshot.iter().chain(target);
        let same = all.clone().all(|row| count(snapshot, row) == count(target, row));
        let agree = (0..snapshot.len().min(target.len())).all(|i| snapshot[i] == target[i]);
        match (same, agree, snapshot.len() < target.len()) {
            (true, _, _) => Relation::Equal,
            (false, false, _) => Relation::Diverged,
            (false, true, true) => Relation::TargetNewer,
            (false, true, false) => Relation::TargetOlder,
        }
    }

    proptest! {
        #[test]
        fn relations_are_those_of_a_naive_definition(
            common in prop::collection::vec("[a-c]", 0..4),
            snapshot in prop::collection::vec("[a-c]", 0..3),
            target in prop::collection::vec("[a-c]", 0..3),
        ) {
            let (a, b) = ([common.clone(), snapshot].concat(), [common, target].concat());
            prop_assert_eq!(relation(&a, &b), naive(&a, &b));
            let mirrored = match relation(&a, &b) {
                Relation::TargetNewer => Relation::TargetOlder,
                Relation::TargetOlder => Relation::TargetNewer,
                other => other,
            };
            prop_assert_eq!(relation(&b, &a), mirrored);
        }
    }
}
