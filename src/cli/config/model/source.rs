//! What an application consists of.

use super::SecretFrom;
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// A source: it becomes the folder of its name at the top of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name: one component of a path.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceKind {
    /// Files and folders.
    Files(FilesSource),
    /// Live databases of a PostgreSQL server.
    Postgres(PostgresSource),
    /// Compose files, and the environments beside them.
    Stack(StackSource),
    /// What a program writes.
    Command(CommandSource),
}

impl SourceKind {
    /// The names of all kinds.
    pub const NAMES: [&str; 4] = ["files", "postgres", "stack", "command"];

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Postgres(_) => "postgres",
            Self::Stack(_) => "stack",
            Self::Command(_) => "command",
        }
    }
}

/// Files and folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FilesSource {
    /// What to take, absolute. The content of a single one stands in the source's folder itself, several stand in it under their own names.
    pub paths: Vec<PathBuf>,
    /// Patterns of what to leave out, as in `.gitignore`.
    pub exclude: Vec<String>,
    /// Leave out files of more bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_larger_than: Option<u64>,
    /// Leave out what is on other file systems.
    pub one_file_system: bool,
    /// Undo the compression of containers, so that they deduplicate.
    pub expand: bool,
    /// Patterns of what is secret.
    pub secret: Vec<String>,
    /// A query for the files that the database knows of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// A pattern of files that describe the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<String>,
}

/// Live databases of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostgresSource {
    /// How the server is reached.
    #[serde(flatten)]
    pub reach: Reach,
    /// As whom; what the container's environment or libpq says if it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which databases; the one that the container's environment or libpq says if it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Databases>,
    /// Where the password comes from; what the container's environment or libpq says if it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretFrom>,
    /// Only these schemas; all if it's empty.
    pub schemas: Vec<String>,
    /// Patterns of tables whose rows are left out.
    pub exclude_table_data: Vec<String>,
    /// Further arguments for `pg_dump`.
    pub args: Vec<String>,
    /// Whether roles and what they're granted are taken as well.
    pub globals: bool,
    /// A query for the ids of the keys that the data needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_in_use: Option<String>,
}

/// How a PostgreSQL server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reach {
    /// In the container of a service of the application's compose files.
    Service {
        /// The service.
        service: String,
    },
    /// By programs that run after this command, such as `docker exec -i NAME`.
    Exec {
        /// The command's words.
        exec: Vec<String>,
    },
    /// By a connection URL without a password.
    Url {
        /// The URL.
        url: String,
    },
    /// Directly; libpq says what isn't given.
    Server {
        /// A name, an address or the folder of a socket.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The port.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
}

/// Which databases of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// Every one that isn't a template; each is taken at its own instant.
    All,
    /// These.
    Named(Vec<String>),
}

impl Serialize for Databases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

/// What a program writes to its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandSource {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// The name of the file that it's stored as.
    pub file: String,
    /// Undo the compression of a container, so that it deduplicates.
    pub expand: bool,
    /// Patterns of what is secret.
    pub secret: Vec<String>,
}

/// The compose files of the application, and the environments that they name ([`stack::files`](super::super::stack::files)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StackSource {}
