//! Sources: their kind, and what it needs.

use super::secret::{holds_password, secret};
use crate::cli::config::document::{Section, join, nearest, shorten};
use crate::cli::config::finding::Report;
use crate::cli::config::model::{
    CommandSource, Databases, FilesSource, PostgresSource, Reach, SourceConfig, SourceKind, StackSource,
};
use crate::cli::ui::units;
use crate::snapshot::capture::sidecar;
use crate::snapshot::postgres::options;
use crate::snapshot::postgres::server::check_prefix;
use crate::snapshot::source::excludes::{ExcludeOptions, Excludes};
use crate::snapshot::source::secrets::SecretRules;
use crate::snapshot::tree::path::SafePath;
use std::collections::BTreeSet;
use std::path::Path;

/// The keys that tell the kind where `kind` is left out.
const FILES: [&str; 2] = ["path", "paths"];
const POSTGRES: [&str; 7] = ["service", "exec", "url", "host", "port", "database", "databases"];

/// What sources know of their application.
pub struct Around<'a> {
    /// The folder that relative paths are relative to.
    pub folder: &'a Path,
    /// Whether there is a compose file.
    pub compose: bool,
}

/// Decodes one source.
pub fn source(name: &str, mut section: Section, around: &Around, report: &mut Report) -> Option<SourceConfig> {
    if let Err(message) = name_fits(name) {
        section.problem(report, message);
    }
    let kind = match section.get("kind", report) {
        Some(node) => node.text(report).and_then(|text| known(&text).map_err(|why| node.problem(report, why)).ok())?,
        None => implied(name, &section).or_else(|| {
            let kinds = SourceKind::NAMES.join(", ");
            section.problem(report, format!("has no `kind`; kinds are {kinds}"));
            None
        })?,
    };
    let kind = match kind {
        "files" => SourceKind::Files(files(&mut section, around, report)),
        "postgres" => SourceKind::Postgres(postgres(&mut section, around, report)),
        "command" => SourceKind::Command(command(name, &mut section, report)),
        _ => {
            if !around.compose {
                section.problem(report, "a stack is what `compose` of the app names, and it names nothing");
            }
            SourceKind::Stack(StackSource {})
        }
    };
    section.finish(report);
    Some(SourceConfig { name: name.to_owned(), kind })
}

/// The folder of the snapshot has this name.
fn name_fits(name: &str) -> Result<(), String> {
    let one = SafePath::parse(name.as_bytes()).is_ok_and(|path| path.depth() == 1) && !name.contains('/');
    if one && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("a source's name is a folder of the snapshot: one component of a path, without control characters"
            .to_owned())
    }
}

fn known(text: &str) -> Result<&'static str, String> {
    SourceKind::NAMES.into_iter().find(|kind| *kind == text).ok_or_else(|| {
        let nearest = nearest(text, &SourceKind::NAMES).map(|kind| format!("did you mean `{kind}`? "));
        let kinds = SourceKind::NAMES.join(", ");
        format!("unknown kind `{}`; {}kinds are {kinds}", shorten(text), nearest.unwrap_or_default())
    })
}

/// The kind that the keys, or else the name, tell.
fn implied(name: &str, section: &Section) -> Option<&'static str> {
    if FILES.iter().any(|key| section.has(key)) {
        return Some("files");
    }
    if POSTGRES.iter().any(|key| section.has(key)) {
        return Some("postgres");
    }
    if section.has("command") {
        return Some("command");
    }
    known(name).ok()
}

fn files(section: &mut Section, around: &Around, report: &mut Report) -> FilesSource {
    let one = section.get("path", report);
    let several = section.get("paths", report);
    let paths = match (&one, &several) {
        (Some(node), None) => node.text(report).into_iter().collect(),
        (None, Some(node)) => node.texts(report),
        _ => {
            section.problem(report, "needs `path`, or `paths` if there are several");
            Vec::new()
        }
    };
    let paths: Vec<_> = paths.iter().map(|path| join(around.folder, path)).collect();
    let names: BTreeSet<_> = paths.iter().map(|path| path.file_name()).collect();
    if paths.len() > 1 && (names.len() < paths.len() || names.contains(&None)) {
        section.problem(report, "two of its paths have the same last component: make two sources of them");
    }
    let larger = section.get("exclude_larger_than", report);
    let exclude = list(section, "exclude", report);
    // Found out here, rather than by the next backup.
    if let Err(error) = Excludes::compile(&ExcludeOptions { patterns: exclude.clone(), ..ExcludeOptions::default() }) {
        section.problem(report, error.to_string());
    }
    let sidecar = section.get("sidecar", report).and_then(|node| node.text(report));
    if let Some(Err(message)) = sidecar.as_deref().map(sidecar::check) {
        section.problem(report, message);
    }
    FilesSource {
        paths,
        exclude,
        exclude_larger_than: larger
            .and_then(|node| node.as_number().or_else(|| node.parsed(units::parse_size, report))),
        one_file_system: flag(section, "one_file_system", false, report),
        expand: flag(section, "expand", true, report),
        secret: secrets(section, report),
        references: section.get("references", report).and_then(|node| node.text(report)),
        sidecar,
    }
}

