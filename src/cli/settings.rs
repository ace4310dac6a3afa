//! From arguments and environment to what the library takes: the only place that reads the environment.
//!
//! An option wins over a variable, a variable over the configuration file, that over a systemd credential, and that over a question on the terminal. Two options, or two variables, that
//! each say where the password comes from are refused: guessing which one was meant would end in a "wrong password" without a clue. An empty
//! variable counts as unset.

mod configured;

use crate::cli::args::GlobalArgs;
use crate::cli::config::Search;
use crate::cli::error::CliError;
use crate::repo::id::RepositoryId;
use crate::repo::keys::Label;
use crate::repo::store::url::{SECRET_VARIABLE, is_credential};
use crate::snapshot::backup::now;
use crate::snapshot::child::Withheld;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A variable that holds a secret itself; children don't inherit it, nor those that begin with [`SECRET_VARIABLE`].
pub const PASSWORD_VARIABLE: &str = "NIGHTSAFE_PASSWORD";
/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "NIGHTSAFE_CONFIG";
/// The name of the systemd credential.
const SYSTEMD_CREDENTIAL: &str = "nightsafe";

/// Where the password or key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A key file.
    KeyFile(PathBuf),
    /// A file with a password.
    PasswordFile(PathBuf),
    /// What a shell command prints.
    PasswordCommand(String),
    /// The password itself, from the variable of this name.
    Variable(String, Zeroizing<String>),
    /// A file with a password or the text of a key file.
    File(PathBuf),
    /// A systemd credential: a password or the text of a key file.
    Systemd(PathBuf),
    /// A question on the terminal.
    Prompt,
}

/// Says where, never what.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(path) => write!(f, "the key file {}", path.display()),
            Self::PasswordFile(path) | Self::File(path) => write!(f, "the file {}", path.display()),
            Self::PasswordCommand(_) => f.write_str("the password command"),
            Self::Variable(name, _) => write!(f, "the variable {name}"),
            Self::Systemd(path) => write!(f, "the systemd credential {}", path.display()),
            Self::Prompt => f.write_str("the terminal"),
        }
    }
}

