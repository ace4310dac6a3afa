//! What of a database is dumped, and how.

use super::error::PostgresError;
use super::session::LOCK_TIMEOUT;
use std::time::Duration;

/// Options of `pg_dump` that we set ourselves, or that would make something else than a whole dump.
const OURS: [&str; 17] = [
    "--format",
    "--file",
    "--jobs",
    "--compress",
    "--snapshot",
    "--dbname",
    "--host",
    "--port",
    "--username",
    "--password",
    "--no-password",
    "--lock-wait-timeout",
    "--data-only",
    "--schema-only",
    "--section",
    "--help",
    "--version",
];

/// The same as letters.
const OUR_LETTERS: &str = "FfjZdhpUWwasV?";

/// Options of `pg_dump` that choose what is dumped. What is counted and promised follows `schemas` and `exclude_table_data`, and knows nothing of these.
const CHOOSING: [&str; 11] = [
    "--table",
    "--table-and-children",
    "--exclude-table",
    "--exclude-table-and-children",
    "--exclude-table-data",
    "--exclude-table-data-and-children",
    "--schema",
    "--exclude-schema",
    "--extension",
    "--exclude-extension",
    "--filter",
];

/// The same as letters.
const CHOOSING_LETTERS: &str = "tTnNe";

/// Other options of one letter that take a value.
const WITH_VALUE: &str = "ES";

/// What of a database is dumped, and how.
#[derive(Debug, Clone)]
pub struct DumpOptions {
    /// Patterns of schemas; all if there is none.
    pub schemas: Vec<String>,
    /// Patterns of tables whose data is left out.
    pub exclude_table_data: Vec<String>,
    /// Further arguments for `pg_dump`.
    pub extra_arguments: Vec<String>,
    /// How long to wait for a lock.
    pub lock_wait: Duration,
    /// A query of one column that gives the ids of the keys that the data needs.
    pub keys_query: Option<String>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        let (schemas, exclude_table_data, extra_arguments) = (Vec::new(), Vec::new(), Vec::new());
        Self { schemas, exclude_table_data, extra_arguments, lock_wait: LOCK_TIMEOUT, keys_query: None }
    }
}

/// Refuses arguments that would change what this relies on, or choose what is dumped.
pub fn check(arguments: &[String]) -> Result<(), PostgresError> {
    for argument in arguments {
        let (ours, chooses) = match argument.strip_prefix("--") {
            Some(_) => long(argument.split('=').next().unwrap_or(argument)),
            None => argument.strip_prefix('-').map_or((false, false), letters),
        };
        let argument = || argument.clone();
        if chooses {
            return Err(PostgresError::ChoosingArgument { argument: argument() });
        }
        if ours {
            return Err(PostgresError::BadArgument { argument: argument() });
        }
    }
    Ok(())
}

/// Whether an option is ours, and whether it chooses. It may be cut short; `--` alone is the beginning of them all.
fn long(name: &str) -> (bool, bool) {
    let begins = |options: &[&str]| options.iter().any(|option| option.starts_with(name));
    let ours = begins(&OURS);
    (ours, CHOOSING.contains(&name) || !ours && begins(&CHOOSING))
}

/// The same of letters, which may stand together; behind one that takes a value comes the value.
fn letters(letters: &str) -> (bool, bool) {
    let mut letters = letters.chars().take_while(|letter| !WITH_VALUE.contains(*letter));
    let first = letters.find(|letter| OUR_LETTERS.contains(*letter) || CHOOSING_LETTERS.contains(*letter));
    (first.is_some_and(|c| OUR_LETTERS.contains(c)), first.is_some_and(|c| CHOOSING_LETTERS.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_we_set_ourselves_are_refused() {
        let check = |argument: &str| check(&["--no-comments".into(), argument.into()]);
        for argument in [
            "-Fp",
            "-F",
            "--format=p",
            "--form=p",
            "-f",
            "--file=x",
            "-Z9",
            "-OFp",
            "--schema-only",
            "-s",
            "--",
            "--snap=1",
            "-j4",
        ] {
            assert!(matches!(check(argument), Err(PostgresError::BadArgument { .. })), "{argument}");
        }
        for argument in ["--no-owner", "-Oxc", "-E", "-EUTF8", "-SnT", "--encoding=UTF8", "--strict-names", "--inserts"]
        {
            assert!(check(argument).is_ok(), "{argument}");
        }
    }

    #[test]
    fn arguments_that_choose_what_is_dumped_are_refused() {
        // `-T empty_t` left the table out of the dump and not out of the manifest: a restore then missed it. With `--exclude-schema=audit` every backup was incomplete.
        for argument in [
            "-T",
            "-Tempty_t",
            "-OxTempty_t",
            "-n",
            "-Nfoo",
            "-t",
            "-e",
            "--exclude-schema=audit",
            "--exclude-t=x",
            "--exclude-table-data=x",
            "--exclude-table-and-children=x",
            "--schema",
            "--schema=x",
            "--sche=x",
            "--tab=x",
            "--filter=x",
            "--ext=x",
            "--exclude-extension=x",
        ] {
            let error = check(&["--no-comments".into(), argument.into()]).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("nightsafe sets it") || said.contains("exclude_table_data"), "{argument}: {said}");
        }
        let said = check(&["-T".into()]).unwrap_err().to_string();
        assert!(said.contains("`schemas`") && said.contains("`exclude_table_data`"), "{said}");
    }
}
