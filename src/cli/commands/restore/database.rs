//! `restore --postgres`: a database of a snapshot, or any dump in it, into a server.

use crate::cli::commands::Context;
use crate::cli::commands::restore::render;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::repo::repository::{Full, Repo};
use crate::snapshot::application::fingerprint_key_of;
use crate::snapshot::browse;
use crate::snapshot::compat::{self, Approved, Mismatch, Overrides, Stored, Target, Weight};
use crate::snapshot::postgres::restore::DatabaseOptions;
use crate::snapshot::postgres::restore::dump::Dump;
use crate::snapshot::postgres::restore::plan::DatabasePlan;
use crate::snapshot::postgres::restore::run::{self, DatabaseSummary};
use crate::snapshot::postgres::server::Server;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::source::variables::values::Variables;
use crate::snapshot::tree::path::SafePath;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;
use zeroize::Zeroizing;

/// Heading in the help.
const HEADING: &str = "Databases";

/// Options for databases.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct DatabaseArgs {
    /// Into this database (`postgres://USER@HOST/NAME`); '': that of the container
    #[arg(long, value_name = "URL", conflicts_with = "target", help_heading = HEADING)]
    postgres: Option<String>,
    /// Reach it by a command: 'docker exec -i CONTAINER'
    #[arg(long = "postgres-via", value_name = "CMD", requires = "postgres", help_heading = HEADING)]
    via: Option<String>,
    /// Which database of several in the snapshot
    #[arg(long, value_name = "NAME", requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    database: Option<String>,
    /// Replace one with rows; it stays under a dated name
    #[arg(long, requires = "postgres", help_heading = HEADING)]
    replace: bool,
    /// Replace it (with --delete: delete) also by what may not be all that there was
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    pub(super) allow_incomplete: bool,
    /// End other sessions with the replaced database
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    disconnect: bool,
    /// Show what would be done, and what forbids it
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
    /// With so many jobs, from an unnamed file in TMPDIR
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    jobs: Option<u8>,
    /// Leave all objects to the user that connects
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    no_owner: bool,
    /// Don't restore rights
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    no_acl: bool,
    /// Restore as this role
    #[arg(long, value_name = "ROLE", requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    role: Option<String>,
    /// Only this schema; may be repeated
    #[arg(long = "schema", value_name = "SCHEMA", requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    schemas: Vec<String>,
    /// The server's collation, if it lacks the original
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    default_locale: bool,
    /// The application's environment file, to compare keys
    #[arg(long = "env", value_name = "FILE", requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    environment: Vec<PathBuf>,
    /// The version of the application that will run
    #[arg(long, value_name = "VERSION", requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    app_version: Option<String>,
    /// Restore although the migrations don't fit
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    allow_ledger_mismatch: bool,
    /// Restore although keys are missing or differ
    #[arg(long, requires = "postgres", help_heading = HEADING, hide_short_help = true)]
    allow_key_mismatch: bool,
}

impl DatabaseArgs {
    fn options(&self, context: &Context) -> Result<DatabaseOptions, CliError> {
        let location = self.postgres.as_deref().unwrap_or_default();
        let server = Server::parse(location).map_err(|error| CliError::usage(error.to_string()))?;
        let prefix = self.via.iter().flat_map(|via| via.split_whitespace()).map(str::to_owned).collect();
        let withheld = context.settings.withheld.clone();
        let spool = std::env::temp_dir();
        Ok(DatabaseOptions {
            replace: self.replace,
            allow_incomplete: self.allow_incomplete,
            disconnect: self.disconnect,
            jobs: self.jobs.map(usize::from),
            no_owner: self.no_owner,
            no_acl: self.no_acl,
            role: self.role.clone(),
            schemas: self.schemas.clone(),
            default_locale: self.default_locale,
            ..DatabaseOptions::new(server.with_prefix(prefix).withholding(withheld), spool)
        })
    }

    fn overrides(&self) -> Overrides {
        Overrides { ledger: self.allow_ledger_mismatch, keys: self.allow_key_mismatch }
    }

    /// What the files say that the application's environment will be.
    fn variables(&self) -> Result<Option<Variables>, CliError> {
        if self.environment.is_empty() {
            return Ok(None);
        }
        let mut variables = Variables::default();
        for file in &self.environment {
            let content = std::fs::read(file).map_err(|error| CliError::file(file, &error))?;
            variables.add(&Zeroizing::new(content));
        }
        Ok(Some(variables))
    }
}

/// Restores.
pub fn restore(
    args: &DatabaseArgs,
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    context: &Context,
) -> Result<Exit, CliError> {
    let (ui, begun) = (context.ui, Instant::now());
    let options = args.options(context)?;
    let variables = args.variables()?;
    let reader = browse::reader(repo)?;
    let dump = Dump::find(&reader, snapshot, path, args.database.as_deref())?;
    let what = format!("snapshot {}:{}", json::short_id(snapshot.id), dump.path);
    let mut plan = DatabasePlan::make(what, dump, options)?;
    let compared = compare(args, repo, snapshot, &plan, variables.as_ref())?;
    let shown = json::DatabasePlan::new(&plan, findings(&compared));
    if !ui.is_json() {
        ui.say(&render::plan(&plan, snapshot, findings(&compared), ui.zone()))?;
        ui.flush()?;
    }
    let approved = match compared {
        Ok(approved) => Some(approved),
        Err(mismatch) => {
            plan.refused.push(mismatch.into());
            None
        }
    };
    if args.dry_run {
        if ui.is_json() {
            ui.json(&json::RestoreDatabase::dry(snapshot.id, shown))?;
        }
        return match plan.refused.into_iter().next() {
            None => Ok(Exit::Done),
            Some(refused) => Err(refused.into()),
        };
    }
    let Some(approved) = approved.filter(|_| plan.refused.is_empty()) else {
        return Err(plan.refused.swap_remove(0).into());
    };
    let kept = "the database is as it was, and what was begun beside it is gone";
    let result = context.watched(|monitor| run::restore(&reader, plan, &approved, monitor));
    let summary: DatabaseSummary = context.ended(result, kept)?;
    if ui.is_json() {
        ui.json(&json::RestoreDatabase::new(snapshot.id, shown, &summary, begun.elapsed().as_secs_f64()))?;
    } else {
        ui.say(&render::summary(&summary, begun.elapsed().as_secs_f64()))?;
    }
    Ok(if summary.differs() { Exit::Failed } else { Exit::Done })
}

fn compare(
    args: &DatabaseArgs,
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    plan: &DatabasePlan,
    variables: Option<&Variables>,
) -> Result<Result<Approved, Mismatch>, CliError> {
    let stored = Stored {
        ledgers: plan.dump.ledgers(),
        tables: plan.dump.tables(),
        keys_in_use: plan.dump.database.as_ref().and_then(|database| database.keys_in_use.as_deref()),
        application: snapshot.manifest.application.as_ref(),
    };
    let key = fingerprint_key_of(repo, snapshot.id)?;
    let target = Target {
        version: args.app_version.as_deref(),
        ledgers: plan.ledgers(),
        environment: variables.map(|variables| (variables, &*key)),
    };
    Ok(compat::compare(stored, &target, args.overrides()))
}

fn findings(compared: &Result<Approved, Mismatch>) -> &[compat::Finding] {
    match compared {
        Ok(approved) => approved.findings(),
        Err(mismatch) => &mismatch.findings,
    }
}

/// The word for what a finding does.
pub(crate) fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Note => "note",
        Weight::Warning => "warning",
        Weight::Refused => "refused",
    }
}
