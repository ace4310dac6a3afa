//! What is to be walked: the paths that were asked for, and the directories that lead there.

use crate::snapshot::tree::check::is_name;
use crate::snapshot::tree::path::{SafePath, escape_name};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path that can't be backed up.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It isn't there, or can't be looked at.
    #[error("{}: {source}", escape_name(path.as_os_str().as_bytes()))]
    Look {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It doesn't begin at the top of the file system.
    #[error("{}: an absolute path is needed", escape_name(.0.as_os_str().as_bytes()))]
    Relative(PathBuf),
    /// It ends in `/` and isn't a directory.
    #[error("{}: not a directory", escape_name(.0.as_os_str().as_bytes()))]
    NotADirectory(PathBuf),
    /// The name under which it is to be stored isn't one.
    #[error("`{}` can't be the name of a directory entry", escape_name(.0))]
    Name(Vec<u8>),
    /// Two paths would be stored under one name.
    #[error("two of the paths are named `{}`, and both would be stored under that name", escape_name(.0))]
    SameName(Vec<u8>),
    /// Nothing was asked for.
    #[error("no path to back up")]
    None,
}

/// A path that is backed up, though perhaps not as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootWarning {
    /// It is a symbolic link, which is stored itself; with `/` at its end, what it leads to would be stored.
    Link(PathBuf),
}

impl std::fmt::Display for RootWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Link(path) = self;
        let path = escape_name(path.as_os_str().as_bytes());
        write!(f, "{path} is a symbolic link and is stored as such; write {path}/ to store what it leads to")
    }
}

/// The paths that were asked for, merged into one tree.
#[derive(Debug)]
pub struct Roots {
    /// The directory below which all begins.
    pub(super) base: PathBuf,
    /// Whether the top of the tree is `base`, or made up because only `base`'s child was asked for.
    pub(super) top_is_base: bool,
    /// The nodes; the first is the top.
    pub(super) nodes: Vec<Node>,
    /// The roots, in the order in which they were asked for.
    pub(super) asked: Vec<Root>,
    warnings: Vec<RootWarning>,
}

/// A directory on the way to a root, or a root.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// How it is opened in its directory: its name there, followed by `/.` if a link is to be followed.
    pub at: Vec<u8>,
    /// Which root this is, if it is one.
    pub root: Option<usize>,
    /// Nodes in it, by the names that they are stored under.
    pub children: BTreeMap<Vec<u8>, usize>,
}

/// A path that was asked for.
#[derive(Debug)]
pub(super) struct Root {
    /// Its absolute path.
    pub path: Vec<u8>,
    /// Where it is stored.
    pub stored: SafePath,
}

impl Roots {
    /// Roots that are stored by their absolute paths, with the directories that lead there.
    ///
    /// What is asked for twice is stored once, and so is a root below another; but such an inner root is there whatever the outer one excludes. A root that is a symbolic link is
    /// stored as a link, with a warning, unless it ends in `/`; links on the way to a root are followed, and stored as directories.
    pub fn resolve(paths: &[PathBuf]) -> Result<Self, RootError> {
        let top = Node { at: b".".to_vec(), ..Node::default() };
        let mut roots =
            Self { base: "/".into(), top_is_base: true, nodes: vec![top], asked: Vec::new(), warnings: Vec::new() };
        for path in paths {
            let asked = Asked::look(path)?;
            roots.insert(&asked);
        }
        if roots.asked.is_empty() {
            return Err(RootError::None);
        }
        Ok(roots)
    }

    /// One root that is stored as `name`, without the directories that lead there.
    pub fn resolve_as(path: &Path, name: &[u8]) -> Result<Self, RootError> {
        let asked = Asked::look(path)?;
        let stored = SafePath::top().join(name).map_err(|_| RootError::Name(name.to_vec()))?;
        if name.contains(&b'/') {
            return Err(RootError::Name(name.to_vec()));
        }
        let (base, at) = match asked.components.split_last() {
            None => (PathBuf::from("/"), b".".to_vec()),
            Some((last, parents)) => (PathBuf::from(OsStr::from_bytes(&join(parents))), asked.at(last)),
        };
        let top = Node { at: b".".to_vec(), root: None, children: BTreeMap::from([(name.to_vec(), 1)]) };
        let node = Node { at, root: Some(0), children: BTreeMap::new() };
        let root = Root { path: join(&asked.components), stored };
        let warnings = asked.warning().into_iter().collect();
        Ok(Self { base, top_is_base: false, nodes: vec![top, node], asked: vec![root], warnings })
    }

