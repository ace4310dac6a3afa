//! What `--delete` spares although the snapshot doesn't hold it: what was left out on purpose.

use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::restore::RestoreError;
use crate::snapshot::restore::delete::DeleteRefusal;
use crate::snapshot::source::excludes::{Decision, ExcludeError, Excludes, RootExcludes};
use crate::snapshot::source::listing::Listing;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::target::removal::Candidate;
use crate::snapshot::tree::path::SafePath;
use std::os::fd::BorrowedFd;

/// The rules of a snapshot, checked.
pub(super) struct Rules(Vec<(SafePath, Excludes)>);

/// The rules, each with the root below which it counts.
pub(super) struct Spared<'a>(Vec<(&'a SafePath, RootExcludes<'a>)>);

impl Rules {
    /// Checks the rules. Where they can't be understood nothing may be deleted.
    pub(super) fn of(exclusions: &[Exclusion]) -> Result<Self, RestoreError> {
        let rule = |exclusion: &Exclusion| Ok((exclusion.root.clone(), Excludes::of_record(exclusion)?));
        exclusions.iter().map(rule).collect::<Result<_, _>>().map(Self).map_err(|error| refused(&error))
    }

    /// Ready for use.
    pub(super) fn spared(&self) -> Result<Spared<'_>, RestoreError> {
        // The patterns are relative to their roots already.
        let rules = self.0.iter().map(|(root, excludes)| Ok((root, excludes.below(b"", 0)?)));
        rules.collect::<Result<_, _>>().map(Spared).map_err(|error| refused(&error))
    }
}

fn refused(error: &ExcludeError) -> RestoreError {
    RestoreError::Delete(DeleteRefusal::Rules { why: error.to_string() })
}

impl Spared<'_> {
    /// The path below the innermost root that a path is in, that root, and its rules.
    fn innermost(&self, path: &SafePath) -> Option<(SafePath, &SafePath, &RootExcludes<'_>)> {
        let around = self.0.iter().filter_map(|(root, rules)| Some((path.below(root)?, *root, rules)));
        around.max_by_key(|(_, root, _)| root.depth())
    }

    /// Whether something that the snapshot doesn't hold was left out of it, or would have been.
    pub(super) fn has(&self, candidate: &Candidate<'_>) -> bool {
        let Some((path, _, rules)) = self.innermost(candidate.path) else { return false };
        if let Some((directory, names)) = candidate.inside {
            return rules.marker(directory, names);
        }
        // What is in a directory that was left out was so, too, even if a root in it brought a part of it back.
        let mut above = SafePath::top();
        let is_inside = path.components().any(|name| {
            let is_last = above.push(name).is_err() || above == path;
            !is_last && rules.decide(above.as_bytes(), &Metadata::synthetic()) != Decision::Include
        });
        is_inside || (!path.is_top() && rules.decide(path.as_bytes(), candidate.metadata) != Decision::Include)
    }
}

/// Directories that the snapshot holds and in which a marker lies now: a backup by the same rules would leave out what is in them.
pub(super) struct Marks<'s> {
    spared: &'s Spared<'s>,
    /// Those that the walk is in.
    marked: Vec<SafePath>,
}

impl<'s> Marks<'s> {
    pub(super) const fn new(spared: &'s Spared<'s>) -> Self {
        Self { spared, marked: Vec::new() }
    }

