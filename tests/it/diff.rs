//! What differs between snapshots: real ones, of folders that changed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{NAME, World, noise, noisy_text};
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::record::RecordingStore;
use nightsafe::snapshot::diff::entry::{Aspect, Change};
use nightsafe::snapshot::diff::{self, Part, Summary};
use nightsafe::snapshot::snapshots::Snapshot;
use nightsafe::snapshot::tree::path::SafePath;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

fn mark(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Content => 'M',
        Change::Unknown => '?',
        Change::Metadata => 'U',
        Change::Type => 'T',
    }
}

fn path(text: &str) -> SafePath {
    SafePath::parse(text.as_bytes()).unwrap()
}

/// The differences, one a line: mark, path, and what else is told.
fn compared(world: &World, before: Part<'_>, after: Part<'_>) -> (Vec<String>, Summary) {
    let mut lines = Vec::new();
    let summary = diff::trees(&world.repo(), before, after, &mut |d| {
        let mut line = format!("{} {}", mark(d.change), d.path);
        for (what, names) in [("+", &d.variables_added), ("-", &d.variables_removed)] {
            line.extend(names.iter().map(|name| format!(" {what}{name}")));
        }
        lines.push(line);
        ControlFlow::Continue(())
    });
    (lines, summary.unwrap())
}

fn whole(snapshot: &Snapshot) -> Part<'_> {
    Part { snapshot, path: None }
}

fn snapshot(world: &World) -> Snapshot {
    world.snapshot(world.back_up().snapshot.unwrap())
}

#[test]
fn each_kind_of_change_is_told_once() {
    let world = World::new();
    for name in ["same", "grows", "gone/a", "gone/deep/b", "mode", "kind", "long", "folder/x"] {
        world.write(name, noise(if name == "long" { 300_000 } else { 50 }));
    }
    symlink("one", world.source().join("link")).unwrap();
    let before = snapshot(&world);
    assert_eq!(compared(&world, whole(&before), whole(&before)), (vec![], Summary::default()));

    world.write("grows", noise(70));
    std::fs::remove_dir_all(world.source().join("gone")).unwrap();
    std::fs::set_permissions(world.source().join("mode"), PermissionsExt::from_mode(0o600)).unwrap();
    for name in ["kind", "link"] {
        std::fs::remove_file(world.source().join(name)).unwrap();
    }
    symlink("two", world.source().join("link")).unwrap();
    world.write("kind/inside", "x");
    world.write("new/c", "abc");
    let mut long = std::fs::read(world.source().join("long")).unwrap();
    long[150_000] ^= 1;
    world.write("long", long);
    let after = snapshot(&world);

    let (lines, summary) = compared(&world, whole(&before), whole(&after));
    let expected = [
        "- /data/gone",
        "- /data/gone/a",
        "- /data/gone/deep",
        "- /data/gone/deep/b",
        "M /data/grows",
        "T /data/kind",
        "+ /data/kind/inside",
        "M /data/link",
        "M /data/long",
        "U /data/mode",
        "+ /data/new",
        "+ /data/new/c",
    ];
    assert_eq!(lines, expected);
    assert_eq!((summary.added.files, summary.added.directories), (2, 1));
    assert_eq!((summary.removed.files, summary.removed.directories), (2, 2));
    assert_eq!((summary.changed.files, summary.changed.others, summary.metadata, summary.types), (2, 1, 1, 1));
    assert_eq!((summary.bytes_added, summary.bytes_removed), (4, 150));
    assert_eq!((summary.bytes_before, summary.bytes_after), (300_050, 300_070));

    // The other way round, what came has gone.
    let (back, reversed) = compared(&world, whole(&after), whole(&before));
    let turned: Vec<_> = expected
        .iter()
        .map(|line| match line.split_at(1) {
            ("+", rest) => format!("-{rest}"),
            ("-", rest) => format!("+{rest}"),
            _ => (*line).to_owned(),
        })
        .collect();
    assert_eq!(back, turned);
    assert_eq!((reversed.added, reversed.removed), (summary.removed, summary.added));
}

