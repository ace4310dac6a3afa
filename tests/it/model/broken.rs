//! What can be done wrongly: each is one step of the protocol left out, or taken in the wrong order.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// 1: `runs/<run>` is never PUT.
    RunNotAnnounced,
    /// 2: the fence doesn't read gc records.
    FenceWithoutGc,
    /// 2: the fence doesn't LIST packs.
    FenceWithoutList,
    /// 2 and 5: packs are listed before gc records are read.
    ListBeforeGc,
    /// 2 and 5: a pack is relied on although its length is wrong.
    LengthsIgnored,
    /// 5: the run commits without a last look.
    NoLastLook,
    /// 6: the writer doesn't look for a stop.
    StopNotLookedFor,
    /// 7: pins are removed before the commit.
    UnpinBeforeCommit,
    /// Forget: the manifest is deleted, and no tombstone is written.
    ForgetDeletes,
    /// Prune 3 and 8a: packs of undecided runs are candidates like all others.
    UndecidedPacksCondemned,
    /// Prune 3 and 8a: pins are read after the snapshot was looked for.
    PinsAfterSnapshot,
    /// Prune 3 and 8a: a snapshot that a GET found counts only once it is listed.
    FoundSnapshotsIgnored,
    /// Prune 5: the snapshot isn't looked for after the stop.
    SnapshotNotLookedFor,
    /// Prune 6: the kept copy isn't opened.
    KeptNotOpened,
    /// Prune 6 and 8c: what another pruner condemned is kept, if it is still there.
    RescuedIsKept,
    /// Slow listings: no wait between 7 and 8.
    NoWait,
    /// Slow listings: only half of it.
    WaitsOnce,
    /// Prune 8a is left out.
    RunsNotReadAgain,
    /// Prune 8b is left out.
    SnapshotsNotReadAgain,
    /// Prune 8b comes before 8a.
    SnapshotsBeforePins,
    /// Prune 6 and 8c: what others keep isn't rescued.
    OthersKeptNotRescued,
    /// Prune 8c: that others condemn the kept copy makes no difference.
    KeptMayBeCondemned,
    /// Prune 8d: nobody looks whether the kept copy is there.
    KeptNotLookedFor,
    /// Prune 8d comes before 8c.
    KeptLookedForFirst,
    /// Prune 8d: the pruner doesn't look for a stop of its own run.
    OwnStopNotLookedFor,
    /// Prune 6 and 8c, and writers: records of pruners that are done are ignored.
    FinishedRecordsIgnored,
    /// Prune 9: another pruner deletes what a crashed one condemned.
    FinishesOthers,
    /// The same, after it passed the whole fence (8) itself.
    FinishesOthersFenced,
}

impl Broken {
    pub const ALL: [Self; 28] = [
        Self::RunNotAnnounced,
        Self::FenceWithoutGc,
        Self::FenceWithoutList,
        Self::ListBeforeGc,
        Self::LengthsIgnored,
        Self::NoLastLook,
        Self::StopNotLookedFor,
        Self::UnpinBeforeCommit,
        Self::ForgetDeletes,
        Self::UndecidedPacksCondemned,
        Self::PinsAfterSnapshot,
        Self::FoundSnapshotsIgnored,
        Self::SnapshotNotLookedFor,
        Self::KeptNotOpened,
        Self::RescuedIsKept,
        Self::NoWait,
        Self::WaitsOnce,
        Self::RunsNotReadAgain,
        Self::SnapshotsNotReadAgain,
        Self::SnapshotsBeforePins,
        Self::OthersKeptNotRescued,
        Self::KeptMayBeCondemned,
        Self::KeptNotLookedFor,
        Self::KeptLookedForFirst,
        Self::OwnStopNotLookedFor,
        Self::FinishedRecordsIgnored,
        Self::FinishesOthers,
        Self::FinishesOthersFenced,
    ];
}
