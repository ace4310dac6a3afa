//! How much a check may read, as that accrues with time.

use crate::repo::cbor::Time;
use crate::repo::id::PackId;
use crate::repo::verified::Verified;
use crate::snapshot::check::subset::Subset;
use std::str::FromStr;

/// A check may begin so much of a period early: nightly runs don't begin at the same second.
const EARLY: f64 = 0.1;

/// What is read of the packs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// A part, whatever was read before.
    Subset(Subset),
    /// What is due: the packs that were verified longest ago.
    Budget(Budget),
}

/// How often an amount may be read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Period {
    /// Whenever a check runs.
    Run,
    /// In so many seconds.
    Seconds(f64),
}

/// So much in a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// How much: a share of the bytes, or bytes.
    amount: Subset,
    /// How often.
    period: Period,
}

/// A text that names neither a part of the packs nor a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// Not a part.
    #[error("{0:?} is no part of the packs: write a share such as 5%, a part such as 1/10, or an amount such as 2G")]
    Subset(String),
    /// Not an amount before the `/`.
    #[error("{0:?} is no budget: before the `/` stands a share such as 5% or an amount such as 2G")]
    Amount(String),
    /// Not a period behind the `/`.
    #[error("{0:?} is no budget: behind the `/` stands run, hour, day, week or month, as in 5%/day or 10G/week")]
    Period(String),
}

impl FromStr for Reading {
    type Err = ReadingError;

    fn from_str(text: &str) -> Result<Self, ReadingError> {
        let whole = || text.to_owned();
        let trimmed = text.trim();
        match trimmed.split_once('/') {
            // `1/10` is the first of ten parts.
            Some((amount, unit)) if !unit.starts_with(|c: char| c.is_ascii_digit()) => {
                let period = period(unit.trim()).ok_or_else(|| ReadingError::Period(whole()))?;
                let amount = amount.trim().parse().ok();
                let amount = amount.filter(|amount| matches!(amount, Subset::Percent(_) | Subset::Bytes(_)));
                let amount = amount.ok_or_else(|| ReadingError::Amount(whole()))?;
                Ok(Self::Budget(Budget { amount, period }))
            }
            _ if trimmed == "100%" => Ok(Self::Subset(Subset::All)),
            _ => trimmed.parse().map(Self::Subset).map_err(|_| ReadingError::Subset(whole())),
        }
    }
}

fn period(unit: &str) -> Option<Period> {
    const DAY: f64 = 86_400.0;
    Some(Period::Seconds(match unit {
        "run" => return Some(Period::Run),
        "hour" | "h" => DAY / 24.0,
        "day" | "d" => DAY,
        "week" | "w" => 7.0 * DAY,
        "month" | "mo" => 30.0 * DAY,
        _ => return None,
    }))
}

impl Budget {
    /// The packs that are due at `now`, those that were never verified first, then those whose turn was longest ago.
    pub(super) fn choose(self, mut packs: Vec<(PackId, u64)>, verified: &Verified, now: Time) -> Vec<(PackId, u64)> {
        let allowed = self.allowed(&packs, verified, now);
        // By hash among equals: which packs come first has nothing to do with what is in them.
        packs.sort_unstable_by_key(|(pack, _)| (verified.time(pack), pack.hash));
        let mut sum = 0;
        packs.retain(|(_, length)| {
            let take = sum < allowed;
            sum += length;
            take
        });
        packs
    }

    /// How many bytes may be read.
    ///
    /// For each whole period since the check before this one began, one amount, but no more than all. Within a period, what is left of it:
    /// a second check reads nothing, and one after an interrupted check reads on.
    fn allowed(self, packs: &[(PackId, u64)], verified: &Verified, now: Time) -> u64 {
        let total: u64 = packs.iter().map(|(_, length)| length).sum();
        let amount = self.amount.bytes_of(total);
        let newest = verified.newest(packs.iter().map(|(pack, _)| pack));
        let (Period::Seconds(period), Some(newest)) = (self.period, newest) else { return amount.min(total) };
        let periods = (seconds_between(newest, now) / period + EARLY).floor();
        if periods < 1.0 {
            let recent = |time: Time| seconds_between(time, now) < period * (1.0 - EARLY);
            let spent = packs.iter().filter(|(pack, _)| verified.time(pack).is_some_and(recent));
            return amount.saturating_sub(spent.map(|(_, length)| length).sum());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and whole; a cast of f64 saturates, and no more than all is read"
        )]
        let periods = periods as u64;
        amount.saturating_mul(periods).min(total)
    }
}

