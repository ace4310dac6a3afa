//! Which file is read, and those that it includes.

use super::decode::{Decoded, decode};
use super::document::{Document, join};
use super::finding::{Place, Report};
use super::model::Config;
use globset::GlobBuilder;
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file, in bytes.
const LONGEST: u64 = 1 << 20;
/// Most files that are included.
const MOST: usize = 1_000;
/// The name that is looked for.
const NAME: &str = "nightsafe.toml";
/// Where it's looked for last.
const SYSTEM: &str = "/etc/nightsafe/nightsafe.toml";

/// Where to look for the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The file that somebody named, and by which option or variable.
    pub named: Option<(PathBuf, &'static str)>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its absolute path.
    pub path: PathBuf,
    /// Whether somebody named it, or it is the system's: a file that merely lies in the current folder isn't believed without looking at its owner.
    pub chosen: bool,
}

impl Search {
    /// The file that is to be read; nothing if there is none and nobody named one.
    pub fn find(&self) -> io::Result<Option<Found>> {
        if let Some((path, _)) = &self.named {
            return Ok(Some(Found { path: std::path::absolute(path)?, chosen: true }));
        }
        let here = std::path::absolute(NAME)?;
        let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
        Ok(if exists(&here) {
            Some(Found { path: here, chosen: false })
        } else {
            let system = PathBuf::from(SYSTEM);
            exists(&system).then_some(Found { path: system, chosen: true })
        })
    }
}

/// Why what a file says may come from somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: String,
    /// Whether that's reason enough not to believe a file that nobody named.
    pub grave: bool,
}

impl Doubt {
    /// The beginning of the file.
    pub fn place(&self) -> Place {
        Place { file: self.file.clone(), line: 1 }
    }
}

/// A configuration with all that was found out about it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The configuration, as far as it could be read.
    pub config: Config,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    /// Those of them that others than this user and root may have written.
    pub untrusted: Vec<Doubt>,
    /// What is wrong with it.
    pub report: Report,
}

/// Reads a file and those that it includes.
pub fn load(path: &Path) -> Loaded {
    let mut loaded = Loaded::default();
    read_all(path, &mut loaded);
    complete(&mut loaded);
    loaded.report.sort();
    loaded
}

fn read_all(path: &Path, loaded: &mut Loaded) {
    let mut seen = BTreeSet::new();
    let Some(first) = read_into(path, false, &mut seen, loaded) else { return };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    merge(first.config, loaded);
    let mut included = Vec::new();
    for pattern in &first.include {
        match expand(&folder, pattern) {
            Ok(paths) => included.extend(paths),
            Err(why) => loaded.report.problem_at("include", format!("`{}`: {why}", super::document::shorten(pattern))),
        }
    }
    if included.len() > MOST {
        loaded.report.problem_at("include", format!("includes more than {MOST} files"));
        return;
    }
    for path in included {
        if let Some(decoded) = read_into(&path, true, &mut seen, loaded) {
            merge(decoded.config, loaded);
        }
    }
}

/// Reads and decodes one file, unless it was read before.
fn read_into(path: &Path, included: bool, seen: &mut BTreeSet<(u64, u64)>, loaded: &mut Loaded) -> Option<Decoded> {
    let whole = Some(Place { file: path.to_owned(), line: 1 });
    if path.to_str().is_none() {
        loaded.report.problem(whole, "", "the path of a configuration file must be UTF-8");
        return None;
    }
    let (text, metadata) = match read(path) {
        Ok(read) => read,
        Err(error) => {
            loaded.report.problem(whole, "", format!("can't be read: {error}"));
            return None;
        }
    };
    if !seen.insert((metadata.dev(), metadata.ino())) {
        loaded.report.problem(whole, "", "is included twice, or includes itself");
        return None;
    }
    loaded.files.push(path.to_owned());
    loaded.untrusted.extend(doubt(path, &metadata));
    let before = std::mem::take(&mut loaded.report.places);
    let decoded = decode(&Document::new(path, &text), &text, included, &mut loaded.report);
    // What an earlier file says stays where it is: `merge` names both places.
    let places = std::mem::replace(&mut loaded.report.places, before);
    loaded.place(places);
    Some(decoded)
}

