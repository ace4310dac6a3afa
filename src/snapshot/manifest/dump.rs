//! What a manifest knows of a dump that somebody made and that was captured as a file (`docs/format.md`, section 8).

use crate::snapshot::manifest::database::{Ledger, Table};
use crate::snapshot::manifest::export::Export;
use crate::snapshot::tree::path::SafePath;
use minicbor::{Decode, Encode};

/// A dump in PostgreSQL's custom format or as plain SQL, perhaps compressed as a whole, or an application's export, as it was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DumpFile {
    /// Where it is in the snapshot.
    #[n(0)]
    pub path: SafePath,
    /// Bytes of the file.
    #[n(1)]
    pub bytes: u64,
    /// SHA-256 of the file, which other tools can compute.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// Why it isn't a whole dump, if it isn't, for people. Then nothing else is known.
    #[n(3)]
    pub fault: Option<String>,
    /// What it's a dump of. Nothing of one that holds several databases, or more than a manifest has room for.
    #[n(4)]
    pub contents: Option<DumpContents>,
    /// What the file beside it says that describes it.
    #[n(5)]
    pub sidecar: Option<Sidecar>,
    /// What it says of itself, if it's an application's export. Then it has no contents.
    #[n(6)]
    pub export: Option<Export>,
}

/// A file that an application wrote beside a dump and that describes it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sidecar {
    /// Where it is in the snapshot.
    #[n(0)]
    pub path: SafePath,
    /// Its fields: those at the top that are texts, numbers or truth values, as text; sorted by name.
    #[n(1)]
    pub fields: Vec<(String, String)>,
}

/// What is in a dump. Texts are empty where it doesn't tell: plain SQL names the database only if it makes it, and the time only with `--verbose`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DumpContents {
    /// The name of the database.
    #[n(0)]
    pub database: String,
    /// When `pg_dump` began, such as `2026-11-20 03:00:05`: local time of the host where it ran, whose zone the dump doesn't tell.
    #[n(1)]
    pub created: String,
    /// The version of the server, as it calls itself: `15.14 (Debian 15.14-1)`.
    #[n(2)]
    pub server: String,
    /// The version of the `pg_dump` that made it, likewise.
    #[n(3)]
    pub client: String,
    /// Names of the extensions, sorted.
    #[n(4)]
    pub extensions: Vec<String>,
    /// Tables of which there is data, sorted by schema and name. Nobody counted their rows but in the dump.
    #[n(5)]
    pub tables: Vec<Table>,
    /// How many large objects there are, where their data could be read.
    #[n(6)]
    pub large_objects: Option<u64>,
    /// Migration ledgers, as a live database has them: those that could be read. Nothing if there is none.
    #[n(7)]
    pub ledgers: Option<Vec<Ledger>>,
}

impl DumpContents {
    /// Rows of all tables, as far as they could be counted.
    pub fn rows(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.dumped_rows).sum()
    }

    /// Migration ledgers that could be read.
    pub fn ledgers(&self) -> &[Ledger] {
        self.ledgers.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;
    use crate::snapshot::manifest::export::sample;

    #[test]
    fn a_dump_survives() {
        let table = Table {
            schema: "public".into(),
            name: "t".into(),
            rows: None,
            dumped_rows: Some(3),
            bytes: Some(90),
            first_chunk: Some(2),
            chunks: Some(1),
        };
        let contents = DumpContents {
            database: "app".into(),
            created: "2026-11-20 03:00:05".into(),
            server: "15.14".into(),
            client: "15.14".into(),
            extensions: vec!["hstore".into()],
            tables: vec![table],
            large_objects: Some(0),
            ledgers: Some(vec![Ledger {
                kind: "alembic".into(),
                schema: "public".into(),
                table: "alembic_version".into(),
                rows: vec!["a1".into()],
                hash: [7; 32],
                warnings: vec![],
            }]),
        };
        assert_eq!(contents.rows(), 3);
        let path = SafePath::parse(b"backups/app.dump").unwrap();
        let fields = vec![("sizeBytes".to_owned(), "1000".to_owned())];
        let sidecar = Some(Sidecar { path: SafePath::parse(b"backups/app.json").unwrap(), fields });
        let (contents, export) = (Some(contents), None);
        let whole = DumpFile { path, bytes: 1000, sha256: [2; 32], fault: None, contents, sidecar, export };
        let cut = DumpFile { fault: Some("it ends early".into()), contents: None, sidecar: None, ..whole.clone() };
        let export = DumpFile { contents: None, export: Some(sample()), ..whole.clone() };
        for dump in [whole, cut, export] {
            assert_eq!(cbor::decode::<DumpFile>("dump", &cbor::encode(&dump)), Ok(dump));
        }
    }
}
