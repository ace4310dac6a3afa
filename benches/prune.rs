//! Planning a prune of a repository with 10 million chunks and 365 snapshots of which 300 are forgotten: how long, and how much memory.
//!
//! The repository is real (manifests, trees, segments, tombstones) but for its data packs, of which only the names and lengths exist: a plan doesn't read them. Nightly 3 of 1,000 folders
//! with 100 files each change; a file has 48 chunks in 6 frames.
//!
//! `cargo bench --bench prune`. The repository is built by one process and planned by another, whose memory is its own.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench says what it measured, and ends where it can't")]

use bytes::Bytes;
use nightsafe::repo::cbor::{self, Time};
use nightsafe::repo::clock::Clock;
use nightsafe::repo::envelope;
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::{FrameId, PackHash, PackId, RunId};
use nightsafe::repo::keys::{KdfParams, KeyFile, Label, Secret};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::pack_set::PackSet;
use nightsafe::repo::record::{self, Segment, SegmentFrame, SegmentPack, Tombstone};
use nightsafe::repo::repository::{AnyRepo, CacheDir, CreateOptions, Full, Repo, open};
use nightsafe::repo::run::Fence;
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::store::{Listed, Store, StoreError};
use nightsafe::repo::view::View;
use nightsafe::repo::writer::{Writer, WriterStart};
use nightsafe::snapshot::manifest::{OpenPart, SealedPart, State, Statistics};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::{PruneOptions, plan};
use nightsafe::snapshot::tree::entry::{Entry, EntryType, encode_entry};
use nightsafe::snapshot::tree::reference::Reference;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NIGHTS: u32 = 365;
const FORGOTTEN: u32 = 300;
const FOLDERS: u32 = 1_000;
const FILES: u32 = 100;
/// Folders that change a night.
const CHANGING: u32 = 3;
const FRAMES_OF_FILE: u32 = 6;
const CHUNKS_OF_FRAME: u16 = 8;
const FRAMES_OF_PACK: usize = 32;
const PACKS_OF_SEGMENT: usize = 64;
const NOW: Time = Time { seconds: 1_800_000_000, nanoseconds: 0 };

/// A folder in which some packs exist by name only.
struct Hollow {
    inner: LocalStore,
    packs: Vec<(String, u64)>,
}

impl Store for Hollow {
    fn url(&self) -> &str {
        self.inner.url()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create_root(&self) -> Result<(), StoreError> {
        self.inner.create_root()
    }
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.inner.put(key, bytes)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.inner.get(key, limit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, offset, length)
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.inner.length(key)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        self.inner.list(prefix, each)?;
        for (key, length) in self.packs.iter().filter(|(key, _)| key.starts_with(prefix)) {
            each(Listed { key: key.clone(), length: *length, modified: Some(NOW.seconds) });
        }
        Ok(())
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
}

fn repository(folder: &Path, create: bool) -> Repo<Full> {
    let (keys, packs) = (folder.join("key"), folder.join("packs.txt"));
    let root = folder.join("repository");
    let listed = std::fs::read_to_string(packs).unwrap_or_default();
    let packs = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, length)| (key.to_owned(), length.parse().expect("a number")));
    let store: Arc<dyn Store> = Arc::new(Hollow { inner: LocalStore::new(&root), packs: packs.collect() });
    let cache = CacheDir::new(folder.join("cache"));
    if create {
        let file = KeyFile::generate();
        std::fs::write(keys, file.to_text().as_bytes()).expect("the folder is writable");
        let label = Label { text: "bench".to_owned(), created: NOW, host: "bench".to_owned() };
        let options = CreateOptions { kdf: KdfParams::new(8, 1, 1).expect("sound"), label, cache };
        return Repo::create(store, &Secret::KeyFile(file), &options).expect("a repository is made").0;
    }
    let file = KeyFile::parse(&std::fs::read_to_string(keys).expect("the key is there")).expect("a key");
    match open(store, &Secret::KeyFile(file), &cache).expect("it opens") {
        AnyRepo::Full(repo) => repo,
        AnyRepo::WriteOnly(_) => unreachable!("it was made with a full credential"),
    }
}

