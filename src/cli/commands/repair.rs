//! `repair`: what can be done about damage. It only ever adds, but for `repair notes`.

mod notes;

use crate::cli::commands::Context;
use crate::cli::commands::check::reading;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::settings;
use crate::cli::ui::{clean, style, units};
use crate::repo::format::key;
use crate::repo::repair::index::{self, IndexPlan};
use crate::repo::repair::packs::{DamagedPack, PacksOutcome, PacksPlan};
use crate::snapshot::backup::{TOOL, now};
use crate::snapshot::check::CheckOptions;
use crate::snapshot::repair::losses::{self, Loss, Losses};
use crate::snapshot::repair::packs::{self, PacksOptions};
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::time::Instant;

/// How many paths of a snapshot are shown; JSON has more.
const PATHS: usize = 20;

/// Repair what is damaged, as far as that is possible
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// What to do.
    #[command(subcommand)]
    command: RepairCommand,
}

/// What there is to repair.
#[derive(Debug, Subcommand)]
enum RepairCommand {
    /// Write the index again for packs that it doesn't name
    #[command(after_help = "\
Nothing is lost without an index: it is read from the packs themselves then, which takes time.

Examples:
  nightsafe repair index --dry-run
  nightsafe repair index")]
    Index(IndexArgs),
    /// Copy what is good out of damaged packs, and set these aside
    #[command(after_help = "\
A pack that is set aside stays where it is, and no backup relies on it any more: the next one stores again what
was lost, if the source still has it, and the snapshots that had lost it are whole again.

Examples:
  nightsafe repair packs --read-data --dry-run
  nightsafe repair packs 3fa81b20")]
    Packs(PacksArgs),
    /// Take away notes that can't be read, or that count for nothing
    #[command(after_help = "\
Notes say which tags snapshots have, which are protected, and which packs were verified. One that is damaged may
have protected any snapshot, so none is forgotten until it is gone. Only such notes are removed, and what they said
is lost; one of which only the first bytes are damaged gets the right ones. Notes of a newer nightsafe, or that the
storage just doesn't give, stay: then the exit code is 1.

Examples:
  nightsafe repair notes --dry-run
  nightsafe repair notes")]
    Notes(notes::NotesArgs),
    /// List the snapshots that have lost something, and what exactly
    #[command(after_help = "\
Changes nothing: all else in these snapshots can be restored. Exit code 1 if anything is lost.

Examples:
  nightsafe repair snapshots
  nightsafe repair snapshots --read-data")]
    Snapshots(SnapshotsArgs),
}

