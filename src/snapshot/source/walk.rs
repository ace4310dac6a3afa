//! The walk: every directory entry below the roots, depth first, sorted by name, without recursion.
//!
//! A stack of open directories is kept; everything is asked relative to the one on top, so paths may be longer than the system's limit and nothing can be swapped for a link in
//! between. Only the innermost directories stay open; outer ones are opened again by `..` when the walk returns to them, and by their names from the top
//! if that leads elsewhere because something was moved.

use crate::repo::format::MAX_DEPTH;
use crate::snapshot::source::event::{Event, Found};
use crate::snapshot::source::excludes::{Decision, ExcludeError, Excludes, Reason, RootExcludes};
use crate::snapshot::source::listing::Listing;
use crate::snapshot::source::metadata::{Metadata, read_link};
use crate::snapshot::source::reader::open_quietly;
use crate::snapshot::source::roots::{Node, Roots};
use crate::snapshot::source::xattrs::{self, XattrReader};
use crate::snapshot::tree::entry::{EntryType, Xattr};
use crate::snapshot::tree::path::{SafePath, escape_name};
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Most directories that are open at once; a process may usually have 1,024 files open.
const MAX_OPEN: usize = 128;

/// A walk that can't begin.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The directory where it begins can't be opened.
    #[error("{}: {source}", escape_name(path.as_os_str().as_bytes()))]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An exclude can't be used below one of the roots.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
}

/// A walk over some roots.
pub struct Walk<'a> {
    roots: &'a Roots,
    excludes: &'a Excludes,
    rules: Vec<RootExcludes<'a>>,
    stack: Vec<Frame>,
    path: SafePath,
    xattrs: Option<XattrReader>,
}

/// A directory that the walk is in.
struct Frame {
    /// Nothing while deeper directories need to be open.
    fd: Option<OwnedFd>,
    /// How it was opened in the one above.
    at: Vec<u8>,
    metadata: Metadata,
    names: Listing,
    next: usize,
    /// The node that it is, if it leads to a root.
    node: Option<usize>,
    /// The root whose rules apply to what is in it; if nothing, only the node's children are visited.
    scope: Option<usize>,
    /// Whether the rest of it is left out by the rules of a root around it: it's stored for what it leads to.
    is_cut: bool,
}

/// What is to be visited in a directory.
struct Inside {
    names: Listing,
    /// Why something or everything in it is left out.
    empty: Option<Reason>,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// A walk over `roots` that leaves out what `excludes` say.
    pub fn new(roots: &'a Roots, excludes: &'a Excludes) -> Result<Self, WalkError> {
        let rules = roots.asked.iter().map(|root| excludes.below(&root.path, 0)).collect::<Result<_, _>>()?;
        let xattrs = xattrs::is_possible().then(XattrReader::default);
        Ok(Self { roots, excludes, rules, stack: Vec::new(), path: SafePath::top(), xattrs })
    }

    /// Walks, and gives each event to `visit`, whose first error ends the walk.
    ///
    /// Directories are entered and left in order; between that, what is in them comes sorted by the bytes of its names.
    pub fn run<E: From<WalkError>>(mut self, visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.xattrs.is_none() {
            let message = "/proc isn't mounted: extended attributes and access control lists can't be read".to_owned();
            visit(Event::Problem(Problem { path: SafePath::top(), kind: ProblemKind::Unsupported, message }))?;
        }
        self.enter_top(visit)?;
        while let Some(frame) = self.stack.last_mut() {
            if let Some(name) = frame.names.get(frame.next).map(<[u8]>::to_vec) {
                frame.next += 1;
                self.visit_child(&name, visit)?;
            } else {
                self.leave(visit)?;
            }
        }
        Ok(())
    }

