//! What came of the files: counts, rows for the cache of seen files, names of secrets.

use crate::chunker::expand::Outcome;
use crate::repo::cache_fault::CacheFault;
use crate::repo::cbor::{self, Time};
use crate::repo::repository::{Access, Repo};
use crate::repo::seal;
use crate::repo::writer::WriteError;
use crate::snapshot::capture::assembler::Finished;
use crate::snapshot::capture::captured::{Before, Captured, Known};
use crate::snapshot::capture::dump::Dumps;
use crate::snapshot::capture::visit::Place;
use crate::snapshot::capture::{Capture, Shared};
use crate::snapshot::manifest::dump::{DumpFile, Sidecar};
use crate::snapshot::manifest::{SecretFile, Statistics};
use crate::snapshot::monitor::{EntryAction, Progress};
use crate::snapshot::seen::{SeenDir, SeenFiles, SeenOwner, Stamp};
use crate::snapshot::source::event::Found;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use crate::snapshot::tree::reference::Reference;
use minicbor::{Decode, Encode};
use std::sync::Arc;

/// Most secret files whose variable names stand in the manifest.
const MAX_SECRET_FILES: usize = 1_000;
/// Containers of fewer bytes are undone as quickly as they are looked up.
const LEAST_KNOWN: u64 = 64 << 10;
/// One of so many unchanged files is read again all the same …
const REREAD_ONE_IN: u64 = 100;
/// … unless it was read in the last so many seconds.
const REREAD_AFTER: i64 = 24 * 60 * 60;

/// What the cache keeps of a file.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Kept {
    /// Its entry; of which the content counts.
    #[n(0)]
    entry: Entry,
    /// If the entry has a list: what the list refers to, so that it needn't be read.
    #[n(3)]
    listed: Option<Vec<Reference>>,
    /// The variable names of a secret file.
    #[n(2)]
    names: Option<Vec<String>>,
    /// What a dump of a database holds.
    #[n(4)]
    dump: Option<DumpFile>,
    /// What it says of the dump beside it.
    #[n(5)]
    sidecar: Option<Sidecar>,
    /// Whether it was looked at as such a file.
    #[cbor(n(6), with = "crate::repo::cbor::yes_or_no")]
    is_sidecar: bool,
}

/// Whether a file has to be read.
pub(super) enum Recalled {
    /// No: its content is this entry's.
    Known(Box<Entry>),
    /// Yes, and what was known of it before, and what may have the same bytes.
    Unknown(Before, Option<Arc<Known>>),
}

/// What came of the files.
pub(super) struct Ledger<'c> {
    pub(super) statistics: Statistics,
    pub(super) secrets: Vec<SecretFile>,
    pub(super) dumps: Dumps,
    pub(super) seen: Option<SeenFiles>,
    /// Who is told that the cache can't be written.
    fault: CacheFault,
    use_cache: bool,
    capture: &'c Capture,
    shared: &'c Shared<'c>,
    now: i64,
}

impl<'c> Ledger<'c> {
    /// Opens the cache of seen files. A cache that can't be used costs time, no more.
    pub(super) fn open<A: Access>(repo: &Repo<A>, capture: &'c Capture, shared: &'c Shared<'c>) -> Self {
        let owner = SeenOwner { repository: repo.id(), credential: repo.credential() };
        let key = blake3::derive_key("nightsafe 1 cache of seen files", repo.keys().domain().index().as_bytes());
        let fault = repo.cache_fault().clone();
        let seen = SeenFiles::open(&repo.cache().join("seen"), owner, &key).unwrap_or_else(|error| {
            fault.note(&error);
            None
        });
        let now = jiff::Timestamp::now().as_second();
        let (statistics, secrets, dumps) = (Statistics::default(), Vec::new(), Dumps::default());
        Self { statistics, secrets, dumps, seen, fault, use_cache: capture.use_cache, capture, shared, now }
    }

    /// What was seen in a directory.
    pub(super) fn directory(&mut self, key: &[u8]) -> SeenDir {
        self.seen.as_mut().and_then(|seen| seen.dir(key).ok()).unwrap_or_default()
    }

    /// Forgets the files that were seen in a directory and are gone.
    pub(super) fn left(&mut self, place: &Place) {
        if let Some(seen) = &mut self.seen
            && place.met < place.seen.files().len()
        {
            for name in place.gone() {
                let _ = seen.remove(&place.key, name); // costs time only
            }
        }
    }

    /// Forgets the directories that are gone.
    pub(super) fn swept(&mut self, capture: &Capture) {
        if let Some(seen) = &mut self.seen {
            for root in capture.paths() {
                let _ = seen.sweep(root); // costs time only
            }
        }
    }

