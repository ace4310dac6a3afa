//! `init`: a new repository.

use crate::cli::commands::{Context, is_repository, recovery};
use crate::cli::error::{CliError, Exit};
use crate::cli::settings::SecretSource;
use crate::cli::ui::{style, units};
use crate::cli::{json, password, settings};
use crate::repo::error::RepoError;
use crate::repo::keys::{KdfParams, Secret};
use crate::repo::repository::{CreateOptions, Repo};
use crate::repo::store::StoreErrorKind;
use clap::{Args, ValueEnum};
use std::fmt::Write as _;
use std::path::PathBuf;

/// How hard the key is to derive from a password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Kdf {
    /// 64 MiB: some tenths of a second
    #[default]
    Standard,
    /// 1 GiB: some seconds, for each attacker's guess as well
    Strong,
}

impl From<Kdf> for KdfParams {
    fn from(kdf: Kdf) -> Self {
        match kdf {
            Kdf::Standard => Self::STANDARD,
            Kdf::Strong => Self::STRONG,
        }
    }
}

/// Make a new repository, and the first password or key that opens it
#[derive(Debug, Args)]
#[command(after_help = "\
The folder or bucket is made if it's missing, and the storage is tried: what is written must be seen at once.
Without the password nobody reads the backups, not even you: keep it where it survives this host.

Examples:
  nightsafe init -r /mnt/backup/night
  nightsafe init -r s3:bucket/night -o region=eu-1 --generate-key /root/night.key")]
pub struct InitArgs {
    /// Make a strong password and write it to a new file
    #[arg(long, value_name = "FILE", conflicts_with = "generate_key")]
    generate_password: Option<PathBuf>,
    /// Make a key file instead of a password
    #[arg(long, value_name = "FILE")]
    generate_key: Option<PathBuf>,
    /// How costly the derivation from the password is
    #[arg(long, value_enum, default_value_t)]
    kdf: Kdf,
    /// A name for this password or key
    #[arg(long, value_name = "TEXT", default_value = "first")]
    label: String,
    /// Write no page that says how to get the backups back
    #[arg(long)]
    no_recovery_page: bool,
}

/// Where a new secret went.
fn new_secret(args: &InitArgs, context: &Context) -> Result<(Secret, Option<PathBuf>), CliError> {
    let Context { settings, ui, signals, .. } = context;
    match (&args.generate_password, &args.generate_key) {
        (Some(path), _) => Ok((password::generate_passphrase(path)?, Some(path.clone()))),
        (_, Some(path)) => Ok((password::generate_key(path)?, Some(path.clone()))),
        _ => Ok((password::obtain_new(&settings.secret, password::HOW_FIRST, settings, ui, signals)?, None)),
    }
}

/// Makes a repository.
pub fn init(args: &InitArgs, context: &Context) -> Result<Exit, CliError> {
    let (store, cache) = (context.store()?, context.cache()?);
    let url = store.url().to_owned();
    match is_repository(store.as_ref()) {
        // Before a password is asked for, or made and written to a file.
        Ok(true) => return Err(RepoError::AlreadyExists { url }.into()),
        Err(error) if error.kind != StoreErrorKind::RootMissing => return Err(error.into()),
        Ok(false) | Err(_) => {}
    }
    let (secret, file) = new_secret(args, context)?;
    let options = CreateOptions { kdf: args.kdf.into(), label: settings::label(&args.label), cache: cache.folder };
    let witness = context.witness(&*store);
    let (repo, probe) = Repo::create(store, &secret, &options)?;
    if let Some(mut witness) = witness {
        for known in witness.repositories() {
            context.ui.alert(&format!("until now the repository {known} was at {url}; it isn't there any more"));
        }
        if let Err(error) = witness.replace(repo.id()) {
            context.ui.alert(&format!("that this repository is at {url} can't be remembered: {error}"));
        }
    }
    // A script that brings its own password wouldn't expect a file in the current folder. Beside a key file, which has to be kept anyway, the page is in place.
    let beside = match &context.settings.secret {
        SecretSource::KeyFile(path) if file.is_none() => Some(path),
        _ => file.as_ref(),
    };
    let is_wanted = beside.is_some() || context.settings.secret == SecretSource::Prompt;
    let page = (is_wanted && !args.no_recovery_page)
        .then(|| recovery::of_new(&repo, &secret, beside.map(PathBuf::as_path), context))
        .flatten();
    let made = json::Initialized {
        message_type: "initialized",
        id: repo.id().to_string(),
        repository: url,
        credential: repo.credential().to_string(),
        probe: json::Probed::from(&probe),
        recovery: page.map(|page| page.display().to_string()),
    };
    if context.ui.is_json() {
        context.ui.json(&made)?;
    } else {
        let is_key = matches!(secret, Secret::KeyFile(_));
        context.ui.say(&render(&made, is_key, file.as_ref().map(|path| path.display().to_string()).as_deref()))?;
    }
    Ok(Exit::Done)
}

fn render(made: &json::Initialized, is_key: bool, file: Option<&str>) -> String {
    let probe = &made.probe;
    let overwriting =
        if probe.refuses_overwriting { "overwriting is refused" } else { "overwriting isn't refused, which is common" };
    let secret = if is_key { "key file" } else { "password" };
    let place = file.map(|file| format!(" (it is in {file})")).unwrap_or_default();
    let mut text =
        style::paint(style::GOOD, &format!("Repository {} is ready in {}.", made.id, made.repository)) + "\n";
    let took = units::duration(probe.seconds);
    writeln!(text, "The storage does what it must: {} steps tried in {took}; {overwriting}.", probe.steps)
        .expect("writing to a String can't fail");
    text.push('\n');
    text.push_str(&style::paint(style::WARNING, &format!("Keep the {secret} safe{place}, and not only on this host:")));
    text.push_str("\nwhoever has it reads every backup, and without it nobody does. Nothing can recover it.\n\n");
    if let Some(page) = &made.recovery {
        writeln!(text, "How to get the backups back is written in {page}, without the {secret}: print it.\n")
            .expect("writing to a String can't fail");
    } else {
        text.push_str("`nightsafe key recovery` prints a page that says how to get the backups back.\n\n");
    }
    text.push_str("Next: nightsafe backup PATH…\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_owner_reads() {
        let probe = json::Probed { refuses_overwriting: true, steps: 8, slowest_step_seconds: 0.004, seconds: 0.012 };
        let made = json::Initialized {
            message_type: "initialized",
            id: "00112233445566778899aabbccddeeff".to_owned(),
            repository: "/mnt/night".to_owned(),
            credential: "ff".repeat(16),
            probe,
            recovery: Some("nightsafe-recovery-00112233.txt".to_owned()),
        };
        insta::assert_snapshot!(style::plain(&render(&made, false, Some("/root/p"))), @r"
        Repository 00112233445566778899aabbccddeeff is ready in /mnt/night.
        The storage does what it must: 8 steps tried in 12 ms; overwriting is refused.

        Keep the password safe (it is in /root/p), and not only on this host:
        whoever has it reads every backup, and without it nobody does. Nothing can recover it.

        How to get the backups back is written in nightsafe-recovery-00112233.txt, without the password: print it.

        Next: nightsafe backup PATH…
        ");
        assert!(render(&made, true, None).contains("Keep the key file safe, and"));
    }
}
