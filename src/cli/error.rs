//! What goes wrong, as people and scripts learn of it: a message, its causes, the next step, an exit code.
//!
//! The library's errors are typed and know the object concerned; here they get the code and the hint.

mod databases;
mod forget;
mod gc;
mod restore;

use crate::cli::config::document::nearest;
use crate::repo::error::{ReadError, RepoError};
use crate::repo::gc::error::GcError;
use crate::repo::id::RunId;
use crate::repo::keys::key_file::KeyFileError;
use crate::repo::keys::passphrase::EmptyPassphrase;
use crate::repo::keys::ring::RingError;
use crate::repo::store::url::UrlError;
use crate::repo::store::{StoreError, StoreErrorKind};
use crate::repo::writer::WriteError;
use crate::snapshot::backup::BackupError;
use crate::snapshot::browse::BrowseError;
use crate::snapshot::check::CheckError;
use crate::snapshot::repair::RepairError;
use crate::snapshot::snapshots::ResolveError;
use crate::snapshot::source::roots::RootError;
use crate::snapshot::source::walk::WalkError;
use std::error::Error;
use std::process::ExitCode;

/// The exit codes, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Done, but incomplete.
    Incomplete = 3,
    /// Refused by a safety check.
    Refused = 4,
    /// There is no repository.
    NoRepository = 10,
    /// Another run holds this app.
    Busy = 11,
    /// Wrong password or key.
    WrongSecret = 12,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the program.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    silent: bool,
}

impl CliError {
    /// An error with this code and message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None, silent: false }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something that failed because of `cause`.
    pub fn failed(message: impl Into<String>, cause: &(dyn Error + 'static)) -> Self {
        let mut error = Self::new(Exit::Failed, message);
        error.push_causes(Some(cause));
        error
    }

    /// A file that can't be read or written.
    pub fn file(path: &std::path::Path, cause: &std::io::Error) -> Self {
        Self::failed(path.display().to_string(), cause)
    }

    /// An end without a message: the code says it all.
    pub fn silent(exit: Exit) -> Self {
        Self { silent: true, ..Self::new(exit, "") }
    }

    /// Of a library's error: its text and the texts below it.
    pub(in crate::cli) fn from_error(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut built = Self::new(exit, error.to_string());
        built.push_causes(error.source());
        built
    }

    /// Adds the errors below, without what the text above them says already.
    fn push_causes(&mut self, mut cause: Option<&(dyn Error + 'static)>) {
        while let Some(error) = cause {
            let text = error.to_string();
            let above = self.causes.last().unwrap_or(&self.message);
            if !text.is_empty() && !above.contains(&text) {
                self.causes.push(text);
            }
            cause = error.source();
        }
    }

    /// Says what to do next, unless something more precise is known already.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same, where there may be nothing to do.
    #[must_use]
    pub(in crate::cli) fn hint_if_any(self, hint: &str) -> Self {
        if hint.is_empty() { self } else { self.hint(hint) }
    }

    /// Names what it is about, where the library doesn't know it.
    #[must_use]
    pub(in crate::cli) fn about(mut self, object: &dyn std::fmt::Display) -> Self {
        self.message = format!("{object}: {}", self.message);
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Because of what, from the top downwards.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do next.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether nothing is to be printed.
    pub fn is_silent(&self) -> bool {
        self.silent
    }
}

/// What to do when a store failed.
fn next_step_of(error: &StoreError) -> &'static str {
    match error.kind {
        // Of the folder or bucket as a whole.
        StoreErrorKind::NotFound if error.key.is_empty() => "is the disk mounted, is the name right?",
        StoreErrorKind::RootMissing => {
            "is the disk mounted, is the name right? `nightsafe init` makes a new repository"
        }
        StoreErrorKind::Denied => {
            "check the owner of the folder, or the access keys of the service (NIGHTSAFE_STORE_…)"
        }
        StoreErrorKind::Full => "nothing in the repository is damaged; make room and run this again",
        StoreErrorKind::Transient => {
            "nothing in the repository is damaged; run this again, it goes on from what was written"
        }
        StoreErrorKind::NotFound | StoreErrorKind::Short => CHECK,
        StoreErrorKind::Exists => "another object has this name already: `nightsafe check` looks at it",
        StoreErrorKind::TooLong | StoreErrorKind::Other => "",
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let hint = next_step_of(&error);
        let exit = if error.kind == StoreErrorKind::RootMissing { Exit::NoRepository } else { Exit::Failed };
        Self::from_error(exit, &error).hint_if_any(hint)
    }
}

impl From<RepoError> for CliError {
    fn from(error: RepoError) -> Self {
        let (exit, hint) = match error {
            RepoError::Store(error) => return error.into(),
            RepoError::NoRepository { .. } => {
                (Exit::NoRepository, "check the URL; `nightsafe init` makes a new repository there")
            }
            RepoError::AlreadyExists { .. } => {
                (Exit::Failed, "use it as it is, or choose an empty place; `nightsafe key add` adds a password to it")
            }
            RepoError::Other(ref other) => {
                let hint = format!(
                    "nothing was read or written. A backup would go where nobody looks for it, and what was here isn't. Is the right disk mounted, is the URL right? If it was replaced on purpose, or two disks take turns here: --accept-repository {}",
                    other.found
                );
                return Self::from_error(Exit::Refused, &error).hint(hint);
            }
            RepoError::WrongSecret => {
                (Exit::WrongSecret, "check the password or key file; nothing else can open the repository")
            }
            RepoError::Ring(RingError::LastFull(_)) => (Exit::Refused, "add another one first: nightsafe key add"),
            RepoError::Ring(_) => (Exit::Failed, "`nightsafe key list` shows all credentials"),
            RepoError::Cache(_) => (Exit::Failed, CACHE),
            RepoError::Probe(_) => {
                (Exit::Failed, "no repository was made; the storage must keep what docs/format.md relies on")
            }
            RepoError::Damaged { .. } => {
                (Exit::Failed, "`nightsafe check` lists what is damaged and which snapshots that hits")
            }
        };
        Self::from_error(exit, &error).hint(hint)
    }
}

/// What to do when something can't be read.
const CHECK: &str = "`nightsafe check` lists what is damaged and which snapshots that hits";

/// What to do about the cache.
const CACHE: &str = "the cache may be deleted at any time; --cache-dir puts it elsewhere";

/// What to do when content can't be read: a store that gives no answer damages nothing, and neither does what this machine lacks.
fn next_step_of_reading(error: &ReadError) -> &'static str {
    match (error.store_failure(), error) {
        (Some(error), _) => next_step_of(error),
        (None, ReadError::Io(_)) => "",
        (None, _) => CHECK,
    }
}

/// What to do when writing failed.
fn next_step_of_writing(error: &WriteError) -> &'static str {
    match error {
        WriteError::Store(error) => next_step_of(error),
        WriteError::Cache(_) => CACHE,
        WriteError::Verify(_) => "nothing of it was stored; test the memory of this machine before the next backup",
        WriteError::System(_) => {
            "nothing in the repository is damaged; see to `ulimit -a` and memory, and run this again"
        }
        WriteError::Interrupted | WriteError::Numbers | WriteError::Stopped => "",
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Repo(error) => error.into(),
            BackupError::Write(WriteError::Store(error)) => error.into(),
            BackupError::RenameOne | BackupError::SameName(_) => Self::from_error(Exit::Usage, &error),
            BackupError::Roots(RootError::Name(_)) => {
                Self::from_error(Exit::Usage, &error).hint("--as takes one name, without `/`")
            }
            BackupError::Roots(RootError::Look { .. }) | BackupError::Walk(WalkError::Open { .. }) => {
                Self::from_error(Exit::Failed, &error)
                    .hint("nothing was backed up: is the path right, is the disk mounted?")
            }
            BackupError::Roots(RootError::SameName(_)) => {
                Self::from_error(Exit::Failed, &error).hint("make two sources of them, or rename one")
            }
            BackupError::Unstable { .. } => Self::from_error(Exit::Failed, &error).hint(
                "no snapshot was made. Does a rule of the storage delete old objects, does another program tidy up there? `nightsafe check` tells what is gone",
            ),
            BackupError::Write(ref cause) => {
                let hint = next_step_of_writing(cause);
                Self::from_error(Exit::Failed, &error).hint_if_any(hint)
            }
            BackupError::Stopped(_)
            | BackupError::Walk(_)
            | BackupError::Roots(_)
            | BackupError::Excludes(_)
            | BackupError::Secrets(_)
            | BackupError::Sidecar { .. } => Self::from_error(Exit::Failed, &error),
            BackupError::Interrupted => Self::from_error(Exit::Interrupted, &error),
        }
    }
}

