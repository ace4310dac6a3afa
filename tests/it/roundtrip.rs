//! What goes in comes back, snapshot by snapshot, whatever becomes of the caches.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{NAME, Portrait, World, noise, portrait};
use nightsafe::repo::id::RunId;
use nightsafe::repo::store::Store;
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::record::RecordingStore;
use nightsafe::snapshot::browse;
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::stream;
use nightsafe::snapshot::tree::path::SafePath;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Names, among them such that aren't UTF-8, need escaping, or sort oddly.
const NAMES: [&[u8]; 12] =
    [b"a", b"b", b"b.txt", b"c", b"d", b"\xff\xfe", b"new\nline", b"\xc3", b"~", b"A", b" ", b"..x"];
/// Lengths around which the engine does something else: none, within the entry, the first that isn't, one chunk, several, several frames.
const LENGTHS: [usize; 9] = [0, 1, 64, 65, 4_000, 16_384, 70_000, 600_000, 3_000_000];

/// One change of a folder. Numbers choose from what there is.
#[derive(Debug, Clone)]
enum Change {
    Write { folder: usize, name: usize, length: usize, mtime: i64 },
    Duplicate { from: usize, folder: usize, name: usize },
    Sparse { folder: usize, name: usize, offset: u64 },
    Patch { file: usize, at: usize },
    Append { file: usize, length: usize },
    Link { file: usize, folder: usize, name: usize },
    Symlink { folder: usize, name: usize },
    Folder { folder: usize, name: usize },
    Rename { file: usize, folder: usize, name: usize },
    Remove { file: usize },
    RemoveFolder { folder: usize },
    Mode { file: usize, mode: u32 },
}

fn change() -> impl Strategy<Value = Change> {
    let n = 0..64_usize;
    prop_oneof![
        6 => (n.clone(), n.clone(), n.clone(), -2_000_000_000..2_000_000_000_i64).prop_map(
            |(folder, name, length, mtime)| Change::Write { folder, name, length, mtime }),
        2 => (n.clone(), n.clone(), n.clone()).prop_map(|(from, folder, name)| Change::Duplicate { from, folder, name }),
        1 => (n.clone(), n.clone(), 0..9_000_000_u64).prop_map(|(folder, name, offset)| Change::Sparse { folder, name, offset }),
        2 => (n.clone(), 0..4_000_000_usize).prop_map(|(file, at)| Change::Patch { file, at }),
        2 => (n.clone(), n.clone()).prop_map(|(file, length)| Change::Append { file, length }),
        2 => (n.clone(), n.clone(), n.clone()).prop_map(|(file, folder, name)| Change::Link { file, folder, name }),
        1 => (n.clone(), n.clone()).prop_map(|(folder, name)| Change::Symlink { folder, name }),
        3 => (n.clone(), n.clone()).prop_map(|(folder, name)| Change::Folder { folder, name }),
        1 => (n.clone(), n.clone(), n.clone()).prop_map(|(file, folder, name)| Change::Rename { file, folder, name }),
        1 => n.clone().prop_map(|file| Change::Remove { file }),
        1 => n.clone().prop_map(|folder| Change::RemoveFolder { folder }),
        1 => (n, 0..0o10_000_u32).prop_map(|(file, mode)| Change::Mode { file, mode }),
    ]
}

/// The folders, or the regular files, below `base`.
fn all(base: &Path, folders: bool) -> Vec<PathBuf> {
    let of_kind = |(path, facts): (PathBuf, crate::world::Facts)| {
        let is_folder = facts.mode & 0o170_000 == 0o040_000;
        let is_file = facts.size.is_some();
        (if folders { is_folder } else { is_file }).then(|| base.join(path))
    };
    portrait(base).into_iter().filter_map(of_kind).collect()
}

fn pick(from: &[PathBuf], n: usize) -> Option<&PathBuf> {
    from.get(n % from.len().max(1))
}

