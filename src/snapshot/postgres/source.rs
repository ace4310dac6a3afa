//! A source of databases: a server, and which of its databases are captured.

use super::error::PostgresError;
use super::facts;
use super::options::DumpOptions;
use super::programs::Programs;
use super::server::Server;
use super::session::Session;
use std::collections::BTreeSet;

/// Databases of one server.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    /// The name of the source: its folder at the top of the tree.
    pub name: String,
    /// The server.
    pub server: Server,
    /// Which of its databases.
    pub which: Which,
    /// Whether roles and what they're granted are captured as well.
    pub globals: bool,
    /// What of each database, and how.
    pub options: DumpOptions,
}

/// Which databases of a server.
#[derive(Debug, Clone, Default)]
pub enum Which {
    /// The one that the server's location names, or that libpq or the container's environment says.
    #[default]
    Given,
    /// These.
    Named(Vec<String>),
    /// All that allow connections and aren't templates. Each is captured at an instant of its own.
    All,
}

impl PostgresSource {
    /// A server for each database, each of them once.
    pub fn databases(&self, programs: &Programs) -> Result<Vec<Server>, PostgresError> {
        let names = match &self.which {
            Which::Given => return Ok(vec![self.server.clone()]),
            Which::Named(names) => names.clone(),
            Which::All => {
                // Some database has to be connected to: this one is there unless somebody removed it on purpose.
                let server = match self.server.database() {
                    None if self.server.prefix().is_empty() => self.server.clone().with_database("postgres"),
                    _ => self.server.clone(),
                };
                let mut session = Session::open(&server, programs, self.options.lock_wait)?;
                let names = facts::databases(&mut session)?;
                session.close()?;
                names
            }
        };
        let mut seen = BTreeSet::new();
        let names = names.iter().filter(|name| seen.insert(*name));
        Ok(names.map(|name| self.server.clone().with_database(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_named_twice_is_captured_once() {
        // `databases = ["wiki", "wiki"]` dumped it twice, and the second dump took the place of the first.
        let which = Which::Named(["wiki", "a", "wiki"].map(String::from).to_vec());
        let (name, server, options) = ("db".into(), Server::default(), DumpOptions::default());
        let source = PostgresSource { name, server, which, globals: true, options };
        // Of names no server is asked, so whichever programs there are will do.
        let servers = source.databases(&Programs::find(&source.server).unwrap()).unwrap();
        assert_eq!(servers.iter().map(|server| server.database()).collect::<Vec<_>>(), [Some("wiki"), Some("a")]);
    }
}
