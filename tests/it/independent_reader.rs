//! A reader written from `docs/format.md` alone, in another language, reads what the program writes.
//!
//! `tests/independent_reader/setup` makes the Python environment that it needs; without one the test is skipped, and says so.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent_reader/nightsafe_reader.py");

#[test]
fn a_reader_written_from_the_document_restores_what_was_backed_up() -> io::Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let scene = Scene::new(python)?;
    build_tree(&scene.source)?;

    scene.nightsafe(&["init"])?;
    scene.back_up()?;
    scene.check("first")?;

    change_tree(&scene.source)?;
    scene.back_up()?;
    scene.check("second")?;

    let listed = scene.read(&["list".as_ref()])?;
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2, "{}", text(&listed));

    fs::write(&scene.password, "not the password\n")?;
    let refused = scene.read(&["list".as_ref()])?;
    assert_eq!(refused.status.code(), Some(12), "a wrong password:\n{}", text(&refused));
    Ok(())
}

#[test]
fn the_readers_own_tests_pass() -> io::Result<()> {
    // All of them: one file was left out here once, and nobody saw that its writer wrote segments of long ago.
    let Some(python) = python()? else { return Ok(()) };
    let folder = Path::new(READER).parent().expect("the reader is in a folder");
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "unittest", "discover"])
        .current_dir(folder)
        .output()?;
    assert!(output.status.success(), "{}", text(&output));
    Ok(())
}

/// A repository, the tree that is backed up into it, and the two programs that work on it.
struct Scene {
    python: OsString,
    base: tempfile::TempDir,
    source: PathBuf,
    repository: PathBuf,
    password: PathBuf,
}

impl Scene {
    fn new(python: OsString) -> io::Result<Self> {
        let base = tempfile::tempdir()?;
        let [source, repository, password] = ["source", "repository", "password"].map(|name| base.path().join(name));
        fs::create_dir(&source)?;
        fs::create_dir(base.path().join("home"))?;
        fs::write(&password, "correct horse, Bätterie, staple\n")?;
        Ok(Self { python, base, source, repository, password })
    }

    /// Runs the program and insists on success.
    fn nightsafe(&self, arguments: &[&str]) -> io::Result<()> {
        let home = self.base.path().join("home");
        let output = Command::new(env!("CARGO_BIN_EXE_nightsafe"))
            .env("HOME", &home)
            .env("NIGHTSAFE_CACHE_DIR", home.join("cache"))
            .env_remove("NIGHTSAFE_PASSWORD")
            .arg("-r")
            .arg(&self.repository)
            .args(arguments)
            .arg("--password-file")
            .arg(&self.password)
            .current_dir(self.base.path())
            .output()?;
        assert!(output.status.success(), "nightsafe {arguments:?}:\n{}", text(&output));
        Ok(())
    }

    fn back_up(&self) -> io::Result<()> {
        self.nightsafe(&["backup", "source", "--as", "tree"])
    }

