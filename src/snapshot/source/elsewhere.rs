//! What isn't a directory and was left out because it is on another file system than its root: a file that is mounted over another, as in containers.
//!
//! A directory of which that is true is stored as emptied; of a file there is nothing to store. So each stands in the manifest as a pattern that matches it alone.

use crate::snapshot::tree::path::SafePath;

/// Most that are told one by one. Beyond that nothing can be told apart, and all counts as left out.
const MOST: usize = 1_000;

/// A pattern that matches everything.
const ALL: &str = "*";

/// Entries on other file systems, by their paths in the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    paths: Vec<SafePath>,
    is_full: bool,
}

impl Elsewhere {
    /// One more.
    pub fn push(&mut self, path: &SafePath) {
        if self.paths.len() < MOST {
            self.paths.push(path.clone());
        } else {
            self.is_full = true;
        }
    }

    /// The patterns for `root`, relative to it: of several roots that an entry is in, the innermost of `roots` has it.
    pub fn patterns(&self, root: &SafePath, roots: &[&SafePath]) -> Vec<String> {
        let depth = |path: &SafePath| {
            let around = roots.iter().filter(|root| path.below(root).is_some());
            around.map(|root| root.depth()).max()
        };
        let below = self.paths.iter().filter(|path| depth(path) == Some(root.depth()));
        let mut patterns: Vec<String> = below.filter_map(|path| path.below(root)).map(|path| literal(&path)).collect();
        patterns.extend(self.is_full.then(|| ALL.to_owned()));
        patterns
    }
}

/// A pattern for one path. What might mean something in a pattern, or can't stand in a text, is any byte to it: rather one entry too many is spared than one lost.
fn literal(path: &SafePath) -> String {
    let mut pattern = String::from("/");
    for part in path.as_bytes().utf8_chunks() {
        for c in part.valid().chars() {
            if c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '=' | '@' | '%' | ':') {
                pattern.push(c);
            } else {
                pattern.extend(std::iter::repeat_n('?', c.len_utf8()));
            }
        }
        pattern.extend(part.invalid().iter().map(|_| '?'));
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::manifest::exclusion::Exclusion;
    use crate::snapshot::source::excludes::{Decision, Excludes};
    use crate::snapshot::source::metadata::Metadata;
    use crate::snapshot::tree::entry::EntryType;

    fn is_matched(patterns: &[String], path: &[u8]) -> bool {
        let (patterns, markers) = (patterns.to_vec(), Vec::new());
        let record = Exclusion { root: SafePath::top(), patterns, larger_than: None, markers };
        let excludes = Excludes::of_record(&record).unwrap();
        let file = Metadata { kind: EntryType::File, ..Metadata::synthetic() };
        excludes.below(b"", 0).unwrap().decide(path, &file) != Decision::Include
    }

    #[test]
    fn each_is_matched_by_its_pattern_whatever_its_name_is_and_others_are_not() {
        let names: [&[u8]; 12] = [
            b"etc/hosts",
            b"a b ",
            b"#x",
            b"!x",
            b"[x]",
            b"{a,b}",
            b"x*y",
            b"back\\slash",
            b"\xff\xfe",
            "grüße\u{2003}".as_bytes(),
            b"\n",
            b"sub/..x",
        ];
        for name in names {
            let path = SafePath::parse(&[b"data/", name].concat()).unwrap();
            let mut elsewhere = Elsewhere::default();
            elsewhere.push(&path);
            let root: SafePath = "data".parse().unwrap();
            let patterns = elsewhere.patterns(&root, &[&root]);
            assert!(is_matched(&patterns, name), "{patterns:?}");
            for other in [&[b"deeper/", name].concat()[..], &[name, b"x"].concat(), b"other"] {
                assert!(!is_matched(&patterns, other), "{patterns:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_innermost_root_has_it_and_beyond_many_all_is_left_out() {
        let (outer, inner): (SafePath, SafePath) = ("srv".parse().unwrap(), "srv/app".parse().unwrap());
        let roots = [&outer, &inner];
        let mut elsewhere = Elsewhere::default();
        elsewhere.push(&"srv/app/a".parse().unwrap());
        elsewhere.push(&"srv/b".parse().unwrap());
        assert_eq!(elsewhere.patterns(&outer, &roots), ["/b"]);
        assert_eq!(elsewhere.patterns(&inner, &roots), ["/a"]);
        for n in 0..MOST {
            elsewhere.push(&format!("srv/{n}").parse().unwrap());
        }
        let patterns = elsewhere.patterns(&outer, &roots);
        assert!(patterns.len() <= MOST && is_matched(&patterns, b"anything") && is_matched(&patterns, b"in/it"));
    }
}