/// Writes what a repository of 365 nights consists of.
struct Builder {
    repo: Repo<Full>,
    view: Arc<View>,
    frames: u64,
    packs: String,
    unnamed: Vec<SegmentPack>,
    segments: u64,
    folders: Vec<Entry>,
}

impl Builder {
    /// Frames that no pack holds in earnest, for the files of one folder; told of by segments of `run`.
    fn files(&mut self, run: RunId) -> Vec<Entry> {
        let mut entries = Vec::new();
        for n in 0..FILES {
            let references = (0..FRAMES_OF_FILE).map(|_| {
                self.frames += 1;
                let frame = FrameId::from_bytes(*blake3::hash(&self.frames.to_le_bytes()).as_bytes());
                Reference { frame, first: 0, count: CHUNKS_OF_FRAME.into() }
            });
            let mut entry = Entry::new(format!("file-{n:03}"), EntryType::File);
            entry.references = Some(references.collect());
            entry.size = Some(48 << 16);
            entry.hash = Some([1; 32]);
            entries.push(entry);
        }
        let all: Vec<FrameId> =
            entries.iter().flat_map(|entry| entry.references.iter().flatten()).map(|r| r.frame).collect();
        for frames in all.chunks(FRAMES_OF_PACK) {
            self.pack(run, frames);
        }
        entries
    }

    fn pack(&mut self, run: RunId, frames: &[FrameId]) {
        let hash = PackHash::from_bytes(*blake3::hash(frames[0].as_bytes()).as_bytes());
        let (pack, length) = (PackId { run, hash }, 17_000_000);
        let frame = |id: &FrameId| SegmentFrame::new(*id, (500_000, 524_288), Class::Data, CHUNKS_OF_FRAME, None);
        self.unnamed.push(SegmentPack {
            pack,
            length,
            trailer_length: 1_000,
            frames: frames.iter().map(frame).collect(),
        });
        self.packs.extend([key::pack(pack), format!(" {length}\n")]);
        if self.unnamed.len() == PACKS_OF_SEGMENT {
            self.segment(run);
        }
    }

    fn segment(&mut self, run: RunId) {
        if self.unnamed.is_empty() {
            return;
        }
        // Far from the numbers that the writer gives to its own.
        let store_key = key::segment(run, 1_000 + self.segments);
        self.segments += 1;
        let segment = Segment { needs: Needs::NONE, packs: std::mem::take(&mut self.unnamed) };
        let sealed = record::seal_record(self.repo.keys(), &store_key, &segment);
        self.repo.store().put(&store_key, &Bytes::from(sealed)).expect("stored");
    }

    fn night(&mut self, night: u32) {
        let run = self.repo.keys().new_run();
        let start = WriterStart {
            clock: Clock::default(),
            store: Arc::clone(self.repo.store()),
            keys: Arc::clone(self.repo.keys()),
            run,
            view: Arc::clone(&self.view),
            fence: Fence { passed: PackSet::new(0), pruned: PackSet::new(0) },
        };
        let writer = Writer::start(start).expect("threads");
        let changing = if night == 0 { FOLDERS } else { CHANGING };
        for i in 0..changing {
            let at = if night == 0 { i } else { (night * CHANGING + i) % FOLDERS };
            let files = self.files(run);
            let folder = directory(&writer, format!("folder-{at:04}").into_bytes(), &files);
            match self.folders.get_mut(at as usize) {
                Some(there) => *there = folder,
                None => self.folders.push(folder),
            }
        }
        let top = directory(&writer, Vec::new(), &self.folders);
        let durable = writer.finish().expect("stored");
        self.segment(run);
        let statistics = Statistics { files: (FOLDERS * FILES).into(), ..Statistics::default() };
        let open = OpenPart {
            needs: None,
            time: Time { seconds: NOW.seconds + i64::from(night) * 86_400, nanoseconds: 0 },
            zone: "UTC".to_owned(),
            host: "bench".to_owned(),
            app: None,
            tags: Vec::new(),
            state: State::Complete,
            sequence: night.into(),
            previous: None,
            parent: None,
            replaces: None,
            tool: "bench".to_owned(),
            statistics,
            sources: Vec::new(),
            brings_back: None,
            checkpoint_of: None,
        };
        let sealed = SealedPart {
            needs: None,
            root: top,
            paths: Vec::new(),
            problems: Vec::new(),
            secrets: Vec::new(),
            user: None,
            databases: None,
            application: None,
            details: None,
            exclusions: None,
            dumps: None,
        };
        let (open, sealed) = (cbor::encode(&open), cbor::encode(&sealed));
        let wrap = &durable.opening.wrap;
        let manifest = envelope::seal_manifest(self.repo.keys(), run, &durable.run_key, wrap, &open, &sealed);
        let manifest = Bytes::from(manifest.expect("short enough"));
        self.repo.store().put(&key::snapshot(run), &manifest).expect("stored");
        if night < FORGOTTEN {
            let store_key = key::forgotten(run);
            let tombstone = Tombstone { needs: Needs::NONE, time: NOW, dead: false };
            let sealed = record::seal_admin_record(self.repo.read_keys(), &store_key, &tombstone);
            self.repo.store().put(&store_key, &Bytes::from(sealed)).expect("stored");
        }
    }
}

