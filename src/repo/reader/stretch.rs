//! Which copies of frames are read at once.

use crate::repo::id::FrameId;
use crate::repo::index::FramePlace;

/// Frames closer than this in a pack are read at once: one request costs more than the bytes between.
const COALESCE_GAP: u32 = 64 << 10;
/// Longest coalesced read.
const COALESCE_MAX: u32 = 8 << 20;

/// Copies of frames that lie close together in a pack: one read brings them.
pub struct Stretch {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) end: u32,
    pub(super) copies: Vec<(FrameId, FramePlace)>,
}

impl Stretch {
    /// Puts copies that lie close together into one stretch.
    pub fn of(mut copies: Vec<(FrameId, FramePlace)>) -> Vec<Self> {
        copies.sort_unstable_by_key(|(_, place)| (place.pack, place.offset));
        let mut stretches: Vec<Self> = Vec::new();
        for (id, place) in copies {
            let end = place.offset.saturating_add(place.stored);
            match stretches.last_mut() {
                Some(last)
                    if last.pack == place.pack
                        && place.offset <= last.end.saturating_add(COALESCE_GAP)
                        && end.saturating_sub(last.offset) <= COALESCE_MAX =>
                {
                    last.end = last.end.max(end);
                    last.copies.push((id, place));
                }
                _ => stretches.push(Self { pack: place.pack, offset: place.offset, end, copies: vec![(id, place)] }),
            }
        }
        stretches
    }
}
