//! The walking thread: decides for each entry whether it's known, known to the cache of seen files, or has to be read.

use crate::repo::cbor::Time;
use crate::repo::writer::WriteError;
use crate::snapshot::backup::BackupError;
use crate::snapshot::capture::assembler::Assembler;
use crate::snapshot::capture::captured::{Before, FileSlot, Known};
use crate::snapshot::capture::file::FileJob;
use crate::snapshot::capture::ledger::{Ledger, Recalled};
use crate::snapshot::capture::made::Made;
use crate::snapshot::capture::measured::count_made;
use crate::snapshot::capture::{Capture, Captured, MadeDirectory, Shared, Walked};
use crate::snapshot::checkpoint::Checkpoints;
use crate::snapshot::manifest::SourceDetail;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::monitor::EntryAction;
use crate::snapshot::seen::{SeenDir, SeenFile};
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::source::event::{Event, Found};
use crate::snapshot::source::excludes::Reason;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often whoever waits for readers looks whether something else is to be done.
const LOOK: Duration = Duration::from_millis(100);

/// A directory that the walk is in.
pub(super) struct Place {
    /// Its absolute path, for the cache.
    pub key: Vec<u8>,
    /// What the cache knows of it.
    pub seen: SeenDir,
    /// How many of the files that the cache knows were met.
    pub met: usize,
    /// Which ones.
    is_met: Vec<bool>,
    /// It, kept open for readers.
    handle: Option<Arc<OwnedFd>>,
    /// By size and time, what the cache knows; made when it's asked for.
    twins: Option<HashMap<Looks, usize>>,
}

/// A size, and seconds and nanoseconds of a time.
type Looks = (u64, i64, u32);

impl Place {
    /// A file that the cache knows and that had this size and time.
    pub(super) fn twin(&mut self, size: u64, mtime: Time) -> Option<&SeenFile> {
        let files = self.seen.files();
        let looks = |size, mtime: Time| -> Looks { (size, mtime.seconds, mtime.nanoseconds) };
        let of_file = |(at, file): (usize, &SeenFile)| (looks(file.stamp.size, file.stamp.mtime), at);
        let twins = self.twins.get_or_insert_with(|| files.iter().enumerate().map(of_file).collect());
        files.get(*twins.get(&looks(size, mtime))?)
    }

    /// Notes that a file that the cache knows is still there.
    pub(super) fn meet(&mut self, name: &[u8]) {
        if let Ok(at) = self.seen.files().binary_search_by(|file| file.name.as_slice().cmp(name)) {
            self.met += usize::from(!self.is_met[at]);
            self.is_met[at] = true;
        }
    }

    /// The files that the cache knows and that are gone.
    pub(super) fn gone(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.seen.files().iter().zip(&self.is_met);
        files.filter(|(_, met)| !**met).map(|(file, _)| file.name.as_slice())
    }
}

/// The first name of a file that has several.
enum FirstName {
    /// It's being read.
    Reading(Arc<FileSlot>),
    /// It was known.
    Known(Box<Entry>),
}

/// What the walking thread holds.
pub(super) struct Visit<'c> {
    capture: &'c Capture,
    shared: &'c Shared<'c>,
    checkpoints: &'c dyn Checkpoints,
    ledger: Ledger<'c>,
    assembler: Assembler<'c>,
    jobs: Sender<FileJob>,
    in_flight: usize,
    places: Vec<Place>,
    owners: Owners,
    /// What no walk comes across, by the names of their directories, which come sorted among those that are walked.
    made: VecDeque<MadeDirectory>,
    databases: Vec<Database>,
    /// What is on other file systems and isn't a directory.
    elsewhere: Elsewhere,
    /// What each source that is done came to.
    pub(super) details: Vec<SourceDetail>,
    /// How many parts are done.
    pub(super) part: usize,
    /// Entries and bytes of files that the walk came across.
    pub(super) tally: (u64, u64),
    /// Whether the walk that goes on is the last one: only that one leaves the top.
    pub(super) is_last: bool,
    /// Files with several names, until as many were met as there are.
    names: HashMap<[u8; 8], (FirstName, u64)>,
}

impl<'c> Visit<'c> {
    pub(super) fn new(
        capture: &'c Capture,
        shared: &'c Shared<'c>,
        checkpoints: &'c dyn Checkpoints,
        ledger: Ledger<'c>,
        assembler: Assembler<'c>,
        jobs: Sender<FileJob>,
        made: Made,
    ) -> Self {
        let Made { directories, databases, details } = made;
        Self {
            capture,
            shared,
            checkpoints,
            ledger,
            assembler,
            jobs,
            in_flight: 0,
            places: Vec::new(),
            owners: Owners::default(),
            made: directories,
            databases,
            elsewhere: Elsewhere::default(),
            details,
            part: 0,
            tally: (0, 0),
            is_last: false,
            names: HashMap::new(),
        }
    }

