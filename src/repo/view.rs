//! What this client knows of the repository's packs, frames and chunks: hints, kept in a local folder and brought up to date
//! from the store. Wrong or lost, they cost time or space, never data.
//!
//! Readers learn frames from segments, and from the trailers of packs that no segment names. Writers learn the chunks of their domain from
//! trailers. What was learnt is kept, so a pack is looked at once.

use crate::repo::cache_fault::CacheFault;
use crate::repo::error::RepoError;
use crate::repo::failure::Failure;
use crate::repo::format::{Class, MAX_OBJECT, key};
use crate::repo::id::{DomainId, FrameId, PackId, RunId};
use crate::repo::index::{
    ChunkPlace, Found, FrameIndex, FrameNumbers, FramePlace, IndexCache, IndexError, Indexed, KnownChunks, PackRow,
    PackTable,
};
use crate::repo::keys::{Role, Signer};
use crate::repo::pack::builder::FRAMES_START;
use crate::repo::pack::parse::{self, PackError, Trailer};
use crate::repo::pack::presence::Presence;
use crate::repo::record::{self, Segment};
use crate::repo::repository::{Access, Full, Repo};
use crate::repo::store::{Store, StoreErrorKind};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

/// An index of so few packs isn't worth making anew.
const MANY_PACKS: usize = 1024;
/// One is made anew when it knows of more packs than so many times those that there are: by then more were learnt since than there are to learn.
const MOST_GONE: usize = 4;

/// What is known of packs, frames and chunks.
pub struct View {
    index: IndexCache,
    /// Who is told that the index can't be kept.
    fault: CacheFault,
    /// By number, whether a pack was in the last listing with the length that is known.
    listed: RwLock<Vec<bool>>,
    /// Packs of the last listing that have another length than is known, and which.
    misfits: Mutex<Vec<(PackId, u64)>>,
    /// One learner at a time puts a pack's frames in, so that a frame isn't put in twice.
    learning: Mutex<()>,
}

/// A copy of a frame, as segments and trailers tell of it.
struct Copy {
    id: FrameId,
    class: Class,
    /// Stored, and raw.
    lengths: (u32, u32),
    chunks: u16,
}

impl View {
    /// For writing: all packs are listed, and the chunks of the credential's own domain known.
    pub fn for_writing<A: Access>(repo: &Repo<A>) -> Result<Self, RepoError> {
        let view = Self::open(repo)?;
        let own = |domain: DomainId| domain == repo.keys().domain().id();
        // A pack that can't be understood adds nothing: its chunks are stored again.
        view.learn_packs(repo, &view.unlearnt(|indexed| !indexed.chunks), &own)?;
        view.save();
        Ok(view)
    }

    /// For reading: all packs are listed, and all frames known. Also gives what was odd.
    pub fn for_reading(repo: &Repo<Full>) -> Result<(Self, Vec<String>), RepoError> {
        let view = Self::open(repo)?;
        let warnings = view.learn_listed(repo)?;
        view.save();
        Ok((view, warnings))
    }

    /// Lists the packs again and learns the frames of those that are new. Gives what was odd.
    pub fn learn(&self, repo: &Repo<Full>) -> Result<Vec<String>, RepoError> {
        self.list_packs(&**repo.store())?;
        self.learn_listed(repo)
    }

    fn learn_listed(&self, repo: &Repo<Full>) -> Result<Vec<String>, RepoError> {
        let mut warnings = self.learn_segments(repo)?;
        warnings.extend(self.learn_packs(repo, &self.unlearnt(|indexed| !indexed.frames), &|_| true)?);
        Ok(warnings)
    }

    /// Learns from the trailers of all packs of which only a segment told so far. Gives what was odd.
    pub fn learn_trailers(&self, repo: &Repo<Full>) -> Result<Vec<String>, RepoError> {
        self.learn_packs(repo, &self.unlearnt(|indexed| !indexed.trailer), &|_| true)
    }

    /// Learns from the trailers of these packs, as far as it wasn't done yet. Gives whether any was learnt that wasn't known before.
    pub fn learn_trailers_of(&self, repo: &Repo<Full>, numbers: &[u32]) -> Result<bool, RepoError> {
        let row = |&number: &u32| self.packs().get(number).map(|row| (number, row));
        let unlearnt = |rows: &[u32]| -> Vec<(u32, PackRow)> {
            rows.iter().filter_map(row).filter(|(_, row)| !row.indexed.trailer).collect()
        };
        let before = unlearnt(numbers);
        if before.is_empty() {
            return Ok(false);
        }
        self.learn_packs(repo, &before, &|_| true)?;
        // One that can't be read stays as it was.
        Ok(unlearnt(numbers).len() < before.len())
    }

