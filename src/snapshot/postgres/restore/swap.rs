//! The last step: names. Everything before it leaves the target as it was.

use super::admin::{Admin, comment};
use super::error::DatabaseError;
use super::name;
use super::plan::DatabasePlan;
use super::target::{self, Contents};
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::quote::identifier;
use jiff::Timestamp;

/// How often sessions are ended that come back at once.
const ATTEMPTS: u32 = 5;

/// What the server says of a database that others are connected with.
const IN_USE: &str = "55006";

/// Gives the new database its name. Returns the name that the old one has now, if it still exists.
pub(super) fn swap(
    admin: &mut Admin<'_>,
    plan: &DatabasePlan,
    beside: &str,
    text: &str,
) -> Result<Option<String>, DatabaseError> {
    let target = plan.target.as_str();
    let renamed = format!("ALTER DATABASE {} RENAME TO {}", identifier(beside), identifier(target));
    let commented = comment(target, text);
    if plan.existing.is_none() {
        admin.execute(&format!("BEGIN; {renamed}; {commented}; COMMIT"))?;
        return Ok(None);
    }
    if !plan.options.replace {
        still_empty(admin, target)?;
    }
    let old = free_name(admin, target)?;
    let set_aside = format!("ALTER DATABASE {} RENAME TO {}", identifier(target), identifier(&old));
    let mut attempt = 1;
    loop {
        if plan.options.disconnect {
            admin.disconnect(target)?;
        }
        match admin.execute(&format!("BEGIN; {set_aside}; {renamed}; {commented}; COMMIT")) {
            Ok(()) => break,
            Err(error) if error.sqlstate() == Some(IN_USE) => {
                if !plan.options.disconnect || attempt == ATTEMPTS {
                    let sessions = admin.sessions(target)?;
                    let (database, beside) = (target.to_owned(), Some(beside.to_owned()));
                    return Err(DatabaseError::Connected { database, sessions, beside });
                }
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !plan.options.replace && drop_if_untouched(admin, &old).unwrap_or(false) {
        return Ok(None);
    }
    Ok(Some(old))
}

/// The target may have been filled while we were restoring.
fn still_empty(admin: &Admin<'_>, target: &str) -> Result<(), DatabaseError> {
    let mut session = admin.enter(target)?;
    let contents = Contents::of(&mut session)?;
    session.close()?;
    if contents.is_empty() {
        return Ok(());
    }
    Err(contents.refusal(target))
}

/// Drops a database in which nobody ever made anything. Everything else is kept: a view, a function or a sequence's value is somebody's work, too.
fn drop_if_untouched(admin: &mut Admin<'_>, name: &str) -> Result<bool, PostgresError> {
    let mut session = admin.enter(name)?;
    let untouched = target::is_untouched(&mut session)?;
    session.close()?;
    if untouched {
        // Not by force: who has connected in the meantime may be about to fill it.
        admin.execute(&format!("DROP DATABASE {}", identifier(name)))?;
    }
    Ok(untouched)
}

fn free_name(admin: &mut Admin<'_>, target: &str) -> Result<String, DatabaseError> {
    let names: Vec<super::admin::Name> = admin.query("SELECT datname AS name FROM pg_database")?;
    Ok(name::before(target, Timestamp::now(), &|name| names.iter().any(|row| row.name == name)))
}
