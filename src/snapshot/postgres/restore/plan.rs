//! What the restore of a database will do, and what forbids it. Looks and changes nothing.

use super::DatabaseOptions;
use super::admin::{Admin, Name, User};
use super::create::Locale;
use super::dump::{Dump, Format};
use super::error::DatabaseError;
use super::name::LONGEST;
use super::roles;
use super::target::Existing;
use crate::snapshot::manifest::database::{Ledger, Role};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::programs::{Found, Program, Programs, Version};
use crate::snapshot::postgres::server::Server;
use crate::snapshot::postgres::session::{LOCK_TIMEOUT, Session};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How many problems of a dump a refusal names.
const MOST_PROBLEMS: usize = 5;

/// What is under the target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A database without rows; unless nothing at all is in it, it keeps existing under another name.
    Empty,
    /// A database with rows, or with tables that can't be looked into, which keeps existing under another name.
    Filled,
}

/// What a restore will do.
pub struct DatabasePlan {
    /// What is restored, for comments and messages: a snapshot and a path in it.
    pub what: String,
    /// The dump.
    pub dump: Dump,
    /// The database that is restored into.
    pub target: String,
    /// The server, for people.
    pub server: String,
    /// Its version.
    pub version: Version,
    /// What is there now.
    pub before: Before,
    /// Roles that will be created.
    pub roles: Vec<Role>,
    /// What earlier attempts left, which will be dropped.
    pub leftovers: Vec<String>,
    /// What to know before it begins.
    pub warnings: Vec<String>,
    /// What forbids it.
    pub refused: Vec<DatabaseError>,
    pub(super) options: DatabaseOptions,
    pub(super) programs: Programs,
    pub(super) program: Found,
    pub(super) locale: Option<Locale>,
    pub(super) existing: Option<Existing>,
    pub(super) user: User,
}

impl DatabasePlan {
    /// Looks at the dump, the server and the target.
    pub fn make(what: String, dump: Dump, mut options: DatabaseOptions) -> Result<Self, DatabaseError> {
        let target = target(&options.server)?;
        options.server = options.server.with_database(&target);
        if ["template0", "template1"].contains(&target.as_str()) {
            return Err(DatabaseError::Template(target));
        }
        if target.len() > LONGEST {
            return Err(DatabaseError::NameTooLong(target));
        }
        possible(&dump, &options)?;
        let programs = Programs::find(&options.server)?;
        let mut admin = Admin::connect(&options.server, &programs, &target)?;
        let version = admin.version();
        let program = program(&programs, &dump, version)?.clone();
        let user = admin.user()?;
        let existing = admin.exists(&target)?.then(|| Existing::look(&mut admin, &target)).transpose()?;
        let before = match &existing {
            None => Before::Nothing,
            Some(existing) if existing.contents.is_empty() => Before::Empty,
            Some(_) => Before::Filled,
        };
        let leftovers = admin.leftovers(&target)?;
        let (roles, lacking) = missing_roles(&mut admin, &dump, &options, &user)?;
        let mut plan = Self {
            what,
            server: options.server.describe(),
            version,
            before,
            roles,
            leftovers,
            warnings: Vec::new(),
            refused: Vec::new(),
            locale: locale(&dump, existing.as_ref(), options.default_locale),
            dump,
            target,
            options,
            programs: programs.clone(),
            program,
            existing,
            user,
        };
        plan.refused.extend(lacking);
        plan.judge(&mut admin)?;
        Ok(plan)
    }

    /// The ledgers in the database that is to be replaced.
    pub fn ledgers(&self) -> &[Ledger] {
        self.existing.as_ref().map(|existing| existing.ledgers.as_slice()).unwrap_or_default()
    }

    /// Bytes of the database that is there, on the server's disk, if that is known.
    pub fn existing_bytes(&self) -> Option<u64> {
        self.existing.as_ref()?.properties.bytes
    }

    /// The program that restores, and its version.
    pub fn program(&self) -> (&'static str, Version) {
        (self.program.program.name(), self.program.version)
    }