    fn open<A: Access>(repo: &Repo<A>) -> Result<Self, RepoError> {
        // The cache folder is one of this repository behind this URL; the domain decides what may be deduplicated against.
        let binding =
            *blake3::hash(&[&repo.id().as_bytes()[..], repo.keys().domain().id().as_bytes()].concat()).as_bytes();
        // Whatever was found instead of a whole index: it's made anew from the repository.
        let (index, found) = IndexCache::open(&repo.cache().join("index"), binding);
        let fault = repo.cache_fault().clone();
        if let Found::NoFolder(error) = found {
            fault.note(&error);
        }
        let listed = RwLock::new(vec![false; index.packs.len()]);
        let view = Self { index, fault, listed, misfits: Mutex::default(), learning: Mutex::default() };
        view.list_packs(&**repo.store())?;
        Ok(view)
    }

    /// Has the next process make the index anew if of many packs that it knows only few are still there: what it says of the others would stay for ever.
    ///
    /// For the end of a prune that missed nothing. What is known of packs that were *lost* must stay: by it a backup stores their frames again.
    pub fn forget_what_is_gone(&self) -> Result<(), IndexError> {
        let there = self.listed.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|there| **there).count();
        if self.packs().len() > MANY_PACKS.max(there * MOST_GONE) {
            self.index.anew().commit()?;
        }
        Ok(())
    }

    /// Keeps what was learnt for the next time. It's a hint: that it can't be kept costs time then, and is noted for whoever tells people
    /// ([`Repo::cache_fault`]).
    pub fn save(&self) {
        if let Err(error) = self.index.commit() {
            self.fault.note(&error);
        }
    }

    /// Every pack that was ever seen, with a local number.
    pub fn packs(&self) -> &PackTable {
        &self.index.packs
    }

    /// Where frames are.
    pub fn frames(&self) -> &FrameIndex {
        &self.index.frames
    }

    /// Which chunks exist, for writers.
    pub fn known(&self) -> &KnownChunks {
        &self.index.known
    }

    /// Local numbers of frames, which known chunks refer to.
    pub fn numbers(&self) -> &FrameNumbers {
        &self.index.numbers
    }

    /// The name of a pack.
    pub fn pack_id(&self, number: u32) -> Option<PackId> {
        self.packs().get(number).map(|row| row.id)
    }

    /// How many pack numbers there are.
    pub fn pack_numbers(&self) -> u32 {
        u32::try_from(self.packs().len()).unwrap_or(u32::MAX)
    }

    /// Whether what is known of a pack comes from its own trailer.
    pub fn is_read(&self, number: u32) -> bool {
        self.packs().get(number).is_some_and(|row| row.indexed.trailer)
    }

    /// Whether a pack was in the last listing, with its length.
    pub fn is_listed(&self, number: u32) -> bool {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed.get(number as usize).copied().unwrap_or(false)
    }

    /// All packs of the last listing, with their lengths.
    pub fn all_listed(&self) -> Vec<(PackId, u64)> {
        let rows = self.packs().rows().into_iter().filter(|(number, _)| self.is_listed(*number));
        rows.map(|(_, row)| (row.id, row.length)).collect()
    }

    /// Packs of the last listing that count as gone, because their length isn't the one that is known; and their length.
    pub fn misfits(&self) -> Vec<(PackId, u64)> {
        self.misfits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The copies of a frame in packs that were listed, whole ones first. One that lacks chunks comes once, whatever it holds.
    pub fn places(&self, id: FrameId) -> Vec<FramePlace> {
        let mut copies: Vec<FramePlace> = Vec::new();
        for place in self.frames().all(&id) {
            if self.is_listed(place.pack) && !copies.iter().any(|copy| copy.is_same_copy(&place)) {
                copies.push(place);
            }
        }
        copies.sort_by_key(|place| place.partial);
        copies
    }

    /// The frames that a pack holds, as far as the index knows. Looks through all of it.
    pub fn frames_of(&self, pack: PackId) -> Result<Vec<FrameId>, RepoError> {
        let mut frames = Vec::new();
        if let Some(number) = self.packs().number(&pack) {
            self.frames().scan(&mut |frame, places| {
                if places.iter().any(|place| place.pack == number) {
                    frames.push(*frame);
                }
            })?;
        }
        Ok(frames)
    }

    /// Adds a pack that this client has just stored, all of whose chunks are known already.
    pub fn add_own(
        &self,
        id: PackId,
        length: u64,
        trailer: u32,
        places: &[(FrameId, FramePlace)],
    ) -> Result<(), IndexError> {
        let number = self.packs().add(id, length, trailer)?;
        self.set_listed(number, true);
        for (frame, place) in places {
            self.frames().insert(frame, &FramePlace { pack: number, ..*place })?;
        }
        self.packs().mark(number, Indexed::ALL);
        Ok(())
    }

    fn set_listed(&self, number: u32, is_listed: bool) {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        let index = number as usize;
        if listed.len() <= index {
            listed.resize(index + 1, false);
        }
        listed[index] = is_listed;
    }

    /// Listed packs of which something isn't in the index yet.
    fn unlearnt(&self, lacks: impl Fn(Indexed) -> bool) -> Vec<(u32, PackRow)> {
        let rows = self.packs().rows().into_iter();
        rows.filter(|(number, row)| lacks(row.indexed) && self.is_listed(*number)).collect()
    }

    /// Lists the packs of the store. Those of another length than they had count as gone.
    pub fn list_packs(&self, store: &dyn Store) -> Result<(), RepoError> {
        let mut found = Vec::new();
        store.list(key::PACKS, &mut |object| {
            if let Some(pack) = key::parse_pack(&object.key) {
                found.push((pack, object.length));
            }
        })?;
        self.listed.write().unwrap_or_else(PoisonError::into_inner).fill(false);
        let mut misfits = Vec::new();
        for (pack, length) in found {
            let known = self.packs().number(&pack).and_then(|number| Some((number, self.packs().get(number)?)));
            match known {
                Some((number, row)) if row.length == length || row.indexed.frames || row.indexed.chunks => {
                    self.set_listed(number, row.length == length);
                    if row.length != length {
                        misfits.push((pack, length));
                    }
                }
                // Nothing is known of it but a length that was listed, perhaps while it was damaged: that says nothing.
                Some(_) | None => self.set_listed(self.packs().add(pack, length, 0)?, true),
            }
        }
        *self.misfits.lock().unwrap_or_else(PoisonError::into_inner) = misfits;
        Ok(())
    }

    /// Learns the frames that segments name. Segments that can't be used are odd, no more: the trailers say the same.
    fn learn_segments(&self, repo: &Repo<Full>) -> Result<Vec<String>, RepoError> {
        let unlearnt = self.unlearnt(|indexed| !indexed.frames);
        if unlearnt.is_empty() {
            return Ok(Vec::new());
        }
        let runs: HashSet<RunId> = unlearnt.iter().map(|(_, row)| row.id.run).collect();
        let owners: HashSet<RunId> = self.all_listed().into_iter().map(|(pack, _)| pack.run).collect();
        let mut keys = Vec::new();
        repo.store().list(key::INDEX, &mut |listed| {
            // A run without packs of its own is a repair, whose segments speak of those of others.
            let may_tell = |run: &RunId| runs.contains(run) || !owners.contains(run);
            if key::parse_numbered(key::INDEX, &listed.key).is_some_and(|(run, _)| may_tell(&run)) {
                keys.push(listed.key);
            }
        })?;
        let odd: Mutex<Vec<String>> = Mutex::default();
        in_parallel(repo.store().connections(), &keys, &|key: &String| {
            let bytes = match repo.store().get(key, MAX_OBJECT) {
                Ok(bytes) => bytes,
                Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind == StoreErrorKind::TooLong => {
                    odd.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{key}: {}", error.kind));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            match record::open_record::<Segment>(repo.read_keys(), key, &bytes) {
                Ok((segment, signer)) => self.learn_segment(&segment, &signer),
                Err(why) => {
                    odd.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{key}: {why}"));
                    Ok(())
                }
            }
        })?;
        Ok(odd.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// A write-only credential is believed about packs of its own runs only, lest a stolen one misplace the frames of others.
    fn learn_segment(&self, segment: &Segment, signer: &Signer) -> Result<(), RepoError> {
        let may_speak_of = |run: RunId| match signer {
            Signer::Admin => true,
            Signer::Credential(by) => by.role() == Role::Full || run.belongs_to(by.credential()),
        };
        for pack in segment.packs.iter().filter(|pack| may_speak_of(pack.pack.run)) {
            let Some(number) = self.packs().number(&pack.pack) else { continue };
            let _alone = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(row) = self.packs().get(number) else { continue };
            if row.indexed.frames || row.length != u64::from(pack.length) {
                continue;
            }
            let mut offset = record::PACK_HEAD_LEN;
            for frame in &pack.frames {
                let copy = Copy {
                    id: frame.id,
                    class: frame.class().unwrap_or(Class::Data),
                    lengths: (frame.stored_length, frame.raw_length),
                    chunks: frame.chunks,
                };
                self.insert_copy(number, offset, &copy, frame.present().as_ref())?;
                offset += frame.stored_length; // within the pack's length: records that don't make sense weren't opened
            }
            self.packs().mark(number, Indexed::FRAMES);
        }
        Ok(())
    }

    /// Learns from trailers. Gives what was odd.
    fn learn_packs<A: Access>(
        &self,
        repo: &Repo<A>,
        packs: &[(u32, PackRow)],
        wanted: &(dyn Fn(DomainId) -> bool + Sync),
    ) -> Result<Vec<String>, RepoError> {
        let odd: Mutex<Vec<String>> = Mutex::default();
        in_parallel(repo.store().connections(), packs, &|&(number, row): &(u32, PackRow)| {
            match Self::read_pack(repo, row.id, row.length, wanted) {
                Ok(Some(trailer)) => self.learn_trailer(number, row, &trailer),
                Ok(None) => {
                    // Of another domain: there is nothing to know.
                    self.packs().mark(number, Indexed::NO_CHUNKS);
                    Ok(())
                }
                // A pack that can't be read for a reason of its own adds nothing; a store that fails does so for all.
                Err(PackError::Store(error))
                    if matches!(error.kind, StoreErrorKind::RootMissing | StoreErrorKind::Transient) =>
                {
                    Err(error.into())
                }
                Err(error) => {
                    odd.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{}: {error}", key::pack(row.id)));
                    Ok(())
                }
            }
        })?;
        Ok(odd.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The trailer of a pack; `None` if it's of a domain that isn't wanted.
    fn read_pack<A: Access>(
        repo: &Repo<A>,
        pack: PackId,
        length: u64,
        wanted: &dyn Fn(DomainId) -> bool,
    ) -> Result<Option<Trailer>, PackError> {
        let store = &**repo.store();
        let trailer = |domain| {
            repo.with_domain(domain, |keys| parse::read_trailer(store, pack, length, repo.id(), keys)).transpose()
        };
        // Own packs need no look at the opening, unless they are among the few that a full credential writes for other domains.
        let own = repo.keys().domain().id();
        if pack.run.belongs_to(repo.credential()) && wanted(own) {
            match trailer(own) {
                Err(PackError::Trailer) => {}
                done => return done,
            }
        }
        let opening = store.get_range(&key::pack(pack), 0, FRAMES_START as u64)?;
        let domain = parse::opening(&opening, repo.id(), pack.run)?.domain;
        if wanted(domain) { trailer(domain) } else { Ok(None) }
    }

    /// Notes where a copy of a frame is: as one place if it's whole, else as one for each run of chunks that it holds.
    fn insert_copy(&self, pack: u32, offset: u32, copy: &Copy, present: Option<&Presence>) -> Result<(), IndexError> {
        let (stored, raw) = copy.lengths;
        let class = copy.class.code();
        let runs = present.map_or_else(|| vec![(0, copy.chunks)], Presence::runs);
        for (first, count) in runs {
            let place = FramePlace { pack, offset, stored, raw, class, partial: present.is_some(), first, count };
            self.frames().insert(&copy.id, &place)?;
        }
        Ok(())
    }

    fn learn_trailer(&self, number: u32, row: PackRow, trailer: &Trailer) -> Result<(), RepoError> {
        let _alone = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        if self.packs().get(number).is_some_and(|row| row.indexed.trailer) {
            return Ok(()); // another thread was first
        }
        self.packs().add(row.id, row.length, trailer.length)?;
        for frame in &trailer.frames {
            let class = frame.table.class;
            let copy = Copy {
                id: frame.id,
                class,
                lengths: (frame.stored_length, frame.raw_length),
                chunks: u16::try_from(frame.table.chunks.len()).unwrap_or(u16::MAX),
            };
            self.insert_copy(number, frame.offset, &copy, frame.present.as_ref())?;
            if class == Class::Secret {
                continue; // never deduplicated against
            }
            let frame_number = self.numbers().push(&frame.id)?;
            for (ordinal, chunk) in (0..).zip(&frame.table.chunks) {
                if frame.holds(usize::from(ordinal)) {
                    let place = ChunkPlace { frame: frame_number, ordinal, length: chunk.length };
                    self.known().insert(&chunk.id, place)?;
                }
            }
        }
        self.packs().mark(number, Indexed::ALL);
        Ok(())
    }
}

/// Calls `work` for each item, on so many threads; the first error ends it.
pub fn in_parallel<T: Sync, E: Send>(
    threads: usize,
    items: &[T],
    work: &(dyn Fn(&T) -> Result<(), E> + Sync),
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failure = Failure::default();
    let take = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failure.is_set() {
                break;
            }
            if let Err(error) = work(item) {
                failure.set(error);
            }
        }
    };
    let threads = threads.clamp(1, 16).min(items.len());
    if threads <= 1 {
        take();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(take))));
    }
    failure.take().map_or(Ok(()), Err)
}
