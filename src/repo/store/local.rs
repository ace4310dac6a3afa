//! A store in a folder.
//!
//! OpenDAL's `fs` isn't used for this: it doesn't synchronise directories, its put-if-absent isn't atomic where its writes are, and it creates a missing
//! root, so that an unmounted backup disk becomes an empty repository. Here
//!
//! - an object is written to `<random>.tmp` in its own directory, synchronised, then *linked* to its name (which fails if the name is taken), and the directory
//!   is synchronised, as is the entry of every directory on the way;
//! - where the system fails to synchronise something, it is taken away again: the system reports a failure once and may then take what it lost for written, so that
//!   only another try from the start means anything;
//! - the root is opened once and held: all goes to the file system that was there at first, and an unmount under way is noticed, because the path then leads elsewhere;
//! - directories and objects are opened without following symbolic links.
//!
//! A crash leaves nothing but `.tmp` files, which listings hide; [`Store::remove_stale_temporaries`] removes old ones.
//!
//! On file systems without hard links (FAT, exFAT, some FUSE) the temporary file is renamed with `RENAME_NOREPLACE`; where there is neither, with a plain rename
//! after a look whether the name is free.

mod folder;

use self::folder::Folder;
use super::key::{self, require_key, require_prefix};
use super::{Listed, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Calls at once: enough to keep a disk busy while another object is synchronised, few enough for a disk with a moving head.
const CONNECTIONS: usize = 4;

/// Objects and directories are for their owner only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: u32 = 0o700;

/// How much is read at once when two objects are compared.
const COMPARED: usize = 64 * 1024;

/// Objects as files below a folder.
pub struct LocalStore {
    root: PathBuf,
    url: String,
    folder: Mutex<Option<Arc<Folder>>>,
    /// Why something that was to be durable may not be.
    unsettled: Mutex<Option<Errno>>,
}

/// What became of an attempt to give a temporary file its name.
enum Placed {
    /// The object is there, and the temporary name too.
    Linked,
    /// The object is there.
    Renamed,
    /// The name was taken.
    Taken,
}

impl LocalStore {
    /// The store in the folder `root`. Nothing is looked at yet.
    pub fn new(root: &Path) -> Self {
        // A later change of the working directory must not move the store. `absolute` fails for an empty path only, which no call will find.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let url = root.display().to_string();
        Self { root, url, folder: Mutex::new(None), unsettled: Mutex::new(None) }
    }

    /// The root, which must be the same as when it was first used.
    fn folder(&self, key: &str) -> Result<Arc<Folder>, StoreError> {
        let mut held = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |why: io::Error| StoreError::new(StoreErrorKind::RootMissing, key, &self.url).because(why);
        match (&*held, Folder::open(&self.root)) {
            (_, Err(error)) if folder::is_missing(error) => Err(missing(error.into())),
            (_, Err(error)) => Err(self.failed(key, error)),
            (None, Ok(now)) => Ok(Arc::clone(held.insert(Arc::new(now)))),
            (Some(first), Ok(now)) if first.is_same(&now) => Ok(Arc::clone(first)),
            (Some(_), Ok(_)) => Err(missing(io::Error::other("another folder is in its place now: unmounted?"))),
        }
    }

    /// An error of the system about `key`.
    fn failed(&self, key: &str, error: impl Into<io::Error>) -> StoreError {
        let error = error.into();
        StoreError::new(kind_of(&error), key, &self.url).because(error)
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::new(StoreErrorKind::NotFound, key, &self.url)
    }

    /// The object and its length.
    fn open(&self, key: &str) -> Result<(File, u64), StoreError> {
        require_key(key, &self.url)?;
        let folder = self.folder(key)?;
        let opened = folder.directory_of(key, false).and_then(|(directory, name)| open_object(&directory, name));
        match opened {
            Ok(Opened::Object(file, length)) => Ok((file, length)),
            Ok(Opened::Other) => Err(self.not_found(key)),
            Err(error) => Err(self.failed(key, error)),
        }
    }

    /// Makes `bytes` the object `name` in `directory`, durably, unless it is there.
    fn place(&self, directory: &OwnedFd, name: &str, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match open_object(directory, name) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed(key, error)),
            Ok(there) => return self.accept_existing(directory, key, bytes, there),
        }
        let temporary = key::temporary_name().map_err(|error| self.failed(key, error))?;
        let placed =
            write_temporary(directory, &temporary, bytes).and_then(|()| Ok(give_name(directory, &temporary, name)?));
        if !matches!(placed, Ok(Placed::Renamed)) {
            // If this fails, a file is left that listings hide.
            let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        }
        match placed.map_err(|error| self.failed(key, error))? {
            Placed::Linked | Placed::Renamed => synchronise(directory).map_err(|error| {
                // Nobody shall rely on it. If this fails too, `settle` is what keeps others from that.
                let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
                self.failed(key, error)
            }),
            Placed::Taken => {
                let there = open_object(directory, name).map_err(|error| self.failed(key, error))?;
                self.accept_existing(directory, key, bytes, there)
            }
        }
    }

    /// Success, after making it durable, if what is there has the same bytes: another put of them may not have been synchronised yet.
    fn accept_existing(&self, directory: &OwnedFd, key: &str, bytes: &[u8], there: Opened) -> Result<(), StoreError> {
        let failed = |error: io::Error| self.failed(key, error);
        match there {
            Opened::Object(file, length)
                if length == bytes.len() as u64 && has_bytes(&file, bytes).map_err(failed)? =>
            {
                synchronise(&file).and_then(|()| synchronise(directory)).map_err(|error| self.failed(key, error))
            }
            _ => Err(StoreError::new(StoreErrorKind::Exists, key, &self.url)),
        }
    }
}

