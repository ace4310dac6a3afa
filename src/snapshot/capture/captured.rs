//! What became of a regular file: its content, which may still be on its way into the repository, and what was known of it before.

use crate::chunker::expand::Outcome as Expansion;
use crate::repo::cbor::Time;
use crate::repo::writer::{PendingRef, Writer};
use crate::snapshot::capture::content::{self, PendingStream, StoredStream};
use crate::snapshot::capture::dump::FoundDump;
use crate::snapshot::manifest::dump::{DumpFile, Sidecar};
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::tree::entry::{Entry, Flags, Xattr};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::recipe::Recipe;
use crate::snapshot::tree::reference::{Extent, Reference};
use std::sync::{Arc, OnceLock};

/// A file that was captured; its frames may still be open.
#[derive(Debug)]
pub struct Captured {
    /// Its bytes, if they stand in the entry.
    pub(super) inline: Option<Vec<u8>>,
    /// What its stream refers to, its length and content hash.
    pub(super) stream: Option<(Vec<PendingRef>, u64, [u8; 32])>,
    /// What has the same bytes and was stored before: then there is no stream.
    pub(super) known: Option<Arc<Known>>,
    /// What rebuilds the file, if it was expanded: the stream isn't the file then.
    pub(super) expanded: Option<Expanded>,
    pub(super) size: u64,
    pub(super) extents: Option<Vec<Extent>>,
    /// Its path in the snapshot.
    pub path: SafePath,
    /// What was known of it before.
    pub before: Before,
    /// The file that it was read from; none for what no file of this host holds, such as the dump of a database.
    pub origin: Option<Origin>,
    /// Whether it changed all the time.
    pub changed: bool,
    /// Names of the variables that a secret file sets.
    pub names: Vec<String>,
    /// Whether it was marked secret.
    pub is_secret: bool,
    /// What came of expanding it, if it's a container.
    pub outcome: Option<Expansion>,
    /// The dump of `pg_dump` that it is, perhaps compressed.
    pub(super) dump: Option<FoundDump>,
    /// What it says of the dump beside it.
    pub(super) sidecar: Option<Sidecar>,
    /// Whether it was to say something of one.
    pub(super) is_sidecar: bool,
}

/// A container that was stored before, and all of which is still there.
#[derive(Debug)]
pub(super) struct Known {
    /// Its entry; of which the content counts.
    pub(super) entry: Entry,
    /// If the entry has a list: what the list refers to.
    pub(super) listed: Option<Vec<Reference>>,
    /// What it holds, if it's a dump.
    pub(super) dump: Option<DumpFile>,
}

/// How the file is made of its stream.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) recipe: PendingStream,
    /// The content hash of the file.
    pub(super) hash: [u8; 32],
    /// Whether all compression was undone.
    pub(super) is_whole: bool,
}

/// A file that was read.
#[derive(Debug)]
pub struct Origin {
    /// Its name in its directory.
    pub at: Vec<u8>,
    /// What it was when it was read.
    pub metadata: Metadata,
    /// When the reading began.
    pub read_at: Time,
    /// Its extended attributes, if it isn't the file that was found but one that took its place.
    pub replaced: Option<Vec<Xattr>>,
}

impl Origin {
    /// What was known when it was read, which may be later than when it was found: content never gets the mode or owner of an older one.
    fn describe(&self, entry: &mut Entry) {
        let Metadata { mode, uid, gid, mtime, ctime, .. } = self.metadata;
        // Names of other owners aren't worth a look from here.
        entry.user = entry.user.take().filter(|_| entry.uid == uid);
        entry.group = entry.group.take().filter(|_| entry.gid == gid);
        (entry.mode, entry.uid, entry.gid, entry.mtime, entry.ctime) = (mode, uid, gid, mtime, Some(ctime));
        if let Some(xattrs) = &self.replaced {
            entry.btime = self.metadata.btime;
            entry.xattrs.clone_from(xattrs);
        }
    }
}

impl Captured {
    /// What came from elsewhere than a file, and is stored as one.
    pub fn stream_of(path: SafePath, before: Before, stream: PendingStream, is_secret: bool) -> Self {
        let mut captured = Self::of_stream(path, before, is_secret);
        captured.set_stream(stream.references, stream.bytes, stream.hash);
        captured
    }