/// How the index is repaired.
#[derive(Debug, Args)]
struct IndexArgs {
    /// Show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Which packs are repaired.
#[derive(Debug, Args)]
struct PacksArgs {
    /// A damaged pack, as `check` names it, or the beginning of the hash in its name
    #[arg(value_name = "PACK", required_unless_present = "read_data")]
    packs: Vec<String>,
    /// Read the data, or a part of it, and repair what is found
    #[arg(long, value_name = "SUBSET|BUDGET", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    read_data: Option<String>,
    /// Show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// How losses are looked for.
#[derive(Debug, Args)]
struct SnapshotsArgs {
    /// Also read the data, or a part of it
    #[arg(long, value_name = "SUBSET|BUDGET", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    read_data: Option<String>,
}

/// Repairs.
pub fn repair(args: &RepairArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        RepairCommand::Index(args) => repair_index(args, context),
        RepairCommand::Packs(args) => repair_packs(args, context),
        RepairCommand::Notes(args) => notes::repair(args, context),
        RepairCommand::Snapshots(args) => repair_snapshots(args, context),
    }
}

fn repair_index(args: &IndexArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let began = Instant::now();
    let plan = index::plan(&open.repo)?;
    let shown = render_index(&plan, args.dry_run);
    let whole = plan.unreadable.is_empty();
    let mut message = json::RepairIndex::new(&plan, args.dry_run);
    if !args.dry_run {
        let run = plan.carry_out(&open.repo, now(), &settings::host(), TOOL)?;
        message.run = run.map(|run| run.to_string());
    }
    message.total_duration = began.elapsed().as_secs_f64();
    if context.ui.is_json() {
        context.ui.json(&message)?;
    } else {
        context.ui.say(&shown)?;
    }
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn repair_packs(args: &PacksArgs, context: &Context) -> Result<Exit, CliError> {
    let options = PacksOptions {
        packs: args.packs.clone(),
        read_data: args.read_data.as_deref().map(reading).transpose()?,
        now: None,
        host: settings::host(),
        dry_run: args.dry_run,
    };
    let open = context.open_full()?;
    let began = Instant::now();
    let result = context.watched(|monitor| packs::repair(&open.repo, &options, monitor));
    let (plan, outcome) = context.ended(result, "packs that were written stay; the damaged ones weren't set aside")?;
    if context.ui.is_json() {
        context.ui.json(&json::RepairPacks::new(&plan, &outcome, args.dry_run, began.elapsed().as_secs_f64()))?;
    } else {
        context.ui.say(&render_packs(&plan, &outcome, args.dry_run))?;
    }
    Ok(if plan.damaged.iter().all(|damaged| damaged.lost.is_empty()) { Exit::Done } else { Exit::Failed })
}

fn repair_snapshots(args: &SnapshotsArgs, context: &Context) -> Result<Exit, CliError> {
    let options = CheckOptions { read_data: args.read_data.as_deref().map(reading).transpose()?, time: None };
    let open = context.open_full()?;
    let began = Instant::now();
    let result = context.watched(|monitor| losses::losses(&open.repo, &options, monitor));
    let losses = context.ended(result, "nothing was changed")?;
    if context.ui.is_json() {
        context.ui.json(&json::RepairSnapshots::new(&losses, began.elapsed().as_secs_f64()))?;
    } else {
        context.ui.say(&render_losses(&losses, context.ui.zone()))?;
    }
    Ok(if losses.damaged.is_empty() { Exit::Done } else { Exit::Failed })
}

fn render_index(plan: &IndexPlan, dry_run: bool) -> String {
    let mut text = String::new();
    for (key, why) in &plan.unusable {
        line(&mut text, &format!("{} {}: {}", style::paint(style::BAD, "unusable:"), clean(key), clean(why)));
    }
    for (pack, why) in &plan.unreadable {
        let name = key::pack(*pack);
        line(&mut text, &format!("{} {name}: {}", style::paint(style::BAD, "can't be read:"), clean(why)));
    }
    let packs = units::counted(plan.packs, "pack");
    let said = match plan.added_packs() {
        0 if plan.unreadable.is_empty() => format!("nothing to do: the index names all {packs}"),
        0 => format!("nothing can be written for these, of {packs}; `nightsafe repair packs` looks into them"),
        added if dry_run => format!("of {packs}, {} would be written to the index again", units::count(added)),
        added => format!("of {packs}, {} were written to the index again", units::count(added)),
    };
    line(&mut text, &said);
    text
}

fn render_packs(plan: &PacksPlan, outcome: &PacksOutcome, dry_run: bool) -> String {
    let mut text = String::new();
    for pack in &plan.sound {
        line(&mut text, &format!("sound: {}", key::pack(*pack)));
    }
    plan.damaged.iter().for_each(|damaged| render_pack(damaged, &mut text));
    let lost: usize = plan.damaged.iter().map(|damaged| damaged.lost.len()).sum();
    let done = match (plan.damaged.len(), outcome.run) {
        (0, _) => "no damaged pack".to_owned(),
        (_, None) if dry_run && !plan.is_empty() => "nothing was changed (--dry-run)".to_owned(),
        (_, None) => "nothing to do: all that is good was copied before".to_owned(),
        (_, Some(_)) => format!(
            "{} copied into {} ({}), {} set aside",
            units::counted(outcome.copied, "frame"),
            units::counted(outcome.written.0, "new pack"),
            units::size(outcome.written.1),
            units::counted(outcome.set_aside, "pack")
        ),
    };
    let next = match lost {
        0 => String::new(),
        lost => format!(
            "; {} lost: the next backup stores again what its source still has, `nightsafe repair snapshots` shows what is missing",
            units::counted(lost as u64, "frame")
        ),
    };
    line(&mut text, &format!("{done}{next}"));
    text
}

fn render_pack(damaged: &DamagedPack, text: &mut String) {
    line(text, &format!("{} {}", style::paint(style::BAD, "damaged:"), key::pack(damaged.pack)));
    let set_aside = if damaged.is_set_aside { "; set aside already" } else { "" };
    let (copied, elsewhere) = (damaged.copied.len() as u64, damaged.elsewhere);
    let good = units::counted(copied, "good frame");
    line(text, &format!("  {good} only here, {} elsewhere, too{set_aside}", units::count(elsewhere)));
    for (frame, why) in &damaged.lost {
        line(text, &format!("  lost: frame {frame}: {}", clean(why)));
    }
}

fn render_losses(losses: &Losses, zone: &TimeZone) -> String {
    let mut text = String::new();
    losses.damaged.iter().for_each(|loss| render_loss(loss, zone, &mut text));
    let all = units::counted(losses.snapshots, "snapshot");
    let said = match losses.damaged.len() {
        0 => style::paint(style::GOOD, &format!("nothing is lost in {all}")),
        n => style::paint(
            style::BAD,
            &format!("{} of {all} have lost something; all else can be restored", units::count(n as u64)),
        ),
    };
    line(&mut text, &said);
    text
}

fn render_loss(loss: &Loss, zone: &TimeZone, text: &mut String) {
    let id = json::short_id(loss.id);
    let Some(snapshot) = &loss.snapshot else {
        line(text, &format!("snapshot {id}: its record is damaged, so nothing of it can be restored"));
        return;
    };
    let manifest = &snapshot.manifest;
    let app = manifest.app.as_ref().map(|app| format!(", app {}", clean(app))).unwrap_or_default();
    let paths = units::counted(loss.paths.len() as u64, "path");
    let time = units::time(snapshot.time(), zone);
    line(text, &format!("snapshot {id} of {time}, host {}{app}: {paths} can't be restored", clean(&manifest.host)));
    for (path, heals) in loss.paths.iter().take(PATHS) {
        let next = if *heals { "comes back with the next backup, if the source still has it" } else { "lost" };
        line(text, &format!("  {path}: {next}"));
    }
    if loss.paths.len() > PATHS {
        line(text, &format!("  and {} more (--json lists them)", units::count((loss.paths.len() - PATHS) as u64)));
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn a_repair_of_packs_says_what_is_lost_and_what_comes_next() {
        let (plan, outcome) = test_data::packs_repair();
        insta::assert_snapshot!(style::plain(&render_packs(&plan, &outcome, false)), @r"
        sound: packs/03/11111111-954mjja9954mjja9954mjja994-0303030303030303030303030303030303030303030303030303030303030303
        damaged: packs/01/11111111-954mjja9954mjja9954mjja994-0101010101010101010101010101010101010101010101010101010101010101
          1 good frame only here, 30 elsewhere, too
          lost: frame 0909090909090909090909090909090909090909090909090909090909090909: the seal of the frame is broken
        damaged: packs/02/11111111-954mjja9954mjja9954mjja994-0202020202020202020202020202020202020202020202020202020202020202
          0 good frames only here, 30 elsewhere, too; set aside already
          lost: frame 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a: it isn't there any more
        1 frame copied into 1 new pack (5.0 MiB), 1 pack set aside; 2 frames lost: the next backup stores again what its source still has, `nightsafe repair snapshots` shows what is missing
        ");
        insta::assert_snapshot!(style::plain(&render_packs(&plan, &PacksOutcome::default(), true)), @r"
        sound: packs/03/11111111-954mjja9954mjja9954mjja994-0303030303030303030303030303030303030303030303030303030303030303
        damaged: packs/01/11111111-954mjja9954mjja9954mjja994-0101010101010101010101010101010101010101010101010101010101010101
          1 good frame only here, 30 elsewhere, too
          lost: frame 0909090909090909090909090909090909090909090909090909090909090909: the seal of the frame is broken
        damaged: packs/02/11111111-954mjja9954mjja9954mjja994-0202020202020202020202020202020202020202020202020202020202020202
          0 good frames only here, 30 elsewhere, too; set aside already
          lost: frame 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a: it isn't there any more
        nothing was changed (--dry-run); 2 frames lost: the next backup stores again what its source still has, `nightsafe repair snapshots` shows what is missing
        ");
        let none = PacksPlan::default();
        insta::assert_snapshot!(style::plain(&render_packs(&none, &PacksOutcome::default(), false)), @r"no damaged pack");
    }

    #[test]
    fn losses_are_listed_by_snapshot() {
        let losses = test_data::losses();
        insta::assert_snapshot!(style::plain(&render_losses(&losses, &TimeZone::UTC)), @r"
        snapshot 954mjja9 of 2026-11-21 12:05, host web1, app wiki: 2 paths can't be restored
          /srv/app/a: comes back with the next backup, if the source still has it
          /srv/app/b: lost
        snapshot ja9954mj: its record is damaged, so nothing of it can be restored
        2 of 14 snapshots have lost something; all else can be restored
        ");
        let none = Losses { damaged: vec![], ..losses };
        insta::assert_snapshot!(style::plain(&render_losses(&none, &TimeZone::UTC)), @r"nothing is lost in 14 snapshots");
    }

    #[test]
    fn a_repair_of_the_index_names_what_it_cannot_use() {
        let mut plan = IndexPlan { packs: 12, ..IndexPlan::default() };
        insta::assert_snapshot!(style::plain(&render_index(&plan, false)), @r"nothing to do: the index names all 12 packs");
        plan.unusable.push(("index/x/0".to_owned(), "wrongly signed".to_owned()));
        plan.unreadable.push((test_data::pack(7), "malformed end of a pack".to_owned()));
        insta::assert_snapshot!(style::plain(&render_index(&plan, true)), @r"
        unusable: index/x/0: wrongly signed
        can't be read: packs/07/11111111-954mjja9954mjja9954mjja994-0707070707070707070707070707070707070707070707070707070707070707: malformed end of a pack
        nothing can be written for these, of 12 packs; `nightsafe repair packs` looks into them
        ");
    }
}
