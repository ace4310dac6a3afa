//! Snapshots that somebody forged who has the key: directories with names that lead out, names twice, trees too deep, sizes that lie. The program restores, lists, dumps and checks them: nothing is
//! written outside of the target, what is wrong is named, and all else comes back.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod said;

use crate::binary::{Said, Scene};
use crate::world::{Portrait, noise, noisy_text, portrait};
use nightsafe::repo::cbor;
use nightsafe::repo::clock::Clock;
use nightsafe::repo::envelope::seal_manifest;
use nightsafe::repo::format::{Class, MAX_DEPTH};
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::{KeyFile, Secret};
use nightsafe::repo::repository::{AnyRepo, CacheDir, Full, Repo, open};
use nightsafe::repo::run::{Commit, Run};
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::view::View;
use nightsafe::repo::writer::{Writer, WriterStart};
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::history::History;
use nightsafe::snapshot::manifest::{OpenPart, SealedPart, Source, State, Statistics};
use nightsafe::snapshot::tree::entry::{Entry, EntryType, encode_entry};
use nightsafe::snapshot::tree::reference::Reference;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a link leads, and an absolute name: beside the target.
const OUTSIDE: &str = "place/outside";

/// A writer with the key, which stores what no backup would.
struct Forger<'r> {
    repo: &'r Repo<Full>,
    run: Run,
    writer: Writer,
}

impl<'r> Forger<'r> {
    fn new(repo: &'r Repo<Full>) -> Self {
        let run = Run::announce(repo, now(), "forger", "forger").unwrap();
        let view = Arc::new(View::for_writing(repo).unwrap());
        let fence = run.fence(repo, &view).unwrap();
        let (store, keys) = (Arc::clone(repo.store()), Arc::clone(repo.keys()));
        let start = WriterStart { store, keys, run: run.id, view, fence, clock: Clock::default() };
        Self { repo, run, writer: Writer::start(start).unwrap() }
    }

    /// An entry whose stream these bytes are, as one chunk.
    fn stored(&self, name: &[u8], kind: EntryType, bytes: &[u8]) -> Entry {
        let class = if kind == EntryType::Directory { Class::Meta } else { Class::Data };
        let mut lane = self.writer.lane(class);
        let mut pending = Vec::new();
        if !bytes.is_empty() {
            lane.put(bytes, &mut pending).unwrap();
            lane.flush().unwrap();
        }
        let reference = |pending: &nightsafe::repo::writer::PendingRef| Reference {
            frame: self.writer.frame_id(pending.frame).unwrap(),
            first: pending.first,
            count: pending.count,
        };
        Entry {
            mode: if kind == EntryType::Directory { 0o755 } else { 0o644 },
            size: Some(bytes.len() as u64),
            references: Some(pending.iter().map(reference).collect()),
            hash: Some(*blake3::hash(bytes).as_bytes()),
            ..Entry::new(name, kind)
        }
    }

    fn file(&self, name: &[u8], bytes: &[u8]) -> Entry {
        self.stored(name, EntryType::File, bytes)
    }

    /// A directory with these entries, whatever they are.
    fn directory(&self, name: &[u8], entries: &[Entry]) -> Entry {
        let mut stream = Vec::new();
        for entry in entries {
            encode_entry(entry, &mut stream);
        }
        self.stored(name, EntryType::Directory, &stream)
    }

