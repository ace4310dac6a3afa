//! How a PostgreSQL server is reached.

mod location;
mod prefix;

pub use self::prefix::check_prefix;
use super::error::{PostgresError, clean};
use super::interrupt::Interrupt;
use super::quote;
use crate::snapshot::child::Withheld;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A server and a database on it, as they are given: what isn't given is left to libpq (`PGHOST`, service files, …), in a container to the container's environment.
#[derive(Clone, Default)]
pub struct Server {
    /// libpq's parameters by their names; none of them is a secret.
    parameters: BTreeMap<String, String>,
    password: Option<Zeroizing<String>>,
    prefix: Vec<String>,
    withheld: Withheld,
    folders: Vec<PathBuf>,
    interrupt: Interrupt,
}

impl Server {
    /// Reads a location: a URL (`postgres://user@host:port/database?sslmode=…`) or a string of libpq's keywords (`service=…`). Empty means that nothing is given.
    ///
    /// One that holds a password is refused.
    pub fn parse(location: &str) -> Result<Self, PostgresError> {
        Ok(Self { parameters: location::parse(location)?, ..Self::default() })
    }

    /// With another host: a name, an address, or the folder of a Unix socket.
    #[must_use]
    pub fn with_host(self, host: &str) -> Self {
        self.with("host", host)
    }

    /// With another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        self.with("port", &port.to_string())
    }

    /// With another user.
    #[must_use]
    pub fn with_user(self, user: &str) -> Self {
        self.with("user", user)
    }

    /// With another database.
    #[must_use]
    pub fn with_database(self, database: &str) -> Self {
        self.with("dbname", database)
    }

    /// With a password, which goes to programs through their environment or standard input, never in arguments.
    pub fn with_password(mut self, password: Zeroizing<String>) -> Result<Self, PostgresError> {
        if password.contains(['\n', '\0']) {
            return Err(PostgresError::BadPassword { server: self.describe() });
        }
        self.password = Some(password);
        Ok(self)
    }

    /// With a command that stands before the programs and leads to where they run, such as `docker exec -i pg`. It's shown wherever the server is: [`check_prefix`] tells whether it may be.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Vec<String>) -> Self {
        self.prefix = prefix;
        self
    }

    /// With variables that programs mustn't inherit.
    #[must_use]
    pub fn withholding(mut self, withheld: Withheld) -> Self {
        self.withheld = withheld;
        self
    }

    /// With folders in which programs are looked for first.
    #[must_use]
    pub fn with_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.folders = folders;
        self
    }

    /// With what ends all work with this server.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// With the name by which the server lists our sessions.
    #[must_use]
    pub(super) fn with_application(self, name: &str) -> Self {
        self.with("application_name", name)
    }

    fn with(mut self, parameter: &str, value: &str) -> Self {
        self.parameters.insert(parameter.into(), value.into());
        self
    }

    /// The database, if it's given.
    pub fn database(&self) -> Option<&str> {
        self.parameters.get("dbname").map(String::as_str)
    }

    /// The user, if one is given.
    pub fn user(&self) -> Option<&str> {
        self.parameters.get("user").map(String::as_str)
    }

    /// The command that leads to where the programs run; empty if they run here.
    pub fn prefix(&self) -> &[String] {
        &self.prefix
    }

    /// Variables that programs mustn't inherit.
    pub(super) fn withheld(&self) -> &Withheld {
        &self.withheld
    }

    /// What ends all work with this server.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Folders in which programs are looked for first.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(PathBuf::as_path)
    }

    pub(super) fn password(&self) -> Option<&Zeroizing<String>> {
        self.password.as_ref()
    }

    /// The connection string for the programs' `--dbname`. Never empty: `pg_restore` without one writes a script instead of restoring.
    pub fn connection_string(&self) -> String {
        // A host that vanished without a word is found out within three minutes, not two hours.
        let defaults = [("application_name", "nightsafe"), ("keepalives_idle", "60"), ("keepalives_interval", "15")];
        let mut parameters: BTreeMap<&str, &str> = defaults.into();
        parameters.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", quote::parameter(value)));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// Which database on which server, for messages: without secrets, on one line.
    pub fn describe(&self) -> String {
        let get = |name: &str| self.parameters.get(name).filter(|value| !value.is_empty());
        let mut text = match (get("dbname"), get("service")) {
            (Some(database), _) => format!("database '{database}'"),
            (None, Some(service)) => format!("service '{service}'"),
            (None, None) => "the default database".to_owned(),
        };
        if let Some(host) = get("host").or_else(|| get("hostaddr")) {
            let port = get("port").map_or_else(String::new, |port| format!(":{port}"));
            text.push_str(&[" on ", host, &port].concat());
        } else if let Some(port) = get("port") {
            text.push_str(&[" on port ", port].concat());
        }
        if !self.prefix.is_empty() {
            text.push_str(&[" through '", &self.prefix.join(" "), "'"].concat());
        }
        clean(text.as_bytes())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("parameters", &self.parameters)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_beside_the_location_comes_first() {
        let server = Server::parse("postgres://me@db:6432/app?sslmode=require").unwrap();
        let server = server.with_host("/run/pg").with_port(5433).with_user("it's").with_database("other");
        assert_eq!(
            server.connection_string(),
            "application_name='nightsafe' dbname='other' host='/run/pg' keepalives_idle='60' \
             keepalives_interval='15' port='5433' sslmode='require' user='it\\'s'"
        );
        assert_eq!((server.database(), server.user()), (Some("other"), Some("it's")));
    }

    #[test]
    fn descriptions_are_for_people_and_hold_no_secret() {
        let describe = |location: &str| Server::parse(location).unwrap().describe();
        assert_eq!(describe("postgres://me@db:6432/app"), "database 'app' on db:6432");
        assert_eq!(describe("service=wiki"), "service 'wiki'");
        assert_eq!(describe(""), "the default database");
        assert_eq!(describe("port=5433 dbname='a\n\u{1b}b'"), "database 'a; b' on port 5433");
        let prefix = ["docker", "exec", "-i", "pg"].map(String::from).to_vec();
        assert_eq!(
            Server::default().with_prefix(prefix).describe(),
            "the default database through 'docker exec -i pg'"
        );
        let secret = Server::default().with_password(Zeroizing::new("hush".into())).unwrap();
        assert!(!format!("{secret:?} {}", secret.connection_string()).contains("hush"));
    }

    #[test]
    fn a_password_of_two_lines_is_refused() {
        let error = Server::default().with_password(Zeroizing::new("a\nb".into())).unwrap_err();
        assert!(matches!(error, PostgresError::BadPassword { .. }), "{error}");
    }
}
