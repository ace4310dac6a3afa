//! Where a secret comes from. The secret itself is never part of a configuration.

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretFrom {
    /// A systemd credential of this name.
    Credential(String),
    /// A file; absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// What a shell command prints.
    Command(String),
}

/// Says where, never what; a command isn't repeated, since people write secrets into them.
impl fmt::Display for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "the systemd credential {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::Command(_) => f.write_str("the command"),
        }
    }
}
