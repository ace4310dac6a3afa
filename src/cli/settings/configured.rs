//! What the configuration file adds to arguments and environment.

use super::{Environment, SecretSource, Settings};
use crate::cli::config::decode::is_name;
use crate::cli::config::{Config, Loaded, RepositoryConfig, SecretFrom, load};
use crate::cli::error::{CliError, Exit};
use crate::cli::password;
use zeroize::Zeroizing;

impl Settings {
    /// With the repository that the configuration knows by the name that was given, or with its only one if none was given.
    pub fn with_configuration(mut self) -> Result<Self, CliError> {
        // A URL or path needs no configuration; not even a good one.
        if self.repository.as_deref().is_some_and(|text| !is_name(text)) {
            return Ok(self.withholding_what_is_configured());
        }
        let Some(config) = self.configuration()? else { return Ok(self) };
        self = self.withholding(&config);
        let mut all = config.repositories.values();
        let chosen = match (&self.repository, all.next(), all.next()) {
            (Some(name), ..) => config.repository(name),
            (None, Some(only), None) => Some(only),
            _ => None,
        };
        if let Some(repository) = chosen {
            return self.choose(repository);
        }
        self.candidates = config.repositories.into_keys().collect();
        Ok(self)
    }

    /// These settings, and children inherit no variable that the configuration takes a secret from: also not that of another repository.
    #[must_use]
    pub fn withholding(mut self, config: &Config) -> Self {
        variables_of(config).for_each(|name| self.withheld.add(name));
        self
    }

    /// The same where the configuration isn't needed: as far as it can be read and is to be believed. What a folder of somebody else's says must not take variables from programs.
    fn withholding_what_is_configured(self) -> Self {
        let mut settings = self;
        if let Ok(Some(loaded)) = settings.load() {
            // PGPASSWORD is libpq's own: nobody gives the password of a configured database to a client here.
            let names = variables_of(&loaded.config).filter(|name| !name.starts_with("PG"));
            names.for_each(|name| settings.withheld.add(name));
        }
        settings
    }

    /// These settings for a repository of the configuration. Options and variables win over what that says.
    pub fn choose(&self, repository: &RepositoryConfig) -> Result<Self, CliError> {
        let mut settings = self.clone();
        settings.repository = Some(repository.url.clone());
        settings.options = repository.options.clone();
        settings.options.extend(self.given.options.clone());
        if let (None, Some(from)) = (&self.given.secret, &repository.password) {
            settings.secret = self.source_of(from)?;
        }
        settings.secret_options.clear();
        for (option, from) in &repository.secret_options {
            if !self.given.secret_options.contains_key(option) {
                settings.secret_options.insert(option.clone(), password::reveal(from, &settings)?);
            }
        }
        settings.secret_options.extend(self.given.secret_options.clone());
        settings.refuse_twice()?;
        Ok(settings)
    }

    /// The configuration; nothing if there is none. One with problems is refused.
    pub fn configuration(&self) -> Result<Option<Config>, CliError> {
        let Some(loaded) = self.load()? else { return Ok(None) };
        let count = loaded.report.problems().count();
        let Some(first) = loaded.report.problems().next() else { return Ok(Some(loaded.config)) };
        let more = if count > 1 { format!(" all {count} problems") } else { " what it makes of the rest".to_owned() };
        Err(CliError::new(Exit::Failed, first.to_string()).hint(format!("`nightsafe config check` shows{more}")))
    }

    /// The configuration with all that is wrong with it; nothing if there is none.
    pub fn load(&self) -> Result<Option<Loaded>, CliError> {
        let found = self.search.find().map_err(|error| CliError::failed("no current folder", &error))?;
        let Some(found) = found else { return Ok(None) };
        let loaded = load(&found.path);
        let grave = loaded.untrusted.iter().find(|doubt| doubt.grave);
        match grave {
            // Whoever works in a folder of somebody else's doesn't expect that to run commands.
            Some(doubt) if !found.chosen => {
                let message = format!("{} isn't used: {}", doubt.file.display(), doubt.why);
                let hint = format!("if you trust it: --config {}", found.path.display());
                Err(CliError::new(Exit::Refused, message).hint(hint))
            }
            _ => Ok(Some(loaded)),
        }
    }

