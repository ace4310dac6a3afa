//! `repair notes`: notes that nobody can read are taken away.

use super::line;
use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{clean, style, units};
use crate::repo::note::UnusableNote;
use crate::repo::repair::notes::{self, NotesOutcome, NotesPlan};
use clap::Args;
use std::time::Instant;

/// How notes are repaired.
#[derive(Debug, Args)]
pub(super) struct NotesArgs {
    /// Show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Repairs notes. It's done if none is left that can't be used.
pub(super) fn repair(args: &NotesArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let began = Instant::now();
    let plan = notes::plan(&open.repo)?;
    let outcome = if args.dry_run { None } else { Some(plan.carry_out(&open.repo)?) };
    if context.ui.is_json() {
        let seconds = began.elapsed().as_secs_f64();
        context.ui.json(&json::RepairNotes::new(&plan, outcome.as_ref(), seconds))?;
    } else {
        context.ui.say(&render(&plan, outcome.as_ref()))?;
    }
    Ok(if plan.others.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What was done, or without an outcome would be.
fn render(plan: &NotesPlan, outcome: Option<&NotesOutcome>) -> String {
    let mut text = String::new();
    let mut tell = |word: &str, note: &UnusableNote, after: &str| {
        let (key, why) = (clean(&note.key), clean(&note.why));
        line(&mut text, &format!("{} {key}: {why}{after}", style::paint(style::BAD, word)));
    };
    for note in &plan.damaged {
        let after = match outcome {
            Some(outcome) if outcome.spared.contains(&note.key) => "; not any more, so it stays",
            Some(outcome) if outcome.mended.contains(&note.key) => "; mended",
            _ => "",
        };
        tell("damaged:", note, after);
    }
    for note in &plan.others {
        tell("stays:", note, &format!("; {}", note.matter.next_step()));
    }
    let sound = units::counted(plan.sound, "sound note");
    let would = units::counted(plan.damaged.len() as u64, "note");
    let said = match outcome {
        _ if plan.damaged.is_empty() => format!("no damaged note, {sound}"),
        None => format!(
            "{would} would be removed, or mended where only the head is damaged (--dry-run), {sound} would stay"
        ),
        Some(outcome) => {
            let removed = units::counted(outcome.removed.len() as u64, "note");
            let after = if outcome.removed.is_empty() { "" } else { LOST };
            let mended = match outcome.mended.len() as u64 {
                0 => String::new(),
                mended => format!("{} mended, ", units::counted(mended, "note")),
            };
            format!("{mended}{removed} removed, {sound} left{after}")
        }
    };
    line(&mut text, &said);
    text
}

/// What is lost with a note, and how it's said again.
const LOST: &str = "\nLost is what they said: tags or protection of a snapshot, or which packs were verified. `nightsafe snapshots` shows
what is known now; `nightsafe tag`, `nightsafe protect` and `nightsafe check --read-data` say it again.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn a_repair_of_notes_names_each_and_says_what_is_lost() {
        let (mut plan, outcome) = test_data::notes_repair();
        insta::assert_snapshot!(style::plain(&render(&plan, Some(&outcome))), @r"
        damaged: notes/01010101-040g2081040g2081040g208104/0: wrongly signed: the signature is wrong
        damaged: notes/02020202-081040g2081040g2081040g208/0: it is empty; not any more, so it stays
        damaged: notes/03030303-0c1g60r30c1g60r30c1g60r30c/0: signed by a credential that may only write
        stays: notes/04040404-0g2081040g2081040g2081040g/0: needs the feature x, which this nightsafe doesn't know; use the newer nightsafe that wrote it
        2 notes removed, 12 sound notes left
        Lost is what they said: tags or protection of a snapshot, or which packs were verified. `nightsafe snapshots` shows
        what is known now; `nightsafe tag`, `nightsafe protect` and `nightsafe check --read-data` say it again.
        ");
        insta::assert_snapshot!(style::plain(&render(&plan, None)), @r"
        damaged: notes/01010101-040g2081040g2081040g208104/0: wrongly signed: the signature is wrong
        damaged: notes/02020202-081040g2081040g2081040g208/0: it is empty
        damaged: notes/03030303-0c1g60r30c1g60r30c1g60r30c/0: signed by a credential that may only write
        stays: notes/04040404-0g2081040g2081040g2081040g/0: needs the feature x, which this nightsafe doesn't know; use the newer nightsafe that wrote it
        3 notes would be removed, or mended where only the head is damaged (--dry-run), 12 sound notes would stay
        ");
        plan.damaged.clear();
        plan.others.clear();
        insta::assert_snapshot!(style::plain(&render(&plan, Some(&outcome))), @"no damaged note, 12 sound notes");
    }
}
