//! Files that appear when they're whole.

use crate::cli::error::{CliError, Exit};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Has `write` fill a file that only its owner reads and that appears when it's whole; it must not exist yet.
pub(super) fn to_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let exists = || {
        CliError::new(Exit::Refused, format!("{} exists", path.display())).hint("choose another name, or move it away")
    };
    let failed = |error: &io::Error| CliError::file(path, error);
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    let written = write(&mut file)?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    // Somebody may have made it meanwhile: never written over.
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(&error.error),
    })?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let failed = to_file(&path, |out| {
            out.write_all(b"half").unwrap();
            Err::<(), _>(CliError::usage("x"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let write = |out: &mut dyn Write| {
            out.write_all(b"whole").unwrap();
            Ok(5)
        };
        to_file(&path, write).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(to_file(&path, write).err().map(|error| error.exit()), Some(Exit::Refused));
        let raced = folder.path().join("raced");
        let late = to_file(&raced, |out| {
            std::fs::write(&raced, b"theirs").unwrap();
            write(out)
        });
        assert_eq!(late.err().map(|error| error.exit()), Some(Exit::Refused));
        assert_eq!(std::fs::read(&raced).unwrap(), b"theirs");
    }
}
