//! Storing a container without its compression: read, undone and proven by one thread, cut and put by another, hashed by a third. Nothing is kept on disk.
//!
//! ```text
//! file ── pieces ──▶ undo, compress again, compare ── stream, recipe ──▶ cut, ids, known? ──▶ lanes
//!            └─────▶ hash
//! ```
//!
//! Memory: that of the expansion, what the cutters keep (below 1 MiB), and some 4 MiB of pieces between the threads.

use crate::chunker::archive::{ArchiveCutter, Cut, RowTarget};
use crate::chunker::expand::{Expansion, Finished, Format, Inner, Outcome};
use crate::chunker::script::{Script, is_script};
use crate::chunker::{Cutter, Gear, LineCutter, Profile};
use crate::repo::writer::{Lane, PendingRef, WriteError, Writer};
use crate::snapshot::capture::archive::{self, ArchiveStreamError, BORDER_FRAME, PIECES, next_piece};
use crate::snapshot::capture::content::{GrowingStream, PendingStream};
use crate::snapshot::capture::data::Expected;
use crate::snapshot::capture::dump::{DumpInside, FoundDump};
use crate::snapshot::capture::export;
use crate::snapshot::capture::place::{Place, locked};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::postgres::ledger::dumped::is_wanted;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::Read;
use std::sync::{Arc, Mutex};

#[cfg(test)]
mod tests;

/// Bytes of the stream that are passed on at once.
const BATCH: usize = 256 << 10;
/// Bytes by which a stream is told.
const HEAD: usize = 512;
/// What archives of `pg_dump` begin with.
const ARCHIVE: &[u8] = b"PGDMP";

/// A container that was stored; its frames may still be open.
pub(super) struct StoredExpansion {
    /// The stream that is stored instead; the file itself if there is no recipe.
    pub stream: PendingStream,
    /// What makes the file of it; nothing if nothing could be undone.
    pub recipe: Option<PendingStream>,
    /// The file's content hash.
    pub hash: [u8; 32],
    /// Its bytes.
    pub bytes: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// The dump of `pg_dump` that is in it, or the export that it is.
    pub dump: Option<FoundDump>,
}

/// What the thread that undoes tells the one that stores.
enum Message {
    Border,
    Bytes(Vec<u8>),
    Recipe(Vec<u8>),
}

/// Whoever stores has failed and says why.
struct Gone;

