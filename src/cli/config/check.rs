//! What only the host can tell of a configuration: whether paths exist and secrets can be read. And what this version of nightsafe doesn't act on yet.

use super::files::Loaded;
use super::finding::Report;
use super::model::{AppConfig, Consistency, KeyName, Notify, RepositoryConfig, SecretFrom, SourceKind, Verify};
use super::stack;
use crate::cli::error::CliError;
use crate::repo::store::url::StoreUrl;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Reads a secret, and tells only whether that worked.
pub type Reveal<'a> = &'a dyn Fn(&SecretFrom) -> Result<(), CliError>;

/// Looks at all that a configuration names, and adds what is wrong to its report.
pub fn check(loaded: &mut Loaded, reveal: Reveal) {
    let Loaded { config, untrusted, report, .. } = loaded;
    for doubt in untrusted.iter() {
        let message = format!("{}: whoever can write it decides what nightsafe runs and where backups go", doubt.why);
        report.warning(Some(doubt.place()), "", message);
    }
    let runs = untrusted.is_empty();
    let secret = |key: String, from: &SecretFrom, report: &mut Report| {
        if matches!(from, SecretFrom::Command(_)) && !runs {
            report.warning_at(&key, "its command isn't tried, since somebody else may have written it");
        } else if let Err(error) = reveal(from) {
            let why = [&[error.message().to_owned()], error.causes()].concat().join(": ");
            report.problem_at(&key, format!("{from} can't be read: {why}"));
        }
    };
    for (key, from) in config.secrets() {
        secret(key, from, report);
    }
    if config.notify != Notify::default() {
        later("notify", report);
    }
    for repository in config.repositories.values() {
        options(repository, report);
    }
    for app in config.apps.values() {
        paths(app, report);
        unused(app, report);
    }
    report.sort();
}

/// Whether the storage has these options.
fn options(repository: &RepositoryConfig, report: &mut Report) {
    let Ok(url) = StoreUrl::parse(&repository.url) else { return };
    let known = url.options();
    let plain = repository.options.keys().map(|option| ("options", option));
    for (table, option) in plain.chain(repository.secret_options.keys().map(|option| ("secret_options", option))) {
        if !known.contains(&option.as_str()) {
            let nearest = super::document::nearest(option, &known).map(|known| format!("; did you mean `{known}`?"));
            let key = format!("repository.{}.{table}.{option}", repository.name);
            let message = format!("the storage has no such option{}", nearest.unwrap_or_default());
            report.problem_at(&key, message);
        }
    }
}

/// Whether what an application names is there.
fn paths(app: &AppConfig, report: &mut Report) {
    let compose = format!("app.{}.compose", app.name);
    for file in &app.compose {
        if !file.is_file() {
            report.problem_at(&compose, format!("there is no file {}", file.display()));
        }
    }
    for source in &app.sources {
        let key = format!("app.{}.source.{}", app.name, source.name);
        match &source.kind {
            SourceKind::Files(files) => {
                for path in &files.paths {
                    exists(path).unwrap_or_else(|why| report.problem_at(&key, why));
                }
            }
            SourceKind::Stack(_) => stack_files(&app.compose, &key, report),
            SourceKind::Command(command) => {
                let program = command.command.first().map(String::as_str).unwrap_or_default();
                program_exists(program).unwrap_or_else(|why| report.problem_at(&key, why));
            }
            SourceKind::Postgres(_) => {}
        }
    }
    for name in app.keys.decrypts.iter().chain(&app.keys.signs) {
        if let KeyName::File(file) | KeyName::Value { file, .. } = name {
            exists(file).unwrap_or_else(|why| report.problem_at(&format!("app.{}.keys", app.name), why));
        }
    }
}

/// Whether a program can be found as the system would.
fn program_exists(program: &str) -> Result<(), String> {
    if program.contains('/') {
        return exists(Path::new(program));
    }
    // Without a PATH the system looks there.
    let folders = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    if std::env::split_paths(&folders).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    Err(format!("there is no program {program} in PATH"))
}

fn exists(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{} doesn't exist", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn stack_files(compose: &[PathBuf], key: &str, report: &mut Report) {
    // That a compose file is missing was said already.
    let Ok(found) = stack::files(compose) else { return };
    for missing in found.missing {
        report.warning_at(key, missing);
    }
}

/// What is understood and not acted on.
fn unused(app: &AppConfig, report: &mut Report) {
    let keys = [
        ("schedule", app.schedule.is_some()),
        ("consistency", app.consistency != Consistency::Live),
        ("max_age", app.max_age.is_some()),
        ("rehearse", app.rehearse.is_some()),
        ("verify", app.verify != Verify::default()),
    ];
    for (name, _) in keys.iter().filter(|(_, given)| *given) {
        later(&format!("app.{}.{name}", app.name), report);
    }
    for source in &app.sources {
        if matches!(&source.kind, SourceKind::Files(files) if files.references.is_some()) {
            later(&format!("app.{}.source.{}.references", app.name, source.name), report);
        }
    }
}

fn later(key: &str, report: &mut Report) {
    report.warning_at(key, "understood, but this version doesn't act on it yet");
}
