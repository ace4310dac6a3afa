//! The walking side of a restore: directories are made or entered, links and others placed, and files handed on to be fetched and written.

use crate::repo::error::ReadError;
use crate::snapshot::browse;
use crate::snapshot::restore::RestoreError;
use crate::snapshot::restore::file::Output;
use crate::snapshot::restore::later::{Keeper, Later};
use crate::snapshot::restore::link::{LaterName, LinkKey};
use crate::snapshot::restore::overwrite::{Judged, Look, Overwrite, Placement, Rule, judge};
use crate::snapshot::restore::place::Wanted;
use crate::snapshot::restore::session::{Counts, Session};
use crate::snapshot::restore::window::{Closed, Gatherer};
use crate::snapshot::source::metadata::Identity;
use crate::snapshot::stream;
use crate::snapshot::target::attributes::Subject;
use crate::snapshot::target::branch::Branch;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::ProblemKind;
use std::collections::HashMap;
use std::collections::hash_map;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most directories whose files are in one window: their descriptors stay open until the files are written, and up to four windows are under way.
const WINDOW_DIRECTORIES: usize = 100;

/// A directory whose attributes come last.
///
/// All of a snapshot are remembered until then, some 500 bytes each ([`Later`]).
pub(super) struct LaterDirectory {
    pub(super) below: SafePath,
    pub(super) entry: Later,
    /// What it must still be then.
    pub(super) identity: Identity,
}

/// What is left to do after the walk.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) directories: Vec<LaterDirectory>,
    pub(super) later_names: Vec<LaterName>,
    /// A directory on each other file system that something exists on and was restored to, by its device.
    pub(super) systems: HashMap<u64, Directory>,
}

/// The walking side.
struct Walker<'r, 'g, 'w> {
    session: &'r Session<'r>,
    wanted: Wanted<'r>,
    /// Where the snapshot's path is cut off: paths below the target begin there.
    base: SafePath,
    gatherer: &'g mut Gatherer<'w, Output<'r>>,
    branch: Branch,
    /// The target's.
    device: u64,
    /// The directory of the file that was handed on last, and how many there were in this window.
    window: (Option<Arc<Directory>>, usize),
    first_names: HashMap<LinkKey, SafePath>,
    keeper: Keeper,
    walked: Walked,
}

/// Where an entry is.
struct At<'a> {
    path: &'a SafePath,
    below: SafePath,
    entry: &'a Entry,
    parent: Arc<Directory>,
}

/// Walks all that is wanted.
pub(super) fn walk<'r>(
    session: &'r Session<'r>,
    wanted: Wanted<'r>,
    root: Arc<Directory>,
    gatherer: &mut Gatherer<'_, Output<'r>>,
) -> Result<Walked, RestoreError> {
    let Wanted { reader, snapshot, path, top, .. } = wanted;
    // If that can't be told, each is one of its own, which costs a call at the end.
    let device = root.metadata().map_or(0, |metadata| metadata.device);
    let (base, branch) = (wanted.base(), Branch::new(root));
    let (window, first_names) = ((None, 0), HashMap::new());
    let (keeper, walked) = (Keeper::default(), Walked::default());
    let mut walker = Walker { session, wanted, base, gatherer, branch, device, window, first_names, keeper, walked };
    if top.kind == EntryType::Directory {
        let mut unreadable = |path: &SafePath, error: ReadError| {
            session.unreadable(path, &error);
            Ok(())
        };
        browse::walk_on(reader, snapshot, path, top, &mut |path, entry| walker.entry(path, entry), &mut unreadable)?;
    } else {
        let _ = walker.entry(path, top);
    }
    Ok(walker.walked)
}

