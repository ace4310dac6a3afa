//! What a manifest knows of a database that was captured live (`docs/format.md`, section 8).

use crate::repo::cbor::Time;
use crate::snapshot::tree::path::SafePath;
use minicbor::{Decode, Encode};
use std::fmt;

/// One database at one instant, as it said itself, and as its dump was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Database {
    /// The source that it belongs to.
    #[n(0)]
    pub source: String,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Where its dump is in the snapshot.
    #[n(2)]
    pub dump: SafePath,
    /// Bytes of the dump.
    #[n(3)]
    pub bytes: u64,
    /// BLAKE3 of the dump.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub blake3: [u8; 32],
    /// SHA-256 of the dump, which other tools can compute.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// When the instant was that all of it is of.
    #[n(6)]
    pub taken: Time,
    /// The server's version as a number: 150014 is 15.14.
    #[n(7)]
    pub server: u32,
    /// The version of the `pg_dump` that made the dump, likewise.
    #[n(8)]
    pub client: u32,
    /// The encoding, such as `UTF8`.
    #[n(9)]
    pub encoding: String,
    /// The collation of text (`LC_COLLATE`).
    #[n(10)]
    pub collation: String,
    /// The classes of characters (`LC_CTYPE`).
    #[n(11)]
    pub character_type: String,
    /// The role that owns the database.
    #[n(12)]
    pub owner: String,
    /// Extensions, sorted by name.
    #[n(13)]
    pub extensions: Vec<Extension>,
    /// Tables with data of their own (partitions, not the tables that are partitioned), sorted by schema and name.
    #[n(14)]
    pub tables: Vec<Table>,
    /// How many large objects there are.
    #[n(15)]
    pub large_objects: u64,
    /// The roles that its objects belong or are granted to, sorted by name.
    #[n(16)]
    pub roles: Vec<Role>,
    /// The migration ledgers in it.
    #[n(17)]
    pub ledgers: Vec<Ledger>,
    /// Which keys its data needs, as the query said that the configuration gives.
    #[n(18)]
    pub keys_in_use: Option<Vec<String>>,
    /// How the locale is provided: `c` by the C library, `i` by ICU, `b` built in (`pg_database.datlocprovider`); servers before 15 have `c` only.
    #[n(19)]
    pub locale_provider: Option<String>,
    /// The ICU locale, where there is one.
    #[n(20)]
    pub icu_locale: Option<String>,
}

impl Database {
    /// Rows of all tables, as the database counted them.
    pub fn rows(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.rows).sum()
    }
}

/// An extension that a database uses.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Extension {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its version.
    #[n(1)]
    pub version: String,
    /// The schema that holds its objects.
    #[n(2)]
    pub schema: String,
}

/// A table with data of its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Table {
    /// Its schema.
    #[n(0)]
    pub schema: String,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// The rows that the database counted at the dump's instant; nothing if its data was left out on purpose.
    #[n(2)]
    pub rows: Option<u64>,
    /// The rows that stand in the dump.
    #[n(3)]
    pub dumped_rows: Option<u64>,
    /// The bytes of these rows, as text.
    #[n(4)]
    pub bytes: Option<u64>,
    /// The number of the dump's chunk that its data begins with.
    #[n(5)]
    pub first_chunk: Option<u64>,
    /// In how many chunks its data is.
    #[n(6)]
    pub chunks: Option<u64>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A role that objects of a database belong or are granted to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Role {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Whether it may log in.
    #[cbor(n(1), with = "crate::repo::cbor::yes_or_no")]
    pub login: bool,
    /// The roles that it is a member of, sorted.
    #[n(2)]
    pub member_of: Vec<String>,
    /// Whether it inherits what these may do.
    #[cbor(n(3), with = "crate::repo::cbor::yes_or_no")]
    pub inherit: bool,
}

/// The migrations that an application's framework noted as applied.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ledger {
    /// The framework, such as `prisma`.
    #[n(0)]
    pub kind: String,
    /// The schema of its table.
    #[n(1)]
    pub schema: String,
    /// The name of its table.
    #[n(2)]
    pub table: String,
    /// The migrations in the order in which they were applied; each a name, with its checksum behind a blank where there is one.
    #[n(3)]
    pub rows: Vec<String>,
    /// SHA-256 of the rows, sorted by their bytes and joined by line feeds.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// What is wrong with it, for people; such as a migration that began and didn't end.
    #[n(5)]
    pub warnings: Vec<String>,
}

impl Ledger {
    /// The migration that was applied last.
    pub fn last(&self) -> Option<&str> {
        self.rows.last().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;

    #[test]
    fn a_database_survives() {
        let role = Role { name: "app".into(), login: true, member_of: vec!["readers".into()], inherit: false };
        let table = Table {
            schema: "public".into(),
            name: "Odd \u{1b}name".into(),
            rows: Some(3),
            dumped_rows: Some(3),
            bytes: Some(90),
            first_chunk: Some(2),
            chunks: Some(1),
        };
        let left_out =
            Table { rows: None, dumped_rows: None, bytes: None, first_chunk: None, chunks: None, ..table.clone() };
        let ledger = Ledger {
            kind: "prisma".into(),
            schema: "public".into(),
            table: "_prisma_migrations".into(),
            rows: vec!["1_init abc".into(), "2_more def".into()],
            hash: [3; 32],
            warnings: vec![],
        };
        assert_eq!(ledger.last(), Some("2_more def"));
        let database = Database {
            source: "db".into(),
            name: "app".into(),
            dump: SafePath::parse(b"db/app.dump").unwrap(),
            bytes: 1000,
            blake3: [1; 32],
            sha256: [2; 32],
            taken: Time { seconds: 5, nanoseconds: 6 },
            server: 150_014,
            client: 150_014,
            encoding: "UTF8".into(),
            collation: "C".into(),
            character_type: "C".into(),
            owner: "app".into(),
            extensions: vec![Extension { name: "hstore".into(), version: "1.8".into(), schema: "public".into() }],
            tables: vec![table, left_out],
            large_objects: 1,
            roles: vec![role],
            ledgers: vec![ledger],
            keys_in_use: Some(vec!["1".into()]),
            locale_provider: Some("c".into()),
            icu_locale: None,
        };
        assert_eq!(cbor::decode::<Database>("database", &cbor::encode(&database)), Ok(database));
    }
}
