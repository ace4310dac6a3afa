//! The packs of the model. All of them claim to hold the one chunk that everybody wants.

use super::set::Set;
use super::state::{OLD, WRITERS};

/// Every pack that can ever exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pack {
    /// Written by the run of the old snapshot, long ago.
    Old,
    /// A second copy that is there from the beginning, in some configurations.
    Second,
    /// What writer 0 stores.
    Own0,
    /// What writer 1 stores.
    Own1,
    /// What writer 0 stores again, when its last look found the first gone.
    Again0,
    /// What writer 1 stores again.
    Again1,
    /// What pruner 0 rewrites the chunk into.
    Rewritten0,
    /// What pruner 1 rewrites the chunk into.
    Rewritten1,
}

impl Pack {
    pub const ALL: [Self; 8] = [
        Self::Old,
        Self::Second,
        Self::Own0,
        Self::Own1,
        Self::Again0,
        Self::Again1,
        Self::Rewritten0,
        Self::Rewritten1,
    ];

    pub fn own(writer: usize) -> Self {
        [Self::Own0, Self::Own1][writer]
    }

    pub fn again(writer: usize) -> Self {
        [Self::Again0, Self::Again1][writer]
    }

    pub fn rewritten(pruner: usize) -> Self {
        [Self::Rewritten0, Self::Rewritten1][pruner]
    }

    /// The packs with this run in their names.
    pub fn of_run(run: usize) -> Set {
        match run {
            OLD => Set::of(&[Self::Old, Self::Second]),
            writer if writer < WRITERS => Set::of(&[Self::own(writer), Self::again(writer)]),
            gid => Set::of(&[Self::rewritten(gid - WRITERS)]),
        }
    }
}

impl From<Pack> for usize {
    fn from(pack: Pack) -> Self {
        pack as Self
    }
}
