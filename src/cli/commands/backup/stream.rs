//! Options of streams: standard input, and what a command writes.

use crate::cli::commands::Context;
use crate::cli::error::CliError;
use crate::snapshot::source::pipe::{Input, PipeFrom, PipeSource};
use crate::snapshot::tree::path::SafePath;
use clap::Args;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// The source's name: the folder at the top of the snapshot.
const NAME: &str = "stdin";

/// Streams.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// Also back up standard input, as /stdin/NAME
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = NAME
    )]
    stdin: Option<String>,
    /// The same name, as restic spells it
    #[arg(long, value_name = "NAME", hide = true)]
    stdin_filename: Option<String>,
    /// Instead what a command writes that stands in PATH's place, behind `--`
    #[arg(long, requires = "stdin", conflicts_with_all = ["files_from", "rename"], hide_short_help = true)]
    stdin_from_command: bool,
}

impl StreamArgs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.name().is_none()
    }

    fn name(&self) -> Option<&String> {
        self.stdin_filename.as_ref().or(self.stdin.as_ref())
    }

    /// Whether standard input is to be backed up.
    pub fn reads_stdin(&self) -> bool {
        !self.is_empty() && !self.stdin_from_command
    }

    /// The streams. The words of a command are taken out of the paths.
    pub fn sources(
        &self,
        paths: &mut Vec<PathBuf>,
        (no_expand, secrets): (bool, &[String]),
        context: &Context,
    ) -> Result<Vec<PipeSource>, CliError> {
        let Some(file) = self.name() else { return Ok(Vec::new()) };
        let one = SafePath::parse(file.as_bytes()).is_ok_and(|path| path.depth() == 1) && !file.contains('/');
        if !one {
            return Err(CliError::usage(format!("{file}: not a name")).hint("--stdin takes one name, without `/`"));
        }
        if Path::new(file).is_dir() {
            return Err(CliError::usage(format!("{file}: a folder, where --stdin takes a name"))
                .hint("put paths before --stdin"));
        }
        let from = if self.stdin_from_command {
            let word = |path: PathBuf| path.into_os_string().into_string();
            let words = std::mem::take(paths).into_iter().map(word).collect::<Result<Vec<_>, _>>();
            let words = words.map_err(|word| CliError::usage(format!("{}: not UTF-8", word.display())))?;
            if words.is_empty() {
                return Err(CliError::usage("there is no command")
                    .hint("nightsafe backup --stdin NAME --stdin-from-command -- PROGRAM ARGUMENTS"));
            }
            PipeFrom::Command { words, withheld: context.settings.withheld.clone() }
        } else {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(
                    CliError::usage("standard input is a terminal").hint("PROGRAM | nightsafe backup --stdin NAME")
                );
            }
            PipeFrom::Input(Input::new(stdin))
        };
        let (name, file, secrets) = (NAME.to_owned(), file.clone(), secrets.to_vec());
        Ok(vec![PipeSource { name, file, from, no_expand, secrets }])
    }
}
