//! What is said about exports of applications.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::hex;
use crate::snapshot::manifest::export;
use serde::Serialize;

/// What an export says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Export {
    pub application: String,
    pub version: String,
    pub format_version: u64,
    pub schema_hash: String,
    pub schema_sha256: Option<String>,
    pub migration_version: Option<String>,
    pub created: String,
    pub files: Option<ExportFiles>,
    pub tables: Vec<ExportTable>,
    pub contradictions: Vec<String>,
}

/// Its uploaded files.
#[derive(Debug, Clone, Serialize)]
pub struct ExportFiles {
    pub count: u64,
    pub bytes: u64,
}

/// A table of it.
#[derive(Debug, Clone, Serialize)]
pub struct ExportTable {
    pub name: String,
    pub rows: u64,
    pub counted_rows: Option<u64>,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
}

impl From<&export::Export> for Export {
    fn from(of: &export::Export) -> Self {
        let table = |of: &export::ExportTable| ExportTable {
            name: of.name.clone(),
            rows: of.rows,
            counted_rows: of.counted,
            bytes: of.bytes,
            sha256: of.sha256.map(|hash| hex(&hash)),
        };
        Self {
            application: of.application.clone(),
            version: of.version.clone(),
            format_version: of.format,
            schema_hash: of.schema_hash.clone(),
            schema_sha256: of.schema_sha256.clone(),
            migration_version: of.migration.clone(),
            created: of.created.clone(),
            files: of.files.map(|files| ExportFiles { count: files.count, bytes: files.bytes }),
            tables: of.tables.iter().map(table).collect(),
            contradictions: of.contradictions.clone(),
        }
    }
}