#[test]
fn parts_of_snapshots_are_compared() {
    let world = World::new();
    world.write("a/file", "1");
    world.write("a/other", "1");
    world.write("b/file", "2");
    world.write("b/more", "3");
    std::fs::set_permissions(world.source().join("a"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(world.source().join("b"), PermissionsExt::from_mode(0o700)).unwrap();
    let one = snapshot(&world);
    world.write("a/file", "changed");
    let other = snapshot(&world);
    let at = |snapshot, path| Part { snapshot, path: Some(path) };
    let paths = ["a", "b", "a/file", "b/file"].map(|name| path(&format!("{NAME}/{name}")));
    let [a, b, a_file, b_file] = &paths;
    assert_eq!(compared(&world, at(&one, a), at(&other, a)).0, ["M /data/a/file"]);
    assert_eq!(compared(&world, at(&one, b), at(&other, b)).0, [""; 0]);
    assert_eq!(compared(&world, at(&one, a), at(&one, b)).0, ["M /file", "+ /more", "- /other"]);
    assert_eq!(compared(&world, at(&one, a_file), at(&other, a_file)).0, ["M /data/a/file"]);
    assert_eq!(compared(&world, at(&one, a_file), at(&one, b_file)).0, ["M /data/b/file"]);
    let nowhere = path("data/none");
    let missing = diff::trees(&world.repo(), at(&one, a), at(&one, &nowhere), &mut |_| ControlFlow::Continue(()));
    assert!(missing.unwrap_err().to_string().contains("/data/none"));
}

#[test]
fn secret_files_tell_names_and_are_read_where_hashes_say_nothing() {
    let world = World::new();
    world.write(".env", "A=first-value\nB=2\n");
    world.write("touched/.env", "A=1\n");
    let before = snapshot(&world);
    world.write(".env", "B=2\nC=other-value\n");
    // Rewritten with the same content: stored again, under another key.
    world.write("touched/.env", "A=2\n");
    let between = snapshot(&world);
    world.write("touched/.env", "A=1\n");
    world.write("new.env", "");
    world.write("later/.env", "D=4\n");
    let after = snapshot(&world);
    let hash = |snapshot: &Snapshot| {
        let mut found = None;
        let at = path("data/touched/.env");
        let each = &mut |_: &SafePath, entry: &nightsafe::snapshot::tree::entry::Entry| {
            found = entry.hash;
            ControlFlow::Break(())
        };
        nightsafe::snapshot::browse::list_entries(&world.repo(), snapshot, Some(&at), false, each).unwrap();
        found.unwrap()
    };
    assert_ne!(hash(&before), hash(&after), "or this test shows nothing");

    let (lines, summary) = compared(&world, whole(&before), whole(&after));
    let shown = lines.join("\n");
    assert!(!shown.contains("value"), "{shown}");
    assert!(lines.contains(&"M /data/.env +C -A".to_owned()), "{shown}");
    assert!(lines.contains(&"+ /data/later/.env +D".to_owned()), "{shown}");
    assert!(lines.contains(&"U /data/touched/.env".to_owned()), "{shown}");
    assert_eq!(summary.unknown, 0);
    let (lines, _) = compared(&world, whole(&before), whole(&between));
    assert!(lines.contains(&"M /data/touched/.env".to_owned()), "{lines:?}");

    // Names are found as well where paths begin at the parts.
    let (one, other) = (path("data"), path("data/later"));
    let (lines, _) =
        compared(&world, Part { snapshot: &before, path: Some(&one) }, Part { snapshot: &after, path: Some(&other) });
    assert!(lines.contains(&"M /.env +D -A -B".to_owned()), "{lines:?}");
}

#[test]
fn a_secret_file_that_cannot_be_read_may_have_changed() {
    let world = World::new();
    world.write(".env", "A=1\n");
    let before = snapshot(&world);
    let packs = world.objects("packs/");
    world.write(".env", "A=2\n");
    let after = snapshot(&world);
    // What the second run stored of secrets is lost: its pack of one frame, the smallest.
    let new = world.objects("packs/").into_iter().filter(|(key, _)| !packs.contains_key(key));
    for (key, _) in new {
        let bytes = world.bytes(&key);
        let mut damaged = bytes.clone();
        // Behind the head of a pack, in its first frame; the directories' pack is kept.
        damaged[200] ^= 1;
        world.replace(&key, damaged);
        let mut found = Vec::new();
        let outcome = diff::trees(&world.repo(), whole(&before), whole(&after), &mut |d| {
            found.push((d.path.to_string(), d.change, d.metadata.contains(&Aspect::Mtime)));
            ControlFlow::Continue(())
        });
        world.replace(&key, bytes);
        if outcome.is_ok() {
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].0.as_str(), found[0].1), ("/data/.env", Change::Unknown));
            return;
        }
    }
    panic!("no pack held secrets alone");
}

#[test]
fn what_is_alike_is_not_read() {
    let world = World::new();
    // Short files stand in their folders, and so do names: these are long.
    for n in 0..6_000 {
        world.write(&format!("many/{:03}/{}", n % 100, noisy_text(200)), noise(60));
    }
    world.write("one", "1");
    let before = snapshot(&world);
    world.write("one", "2");
    let after = snapshot(&world);
    let read = |work: &dyn Fn(&nightsafe::repo::repository::Repo<nightsafe::repo::repository::Full>)| {
        let store = Arc::new(RecordingStore::new(world.store.clone()));
        let repo = world.repo_over(store.clone());
        store.take();
        work(&repo);
        store.amount(Operation::GetRange, "packs/")
    };
    let compared = read(&|repo| {
        let mut found = Vec::new();
        let each = &mut |d: &diff::tree::Difference<'_>| {
            found.push(d.path.to_string());
            ControlFlow::Continue(())
        };
        diff::trees(repo, whole(&before), whole(&after), each).unwrap();
        assert_eq!(found, ["/data/one"]);
    });
    let listed = read(&|repo| {
        let each = &mut |_: &SafePath, _: &nightsafe::snapshot::tree::entry::Entry| ControlFlow::Continue(());
        nightsafe::snapshot::browse::list_entries(repo, &after, None, true, each).unwrap();
    });
    assert!(listed > 1 << 20 && compared < listed / 2, "{compared} of {listed} bytes");
}