/// Seconds from `earlier` to `later`.
#[expect(clippy::cast_precision_loss, reason = "for seconds of centuries f64 is exact")]
pub(super) fn seconds_between(earlier: Time, later: Time) -> f64 {
    later.seconds.saturating_sub(earlier.seconds) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::{PackHash, RunId};

    const DAY: i64 = 86_400;

    fn packs() -> Vec<(PackId, u64)> {
        let pack = |i: u8| PackId { run: RunId::from_bytes([1; 20]), hash: PackHash::from_bytes([i; 32]) };
        (0..100).map(|i| (pack(i), 10)).collect()
    }

    fn at(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 0 }
    }

    /// Runs a check at each of these times; how many packs each of them reads.
    fn nights(budget: &str, times: &[i64]) -> Vec<usize> {
        let Ok(Reading::Budget(budget)) = budget.parse() else { panic!("{budget} is a budget") };
        let mut verified = Verified::default();
        let mut counts = Vec::new();
        for &time in times {
            let due = budget.choose(packs(), &verified, at(time));
            counts.push(due.len());
            for (pack, _) in &due {
                verified.remember(*pack, at(time));
            }
        }
        counts
    }

    #[test]
    fn budgets_are_read_as_people_write_them() {
        let budget = |amount, period| Ok(Reading::Budget(Budget { amount, period }));
        assert_eq!("5%/day".parse(), budget(Subset::Percent(5.0), Period::Seconds(86_400.0)));
        assert_eq!(" 10G / week".parse(), budget(Subset::Bytes(10 << 30), Period::Seconds(604_800.0)));
        assert_eq!("1%/run".parse(), budget(Subset::Percent(1.0), Period::Run));
        assert_eq!("1/10".parse(), Ok(Reading::Subset(Subset::Part { n: 1, of: 10 })));
        assert_eq!("100%".parse(), Ok(Reading::Subset(Subset::All)));
        let error = |text: &str| text.parse::<Reading>().unwrap_err().to_string();
        insta::assert_snapshot!(error("5%/fortnight"), @r#""5%/fortnight" is no budget: behind the `/` stands run, hour, day, week or month, as in 5%/day or 10G/week"#);
        insta::assert_snapshot!(error("much/day"), @r#""much/day" is no budget: before the `/` stands a share such as 5% or an amount such as 2G"#);
        insta::assert_snapshot!(error("5 apples"), @r#""5 apples" is no part of the packs: write a share such as 5%, a part such as 1/10, or an amount such as 2G"#);
        for wrong in ["all/day", "1/10/day", "0%/day", "5%/", "/day", "5%/day/day", "5%/Day "] {
            assert!(wrong.parse::<Reading>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_accrues_by_periods_and_is_spent_once() {
        let nightly: Vec<i64> = (0..25).map(|night| night * DAY + (night % 3) * 600).collect();
        let counts = nights("5%/day", &nightly);
        assert!(counts.iter().all(|&count| count == 5), "{counts:?}");
        assert_eq!(nights("5%/day", &[0, DAY / 2, DAY, DAY + 60]), [5, 0, 5, 0], "twice a day");
        assert_eq!(nights("5%/day", &[0, 4 * DAY, 400 * DAY]), [5, 20, 100], "what wasn't read accrues, up to all");
        assert_eq!(nights("70B/week", &[0, DAY, 7 * DAY]), [7, 0, 7]);
        assert_eq!(nights("3%/run", &[0, 1, 2]), [3, 3, 3]);
        assert_eq!(nights("5%/day", &[10 * DAY, 0]), [5, 0], "a clock that was set back");
    }

    #[test]
    fn what_was_never_verified_comes_first_and_then_the_oldest() {
        let Ok(Reading::Budget(budget)) = "2%/run".parse() else { panic!() };
        let mut verified = Verified::default();
        let all = packs();
        for (i, (pack, _)) in (0..).zip(&all).skip(1) {
            verified.remember(*pack, at(1000 - i));
        }
        let due = budget.choose(packs(), &verified, at(5000));
        assert_eq!(due, [all[0], all[99]]);
    }

    #[test]
    fn an_interrupted_check_leaves_the_rest_of_its_period() {
        let Ok(Reading::Budget(budget)) = "5%/day".parse() else { panic!() };
        let mut verified = Verified::default();
        packs().iter().take(2).for_each(|(pack, _)| verified.remember(*pack, at(0)));
        assert_eq!(budget.choose(packs(), &verified, at(3600)).len(), 3);
    }
}
