//! Secrets in the command that leads to a server.

use crate::snapshot::postgres::error::PostgresError;

/// What the name of a secret holds.
const SECRET: [&str; 5] = ["password", "passwd", "passphrase", "secret", "token"];

/// Ends of names that only tell where a secret is.
const PLACES: [&str; 4] = ["file", "path", "dir", "stdin"];

/// Values that are none: `ssh -o PasswordAuthentication=no`.
const SWITCHES: [&str; 4] = ["yes", "no", "true", "false"];

/// Refuses a command that holds a secret: messages, logs, process lists and manifests show each of its words.
pub fn check_prefix(words: &[String]) -> Result<(), PostgresError> {
    let next = |at: usize| words.get(at + 1).map(String::as_str);
    let bad = |(at, word): (usize, &String)| assigns(word) || in_url(word) || asks(word, next(at));
    if words.iter().enumerate().any(bad) { Err(PostgresError::SecretInPrefix) } else { Ok(()) }
}

/// Whether a secret's name and a value stand in one word; the word may be a script of many.
fn assigns(word: &str) -> bool {
    word.match_indices('=').any(|(at, _)| {
        let name = word[..at].trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let value = word[at + 1..].trim_start().trim_start_matches(['\'', '"']);
        let value = value.split([' ', '\'', '"', ';']).next().unwrap_or_default();
        // Of a variable or command only the name is seen.
        let shown = !value.is_empty() && !value.starts_with(['$', '`']);
        shown && !SWITCHES.contains(&value.to_ascii_lowercase().as_str()) && name.take(1).any(is_secret)
    })
}

/// Whether the option of a secret comes before its value.
fn asks(word: &str, next: Option<&str>) -> bool {
    word.starts_with("--")
        && !word.contains('=')
        && is_secret(word)
        && next.is_some_and(|value| !value.starts_with('-'))
}

/// Whether an address holds more than a user before its `@`.
fn in_url(word: &str) -> bool {
    let user = word.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_place = PLACES.iter().any(|place| name.ends_with(place));
    !is_place && (name.ends_with("pass") || SECRET.iter().any(|part| name.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str) -> Result<(), PostgresError> {
        check_prefix(&command.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_password_in_a_command_is_refused_and_not_repeated() {
        // `--postgres-via 'env PGPASSWORD=hush false'` was taken, and the password stood in problems, logs and the manifest.
        for command in [
            "env|PGPASSWORD=hush|false",
            "docker|exec|-e|PGPASSWORD=hush|pg",
            "docker|exec|-ePGPASSWORD=hush|pg",
            "docker|exec|--env=PGPASSWORD=hush|pg",
            "docker|exec|-e|PGPASSWORD='hush'|pg",
            "env|pgpassword=hush",
            "env|PGPASSWORD=nothing",
            "env|PASSWORD_OF_DB=hush",
            "env|DB_PASS=hush",
            "x|--password=hush",
            "x|--password|hush",
            "x|password=hush",
            "kubectl|--token=hush|exec",
            "kubectl|--token|hush|exec",
            "env|AWS_SECRET_ACCESS_KEY=hush",
            "sh|-c|PGPASSWORD=hush exec \"$@\"|sh",
            "sh|-c|A=b password = hush|sh",
            "docker|-H|tcp://me:hush@host|exec",
        ] {
            let error = check(command).err().unwrap_or_else(|| panic!("{command} was taken")).to_string();
            assert!(!error.contains("hush") && error.contains("`password`"), "{error}");
        }
    }

    #[test]
    fn a_command_without_a_secret_is_taken() {
        for command in [
            "docker|exec|-i|pg",
            "docker|exec|-e|PGPASSWORD|-i|pg",
            "docker|exec|-e|PGPASSFILE=/run/pass|pg",
            "env|POSTGRES_PASSWORD_FILE=/run/secrets/pg",
            "ssh|-o|PasswordAuthentication=no|host|docker|exec|-i|pg",
            "docker|-H|ssh://me@host:22|exec|-i|pg",
            "docker|-H|tcp://host:2375|exec|-i|pg",
            "kubectl|--kubeconfig=/etc/secret/kube|exec|-i|pod|--",
            "kubectl|exec|-i|pod|-n|secret-token|--",
            "sh|-c|PGPASSWORD=$(cat /run/pg) PGUSER=\"$USER\" exec \"$@\"|sh",
            "x|--password-stdin|y",
            "",
        ] {
            assert!(check(command).is_ok(), "{command}");
        }
    }
}
