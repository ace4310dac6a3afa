//! Numbers as people read them: sizes, counts, durations, times.

use crate::repo::cbor::Time;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Between groups of three digits: narrow, and never broken over lines (U+202F).
const THIN: char = '\u{202f}';

/// A number of bytes in binary units with at most one decimal: `999 B`, `1.4 MiB`, `123 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths in integers, rounded half up: floating point would show 1024.0 KiB just below a MiB.
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = 0;
    loop {
        let rounded = (tenths + 512) / 1024;
        if rounded < 10_235 || unit == UNITS.len() - 1 {
            return match rounded {
                0..1000 => format!("{}.{} {}", rounded / 10, rounded % 10, UNITS[unit]),
                _ => format!("{} {}", (rounded + 5) / 10, UNITS[unit]),
            };
        }
        tenths = tenths.div_ceil(1024);
        unit += 1;
    }
}

/// A count with its digits in groups of three.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted, in the plural that adds an `s`: `1 file`, `12 files`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A duration with its two largest units: `12 ms`, `3.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of f64 saturates, and negative is 0"
)]
pub fn duration(seconds: f64) -> String {
    if seconds < 0.0995 {
        return format!("{:.0} ms", seconds.max(0.0) * 1000.0);
    }
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => two(minutes, "min", whole % 60, "s"),
        3600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// Bytes a second: `120 MiB/s`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "for the eye; a cast of f64 saturates"
)]
pub fn rate(bytes: u64, seconds: f64) -> String {
    format!("{}/s", size((bytes as f64 / seconds.max(0.001)) as u64))
}

/// A moment in `zone`, to the minute: `2026-11-20 13:05`.
pub fn time(time: Time, zone: &TimeZone) -> String {
    match timestamp(time) {
        Some(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        None => format!("@{}", time.seconds),
    }
}

/// A moment in UTC, RFC 3339 with nanoseconds where there are any; `@SECONDS` for one beyond the years that have a date.
pub fn rfc3339(time: Time) -> String {
    timestamp(time).map_or_else(|| format!("@{}", time.seconds), |at| at.to_string())
}

fn timestamp(time: Time) -> Option<Timestamp> {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    Timestamp::from_nanosecond(nanoseconds).ok()
}

/// The moment that a person wrote: `2026-11-20T13:05:00Z`, or `2026-11-20`, `2026-11-20 13:05` or `2026-11-20T13:05:00` in `zone`.
pub fn parse_time(text: &str, zone: &TimeZone) -> Option<Time> {
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
    };
    let nanoseconds = at.as_nanosecond();
    Some(Time {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?,
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?,
    })
}

/// The number of bytes that a person wrote: a whole number, with K, M, G or T for powers of 1024 (`500M`, `2GiB`).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err("not a size: write a number of bytes, or 500K, 20M, 2G, 1T".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size: write it like 20M".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let shown: Vec<_> =
            [0, 1, 1023, 1024, 1536, 10_188, 102_348, 1_047_552, 1_048_524, 1 << 20, 1_468_006, 1 << 40, u64::MAX]
                .into_iter()
                .map(size)
                .collect();
        assert_eq!(
            shown,
            [
                "0 B", "1 B", "1023 B", "1.0 KiB", "1.5 KiB", "9.9 KiB", "99.9 KiB", "1023 KiB", "1.0 MiB", "1.0 MiB",
                "1.4 MiB", "1.0 TiB", "16.0 EiB"
            ]
        );
    }

    #[test]
    fn counts() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        assert_eq!([0, 1, 2].map(|n| counted(n, "file")), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn durations() {
        let shown = [-1.0, 0.04, 3.21, 9.97, 59.4, 59.6, 200.0, 3600.0, 7500.0, 273_600.0, 1e30].map(duration);
        assert_eq!(
            shown[..10],
            ["0 ms", "40 ms", "3.2 s", "10 s", "59 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min", "3 d 4 h"]
        );
        assert!(shown[10].ends_with('h'));
        assert_eq!(rate(120 << 20, 1.0), "120 MiB/s");
        assert_eq!(rate(1 << 20, 0.0), "1000 MiB/s");
    }

    #[test]
    fn times() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let noon = Time { seconds: 1_795_176_300, nanoseconds: 5 };
        assert_eq!(time(noon, &berlin), "2026-11-20 13:05");
        assert_eq!(rfc3339(noon), "2026-11-20T12:05:00.000000005Z");
        let before = Time { seconds: -1, nanoseconds: 500_000_000 };
        assert_eq!(rfc3339(before), "1969-12-31T23:59:59.5Z");
        assert_eq!(rfc3339(Time { seconds: i64::MIN, nanoseconds: 0 }), "@-9223372036854775808");
        for text in ["2026-11-20 13:05", "2026-11-20T13:05:00", "2026-11-20T12:05:00Z", "2026-11-20T13:05:00+01:00"] {
            assert_eq!(parse_time(text, &berlin), Some(Time { seconds: noon.seconds, nanoseconds: 0 }), "{text}");
        }
        assert_eq!(parse_time("1969-12-31T23:59:59.5Z", &berlin), Some(before));
        assert_eq!(parse_time("2026-11-20", &berlin), Some(Time { seconds: 1_795_129_200, nanoseconds: 0 }));
        assert_eq!(parse_time("yesterday", &berlin), None);
    }

    #[test]
    fn sizes_that_people_write() {
        assert_eq!(
            ["7", "2K", "3MiB", "4 g", "1t"].map(|text| parse_size(text).ok()),
            [7, 2 << 10, 3 << 20, 4 << 30, 1 << 40].map(Some)
        );
        for text in ["", "M", "-1", "1.5G", "5X", "99999999999999T", "1M1"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
