//! Reading content back: frames by their ids, in coalesced ranged reads, each verified before it is believed.

mod recent;
mod stretch;

pub use stretch::Stretch;

use crate::repo::error::ReadError;
use crate::repo::failure::Failure;
use crate::repo::format::{Class, key};
use crate::repo::id::{FrameId, PackId, RunId};
use crate::repo::index::FramePlace;
use crate::repo::keys::domain::DomainKeys;
use crate::repo::keys::wrap::{RunKey, Wrap};
use crate::repo::pack::builder::FRAMES_START;
use crate::repo::pack::frame::{self, OpenFrame, Zstd};
use crate::repo::pack::parse::{self, PackError};
use crate::repo::parallel;
use crate::repo::reader::recent::Recent;
use crate::repo::repository::{Full, Repo};
use crate::repo::view::View;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Packs of a run whose heads are looked at when one is damaged.
const MAX_OPENINGS: usize = 8;

/// Reads frames of a repository.
pub struct Reader<'r> {
    repo: &'r Repo<Full>,
    view: Arc<View>,
    runs: Mutex<HashMap<RunId, Arc<RunAccess>>>,
    recent: Mutex<Recent>,
    /// Whether the trailers of all packs were asked, since segments misled.
    asked_all: Mutex<bool>,
}

/// What opens the frames that a run wrote.
pub struct RunAccess {
    wrap: Wrap,
    /// The run's key.
    pub run_key: RunKey,
    /// The keys of its domain.
    pub domain: DomainKeys,
}

/// Frames that were fetched together.
#[derive(Default)]
pub struct Fetched {
    /// Those that can be used.
    pub frames: HashMap<FrameId, Arc<OpenFrame>>,
    /// Those that can't, and why.
    pub lost: HashMap<FrameId, String>,
}

/// A frame, or why it can't be used.
type FrameOrWhy = Result<Arc<OpenFrame>, String>;

impl<'r> Reader<'r> {
    /// A reader that finds frames by `view`.
    pub fn new(repo: &'r Repo<Full>, view: Arc<View>) -> Self {
        Self { repo, view, runs: Mutex::default(), recent: Mutex::default(), asked_all: Mutex::default() }
    }

    /// What is known of packs and frames.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether some pack that exists holds a frame.
    pub fn exists(&self, id: FrameId) -> bool {
        !self.view.places(id).is_empty()
    }

    /// Whether packs that exist hold these chunks of a frame, be it in several copies. What no segment tells of, the trailers may.
    pub fn holds(&self, id: FrameId, first: u32, count: u32) -> Result<bool, ReadError> {
        if self.knows_of(id, first, count) {
            return Ok(true);
        }
        self.ask_all_trailers()?;
        Ok(self.knows_of(id, first, count))
    }

    fn knows_of(&self, id: FrameId, first: u32, count: u32) -> bool {
        let listed = |place: &FramePlace| self.view.is_listed(place.pack);
        let places: Vec<FramePlace> = self.view.frames().all(&id).into_iter().filter(listed).collect();
        let (mut at, end) = (first, first.saturating_add(count));
        while at < end {
            let Some(place) = places.iter().find(|place| place.holds(at, 1)) else { return false };
            at = u32::from(place.first) + u32::from(place.count);
        }
        !places.is_empty()
    }

    /// Bytes of a frame's plaintext, as far as the index knows.
    pub fn raw_length(&self, id: FrameId) -> u32 {
        self.view.places(id).first().map_or(0, |place| place.raw)
    }

