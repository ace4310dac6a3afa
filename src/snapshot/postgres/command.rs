//! The command that runs a client program for a server: here, or behind a prefix.

use super::programs::Program;
use super::server::Server;
use std::ffi::{OsStr, OsString};
use std::process::Command;
use zeroize::Zeroizing;

/// What runs behind a prefix before the program does, given `input` or `watch`, `password` or `environment`, the program and its arguments.
///
/// Who connects, to what and with which password is found where the images of PostgreSQL have it, unless we say so ourselves. Our own password comes as the first line of standard input: arguments are seen by
/// everybody, and the environment of a container's command would have to be given as arguments. The shell reads that line byte by byte, so the program gets all that follows.
///
/// A program that reads nothing is ended when its standard input is closed (`watch`): `docker exec` passes no signals on, and a `pg_dump` that nobody reads would hold its locks.
/// What waits for that is inherited by the container's first process when the program ends. Where that is the server itself, it takes an
/// orphan that ends with anything above 1 for a session that crashed, and ends all others: so it ends with 0.
const BEHIND_PREFIX: &str = r#"
from_environment() { # VARIABLE: its value, or the content of the file that VARIABLE_FILE names
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -z "$value" ] && [ -n "$file" ] && [ -r "$file" ]; then value=$(cat "$file"); fi
}
mode=$1 secret=$2
shift 2
if [ "$secret" = password ]; then
    IFS= read -r PGPASSWORD
    export PGPASSWORD
elif [ -z "${PGPASSWORD:-}" ]; then
    from_environment POSTGRES_PASSWORD
    if [ -n "$value" ]; then PGPASSWORD=$value; export PGPASSWORD; fi
fi
if [ -z "${PGUSER:-}" ]; then from_environment POSTGRES_USER; PGUSER=${value:-postgres}; fi
if [ -z "${PGDATABASE:-}" ]; then from_environment POSTGRES_DB; PGDATABASE=${value:-$PGUSER}; fi
export PGUSER PGDATABASE
unset value file
if [ "$mode" = watch ]; then
    name=${1##*/}
    exec 3<&0
    { cat <&3; [ "$(cat /proc/$$/comm)" = "$name" ] && kill $$; exit 0; } >/dev/null 2>&1 &
    exec 3<&- </dev/null
fi
exec "$@"
"#;

/// Looks for the programs named, at all places that are known, and asks each for its version.
const SEARCH: &str = r#"
for name in "$@"; do
    for path in /usr/lib/postgresql/*/bin/"$name" /usr/pgsql-*/bin/"$name" /usr/libexec/postgresql*/"$name" "$(command -v "$name")"; do
        if [ -n "$path" ] && [ -x "$path" ]; then printf '%s\t%s\n' "$path" "$("$path" --version </dev/null)"; fi
    done
done
"#;

/// What a program does with its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It reads it, from us.
    Piped,
    /// It reads nothing.
    None,
}

/// A command, and what has to be written to it before anything else.
pub(super) struct Prepared {
    pub(super) command: Command,
    /// A line for the script behind a prefix.
    pub(super) first_line: Option<Zeroizing<String>>,
    /// Whether the command's standard input is a pipe.
    pub(super) piped: bool,
}

/// The command that runs `program` with `arguments` against a server. It never asks for a password.
pub(super) fn client(server: &Server, program: &OsStr, arguments: &[OsString], input: Input) -> Prepared {
    let mut connect: Vec<OsString> = vec!["--no-password".into(), "--dbname".into(), server.connection_string().into()];
    connect.extend_from_slice(arguments);
    let mut prepared = match server.prefix().split_first() {
        None => {
            let mut command = server.withheld().client(program);
            if let Some(password) = server.password() {
                command.env("PGPASSWORD", password.as_str());
            }
            Prepared { command, first_line: None, piped: input == Input::Piped }
        }
        Some((first, rest)) => {
            let mut command = server.withheld().leading(first);
            let mode = if input == Input::Piped { "input" } else { "watch" };
            let secret = if server.password().is_some() { "password" } else { "environment" };
            command.args(rest).args(["sh", "-c", BEHIND_PREFIX, "sh", mode, secret]).arg(program);
            let line = |password: &Zeroizing<String>| Zeroizing::new(format!("{}\n", password.as_str()));
            Prepared { command, first_line: server.password().map(line), piped: true }
        }
    };
    prepared.command.args(connect);
    prepared
}

