//! What a configuration says, in plain types. Serialised they are the file again, with every default written out.

mod secret;
mod source;

pub use secret::SecretFrom;
pub use source::{CommandSource, Databases, FilesSource, PostgresSource, Reach, SourceConfig, SourceKind, StackSource};

use super::engine::Engine;
use super::period::Period;
use super::schedule::Schedule;
use crate::cli::error::CliError;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The IANA name of the zone that schedules are in; the host's own if it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Whom to tell.
    #[serde(skip_serializing_if = "Notify::is_empty")]
    pub notify: Notify,
    /// The repositories, by name.
    #[serde(rename = "repository")]
    pub repositories: BTreeMap<String, RepositoryConfig>,
    /// The applications, by name.
    #[serde(rename = "app")]
    pub apps: BTreeMap<String, AppConfig>,
}

impl Config {
    /// The repository of this name.
    pub fn repository(&self, name: &str) -> Option<&RepositoryConfig> {
        self.repositories.get(name)
    }

    /// The application of this name.
    pub fn app(&self, name: &str) -> Option<&AppConfig> {
        self.apps.get(name)
    }

    /// The file that says all of this.
    pub fn to_toml(&self) -> Result<String, CliError> {
        // By way of a table, so that plain values come before the tables beside them.
        let table = toml::Table::try_from(self).map_err(|error| CliError::failed("TOML", &error))?;
        toml::to_string(&table).map_err(|error| CliError::failed("TOML", &error))
    }

    /// The repositories that an application's snapshots go to, in the order in which it names them.
    pub fn repositories_of<'c>(&'c self, app: &'c AppConfig) -> impl Iterator<Item = &'c RepositoryConfig> {
        app.repositories.iter().filter_map(|name| self.repository(name))
    }

    /// All secrets, and the keys at which they stand.
    pub fn secrets(&self) -> Vec<(String, &SecretFrom)> {
        let mut all: Vec<_> = self.notify.ping.iter().map(|from| ("notify.ping".to_owned(), from)).collect();
        for (name, repository) in &self.repositories {
            let key = format!("repository.{name}");
            all.extend(repository.password.iter().map(|from| (format!("{key}.password"), from)));
            let options = repository.secret_options.iter();
            all.extend(options.map(|(option, from)| (format!("{key}.secret_options.{option}"), from)));
        }
        for (name, app) in &self.apps {
            for source in &app.sources {
                if let SourceKind::Postgres(postgres) = &source.kind {
                    let key = format!("app.{name}.source.{}.password", source.name);
                    all.extend(postgres.password.iter().map(|from| (key.clone(), from)));
                }
            }
        }
        all
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryConfig {
    /// Its name in the configuration.
    #[serde(skip)]
    pub name: String,
    /// Its URL; a folder's path is absolute.
    pub url: String,
    /// Options of its storage.
    pub options: BTreeMap<String, String>,
    /// Options of its storage that are secret.
    pub secret_options: BTreeMap<String, SecretFrom>,
    /// Where its password or key comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretFrom>,
}

/// Whom to tell how a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Notify {
    /// The URL that is fetched after each good run; secret, since whoever knows it can claim one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<SecretFrom>,
    /// Where a failure is told: `mailto:ADDRESS`, `ntfy:TOPIC`.
    pub on_failure: Vec<String>,
}

impl Notify {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppConfig {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Its compose files, absolute; empty if it has none.
    pub compose: Vec<PathBuf>,
    /// What runs them; the first that answers if it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The names of the repositories that its snapshots go to; every one that is configured unless it names some.
    pub repositories: Vec<String>,
    /// When it's backed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Which snapshots are kept.
    #[serde(skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
    /// What becomes of the application meanwhile.
    pub consistency: Consistency,
    /// How old its newest snapshot may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// How often its restore is rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<Rehearse>,
    /// What it consists of, sorted by name.
    #[serde(rename = "source", serialize_with = "by_name")]
    pub sources: Vec<SourceConfig>,
    /// Paths that are left out on purpose, and why: for people.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ignore: BTreeMap<String, String>,
    /// The keys that its data needs.
    #[serde(skip_serializing_if = "Keys::is_empty")]
    pub keys: Keys,
    /// Where its version is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionFrom>,
    /// How a restore of it is verified.
    #[serde(skip_serializing_if = "Verify::is_empty")]
    pub verify: Verify,
}

impl AppConfig {
    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<&SourceConfig> {
        self.sources.iter().find(|source| source.name == name)
    }
}

fn by_name<S: Serializer>(sources: &[SourceConfig], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(sources.iter().map(|source| (&source.name, &source.kind)))
}

/// Which snapshots are kept; a number that isn't given keeps none by its rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it: how many of the last, hourly, … ones")]
pub struct Keep {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarterly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
    /// All that are younger than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
}

impl Keep {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an application while it's backed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing.
    #[default]
    Live,
    /// Its containers are paused while the files are listed.
    Pause,
    /// These services are stopped.
    Stop {
        /// The services.
        services: Vec<String>,
        /// For how long at most.
        at_most: Option<Period>,
    },
}

impl Serialize for Consistency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Stop<'a> {
            stop: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            at_most: Option<Period>,
        }
        match self {
            Self::Live => serializer.serialize_str("live"),
            Self::Pause => serializer.serialize_str("pause"),
            Self::Stop { services, at_most } => Stop { stop: services, at_most: *at_most }.serialize(serializer),
        }
    }
}

/// How often a restore is rehearsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearse {
    /// How often.
    pub every: Period,
    /// Whether the application is started from it.
    pub boot: bool,
}

/// The keys that an application's data needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// Those that decrypt stored values: without them a restore is useless.
    pub decrypts: Vec<KeyName>,
    /// Those that sign sessions and links: without them people sign in anew.
    pub signs: Vec<KeyName>,
    /// The variable that holds the application's own id of a key, by the name of the key.
    pub id_of: BTreeMap<String, String>,
}

impl Keys {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyName {
    /// A variable in the application's environment.
    Variable(String),
    /// A file that is the key; absolute.
    File(PathBuf),
    /// A value in a TOML file, such as `auth.mfa_secret_key`.
    Value {
        /// The file; absolute.
        file: PathBuf,
        /// The key of the value, with dots.
        key: String,
    },
}

/// As it's written: `NAME`, `/FILE` or `/FILE#KEY`.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Value { file, key } => write!(f, "{}#{key}", file.display()),
        }
    }
}

impl Serialize for KeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an application's version is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionFrom {
    /// The image of the container of this service: its tag, digest and label.
    Service(String),
    /// A variable in the application's environment.
    Variable(String),
    /// What a shell command prints.
    Command(String),
    /// The first line of a file; absolute.
    File(PathBuf),
}

/// How a restore is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// A URL that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// A shell command that succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What only a person can look at.
    pub by_hand: Vec<String>,
}

impl Verify {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
