//! What is written beside the dump of a database.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{Application, Database, short_id};
use crate::cli::ui::units;
use crate::snapshot::snapshots;
use crate::snapshot::tree::path::SafePath;
use serde::Serialize;

/// What a snapshot knows of a dump in it.
#[derive(Debug, Serialize)]
pub struct DumpRecord {
    pub id: String,
    pub short_id: String,
    pub time: String,
    pub host: String,
    pub app: Option<String>,
    pub tool: String,
    pub database: Database,
    pub application: Option<Application>,
}

impl DumpRecord {
    /// The record of the dump at `path`; nothing if it isn't that of a database that was captured live.
    pub fn new(snapshot: &snapshots::Snapshot, path: &SafePath) -> Option<Self> {
        let m = &snapshot.manifest;
        let database = m.databases.iter().find(|database| database.dump == *path)?;
        Some(Self {
            id: snapshot.id.to_string(),
            short_id: short_id(snapshot.id),
            time: units::rfc3339(m.time),
            host: m.host.clone(),
            app: m.app.clone(),
            tool: m.tool.clone(),
            database: Database::from(database),
            application: m.application.as_ref().map(Application::from),
        })
    }
}