    /// One frame; those used last are at hand.
    pub fn frame(&self, id: FrameId) -> Result<Arc<OpenFrame>, ReadError> {
        let at_hand = self.recent.lock().unwrap_or_else(PoisonError::into_inner).frames.get(&id).cloned();
        if let Some(frame) = at_hand {
            return Ok(frame);
        }
        let frame = Arc::new(self.any_copy(id, &mut Zstd::new()?)?);
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).keep(id, &frame);
        Ok(frame)
    }

    /// The same with these chunks, if any copies hold them. A copy that lacks them says nothing of others that no segment told of.
    pub fn frame_with(&self, id: FrameId, first: u32, count: u32) -> Result<Arc<OpenFrame>, ReadError> {
        let frame = self.frame(id)?;
        if frame.chunks(first, count).is_some() {
            return Ok(frame);
        }
        let fuller = self.fuller(id, &frame)?;
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).keep(id, &fuller);
        Ok(fuller)
    }

    /// Looks for further copies of a frame that was fetched and lacks these chunks.
    pub fn complete(&self, fetched: &mut Fetched, (id, first, count): (FrameId, u32, u32)) -> Result<(), ReadError> {
        if let Some(frame) = fetched.frames.get_mut(&id).filter(|frame| frame.chunks(first, count).is_none()) {
            *frame = self.fuller(id, frame)?;
        }
        Ok(())
    }

    /// A frame from all copies that trailers tell of; what was found before if that is the best there is.
    fn fuller(&self, id: FrameId, found: &Arc<OpenFrame>) -> Result<Arc<OpenFrame>, ReadError> {
        match self.by_all_trailers(id, &mut Zstd::new()?) {
            Ok(fuller) => Ok(Arc::new(fuller)),
            Err(error) if error.is_store_failure() => Err(error),
            Err(_) => Ok(Arc::clone(found)),
        }
    }

    /// Whether a whole copy of a frame can be opened in a pack that isn't among those.
    pub fn has_copy_outside(&self, id: FrameId, packs: &HashSet<PackId>, zstd: &mut Zstd) -> Result<bool, ReadError> {
        for place in self.view.places(id).into_iter().filter(|place| !place.partial) {
            if self.view.pack_id(place.pack).is_none_or(|pack| packs.contains(&pack)) {
                continue;
            }
            match self.copy(id, place, zstd) {
                Ok(_) => return Ok(true),
                Err(error) if error.is_store_failure() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Fetches frames, so that [`frame`](Self::frame) has them at hand. What can't be had is told when it's asked for.
    pub fn prefetch(&self, ids: &[FrameId]) -> Result<(), ReadError> {
        let wanted: Vec<FrameId> = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let mut seen = HashSet::new();
            ids.iter().copied().filter(|id| !recent.frames.contains_key(id) && seen.insert(*id)).collect()
        };
        let fetched = self.fetch(&wanted)?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.frames.iter().for_each(|(id, frame)| recent.keep(*id, frame));
        Ok(())
    }

    /// Many frames at once, in as few reads as possible and by several threads. Fails only when the store does; frames that can't be
    /// used are among the result.
    pub fn fetch(&self, ids: &[FrameId]) -> Result<Fetched, ReadError> {
        let mut fetched = Fetched::default();
        let mut wanted = Vec::with_capacity(ids.len());
        let mut alone = Vec::new();
        for &id in ids {
            match self.view.places(id).as_slice() {
                // None is whole: they are put together. Or none is known, and the trailers may tell of one.
                [] => alone.push(id),
                [place, _, ..] if place.partial => alone.push(id),
                [place, ..] => wanted.push((id, *place)),
            }
        }
        for id in alone {
            match self.any_copy(id, &mut Zstd::new()?) {
                Ok(frame) => drop(fetched.frames.insert(id, Arc::new(frame))),
                Err(error) if error.is_store_failure() => return Err(error),
                Err(error) => drop(fetched.lost.insert(id, error.to_string())),
            }
        }
        let stretches = Stretch::of(wanted);
        let next = AtomicUsize::new(0);
        let failure = Failure::default();
        let found = Mutex::new(fetched);
        let threads = self.threads().min(stretches.len());
        let work = || -> Result<(), ReadError> {
            let mut zstd = Zstd::new()?;
            while let Some(stretch) = stretches.get(next.fetch_add(1, Ordering::Relaxed)) {
                if failure.is_set() {
                    break;
                }
                for (id, frame) in self.read(stretch, &mut zstd)? {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match frame {
                        Ok(frame) => drop(found.frames.insert(id, frame)),
                        Err(why) => drop(found.lost.insert(id, why)),
                    }
                }
            }
            Ok(())
        };
        if threads <= 1 {
            work()?;
        } else {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| work().unwrap_or_else(|error| failure.set(error)));
                }
            });
        }
        match failure.take() {
            Some(error) => Err(error),
            None => Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// How many threads read at once: more than there are cores where answers take their time.
    pub fn threads(&self) -> usize {
        self.repo.store().connections().max(parallel::threads())
    }

    /// The frames of a stretch; one that can't be used is looked for elsewhere.
    fn read(&self, stretch: &Stretch, zstd: &mut Zstd) -> Result<Vec<(FrameId, FrameOrWhy)>, ReadError> {
        let mut opened = Vec::with_capacity(stretch.copies.len());
        self.open_copies(stretch, zstd, &mut |id, place, copy| {
            opened.push((id, copy.ok().filter(|frame| frame.is_whole() || place.partial)));
            Ok(())
        })?;
        let mut frames = Vec::with_capacity(opened.len());
        for (id, frame) in opened {
            match frame.map_or_else(|| self.any_copy(id, zstd), Ok) {
                Ok(frame) => frames.push((id, Ok(Arc::new(frame)))),
                Err(error) if error.is_store_failure() => return Err(error),
                Err(error) => frames.push((id, Err(error.to_string()))),
            }
        }
        Ok(frames)
    }

    /// Opens the copies of a stretch, at these very places and nowhere else: which proves that they can serve. An error of `each` ends it.
    pub fn open_copies(
        &self,
        stretch: &Stretch,
        zstd: &mut Zstd,
        each: &mut dyn FnMut(FrameId, FramePlace, Result<OpenFrame, ReadError>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let pack = self.pack_id(stretch.pack)?;
        let length = u64::from(stretch.end - stretch.offset);
        let bytes = match self.repo.store().get_range(&key::pack(pack), u64::from(stretch.offset), length) {
            Ok(bytes) => Some(bytes),
            Err(source) => {
                let error = ReadError::Pack { pack, source: source.into() };
                if error.is_store_failure() {
                    return Err(error);
                }
                None
            }
        };
        for &(id, place) in &stretch.copies {
            let start = (place.offset - stretch.offset) as usize;
            let sealed = bytes.as_ref().and_then(|bytes| bytes.get(start..start + place.stored as usize));
            // Of a pack that was cut short, what lies before the cut is still there.
            let copy = match sealed {
                Some(sealed) => self.open(id, place, pack, sealed, zstd),
                None => self.copy(id, place, zstd),
            };
            each(id, place, copy)?;
        }
        Ok(())
    }

    /// A frame from whichever copies can be used. What the index says came from segments, which are hints: where it misled, the trailers are asked.
    fn any_copy(&self, id: FrameId, zstd: &mut Zstd) -> Result<OpenFrame, ReadError> {
        let mut found = self.known_copies(id, zstd);
        while self.is_misled(id, &found) {
            // First those that the index names for this frame: few.
            let named: Vec<u32> = self.view.places(id).iter().map(|place| place.pack).collect();
            if !self.view.learn_trailers_of(self.repo, &named).map_err(Box::new)? {
                return self.by_all_trailers(id, zstd);
            }
            found = self.known_copies(id, zstd);
        }
        found
    }

    /// Whether a frame isn't what the index says of it.
    fn is_misled(&self, id: FrameId, found: &Result<OpenFrame, ReadError>) -> bool {
        match found {
            Ok(frame) => !frame.is_whole() && self.view.places(id).iter().any(|place| !place.partial),
            Err(error) => !error.is_store_failure(),
        }
    }

    /// A frame from all copies that trailers tell of.
    fn by_all_trailers(&self, id: FrameId, zstd: &mut Zstd) -> Result<OpenFrame, ReadError> {
        self.ask_all_trailers()?;
        self.known_copies(id, zstd)
    }

    /// Learns from the trailers of all packs of which only segments told; once, since it takes a read for each.
    fn ask_all_trailers(&self) -> Result<(), ReadError> {
        let mut asked = self.asked_all.lock().unwrap_or_else(PoisonError::into_inner);
        if !*asked {
            self.view.learn_trailers(self.repo).map_err(Box::new)?;
            *asked = true;
            // So that the next process needn't.
            self.view.save();
        }
        Ok(())
    }

    /// A frame from the copies that the index knows: a whole one, or what several hold together.
    fn known_copies(&self, id: FrameId, zstd: &mut Zstd) -> Result<OpenFrame, ReadError> {
        let mut last = ReadError::Missing { frame: id };
        let mut found: Option<OpenFrame> = None;
        for place in self.view.places(id) {
            match self.copy(id, place, zstd) {
                Ok(frame) => {
                    let frame = match found.take() {
                        Some(before) => before.joined(&frame),
                        None => frame,
                    };
                    if frame.is_whole() {
                        return Ok(frame);
                    }
                    found = Some(frame);
                }
                // That the store failed says more than that another copy is broken: it may pass.
                Err(error) if !last.is_store_failure() => last = error,
                Err(_) => {}
            }
        }
        found.ok_or(last)
    }

    /// Opens the copy of a frame at this very place, which proves that it can serve.
    pub fn copy(&self, id: FrameId, place: FramePlace, zstd: &mut Zstd) -> Result<OpenFrame, ReadError> {
        let pack = self.pack_id(place.pack)?;
        let range = self.repo.store().get_range(&key::pack(pack), u64::from(place.offset), u64::from(place.stored));
        let sealed = range.map_err(|error| ReadError::Pack { pack, source: error.into() })?;
        self.open(id, place, pack, &sealed, zstd)
    }

    fn open(
        &self,
        id: FrameId,
        place: FramePlace,
        pack: PackId,
        sealed: &[u8],
        zstd: &mut Zstd,
    ) -> Result<OpenFrame, ReadError> {
        let class = Class::from_code(place.class).unwrap_or(Class::Data);
        let mut attempt = |run: &RunAccess| {
            frame::open(sealed, id, class, (self.repo.id(), pack.run, &run.run_key), run.domain.ids(), zstd)
                .map_err(|source| ReadError::Frame { frame: id, pack, source })
        };
        let known = self.run(pack)?;
        attempt(&known).or_else(|error| {
            // What is known of the run came from one pack's head, which nothing vouches for: who forges a pack under another's run may have put a key of its own there.
            let is_other = |run: &RunAccess| run.domain.id() != known.domain.id() || run.wrap != known.wrap;
            let mut others = self.openings(pack).filter(is_other);
            others.find_map(|run| attempt(&run).ok()).ok_or(error)
        })
    }

    /// What the heads of a pack and of some others of its run say, as far as they can be used.
    fn openings(&self, pack: PackId) -> impl Iterator<Item = RunAccess> + '_ {
        let listed = self.view.all_listed().into_iter().map(|(other, _)| other);
        let others = listed.filter(move |other| other.run == pack.run && *other != pack);
        std::iter::once(pack).chain(others).take(MAX_OPENINGS).filter_map(|pack| self.run_by(pack).ok())
    }

    fn pack_id(&self, number: u32) -> Result<PackId, ReadError> {
        let missing = || std::io::Error::other("the local index names a pack that it doesn't know; delete the cache");
        Ok(self.view.pack_id(number).ok_or_else(missing)?)
    }

    /// The keys of the run that wrote a pack, from the pack's opening, or if that is damaged from another one's.
    pub fn run(&self, pack: PackId) -> Result<Arc<RunAccess>, ReadError> {
        let known = self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(&pack.run).cloned();
        if let Some(access) = known {
            return Ok(access);
        }
        let access = match self.run_by(pack) {
            Err(error) if !error.is_store_failure() => {
                // Every pack of a run tells its key: that the head of one is damaged is no reason to lose what it holds.
                self.openings(pack).next().ok_or(error)?
            }
            access => access?,
        };
        let access = Arc::new(access);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(pack.run, Arc::clone(&access));
        Ok(access)
    }

    /// The same, from this very pack.
    fn run_by(&self, pack: PackId) -> Result<RunAccess, ReadError> {
        let of_pack = |source: PackError| ReadError::Pack { pack, source };
        let range = self.repo.store().get_range(&key::pack(pack), 0, FRAMES_START as u64);
        let bytes = range.map_err(|error| of_pack(error.into()))?;
        let opening = parse::opening(&bytes, self.repo.id(), pack.run).map_err(of_pack)?;
        self.run_access(&opening.wrap, pack.run, opening.domain)
    }

    fn run_access(&self, wrap: &Wrap, run: RunId, domain: crate::repo::id::DomainId) -> Result<RunAccess, ReadError> {
        let unwrapped = self.repo.read_keys().unwrap_run_key(wrap, run);
        let run_key = unwrapped.map_err(|_| ReadError::RunKey { run })?;
        Ok(RunAccess { wrap: *wrap, run_key, domain: self.repo.read_keys().domain(domain) })
    }
}
