//! What couldn't be captured, as far as a manifest has room for it.

use crate::repo::cbor::MAX_ITEMS;
use crate::repo::format::MAX_OBJECT;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};

/// Bytes of a manifest that its problems may take: a quarter of the longest object.
const ROOM: usize = 64 << 20;

/// What a problem counts besides its path and message. It also bounds how many there are: to a million.
const EACH: usize = 64;

// A problem has four items of CBOR.
const _: () = assert!(
    (ROOM / EACH) as u64 * 4 < MAX_ITEMS && (ROOM as u64) < MAX_OBJECT,
    "the most that is listed fits a manifest"
);

/// The problems of a run. Where a whole disk can't be read there may be any number of them, and a manifest that holds them all would be one that no reader opens.
#[derive(Clone)]
pub(super) struct Problems {
    listed: Vec<Problem>,
    room: usize,
    /// Those that there is no room for.
    more: u64,
}

impl Default for Problems {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Problems {
    const fn with_room(room: usize) -> Self {
        Self { listed: Vec::new(), room, more: 0 }
    }

    /// Notes a problem.
    pub(super) fn push(&mut self, problem: Problem) {
        let bytes = EACH + problem.path.as_bytes().len() + problem.message.len();
        match self.room.checked_sub(bytes).filter(|_| self.more == 0) {
            Some(room) => {
                self.room = room;
                self.listed.push(problem);
            }
            None => self.more += 1,
        }
    }

    /// How many there are, listed or not.
    pub(super) fn count(&self) -> u64 {
        self.listed.len() as u64 + self.more
    }

    /// All of them, or so many that there is room for, and one that says how many there are besides.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut listed = self.listed;
        if self.more > 0 {
            let message = format!("{} more problems aren't listed here: there are too many", self.more);
            listed.push(Problem { path: SafePath::top(), kind: ProblemKind::TooLong, message });
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(n: usize) -> Problem {
        let path = SafePath::parse(format!("{n:03}").as_bytes()).unwrap();
        Problem { path, kind: ProblemKind::Denied, message: "open: no".to_owned() }
    }

    fn finished(room: usize, n: usize) -> Vec<Problem> {
        let mut problems = Problems::with_room(room);
        (0..n).for_each(|n| problems.push(problem(n)));
        problems.finish()
    }

    /// A run over a disk of which nothing could be read ended in a manifest beyond the limits of the format: reported as a snapshot, and opened by nobody.
    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let each = EACH + 3 + 8;
        assert_eq!(finished(3 * each, 3), [0, 1, 2].map(problem));
        let more = finished(3 * each, 1_000);
        assert_eq!(more[..3], [0, 1, 2].map(problem));
        assert_eq!(
            (more.len(), more[3].message.as_str()),
            (4, "997 more problems aren't listed here: there are too many")
        );
        assert!(finished(0, 0).is_empty());
    }
}
