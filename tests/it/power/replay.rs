//! A folder as a disk may hold it after a power loss: from the system calls made in it, every state that the rules of the system allow.
//!
//! Of a file only what was there when an `fsync` of it began is certain; more of it may be there, less, or zeros instead. Of a folder only the names that were there
//! when an `fsync` of the folder began; each later change of a name may have come to the disk or not, whatever came of the others. `syncfs` makes all of it certain.

use crate::traced::{Call, path_of};
use std::collections::{BTreeMap, BTreeSet};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder,
}

/// A change of a name.
#[derive(Debug, Clone)]
struct Change {
    folder: String,
    name: String,
    /// What it stands for now; nothing: it's gone.
    node: Option<Node>,
    /// The line in which the call ended.
    at: usize,
}

/// A write.
#[derive(Debug, Clone)]
struct Written {
    bytes: Vec<u8>,
    at: usize,
}

/// A file's content: whole writes, of which the first so many are certain.
#[derive(Debug, Clone, Default)]
struct File {
    writes: Vec<Written>,
    certain: usize,
}

/// How far the calls were made.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    root: String,
    files: Vec<File>,
    /// Names as programs see them, by path below the root.
    names: BTreeMap<String, Node>,
    /// Names that are certain.
    certain: BTreeMap<String, Node>,
    pending: Vec<Change>,
    /// Whether `syncfs` does nothing: to show that it's needed.
    without_syncfs: bool,
    /// Whether an `fsync` of a file does nothing, likewise.
    without_fsync: bool,
}

/// What is there after a power loss: files by their paths below the root, and folders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: BTreeSet<String>,
    /// Whether each file was drawn by itself.
    pub is_mixed: bool,
}

/// Numbers that look random, the same each time: a failure can be looked at again.
pub struct Chance(pub u64);

impl Chance {
    /// The next one. This is `SplitMix64`.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }
}

/// Most states of one moment that are looked at one by one; of more, so many are drawn.
const MOST: usize = 64;
/// So many states of one moment are drawn in which each name is there or not and each file is torn in its own way.
const MIXED: usize = 32;

/// What is there under certain names, before anything is torn.
#[derive(Default)]
struct Layout {
    folders: BTreeSet<String>,
    files: BTreeMap<String, Vec<u8>>,
    /// Those that aren't certain: how much of each is.
    torn: Vec<(String, usize)>,
}

/// What is left of a file, given its path, how much of it is certain, and what was written.
type Tear<'t> = &'t mut dyn FnMut(&str, usize, &[u8]) -> Vec<u8>;

impl Layout {
    /// Whether a file that isn't a temporary one may be torn.
    fn is_torn(&self) -> bool {
        self.torn.iter().any(|(path, _)| !is_temporary(path))
    }

    /// With each file torn as `how` says.
    fn state(&self, is_mixed: bool, how: Tear<'_>) -> State {
        let mut files = self.files.clone();
        for (path, certain) in &self.torn {
            files.insert(path.clone(), how(path, *certain, &self.files[path]));
        }
        State { files, folders: self.folders.clone(), is_mixed }
    }
}

/// What may be there of a file: all, what is certain, a part of the rest, and zeros in the place of what follows.
fn torn(certain: usize, all: &[u8], chance: &mut Chance) -> Vec<u8> {
    let cut = certain + chance.below(all.len() - certain + 1);
    match chance.below(4) {
        0 => all.to_vec(),
        1 => all[..certain].to_vec(),
        2 => all[..cut].to_vec(),
        _ => [&all[..cut], &vec![0; all.len() - cut]].concat(),
    }
}

fn is_temporary(name: &str) -> bool {
    name.strip_suffix("tmp").is_some_and(|name| name.ends_with('.'))
}

impl Replay {
    /// An empty folder that is not there yet, at this path.
    pub fn new(root: &str) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    /// The same where `syncfs` does nothing.
    pub fn without_syncfs(self) -> Self {
        Self { without_syncfs: true, ..self }
    }

