//! `completions` and `man`: made from the same definitions as the help.

use crate::cli::args::Cli;
use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use std::io;
use std::path::{Path, PathBuf};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nightsafe completions bash > /etc/bash_completion.d/nightsafe
  nightsafe completions fish > ~/.config/fish/completions/nightsafe.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write all of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nightsafe man | man -l -
  nightsafe man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write one page for each verb into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The command without the verbs that aren't shown.
fn visible() -> Command {
    let whole = Cli::command();
    let shown: Vec<Command> = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let mut bare = Command::new("nightsafe").subcommands(shown).args(whole.get_arguments().cloned());
    bare = bare.version(env!("CARGO_PKG_VERSION"));
    if let Some(about) = whole.get_about() {
        bare = bare.about(about.clone());
    }
    if let Some(after) = whole.get_after_help() {
        bare = bare.after_help(after.clone());
    }
    bare
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs, context: &Context) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "nightsafe", &mut script);
    context.ui.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints or writes manual pages.
pub fn man(args: &ManArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.dir {
        None => {
            let page = page(&visible()).map_err(|error| CliError::failed("the manual page can't be made", &error))?;
            context.ui.print(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => {
            for (name, page) in pages().map_err(|error| CliError::failed("the manual pages can't be made", &error))? {
                write(folder, &name, &page)?;
            }
        }
    }
    Ok(Exit::Done)
}

fn write(folder: &Path, name: &str, page: &[u8]) -> Result<(), CliError> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| CliError::file(&path, &error))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// The pages of the program, its verbs and theirs, with their file names.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = visible().disable_help_subcommand(true);
    root.build();
    let (mut open, mut pages) = (vec![root], Vec::new());
    while let Some(command) = open.pop() {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        pages.push((format!("{name}.1"), page(&command)?));
        open.extend(command.get_subcommands().filter(|verb| verb.get_name() != "help").cloned());
    }
    pages.sort();
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_that_is_shown_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "nightsafe-backup.1",
            "nightsafe-check.1",
            "nightsafe-completions.1",
            "nightsafe-config-check.1",
            "nightsafe-config-show.1",
            "nightsafe-config.1",
            "nightsafe-diff.1",
            "nightsafe-dump.1",
            "nightsafe-forget.1",
            "nightsafe-init.1",
            "nightsafe-key-add.1",
            "nightsafe-key-list.1",
            "nightsafe-key-passwd.1",
            "nightsafe-key-recovery.1",
            "nightsafe-key-remove.1",
            "nightsafe-key.1",
            "nightsafe-ls.1",
            "nightsafe-man.1",
            "nightsafe-protect.1",
            "nightsafe-prune.1",
            "nightsafe-repair-index.1",
            "nightsafe-repair-notes.1",
            "nightsafe-repair-packs.1",
            "nightsafe-repair-snapshots.1",
            "nightsafe-repair.1",
            "nightsafe-restore.1",
            "nightsafe-show.1",
            "nightsafe-snapshots.1",
            "nightsafe-tag.1",
            "nightsafe.1",
        ];
        assert_eq!(names, expected);
        for (name, page) in &pages {
            assert!(!String::from_utf8_lossy(page).contains("unlock"), "{name}");
        }
    }

    #[test]
    fn completions_know_what_is_shown() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut visible(), "nightsafe", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains("read-data") && script.contains("snapshots") && !script.contains("unlock"),
                "{shell}"
            );
        }
    }
}
