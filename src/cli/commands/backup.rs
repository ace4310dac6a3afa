//! `backup`: files and folders into the repository.

use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::ui::{style, units};
use crate::cli::{json, settings};
use crate::repo::repository::AnyRepo;
use crate::snapshot::backup::{self as library, BackupOptions, BackupSummary};
use crate::snapshot::manifest::State;
use crate::snapshot::source::excludes::ExcludeOptions;
use crate::snapshot::tree::problem::Problem;
use clap::Args;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How many problems are listed.
const LISTED: usize = 20;

/// What is left of an interrupted run.
const KEPT: &str =
    "nothing in the repository is damaged; what was stored so far is kept, and the next run goes on from it";

/// Back up files and folders
#[derive(Debug, Args)]
#[command(after_help = "\
A path is stored as it is absolute: /srv/app comes back as TARGET/srv/app. Patterns are those of .gitignore.
A file that can't be read, changes meanwhile or vanishes makes the snapshot incomplete: exit code 3.

Examples:
  nightsafe backup /srv/app --app wiki --exclude '*.tmp'
  nightsafe backup -x / --exclude-file /etc/nightsafe.exclude --exclude-caches")]
pub struct BackupArgs {
    /// What to back up
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    paths: Vec<PathBuf>,
    /// Also back up the paths in this file, one a line; `-`: standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Store the only path under this name, without its parents
    #[arg(long = "as", value_name = "NAME", conflicts_with = "files_from")]
    rename: Option<String>,
    /// The application that this belongs to
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The host's name, if not this one's
    #[arg(long, short = 'H', value_name = "HOST")]
    host: Option<String>,
    /// A tag for the snapshot; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The snapshot's time, if not now: `2026-11-20 03:30`
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Leave out what matches; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Leave out what matches the patterns in this file
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Leave out folders that a CACHEDIR.TAG marks as caches
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out files larger than this: `500M`, `2G`
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    exclude_larger_than: Option<u64>,
    /// Leave out folders that hold a file of this name
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<String>,
    /// Don't go into other file systems
    #[arg(long, short = 'x')]
    one_file_system: bool,
    /// Treat what matches as secret, as .env files are
    #[arg(long, value_name = "PATTERN")]
    secret: Vec<String>,
    /// Read everything and store nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl BackupArgs {
    fn options(self, context: &Context) -> Result<BackupOptions, CliError> {
        let mut paths = self.paths;
        if let Some(file) = &self.files_from {
            paths.extend(read_paths(file)?);
        }
        if paths.is_empty() {
            return Err(CliError::usage("there is nothing to back up: the list of paths is empty"));
        }
        for path in &mut paths {
            *path = std::path::absolute(&*path)
                .map_err(|error| CliError::failed(format!("{}: no absolute path", path.display()), &error))?;
        }
        if self.rename.is_some() && paths.len() > 1 {
            return Err(CliError::usage("--as names one path, and several are given").hint("back them up one by one"));
        }
        let wrong_time =
            |text: &str| CliError::usage(format!("{text}: not a time")).hint("write it as 2026-11-20 03:30");
        let time = match &self.time {
            Some(text) => Some(units::parse_time(text, context.ui.zone()).ok_or_else(|| wrong_time(text))?),
            None => None,
        };
        Ok(BackupOptions {
            paths,
            rename: self.rename,
            app: self.app,
            host: self.host.unwrap_or_else(settings::host),
            tags: self.tags,
            time,
            zone: context.zone.to_owned(),
            user: settings::user(),
            excludes: ExcludeOptions {
                patterns: self.exclude,
                pattern_files: self.exclude_file,
                caches: self.exclude_caches,
                one_file_system: self.one_file_system,
                larger_than: self.exclude_larger_than,
                if_present: self.exclude_if_present,
            },
            secrets: self.secret,
            no_cache: context.settings.no_cache,
            dry_run: self.dry_run,
        })
    }
}

/// The paths in a file, one a line; empty lines don't count.
fn read_paths(file: &Path) -> Result<Vec<PathBuf>, CliError> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| CliError::file(file, &error))?;
    Ok(lines(&bytes))
}

fn lines(bytes: &[u8]) -> Vec<PathBuf> {
    let line = |line: &[u8]| PathBuf::from(OsString::from_vec(line.strip_suffix(b"\r").unwrap_or(line).to_vec()));
    bytes.split(|&byte| byte == b'\n').map(line).filter(|path| !path.as_os_str().as_bytes().is_empty()).collect()
}

/// Backs up.
pub fn backup(args: BackupArgs, context: &Context) -> Result<Exit, CliError> {
    let options = args.options(context)?;
    let open = context.open()?;
    let result = context.watched(|monitor| match &open.repo {
        AnyRepo::Full(repo) => library::backup(repo, &options, monitor),
        AnyRepo::WriteOnly(repo) => library::backup(repo, &options, monitor),
    });
    let summary = context.ended(result, KEPT)?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&json::Backup::new(&summary, options.dry_run))?;
    } else {
        if !summary.problems.is_empty() {
            let id = summary.snapshot.map(json::short_id);
            ui.tell(&render_problems(&summary.problems, LISTED, id.as_deref()));
        }
        ui.say(&render_summary(&summary, options.dry_run))?;
    }
    Ok(if summary.state == State::Complete { Exit::Done } else { Exit::Incomplete })
}

