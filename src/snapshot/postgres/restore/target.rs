//! The database that is restored into, as it is before.

use super::admin::Admin;
use super::error::DatabaseError;
use crate::snapshot::manifest::database::Ledger;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::facts::{self, Properties};
use crate::snapshot::postgres::quote::{identifier, literal, qualified};
use crate::snapshot::postgres::session::Session;
use crate::snapshot::postgres::tables::{Denial, Denied};
use crate::snapshot::postgres::{ledger, tables};
use serde::Deserialize;

/// How many tables are looked into by one statement.
const AT_ONCE: usize = 100;

/// How many tables a refusal names.
const SHOWN: usize = 5;

/// Where else than among relations, types and schemas something may be that people made.
const CATALOGS: [&str; 17] = [
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_largeobject_metadata",
    "pg_operator",
    "pg_opfamily",
    "pg_proc",
    "pg_publication",
    "pg_statistic_ext",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_dict",
];

/// Settings whose value is a list of names, each to be quoted for itself.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What an existing database holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    /// Tables with rows.
    pub(super) filled: Vec<String>,
    /// Tables and sequences that we can't look into, with why: whether they hold something isn't known.
    pub(super) hidden: Vec<String>,
    /// Large objects.
    pub(super) large_objects: u64,
}

impl Contents {
    /// Looks into a session's database.
    pub(super) fn of(session: &mut Session) -> Result<Self, PostgresError> {
        #[derive(Deserialize)]
        struct Row {
            i: usize,
        }
        let all = tables::list(session, &[], &[])?;
        let tables: Vec<_> = all.iter().filter(|table| table.has_data()).collect();
        let mut filled = Vec::new();
        for (batch, start) in tables.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
            let has_rows = |(i, table): (usize, &&tables::Relation)| {
                format!("({}, EXISTS (SELECT FROM ONLY {}))", start + i, qualified(&table.schema, &table.name))
            };
            let values: Vec<_> = batch.iter().enumerate().map(has_rows).collect();
            let rows: Vec<Row> =
                session.query(&format!("SELECT i FROM (VALUES {}) v (i, filled) WHERE filled", values.join(", ")))?;
            let found = rows.iter().filter_map(|row| tables.get(row.i));
            filled.extend(found.map(|table| format!("{}.{}", table.schema, table.name)));
        }
        let hidden = all.iter().filter_map(tables::Relation::denied).map(|denied| hidden(&denied)).collect();
        Ok(Self { filled, hidden, large_objects: facts::large_objects(session)? })
    }

    /// Whether it's known to have no rows and no large objects. Tables without rows don't count: scripts of initialisation make them.
    pub(super) fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.hidden.is_empty() && self.large_objects == 0
    }

    /// Why it isn't replaced without being asked for.
    pub(super) fn refusal(&self, database: &str) -> DatabaseError {
        let some = |names: &[String]| names.iter().take(SHOWN).cloned().collect();
        DatabaseError::NotEmpty {
            database: database.to_owned(),
            tables: some(&self.filled),
            hidden: some(&self.hidden),
            large_objects: self.large_objects,
        }
    }
}

fn hidden(Denied { schema, name, sequence, denial, .. }: &Denied) -> String {
    let what = if *sequence { "sequence" } else { "table" };
    let why = match denial {
        Denial::NotReadable => "no right to read it",
        Denial::RowSecurity => "row-level security hides rows",
    };
    format!("{what} {schema}.{name} ({why})")
}

/// Whether nothing at all is in a session's database but what it was created with, and extensions without tables of their own.
///
/// An object that isn't the system's has an oid from 16384 on. Types of rows, arrays and the like, and indexes, come with something else that is counted.
pub(super) fn is_untouched(session: &mut Session) -> Result<bool, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        untouched: bool,
    }
    let others = CATALOGS.map(|name| format!(" UNION ALL SELECT tableoid, oid, false FROM {name}")).concat();
    let row: Row = session.query_one(&format!(
        "WITH objects (class, oid, holds) AS (
            SELECT tableoid, oid, relkind IN ('r', 'p', 'm', 'f') FROM pg_class
                WHERE relkind NOT IN ('c', 'i', 'I', 't') AND relpersistence <> 't'
            UNION ALL SELECT tableoid, oid, false FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
            UNION ALL SELECT t.tableoid, t.oid, false FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                WHERE coalesce(c.relkind = 'c', true) AND t.typcategory <> 'A' AND t.typtype <> 'm'{others})
        SELECT NOT EXISTS (SELECT FROM objects o WHERE o.oid >= 16384 AND (o.holds OR NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'))) AS untouched"
    ))?;
    Ok(row.untouched)
}

/// The ledgers in a session's database.
pub(super) fn ledgers(session: &mut Session) -> Result<Vec<Ledger>, PostgresError> {
    let tables = tables::list(session, &[], &[])?;
    let readable: Vec<u32> = tables.iter().filter(|table| table.has_data()).map(|table| table.oid).collect();
    Ok(ledger::read(session, &readable)?.0)
}

/// A database that exists.
#[derive(Debug, Clone)]
pub(super) struct Existing {
    pub(super) properties: Properties,
    pub(super) contents: Contents,
    pub(super) ledgers: Vec<Ledger>,
    /// Who is connected, in words.
    pub(super) sessions: Vec<String>,
    /// Statements that give another database its settings; each for itself, with what it does.
    pub(super) carried: Vec<Carried>,
}

/// A property of the old database that the new one gets.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    /// What it is, for people.
    pub(super) what: String,
    /// The statement before and behind the database's name.
    sql: (String, String),
}

