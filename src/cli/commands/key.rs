//! `key`: the passwords and key files that open the repository.

use crate::cli::commands::init::Kdf;
use crate::cli::commands::recovery::{self, RecoveryArgs};
use crate::cli::commands::{Context, backup::shown_time};
use crate::cli::error::{CliError, Exit};
use crate::cli::settings;
use crate::cli::settings::SecretSource;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style};
use crate::cli::{json, password};
use crate::repo::id::CredentialId;
use crate::repo::keys::Secret;
use crate::repo::repository::CredentialInfo;
use anstyle::Style;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use std::path::PathBuf;

/// How many characters of an id tables show.
const SHORT_ID: usize = 8;

/// Manage the passwords and key files that open the repository
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What there is to do with credentials.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List them
    #[command(after_help = "\
Examples:
  nightsafe key list
  nightsafe key list --json")]
    List,
    /// Add a password or key file
    #[command(after_help = "\
One that only writes is for a host that could be taken over: it backs up, and can't list, restore, forget or prune,
not even what it wrote itself. It deduplicates with its own backups only.

Examples:
  nightsafe key add --label escrow --generate-password /media/password
  nightsafe key add --write-only --label web1 --generate-key /root/web1.key")]
    Add(AddArgs),
    /// Remove one; what it has read is not undone
    #[command(after_help = "\
The last one that can read is never removed, nor the one in use.

Examples:
  nightsafe key remove 3fa81b20
  nightsafe key remove 3fa81b20 --key-file /root/other.key")]
    Remove {
        /// The beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Replace the password or key file in use by a new one
    #[command(after_help = "\
The repository's own keys stay: old copies of the repository still open with the old password.

Examples:
  nightsafe key passwd
  nightsafe key passwd --generate-password /root/new.password")]
    Passwd(NewArgs),
    /// Write a page with all that is needed to restore on an empty machine
    #[command(after_help = "\
The page names the repository and what opens it, and says what to type. Print it, and keep it away from this host.

Examples:
  nightsafe key recovery --to recovery.txt
  nightsafe key recovery --key-file /root/night.key --words --to recovery.txt")]
    Recovery(RecoveryArgs),
}

/// What is to be added.
#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    new: NewArgs,
    /// It can back up, and read nothing
    #[arg(long)]
    write_only: bool,
}

/// Where a new secret comes from.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Read the new password from a file
    #[arg(long, value_name = "FILE", group = "new")]
    new_password_file: Option<PathBuf>,
    /// Use this key file
    #[arg(long, value_name = "FILE", group = "new")]
    new_key_file: Option<PathBuf>,
    /// Make a strong password and write it to a new file
    #[arg(long, value_name = "FILE", group = "new")]
    generate_password: Option<PathBuf>,
    /// Make a key file
    #[arg(long, value_name = "FILE", group = "new")]
    generate_key: Option<PathBuf>,
    /// How costly the derivation from the password is
    #[arg(long, value_enum, default_value_t)]
    kdf: Kdf,
    /// A name for it
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
}

impl NewArgs {
    fn secret(&self, context: &Context) -> Result<Secret, CliError> {
        let Context { settings, ui, signals, .. } = context;
        if let Some(path) = &self.generate_password {
            return password::generate_passphrase(path);
        }
        if let Some(path) = &self.generate_key {
            return password::generate_key(path);
        }
        let source = match (&self.new_password_file, &self.new_key_file) {
            (Some(path), _) => SecretSource::PasswordFile(path.clone()),
            (_, Some(path)) => SecretSource::KeyFile(path.clone()),
            _ => SecretSource::Prompt,
        };
        password::obtain_new(&source, password::HOW_NEW, settings, ui, signals)
    }
}

