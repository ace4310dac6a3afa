//! Files and folders that are captured by the same rules.

use crate::snapshot::backup::{BackupError, FilesSource};
use crate::snapshot::capture::sidecar::SidecarRule;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::source::excludes::Excludes;
use crate::snapshot::source::roots::{RootError, Roots};
use crate::snapshot::source::secrets::SecretRules;
use crate::snapshot::tree::path::SafePath;
use std::os::unix::ffi::OsStrExt;

/// Files that are captured by the same rules.
pub(super) struct FilesPart {
    pub roots: Roots,
    renamed: Option<Renamed>,
    pub excludes: Excludes,
    pub secrets: SecretRules,
    pub kind: Option<&'static str>,
    /// Whether the compression of containers is undone.
    pub expand: bool,
    /// Which files describe others.
    sidecars: Option<SidecarRule>,
}

/// What is stored under another name than its path.
struct Renamed {
    /// The name: of a directory or file at the top of the tree.
    name: Vec<u8>,
    /// The absolute path, to know its files again in the cache.
    path: Vec<u8>,
}

impl FilesPart {
    pub fn prepare(source: &FilesSource) -> Result<Self, BackupError> {
        let (excludes, secrets) = (Excludes::compile(&source.excludes)?, SecretRules::compile(&source.secrets)?);
        let renamed = |path: Option<&[u8]>| {
            let (name, path) = (source.name.as_ref()?.as_bytes().to_vec(), path?.to_vec());
            Some(Renamed { name, path })
        };
        let (roots, renamed) = match (&source.name, &source.folder, &source.paths[..]) {
            (None, _, paths) => (Roots::resolve(paths)?, None),
            (Some(name), None, [path]) => {
                let roots = Roots::resolve_as(path, name.as_bytes())?;
                let renamed = renamed(roots.paths().next());
                (roots, renamed)
            }
            (Some(_), None, _) => return Err(BackupError::RenameOne),
            (Some(name), Some(folder), paths) => {
                let folder =
                    folder.canonicalize().map_err(|source| RootError::Look { path: folder.clone(), source })?;
                let roots = Roots::resolve_in(name.as_bytes(), &folder, paths)?;
                (roots, renamed(Some(folder.as_os_str().as_bytes())))
            }
        };
        let sidecars = source.sidecar.as_deref().map(|pattern| {
            SidecarRule::compile(pattern)
                .map_err(|message| BackupError::Sidecar { pattern: pattern.to_owned(), message })
        });
        let (kind, expand, sidecars) = (source.kind, !source.no_expand, sidecars.transpose()?);
        Ok(Self { roots, renamed, excludes, secrets, kind, expand, sidecars })
    }

    /// Whether a file describes another.
    pub fn is_sidecar(&self, path: &SafePath, size: u64) -> bool {
        self.sidecars.as_ref().is_some_and(|rule| rule.is_sidecar(path.as_bytes(), size))
    }

    /// What it's called.
    pub fn shown_name(&self) -> String {
        self.name().map_or_else(|| "files".to_owned(), |name| String::from_utf8_lossy(name).into_owned())
    }

    /// The name that it's stored under, unless it's stored by absolute paths.
    pub fn name(&self) -> Option<&[u8]> {
        self.renamed.as_ref().map(|renamed| renamed.name.as_slice())
    }

    /// What is left out on purpose, root by root.
    pub fn exclusions(&self, elsewhere: &Elsewhere) -> impl Iterator<Item = Exclusion> {
        let roots: Vec<&SafePath> = self.roots.stored().map(|(_, stored)| stored).collect();
        self.roots
            .stored()
            .filter_map(move |(path, stored)| self.excludes.record(path, stored, elsewhere.patterns(stored, &roots)))
    }

    /// The absolute path of a directory, by which the cache knows it.
    pub fn cache_key(&self, path: &SafePath) -> Vec<u8> {
        let Some(Renamed { path: inner, .. }) = &self.renamed else { return [b"/", path.as_bytes()].concat() };
        if path.is_top() {
            // The top, which holds only the root under its new name, is another directory than the root.
            return [inner, &b"/"[..]].concat();
        }
        let below = path.as_bytes().iter().position(|&byte| byte == b'/').map(|slash| &path.as_bytes()[slash..]);
        [inner.as_slice(), below.unwrap_or_default()].concat()
    }
}
