//! `config`: checks and shows the configuration file.

use crate::cli::commands::Context;
use crate::cli::config::schedule::Schedule;
use crate::cli::config::{Config, Finding, Loaded, check};
use crate::cli::error::{CliError, Exit};
use crate::cli::ui::{clean, style, units};
use crate::cli::{json, password};
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt::Write as _;

/// How many times of each schedule are shown.
const TIMES: usize = 3;

/// Check or show the configuration file
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What there is to do with a configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Look for mistakes, and for paths and passwords that can't be read
    #[command(after_help = "\
Every password is read and every password command run, but nothing of it is shown. Exit code 1 if there are problems.

Examples:
  nightsafe config check
  nightsafe config check --config /etc/nightsafe/nightsafe.toml")]
    Check,
    /// Print the whole configuration, with includes and defaults written out
    #[command(after_help = "\
What is printed is a configuration again. Of secrets it says where they come from, never what they are.

Examples:
  nightsafe config show
  nightsafe config show --json --config ./nightsafe.toml")]
    Show,
}

/// Checks or shows.
pub fn config(command: &ConfigCommand, context: &Context) -> Result<Exit, CliError> {
    let none = || {
        CliError::new(Exit::Failed, "there is no configuration")
            .hint("looked for: ./nightsafe.toml, /etc/nightsafe/nightsafe.toml; --config FILE names another")
    };
    match command {
        ConfigCommand::Check => checked(context.settings.load()?.ok_or_else(none)?, context),
        ConfigCommand::Show => {
            // One with problems isn't shown: it would look as if it were used.
            let config = context.settings.configuration()?.ok_or_else(none)?;
            show(config, context)
        }
    }
}

fn checked(mut loaded: Loaded, context: &Context) -> Result<Exit, CliError> {
    check::check(&mut loaded, &|from| password::reveal(from, context.settings).map(|_| ()));
    let schedules = schedules(&loaded.config, context.zone, Timestamp::now());
    let bad = loaded.report.problems().next().is_some();
    if context.ui.is_json() {
        context.ui.json(&json::ConfigCheck::new(&loaded, &schedules))?;
    } else if bad {
        context.ui.print(&render(&loaded, &schedules))?;
    } else {
        context.ui.say(&render(&loaded, &schedules))?;
    }
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

/// The next times of each application's schedule.
pub fn schedules(config: &Config, zone: &str, now: Timestamp) -> Vec<(String, Vec<Zoned>)> {
    let zone = TimeZone::get(config.timezone.as_deref().unwrap_or(zone)).unwrap_or(TimeZone::UTC);
    let next = |schedule: &Schedule| schedule.next(now, &zone, TIMES);
    let of = |(name, schedule): (&String, &Option<Schedule>)| schedule.as_ref().map(|it| (name.clone(), next(it)));
    config.apps.iter().filter_map(|(name, app)| of((name, &app.schedule))).collect()
}

fn render(loaded: &Loaded, schedules: &[(String, Vec<Zoned>)]) -> String {
    let mut text = String::new();
    let mut list = |lead: &str, shown, finding: &Finding| {
        writeln!(text, "{} {}", style::paint(shown, lead), clean(&finding.to_string()))
            .expect("writing to a String can't fail");
    };
    loaded.report.problems().for_each(|finding| list("problem:", style::BAD, finding));
    loaded.report.warnings().for_each(|finding| list("warning:", style::WARNING, finding));
    for (name, times) in schedules {
        let times: Vec<_> = times.iter().map(|time| time.strftime("%a %Y-%m-%d %H:%M %Z").to_string()).collect();
        writeln!(text, "schedule: {}: {}", clean(name), times.join(", ")).expect("writing to a String can't fail");
    }
    text + &verdict(loaded) + "\n"
}

fn verdict(loaded: &Loaded) -> String {
    let config = &loaded.config;
    match loaded.report.problems().count() {
        0 => {
            let repositories = match config.repositories.len() {
                1 => "1 repository".to_owned(),
                count => format!("{} repositories", units::count(count as u64)),
            };
            let apps = units::counted(config.apps.len() as u64, "app");
            style::paint(style::GOOD, &format!("the configuration is good: {repositories}, {apps}"))
        }
        count => style::paint(style::BAD, &units::counted(count as u64, "problem")),
    }
}

fn show(mut config: Config, context: &Context) -> Result<Exit, CliError> {
    config.timezone.get_or_insert_with(|| context.zone.to_owned());
    if context.ui.is_json() {
        context.ui.json(&json::Configuration { message_type: "configuration", configuration: &config })?;
    } else {
        context.ui.print(&config.to_toml()?)?;
    }
    Ok(Exit::Done)
}