/// The text of a regular file of bounded length.
fn read(path: &Path) -> io::Result<(String, Metadata)> {
    let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message.to_owned());
    // Without waiting, should it be a pipe.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(invalid("longer than a mebibyte"));
    }
    String::from_utf8(bytes).map(|text| (text, metadata)).map_err(|_| invalid("not text in UTF-8"))
}

/// Why what the file says may come from somebody else.
fn doubt(file: &Path, metadata: &Metadata) -> Option<Doubt> {
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let doubt = |why: &str, grave| Some(Doubt { file: file.to_owned(), why: why.to_owned(), grave });
    if owner != 0 && owner != own {
        let name = uzers::get_user_by_uid(owner).map(|user| user.name().to_string_lossy().into_owned());
        return doubt(&format!("it belongs to {}", name.unwrap_or_else(|| format!("user {owner}"))), true);
    }
    match metadata.mode() & 0o022 {
        0 => None,
        0o020 => doubt("its group may write it", false),
        _ => doubt("everybody may write it", true),
    }
}

/// The files that a pattern means, sorted; only its last component may have wildcards.
fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = join(folder, pattern);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err("names no file".to_owned());
    };
    let wild = |text: &str| text.contains(['*', '?', '[', '{']);
    if pattern.rsplit_once('/').is_some_and(|(folder, _)| wild(folder)) {
        return Err("only the last component may have wildcards".to_owned());
    }
    if !wild(name) {
        return Ok(vec![path]);
    }
    let glob = GlobBuilder::new(name).literal_separator(true).build();
    let matcher = glob.map_err(|error| error.kind().to_string())?.compile_matcher();
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        // A folder for further applications needn't exist before there are any.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && matcher.is_match(&name) {
            found.push(parent.join(name));
        }
    }
    found.sort();
    Ok(found)
}

impl Loaded {
    /// Takes over where keys of a further file stand; what is defined twice is refused, naming both places.
    fn place(&mut self, places: BTreeMap<String, Place>) {
        for (key, place) in places {
            let parts: Vec<_> = key.split('.').collect();
            let defines = matches!(parts[..], ["timezone" | "notify"] | ["repository" | "app", _]);
            match self.report.places.get(&key) {
                Some(first) if defines => {
                    let message = format!("defined twice; the first time in {first}");
                    self.report.problem(Some(place), &key, message);
                }
                Some(_) => {}
                None => drop(self.report.places.insert(key, place)),
            }
        }
    }
}

/// Adds what a file says; of what is defined twice the first counts.
fn merge(config: Config, loaded: &mut Loaded) {
    let into = &mut loaded.config;
    into.timezone = into.timezone.take().or(config.timezone);
    if into.notify == super::model::Notify::default() {
        into.notify = config.notify;
    }
    for (name, repository) in config.repositories {
        into.repositories.entry(name).or_insert(repository);
    }
    for (name, app) in config.apps {
        into.apps.entry(name).or_insert(app);
    }
}

/// What can only be told when all files are read.
fn complete(loaded: &mut Loaded) {
    let known: Vec<String> = loaded.config.repositories.keys().cloned().collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    for (name, app) in &mut loaded.config.apps {
        if app.repositories.is_empty() {
            app.repositories.clone_from(&known);
        }
        let key = format!("app.{name}.repositories");
        for unknown in app.repositories.iter().filter(|name| !known.contains(name)) {
            let nearest = super::document::nearest(unknown, &names).map(|known| format!("; did you mean `{known}`?"));
            let message = format!("there is no repository `{unknown}`{}", nearest.unwrap_or_default());
            loaded.report.problem_at(&key, message);
        }
    }
}