    fn enter_top<E: From<WalkError>>(&mut self, visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let path = &self.roots.base;
        let scope = self.node(0).root;
        let access = if scope.is_some() { OFlags::RDONLY } else { OFlags::PATH };
        let failed = |source: io::Error| WalkError::Open { path: path.clone(), source };
        let fd = rustix::fs::openat(CWD, path, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let fd = fd.map_err(|e| failed(e.into()))?;
        let metadata = Metadata::of_open(&fd).map_err(failed)?;
        let described = if self.roots.top_is_base { metadata } else { Metadata::synthetic() };
        let (read, faults) = match &mut self.xattrs {
            Some(reader) if self.roots.top_is_base => reader.read(fd.as_fd(), b"."),
            _ => Default::default(),
        };
        for fault in faults {
            visit(Event::Problem(Problem { path: SafePath::top(), kind: fault.kind, message: fault.message }))?;
        }
        let found = Found {
            dir: fd.as_fd(),
            at: b".",
            path: &self.path,
            metadata: described,
            target: None,
            xattrs: read,
            is_emptied: false,
        };
        visit(Event::Enter(found))?;
        if let Some(root) = scope {
            self.rules[root].set_device(metadata.device);
        }
        let (names, problem) = self.names(fd.as_fd(), Some(0), scope);
        problem.map_or(Ok(()), |problem| visit(Event::Problem(problem)))?;
        let frame =
            Frame { fd: Some(fd), at: b".".to_vec(), metadata, names, next: 0, node: Some(0), scope, is_cut: false };
        self.stack.push(frame);
        Ok(())
    }

    fn node(&self, node: usize) -> &'a Node {
        &self.roots.nodes[node]
    }

    /// The names to visit in a directory.
    fn names(&self, dir: BorrowedFd<'_>, node: Option<usize>, scope: Option<usize>) -> (Listing, Option<Problem>) {
        let on_the_way = node.map(|node| self.node(node).children.keys().map(Vec::as_slice));
        if scope.is_none() {
            return (Listing::of(on_the_way.into_iter().flatten()), None);
        }
        let (listing, error) = Listing::read(dir);
        let problem = error.map(|error| Problem::of(&self.path, "list directory", &error));
        match on_the_way {
            // A root that has gone since is looked for all the same, so that it is missed.
            Some(names) if names.len() > 0 => (Listing::of(listing.iter().chain(names)), problem),
            _ => (listing, problem),
        }
    }

    fn visit_child<E>(&mut self, name: &[u8], visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(frame) = self.stack.last() else { return Ok(()) };
        let Some(fd) = &frame.fd else { return Ok(()) };
        if let Err(error) = self.path.push(name) {
            return visit(Event::Problem(Problem {
                path: self.path.clone(),
                kind: ProblemKind::TooLong,
                message: error.to_string(),
            }));
        }
        let node = frame.node.and_then(|node| self.node(node).children.get(name).copied());
        let at = node.map_or_else(|| name.to_vec(), |node| self.node(node).at.clone());
        let metadata = match Metadata::of(fd.as_fd(), &at) {
            Ok(metadata) => metadata,
            Err(error) => return self.pass(Event::Problem(Problem::of(&self.path, "look at", &error)), visit),
        };
        let (mut scope, mut is_cut) = (frame.scope, frame.is_cut);
        let mut decision = scope.map_or(Decision::Include, |root| self.decide(root, &metadata));
        if let Some(node) = node.map(|node| self.node(node)) {
            if let Some(root) = node.root {
                (scope, decision, is_cut) = (Some(root), Decision::Include, false);
                self.rules[root].set_device(metadata.device);
            } else if decision != Decision::Include {
                // Patterns are known to who restores; what lay on another file system isn't.
                is_cut |= matches!(decision, Decision::Empty(_));
                (scope, decision) = (None, Decision::Include);
            }
        }
        match decision {
            Decision::Exclude(reason) => {
                visit(Event::Excluded(&self.path, reason))?;
                self.path.pop();
                Ok(())
            }
            Decision::Include if metadata.kind == EntryType::Directory => {
                self.visit_directory(at, metadata, node, (scope, is_cut), None, visit)
            }
            Decision::Empty(reason) => self.visit_directory(at, metadata, node, (scope, is_cut), Some(reason), visit),
            Decision::Include => self.visit_other(&at, metadata, visit),
        }
    }