/// Stores a directory.
fn directory(writer: &Writer, name: Vec<u8>, entries: &[Entry]) -> Entry {
    let mut bytes = Vec::new();
    for entry in entries {
        encode_entry(entry, &mut bytes);
    }
    let mut lane = writer.lane(Class::Meta);
    let mut references = Vec::new();
    for chunk in bytes.chunks(8 << 10) {
        lane.put(chunk, &mut references).expect("stored");
    }
    lane.flush().expect("stored");
    let closed = |pending: &nightsafe::repo::writer::PendingRef| Reference {
        frame: writer.frame_id(pending.frame).expect("closed"),
        first: pending.first,
        count: pending.count,
    };
    let mut entry = Entry::new(name, EntryType::Directory);
    entry.references = Some(references.iter().map(closed).collect());
    entry.size = Some(bytes.len() as u64);
    entry.hash = Some(*blake3::hash(&bytes).as_bytes());
    entry
}

fn build(folder: &Path) {
    let repo = repository(folder, true);
    let view = Arc::new(View::for_writing(&repo).expect("a view"));
    let (packs, unnamed, folders) = (String::new(), Vec::new(), Vec::new());
    let mut builder = Builder { repo, view, frames: 0, packs, unnamed, segments: 0, folders };
    (0..NIGHTS).for_each(|night| builder.night(night));
    std::fs::write(folder.join("packs.txt"), &builder.packs).expect("the folder is writable");
    let chunks = builder.frames * u64::from(CHUNKS_OF_FRAME);
    println!("{NIGHTS} snapshots, {FORGOTTEN} of them forgotten; {chunks} chunks in {} frames", builder.frames);
}

fn look(folder: &Path, what: &str) {
    let repo = repository(folder, false);
    let began = Instant::now();
    let options = PruneOptions { grace: Duration::ZERO, ..PruneOptions::at(NOW) };
    let report = plan(&repo, &options, true, &Silent::default()).expect("a plan").report();
    let seconds = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    println!(
        "{what}: {seconds:.1} s; resident at most {}, private at the end {}; {} of {} packs go, {} are rewritten",
        of("VmHWM:"),
        of("RssAnon:"),
        report.packs_removed,
        report.packs,
        report.packs_rewritten
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "build", folder] => build(Path::new(folder)),
        [_, what @ ("without a cache" | "with a cache"), folder] => look(Path::new(folder), what),
        _ => {
            let folder = tempfile::tempdir().expect("there is a folder for temporary files");
            let me = std::env::current_exe().expect("this program");
            for what in ["build", "without a cache", "with a cache", "with a cache"] {
                if what == "without a cache" {
                    let _ = std::fs::remove_dir_all(folder.path().join("cache"));
                }
                #[expect(clippy::disallowed_methods, reason = "a bench holds no secret")]
                let status = Command::new(&me).arg(what).arg(folder.path()).status().expect("it starts");
                assert!(status.success(), "{what}");
            }
        }
    }
}
