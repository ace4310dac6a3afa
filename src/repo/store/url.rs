//! Repository URLs: which store, and where.
//!
//! | URL | store |
//! | --- | --- |
//! | `/mnt/x`, `./x`, `x/y`, `file:PATH` | a folder ([`local`](super::local)) |
//! | `memory:` | nothing that outlives the process |
//! | `fs:PATH` | a folder, through OpenDAL |
//! | `s3:BUCKET/PREFIX`, `gcs:`, `b2:`, `oss:`, `obs:`, `cos:` … | a bucket, `PREFIX` being optional; `s3://BUCKET/PREFIX` is the same |
//! | `s3:https://HOST/BUCKET/PREFIX` | a bucket on another server than Amazon's, for any service of buckets |
//! | `azblob:CONTAINER/PREFIX`, `azdls:`, `azfile:`, `swift:` | likewise |
//! | `sftp:USER@HOST:PATH` | a folder over SSH, relative to the home directory unless it begins with `/`; the system's `ssh` is used with its configuration |
//! | `sftp://USER@HOST:PORT/PATH` | the same, an absolute path; relative to the home directory after `/~/` |
//! | `webdav:https://HOST/PATH` | a folder on a server; its last component is created by `init`, those before must be there |
//! | `dropbox:PATH` and others | the services of OpenDAL that are compiled in, by their names |
//!
//! What stands before the first `:` is a scheme, unless a `/` comes before that: a folder whose name has a colon is written `./a:b`. An unknown scheme is an
//! error, never a folder, so that a misspelt one doesn't become one.
//!
//! All else is an option of the service by OpenDAL's name (`region`, `endpoint`, …) and given beside the URL, as is `connections`, the number of calls at once. Secrets
//! sit neither in the URL nor among the plain options.

mod parse;

use super::local::LocalStore;
use super::memory::MemoryStore;
use super::opendal::{OpenDalStore, Place, Service, is_secret};
use super::retry::{Backoff, RetryingStore};
use super::{Store, StoreError};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What comes before an option's name, in capitals, in the environment variable that holds a secret one. The command line reads it.
pub const SECRET_VARIABLE: &str = "NIGHTSAFE_STORE_";

/// The option of every service that says how many calls are made at once.
const CONNECTIONS: &str = "connections";

/// The most connections that can be asked for.
const MOST_CONNECTIONS: usize = 256;

/// A repository's URL. It holds no secret.
#[derive(Clone)]
pub struct StoreUrl {
    kind: Kind,
    /// As it was written.
    text: String,
}

#[derive(Clone)]
enum Kind {
    Local(PathBuf),
    Memory,
    Service(&'static Service, Place),
}

/// Why a URL, or what was given beside it, won't do.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Nothing was given.
    #[error("the repository URL is empty")]
    Empty,
    /// No store has this scheme.
    #[error(
        "no store is called '{scheme}:'; known are file, memory, {known} (a folder of that name is written './{scheme}:…', a folder over SSH 'sftp:user@host:path')"
    )]
    UnknownScheme {
        /// What was given.
        scheme: String,
        /// All schemes, separated by commas.
        known: String,
    },
    /// The service was left out of this build.
    #[error("'{scheme}:' is not in this build of nightsafe; build it with the Cargo feature '{feature}'")]
    NotCompiled {
        /// The service.
        scheme: String,
        /// What adds it.
        feature: String,
    },
    /// A password stands in the URL, where logs and process lists would show it.
    #[error(
        "a secret doesn't belong into a repository URL: put it into the environment variable {variable}, or configure it as the secret option '{option}'"
    )]
    SecretInUrl {
        /// The option that takes it.
        option: &'static str,
        /// The environment variable that is read for this option.
        variable: String,
    },
    /// The URL isn't written as the service's URLs are.
    #[error("not a URL of '{scheme}:': {problem}; it is written {expected}")]
    Malformed {
        /// The service.
        scheme: String,
        /// What is wrong.
        problem: &'static str,
        /// How it should look.
        expected: &'static str,
    },
    /// `~` is for shells.
    #[error("'~' is not expanded here: write the folder in full")]
    Tilde,
    /// The store has no such option.
    #[error("'{scheme}:' has no option '{option}'")]
    UnknownOption {
        /// What was given.
        option: String,
        /// The service.
        scheme: String,
        /// All options.
        known: Vec<&'static str>,
    },
    /// An option has a value that it can't have.
    #[error("the option '{option}' must be {expected}")]
    BadOption {
        /// The option.
        option: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A secret was given as a plain option.
    #[error(
        "the option '{option}' is a secret: put it into the environment variable {variable}, or configure it as a secret option"
    )]
    SecretOption {
        /// The option.
        option: String,
        /// The environment variable that is read for it.
        variable: String,
    },
    /// The store couldn't be prepared.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the variables begin by which services find credentials, addresses and files of credentials by themselves, as other tools for these services do.
