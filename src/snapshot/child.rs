//! Programs that are run: none inherits a secret of ours.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// The names of the variables that hold secrets of ours: what opens the repository and what opens its storage.
///
/// All programs are run by [`Withheld::command`], which clippy sees to (`clippy.toml`): a `pg_dump` in a container, a password command or a hook of a shell has no use for them, and whoever may read
/// its environment would hold the backups of everything. What a program needs itself, such as PGPASSWORD, it inherits.
///
/// Credentials that other tools read, too, such as `AWS_SECRET_ACCESS_KEY`, open the storage as well as ours do. Commands of the operator's own may live on them (a password command that asks a vault, `kubectl`); clients of databases and
/// engines of containers don't, and go without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withheld {
    ours: BTreeSet<OsString>,
    of_storage: BTreeSet<OsString>,
}

/// Programs that run something in containers, by the last part of their paths.
const ENGINES: [&str; 5] = ["docker", "docker-compose", "podman", "podman-compose", "nerdctl"];

impl Withheld {
    /// Withholds one more variable from all programs.
    pub fn add(&mut self, name: impl Into<OsString>) {
        self.ours.insert(name.into());
    }

    /// Withholds one more variable from programs that have no business with the storage.
    pub fn add_of_storage(&mut self, name: impl Into<OsString>) {
        self.of_storage.insert(name.into());
    }

    /// The command that runs a program of the operator's own, such as a password command.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let mut command = Command::new(program);
        for name in &self.ours {
            command.env_remove(name);
        }
        command
    }

    /// The command that runs a program that has no business with the storage: a client of a database.
    pub fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(program);
        for name in &self.of_storage {
            command.env_remove(name);
        }
        command
    }

    /// The command that leads to where another program runs: an engine of containers, or one of the operator's own, such as `ssh`.
    pub fn leading(&self, program: impl AsRef<OsStr>) -> Command {
        let name = Path::new(program.as_ref()).file_name().and_then(OsStr::to_str);
        if name.is_some_and(|name| ENGINES.contains(&name)) { self.client(program) } else { self.command(program) }
    }
}

impl<N: Into<OsString>> FromIterator<N> for Withheld {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        Self { ours: names.into_iter().map(Into::into).collect(), of_storage: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_not_inherited_and_all_else_is() {
        // HOME stands in for a secret variable, since tests can't set variables.
        let mut withheld = Withheld::from_iter(["HOME"]);
        withheld.add("HOME");
        assert_eq!(withheld, Withheld::from_iter(["HOME"]));
        let output = withheld.command("sh").args(["-c", "echo \"<$HOME>${PATH:+inherited}\""]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "<>inherited\n");
    }

    /// Once, `pg_dump`, `psql` and `docker` inherited what opens the storage, if other tools call it by the same name.
    #[test]
    fn who_has_no_business_with_the_storage_does_not_get_its_credentials() {
        let mut withheld = Withheld::from_iter(["OURS"]);
        withheld.add_of_storage("AWS_SECRET_ACCESS_KEY");
        let removed = |command: Command| command.get_envs().filter(|(_, value)| value.is_none()).count();
        assert_eq!(removed(withheld.command("sh")), 1);
        assert_eq!(removed(withheld.client("psql")), 2);
        for (program, count) in
            [("docker", 2), ("/usr/bin/podman", 2), ("docker-compose", 2), ("ssh", 1), ("kubectl", 1)]
        {
            assert_eq!(removed(withheld.leading(program)), count, "{program}");
        }
    }
}
