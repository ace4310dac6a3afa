//! What a manifest knows of an export that an application made and that was captured as a file: a ZIP with its tables, its uploaded files, and a manifest of its own (`docs/format.md`, section 8).

use crate::snapshot::manifest::database::Table;
use minicbor::{Decode, Encode};

/// The schema whose tables are exported.
const SCHEMA: &str = "public";

/// What the manifest in an export says, and where it contradicts what is in the export.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Export {
    /// The application: `Nosdesk`.
    #[n(0)]
    pub application: String,
    /// Its version.
    #[n(1)]
    pub version: String,
    /// The version of the export's format.
    #[n(2)]
    pub format: u64,
    /// The hash of the database's schema, as the application makes it.
    #[n(3)]
    pub schema_hash: String,
    /// The hash of the migrations that made the schema, in hex, where it's told.
    #[n(4)]
    pub schema_sha256: Option<String>,
    /// The last of the migrations, where it's told.
    #[n(5)]
    pub migration: Option<String>,
    /// When it was made, such as `2026-11-20T03:00:05+00:00`.
    #[n(6)]
    pub created: String,
    /// Tables, sorted by name.
    #[n(7)]
    pub tables: Vec<ExportTable>,
    /// The uploaded files, where they're told.
    #[n(8)]
    pub files: Option<ExportFiles>,
    /// What is in the export and isn't what its manifest says, for people. Nothing where nothing is known to be wrong.
    #[n(9)]
    pub contradictions: Vec<String>,
}

/// A table of an export.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExportTable {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its rows, as the export's manifest says.
    #[n(1)]
    pub rows: u64,
    /// Its rows as they were counted, where they could be.
    #[n(2)]
    pub counted: Option<u64>,
    /// Bytes of its JSON, where it could be read.
    #[n(3)]
    pub bytes: Option<u64>,
    /// SHA-256 of these, as the export's manifest says.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub sha256: Option<[u8; 32]>,
}

/// The uploaded files of an export, as its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExportFiles {
    /// How many.
    #[n(0)]
    pub count: u64,
    /// Their bytes.
    #[n(1)]
    pub bytes: u64,
}

impl Export {
    /// Its tables as those of a dump.
    pub fn as_tables(&self) -> Vec<Table> {
        let table = |of: &ExportTable| Table {
            schema: SCHEMA.to_owned(),
            name: of.name.clone(),
            rows: Some(of.rows),
            dumped_rows: of.counted,
            bytes: of.bytes,
            first_chunk: None,
            chunks: None,
        };
        self.tables.iter().map(table).collect()
    }
}

#[cfg(test)]
pub(crate) fn sample() -> Export {
    let table = |name: &str, rows| ExportTable {
        name: name.to_owned(),
        rows,
        counted: Some(rows),
        bytes: Some(100 * rows),
        sha256: Some([0xa5; 32]),
    };
    Export {
        application: "Nosdesk".to_owned(),
        version: "1.0.13".to_owned(),
        format: 2,
        schema_hash: "0319c33351b4a3c4".to_owned(),
        schema_sha256: Some("61".repeat(32)),
        migration: Some("20260618100000".to_owned()),
        created: "2026-11-20T03:00:05.123456789+00:00".to_owned(),
        tables: vec![table("tickets", 120), table("users", 7)],
        files: Some(ExportFiles { count: 3, bytes: 4096 }),
        contradictions: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;

    #[test]
    fn an_export_survives() {
        let whole = sample();
        let mut least = Export {
            schema_sha256: None,
            migration: None,
            files: None,
            contradictions: vec!["its table t has 1 row, and its manifest says 2".to_owned()],
            ..sample()
        };
        least.tables[0] = ExportTable { name: "t".to_owned(), rows: 0, counted: None, bytes: None, sha256: None };
        for export in [whole, least] {
            assert_eq!(cbor::decode::<Export>("export", &cbor::encode(&export)), Ok(export));
        }
    }
}
