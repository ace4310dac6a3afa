//! A PostgreSQL server for tests.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");

/// A server; one that this test started is stopped at the end.
pub(super) struct Server {
    pub(super) socket: PathBuf,
    /// The folder of its own client programs, where they aren't those of the system.
    programs: Option<PathBuf>,
    own: Option<(tempfile::TempDir, PathBuf)>,
}

impl Server {
    /// The server that is there for tests, or one of our own.
    pub(super) fn find() -> Result<Self, String> {
        if let Some(socket) = std::env::var_os("NIGHTSAFE_TEST_POSTGRES") {
            return Ok(Self { socket: socket.into(), programs: None, own: None });
        }
        Self::start()
    }

    /// The server of a newer version than the system's, with its own clients: that of `scripts/postgres-newer`.
    pub(super) fn newer() -> Result<Self, String> {
        let variable = |name: &str| std::env::var_os(name).ok_or_else(|| format!("{name} isn't set"));
        let programs = PathBuf::from(variable("NIGHTSAFE_TEST_POSTGRES_NEWER_PROGRAMS")?);
        Ok(Self { socket: variable("NIGHTSAFE_TEST_POSTGRES_NEWER")?.into(), programs: Some(programs), own: None })
    }

    /// Where programs are looked for, its own clients first.
    pub(super) fn path(&self) -> OsString {
        let system = std::env::var_os("PATH").unwrap();
        let folders = self.programs.iter().cloned().chain(std::env::split_paths(&system));
        std::env::join_paths(folders).unwrap()
    }

    /// The major version.
    pub(super) fn version(&self) -> u32 {
        self.query("postgres", "SHOW server_version_num").trim().parse::<u32>().unwrap() / 10_000
    }

    /// A server that nobody else uses.
    pub(super) fn start() -> Result<Self, String> {
        let base = tempfile::Builder::new().prefix("ns-pg").tempdir_in("/tmp").map_err(|error| error.to_string())?;
        // The server runs as another user, who has to get in.
        std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let folder = base.path().join("pg");
        // Through a file: the server keeps the standard output open.
        let (out, err) = (base.path().join("out"), base.path().join("err"));
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        let mut script = Command::new(SCRIPT);
        script.arg("start").arg(&folder).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        match script.status() {
            Ok(status) if status.success() => {
                Ok(Self { socket: folder.join("socket"), programs: None, own: Some((base, folder)) })
            }
            _ => Err(std::fs::read_to_string(err).unwrap_or_default().trim().to_owned()),
        }
    }

    /// A client program.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = match &self.programs {
            Some(folder) => Command::new(folder.join(program)),
            None => Command::new(program),
        };
        command
            .env("PGHOST", &self.socket)
            .env("PGPORT", "5432")
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres");
        command.stdin(Stdio::null());
        command
    }

    /// What a query gives in a database.
    pub(super) fn query(&self, database: &str, sql: &str) -> String {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).env("PGDATABASE", database);
        succeed(command)
    }
}

impl Server {
    /// The folder of the server's data, of one that nobody else uses.
    pub(super) fn data(&self) -> PathBuf {
        self.own.as_ref().unwrap().1.join("data")
    }

    /// Breaks all connections off, as a crash does.
    pub(super) fn crash(&self) {
        let status = Command::new(SCRIPT).arg("stop").arg(&self.own.as_ref().unwrap().1).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((_, folder)) = &self.own {
            let _ = Command::new(SCRIPT).arg("stop").arg(folder).output();
        }
    }
}

/// What a program prints, which has to succeed.
pub(super) fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
