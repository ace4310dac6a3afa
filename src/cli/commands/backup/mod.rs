//! `backup`: files, folders and databases into the repository.

mod app;
mod postgres;
mod stream;
mod summary;

use postgres::PostgresArgs;
use stream::StreamArgs;
pub use summary::{besides, render_first_problems, render_problems, shown_time};

use crate::cli::commands::Context;
use crate::cli::config::Period;
use crate::cli::error::{CliError, Exit};
use crate::cli::ui::units;
use crate::cli::{json, settings};
use crate::repo::repository::AnyRepo;
use crate::repo::store::url::StoreUrl;
use crate::snapshot::backup::{self as library, BackupOptions, FilesSource};
use crate::snapshot::checkpoint::Cadence;
use crate::snapshot::manifest::State;
use crate::snapshot::source::excludes::ExcludeOptions;
use clap::Args;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How many problems are listed.
const LISTED: usize = 20;

/// What is left of an interrupted run.
const KEPT: &str =
    "nothing in the repository is damaged; what was stored so far is kept, and the next run goes on from it";

/// Back up files, folders and databases
#[derive(Debug, Args)]
#[command(after_help = "\
A path is stored as it is absolute: /srv/app comes back as TARGET/srv/app. Patterns are those of .gitignore.
What can't be captured as it should makes the snapshot incomplete: exit code 3. Passwords of databases come from
PGPASSWORD, PGPASSFILE, service files or the container's environment.

Examples:
  nightsafe backup /srv/app --app wiki --postgres postgres://wiki@db/wiki
  nightsafe backup --app wiki --postgres '' --postgres-via 'docker exec -i db'")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct BackupArgs {
    /// What to back up
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "urls", "app", "stdin", "stdin_filename"])]
    paths: Vec<PathBuf>,
    /// Also back up the paths in this file, one a line; `-`: standard input
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    files_from: Option<PathBuf>,
    /// Store the only path as this, without its parents
    #[arg(long = "as", value_name = "NAME", conflicts_with = "files_from")]
    rename: Option<String>,
    /// The application that this belongs to; alone: all that it has in nightsafe.toml
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The host's name, if not this one's
    #[arg(long, short = 'H', value_name = "HOST", hide_short_help = true)]
    host: Option<String>,
    /// A tag for the snapshot; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// The snapshot's time, if not now: `2026-11-20 03:30`
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    time: Option<String>,
    /// Leave out what matches; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Leave out what matches the patterns in this file
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    exclude_file: Vec<PathBuf>,
    /// Leave out folders marked by a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out files larger than this: `500M`, `2G`
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, hide_short_help = true)]
    exclude_larger_than: Option<u64>,
    /// Leave out folders that hold a file of this name
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    exclude_if_present: Vec<String>,
    /// Don't go into other file systems
    #[arg(long, short = 'x')]
    one_file_system: bool,
    /// Treat what matches as secret, as .env files are
    #[arg(long, value_name = "PATTERN", hide_short_help = true)]
    secret: Vec<String>,
    /// Store ZIP, gzip and compressed dumps as they are
    #[arg(long, hide_short_help = true)]
    no_expand: bool,
    /// How often a long backup makes what it has done so far a snapshot, `never` for not at all
    #[arg(long, value_name = "TIME", default_value = "45min", hide = true)]
    checkpoint: Interval,
    /// Read everything and store nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    postgres: PostgresArgs,
}

/// A length of time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval(Option<Duration>);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self(None)),
            text => text.parse::<Period>().map(|period| Self(Some(Duration::from_secs(period.seconds())))),
        }
    }
}

impl BackupArgs {
    /// The application whose sources are meant, because nothing else is named.
    fn app_alone(&self) -> Option<&str> {
        let is_nothing = self.postgres.is_empty() && self.stream.is_empty();
        let nothing_else = self.paths.is_empty() && self.files_from.is_none() && is_nothing;
        self.app.as_deref().filter(|_| nothing_else)
    }

