//! When: cron expressions of five fields.
//!
//! Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); lists, ranges, steps, English names of three letters. As in every cron, a day
//! fits if *either* of the two fields for days does, unless one of them begins with `*`. A time that the clock skips in spring is moved past the gap; one that it shows twice
//! in autumn counts the first time.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// How far ahead a time is looked for, in days: two leap years may be eight years apart, and the year 2100 isn't one.
const HORIZON: i32 = 9 * 366;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Expressions with a name.
const NAMED: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// When something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether a day may fit by one of the two fields alone.
    either: bool,
}

/// Numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: i8) -> bool {
        u8::try_from(number).is_ok_and(|number| number < 64 && self.0 >> number & 1 == 1)
    }
}

impl Schedule {
    /// The next times after `after` on the clock of `zone`; less than `count` if there are no more in the next years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone, count: usize) -> Vec<Zoned> {
        let mut found: Vec<Zoned> = Vec::new();
        // A time of the day before may be moved into this one.
        let Ok(first) = after.to_zoned(zone.clone()).date().checked_sub(Span::new().days(1)) else { return found };
        let mut enough = None;
        for (ahead, date) in (0..HORIZON).zip(first.series(Span::new().days(1))) {
            if enough.is_some_and(|enough| ahead > enough) {
                break;
            }
            found.extend(self.on(date, zone).filter(|time| time.timestamp() > after));
            if found.len() >= count && enough.is_none() {
                enough = Some(ahead + 1);
            }
        }
        found.sort();
        found.dedup();
        found.truncate(count);
        found
    }

    /// The times on one date.
    fn on(&self, date: Date, zone: &TimeZone) -> impl Iterator<Item = Zoned> {
        let hours = (0..24).filter(move |&hour| self.fits(date) && self.hours.has(hour));
        let times =
            hours.flat_map(|hour| (0..60).filter(|&minute| self.minutes.has(minute)).map(move |minute| (hour, minute)));
        let zone = zone.clone();
        times.filter_map(move |(hour, minute)| date.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok())
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        self.months.has(date.month()) && if self.either { day || weekday } else { day && weekday }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let expression = named.map_or(text, |(_, expression)| expression);
        let fields: Vec<_> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err("must have five fields, minute hour day month weekday, such as \"30 3 * * *\", or be one of \
                @hourly, @daily, @weekly, @monthly, @yearly"
                .to_owned());
        };
        let weekdays = field("day of the week", weekday, 0, 7, &DAYS, 0)?.0;
        let schedule = Self {
            text: text.to_owned(),
            minutes: field("minute", minute, 0, 59, &[], 0)?,
            hours: field("hour", hour, 0, 23, &[], 0)?,
            days: field("day of the month", day, 1, 31, &[], 0)?,
            months: field("month", month, 1, 12, &MONTHS, 1)?,
            weekdays: Set(weekdays & 0x7f | weekdays >> 7),
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        let ever = schedule.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC, 1);
        if ever.is_empty() { Err("never comes: there is no such date".to_owned()) } else { Ok(schedule) }
    }
}

