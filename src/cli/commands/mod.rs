//! The verbs, one file each: fill an options struct, make one call into the library, show the result.

pub mod backup;
pub mod check;
pub mod config;
pub mod diff;
pub mod dump;
pub mod forget;
pub mod generate;
pub mod init;
pub mod key;
pub mod ls;
pub mod protect;
pub mod prune;
pub mod recovery;
pub mod repair;
pub mod restore;
pub mod show;
pub mod snapshots;
pub mod tag;
#[cfg(test)]
pub(crate) mod test_data;

use crate::cli::args::{Command, FilterArgs};
use crate::cli::error::{CliError, Exit};
use crate::cli::password;
use crate::cli::settings::{SecretSource, Settings};
use crate::cli::signals::Signals;
use crate::cli::ui::{Ui, progress};
use crate::repo::cache_fault::CacheFault;
use crate::repo::error::RepoError;
use crate::repo::format::MARKER;
use crate::repo::keys::Secret;
use crate::repo::repository::{self, AnyRepo, CacheDir, Full, Repo};
use crate::repo::store::url::{self, StoreUrl};
use crate::repo::store::{Store, StoreError, memory};
use crate::repo::witness::{StateDir, Witness};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::snapshots::{Selector, Snapshot, Snapshots, snapshots as read_snapshots};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::vanished::{untold, vanished};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// How often a person may mistype the password.
const ATTEMPTS: usize = 3;

/// What every verb is given.
pub struct Context<'a> {
    /// What shows things.
    pub ui: &'a Ui,
    /// What arguments and environment ask for.
    pub settings: &'a Settings,
    /// Whether to stop.
    pub signals: &'a Signals,
    /// The IANA name of the local time zone.
    pub zone: &'a str,
    /// What keeps a cache from being written.
    pub cache_fault: &'a CacheFault,
}

/// Carries out a verb, and tells once if a cache couldn't be kept.
pub fn run(command: Command, context: &Context) -> Result<Exit, CliError> {
    let outcome = dispatch(command, context);
    if let Some(why) = context.cache_fault.get() {
        let message = format!(
            "the cache couldn't be written, so the next run takes longer ({why}); it may be deleted at any time, and --cache-dir puts it elsewhere"
        );
        context.ui.warn(&message);
    }
    outcome
}

fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::init(&args, context),
        Command::Backup(args) => backup::backup(args, context),
        Command::Snapshots(args) => snapshots::snapshots(args, context),
        Command::Show(args) => show::show(args, context),
        Command::Ls(args) => ls::ls(args, context),
        Command::Diff(args) => diff::diff(args, context),
        Command::Dump(args) => dump::dump(&args, context),
        Command::Restore(args) => restore::restore(args, context),
        Command::Forget(args) => forget::forget(&args, context),
        Command::Tag(args) => tag::tag(args, context),
        Command::Protect(args) => protect::protect(&args, context),
        Command::Check(args) => check::check(&args, context),
        Command::Prune(args) => prune::prune(&args, context),
        Command::Repair(args) => repair::repair(&args, context),
        Command::Key(args) => key::key(args.command, context),
        Command::Config(args) => config::config(&args.command, context),
        Command::Completions(args) => generate::completions(&args, context),
        Command::Man(args) => generate::man(&args, context),
        Command::Unlock => context.ui.say("nothing to unlock: nightsafe has no locks\n").map(|()| Exit::Done),
    }
}

/// A cache folder, and what removes it if it isn't to last.
pub struct Cache {
    /// The folder for the library.
    pub folder: CacheDir,
    temporary: Option<TempDir>,
}

/// An open repository, and its cache.
pub struct Open<R> {
    /// The repository.
    pub repo: R,
    /// Removed when the verb is done, if it isn't to last.
    pub cache: Option<TempDir>,
}