/// Stores the container of this format that `input` gives, up to its end.
pub(super) fn store(
    input: &mut dyn Read,
    (format, Expected { length, preview, .. }): (Format, Expected<'_>),
    (writer, gear, shared): (&Writer, &Gear, &Mutex<Lane>),
    monitor: &dyn Monitor,
) -> Result<StoredExpansion, ArchiveStreamError> {
    std::thread::scope(|scope| {
        let (pieces, hashed) = bounded::<Arc<Vec<u8>>>(PIECES);
        let (messages, stored) = bounded::<Message>(2 * PIECES);
        let hashes = scope.spawn(move || archive::hash(&hashed));
        let place = Place::of(length, writer, shared);
        let storing = scope.spawn(move || Sink::new(gear, place, shared).take_all(&stored));
        let mut expansion = Expansion::of(Some(format));
        if let Some(preview) = preview {
            (0..preview.threads()).for_each(|_| drop(scope.spawn(|| preview.help(monitor))));
            expansion = expansion.with(preview.ahead());
        }
        let undone = undo(input, expansion, (&pieces, messages), monitor);
        preview.inspect(|preview| preview.close());
        drop(pieces);
        let stored = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (Finished { outcome, misfit, export, .. }, bytes) = undone?.ok_or(WriteError::Stopped)?;
        if let Some(why) = misfit {
            return Err(ArchiveStreamError::Misfit(why));
        }
        let (hash, sha256) = hashes.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let Stored { stream, recipe, inside } = stored;
        let recipe = Some(recipe).filter(|_| outcome.undone > 0 || stream.hash != hash);
        let dump = inside.and_then(|inside| FoundDump::expanded(inside, &outcome, sha256));
        let export = export.as_ref().and_then(export::read);
        let dump = export.map(|export| FoundDump::export(export, sha256)).or(dump);
        Ok(StoredExpansion { stream, recipe, hash, bytes, outcome, dump })
    })
}

/// Reads and undoes all of it; what came of it, and how many bytes there were. `None` if whoever stores has failed.
fn undo(
    input: &mut dyn Read,
    mut expansion: Expansion,
    (pieces, messages): (&Sender<Arc<Vec<u8>>>, Sender<Message>),
    monitor: &dyn Monitor,
) -> Result<Option<(Finished, u64)>, ArchiveStreamError> {
    let mut batch = Batch { messages, bytes: Vec::new() };
    let mut bytes = 0;
    while let Some(piece) = next_piece(input, monitor)? {
        bytes += piece.len() as u64;
        // Whoever hashes ends after this does.
        let _ = pieces.send(Arc::clone(&piece));
        if expansion.push(&piece, &mut |inner| batch.take(inner)).is_err()
            || batch.recipe(expansion.take_recipe()).is_err()
        {
            return Ok(None);
        }
    }
    let Ok(mut finished) = expansion.finish_all(&mut |inner| batch.take(inner)) else { return Ok(None) };
    let sent = batch.recipe(std::mem::take(&mut finished.recipe)).and_then(|()| batch.flush());
    Ok(sent.ok().map(|()| (finished, bytes)))
}

/// Gathers what is passed on.
struct Batch {
    messages: Sender<Message>,
    bytes: Vec<u8>,
}

impl Batch {
    fn take(&mut self, inner: Inner<'_>) -> Result<(), Gone> {
        match inner {
            Inner::Border => {
                self.flush()?;
                self.send(Message::Border)
            }
            Inner::Bytes(bytes) => {
                self.bytes.extend_from_slice(bytes);
                if self.bytes.len() < BATCH { Ok(()) } else { self.flush() }
            }
        }
    }

    fn recipe(&mut self, recipe: Vec<u8>) -> Result<(), Gone> {
        if recipe.is_empty() { Ok(()) } else { self.send(Message::Recipe(recipe)) }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(BATCH + (64 << 10)));
        self.send(Message::Bytes(bytes))
    }

    fn send(&self, message: Message) -> Result<(), Gone> {
        self.messages.send(message).map_err(|_| Gone)
    }
}