    /// Whether the program's SQL has to be made fit for an older server.
    pub(super) fn converts(&self) -> bool {
        self.dump.format == Format::Archive && self.program.version.major() >= 17 && self.version.major() < 17
    }

    fn judge(&mut self, admin: &mut Admin<'_>) -> Result<(), DatabaseError> {
        if let Some(dump) = self.dump.server.filter(|dump| dump.major() > self.version.major()) {
            self.refused.push(DatabaseError::ServerOlder { server: self.version, dump });
        }
        if !self.user.superuser && !self.user.createdb {
            self.refused.push(DatabaseError::MayNotCreate { user: self.user.name.clone() });
        }
        self.judge_problems();
        self.judge_extensions(admin)?;
        self.judge_existing(admin)?;
        if self.converts() && self.options.jobs.is_some() {
            let what = "a pg_restore that is newer than the server";
            self.refused.push(DatabaseError::Option { option: "--jobs", what });
        }
        Ok(())
    }

    /// What the dump lacks is told; nothing that exists makes room for it unasked.
    fn judge_problems(&mut self) {
        let problems = &self.dump.problems;
        if problems.is_empty() {
            return;
        }
        if self.options.replace && self.before != Before::Nothing && !self.options.allow_incomplete {
            let (dump, problems) = (self.dump.path.clone(), problems.iter().take(MOST_PROBLEMS).cloned().collect());
            self.refused.push(DatabaseError::Incomplete { dump, problems });
        }
        let lacks = |problem| format!("the snapshot is incomplete: {problem}");
        self.warnings.extend(problems.iter().map(lacks));
    }

    /// The options that were needed to allow what doesn't fit, besides those that comparing asks for.
    pub(super) fn overridden(&self) -> Option<&'static str> {
        let options = &self.options;
        let needed = options.replace && self.before != Before::Nothing && !self.dump.problems.is_empty();
        (needed && options.allow_incomplete).then_some("--allow-incomplete")
    }

    fn judge_existing(&mut self, admin: &mut Admin<'_>) -> Result<(), DatabaseError> {
        #[derive(Deserialize)]
        struct Row {
            may: bool,
        }
        let Some(existing) = &self.existing else { return Ok(()) };
        let (database, owner) = (self.target.clone(), existing.properties.owner.clone());
        if self.before == Before::Filled && !self.options.replace {
            self.refused.push(existing.contents.refusal(&database));
            return Ok(());
        }
        for hidden in &existing.contents.hidden {
            self.warnings.push(format!("migrations aren't looked for in {hidden}"));
        }
        if !existing.sessions.is_empty() && !self.options.disconnect {
            let (database, sessions) = (database.clone(), existing.sessions.clone());
            self.refused.push(DatabaseError::Connected { database, sessions, beside: None });
        }
        let literal = crate::snapshot::postgres::quote::literal(&owner);
        if !admin.query_one::<Row>(&format!("SELECT pg_has_role({literal}, 'MEMBER') AS may"))?.may {
            let user = self.user.name.clone();
            self.refused.push(DatabaseError::MayNotRename { user, database, owner });
        }
        Ok(())
    }

    fn judge_extensions(&mut self, admin: &mut Admin<'_>) -> Result<(), DatabaseError> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            version: Option<String>,
        }
        // pg_restore makes no extensions if it's told to restore one schema.
        if !self.options.schemas.is_empty() {
            return Ok(());
        }
        let mut needed: BTreeMap<&str, Option<&str>> =
            self.dump.extensions.iter().map(|name| (name.as_str(), None)).collect();
        for extension in self.dump.database.iter().flat_map(|database| &database.extensions) {
            needed.insert(&extension.name, Some(&extension.version));
        }
        let rows: Vec<Row> = admin.query("SELECT name, default_version AS version FROM pg_available_extensions")?;
        let available: BTreeMap<&str, Option<&str>> =
            rows.iter().map(|row| (row.name.as_str(), row.version.as_deref())).collect();
        let mut missing = Vec::new();
        for (name, wanted) in needed {
            match (available.get(name), wanted) {
                (None, _) => missing.push(name.to_owned() + &wanted.map(|v| format!(" {v}")).unwrap_or_default()),
                (Some(Some(found)), Some(wanted)) if *found != wanted => self.warnings.push(format!(
                    "extension {name} was at version {wanted}, and the server makes it at version {found}"
                )),
                _ => {}
            }
        }
        if !missing.is_empty() {
            self.refused.push(DatabaseError::Extensions(missing));
        }
        Ok(())
    }
}

