//! What keeps snapshots from being forgotten.

use super::reason::hours;
use super::{Candidate, GroupKey, Options};
use crate::repo::id::RunId;
use crate::repo::note::UnusableNote;

/// Why forgetting would do harm, as it looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many of its snapshots claim a time that is younger than their objects are.
    #[error(
        "{group}: {doubtful} of {of} snapshots claim to be younger than the store says, {id} by {}: \
         either the store's clock is slow or their hosts' clocks are fast",
        hours(*ahead)
    )]
    Doubtful {
        /// The group.
        group: Box<GroupKey>,
        /// How many.
        doubtful: usize,
        /// Of how many.
        of: usize,
        /// The one that is worst.
        id: RunId,
        /// By how many seconds.
        ahead: i64,
    },
    /// The newest one holds much less than the one before it.
    #[error(
        "{group}: the newest snapshot {newest} holds {bytes} bytes, less than half of the {before_bytes} bytes in {before} before it"
    )]
    Shrunk {
        /// The group.
        group: Box<GroupKey>,
        /// The newest.
        newest: RunId,
        /// Its bytes.
        bytes: u64,
        /// The one before it.
        before: RunId,
        /// Its bytes.
        before_bytes: u64,
    },
    /// It's protected.
    #[error("{0} is protected")]
    Protected(RunId),
    /// It's the last complete one of its group.
    #[error("{group}: no complete snapshot would remain without {id}")]
    Last {
        /// The group.
        group: Box<GroupKey>,
        /// The newest of those that would go.
        id: RunId,
    },
    /// A note can't be used, and might have said what keeps one of them.
    #[error("{0}; it may have protected one of these snapshots, or given it a tag that keeps it")]
    Note(UnusableNote),
}

/// A group is refused if more than one in so many of its snapshots is doubtful.
const DOUBTFUL_SHARE: usize = 10;

impl Refusal {
    /// A look at a whole group, the newest first.
    pub(super) fn of_doubtful(key: &GroupKey, members: &[&Candidate], options: &Options) -> Option<Self> {
        let doubtful = members.iter().filter_map(|member| Some((options.doubt(member)?, member.id)));
        let (count, worst) = doubtful.fold((0, None), |(count, worst), one| (count + 1, worst.max(Some(one))));
        let (ahead, id) = worst?;
        let refused = count * DOUBTFUL_SHARE > members.len();
        refused.then(|| Self::Doubtful { group: Box::new(key.clone()), doubtful: count, of: members.len(), id, ahead })
    }

    /// A look at the two newest that are counted. Whether anything would go is the caller's question.
    pub(super) fn of_shrunk(key: &GroupKey, members: &[&Candidate], options: &Options) -> Option<Self> {
        let mut counted = members.iter().filter(|member| options.counts(member));
        let (newest, before) = (counted.next()?, counted.next()?);
        let shrunk = newest.bytes.saturating_mul(2) < before.bytes && !options.accept_shrink;
        shrunk.then(|| Self::Shrunk {
            group: Box::new(key.clone()),
            newest: newest.id,
            bytes: newest.bytes,
            before: before.id,
            before_bytes: before.bytes,
        })
    }
}