/// How the bytes that come are cut.
enum Cutting<'g> {
    /// The first ones tell.
    Undecided(Vec<u8>),
    Archive(Box<ArchiveCutter<'g>>),
    Lines(LineCutter<'g>),
    Other(Cutter<'g>),
}

/// What was stored.
struct Stored {
    stream: PendingStream,
    recipe: PendingStream,
    /// The dump that the stream begins with; chunks of an archive are counted from the first.
    inside: Option<DumpInside>,
}

/// Cuts and puts.
struct Sink<'s> {
    gear: &'s Gear,
    place: Place<'s>,
    cutting: Cutting<'s>,
    references: Vec<PendingRef>,
    hasher: blake3::Hasher,
    bytes: u64,
    recipe: GrowingStream<'s>,
    inside: Option<DumpInside>,
    /// The script that the stream begins with. It goes on in the next member, as it does for whoever unpacks it.
    script: Option<Script>,
    /// Whether something has been cut to its end.
    past_first: bool,
    /// Where the recipe goes.
    lane: &'s Mutex<Lane>,
}

impl<'s> Sink<'s> {
    fn new(gear: &'s Gear, place: Place<'s>, lane: &'s Mutex<Lane>) -> Self {
        let cutting = Cutting::Undecided(Vec::new());
        Self {
            gear,
            place,
            cutting,
            references: Vec::new(),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            recipe: GrowingStream::new(gear),
            inside: None,
            script: None,
            past_first: false,
            lane,
        }
    }

    /// Takes everything.
    fn take_all(mut self, messages: &Receiver<Message>) -> Result<Stored, WriteError> {
        for message in messages {
            match message {
                Message::Border => self.border()?,
                Message::Bytes(bytes) => {
                    self.hasher.update(&bytes);
                    self.bytes += bytes.len() as u64;
                    self.push(&bytes)?;
                }
                Message::Recipe(recipe) => self.recipe.push(&recipe, &mut locked(self.lane))?,
            }
        }
        self.border()?;
        self.place.close(1)?;
        let hash = *self.hasher.finalize().as_bytes();
        let stream = PendingStream { references: self.references, bytes: self.bytes, hash };
        let recipe = self.recipe.finish(&mut locked(self.lane))?;
        let script = self.script.map(|script| DumpInside::Script(script.finish()));
        Ok(Stored { stream, recipe, inside: script.or(self.inside) })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let Self { place, references, .. } = self;
        if let (Some(script), false) = (&mut self.script, matches!(self.cutting, Cutting::Undecided(_))) {
            script.push(bytes);
        }
        match &mut self.cutting {
            Cutting::Undecided(head) => {
                head.extend_from_slice(bytes);
                if head.len() < HEAD { Ok(()) } else { self.decide() }
            }
            Cutting::Archive(cutter) => cutter.push(bytes, &mut |cut| take(cut, place, references)),
            Cutting::Lines(cutter) => cutter.push(bytes, &mut |chunk| place.put(chunk, references)),
            Cutting::Other(cutter) => cutter.push(bytes, &mut |chunk| place.put(chunk, references)),
        }
    }

    fn decide(&mut self) -> Result<(), WriteError> {
        let Cutting::Undecided(head) = std::mem::replace(&mut self.cutting, Cutting::Undecided(Vec::new())) else {
            return Ok(());
        };
        self.cutting = if head.starts_with(ARCHIVE) {
            Cutting::Archive(Box::new(ArchiveCutter::new(self.gear, RowTarget::DEFAULT).keeping(is_wanted)))
        } else {
            // Scripts of a database, exports, logs: a changed line is small.
            let is_text =
                !head.contains(&0) && std::str::from_utf8(&head).map_or_else(|e| e.error_len().is_none(), |_| true);
            if is_text {
                if !self.past_first && is_script(&head) {
                    self.script = Some(Script::keeping(is_wanted));
                }
                Cutting::Lines(LineCutter::new(self.gear, RowTarget::DEFAULT))
            } else {
                Cutting::Other(Cutter::new(self.gear, Profile::Opaque64k))
            }
        };
        self.push(&head)
    }

    /// What comes then has nothing to do with what came.
    fn border(&mut self) -> Result<(), WriteError> {
        if matches!(&self.cutting, Cutting::Undecided(head) if !head.is_empty()) {
            self.decide()?;
        }
        let Self { place, references, .. } = self;
        match std::mem::replace(&mut self.cutting, Cutting::Undecided(Vec::new())) {
            Cutting::Undecided(_) => return Ok(()),
            Cutting::Archive(cutter) => {
                let contents = cutter.finish(&mut |cut| take(cut, place, references))?;
                if !self.past_first {
                    self.inside = Some(DumpInside::Archive { contents, more: false });
                }
            }
            Cutting::Lines(cutter) => cutter.finish(&mut |chunk| place.put(chunk, references))?,
            Cutting::Other(mut cutter) => cutter.finish(&mut |chunk| place.put(chunk, references))?,
        }
        if let (Some(DumpInside::Archive { more, .. }), true) = (&mut self.inside, self.past_first) {
            *more = true;
        }
        self.past_first = true;
        Ok(())
    }
}

/// Puts a chunk; frames end at the borders of tables if they hold enough.
fn take(cut: Cut<'_>, place: &mut Place<'_>, references: &mut Vec<PendingRef>) -> Result<(), WriteError> {
    match cut {
        Cut::Chunk(chunk) => place.put(chunk, references),
        Cut::Border => place.close(BORDER_FRAME),
    }
}