/// Lists, adds, removes or replaces.
pub fn key(command: KeyCommand, context: &Context) -> Result<Exit, CliError> {
    let ui = context.ui;
    let open = context.open_full()?;
    let repo = &open.repo;
    let (action, id) = match command {
        KeyCommand::Recovery(args) => return recovery::recovery(&args, repo, context),
        KeyCommand::List => {
            let all = repo.credentials()?;
            let list: Vec<_> = all.iter().map(json::Credential::from).collect();
            if ui.is_json() {
                ui.json(&list)?;
            } else {
                ui.print(&render(&list, ui.zone()))?;
            }
            return Ok(Exit::Done);
        }
        KeyCommand::Add(args) => {
            let AddArgs { new, write_only } = args;
            let (secret, label, kdf) = (new.secret(context)?, settings::label(&new.label), new.kdf.into());
            let id = if write_only {
                repo.add_write_only(&secret, &label, kdf)?
            } else {
                repo.add_credential(&secret, &label, kdf)?
            };
            ("added", id)
        }
        KeyCommand::Remove { id } => {
            let id = find(&repo.credentials()?, &id)?;
            repo.remove_credential(id)?;
            ("removed", id)
        }
        KeyCommand::Passwd(args) => {
            let all = repo.credentials()?;
            let current = all.into_iter().find(|info| info.current).and_then(|info| info.what.ok());
            let text = current.map(|facts| facts.label.text).unwrap_or_default();
            ("replaced", repo.change_secret(&args.secret(context)?, &settings::label(&text), args.kdf.into())?)
        }
    };
    let change = json::CredentialChange { message_type: "credential", action, id: id.to_string() };
    if ui.is_json() {
        ui.json(&change)?;
    } else {
        ui.say(&format!("{action}: key {}\n", &change.id[..SHORT_ID]))?;
    }
    Ok(Exit::Done)
}

/// The credential whose id begins with `prefix`, unless it's the one in use.
fn find(all: &[CredentialInfo], prefix: &str) -> Result<CredentialId, CliError> {
    let prefix = prefix.to_ascii_lowercase();
    let mut fitting = all.iter().filter(|info| info.id.to_string().starts_with(&prefix));
    let list = "`nightsafe key list` shows them";
    match (fitting.next(), fitting.next()) {
        _ if prefix.is_empty() => Err(CliError::usage("which key?").hint(list)),
        (None, _) => Err(CliError::new(Exit::Failed, format!("{prefix}: no such key")).hint(list)),
        (Some(_), Some(_)) => Err(CliError::usage(format!("{prefix}: fits several keys")).hint("write more of the id")),
        (Some(info), None) if info.current => Err(CliError::new(Exit::Refused, "this is the key in use")
            .hint("open the repository with another password or key to remove this one")),
        (Some(info), None) => Ok(info.id),
    }
}

fn render(list: &[json::Credential], zone: &TimeZone) -> String {
    use Align::{Left, Shortened};
    let mut table = Table::new(&[
        ("ID", Left),
        ("ROLE", Left),
        ("KIND", Left),
        ("CREATED", Left),
        ("HOST", Shortened),
        ("LABEL", Shortened),
        ("", Left),
    ]);
    for key in list {
        let cells = [
            key.id.chars().take(SHORT_ID).collect(),
            key.role.to_owned(),
            key.kind.to_owned(),
            shown_time(&key.created, zone),
            clean(&key.host),
            clean(&key.label),
            if key.current { "in use" } else { "" }.to_owned(),
        ];
        table.styled_row(cells, if key.current { style::GOOD } else { Style::new() });
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn the_table() {
        let list: Vec<_> = test_data::credentials().iter().map(json::Credential::from).collect();
        insta::assert_snapshot!(style::plain(&render(&list, &TimeZone::UTC)), @r"
        ID        ROLE        KIND      CREATED           HOST  LABEL
        11111111  full        password  2026-11-20 12:05  web1  first      in use
        abababab  write-only  key file  2026-11-20 12:05  web1  night\x1b
        ");
    }

    #[test]
    fn keys_are_found_by_the_beginning_of_their_id() {
        let all = test_data::credentials();
        let found = |prefix: &str| find(&all, prefix).map_err(|error| error.exit());
        assert_eq!(found("AB"), Ok(all[1].id));
        assert_eq!(found("11"), Err(Exit::Refused), "in use");
        assert_eq!(found("cd"), Err(Exit::Failed));
        assert_eq!(found(""), Err(Exit::Usage));
        let twice = [all[1].clone(), all[1].clone()];
        assert_eq!(find(&twice, "ab").map_err(|error| error.exit()), Err(Exit::Usage));
    }
}