    fn decide(&self, root: usize, metadata: &Metadata) -> Decision {
        let stored = self.roots.asked[root].stored.as_bytes();
        let rest = self.path.as_bytes().get(stored.len()..).unwrap_or_default();
        self.rules[root].decide(rest.strip_prefix(b"/").unwrap_or(rest), metadata)
    }

    /// Tells of what isn't entered and goes on.
    fn pass<E>(&mut self, event: Event<'_>, visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        self.path.pop();
        visit(event)
    }

    fn visit_other<E>(
        &mut self,
        at: &[u8],
        metadata: Metadata,
        visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(fd) = self.stack.last().and_then(|frame| frame.fd.as_ref()) else { return Ok(()) };
        let dir = fd.as_fd();
        let target = match metadata.kind {
            EntryType::Symlink => match read_link(dir, at) {
                Ok(target) => Some(target),
                Err(error) => return self.pass(Event::Problem(Problem::of(&self.path, "read link", &error)), visit),
            },
            _ => None,
        };
        let xattrs = read_xattrs(&mut self.xattrs, dir, at, &self.path, visit)?;
        visit(Event::Entry(Found { dir, at, path: &self.path, metadata, target, xattrs, is_emptied: false }))?;
        self.path.pop();
        Ok(())
    }

    fn visit_directory<E>(
        &mut self,
        at: Vec<u8>,
        before: Metadata,
        node: Option<usize>,
        (scope, is_cut): (Option<usize>, bool),
        empty: Option<Reason>,
        visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(parent) = self.stack.last().and_then(|frame| frame.fd.as_ref()) else { return Ok(()) };
        let opened = open_directory(parent.as_fd(), &at, scope.is_some());
        let opened = opened.and_then(|fd| Metadata::of_open(&fd).map(|metadata| (fd, metadata)));
        let mut inside = Inside { names: Listing::default(), empty, problems: Vec::new() };
        let (fd, metadata) = match opened {
            Ok((fd, metadata)) => {
                // Something may have been mounted or moved there in between.
                let is_root = node.is_some_and(|node| self.node(node).root.is_some());
                inside.empty = inside.empty.or_else(|| scope.and_then(|s| self.rules[s].emptied(&metadata, is_root)));
                self.look_inside(fd.as_fd(), node, scope, &mut inside);
                (Some(fd), metadata)
            }
            Err(error) => {
                let mut problem = Problem::of(&self.path, "open directory", &error);
                match error.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::NOENT) => return self.pass(Event::Problem(problem), visit),
                    Some(Errno::NOTDIR | Errno::LOOP) => {
                        problem.kind = ProblemKind::Changed;
                        return self.pass(Event::Problem(problem), visit);
                    }
                    // It is stored for its own sake, as if it were empty.
                    _ => inside.problems.push(problem),
                }
                (None, before)
            }
        };
        for problem in inside.problems {
            visit(Event::Problem(problem))?;
        }
        let is_emptied = is_cut || inside.empty.is_some();
        if let Some(reason) = inside.empty {
            visit(Event::Emptied(&self.path, reason))?;
        }
        let xattrs = read_xattrs(&mut self.xattrs, parent.as_fd(), &at, &self.path, visit)?;
        let dir = parent.as_fd();
        visit(Event::Enter(Found { dir, at: &at, path: &self.path, metadata, target: None, xattrs, is_emptied }))?;
        self.stack.push(Frame { fd, at, metadata, names: inside.names, next: 0, node, scope, is_cut });
        self.close_outer();
        Ok(())
    }

    /// Finds out what is to be visited in a directory.
    fn look_inside(&self, dir: BorrowedFd<'_>, node: Option<usize>, scope: Option<usize>, inside: &mut Inside) {
        if inside.empty.is_some() {
            return;
        }
        let (names, problem) = self.names(dir, node, scope);
        inside.problems.extend(problem);
        (inside.names, inside.empty) = self.reduced(dir, names, node, scope);
        if self.stack.len() >= MAX_DEPTH && !inside.names.is_empty() {
            let message = format!("deeper than {MAX_DEPTH} directories: what is in it isn't captured");
            inside.problems.push(Problem { path: self.path.clone(), kind: ProblemKind::TooLong, message });
            inside.names = Listing::default();
        }
    }

    /// What is left of a directory's names if it holds a marker: the marker, and what leads to roots.
    fn reduced(
        &self,
        dir: BorrowedFd<'_>,
        names: Listing,
        node: Option<usize>,
        scope: Option<usize>,
    ) -> (Listing, Option<Reason>) {
        let marker = scope.and_then(|_| self.excludes.marker(dir, &names));
        let Some(marker) = marker else { return (names, None) };
        let on_the_way = node.into_iter().flat_map(|node| self.node(node).children.keys().map(Vec::as_slice));
        (Listing::of(on_the_way.chain([marker])), Some(Reason::Marked(marker.to_vec())))
    }

    /// Closes the outermost directory that needn't be open; the top stays.
    fn close_outer(&mut self) {
        if let Some(outer) = self.stack.len().checked_sub(MAX_OPEN + 1).filter(|&outer| outer > 0) {
            self.stack[outer].fd = None;
        }
    }

    fn leave<E>(&mut self, visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let left = self.stack.pop();
        self.path.pop();
        visit(Event::Leave)?;
        if self.stack.last().is_none_or(|frame| frame.fd.is_some()) {
            return Ok(());
        }
        let fd =
            left.and_then(|left| left.fd).and_then(|below| self.reopen_from(&below)).or_else(|| self.reopen_by_name());
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let missed = frame.names.len() - frame.next;
        if fd.is_none() && missed > 0 {
            frame.next = frame.names.len();
            let message =
                format!("the directory was moved while it was walked: {missed} of its entries aren't captured");
            visit(Event::Problem(Problem { path: self.path.clone(), kind: ProblemKind::Changed, message }))?;
        } else {
            frame.fd = fd;
        }
        Ok(())
    }

    /// Opens the directory on top of the stack again, from the one below it that was just left.
    fn reopen_from(&self, below: &OwnedFd) -> Option<OwnedFd> {
        let frame = self.stack.last()?;
        let fd = open_directory(below.as_fd(), b"..", frame.scope.is_some()).ok()?;
        frame.metadata.is_same_file(&Metadata::of_open(&fd).ok()?).then_some(fd)
    }

    /// Opens the directory on top of the stack again by the names that lead there.
    fn reopen_by_name(&self) -> Option<OwnedFd> {
        let (top, others) = self.stack.split_first()?;
        let mut fd = top.fd.as_ref()?.try_clone().ok()?;
        for frame in others {
            fd = open_directory(fd.as_fd(), &frame.at, frame.scope.is_some()).ok()?;
            if !frame.metadata.is_same_file(&Metadata::of_open(&fd).ok()?) {
                return None;
            }
        }
        Some(fd)
    }
}

/// Opens a directory for reading, or only as a starting point, which needs no permission to read it.
fn open_directory(dir: BorrowedFd<'_>, at: &[u8], for_reading: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = if for_reading {
        open_quietly(dir, at, flags | OFlags::RDONLY)
    } else {
        rustix::fs::openat(dir, at, flags | OFlags::PATH, Mode::empty())
    };
    Ok(opened?)
}

/// Reads extended attributes and tells of those that can't be read.
fn read_xattrs<E>(
    reader: &mut Option<XattrReader>,
    dir: BorrowedFd<'_>,
    at: &[u8],
    path: &SafePath,
    visit: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
) -> Result<Vec<Xattr>, E> {
    let Some(reader) = reader else { return Ok(Vec::new()) };
    let (xattrs, faults) = reader.read(dir, at);
    for fault in faults {
        visit(Event::Problem(Problem { path: path.clone(), kind: fault.kind, message: fault.message }))?;
    }
    Ok(xattrs)
}