/// Problems, the first `most` of them; the snapshot `id` holds the rest.
pub fn render_problems(problems: &[Problem], most: usize, id: Option<&str>) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(most) {
        let lead = style::paint(style::WARNING, "problem:");
        writeln!(text, "{lead} {problem}").expect("writing to a String can't fail");
    }
    if let Some(more) = problems.len().checked_sub(most).filter(|&more| more > 0) {
        let rest = id.map(|id| format!(": nightsafe show {id} --problems")).unwrap_or_default();
        writeln!(text, "and {} more{rest}", units::count(more as u64)).expect("writing to a String can't fail");
    }
    text
}

/// The closing words.
fn render_summary(summary: &BackupSummary, dry_run: bool) -> String {
    let s = &summary.statistics;
    let added = if dry_run { "would be stored" } else { "stored" };
    let mut rows = vec![
        (
            "files",
            format!(
                "{} new, {} changed, {} unmodified; {} in {}",
                units::count(s.files_new),
                units::count(s.files_changed),
                units::count(s.files_unmodified),
                units::size(s.bytes),
                units::counted(s.files, "file"),
            ),
        ),
        ("besides", besides(s.directories, s.others)),
        (
            "added",
            format!(
                "{} of new data, {} {added} in {}",
                units::size(s.raw_added),
                units::size(s.stored_added),
                units::counted(s.packs_added, "pack")
            ),
        ),
        (
            "time",
            format!(
                "{}, {} read at {}",
                units::duration(summary.seconds),
                units::size(s.bytes_read),
                units::rate(s.bytes_read, summary.seconds)
            ),
        ),
    ];
    if summary.sources.len() > 1 {
        let sources: Vec<_> =
            summary.sources.iter().map(|source| format!("{} ({})", source.name, json::state(source.state))).collect();
        rows.push(("sources", sources.join(", ")));
    }
    let mut text = String::new();
    for (name, value) in rows {
        writeln!(text, "{name:<9} {value}").expect("writing to a String can't fail");
    }
    text.push_str(&verdict(summary, dry_run));
    text
}

/// What there is besides files.
pub fn besides(directories: u64, others: u64) -> String {
    let folders = units::counted(directories, "folder");
    match others {
        0 => folders,
        1 => format!("{folders}, 1 link or device"),
        _ => format!("{folders}, {} links or devices", units::count(others)),
    }
}

fn verdict(summary: &BackupSummary, dry_run: bool) -> String {
    let problems = units::counted(summary.problems.len() as u64, "problem");
    let (good, what) = match (summary.state, summary.snapshot.map(json::short_id)) {
        (State::Complete, Some(id)) => (true, format!("snapshot {id} is complete")),
        (State::Complete, None) if dry_run => (true, "nothing was stored: a dry run".to_owned()),
        (State::Complete, None) => (true, "nothing was stored".to_owned()),
        (State::Incomplete, Some(id)) => {
            (false, format!("snapshot {id} is incomplete ({problems}): it is kept, and never `latest`"))
        }
        (State::Incomplete, None) => {
            (false, format!("nothing was stored; the snapshot would be incomplete ({problems})"))
        }
    };
    style::paint(if good { style::GOOD } else { style::WARNING }, &what) + "\n"
}

/// A time for tables.
pub fn shown_time(text: &str, zone: &TimeZone) -> String {
    units::parse_time(text, zone).map_or_else(|| text.to_owned(), |time| units::time(time, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn the_closing_words() {
        let mut summary = test_data::backup_summary();
        insta::assert_snapshot!(style::plain(&render_summary(&summary, false)), @r"
        files     12 new, 3 changed, 20 345 unmodified; 2.0 GiB in 20 360 files
        besides   1 205 folders, 3 links or devices
        added     12.2 MiB of new data, 4.1 MiB stored in 2 packs
        time      12 s, 34.1 MiB read at 2.8 MiB/s
        snapshot 954mjja9 is complete
        ");
        summary.state = State::Incomplete;
        summary.problems = test_data::problems(2);
        insta::assert_snapshot!(style::plain(&verdict(&summary, false)), @r"snapshot 954mjja9 is incomplete (2 problems): it is kept, and never `latest`");
        summary.snapshot = None;
        insta::assert_snapshot!(style::plain(&verdict(&summary, true)), @r"nothing was stored; the snapshot would be incomplete (2 problems)");
    }

    #[test]
    fn problems_are_listed_up_to_a_point() {
        let problems = test_data::problems(23);
        let text = style::plain(&render_problems(&problems, LISTED, Some("x8k2m4qp")));
        assert_eq!(text.lines().count(), 21);
        assert!(text.ends_with("and 3 more: nightsafe show x8k2m4qp --problems\n"));
        insta::assert_snapshot!(style::plain(&render_problems(&problems[..2], LISTED, None)), @r"
        problem: /srv/app/file\x1b0: permission denied: open: number 0
        problem: /srv/app/file\x1b1: changed while it was read: open: number 1
        ");
    }

    #[test]
    fn lists_of_paths_are_lines_of_bytes() {
        let paths = lines(b"/a b\n\n/\xff\r\n/c");
        assert!(paths.iter().map(|path| path.as_os_str().as_bytes()).eq([&b"/a b"[..], b"/\xff", b"/c"]));
    }
}
