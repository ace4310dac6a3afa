//! `check`: is everything there, and is it intact?

use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{clean, style, units};
use crate::snapshot::check::{
    self as library, CheckOptions, CheckReport, Damage, Damaged, Reading, Subset, Verification,
};
use clap::Args;
use std::fmt::Write as _;
use std::time::Instant;

/// How many paths of a snapshot are named for each damage.
const PATHS: usize = 5;

/// Check that everything is there; with --read-data, that it is intact
#[derive(Debug, Args)]
#[command(after_help = "\
Follows each snapshot to its files and their packs, and looks whether all are there in full length. With
--read-data it reads, opens and verifies the packs, too: all, a part such as 5%, 1/10 or 2G, or by a budget
such as 5%/day, 10G/week or 1%/run those whose turn is longest ago. The repository keeps what was verified
when, also if the check is interrupted. --packs-only reads packs (or the part that --read-data names) and
compares their bytes with their names: whoever holds the disk can do that, without a password.

Examples:
  nightsafe check --read-data=5%/day
  nightsafe check --packs-only")]
pub struct CheckArgs {
    /// Also read and verify the data, a part of it, or what a budget allows
    #[arg(long, alias = "read-data-subset", value_name = "SUBSET|BUDGET", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    read_data: Option<String>,
    /// Only compare packs with their names; needs no password
    #[arg(long)]
    packs_only: bool,
}

