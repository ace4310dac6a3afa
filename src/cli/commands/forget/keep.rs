//! The rules, as options and as the configuration has them.

use crate::cli::config::Keep;
use crate::cli::error::CliError;
use crate::repo::id::RunId;
use crate::snapshot::policy::{Count, Policy, Rule, Span, Unit};
use clap::Args;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the options")]
pub(super) struct KeepArgs {
    /// Keep the last N (or `all`, and so below)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_last: Option<Count>,
    /// The newest of each of the last N hours with any
    #[arg(long, value_name = "N", allow_negative_numbers = true, hide_short_help = true)]
    keep_hourly: Option<Count>,
    /// … of the last N days
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_daily: Option<Count>,
    /// … of the last N weeks, which begin on Mondays
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_weekly: Option<Count>,
    /// … of the last N months
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_monthly: Option<Count>,
    /// … of the last N quarters of a year
    #[arg(long, value_name = "N", allow_negative_numbers = true, hide_short_help = true)]
    keep_quarterly: Option<Count>,
    /// … of the last N years
    #[arg(long, value_name = "N", allow_negative_numbers = true, hide_short_help = true)]
    keep_yearly: Option<Count>,
    /// Keep all within this of the newest: 1y6m, 14d
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true)]
    keep_within: Option<Span>,
    /// The newest of each hour within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_hourly: Option<Span>,
    /// The newest of each day within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_daily: Option<Span>,
    /// The newest of each week within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_weekly: Option<Span>,
    /// The newest of each month within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_monthly: Option<Span>,
    /// The newest of each quarter within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_quarterly: Option<Span>,
    /// The newest of each year within this
    #[arg(long, value_name = "SPAN", allow_negative_numbers = true, hide = true)]
    keep_within_yearly: Option<Span>,
    /// Keep those with this tag, or all of a,b; repeatable
    #[arg(long, value_name = "TAG", value_parser = tags, hide_short_help = true)]
    keep_tag: Vec<Tags>,
    /// Keep this one; may be repeated
    #[arg(long, value_name = "SNAP", hide_short_help = true)]
    keep_id: Vec<String>,
}

/// Tags of which a snapshot must have all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tags(Vec<String>);

fn tags(text: &str) -> Result<Tags, String> {
    let all: Vec<String> = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if all.is_empty() { Err("names no tag".to_owned()) } else { Ok(Tags(all)) }
}

impl KeepArgs {
    fn counts(&self) -> [(Unit, Option<Count>); 7] {
        [
            (Unit::Snapshot, self.keep_last),
            (Unit::Hour, self.keep_hourly),
            (Unit::Day, self.keep_daily),
            (Unit::Week, self.keep_weekly),
            (Unit::Month, self.keep_monthly),
            (Unit::Quarter, self.keep_quarterly),
            (Unit::Year, self.keep_yearly),
        ]
    }

    fn spans(&self) -> [(Unit, Option<Span>); 7] {
        [
            (Unit::Snapshot, self.keep_within),
            (Unit::Hour, self.keep_within_hourly),
            (Unit::Day, self.keep_within_daily),
            (Unit::Week, self.keep_within_weekly),
            (Unit::Month, self.keep_within_monthly),
            (Unit::Quarter, self.keep_within_quarterly),
            (Unit::Year, self.keep_within_yearly),
        ]
    }

    /// Whether any rule was given.
    pub(super) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Whether all rules together would keep nothing.
    pub(super) fn is_empty(&self) -> bool {
        Policy::new(self.rules()).is_empty() && self.keep_id.is_empty()
    }

    fn rules(&self) -> impl Iterator<Item = Rule> {
        let counts = self.counts().into_iter().filter_map(|(unit, count)| Some(Rule::Newest(unit, count?)));
        let spans = self.spans().into_iter().filter_map(|(unit, span)| Some(Rule::Within(unit, span?)));
        counts.chain(spans).chain(self.keep_tag.iter().map(|tags| Rule::Tags(tags.0.clone())))
    }

    /// The rules; `find` knows the snapshot that a text names.
    pub(super) fn policy(&self, find: impl Fn(&str) -> Result<RunId, CliError>) -> Result<Policy, CliError> {
        let named = self.keep_id.iter().map(|text| find(text).map(Rule::Id)).collect::<Result<Vec<_>, _>>()?;
        Ok(Policy::new(self.rules().chain(named)))
    }
}

impl From<&Keep> for KeepArgs {
    fn from(keep: &Keep) -> Self {
        let count = |number: Option<u32>| number.map(Count::Number);
        // Periods are a number and a unit; those that spans don't know are short, and kept for an hour at least.
        let within = keep.within.map(|period| {
            let hours = u32::try_from(period.seconds().div_ceil(3600)).unwrap_or(u32::MAX);
            period.to_string().parse().unwrap_or(Span { hours, ..Span::default() })
        });
        Self {
            keep_last: count(keep.last),
            keep_hourly: count(keep.hourly),
            keep_daily: count(keep.daily),
            keep_weekly: count(keep.weekly),
            keep_monthly: count(keep.monthly),
            keep_quarterly: count(keep.quarterly),
            keep_yearly: count(keep.yearly),
            keep_within: within,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_s_rules() {
        let keep = Keep { last: Some(3), quarterly: Some(0), within: "2w".parse().ok(), ..Keep::default() };
        let policy = KeepArgs::from(&keep).policy(|_| Err(CliError::usage("none is named"))).unwrap();
        let span = Span { days: 14, ..Span::default() };
        assert_eq!(
            policy.rules(),
            [Rule::Newest(Unit::Snapshot, Count::Number(3)), Rule::Within(Unit::Snapshot, span)]
        );
        let short = Keep { within: "90min".parse().ok(), ..Keep::default() };
        assert_eq!(KeepArgs::from(&short).keep_within, Some(Span { hours: 2, ..Span::default() }));
        assert!(KeepArgs::from(&Keep::default()).is_empty());
    }

    #[test]
    fn tags_with_commas_are_several() {
        assert_eq!(tags("a, b").unwrap().0, ["a", "b"]);
        assert!(tags("").is_err() && tags(",").is_err());
    }
}
