//! `forget --undo`: a forgotten snapshot comes back.

use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{json, settings};
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::backup::now;
use crate::snapshot::snapshots::there;
use crate::snapshot::tombstone::tombstones;
use crate::snapshot::undo::{UndoOptions, undo as bring_back};
use std::time::Duration;

/// Brings back what `name` is the id, or the beginning of the id, of.
pub(super) fn undo(name: &str, grace: Duration, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let forgotten = find(&open.repo, name)?;
    let options = UndoOptions { now: now(), grace, host: settings::host() };
    let result = context.watched(|monitor| bring_back(&open.repo, forgotten, &options, monitor));
    let back = context.ended(result, "nothing was changed")?;
    if context.ui.is_json() {
        context.ui.json(&json::Undone::new(forgotten, back))?;
    } else {
        let (old, new) = (json::short_id(forgotten), json::short_id(back));
        context.ui.say(&format!("snapshot {old} is back, as {new}\n"))?;
    }
    Ok(Exit::Done)
}

fn find(repo: &Repo<Full>, name: &str) -> Result<RunId, CliError> {
    let fits = |id: &RunId| id.to_string().starts_with(name) || id.random_part().starts_with(name);
    let mut found: Vec<RunId> =
        tombstones(repo, &there(repo)?.into_keys().collect())?.valid.into_keys().filter(fits).collect();
    found.sort_unstable();
    match found.as_slice() {
        [only] if !name.is_empty() => Ok(*only),
        [] => Err(CliError::new(Exit::Failed, format!("no forgotten snapshot is named {name:?}"))
            .hint("`nightsafe snapshots --forgotten` lists what can be brought back")),
        several => {
            let list: Vec<String> = several.iter().map(RunId::random_part).collect();
            Err(CliError::usage(format!("{name:?} is the beginning of {} ids", several.len()))
                .hint(format!("write more of the id:\n{}", list.join("\n"))))
        }
    }
}