/// One field: a list of `*`, `N`, `A-B`, each with `/STEP` behind it; `names` stand for numbers from `base`.
fn field(what: &str, text: &str, least: u32, most: u32, names: &[&str], base: u32) -> Result<Set, String> {
    let wrong = || format!("the {what} must be from {least} to {most}, or `*`, with `-`, `,` and `/` as in cron");
    let number = |text: &str| {
        let named = (base..).zip(names).find(|(_, name)| text.eq_ignore_ascii_case(name)).map(|(number, _)| number);
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        named.or_else(|| text.parse().ok().filter(|_| digits)).filter(|number| (least..=most).contains(number))
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = match step {
            Some(step) => step.parse::<usize>().ok().filter(|&step| step > 0).ok_or_else(wrong)?,
            None => 1,
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from).ok_or_else(wrong)?, number(to).ok_or_else(wrong)?),
            None => {
                let from = number(range).ok_or_else(wrong)?;
                (from, if part.contains('/') { most } else { from })
            }
        };
        if from > to {
            return Err(wrong());
        }
        set = (from..=to).step_by(step).fold(set, |set, number| set | 1 << number);
    }
    Ok(Set(set))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use proptest::prelude::*;

    fn next(text: &str, zone: &str, after: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let times = text.parse::<Schedule>().unwrap().next(after.parse().unwrap(), &zone, 3);
        times.iter().map(|time| time.strftime("%F %H:%M %Z").to_string()).collect()
    }

    #[test]
    fn the_next_times() {
        let at = "2026-11-20T12:05:00Z";
        let expected = ["2026-11-21 03:30 CET", "2026-11-22 03:30 CET", "2026-11-23 03:30 CET"];
        assert_eq!(next("30 3 * * *", "Europe/Berlin", at), expected);
        assert_eq!(next("5 13 * * *", "Europe/Berlin", at)[0], "2026-11-21 13:05 CET", "after, not at");
        assert_eq!(next("0 0 29 feb *", "UTC", at)[0], "2028-02-29 00:00 UTC");
        assert_eq!(next("0 0 13 * fri", "UTC", at)[..2], ["2026-11-27 00:00 UTC", "2026-12-04 00:00 UTC"], "either");
        assert_eq!(next("0 0 * * 7", "UTC", at)[0], "2026-11-22 00:00 UTC", "Sunday");
        assert_eq!(
            next("10-20/5,50 * * * *", "UTC", at),
            ["2026-11-20 12:10 UTC", "2026-11-20 12:15 UTC", "2026-11-20 12:20 UTC"]
        );
        assert_eq!(next("@monthly", "UTC", at)[0], "2026-12-01 00:00 UTC");
    }

    #[test]
    fn clocks_that_change() {
        let spring = next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z");
        assert_eq!(spring[..2], ["2026-03-29 03:30 CEST", "2026-03-30 02:30 CEST"], "skipped: moved past the gap");
        let autumn = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert_eq!(autumn[..2], ["2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"], "shown twice: the first time");
    }

    #[test]
    fn what_is_no_schedule() {
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 31 feb *",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1, * * * *",
            "@never",
            "+1 * * * *",
        ] {
            assert!(wrong.parse::<Schedule>().is_err(), "{wrong}");
        }
    }

    /// One field as a reader of the manual would try each number.
    fn fits(field: &str, number: i8) -> bool {
        field.split(',').any(|part| {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let (from, to): (i8, i8) = match range.split_once('-') {
                Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
                None if range == "*" => (i8::from(field == "day"), 59),
                None => (range.parse().unwrap(), if part.contains('/') { 59 } else { range.parse().unwrap() }),
            };
            (from..=to).contains(&number) && (number - from) % step.parse::<i8>().unwrap() == 0
        })
    }

    fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
        let number = least..=most;
        prop_oneof![
            3 => Just("*".to_owned()),
            1 => number.clone().prop_map(|n| n.to_string()),
            1 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (number.clone(), number).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn minute_by_minute_it_is_the_same(
            fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
            start in 0i64..2_000_000_000,
        ) {
            let (minute, hour, day, month, weekday) = &fields;
            let text = format!("{minute} {hour} {day} {month} {weekday}");
            let Ok(schedule) = text.parse::<Schedule>() else { return Ok(()) }; // 31 February
            let after = Timestamp::from_second(start).unwrap();
            let expected = (0..).map(|n| after.to_zoned(TimeZone::UTC).with().second(0).build().unwrap() + (n + 1).minutes()).take(14 * 1440).find(|time| {
                let by_day = fits(day, time.day());
                let by_weekday = fits(weekday, time.weekday().to_sunday_zero_offset());
                let days = match (day.as_str(), weekday.as_str()) {
                    ("*", _) | (_, "*") => by_day && by_weekday,
                    _ => by_day || by_weekday,
                };
                days && fits(minute, time.minute()) && fits(hour, time.hour()) && fits(month, time.month())
            });
            let found = schedule.next(after, &TimeZone::UTC, 1);
            match expected {
                Some(expected) => prop_assert_eq!(&found[0], &expected, "{}", text),
                None => prop_assert!(found[0].timestamp() > after + (13 * 24).hours(), "{}", text),
            }
        }
    }
}