    fn options(self, context: &Context) -> Result<BackupOptions, CliError> {
        let mut paths = self.paths;
        if self.stream.reads_stdin() && self.files_from.as_deref() == Some(Path::new("-")) {
            return Err(CliError::usage("standard input can't be a list of paths and what is backed up"));
        }
        let streams = self.stream.sources(&mut paths, (self.no_expand, &self.secret), context)?;
        if let Some(file) = &self.files_from {
            paths.extend(read_paths(file)?);
        }
        if paths.is_empty() && self.files_from.is_some() && self.postgres.is_empty() && streams.is_empty() {
            return Err(CliError::usage("there is nothing to back up: the list of paths is empty"));
        }
        for path in &mut paths {
            *path = std::path::absolute(&*path)
                .map_err(|error| CliError::failed(format!("{}: no absolute path", path.display()), &error))?;
        }
        if self.rename.is_some() && paths.is_empty() {
            return Err(CliError::usage("--as names a path, and none is given"));
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
        let files = FilesSource {
            name: self.rename,
            folder: None,
            paths,
            excludes: ExcludeOptions {
                patterns: self.exclude,
                pattern_files: self.exclude_file,
                caches: self.exclude_caches,
                one_file_system: self.one_file_system,
                larger_than: self.exclude_larger_than,
                if_present: self.exclude_if_present,
                repository: None,
            },
            secrets: self.secret,
            kind: None,
            no_expand: self.no_expand,
            sidecar: None,
        };
        Ok(BackupOptions {
            files: Some(files).filter(|files| !files.paths.is_empty()).into_iter().collect(),
            databases: self.postgres.sources(context)?,
            streams,
            application: None,
            app: self.app,
            host: self.host.unwrap_or_else(settings::host),
            tags: self.tags,
            time,
            zone: context.zone.to_owned(),
            user: settings::user(),
            no_cache: context.settings.no_cache,
            dry_run: self.dry_run,
            checkpoints: Cadence { every: self.checkpoint.0, ..Cadence::default() },
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
    let Some(name) = args.app_alone().map(str::to_owned) else {
        return into_repository(&args.options(context)?, context);
    };
    let none = || {
        CliError::usage(format!("what belongs to the app {name}?"))
            .hint("name paths or databases, or describe the app in nightsafe.toml")
    };
    let config = context.settings.configuration()?.ok_or_else(none)?;
    let app = config.app(&name).ok_or_else(none)?;
    let settings = context.settings.clone().withholding(&config);
    let context = &Context { settings: &settings, ..*context };
    let mut options = args.options(context)?;
    app::add_sources(app, context, &mut options)?;
    if context.settings.names_repository() {
        return into_repository(&options, context);
    }
    // Each repository gets a snapshot of its own; what fails with one doesn't keep it from the others.
    let mut outcome = Ok(Exit::Done);
    for repository in config.repositories_of(app) {
        context.ui.note(&format!("{name} → {}", repository.name));
        let one = context.settings.choose(repository).and_then(|settings| {
            let context = Context { settings: &settings, ..*context };
            into_repository(&options, &context)
        });
        outcome = match (outcome, one) {
            (Ok(Exit::Done), one) => one,
            (outcome, Ok(_)) => outcome,
            (Ok(_), Err(error)) => Err(error),
            (Err(first), Err(error)) => {
                context.ui.error(&error);
                Err(first)
            }
        };
        if context.signals.interrupted() {
            break;
        }
    }
    outcome
}

/// Backs up into the repository that the settings name.
fn into_repository(options: &BackupOptions, context: &Context) -> Result<Exit, CliError> {
    let mut options = options.clone();
    let folder = StoreUrl::parse(context.settings.repository()?)?.folder_here();
    options.files.iter_mut().for_each(|files| files.excludes.repository.clone_from(&folder));
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
        ui.say(&summary::render_summary(&summary, options.dry_run))?;
    }
    Ok(if summary.state == State::Complete { Exit::Done } else { Exit::Incomplete })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_checkpoints_are_taken() {
        assert_eq!("45min".parse(), Ok(Interval(Some(crate::snapshot::checkpoint::EVERY))), "the default of both");
        assert_eq!("never".parse(), Ok(Interval(None)));
        assert!("0".parse::<Interval>().is_err());
    }

    #[test]
    fn lists_of_paths_are_lines_of_bytes() {
        let paths = lines(b"/a b\n\n/\xff\r\n/c");
        assert!(paths.iter().map(|path| path.as_os_str().as_bytes()).eq([&b"/a b"[..], b"/\xff", b"/c"]));
    }
}
