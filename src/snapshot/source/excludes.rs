//! What is left out: patterns as in `.gitignore`, marked directories, large files, other file systems.

use crate::snapshot::manifest::exclusion::{Exclusion, ExclusionMarker};
use crate::snapshot::source::listing::Listing;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::patterns::{self, PatternFault};
use crate::snapshot::source::reader::open_quietly;
use crate::snapshot::tree::check::is_name;
use crate::snapshot::tree::entry::EntryType;
use crate::snapshot::tree::path::{SafePath, escape_name};
use ignore::Match;
use ignore::gitignore::Gitignore;
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file that marks a cache: <https://bford.info/cachedir/>.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
/// What that file must begin with.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What to leave out, as it was asked for.
///
/// Patterns are those of `.gitignore`: the last that matches decides, `!` takes back, `/` in front (or within) ties a pattern to the root, `/` at the end means directories
/// only, and what is inside a directory that is left out can't be taken back. They are matched against paths relative to the root that is backed up; a pattern that begins
/// with the root's own absolute path is taken as relative to it. Roots themselves are never left out.
#[derive(Debug, Clone, Default)]
pub struct ExcludeOptions {
    /// Patterns given one by one; they come before those in files.
    pub patterns: Vec<String>,
    /// Files with a pattern on each line.
    pub pattern_files: Vec<PathBuf>,
    /// Leave out what is in directories with a valid `CACHEDIR.TAG`.
    pub caches: bool,
    /// Leave out what is on other file systems than its root; a mount point stays as an empty directory.
    pub one_file_system: bool,
    /// Leave out files of more bytes than this.
    pub larger_than: Option<u64>,
    /// Leave out what is in directories with a file of this name; after a `:`, what that file must begin with.
    pub if_present: Vec<String>,
    /// The folder of the repository that is written to, which must not be in its own backup: each night would store again what the nights before have stored. Wherever it's met, it
    /// stays as an empty directory.
    pub repository: Option<PathBuf>,
}

/// An exclude that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// Not a pattern.
    #[error("exclude pattern `{}` ({origin}): {message}", escape_name(pattern.as_bytes()))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The flag, or the file and line.
        origin: Origin,
        /// What is wrong with it.
        message: String,
    },
    /// A file of patterns that can't be read.
    #[error("file of exclude patterns {}: {source}", escape_name(path.as_os_str().as_bytes()))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that isn't UTF-8.
    #[error("{0}: not UTF-8")]
    Encoding(Origin),
    /// A marker that can't be the name of a file.
    #[error("marker `{}`: a file name, perhaps followed by `:` and how the file begins, is needed", escape_name(.0.as_bytes()))]
    Marker(String),
}

/// Where a pattern came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was given by itself.
    Given,
    /// It is on this line, counted from 1, of this file.
    Line(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given"),
            Self::Line(path, line) => write!(f, "{}, line {line}", escape_name(path.as_os_str().as_bytes())),
        }
    }
}

/// Whether something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Include,
    /// It is left out.
    Exclude(Reason),
    /// The directory stays, what is in it is left out.
    Empty(Reason),
}

/// Why something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// This pattern matched.
    Pattern(String),
    /// It is larger than wanted.
    Larger,
    /// It is on another file system.
    OtherFileSystem,
    /// The directory holds this marker.
    Marked(Vec<u8>),
    /// The directory is the repository that is written to.
    OwnRepository,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => write!(f, "pattern `{}`", escape_name(pattern.as_bytes())),
            Self::Larger => f.write_str("larger than wanted"),
            Self::OtherFileSystem => f.write_str("on another file system"),
            Self::OwnRepository => f.write_str("the repository itself"),
            Self::Marked(name) => write!(f, "marked by {}", escape_name(name)),
        }
    }
}

/// Excludes, checked and ready for use.
#[derive(Debug)]
pub struct Excludes {
    patterns: Vec<(Origin, String)>,
    one_file_system: bool,
    larger_than: Option<u64>,
    markers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Device and inode of the repository's folder: whatever name leads there.
    repository: Option<(u64, u64)>,
}