    /// Commits a snapshot with this directory at its top, of which it says that it holds so many entries.
    fn commit(self, data: Entry, files: u64) -> RunId {
        let top = self.directory(b"", &[data]);
        let Self { repo, run, writer } = self;
        let durable = writer.finish().unwrap();
        let history = History::load(repo).unwrap();
        let open = OpenPart {
            needs: None,
            time: now(),
            zone: "UTC".to_owned(),
            host: "forger".to_owned(),
            app: None,
            tags: vec![],
            state: State::Complete,
            sequence: history.next(),
            previous: history.last().map(|last| last.hash),
            parent: None,
            replaces: None,
            tool: "forger".to_owned(),
            statistics: Statistics { files, ..Statistics::default() },
            sources: vec![Source { name: "data".to_owned(), kind: "files".to_owned(), state: State::Complete }],
            brings_back: None,
            checkpoint_of: None,
        };
        let sealed = SealedPart {
            needs: None,
            root: top,
            paths: vec![],
            problems: vec![],
            secrets: vec![],
            user: None,
            databases: None,
            application: None,
            details: None,
            exclusions: None,
            dumps: None,
        };
        let (open, sealed) = (cbor::encode(&open), cbor::encode(&sealed));
        let manifest =
            seal_manifest(repo.keys(), run.id, &durable.run_key, &durable.opening.wrap, &open, &sealed).unwrap();
        let id = run.id;
        assert_eq!(run.commit(repo, &durable, manifest).unwrap(), Commit::Done);
        id
    }
}

fn link(name: &[u8], target: &str) -> Entry {
    Entry { mode: 0o777, target: Some(target.as_bytes().to_vec()), ..Entry::new(name, EntryType::Symlink) }
}

/// What is in the directories beside the one that is forged.
const SIBLINGS: [&str; 2] = ["a-before", "z-after"];

/// A repository, and a place with something beside the target.
struct Place {
    scene: Scene,
    repo: Repo<Full>,
    sound: Vec<u8>,
    before: Portrait,
}

impl Place {
    fn new() -> Self {
        let scene = Scene::new();
        std::fs::create_dir_all(scene.at(OUTSIDE).join("folder")).unwrap();
        for path in ["place/ok", "place/outside/escaped", "place/outside/folder/escaped"] {
            std::fs::write(scene.at(path), "outside").unwrap();
        }
        let key = std::fs::read_to_string(scene.at("key")).unwrap();
        let secret = Secret::KeyFile(KeyFile::parse(&key).unwrap());
        let store = Arc::new(LocalStore::new(&scene.at("repository")));
        let AnyRepo::Full(repo) = open(store, &secret, &CacheDir::new(scene.at("forgers-cache"))).unwrap() else {
            panic!("a full key")
        };
        let before = portrait(&scene.at("place"));
        Self { scene, repo, sound: noisy_text(5_000).into_bytes(), before }
    }

