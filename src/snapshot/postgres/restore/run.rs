//! Carrying out the plan of a restore.

use super::admin::Admin;
use super::convert;
use super::create;
use super::dump::Format;
use super::error::DatabaseError;
use super::feed::Task;
use super::name;
use super::plan::DatabasePlan;
use super::roles;
use super::rows::{self, TableRows};
use super::spool::Spool;
use super::swap;
use crate::repo::reader::Reader;
use crate::snapshot::compat::Approved;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::quote::identifier;
use jiff::Timestamp;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A step that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it was.
    pub name: &'static str,
    /// How long it took.
    pub seconds: f64,
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct DatabaseSummary {
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// The rows of each table.
    pub tables: Vec<TableRows>,
    /// The name that the old database has now, if there was one that was kept.
    pub old: Option<String>,
    /// The database that was restored, if it didn't get the target's name because rows differ.
    pub kept: Option<String>,
    /// What is left to people.
    pub by_hand: Vec<String>,
    /// The options that allowed what doesn't fit.
    pub overridden: Vec<&'static str>,
}

impl DatabaseSummary {
    /// Whether rows differ from the manifest's. Then the target is as it was.
    pub fn differs(&self) -> bool {
        self.tables.iter().any(TableRows::differs)
    }
}

/// Restores a database as planned. A failure leaves the target as it was, and nothing else behind.
pub fn restore(
    reader: &Reader<'_>,
    plan: DatabasePlan,
    approved: &Approved,
    monitor: &dyn Monitor,
) -> Result<DatabaseSummary, DatabaseError> {
    let DatabasePlan { refused, .. } = &plan;
    if !refused.is_empty() {
        // Taken out below: errors can't be copied.
        let mut plan = plan;
        return Err(plan.refused.swap_remove(0));
    }
    let mut admin = Admin::connect(&plan.options.server, &plan.programs, &plan.target)?;
    admin.lock(&plan.target)?;
    let beside = name::beside(&plan.target);
    let overridden = approved.overridden().iter().copied().chain(plan.overridden()).collect();
    let summary = DatabaseSummary { overridden, ..DatabaseSummary::default() };
    let mut work = Work { reader, plan: &plan, monitor, admin, beside, roles_made: false, made: false, summary };
    match work.run() {
        Ok(()) => Ok(work.summary),
        Err(error) => {
            work.clean_up(&error);
            Err(error)
        }
    }
}

struct Work<'r> {
    reader: &'r Reader<'r>,
    plan: &'r DatabasePlan,
    monitor: &'r dyn Monitor,
    admin: Admin<'r>,
    beside: String,
    roles_made: bool,
    /// Whether the database beside the target may be there, and is ours.
    made: bool,
    summary: DatabaseSummary,
}