const OF_SERVICES: [&str; 12] = [
    "AWS_", // s3
    "AZURE_",
    "AZBLOB_",
    "GOOGLE_", // gcs
    "B2_",     // other tools' names for b2
    "ALIBABA_CLOUD_",
    "OSS_",
    "HUAWEI_CLOUD_", // obs
    "TENCENTCLOUD_", // cos, and the next two
    "TKE_",
    "QCLOUD_",
    "OPENDAL_",
];

/// Whether a variable of this name may open a storage, for nightsafe or for another tool.
pub fn is_credential(variable: &str) -> bool {
    OF_SERVICES.iter().any(|begin| variable.starts_with(begin))
}

/// The environment variable that holds the secret option `option`.
pub fn secret_variable(option: &str) -> String {
    format!("{SECRET_VARIABLE}{}", option.to_ascii_uppercase())
}

impl StoreUrl {
    /// Reads a URL; nothing is looked at yet.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Ok(Self { kind: parse::kind(text)?, text: text.to_owned() })
    }

    /// The folder, if this is the path of one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Local(folder) => Some(folder),
            _ => None,
        }
    }

    /// The folder of this machine that is meant, by whatever service: so that a caller can keep a backup from containing its own repository, and a restore from deleting it.
    pub fn folder_here(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Local(folder) => Some(folder.clone()),
            Kind::Service(service, place) if service.scheme == "fs" => Some(Path::new("/").join(&place.prefix)),
            _ => None,
        }
    }

    /// The options that may be set beside this URL, secret ones (see [`is_secret`]) included.
    pub fn options(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Local(_) | Kind::Memory => Vec::new(),
            Kind::Service(service, _) => service.options().chain([CONNECTIONS]).collect(),
        }
    }

    fn scheme(&self) -> &'static str {
        match &self.kind {
            Kind::Local(_) => "file",
            Kind::Memory => "memory",
            Kind::Service(service, _) => service.scheme,
        }
    }

    fn require_option(&self, option: &str) -> Result<(), UrlError> {
        let known = self.options();
        if known.contains(&option) {
            return Ok(());
        }
        Err(UrlError::UnknownOption { option: option.to_owned(), scheme: self.scheme().to_owned(), known })
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.text).finish()
    }
}

/// The store at `url`. Nothing is connected or created yet.
///
/// Services behind a network are tried again for a while when they fail for the moment ([`Backoff::default`]). `secrets` may hold options that other services need: those
/// that this one doesn't have are left aside, since the environment has them for all.
pub fn open(
    url: &StoreUrl,
    options: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Zeroizing<String>>,
) -> Result<Arc<dyn Store>, UrlError> {
    open_with(url, options, secrets, Backoff::default())
}

/// [`open`] with another patience.
pub fn open_with(
    url: &StoreUrl,
    options: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Zeroizing<String>>,
    backoff: Backoff,
) -> Result<Arc<dyn Store>, UrlError> {
    for (option, value) in options {
        url.require_option(option)?;
        if is_secret(option) {
            return Err(UrlError::SecretOption { option: option.clone(), variable: secret_variable(option) });
        }
        if let Some(option) = parse::secret_in_address(value) {
            return Err(UrlError::SecretInUrl { option, variable: secret_variable(option) });
        }
    }
    match &url.kind {
        Kind::Local(folder) => Ok(Arc::new(LocalStore::new(folder))),
        Kind::Memory => Ok(Arc::new(MemoryStore::without_root())),
        Kind::Service(service, place) => {
            let mut options = options.clone();
            let connections = options.remove(CONNECTIONS).map(|number| connections(&number)).transpose()?;
            let known: Vec<_> = service.options().collect();
            let secrets = secrets
                .iter()
                .filter(|(option, _)| known.contains(&option.as_str()))
                .map(|(option, value)| (option.clone(), value.clone()))
                .collect();
            let store = OpenDalStore::open(service, place, url.text.clone(), &options, &secrets, connections)?;
            Ok(Arc::new(RetryingStore::new(Arc::new(store), backoff)))
        }
    }
}

fn connections(number: &str) -> Result<usize, UrlError> {
    match number.parse() {
        Ok(number @ 1..=MOST_CONNECTIONS) => Ok(number),
        _ => Err(UrlError::BadOption { option: CONNECTIONS.to_owned(), expected: "a number from 1 to 256" }),
    }
}

#[cfg(test)]
mod tests;
