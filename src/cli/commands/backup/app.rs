//! The sources of an application that the configuration describes.

use crate::cli::commands::Context;
use crate::cli::config::engine::Engine;
use crate::cli::config::{
    AppConfig, CommandSource as CommandConfig, Databases, FilesSource as FilesConfig, KeyName,
    PostgresSource as PostgresConfig, Reach, SourceKind, VersionFrom, stack,
};
use crate::cli::error::CliError;
use crate::cli::password;
use crate::snapshot::backup::{BackupOptions, FilesSource};
use crate::snapshot::capture::application::{ApplicationSource, Containers, KeyPlace, KeySource, VersionSource};
use crate::snapshot::manifest::application::KeyUse;
use crate::snapshot::postgres::options::DumpOptions;
use crate::snapshot::postgres::server::Server;
use crate::snapshot::postgres::source::{PostgresSource, Which};
use crate::snapshot::source::excludes::ExcludeOptions;
use crate::snapshot::source::pipe::{PipeFrom, PipeSource};
use std::path::{Path, PathBuf};

/// Fills in what the configuration says of an application.
pub fn add_sources(app: &AppConfig, context: &Context, options: &mut BackupOptions) -> Result<(), CliError> {
    let engine = engine(app, context)?;
    for source in &app.sources {
        match &source.kind {
            SourceKind::Files(files) => options.files.push(files_source(&source.name, files)),
            SourceKind::Stack(_) => options.files.push(stack_source(&source.name, app, context)?),
            SourceKind::Command(command) => options.streams.push(command_source(&source.name, command, context)),
            SourceKind::Postgres(postgres) => {
                options.databases.push(postgres_source(&source.name, postgres, app, engine, context)?);
            }
        }
    }
    options.application = Some(application(app, engine, context)?);
    Ok(())
}

/// What runs the compose files, if there are some and something has to be asked there.
fn engine(app: &AppConfig, context: &Context) -> Result<Option<Engine>, CliError> {
    if app.compose.is_empty() {
        return Ok(None);
    }
    let found = app.engine.or_else(|| Engine::that_answers(&context.settings.withheld));
    let reaches =
        |kind: &SourceKind| matches!(kind, SourceKind::Postgres(p) if matches!(p.reach, Reach::Service { .. }));
    if found.is_none() && app.sources.iter().any(|source| reaches(&source.kind)) {
        let message = format!("nothing here runs the compose files of {}", app.name);
        return Err(CliError::new(crate::cli::error::Exit::Failed, message)
            .hint("install Docker with its compose plugin, or say which program with `engine`"));
    }
    Ok(found)
}

fn files_source(name: &str, files: &FilesConfig) -> FilesSource {
    let folder = match &files.paths[..] {
        [_] => None,
        paths => paths.first().and_then(|path| path.parent()).map(Path::to_owned),
    };
    FilesSource {
        name: Some(name.to_owned()),
        folder,
        paths: files.paths.clone(),
        excludes: ExcludeOptions {
            patterns: files.exclude.clone(),
            larger_than: files.exclude_larger_than,
            one_file_system: files.one_file_system,
            ..ExcludeOptions::default()
        },
        secrets: files.secret.clone(),
        kind: None,
        no_expand: !files.expand,
        sidecar: files.sidecar.clone(),
    }
}

fn command_source(name: &str, command: &CommandConfig, context: &Context) -> PipeSource {
    let from = PipeFrom::Command { words: command.command.clone(), withheld: context.settings.withheld.clone() };
    let (name, file, secrets) = (name.to_owned(), command.file.clone(), command.secret.clone());
    PipeSource { name, file, from, no_expand: !command.expand, secrets }
}

/// The files that a stack consists of.
fn stack_files(app: &AppConfig, context: &Context) -> Result<Vec<PathBuf>, CliError> {
    let found = stack::files(&app.compose)
        .map_err(|error| CliError::failed(format!("the compose files of {}", app.name), &error))?;
    found.missing.iter().for_each(|missing| context.ui.warn(missing));
    Ok(found.files)
}

fn stack_source(name: &str, app: &AppConfig, context: &Context) -> Result<FilesSource, CliError> {
    let paths = stack_files(app, context)?;
    Ok(FilesSource {
        name: Some(name.to_owned()),
        folder: app.compose.first().and_then(|path| path.parent()).map(Path::to_owned),
        paths,
        kind: Some("stack"),
        ..FilesSource::default()
    })
}

fn postgres_source(
    name: &str,
    postgres: &PostgresConfig,
    app: &AppConfig,
    engine: Option<Engine>,
    context: &Context,
) -> Result<PostgresSource, CliError> {
    let mut server = match &postgres.reach {
        Reach::Url { url } => Server::parse(url)?,
        Reach::Server { host, port } => {
            let server = host.iter().fold(Server::default(), |server, host| server.with_host(host));
            port.iter().fold(server, |server, port| server.with_port(*port))
        }
        Reach::Exec { exec } => Server::default().with_prefix(exec.clone()),
        Reach::Service { service } => {
            let words = engine.unwrap_or(Engine::Docker).exec(&app.compose, service);
            Server::default().with_prefix(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
        }
    };
    if let Some(user) = &postgres.user {
        server = server.with_user(user);
    }
    if let Some(from) = &postgres.password {
        server = server.with_password(password::reveal(from, context.settings)?)?;
    }
    Ok(PostgresSource {
        name: name.to_owned(),
        server: server.withholding(context.settings.withheld.clone()),
        which: match &postgres.databases {
            None => Which::Given,
            Some(Databases::All) => Which::All,
            Some(Databases::Named(names)) => Which::Named(names.clone()),
        },
        globals: postgres.globals,
        options: DumpOptions {
            schemas: postgres.schemas.clone(),
            exclude_table_data: postgres.exclude_table_data.clone(),
            extra_arguments: postgres.args.clone(),
            keys_query: postgres.keys_in_use.clone(),
            ..DumpOptions::default()
        },
    })
}

/// Where version, images and keys of an application are found.
fn application(app: &AppConfig, engine: Option<Engine>, context: &Context) -> Result<ApplicationSource, CliError> {
    let environment = if app.compose.is_empty() { Vec::new() } else { stack_files(app, context)? };
    let is_compose =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let place = |name: &KeyName| match name {
        KeyName::Variable(name) => KeyPlace::Variable(name.clone()),
        KeyName::File(file) => KeyPlace::File(file.clone()),
        KeyName::Value { file, key } => KeyPlace::Value { file: file.clone(), key: key.clone() },
    };
    let keys = |names: &[KeyName], usage| {
        let key = |name: &KeyName| KeySource {
            place: place(name),
            usage,
            id_of: app.keys.id_of.get(&name.to_string()).cloned(),
        };
        names.iter().map(key).collect::<Vec<_>>()
    };
    Ok(ApplicationSource {
        containers: engine.map(|engine| Containers {
            engine: engine.inspector().to_owned(),
            list: engine.list(&app.compose).iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        }),
        version: app.version.as_ref().map(|version| match version {
            VersionFrom::Service(service) => VersionSource::Service(service.clone()),
            VersionFrom::Variable(name) => VersionSource::Variable(name.clone()),
            VersionFrom::Command(command) => VersionSource::Command(command.clone()),
            VersionFrom::File(path) => VersionSource::File(path.clone()),
        }),
        environment: environment.into_iter().filter(|path| !is_compose(path)).collect(),
        keys: [keys(&app.keys.decrypts, KeyUse::Decrypts), keys(&app.keys.signs, KeyUse::Signs)].concat(),
        withheld: context.settings.withheld.clone(),
    })
}
