//! What every store must keep: `src/repo/store/mod.rs`, sentence by sentence.

use bytes::Bytes;
use nightsafe::repo::store::probe::probe;
use nightsafe::repo::store::{Listed, Store, StoreError, StoreErrorKind, check_key};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

/// A store whose root is missing as yet, unless it can't be, and what is known of it.
pub(crate) struct Case {
    pub(crate) store: Arc<dyn Store>,
    /// Takes the root away behind the store's back.
    pub(crate) remove_root: Option<Box<dyn Fn()>>,
    /// Whether the root is missing before `create_root`.
    pub(crate) begins_without_root: bool,
    /// Whether two puts of one key at the same time are told apart.
    pub(crate) exclusive: bool,
    /// Whether the service answers properly when it's asked for an object where a folder is.
    pub(crate) knows_folders: bool,
    /// How many random histories are tried.
    pub(crate) histories: u32,
    /// Lives as long as the store.
    pub(crate) keep: Box<dyn Any>,
}

impl Case {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            remove_root: None,
            begins_without_root: true,
            exclusive: true,
            knows_folders: true,
            histories: 32,
            keep: Box::new(()),
        }
    }
}

/// One part of the suite and its name.
type Check = (&'static str, fn(&Case));

/// Runs the suite over stores that `make` makes, each empty and apart from the others.
pub(crate) fn check(make: &dyn Fn() -> Case) {
    a_missing_root(make());
    let checks: [Check; 12] = [
        ("objects come back", objects_come_back),
        ("objects are written once", objects_are_written_once),
        ("missing objects", missing_objects),
        ("limits", limits),
        ("ranges", ranges),
        ("listings", listings),
        ("deletion", deletion),
        ("folders are no objects", folders_are_no_objects),
        ("hostile keys", hostile_keys),
        ("the same put from many threads", the_same_put_from_many_threads),
        ("different puts from many threads", different_puts_from_many_threads),
        ("many objects from many threads", many_objects_from_many_threads),
    ];
    for (name, run) in checks {
        let case = make();
        if name == "folders are no objects" && !case.knows_folders {
            continue;
        }
        println!("{name}");
        case.store.create_root().unwrap();
        run(&case);
    }
    println!("random histories");
    random_histories(make);
    let case = make();
    case.store.create_root().unwrap();
    let found = probe(&*case.store).unwrap();
    assert_eq!(found.steps.len(), 8);
    assert_eq!(list(&*case.store, ""), []);
    drop(case.keep);
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Bytes that differ from place to place and by seed.
fn noise(length: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) + 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn list(store: &dyn Store, prefix: &str) -> Vec<Listed> {
    let mut listed = Vec::new();
    store.list(prefix, &mut |object| listed.push(object)).unwrap();
    listed.sort();
    listed
}

fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    list(store, prefix).into_iter().map(|listed| listed.key).collect()
}

fn kind<T>(outcome: Result<T, StoreError>) -> Option<StoreErrorKind> {
    outcome.err().map(|error| error.kind)
}

/// How every call fails that needs the root.
fn all_calls(store: &dyn Store) -> Vec<(&'static str, Option<StoreErrorKind>)> {
    vec![
        ("put", kind(store.put("packs/0a/x", &bytes("x")))),
        ("get", kind(store.get("packs/0a/x", 10))),
        ("get_range", kind(store.get_range("packs/0a/x", 0, 1))),
        ("length", kind(store.length("packs/0a/x"))),
        ("list", kind(store.list("", &mut |_| {}))),
        ("list below", kind(store.list("packs/", &mut |_| {}))),
        ("delete", kind(store.delete("packs/0a/x"))),
    ]
}

fn a_missing_root(case: Case) {
    println!("a missing root");
    let store = &*case.store;
    let all_missing = || {
        for (call, outcome) in all_calls(store) {
            assert_eq!(outcome, Some(StoreErrorKind::RootMissing), "{call}");
        }
    };
    if case.begins_without_root {
        all_missing();
        all_missing(); // and no call created it
    }
    store.create_root().unwrap();
    store.create_root().unwrap();
    store.put("packs/0a/x", &bytes("x")).unwrap();
    store.create_root().unwrap();
    assert_eq!(keys(store, ""), ["packs/0a/x"]);
    if let Some(remove_root) = case.remove_root {
        remove_root();
        all_missing();
        store.create_root().unwrap();
        assert_eq!(keys(store, ""), [""; 0]);
        store.put("packs/0a/x", &bytes("y")).unwrap();
        assert_eq!(store.get("packs/0a/x", 1).unwrap(), "y");
    }
    drop(case.keep);
}

fn objects_come_back(case: &Case) {
    let store = &*case.store;
    for (key, length) in
        [("nightsafe.json", 1), ("a/b/c/d-1.2", 1000), ("packs/00/y", 70_000), ("packs/00/z", (1 << 20) + 3)]
    {
        let object = noise(length, 1);
        store.put(key, &object).unwrap();
        assert_eq!(store.get(key, 1 << 30).unwrap(), object, "{key}");
        assert_eq!(store.length(key).unwrap(), Some(length as u64), "{key}");
    }
}

fn objects_are_written_once(case: &Case) {
    let store = &*case.store;
    store.put("a", &bytes("old")).unwrap();
    store.put("a", &bytes("old")).unwrap();
    for other in ["new", "older", "ol"] {
        let error = store.put("a", &bytes(other)).unwrap_err();
        assert_eq!((error.kind, error.key.as_str()), (StoreErrorKind::Exists, "a"));
        assert_eq!(error.url, store.url());
        assert!(!error.is_transient());
    }
    assert_eq!(store.get("a", 10).unwrap(), "old");
    assert_eq!(list(store, "").len(), 1);
}

fn missing_objects(case: &Case) {
    let store = &*case.store;
    store.put("packs/x", &bytes("x")).unwrap();
    for key in ["y", "packs/y", "other/y", "packs/x/y"] {
        assert_eq!(kind(store.get(key, 10)), Some(StoreErrorKind::NotFound), "{key}");
        assert_eq!(kind(store.get_range(key, 0, 1)), Some(StoreErrorKind::NotFound), "{key}");
        assert_eq!(kind(store.get_range(key, 0, 0)), Some(StoreErrorKind::NotFound), "{key}");
        assert_eq!(store.length(key).unwrap(), None, "{key}");
    }
}

fn limits(case: &Case) {
    let store = &*case.store;
    store.put("a", &bytes("12345")).unwrap();
    assert_eq!(store.get("a", 5).unwrap(), "12345");
    for limit in [0, 4] {
        assert_eq!(kind(store.get("a", limit)), Some(StoreErrorKind::TooLong), "{limit}");
    }
}

fn ranges(case: &Case) {
    let store = &*case.store;
    let object = noise(10_000, 2);
    store.put("packs/x", &object).unwrap();
    for (offset, length) in [(0, 0), (0, 1), (0, 10_000), (9_999, 1), (10_000, 0), (4_095, 4_098), (140, 5_000)] {
        let part = store.get_range("packs/x", offset, length).unwrap();
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
        assert_eq!(part, object.slice(from..to), "{offset}+{length}");
    }
    for (offset, length) in
        [(0, 10_001), (9_999, 2), (10_000, 1), (10_001, 0), (20_000, 10), (u64::MAX, 1), (1, u64::MAX)]
    {
        assert_eq!(kind(store.get_range("packs/x", offset, length)), Some(StoreErrorKind::Short), "{offset}+{length}");
    }
}

fn listings(case: &Case) {
    let store = &*case.store;
    assert_eq!(list(store, ""), []);
    assert_eq!(list(store, "packs/"), []);
    let all = ["a", "packs-1", "packs/0a/x", "packs/0a/y", "packs/0b/x", "packs/0ab", "runs/1"];
    for (number, key) in all.iter().enumerate() {
        store.put(key, &noise(number + 1, 0)).unwrap();
        assert!(keys(store, "").contains(&(*key).to_owned()), "{key} isn't listed after it was put");
    }
    for prefix in ["", "packs/", "packs/0a/", "packs/0b/", "runs/", "other/", "packs/0a/x/"] {
        let mut expected: Vec<_> = all.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        expected.sort_unstable();
        assert_eq!(keys(store, prefix), expected, "{prefix}");
    }
    for listed in list(store, "") {
        let number = all.iter().position(|key| *key == listed.key).unwrap();
        assert_eq!(listed.length, number as u64 + 1, "{}", listed.key);
        // Later than 2020, if the store tells: a sign that the unit is right.
        assert!(listed.modified.is_none_or(|seconds| (1_577_836_800..32_503_680_000).contains(&seconds)), "{listed:?}");
    }
    for prefix in ["packs", "/", "../", "/packs/", "packs//"] {
        assert_eq!(kind(store.list(prefix, &mut |_| {})), Some(StoreErrorKind::Other), "{prefix}");
    }
}

fn deletion(case: &Case) {
    let store = &*case.store;
    store.delete("packs/x").unwrap();
    store.put("packs/x", &bytes("old")).unwrap();
    store.put("packs/y", &bytes("y")).unwrap();
    store.delete("packs/x").unwrap();
    store.delete("packs/x").unwrap();
    assert_eq!(kind(store.get("packs/x", 10)), Some(StoreErrorKind::NotFound));
    assert_eq!(keys(store, ""), ["packs/y"]);
    store.put("packs/x", &bytes("new")).unwrap();
    assert_eq!(store.get("packs/x", 10).unwrap(), "new");
}

fn folders_are_no_objects(case: &Case) {
    let store = &*case.store;
    store.put("packs/0a/x", &bytes("x")).unwrap();
    for key in ["packs", "packs/0a"] {
        assert_eq!(store.length(key).unwrap(), None, "{key}");
        assert_eq!(kind(store.get(key, 10)), Some(StoreErrorKind::NotFound), "{key}");
        store.delete(key).unwrap();
    }
    assert_eq!(keys(store, ""), ["packs/0a/x"]);
}

fn hostile_keys(case: &Case) {
    let store = &*case.store;
    for key in [
        "",
        "/",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "./a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.tmp",
        "A",
        "a b",
        "a\0b",
        "a\\b",
        "a?b",
        "a%2fb",
    ] {
        assert!(check_key(key).is_err());
        for outcome in [
            kind(store.put(key, &bytes("x"))),
            kind(store.get(key, 10)),
            kind(store.get_range(key, 0, 1)),
            kind(store.length(key)),
            kind(store.delete(key)),
        ] {
            assert_eq!(outcome, Some(StoreErrorKind::Other), "{key:?}");
        }
    }
    assert_eq!(list(store, ""), []);
}

/// Runs `work` in several threads that begin together.
fn in_threads<T: Send>(work: impl Fn(u8) -> T + Sync) -> Vec<T> {
    const THREADS: u8 = 8;
    let barrier = Barrier::new(usize::from(THREADS));
    std::thread::scope(|scope| {
        let run = |number| {
            barrier.wait();
            work(number)
        };
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn the_same_put_from_many_threads(case: &Case) {
    let store = &*case.store;
    for round in 0..4 {
        let (key, object) = (format!("packs/{round}/x"), noise(50_000, round));
        for outcome in in_threads(|_| store.put(&key, &object)) {
            outcome.unwrap();
        }
        assert_eq!(store.get(&key, 1 << 20).unwrap(), object);
    }
    assert_eq!(list(store, "").len(), 4);
}

fn different_puts_from_many_threads(case: &Case) {
    let store = &*case.store;
    for round in 0..4 {
        let key = format!("packs/{round}/x");
        let objects: Vec<_> = (0..8).map(|number| noise(30_000 + usize::from(number), number)).collect();
        let outcomes = in_threads(|number| store.put(&key, &objects[usize::from(number)]));
        let there = store.get(&key, 1 << 20).unwrap();
        assert!(objects.contains(&there), "what is there is none of what was put");
        if case.exclusive {
            let won: Vec<_> = outcomes.iter().zip(&objects).filter(|(outcome, _)| outcome.is_ok()).collect();
            assert_eq!(won.len(), 1, "{outcomes:?}");
            assert_eq!(*won[0].1, there);
            for outcome in outcomes {
                assert!(matches!(kind(outcome), None | Some(StoreErrorKind::Exists)));
            }
        }
    }
    assert_eq!(list(store, "").len(), 4);
}

fn many_objects_from_many_threads(case: &Case) {
    let store = &*case.store;
    in_threads(|number| {
        for nth in 0..5 {
            let key = format!("packs/{nth}/{number}");
            store.put(&key, &noise(1000, number)).unwrap();
            assert!(keys(store, "packs/").contains(&key), "{key} isn't listed after it was put");
            assert_eq!(store.get(&key, 1000).unwrap(), noise(1000, number));
        }
    });
    assert_eq!(list(store, "").len(), 40);
}

/// One call of a random history.
#[derive(Debug, Clone)]
enum Call {
    Put(String, u8),
    Get(String),
    GetRange(String, u64, u64),
    Delete(String),
    List(String),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Few names, so that calls meet. None is both an object and a folder: file systems can't have that, and the format doesn't ask for it.
    let key = || prop::sample::select(vec!["a", "b", "p/a", "p/b", "p/q/a", "r/a"]).prop_map(str::to_owned);
    let prefix = prop::sample::select(vec!["", "p/", "p/q/", "r/", "s/"]).prop_map(str::to_owned);
    let call = prop_oneof![
        (key(), 1..4_u8).prop_map(|(key, object)| Call::Put(key, object)),
        key().prop_map(Call::Get),
        (key(), 0..40_u64, 0..40_u64).prop_map(|(key, offset, length)| Call::GetRange(key, offset, length)),
        key().prop_map(Call::Delete),
        prefix.prop_map(Call::List),
    ];
    prop::collection::vec(call, 1..24)
}

/// A store behaves as a map does.
fn random_histories(make: &dyn Fn() -> Case) {
    let mut runner =
        TestRunner::new(Config { cases: make().histories, failure_persistence: None, ..Config::default() });
    runner
        .run(&calls(), |calls| {
            let case = make();
            case.store.create_root().unwrap();
            let mut model = BTreeMap::new();
            for call in calls {
                step(&*case.store, &mut model, &call)?;
            }
            Ok(())
        })
        .unwrap();
}

fn step(store: &dyn Store, model: &mut BTreeMap<String, Bytes>, call: &Call) -> Result<(), TestCaseError> {
    match call {
        Call::Put(key, object) => {
            let object = noise(usize::from(*object) * 10, *object);
            let there = model.entry(key.clone()).or_insert_with(|| object.clone());
            let expected = (*there != object).then_some(StoreErrorKind::Exists);
            prop_assert_eq!(kind(store.put(key, &object)), expected);
        }
        Call::Get(key) => {
            let outcome = store.get(key, 100).map_err(|error| error.kind);
            prop_assert_eq!(outcome, model.get(key).cloned().ok_or(StoreErrorKind::NotFound));
        }
        Call::GetRange(key, offset, length) => {
            let outcome = store.get_range(key, *offset, *length);
            let (from, to) = (usize::try_from(*offset).unwrap(), usize::try_from(offset + length).unwrap());
            match model.get(key) {
                Some(object) if to <= object.len() => prop_assert_eq!(outcome.unwrap(), object.slice(from..to)),
                Some(_) => prop_assert_eq!(kind(outcome), Some(StoreErrorKind::Short)),
                None => prop_assert_eq!(kind(outcome), Some(StoreErrorKind::NotFound)),
            }
        }
        Call::Delete(key) => {
            model.remove(key);
            prop_assert_eq!(kind(store.delete(key)), None);
        }
        Call::List(prefix) => {
            let listed = list(store, prefix).into_iter().map(|listed| (listed.key, listed.length));
            let expected = model.iter().filter(|(key, _)| key.starts_with(prefix.as_str()));
            let expected: Vec<_> = expected.map(|(key, object)| (key.clone(), object.len() as u64)).collect();
            prop_assert_eq!(listed.collect::<Vec<_>>(), expected);
        }
    }
    Ok(())
}
