//! `diff`: what differs between two snapshots.

mod manifest;

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{Verbosity, clean, style, units};
use crate::snapshot::diff::entry::Change;
use crate::snapshot::diff::tree::Difference;
use crate::snapshot::diff::{self, Counts, Part, Summary};
use crate::snapshot::tree::entry::EntryType;
use clap::Args;
use std::fmt::Write as _;
use std::ops::ControlFlow;

/// Show what differs between two snapshots
#[derive(Debug, Args)]
#[command(after_help = "\
+ only in the second, - only in the first, M other content, U only other metadata (-v says which), T another type,
? secret and not to be told. Of secret files it names variables that came and went, never values.
Of databases it lists the tables whose rows or bytes differ, migrations and extensions.

Examples:
  nightsafe diff x8k2m4qp latest
  nightsafe diff x8k2m4qp:/srv/app latest:/srv/app -v")]
pub struct DiffArgs {
    /// The first snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:/PATH]")]
    before: String,
    /// The second one
    #[arg(value_name = "SNAP[:/PATH]")]
    after: String,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Compares them.
pub fn diff(args: DiffArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (first, first_path) = resolve(&all, &args.before, args.filter.clone())?;
    let (second, second_path) = resolve(&all, &args.after, args.filter)?;
    let before = Part { snapshot: first, path: first_path.as_ref() };
    let after = Part { snapshot: second, path: second_path.as_ref() };
    let ui = context.ui;
    let mut failed = None;
    let summary = diff::trees(&open.repo, before, after, &mut |difference| {
        let shown = if ui.is_json() {
            ui.json_of_many(&json::Changed::from(difference))
        } else {
            ui.print(&line(difference, ui.verbosity() > Verbosity::Normal))
        };
        failed = shown.err();
        if failed.is_some() || ui.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let (databases, application) = (diff::databases(before, after), diff::application(before, after));
    if ui.is_json() {
        databases.iter().try_for_each(|database| ui.json_of_many(&json::ChangedDatabase::from(database)))?;
        application.iter().try_for_each(|application| ui.json_of_many(&json::ChangedApplication::from(application)))?;
        ui.json(&json::Diff::new(first.id, second.id, &summary))?;
    } else {
        databases.iter().try_for_each(|database| ui.print(&manifest::database(database)))?;
        application.iter().try_for_each(|application| ui.print(&manifest::application(application)))?;
        ui.say(&total(&summary))?;
    }
    Ok(Exit::Done)
}

/// The line of an entry.
fn line(difference: &Difference<'_>, verbose: bool) -> String {
    let mark = json::modifier(difference.change);
    let shade = match difference.change {
        Change::Added => style::GOOD,
        Change::Removed => style::BAD,
        Change::Unknown => style::WARNING,
        Change::Content | Change::Metadata | Change::Type => style::HEADING,
    };
    let kind = difference.after.or(difference.before).map(|entry| entry.kind);
    let slash = if kind == Some(EntryType::Directory) && !difference.path.is_top() { "/" } else { "" };
    let mut notes = Vec::new();
    if difference.change == Change::Unknown {
        notes.push("secret: may have changed".to_owned());
    }
    let names = |names: &[String]| clean(&names.join(", "));
    if !difference.variables_added.is_empty() {
        notes.push(format!("sets {}", names(&difference.variables_added)));
    }
    if !difference.variables_removed.is_empty() {
        notes.push(format!("no longer sets {}", names(&difference.variables_removed)));
    }
    if verbose && !difference.metadata.is_empty() {
        notes.push(difference.metadata.iter().copied().map(json::aspect).collect::<Vec<_>>().join(", "));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    format!("{} {}{slash}{notes}\n", style::paint(shade, mark), difference.path)
}

/// The differences, added up.
fn total(s: &Summary) -> String {
    let mut text = String::from("\n");
    let mut put = |what: &str, value: String| {
        let what = style::paint(style::FAINT, &format!("{what:<8}"));
        writeln!(text, "{what} {value}").expect("writing to a String can't fail");
    };
    put("added", format!("{}, {}", counted(s.added), units::size(s.bytes_added)));
    put("removed", format!("{}, {}", counted(s.removed), units::size(s.bytes_removed)));
    put("changed", format!("{}, {} → {}", counted(s.changed), units::size(s.bytes_before), units::size(s.bytes_after)));
    if s.types > 0 {
        put("type", format!("{} of another type", units::count(s.types)));
    }
    if s.metadata > 0 {
        put("metadata", format!("{} of the same content", units::count(s.metadata)));
    }
    if s.unknown > 0 {
        put("unknown", format!("{} that may have changed", units::counted(s.unknown, "secret file")));
    }
    text
}

fn counted(counts: Counts) -> String {
    let mut kinds = vec![units::counted(counts.files, "file")];
    if counts.directories > 0 {
        kinds.push(units::counted(counts.directories, "folder"));
    }
    if counts.others > 0 {
        kinds.push(format!("{} others", units::count(counts.others)));
    }
    kinds.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::snapshot::diff::entry::Aspect;

    #[test]
    fn lines_as_people_read_them() {
        let entries = test_data::entries();
        let [(folder_path, folder), (env_path, env), (link_path, link), _] = &entries[..] else { panic!("four") };
        let of = |path, change, before, after| Difference {
            path,
            change,
            before,
            after,
            metadata: vec![],
            variables_added: vec![],
            variables_removed: vec![],
        };
        let mut changed = of(env_path, Change::Content, Some(env), Some(env));
        changed.metadata = vec![Aspect::Mode, Aspect::Owner];
        (changed.variables_added, changed.variables_removed) = (vec!["A".into(), "B".into()], vec!["C\u{7}".into()]);
        let all = [
            of(folder_path, Change::Added, None, Some(folder)),
            of(link_path, Change::Removed, Some(link), None),
            of(env_path, Change::Unknown, Some(env), Some(env)),
            of(folder_path, Change::Type, Some(link), Some(folder)),
            changed,
        ];
        let lines: String = all.iter().map(|difference| line(difference, false)).collect();
        insta::assert_snapshot!(style::plain(&lines), @r"
        + /srv/app/
        - /srv/app/a\nb
        ? /srv/app/.env (secret: may have changed)
        T /srv/app/
        M /srv/app/.env (sets A, B; no longer sets C\x07)
        ");
        let last = line(all.last().unwrap(), true);
        assert_eq!(style::plain(&last), "M /srv/app/.env (sets A, B; no longer sets C\\x07; mode, owner)\n");
    }

    #[test]
    fn the_total() {
        let nothing = total(&Summary::default());
        let summary = Summary {
            added: Counts { files: 1200, directories: 3, others: 2 },
            changed: Counts { files: 1, directories: 0, others: 0 },
            unknown: 1,
            metadata: 4,
            types: 1,
            bytes_added: 1 << 20,
            bytes_before: 1000,
            bytes_after: 2 << 10,
            ..Summary::default()
        };
        insta::assert_snapshot!(style::plain(&(nothing + &total(&summary))), @r"

        added    0 files, 0 B
        removed  0 files, 0 B
        changed  0 files, 0 B → 0 B

        added    1 200 files, 3 folders, 2 others, 1.0 MiB
        removed  0 files, 0 B
        changed  1 file, 1000 B → 2.0 KiB
        type     1 of another type
        metadata 4 of the same content
        unknown  1 secret file that may have changed
        ");
    }
}