/// The excludes as they apply below one root.
#[derive(Debug)]
pub struct RootExcludes<'a> {
    excludes: &'a Excludes,
    patterns: Gitignore,
    device: u64,
}

impl Excludes {
    /// Reads the files of patterns and checks everything.
    pub fn compile(options: &ExcludeOptions) -> Result<Self, ExcludeError> {
        let given = options.patterns.iter().map(|pattern| (Origin::Given, patterns::given(pattern)));
        let mut patterns: Vec<_> = given.collect();
        for path in &options.pattern_files {
            read_patterns(path, &mut patterns)?;
        }
        let mut markers =
            if options.caches { vec![(CACHE_TAG.to_vec(), CACHE_SIGNATURE.to_vec())] } else { Vec::new() };
        for marker in &options.if_present {
            let (name, header) = marker.split_once(':').unwrap_or((marker, ""));
            if !is_name(name.as_bytes()) {
                return Err(ExcludeError::Marker(marker.clone()));
            }
            markers.push((name.into(), header.into()));
        }
        let (one_file_system, larger_than) = (options.one_file_system, options.larger_than);
        let there = options.repository.as_ref().and_then(|folder| std::fs::metadata(folder).ok());
        let repository = there.map(|there| (there.dev(), there.ino()));
        let excludes = Self { patterns, one_file_system, larger_than, markers, repository };
        excludes.matcher(b"/")?;
        Ok(excludes)
    }

    /// The excludes for what is below the root with this absolute path, on this device.
    pub fn below(&self, root: &[u8], device: u64) -> Result<RootExcludes<'_>, ExcludeError> {
        Ok(RootExcludes { excludes: self, patterns: self.matcher(root)?, device })
    }

    fn matcher(&self, root: &[u8]) -> Result<Gitignore, ExcludeError> {
        let lines = self.patterns.iter().map(|(_, pattern)| relative_to(root, pattern));
        patterns::compile(lines).map_err(|PatternFault { nth, message }| {
            let all = || (Origin::Given, "(all together)".to_owned());
            let (origin, pattern) = nth.and_then(|nth| self.patterns.get(nth).cloned()).unwrap_or_else(all);
            ExcludeError::Pattern { pattern, origin, message }
        })
    }

    /// What a manifest says of these excludes below the root with this absolute path, which is stored as `stored`; nothing if nothing is left out.
    ///
    /// That other file systems are left out isn't a rule of names: directories whose content is on one are marked themselves, and what else is on one
    /// comes as patterns, `elsewhere`.
    pub fn record(&self, root: &[u8], stored: &SafePath, elsewhere: Vec<String>) -> Option<Exclusion> {
        let is_pattern = |line: &&(Origin, String)| !line.1.trim().is_empty() && !line.1.starts_with('#');
        let mut patterns: Vec<String> =
            self.patterns.iter().filter(is_pattern).map(|(_, line)| relative_to(root, line)).collect();
        // The last that matches decides, and nobody's `!` took these back.
        patterns.extend(elsewhere);
        let marker =
            |(name, begins): &(Vec<u8>, Vec<u8>)| ExclusionMarker { name: name.clone(), begins: begins.clone() };
        let markers: Vec<_> = self.markers.iter().map(marker).collect();
        let larger_than = self.larger_than;
        let is_something = !patterns.is_empty() || !markers.is_empty() || larger_than.is_some();
        is_something.then(|| Exclusion { root: stored.clone(), patterns, larger_than, markers })
    }

    /// The excludes that a manifest tells of.
    pub fn of_record(record: &Exclusion) -> Result<Self, ExcludeError> {
        let is_bad = |marker: &&ExclusionMarker| !is_name(&marker.name);
        if let Some(bad) = record.markers.iter().find(is_bad) {
            return Err(ExcludeError::Marker(String::from_utf8_lossy(&bad.name).into_owned()));
        }
        let excludes = Self {
            patterns: record.patterns.iter().map(|pattern| (Origin::Given, pattern.clone())).collect(),
            one_file_system: false,
            larger_than: record.larger_than,
            markers: record.markers.iter().map(|marker| (marker.name.clone(), marker.begins.clone())).collect(),
            repository: None,
        };
        excludes.matcher(b"")?;
        Ok(excludes)
    }

    /// The marker in a directory that has it left out: one of the names in `listing`.
    ///
    /// Markers whose content counts are opened and read; a marker that can't be read marks nothing.
    pub fn marker(&self, dir: BorrowedFd<'_>, listing: &Listing) -> Option<&[u8]> {
        let is_there = |(name, header): &&(Vec<u8>, Vec<u8>)| listing.contains(name) && begins_with(dir, name, header);
        self.markers.iter().find(is_there).map(|(name, _)| name.as_slice())
    }
}