fn set_mtime(path: &Path, seconds: i64) {
    let mtime = Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Applies a change; one that can't be (no such file yet, a name that is taken by a folder) is none.
fn apply(base: &Path, change: &Change) -> std::io::Result<()> {
    let (folders, files) = (all(base, true), all(base, false));
    let at =
        |folder: usize, name: usize| pick(&folders, folder).unwrap().join(OsStr::from_bytes(NAMES[name % NAMES.len()]));
    match *change {
        Change::Write { folder, name, length, mtime } => {
            let path = at(folder, name);
            std::fs::write(&path, noise(LENGTHS[length % LENGTHS.len()]))?;
            set_mtime(&path, mtime);
        }
        Change::Duplicate { from, folder, name } => {
            if let Some(from) = pick(&files, from) {
                let bytes = std::fs::read(from)?;
                std::fs::write(at(folder, name), bytes)?;
            }
        }
        Change::Sparse { folder, name, offset } => {
            let file = File::create(at(folder, name))?;
            file.write_all_at(&noise(10_000), offset)?;
            file.set_len(offset + 2_000_000)?;
        }
        Change::Patch { file, at } => {
            if let Some(path) = pick(&files, file) {
                let file = File::options().write(true).open(path)?;
                let length = usize::try_from(file.metadata()?.len()).unwrap();
                if length > 0 {
                    file.write_all_at(&noise(1), (at % length) as u64)?;
                }
            }
        }
        Change::Append { file, length } => {
            if let Some(path) = pick(&files, file) {
                let file = File::options().write(true).open(path)?;
                file.write_all_at(&noise(LENGTHS[length % LENGTHS.len()]), file.metadata()?.len())?;
            }
        }
        Change::Link { file, folder, name } => {
            if let Some(path) = pick(&files, file) {
                std::fs::hard_link(path, at(folder, name))?;
            }
        }
        Change::Symlink { folder, name } => symlink(OsStr::from_bytes(b"no/where\xff"), at(folder, name))?,
        Change::Folder { folder, name } => std::fs::create_dir(at(folder, name))?,
        Change::Rename { file, folder, name } => {
            if let Some(path) = pick(&files, file) {
                std::fs::rename(path, at(folder, name))?;
            }
        }
        Change::Remove { file } => {
            if let Some(path) = pick(&files, file) {
                std::fs::remove_file(path)?;
            }
        }
        Change::RemoveFolder { folder } => {
            if let Some(path) = pick(&folders, folder).filter(|path| *path != base) {
                std::fs::remove_dir_all(path)?;
            }
        }
        Change::Mode { file, mode } => {
            if let Some(path) = pick(&files, file) {
                // Readable, also where the tests don't run as root.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o600))?;
            }
        }
    }
    Ok(())
}

/// Takes a snapshot, which must be complete.
fn snapshot(world: &World) -> RunId {
    let summary = world.back_up();
    assert_eq!(summary.problems, []);
    assert_eq!(summary.state, State::Complete);
    summary.snapshot.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_of_a_changing_folder_comes_back(
        nights in prop::collection::vec(prop::collection::vec(change(), 1..20), 1..5)
    ) {
        let world = World::new();
        let mut kept: Vec<(RunId, Portrait)> = Vec::new();
        for night in &nights {
            for change in night {
                let _ = apply(&world.source(), change);
            }
            let id = snapshot(&world);
            kept.push((id, portrait(&world.source())));
        }
        for (id, portrait) in kept {
            prop_assert_eq!(world.restored(id), portrait);
        }
    }
}

/// A folder with all kinds of files, old enough that the cache of seen files may keep them.
fn settled() -> World {
    let world = World::new();
    for (n, length) in LENGTHS.into_iter().enumerate() {
        world.write(&format!("folder-{}/file-{n}", n % 3), noise(length));
    }
    world.write("app/.env", "DATABASE_URL=postgres://u:hush-hush@db/x\nexport KEY='very private value'\n");
    std::fs::hard_link(world.source().join("folder-1/file-7"), world.source().join("folder-2/again")).unwrap();
    let sparse = File::create(world.source().join("app/sparse")).unwrap();
    sparse.write_all_at(&noise(5_000), 3_000_000).unwrap();
    symlink("folder-1", world.source().join("link")).unwrap();
    // Files that changed in the last two seconds are read again, by design.
    world.write("at-the-root", noise(1_000));
    std::thread::sleep(Duration::from_millis(2_300));
    world
}

/// The access time of every regular file, having been set so that any reading would be seen.
fn forbid_reading(base: &Path) -> Vec<(PathBuf, (i64, i64))> {
    let atime = |path: &Path| {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        (metadata.atime(), metadata.atime_nsec())
    };
    all(base, false).into_iter().map(|path| (path.clone(), atime(&path))).collect()
}

#[test]
fn an_unchanged_folder_is_neither_read_nor_stored_again() {
    let world = settled();
    let before = portrait(&world.source());
    let first = world.back_up();
    assert!(first.statistics.packs_added >= 2 && first.statistics.bytes_read > 3_000_000);
    let packs = world.objects("packs/");
    let times = forbid_reading(&world.source());
    for night in 2..5 {
        let again = world.back_up();
        let s = again.statistics;
        assert_eq!((s.bytes_read, s.packs_added, s.chunks_added, s.stored_added), (0, 0, 0, 0), "{night}: {s:?}");
        assert_eq!((s.files, s.files_new, s.files_changed, s.files_unmodified), (s.files, 0, 0, s.files));
        assert_eq!((s.files, s.bytes), (first.statistics.files, first.statistics.bytes));
        assert_eq!(world.objects("packs/"), packs);
        assert_eq!(forbid_reading(&world.source()), times);
        assert_eq!(world.restored(again.snapshot.unwrap()), before);
    }
    assert_eq!(world.restored(first.snapshot.unwrap()), before);
}

#[test]
fn each_name_is_counted_once_and_its_bytes_with_the_first() {
    let world = World::new();
    world.write("a/same", noise(5_000));
    for folder in ["b", "c"] {
        std::fs::create_dir(world.source().join(folder)).unwrap();
    }
    for name in ["b/same", "c/other"] {
        std::fs::hard_link(world.source().join("a/same"), world.source().join(name)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(2_300));
    for night in 0..2 {
        let s = world.back_up().statistics;
        assert_eq!(
            (s.files, s.files_new + s.files_changed + s.files_unmodified, s.bytes),
            (3, 3, 5_000),
            "{night}: {s:?}"
        );
    }
}

#[test]
fn a_cache_that_is_gone_or_damaged_costs_time_only() {
    let world = settled();
    let before = portrait(&world.source());
    let first = world.back_up();
    world.back_up();
    let data_of = |id: RunId| world.snapshot(id).manifest.statistics;
    let added = data_of(first.snapshot.unwrap()).chunks_added;
    assert!(added > 10);
    // Secrets never deduplicate, so a file that must be read again is stored again: one chunk and what names it.
    let check = |what: &str| {
        let id = snapshot(&world);
        let s = data_of(id);
        assert!(s.raw_added < 20_000, "{what}: {s:?}");
        assert_eq!(world.restored(id), before, "{what}");
    };
    let files: Vec<PathBuf> = all(&world.cache(), false);
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let Ok(good) = std::fs::read(&path) else { continue };
        std::fs::remove_file(&path).unwrap();
        check(&format!("{} removed", path.display()));
        for at in [0, good.len() / 3, good.len() / 2, good.len().saturating_sub(40), good.len() - 1] {
            let Ok(mut bytes) = std::fs::read(&path) else { break };
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x10;
            }
            std::fs::write(&path, bytes).unwrap();
            check(&format!("{} flipped at {at}", path.display()));
        }
        if path.exists() {
            std::fs::write(&path, b"").unwrap();
            check(&format!("{} emptied", path.display()));
        }
    }
    std::fs::remove_dir_all(world.cache()).unwrap();
    check("no cache at all");
}

