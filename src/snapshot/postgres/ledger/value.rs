//! The order of values of which only the text is known.

use std::cmp::Ordering;

/// What a value is taken for; in this order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'v> {
    Number(i128),
    /// Time since 1970. Without a time zone it's taken for UTC: all of a column are alike in that.
    Time(jiff::Timestamp),
    Text(&'v str),
    /// Behind all others, as PostgreSQL has it.
    Null,
}

impl<'v> Key<'v> {
    fn of(value: Option<&'v str>) -> Self {
        let Some(value) = value else { return Self::Null };
        if let Ok(number) = value.parse() {
            return Self::Number(number);
        }
        time(value).map_or(Self::Text(value), Self::Time)
    }
}

/// The time that a text tells, with an offset from UTC or without: `2026-11-20 03:00:05.25+01`, `2026-11-20T03:00:05Z`.
fn time(text: &str) -> Option<jiff::Timestamp> {
    // Only what looks like one: much else is understood besides.
    if !text
        .as_bytes()
        .first_chunk()
        .is_some_and(|[a, b, c, d, dash]| [a, b, c, d].iter().all(|d| d.is_ascii_digit()) && *dash == b'-')
    {
        return None;
    }
    text.parse().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// Compares two values: numbers and times by what they are, other texts by their bytes. NULL comes last. What is alike as a number or time is told apart by its bytes.
pub(super) fn compare(a: Option<&str>, b: Option<&str>) -> Ordering {
    Key::of(a).cmp(&Key::of(b)).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut values: Vec<Option<&str>>) -> Vec<Option<&str>> {
        values.sort_by(|a, b| compare(*a, *b));
        values
    }

    #[test]
    fn numbers_times_and_texts_are_ordered_by_what_they_are() {
        for order in [
            &["-7", "2", "9", "10", "20240101000000"][..],
            &["2024-12-31 23:59:59", "2025-01-01 00:00:00", "2025-01-01 00:00:00.5", "2025-01-01 00:00:01"],
            // In this night the clock was set back: the first is an hour before the second.
            &["2026-10-25 02:30:00+02", "2026-10-25 02:15:00+01"],
            &["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.001Z"],
            &["5", "2026-01-01 00:00:00", "20a", "B", "a", "é"],
        ] {
            let values: Vec<_> = order.iter().copied().map(Some).chain([None]).collect();
            assert_eq!(sorted(values.iter().rev().copied().collect()), values);
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(values in prop::collection::vec(prop::option::of("[-0-9: .+Ta]{0,4}|20[0-9]{2}-0[1-9]-0[1-9] 0[0-9]:00:00(\\.5)?(\\+0[1-9])?"), 3)) {
            let [a, b, c] = [0, 1, 2].map(|i| values[i].as_deref());
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert!(compare(a, b).is_gt() || compare(b, c).is_gt() || compare(a, c).is_le());
            prop_assert_eq!(compare(a, b).is_eq(), a == b);
        }
    }
}
