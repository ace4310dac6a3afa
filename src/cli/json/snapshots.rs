//! What is said about snapshots and what is in them.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::{Application, Database, DumpFile, Problem, name, path, short_id, state};
use crate::cli::ui::units;
use crate::snapshot::manifest::{self, Statistics};
use crate::snapshot::snapshots;
use crate::snapshot::tree::entry::{self, EntryType};
use crate::snapshot::tree::path::SafePath;
use serde::Serialize;

/// The counts of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    pub files: u64,
    pub directories: u64,
    pub others: u64,
    pub bytes: u64,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub data_read: u64,
    pub data_added: u64,
    pub data_added_packed: u64,
    pub packs_added: u64,
    pub chunks_added: u64,
    pub containers: u64,
    pub container_bytes: u64,
    pub container_stream_bytes: u64,
    pub containers_left: u64,
    pub containers_because: Vec<Because>,
}

/// Why something stays compressed.
#[derive(Debug, Clone, Serialize)]
pub struct Because {
    pub reason: &'static str,
    pub containers: u64,
}

impl From<&Statistics> for Counts {
    fn from(s: &Statistics) -> Self {
        Self {
            files: s.files,
            directories: s.directories,
            others: s.others,
            bytes: s.bytes,
            files_new: s.files_new,
            files_changed: s.files_changed,
            files_unmodified: s.files_unmodified,
            data_read: s.bytes_read,
            data_added: s.raw_added,
            data_added_packed: s.stored_added,
            packs_added: s.packs_added,
            chunks_added: s.chunks_added,
            containers: s.containers,
            container_bytes: s.container_bytes,
            container_stream_bytes: s.container_stream_bytes,
            containers_left: s.containers_left,
            containers_because: s
                .reasons
                .all()
                .map(|(reason, containers)| Because { reason: reason.code(), containers })
                .collect(),
        }
    }
}

/// One source of a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    pub name: String,
    pub kind: String,
    pub state: &'static str,
    pub entries: Option<u64>,
    pub bytes: Option<u64>,
    pub data_added: Option<u64>,
    pub duration: Option<f64>,
}

impl Source {
    /// The sources of a run, each with what it came to where that is known.
    #[expect(clippy::cast_precision_loss, reason = "a duration in milliseconds is far below 2⁵³")]
    pub fn all(sources: &[manifest::Source], details: &[manifest::SourceDetail]) -> Vec<Self> {
        let source = |source: &manifest::Source| {
            let detail = details.iter().find(|detail| detail.name == source.name);
            Self {
                name: source.name.clone(),
                kind: source.kind.clone(),
                state: state(source.state),
                entries: detail.map(|detail| detail.entries),
                bytes: detail.map(|detail| detail.bytes),
                data_added: detail.map(|detail| detail.raw_added),
                duration: detail.map(|detail| detail.milliseconds as f64 / 1000.0),
            }
        };
        sources.iter().map(source).collect()
    }
}

/// A snapshot in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub id: String,
    pub short_id: String,
    pub time: String,
    pub host: String,
    pub app: Option<String>,
    pub tags: Vec<String>,
    pub paths: Vec<String>,
    pub parent: Option<String>,
    pub state: &'static str,
    pub checkpoint_of: Option<String>,
    pub app_version: Option<String>,
    pub protected: bool,
    pub forgotten: Option<String>,
    pub summary: Counts,
}

impl From<&snapshots::Snapshot> for Snapshot {
    fn from(snapshot: &snapshots::Snapshot) -> Self {
        let m = &snapshot.manifest;
        Self {
            id: snapshot.id.to_string(),
            short_id: short_id(snapshot.id),
            time: units::rfc3339(m.time),
            host: m.host.clone(),
            app: m.app.clone(),
            tags: snapshot.tags.clone(),
            paths: m.paths.iter().map(|path| name(path)).collect(),
            parent: m.parent.map(|id| id.to_string()),
            state: state(m.state),
            checkpoint_of: m.checkpoint_of.map(|id| id.to_string()),
            app_version: m.application.as_ref().and_then(|application| application.version.clone()),
            protected: snapshot.protected,
            forgotten: None,
            summary: Counts::from(&m.statistics),
        }
    }
}

/// `manifest`: all that a snapshot says about itself.
#[derive(Debug, Serialize)]
pub struct Manifest {
    pub message_type: &'static str,
    #[serde(flatten)]
    pub snapshot: Snapshot,
    pub zone: String,
    pub user: Option<String>,
    pub tool: String,
    pub sequence: u64,
    pub total_duration: f64,
    pub sources: Vec<Source>,
    pub secrets: Vec<SecretFile>,
    pub problems: Vec<Problem>,
    pub databases: Vec<Database>,
    pub dumps: Vec<DumpFile>,
    pub application: Option<Application>,
}

/// The names that a secret file defines; never their values.
#[derive(Debug, Clone, Serialize)]
pub struct SecretFile {
    pub path: String,
    pub variables: Vec<String>,
}

impl From<&snapshots::Snapshot> for Manifest {
    #[expect(clippy::cast_precision_loss, reason = "a duration in milliseconds is far below 2⁵³")]
    fn from(snapshot: &snapshots::Snapshot) -> Self {
        let m = &snapshot.manifest;
        let secret = |file: &manifest::SecretFile| SecretFile { path: path(&file.path), variables: file.names.clone() };
        Self {
            message_type: "manifest",
            snapshot: Snapshot::from(snapshot),
            zone: m.zone.clone(),
            user: m.user.clone(),
            tool: m.tool.clone(),
            sequence: m.sequence,
            total_duration: m.statistics.milliseconds as f64 / 1000.0,
            sources: Source::all(&m.sources, &m.details),
            secrets: m.secrets.iter().map(secret).collect(),
            problems: m.problems.iter().map(Problem::from).collect(),
            databases: m.databases.iter().map(Database::from).collect(),
            dumps: m.dumps.iter().map(DumpFile::from).collect(),
            application: m.application.as_ref().map(Application::from),
        }
    }
}

/// `entry`: a file, directory or other of a snapshot.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub message_type: &'static str,
    pub path: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user: Option<String>,
    pub group: Option<String>,
    pub size: Option<u64>,
    pub mtime: String,
    pub btime: Option<String>,
    pub target: Option<String>,
    pub device: Option<(u32, u32)>,
    pub secret: bool,
}

impl Entry {
    /// The message for an entry.
    pub fn new(at: &SafePath, entry: &entry::Entry) -> Self {
        let is_file = entry.kind == EntryType::File;
        Self {
            message_type: "entry",
            path: path(at),
            kind: entry_type(entry.kind),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            user: entry.user.as_deref().map(name),
            group: entry.group.as_deref().map(name),
            size: entry.size.filter(|_| is_file),
            mtime: units::rfc3339(entry.mtime),
            btime: entry.btime.map(units::rfc3339),
            target: entry.target.as_deref().map(name),
            device: entry.device,
            secret: entry.is_secret(),
        }
    }
}

pub(super) fn entry_type(kind: EntryType) -> &'static str {
    match kind {
        EntryType::File => "file",
        EntryType::Directory => "dir",
        EntryType::Symlink => "symlink",
        EntryType::Fifo => "fifo",
        EntryType::Socket => "socket",
        EntryType::CharacterDevice => "chardev",
        EntryType::BlockDevice => "dev",
    }
}
