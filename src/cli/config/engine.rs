//! How a container of a compose file is reached.

use crate::snapshot::child::Withheld;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

/// A program that knows compose files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Engine {
    /// Docker with its plugin.
    #[serde(rename = "docker compose")]
    Docker,
    /// The older program of its own.
    #[serde(rename = "docker-compose")]
    DockerCompose,
    /// Podman, which calls one of the others or `podman-compose`.
    #[serde(rename = "podman compose")]
    Podman,
}

impl Engine {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Docker, Self::DockerCompose, Self::Podman];

    /// The words that begin its command.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker", "compose"],
            Self::DockerCompose => &["docker-compose"],
            Self::Podman => &["podman", "compose"],
        }
    }

    /// How it's written in a configuration.
    pub fn name(self) -> String {
        self.words().join(" ")
    }

    /// The one of this name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|engine| format!("\"{}\"", engine.name())).join(", ");
        Self::ALL.into_iter().find(|engine| engine.name() == text).ok_or_else(|| format!("must be one of {}", names()))
    }

    /// The first that answers on this host; `withheld` are variables that it must not inherit.
    pub fn that_answers(withheld: &Withheld) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| {
            let (program, rest) = (engine.words()[0], &engine.words()[1..]);
            let mut command = withheld.leading(program);
            command.args(rest).arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        })
    }

    /// The program that inspects containers and images.
    pub fn inspector(self) -> &'static str {
        match self {
            Self::Docker | Self::DockerCompose => "docker",
            Self::Podman => "podman",
        }
    }

    /// The command that lists the ids of the containers of compose files, a line each.
    pub fn list(self, compose: &[PathBuf]) -> Vec<OsString> {
        let mut words = self.with_files(compose);
        words.extend(["ps".into(), "-q".into()]);
        words
    }

    /// The command that runs what follows in a container: `docker compose -f FILE exec -T SERVICE`.
    pub fn exec(self, compose: &[PathBuf], service: &str) -> Vec<OsString> {
        let mut words = self.with_files(compose);
        words.extend(["exec".into(), "-T".into(), service.into()]);
        words
    }
}

impl Engine {
    fn with_files(self, compose: &[PathBuf]) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.words().iter().map(OsString::from).collect();
        for file in compose {
            words.extend(["-f".into(), file.clone().into_os_string()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_reaches_a_container() {
        let words = Engine::Docker.exec(&["/opt/a/compose.yml".into(), "/opt/a/more.yml".into()], "db");
        let expected = ["docker", "compose", "-f", "/opt/a/compose.yml", "-f", "/opt/a/more.yml", "exec", "-T", "db"];
        assert_eq!(words, expected);
        assert_eq!(Engine::parse("docker-compose"), Ok(Engine::DockerCompose));
        assert!(Engine::parse("docker").is_err_and(|message| message.contains("\"docker compose\"")));
    }
}