    /// Where a secret of the configuration comes from.
    pub fn source_of(&self, from: &SecretFrom) -> Result<SecretSource, CliError> {
        let failed = |message: String| CliError::new(Exit::Failed, message);
        Ok(match from {
            SecretFrom::Credential(name) => {
                let folder = self.environment.path("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    failed(format!("there is no {from}: CREDENTIALS_DIRECTORY isn't set")).hint(
                        "systemd sets it in a unit with LoadCredential=; elsewhere, use { file = \"…\" } or an option",
                    )
                })?;
                SecretSource::Systemd(folder.join(name))
            }
            SecretFrom::File(path) => SecretSource::File(path.clone()),
            SecretFrom::Env(name) => SecretSource::Variable(name.clone(), variable(&self.environment, name)?),
            SecretFrom::Command(command) => SecretSource::PasswordCommand(command.clone()),
        })
    }
}

/// The variables that a configuration takes secrets from.
fn variables_of(config: &Config) -> impl Iterator<Item = &String> {
    config.secrets().into_iter().filter_map(|(_, from)| match from {
        SecretFrom::Env(name) => Some(name),
        _ => None,
    })
}

fn variable(environment: &Environment, name: &str) -> Result<Zeroizing<String>, CliError> {
    let unset = || CliError::new(Exit::Failed, format!("the variable {name} isn't set"));
    environment.text(name)?.map(Zeroizing::new).ok_or_else(unset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::GlobalArgs;
    use crate::snapshot::child::Withheld;
    use std::fs;
    use tempfile::TempDir;

    const TWO: &str = r#"
[repository.nas]
url = "night"
options = { connections = 3 }
password = { file = "pw" }
[repository.offsite]
url = "s3:bucket"
options = { region = "eu", endpoint = "https://s3.example.net" }
secret_options = { secret_access_key = { env = "MY_KEY" }, access_key_id = { command = "echo id" } }
password = { env = "MY_PASSWORD" }
"#;

    fn folder(text: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("n.toml"), text).unwrap();
        folder
    }

    /// The settings of `-r NAME` and these variables.
    fn settings(folder: &TempDir, name: Option<&str>, variables: &[(&str, &str)]) -> Result<Settings, CliError> {
        let args = GlobalArgs {
            repo: name.map(str::to_owned),
            config: Some(folder.path().join("n.toml")),
            ..GlobalArgs::default()
        };
        let environment = Environment(variables.iter().map(|(name, value)| (name.into(), value.into())).collect());
        Settings::resolve(&args, &environment)?.with_configuration()
    }

    const KEYS: [(&str, &str); 2] = [("MY_KEY", "hush"), ("MY_PASSWORD", "words")];

    #[test]
    fn a_repository_is_called_by_its_name() {
        let folder = folder(TWO);
        let offsite = settings(&folder, Some("offsite"), &KEYS).unwrap();
        assert_eq!(offsite.repository().unwrap(), "s3:bucket");
        assert_eq!(offsite.secret.to_string(), "the variable MY_PASSWORD");
        assert_eq!(offsite.options["region"], "eu");
        let secrets: Vec<_> =
            offsite.secret_options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(secrets, [("access_key_id", "id"), ("secret_access_key", "hush")]);
        let names = KEYS.map(|(name, _)| name);
        assert_eq!(offsite.withheld, Withheld::from_iter(names), "children inherit neither");

        let nas = settings(&folder, Some("nas"), &[]).unwrap();
        assert_eq!(nas.withheld, offsite.withheld, "nor those of the other repository");
        assert_eq!(nas.repository().unwrap(), folder.path().join("night").to_str().unwrap());
        assert_eq!(nas.secret.to_string(), format!("the file {}", folder.path().join("pw").display()));
        assert_eq!(nas.options["connections"], "3");
        assert!(settings(&folder, Some("offsite"), &[]).is_err_and(|error| error.message().contains("MY_PASSWORD")));
    }

    #[test]
    fn options_and_variables_win_over_the_configuration() {
        let folder = folder(TWO);
        let mut variables = KEYS.to_vec();
        variables.extend([("NIGHTSAFE_PASSWORD", "x"), ("NIGHTSAFE_STORE_SECRET_ACCESS_KEY", "other")]);
        let offsite = settings(&folder, Some("offsite"), &variables).unwrap();
        assert_eq!(offsite.secret.to_string(), "the variable NIGHTSAFE_PASSWORD");
        assert_eq!(offsite.secret_options["secret_access_key"].as_str(), "other");
        let args = GlobalArgs {
            repo: Some("offsite".to_owned()),
            options: vec!["region=us".to_owned()],
            config: Some(folder.path().join("n.toml")),
            ..GlobalArgs::default()
        };
        let resolved = Settings::resolve(&args, &Environment::from(KEYS)).unwrap().with_configuration().unwrap();
        assert_eq!((resolved.options["region"].as_str(), resolved.options.len()), ("us", 2));
    }

    #[test]
    fn a_url_wins_and_needs_no_configuration() {
        let broken = folder("nonsense");
        assert_eq!(settings(&broken, Some("./nas"), &[]).unwrap().repository().unwrap(), "./nas");
        assert_eq!(settings(&broken, Some("s3:nas"), &[]).unwrap().repository().unwrap(), "s3:nas");
        assert!(settings(&broken, Some("nas"), &[]).is_err_and(|error| error.message().contains("n.toml:1")));
        let folder = folder(TWO);
        assert_eq!(settings(&folder, Some("unknown"), &[]).unwrap().repository().unwrap(), "unknown", "a folder");
    }

    /// Once, programs that were run for a repository by its URL inherited the passwords of those in the configuration, which wasn't looked at.
    #[test]
    fn children_inherit_no_configured_secret_though_a_url_needs_no_configuration() {
        let folder = folder(TWO);
        let resolved = settings(&folder, Some("./nas"), &KEYS).unwrap();
        assert_eq!(resolved.withheld, Withheld::from_iter(KEYS.map(|(name, _)| name)));
        assert_eq!(resolved.secret.to_string(), "the terminal", "nothing else of it counts");
    }

    #[test]
    fn the_only_repository_needs_no_name_and_of_several_one_is_asked_for() {
        let one = folder("[repository.nas]\nurl = \"/mnt/night\"\n");
        let only = settings(&one, None, &[]).unwrap();
        assert_eq!((only.repository().unwrap(), only.secret.to_string()), ("/mnt/night", "the terminal".to_owned()));
        let error = settings(&folder(TWO), None, &[]).unwrap().repository().unwrap_err();
        assert_eq!(error.next_step(), Some("give -r NAME; the configuration has nas, offsite"));
        let named = settings(&folder(TWO), None, &[("NIGHTSAFE_REPOSITORY", "nas")]).unwrap();
        assert!(named.repository().unwrap().ends_with("/night"));
    }

    #[test]
    fn secrets_are_read_from_where_the_configuration_says() {
        let folder = folder("");
        let path = folder.path().to_str().unwrap();
        fs::write(folder.path().join("pw"), "two words\n").unwrap();
        let settings = settings(&folder, None, &[("CREDENTIALS_DIRECTORY", path), ("WORD", "w")]).unwrap();
        let read = |from: SecretFrom| password::reveal(&from, &settings).map(|text| text.to_string());
        assert_eq!(read(SecretFrom::Credential("pw".to_owned())).unwrap(), "two words");
        assert_eq!(read(SecretFrom::File(folder.path().join("pw"))).unwrap(), "two words");
        assert_eq!(read(SecretFrom::Env("WORD".to_owned())).unwrap(), "w");
        assert_eq!(read(SecretFrom::Command("echo w".to_owned())).unwrap(), "w");
        for wrong in [
            SecretFrom::Credential("none".to_owned()),
            SecretFrom::Env("NONE".to_owned()),
            SecretFrom::Command("exit 1".to_owned()),
            SecretFrom::Command("true".to_owned()),
            SecretFrom::File(folder.path().join("n.toml")),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
