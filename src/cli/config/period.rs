//! How long: a number and a unit.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The units, and their seconds; a month counts as 30 days, a year as 365.
const UNITS: [(&str, u64); 7] =
    [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("mo", 30 * 86_400), ("y", 365 * 86_400)];

/// A length of time as it was written: `26h`, `7d`, `10min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    number: u32,
    unit: &'static str,
}

impl Period {
    /// How many seconds it is.
    pub fn seconds(self) -> u64 {
        let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == self.unit).copied().unwrap_or(("s", 1));
        u64::from(self.number) * seconds
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = text.trim()[digits.len()..].trim();
        if unit == "m" {
            return Err("`m` might be minutes or months: write `min` or `mo`".to_owned());
        }
        let wrong = || "must be a length of time, such as 10min, 26h, 7d, 2w, 6mo or 1y".to_owned();
        let unit = UNITS.iter().find(|(known, _)| *known == unit).map(|(unit, _)| *unit).ok_or_else(wrong)?;
        match digits.parse() {
            Ok(0) | Err(_) => Err(wrong()),
            Ok(number) => Ok(Self { number, unit }),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let seconds = |text: &str| text.parse::<Period>().map(Period::seconds);
        assert_eq!(seconds("10min"), Ok(600));
        assert_eq!(seconds(" 26 h"), Ok(26 * 3600));
        assert_eq!(seconds("4294967295y"), Ok(4_294_967_295 * 365 * 86_400));
        assert!(seconds("5m").is_err_and(|message| message.contains("`mo`")));
        for wrong in ["", "h", "0d", "-1d", "1.5h", "4294967296d", "1d2h", "١d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!("7d".parse::<Period>().map(|period| period.to_string()), Ok("7d".to_owned()));
    }
}