/// Checks.
pub fn check(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let reading = args.read_data.as_deref().map(reading).transpose()?;
    let began = Instant::now();
    let (report, depth) = if args.packs_only {
        let subset = match reading {
            None => Subset::All,
            Some(Reading::Subset(subset)) => subset,
            Some(Reading::Budget(_)) => return Err(budget_without_password()),
        };
        let store = context.store()?;
        let result = context.watched(|monitor| library::check_names(&*store, subset, monitor));
        (context.ended(result, UNFINISHED)?, Depth::Names)
    } else {
        let options = CheckOptions { read_data: reading, time: None };
        let open = context.open_full()?;
        let result = context.watched(|monitor| library::check(&open.repo, &options, monitor));
        (context.ended(result, UNFINISHED)?, Depth::Repository(reading))
    };
    show(&report, depth, began.elapsed().as_secs_f64(), context)?;
    Ok(if report.errors.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What is said of a check that was interrupted.
const UNFINISHED: &str = "the check is unfinished; which packs were verified is kept";

/// How deep a check looked.
#[derive(Debug, Clone, Copy)]
enum Depth {
    /// At packs and their names.
    Names,
    /// At all that snapshots need, and at so much data.
    Repository(Option<Reading>),
}

fn show(report: &CheckReport, depth: Depth, seconds: f64, context: &Context) -> Result<(), CliError> {
    let ui = context.ui;
    for damage in &report.errors {
        if ui.is_json() {
            ui.json(&json::Broken::from(damage))?;
        } else {
            ui.tell(&render_damage(damage, depth));
        }
    }
    if ui.is_json() {
        return ui.json(&json::Check::new(report, seconds));
    }
    report.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.say(&render_report(report, depth, seconds))
}

pub(super) fn reading(text: &str) -> Result<Reading, CliError> {
    text.parse().map_err(|error: library::ReadingError| {
        CliError::usage(error.to_string())
            .hint("a part of the data is written as 5%, 1/10 or 2G, a budget as 5%/day, 10G/week or 1%/run")
    })
}

fn budget_without_password() -> CliError {
    CliError::usage("a budget doesn't go with --packs-only: what was verified when stands in the repository, sealed")
        .hint("name a part, as in --packs-only --read-data=1/7, or leave --packs-only out")
}

/// One damage and what it hits.
fn render_damage(damage: &Damage, depth: Depth) -> String {
    let mut text =
        format!("{} {}: {}\n", style::paint(style::BAD, "damaged:"), clean(&damage.object), clean(&damage.what));
    if let Damaged::Note(matter) = damage.kind {
        writeln!(text, "  it may have said something of any snapshot; {}", matter.next_step())
            .expect("writing to a String can't fail");
    } else if damage.snapshots.is_empty() && matches!(depth, Depth::Repository(_)) {
        text.push_str("  hits no snapshot\n");
    }
    for (id, paths) in &damage.snapshots {
        let named: Vec<_> = paths.iter().take(PATHS).map(ToString::to_string).collect();
        let more = match paths.len().saturating_sub(PATHS) {
            0 => String::new(),
            more => format!(" and {} more", units::count(more as u64)),
        };
        writeln!(text, "  snapshot {}: {}{more}", json::short_id(*id), named.join(", "))
            .expect("writing to a String can't fail");
    }
    text
}

/// The closing words.
fn render_report(report: &CheckReport, depth: Depth, seconds: f64) -> String {
    let packs = units::counted(report.packs, "pack");
    let size = units::size(report.bytes_read);
    let (looked, depth) = match depth {
        Depth::Names if report.packs_read == report.packs => (packs, format!("all {size} compared with their names")),
        Depth::Names => {
            (packs, format!("{} of them, {size}, compared with their names", units::count(report.packs_read)))
        }
        Depth::Repository(reading) => {
            (format!("{} and {packs}", units::counted(report.snapshots, "snapshot")), read(reading, report))
        }
    };
    let looked = format!("{looked} looked at in {}", units::duration(seconds));
    let mut hit: Vec<_> = report.errors.iter().flat_map(|damage| &damage.snapshots).map(|(id, _)| *id).collect();
    hit.sort_unstable();
    hit.dedup();
    match report.errors.len() {
        0 => style::paint(style::GOOD, &format!("no damage found: {looked}; {depth}")) + "\n",
        n => {
            let errors = units::counted(n as u64, "error");
            let hit = match hit.len() {
                0 => String::new(),
                hit => format!(", in {}", units::counted(hit as u64, "snapshot")),
            };
            let next = if hit.is_empty() { String::new() } else { render_next_step() };
            style::paint(style::BAD, &format!("{errors} found{hit}: {looked}; {depth}")) + "\n" + &next
        }
    }
}

/// What to do about damage that hits snapshots.
fn render_next_step() -> String {
    let next = "`nightsafe repair snapshots` lists what they have lost, and what the next backup brings back";
    format!("{} {next}\n", style::paint(style::GOOD, "hint:"))
}

/// What was read, and how long ago all was.
fn read(reading: Option<Reading>, report: &CheckReport) -> String {
    let size = units::size(report.bytes_read);
    let now = match reading {
        None => "their content wasn't read (--read-data does that)".to_owned(),
        Some(Reading::Subset(Subset::All)) => format!("all {size} of data read and verified"),
        Some(Reading::Subset(_)) => format!("{size} of data read and verified, as a part of all"),
        Some(Reading::Budget(_)) if report.packs_read == 0 => "nothing is due by the budget yet".to_owned(),
        Some(Reading::Budget(_)) => format!("{size} of data read and verified, as the budget allows"),
    };
    format!("{now}; {}", render_verification(&report.verification, report.packs))
}

/// How long ago packs were verified: `all packs verified within the last 12 days`.
fn render_verification(verification: &Verification, packs: u64) -> String {
    let Some(oldest) = verification.oldest else { return "no pack was ever verified".to_owned() };
    let days = verification.at.seconds.saturating_sub(oldest.seconds).max(0) / 86_400 + 1;
    let within = match days {
        1 => "within the last day".to_owned(),
        days => format!("within the last {days} days"),
    };
    match verification.never {
        0 => format!("all packs verified {within}"),
        never => format!(
            "{} of {} verified {within}, {} never",
            units::count(packs.saturating_sub(never)),
            units::counted(packs, "pack"),
            units::count(never)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    const ALL: Depth = Depth::Repository(Some(Reading::Subset(Subset::All)));

    #[test]
    fn damage_is_named_with_what_it_hits() {
        let report = test_data::check_report();
        let shown = |depth| report.errors.iter().map(|damage| render_damage(damage, depth)).collect::<String>();
        insta::assert_snapshot!(style::plain(&shown(Depth::Repository(None))), @r"
        damaged: packs/ab/x: its hash differs
          snapshot 954mjja9: /srv/app/0, /srv/app/1, /srv/app/2, /srv/app/3, /srv/app/4 and 2 more
          snapshot ja9954mj: /srv/app/0
        damaged: index/x/0: missing
          hits no snapshot
        damaged: packs/cd/y: too short
          snapshot 954mjja9: /srv/app/0, /srv/app/1, /srv/app/2, /srv/app/3, /srv/app/4 and 3 more
        ");
        let said = |report: &CheckReport, depth, seconds| style::plain(&render_report(report, depth, seconds));
        insta::assert_snapshot!(said(&report, Depth::Repository(None), 3.0), @r"
        3 errors found, in 2 snapshots: 14 snapshots and 1 234 packs looked at in 3.0 s; their content wasn't read (--read-data does that); 1 200 of 1 234 packs verified within the last 12 days, 34 never
        hint: `nightsafe repair snapshots` lists what they have lost, and what the next backup brings back
        ");
        let sound = CheckReport { errors: vec![], ..report.clone() };
        insta::assert_snapshot!(said(&sound, ALL, 200.0), @r"no damage found: 14 snapshots and 1 234 packs looked at in 3 min 20 s; all 5.0 GiB of data read and verified; 1 200 of 1 234 packs verified within the last 12 days, 34 never");
        let budget = Depth::Repository(Some("5%/day".parse().unwrap()));
        let mut due = sound.clone();
        due.verification = Verification { never: 0, ..due.verification };
        insta::assert_snapshot!(said(&due, budget, 200.0), @r"no damage found: 14 snapshots and 1 234 packs looked at in 3 min 20 s; 5.0 GiB of data read and verified, as the budget allows; all packs verified within the last 12 days");
        let nothing = CheckReport { packs_read: 0, bytes_read: 0, verification: Verification::default(), ..sound };
        insta::assert_snapshot!(said(&nothing, budget, 2.0), @r"no damage found: 14 snapshots and 1 234 packs looked at in 2.0 s; nothing is due by the budget yet; no pack was ever verified");
        let names = CheckReport { snapshots: 0, errors: report.errors[1..2].to_vec(), ..report };
        insta::assert_snapshot!(said(&names, Depth::Names, 2.0), @r"1 error found: 1 234 packs looked at in 2.0 s; all 5.0 GiB compared with their names");
        insta::assert_snapshot!(said(&CheckReport { packs_read: 20, errors: vec![], ..names }, Depth::Names, 2.0), @r"no damage found: 1 234 packs looked at in 2.0 s; 20 of them, 5.0 GiB, compared with their names");
    }

    #[test]
    fn parts_and_budgets() {
        assert_eq!(reading("100%").unwrap(), Reading::Subset(Subset::All));
        assert_eq!(reading("5%").unwrap(), Reading::Subset(Subset::Percent(5.0)));
        assert!(matches!(reading("5%/day").unwrap(), Reading::Budget(_)));
        for wrong in ["much", "5%/moon", "much/day"] {
            assert_eq!(reading(wrong).unwrap_err().exit(), Exit::Usage);
        }
    }
}