impl RootExcludes<'_> {
    /// Whether what is at `path`, relative to the root, is left out; never asked of the root itself.
    pub fn decide(&self, path: &[u8], metadata: &Metadata) -> Decision {
        let is_dir = metadata.kind == EntryType::Directory;
        if let Match::Ignore(glob) = self.patterns.matched(Path::new(OsStr::from_bytes(path)), is_dir) {
            return Decision::Exclude(Reason::Pattern(glob.original().to_owned()));
        }
        if let Some(reason) = self.emptied(metadata, false) {
            return if is_dir { Decision::Empty(reason) } else { Decision::Exclude(reason) };
        }
        match self.excludes.larger_than {
            Some(limit) if metadata.kind == EntryType::File && metadata.size > limit => {
                Decision::Exclude(Reason::Larger)
            }
            _ => Decision::Include,
        }
    }

    /// Whether a directory, of which these are the names, is marked.
    pub fn marker(&self, dir: BorrowedFd<'_>, listing: &Listing) -> bool {
        self.excludes.marker(dir, listing).is_some()
    }

    /// Sets the device that the root turned out to be on.
    pub const fn set_device(&mut self, device: u64) {
        self.device = device;
    }

    /// Why a directory is stored without what is in it, whatever its name is: that it's on another file system matters of none that was asked for.
    pub fn emptied(&self, metadata: &Metadata, is_root: bool) -> Option<Reason> {
        if self.excludes.repository == Some((metadata.device, metadata.inode)) {
            return Some(Reason::OwnRepository);
        }
        (!is_root && self.is_elsewhere(metadata)).then_some(Reason::OtherFileSystem)
    }

    /// Whether this is on another file system than the root, and that matters.
    const fn is_elsewhere(&self, metadata: &Metadata) -> bool {
        self.excludes.one_file_system && metadata.device != self.device
    }
}

/// A pattern that begins with the root's path, as one that is relative to the root.
fn relative_to(root: &[u8], pattern: &str) -> String {
    let (not, path) = pattern.strip_prefix('!').map_or(("", pattern), |path| ("!", path));
    let root = std::str::from_utf8(root).unwrap_or("/").trim_end_matches('/');
    match path.strip_prefix(root) {
        Some(rest) if !root.is_empty() && rest.starts_with('/') && rest.len() > 1 => format!("{not}{rest}"),
        _ => pattern.to_owned(),
    }
}

fn read_patterns(path: &Path, patterns: &mut Vec<(Origin, String)>) -> Result<(), ExcludeError> {
    let bytes = std::fs::read(path).map_err(|source| ExcludeError::File { path: path.into(), source })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let origin = Origin::Line(path.into(), i + 1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| ExcludeError::Encoding(origin.clone()))?;
        patterns.push((origin, line.to_owned()));
    }
    Ok(())
}

