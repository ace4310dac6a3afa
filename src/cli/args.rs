//! The command line: verbs and options. The doc comments are the help.

use crate::cli::commands::{
    backup, check, config, diff, dump, forget, generate, init, key, ls, protect, prune, repair, restore, show,
    snapshots, tag,
};
use crate::cli::ui::Verbosity;
use crate::repo::id::RepositoryId;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

/// Heading in the help of the options that every verb has.
const GLOBAL: &str = "Options of every verb";

/// What `nightsafe --help` says below the options.
const ABOUT_ENVIRONMENT: &str = "\
Environment (an option wins over a variable):
  NIGHTSAFE_REPOSITORY        the repository, as -r
  NIGHTSAFE_CONFIG            as --config
  NIGHTSAFE_PASSWORD          the password itself; or one of the following:
  NIGHTSAFE_PASSWORD_FILE     as --password-file
  NIGHTSAFE_PASSWORD_COMMAND  as --password-command
  NIGHTSAFE_KEY_FILE          as --key-file
  NIGHTSAFE_STORE_<OPTION>    a secret option of the storage: secret_access_key, …
  NIGHTSAFE_CACHE_DIR         as --cache-dir; else $XDG_CACHE_HOME/nightsafe or ~/.cache/nightsafe
  NIGHTSAFE_STATE_DIR         where known repositories are remembered; else ~/.local/state/nightsafe
  NO_COLOR                    no colours
Without a variable the password comes from the systemd credential `nightsafe`,
without that from a question on the terminal.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done but incomplete;
4 refused by a safety check; 10 no repository; 11 another run holds this app;
12 wrong password or key; 130 interrupted.

Examples:
  nightsafe init -r /mnt/backup/night
  nightsafe backup -r /mnt/backup/night /srv/app
  nightsafe restore -r /mnt/backup/night latest --target /srv/restored";

/// Nightly, deduplicated, sealed backups of applications, and their way back
#[derive(Debug, Parser)]
#[command(name = "nightsafe", version, after_help = ABOUT_ENVIRONMENT)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every verb.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// A folder, s3:BUCKET/FOLDER, or a configured name
    #[arg(short, long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub repo: Option<String>,
    /// Else ./nightsafe.toml or that of /etc/nightsafe
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,
    /// An option of the storage, not secret: region=eu-1
    #[arg(short = 'o', long = "option", global = true, value_name = "KEY=VALUE", help_heading = GLOBAL)]
    pub options: Vec<String>,
    /// Read the password from a file
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub password_file: Option<PathBuf>,
    /// Read the password from what a shell command prints
    #[arg(long, global = true, value_name = "CMD", help_heading = GLOBAL)]
    pub password_command: Option<String>,
    /// Use a key file instead of a password
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub key_file: Option<PathBuf>,
    /// Where caches go
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub cache_dir: Option<PathBuf>,
    /// Use no caches of earlier runs, and keep none
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub no_cache: bool,
    // Hidden: the message of the refusal that it overrides names it.
    /// Take the repository with this id, as it is now, for the right one
    #[arg(long, global = true, value_name = "ID", hide = true, help_heading = GLOBAL)]
    pub accept_repository: Option<RepositoryId>,
    /// Write JSON: docs/json.md
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Say nothing on success
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub quiet: bool,
    /// Name each new or changed entry; twice: every entry
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
}

impl GlobalArgs {
    /// How much is to be said.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verbose,
            _ => Verbosity::Everything,
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository
    Init(init::InitArgs),
    /// Back up files, folders and databases
    Backup(backup::BackupArgs),
    /// List the snapshots
    Snapshots(snapshots::SnapshotsArgs),
    /// Show what a snapshot says about itself
    Show(show::ShowArgs),
    /// List the files of a snapshot
    Ls(ls::LsArgs),
    /// Show what differs between two snapshots
    Diff(diff::DiffArgs),
    /// Write a file of a snapshot or rows of a table to standard output
    Dump(dump::DumpArgs),
    /// Restore a snapshot or a part of it, or a database into a server
    Restore(restore::RestoreArgs),
    /// Forget snapshots by rules or by name; `prune` then makes room
    Forget(forget::ForgetArgs),
    /// Add tags to snapshots, or take them away
    Tag(tag::TagArgs),
    /// Protect snapshots from being forgotten
    Protect(protect::ProtectArgs),
    /// Check that all is there; with --read-data, that it is intact
    Check(check::CheckArgs),
    /// Remove what no snapshot needs any more
    Prune(prune::PruneArgs),
    /// Repair what is damaged, as far as that is possible
    Repair(repair::RepairArgs),
    /// Manage the passwords and key files that open the repository
    Key(key::KeyArgs),
    /// Check or show the configuration file
    Config(config::ConfigArgs),
    /// Print the completions for a shell
    Completions(generate::CompletionsArgs),
    /// Print the manual page, or write all of them
    Man(generate::ManArgs),
    /// Answer users of restic: there are no locks
    #[command(hide = true)]
    Unlock,
}

impl Command {
    /// Whether a repository is needed, so that the configuration is asked which one.
    pub fn uses_repository(&self) -> bool {
        !matches!(self, Self::Config(_) | Self::Completions(_) | Self::Man(_) | Self::Unlock)
    }
}

/// Which snapshots `latest` or a list is about.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// Only snapshots of this app
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// Only snapshots of this host
    #[arg(long, short = 'H', value_name = "HOST")]
    pub host: Option<String>,
    /// Only those with this tag; several: with all
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
}

impl From<FilterArgs> for crate::snapshot::snapshots::Filter {
    fn from(args: FilterArgs) -> Self {
        Self { app: args.app, host: args.host, tags: args.tags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn spellings_of_restic_are_understood() {
        for line in [
            "nightsafe check --read-data-subset=5%",
            "nightsafe dump latest /etc/hosts",
            "nightsafe backup -n -x /srv -r /mnt/night",
            "nightsafe restore latest:/etc -t /tmp/x --host a --tag b",
            "nightsafe restore latest -t /tmp/x --overwrite if-changed -n --setuid --special --security-xattrs --owner names",
            "nightsafe restore latest -t /tmp/x --into-existing --delete --allow-incomplete --dry-run",
            "nightsafe -r /mnt/night snapshots",
            "nightsafe unlock",
            "nightsafe key passwd",
            "nightsafe forget -n --keep-daily 7 --keep-within-weekly 1y2m3d4h --keep-tag a,b --keep-last unlimited",
            "nightsafe tag --set a latest --host b",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "nightsafe",
            "nightsafe forget --keep-daily -1",
            "nightsafe forget --keep-within 1x",
            "nightsafe forget --keep-fortnightly 1",
            "nightsafe forget --keep-daily 1 --timezone Mars/Base",
            "nightsafe forget --keep-daily 1 --group-by moon",
            "nightsafe tag latest --set a --add b",
            "nightsafe backup",
            "nightsafe restore latest",
            "nightsafe restore latest -t /tmp/x --delete",
            "nightsafe restore latest -t /tmp/x --overwrite always --delete",
            "nightsafe restore latest -t /tmp/x --overwrite perhaps",
            "nightsafe restore latest --postgres x --into-existing",
            "nightsafe -q -v snapshots",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
