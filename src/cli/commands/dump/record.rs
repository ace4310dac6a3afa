//! What is known of a database's dump, in a file beside it.

use crate::cli::commands::dump::file::to_file;
use crate::cli::error::CliError;
use crate::cli::json;
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::path::SafePath;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The name of the record beside a dump.
fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".manifest.json");
    name.into()
}

/// Has `write` write a database's dump to `file`, and puts the record beside it: both or none.
pub(super) fn with_record(
    file: &Path,
    snapshot: &Snapshot,
    path: &SafePath,
    write: impl FnOnce() -> Result<(), CliError>,
) -> Result<(), CliError> {
    let record = json::DumpRecord::new(snapshot, path).ok_or_else(|| {
        let dumps: Vec<String> = snapshot.manifest.databases.iter().map(|one| one.dump.to_string()).collect();
        let error = CliError::usage(format!("{path} isn't the dump of a database that was captured live"));
        if dumps.is_empty() { error } else { error.hint(format!("these are:\n{}", dumps.join("\n"))) }
    })?;
    // The record is made before the dump is, and appears behind it.
    to_file(&beside(file), |out| {
        let failed = |error: &dyn std::error::Error| CliError::new(crate::cli::error::Exit::Failed, error.to_string());
        serde_json::to_writer_pretty(&mut *out, &record).map_err(|error| failed(&error))?;
        out.write_all(b"\n").map_err(|error| failed(&error))?;
        write()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::cli::error::Exit;
    use std::os::unix::fs::PermissionsExt;

    fn snapshot() -> Snapshot {
        let mut snapshot = test_data::snapshot(1);
        snapshot.manifest.databases = vec![test_data::database()];
        snapshot.manifest.application = Some(test_data::application());
        snapshot
    }

    #[test]
    fn the_record_stands_beside_the_dump_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wiki.dump");
        let path = test_data::path("db/wiki.dump");
        with_record(&file, &snapshot(), &path, || to_file(&file, |_| Ok(()))).unwrap();
        let record = folder.path().join("wiki.dump.manifest.json");
        assert_eq!(std::fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        assert_eq!(read["database"]["sha256"], "5a".repeat(32));
        assert_eq!((&read["host"], &read["application"]["version"]), (&"web1".into(), &"2.4.1".into()));
        // Neither is written over, whichever of them is there.
        let again = || with_record(&file, &snapshot(), &path, || to_file(&file, |_| Ok(()))).unwrap_err().exit();
        assert_eq!(again(), Exit::Refused);
        std::fs::remove_file(&record).unwrap();
        assert_eq!(again(), Exit::Refused);
        assert!(!record.exists(), "no record without its dump");
    }

    #[test]
    fn other_files_have_no_record() {
        let path = test_data::path("srv/app/.env");
        let error = with_record(Path::new("/nonexistent/x"), &snapshot(), &path, || panic!("never")).unwrap_err();
        assert_eq!((error.exit(), error.next_step()), (Exit::Usage, Some("these are:\n/db/wiki.dump")));
    }
}
