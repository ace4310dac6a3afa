//! Rows of a table.

use crate::cli::commands::Context;
use crate::cli::commands::dump::file::to_file;
use crate::cli::error::{CliError, Exit};
use crate::repo::repository::{Full, Repo};
use crate::snapshot::postgres::rows::{
    self, Condition, Format, NameError, RowsError, RowsOptions, RowsSummary, TableName,
};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::SafePath;
use clap::{Args, ValueEnum};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

/// Which rows of which table.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    /// Write the rows of this table: SCHEMA.TABLE, odd names as "Odd.Name"
    #[arg(long)]
    table: Option<String>,
    /// The database that the table is in, if the snapshot has several
    #[arg(long, value_name = "NAME", requires = "table", hide_short_help = true)]
    database: Option<String>,
    /// Only rows with this value, as PostgreSQL writes it; \N is NULL; several: all must hold
    #[arg(long = "where", value_name = "COLUMN=VALUE", requires = "table")]
    conditions: Vec<Condition>,
    /// How rows are written: as COPY … FROM stdin takes them, or with their columns' names
    #[arg(long, requires = "table", value_enum, default_value_t = FormatArg::Copy)]
    format: FormatArg,
}

/// How rows are written. Without a help of their own: one would make `--help` much longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    Copy,
    Csv,
    Jsonl,
}

impl TableArgs {
    /// What is asked for, if it's a table.
    pub(super) fn options(&self) -> Result<Option<RowsOptions>, CliError> {
        let Some(table) = &self.table else { return Ok(None) };
        let table: TableName = table.parse().map_err(|error: NameError| CliError::usage(error.to_string()))?;
        let format = match self.format {
            FormatArg::Copy => Format::Copy,
            FormatArg::Csv => Format::Csv,
            FormatArg::Jsonl => Format::Jsonl,
        };
        let (database, conditions) = (self.database.clone(), self.conditions.clone());
        Ok(Some(RowsOptions { table, database, path: None, conditions, format }))
    }
}

/// Writes them to a file, or to standard output.
pub(super) fn dump(
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    options: &RowsOptions,
    output: Option<&Path>,
    context: &Context,
) -> Result<Exit, CliError> {
    let summary = if let Some(file) = output {
        to_file(file, |out| {
            let mut out = BufWriter::with_capacity(1 << 20, out);
            let written = context.watched(|monitor| rows::rows(repo, snapshot, options, &mut out, monitor));
            context.ended(written, "no file was made")
        })?
    } else {
        let mut out = BufWriter::with_capacity(1 << 20, context.ui.raw_output()?);
        let written: Result<RowsSummary, RowsError> = context.watched(|monitor| {
            let summary = rows::rows(repo, snapshot, options, &mut out, monitor)?;
            out.flush().map_err(RowsError::Output).map(|()| summary)
        });
        context.ended(written, "what was written so far aren't all rows")?
    };
    if summary.written == 0 && summary.rows > 0 {
        context.ui.note("no row of the table is like that");
    }
    Ok(Exit::Done)
}

impl From<RowsError> for CliError {
    fn from(error: RowsError) -> Self {
        let built = |exit| Self::from_error(exit, &error);
        match error {
            RowsError::Repo(error) => error.into(),
            RowsError::Browse(error) => error.into(),
            RowsError::Read(error) => error.into(),
            RowsError::Output(source) if source.kind() == ErrorKind::BrokenPipe => Self::silent(Exit::Failed),
            RowsError::NoDatabase { ref known, .. } if !known.is_empty() => {
                built(Exit::Failed).hint(format!("it holds:\n{}", dumps(known)))
            }
            RowsError::NoDatabase { .. } => {
                built(Exit::Failed).hint("write where its dump is: SNAP:/PATH --table TABLE")
            }
            RowsError::ManyDatabases { ref known } => built(Exit::Usage)
                .hint(format!("say which with --database, or write where its dump is:\n{}", dumps(known))),
            RowsError::Name { ref source, .. } => name_hint(built(Exit::Failed), source),
            RowsError::NoColumn { ref known, .. } => {
                built(Exit::Usage).hint(format!("the columns are {}", known.join(", ")))
            }
            RowsError::Interrupted => built(Exit::Interrupted),
            RowsError::Count { .. } | RowsError::Values { .. } => {
                built(Exit::Failed).hint("`nightsafe check --read-data` looks at all of the repository")
            }
            RowsError::NotADump { .. }
            | RowsError::Archive { .. }
            | RowsError::Unusable { .. }
            | RowsError::LeftOut { .. }
            | RowsError::Output(_) => built(Exit::Failed),
        }
    }
}

fn dumps(known: &[(String, SafePath)]) -> String {
    known.iter().map(|(name, path)| format!("{name} ({path})")).collect::<Vec<_>>().join("\n")
}

fn name_hint(error: CliError, name: &NameError) -> CliError {
    let list = |names: &[TableName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    match name {
        NameError::Unknown { near, .. } if !near.is_empty() => error.hint(format!("perhaps:\n{}", list(near))),
        NameError::Unknown { .. } => error.hint("`nightsafe show SNAP -v` lists the tables of captured databases"),
        NameError::Ambiguous { found, .. } => error.hint(format!("write which one:\n{}", list(found))),
        NameError::Syntax(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ui::{render_error, style};

    #[test]
    fn errors_name_what_could_be_meant() {
        let name = |text: &str| text.parse::<TableName>().unwrap();
        let path: SafePath = "db/wiki.dump".parse().unwrap();
        let unknown = NameError::Unknown { wanted: name("user"), near: vec![name("public.users")] };
        let known = vec![("wiki".to_owned(), path.clone())];
        let errors = [
            RowsError::Name { path: path.clone(), source: unknown },
            RowsError::NoDatabase { wanted: Some("shop".to_owned()), known: known.clone() },
            RowsError::ManyDatabases { known: [&known[..], &known[..]].concat() },
            RowsError::NoColumn { column: "mail".to_owned(), known: vec!["id".to_owned(), "e-mail".to_owned()] },
        ];
        let shown: String = errors.into_iter().map(|error| render_error(&error.into())).collect();
        insta::assert_snapshot!(style::plain(&shown), @r#"
        error: /db/wiki.dump: there is no data of a table user
        hint: perhaps:
              public.users
        error: the snapshot holds no database "shop"
        hint: it holds:
              wiki (/db/wiki.dump)
        error: the snapshot holds 2 databases
        hint: say which with --database, or write where its dump is:
              wiki (/db/wiki.dump)
              wiki (/db/wiki.dump)
        error: there is no column "mail"
        hint: the columns are id, e-mail
        "#);
    }

    #[test]
    fn a_reader_that_went_away_gets_no_message() {
        let error = CliError::from(RowsError::Output(ErrorKind::BrokenPipe.into()));
        assert!(error.is_silent() && error.exit() == Exit::Failed);
    }
}
