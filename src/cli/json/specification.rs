//! Compares what is written with `docs/json.md`.

use super::*;
use crate::cli::commands::test_data as data;
use crate::cli::error::CliError;
use crate::repo::repair::index::IndexPlan;
use crate::repo::store::probe::{Probe, Step};
use crate::snapshot::diff::database::compare;
use crate::snapshot::diff::tree::Difference;
use crate::snapshot::forget::ForgetPlan;
use crate::snapshot::policy::Options;
use crate::snapshot::postgres::restore::rows::TableRows;
use crate::snapshot::postgres::restore::run::{self, DatabaseSummary};
use crate::snapshot::snapshots::Snapshots;
use crate::snapshot::tree::entry;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../docs/json.md");

/// The fields that each section lists.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = None;
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = Some(title.to_owned());
            sections.insert(title.to_owned(), BTreeSet::new());
        } else if let (Some(section), Some(rest)) = (&section, line.strip_prefix("| `")) {
            let field = rest.split('`').next().unwrap().to_owned();
            assert!(sections.get_mut(section).unwrap().insert(field), "{section} lists a field twice: {line}");
        }
    }
    sections
}

/// The fields of a value: objects inside by `.`, objects in arrays by `[].`.
fn fields(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                fields(&at, value, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                fields(&format!("{at}[]"), item, found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

fn written(message: &impl Serialize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    fields("", &serde_json::to_value(message).unwrap(), &mut found);
    found
}

fn restored_database() -> RestoreDatabase {
    let finding = restored::Finding { weight: "note", message: String::new() };
    let plan = DatabasePlan {
        dump: "/db/wiki.dump".into(),
        bytes: 7,
        database: "wiki".into(),
        server: "database 'wiki'".into(),
        server_version: "15.14".into(),
        dump_version: None,
        before: "nothing",
        roles: vec![],
        leftovers: vec![],
        findings: vec![finding],
        warnings: vec![],
        refused: vec![],
    };
    let table = TableRows { schema: "s".into(), name: "t".into(), expected: Some(1), found: Some(1), denied: false };
    let step = run::Step { name: "restoring", seconds: 1.0 };
    let summary = DatabaseSummary { steps: vec![step], tables: vec![table], ..DatabaseSummary::default() };
    RestoreDatabase::new(data::run(1), plan, &summary, 1.0)
}

fn forget_plan() -> ForgetPlan {
    let all = Snapshots { list: [1, 2].map(data::snapshot).to_vec(), ..Snapshots::default() };
    ForgetPlan::by_ids(&all, &[data::run(1)], &Options::default())
}

#[test]
fn each_message_is_written_as_it_is_specified() {
    let mut shown = data::snapshot(2);
    shown.manifest.problems = data::problems(1);
    shown.manifest.databases = vec![data::database()];
    shown.manifest.dumps = data::dumps().split_off(1);
    shown.manifest.dumps[0].export = data::export().export;
    shown.manifest.application = Some(data::application());
    let (_, file) = data::entries().remove(1);
    let (at, difference) = (data::path("/srv/app/.env"), crate::snapshot::diff::entry::Change::Content);
    let difference = Difference {
        path: &at,
        change: difference,
        before: Some(&file),
        after: Some(&file),
        metadata: vec![],
        variables_added: vec![],
        variables_removed: vec![],
    };
    let database = compare(None, Some(&data::database())).unwrap();
    let application = crate::snapshot::diff::application::compare(None, Some(&data::application())).unwrap();
    let report = data::check_report();
    let probe = Probe { refuses_overwriting: true, steps: vec![(Step::Put, Duration::from_millis(3))] };
    let (packs_plan, packs_outcome) = data::packs_repair();
    let (notes_plan, notes_outcome) = data::notes_repair();
    let mut losses = data::losses();
    losses.damaged.truncate(1);
    let repair_index = IndexPlan {
        unusable: vec![("index/x/0".to_owned(), String::new())],
        unreadable: vec![(data::pack(1), String::new())],
        ..IndexPlan::default()
    };
    let status = crate::cli::ui::progress::sample();
    let written = BTreeMap::from([
        ("`exit_error`", written(&ExitError::from(&CliError::usage("x")))),
        ("`warning`", written(&Warning { message_type: "warning", message: "x" })),
        ("`status`", written(&status)),
        ("`verbose`", written(&Verbose::new(b"/a", EntryAction::New, 7))),
        ("`container`", written(&Container::new(b"/a", 7, Some(9), &data::expansion()))),
        ("`checkpoint`", written(&Checkpoint::new(data::run(1), 7, 7))),
        ("`error`", written(&Problem::from(&data::problems(1)[0]))),
        (
            "`initialized`",
            written(&Initialized {
                message_type: "initialized",
                id: String::new(),
                repository: String::new(),
                credential: String::new(),
                probe: Probed::from(&probe),
                recovery: Some(String::new()),
            }),
        ),
        (
            "`recovery`",
            written(&Recovery {
                message_type: "recovery",
                file: Some(String::new()),
                sha256: String::new(),
                words: true,
                page: Some(String::new()),
            }),
        ),
        ("`summary` of `backup`", written(&Backup::new(&data::backup_summary(), false))),
        ("array of `snapshots`", written(&Snapshot::from(&shown))),
        ("`manifest`", written(&Manifest::from(&shown))),
        ("`entry`", written(&Entry::new(&data::path("/srv/app/.env"), &file))),
        ("`change`", written(&Changed::from(&difference))),
        ("`database` of `diff`", written(&ChangedDatabase::from(&database))),
        ("`application` of `diff`", written(&ChangedApplication::from(&application))),
        (
            "`summary` of `diff`",
            written(&Diff::new(data::run(1), data::run(2), &crate::snapshot::diff::Summary::default())),
        ),
        ("file of `dump --manifest`", written(&DumpRecord::new(&shown, &data::path("/db/wiki.dump")).unwrap())),
        ("`summary` of `restore`", written(&Restore::new(data::run(1), &data::plan(), &data::restore_summary()))),
        ("`summary` of `restore --postgres`", written(&restored_database())),
        ("array of `forget`", written(&ForgetGroup::all(&forget_plan())[0])),
        ("`tagged`", written(&Tagged::new(data::run(1), &[], true))),
        ("`protection`", written(&Protection::new(data::run(1), true, true))),
        ("`error` of `check`", written(&Broken::from(&report.errors[0]))),
        ("`summary` of `check`", written(&Check::new(&report, 1.0))),
        ("`undone`", written(&Undone::new(data::run(1), data::run(2)))),
        ("`summary` of `prune`", written(&Pruned::new(&crate::snapshot::prune::PruneReport::default(), false))),
        ("`summary` of `repair index`", written(&RepairIndex::new(&repair_index, true))),
        ("`summary` of `repair packs`", written(&RepairPacks::new(&packs_plan, &packs_outcome, false, 1.0))),
        ("`summary` of `repair notes`", written(&RepairNotes::new(&notes_plan, Some(&notes_outcome), 1.0))),
        ("`summary` of `repair snapshots`", written(&RepairSnapshots::new(&losses, 1.0))),
        ("array of `key list`", written(&Credential::from(&data::credentials()[0]))),
        ("`credential`", written(&CredentialChange { message_type: "credential", action: "added", id: String::new() })),
        ("`summary` of `config check`", written(&data::config_check())),
        ("`configuration`", written(&Configuration { message_type: "configuration", configuration: &Value::Null })),
    ]);
    let documented = documented();
    for (section, fields) in &written {
        assert_eq!(documented.get(*section), Some(fields), "{section}");
    }
    assert_eq!(documented.len(), written.len(), "a section isn't compared: {:?}", documented.keys());
}

#[test]
fn names_survive_json_whatever_their_bytes_are() {
    assert_eq!(name("/ü\n".as_bytes()), "/ü\n");
    assert_eq!(name(b"/\xff\x01"), "\0/\u{0}"[..1].to_owned() + "2fff01");
    assert_eq!(path(&data::path("a/b")), "/a/b");
    let (_, link) = data::entries().remove(2);
    let message = serde_json::to_value(Entry::new(&data::path("x"), &link)).unwrap();
    assert_eq!(message["target"], "\u{0}2fff");
    let entry: &entry::Entry = &link;
    assert!(!entry.is_secret());
    assert_eq!(message["size"], Value::Null);
}

#[test]
fn a_check_names_each_pack_snapshot_and_path_once() {
    let summary = Check::new(&data::check_report(), 1.0);
    assert_eq!(summary.broken_packs, ["packs/ab/x", "packs/cd/y"]);
    let hits: BTreeMap<_, _> = summary.snapshots.iter().map(|hit| (hit.id.clone(), hit.paths.len())).collect();
    assert_eq!(hits, BTreeMap::from([(data::run(1).to_string(), 8), (data::run(2).to_string(), 1)]));
}
