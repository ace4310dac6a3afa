//! What a database says of itself.

use super::error::PostgresError;
use super::quote::qualified;
use super::session::Session;
use super::tables::Relation;
use crate::snapshot::manifest::database::{Extension, Role, Table};
use serde::Deserialize;
use std::collections::BTreeSet;

/// How many tables are counted in one statement.
const COUNTED_AT_ONCE: usize = 100;

/// Most keys that a query may give.
const MOST_KEYS: usize = 10_000;

/// Schemas that aren't the system's.
const OF_USERS: &str = "(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')";

/// A database's properties.
#[derive(Debug, Clone, Deserialize)]
pub struct Properties {
    /// Its name.
    pub name: String,
    /// Its encoding.
    pub encoding: String,
    /// The collation of text.
    pub collation: String,
    /// The classes of characters.
    pub character_type: String,
    /// How the locale is provided: `c`, `i` or `b`.
    pub locale_provider: String,
    /// The locale of a provider that isn't the C library.
    pub locale: Option<String>,
    /// The role that owns it.
    pub owner: String,
    /// Its bytes on the server's disk, if we may know.
    pub bytes: Option<u64>,
    /// Whether the server only follows another one.
    pub standby: bool,
}

/// The properties of the session's database.
pub fn properties(session: &mut Session) -> Result<Properties, PostgresError> {
    let (provider, locale) = match session.version().major() {
        ..15 => ("'c'", "NULL::text"),
        15 | 16 => ("d.datlocprovider::text", "d.daticulocale::text"),
        17.. => ("d.datlocprovider::text", "d.datlocale::text"),
    };
    session.query_one(&format!(
        "SELECT d.datname AS name, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate::text AS collation,
            d.datctype::text AS character_type, {provider} AS locale_provider, {locale} AS locale, r.rolname AS owner,
            CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END AS bytes,
            pg_is_in_recovery() AS standby
        FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database()"
    ))
}

/// The extensions, sorted by name.
pub fn extensions(session: &mut Session) -> Result<Vec<Extension>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        version: String,
        schema: String,
    }
    let rows: Vec<Row> = session.query(
        "SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname::text COLLATE \"C\"",
    )?;
    Ok(rows.into_iter().map(|Row { name, version, schema }| Extension { name, version, schema }).collect())
}

/// The roles that something here belongs or is granted to, and those that they are members of, sorted by name; PostgreSQL's own aren't among them.
pub fn roles(session: &mut Session) -> Result<Vec<Role>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        login: bool,
        inherit: bool,
        member_of: Vec<String>,
    }
    // What belongs to the role that the cluster was created with isn't in pg_shdepend: owners are looked up where they stand.
    let rows: Vec<Row> = session.query(&format!(
        "WITH RECURSIVE here AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
        used(oid) AS (
            SELECT d.refobjid FROM pg_shdepend d, here WHERE d.refclassid = 'pg_authid'::regclass
                AND (d.dbid = here.oid OR (d.dbid = 0 AND d.classid = 'pg_database'::regclass AND d.objid = here.oid))
            UNION SELECT datdba FROM here
            UNION SELECT nspowner FROM pg_namespace WHERE oid IN {OF_USERS}
            UNION SELECT relowner FROM pg_class WHERE relnamespace IN {OF_USERS}
            UNION SELECT proowner FROM pg_proc WHERE pronamespace IN {OF_USERS}
            UNION SELECT typowner FROM pg_type WHERE typnamespace IN {OF_USERS}),
        needed(oid) AS (
            SELECT oid FROM used UNION SELECT m.roleid FROM pg_auth_members m JOIN needed ON m.member = needed.oid)
        SELECT r.rolname AS name, r.rolcanlogin AS login, r.rolinherit AS inherit, ARRAY(
            SELECT DISTINCT g.rolname::text COLLATE \"C\" FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
            WHERE m.member = r.oid ORDER BY 1) AS member_of
        FROM needed JOIN pg_roles r ON r.oid = needed.oid
        WHERE r.rolname !~ '^pg_' ORDER BY r.rolname::text COLLATE \"C\""
    ))?;
    let role = |Row { name, login, inherit, member_of }| Role { name, login, member_of, inherit };
    Ok(rows.into_iter().map(role).collect())
}

/// How many large objects there are.
pub(super) fn large_objects(session: &mut Session) -> Result<u64, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        n: u64,
    }
    session.query_one::<Row>("SELECT count(*) AS n FROM pg_largeobject_metadata").map(|row| row.n)
}

/// Counts the rows of tables; nothing is counted where `counted` says no.
pub(super) fn count(
    session: &mut Session,
    tables: &[&Relation],
    counted: impl Fn(&Relation) -> bool,
) -> Result<Vec<Table>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        i: usize,
        n: u64,
    }
    let mut rows: Vec<Option<u64>> = vec![None; tables.len()];
    let wanted: Vec<usize> = (0..tables.len()).filter(|at| counted(tables[*at])).collect();
    let (whole, parts): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|at| tables[*at].condition.is_none());
    for batch in whole.chunks(COUNTED_AT_ONCE) {
        let one = |at: &usize| {
            format!("({at}, (SELECT count(*) FROM ONLY {}))", qualified(&tables[*at].schema, &tables[*at].name))
        };
        let values: Vec<_> = batch.iter().map(one).collect();
        for row in session.query::<Row>(&format!("SELECT i, n FROM (VALUES {}) v (i, n)", values.join(", ")))? {
            let place = rows.get_mut(row.i).ok_or_else(|| session.answer("a table that wasn't asked for"))?;
            *place = Some(row.n);
        }
    }
    for at in parts {
        // The condition is SQL from the database.
        let table = qualified(&tables[at].schema, &tables[at].name);
        let condition = tables[at].condition.as_deref().unwrap_or_default();
        let counts: Vec<Row> =
            session.query_text(&format!("SELECT {at} AS i, count(*) AS n FROM ONLY {table} {condition}"), 1)?;
        rows[at] = counts.first().map(|row| row.n);
    }
    let table = |(relation, rows): (&&Relation, Option<u64>)| Table {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        rows,
        dumped_rows: None,
        bytes: None,
        first_chunk: None,
        chunks: None,
    };
    Ok(tables.iter().zip(rows).map(table).collect())
}

/// The different values of a query of one column, sorted: which keys the data needs. Run under the user's own search path.
pub(super) fn keys(session: &mut Session, query: &str) -> Result<Vec<String>, PostgresError> {
    session.execute("RESET search_path")?;
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = session.query_text(query, MOST_KEYS + 1)?;
    session.execute("SET search_path = pg_catalog")?;
    if rows.len() > MOST_KEYS {
        return Err(session.answer("the query of keys gives more than ten thousand values"));
    }
    let mut keys = BTreeSet::new();
    for row in rows {
        let mut values = row.into_iter().map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(serde_json::Value::Null), None) => {}
            (Some(serde_json::Value::String(text)), None) => drop(keys.insert(text)),
            (Some(value), None) => drop(keys.insert(value.to_string())),
            _ => return Err(session.answer("the query of keys gives more than one column")),
        }
    }
    Ok(keys.into_iter().collect())
}

/// The databases of the server that aren't templates and allow connections, sorted by name.
pub fn databases(session: &mut Session) -> Result<Vec<String>, PostgresError> {
    let rows: Vec<super::session::Text> = session.query(
        "SELECT datname AS text FROM pg_database WHERE datallowconn AND NOT datistemplate
        ORDER BY datname::text COLLATE \"C\"",
    )?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}
