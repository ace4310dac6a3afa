//! How much of each pack is needed, and which of several copies of a frame is to stay.

use crate::repo::gc::error::GcError;
use crate::repo::gc::marks::{Marked, Marks};
use crate::repo::id::{FrameId, PackId};
use crate::repo::index::FramePlace;
use crate::repo::view::View;
use std::collections::HashSet;

/// What is known of a pack's content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackUse {
    /// Raw bytes of the chunks that are in it.
    pub raw: u64,
    /// Those of them that are needed here, by the share of chunks that are marked.
    pub live: u64,
    /// Whether anything in it is needed here.
    pub needed: bool,
}

impl PackUse {
    /// Raw bytes that aren't needed.
    pub const fn dead(&self) -> u64 {
        self.raw.saturating_sub(self.live)
    }
}

/// Which copies of a frame are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// None: nothing of it is marked.
    None,
    /// All that there are: it's the only one, or none can replace the others.
    All,
    /// This one; the others can go once it has been opened.
    One(FramePlace),
}

/// The packs of a view in which needed chunks are counted.
pub struct Usage<'v> {
    view: &'v View,
    /// Packs that some pruner condemned: never the place of a copy that others may be deleted for.
    condemned: HashSet<u32>,
    /// By pack number.
    packs: Vec<PackUse>,
    /// What frames with one copy alone need of each pack: by it the copies of others are chosen.
    sure: Vec<u64>,
    /// Frames of which something is marked that no listed pack holds.
    missing: Vec<FrameId>,
}

/// The places of one copy of a frame.
type Copy<'p> = Vec<&'p FramePlace>;

impl<'v> Usage<'v> {
    /// Counts. Only packs of the view's last listing exist for it.
    pub fn of(view: &'v View, marks: &Marks, condemned: &HashSet<PackId>) -> Result<Self, GcError> {
        let count = view.packs().len();
        let condemned = condemned.iter().filter_map(|pack| view.packs().number(pack)).collect();
        let (packs, sure) = (vec![PackUse::default(); count], vec![0; count]);
        let mut usage = Self { view, condemned, packs, sure, missing: Vec::new() };
        let mut sure = std::mem::take(&mut usage.sure);
        let (mut covered, mut lacking) = (0, Vec::new());
        view.frames().scan(&mut |frame, places| {
            let copies = usage.copies(places);
            let Some(marked) = marks.get(frame) else { return };
            if marked.is_covered_by(&copies.iter().flatten().map(|place| (place.first, place.count))) {
                covered += 1;
            } else {
                lacking.push(*frame);
            }
            if let [only] = copies.as_slice()
                && let Some(sure) = sure.get_mut(only[0].pack as usize)
            {
                *sure += live(only, marked);
            }
        })?;
        usage.sure = sure;
        let mut packs = std::mem::take(&mut usage.packs);
        view.frames().scan(&mut |frame, places| usage.count(&mut packs, frame, places, marks))?;
        usage.packs = packs;
        if covered + lacking.len() < marks.len() {
            // Some aren't in the index at all.
            lacking.extend(marks.frames().filter(|frame| view.frames().get(frame).is_none()).copied());
        }
        usage.missing = lacking;
        Ok(usage)
    }

    fn count(&self, packs: &mut [PackUse], frame: &FrameId, places: &[FramePlace], marks: &Marks) {
        let copies = self.copies(places);
        let kept = self.choose(&copies, marks.get(frame));
        for copy in &copies {
            let Some(pack) = packs.get_mut(copy[0].pack as usize) else { continue };
            pack.raw += u64::from(copy[0].raw);
            let stays = match kept {
                Kept::None => false,
                Kept::All => true,
                Kept::One(place) => place.is_same_copy(copy[0]),
            };
            if let Some(marked) = marks.get(frame).filter(|_| stays) {
                let live = live(copy, marked);
                pack.live += live;
                // A copy that lacks all that is marked isn't needed.
                pack.needed |= live > 0;
            }
        }
    }

