//! File systems of their own, for tests of full disks and of more than one kind of disk. Mounting takes root: where that isn't to be had, a test says so.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system, gone when this is.
pub struct Disk {
    folder: tempfile::TempDir,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Disk {
    /// In memory, of a size as `mount` takes it.
    pub fn tmpfs(size: &str) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let options = format!("size={size},mode=755");
        if run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", disk.mount_point().to_str().unwrap()]) {
            return Some(disk);
        }
        eprintln!("skipped: no tmpfs can be mounted here");
        None
    }

    /// ext4 in a file of so many MiB.
    pub fn ext4(mebibytes: u64) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let image = disk.folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        let image = image.to_str().unwrap();
        if run("mkfs.ext4", &["-q", image])
            && run("mount", &["-o", "loop", image, disk.mount_point().to_str().unwrap()])
        {
            std::fs::set_permissions(disk.path(), PermissionsExt::from_mode(0o755)).unwrap();
            return Some(disk);
        }
        eprintln!("skipped: no ext4 can be mounted here");
        None
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount_point(&self) -> PathBuf {
        std::fs::create_dir_all(self.path()).unwrap();
        self.path()
    }

    /// Gives a tmpfs another size.
    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(run("mount", &["-o", &options, self.path().to_str().unwrap()]));
    }

    /// Fills it up, but for about so many KiB.
    pub fn fill(&self, but_for_kibibytes: u64) -> PathBuf {
        let filler = self.path().join("filler");
        let free = rustix::fs::statvfs(self.path()).unwrap();
        let free = (free.f_bavail * free.f_frsize).saturating_sub(but_for_kibibytes << 10);
        std::fs::write(&filler, vec![1; usize::try_from(free).unwrap()]).unwrap();
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap_or_default()]);
    }
}

/// A folder in memory where there is such a file system: what is synchronised there costs nothing.
pub fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .unwrap()
}
