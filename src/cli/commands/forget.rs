//! `forget`: which snapshots stay, by rules or by name.

mod calendar;
mod keep;
mod render;
mod undo;

use crate::cli::args::FilterArgs;
use crate::cli::commands::forget::keep::KeepArgs;
use crate::cli::commands::prune::{self, PruneLimits};
use crate::cli::commands::{Context, exit_of_reading, resolve_whole};
use crate::cli::config::Period;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::units;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::backup::now;
use crate::snapshot::forget::{ForgetError, ForgetPlan, execute};
use crate::snapshot::policy::{GRACE, GroupBy, Options, Policy};
use crate::snapshot::prune::PruneOptions;
use crate::snapshot::snapshots::{Filter, Snapshots};
use clap::Args;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Forget snapshots by rules, or by name; their data stays until it is pruned
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
#[command(mut_arg("max_unused", |arg| arg.hide(true)), mut_arg("max_repack", |arg| arg.hide(true)))]
#[command(mut_arg("time_budget", |arg| arg.hide(true)), mut_arg("stale_after", |arg| arg.hide(true)))]
#[command(mut_arg("listing_lag", |arg| arg.hide(true)), mut_arg("accept_census", |arg| arg.hide(true)))]
#[command(mut_arg("max_delete", |arg| arg.hide(true)))]
#[command(after_help = "\
A snapshot stays if any rule keeps it. Without rules, --app takes those of nightsafe.toml. Protected ones and
the last of a group always stay. docs/retention.md explains all, also --keep-within-hourly, -daily, …
With --prune the options of `nightsafe prune` are understood, too.

Examples:
  nightsafe forget --keep-daily 14 --keep-monthly 12 --dry-run
  nightsafe forget --app wiki")]
#[command(mut_arg("host", |arg| arg.hide_short_help(true)), mut_arg("tags", |arg| arg.hide_short_help(true)))]
pub struct ForgetArgs {
    /// Forget these, instead of what rules don't keep
    #[arg(value_name = "SNAP")]
    snapshots: Vec<String>,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// What is counted together, if not app,host,paths,key; tags is a word, too
    #[arg(long, value_name = "WORDS", hide_short_help = true)]
    group_by: Option<GroupBy>,
    /// Where days begin, if not here: Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = zone, hide_short_help = true)]
    timezone: Option<TimeZone>,
    /// How long forgotten ones can be brought back, and incomplete ones stay, if not 7d; 0: not
    #[arg(long, value_name = "DURATION", value_parser = grace, hide_short_help = true)]
    grace: Option<i64>,
    /// Show what stays and goes, and a calendar of a year
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Bring a forgotten snapshot back, by its id
    #[arg(long, value_name = "SNAP", conflicts_with_all = ["prune", "dry_run"])]
    undo: Option<String>,
    /// Prune afterwards
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    limits: PruneLimits,
    /// Forget one that can't be read, by its id; repeatable
    #[arg(long, value_name = "RUN", hide_short_help = true)]
    unreadable: Vec<String>,
    /// Believe the times of hosts, and write-only keys
    #[arg(long, hide_short_help = true)]
    trust_hosts: bool,
    /// Go on although the newest of a group shrank by half
    #[arg(long, hide_short_help = true)]
    accept_shrink: bool,
    /// Let the last complete snapshot of a group go
    #[arg(long, hide_short_help = true)]
    allow_empty_group: bool,
}

/// Forgets.
pub fn forget(args: &ForgetArgs, context: &Context) -> Result<Exit, CliError> {
    if let Some(name) = &args.undo {
        return undo::undo(name, args.grace(), context);
    }
    let rules = args.rules(context)?;
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let options = args.options(context, rules.as_ref().and_then(|(_, zone)| zone.clone()));
    let (plan, policy) = match rules {
        Some((keep, _)) => {
            let policy = keep.policy(|text| Ok(resolve_whole(&all, text, &FilterArgs::default())?.id))?;
            (ForgetPlan::by_policy(&all, &Filter::from(args.filter.clone()), &policy, &options), Some(policy))
        }
        None if args.unreadable.is_empty() => (args.named(&all, &options)?, None),
        None => (ForgetPlan::of_unreadable(&all, &args.unreadable)?, None),
    };
    if args.dry_run {
        show(&plan, policy.as_ref(), &options, context)?;
    } else {
        carry_out(&open.repo, &plan, &options, args.prune, context)?;
    }
    if args.prune {
        let limits = args.limits.options(Some(args.grace()), open.repo.store().url());
        // Of a dry run the forgotten ones are only supposed.
        let limits = PruneOptions { supposed: if args.dry_run { plan.ids() } else { Vec::new() }, ..limits };
        prune::run(&open.repo, &limits, args.dry_run, context)?;
    }
    Ok(if policy.is_some() { exit_of_reading(&all) } else { Exit::Done })
}

