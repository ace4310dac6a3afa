//! Switches that take one fence of the protocol away, so that tests can show that each is needed (`docs/protocol.md`).
//!
//! They exist in tests only: anywhere else [`is_off`] is the constant `false`, and the compiler leaves nothing of it.

/// A look at what the other side has put up; each is needed, and each can be left out in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fence {
    /// The writer's pins (step 2a).
    WriterPins,
    /// The writer's look at condemnations after it pinned (steps 2, 4 and 5).
    WriterCondemnations,
    /// The writer's last look at what it relies on and has written, before the commit (step 5).
    LastLook,
    /// The writer's look for a stop after it put the manifest (step 6).
    LookForStop,
    /// The pruner's second look at runs and pins, after it condemned (step 8a).
    Rescue8a,
    /// The pruner's second look at snapshots (step 8b).
    Rescue8b,
    /// The pruner's look at what others condemned and keep (step 8c).
    Others8c,
    /// The pruner's look whether the copies that it keeps are there (step 8d).
    KeptCopies8d,
    /// That the pruner opens the copy of a chunk that it keeps before it condemns another (step 6).
    OpenKeptCopy,
}

/// Whether a fence is taken away from what this thread does.
#[cfg(not(test))]
#[inline]
pub(crate) const fn is_off(_: Fence) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switched::{is_off, switch_off};

#[cfg(test)]
mod switched {
    use super::Fence;
    use std::cell::Cell;

    thread_local! {
        static OFF: Cell<Option<Fence>> = const { Cell::new(None) };
    }

    /// Whether a fence is taken away from what this thread does.
    pub(crate) fn is_off(fence: Fence) -> bool {
        OFF.get() == Some(fence)
    }

    /// Takes a fence away from what this thread does from now on, or none. Threads of other tests don't notice.
    pub(crate) fn switch_off(fence: Option<Fence>) {
        OFF.set(fence);
    }
}
