//! What this host remembers of the repository behind a URL: which one it is, and which snapshots it has seen there. So one that was swapped for another, or put back to an older
//! state, is noticed, although all that is in it is sound and rightly signed.
//!
//! One file for each URL, replaced as a whole: a copy of a repository behind another URL may rightly be older, and a repository that moved is met for the first time there. Behind one URL there
//! may be several in turn, such as disks that are carried away and brought back: each is accepted once. Only what was seen before this process began counts as missing, so that a snapshot which
//! another process commits meanwhile doesn't. Two processes that write at once may lose what one of them has seen; it's seen again the next time.

use crate::repo::cbor;
use crate::repo::id::{RepositoryId, RunId};
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Before the record, whose BLAKE3 stands behind it.
const MAGIC: &[u8; 8] = b"nswitns\x02";
const HASH_LEN: usize = 32;
/// No file of ours is larger: more snapshots than anybody keeps.
const MAX_FILE: u64 = 32 << 20;
/// Most snapshots that are remembered of a repository.
const MAX_SNAPSHOTS: usize = 1 << 20;
/// Most repositories that are remembered of a URL.
const MAX_REPOSITORIES: usize = 16;

/// The folder in which a host keeps what it remembers of repositories. Not a cache: what is lost of it can't be had again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Remembered {
    /// So that people can tell what a file is about.
    #[n(1)]
    pub url: String,
    /// The one that was accepted last comes first.
    #[n(2)]
    pub known: Vec<Known>,
}

/// A repository, and what was seen in it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Known {
    /// Which one.
    #[n(1)]
    pub repository: RepositoryId,
    /// Its snapshots.
    #[n(2)]
    pub snapshots: Vec<RunId>,
}

impl Remembered {
    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &cbor::encode(self)].concat();
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// What the bytes of a file hold; nothing if they aren't as they were written.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_last_chunk::<HASH_LEN>()?;
        (blake3::hash(content) == *hash).then_some(())?;
        let remembered: Self = cbor::decode("what is remembered of a repository", content.strip_prefix(MAGIC)?).ok()?;
        let is_written = remembered.known.len() <= MAX_REPOSITORIES
            && remembered.known.iter().all(|known| known.snapshots.len() <= MAX_SNAPSHOTS);
        is_written.then_some(remembered)
    }
}

/// What is remembered of the repository behind one URL.
#[derive(Debug)]
pub struct Witness {
    file: PathBuf,
    url: String,
    /// As it was when this process began.
    known: Vec<Known>,
}

/// What is remembered can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file isn't as it was written.
    #[error("{}: it is damaged", .0.display())]
    Damaged(PathBuf),
}

impl WitnessError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Behind the URL is another repository than before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the repository at {url} is {found}, and until now it was {}: another one is in its place", either(known))]
pub struct OtherRepository {
    /// Where.
    pub url: String,
    /// Those that this host knows there.
    pub known: Vec<RepositoryId>,
    /// The one that is there.
    pub found: RepositoryId,
}

