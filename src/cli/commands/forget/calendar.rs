//! What will be there in a year, as a calendar: a line for each month, a place for each of its days.

use crate::snapshot::policy::Forecast;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many months are shown; those before are counted.
const MONTHS: usize = 24;

/// The days that are numbered above.
const NUMBERED: [usize; 7] = [1, 5, 10, 15, 20, 25, 30];

/// The next twelve months in numbers, and the days that have snapshots at their end.
pub(super) fn render(forecast: &Forecast) -> String {
    let mut text = String::from("With a snapshot every night from here on, and these rules each time:\n");
    let numbers = |numbers: &mut dyn Iterator<Item = usize>| {
        numbers.map(|number| format!(" {number:>5}")).collect::<Vec<_>>().concat()
    };
    let after = numbers(&mut (1..=forecast.months.len()));
    let there = numbers(&mut forecast.months.iter().copied());
    let total: usize = forecast.days.values().sum();
    let numbered = NUMBERED.iter().fold(String::new(), |line, day| format!("{line:<width$}{day}", width = day - 1));
    let mut months: BTreeMap<(i16, i8), BTreeMap<i8, usize>> = BTreeMap::new();
    for (day, count) in &forecast.days {
        months.entry((day.year(), day.month())).or_default().insert(day.day(), *count);
    }
    let before = months.len().saturating_sub(MONTHS);
    let mut write = || {
        writeln!(text, "  after months {after}")?;
        writeln!(text, "  snapshots    {there}")?;
        writeln!(text, "On {} there are {total}, of these days:", forecast.until)?;
        writeln!(text, "           {numbered}")?;
        if before > 0 {
            let earlier: usize = months.values().take(before).flat_map(BTreeMap::values).sum();
            writeln!(text, "  earlier  {earlier} in {before} months")?;
        }
        for ((year, month), days) in months.iter().skip(before) {
            writeln!(text, "  {year:04}-{month:02}  {}", line(*year, *month, days, forecast.until))?;
        }
        Ok::<_, std::fmt::Error>(())
    };
    write().expect("writing to a String can't fail");
    text
}

/// The days of a month up to the last night: how many snapshots each has, `+` for more than nine.
fn line(year: i16, month: i8, days: &BTreeMap<i8, usize>, until: Date) -> String {
    let exists = |day: &i8| Date::new(year, month, *day).is_ok_and(|date| date <= until || days.contains_key(day));
    let shown = |day: i8| match days.get(&day) {
        None => '·',
        Some(count) => u32::try_from(*count).ok().and_then(|count| char::from_digit(count, 10)).unwrap_or('+'),
    };
    (1..=31).filter(exists).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_months_are_cut_short() {
        let first = Date::constant(2020, 1, 31);
        let days = (0..40).map(|n| (first.checked_add(jiff::Span::new().months(n)).unwrap(), 1));
        let mut days: BTreeMap<Date, usize> = days.collect();
        days.insert(Date::constant(2023, 4, 2), 9);
        days.insert(Date::constant(2023, 4, 3), 12);
        let forecast = Forecast {
            from: Date::constant(2022, 4, 30),
            until: Date::constant(2023, 4, 30),
            months: (30..42).collect(),
            days,
        };
        insta::assert_snapshot!(render(&forecast), @r"
        With a snapshot every night from here on, and these rules each time:
          after months      1     2     3     4     5     6     7     8     9    10    11    12
          snapshots        30    31    32    33    34    35    36    37    38    39    40    41
        On 2023-04-30 there are 61, of these days:
                   1   5    10   15   20   25   30
          earlier  16 in 16 months
          2021-05  ······························1
          2021-06  ·····························1
          2021-07  ······························1
          2021-08  ······························1
          2021-09  ·····························1
          2021-10  ······························1
          2021-11  ·····························1
          2021-12  ······························1
          2022-01  ······························1
          2022-02  ···························1
          2022-03  ······························1
          2022-04  ·····························1
          2022-05  ······························1
          2022-06  ·····························1
          2022-07  ······························1
          2022-08  ······························1
          2022-09  ·····························1
          2022-10  ······························1
          2022-11  ·····························1
          2022-12  ······························1
          2023-01  ······························1
          2023-02  ···························1
          2023-03  ······························1
          2023-04  ·9+··························1
        ");
    }
}