/// The environment as it was when the program began.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable that is set and not empty.
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<String>, CliError> {
        let text = |value: &OsStr| value.to_str().map(str::to_owned);
        let wrong = || CliError::usage(format!("the variable {name} isn't UTF-8"));
        self.get(name).map(|value| text(value).ok_or_else(wrong)).transpose()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The variables that children must not inherit.
    fn withheld(&self) -> Withheld {
        let is_secret = |name: &&OsString| {
            name.to_str().is_some_and(|name| name == PASSWORD_VARIABLE || name.starts_with(SECRET_VARIABLE))
        };
        let mut withheld: Withheld = self.0.keys().filter(is_secret).cloned().collect();
        let is_of_storage = |name: &&OsString| name.to_str().is_some_and(is_credential);
        self.0.keys().filter(is_of_storage).for_each(|name| withheld.add_of_storage(name));
        withheld
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What options and variables say, which the configuration file doesn't change.
#[derive(Clone, Default)]
struct Given {
    options: BTreeMap<String, String>,
    secret_options: BTreeMap<String, Zeroizing<String>>,
    secret: Option<SecretSource>,
}

/// What arguments, environment and configuration ask for.
#[derive(Clone)]
pub struct Settings {
    repository: Option<String>,
    /// The names of configured repositories, if one of them has to be chosen.
    candidates: Vec<String>,
    given: Given,
    environment: Environment,
    search: Search,
    /// Options of the storage.
    pub options: BTreeMap<String, String>,
    /// Options of the storage that are secret.
    pub secret_options: BTreeMap<String, Zeroizing<String>>,
    /// Where the password or key comes from.
    pub secret: SecretSource,
    /// Where caches go; nowhere that lasts if there is no such place or none is wanted.
    pub cache: Option<PathBuf>,
    /// Where what is known of repositories is kept; nowhere if there is no such place.
    pub state: Option<PathBuf>,
    /// The repository that is to be taken for the right one, whatever is known.
    pub accepted: Option<RepositoryId>,
    /// Whether caches of earlier runs are to be ignored.
    pub no_cache: bool,
    /// Variables that children must not inherit.
    pub withheld: Withheld,
}

impl Settings {
    /// Puts arguments and environment together.
    pub fn resolve(args: &GlobalArgs, environment: &Environment) -> Result<Self, CliError> {
        let repository = match &args.repo {
            Some(url) => Some(url.clone()),
            None => environment.text("NIGHTSAFE_REPOSITORY")?,
        };
        let given = Given {
            options: options(&args.options)?,
            secret_options: secret_options(environment)?,
            secret: secret_source(args, environment)?,
        };
        let config = args.config.clone().map(|path| (path, "--config"));
        let named = config.or_else(|| environment.path(CONFIG_VARIABLE).map(|path| (path, CONFIG_VARIABLE)));
        let settings = Self {
            repository,
            candidates: Vec::new(),
            options: given.options.clone(),
            secret_options: given.secret_options.clone(),
            secret: given.secret.clone().unwrap_or_else(|| usual_secret(environment)),
            given,
            environment: environment.clone(),
            search: Search { named },
            cache: if args.no_cache { None } else { cache(args, environment) },
            state: state(args, environment),
            accepted: args.accept_repository,
            no_cache: args.no_cache,
            withheld: environment.withheld(),
        };
        settings.refuse_twice()?;
        Ok(settings)
    }

    /// An option is either plain or secret.
    fn refuse_twice(&self) -> Result<(), CliError> {
        let twice = self.options.keys().find(|key| self.secret_options.contains_key(*key));
        twice.map_or(Ok(()), |key| {
            let message = format!("the option {key} is given twice: with -o and in the environment");
            Err(CliError::usage(message))
        })
    }

    /// Whether an option or variable names a repository, or the configuration has one only.
    pub fn names_repository(&self) -> bool {
        self.repository.is_some()
    }

    /// The repository's URL.
    pub fn repository(&self) -> Result<&str, CliError> {
        self.repository.as_deref().ok_or_else(|| {
            let hint = match &self.candidates[..] {
                [] => "give -r URL, or set NIGHTSAFE_REPOSITORY".to_owned(),
                names => format!("give -r NAME; the configuration has {}", names.join(", ")),
            };
            CliError::usage("which repository?").hint(hint)
        })
    }
}

/// What `-o KEY=VALUE` says. The store refuses those that are secret, since it knows which are.
fn options(args: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut options = BTreeMap::new();
    for arg in args {
        let (key, value) = arg.split_once('=').ok_or_else(|| {
            // The text isn't repeated: somebody may have written a secret.
            CliError::usage("-o takes KEY=VALUE").hint("as in -o region=eu-central-1")
        })?;
        let key = key.trim().to_ascii_lowercase().replace('-', "_");
        if options.insert(key.clone(), value.to_owned()).is_some() {
            return Err(CliError::usage(format!("-o gives the option {key} twice")));
        }
    }
    Ok(options)
}

/// What `NIGHTSAFE_STORE_<OPTION>` says.
fn secret_options(environment: &Environment) -> Result<BTreeMap<String, Zeroizing<String>>, CliError> {
    let mut options = BTreeMap::new();
    for name in environment.0.keys().filter_map(|name| name.to_str()) {
        if let (Some(key), Some(value)) = (name.strip_prefix(SECRET_VARIABLE), environment.text(name)?) {
            options.insert(key.to_ascii_lowercase(), Zeroizing::new(value));
        }
    }
    Ok(options)
}

/// The one place that an option or variable says the password or key comes from.
fn secret_source(args: &GlobalArgs, environment: &Environment) -> Result<Option<SecretSource>, CliError> {
    let given = [
        ("--key-file", args.key_file.clone().map(SecretSource::KeyFile)),
        ("--password-file", args.password_file.clone().map(SecretSource::PasswordFile)),
        ("--password-command", args.password_command.clone().map(SecretSource::PasswordCommand)),
    ];
    if let Some(source) = only_one(given)? {
        return Ok(Some(source));
    }
    let password = environment.text(PASSWORD_VARIABLE)?.map(Zeroizing::new);
    let command = environment.text("NIGHTSAFE_PASSWORD_COMMAND")?;
    let set = [
        ("NIGHTSAFE_KEY_FILE", environment.path("NIGHTSAFE_KEY_FILE").map(SecretSource::KeyFile)),
        ("NIGHTSAFE_PASSWORD_FILE", environment.path("NIGHTSAFE_PASSWORD_FILE").map(SecretSource::PasswordFile)),
        ("NIGHTSAFE_PASSWORD_COMMAND", command.map(SecretSource::PasswordCommand)),
        (PASSWORD_VARIABLE, password.map(|text| SecretSource::Variable(PASSWORD_VARIABLE.to_owned(), text))),
    ];
    only_one(set)
}

/// Where it comes from if nobody says so.
fn usual_secret(environment: &Environment) -> SecretSource {
    let credential = environment.path("CREDENTIALS_DIRECTORY").map(|folder| folder.join(SYSTEMD_CREDENTIAL));
    credential.filter(|path| path.exists()).map_or(SecretSource::Prompt, SecretSource::Systemd)
}

fn only_one<const N: usize>(sources: [(&str, Option<SecretSource>); N]) -> Result<Option<SecretSource>, CliError> {
    let mut given = sources.into_iter().filter_map(|(name, source)| source.map(|source| (name, source)));
    match (given.next(), given.next()) {
        (Some((first, _)), Some((second, _))) => {
            Err(CliError::usage(format!("{first} and {second} both say where the password comes from"))
                .hint("give one of them"))
        }
        (first, _) => Ok(first.map(|(_, source)| source)),
    }
}

/// Where caches go.
fn cache(args: &GlobalArgs, environment: &Environment) -> Option<PathBuf> {
    let chosen = args.cache_dir.clone().or_else(|| environment.path("NIGHTSAFE_CACHE_DIR"));
    // The XDG base directory specification has relative paths ignored.
    let absolute = |name| environment.path(name).filter(|path| path.is_absolute());
    chosen
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("nightsafe")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/nightsafe")))
}

/// Where what is known of repositories is kept. It isn't a cache, but a cache is better than nothing.
fn state(args: &GlobalArgs, environment: &Environment) -> Option<PathBuf> {
    let absolute = |name| environment.path(name).filter(|path| path.is_absolute());
    environment
        .path("NIGHTSAFE_STATE_DIR")
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("nightsafe")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/nightsafe")))
        .or_else(|| cache(args, environment))
}

/// What people will see of a credential made here and now.
pub fn label(text: &str) -> Label {
    Label { text: text.to_owned(), created: now(), host: host() }
}

/// The name of this host.
pub fn host() -> String {
    let read =
        |path: &str| fs::read_to_string(path).ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_else(|| "localhost".to_owned())
}

/// Who runs this.
pub fn user() -> Option<String> {
    uzers::get_current_username().map(|name| name.to_string_lossy().into_owned())
}

/// The local time zone, and its IANA name (`UTC` if it has none).
pub fn zone() -> (TimeZone, String) {
    let zone = TimeZone::system();
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    (zone, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
    fn resolve<const N: usize>(args: GlobalArgs, variables: [(&str, &str); N]) -> Result<Settings, CliError> {
        Settings::resolve(&args, &Environment::from(variables))
    }

    fn source<const N: usize>(args: GlobalArgs, variables: [(&str, &str); N]) -> Result<String, String> {
        resolve(args, variables).map(|settings| settings.secret.to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn options_win_over_variables_and_these_over_the_systemd_credential() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap();
        let none = GlobalArgs::default;
        let file = || GlobalArgs { password_file: Some("/a".into()), ..none() };
        assert_eq!(source(file(), [("NIGHTSAFE_PASSWORD", "x")]).unwrap(), "the file /a");
        assert_eq!(
            source(none(), [("NIGHTSAFE_PASSWORD", "x"), ("CREDENTIALS_DIRECTORY", directory)]).unwrap(),
            "the variable NIGHTSAFE_PASSWORD"
        );
        assert_eq!(
            source(none(), [("CREDENTIALS_DIRECTORY", directory)]).unwrap(),
            "the terminal",
            "no such credential"
        );
        fs::write(folder.path().join("nightsafe"), "words").unwrap();
        let systemd = format!("the systemd credential {directory}/nightsafe");
        assert_eq!(source(none(), [("CREDENTIALS_DIRECTORY", directory)]).unwrap(), systemd);
        assert_eq!(source(none(), [("NIGHTSAFE_PASSWORD", "")]).unwrap(), "the terminal", "empty is unset");
        let key = [("NIGHTSAFE_KEY_FILE", "/k")];
        assert_eq!(source(none(), key).unwrap(), "the key file /k");
    }

    #[test]
    fn two_ways_at_once_are_refused() {
        let both =
            GlobalArgs { password_file: Some("/a".into()), key_file: Some("/b".into()), ..GlobalArgs::default() };
        assert_eq!(
            source(both, []).unwrap_err(),
            "--key-file and --password-file both say where the password comes from"
        );
        let variables = [("NIGHTSAFE_PASSWORD", "x"), ("NIGHTSAFE_PASSWORD_COMMAND", "y")];
        assert!(
            source(GlobalArgs::default(), variables)
                .unwrap_err()
                .contains("NIGHTSAFE_PASSWORD_COMMAND and NIGHTSAFE_PASSWORD")
        );
    }

    #[test]
    fn the_repository_comes_from_the_option_or_the_variable() {
        let option = GlobalArgs { repo: Some("/a".to_owned()), ..GlobalArgs::default() };
        assert_eq!(resolve(option, [("NIGHTSAFE_REPOSITORY", "/b")]).unwrap().repository().unwrap(), "/a");
        assert_eq!(
            resolve(GlobalArgs::default(), [("NIGHTSAFE_REPOSITORY", "/b")]).unwrap().repository().unwrap(),
            "/b"
        );
        assert_eq!(resolve(GlobalArgs::default(), []).unwrap().repository().unwrap_err().exit().code(), 2);
    }

    #[test]
    fn caches_go_where_they_were_told_or_where_caches_go() {
        let chosen = || GlobalArgs { cache_dir: Some("/c".into()), ..GlobalArgs::default() };
        let home = ("HOME", "/home/me");
        let cache = |args, variables: [(&str, &str); 3]| resolve(args, variables).unwrap().cache;
        let (own, xdg) = (("NIGHTSAFE_CACHE_DIR", "/n"), ("XDG_CACHE_HOME", "/x"));
        assert_eq!(cache(chosen(), [own, xdg, home]), Some("/c".into()));
        assert_eq!(cache(GlobalArgs::default(), [own, xdg, home]), Some("/n".into()));
        assert_eq!(cache(GlobalArgs::default(), [("A", "b"), xdg, home]), Some("/x/nightsafe".into()));
        assert_eq!(
            cache(GlobalArgs::default(), [("A", "b"), ("XDG_CACHE_HOME", "x"), home]),
            Some("/home/me/.cache/nightsafe".into())
        );
        assert_eq!(cache(GlobalArgs { no_cache: true, ..chosen() }, [own, xdg, home]), None);
        assert_eq!(resolve(GlobalArgs::default(), []).unwrap().cache, None);
    }

    #[test]
    fn what_is_known_of_repositories_does_not_go_where_caches_go() {
        let state = |variables: [(&str, &str); 3]| resolve(GlobalArgs::default(), variables).unwrap().state;
        let (cache, home) = (("NIGHTSAFE_CACHE_DIR", "/n"), ("HOME", "/home/me"));
        let (own, xdg) = (("NIGHTSAFE_STATE_DIR", "/s"), ("XDG_STATE_HOME", "/x"));
        assert_eq!(state([own, xdg, home]), Some("/s".into()));
        assert_eq!(state([cache, xdg, home]), Some("/x/nightsafe".into()));
        assert_eq!(state([cache, ("XDG_STATE_HOME", "x"), home]), Some("/home/me/.local/state/nightsafe".into()));
        assert_eq!(state([cache, ("A", "b"), ("C", "d")]), Some("/n".into()), "better than nothing");
        assert_eq!(resolve(GlobalArgs { no_cache: true, ..GlobalArgs::default() }, []).unwrap().state, None);
    }

    #[test]
    fn options_of_the_storage() {
        let with = |options: &[&str]| GlobalArgs {
            options: options.iter().map(|&o| o.to_owned()).collect(),
            ..GlobalArgs::default()
        };
        let variables = [("NIGHTSAFE_STORE_SECRET_ACCESS_KEY", "hush"), ("NIGHTSAFE_STORE_REGION", "")];
        let settings = resolve(with(&["region=eu=1", "access-key-id=me", "credential_path=/c"]), variables).unwrap();
        let expected = [("access_key_id", "me"), ("credential_path", "/c"), ("region", "eu=1")];
        assert!(settings.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
        assert!(
            settings.secret_options.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq([("secret_access_key", "hush")])
        );
        assert!(resolve(with(&["hush"]), []).is_err_and(|error| !error.message().contains("hush")));
        assert!(resolve(with(&["region=a", "region=b"]), []).is_err());
        assert!(resolve(with(&["region=a"]), [("NIGHTSAFE_STORE_REGION", "b")]).is_err());
    }

    #[test]
    fn children_inherit_no_secret() {
        let settings = resolve(
            GlobalArgs::default(),
            [("NIGHTSAFE_PASSWORD", "x"), ("NIGHTSAFE_STORE_TOKEN", "y"), ("PATH", "/bin")],
        )
        .unwrap();
        assert_eq!(settings.withheld, Withheld::from_iter(["NIGHTSAFE_PASSWORD", "NIGHTSAFE_STORE_TOKEN"]));
    }
}