    /// Whether a file is as it was when it was seen last, and its content still there.
    pub(super) fn recall(
        &mut self,
        place: &mut Place,
        found: &Found<'_>,
        (is_secret, is_sidecar): (bool, bool),
    ) -> Recalled {
        let Some(file) = place.seen.get(found.at) else {
            return Recalled::Unknown(Before::New, self.twin(place, found, is_secret || is_sidecar));
        };
        let (stamp, read_at) = (file.stamp, file.read_at);
        let kept: Option<Kept> = cbor::decode("row of the cache", &file.content).ok();
        place.meet(found.at);
        let Some(kept) = kept.filter(|kept| kept.entry.is_secret() == is_secret) else {
            return Recalled::Unknown(Before::Changed(None), None);
        };
        if stamp != stamp_of(&found.metadata) || kept.is_sidecar != is_sidecar {
            let before = Before::Changed(Some(Box::new(kept.entry.clone())));
            let is_other = is_secret || is_sidecar;
            let same = self.container(kept, found).filter(|_| !is_other);
            return Recalled::Unknown(before, same.or_else(|| self.twin(place, found, is_other)));
        }
        if !self.use_cache {
            return Recalled::Unknown(Before::Unchanged(Box::new(kept.entry)), None);
        }
        let due = self.now - read_at > REREAD_AFTER && u64::from_le_bytes(seal::random()).is_multiple_of(REREAD_ONE_IN);
        if due {
            let before = Before::Unchanged(Box::new(kept.entry.clone()));
            return Recalled::Unknown(before, self.container(kept, found));
        }
        if !self.is_stored(&kept) {
            return Recalled::Unknown(Before::Changed(Some(Box::new(kept.entry))), None);
        }
        if let Some(names) = kept.names {
            self.secret(found.path, names);
        }
        if let Some(dump) = kept.dump {
            // A row that was written for this name of the file.
            self.keep(DumpFile { path: found.path.clone(), ..dump });
        }
        if let Some(sidecar) = kept.sidecar {
            self.dumps.push_sidecar(Sidecar { path: found.path.clone(), ..sidecar });
        }
        Recalled::Known(Box::new(kept.entry))
    }

    /// What the cache knows under another name and looks as if it were this file, which then has been renamed or copied: dumps are rotated like that.
    fn twin(&self, place: &mut Place, found: &Found<'_>, is_other: bool) -> Option<Arc<Known>> {
        if is_other || found.metadata.size < LEAST_KNOWN {
            return None;
        }
        let file = place.twin(found.metadata.size, found.metadata.mtime)?;
        self.container(cbor::decode("row of the cache", &file.content).ok()?, found)
    }

    /// A container that a row of the cache is of, if a file may have its bytes.
    fn container(&self, kept: Kept, found: &Found<'_>) -> Option<Arc<Known>> {
        let entry = &kept.entry;
        let may_be = self.use_cache
            && found.metadata.size >= LEAST_KNOWN
            && entry.size == Some(found.metadata.size)
            && entry.recipe.is_some()
            && entry.extents.is_none()
            && !entry.is_secret()
            && self.is_stored(&kept);
        may_be.then(|| Arc::new(Known { entry: kept.entry, listed: kept.listed, dump: kept.dump }))
    }

    /// Whether every frame of a content is where this run may rely on it.
    fn is_stored(&self, kept: &Kept) -> bool {
        let entry = &kept.entry;
        let listed = kept.listed.as_deref().unwrap_or_default();
        (!entry.has_list() || !listed.is_empty())
            && entry.named().chain(listed).all(|part| self.shared.writer.rely_on(part.frame, part.first, part.count))
    }

    /// Counts a file that is as it was.
    pub(super) fn unmodified(&mut self, found: &Found<'_>, entry: &Entry) {
        let size = entry.size.unwrap_or(0);
        self.statistics.files_unmodified += 1;
        self.statistics.bytes += size;
        let progress = self.shared.monitor.progress();
        Progress::add(&progress.files_done, 1);
        Progress::add(&progress.bytes_done, size);
        self.shared.entry(found.path, EntryAction::Unmodified, size);
    }

    fn secret(&mut self, path: &SafePath, names: Vec<String>) {
        if self.secrets.len() < MAX_SECRET_FILES {
            self.secrets.push(SecretFile { path: path.clone(), names });
        }
    }

    /// Notes a file in the cache, so that it needn't be read the next time.
    fn note(&mut self, entry: &Entry, captured: &Captured, dump: Option<DumpFile>) {
        let Some(origin) = &captured.origin else { return };
        let mut listed = captured.known.as_ref().and_then(|known| known.listed.clone());
        if entry.has_list() && captured.known.is_none() {
            // A frame without an id couldn't be looked for the next time: then the row isn't written.
            let Some(references) = captured.references(self.shared.writer) else { return };
            listed = Some(references);
        }
        let names = captured.is_secret.then(|| captured.names.clone());
        let content = cbor::encode(&Kept {
            entry: entry.clone(),
            listed,
            names,
            dump,
            sidecar: captured.sidecar.clone(),
            is_sidecar: captured.is_sidecar,
        });
        let Some(parent) = captured.path.parent() else { return };
        let key = self.capture.cache_key(&parent);
        if let Some(seen) = &mut self.seen {
            let mut stamp = stamp_of(&origin.metadata);
            if stamp.is_racy(origin.read_at) {
                // It may be changed again without looking otherwise, so it's never believed to be unchanged; but it's no new file the next time.
                stamp = Stamp { size: stamp.size, mtime: Time::default(), ctime: Time::default(), inode: 0 };
            }
            // Costs time only.
            if let Err(error) = seen.record(&key, &origin.at, stamp, &content, origin.read_at) {
                self.fault.note(&error);
            }
        }
    }
}

