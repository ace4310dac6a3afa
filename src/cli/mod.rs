//! The command line: the only module that prints, reads the environment or asks a person.
//!
//! | module | what |
//! | --- | --- |
//! | [`args`] | verbs and options; their doc comments are the help |
//! | [`help`] | how `-h` and `--help` look |
//! | [`config`] | the configuration file |
//! | [`settings`] | arguments and environment → what the library takes |
//! | [`password`] | how a password or key is obtained |
//! | [`commands`] | one verb each: fills an options struct, makes one call, shows the result |
//! | [`error`] | the library's errors → message, hint, exit code |
//! | [`json`] | what `--json` writes |
//! | [`ui`] | everything that is shown |
//! | [`signals`] | Ctrl-C |

pub mod args;
pub mod commands;
pub mod config;
pub mod error;
pub mod help;
pub mod json;
pub mod password;
pub mod settings;
pub mod signals;
pub mod ui;

use crate::repo::cache_fault::CacheFault;
use args::Cli;
use clap::{CommandFactory, FromArgMatches};
use commands::Context;
use error::{CliError, Exit};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use settings::{Environment, Settings};
use signals::Signals;
use std::process::ExitCode;
use ui::Ui;

/// Runs the program.
pub fn run() -> ExitCode {
    // Keys must never land in a core dump. Where that can't be had, there's nothing better to do than to go on.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The limit doesn't count where the system pipes dumps to a program, as systemd and Ubuntu do (core(5)). Nor can other programs of this user look into the memory then (prctl(2)).
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let cli = match parse() {
        Ok(cli) => cli,
        // `--json` may stand behind what was wrong, so the parser can't tell.
        Err(error) => return ui::arguments(&error, std::env::args_os().any(|arg| arg == "--json")).into(),
    };
    let (zone, zone_name) = settings::zone();
    ui::table::fit_into(ui::columns());
    let ui = Ui::new(cli.global.json, cli.global.verbosity(), zone);
    let outcome = execute(cli, &zone_name, &ui);
    // What was printed is a part of the outcome: a full disk behind `>` is no success.
    let outcome = outcome.and_then(|exit| ui.flush().map(|()| exit));
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            // What came before an error is shown first; if it can't be, the error is still the thing to tell.
            drop(ui.flush());
            ui.error(&error);
            error.exit().into()
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = help::laid_out(Cli::command(), ui::columns());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn execute(cli: Cli, zone: &str, ui: &Ui) -> Result<Exit, CliError> {
    let mut settings = Settings::resolve(&cli.global, &Environment::of_process())?;
    if cli.command.uses_repository() {
        settings = settings.with_configuration()?;
    }
    let signals = Signals::install().map_err(|error| CliError::failed("signals can't be handled", &error))?;
    let cache_fault = CacheFault::default();
    let context = Context { ui, settings: &settings, signals: &signals, zone, cache_fault: &cache_fault };
    commands::run(cli.command, &context)
}
