//! File systems to try things on: wherever temporary files are, and for root an ext4 and a tmpfs of their own.

use super::is_root;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder on some file system, gone with this.
pub struct Place {
    pub name: String,
    pub path: PathBuf,
    mounted: bool,
    /// Holds the image of a file system, too.
    pub folder: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _ = unmount(&self.path);
        }
        // Trees that are too deep for the standard library are removed by those who made them.
    }
}

fn run(command: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(arguments).output().map_err(|error| format!("{command}: {error}"))?;
    let said = || format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(said)
}

pub fn unmount(path: &Path) -> Result<(), String> {
    run("umount", &["-l", path.to_str().unwrap()])
}

pub fn mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    run("mount", &[arguments, &[path.to_str().unwrap()]].concat())
}

/// Where temporary files are.
fn here() -> Place {
    let folder = tempfile::tempdir().unwrap();
    Place { name: "the folder of temporary files".to_owned(), path: folder.path().to_owned(), mounted: false, folder }
}

/// A file system of its own; nothing, with the reason told, where that can't be.
fn mounted(name: &str, make: impl FnOnce(&Path, &Path) -> Result<(), String>) -> Option<Place> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mounted");
    std::fs::create_dir(&path).unwrap();
    let made = if is_root() { make(folder.path(), &path) } else { Err("only root mounts file systems".to_owned()) };
    if let Err(reason) = made {
        eprintln!("skipped: {name}: {reason}");
        return None;
    }
    Some(Place { name: name.to_owned(), path, mounted: true, folder })
}

/// An ext4 in an image `folder/image` of so many MiB, made with these options.
pub fn ext4(options: &str, size: u64) -> Option<Place> {
    mounted(&format!("ext4 {options}"), |folder, path| {
        let image = folder.join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(size << 20)).map_err(|error| error.to_string())?;
        let image = image.to_str().unwrap();
        let options: Vec<&str> = options.split_whitespace().collect();
        run("mkfs.ext4", &[&["-q", "-b", "4096"], options.as_slice(), &[image]].concat())?;
        mount(&["-o", "loop", image], path)
    })
}

pub fn tmpfs() -> Option<Place> {
    mounted("tmpfs", |_, path| mount(&["-t", "tmpfs", "none"], path))
}

/// All that can be had here.
pub fn places() -> Vec<Place> {
    [Some(here()), ext4("-I 256", 256), tmpfs()].into_iter().flatten().collect()
}
