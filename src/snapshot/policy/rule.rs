//! The rules, one for each `--keep-…`.

use super::{Span, Unit};
use crate::repo::id::RunId;
use std::fmt;
use std::str::FromStr;

/// How many buckets a rule keeps one snapshot of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// However many there are.
    All,
    /// This many.
    Number(u32),
}

/// A text that isn't a [`Count`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// Below zero.
    #[error("{0} is negative: write `all` to keep every one")]
    Negative(String),
    /// No number.
    #[error("{0:?} is no number: write how many, or `all`")]
    Syntax(String),
}

impl FromStr for Count {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        match text {
            "all" | "unlimited" => Ok(Self::All),
            _ => match text.strip_prefix('-') {
                Some(digits) if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) => {
                    Err(CountError::Negative(text.to_owned()))
                }
                _ => text.parse().map(Self::Number).map_err(|_| CountError::Syntax(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// What keeps a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The newest of each of the last so many buckets that hold snapshots.
    Newest(Unit, Count),
    /// The newest of each bucket, as far as it's younger than this before the newest snapshot of the group.
    Within(Unit, Span),
    /// Those with all of these tags, complete or not.
    Tags(Vec<String>),
    /// This one, complete or not.
    Id(RunId),
}

/// All rules; a snapshot stays if any of them keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// The policy of these rules. One that keeps none of any bucket is left out.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let says_something = |rule: &Rule| !matches!(rule, Rule::Newest(_, Count::Number(0)));
        Self { rules: rules.into_iter().filter(says_something).collect() }
    }

    /// Whether it would keep nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let parse = |text: &str| text.parse::<Count>().map_err(|error| error.to_string());
        assert_eq!(parse("14"), Ok(Count::Number(14)));
        assert_eq!([parse("all"), parse("unlimited")], [Ok(Count::All), Ok(Count::All)]);
        for wrong in ["-1", "-99999999999"] {
            assert!(parse(wrong).is_err_and(|why| why.contains("negative")), "{wrong}");
        }
        for wrong in ["", "-", "-x", "many", "1.5", "4294967296", "7d"] {
            assert!(parse(wrong).is_err_and(|why| why.contains("no number")), "{wrong}");
        }
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_empty() {
        assert!(Policy::new([Rule::Newest(Unit::Day, Count::Number(0))]).is_empty());
        assert!(!Policy::new([Rule::Newest(Unit::Day, Count::All)]).is_empty());
    }
}