    /// The same where an `fsync` of a file does nothing.
    pub fn without_fsync(self) -> Self {
        Self { without_fsync: true, ..self }
    }

    /// The path below the root: empty for the root itself.
    fn below(&self, path: &str) -> Option<String> {
        let below = path.strip_prefix(&self.root)?;
        (below.is_empty() || below.starts_with('/')).then(|| below.trim_start_matches('/').to_owned())
    }

    fn change(&mut self, folder: String, name: &str, node: Option<Node>, at: usize) {
        let path = join(&folder, name);
        match node {
            Some(node) => self.names.insert(path, node),
            None => self.names.remove(&path),
        };
        self.pending.push(Change { folder, name: name.to_owned(), node, at });
    }

    /// The next call. Gives whether it was one that changes something below the root.
    pub fn next(&mut self, call: &Call) -> bool {
        if call.failed() {
            return false;
        }
        let at = call.ended;
        let folder = |n: usize| call.path(n).and_then(|path| self.below(&path));
        match call.name.as_str() {
            "mkdirat" => {
                let Some(folder) = folder(0) else { return false };
                self.change(folder, &call.text(1), Some(Node::Folder), at);
            }
            "mkdir" => return false, // the root and what is above it
            "openat" => {
                let Some(folder) = folder(0) else { return false };
                if !call.text(2).contains("O_CREAT") {
                    return false;
                }
                self.files.push(File::default());
                let node = Node::File(self.files.len() - 1);
                self.change(folder, &call.text(1), Some(node), at);
            }
            "write" => {
                let Some(Node::File(file)) = folder(0).and_then(|path| self.names.get(&path).copied()) else {
                    return false;
                };
                let stored: usize = String::from_utf8_lossy(&call.result).parse().unwrap_or(0);
                let bytes = call.arguments[1][..stored].to_vec();
                self.files[file].writes.push(Written { bytes, at });
            }
            "linkat" => {
                let (Some(from), Some(to)) = (folder(0), folder(2)) else { return false };
                let node = self.names.get(&join(&from, &call.text(1))).copied();
                assert!(node.is_some(), "a link to what nobody made: {call:?}");
                self.change(to, &call.text(3), node, at);
            }
            "unlinkat" => {
                let Some(folder) = folder(0) else { return false };
                self.change(folder, &call.text(1), None, at);
            }
            "fsync" | "fdatasync" => {
                let Some(path) = folder(0) else { return false };
                self.synchronise(&path, call.begun);
            }
            "syncfs" => {
                // Of the cache's or the target's file system, which may be the same: then it is certain as well, and not relied on.
                if folder(0).is_none() || self.without_syncfs {
                    return false;
                }
                self.files.iter_mut().for_each(|file| {
                    file.certain = file.writes.iter().filter(|write| write.at < call.begun).count();
                });
                let all: Vec<Change> = std::mem::take(&mut self.pending);
                self.settle(all, call.begun);
            }
            name => {
                let paths = call.arguments.iter().filter_map(|argument| self.below(&path_of(argument)?));
                assert_eq!(paths.count(), 0, "a call that isn't replayed: {name} {call:?}");
                return false;
            }
        }
        true
    }

    fn synchronise(&mut self, path: &str, begun: usize) {
        if let Some(Node::File(file)) = self.names.get(path).copied() {
            if self.without_fsync {
                return;
            }
            let file = &mut self.files[file];
            file.certain = file.writes.iter().filter(|write| write.at < begun).count();
            return;
        }
        let (here, others) = std::mem::take(&mut self.pending).into_iter().partition(|change| change.folder == path);
        self.pending = others;
        self.settle(here, begun);
    }

