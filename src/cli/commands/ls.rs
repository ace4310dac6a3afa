//! `ls`: the files of a snapshot.

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, resolve};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::{style, units};
use crate::snapshot::browse::list_entries;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::{SafePath, escape_name};
use clap::Args;
use jiff::tz::TimeZone;
use std::ops::ControlFlow;

/// List the files of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "\
Names are escaped (\\n, \\x1b, \\\\); --json gives them as they are.

Examples:
  nightsafe ls latest:/srv/app -l
  nightsafe ls x8k2m4qp -R")]
pub struct LsArgs {
    /// The snapshot, and the folder in it
    #[arg(value_name = "SNAP[:/PATH]")]
    snapshot: String,
    /// Show type, mode, owner, size and time
    #[arg(short, long)]
    long: bool,
    /// Go into folders
    #[arg(short = 'R', long)]
    recursive: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Lists them.
pub fn ls(args: LsArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let all = context.snapshots(&open.repo)?;
    let (snapshot, path) = resolve(&all, &args.snapshot, args.filter)?;
    let ui = context.ui;
    let mut failed = None;
    list_entries(&open.repo, snapshot, path.as_ref(), args.recursive, &mut |path, entry| {
        let shown = if ui.is_json() {
            ui.json_of_many(&json::Entry::new(path, entry))
        } else {
            ui.print(&if args.long { long(path, entry, ui.zone()) } else { short(path, entry) })
        };
        failed = shown.err();
        if failed.is_some() || ui.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(Exit::Done), Err)
}

fn short(path: &SafePath, entry: &Entry) -> String {
    let mark = if entry.kind == EntryType::Directory { "/" } else { "" };
    format!("{path}{mark}\n")
}

/// A line as `ls -l` has it; secret files carry a mark.
fn long(path: &SafePath, entry: &Entry, zone: &TimeZone) -> String {
    let name = |name: &Option<Vec<u8>>, id: u32| name.as_deref().map_or_else(|| id.to_string(), escape_name);
    let size = match (entry.device, entry.kind, entry.size) {
        (Some((major, minor)), ..) => format!("{major}, {minor}"),
        (_, EntryType::File, Some(size)) => size.to_string(),
        _ => "-".to_owned(),
    };
    let target = entry.target.as_deref().map(|target| format!(" -> {}", escape_name(target))).unwrap_or_default();
    let secret = if entry.is_secret() { style::paint(style::WARNING, " (secret)") } else { String::new() };
    format!(
        "{} {:<8} {:<8} {:>12} {} {path}{target}{secret}\n",
        mode(entry),
        name(&entry.user, entry.uid),
        name(&entry.group, entry.gid),
        size,
        units::time(entry.mtime, zone),
    )
}

/// Type and permissions in ten letters.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryType::File => '-',
        EntryType::Directory => 'd',
        EntryType::Symlink => 'l',
        EntryType::Fifo => 'p',
        EntryType::Socket => 's',
        EntryType::CharacterDevice => 'c',
        EntryType::BlockDevice => 'b',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn lines_like_those_of_ls() {
        let lines: String =
            test_data::entries().iter().map(|(path, entry)| long(path, entry, &TimeZone::UTC)).collect();
        insta::assert_snapshot!(style::plain(&lines), @r"
        drwxr-xr-x 0        0                   - 2026-11-20 12:05 /srv/app
        -rw------- root     www-data      1234567 1970-01-01 00:00 /srv/app/.env (secret)
        lrwxrwxrwx 1000     0                   - 1970-01-01 00:00 /srv/app/a\nb -> /\xff
        c--------- 0        0                1, 3 1970-01-01 00:00 /dev/null
        ");
        let lines: String = test_data::entries().iter().map(|(path, entry)| short(path, entry)).collect();
        insta::assert_snapshot!(lines, @r"
        /srv/app/
        /srv/app/.env
        /srv/app/a\nb
        /dev/null
        ");
    }

    #[test]
    fn modes() {
        let shown = |kind, bits| {
            let mut entry = Entry::new("x", kind);
            entry.mode = bits;
            mode(&entry)
        };
        assert_eq!(shown(EntryType::File, 0o644), "-rw-r--r--");
        assert_eq!(shown(EntryType::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(shown(EntryType::File, 0o7000), "---S--S--T");
        assert_eq!(shown(EntryType::File, 0o6755), "-rwsr-sr-x");
    }
}
