//! How far back a rule looks: years, months, days, hours.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// A stretch of the calendar, as restic spells it: `1y2m3d4h`. Here, and only here, `m` is months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

/// A text that isn't a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It isn't made of numbers and units.
    #[error("{0:?} is no length of time: write numbers with y, m, w, d or h, such as 14d or 1y6m")]
    Syntax(String),
    /// A unit stands there twice.
    #[error("{text:?} gives `{unit}` twice")]
    Twice {
        /// What was written.
        text: String,
        /// The unit.
        unit: String,
    },
    /// It's no time at all.
    #[error("{0:?} is no time at all, so that it would keep nothing")]
    Zero(String),
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let syntax = || SpanError::Syntax(text.to_owned());
        let mut span = Self::default();
        let mut weeks = 0u32;
        let mut seen = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(syntax());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u32 = rest[..digits].parse().map_err(|_| syntax())?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = &rest[..letters];
            rest = &rest[letters..];
            let field = match unit {
                "y" => &mut span.years,
                "m" | "mo" => &mut span.months,
                "w" => &mut weeks,
                "d" => &mut span.days,
                "h" => &mut span.hours,
                _ => return Err(syntax()),
            };
            let unit = &unit[..1];
            if seen.contains(&unit) {
                return Err(SpanError::Twice { text: text.to_owned(), unit: unit.to_owned() });
            }
            seen.push(unit);
            *field = number;
        }
        span.days = weeks.checked_mul(7).and_then(|days| days.checked_add(span.days)).ok_or_else(syntax)?;
        if span == Self::default() { Err(SpanError::Zero(text.to_owned())) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl Span {
    /// The moment that lies so far before `end` in the calendar of `zone`; the first one there is if it lies before that.
    ///
    /// A day that a month lacks is its last: a month before the 31st of March is the 28th of February.
    pub fn before(self, end: Timestamp, zone: &TimeZone) -> Timestamp {
        let back = jiff::Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours));
        back.and_then(|back| end.to_zoned(zone.clone()).checked_sub(back))
            .map_or(Timestamp::MIN, |start| start.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_for_restic() {
        let shown = |text: &str| text.parse::<Span>().map(|span| span.to_string()).map_err(|error| error.to_string());
        assert_eq!(shown("1y2m3d4h").unwrap(), "1y2m3d4h");
        assert_eq!(shown("3d1y").unwrap(), "1y3d");
        assert_eq!(shown(" 2w1d ").unwrap(), "15d");
        assert_eq!(shown("6mo").unwrap(), "6m");
        assert_eq!(shown("0y14d").unwrap(), "14d");
        for wrong in ["", "x", "1x", "7", "d", "-1d", "1.5d", "1d2", "1 d", "4294967296d", "4294967295w", "1D", "5min"]
        {
            assert!(shown(wrong).is_err_and(|why| why.contains("no length of time")), "{wrong}");
        }
        assert!(shown("1d2d").is_err_and(|why| why.contains("`d` twice")));
        assert!(shown("1m2mo").is_err_and(|why| why.contains("`m` twice")));
        assert!(shown("0d").is_err_and(|why| why.contains("no time at all")));
    }

    #[test]
    fn they_reach_back_in_the_calendar() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let before = |end: &str, span: &str| {
            let span: Span = span.parse().unwrap();
            span.before(end.parse().unwrap(), &zone).to_string()
        };
        assert_eq!(before("2027-03-31T10:00:00Z", "1m"), "2027-02-28T11:00:00Z", "another offset, the same clock");
        assert_eq!(before("2026-03-29T20:00:00Z", "1d"), "2026-03-28T21:00:00Z", "a day of 23 hours");
        assert_eq!(before("2026-03-29T20:00:00Z", "24h"), "2026-03-28T20:00:00Z");
        assert_eq!(before("2028-02-29T12:00:00Z", "1y1m"), "2027-01-29T12:00:00Z");
        assert_eq!(before("2026-03-29T20:00:00Z", "4294967295y"), Timestamp::MIN.to_string());
        assert_eq!(before("2026-03-29T20:00:00Z", "15000y"), Timestamp::MIN.to_string());
    }
}
