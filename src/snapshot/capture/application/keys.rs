//! The keys of an application: which there are, by keyed fingerprints, never by value.

use super::read_start;
use crate::snapshot::application::fingerprint;
use crate::snapshot::manifest::application::{Key, KeyUse};
use crate::snapshot::source::variables::values::Variables;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A key that an application's data or its users' sessions need.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// Where it is.
    pub place: KeyPlace,
    /// What it's for.
    pub usage: KeyUse,
    /// The variable that holds the id that the application gives it.
    pub id_of: Option<String>,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a variable.
    Variable(String),
    /// It's the content of a file.
    File(PathBuf),
    /// In a TOML file.
    Value {
        /// The file.
        file: PathBuf,
        /// The value's key, with dots.
        key: String,
    },
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Value { file, key } => write!(f, "{}#{key}", file.display()),
        }
    }
}

/// Looks at all keys. One that isn't set is there without a fingerprint.
pub(super) fn look(sources: &[KeySource], variables: &Variables, key: &[u8; 32], warn: &dyn Fn(String)) -> Vec<Key> {
    let mut keys = Vec::new();
    for source in sources {
        let variable = source.place.to_string();
        let held = source.place.read(variables).unwrap_or_else(|why| {
            warn(format!("the key {variable} isn't known: {why}"));
            None
        });
        let Some(held) = held else {
            keys.push(Key { variable, usage: source.usage, id: None, fingerprint: None });
            continue;
        };
        let own_id = source
            .id_of
            .as_ref()
            .and_then(|name| variables.get(name))
            .map(|id| String::from_utf8_lossy(id).into_owned());
        for (id, secret) in split(&variable, &held) {
            let id = id.map(str::to_owned).or_else(|| own_id.clone());
            let fingerprint = Some(fingerprint(key, secret.as_bytes()));
            keys.push(Key { variable: variable.clone(), usage: source.usage, id, fingerprint });
        }
    }
    keys
}

impl KeyPlace {
    /// The key itself; nothing if it isn't set, or empty.
    fn read(&self, variables: &Variables) -> Result<Option<Zeroizing<String>>, String> {
        let text = |content: &[u8]| Zeroizing::new(String::from_utf8_lossy(content).trim_end().to_owned());
        let read = |file: &PathBuf| read_start(file).map_err(|error| error.to_string());
        let found = match self {
            Self::Variable(name) => variables.get(name).map(text),
            Self::File(file) => Some(text(&read(file)?)),
            Self::Value { file, key } => {
                let content = text(&read(file)?);
                // The parser's own words could repeat a secret.
                let table: toml::Table = content.parse().map_err(|_| "the file isn't TOML".to_owned())?;
                value(&table, key).map(Zeroizing::new)
            }
        };
        Ok(found.filter(|value| !value.is_empty()))
    }
}

/// The text at a key with dots.
fn value(table: &toml::Table, key: &str) -> Option<String> {
    let mut parts = key.split('.');
    let mut found = table.get(parts.next()?)?;
    for part in parts {
        found = found.get(part)?;
    }
    found.as_str().map(str::to_owned)
}

/// The keys that a variable holds: one, or those before it with their ids where its name says so (`kid:key,kid:key`).
fn split<'v>(variable: &str, value: &'v str) -> Vec<(Option<&'v str>, &'v str)> {
    let pair = |pair: &'v str| pair.trim().split_once(':').map(|(id, key)| (Some(id), key));
    let pairs = || value.split(',').map(pair).collect::<Option<Vec<_>>>();
    pairs().filter(|_| variable.contains("PREVIOUS")).unwrap_or_else(|| vec![(None, value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(place: KeyPlace, id_of: Option<&str>) -> KeySource {
        KeySource { place, usage: KeyUse::Decrypts, id_of: id_of.map(String::from) }
    }

    #[test]
    fn keys_are_known_by_id_and_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let (file, config) = (folder.path().join("private.key"), folder.path().join("config.toml"));
        std::fs::write(&file, "k1\n").unwrap();
        std::fs::write(&config, "[auth]\nmfa_secret_key = \"k2\"\n").unwrap();
        let variables = Variables::parse(b"KEY=k1\nKEY_KID=2\nPREVIOUS_KEYS='1:k0, 0:k:9'\nEMPTY=\n");
        let variable = |name: &str| KeyPlace::Variable(name.into());
        let sources = [
            source(variable("KEY"), Some("KEY_KID")),
            source(variable("PREVIOUS_KEYS"), None),
            source(variable("EMPTY"), None),
            source(KeyPlace::File(file), None),
            source(KeyPlace::Value { file: config.clone(), key: "auth.mfa_secret_key".into() }, None),
            source(KeyPlace::Value { file: config, key: "auth.other".into() }, None),
        ];
        let keys = look(&sources, &variables, &[7; 32], &|why| panic!("{why}"));
        let print = |value: &str| Some(fingerprint(&[7; 32], value.as_bytes()));
        let found: Vec<_> = keys.iter().map(|key| (key.id.as_deref(), key.fingerprint)).collect();
        let expected = [
            (Some("2"), print("k1")),
            (Some("1"), print("k0")),
            (Some("0"), print("k:9")),
            (None, None),
            (None, print("k1")),
            (None, print("k2")),
            (None, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_that_cannot_be_read_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "key = hush hush").unwrap();
        let sources = [source(KeyPlace::Value { file, key: "key".into() }, None)];
        let told = std::cell::RefCell::new(Vec::new());
        let keys = look(&sources, &Variables::default(), &[7; 32], &|why| told.borrow_mut().push(why));
        assert!(keys[0].fingerprint.is_none());
        assert!(told.borrow().len() == 1 && !told.borrow()[0].contains("hush"), "{:?}", told.borrow());
    }
}
