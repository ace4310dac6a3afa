//! Where a secret comes from; one that stands in the file is refused.

use crate::cli::config::document::Node;
use crate::cli::config::finding::Report;
use crate::cli::config::model::SecretFrom;

/// What may stand there.
const HOW: &str = "write { credential = \"NAME\" }, { file = \"PATH\" }, { env = \"NAME\" } or { command = \"…\" }";

/// Where it comes from. The value is never repeated in a message: it may be the secret itself.
pub fn secret(node: &Node, report: &mut Report) -> Option<SecretFrom> {
    if !node.is_table() {
        node.problem(report, format!("a secret doesn't stand in this file: {HOW}"));
        return None;
    }
    let mut section = node.section(report)?;
    let given = [
        section.get("credential", report).and_then(|node| node.parsed(credential, report)).map(SecretFrom::Credential),
        section.get("file", report).and_then(|node| node.path(report)).map(SecretFrom::File),
        section.get("env", report).and_then(|node| node.parsed(variable, report)).map(SecretFrom::Env),
        section.get("command", report).and_then(|node| node.text(report)).map(SecretFrom::Command),
    ];
    section.finish(report);
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => Some(source),
        (Some(_), Some(_)) => {
            node.problem(report, "says more than once where the secret comes from");
            None
        }
        (None, _) => {
            node.problem(report, format!("doesn't say where the secret comes from: {HOW}"));
            None
        }
    }
}

/// The name of a credential: systemd makes a file of it.
fn credential(text: &str) -> Result<String, String> {
    let is_file = !text.contains('/') && text != "." && text != "..";
    if is_file { Ok(text.to_owned()) } else { Err("must be the name of a credential, not a path".to_owned()) }
}

/// The name of a variable.
pub fn variable(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit());
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a variable: letters, digits and `_`".to_owned())
    }
}

/// Whether a URL or connection string holds a password.
pub fn holds_password(text: &str) -> bool {
    let user_info = text.split_once("://").and_then(|(_, rest)| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        authority.rsplit_once('@').map(|(user, _)| user)
    });
    // A password may hold a `/` or `@` that nobody encoded: look at all that comes before the last `@`, too.
    let sloppy = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
    let named = text.to_ascii_lowercase().replace([' ', '\t', '\''], "");
    user_info.or(sloppy).is_some_and(|user| user.contains(':')) || named.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_connection_strings() {
        for held in [
            "postgres://me:hush@db/wiki",
            "postgresql://me:hu/sh@db/wiki",
            "postgres://db/wiki?password=hush",
            "host=db password = 'hush'",
            "postgres://me:@db",
        ] {
            assert!(holds_password(held), "{held}");
        }
        for none in
            ["postgres://me@db:5432/wiki", "postgres://db:5432/wiki", "postgres:///wiki?host=/run/x", "--no-comments"]
        {
            assert!(!holds_password(none), "{none}");
        }
    }
}