    /// Some files and directories of `folder`, or near it, that are stored by their own names in a directory `name`.
    ///
    /// `name` gets what is known of `folder`. Two that have the same name can't both be stored.
    pub fn resolve_in(name: &[u8], folder: &Path, paths: &[PathBuf]) -> Result<Self, RootError> {
        let asked = Asked::look(folder)?;
        let inside = SafePath::top().join(name).map_err(|_| RootError::Name(name.to_vec()))?;
        let top = Node { at: b".".to_vec(), root: None, children: BTreeMap::from([(name.to_vec(), 1)]) };
        let holder = Node { at: b".".to_vec(), root: None, children: BTreeMap::new() };
        let base = PathBuf::from(OsStr::from_bytes(&join(&asked.components)));
        let mut roots =
            Self { base, top_is_base: false, nodes: vec![top, holder], asked: Vec::new(), warnings: Vec::new() };
        for path in paths {
            let file = Asked::look(path)?;
            let wrong = || RootError::Name(join(&file.components));
            let stored_name = file.components.last().ok_or_else(wrong)?;
            let stored = inside.join(stored_name).map_err(|_| wrong())?;
            let number = roots.nodes.len();
            if *roots.nodes[1].children.entry(stored_name.clone()).or_insert(number) != number {
                return Err(RootError::SameName(stored_name.clone()));
            }
            let at = file.at(&relative(&asked.components, &file.components));
            roots.nodes.push(Node { at, root: Some(roots.asked.len()), children: BTreeMap::new() });
            roots.warnings.extend(file.warning());
            roots.asked.push(Root { path: join(&file.components), stored });
        }
        if roots.asked.is_empty() { Err(RootError::None) } else { Ok(roots) }
    }

    /// Whether anything of this name comes at the top of the tree, as far as that is known before the walk.
    pub fn holds_at_top(&self, name: &[u8]) -> bool {
        let is_there = || self.base.join(OsStr::from_bytes(name)).symlink_metadata().is_ok();
        self.nodes[0].children.contains_key(name) || (self.nodes[0].root.is_some() && is_there())
    }

    /// What should be told before the walk.
    pub fn warnings(&self) -> &[RootWarning] {
        &self.warnings
    }

    /// The absolute paths that were asked for, each once.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.asked.iter().map(|root| root.path.as_slice())
    }

    /// The roots: their absolute paths, and where each is stored.
    pub fn stored(&self) -> impl Iterator<Item = (&[u8], &SafePath)> {
        self.asked.iter().map(|root| (root.path.as_slice(), &root.stored))
    }

    fn insert(&mut self, asked: &Asked) {
        let path = join(&asked.components);
        let mut node = 0;
        for (i, component) in asked.components.iter().enumerate() {
            let is_last = i + 1 == asked.components.len();
            let followed = [component, &b"/."[..]].concat();
            let at = if is_last { asked.at(component) } else { followed };
            let next = self.nodes.len();
            let child = *self.nodes[node].children.entry(component.clone()).or_insert(next);
            if child == next {
                self.nodes.push(Node { at, ..Node::default() });
            } else if at.len() > self.nodes[child].at.len() {
                // Something on the other side of a link was asked for: then it is no root itself, but a directory.
                self.nodes[child].at = at;
                if !is_last && self.link_was_asked_for(child) {
                    self.nodes[child].root = None;
                }
            }
            node = child;
        }
        let is_way_through_link = asked.is_link && !asked.follow && !self.nodes[node].children.is_empty();
        if self.nodes[node].root.is_none() && !is_way_through_link {
            self.nodes[node].root = Some(self.asked.len());
            let mut stored = SafePath::top();
            // Components were checked by `Asked::look`.
            let pushed = asked.components.iter().try_for_each(|component| stored.push(component));
            debug_assert!(pushed.is_ok(), "unchecked component");
            self.asked.push(Root { path, stored });
        }
        self.warnings.extend(asked.warning().filter(|warning| !self.warnings.contains(warning)));
    }

    fn link_was_asked_for(&self, node: usize) -> bool {
        let root = self.nodes[node].root.and_then(|root| self.asked.get(root));
        root.is_some_and(|root| std::fs::symlink_metadata(OsStr::from_bytes(&root.path)).is_ok_and(|m| m.is_symlink()))
    }
}

