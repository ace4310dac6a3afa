//! Applications.

use super::secret::variable;
use super::source::{self, Around};
use super::{is_name, texts_by_name};
use crate::cli::config::document::{Document, Node, Section, join};
use crate::cli::config::engine::Engine;
use crate::cli::config::finding::Report;
use crate::cli::config::model::{
    AppConfig, Consistency, Keep, KeyName, Keys, Rehearse, SourceConfig, SourceKind, Verify, VersionFrom,
};
use std::path::{Path, PathBuf};

/// Decodes one application.
pub fn app(name: String, mut section: Section, report: &mut Report) -> AppConfig {
    let document = section.document;
    let compose = section.get("compose", report).map(|node| node.texts(report)).unwrap_or_default();
    let compose: Vec<PathBuf> = compose.iter().map(|path| document.resolve(path)).collect();
    let folder = folder(document, &compose);
    let around = Around { folder: &folder, compose: !compose.is_empty() };
    let mut sources = sources(&mut section, &around, report);
    let keys = section.get("keys", report).map(|node| keys(&node, &folder, &mut sources, report)).unwrap_or_default();
    let app = AppConfig {
        name,
        engine: section.get("engine", report).and_then(|node| node.parsed(Engine::parse, report)),
        repositories: repositories(&mut section, report),
        schedule: section.get("schedule", report).and_then(|node| node.parsed(str::parse, report)),
        keep: section.get("keep", report).map(|node| keep(&node, report)).unwrap_or_default(),
        consistency: section.get("consistency", report).map(|node| consistency(&node, report)).unwrap_or_default(),
        max_age: section.get("max_age", report).and_then(|node| node.parsed(str::parse, report)),
        rehearse: section.get("rehearse", report).and_then(|node| rehearse(&node, report)),
        ignore: section.get("ignore", report).map(|node| texts_by_name(&node, report)).unwrap_or_default(),
        version: section.get("version", report).and_then(|node| version(&node, report)),
        verify: section.get("verify", report).map(|node| verify(&node, report)).unwrap_or_default(),
        compose,
        sources,
        keys,
    };
    section.finish(report);
    app
}

/// What paths of an application are relative to: the folder of its compose file, else that of the configuration file.
fn folder(document: &Document, compose: &[PathBuf]) -> PathBuf {
    compose.first().and_then(|file| file.parent()).map_or_else(|| document.resolve("."), Path::to_owned)
}

fn sources(section: &mut Section, around: &Around, report: &mut Report) -> Vec<SourceConfig> {
    let Some(inner) = section.get("source", report).and_then(|node| node.section(report)) else {
        section.problem(report, "has no `source`: it says nothing that could be backed up");
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, node) in inner.all(report) {
        if let Some(section) = node.section(report) {
            all.extend(source::source(&name, section, around, report));
        }
    }
    all
}

