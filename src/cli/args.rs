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

/// Nightly, deduplicated, sealed backups of self-hosted applications, and their way back onto a new host
#[derive(Debug, Parser)]
#[command(name = "nightsafe", version, after_help = ABOUT_ENVIRONMENT, max_term_width = 110)]
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
    /// The repository: a folder, a URL as s3:BUCKET/FOLDER, or a configured name
    #[arg(short, long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub repo: Option<String>,
    /// The configuration file; else ./nightsafe.toml or that of /etc/nightsafe
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,
    /// An option of the storage that isn't secret, such as region=eu-1
    #[arg(short = 'o', long = "option", global = true, value_name = "KEY=VALUE", help_heading = GLOBAL)]
    pub options: Vec<String>,
    /// Read the password from a file
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub password_file: Option<PathBuf>,
    /// Read the password from what a shell command prints
    #[arg(long, global = true, value_name = "COMMAND", help_heading = GLOBAL)]
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
    /// Write one file of a snapshot, or rows of a table, to standard output
    Dump(dump::DumpArgs),
    /// Restore a snapshot, or a part of it, into a folder; or a database into a server
    Restore(restore::RestoreArgs),
    /// Forget snapshots by rules, or by name; their data stays until it is pruned
    Forget(forget::ForgetArgs),
    /// Add tags to snapshots, or take them away
    Tag(tag::TagArgs),
    /// Protect snapshots from being forgotten
    Protect(protect::ProtectArgs),
    /// Check that everything is there; with --read-data, that it is intact
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
    /// Only snapshots with this tag; several: with all of them
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

    /// A help is read on a screen; this many lines of 110 characters is one.
    const SCREEN: usize = 60;
    /// The overview also lists variables and exit codes.
    const OVERVIEW: usize = 65;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verbs_help_fits_a_screen_and_shows_two_examples() {
        fn look(command: &mut clap::Command) {
            if command.is_hide_set() || command.get_name() == "help" {
                return;
            }
            let help = command.render_help().to_string();
            let name = command.get_name().to_owned();
            assert!(help.lines().count() <= SCREEN, "{name}: {} lines", help.lines().count());
            assert!(help.lines().all(|line| line.chars().count() <= 110), "{name}: {help}");
            if !command.has_subcommands() {
                let examples = help.split("Examples:").nth(1).unwrap_or_default();
                let count = examples.lines().filter(|line| line.trim_start().starts_with("nightsafe ")).count();
                assert_eq!(count, 2, "{name}");
            }
            command.get_subcommands_mut().for_each(look);
        }
        let mut cli = Cli::command().term_width(110);
        cli.build();
        cli.get_subcommands_mut().for_each(look);
        assert!(cli.render_help().to_string().lines().count() <= OVERVIEW);
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

    fn help(verb: Option<&str>) -> String {
        let mut cli = Cli::command().term_width(110);
        cli.build();
        let shown =
            verb.map_or(Some(&mut cli.clone()), |verb| cli.find_subcommand_mut(verb)).map(clap::Command::render_help);
        shown.expect("a verb").to_string()
    }

    #[test]
    fn the_overview() {
        insta::assert_snapshot!(help(None), @r"
        Nightly, deduplicated, sealed backups of self-hosted applications, and their way back onto a new host

        Usage: nightsafe [OPTIONS] <COMMAND>

        Commands:
          init         Make a new repository
          backup       Back up files, folders and databases
          snapshots    List the snapshots
          show         Show what a snapshot says about itself
          ls           List the files of a snapshot
          diff         Show what differs between two snapshots
          dump         Write one file of a snapshot, or rows of a table, to standard output
          restore      Restore a snapshot, or a part of it, into a folder; or a database into a server
          forget       Forget snapshots by rules, or by name; their data stays until it is pruned
          tag          Add tags to snapshots, or take them away
          protect      Protect snapshots from being forgotten
          check        Check that everything is there; with --read-data, that it is intact
          prune        Remove what no snapshot needs any more
          repair       Repair what is damaged, as far as that is possible
          key          Manage the passwords and key files that open the repository
          config       Check or show the configuration file
          completions  Print the completions for a shell
          man          Print the manual page, or write all of them
          help         Print this message or the help of the given subcommand(s)

        Options:
          -h, --help     Print help
          -V, --version  Print version

        Options of every verb:
          -r, --repo <URL>                  The repository: a folder, a URL as s3:BUCKET/FOLDER, or a configured name
              --config <FILE>               The configuration file; else ./nightsafe.toml or that of /etc/nightsafe
          -o, --option <KEY=VALUE>          An option of the storage that isn't secret, such as region=eu-1
              --password-file <FILE>        Read the password from a file
              --password-command <COMMAND>  Read the password from what a shell command prints
              --key-file <FILE>             Use a key file instead of a password
              --cache-dir <DIR>             Where caches go
              --no-cache                    Use no caches of earlier runs, and keep none
              --json                        Write JSON: docs/json.md
          -q, --quiet                       Say nothing on success
          -v, --verbose...                  Name each new or changed entry; twice: every entry

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
          nightsafe restore -r /mnt/backup/night latest --target /srv/restored
        ");
    }

    #[test]
    fn the_help_of_backup() {
        insta::assert_snapshot!(help(Some("backup")), @r"
        Back up files, folders and databases

        Usage: nightsafe backup [OPTIONS] [PATH]...

        Arguments:
          [PATH]...  What to back up

        Options:
              --files-from <FILE>             Also back up the paths in this file, one a line; `-`: standard input
              --as <NAME>                     Store the only path under this name, without its parents
              --app <APP>                     The application that this belongs to; alone: all that it has in
                                              nightsafe.toml
          -H, --host <HOST>                   The host's name, if not this one's
              --tag <TAG>                     A tag for the snapshot; may be repeated
              --time <TIME>                   The snapshot's time, if not now: `2026-11-20 03:30`
          -e, --exclude <PATTERN>             Leave out what matches; may be repeated
              --exclude-file <FILE>           Leave out what matches the patterns in this file
              --exclude-caches                Leave out folders that a CACHEDIR.TAG marks as caches
              --exclude-larger-than <SIZE>    Leave out files larger than this: `500M`, `2G`
              --exclude-if-present <NAME>     Leave out folders that hold a file of this name
          -x, --one-file-system               Don't go into other file systems
              --secret <PATTERN>              Treat what matches as secret, as .env files are
              --no-expand                     Store ZIP, gzip and compressed dumps as they are
          -n, --dry-run                       Read everything and store nothing
              --stdin [<NAME>]                Also back up standard input, as /stdin/NAME
              --stdin-from-command            Instead what a command writes that stands in PATH's place, behind `--`
              --postgres <URL>                Back up a live PostgreSQL database, as /db/NAME.dump; may be repeated
              --postgres-via <COMMAND>        Reach it by a command: 'docker exec -i CONTAINER'
              --all-databases                 Back up every database of the server
              --schema <SCHEMA>               Only this schema; may be repeated
              --exclude-table-data <PATTERN>  Leave out the rows of matching tables; may be repeated
              --no-globals                    Leave out roles and what they're granted
          -h, --help                          Print help

        Options of every verb:
          -r, --repo <URL>                  The repository: a folder, a URL as s3:BUCKET/FOLDER, or a configured name
              --config <FILE>               The configuration file; else ./nightsafe.toml or that of /etc/nightsafe
          -o, --option <KEY=VALUE>          An option of the storage that isn't secret, such as region=eu-1
              --password-file <FILE>        Read the password from a file
              --password-command <COMMAND>  Read the password from what a shell command prints
              --key-file <FILE>             Use a key file instead of a password
              --cache-dir <DIR>             Where caches go
              --no-cache                    Use no caches of earlier runs, and keep none
              --json                        Write JSON: docs/json.md
          -q, --quiet                       Say nothing on success
          -v, --verbose...                  Name each new or changed entry; twice: every entry

        A path is stored as it is absolute: /srv/app comes back as TARGET/srv/app. Patterns are those of .gitignore.
        What can't be captured as it should makes the snapshot incomplete: exit code 3. Passwords of databases come
        from
        PGPASSWORD, PGPASSFILE, service files or the container's environment.

        Examples:
          nightsafe backup /srv/app --app wiki --postgres postgres://wiki@localhost/wiki
          nightsafe backup --postgres '' --postgres-via 'docker exec -i wiki-db-1' --app wiki
        ");
    }

    #[test]
    fn the_help_of_restore() {
        insta::assert_snapshot!(help(Some("restore")), @r"
        Restore a snapshot, or a part of it, into a folder; or a database into a server

        Usage: nightsafe restore [OPTIONS] <SNAP[:/PATH]>

        Arguments:
          <SNAP[:/PATH]>  The snapshot, and the folder or file in it

        Options:
          -t, --target <DIR>      Where to: an empty or new folder, or one where this restore was interrupted
              --into-existing     Restore into a folder that holds something; files that exist stay as they are
              --overwrite <WHEN>  Replace those: never, if-changed, if-newer, always; implies --into-existing
              --delete            Delete what the snapshot doesn't hold; look at --dry-run first
              --owner <WHOSE>     Whose files become: numbers (as recorded), names (as they are here), keep (yours)
              --setuid            Restore setuid and setgid bits of files
              --special           Restore pipes, sockets and devices
              --security-xattrs   Restore security.* and trusted.* attributes: capabilities, labels
              --app <APP>         Only snapshots of this app
          -H, --host <HOST>       Only snapshots of this host
              --tag <TAG>         Only snapshots with this tag; several: with all of them
          -n, --dry-run           Show what would be done, and what forbids it
          -h, --help              Print help

        Databases:
              --postgres <URL>          Into this database (`postgres://USER@HOST/NAME`); '': that of the container
              --postgres-via <COMMAND>  Reach it by a command: 'docker exec -i CONTAINER'
              --database <NAME>         Which database of several in the snapshot
              --replace                 Replace a database that holds rows; it keeps existing under a dated name
              --allow-incomplete        Replace it (with --delete: delete) also by what may not be all that there was
              --disconnect              End the sessions of others with the database that is replaced
          -j, --jobs <N>                Restore with so many jobs, from a file without a name in TMPDIR
              --no-owner                Leave all objects to the user that connects
              --no-acl                  Don't restore rights
              --role <ROLE>             Restore as this role
              --schema <SCHEMA>         Only this schema; may be repeated
              --default-locale          Take the server's collation, if it doesn't know the original one
              --env <FILE>              An environment file of the application, whose keys are compared
              --app-version <VERSION>   The version of the application that will run
              --allow-ledger-mismatch   Restore although the migrations don't fit
              --allow-key-mismatch      Restore although keys are missing or differ

        Options of every verb:
          -r, --repo <URL>                  The repository: a folder, a URL as s3:BUCKET/FOLDER, or a configured name
              --config <FILE>               The configuration file; else ./nightsafe.toml or that of /etc/nightsafe
          -o, --option <KEY=VALUE>          An option of the storage that isn't secret, such as region=eu-1
              --password-file <FILE>        Read the password from a file
              --password-command <COMMAND>  Read the password from what a shell command prints
              --key-file <FILE>             Use a key file instead of a password
              --cache-dir <DIR>             Where caches go
              --no-cache                    Use no caches of earlier runs, and keep none
              --json                        Write JSON: docs/json.md
          -q, --quiet                       Say nothing on success
          -v, --verbose...                  Name each new or changed entry; twice: every entry

        Of SNAP:/PATH the contents go into DIR. A folder that holds something is refused (exit code 4) without
        --into-existing, and even then nothing is written over or deleted unless --overwrite or --delete says so.

        Examples:
          nightsafe restore latest:wiki:/srv/app/uploads -t /srv/app/uploads
          nightsafe restore latest:wiki --postgres postgres://wiki@localhost/wiki --env /srv/wiki/.env
        ");
    }
}