/// The database that is restored into. In a container it's the one that its environment names, if we name none.
fn target(server: &Server) -> Result<String, DatabaseError> {
    match server.database() {
        Some(name) => Ok(name.to_owned()),
        None if server.prefix().is_empty() => Err(DatabaseError::NoDatabaseNamed),
        None => {
            let mut session = Session::open(server, &Programs::find(server)?, LOCK_TIMEOUT)?;
            let row: Name = session.query_one("SELECT current_database() AS name")?;
            session.close()?;
            Ok(row.name)
        }
    }
}

/// Whether the options go with the dump.
fn possible(dump: &Dump, options: &DatabaseOptions) -> Result<(), DatabaseError> {
    let script = dump.format == Format::Script;
    let refused = [
        ("--no-owner", script && options.no_owner),
        ("--no-acl", script && options.no_acl),
        ("--schema", script && !options.schemas.is_empty()),
        ("--jobs", script && options.jobs.is_some()),
    ];
    if let Some((option, _)) = refused.into_iter().find(|(_, refused)| *refused) {
        return Err(DatabaseError::Option {
            option,
            what: "a dump that is SQL: only pg_dump's custom format can be restored in parts",
        });
    }
    if options.jobs.is_some() && !options.server.prefix().is_empty() {
        return Err(DatabaseError::Option {
            option: "--jobs",
            what: "a server inside a container: its programs can't read a file here",
        });
    }
    Ok(())
}

/// The program for a dump: for an archive the oldest that knows both who made it and the server.
fn program<'p>(programs: &'p Programs, dump: &Dump, server: Version) -> Result<&'p Found, DatabaseError> {
    if dump.format == Format::Script {
        return Ok(programs.newest(Program::Psql)?);
    }
    let client = dump.client.unwrap_or(server);
    let both = programs.fitting(Program::Restore, client.max(server));
    // An older one restores into a newer server, as long as it knows the archive.
    match both.or_else(|_| programs.fitting(Program::Restore, client)) {
        Err(PostgresError::ProgramsTooOld { .. }) => Err(DatabaseError::ArchiveTooNew { client }),
        found => Ok(found?),
    }
}

fn locale(dump: &Dump, existing: Option<&Existing>, default: bool) -> Option<Locale> {
    let stored = dump.database.as_ref().filter(|_| !default).map(Locale::of_stored);
    stored.or_else(|| existing.map(|existing| Locale::of_existing(&existing.properties)))
}

/// The roles to create, or why that isn't possible.
fn missing_roles(
    admin: &mut Admin<'_>,
    dump: &Dump,
    options: &DatabaseOptions,
    user: &User,
) -> Result<(Vec<Role>, Option<DatabaseError>), DatabaseError> {
    let role = |name: &String| Role { name: name.clone(), login: false, member_of: Vec::new(), inherit: true };
    let needed: Vec<Role> = match &dump.database {
        _ if options.no_owner && options.no_acl => Vec::new(),
        Some(database) => database.roles.clone(),
        None if options.no_owner => Vec::new(),
        None => dump.owners.iter().map(role).collect(),
    };
    let missing: Vec<Role> = roles::missing(admin, &needed)?.into_iter().cloned().collect();
    if missing.is_empty() || user.superuser || user.createrole {
        return Ok((missing, None));
    }
    let roles = missing.into_iter().map(|role| role.name).collect();
    Ok((Vec::new(), Some(DatabaseError::Roles { user: user.name.clone(), roles })))
}
