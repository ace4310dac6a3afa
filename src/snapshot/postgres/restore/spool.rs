//! A dump as a file, for `pg_restore` with several jobs, which jumps about in it.

use super::error::DatabaseError;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// A file in a folder, without a name: nobody else can open it, and it is gone with the last process that holds it, however that ends.
pub(super) struct Spool {
    folder: PathBuf,
    file: File,
}

impl Spool {
    /// A spool file that `needed` bytes go into. Refused if they wouldn't fit.
    pub(super) fn create(folder: &Path, needed: u64) -> Result<Self, DatabaseError> {
        let failed = |source| DatabaseError::Spool { folder: folder.to_owned(), source };
        let system = rustix::fs::statvfs(folder).map_err(|error| failed(error.into()))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < needed {
            return Err(DatabaseError::SpoolTooSmall { folder: folder.to_owned(), free, needed });
        }
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), file })
    }

    /// What a failed write to it is.
    pub(super) fn failed(&self, source: io::Error) -> DatabaseError {
        DatabaseError::Spool { folder: self.folder.clone(), source }
    }

    /// Writes to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DatabaseError> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))
    }

    /// The file, at its beginning.
    pub(super) fn finish(mut self) -> Result<File, DatabaseError> {
        self.file.rewind().map_err(|source| self.failed(source))?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_spool_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path(), 3).unwrap();
        spool.write(b"abc").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut text = String::new();
        spool.finish().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn what_does_not_fit_is_refused_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Spool::create(folder.path(), u64::MAX), Err(DatabaseError::SpoolTooSmall { .. })));
        assert!(matches!(Spool::create(Path::new("/no/such/folder"), 1), Err(DatabaseError::Spool { .. })));
    }
}
