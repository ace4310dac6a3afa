//! Which snapshots stay: rules, groups, and the reasons for each verdict. Pure; it reads neither a repository nor a clock.
//!
//! | word | meaning |
//! | --- | --- |
//! | candidate | what is asked of a snapshot: [`Candidate`] |
//! | rule | one `--keep-…`; a snapshot stays if any rule keeps it |
//! | bucket | an hour, day, ISO week, month, quarter or year in *one* time zone; a rule keeps the newest snapshot of a bucket |
//! | group | the snapshots that rules count together: of one app, host, set of paths, and key |
//! | counted | complete and not doubtful: what rules look at |
//! | overtaken | a checkpoint whose run came further, or after which a complete snapshot was begun: it goes |
//! | doubtful | claims to be taken more than [`DOUBT`] after the store received it: kept, never counted |
//!
//! `docs/retention.md` explains the rules to people, and argues for them.

pub mod candidate;
pub mod decide;
pub mod forecast;
pub mod group;
pub mod moment;
pub mod named;
pub mod overtaken;
pub mod reason;
pub mod refusal;
pub mod rule;
pub mod span;
pub mod unit;

#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use decide::{Group, Outcome, Verdict, apply};
pub use forecast::{Forecast, forecast};
pub use group::{GroupBy, GroupKey};
pub use named::forget_named;
pub use overtaken::overtaken;
pub use reason::Reason;
pub use refusal::Refusal;
pub use rule::{Count, Policy, Rule};
pub use span::Span;
pub use unit::Unit;

use crate::repo::cbor::Time;
use jiff::tz::TimeZone;

/// How many seconds a snapshot may claim to be younger than its object in the store: clocks differ, and a run's time is that of its beginning.
pub const DOUBT: i64 = 3600;

/// How long all snapshots of a write-only key stay at least, in seconds by the store's clock: the time to notice that it was stolen.
pub const RECENT: i64 = 7 * 86_400;

/// How much older than a complete snapshot an incomplete one may become, in seconds, unless the user says otherwise.
pub const GRACE: i64 = 7 * 86_400;

/// What verdicts depend on besides rules and candidates.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zone whose calendar is used for all snapshots, wherever they were made.
    pub zone: TimeZone,
    /// What makes a group.
    pub group_by: GroupBy,
    /// How much older than the newest complete snapshot an incomplete one may be, in seconds.
    pub grace: i64,
    /// The time, in seconds since the epoch. Only used for snapshots of write-only keys.
    pub now: i64,
    /// Believe the times that hosts claim: then nothing is doubtful, and write-only keys don't keep all of the last days.
    pub trust_hosts: bool,
    /// Go on although the newest snapshot of a group holds less than half of the one before.
    pub accept_shrink: bool,
    /// Let the last complete snapshot of a group go.
    pub allow_empty_group: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            group_by: GroupBy::default(),
            grace: GRACE,
            now: i64::MAX,
            trust_hosts: false,
            accept_shrink: false,
            allow_empty_group: false,
        }
    }
}

impl Options {
    /// By how many seconds a snapshot claims to be younger than its object is, if that is more than clocks may differ.
    pub fn doubt(&self, candidate: &Candidate) -> Option<i64> {
        let ahead = candidate.time.seconds.saturating_sub(candidate.stored?);
        (ahead > DOUBT && !self.trust_hosts).then_some(ahead)
    }

    /// The time that rules go by: the one that a snapshot claims, except of a write-only key that isn't trusted and dates back by more than
    /// [`RECENT`], as somebody might who wants to take the places of honest old ones. Then it's that of the store.
    pub fn time_of(&self, candidate: &Candidate) -> Time {
        match candidate.stored {
            Some(seconds)
                if candidate.write_only
                    && !self.trust_hosts
                    && seconds.saturating_sub(candidate.time.seconds) > RECENT =>
            {
                Time { seconds, nanoseconds: 0 }
            }
            _ => candidate.time,
        }
    }

    /// Whether rules count a snapshot.
    pub fn counts(&self, candidate: &Candidate) -> bool {
        candidate.complete && self.doubt(candidate).is_none()
    }
}