impl Carried {
    fn new(what: String, before: impl Into<String>, behind: impl Into<String>) -> Self {
        Self { what, sql: (before.into(), behind.into()) }
    }
}

impl Carried {
    /// The statement for a database.
    pub(super) fn statement(&self, database: &str) -> String {
        format!("{} {} {}", self.sql.0, identifier(database), self.sql.1)
    }
}

impl Existing {
    /// Looks at a database. Sessions are counted before our own begins.
    pub(super) fn look(admin: &mut Admin<'_>, name: &str) -> Result<Self, PostgresError> {
        let sessions = admin.sessions(name)?;
        let mut session = admin.enter(name)?;
        session.execute("BEGIN TRANSACTION READ ONLY")?;
        let properties = facts::properties(&mut session)?;
        let contents = Contents::of(&mut session)?;
        let ledgers = ledgers(&mut session)?;
        session.execute("ROLLBACK")?;
        session.close()?;
        Ok(Self { properties, contents, ledgers, sessions, carried: carried(admin, name)? })
    }
}

fn carried(admin: &mut Admin<'_>, name: &str) -> Result<Vec<Carried>, PostgresError> {
    let mut carried = limit(admin, name)?;
    carried.extend(settings(admin, name)?);
    carried.extend(rights(admin, name)?);
    Ok(carried)
}

fn limit(admin: &mut Admin<'_>, name: &str) -> Result<Vec<Carried>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        connections: i64,
    }
    let sql = format!("SELECT datconnlimit AS connections FROM pg_database WHERE datname = {}", literal(name));
    let rows: Vec<Row> = admin.query(&sql)?;
    let limited = rows.into_iter().filter(|row| row.connections >= 0);
    Ok(limited
        .map(|row| {
            let what = format!("the limit of {} connections", row.connections);
            Carried::new(what, "ALTER DATABASE", format!("CONNECTION LIMIT {}", row.connections))
        })
        .collect())
}

fn settings(admin: &mut Admin<'_>, name: &str) -> Result<Vec<Carried>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        role: Option<String>,
        setting: String,
    }
    let rows: Vec<Row> = admin.query(&format!(
        "SELECT r.rolname AS role, unnest(s.setconfig) AS setting FROM pg_db_role_setting s
        JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
        WHERE d.datname = {} AND (s.setrole = 0 OR r.oid IS NOT NULL)",
        literal(name)
    ))?;
    let carry = |Row { role, setting }: Row| {
        let (parameter, value) = setting.split_once('=')?;
        let value = value_of(parameter, value);
        // A setting of an extension has a dot in its name, which isn't that of a schema.
        let parameter_sql = parameter.split('.').map(identifier).collect::<Vec<_>>().join(".");
        let before = match &role {
            None => "ALTER DATABASE".to_owned(),
            Some(role) => format!("ALTER ROLE {} IN DATABASE", identifier(role)),
        };
        let whose = role.map(|role| format!(" for role {role}")).unwrap_or_default();
        let behind = format!("SET {parameter_sql} TO {value}");
        Some(Carried::new(format!("the setting {parameter}{whose}"), before, behind))
    };
    Ok(rows.into_iter().filter_map(carry).collect())
}

/// The value of a setting as SQL.
fn value_of(parameter: &str, value: &str) -> String {
    if !LISTS.contains(&parameter) {
        return literal(value);
    }
    let names = names(value);
    if names.is_empty() {
        "''".to_owned()
    } else {
        names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
    }
}

/// The names in a list such as `"$user", public`.
fn names(list: &str) -> Vec<String> {
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = list.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !quoted => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

fn rights(admin: &mut Admin<'_>, name: &str) -> Result<Vec<Carried>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        role: Option<String>,
        right: String,
        on: bool,
    }
    #[derive(Deserialize)]
    struct Set {
        set: bool,
    }
    let rows: Vec<Row> = admin.query(&format!(
        "SELECT r.rolname AS role, a.privilege_type AS right, a.is_grantable AS on
        FROM pg_database d CROSS JOIN aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE d.datname = {} AND a.grantee <> d.datdba AND (a.grantee = 0 OR r.oid IS NOT NULL)",
        literal(name)
    ))?;
    let set = format!("SELECT datacl IS NOT NULL AS set FROM pg_database WHERE datname = {}", literal(name));
    let mut carried = Vec::new();
    if admin.query::<Set>(&set)?.first().is_some_and(|row| row.set) {
        carried.push(Carried::new("who may connect".into(), "REVOKE ALL ON DATABASE", "FROM PUBLIC"));
    }
    for Row { role, right, on } in rows {
        let to = role.as_ref().map_or_else(|| "PUBLIC".to_owned(), |role| identifier(role));
        let option = if on { " WITH GRANT OPTION" } else { "" };
        let whose = role.unwrap_or_else(|| "everybody".into());
        let what = format!("the right to {} for {whose}", right.to_lowercase());
        carried.push(Carried::new(what, format!("GRANT {right} ON DATABASE"), format!("TO {to}{option}")));
    }
    Ok(carried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_quoted_name_by_name() {
        assert_eq!(value_of("search_path", "\"$user\", public, \"a,\"\"b\""), "'$user', 'public', 'a,\"b'");
        assert_eq!(value_of("search_path", "\"\""), "''");
        assert_eq!(value_of("work_mem", "4MB, x"), "'4MB, x'");
    }

    #[test]
    fn statements_name_the_database() {
        let carried = Carried::new(String::new(), "ALTER DATABASE", "SET x TO 'y'");
        assert_eq!(carried.statement("a\"b"), "ALTER DATABASE \"a\"\"b\" SET x TO 'y'");
    }
}
