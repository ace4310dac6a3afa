//! What is said about databases.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{Export, hex, path};
use crate::cli::ui::units;
use crate::snapshot::manifest::{database, dump};
use crate::snapshot::postgres::programs::Version;
use serde::Serialize;

/// A database at one instant.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    pub source: String,
    pub name: String,
    pub dump: String,
    pub bytes: u64,
    pub blake3: String,
    pub sha256: String,
    pub taken: String,
    pub server_version: String,
    pub pg_dump_version: String,
    pub encoding: String,
    pub collation: String,
    pub character_type: String,
    pub locale_provider: Option<&'static str>,
    pub icu_locale: Option<String>,
    pub owner: String,
    pub roles: Vec<Role>,
    pub extensions: Vec<Extension>,
    pub large_objects: u64,
    pub tables: Vec<Table>,
    pub ledgers: Vec<Ledger>,
    pub keys_in_use: Option<Vec<String>>,
}

/// A role that objects of a database belong or are granted to.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    pub name: String,
    pub login: bool,
    pub inherit: bool,
    pub member_of: Vec<String>,
}

/// An extension.
#[derive(Debug, Clone, Serialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
    pub schema: String,
}

/// A table with data of its own.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub rows: Option<u64>,
    pub dumped_rows: Option<u64>,
    pub bytes: Option<u64>,
}

/// The migrations that a framework noted.
#[derive(Debug, Clone, Serialize)]
pub struct Ledger {
    pub kind: String,
    pub schema: String,
    pub table: String,
    pub count: u64,
    pub last: Option<String>,
    pub hash: String,
    pub rows: Vec<String>,
    pub warnings: Vec<String>,
}

/// A dump among the files.
#[derive(Debug, Clone, Serialize)]
pub struct DumpFile {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    pub fault: Option<String>,
    pub contents: Option<DumpContents>,
    pub sidecar: Option<Sidecar>,
    pub export: Option<Export>,
}

/// What a file beside a dump says of it.
#[derive(Debug, Clone, Serialize)]
pub struct Sidecar {
    pub path: String,
    pub fields: Vec<Field>,
}

/// A field of such a file.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    pub name: String,
    pub value: String,
}

impl From<&dump::Sidecar> for Sidecar {
    fn from(of: &dump::Sidecar) -> Self {
        let field = |(name, value): &(String, String)| Field { name: name.clone(), value: value.clone() };
        Self { path: path(&of.path), fields: of.fields.iter().map(field).collect() }
    }
}

/// What is in a dump.
#[derive(Debug, Clone, Serialize)]
pub struct DumpContents {
    pub database: Option<String>,
    pub created: Option<String>,
    pub server_version: Option<String>,
    pub pg_dump_version: Option<String>,
    pub extensions: Vec<String>,
    pub large_objects: Option<u64>,
    pub ledgers: Vec<Ledger>,
    pub tables: Vec<Table>,
}

impl From<&dump::DumpFile> for DumpFile {
    fn from(of: &dump::DumpFile) -> Self {
        Self {
            path: path(&of.path),
            bytes: of.bytes,
            sha256: hex(&of.sha256),
            fault: of.fault.clone(),
            contents: of.contents.as_ref().map(DumpContents::from),
            sidecar: of.sidecar.as_ref().map(Sidecar::from),
            export: of.export.as_ref().map(Export::from),
        }
    }
}

impl From<&dump::DumpContents> for DumpContents {
    fn from(of: &dump::DumpContents) -> Self {
        let told = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            database: told(&of.database),
            created: told(&of.created),
            server_version: told(&of.server),
            pg_dump_version: told(&of.client),
            extensions: of.extensions.clone(),
            large_objects: of.large_objects,
            ledgers: of.ledgers().iter().map(Ledger::from).collect(),
            tables: of.tables.iter().map(Table::from).collect(),
        }
    }
}

impl From<&database::Database> for Database {
    fn from(of: &database::Database) -> Self {
        Self {
            source: of.source.clone(),
            name: of.name.clone(),
            dump: path(&of.dump),
            bytes: of.bytes,
            blake3: hex(&of.blake3),
            sha256: hex(&of.sha256),
            taken: units::rfc3339(of.taken),
            server_version: Version(of.server).to_string(),
            pg_dump_version: Version(of.client).to_string(),
            encoding: of.encoding.clone(),
            collation: of.collation.clone(),
            character_type: of.character_type.clone(),
            locale_provider: of.locale_provider.as_deref().map(locale_provider),
            icu_locale: of.icu_locale.clone(),
            owner: of.owner.clone(),
            roles: of.roles.iter().map(Role::from).collect(),
            extensions: of.extensions.iter().map(Extension::from).collect(),
            large_objects: of.large_objects,
            tables: of.tables.iter().map(Table::from).collect(),
            ledgers: of.ledgers.iter().map(Ledger::from).collect(),
            keys_in_use: of.keys_in_use.clone(),
        }
    }
}

/// The word for who provides a locale.
pub fn locale_provider(letter: &str) -> &'static str {
    match letter {
        "c" => "libc",
        "i" => "icu",
        "b" => "builtin",
        _ => "other",
    }
}

impl From<&database::Role> for Role {
    fn from(of: &database::Role) -> Self {
        Self { name: of.name.clone(), login: of.login, inherit: of.inherit, member_of: of.member_of.clone() }
    }
}

impl From<&database::Extension> for Extension {
    fn from(of: &database::Extension) -> Self {
        Self { name: of.name.clone(), version: of.version.clone(), schema: of.schema.clone() }
    }
}

impl From<&database::Table> for Table {
    fn from(of: &database::Table) -> Self {
        let (schema, name) = (of.schema.clone(), of.name.clone());
        Self { schema, name, rows: of.rows, dumped_rows: of.dumped_rows, bytes: of.bytes }
    }
}

impl From<&database::Ledger> for Ledger {
    fn from(of: &database::Ledger) -> Self {
        Self {
            kind: of.kind.clone(),
            schema: of.schema.clone(),
            table: of.table.clone(),
            count: of.rows.len() as u64,
            last: of.last().map(str::to_owned),
            hash: hex(&of.hash),
            rows: of.rows.clone(),
            warnings: of.warnings.clone(),
        }
    }
}