    /// What comes from elsewhere than a file and isn't stored yet.
    pub(super) const fn of_stream(path: SafePath, before: Before, is_secret: bool) -> Self {
        Self {
            inline: None,
            size: 0,
            stream: None,
            known: None,
            expanded: None,
            extents: None,
            path,
            before,
            origin: None,
            changed: false,
            names: Vec::new(),
            is_secret,
            outcome: None,
            dump: None,
            sidecar: None,
            is_sidecar: false,
        }
    }

    /// Its stream, which is the file.
    pub(super) fn set_stream(&mut self, references: Vec<PendingRef>, bytes: u64, hash: [u8; 32]) {
        self.size = bytes;
        self.stream = Some((references, bytes, hash));
    }

    /// Gives an entry what was found when the file was read.
    pub fn describe(&self, entry: &mut Entry) {
        if let Some(origin) = &self.origin {
            origin.describe(entry);
        }
        entry.size = Some(self.size);
        entry.extents.clone_from(&self.extents);
        entry.inline.clone_from(&self.inline);
        if let Some(known) = &self.known {
            known.entry.copy_content_to(entry);
        }
        if self.is_secret {
            entry.flags.insert(Flags::SECRET);
        }
        if self.changed {
            entry.flags.insert(Flags::CHANGED);
        }
    }

    /// Its size in bytes, holes included.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What its stream and its recipe refer to, if all frames are closed.
    pub fn references(&self, writer: &Writer) -> Option<Vec<Reference>> {
        let (references, _, _) = self.stream.as_ref()?;
        let mut all = content::resolve(references, writer)?;
        if let Some(expanded) = &self.expanded {
            all.extend(content::resolve(&expanded.recipe.references, writer)?);
        }
        Some(all)
    }

    /// How many bytes were read.
    pub fn bytes_read(&self) -> u64 {
        let inline = self.inline.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let stream = self.stream.as_ref().map_or(inline, |(_, bytes, _)| *bytes);
        if self.expanded.is_some() || self.known.is_some() { self.size } else { stream }
    }

    /// The recipe as a stream, if there is one.
    pub fn recipe(&self) -> Option<PendingStream> {
        self.expanded.as_ref().map(|expanded| expanded.recipe.clone())
    }

    /// Gives an entry its recipe, which was stored, and the content hash of the file.
    pub fn put_recipe(&self, entry: &mut Entry, stored: StoredStream) {
        let (Some(expanded), Some((_, stream_bytes, stream_hash))) = (&self.expanded, &self.stream) else { return };
        let (stream_bytes, stream_hash) = (*stream_bytes, *stream_hash);
        let (references, list) =
            if stored.is_list { (None, Some(stored.references)) } else { (Some(stored.references), None) };
        let is_whole = expanded.is_whole;
        entry.hash = Some(expanded.hash);
        entry.recipe = Some(Recipe {
            stream_bytes,
            stream_hash,
            bytes: stored.bytes,
            hash: stored.hash,
            references,
            list,
            is_whole,
        });
    }

    /// The stream; none if the bytes stand in the entry.
    pub fn stream(&self) -> Option<PendingStream> {
        let (references, bytes, hash) = self.stream.as_ref()?;
        Some(PendingStream { references: references.clone(), bytes: *bytes, hash: *hash })
    }
}

/// What was known of a file before it was read.
#[derive(Debug, Clone)]
pub enum Before {
    /// Nothing.
    New,
    /// It looked otherwise, or its content is no longer stored. If its content turns out to be that of this entry, it's unmodified all the same.
    Changed(Option<Box<Entry>>),
    /// It looked the same, and its content was that of this entry.
    Unchanged(Box<Entry>),
}

/// How the capture of a file ended.
pub enum Outcome {
    /// It's stored.
    Captured(Box<Captured>),
    /// It couldn't be read; the problem was reported.
    Lost,
}

/// Where the outcome will be; several names of one file share it.
pub type FileSlot = OnceLock<Outcome>;
