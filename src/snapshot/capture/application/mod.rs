//! What is known of an application: its version, the images that it runs, its keys.
//!
//! None of this is needed to restore its data, so what can't be found out is a warning and no problem of the snapshot.

mod containers;
mod keys;

pub use containers::{Containers, Inspected};
pub use keys::{KeyPlace, KeySource};

use crate::snapshot::child::Withheld;
use crate::snapshot::manifest::application::{Application, Image};
use crate::snapshot::source::variables::values::Variables;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::thread;
use zeroize::Zeroizing;

/// Longest file of variables, keys or a version that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Longest output of a command that is read, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;
/// Bytes of what a command says of its failure.
const MAX_WORDS: u64 = 4 << 10;
/// Longest version, in characters.
const MAX_VERSION: usize = 200;

/// Where an application's version, images and keys are found.
#[derive(Debug, Clone, Default)]
pub struct ApplicationSource {
    /// How its containers are found, if it has some.
    pub containers: Option<Containers>,
    /// Where its version is found; at the image if there is only one with a version.
    pub version: Option<VersionSource>,
    /// Files of variables; what a later one sets counts.
    pub environment: Vec<PathBuf>,
    /// Its keys.
    pub keys: Vec<KeySource>,
    /// Variables that commands mustn't inherit.
    pub withheld: Withheld,
}

/// Where a version is found.
#[derive(Debug, Clone)]
pub enum VersionSource {
    /// At the image of this service: its label, else its tag.
    Service(String),
    /// In a variable.
    Variable(String),
    /// The first line of what a shell command prints.
    Command(String),
    /// The first line of a file.
    File(PathBuf),
}

impl ApplicationSource {
    /// Finds out what can be found out; what can't goes to `warn`. `key` is what fingerprints are keyed with.
    pub fn look(&self, key: &[u8; 32], warn: &dyn Fn(String)) -> Application {
        let images = self.containers.as_ref().map_or(Ok(Vec::new()), |containers| containers.images(&self.withheld));
        let images = images.unwrap_or_else(|why| {
            warn(format!("the images of the application aren't known: {why}"));
            Vec::new()
        });
        let variables = self.variables(warn);
        let version = self.version(&images, &variables).unwrap_or_else(|why| {
            warn(format!("the version of the application isn't known: {why}"));
            None
        });
        Application { version, images, keys: keys::look(&self.keys, &variables, key, warn) }
    }

    fn variables(&self, warn: &dyn Fn(String)) -> Variables {
        let mut variables = Variables::default();
        for path in &self.environment {
            match read_start(path) {
                Ok(content) => variables.add(&content),
                Err(error) => warn(format!("{}: {error}: the keys in it aren't known", path.display())),
            }
        }
        variables
    }

    fn version(&self, images: &[Image], variables: &Variables) -> Result<Option<String>, String> {
        let text = match &self.version {
            // That of one image among several could be that of the database.
            None => {
                let versions: BTreeSet<&str> = images.iter().filter_map(|image| image.version.as_deref()).collect();
                return Ok(versions.first().filter(|_| versions.len() == 1).map(|&version| version.to_owned()));
            }
            Some(VersionSource::Service(service)) => {
                let image = images.iter().find(|image| image.service == *service);
                let image = image.ok_or_else(|| format!("no container of service {service} runs"))?;
                let tag = || image.image.rsplit_once(':').map(|(_, tag)| tag.to_owned());
                image.version.clone().or_else(tag).ok_or_else(|| format!("{} says none", image.image))?
            }
            Some(VersionSource::Variable(name)) => {
                let value = variables.get(name).ok_or_else(|| format!("{name} isn't set"))?;
                String::from_utf8_lossy(value).into_owned()
            }
            Some(VersionSource::Command(command)) => output(&["sh", "-c", command], &self.withheld)?,
            Some(VersionSource::File(path)) => {
                let content = read_start(path).map_err(|error| format!("{}: {error}", path.display()))?;
                String::from_utf8_lossy(&content).into_owned()
            }
        };
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let clean: String = line.chars().filter(|c| !c.is_control()).take(MAX_VERSION).collect();
        if clean.is_empty() { Err("nothing was said".to_owned()) } else { Ok(Some(clean)) }
    }
}

/// What a command prints on standard output.
fn output(words: &[&str], withheld: &Withheld) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("there is no command".to_owned()) };
    let fault = |error: io::Error| format!("{program}: {error}");
    let mut command = withheld.leading(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(fault)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let words = thread::spawn(move || stderr.map(words_of).unwrap_or_default());
    let mut text = Vec::new();
    let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_OUTPUT + 1).read_to_end(&mut text));
    let is_too_long = text.len() as u64 > MAX_OUTPUT;
    if is_too_long || read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(fault)?;
    read.map_err(fault)?;
    if is_too_long {
        return Err(format!("{program}: it says more than {} MiB", MAX_OUTPUT >> 20));
    }
    if !status.success() {
        let words = words.join().unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        return Err(format!("{program}: {status}: {}", words.lines().next().unwrap_or_default()));
    }
    String::from_utf8(text).map_err(|_| format!("{program}: its output isn't UTF-8"))
}

/// The beginning of what a command says; all of it is read, so that it can go on.
fn words_of(mut stderr: ChildStderr) -> Vec<u8> {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(MAX_WORDS).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    words
}

/// The start of a file; all of it, unless it's absurdly long.
fn read_start(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)?.take(MAX_FILE).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command for the version that never ends was read until there was no memory left.
    #[test]
    fn no_more_than_that_is_read_of_a_command() {
        let says = |bytes: u64| {
            let script = format!("head -c {bytes} /dev/zero | tr '\\0' x; echo odd >&2");
            output(&["sh", "-c", &script], &Withheld::default())
        };
        assert_eq!(says(MAX_OUTPUT).map(|text| text.len() as u64), Ok(MAX_OUTPUT));
        assert_eq!(says(MAX_OUTPUT + 1), Err("sh: it says more than 16 MiB".to_owned()));
    }

    #[test]
    fn of_a_command_that_fails_the_first_line_is_told() {
        let script = "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3";
        let why = output(&["sh", "-c", script], &Withheld::default()).unwrap_err();
        assert_eq!(why, format!("sh: exit status: 3: {}", "x".repeat(4 << 10)));
    }
}
