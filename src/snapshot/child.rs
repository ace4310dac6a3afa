//! Programs that are run: none inherits a secret of ours.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::Command;

/// The names of the variables that hold secrets of ours: what opens the repository and what opens its storage.
///
/// All programs are run by [`Withheld::command`], which clippy sees to (`clippy.toml`): a `pg_dump` in a container, a password command or a hook of a shell has no use for them, and whoever may read
/// its environment would hold the backups of everything. What a program needs itself, such as PGPASSWORD, it inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withheld(BTreeSet<OsString>);

impl Withheld {
    /// Withholds one more variable.
    pub fn add(&mut self, name: impl Into<OsString>) {
        self.0.insert(name.into());
    }

    /// The command that runs `program` without these variables.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let mut command = Command::new(program);
        for name in &self.0 {
            command.env_remove(name);
        }
        command
    }
}

impl<N: Into<OsString>> FromIterator<N> for Withheld {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
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
}
