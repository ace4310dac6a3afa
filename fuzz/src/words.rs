//! What people write on the command line and in the configuration: schedules, periods, spans, sizes, times, tables, selectors, shares, patterns.

use super::input::Input;
use super::memory;
use super::names::assert_safe;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nightsafe::cli::config::period::Period;
use nightsafe::cli::config::schedule::Schedule;
use nightsafe::cli::ui::units::{parse_size, parse_time, rfc3339};
use nightsafe::snapshot::check::{Reading, Subset};
use nightsafe::snapshot::policy::{Count, GroupBy, Span};
use nightsafe::snapshot::postgres::rows::{Condition, TableName};
use nightsafe::snapshot::snapshots::Selector;
use nightsafe::snapshot::source::patterns;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    if choice % 9 == 8 {
        // Which is made a regular expression.
        return memory::at_most(16 << 20, || pattern(text));
    }
    // The times of two days, each minute at most.
    memory::at_most((512 << 10) + 64 * text.len(), || match choice % 9 {
        0 => schedule(text),
        1 => period(text),
        2 => span(text),
        3 => size(text),
        4 => time(text),
        5 => table(text),
        6 => selector(text),
        _ => share(text),
    });
}

fn schedule(text: &str) {
    let Ok(schedule) = text.parse::<Schedule>() else { return };
    assert_eq!(schedule.to_string().parse().as_ref(), Ok(&schedule));
    let start = Timestamp::UNIX_EPOCH;
    let next = schedule.next(start, &TimeZone::UTC, 2);
    assert!(!next.is_empty() && next.iter().all(|time| time.timestamp() > start) && next.is_sorted());
}

fn period(text: &str) {
    let Ok(period) = text.parse::<Period>() else { return };
    assert!(period.seconds() > 0);
    assert_eq!(period.to_string().parse(), Ok(period));
}

fn span(text: &str) {
    let Ok(span) = text.parse::<Span>() else { return };
    assert_eq!(span.to_string().parse().ok(), Some(span), "{text:?}");
    for end in [Timestamp::UNIX_EPOCH, Timestamp::MIN, Timestamp::MAX] {
        assert!(span.before(end, &TimeZone::UTC) <= end);
    }
}

fn size(text: &str) {
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&size.to_string()), Ok(size));
    }
}

fn time(text: &str) {
    if let Some(time) = parse_time(text, &TimeZone::UTC) {
        assert!(time.nanoseconds < 1_000_000_000);
        assert_eq!(parse_time(&rfc3339(time), &TimeZone::UTC), Some(time), "{text:?}");
    }
}

fn table(text: &str) {
    if let Ok(name) = text.parse::<TableName>() {
        assert!(!name.table.is_empty());
        assert_eq!(name.to_string().parse().as_ref(), Ok(&name), "{text:?}");
    }
    if let Ok(condition) = text.parse::<Condition>() {
        assert!(!condition.column.is_empty());
    }
}

fn selector(text: &str) {
    if let Ok(selector) = text.parse::<Selector>() {
        selector.path.iter().for_each(assert_safe);
    }
    if let Ok(count) = text.parse::<Count>() {
        assert_eq!(count.to_string().parse(), Ok(count));
    }
    let _ = text.parse::<GroupBy>();
}

fn share(text: &str) {
    if let Ok(Subset::Percent(percent)) = text.parse() {
        assert!(percent > 0.0 && percent <= 100.0);
    }
    let _ = text.parse::<Reading>();
}

fn pattern(text: &str) {
    let rule = match patterns::compile([patterns::given(text)]) {
        Ok(rule) => rule,
        Err(fault) => return assert!(!fault.message.is_empty() && fault.nth.is_none_or(|nth| nth == 0)),
    };
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"#_".contains(&byte));
    assert!(rule.matched(text, false).is_ignore() || !is_plain, "{text:?} isn't what is called so");
    for path in ["a", "a/b.tmp", "\u{1}/\n"] {
        assert_eq!(rule.matched(path, false).is_ignore(), rule.matched(format!("./{path}"), false).is_ignore());
    }
}