    /// Makes those changes certain that were made before `begun`.
    fn settle(&mut self, changes: Vec<Change>, begun: usize) {
        for change in changes {
            if change.at < begun {
                apply(&mut self.certain, &change);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// Whether there is a name that isn't a temporary one and may be there or not.
    fn open(&self) -> Vec<usize> {
        (0..self.pending.len()).filter(|&n| !is_temporary(&self.pending[n].name)).collect()
    }

    /// Calls `each` for states that a power loss may leave now.
    pub fn states(&self, chance: &mut Chance, each: &mut dyn FnMut(State)) {
        let open = self.open();
        let all = u32::try_from(open.len()).ok().and_then(|n| 1_usize.checked_shl(n)).filter(|&all| all <= MOST);
        for n in 0..all.unwrap_or(MOST) {
            let mut names = self.certain.clone();
            let bits = if all.is_some() { n as u64 } else { chance.next() };
            for (number, change) in self.pending.iter().enumerate() {
                let is_there = match open.iter().position(|&open| open == number) {
                    Some(position) => bits >> (position % 64) & 1 == 1,
                    None => chance.next() & 1 == 1,
                };
                if is_there {
                    apply(&mut names, change);
                }
            }
            self.contents(&names, chance, each);
        }
        self.mixed(chance, each);
    }

    /// States in which names and contents are drawn together, where there is more to draw than what was looked at one by one.
    fn mixed(&self, chance: &mut Chance, each: &mut dyn FnMut(State)) {
        let is_tried =
            1_usize.checked_shl(u32::try_from(self.open().len()).unwrap_or(u32::MAX)).is_some_and(|all| all <= MOST);
        for _ in 0..MIXED {
            let mut names = self.certain.clone();
            self.pending.iter().filter(|_| chance.next() & 1 == 1).for_each(|change| apply(&mut names, change));
            let layout = self.layout(&names);
            if !is_tried || layout.is_torn() {
                each(layout.state(true, &mut |_, certain, all| torn(certain, all, chance)));
            }
        }
    }

    /// What there is with these names.
    fn layout(&self, names: &BTreeMap<String, Node>) -> Layout {
        let mut layout = Layout::default();
        // In order, so that a folder comes before what is in it.
        for (path, node) in names {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !parent.is_empty() && !layout.folders.contains(parent) {
                continue; // lost with its folder
            }
            match node {
                Node::Folder => {
                    layout.folders.insert(path.clone());
                }
                Node::File(file) => {
                    let file = &self.files[*file];
                    let certain: usize = file.writes[..file.certain].iter().map(|write| write.bytes.len()).sum();
                    let all: Vec<u8> = file.writes.iter().flat_map(|write| write.bytes.clone()).collect();
                    if certain != all.len() {
                        layout.torn.push((path.clone(), certain));
                    }
                    layout.files.insert(path.clone(), all);
                }
            }
        }
        layout
    }

    /// The states with these names: files that aren't synchronised in several versions, all of them in the same.
    fn contents(&self, names: &BTreeMap<String, Node>, chance: &mut Chance, each: &mut dyn FnMut(State)) {
        let layout = self.layout(names);
        for version in 0..if layout.is_torn() { 4 } else { 1 } {
            each(layout.state(false, &mut |path, certain, all| match if is_temporary(path) {
                chance.below(4)
            } else {
                version
            } {
                0 => all.to_vec(),
                1 => all[..certain].to_vec(),
                2 => all[..certain + (all.len() - certain) / 2].to_vec(),
                _ => [&all[..certain], &vec![0; all.len() - certain]].concat(),
            }));
        }
    }

    /// What programs see, as if nothing were lost.
    pub fn seen(&self) -> BTreeMap<String, Vec<u8>> {
        let bytes = |file: &usize| self.files[*file].writes.iter().flat_map(|w| w.bytes.clone()).collect();
        let files = self.names.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path.clone(), bytes(file))),
            Node::Folder => None,
        });
        files.collect()
    }
}

impl State {
    /// The state without what listings hide, to tell states apart by.
    pub fn visible(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (path, bytes) in self.files.iter().filter(|(path, _)| !is_temporary(path)) {
            hasher.update(path.as_bytes()).update(&[0]).update(blake3::hash(bytes).as_bytes());
        }
        hasher.finalize()
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    let path = join(&change.folder, &change.name);
    match change.node {
        Some(node) => names.insert(path, node),
        None => names.remove(&path),
    };
}
