//! `tag`: tags of snapshots that were taken already.

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, resolve_whole};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::clean;
use crate::snapshot::backup::now;
use crate::snapshot::notes;
use crate::snapshot::snapshots::Snapshot;
use clap::Args;

/// Add tags to snapshots, or take them away
#[derive(Debug, Args)]
#[command(after_help = "\
The snapshots themselves don't change: notes beside them say which tags they have.

Examples:
  nightsafe tag latest:wiki --add before-upgrade
  nightsafe tag 954mjja9 ja9954mj --set nightly --set checked")]
pub struct TagArgs {
    /// The snapshots
    #[arg(value_name = "SNAP", required = true)]
    snapshots: Vec<String>,
    /// A tag to add; may be repeated
    #[arg(long, value_name = "TAG", value_delimiter = ',', conflicts_with = "set")]
    add: Vec<String>,
    /// A tag to take away; may be repeated
    #[arg(long, value_name = "TAG", value_delimiter = ',', conflicts_with = "set")]
    remove: Vec<String>,
    /// The only tag that is to be there; may be repeated; '': none
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    set: Vec<String>,
    #[command(flatten)]
    filter: TagFilter,
}

/// Which snapshot `latest` is; a filter by tag would be taken for a tag to set.
#[derive(Debug, Args)]
struct TagFilter {
    /// Only snapshots of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only snapshots of this host
    #[arg(long, short = 'H', value_name = "HOST")]
    host: Option<String>,
}

/// Tags.
pub fn tag(args: TagArgs, context: &Context) -> Result<Exit, CliError> {
    if args.add.is_empty() && args.remove.is_empty() && args.set.is_empty() {
        return Err(CliError::usage("which tags?").hint("give --add, --remove or --set"));
    }
    if args.add.iter().chain(&args.remove).any(String::is_empty) {
        return Err(CliError::usage("a tag is at least a letter long"));
    }
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let filter = FilterArgs { app: args.filter.app, host: args.filter.host, tags: Vec::new() };
    let find = |text: &String| resolve_whole(&all, text, &filter);
    // All are found before anything is written.
    for snapshot in args.snapshots.iter().map(find).collect::<Result<Vec<_>, _>>()? {
        let tags = wanted(snapshot, &args.add, &args.remove, &args.set);
        let note = all.notes.retag(snapshot.id, &snapshot.manifest.tags, &tags, now());
        if let Some(note) = &note {
            notes::write(&open.repo, note)?;
        }
        if context.ui.is_json() {
            context.ui.json(&json::Tagged::new(snapshot.id, &tags, note.is_some()))?;
        } else {
            let tags = if tags.is_empty() { "no tags".to_owned() } else { clean(&tags.join(", ")) };
            context.ui.say(&format!("{}: {tags}\n", json::short_id(snapshot.id)))?;
        }
    }
    Ok(Exit::Done)
}

/// The tags that a snapshot is to have.
fn wanted(snapshot: &Snapshot, add: &[String], remove: &[String], set: &[String]) -> Vec<String> {
    let base = if set.is_empty() { &snapshot.tags[..] } else { set };
    let mut tags: Vec<String> = Vec::new();
    for tag in base.iter().chain(add).filter(|tag| !tag.is_empty() && !remove.contains(tag)) {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn tags_that_are_wanted() {
        let snapshot = test_data::snapshot(1);
        let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(wanted(&snapshot, &words("a,b,a"), &[], &[]), ["nightly", "a", "b"]);
        assert_eq!(wanted(&snapshot, &words("a"), &words("nightly,x"), &[]), ["a"]);
        assert_eq!(wanted(&snapshot, &[], &[], &words("x,y,x")), ["x", "y"]);
        assert!(wanted(&snapshot, &[], &[], &words("")).is_empty());
    }
}