impl Walker<'_, '_, '_> {
    /// One entry, in order. Breaks when there's no use in going on.
    fn entry(&mut self, path: &SafePath, entry: &Entry) -> ControlFlow<(), bool> {
        if self.session.monitor.interrupted() || self.session.is_full() {
            return ControlFlow::Break(());
        }
        let Some(below) = path.below(&self.base) else { return ControlFlow::Continue(false) };
        self.branch.ascend(below.depth().saturating_sub(1));
        let parent = match self.branch.current() {
            Ok(parent) => parent,
            Err(error) => {
                self.session.failed(path, "open its folder", &error);
                return ControlFlow::Continue(false);
            }
        };
        if is_special(entry.kind) && !self.session.options.special {
            Counts::one(&self.session.counts.special);
            return ControlFlow::Continue(false);
        }
        if let Some(first) = LinkKey::of(entry).and_then(|key| self.first_name(key, &below)) {
            self.walked.later_names.push(LaterName {
                path: path.clone(),
                below,
                first,
                entry: self.keeper.keep(entry),
            });
            return ControlFlow::Continue(false);
        }
        let at = At { path, below, entry, parent };
        let judged = match judge(self.session, &at.parent, entry, Look::Closely) {
            Ok(judged) => judged,
            // What was being compared is neither this nor that.
            Err(_) if self.session.monitor.interrupted() => return ControlFlow::Break(()),
            Err(error) => {
                self.session.failed(path, "look at what exists", &error);
                return ControlFlow::Continue(false);
            }
        };
        match judged {
            Judged::Keep(identity) => {
                self.keep(&at, identity);
                ControlFlow::Continue(false)
            }
            Judged::Mend(identity) => {
                self.mend(&at, identity);
                ControlFlow::Continue(false)
            }
            Judged::Refuse(why) => {
                self.forget_first(&at);
                self.session.problem(path, ProblemKind::Other, why.to_owned());
                ControlFlow::Continue(false)
            }
            Judged::Enter => self.directory(&at, None),
            Judged::Create => self.place(at, Placement::New),
            Judged::Replace(placement) => self.place(at, placement),
        }
    }

    /// The first name of a file that has another; this one is it if there was none.
    fn first_name(&mut self, key: LinkKey, below: &SafePath) -> Option<SafePath> {
        match self.first_names.entry(key) {
            hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            hash_map::Entry::Vacant(empty) => {
                empty.insert(below.clone());
                None
            }
        }
    }

    /// What has this name isn't what its other names stand for: the next of them is restored as the first.
    fn forget_first(&mut self, at: &At<'_>) {
        if let Some(key) = LinkKey::of(at.entry) {
            self.first_names.remove(&key);
        }
    }

    fn keep(&mut self, at: &At<'_>, identity: Option<Identity>) {
        self.session.kept(at.path, at.entry);
        match identity {
            Some(identity) => self.session.remember(&at.below, at.entry, Ok(identity)),
            None => self.forget_first(at),
        }
    }

    /// What exists has the right content: it gets the attributes that an earlier restore couldn't give it.
    fn mend(&mut self, at: &At<'_>, identity: Identity) {
        let pinned = at.parent.pin(&at.entry.name).and_then(|pinned| {
            let is_same = pinned.metadata()?.identity() == identity;
            is_same.then_some(pinned).ok_or_else(|| io::Error::other("another program replaced it"))
        });
        match pinned {
            Ok(pinned) => {
                self.session.mend(&pinned, at.path, at.entry);
                self.keep(at, Some(identity));
            }
            Err(error) => {
                self.forget_first(at);
                self.session.failed(at.path, "open", &error);
            }
        }
    }

    fn place(&mut self, at: At<'_>, placement: Placement) -> ControlFlow<(), bool> {
        match at.entry.kind {
            EntryType::Directory => self.directory(&at, Some(placement)),
            EntryType::File => self.file(at, placement),
            _ => {
                self.node(&at, placement);
                ControlFlow::Continue(false)
            }
        }
    }

    /// Makes a directory, or enters one that exists, and goes on in it.
    fn directory(&mut self, at: &At<'_>, placement: Option<Placement>) -> ControlFlow<(), bool> {
        let name = &at.entry.name;
        let open = || -> io::Result<Directory> {
            match placement {
                None => at.parent.child(name),
                Some(Placement::New) => at.parent.create_child(name),
                // A directory is never in the way of another.
                Some(_) => at.parent.create_child_over(name),
            }
        };
        let opened = open().and_then(|directory| {
            if placement.is_none() && matches!(self.session.rule, Rule::GoOn { .. }) {
                directory.reopen()?;
                directory.remove_leftovers()?;
            }
            let metadata = directory.metadata()?;
            let is_own = placement.is_some() || directory.is_unfinished()?;
            if metadata.device != self.device && !self.walked.systems.contains_key(&metadata.device) {
                self.walked.systems.insert(metadata.device, directory.try_clone()?);
            }
            self.branch.enter(name, directory)?;
            Ok((is_own, metadata.identity()))
        });
        let (is_own, identity) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let what = if placement.is_some() { "create" } else { "open" };
                self.session.failed(at.path, what, &error);
                return ControlFlow::Continue(false);
            }
        };
        if placement.is_some_and(|placement| placement != Placement::New) {
            Counts::one(&self.session.counts.overwritten);
        }
        if is_own || gets_attributes(self.session.rule) {
            let entry = self.keeper.keep(at.entry);
            self.walked.directories.push(LaterDirectory { below: at.below.clone(), entry, identity });
        }
        ControlFlow::Continue(true)
    }

    fn file(&mut self, at: At<'_>, placement: Placement) -> ControlFlow<(), bool> {
        let At { path, below, entry, parent } = at;
        let references = match stream::references(self.wanted.reader, entry) {
            Ok(references) => references,
            Err(error) => {
                self.session.unreadable(path, &error);
                return ControlFlow::Continue(false);
            }
        };
        if !self.window.0.as_ref().is_some_and(|last| Arc::ptr_eq(last, &parent)) {
            self.window.1 += 1;
            if self.window.1 > WINDOW_DIRECTORIES {
                self.window.1 = 1;
                if self.gatherer.flush() == Err(Closed) {
                    return ControlFlow::Break(());
                }
            }
            self.window.0 = Some(Arc::clone(&parent));
        }
        let output =
            Output::new(self.session, self.wanted.reader, parent, (path.clone(), below), entry.clone(), placement);
        match self.gatherer.add(output, references) {
            Ok(()) => ControlFlow::Continue(false),
            Err(Closed) => ControlFlow::Break(()),
        }
    }

    /// Makes a link, pipe, socket or device: it gets its name when it has its attributes.
    fn node(&mut self, at: &At<'_>, placement: Placement) {
        let At { path, entry, parent, .. } = at;
        let new = match entry.kind {
            EntryType::Symlink => parent.new_link(entry.target.as_deref().unwrap_or_default()),
            _ => parent.new_special(entry),
        };
        let new = match new {
            Ok(new) => new,
            Err(error) if entry.kind.is_device() && error.kind() == io::ErrorKind::PermissionDenied => {
                return self.session.device_denied(&at.below, entry);
            }
            Err(error) => return self.session.failed(path, "create", &error),
        };
        self.session.apply(Subject::Pinned(new.pinned()), path, entry);
        let identity = new.pinned().metadata().map(|metadata| metadata.identity());
        let placed = match placement {
            Placement::New => new.place(&entry.name),
            Placement::Over | Placement::OverPart => new.place_over(&entry.name),
            Placement::InsteadOfDirectory => parent.remove_directory(&entry.name).and_then(|()| new.place(&entry.name)),
        };
        match placed {
            Ok(_) => {
                self.session.remember(&at.below, entry, identity);
                self.session.restored(path, entry, placement != Placement::New);
            }
            Err(error) => self.session.failed(path, "create", &error),
        }
    }
}

/// Whether directories that exist get the attributes of the snapshot, too.
fn gets_attributes(rule: Rule) -> bool {
    matches!(rule, Rule::GoOn { .. } | Rule::Existing(Overwrite::IfChanged | Overwrite::Always))
}

/// Whether this is a pipe, a socket or a device.
pub(super) fn is_special(kind: EntryType) -> bool {
    matches!(kind, EntryType::Fifo | EntryType::Socket | EntryType::CharacterDevice | EntryType::BlockDevice)
}
