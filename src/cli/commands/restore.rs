//! `restore`: a snapshot, or a part of it, into a folder; or a database of it into a server.

pub mod database;
mod render;

use crate::cli::args::FilterArgs;
use crate::cli::commands::backup::{besides, render_problems};
use crate::cli::commands::restore::database::DatabaseArgs;
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{clean, style, units};
use crate::snapshot::manifest::State;
use crate::snapshot::restore::{self as library, RestoreOptions, RestorePlan, RestoreSummary};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::{SafePath, escape_name};
use clap::Args;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::path::PathBuf;

/// How many problems are listed.
const LISTED: usize = 20;

/// Restore a snapshot, or a part of it, into an empty or new folder; or a database into a server
#[derive(Debug, Args)]
#[command(after_help = "\
Of SNAP:/PATH the contents go into DIR. What holds anything is refused (exit code 4), never written over.

Examples:
  nightsafe restore latest:wiki:/srv/app/uploads -t /srv/app/uploads
  nightsafe restore latest:wiki --postgres postgres://wiki@localhost/wiki --env /srv/wiki/.env")]
pub struct RestoreArgs {
    /// The snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:/PATH]")]
    snapshot: String,
    /// Where to: an empty or new folder
    #[arg(long, short, value_name = "DIR", required_unless_present = "postgres")]
    target: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Restores.
pub fn restore(args: RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    let ui = context.ui;
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &args.snapshot, args.filter)?;
    let path = path.as_ref();
    let Some(target) = args.target else {
        return database::restore(&args.database, &open.repo, snapshot, path, context);
    };
    let options = RestoreOptions { target };
    let plan = library::plan(&open.repo, snapshot, path, &options)?;
    if !ui.is_json() {
        ui.say(&render_plan(snapshot, path, &plan, ui.zone()))?;
        ui.flush()?;
    }
    if plan.free.is_some_and(|free| free < plan.bytes) {
        ui.alert("there is less room than this needs, unless files are sparse");
    }
    let result = context.watched(|monitor| library::restore(&open.repo, snapshot, path, &options, monitor));
    let kept = format!(
        "what is in {} is a part of the snapshot only; remove it before the next attempt",
        plan.target.display()
    );
    let summary = context.ended(result, &kept)?;
    if ui.is_json() {
        ui.json(&json::Restore::new(snapshot.id, &plan, &summary))?;
    } else {
        if !summary.problems.is_empty() {
            ui.tell(&render_problems(&summary.problems, LISTED, None));
        }
        ui.say(&render_summary(&summary))?;
    }
    Ok(if summary.problems.is_empty() { Exit::Done } else { Exit::Incomplete })
}

fn render_plan(snapshot: &Snapshot, path: Option<&SafePath>, plan: &RestorePlan, zone: &TimeZone) -> String {
    let m = &snapshot.manifest;
    let app = m.app.as_deref().map(|app| format!(", {}", clean(app))).unwrap_or_default();
    let part = path.filter(|path| !path.is_top()).map(|path| format!("{path} of ")).unwrap_or_default();
    let mut text = format!(
        "Restoring {part}snapshot {} ({}, {}{app})\n",
        json::short_id(snapshot.id),
        units::time(m.time, zone),
        clean(&m.host)
    );
    let free = plan.free.map_or_else(|| "free space unknown".to_owned(), |free| format!("{} free", units::size(free)));
    let rows = [
        ("to", escape_name(plan.target.as_os_str().as_encoded_bytes())),
        ("files", format!("{}, {}", units::counted(plan.files, "file"), besides(plan.directories, plan.others))),
        ("size", format!("{}; {free}", units::size(plan.bytes))),
    ];
    for (name, value) in rows {
        writeln!(text, "  {name:<6} {value}").expect("writing to a String can't fail");
    }
    if m.state == State::Incomplete {
        let warning = "This snapshot is incomplete: `nightsafe show` lists what it lacks.";
        text.push_str(&style::paint(style::WARNING, warning));
        text.push('\n');
    }
    text
}

fn render_summary(summary: &RestoreSummary) -> String {
    let what = format!(
        "{} ({}) and {} in {}, {}",
        units::counted(summary.files, "file"),
        units::size(summary.bytes),
        besides(summary.directories, summary.others),
        units::duration(summary.seconds),
        units::rate(summary.bytes, summary.seconds),
    );
    match summary.problems.len() {
        0 => style::paint(style::GOOD, &format!("restored and verified: {what}")) + "\n",
        n => {
            let problems = units::counted(n as u64, "problem");
            style::paint(style::WARNING, &format!("restored with {problems}: {what}")) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn the_plan_and_the_result() {
        let (snapshot, plan, mut summary) = (test_data::snapshot(1), test_data::plan(), test_data::restore_summary());
        insta::assert_snapshot!(style::plain(&render_plan(&snapshot, None, &plan, &TimeZone::UTC)), @r"
        Restoring snapshot 954mjja9 (2026-11-20 12:05, web1, wiki)
          to     /mnt/new
          files  20 360 files, 1 205 folders, 1 link or device
          size   2.0 GiB; 20.0 GiB free
        ");
        let mut incomplete = snapshot;
        incomplete.manifest.state = State::Incomplete;
        let path = SafePath::parse(b"/srv/app").unwrap();
        let unknown = RestorePlan { free: None, ..plan };
        insta::assert_snapshot!(style::plain(&render_plan(&incomplete, Some(&path), &unknown, &TimeZone::UTC)), @r"
        Restoring /srv/app of snapshot 954mjja9 (2026-11-20 12:05, web1, wiki)
          to     /mnt/new
          files  20 360 files, 1 205 folders, 1 link or device
          size   2.0 GiB; free space unknown
        This snapshot is incomplete: `nightsafe show` lists what it lacks.
        ");
        insta::assert_snapshot!(style::plain(&render_summary(&summary)), @r"restored and verified: 20 360 files (2.0 GiB) and 1 205 folders, 1 link or device in 20 s, 102 MiB/s");
        summary.problems = test_data::problems(1);
        insta::assert_snapshot!(style::plain(&render_summary(&summary)), @r"restored with 1 problem: 20 360 files (2.0 GiB) and 1 205 folders, 1 link or device in 20 s, 102 MiB/s");
    }
}