impl Finished for Ledger<'_> {
    fn lost_other_name(&mut self, path: SafePath) {
        let message = "it is another name of a file that couldn't be read by the first one".to_owned();
        self.shared.problem(Problem { path, kind: ProblemKind::Other, message });
    }

    fn file(&mut self, entry: &Entry, captured: &Captured) -> Result<(), WriteError> {
        let size = entry.size.unwrap_or(0);
        self.statistics.bytes += size;
        self.statistics.bytes_read += captured.bytes_read();
        Progress::add(&self.shared.monitor.progress().files_done, 1);
        if let Some(outcome) = &captured.outcome {
            self.expanded(entry, captured, outcome);
        }
        let action = match &captured.before {
            Before::New => EntryAction::New,
            Before::Unchanged(before) if has_same_content(before, entry) || captured.is_secret => {
                EntryAction::Unmodified
            }
            Before::Unchanged(before) => {
                // Unless it was changed just now, after it was looked at.
                if (before.mtime, before.ctime) == (entry.mtime, entry.ctime) {
                    self.silent_change(captured);
                }
                EntryAction::Changed
            }
            Before::Changed(Some(before)) if has_same_content(before, entry) => EntryAction::Unmodified,
            Before::Changed(_) => EntryAction::Changed,
        };
        match action {
            EntryAction::New => self.statistics.files_new += 1,
            EntryAction::Unmodified => self.statistics.files_unmodified += 1,
            EntryAction::Changed | EntryAction::Restored | EntryAction::Deleted => self.statistics.files_changed += 1,
        }
        self.shared.entry(&captured.path, action, size);
        if captured.is_secret && captured.origin.is_some() {
            self.secret(&captured.path, captured.names.clone());
        }
        let known = captured.known.as_ref().and_then(|known| known.dump.clone());
        let known = known.map(|dump| DumpFile { path: captured.path.clone(), ..dump });
        let dump = captured.dump.as_ref().map(|found| found.record(captured.path.clone(), size)).or(known);
        if let Some(dump) = &dump {
            self.dump(dump);
        }
        if let Some(sidecar) = &captured.sidecar {
            self.dumps.push_sidecar(sidecar.clone());
        }
        if !captured.changed {
            self.note(entry, captured, dump);
        }
        Ok(())
    }
}

impl Ledger<'_> {
    /// Counts a container that was read.
    fn expanded(&mut self, entry: &Entry, captured: &Captured, outcome: &Outcome) {
        let (size, stream) = (entry.size.unwrap_or(0), entry.recipe.as_ref().map(|recipe| recipe.stream_bytes));
        match stream {
            Some(stream) => {
                self.statistics.containers += 1;
                self.statistics.container_bytes += size;
                self.statistics.container_stream_bytes += stream;
            }
            None => self.statistics.containers_left += 1,
        }
        self.statistics.reasons.count(&outcome.left);
        self.shared.monitor.container(captured.path.as_bytes(), size, stream, outcome);
    }

    /// Takes a dump that was read, and says if it isn't a whole one: whoever made it may not know.
    fn dump(&mut self, dump: &DumpFile) {
        if let Some(fault) = &dump.fault {
            self.shared.monitor.warning(&format!("{}: this isn't a whole dump of a database: {fault}", dump.path));
        }
        self.keep(dump.clone());
    }

    /// Takes a dump that is in the snapshot. What isn't as its own manifest says is a problem each night, whether it's read or not.
    fn keep(&mut self, dump: DumpFile) {
        for message in dump.export.iter().flat_map(|export| &export.contradictions) {
            let (path, message) = (dump.path.clone(), message.clone());
            self.shared.problem(Problem { path, kind: ProblemKind::Other, message });
        }
        self.dumps.push(dump);
    }

    /// A file's content changed and its times didn't: nothing that the cache says can be believed.
    fn silent_change(&mut self, captured: &Captured) {
        if let Some(seen) = &mut self.seen {
            let _ = seen.clear(); // what can't be cleared is authentic all the same
        }
        self.use_cache = false;
        let message = "its content changed although size and times didn't: the disk or a program changes data \
                       silently; from here on every file is read";
        let (path, kind) = (captured.path.clone(), ProblemKind::Changed);
        self.shared.problem(Problem { path, kind, message: message.to_owned() });
    }
}

/// Whether two entries have the same bytes.
fn has_same_content(a: &Entry, b: &Entry) -> bool {
    (a.size, a.hash, &a.inline) == (b.size, b.hash, &b.inline)
}

/// What tells, without reading, whether a file changed.
fn stamp_of(metadata: &Metadata) -> Stamp {
    Stamp { size: metadata.size, mtime: metadata.mtime, ctime: metadata.ctime, inode: metadata.inode }
}