/// Shows a plan; one that would be refused says so at the end.
fn show(plan: &ForgetPlan, policy: Option<&Policy>, options: &Options, context: &Context) -> Result<(), CliError> {
    if context.ui.is_json() {
        context.ui.json(&json::ForgetGroup::all(plan))?;
    } else {
        let zone = options.zone.iana_name().unwrap_or(context.zone);
        context.ui.print(&render::plan(plan, policy, options, zone))?;
    }
    match &plan.refusals[..] {
        [] => Ok(()),
        refusals => Err(ForgetError::Refused(refusals.to_vec()).into()),
    }
}

fn carry_out(
    repo: &Repo<Full>,
    plan: &ForgetPlan,
    options: &Options,
    prune: bool,
    context: &Context,
) -> Result<(), CliError> {
    let forgotten = execute(repo, plan, now())?;
    if context.ui.is_json() {
        return context.ui.json(&json::ForgetGroup::all(plan));
    }
    let count = units::counted(forgotten.ids.len() as u64, "snapshot");
    let after = if forgotten.ids.is_empty() || prune { "" } else { "; the data stays until it is pruned" };
    context.ui.say(&format!("{}{count} forgotten{after}\n", render::done(plan, options)))
}

impl ForgetArgs {
    /// The rules, if it is about rules: those of the command line, or those of the configuration, with its zone.
    fn rules(&self, context: &Context) -> Result<Option<(KeepArgs, Option<TimeZone>)>, CliError> {
        let ways = [
            (!self.snapshots.is_empty(), "names of snapshots"),
            (self.keep.is_given(), "rules (--keep-…)"),
            (!self.unreadable.is_empty(), "--unreadable"),
        ];
        let given: Vec<&str> = ways.iter().filter(|(given, _)| *given).map(|(_, way)| *way).collect();
        if let [first, second, ..] = given[..] {
            return Err(CliError::usage(format!("either {first} or {second}, not both")));
        }
        let hint = "give rules such as --keep-daily 14, or names of snapshots; `nightsafe forget --help` lists them";
        if self.keep.is_given() {
            let wrong = || CliError::usage("these rules would keep nothing").hint(hint);
            return if self.keep.is_empty() { Err(wrong()) } else { Ok(Some((self.keep.clone(), None))) };
        }
        if !given.is_empty() {
            return Ok(None);
        }
        let Some(name) = &self.filter.app else {
            return Err(CliError::usage("nothing says what to keep").hint(hint));
        };
        let config = context.settings.configuration()?.unwrap_or_default();
        let keep = config.app(name).map(|app| KeepArgs::from(&app.keep)).filter(|keep| !keep.is_empty());
        let keep = keep.ok_or_else(|| {
            CliError::usage(format!("nothing says what to keep of {name}"))
                .hint("give rules such as --keep-daily 14, or write `keep` for the app in nightsafe.toml")
        })?;
        let zone = config.timezone.as_deref().map(zone).transpose().map_err(CliError::usage)?;
        Ok(Some((keep, zone)))
    }

    /// How long forgotten snapshots can be brought back.
    fn grace(&self) -> Duration {
        Duration::from_secs(self.grace.unwrap_or(GRACE).unsigned_abs())
    }

    fn options(&self, context: &Context, zone: Option<TimeZone>) -> Options {
        Options {
            zone: self.timezone.clone().or(zone).unwrap_or_else(|| context.ui.zone().clone()),
            group_by: self.group_by.unwrap_or_default(),
            grace: self.grace.unwrap_or(GRACE),
            now: now().seconds,
            trust_hosts: self.trust_hosts,
            accept_shrink: self.accept_shrink,
            allow_empty_group: self.allow_empty_group,
        }
    }

    fn named(&self, all: &Snapshots, options: &Options) -> Result<ForgetPlan, CliError> {
        let find = |text: &String| resolve_whole(all, text, &self.filter).map(|snapshot| snapshot.id);
        let ids = self.snapshots.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        Ok(ForgetPlan::by_ids(all, &ids, options))
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("{name:?} is no time zone: write an IANA name, such as Europe/Berlin"))
}

/// A length of time in seconds, which may be none.
fn grace(text: &str) -> Result<i64, String> {
    if text.trim_start_matches('0').chars().all(char::is_alphabetic) && text.starts_with('0') {
        return Ok(0);
    }
    text.parse::<Period>().map(|period| i64::try_from(period.seconds()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graces_and_zones() {
        assert_eq!(["0", "0d", "7d", "12h"].map(grace), [Ok(0), Ok(0), Ok(7 * 86_400), Ok(12 * 3600)]);
        for wrong in ["", "d", "-1d", "1x", "5m"] {
            assert!(grace(wrong).is_err(), "{wrong}");
        }
        assert!(zone("Europe/Berlin").is_ok());
        assert!(zone("Mars/Base").is_err_and(|why| why.contains("\"Mars/Base\" is no time zone")));
    }
}
