//! Databases that are named by options.

use crate::cli::commands::Context;
use crate::cli::error::CliError;
use crate::snapshot::postgres::options::DumpOptions;
use crate::snapshot::postgres::server::{Server, check_prefix};
use crate::snapshot::postgres::source::{PostgresSource, Which};
use clap::Args;

/// Which databases are captured, and how they are reached.
#[derive(Debug, Default, Args)]
pub struct PostgresArgs {
    /// A PostgreSQL database: /db/NAME.dump; repeatable
    #[arg(long = "postgres", value_name = "URL")]
    urls: Vec<String>,
    /// Reach it by a command: 'docker exec -i CONTAINER'
    #[arg(long = "postgres-via", value_name = "CMD", requires = "urls")]
    via: Option<String>,
    /// Back up every database of the server
    #[arg(long, requires = "urls", hide_short_help = true)]
    all_databases: bool,
    /// Only this schema; may be repeated
    #[arg(long = "schema", value_name = "SCHEMA", requires = "urls", hide_short_help = true)]
    schemas: Vec<String>,
    /// Leave out rows of matching tables; repeatable
    #[arg(long, value_name = "PATTERN", requires = "urls", hide_short_help = true)]
    exclude_table_data: Vec<String>,
    /// Leave out roles and what they're granted
    #[arg(long, requires = "urls", hide_short_help = true)]
    no_globals: bool,
}

impl PostgresArgs {
    /// Whether any is asked for.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// The sources: `db`, then `db2` and so on.
    pub fn sources(self, context: &Context) -> Result<Vec<PostgresSource>, CliError> {
        let prefix: Vec<String> = self.via.iter().flat_map(|via| via.split_whitespace()).map(str::to_owned).collect();
        check_prefix(&prefix)?;
        let options = DumpOptions {
            schemas: self.schemas,
            exclude_table_data: self.exclude_table_data,
            ..DumpOptions::default()
        };
        let source = |(n, url): (usize, &String)| {
            let server = Server::parse(url)?.withholding(context.settings.withheld.clone());
            Ok(PostgresSource {
                name: if n == 0 { "db".to_owned() } else { format!("db{}", n + 1) },
                server: server.with_prefix(prefix.clone()),
                which: if self.all_databases { Which::All } else { Which::Given },
                globals: !self.no_globals,
                options: options.clone(),
            })
        };
        self.urls.iter().enumerate().map(source).collect()
    }
}
