//! What an encoder would be expected to find: the matches at a place, by chains of the places with the same three or four bytes, newest first.

use crate::chunker::expand::deflate::reader::WINDOW;

/// Places that are looked at, at most: it bounds the time.
pub(in super::super) const MAX_DEPTH: u16 = 1024;

/// How an encoder is expected to look for matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Search {
    /// Places that are looked at: 1 to [`MAX_DEPTH`].
    pub(in super::super) depth: u16,
    /// Bytes that are the same at all places of a chain: 3 or 4, which is also the shortest match.
    pub(in super::super) least: u8,
}

/// The longest match.
const MAX: usize = 258;
/// Bits of a hash.
const HASH: u32 = 15;
/// Bytes that may be kept beyond those that matches reach, so that they needn't be moved often.
const SLACK: usize = 1 << 20;

/// A match. Of length 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// Content, and where in it there is what.
#[derive(Debug)]
pub(super) struct Matches {
    /// The content so far, without what matches don't reach any more.
    pub(super) content: Vec<u8>,
    search: Search,
    /// By hash, and by the lowest bits of a place: the place before, and 1; 0 if there is none.
    heads: Vec<u32>,
    links: Vec<u32>,
    /// Places that are in the chains.
    inserted: usize,
    /// What was found last, and where.
    found: Option<(usize, Found)>,
}

impl Matches {
    pub(super) fn new(search: Search) -> Self {
        let (heads, links) = (vec![0; 1 << HASH], vec![0; WINDOW]);
        Self { content: Vec::new(), search, heads, links, inserted: 0, found: None }
    }

    /// Forgets what matches don't reach. Places are others then.
    pub(super) fn begin(&mut self) {
        self.found = None;
        if self.content.len() <= WINDOW + SLACK {
            return;
        }
        let gone = self.content.len() - WINDOW;
        self.content.drain(..gone);
        self.inserted = self.inserted.saturating_sub(gone);
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        self.heads.iter_mut().chain(&mut self.links).for_each(|place| *place = place.saturating_sub(gone));
        // A link stands where its place would be.
        self.links.rotate_left(gone as usize % WINDOW);
    }

    fn hash(&self, at: usize) -> Option<usize> {
        let [one, two, three, four] = *self.content.get(at..)?.first_chunk()?;
        let word = u32::from_le_bytes([one, two, three, if self.search.least < 4 { 0 } else { four }]);
        Some((word.wrapping_mul(0x9e37_79b1) >> (32 - HASH)) as usize)
    }

    /// Puts the places before `at` into the chains, and gives the newest with its hash, and 1; or 0. (It may be in them itself: the place behind it was looked at.)
    fn newest(&mut self, at: usize) -> usize {
        while self.inserted < at {
            let Some(hash) = self.hash(self.inserted) else { break };
            self.links[self.inserted % WINDOW] = self.heads[hash];
            self.heads[hash] = u32::try_from(self.inserted + 1).unwrap_or(0);
            self.inserted += 1;
        }
        let newest = self.hash(at).map_or(0, |hash| self.heads[hash]) as usize;
        if newest == at + 1 { self.links[at % WINDOW] as usize } else { newest }
    }

    /// The place that a link leads to from `at`, and the next link.
    fn follow(&self, link: usize, at: usize) -> Option<(usize, usize)> {
        let place = link.checked_sub(1).filter(|place| at - place <= WINDOW)?;
        let next = self.links[place % WINDOW] as usize;
        // One that isn't further back was overwritten.
        Some((place, if next <= place { next } else { 0 }))
    }

    /// Bytes at `at` that agree with those at `place`.
    fn agreeing(&self, place: usize, at: usize) -> usize {
        let most = (self.content.len() - at).min(MAX);
        let (one, other) = (&self.content[place..place + most], &self.content[at..at + most]);
        let mut length = 0;
        for (one, other) in one.chunks_exact(8).zip(other.chunks_exact(8)) {
            if one != other {
                break;
            }
            length += 8;
        }
        length + one[length..].iter().zip(&other[length..]).take_while(|(one, other)| one == other).count()
    }

    /// The longest match at a place, the nearest of several.
    pub(super) fn longest(&mut self, at: usize) -> Found {
        if let Some((_, found)) = self.found.filter(|(place, _)| *place == at) {
            return found;
        }
        let mut best = Found::default();
        let most = (self.content.len() - at).min(MAX);
        let mut link = self.newest(at);
        for _ in 0..self.search.depth {
            let Some((place, next)) = self.follow(link, at) else { break };
            link = next;
            // One that is longer agrees there, too.
            if self.content[place + best.length] != self.content[at + best.length] {
                continue;
            }
            let length = self.agreeing(place, at);
            if length >= self.search.least.into() && length > best.length {
                best = Found { length, distance: at - place };
                if length == most {
                    break;
                }
            }
        }
        self.found = Some((at, best));
        best
    }

    /// How far back matches of at least so many bytes are, the nearest first.
    pub(super) fn distances(&mut self, at: usize, length: usize) -> impl Iterator<Item = usize> {
        let mut link = self.newest(at);
        let this = &*self;
        let places = std::iter::from_fn(move || {
            let (place, next) = this.follow(link, at)?;
            link = next;
            Some(place)
        });
        let agrees = move |place: &usize| {
            this.content.get(place + length - 1) == this.content.get(at + length - 1)
                && this.agreeing(*place, at) >= length
        };
        places.take(self.search.depth.into()).filter(agrees).map(move |place| at - place)
    }
}