    /// Runs the independent reader.
    fn read(&self, arguments: &[&OsStr]) -> io::Result<Output> {
        Command::new(&self.python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(READER)
            .arg("--repo")
            .arg(&self.repository)
            .arg("--password-file")
            .arg(&self.password)
            .args(arguments)
            .output()
    }

    /// Verifies the repository, restores its latest snapshot and compares it with the source; with and without segments.
    fn check(&self, name: &str) -> io::Result<()> {
        for (option, suffix) in [(None, "index"), (Some(OsStr::new("--no-index")), "trailers")] {
            let target = self.base.path().join(format!("{name}-{suffix}"));
            let verbs: [&[&OsStr]; 2] =
                [&["verify".as_ref()], &["restore".as_ref(), "latest".as_ref(), target.as_os_str()]];
            for verb in verbs {
                let arguments: Vec<_> = option.into_iter().chain(verb.iter().copied()).collect();
                let output = self.read(&arguments)?;
                // It falls back from segments to trailers, but says so: silence shows that the segments were enough.
                let silent = output.status.success() && output.stderr.is_empty();
                assert!(silent, "{name}: reader {arguments:?}:\n{}", text(&output));
            }
            assert_same(&self.source, &target.join("tree"))?;
            let [one, other] = ["hard", "link"].map(|file| target.join("tree/links").join(file));
            assert_eq!(fs::metadata(one)?.ino(), fs::metadata(other)?.ino(), "{name}: the hard link");
        }
        Ok(())
    }
}

/// The interpreter that has the reader's packages, or nothing and a word about why.
fn python() -> io::Result<Option<OsString>> {
    let given = std::env::var_os("NIGHTSAFE_TEST_PYTHON");
    let python = given.clone().unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python).args(["-c", "import cryptography, blake3, argon2, lz4, zstandard"]).output();
    let reason = match probe {
        Ok(output) if output.status.success() => return Ok(Some(python)),
        Ok(output) => text(&output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => error.to_string(),
        Err(error) => return Err(error),
    };
    assert!(given.is_none(), "NIGHTSAFE_TEST_PYTHON lacks the packages: {reason}");
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    {
        eprintln!(
            "skipped: python3 lacks the packages (tests/independent_reader/setup installs them): {}",
            reason.trim()
        );
    }
    Ok(None)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Everything that the format stores in a way of its own: sizes around its limits, secrets, holes, links, odd names.
fn build_tree(top: &Path) -> io::Result<()> {
    for (name, size) in [("empty", 0), ("one", 1), ("inline", 64), ("not-inline", 65), ("medium", 100_000)] {
        fs::write(top.join(name), noise(size, size as u64))?;
    }
    fs::write(top.join("compressible"), "INSERT INTO t VALUES (1, 'nothing new');\n".repeat(75_000))?;
    fs::write(top.join("random"), noise(3_000_000, 7))?;
    fs::write(top.join(".env"), "POSTGRES_PASSWORD=hunter2\nTZ=UTC\n")?;
    fs::set_permissions(top.join(".env"), Permissions::from_mode(0o600))?;

    // A dump, and what crontabs make of it: rebuilt by zlib, and by the second reader's own gzip.
    let dump = include_bytes!("../data/dumps/chinook-night1-pg11.dump");
    fs::write(top.join("night.dump"), dump)?;
    fs::write(top.join("cut.dump"), &dump[..dump.len() - 5_000])?;
    fs::write(top.join("lz4.dump"), include_bytes!("../data/dumps/blocks-lz4-pg17.dump"))?;
    fs::write(top.join("zstd.dump"), include_bytes!("../data/dumps/blocks-zstd-pg17.dump"))?;
    for (name, level) in [("night.dump", "-6"), ("compressible", "-1"), (".env", "-9")] {
        let packed = Command::new("gzip").arg(level).arg("-c").arg(top.join(name)).output()?;
        assert!(packed.status.success(), "{}", text(&packed));
        fs::write(top.join(format!("{name}.gz")), packed.stdout)?;
    }

    let mut sparse = File::create(top.join("sparse"))?;
    sparse.write_all(b"the beginning")?;
    sparse.seek(SeekFrom::Start(5 << 20))?;
    sparse.write_all(&noise(70_000, 9))?;
    sparse.set_len(9 << 20)?;
    File::create(top.join("only-a-hole"))?.set_len(1 << 20)?;

    let links = top.join("links");
    fs::create_dir(&links)?;
    fs::write(links.join("hard"), noise(5_000, 11))?;
    fs::hard_link(links.join("hard"), links.join("link"))?;
    symlink("../random", links.join("symbolic"))?;
    symlink("nowhere", links.join("dangling"))?;
    fs::write(links.join("script"), "#!/bin/sh\n")?;
    fs::set_permissions(links.join("script"), Permissions::from_mode(0o755))?;

    let odd = top.join(OsStr::from_bytes(b"odd \xff\xfe names"));
    fs::create_dir(&odd)?;
    fs::write(odd.join(OsStr::from_bytes(b"caf\xe9")), "Latin-1")?;
    fs::write(odd.join("line\nbreak"), noise(200, 13))?;

    let many = top.join("many");
    fs::create_dir(&many)?;
    for number in 0..3_000 {
        fs::write(many.join(format!("{number:04}.txt")), noise(number % 200, number as u64))?;
    }
    fs::create_dir(top.join("empty-folder"))?;
    fs::create_dir_all(top.join("a/b/c/d/e/f/g"))?;
    fs::set_permissions(top.join("a/b"), Permissions::from_mode(0o2750))
}

/// What a day may bring: files added, changed, gone, moved, and a folder that became a file.
fn change_tree(top: &Path) -> io::Result<()> {
    let mut random = fs::read(top.join("random"))?;
    random.splice(1_500_000..1_500_000, *b"an insertion in the middle");
    fs::write(top.join("random"), random)?;
    fs::write(top.join("many/0042.txt"), "changed")?;
    fs::remove_file(top.join("many/1000.txt"))?;
    fs::rename(top.join("many/2000.txt"), top.join("moved"))?;
    fs::write(top.join("new"), noise(300_000, 17))?;
    fs::write(top.join(".env"), "POSTGRES_PASSWORD=hunter3\nTZ=UTC\n")?;
    fs::remove_dir(top.join("empty-folder"))?;
    fs::write(top.join("empty-folder"), "a file now")
}

/// Text that doesn't compress well: base64 letters from xorshift64*.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        LETTERS[(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58) as usize]
    };
    (0..length).map(|_| letter()).collect()
}

/// Type, mode, time and content of two entries, and of all below them, are the same.
fn assert_same(source: &Path, restored: &Path) -> io::Result<()> {
    let [was, is] = [fs::symlink_metadata(source)?, fs::symlink_metadata(restored)?];
    let place = source.display();
    assert_eq!(was.file_type(), is.file_type(), "{place}: type");
    assert_eq!((was.mtime(), was.mtime_nsec()), (is.mtime(), is.mtime_nsec()), "{place}: time");
    if was.is_symlink() {
        assert_eq!(fs::read_link(source)?, fs::read_link(restored)?, "{place}: target");
        return Ok(());
    }
    assert_eq!(was.mode(), is.mode(), "{place}: mode");
    if was.is_file() {
        assert!(fs::read(source)? == fs::read(restored)?, "{place}: content");
    } else {
        let children = names(source)?;
        assert_eq!(children, names(restored)?, "{place}: names");
        for child in children {
            assert_same(&source.join(&child), &restored.join(&child))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