impl Context<'_> {
    /// The store that the repository's URL means.
    pub fn store(&self) -> Result<Arc<dyn Store>, CliError> {
        let url = StoreUrl::parse(self.settings.repository()?)?;
        Ok(url::open(&url, &self.settings.options, &self.settings.secret_options)?)
    }

    /// Where caches go.
    pub fn cache(&self) -> Result<Cache, CliError> {
        if let Some(folder) = &self.settings.cache {
            return Ok(Cache { folder: self.cache_dir(folder), temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("nightsafe-").tempdir();
        let temporary = temporary.map_err(|error| CliError::failed("no temporary folder for caches", &error))?;
        Ok(Cache { folder: self.cache_dir(temporary.path()), temporary: Some(temporary) })
    }

    fn cache_dir(&self, folder: &Path) -> CacheDir {
        CacheDir::new(folder.to_owned()).telling(self.cache_fault.clone())
    }

    /// What this host remembers of the repository in a store. That it can't be read is no reason to stop.
    pub fn witness(&self, store: &dyn Store) -> Option<Witness> {
        // Nothing that lives in memory is met again.
        let folder = self.settings.state.clone().filter(|_| store.url() != memory::URL)?;
        // One name of a bucket means another bucket at another provider.
        let place = match self.settings.options.get("endpoint") {
            Some(endpoint) => format!("{} at {endpoint}", store.url()),
            None => store.url().to_owned(),
        };
        let (witness, problem) = StateDir::new(folder).witness(&place);
        if let Some(problem) = problem {
            self.ui.alert(&format!("whether this is the repository that was here before can't be told: {problem}"));
        }
        Some(witness)
    }

    /// The same, once what the settings accept is accepted and what the store says of itself is compared. The store isn't to be believed, but why derive a key for what it says is
    /// another repository?
    fn recognized(&self, store: &dyn Store) -> Result<Option<Witness>, CliError> {
        let mut witness = self.witness(store);
        let marked = match repository::marked_id(store) {
            Ok(id) => Some(id),
            Err(RepoError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(accepted) = self.settings.accepted {
            if let Some(found) = marked.filter(|found| *found != accepted) {
                let message =
                    format!("the repository at {} is {found}, and --accept-repository names {accepted}", store.url());
                return Err(CliError::new(Exit::Refused, message).hint("nothing was read or written"));
            }
            if let Some(Err(error)) = witness.as_mut().map(|witness| witness.accept(accepted)) {
                self.ui.alert(&format!("that it is accepted can't be remembered: {error}"));
            }
        }
        if let (Some(witness), Some(found)) = (&witness, marked) {
            witness.recognize(found).map_err(RepoError::from)?;
        }
        Ok(witness)
    }

    /// Opens the repository; a person may try a mistyped password again.
    pub fn open(&self) -> Result<Open<AnyRepo>, CliError> {
        let (store, cache) = (self.store()?, self.cache()?);
        let asks = self.settings.secret == SecretSource::Prompt;
        if asks && !is_repository(store.as_ref())? {
            // Better said before than after somebody typed a password.
            return Err(RepoError::NoRepository { url: store.url().to_owned() }.into());
        }
        let witness = self.recognized(&*store)?.map(Arc::new);
        let mut attempts = if asks { ATTEMPTS } else { 1 };
        loop {
            let secret: Secret = password::obtain(self.settings, self.ui, self.signals)?;
            attempts -= 1;
            match repository::open_witnessed(Arc::clone(&store), &secret, &cache.folder, witness.clone()) {
                Ok(repo) => {
                    if let Some(witness) = witness.filter(|witness| witness.repositories().is_empty()) {
                        // If it can't be kept, who compares snapshots says so.
                        let _ = witness.saw(repo.id(), [], &BTreeSet::new());
                    }
                    return Ok(Open { repo, cache: cache.temporary });
                }
                Err(RepoError::WrongSecret) if attempts > 0 => self.ui.alert("wrong password, try again"),
                Err(error @ RepoError::WrongSecret) => {
                    let hint = format!("it came from {}; nothing else opens the repository", self.settings.secret);
                    return Err(CliError::new(Exit::WrongSecret, error.to_string()).hint(hint));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens the repository with a credential that may read.
    pub fn open_full(&self) -> Result<Open<Repo<Full>>, CliError> {
        let Open { repo, cache } = self.open()?;
        match repo {
            AnyRepo::Full(repo) => Ok(Open { repo, cache }),
            AnyRepo::WriteOnly(_) => {
                Err(CliError::new(Exit::Failed, "this key may only write: it can back up and read nothing")
                    .hint("use the password or a full key, from a safer place than the host that is backed up"))
            }
        }
    }

    /// Does long work while its progress is shown.
    pub fn watched<T>(&self, work: impl FnOnce(&dyn Monitor) -> T) -> T {
        progress::watched(self.ui, self.signals, work)
    }

    /// The outcome of long work; if that ended because somebody interrupted it, `kept` says what is left of it.
    pub fn ended<T, E: Into<CliError>>(&self, result: Result<T, E>, kept: &str) -> Result<T, CliError> {
        result.map_err(|error| match error.into() {
            error if error.is_silent() || !self.signals.interrupted() => error,
            _ => CliError::new(Exit::Interrupted, "interrupted").hint(kept),
        })
    }

    /// All snapshots; those that can't be read are warned of.
    pub fn snapshots(&self, repo: &Repo<Full>) -> Result<Snapshots, CliError> {
        let all = read_snapshots(repo)?;
        for (id, why) in &all.unreadable {
            self.ui.alert(&format!("snapshot {id} can't be read: {why}"));
        }
        for (key, why) in &all.odd_tombstones {
            self.ui.alert(&format!("{key} can't be read ({why}): its snapshot counts as not forgotten"));
        }
        for note in &all.notes.unusable {
            self.ui.warn(&format!("a note doesn't count: {note}: {}", note.matter.next_step()));
        }
        match vanished(repo, &all.listed, all.list.iter().map(|snapshot| snapshot.id)) {
            Ok(vanished) => vanished.warnings().iter().for_each(|warning| self.ui.alert(warning)),
            // What is there can be shown and restored all the same.
            Err(error) => self.ui.alert(&untold(&error)),
        }
        Ok(all)
    }
}

/// Whether there is a repository in the store, going by the object that says so.
pub fn is_repository(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.length(MARKER)?.is_some())
}

/// The snapshot that `text` means, and the path inside it.
pub fn resolve<'s>(
    all: &'s Snapshots,
    text: &str,
    filter: FilterArgs,
) -> Result<(&'s Snapshot, Option<SafePath>), CliError> {
    Ok(all.resolve(&text.parse::<Selector>()?, &filter.into())?)
}

/// The whole snapshot that `text` means.
pub fn resolve_whole<'s>(all: &'s Snapshots, text: &str, filter: &FilterArgs) -> Result<&'s Snapshot, CliError> {
    match resolve(all, text, filter.clone())? {
        (snapshot, None) => Ok(snapshot),
        (_, Some(_)) => Err(CliError::usage(format!("{text:?} names a path, and this is about whole snapshots"))),
    }
}

/// The code of a verb that has shown `all` there is to show.
pub fn exit_of_reading(all: &Snapshots) -> Exit {
    if all.unreadable.is_empty() { Exit::Done } else { Exit::Failed }
}