impl From<BrowseError> for CliError {
    fn from(error: BrowseError) -> Self {
        match error {
            BrowseError::Repo(error) => error.into(),
            BrowseError::NoSuchPath(_) => {
                Self::from_error(Exit::Failed, &error).hint("`nightsafe ls SNAP:/DIR` lists what is there")
            }
            BrowseError::Read { ref source, .. } => {
                let hint = next_step_of_reading(source);
                Self::from_error(Exit::Failed, &error).hint_if_any(hint)
            }
            BrowseError::TooMany { .. } => Self::from_error(Exit::Failed, &error).hint(CHECK),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        Self::from_error(Exit::Failed, &error).hint_if_any(next_step_of_reading(&error))
    }
}

impl From<ResolveError> for CliError {
    fn from(error: ResolveError) -> Self {
        match &error {
            ResolveError::Syntax(_) => Self::from_error(Exit::Usage, &error),
            ResolveError::NotFound { .. } => Self::from_error(Exit::Failed, &error)
                .hint("`nightsafe snapshots` lists them; incomplete ones are never `latest`"),
            ResolveError::Ambiguous { candidates, .. } => {
                let list: Vec<_> = candidates.iter().map(RunId::random_part).collect();
                Self::from_error(Exit::Usage, &error).hint(format!("write more of the id:\n{}", list.join("\n")))
            }
            ResolveError::MixedHosts { list, .. } => {
                let list: Vec<_> =
                    list.iter().map(|(host, id)| format!("{}  --host {host}", id.random_part())).collect();
                Self::from_error(Exit::Usage, &error)
                    .hint(format!("say which with --host, or write an id:\n{}", list.join("\n")))
            }
        }
    }
}

impl From<CheckError> for CliError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Repo(error) => error.into(),
            CheckError::Read(error) => error.into(),
            CheckError::Interrupted => Self::from_error(Exit::Interrupted, &error),
        }
    }
}

