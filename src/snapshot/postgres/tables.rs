//! The tables and sequences of a database, and what is to be done with each.

use super::error::PostgresError;
use super::pattern;
use super::quote;
use super::session::Session;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;

/// A table, a partitioned table or a sequence.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a row of the query below; the server tells each")]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    kind: String,
    pub(super) unlogged: bool,
    readable: bool,
    /// Whether policies would hide rows from us.
    policed: bool,
    /// Whether it belongs to an extension.
    member: bool,
    /// Whether its extension wants its data to be dumped.
    config: bool,
    /// Which of the rows, as SQL of the extension's author.
    pub(super) condition: Option<String>,
    /// Whether its data is left out on purpose.
    pub(super) excluded: bool,
    /// The same, if it's visible without its schema.
    excluded_if_visible: bool,
}

/// Why a table can't be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// We may not read it, or not enter its schema: neither its data nor its definition is in the dump.
    NotReadable,
    /// Policies would hide rows: its definition is in the dump, its data isn't.
    RowSecurity,
}

/// A table or sequence that the dump lacks, because the user has too few rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether it's a sequence.
    pub sequence: bool,
    /// Why.
    pub denial: Denial,
    /// Whether `pg_dump` has to be kept from its data alone.
    data_alone: bool,
}

impl Denied {
    /// The argument that keeps `pg_dump` from it.
    pub(super) fn argument(&self) -> String {
        let option = if self.data_alone { "--exclude-table-data" } else { "--exclude-table" };
        format!("{option}={}", quote::pattern(&self.schema, &self.name))
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.sequence { "sequence" } else { "table" };
        let why = match self.denial {
            Denial::NotReadable => "no right to read it; it is missing in the dump",
            Denial::RowSecurity => "row-level security would hide rows; its data is missing in the dump",
        };
        write!(f, "{what} {}.{}: {why}", self.schema, self.name)
    }
}

impl Relation {
    /// Whether it has rows of its own that are to be in the dump.
    pub(super) fn has_data(&self) -> bool {
        self.kind == "r" && self.is_dumped() && self.denied().is_none()
    }

    /// Whether it's to be locked.
    pub(super) fn is_locked(&self) -> bool {
        self.kind != "S" && self.is_dumped() && self.readable
    }

    /// What is kept from us.
    pub(super) fn denied(&self) -> Option<Denied> {
        let denial = match (self.readable, self.policed) {
            _ if !self.is_dumped() => return None,
            (false, _) => Denial::NotReadable,
            // Who leaves the data out loses nothing by policies.
            (true, true) if !self.excluded => Denial::RowSecurity,
            _ => return None,
        };
        let (schema, name, sequence) = (self.schema.clone(), self.name.clone(), self.kind == "S");
        let data_alone = self.member || denial == Denial::RowSecurity;
        Some(Denied { schema, name, sequence, denial, data_alone })
    }

    /// What belongs to an extension comes back with it, except for rows that people entered.
    fn is_dumped(&self) -> bool {
        !self.member || self.config
    }
}

/// Lists what a dump is of: all, or what is in schemas that fit one of the patterns. Data of tables that fit a pattern of `without` is left out.
pub(super) fn list(
    session: &mut Session,
    schemas: &[String],
    without: &[String],
) -> Result<Vec<Relation>, PostgresError> {
    let chosen: Vec<_> = schemas.iter().map(|pattern| pattern::schema(pattern, "n.nspname")).collect();
    let patterns: Vec<_> = without.iter().map(|name| pattern::table(name, "n.nspname", "c.relname")).collect();
    let of = |visible| patterns.iter().filter(move |part| part.1 == visible).map(|part| part.0.clone()).collect();
    let chosen = if chosen.is_empty() { "true".into() } else { any(&chosen) };
    let (fixed, if_visible): (Vec<_>, Vec<_>) = (of(false), of(true));
    let mut relations: Vec<Relation> = session.query(&format!(
        "SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
            c.relpersistence = 'u' AS unlogged,
            coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false) AS readable,
            coalesce(row_security_active(c.oid), false) AS policed,
            e.oid IS NOT NULL AS member, coalesce(c.oid = ANY (e.extconfig), false) AS config,
            nullif(e.extcondition[array_position(e.extconfig, c.oid)], '') AS condition,
            {} AS excluded, {} AS excluded_if_visible
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
            AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
        LEFT JOIN pg_extension e ON e.oid = d.refobjid
        WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
            AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND {chosen}
        ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"",
        any(&fixed),
        any(&if_visible),
    ))?;
    if !if_visible.is_empty() {
        let visible = visible(session)?;
        for relation in &mut relations {
            relation.excluded |= relation.excluded_if_visible && visible.contains(&relation.oid);
        }
    }
    Ok(relations)
}

fn any(conditions: &[String]) -> String {
    if conditions.is_empty() { "false".into() } else { format!("({})", conditions.join(" OR ")) }
}

/// What the user sees without naming a schema. Under the user's own search path nothing may be named without its schema, operators included.
fn visible(session: &mut Session) -> Result<BTreeSet<u32>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
    }
    session.execute("RESET search_path")?;
    let rows: Vec<Row> = session
        .query("SELECT oid::pg_catalog.int8 FROM pg_catalog.pg_class WHERE pg_catalog.pg_table_is_visible(oid)")?;
    session.execute("SET search_path = pg_catalog")?;
    Ok(rows.into_iter().map(|row| row.oid).collect())
}