fn either(ids: &[RepositoryId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl StateDir {
    /// The folder at `path`; made when something is to be kept.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is remembered of the repository behind `url`. What can't be read counts as nothing, and is told.
    pub fn witness(&self, url: &str) -> (Witness, Option<WitnessError>) {
        let name = format!("repository-{}", &blake3::hash(url.as_bytes()).to_hex()[..32]);
        let file = self.0.join(name);
        let (known, problem) = match read(&file, url) {
            Ok(known) => (known, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        (Witness { file, url: url.to_owned(), known }, problem)
    }
}

impl Witness {
    /// The repositories that were behind the URL until now.
    pub fn repositories(&self) -> Vec<RepositoryId> {
        self.known.iter().map(|known| known.repository).collect()
    }

    /// The snapshots that this host had seen in a repository there before this process began.
    pub fn snapshots(&self, of: RepositoryId) -> &[RunId] {
        self.known.iter().find(|known| known.repository == of).map_or(&[], |known| &known.snapshots)
    }

    /// Succeeds if `found` is a repository that is remembered, or none is.
    pub fn recognize(&self, found: RepositoryId) -> Result<(), OtherRepository> {
        let known = self.repositories();
        if known.is_empty() || known.contains(&found) {
            return Ok(());
        }
        Err(OtherRepository { url: self.url.clone(), known, found })
    }

    /// Takes the repository for a right one from now on, as it is: what was seen in it is forgotten. Those that were known stay so.
    pub fn accept(&mut self, repository: RepositoryId) -> Result<(), WitnessError> {
        self.known.retain(|known| known.repository != repository);
        self.known.insert(0, Known { repository, snapshots: Vec::new() });
        self.known.truncate(MAX_REPOSITORIES);
        self.write(self.known.clone())
    }

    /// A new repository was made there, in the place of all that were known.
    pub fn replace(&mut self, repository: RepositoryId) -> Result<(), WitnessError> {
        self.known.clear();
        self.accept(repository)
    }

    /// Remembers that these snapshots are in `repository`, and forgets those that are rightly gone.
    pub fn saw(
        &self,
        repository: RepositoryId,
        there: impl IntoIterator<Item = RunId>,
        gone: &BTreeSet<RunId>,
    ) -> Result<(), WitnessError> {
        // Another process may have written meanwhile. What it wrote and can't be read was never to be believed.
        let before = read(&self.file, &self.url).unwrap_or_default();
        let mut now = before.clone();
        let known = match now.iter_mut().find(|known| known.repository == repository) {
            Some(known) => known,
            None if before.is_empty() => now.push_mut(Known { repository, snapshots: Vec::new() }),
            // Another process made another one there.
            None => return Ok(()),
        };
        let mut snapshots: BTreeSet<RunId> = known.snapshots.iter().copied().collect();
        snapshots.extend(there);
        snapshots.retain(|run| !gone.contains(run));
        known.snapshots = snapshots.into_iter().take(MAX_SNAPSHOTS).collect();
        if before == now { Ok(()) } else { self.write(now) }
    }

    fn write(&self, known: Vec<Known>) -> Result<(), WitnessError> {
        let bytes = Remembered { url: self.url.clone(), known }.encode();
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let io = || WitnessError::io(&self.file);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io())?;
        let mut temporary = tempfile::Builder::new().prefix("tmp-").tempfile_in(folder).map_err(io())?;
        temporary.write_all(&bytes).map_err(io())?;
        // An empty file after a power failure would be a warning for nothing.
        temporary.as_file().sync_data().map_err(io())?;
        temporary.persist(&self.file).map_err(|error| io()(error.error))?;
        Ok(())
    }
}

/// What a file holds about `url`; nothing if there is none.
fn read(path: &Path, url: &str) -> Result<Vec<Known>, WitnessError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE).read_to_end(&mut bytes).map_err(WitnessError::io(path))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(WitnessError::io(path)(error)),
    };
    let remembered = Remembered::decode(&bytes).ok_or_else(|| WitnessError::Damaged(path.to_owned()))?;
    Ok(if remembered.url == url { remembered.known } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: RepositoryId = RepositoryId::from_bytes([1; 16]);
    const OTHER: RepositoryId = RepositoryId::from_bytes([2; 16]);
    const THIRD: RepositoryId = RepositoryId::from_bytes([3; 16]);

    fn run(n: u8) -> RunId {
        RunId::from_bytes([n; 20])
    }

    fn none() -> BTreeSet<RunId> {
        BTreeSet::new()
    }

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn state(&self) -> StateDir {
            StateDir::new(self.0.path().join("state/nightsafe"))
        }

        /// As a process finds it that begins now.
        fn witness(&self, url: &str) -> Witness {
            let (witness, problem) = self.state().witness(url);
            assert!(problem.is_none(), "{problem:?}");
            witness
        }

        fn file(&self) -> PathBuf {
            let mut files = fs::read_dir(&self.state().0).unwrap();
            files.next().unwrap().unwrap().path()
        }
    }

    #[test]
    fn another_repository_behind_a_url_is_not_recognized() {
        let host = Host::new();
        let first = host.witness("/a");
        assert_eq!((first.repositories(), first.recognize(OTHER)), (vec![], Ok(())), "nothing is known yet");
        first.saw(ONE, [run(1)], &none()).unwrap();
        assert_eq!(host.witness("/a").recognize(ONE), Ok(()));
        let refused = host.witness("/a").recognize(OTHER).unwrap_err();
        assert_eq!((refused.known, refused.found), (vec![ONE], OTHER));
        assert_eq!(host.witness("/b").recognize(OTHER), Ok(()), "another URL");
        host.witness("/a").replace(OTHER).unwrap();
        let after = host.witness("/a");
        assert_eq!((after.recognize(OTHER), after.recognize(ONE).is_err()), (Ok(()), true));
        assert_eq!((after.snapshots(OTHER), after.snapshots(ONE)), (&[][..], &[][..]));
        // A process that began before that doesn't undo it.
        first.saw(ONE, [run(2)], &none()).unwrap();
        assert_eq!(host.witness("/a").repositories(), [OTHER]);
    }

    /// Two disks that were carried away in turn and mounted at one place were refused at each change: to accept one meant to forget the other.
    #[test]
    fn repositories_that_are_there_in_turn_are_accepted_once_and_remembered_each_for_itself() {
        let host = Host::new();
        host.witness("/a").saw(ONE, [run(1)], &none()).unwrap();
        let mut asked = host.witness("/a");
        asked.accept(OTHER).unwrap();
        assert_eq!((asked.recognize(OTHER), asked.recognize(ONE)), (Ok(()), Ok(())));
        host.witness("/a").saw(OTHER, [run(2)], &none()).unwrap();
        let both = host.witness("/a");
        assert_eq!((both.snapshots(ONE), both.snapshots(OTHER)), (&[run(1)][..], &[run(2)][..]));
        assert_eq!(both.recognize(THIRD).unwrap_err().known, [OTHER, ONE]);
        // Once more accepted: as it is now.
        host.witness("/a").accept(ONE).unwrap();
        let after = host.witness("/a");
        assert_eq!((after.snapshots(ONE), after.snapshots(OTHER)), (&[][..], &[run(2)][..]));
    }

    #[test]
    fn what_several_processes_saw_is_remembered_until_it_is_rightly_gone() {
        let host = Host::new();
        let (one, other) = (host.witness("/a"), host.witness("/a"));
        one.saw(ONE, [run(1), run(2)], &none()).unwrap();
        other.saw(ONE, [run(3)], &none()).unwrap();
        assert!(other.snapshots(ONE).is_empty(), "only what was known when it began counts");
        let later = host.witness("/a");
        assert_eq!(later.snapshots(ONE), [run(1), run(2), run(3)]);
        later.saw(ONE, [run(4)], &BTreeSet::from([run(2)])).unwrap();
        assert_eq!(host.witness("/a").snapshots(ONE), [run(1), run(3), run(4)]);
    }

    #[test]
    fn a_file_that_is_damaged_is_told_and_made_anew() {
        let host = Host::new();
        host.witness("/a").saw(ONE, [run(1)], &none()).unwrap();
        let (file, good) = (host.file(), fs::read(host.file()).unwrap());
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let mut all: Vec<Vec<u8>> = (0..good.len()).map(flipped).collect();
        all.extend((0..good.len()).map(|length| good[..length].to_vec()));
        for bad in all {
            fs::write(&file, bad).unwrap();
            let (witness, problem) = host.state().witness("/a");
            assert!(matches!(problem, Some(WitnessError::Damaged(_))));
            assert_eq!(witness.repositories(), []);
        }
        host.state().witness("/a").0.saw(OTHER, [run(2)], &none()).unwrap();
        assert_eq!(host.witness("/a").repositories(), [OTHER]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_the_file() {
        let host = Host::new();
        fs::write(host.0.path().join("state"), "a file").unwrap();
        let (witness, problem) = host.state().witness("/a");
        assert!(problem.is_some_and(|problem| problem.to_string().contains("state/nightsafe")));
        let error = witness.saw(ONE, [run(1)], &none()).unwrap_err();
        assert!(error.to_string().contains("state/nightsafe/repository-"), "{error}");
    }
}