    /// Takes in what the walk came across.
    pub(super) fn event(&mut self, event: Event<'_>, done: &Receiver<()>) -> Result<(), BackupError> {
        while done.try_recv().is_ok() {
            self.in_flight -= 1;
        }
        self.offer_checkpoint(0)?;
        if let Event::Enter(found) | Event::Entry(found) = &event
            && self.places.len() == 1
            && !found.path.is_top()
        {
            self.insert_made(Some(found.name()))?;
        }
        if let Event::Enter(found) | Event::Entry(found) = &event
            && !found.path.is_top()
        {
            self.tally.0 += 1;
            self.tally.1 += if found.metadata.kind == EntryType::File { found.metadata.size } else { 0 };
        }
        match event {
            // Each walk comes across the top, which is one directory.
            Event::Enter(found) if found.path.is_top() && !self.places.is_empty() => {}
            Event::Leave if self.places.len() == 1 && !self.is_last => {}
            Event::Enter(found) => self.enter(&found),
            Event::Leave => self.leave()?,
            Event::Entry(found) if found.metadata.kind == EntryType::File => self.file(&found)?,
            Event::Entry(found) => {
                self.ledger.statistics.others += 1;
                let entry = found.entry(&mut self.owners);
                self.assembler.add(entry);
            }
            Event::Excluded(path, Reason::OtherFileSystem) => self.elsewhere.push(path),
            // Other rules are told as such, and a directory follows, marked as emptied.
            Event::Excluded(..) | Event::Emptied(..) => {}
            Event::Problem(problem) => self.shared.problem(problem),
        }
        if self.assembler.is_crowded() { self.make_room(done) } else { Ok(()) }
    }