impl Store for LocalStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn connections(&self) -> usize {
        CONNECTIONS
    }

    fn create_root(&self) -> Result<(), StoreError> {
        let failed = |error: io::Error| {
            // A missing root is what this call is for, so this is not `RootMissing`.
            StoreError::new(kind_of(&error), "", &self.url).because(error)
        };
        // From the first folder that exists downwards: each is created and its entry in its parent made durable.
        let absent: Vec<&Path> = self.root.ancestors().take_while(|path| !path.exists()).collect();
        if absent.is_empty()
            && let Some(Ok(parent)) = self.root.parent().map(File::open)
        {
            // Whoever made it may have done so a moment ago.
            parent.sync_all().map_err(failed)?;
        }
        for path in absent.into_iter().rev() {
            match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
            if let Some(parent) = path.parent() {
                File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
            }
        }
        // What was held before may have been removed.
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.folder("").map(|_| ())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        require_key(key, &self.url)?;
        let folder = self.folder(key)?;
        let (directory, name) = folder.directory_of(key, true).map_err(|error| match error {
            // The root was removed after it was opened.
            Errno::NOENT => {
                StoreError::new(StoreErrorKind::RootMissing, key, &self.url).because(io::Error::from(error))
            }
            // A component is an object or a link: not `NotFound`, which a put never is.
            Errno::NOTDIR | Errno::LOOP => {
                StoreError::new(StoreErrorKind::Other, key, &self.url).because(io::Error::from(error))
            }
            error => self.failed(key, error),
        })?;
        self.place(&directory, name, key, bytes)
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        let (file, length) = self.open(key)?;
        if length > limit {
            return Err(StoreError::new(StoreErrorKind::TooLong, key, &self.url));
        }
        let mut bytes = Vec::new();
        let wanted = usize::try_from(length).map_err(|_| StoreError::new(StoreErrorKind::TooLong, key, &self.url))?;
        bytes.try_reserve_exact(wanted).map_err(|error| self.failed(key, io::Error::other(error)))?;
        file.take(length).read_to_end(&mut bytes).map_err(|error| self.failed(key, error))?;
        if bytes.len() != wanted {
            return Err(StoreError::new(StoreErrorKind::Short, key, &self.url));
        }
        Ok(bytes.into())
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let (file, there) = self.open(key)?;
        let short = || StoreError::new(StoreErrorKind::Short, key, &self.url);
        if offset.checked_add(length).is_none_or(|end| end > there) {
            return Err(short());
        }
        let mut bytes = Vec::new();
        let wanted = usize::try_from(length).map_err(|_| short())?;
        bytes.try_reserve_exact(wanted).map_err(|error| self.failed(key, io::Error::other(error)))?;
        bytes.resize(wanted, 0);
        file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => short().because(error),
            _ => self.failed(key, error),
        })?;
        Ok(bytes.into())
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        match self.open(key) {
            Ok((_, length)) => Ok(Some(length)),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        require_prefix(prefix, &self.url)?;
        let folder = self.folder(prefix)?;
        folder
            .walk(prefix, &mut |_, name, found| {
                let key = [found.folder, name].concat();
                if super::check_key(&key).is_ok() {
                    each(Listed { key, length: found.length, modified: Some(found.modified) });
                }
                Ok(())
            })
            .map_err(|error| self.failed(prefix, error))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        require_key(key, &self.url)?;
        let folder = self.folder(key)?;
        let removed = folder
            .directory_of(key, false)
            .and_then(|(directory, name)| rustix::fs::unlinkat(directory, name, AtFlags::empty()));
        match removed {
            // A directory isn't an object, so there was none.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR) => Ok(()),
            Err(error) => Err(self.failed(key, error)),
        }
    }

    fn remove_stale_temporaries(&self, age: Duration) -> Result<u64, StoreError> {
        let folder = self.folder("")?;
        let mut removed = 0;
        let now = SystemTime::now();
        folder
            .walk("", &mut |directory, name, found| {
                let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(found.modified).unwrap_or(0));
                if key::is_temporary(name) && now.duration_since(modified).is_ok_and(|old| old >= age) {
                    rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
                    removed += 1;
                }
                Ok(())
            })
            .map_err(|error| self.failed("", error))?;
        Ok(removed)
    }

    /// One call for the whole file system: there may be hundreds of directories, each of which would cost a flush of the disk.
    ///
    /// The system tells only once that it couldn't write something. So whoever asks again hears of it, too: a checkpoint must not take the news from the run that goes on.
    fn settle(&self) -> Result<(), StoreError> {
        let synchronised = match *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => self.folder("")?.synchronise_all(),
        };
        synchronised.map_err(|error| {
            *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.failed("", error)
        })
    }
}