/// One path, looked at.
struct Asked {
    path: PathBuf,
    components: Vec<Vec<u8>>,
    follow: bool,
    is_link: bool,
}

impl Asked {
    fn look(path: &Path) -> Result<Self, RootError> {
        let bytes = path.as_os_str().as_bytes();
        if !path.is_absolute() {
            return Err(RootError::Relative(path.into()));
        }
        let look = |source| RootError::Look { path: path.into(), source };
        let link = std::fs::symlink_metadata(path).map_err(look)?;
        let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
        if follow && !std::fs::metadata(path).map_err(look)?.is_dir() {
            return Err(RootError::NotADirectory(path.into()));
        }
        let components = clean_components(bytes).map_err(look)?;
        if let Some(wrong) = components.iter().find(|component| !is_name(component)) {
            return Err(RootError::Name(wrong.clone()));
        }
        // With a final slash the system followed the link already.
        let is_link = link.is_symlink();
        Ok(Self { path: path.into(), components, follow, is_link })
    }

    fn at(&self, name: &[u8]) -> Vec<u8> {
        if self.follow { [name, b"/."].concat() } else { name.to_vec() }
    }

    fn warning(&self) -> Option<RootWarning> {
        (self.is_link && !self.follow).then(|| RootWarning::Link(self.path.clone()))
    }
}

/// The components of an absolute path. What leads up by `..` is resolved by the system, since links may be in the way.
fn clean_components(path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let split = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".").map(<[u8]>::to_vec).collect()
    };
    let components = split(path);
    let Some(last_up) = components.iter().rposition(|component| component == b"..") else { return Ok(components) };
    let resolved = std::fs::canonicalize(OsStr::from_bytes(&join(&components[..=last_up])))?;
    let mut clean = split(resolved.as_os_str().as_bytes());
    clean.extend_from_slice(&components[last_up + 1..]);
    Ok(clean)
}

/// The way from one directory to a path, both absolute.
fn relative(from: &[Vec<u8>], to: &[Vec<u8>]) -> Vec<u8> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(&b".."[..], from.len() - common);
    let steps: Vec<&[u8]> = up.chain(to[common..].iter().map(Vec::as_slice)).collect();
    steps.join(&b'/')
}

fn join(components: &[Vec<u8>]) -> Vec<u8> {
    if components.is_empty() {
        return b"/".to_vec();
    }
    components.iter().flat_map(|component| [&b"/"[..], component]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(roots: &Roots) -> Vec<String> {
        roots.paths().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    #[test]
    fn roots_are_cleaned_and_merged() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        let base = base.to_str().unwrap();
        let asked =
            [format!("{base}//a/./b"), format!("{base}/a/b/"), format!("{base}/a/b/.."), format!("{base}/a/../a/b")];
        let roots = Roots::resolve(&asked.map(PathBuf::from)).unwrap();
        assert_eq!(paths(&roots), [format!("{base}/a/b"), format!("{base}/a")]);
        assert!(roots.warnings().is_empty());
    }

    #[test]
    fn links_are_stored_and_told_unless_followed() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_str().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let resolve = |path: String| Roots::resolve(&[PathBuf::from(path)]).unwrap();
        assert_eq!(resolve(format!("{base}/link")).warnings(), [RootWarning::Link(format!("{base}/link").into())]);
        let followed = resolve(format!("{base}/link/"));
        assert!(followed.warnings().is_empty());
        assert_eq!(followed.nodes.last().unwrap().at, b"link/.");
    }

    #[test]
    fn what_cannot_be_a_root_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let base = dir.path().to_str().unwrap();
        let error = |path: &str| Roots::resolve(&[PathBuf::from(path)]).unwrap_err();
        assert!(matches!(error("relative"), RootError::Relative(_)));
        assert!(matches!(error(&format!("{base}/missing")), RootError::Look { .. }));
        assert!(error(&format!("{base}/mis\x1bsing")).to_string().contains("mis\\x1bsing"));
        assert!(matches!(error(&format!("{base}/file/")), RootError::Look { .. } | RootError::NotADirectory(_)));
        assert!(matches!(Roots::resolve(&[]), Err(RootError::None)));
        for name in ["", "..", "a/b"] {
            assert!(matches!(Roots::resolve_as(dir.path(), name.as_bytes()), Err(RootError::Name(_))), "{name}");
        }
    }
}
