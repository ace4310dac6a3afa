//! `prune`: what no snapshot needs any more is removed.

use crate::cli::commands::Context;
use crate::cli::config::period::Period;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::settings;
use crate::cli::ui::{style, units};
use crate::repo::gc::plan::{MaxUnused, PlanOptions};
use crate::repo::repository::{Full, Repo};
use crate::snapshot::backup::now;
use crate::snapshot::prune::{self as library, GRACE, MAX_DELETE, PruneOptions, PruneReport, STALE_AFTER};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::time::Duration;

/// Remove what no snapshot needs any more
#[derive(Debug, Args)]
#[command(after_help = "\
Runs beside any number of backups, and may be killed at any moment: there is no lock and nothing to clean up. Forgotten
snapshots count until their grace is over. Exit code 4: refused, nothing was deleted.

Examples:
  nightsafe prune --dry-run
  nightsafe prune --max-delete 60 --max-unused 5%")]
pub struct PruneArgs {
    /// Show what would be removed and how much that frees
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// How long forgotten snapshots still count, if not 7d; 0: not at all
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    pub grace: Option<Duration>,
    /// How far to go.
    #[command(flatten)]
    pub limits: PruneLimits,
}

/// How far a prune goes.
#[derive(Debug, Clone, Default, Args)]
pub struct PruneLimits {
    /// How much of the repository may stay unused: 5%, 10G or unlimited
    #[arg(long, value_name = "AMOUNT", value_parser = max_unused)]
    pub max_unused: Option<MaxUnused>,
    /// Rewrite at most so many bytes of packs: 20G
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub max_repack: Option<u64>,
    /// Delete at most so many percent of all bytes, if not 25
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_delete: Option<u8>,
    /// Begin to rewrite no further pack after so long: 2h
    #[arg(long, value_name = "DURATION")]
    pub time_budget: Option<Period>,
    /// Take a run of which nothing was heard for so long for dead, if not 3d
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub stale_after: Option<Period>,
    /// How long listings of this storage may lag, if not what is known of it
    #[arg(long, value_name = "DURATION", value_parser = grace, hide_short_help = true)]
    pub listing_lag: Option<Duration>,
    /// Go on although snapshots are gone that nobody forgot
    #[arg(long, hide_short_help = true)]
    pub accept_census: bool,
}

/// A length of time, or 0.
pub fn grace(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    Ok(Duration::from_secs(text.parse::<Period>()?.seconds()))
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.trim().trim_end_matches('%').parse().ok().filter(|&percent: &u8| percent <= 100);
    number.ok_or_else(|| "must be a number from 0 to 100".to_owned())
}

fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    if text.ends_with('%') {
        return Ok(MaxUnused::Percent(percent(text)?));
    }
    units::parse_size(text)
        .map(MaxUnused::Bytes)
        .map_err(|_| "must be a share such as 5%, a size such as 10G, or unlimited".to_owned())
}

/// How long listings may lag behind, by what is known of services. What is unknown is given time.
fn listing_lag(url: &str) -> Duration {
    const PROMPT: [&str; 12] =
        ["file", "fs", "memory", "s3", "gcs", "azblob", "azdls", "azfile", "b2", "sftp", "oss", "cos"];
    match url.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains('/')) {
        None => Duration::ZERO,
        Some(scheme) if PROMPT.contains(&scheme) => Duration::ZERO,
        Some("webdav") => Duration::from_mins(1),
        Some(_) => Duration::from_mins(15),
    }
}

impl PruneLimits {
    /// The options that these mean.
    pub fn options(&self, grace: Option<Duration>, url: &str) -> PruneOptions {
        let seconds = |period: Period| Duration::from_secs(period.seconds());
        PruneOptions {
            now: now(),
            grace: grace.unwrap_or(GRACE),
            stale_after: self.stale_after.map_or(STALE_AFTER, seconds),
            plan: PlanOptions { max_unused: self.max_unused.unwrap_or_default(), max_repack: self.max_repack },
            max_delete: self.max_delete.unwrap_or(MAX_DELETE),
            time_budget: self.time_budget.map(seconds),
            accept_census: self.accept_census,
            supposed: Vec::new(),
            listing_lag: self.listing_lag.unwrap_or_else(|| listing_lag(url)),
            host: settings::host(),
        }
    }
}

/// Prunes.
pub fn prune(args: &PruneArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let options = args.limits.options(args.grace, open.repo.store().url());
    run(&open.repo, &options, args.dry_run, context)
}

/// Prunes an open repository, or shows what that would come to.
pub fn run(repo: &Repo<Full>, options: &PruneOptions, dry_run: bool, context: &Context) -> Result<Exit, CliError> {
    let result = context.watched(|monitor| {
        let plan = library::plan(repo, options, dry_run, monitor)?;
        if dry_run { Ok(plan.report()) } else { plan.execute(monitor) }
    });
    let report = context
        .ended(result, "what was done so far stays; the next prune goes on, and nothing has to be cleaned up")?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&json::Pruned::new(&report, dry_run))?;
    } else {
        let zone = TimeZone::get(context.zone).unwrap_or(TimeZone::UTC);
        let shown = render(&report, dry_run, &zone);
        if dry_run { ui.print(&shown)? } else { ui.say(&shown)? }
    }
    Ok(Exit::Done)
}