/// What stands under an object's name.
enum Opened {
    /// A regular file and its length.
    Object(File, u64),
    /// Anything else: a directory, a link, a device.
    Other,
}

/// Opens `name` without following a link, and without waiting for the other end if it is a pipe.
fn open_object(directory: &OwnedFd, name: &str) -> rustix::io::Result<Opened> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, flags, Mode::empty()));
    let file = match opened {
        Ok(file) => file,
        // A link; a socket or a device that can't be opened.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(Opened::Other),
        Err(error) => return Err(error),
    };
    let status = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Ok(Opened::Other);
    }
    Ok(Opened::Object(File::from(file), u64::try_from(status.st_size).unwrap_or(0)))
}

/// Writes a new file and makes its content durable.
fn write_temporary(directory: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, flags, FILE_MODE))?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    synchronise(&file)?;
    match file.metadata()?.len() {
        length if length == bytes.len() as u64 => Ok(()),
        length => Err(io::Error::other(format!("{length} bytes were stored instead of {}", bytes.len()))),
    }
}

/// Gives a finished temporary file its name, if that is free.
fn give_name(directory: &OwnedFd, temporary: &str, name: &str) -> rustix::io::Result<Placed> {
    match rustix::fs::linkat(directory, temporary, directory, name, AtFlags::empty()) {
        Ok(()) => return Ok(Placed::Linked),
        Err(Errno::EXIST) => return Ok(Placed::Taken),
        // What the various file systems without hard links answer.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK | Errno::INVAL | Errno::ACCESS) => {}
        Err(error) => return Err(error),
    }
    rename_to_free(directory, temporary, name)
}

/// [`give_name`] without hard links.
fn rename_to_free(directory: &OwnedFd, temporary: &str, name: &str) -> rustix::io::Result<Placed> {
    match rustix::fs::renameat_with(directory, temporary, directory, name, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(Placed::Renamed),
        Err(Errno::EXIST) => return Ok(Placed::Taken),
        // The file system doesn't know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error),
    }
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(Placed::Taken),
        Err(Errno::NOENT) => {
            rustix::fs::renameat(directory, temporary, directory, name)?;
            Ok(Placed::Renamed)
        }
        Err(error) => Err(error),
    }
}

/// Whether the file's bytes, which are as many, are `bytes`.
fn has_bytes(mut file: &File, bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; COMPARED];
    for expected in bytes.chunks(COMPARED) {
        let buffer = &mut buffer[..expected.len()];
        match file.read_exact(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if buffer != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn synchronise(file: &impl AsFd) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::fsync(file))
}

/// What an error of the system means. Public to the stores that end in system calls of their own.
pub(super) fn kind_of(error: &io::Error) -> StoreErrorKind {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => StoreErrorKind::NotFound,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StoreErrorKind::Denied,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => StoreErrorKind::Full,
        // Network file systems.
        Some(Errno::AGAIN | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::CONNRESET) => {
            StoreErrorKind::Transient
        }
        _ => StoreErrorKind::Other,
    }
}

#[cfg(test)]
mod tests;