    /// Whether what is in a directory, of which these are the names, would be left out. Directories come in the order of a walk.
    pub(super) fn leave_out(&mut self, path: &SafePath, directory: BorrowedFd<'_>, names: &Listing) -> bool {
        self.marked.retain(|marked| path.below(marked).is_some());
        let Some((_, root, rules)) = self.spared.innermost(path) else { return false };
        // A root in a marked directory is there whatever that says.
        if self.marked.last().is_some_and(|marked| root.depth() <= marked.depth()) {
            return true;
        }
        // A backup of the whole file system takes no notice of a marker at its top.
        let is_marked = !path.is_top() && rules.marker(directory, names);
        if is_marked {
            self.marked.push(path.clone());
        }
        is_marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::manifest::exclusion::ExclusionMarker;
    use crate::snapshot::tree::entry::EntryType;

    fn exclusion(root: &str, patterns: &[&str], larger_than: Option<u64>) -> Exclusion {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Exclusion { root: root.parse().unwrap(), patterns, larger_than, markers: Vec::new() }
    }

    #[test]
    fn the_innermost_root_decides_and_what_is_in_a_spared_folder_is_spared() {
        let exclusions = [
            exclusion("srv", &["*.log", "!kept.log", "/cache/", "only-srv"], Some(100)),
            exclusion("srv/cache/app", &["only-app"], None),
        ];
        let rules = Rules::of(&exclusions).unwrap();
        let spared = rules.spared().unwrap();
        let file = Metadata { kind: EntryType::File, ..Metadata::synthetic() };
        let has = |path: &str, size: u64| {
            let (path, metadata) = (path.parse().unwrap(), Metadata { size, ..file });
            spared.has(&Candidate { path: &path, metadata: &metadata, inside: None })
        };
        for path in
            ["srv/a.log", "srv/sub/a.log", "srv/cache/x", "srv/cache/sub/x", "srv/only-srv/x", "srv/cache/app/only-app"]
        {
            assert!(has(path, 0), "{path}");
        }
        for path in
            ["srv/a", "srv/kept.log", "srv/sub/cache/x", "elsewhere/a.log", "srv/cache/app/only-srv", "srv/cache/app/x"]
        {
            assert!(!has(path, 0), "{path}");
        }
        assert!(has("srv/large", 101) && !has("srv/large", 100) && !has("srv/cache/app/large", 101));
    }

    #[test]
    fn a_mark_counts_down_to_the_next_root() {
        use std::os::fd::AsFd;
        let marker = || ExclusionMarker { name: b".nobackup".to_vec(), begins: Vec::new() };
        let exclusions =
            ["srv", "srv/a/root"].map(|root| Exclusion { markers: vec![marker()], ..exclusion(root, &[], None) });
        let rules = Rules::of(&exclusions).unwrap();
        let spared = rules.spared().unwrap();
        let mut marks = Marks::new(&spared);
        let dir = std::fs::File::open("/").unwrap();
        let mut leaves_out = |path: &str, names: &[&str]| {
            let names = Listing::of(names.iter().map(|name| name.as_bytes()));
            marks.leave_out(&path.parse().unwrap(), dir.as_fd(), &names)
        };
        assert!(!leaves_out("srv", &["a", "b"]));
        assert!(leaves_out("srv/a", &[".nobackup", "root", "sub"]));
        assert!(!leaves_out("srv/a/root", &["x", "y"]), "was asked for by itself");
        assert!(leaves_out("srv/a/root/x", &[".nobackup"]) && !leaves_out("srv/a/root/y", &["z"]));
        assert!(leaves_out("srv/a/sub", &[]) && leaves_out("srv/a/sub/deep", &[]));
        assert!(!leaves_out("srv/ab", &[]) && !leaves_out("srv/b", &["nobackup"]));
        assert!(leaves_out("srv", &[".nobackup"]), "a root may be marked itself");
        assert!(!leaves_out("elsewhere", &[".nobackup"]), "no rule is known of there");
    }

    #[test]
    fn rules_that_cannot_be_understood_forbid_deleting() {
        let marked = |name: &[u8]| Exclusion {
            markers: vec![ExclusionMarker { name: name.to_vec(), begins: Vec::new() }],
            ..exclusion("srv", &[], None)
        };
        assert!(Rules::of(&[marked(b".nobackup")]).is_ok());
        for bad in [exclusion("srv", &["b["], None), marked(b"a/b"), marked(b"..")] {
            let Err(RestoreError::Delete(refusal)) = Rules::of(&[bad]) else { panic!("understood") };
            assert!(refusal.to_string().contains("left out"), "{refusal}");
        }
    }
}