impl From<RepairError> for CliError {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Check(error) => error.into(),
            RepairError::Repo(error) | RepairError::Copy(GcError::Repo(error)) => error.into(),
            RepairError::Copy(_) => Self::from_error(Exit::Failed, &error),
            RepairError::NoSuchPack(_) => Self::from_error(Exit::Failed, &error).hint(
                "`nightsafe check --read-data` names damaged packs; one that is gone needs no repair but a backup",
            ),
            RepairError::Ambiguous(..) => Self::from_error(Exit::Usage, &error).hint("write more of the name"),
        }
    }
}

impl From<UrlError> for CliError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Store(error) => error.into(),
            UrlError::UnknownOption { ref option, ref known, .. } => {
                let hint = match nearest(option, known) {
                    Some(known) => format!("did you mean {known}?"),
                    None if known.is_empty() => "it has none".to_owned(),
                    None => format!("it has {}", known.join(", ")),
                };
                Self::from_error(Exit::Usage, &error).hint(hint)
            }
            // These say themselves how it is written.
            error => Self::from_error(Exit::Usage, &error),
        }
    }
}

impl From<KeyFileError> for CliError {
    fn from(error: KeyFileError) -> Self {
        Self::from_error(Exit::Failed, &error)
    }
}

impl From<EmptyPassphrase> for CliError {
    fn from(error: EmptyPassphrase) -> Self {
        Self::from_error(Exit::Usage, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::{CredentialId, RepositoryId};
    use crate::repo::witness::OtherRepository;
    use crate::snapshot::restore::RestoreError;
    use std::io;

    fn store(kind: StoreErrorKind) -> StoreError {
        let source = Some(io::Error::other("os says no").into());
        StoreError { kind, key: "packs/ab/x".to_owned(), url: "/mnt/night".to_owned(), source }
    }

    #[test]
    fn each_error_has_its_code() {
        let code = |error: CliError| error.exit().code();
        let url = || "/mnt/night".to_owned();
        assert_eq!(code(RepoError::NoRepository { url: url() }.into()), 10);
        assert_eq!(code(RepoError::AlreadyExists { url: url() }.into()), 1);
        assert_eq!(code(RepoError::WrongSecret.into()), 12);
        let [known, found] = [1, 2].map(|n| RepositoryId::from_bytes([n; 16]));
        let other = CliError::from(RepoError::Other(OtherRepository { url: url(), known: vec![known], found }));
        assert!(other.message().contains(&known.to_string()) && other.message().contains(&found.to_string()));
        assert!(other.next_step().is_some_and(|hint| hint.contains(&format!("--accept-repository {found}"))));
        assert_eq!(code(other), 4);
        assert_eq!(code(RepoError::Ring(RingError::LastFull(CredentialId::from_bytes([7; 16]))).into()), 4);
        assert_eq!(code(RepoError::Store(store(StoreErrorKind::RootMissing)).into()), 10);
        assert_eq!(code(BackupError::Repo(RepoError::Store(store(StoreErrorKind::Denied))).into()), 1);
        assert_eq!(code(BackupError::Interrupted.into()), 130);
        assert_eq!(code(RestoreError::TargetNotEmpty { path: "/x".into() }.into()), 4);
        assert_eq!(code(RestoreError::Browse(BrowseError::Repo(RepoError::WrongSecret)).into()), 12);
        assert_eq!(code(ResolveError::MixedHosts { selector: "latest".to_owned(), list: vec![] }.into()), 2);
        assert_eq!(code(ResolveError::NotFound { selector: "latest".to_owned() }.into()), 1);
    }

    #[test]
    fn the_object_the_cause_and_the_next_step_survive() {
        let error = CliError::from(RestoreError::Repo(RepoError::Store(store(StoreErrorKind::Transient))));
        assert_eq!(error.message(), "/mnt/night: packs/ab/x: no answer");
        assert_eq!(error.causes(), ["os says no"]);
        assert!(error.next_step().is_some_and(|hint| hint.contains("run this again")));
    }

    #[test]
    fn the_first_hint_is_kept_and_causes_are_not_said_twice() {
        let hinted = CliError::usage("x").hint("precise").hint("vague");
        assert_eq!(hinted.next_step(), Some("precise"));
        let twice = CliError::failed("a: os says no", &io::Error::other("os says no"));
        assert!(twice.causes().is_empty());
    }

    #[test]
    fn a_dump_into_a_closed_pipe_is_silent_and_no_success() {
        let error = CliError::from(RestoreError::Output(io::ErrorKind::BrokenPipe.into()));
        assert!(error.is_silent() && error.exit() == Exit::Failed);
        assert!(!CliError::from(RestoreError::Output(io::ErrorKind::StorageFull.into())).is_silent());
    }
}