    /// A snapshot in which `evil` makes one directory, or another entry, among sound ones.
    fn forge(&self, evil: impl FnOnce(&Forger<'_>) -> Entry) -> String {
        self.forge_counted(1 << 20, evil)
    }

    /// The same, of which it says that it holds so many entries.
    fn forge_counted(&self, files: u64, evil: impl FnOnce(&Forger<'_>) -> Entry) -> String {
        let forger = Forger::new(&self.repo);
        let sibling = |name: &str| forger.directory(name.as_bytes(), &[forger.file(b"ok", &self.sound)]);
        let entries = [sibling(SIBLINGS[0]), evil(&forger), sibling(SIBLINGS[1])];
        let data = forger.directory(b"data", &entries);
        forger.commit(data, files).to_string()
    }

    fn target(&self) -> PathBuf {
        self.scene.at("place/target")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.scene.run(arguments.iter().copied())
    }

    fn restore(&self, id: &str, more: &[&str]) -> Said {
        let (from, target) = (format!("{id}:/data"), self.target());
        let arguments = ["restore", &from, "--target", target.to_str().unwrap()];
        self.run(&[&arguments[..], more].concat())
    }

    /// Nothing beside the target is other than it was. Takes the target away.
    fn assert_nothing_outside(&self, what: &str) {
        // `rm` goes deeper than this program may.
        assert!(std::process::Command::new("rm").arg("-rf").arg(self.target()).status().unwrap().success());
        let mut after = portrait(&self.scene.at("place"));
        let top = std::path::Path::new("");
        // The time of the folder that the target was in.
        after.get_mut(top).unwrap().mtime = self.before[top].mtime;
        assert_eq!(after, self.before, "{what}");
    }

    fn assert_siblings(&self, what: &str) {
        for sibling in SIBLINGS {
            let found = std::fs::read(self.target().join(sibling).join("ok"));
            assert_eq!(found.ok().as_ref(), Some(&self.sound), "{what}: {sibling}");
        }
    }

    /// Every verb with a snapshot of which `path` is forged: it's named, with the reason, and the exit code says that something is wrong.
    fn assert_refused(&self, id: &str, path: &str, why: &str, what: &str) {
        let says = |said: &Said, why: &str| {
            let text = format!("{}{}", said.out, said.err);
            assert!(text.contains(path) && text.contains(why), "{what}: {path} and {why:?} aren't named: {said:?}");
        };
        let named = |said: &Said| says(said, why);
        let said = self.restore(id, &["--dry-run"]);
        assert!(!self.target().exists(), "{what}: a dry run");
        assert_eq!(said.code, Some(3), "{what}: {said:?}");
        says(&said, "can't be read in the snapshot");
        let said = self.restore(id, &[]);
        assert_eq!(said.code, Some(3), "{what}: {said:?}");
        named(&said);
        self.assert_siblings(what);
        self.assert_nothing_outside(what);
        // Into a folder that holds something, too.
        std::fs::create_dir(self.target()).unwrap();
        std::fs::write(self.target().join("mine"), "mine").unwrap();
        let said = self.restore(id, &["--into-existing", "--overwrite", "always", "--delete"]);
        assert_ne!(said.code, Some(0), "{what}: {said:?}");
        named(&said);
        assert!(self.target().join("mine").exists(), "{what}: of a snapshot that can't be read nothing is deleted");
        self.assert_nothing_outside(what);
        let said = self.run(&["dump", &format!("{id}:/data/{}/ok", SIBLINGS[1])]);
        assert_eq!((said.code, said.out.as_bytes()), (Some(0), &*self.sound), "{what}: {said:?}");
        for read in [&["check"][..], &["check", "--read-data"]] {
            let said = self.run(read);
            assert_eq!(said.code, Some(1), "{what}: {read:?} {said:?}");
            named(&said);
            let short = &id.parse::<RunId>().unwrap().random_part()[..8];
            assert!(said.out.contains(short) || said.err.contains(short), "{what}: {said:?}");
        }
        self.assert_nothing_outside(what);
    }

    /// Takes the snapshot away, so that the next check tells of the next one alone.
    fn forget(&self, id: &str) {
        let said = self.run(&["forget", id, "--allow-empty-group"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// What makes the entries of a directory.
type Entries<'e> = Box<dyn Fn(&Forger<'_>) -> Vec<Entry> + 'e>;

/// Entries that no directory may have, in one that a snapshot has: names that lead out, twice, out of order, and what isn't an entry.
#[test]
fn forged_directories_lead_nowhere_and_are_named() {
    let place = Place::new();
    let outside = place.scene.at(OUTSIDE);
    let outside = outside.to_str().unwrap();
    let bad_name = |name: &[u8]| {
        let name = name.to_vec();
        move |forger: &Forger<'_>| vec![forger.file(&name, b"escaped"), forger.file(b"~", b"later")]
    };
    let bad_folder = |name: &[u8]| {
        let name = name.to_vec();
        move |forger: &Forger<'_>| vec![forger.directory(&name, &[forger.file(b"escaped", b"escaped")])]
    };
    let name = "not a possible name";
    let mut cases: Vec<(String, &str, Entries<'_>)> = Vec::new();
    for bad in [&b".."[..], b".", b"", b"a/b", b"../ok", b"a\0b", format!("{outside}/escaped").as_bytes()] {
        let shown = String::from_utf8_lossy(bad).into_owned();
        cases.push((format!("a file {shown:?}"), name, Box::new(bad_name(bad))));
        cases.push((format!("a folder {shown:?}"), name, Box::new(bad_folder(bad))));
    }
    let linked_folder = |forger: &Forger<'_>| {
        let folder = forger.directory(b"x", &[forger.file(b"escaped", b"escaped"), forger.file(b"new", b"escaped")]);
        vec![link(b"x", outside), folder]
    };
    cases.push(("a link, and a folder of its name".to_owned(), "out of order", Box::new(linked_folder)));
    let linked_file = |forger: &Forger<'_>| vec![link(b"x", &format!("{outside}/escaped")), forger.file(b"x", b"y")];
    cases.push(("a link, and a file of its name".to_owned(), "out of order", Box::new(linked_file)));
    let twice = |forger: &Forger<'_>| vec![forger.file(b"x", b"one"), forger.file(b"x", b"two")];
    cases.push(("a file twice".to_owned(), "out of order", Box::new(twice)));
    let unsorted = |forger: &Forger<'_>| vec![forger.file(b"y", b"one"), forger.file(b"x", b"two")];
    cases.push(("out of order".to_owned(), "out of order", Box::new(unsorted)));
    let grouped = |forger: &Forger<'_>| {
        let folder = forger.directory(b"x", &[]);
        vec![Entry { link_group: Some([7; 8]), ..folder }]
    };
    cases.push(("a folder that is a hard link".to_owned(), "", Box::new(grouped)));
    for (what, why, entries) in &cases {
        let id = place.forge(|forger| forger.directory(b"evil", &entries(forger)));
        place.assert_refused(&id, "/data/evil", why, what);
        for path in ["", ":/data/evil"] {
            let said = place.run(&["ls", "-R", &format!("{id}{path}")]);
            assert_eq!(said.code, Some(1), "{what}: {said:?}");
            assert!(said.err.contains("/data/evil") && said.err.contains(why), "{what}: {said:?}");
        }
        // A name that sorts behind all of them.
        let said = place.run(&["dump", &format!("{id}:/data/evil/~~")]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{what}: {said:?}");
        assert!(said.err.contains("/data/evil"), "{what}: {said:?}");
        place.forget(&id);
    }
    assert!(cases.len() > 15);
}

/// A stream that is no directory at all.
#[test]
fn forged_streams_are_named() {
    let place = Place::new();
    for (what, bytes) in [
        ("noise", noise(300)),
        ("an entry that is longer than any", vec![0x81, 0x80, 0x80, 0x08]),
        ("a length alone", vec![40]),
    ] {
        let id = place.forge(|forger| forger.stored(b"evil", EntryType::Directory, &bytes));
        place.assert_refused(&id, "/data/evil", "", what);
        place.forget(&id);
    }
}

/// Folders in folders, more than the format has: what is below the limit comes back, the folder beyond it is named, by every verb.
#[test]
fn forged_depth_ends_at_the_limit() {
    let place = Place::new();
    let id = place.forge(|forger| {
        let mut at = forger.directory(b"d", &[forger.file(b"too-deep", b"x")]);
        // `data` and `evil` are above; a restore of `data` may go a level deeper than a check of all.
        for _ in 0..MAX_DEPTH - 1 {
            at = forger.directory(b"d", &[at]);
        }
        forger.directory(b"evil", &[at])
    });
    place.assert_refused(&id, "/data/evil/d/d/d", &format!("deeper than {MAX_DEPTH} directories"), "too deep");
}

/// Forty folders of which each has the next one twice: 2⁴⁰ paths in some KiB, which kept whoever walked them busy for ever. A walk ends where the manifest's counts do, which is what its writer signed.
#[test]
fn forged_folders_that_share_what_is_in_them_end_where_the_counts_do() {
    let place = Place::new();
    let shared = |levels: usize, forger: &Forger<'_>| {
        let mut at = vec![forger.file(b"ok", b"x")];
        for _ in 0..levels {
            at = [&b"a"[..], b"b"].map(|name| forger.directory(name, &at)).to_vec();
        }
        forger.directory(b"evil", &at)
    };
    // Six levels, one file at the end of each path, and `data`, `evil`, and the siblings with what is in them.
    let count = (1..=6).map(|level| 1 << level).sum::<u64>() + (1 << 6) + 6;
    let sound = place.forge_counted(count, |forger| shared(6, forger));
    for arguments in [&["check", "--read-data"][..], &["ls", "-R", &sound]] {
        let said = place.run(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let said = place.restore(&sound, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    place.assert_siblings("as many as are counted");
    place.assert_nothing_outside("as many as are counted");
    place.forget(&sound);

    // One too few also for a restore of `data`, which isn't met itself.
    let few = place.forge_counted(count - 2, |forger| shared(6, forger));
    let many = place.forge_counted(1_000, |forger| shared(40, forger));
    for (id, counted) in [(&few, count - 2), (&many, 1_000)] {
        let why = format!("lists more than the {counted} entries that its manifest counts");
        for arguments in
            [&["ls", "-R", id][..], &["restore", id, "--target", "unused", "--dry-run"], &["diff", &few, &many]]
        {
            let said = place.run(arguments);
            assert_eq!(said.code, Some(1), "{arguments:?}: {said:?}");
            assert!(said.err.contains("entries that its manifest counts"), "{arguments:?}: {said:?}");
        }
        let said = place.restore(id, &[]);
        assert!(said.code == Some(1) && said.err.contains(&why), "{said:?}");
        place.assert_nothing_outside("too many");
        let said = place.run(&["dump", &format!("{id}:/data/{}/ok", SIBLINGS[1])]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let said = place.run(&["check", "--read-data"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for (listed, counted) in [(count, count - 2), ((1 << 41) - 2 + (1 << 40) + 6, 1_000)] {
        let what = format!("its directories list {listed} entries, and its manifest counts {counted}");
        assert!(format!("{}{}", said.out, said.err).contains(&what), "{what}: {said:?}");
    }
    // Damage in them hits more paths than anybody can be told.
    for path in place.scene.packs().into_keys() {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let said = place.run(&["check", "--read-data"]);
    assert_eq!(said.code, Some(1), "{said:?}");
}

/// A file whose size isn't that of its content: nothing wrong comes back under its name, and it's named.
#[test]
fn forged_sizes_are_named() {
    let place = Place::new();
    for size in [1, 2_999, 3_001, 1 << 40] {
        let what = format!("a size of {size} for 3,000 bytes");
        let id = place.forge(|forger| Entry { size: Some(size), ..forger.file(b"evil", &noise(3_000)) });
        let said = place.restore(&id, &[]);
        assert_eq!(said.code, Some(3), "{what}: {said:?}");
        assert!(said.err.contains("/data/evil"), "{what}: {said:?}");
        assert!(!place.target().join("evil").exists(), "{what}");
        place.assert_siblings(&what);
        place.assert_nothing_outside(&what);
        let said = place.scene.command(["dump", &format!("{id}:/data/evil")]).output().unwrap();
        let err = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{what}: {err}");
        assert!(said.stdout.len() <= 3_000 && !err.contains("can't be written"), "{what}: {err}");
        place.forget(&id);
    }
}

/// Entries that say that they are one file and are of different types or contents: each comes back as what it is, and none as another.
#[test]
fn forged_groups_join_nothing_that_differs() {
    let place = Place::new();
    let outside = place.scene.at(OUTSIDE).join("escaped");
    let outside = outside.to_str().unwrap();
    let id = place.forge(|forger| {
        let entries = [
            forger.file(b"a", b"one content, which is stored"),
            link(b"b", outside),
            forger.file(b"c", b"another content, also stored"),
            link(b"d", "elsewhere"),
            forger.file(b"e", b"one content, which is stored"),
        ];
        forger.directory(b"evil", &entries.map(|entry| Entry { link_group: Some([7; 8]), ..entry }))
    });
    let said = place.restore(&id, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let found = portrait(&place.target().join("evil"));
    let content = |name: &str| found[std::path::Path::new(name)].content.clone();
    for (name, bytes) in [("a", "one content, which is stored"), ("c", "another content, also stored")] {
        assert_eq!(content(name), blake3::hash(bytes.as_bytes()).as_bytes(), "{name}");
    }
    assert_eq!((content("b"), content("d")), (outside.as_bytes().to_vec(), b"elsewhere".to_vec()));
    assert_eq!(found[std::path::Path::new("e")].first_name, Some("a".into()), "these agree");
    assert!(["b", "c", "d"].iter().all(|name| found[std::path::Path::new(name)].first_name.is_none()));
    place.assert_nothing_outside("groups");
    let said = place.run(&["check", "--read-data"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
