//! What a rule keeps one snapshot of.

use super::moment::Moment;
use std::fmt;

/// The size of a rule's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A bucket for each snapshot: `--keep-last`.
    Snapshot,
    /// An hour on the clock; one that is shown twice in autumn is two.
    Hour,
    /// A day of the calendar.
    Day,
    /// An ISO week: Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// January to March, and so on.
    Quarter,
    /// A year of the calendar.
    Year,
}

impl Unit {
    /// All, the smallest first.
    pub const ALL: [Self; 7] =
        [Self::Snapshot, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The bucket that a moment is in; for [`Unit::Snapshot`], `older` is how many snapshots come after it in time, so that each has its own.
    pub(super) fn bucket(self, moment: &Moment, older: usize) -> i64 {
        match self {
            Self::Snapshot => i64::try_from(older).unwrap_or(i64::MAX),
            Self::Hour => moment.hour,
            Self::Day => moment.day,
            Self::Week => moment.week,
            Self::Month => moment.month,
            Self::Quarter => moment.quarter,
            Self::Year => moment.year,
        }
    }

    /// The word for one of them.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// As in the name of the option: `last`, `daily`.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        })
    }
}