/// What a trailer says is known, even if a run was killed before it wrote a segment or a manifest.
#[test]
fn chunks_that_only_trailers_name_are_not_stored_again() {
    let world = World::new();
    world.write("file", noise(4_000_000));
    let id = snapshot(&world);
    for prefix in ["snapshots/", "index/", "pins/", "runs/"] {
        for key in world.objects(prefix).keys() {
            world.store.delete(key).unwrap();
        }
    }
    std::fs::remove_dir_all(world.cache()).unwrap();
    let packs = world.objects("packs/");
    let again = snapshot(&world);
    assert_ne!(id, again);
    assert_eq!(world.objects("packs/"), packs);
    assert_eq!(world.restored(again), portrait(&world.source()));
}

/// Many small new pieces of an old file: more than 64 references, so a list.
fn patchwork() -> (World, Vec<u8>) {
    let world = World::new();
    // Boundaries depend on the repository's random keys: twice as many pieces as needed.
    let mut content = noise(20_000_000);
    world.write("folder/file", &content);
    snapshot(&world);
    // Every other chunk is new, so neighbours in the file lie in different frames.
    for at in (0..content.len()).step_by(100_000) {
        content[at] ^= 1;
    }
    world.write("folder/file", &content);
    (world, content)
}

#[test]
fn a_file_of_many_frames_uses_a_list_and_comes_back() {
    let (world, content) = patchwork();
    let id = snapshot(&world);
    let (repo, snapshot) = (world.repo(), world.snapshot(id));
    let path = SafePath::parse(format!("{NAME}/folder/file").as_bytes()).unwrap();
    let reader = browse::reader(&repo).unwrap();
    let entry = browse::entry_at(&reader, &snapshot, &path).unwrap();
    assert!(entry.list.is_some() && entry.references.is_none(), "{entry:?}");
    assert!(stream::references(&reader, &entry).unwrap().len() > 64);
    let mut dumped = Vec::new();
    restore::dump(&repo, &snapshot, &path, &mut dumped, &Silent::default()).unwrap();
    assert!(dumped == content);
    assert_eq!(world.restored(id), portrait(&world.source()));
    // A list is remembered with all its frames: unchanged, it isn't read again.
    std::thread::sleep(Duration::from_millis(2_300));
    world.back_up();
    let again = world.back_up();
    assert_eq!((again.statistics.bytes_read, again.statistics.packs_added), (0, 0));
    assert_eq!(world.restored(again.snapshot.unwrap()), portrait(&world.source()));
}