fn command(name: &str, section: &mut Section, report: &mut Report) -> CommandSource {
    let command = list(section, "command", report);
    if command.first().is_none_or(String::is_empty) {
        section.problem(report, "needs `command`, a list of words such as [\"mariadb-dump\", \"wiki\"]");
    }
    if command.iter().any(|word| holds_password(word)) {
        section.problem(report, "`command` holds a password: every user of the host could read it");
    }
    let file = section.get("file", report).and_then(|node| node.text(report)).unwrap_or_else(|| name.to_owned());
    if let Err(message) = name_fits(&file) {
        section.problem(report, message.replace("a source's name is a folder", "`file` is a file"));
    }
    let secret = secrets(section, report);
    CommandSource { command, file, expand: flag(section, "expand", true, report), secret }
}

fn flag(section: &mut Section, name: &'static str, default: bool, report: &mut Report) -> bool {
    section.get(name, report).and_then(|node| node.flag(report)).unwrap_or(default)
}

fn list(section: &mut Section, name: &'static str, report: &mut Report) -> Vec<String> {
    section.get(name, report).map(|node| node.texts(report)).unwrap_or_default()
}

/// Patterns of secret files.
fn secrets(section: &mut Section, report: &mut Report) -> Vec<String> {
    let patterns = list(section, "secret", report);
    if let Err(error) = SecretRules::compile(&patterns) {
        section.problem(report, error.to_string());
    }
    patterns
}

fn postgres(section: &mut Section, around: &Around, report: &mut Report) -> PostgresSource {
    let reach = reach(section, around, report);
    let args = list(section, "args", report);
    if args.iter().any(|arg| holds_password(arg)) {
        section.problem(report, "`args` holds a password: every user of the host could read it; use `password`");
    } else if let Err(error) = options::check(&args) {
        section.problem(report, format!("`args`: {error}"));
    }
    PostgresSource {
        reach,
        user: section.get("user", report).and_then(|node| node.text(report)),
        databases: databases(section, report),
        password: section.get("password", report).and_then(|node| secret(&node, report)),
        schemas: list(section, "schemas", report),
        exclude_table_data: list(section, "exclude_table_data", report),
        args,
        globals: section.get("globals", report).and_then(|node| node.flag(report)).unwrap_or(true),
        keys_in_use: section.get("keys_in_use", report).and_then(|node| node.text(report)),
    }
}

fn reach(section: &mut Section, around: &Around, report: &mut Report) -> Reach {
    let service = section.get("service", report).and_then(|node| {
        if !around.compose {
            node.problem(report, "a service needs `compose` in the app");
        }
        node.text(report)
    });
    let exec = section.get("exec", report).map(|node| {
        let words = node.list(report);
        if words.is_empty() {
            node.problem(report, "must be a command's words, such as [\"docker\", \"exec\", \"-i\", \"NAME\"]");
        }
        if let Err(error) = check_prefix(&words) {
            node.problem(report, error.to_string());
        }
        words
    });
    let url = section.get("url", report).and_then(|node| {
        let fits = |text: &str| {
            if holds_password(text) {
                return Err("holds a password: leave it out, and say in `password` where it comes from".to_owned());
            }
            let scheme = text.starts_with("postgres://") || text.starts_with("postgresql://");
            if scheme { Ok(text.to_owned()) } else { Err("must begin with postgresql://".to_owned()) }
        };
        node.parsed(fits, report)
    });
    let host = section.get("host", report).and_then(|node| node.text(report));
    let port = section.get("port", report).and_then(|node| node.number(1, 65_535, report));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let ways = [service.is_some(), exec.is_some(), url.is_some(), host.is_some() || port.is_some()];
    // Inside a container the host may be another one, as a pooler's neighbour is; that is for `exec` and `args` to say.
    if ways.iter().filter(|way| **way).count() > 1 {
        section.problem(report, "`service`, `exec`, `url` and `host` are four ways to reach a server: give one");
    }
    match (service, exec, url) {
        (Some(service), ..) => Reach::Service { service },
        (_, Some(exec), _) => Reach::Exec { exec },
        (.., Some(url)) => Reach::Url { url },
        _ => Reach::Server { host, port },
    }
}

fn databases(section: &mut Section, report: &mut Report) -> Option<Databases> {
    let (one, several) = (section.get("database", report), section.get("databases", report));
    match (one, several) {
        (Some(_), Some(node)) => {
            node.problem(report, "give `database` or `databases`");
            None
        }
        (Some(node), None) => node.text(report).map(|name| Databases::Named(vec![name])),
        (None, Some(node)) if node.as_text().is_some_and(|text| text == "all") => Some(Databases::All),
        (None, Some(node)) if node.as_text().is_some() => {
            node.problem(report, "must be \"all\" or an array of names");
            None
        }
        (None, Some(node)) => {
            let names = node.list(report);
            if names.is_empty() {
                node.problem(report, "names no database");
            }
            let mut seen = BTreeSet::new();
            if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
                node.problem(report, format!("names `{}` twice", shorten(name)));
            }
            Some(Databases::Named(names))
        }
        (None, None) => None,
    }
}
