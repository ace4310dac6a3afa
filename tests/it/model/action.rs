//! One step of anybody. What a counterexample prints.

use super::pack::Pack;
use super::state::Key;
use super::{pruner, writer};

/// What happens next.
///
/// Nobody crashes: a process that is killed is one that takes no step any more, and every history contains those in which it doesn't. Only what
/// a kill leaves behind is an action: half a pack ([`Choice::Short`]), and requests that arrive late, which are steps of a slow process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Writer(usize, writer::Step, Choice),
    Pruner(usize, pruner::Step, Choice),
    /// Somebody PUTs `forgotten/<run>`.
    Forget(usize),
    /// The tombstone of the old snapshot is older than the grace.
    GraceIsOver,
    /// A repeated PUT of a manifest arrives. It changes something only where a manifest was deleted.
    CommitArrivesTwice(usize),
    /// A repeated PUT of the old pack arrives after the pack was deleted.
    PackArrivesTwice,
    /// A gc record is removed.
    RemoveRecord(usize),
    /// A late key is listed from now on.
    Show(Key),
}

/// How a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Go,
    /// What is PUT is listed late.
    Late,
    /// With this pack: pin it, keep it, delete it.
    Use(Pack),
    /// Pin this pack; the pins are listed late.
    UseLate(Pack),
    /// What is PUT is cut short.
    Short,
    /// The LIST shows what was just deleted.
    Ghost,
    /// The run is taken for stale.
    Stale,
    /// No snapshot needs the chunk.
    KeepNothing,
    /// The chunk is rewritten into a new pack.
    Rewrite,
    /// The same; the pack is listed late.
    RewriteLate,
    /// The prune ends here.
    Refuse,
    /// Broken variants: goes on with the other pruner's record.
    TakeOver,
}

impl Choice {
    pub fn is_late(self) -> bool {
        matches!(self, Self::Late | Self::UseLate(_) | Self::RewriteLate)
    }
}