    /// Waits for what is under way and stores all that can be stored. Gives the top of the tree.
    pub(super) fn finish(mut self, done: &Receiver<()>) -> Result<Walked<'c>, BackupError> {
        self.wait_for_readers(done)?;
        self.shared.flush()?;
        // Each round closes the frame that the directories of one level are in; there are no more levels than directories on the longest path.
        for _ in 0..=2 * crate::repo::format::MAX_DEPTH {
            self.assembler.flush(&mut self.ledger)?;
            if let Some(top) = self.assembler.take_top() {
                self.ledger.swept(self.capture);
                let Self { ledger, databases, details: sources, elsewhere, .. } = self;
                return Ok(Walked { top, ledger, databases, sources, elsewhere });
            }
            self.shared.go_on()?;
        }
        Err(WriteError::Stopped.into())
    }

    /// A top that holds nothing but what no walk comes across.
    pub(super) fn made_only(&mut self) -> Result<(), BackupError> {
        let top = Metadata::synthetic().entry(b"", None, Vec::new(), &mut self.owners);
        self.assembler.enter(top);
        self.insert_made(None)?;
        Ok(self.assembler.leave(&mut self.ledger)?)
    }

    /// Puts in the directories that no walk comes across and whose names sort before `name`.
    fn insert_made(&mut self, name: Option<&[u8]>) -> Result<(), BackupError> {
        while let Some(directory) =
            self.made.pop_front_if(|made| name.is_none_or(|name| made.entry.name.as_slice() < name))
        {
            self.ledger.statistics.directories += 1;
            self.assembler.enter(directory.entry);
            for (entry, slot) in directory.files {
                self.ledger.statistics.files += 1;
                self.assembler.add_file(entry, slot, None);
            }
            self.assembler.leave(&mut self.ledger)?;
        }
        Ok(())
    }

    pub(super) fn wait_for_readers(&mut self, done: &Receiver<()>) -> Result<(), BackupError> {
        while self.in_flight > 0 {
            self.shared.go_on()?;
            self.offer_checkpoint(0)?;
            if done.recv_timeout(LOOK).is_ok() {
                self.in_flight -= 1;
            }
        }
        Ok(self.shared.go_on()?)
    }

    /// Too much waits: closes frames early.
    fn make_room(&mut self, done: &Receiver<()>) -> Result<(), BackupError> {
        self.assembler.sweep(&mut self.ledger)?;
        if self.assembler.is_crowded() {
            self.wait_for_readers(done)?;
            self.shared.flush()?;
            self.assembler.flush(&mut self.ledger)?;
        }
        Ok(())
    }

    fn enter(&mut self, found: &Found<'_>) {
        self.ledger.statistics.directories += u64::from(!found.path.is_top());
        let key = self.capture.cache_key(found.path);
        let seen = self.ledger.directory(&key);
        self.places.push(Place {
            is_met: vec![false; seen.files().len()],
            key,
            seen,
            met: 0,
            handle: None,
            twins: None,
        });
        let entry = found.entry(&mut self.owners);
        self.assembler.enter(entry);
    }

    fn leave(&mut self) -> Result<(), BackupError> {
        if self.places.len() == 1 {
            self.insert_made(None)?;
        }
        if let Some(place) = self.places.pop() {
            self.ledger.left(&place);
        }
        Ok(self.assembler.leave(&mut self.ledger)?)
    }

    fn file(&mut self, found: &Found<'_>) -> Result<(), BackupError> {
        self.ledger.statistics.files += 1;
        let mut entry = found.entry(&mut self.owners);
        if let Some(group) = entry.link_group
            && let Some((first, met)) = self.names.get_mut(&group)
        {
            match first {
                FirstName::Reading(slot) => self.assembler.add_file(entry, Arc::clone(slot), Some(found.path.clone())),
                FirstName::Known(known) => {
                    known.copy_content_to(&mut entry);
                    self.assembler.add(entry);
                }
            }
            self.ledger.statistics.files_unmodified += 1;
            *met += 1;
            if *met >= found.metadata.links {
                self.names.remove(&group);
            }
            return Ok(());
        }
        let group = entry.link_group;
        let is_secret = self.capture.is_secret(found.path, &found.metadata);
        let part = self.capture.parts.get(self.part);
        let is_sidecar = !is_secret && part.is_some_and(|part| part.is_sidecar(found.path, found.metadata.size));
        let recalled = match self.places.last_mut() {
            Some(place) => self.ledger.recall(place, found, (is_secret, is_sidecar)),
            None => Recalled::Unknown(Before::New, None),
        };
        let first = match recalled {
            Recalled::Known(known) => {
                known.copy_content_to(&mut entry);
                self.ledger.unmodified(found, &entry);
                let first = group.map(|_| FirstName::Known(Box::new(entry.clone())));
                self.assembler.add(entry);
                first
            }
            Recalled::Unknown(before, known) => {
                let slot = self.read(found, (is_secret, is_sidecar), (before, known))?;
                self.assembler.add_file(entry, Arc::clone(&slot), None);
                group.map(|_| FirstName::Reading(slot))
            }
        };
        if let (Some(group), Some(first)) = (group, first) {
            self.names.insert(group, (first, 1));
        }
        Ok(())
    }

    /// Hands a file to the readers.
    fn read(
        &mut self,
        found: &Found<'_>,
        (is_secret, is_sidecar): (bool, bool),
        (before, known): (Before, Option<Arc<Known>>),
    ) -> Result<Arc<FileSlot>, BackupError> {
        let slot = Arc::new(FileSlot::new());
        let directory = if let Some(directory) = self.places.last().and_then(|place| place.handle.clone()) {
            directory
        } else {
            let directory = Arc::new(found.dir.try_clone_to_owned().map_err(WriteError::System)?);
            if let Some(place) = self.places.last_mut() {
                place.handle = Some(Arc::clone(&directory));
            }
            directory
        };
        let expand = self.capture.parts.get(self.part).is_some_and(|part| part.expand);
        let job = FileJob {
            directory,
            at: found.at.to_vec(),
            path: found.path.clone(),
            metadata: found.metadata,
            is_secret,
            expand,
            is_sidecar,
            before,
            known: known.filter(|_| expand),
            slot: Arc::clone(&slot),
        };
        let mut waits = job;
        while let Err(error) = self.jobs.send_timeout(waits, LOOK) {
            let SendTimeoutError::Timeout(job) = error else { return Err(WriteError::Stopped.into()) };
            // Readers may be busy with large files for hours.
            self.shared.go_on()?;
            self.offer_checkpoint(1)?;
            waits = job;
        }
        self.in_flight += 1;
        Ok(slot)
    }

    /// A checkpoint, if it's time: of what is done so far. Files that are being read are left out, and need not be waited for. `at_hand`: how many were counted and are in no directory yet.
    fn offer_checkpoint(&mut self, at_hand: u64) -> Result<(), BackupError> {
        if !self.checkpoints.is_due() || !self.assembler.is_open() {
            return Ok(());
        }
        self.shared.flush()?;
        self.assembler.settle(&mut self.ledger)?;
        let Some(so_far) = self.assembler.so_far(self.made.make_contiguous())? else { return Ok(()) };
        let mut problems = self.shared.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut statistics = self.ledger.statistics;
        statistics.files = statistics.files.saturating_sub(so_far.unfinished.len() as u64 + at_hand);
        count_made(self.made.iter(), &mut statistics);
        let before = problems.count();
        for (nth, part) in self.capture.parts.iter().enumerate().skip(self.part) {
            let name = part.name().unwrap_or_default();
            let is_begun = nth == self.part && !so_far.at.is_top();
            problems.push(if is_begun { Problem::reached(so_far.at.clone()) } else { Problem::not_begun(name) });
        }
        for file in so_far.unfinished {
            problems.push(Problem::unfinished(file));
        }
        if problems.count() == before {
            return Ok(()); // everything was captured, and the run is about to end
        }
        let captured = Captured {
            top: so_far.top,
            statistics,
            problems: problems.finish(),
            secrets: self.ledger.secrets.clone(),
            databases: self.databases.clone(),
            dumps: self.ledger.dumps.settled().0,
            sources: self.details.clone(),
            elsewhere: self.elsewhere.clone(),
            seen: None,
        };
        if self.checkpoints.take(captured)?
            && let Some(seen) = &mut self.ledger.seen
        {
            // So that the next run needs not read these files again. Costs time only.
            let _ = seen.commit();
        }
        Ok(())
    }
}

impl Shared<'_> {
    /// Tells that an entry is done.
    pub(super) fn entry(&self, path: &SafePath, action: EntryAction, bytes: u64) {
        self.monitor.entry(path.as_bytes(), action, bytes);
    }
}