#[test]
fn values_of_secrets_are_nowhere_and_names_are_shown() {
    let world = settled();
    let id = snapshot(&world);
    snapshot(&world);
    let values: [&[u8]; 2] = [b"hush-hush", b"very private value"];
    let holds = |bytes: &[u8], value: &[u8]| bytes.windows(value.len()).any(|window| window == value);
    for key in world.objects("").into_keys() {
        assert!(!values.iter().any(|value| holds(&world.bytes(&key), value)), "{key}");
    }
    let caches = all(&world.cache(), false);
    assert!(!caches.is_empty());
    for path in caches {
        let bytes = std::fs::read(&path).unwrap();
        // Neither values nor names: those are in the sealed part of the manifest alone. (The cache of seen files is the owner's.)
        assert!(!values.iter().any(|value| holds(&bytes, value)), "{}", path.display());
    }
    let manifest = world.snapshot(id).manifest;
    let path = SafePath::parse(format!("{NAME}/app/.env").as_bytes()).unwrap();
    assert_eq!(manifest.secrets.len(), 1);
    assert_eq!(
        (&manifest.secrets[0].path, &manifest.secrets[0].names),
        (&path, &vec!["DATABASE_URL".to_owned(), "KEY".to_owned()])
    );
    assert!(!values.iter().any(|value| holds(format!("{manifest:?}").as_bytes(), value)));
    let repo = world.repo();
    let reader = browse::reader(&repo).unwrap();
    let entry = browse::entry_at(&reader, &world.snapshot(id), &path).unwrap();
    assert!(entry.is_secret() && entry.inline.is_none());
    // The open part is what writers of the domain may know: not even the names.
    let keys = nightsafe::repo::format::key::snapshot(id);
    let object = world.bytes(&keys);
    let envelope = nightsafe::repo::envelope::open_manifest(&**repo.keys(), id, &object).unwrap();
    for text in [&b"DATABASE_URL"[..], b"hush-hush", b".env"] {
        assert!(!holds(envelope.open_part(), text));
    }
}

/// Two hosts, or one that lost its cache and got it back from a copy: a cache that knows less, or of more, than there is.
#[test]
fn a_cache_from_another_time_is_brought_up_to_date() {
    let world = settled();
    snapshot(&world);
    let old = world.fresh();
    copy(&world.cache(), &old);
    world.write("new", noise(500_000));
    let later = snapshot(&world);
    std::fs::remove_dir_all(world.cache()).unwrap();
    copy(&old, &world.cache());
    let recording = Arc::new(RecordingStore::new(world.store.clone() as Arc<dyn Store>));
    let summary = world.try_back_up(&world.repo_over(recording.clone())).unwrap();
    assert!(recording.amount(Operation::Put, "packs/") < 20_000, "the packs of the later run were learnt");
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
    assert_eq!(world.restored(later), portrait(&world.source()));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