fn begins_with(dir: BorrowedFd<'_>, name: &[u8], header: &[u8]) -> bool {
    if header.is_empty() {
        return true;
    }
    let is_file = || Metadata::of(dir, name).is_ok_and(|metadata| metadata.kind == EntryType::File);
    let open = || open_quietly(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).ok();
    let Some(file) = is_file().then(open).flatten() else { return false };
    let mut found = Vec::new();
    let read = File::from(file).take(header.len() as u64).read_to_end(&mut found);
    read.is_ok() && found == header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn file(size: u64) -> Metadata {
        Metadata { kind: EntryType::File, size, ..Metadata::synthetic() }
    }

    fn compile(patterns: &[&str]) -> Excludes {
        let patterns = patterns.iter().map(|&p| p.to_owned()).collect();
        Excludes::compile(&ExcludeOptions { patterns, ..ExcludeOptions::default() }).unwrap()
    }

    /// Whether the patterns leave out a file at `path` below the root `/srv/app`.
    fn leaves_out(patterns: &[&str], path: &str) -> bool {
        let excludes = compile(patterns);
        excludes.below(b"/srv/app", 0).unwrap().decide(path.as_bytes(), &file(0)) != Decision::Include
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        assert!(leaves_out(&["*.log"], "a/b/c.log"));
        assert!(!leaves_out(&["/c.log"], "a/b/c.log"));
        assert!(leaves_out(&["/a/**/c.log"], "a/b/c.log"));
        assert!(!leaves_out(&["*.log", "!c.log"], "a/b/c.log"));
        assert!(leaves_out(&["!c.log", "*.log"], "a/b/c.log"));
        assert!(!leaves_out(&["c.log/"], "a/b/c.log"), "directories only");
        assert!(leaves_out(&["#a#"], "#a#"), "a given pattern is no comment");
        assert!(leaves_out(&["\\!a"], "!a"));
        assert!(!leaves_out(&[""], "a"));
    }

    #[test]
    fn absolute_patterns_are_relative_to_their_root() {
        assert!(leaves_out(&["/srv/app/cache"], "cache"));
        assert!(!leaves_out(&["/srv/app/cache"], "deeper/cache"));
        assert!(!leaves_out(&["/srv/apple"], "cache"));
        assert!(!leaves_out(&["*", "!/srv/app/cache"], "cache"));
        assert!(!leaves_out(&["/srv/app", "/srv/app/"], "cache"), "a root isn't left out");
        let excludes = compile(&["/var"]);
        assert_ne!(excludes.below(b"/", 0).unwrap().decide(b"var", &file(0)), Decision::Include);
    }

    #[test]
    fn a_manifest_tells_of_them_and_gives_them_back() {
        let options = ExcludeOptions {
            patterns: vec!["/srv/app/cache".into(), "#a#".into(), "*.log".into(), "!kept.log".into()],
            caches: true,
            larger_than: Some(10),
            one_file_system: true,
            ..ExcludeOptions::default()
        };
        let excludes = Excludes::compile(&options).unwrap();
        let record = excludes.record(b"/srv/app", &"data".parse().unwrap(), vec!["/bound".into()]).unwrap();
        assert_eq!(record.patterns, ["/cache", "\\#a#", "*.log", "!kept.log", "/bound"]);
        let again = Excludes::of_record(&record).unwrap();
        assert_eq!(again.record(b"", &record.root, Vec::new()), Some(record.clone()));
        let (one, other) = (excludes.below(b"/srv/app", 0).unwrap(), again.below(b"", 0).unwrap());
        for (path, size) in [("cache", 0), ("sub/cache", 0), ("#a#", 0), ("b.log", 0), ("kept.log", 0), ("c", 11)] {
            assert_eq!(one.decide(path.as_bytes(), &file(size)), other.decide(path.as_bytes(), &file(size)), "{path}");
        }
        let bytes = crate::repo::cbor::encode(&record);
        assert_eq!(crate::repo::cbor::decode::<Exclusion>("exclusion", &bytes).unwrap(), record);
        assert_eq!(compile(&["", " "]).record(b"/srv/app", &SafePath::top(), Vec::new()), None);
    }

    #[test]
    fn names_that_are_not_utf_8_are_matched() {
        let excludes = compile(&["*.tmp", "b?"]);
        let below = excludes.below(b"/srv/\xff", 0).unwrap();
        assert_ne!(below.decide(b"\xff\xfe.tmp", &file(0)), Decision::Include);
        assert_eq!(below.decide(b"\xff\xfe", &file(0)), Decision::Include);
    }

    #[test]
    fn invalid_patterns_are_named_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("patterns");
        std::fs::write(&path, "\u{feff}# comment\r\n\r\n*.log\r\nb[\n").unwrap();
        let options = ExcludeOptions { pattern_files: vec![path.clone()], ..ExcludeOptions::default() };
        let error = Excludes::compile(&options).unwrap_err();
        assert!(
            matches!(&error, ExcludeError::Pattern { pattern, origin: Origin::Line(p, 4), .. } if pattern == "b[" && *p == path),
            "{error}"
        );
        assert!(error.to_string().contains("line 4"), "{error}");

        std::fs::write(&path, b"ok\n\xff\n").unwrap();
        assert!(matches!(Excludes::compile(&options), Err(ExcludeError::Encoding(Origin::Line(_, 2)))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Excludes::compile(&options), Err(ExcludeError::File { .. })));

        let options = ExcludeOptions { patterns: vec!["{a".into()], ..ExcludeOptions::default() };
        assert!(Excludes::compile(&options).unwrap_err().to_string().starts_with("exclude pattern `{a` (as given): "));
        for marker in ["", "a/b", "..", ":x"] {
            let options = ExcludeOptions { if_present: vec![marker.into()], ..ExcludeOptions::default() };
            assert!(matches!(Excludes::compile(&options), Err(ExcludeError::Marker(_))), "{marker}");
        }
    }

    #[test]
    fn size_and_file_system_count() {
        let options = ExcludeOptions { larger_than: Some(10), one_file_system: true, ..ExcludeOptions::default() };
        let excludes = Excludes::compile(&options).unwrap();
        let below = excludes.below(b"/", 1).unwrap();
        let here = |metadata| Metadata { device: 1, ..metadata };
        assert_eq!(below.decide(b"a", &here(file(10))), Decision::Include);
        assert_eq!(below.decide(b"a", &here(file(11))), Decision::Exclude(Reason::Larger));
        assert_eq!(below.decide(b"a", &file(1)), Decision::Exclude(Reason::OtherFileSystem));
        assert_eq!(below.decide(b"a", &Metadata::synthetic()), Decision::Empty(Reason::OtherFileSystem));
        let large_dir = Metadata { size: 4096, device: 1, ..Metadata::synthetic() };
        assert_eq!(below.decide(b"a", &large_dir), Decision::Include);
    }

    #[test]
    fn markers_count_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        let options = ExcludeOptions {
            caches: true,
            if_present: vec![".nobackup".into(), ".tag:yes:".into()],
            ..ExcludeOptions::default()
        };
        let excludes = Excludes::compile(&options).unwrap();
        let marker = || {
            let (listing, _) = Listing::read(File::open(dir.path()).unwrap().as_fd());
            excludes.marker(folder.as_fd(), &listing).map(<[u8]>::to_vec)
        };
        let write = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
        assert_eq!(marker(), None);
        write("CACHEDIR.TAG", b"Signature: 00000000000000000000000000000000");
        assert_eq!(marker(), None, "another signature");
        write("CACHEDIR.TAG", &[CACHE_SIGNATURE, b"\n# comment"].concat());
        assert_eq!(marker().as_deref(), Some(CACHE_TAG));
        std::fs::rename(dir.path().join("CACHEDIR.TAG"), dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("CACHEDIR.TAG")).unwrap();
        assert_eq!(marker(), None, "a link is no marker");
        write(".tag", b"yes");
        assert_eq!(marker(), None, "shorter than it must be");
        write(".tag", b"yes: indeed");
        assert_eq!(marker().as_deref(), Some(&b".tag"[..]));
        std::fs::remove_file(dir.path().join(".tag")).unwrap();
        std::fs::create_dir(dir.path().join(".nobackup")).unwrap();
        assert_eq!(marker().as_deref(), Some(&b".nobackup"[..]));
    }
}