impl Work<'_> {
    fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        if self.monitor.interrupted() {
            return Err(DatabaseError::Interrupted);
        }
        self.monitor.progress().enter(name);
        let begun = Instant::now();
        let done = work(self)?;
        self.summary.steps.push(Step { name, seconds: begun.elapsed().as_secs_f64() });
        Ok(done)
    }

    fn run(&mut self) -> Result<(), DatabaseError> {
        // Looked at again: the lock was taken after the plan was made.
        let leftovers = self.admin.leftovers(&self.plan.target)?;
        if !leftovers.is_empty() {
            self.step("dropping what an earlier attempt left", |work| {
                leftovers.iter().try_for_each(|name| Ok(work.admin.drop(name)?))
            })?;
        }
        if !self.plan.roles.is_empty() {
            self.step("creating roles", |work| {
                roles::create(&mut work.admin, &work.plan.roles)?;
                work.roles_made = true;
                Ok(())
            })?;
        }
        self.step("creating the database", Self::create)?;
        self.step("restoring", Self::fill)?;
        let mut session = self.admin.enter(&self.beside)?;
        self.step("gathering statistics", |_| Ok(session.execute("ANALYZE")?))?;
        self.summary.tables = self.step("counting rows", |work| {
            Ok(rows::count(&mut session, work.plan.dump.database.as_ref(), &work.plan.options.schemas)?)
        })?;
        session.close()?;
        if self.summary.differs() {
            return self.keep();
        }
        self.step("carrying settings over", |work| {
            work.dress();
            Ok(())
        })?;
        let old = self.step("renaming", Self::swap)?;
        self.tell_what_is_left(old);
        Ok(())
    }

    fn create(&mut self) -> Result<(), DatabaseError> {
        let comment = name::unfinished(&self.plan.what, &self.plan.target, Timestamp::now());
        let owner = self.plan.options.role.as_deref();
        let created = create::create(&mut self.admin, &self.beside, self.plan.locale.as_ref(), owner);
        self.made = create::may_exist(&created);
        created?;
        self.admin.comment(&self.beside, &comment)?;
        if !self.plan.options.schemas.is_empty() {
            // pg_restore restores what is in a schema, but not the schema.
            let mut session = self.admin.enter(&self.beside)?;
            for schema in self.plan.options.schemas.iter().filter(|schema| *schema != "public") {
                let role = owner.map(|role| format!(" AUTHORIZATION {}", identifier(role))).unwrap_or_default();
                session.execute(&format!("CREATE SCHEMA {}{role}", identifier(schema)))?;
            }
            session.close()?;
        }
        Ok(())
    }

    /// Feeds the dump to its program.
    fn fill(&mut self) -> Result<(), DatabaseError> {
        let (plan, progress) = (self.plan, self.monitor.progress());
        progress.bytes_total.store(plan.dump.bytes(), Ordering::Relaxed);
        let dump = Counted { stream: plan.dump.open(self.reader)?, progress, counts: !plan.dump.gzip };
        let server = plan.options.server.clone().with_database(&self.beside);
        let task = |program, arguments| Task { server: &server, program, arguments, monitor: self.monitor };
        match (plan.dump.format, plan.options.jobs) {
            (Format::Script, _) => {
                task(&plan.program.path, psql_arguments()).feed(|out| {
                    set_role(plan, out);
                    convert::pass(&mut { dump }, out, plan).map(drop)
                })?;
            }
            (Format::Archive, _) if plan.converts() => {
                let psql = plan.programs.newest(crate::snapshot::postgres::programs::Program::Psql)?;
                let arguments = restore_arguments(plan);
                task(&psql.path, psql_arguments())
                    .feed(|out| convert::convert(plan, &arguments, Box::new(dump), out))?;
            }
            (Format::Archive, None) => {
                let mut arguments = restore_arguments(plan);
                arguments.extend(["--exit-on-error", "--single-transaction"].map(OsString::from));
                task(&plan.program.path, arguments).feed(|out| convert::copy(&mut { dump }, out).map(drop))?;
            }
            (Format::Archive, Some(jobs)) => {
                let spool = self.spool(dump)?;
                let mut arguments = restore_arguments(plan);
                arguments.extend(["--exit-on-error", "--jobs", &jobs.to_string(), "/dev/stdin"].map(OsString::from));
                task(&plan.program.path, arguments).on_file(spool)?;
            }
        }
        Ok(())
    }

    fn spool(&self, mut dump: impl Read) -> Result<std::fs::File, DatabaseError> {
        let mut spool = Spool::create(&self.plan.options.spool, self.plan.dump.bytes())?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            if self.monitor.interrupted() {
                return Err(DatabaseError::Interrupted);
            }
            match dump.read(&mut buffer).map_err(super::dump::of_reading)? {
                0 => return spool.finish(),
                read => spool.write(&buffer[..read])?,
            }
        }
    }

    /// Rows differ: the new database stays beside the target, to be looked at.
    fn keep(&mut self) -> Result<(), DatabaseError> {
        let text = name::kept(&self.plan.what, &self.plan.target, "rows differ from the manifest's");
        self.admin.comment(&self.beside, &text)?;
        self.summary.kept = Some(self.beside.clone());
        self.summary.by_hand.push(format!(
            "look at database '{}', whose rows differ from the manifest's, and drop or rename it; '{}' is as it was",
            self.beside, self.plan.target
        ));
        Ok(())
    }

    /// Gives the new database its owner, and what the old one had besides its content.
    fn dress(&mut self) {
        // The session was idle while the database was filled; on the way, something may have ended it.
        self.admin.renew();
        let stored = self.plan.dump.database.as_ref().map(|database| &database.owner);
        let existing = self.plan.existing.as_ref().map(|existing| &existing.properties.owner);
        let wanted = existing.or(stored).filter(|_| self.plan.options.role.is_none());
        if let Some(owner) = wanted.filter(|owner| **owner != self.plan.user.name) {
            let sql = format!("ALTER DATABASE {} OWNER TO {}", identifier(&self.beside), identifier(owner));
            self.attempt(&sql, &format!("the owner {owner}"));
        }
        for carried in self.plan.existing.iter().flat_map(|existing| &existing.carried) {
            self.attempt(&carried.statement(&self.beside), &carried.what);
        }
    }

    /// Runs a statement whose failure is no reason to fail.
    fn attempt(&mut self, sql: &str, what: &str) {
        if let Err(error) = self.admin.execute(sql) {
            let why = match error {
                PostgresError::Statement { said, .. } => said,
                other => other.to_string(),
            };
            self.summary.by_hand.push(format!("give database '{}' {what}: {why}", self.plan.target));
        }
    }

    fn swap(&mut self) -> Result<Option<String>, DatabaseError> {
        // A signal from the terminal reaches psql, too, which then ends with the next statement.
        self.admin.renew();
        self.admin.still_locked(&self.plan.target)?;
        let text = name::finished(&self.plan.what, Timestamp::now(), &self.summary.overridden);
        swap::swap(&mut self.admin, self.plan, &self.beside, &text)
    }

    fn tell_what_is_left(&mut self, old: Option<String>) {
        let by_hand = &mut self.summary.by_hand;
        for role in &self.plan.roles {
            let name = identifier(&role.name);
            by_hand.push(match (role.login, &self.plan.dump.database) {
                (true, _) => format!("role {name} is new and has no password: ALTER ROLE {name} PASSWORD '…'"),
                (false, None) => {
                    format!("role {name} is new and can't log in; if it has to: ALTER ROLE {name} LOGIN PASSWORD '…'")
                }
                (false, Some(_)) => continue,
            });
        }
        if self.plan.dump.has_settings && self.plan.existing.is_none() {
            let text = "the original database had settings of its own (ALTER DATABASE … SET), which no restore into another database brings back: `pg_restore --create --file=-` on the dump shows them";
            by_hand.push(text.to_owned());
        }
        if let Some(old) = &old {
            by_hand
                .push(format!("the database that was replaced is now '{old}': drop it when it isn't needed any more"));
        }
        self.summary.old = old;
    }

    /// Leaves nothing behind, unless it is complete.
    fn clean_up(&mut self, error: &DatabaseError) {
        self.admin.renew();
        if let DatabaseError::Connected { beside: Some(_), .. } = error {
            let text = name::kept(&self.plan.what, &self.plan.target, "complete, but others were connected with it");
            let _ = self.admin.comment(&self.beside, &text);
            return;
        }
        // What can't be dropped now is dropped by the next attempt.
        if self.made {
            let _ = self.admin.drop(&self.beside);
        }
        if self.roles_made {
            roles::drop(&mut self.admin, &self.plan.roles);
        }
    }
}

fn psql_arguments() -> Vec<OsString> {
    let words = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction", "--file", "-"];
    words.map(OsString::from).to_vec()
}

fn restore_arguments(plan: &DatabasePlan) -> Vec<OsString> {
    let options = &plan.options;
    let flags = [("--no-owner", options.no_owner), ("--no-acl", options.no_acl)];
    let mut arguments: Vec<OsString> =
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into()).collect();
    arguments.extend(options.role.iter().map(|role| format!("--role={role}").into()));
    arguments.extend(options.schemas.iter().map(|schema| format!("--schema={schema}").into()));
    arguments
}

/// What `pg_restore --role` does, for a script. That nobody reads it any more is found out with the next byte.
fn set_role(plan: &DatabasePlan, out: &mut dyn Write) {
    if let Some(role) = &plan.options.role {
        let _ = out.write_all(format!("SET ROLE {};\n", identifier(role)).as_bytes());
    }
}

/// Counts what is read.
struct Counted<'r> {
    stream: Box<dyn Read + Send + 'r>,
    progress: &'r Progress,
    counts: bool,
}

impl Read for Counted<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(room)?;
        if self.counts {
            Progress::add(&self.progress.bytes_done, read as u64);
        }
        Ok(read)
    }
}