    /// The places by copy; those in packs that aren't listed are left out.
    fn copies<'p>(&self, places: &'p [FramePlace]) -> Vec<Copy<'p>> {
        let mut copies: Vec<Copy<'p>> = Vec::new();
        for place in places.iter().filter(|place| self.view.is_listed(place.pack)) {
            match copies.iter_mut().find(|copy| copy[0].is_same_copy(place)) {
                Some(copy) => copy.push(place),
                None => copies.push(vec![place]),
            }
        }
        copies
    }

    fn choose(&self, copies: &[Copy<'_>], marked: Option<&Marked>) -> Kept {
        let Some(marked) = marked else { return Kept::None };
        if copies.len() < 2 {
            return Kept::All;
        }
        let serves = |copy: &&Copy<'_>| {
            let there: u32 = copy.iter().map(|place| marked.count_in(place.first.into(), place.count.into())).sum();
            !self.condemned.contains(&copy[0].pack) && there == marked.count()
        };
        // The one in the pack of which most stays anyway. By names and not by numbers otherwise, so that two pruners choose alike.
        let rank = |copy: &&Copy<'_>| {
            let pack = copy[0].pack;
            (self.sure.get(pack as usize).copied(), self.view.pack_id(pack), copy[0].offset)
        };
        copies.iter().filter(serves).max_by_key(rank).map_or(Kept::All, |copy| Kept::One(*copy[0]))
    }

    /// Which copies of a frame are needed.
    pub fn kept(&self, frame: &FrameId, marks: &Marks) -> Kept {
        let places = self.view.frames().all(frame);
        self.choose(&self.copies(&places), marks.get(frame))
    }

    /// What is known of a pack.
    pub fn pack(&self, number: u32) -> PackUse {
        self.packs.get(number as usize).copied().unwrap_or_default()
    }

    /// Whether some pruner condemned a pack.
    pub fn is_condemned(&self, number: u32) -> bool {
        self.condemned.contains(&number)
    }

    /// Frames of which something is marked that no listed pack holds.
    pub fn missing(&self) -> &[FrameId] {
        &self.missing
    }

    /// Calls `each` for every frame of which chunks are to be kept from one of `packs`: the pack, and how many chunks.
    pub fn kept_in(
        &self,
        packs: &HashSet<u32>,
        marks: &Marks,
        each: &mut dyn FnMut(FrameId, u32, u32),
    ) -> Result<(), GcError> {
        self.view.frames().scan(&mut |frame, places| {
            let Some(marked) = marks.get(frame) else { return };
            let copies = self.copies(places);
            let kept = self.choose(&copies, Some(marked));
            for copy in copies.iter().filter(|copy| packs.contains(&copy[0].pack)) {
                let here = match kept {
                    Kept::None => false,
                    Kept::All => true,
                    Kept::One(place) => place.is_same_copy(copy[0]),
                };
                let wanted: u32 =
                    copy.iter().map(|place| marked.count_in(place.first.into(), place.count.into())).sum();
                if here && wanted > 0 {
                    each(*frame, copy[0].pack, wanted);
                }
            }
        })?;
        Ok(())
    }

    /// Calls `each` for every frame of which a copy can go because another one stays: the copy that stays, and the packs of those that go.
    pub fn superseded(&self, marks: &Marks, each: &mut dyn FnMut(FrameId, FramePlace, &[u32])) -> Result<(), GcError> {
        let mut packs = Vec::new();
        self.view.frames().scan(&mut |frame, places| {
            let copies = self.copies(places);
            if let Kept::One(stays) = self.choose(&copies, marks.get(frame)) {
                packs.clear();
                packs.extend(copies.iter().filter(|copy| !copy[0].is_same_copy(&stays)).map(|copy| copy[0].pack));
                each(*frame, stays, &packs);
            }
        })?;
        Ok(())
    }
}

/// Raw bytes of a copy that are needed, taking all its chunks for equally long.
fn live(copy: &Copy<'_>, marked: &Marked) -> u64 {
    let raw = u64::from(copy[0].raw);
    let (mut there, mut wanted) = (0_u64, 0_u64);
    for place in copy {
        there += u64::from(place.count);
        wanted += u64::from(marked.count_in(place.first.into(), place.count.into()));
    }
    // Of a place that doesn't say which chunks it holds, all are wanted.
    if there == 0 { raw } else { (raw * wanted).div_ceil(there) }
}
