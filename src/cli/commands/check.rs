//! `check`: is everything there, and is it intact?

use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{clean, style, units};
use crate::snapshot::check::{self as library, CheckOptions, CheckReport, Damage, Subset};
use clap::Args;
use std::fmt::Write as _;
use std::time::Instant;

/// How many paths of a snapshot are named for each damage.
const PATHS: usize = 5;

/// Check that everything is there; with --read-data, that it is intact
#[derive(Debug, Args)]
#[command(after_help = "\
Follows each snapshot to its files and their packs, and looks whether all are there in full length. With
--read-data it reads, opens and verifies the packs, too: all, or a part such as 5%, 1/10 or 2G.

Examples:
  nightsafe check
  nightsafe check --read-data=1/7")]
pub struct CheckArgs {
    /// Also read and verify the data, or a part of it
    #[arg(long, alias = "read-data-subset", value_name = "SUBSET", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    read_data: Option<String>,
}

/// Checks.
pub fn check(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let options = CheckOptions { read_data: args.read_data.as_deref().map(subset).transpose()? };
    let open = context.open_full()?;
    let began = Instant::now();
    let result = context.watched(|monitor| library::check(&open.repo, &options, monitor));
    let report = context.ended(result, "the check is unfinished; nothing was changed")?;
    let seconds = began.elapsed().as_secs_f64();
    let ui = context.ui;
    for damage in &report.errors {
        if ui.is_json() {
            ui.json(&json::Broken::from(damage))?;
        } else {
            ui.tell(&render_damage(damage));
        }
    }
    if ui.is_json() {
        ui.json(&json::Check::new(&report, seconds))?;
    } else {
        report.warnings.iter().for_each(|warning| ui.warn(warning));
        ui.say(&render_report(&report, options.read_data, seconds))?;
    }
    Ok(if report.errors.is_empty() { Exit::Done } else { Exit::Failed })
}

fn subset(text: &str) -> Result<Subset, CliError> {
    if text == "100%" {
        return Ok(Subset::All);
    }
    text.parse().map_err(|error: library::SubsetError| {
        CliError::usage(error.to_string()).hint("a part of the data is written as 5%, 1/10 or 2G")
    })
}

/// One damage and what it hits.
fn render_damage(damage: &Damage) -> String {
    let mut text =
        format!("{} {}: {}\n", style::paint(style::BAD, "damaged:"), clean(&damage.object), clean(&damage.what));
    if damage.snapshots.is_empty() {
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
fn render_report(report: &CheckReport, read: Option<Subset>, seconds: f64) -> String {
    let looked = format!(
        "{} and {} looked at in {}",
        units::counted(report.snapshots, "snapshot"),
        units::counted(report.packs, "pack"),
        units::duration(seconds)
    );
    let depth = match read {
        None => "their content wasn't read (--read-data does that)".to_owned(),
        Some(Subset::All) => format!("all {} of data read and verified", units::size(report.bytes_read)),
        Some(_) => format!("{} of data read and verified, as a part of all", units::size(report.bytes_read)),
    };
    let mut hit: Vec<_> = report.errors.iter().flat_map(|damage| &damage.snapshots).map(|(id, _)| *id).collect();
    hit.sort_unstable();
    hit.dedup();
    match report.errors.len() {
        0 => style::paint(style::GOOD, &format!("no damage found: {looked}; {depth}")) + "\n",
        n => {
            let errors = units::counted(n as u64, "error");
            let hit = units::counted(hit.len() as u64, "snapshot");
            style::paint(style::BAD, &format!("{errors} found, in {hit}: {looked}; {depth}")) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn damage_is_named_with_what_it_hits() {
        let report = test_data::check_report();
        insta::assert_snapshot!(style::plain(&report.errors.iter().map(render_damage).collect::<String>()), @r"
        damaged: packs/ab/x: its hash differs
          snapshot 954mjja9: /srv/app/0, /srv/app/1, /srv/app/2, /srv/app/3, /srv/app/4 and 2 more
          snapshot ja9954mj: /srv/app/0
        damaged: index/x/0: missing
          hits no snapshot
        damaged: packs/cd/y: too short
          snapshot 954mjja9: /srv/app/0, /srv/app/1, /srv/app/2, /srv/app/3, /srv/app/4 and 3 more
        ");
        insta::assert_snapshot!(style::plain(&render_report(&report, None, 3.0)), @r"3 errors found, in 2 snapshots: 14 snapshots and 1 234 packs looked at in 3.0 s; their content wasn't read (--read-data does that)");
        let sound = CheckReport { errors: vec![], ..report };
        insta::assert_snapshot!(style::plain(&render_report(&sound, Some(Subset::All), 200.0)), @r"no damage found: 14 snapshots and 1 234 packs looked at in 3 min 20 s; all 5.0 GiB of data read and verified");
    }

    #[test]
    fn subsets() {
        assert_eq!(subset("100%").unwrap(), Subset::All);
        assert_eq!(subset("5%").unwrap(), Subset::Percent(5.0));
        assert_eq!(subset("much").unwrap_err().exit(), Exit::Usage);
    }
}
