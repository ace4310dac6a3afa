//! Where a time stands in the calendar of one zone.

use crate::repo::cbor::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The buckets that a time is in, each as a number that grows with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// When the clock last showed a full hour, in seconds since the epoch. Not the hour's number: in autumn one comes twice.
    pub(super) hour: i64,
    pub(super) day: i64,
    pub(super) week: i64,
    pub(super) month: i64,
    pub(super) quarter: i64,
    pub(super) year: i64,
}

impl Moment {
    /// Where `time` stands in `zone`. Times beyond the years that have dates are taken for the last one that has.
    pub(super) fn new(time: Time, zone: &TimeZone) -> Self {
        let at = timestamp(time);
        let local = zone.to_datetime(at);
        let (year, month) = (i64::from(local.year()), i64::from(local.month()));
        let week = local.date().iso_week_date();
        Self {
            hour: at.as_second() - i64::from(local.minute()) * 60 - i64::from(local.second()),
            day: (year * 12 + month) * 32 + i64::from(local.day()),
            week: i64::from(week.year()) * 64 + i64::from(week.week()),
            month: year * 12 + month,
            quarter: year * 4 + (month - 1) / 3,
            year,
        }
    }
}

/// The time as the calendar's library has it; the nearest one that it can have.
pub(super) fn timestamp(time: Time) -> Timestamp {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or(0);
    let nearest = if time.seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(time.seconds, nanoseconds).unwrap_or(nearest)
}

/// The time that the calendar's library has.
pub(super) fn time(at: Timestamp) -> Time {
    let nanoseconds = at.as_nanosecond();
    Time {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str) -> Moment {
        let at: Timestamp = text.parse().unwrap();
        Moment::new(time(at), &TimeZone::get(zone).unwrap())
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_and_its_day_is_one() {
        let first = at("2026-10-25T00:30:00Z", "Europe/Berlin"); // 02:30 in summer
        let second = at("2026-10-25T01:30:00Z", "Europe/Berlin"); // 02:30 in winter
        assert!(first.hour < second.hour);
        assert_eq!(Moment { hour: 0, ..first }, Moment { hour: 0, ..second });
    }

    #[test]
    fn days_end_where_the_zone_says() {
        let (before, after) = ("2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z");
        assert!(at(before, "Europe/Berlin").day < at(after, "Europe/Berlin").day);
        assert_eq!(at(before, "UTC").day, at(after, "UTC").day);
        // The day has 23 hours.
        assert_eq!(at(after, "Europe/Berlin").day, at("2026-03-29T21:59:59Z", "Europe/Berlin").day);
        assert!(at(after, "Europe/Berlin").day < at("2026-03-29T22:00:00Z", "Europe/Berlin").day);
    }

    #[test]
    fn iso_weeks_don_t_end_with_the_year() {
        let (thursday, friday) = (at("2026-12-31T12:00:00Z", "UTC"), at("2027-01-01T12:00:00Z", "UTC"));
        assert_eq!(thursday.week, friday.week);
        assert!(thursday.year < friday.year && thursday.quarter < friday.quarter && thursday.month < friday.month);
        assert!(friday.week < at("2027-01-04T00:00:00Z", "UTC").week, "a Monday");
    }

    #[test]
    fn hours_of_zones_with_half_hours_begin_where_their_clocks_say() {
        let (before, after) = ("2026-06-01T10:29:59Z", "2026-06-01T10:30:00Z");
        assert!(at(before, "Asia/Kolkata").hour < at(after, "Asia/Kolkata").hour);
    }

    #[test]
    fn times_without_a_date_are_answered() {
        for seconds in [i64::MIN, i64::MAX] {
            let _ = Moment::new(Time { seconds, nanoseconds: 999_999_999 }, &TimeZone::get("Pacific/Apia").unwrap());
        }
    }
}