fn repositories(section: &mut Section, report: &mut Report) -> Vec<String> {
    let Some(node) = section.get("repositories", report) else { return Vec::new() };
    let mut names = node.texts(report);
    if names.iter().any(|name| !is_name(name)) {
        node.problem(report, "must be names of repositories");
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn keep(node: &Node, report: &mut Report) -> Keep {
    let Some(mut section) = node.section(report) else { return Keep::default() };
    let mut number = |name, report: &mut Report| {
        let number = section.get(name, report).and_then(|node| node.number(0, u64::from(u32::MAX), report));
        number.and_then(|number| u32::try_from(number).ok())
    };
    let mut keep = Keep {
        last: number("last", report),
        hourly: number("hourly", report),
        daily: number("daily", report),
        weekly: number("weekly", report),
        monthly: number("monthly", report),
        quarterly: number("quarterly", report),
        yearly: number("yearly", report),
        within: None,
    };
    keep.within = section.get("within", report).and_then(|node| node.parsed(str::parse, report));
    let numbers = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.quarterly, keep.yearly];
    section.finish(report);
    if keep.within.is_none() && numbers.iter().flatten().all(|number| *number == 0) {
        node.problem(report, "would keep nothing");
    }
    keep
}

fn consistency(node: &Node, report: &mut Report) -> Consistency {
    match node.as_text() {
        Some("live") => return Consistency::Live,
        Some("pause") => return Consistency::Pause,
        _ if node.is_table() => {}
        _ => {
            node.problem(report, "must be \"live\", \"pause\" or { stop = [\"SERVICE\"], at_most = \"10min\" }");
            return Consistency::Live;
        }
    }
    let Some(mut section) = node.section(report) else { return Consistency::Live };
    let services = section.get("stop", report).map(|node| node.texts(report)).unwrap_or_default();
    let at_most = section.get("at_most", report).and_then(|node| node.parsed(str::parse, report));
    section.finish(report);
    if services.is_empty() {
        node.problem(report, "names no service to `stop`");
    }
    Consistency::Stop { services, at_most }
}

fn rehearse(node: &Node, report: &mut Report) -> Option<Rehearse> {
    let mut section = node.section(report)?;
    let every = section.get("every", report);
    if every.is_none() {
        section.problem(report, "needs `every`, such as \"7d\"");
    }
    let every = every.and_then(|node| node.parsed(str::parse, report));
    let boot = section.get("boot", report).and_then(|node| node.flag(report)).unwrap_or(false);
    section.finish(report);
    Some(Rehearse { every: every?, boot })
}

fn keys(node: &Node, folder: &Path, sources: &mut [SourceConfig], report: &mut Report) -> Keys {
    let Some(mut section) = node.section(report) else { return Keys::default() };
    let mut names = |name, report: &mut Report| -> Vec<KeyName> {
        let Some(node) = section.get(name, report) else { return Vec::new() };
        let items = node.texts(report);
        let parse = |text: &String| key_name(text, folder).map_err(|why| node.problem(report, why)).ok();
        items.iter().filter_map(parse).collect()
    };
    let (decrypts, signs) = (names("decrypts", report), names("signs", report));
    let id_of = section.get("id_of", report).map(|node| texts_by_name(&node, report)).unwrap_or_default();
    if let Some(node) = section.get("in_use", report)
        && let Some(query) = node.text(report)
    {
        hand_over(query, sources).unwrap_or_else(|why| node.problem(report, why));
    }
    section.finish(report);
    Keys { decrypts, signs, id_of }
}

/// `keys.in_use` is `keys_in_use` of the only database.
fn hand_over(query: String, sources: &mut [SourceConfig]) -> Result<(), &'static str> {
    let mut databases = sources.iter_mut().filter_map(|source| match &mut source.kind {
        SourceKind::Postgres(postgres) => Some(postgres),
        _ => None,
    });
    match (databases.next(), databases.next()) {
        (Some(postgres), None) if postgres.keys_in_use.is_none() => {
            postgres.keys_in_use = Some(query);
            Ok(())
        }
        (Some(_), None) => Err("the source's `keys_in_use` says this already"),
        _ => Err("asks the app's only postgres source; with none or several, write `keys_in_use` in a source"),
    }
}

/// `NAME`, `FILE` (with a `/`) or `FILE#KEY`.
fn key_name(text: &str, folder: &Path) -> Result<KeyName, String> {
    if !text.contains('/') {
        let hint = |_| "must be names of variables, or files: PATH/FILE, PATH/FILE.toml#KEY".to_owned();
        return variable(text).map(KeyName::Variable).map_err(hint);
    }
    Ok(match text.rsplit_once('#') {
        Some((file, key)) if !key.contains('/') => KeyName::Value { file: join(folder, file), key: key.to_owned() },
        _ => KeyName::File(join(folder, text)),
    })
}

fn version(node: &Node, report: &mut Report) -> Option<VersionFrom> {
    let mut section = node.section(report)?;
    let given = [
        section.get("service", report).and_then(|node| node.text(report)).map(VersionFrom::Service),
        section.get("variable", report).and_then(|node| node.parsed(variable, report)).map(VersionFrom::Variable),
        section.get("command", report).and_then(|node| node.text(report)).map(VersionFrom::Command),
        section.get("file", report).and_then(|node| node.path(report)).map(VersionFrom::File),
    ];
    section.finish(report);
    let mut given = given.into_iter().flatten();
    if let (Some(from), None) = (given.next(), given.next()) {
        return Some(from);
    }
    node.problem(report, "needs one of `service`, `variable`, `command` and `file`");
    None
}

fn verify(node: &Node, report: &mut Report) -> Verify {
    let Some(mut section) = node.section(report) else { return Verify::default() };
    let verify = Verify {
        http: section.get("http", report).and_then(|node| node.text(report)),
        command: section.get("command", report).and_then(|node| node.text(report)),
        by_hand: section.get("by_hand", report).map(|node| node.texts(report)).unwrap_or_default(),
    };
    section.finish(report);
    verify
}
