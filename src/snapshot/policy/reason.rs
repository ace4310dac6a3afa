//! Why a snapshot stays or goes.

use super::{Count, Span, Unit};
use std::fmt;

/// Why a snapshot stays or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It stays: the newest of its bucket, which is this one of so many, counted from 1.
    Newest(Unit, u32, Count),
    /// It stays: the newest of its bucket, and young enough.
    Within(Unit, Span),
    /// It stays: it has these tags.
    Tags(Vec<String>),
    /// It stays: `--keep-id` names it.
    Id,
    /// It stays: somebody protected it.
    Protected,
    /// It stays: it claims to be younger than its object in the store by so many seconds.
    Doubtful(i64),
    /// It stays: it's incomplete, and no complete one is younger by so many seconds.
    Unreplaced(i64),
    /// It stays: the store received it from a write-only key in the last days.
    Recent,
    /// It stays: it's the last complete one of its group.
    Last,
    /// It goes: a younger one stands for its bucket.
    Superseded(Unit),
    /// It goes: so many younger buckets are kept.
    Beyond(Unit, Count),
    /// It goes: it's too old.
    Outside(Span),
    /// It goes: it's incomplete, and a complete one is younger by so many seconds.
    Replaced(i64),
    /// It goes: it's a checkpoint, and a later snapshot stands for it.
    Overtaken,
    /// It goes: no rule keeps it.
    None,
    /// It goes: it was named.
    Named,
    /// It stays: others were named.
    NotNamed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(unit, nth, Count::All) => write!(f, "{unit} {nth}"),
            Self::Newest(unit, nth, Count::Number(of)) => write!(f, "{unit} {nth}/{of}"),
            Self::Within(Unit::Snapshot, span) => write!(f, "within {span}"),
            Self::Within(unit, span) => write!(f, "{unit} within {span}"),
            Self::Tags(tags) => write!(f, "tag {}", tags.join("+")),
            Self::Id => f.write_str("named to be kept"),
            Self::Protected => f.write_str("protected"),
            Self::Doubtful(ahead) => write!(f, "doubtful: its time is {} ahead of the store's clock", hours(*ahead)),
            Self::Unreplaced(0) => f.write_str("incomplete: not counted; goes when a complete one is younger"),
            Self::Unreplaced(grace) => {
                write!(f, "incomplete: not counted; goes when a complete one is {} younger", hours(*grace))
            }
            Self::Recent => f.write_str("write-only key, last 7 d"),
            Self::Last => f.write_str("the last complete one of its group"),
            Self::Superseded(unit) => write!(f, "not the {}'s newest", unit.noun()),
            Self::Beyond(Unit::Snapshot, count) => write!(f, "beyond the last {count}"),
            Self::Beyond(unit, count) => write!(f, "beyond the last {count} {}s", unit.noun()),
            Self::Outside(span) => write!(f, "older than {span}"),
            Self::Replaced(by) => write!(f, "incomplete, and a complete one is {} younger", hours(*by)),
            Self::Overtaken => f.write_str("a checkpoint, and a later snapshot stands for it"),
            Self::None => f.write_str("no rule keeps it"),
            Self::Named => f.write_str("named"),
            Self::NotNamed => f.write_str("not named"),
        }
    }
}

/// Seconds in days or hours, whichever is exact enough for the eye.
pub(super) fn hours(seconds: i64) -> String {
    match seconds {
        ..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