/// The command that looks for programs where a server's programs run.
pub(super) fn search(server: &Server, programs: &[Program]) -> Command {
    let mut words = server.prefix().iter().map(String::as_str).chain(["sh", "-c", SEARCH, "sh"]);
    let first = words.next().unwrap_or("sh");
    let mut command =
        if server.prefix().is_empty() { server.withheld().client(first) } else { server.withheld().leading(first) };
    command.args(words).args(programs.iter().map(|program| program.name()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::child::Withheld;
    use std::io::Write;
    use std::process::Stdio;

    /// What a shell script that takes the place of a program prints behind a prefix.
    fn behind(server: &Server, environment: &[&str], script: &str, input: &str) -> String {
        let prefix = ["env", "-i", "PATH=/usr/bin:/bin"].iter().chain(environment).map(|word| (*word).to_owned());
        let server = server.clone().with_prefix(prefix.collect());
        let mut prepared = client(&server, "sh".as_ref(), &[], Input::Piped);
        // The arguments of the connection stand behind the program: here they become the script's.
        let words: Vec<OsString> = prepared.command.get_args().map(OsStr::to_owned).collect();
        let at = words.len() - 3;
        let mut command = Withheld::default().command("env");
        command.args(&words[..at]).args(["-c", script, "sh"]).args(&words[at..]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(prepared.first_line.take().map_or(String::new(), |line| line.to_string()).as_bytes()).unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    const SHOW: &str = r#"printf '%s|%s|%s|%s|' "$PGUSER" "$PGDATABASE" "${PGPASSWORD-unset}" "$1"; cat"#;

    #[test]
    fn a_container_says_who_connects_to_what() {
        let server = Server::default();
        assert_eq!(behind(&server, &[], SHOW, "x"), "postgres|postgres|unset|--no-password|x");
        let environment = ["POSTGRES_USER=wiki", "POSTGRES_PASSWORD=a b'\"$x`\\"];
        assert_eq!(behind(&server, &environment, SHOW, ""), "wiki|wiki|a b'\"$x`\\|--no-password|");
        let environment = ["POSTGRES_USER=wiki", "POSTGRES_DB=pages", "PGPASSWORD=own", "POSTGRES_PASSWORD=other"];
        assert_eq!(behind(&server, &environment, SHOW, ""), "wiki|pages|own|--no-password|");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        let variable = format!("POSTGRES_PASSWORD_FILE={}", file.path().display());
        assert_eq!(behind(&server, &[&variable], SHOW, ""), "postgres|postgres|from file|--no-password|");
    }

    #[test]
    fn a_password_is_handed_over_on_standard_input_alone() {
        let password = r#" a\b 'c' "$d" "#;
        let server = Server::default().with_password(Zeroizing::new(password.into())).unwrap();
        let output = behind(&server, &["POSTGRES_PASSWORD=other"], SHOW, "line 1\nline 2");
        assert_eq!(output, format!("postgres|postgres|{password}|--no-password|line 1\nline 2"));
        let server = server.with_prefix(vec!["docker".into()]);
        let prepared = client(&server, "psql".as_ref(), &[], Input::None);
        assert!(!format!("{:?}", prepared.command).contains(password));
        assert!(prepared.command.get_envs().next().is_none() && prepared.piped);
    }

    #[test]
    fn a_program_behind_a_prefix_ends_with_its_input() {
        // No prefix can be empty, and `env` without more is none that changes anything.
        let server = Server::default().with_prefix(vec!["env".into()]);
        let prepared = client(&server, "sleep".as_ref(), &[], Input::None);
        let words: Vec<OsString> = prepared.command.get_args().map(OsStr::to_owned).collect();
        let mut command = Withheld::default().command("env");
        command.args(&words[..words.len() - 3]).arg("1000").stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Its name has to be that of the program before it can be recognised.
        let comm = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn here_the_password_is_in_the_environment_and_what_is_withheld_is_not() {
        let server = Server::default().with_password(Zeroizing::new("hush".into())).unwrap();
        let server = server.withholding(Withheld::from_iter(["NIGHTSAFE_PASSWORD"]));
        let prepared = client(&server, "psql".as_ref(), &["-X".into()], Input::Piped);
        let environment: Vec<_> = prepared.command.get_envs().collect();
        let expected: [(&OsStr, Option<&OsStr>); 2] =
            [("NIGHTSAFE_PASSWORD".as_ref(), None), ("PGPASSWORD".as_ref(), Some("hush".as_ref()))];
        assert_eq!(environment, expected);
        assert!(prepared.first_line.is_none());
        assert!(
            search(&server, &[Program::Psql])
                .get_envs()
                .any(|(name, value)| { name == "NIGHTSAFE_PASSWORD" && value.is_none() })
        );
    }
}