/// What was done, or would be.
fn render(report: &PruneReport, dry_run: bool, zone: &TimeZone) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        writeln!(text, "{what:<15}{value}").expect("writing to a String can't fail");
    };
    let (removed, rewritten, kept) =
        if dry_run { ("would remove", "would rewrite", "would keep") } else { ("removed", "rewrote", "kept") };
    let packs = |count| units::counted(count, "pack");
    line(removed, format!("{} that nothing needs", packs(report.packs_removed)));
    if report.packs_rewritten > 0 {
        let about = if dry_run { "about " } else { "" };
        line(
            rewritten,
            format!("{}: {about}{} stored again", packs(report.packs_rewritten), units::size(report.bytes_rewritten)),
        );
    }
    let unused = match report.bytes_unused {
        0 => String::new(),
        unused => format!(", of which about {} are unused", units::size(unused)),
    };
    line(
        kept,
        format!(
            "{}, {}{unused}",
            packs(report.packs_kept),
            units::size(report.bytes.saturating_sub(report.bytes_freed))
        ),
    );
    if report.packs_held > 0 {
        line(
            "held back",
            format!("{} by a run that goes on or can be gone on from, or another prune", packs(report.packs_held)),
        );
    }
    if report.packs_rescued > 0 {
        line("given back", format!("{} that a run came to need meanwhile", packs(report.packs_rescued)));
    }
    if report.runs_stopped > 0 {
        let runs = units::counted(report.runs_stopped, "run");
        line("declared dead", format!("{runs} of which nothing was heard for long"));
    }
    if report.frames_missing > 0 {
        let frames = units::counted(report.frames_missing, "frame");
        line("missing", format!("{frames} that snapshots need: `nightsafe check` says which"));
    }
    let freed = units::size(report.bytes_freed);
    let now = if dry_run { format!("{freed} now") } else { freed };
    let later = match (report.bytes_pending, report.pending_until.and_then(|at| Timestamp::from_second(at).ok())) {
        (0, _) | (_, None) => String::new(),
        (bytes, Some(at)) => format!(
            ", about {} more until {}, when the grace of {} ends",
            units::size(bytes),
            at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M"),
            units::counted(report.snapshots_in_grace, "forgotten snapshot")
        ),
    };
    let verb = if dry_run { "would free" } else { "freed" };
    text.push_str(&style::paint(style::GOOD, &format!("{verb:<15}{now}{later}")));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> PruneReport {
        PruneReport {
            snapshots: 30,
            snapshots_in_grace: 4,
            packs: 60,
            bytes: 900 << 20,
            packs_kept: 45,
            packs_removed: 12,
            packs_rewritten: 3,
            bytes_rewritten: 20 << 20,
            bytes_freed: 208 << 20,
            bytes_unused: 31 << 20,
            bytes_pending: 30 << 20,
            pending_until: Some(1_796_000_000),
            packs_held: 1,
            packs_rescued: 0,
            runs_stopped: 1,
            frames_missing: 0,
        }
    }

    #[test]
    fn what_is_shown() {
        insta::assert_snapshot!(style::plain(&render(&report(), true, &TimeZone::UTC)), @r"
        would remove   12 packs that nothing needs
        would rewrite  3 packs: about 20.0 MiB stored again
        would keep     45 packs, 692 MiB, of which about 31.0 MiB are unused
        held back      1 pack by a run that goes on or can be gone on from, or another prune
        declared dead  1 run of which nothing was heard for long
        would free     208 MiB now, about 30.0 MiB more until 2026-11-30 00:53, when the grace of 4 forgotten snapshots ends
        ");
        let done = PruneReport { packs_held: 0, packs_rescued: 2, frames_missing: 3, bytes_pending: 0, ..report() };
        insta::assert_snapshot!(style::plain(&render(&done, false, &TimeZone::UTC)), @r"
        removed        12 packs that nothing needs
        rewrote        3 packs: 20.0 MiB stored again
        kept           45 packs, 692 MiB, of which about 31.0 MiB are unused
        given back     2 packs that a run came to need meanwhile
        declared dead  1 run of which nothing was heard for long
        missing        3 frames that snapshots need: `nightsafe check` says which
        freed          208 MiB
        ");
        insta::assert_snapshot!(style::plain(&render(&PruneReport::default(), false, &TimeZone::UTC)), @r"
        removed        0 packs that nothing needs
        kept           0 packs, 0 B
        freed          0 B
        ");
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(max_unused("5%"), Ok(MaxUnused::Percent(5)));
        assert_eq!(max_unused("10G"), Ok(MaxUnused::Bytes(10 << 30)));
        assert_eq!(max_unused("unlimited"), Ok(MaxUnused::Unlimited));
        for wrong in ["", "x", "-1", "101%", "%", "5 apples"] {
            assert!(max_unused(wrong).is_err(), "{wrong}");
        }
        assert_eq!((percent("25"), percent("25%")), (Ok(25), Ok(25)));
        assert!(percent("-1").is_err() && percent("101").is_err());
        assert_eq!((grace("0"), grace("7d")), (Ok(Duration::ZERO), Ok(GRACE)));
        assert!(grace("1x").is_err());
    }

    #[test]
    fn listings_of_unknown_services_are_given_time() {
        assert_eq!(listing_lag("/mnt/night"), Duration::ZERO);
        assert_eq!(listing_lag("/mnt/a:b"), Duration::ZERO);
        assert_eq!(listing_lag("s3:bucket/x"), Duration::ZERO);
        assert_eq!(listing_lag("webdav:https://x"), Duration::from_mins(1));
        assert_eq!(listing_lag("swift:x"), Duration::from_mins(15));
    }
}
