//! Dumps and ZIP files: looked through before they're undone, so that what was proven another time isn't proven again, and the rest is proven side by side.
//!
//! ```text
//! file ── looked through ──▶ streams, hashes ── known? ──▶ cache of proofs
//!   ├───── the longest first ──▶ proven apart, a thread for each spare core
//!   └───── in their order ─────▶ undone; proven where nobody else did or does
//! ```
//!
//! What is proven apart is undone once more, which takes an eighth of the time of compressing it, so that nothing of what comes of a stream has to be kept until it's its turn.

mod board;

use self::board::{Begun, Board, Reader, Sheet, Stream};
use crate::chunker::expand::{Ahead, Format, Proven, Prover, StreamPlace, Streams, Trusted};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::proofs::{Proofs, ProofsError};
use crate::snapshot::source::parts::FileParts;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// Files shorter than this are proven before a look would be worth it.
pub(super) const SHORTEST_FILE: u64 = 256 << 10;
/// Of shorter streams it isn't told.
const SHORTEST_STREAM: u64 = 16 << 10;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// What needn't be looked at is passed over if there is so much of it.
const SHORTEST_JUMP: u64 = 1 << 20;

/// What the threads of a run know together of streams in containers.
pub(super) struct Knowledge {
    /// The folder of the cache of proofs, and its key.
    cache: (PathBuf, Zeroizing<[u8; 32]>),
    /// Read when the first container is looked through.
    proofs: OnceLock<Mutex<Proofs>>,
    /// Whether what was known before counts.
    uses_proofs: bool,
    /// Threads that may still be begun to prove something.
    spare: AtomicUsize,
}

impl Knowledge {
    /// With a cache of proofs in this folder, and so many threads besides those that read files.
    pub(super) const fn new(cache: (PathBuf, Zeroizing<[u8; 32]>), uses_proofs: bool, spare: usize) -> Self {
        Self { cache, proofs: OnceLock::new(), uses_proofs, spare: AtomicUsize::new(spare) }
    }

    fn proofs(&self) -> MutexGuard<'_, Proofs> {
        let (folder, key) = &self.cache;
        let open = || Mutex::new(Proofs::open(folder, key, jiff::Timestamp::now().as_second()));
        self.proofs.get_or_init(open).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is known for the next run, if anything was asked for.
    pub(super) fn save(&self) -> Result<(), ProofsError> {
        if self.proofs.get().is_some() { self.proofs().save() } else { Ok(()) }
    }

    /// Looks through a container; nothing if it's no use.
    ///
    /// # Errors
    /// The file can't be read. What is wrong with it is said when it's its turn.
    pub(super) fn look(
        &self,
        file: FileParts,
        (length, format): (u64, Format),
        monitor: &dyn Monitor,
    ) -> io::Result<Option<Preview<'_>>> {
        let mut streams = Streams::of(format, SHORTEST_STREAM);
        let mut at = 0;
        while at < length {
            let mut goes_on = false;
            read(&mut file.part(at..length), &mut |piece| {
                at += piece.len() as u64;
                goes_on = streams.push(piece) && !monitor.interrupted();
                goes_on && streams.idle() < SHORTEST_JUMP
            })?;
            if !goes_on {
                break;
            }
            let idle = streams.idle();
            streams.pass_over(idle);
            at = at.saturating_add(idle);
        }
        let places = streams.found();
        let mut sheet = Sheet::default();
        let mut proofs = self.proofs();
        for place in &places {
            let known = if self.uses_proofs { proofs.get(&place.hash) } else { None };
            sheet.streams.insert(place.begins, known.map_or(Stream::Waiting, Stream::Known));
        }
        drop(proofs);
        sheet.waiting = places.into_iter().filter(|place| sheet.is_waiting(place.begins)).collect();
        sheet.waiting.sort_unstable_by_key(|place| place.ends - place.begins);
        let threads = self.hire(sheet.waiting.len().saturating_sub(1));
        if sheet.streams.is_empty() {
            return Ok(None);
        }
        Ok(Some(Preview { knowledge: self, board: Arc::new(Board::of(sheet)), file, threads }))
    }

    /// Takes as many spare threads as there are, and may be.
    fn hire(&self, most: usize) -> usize {
        let mut hired = 0;
        let take = |spare: usize| {
            hired = spare.min(most);
            Some(spare - hired)
        };
        // It never fails: the closure always gives a number.
        let _ = self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        hired
    }
}

/// A container that was looked through.
pub(super) struct Preview<'k> {
    knowledge: &'k Knowledge,
    board: Arc<Board>,
    file: FileParts,
    /// How many prove apart.
    threads: usize,
}

impl Preview<'_> {
    /// How many threads are to [help](Self::help).
    pub(super) const fn threads(&self) -> usize {
        self.threads
    }

    /// What whoever undoes it is to know.
    pub(super) fn ahead(&self) -> Box<dyn Ahead> {
        Box::new(Reader::of(Arc::clone(&self.board)))
    }

    /// Proves streams apart as long as there are some.
    pub(super) fn help(&self, monitor: &dyn Monitor) {
        while let Some((place, like)) = self.board.next() {
            // Also if it panics, somebody may wait.
            let mut begun = Begun { board: &self.board, begins: place.begins, came: None };
            begun.came = self.prove(place, like, monitor);
        }
    }

    /// What can't be read can't be proven, and is found when it's its turn.
    fn prove(&self, place: StreamPlace, like: Option<Proven>, monitor: &dyn Monitor) -> Option<Trusted> {
        let mut prover = Prover::new(place, like);
        read(&mut self.file.part(place.begins..place.ends), &mut |piece| {
            prover.push(piece) && !self.board.is_closed() && !monitor.interrupted()
        })
        .ok()?;
        prover.finish()
    }

    /// Nobody needs more: helpers end soon.
    pub(super) fn close(&self) {
        self.board.close();
    }

    /// Keeps what was proven. How many streams had been known, unless the container wasn't what it had been when it was looked through: then nothing that came of it may be used.
    pub(super) fn end(self) -> Option<u64> {
        let mut sheet = self.board.lock();
        let mut proofs = self.knowledge.proofs();
        sheet.learned.drain(..).for_each(|stream| proofs.insert(stream));
        (!sheet.contradicted).then_some(sheet.known)
    }
}

impl Drop for Preview<'_> {
    fn drop(&mut self) {
        self.knowledge.spare.fetch_add(self.threads, Ordering::Relaxed);
    }
}

/// Reads in pieces, as long as there's a point in it.
fn read(from: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) if each(&piece[..length]) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::expand::{Expansion, Inner, Rebuilder};
    use crate::snapshot::monitor::Silent;
    use std::convert::Infallible;
    use std::fs::File;
    use std::io::Write as _;

    const DUMP: &[u8] = include_bytes!("../../../tests/data/dumps/chinook-night1-pg11.dump");

    fn file(bytes: &[u8]) -> FileParts {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        FileParts::from(file)
    }

    fn knowledge(folder: &std::path::Path, spare: usize) -> Knowledge {
        Knowledge::new((folder.to_owned(), Zeroizing::new([1; 32])), true, spare)
    }

    /// What comes of a dump, of which others prove what they can meanwhile. All of it must come back.
    fn expand(preview: &Preview<'_>, bytes: &[u8]) -> bool {
        std::thread::scope(|scope| {
            (0..preview.threads()).for_each(|_| drop(scope.spawn(|| preview.help(&Silent::default()))));
            let (mut stream, mut expansion) = (Vec::new(), Expansion::new().with(preview.ahead()));
            let mut each = |inner: Inner<'_>| {
                if let Inner::Bytes(bytes) = inner {
                    stream.extend_from_slice(bytes);
                }
                Ok::<_, Infallible>(())
            };
            let Ok(()) = expansion.push(bytes, &mut each);
            let mut recipe = expansion.take_recipe();
            let Ok((rest, _)) = expansion.finish(&mut each);
            recipe.extend(rest);
            preview.close();
            let (mut rebuilder, mut rebuilt) = (Rebuilder::new(&recipe[..]), Vec::new());
            let mut out = |part: &[u8]| {
                rebuilt.extend_from_slice(part);
                Ok::<_, Infallible>(())
            };
            rebuilder.push(&stream, &mut out).and_then(|()| rebuilder.finish(&mut out)).is_ok() && rebuilt == bytes
        })
    }

    fn look<'k>(knowledge: &'k Knowledge, bytes: &[u8]) -> Preview<'k> {
        let about = (bytes.len() as u64, Format::PgDump);
        knowledge.look(file(bytes), about, &Silent::default()).unwrap().unwrap()
    }

    #[test]
    fn what_others_prove_is_as_good_and_known_next_time() {
        let folder = tempfile::tempdir().unwrap();
        for (spare, is_known) in [(3, false), (3, true), (0, true)] {
            let knowledge = knowledge(folder.path(), spare);
            let preview = look(&knowledge, DUMP);
            let streams = preview.board.lock().streams.len() as u64;
            assert!(streams >= 3, "{streams}");
            // Where all is known nobody is needed.
            assert_eq!(preview.threads() > 0, !is_known);
            assert!(expand(&preview, DUMP));
            assert_eq!(preview.end(), Some(if is_known { streams } else { 0 }));
            assert_eq!(knowledge.spare.load(Ordering::Relaxed), spare, "they are there for others again");
            knowledge.save().unwrap();
        }
    }

    #[test]
    fn what_is_another_file_by_then_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(folder.path(), 1);
        let preview = look(&knowledge, DUMP);
        // All is proven apart before anybody undoes it.
        preview.help(&Silent::default());
        let mut other = DUMP.to_vec();
        other[DUMP.len() / 2] ^= 4;
        assert!(!expand(&preview, &other));
        assert_eq!(preview.end(), None);
    }

    #[test]
    fn nobody_waits_for_those_that_were_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(folder.path(), 1);
        let preview = look(&knowledge, DUMP);
        preview.close();
        preview.help(&Silent::default());
        assert!(expand(&preview, DUMP));
        assert_eq!(preview.end(), Some(0));
    }

    #[test]
    fn what_cannot_be_read_is_not_proven_apart() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = knowledge(folder.path(), 1);
        let mut preview = look(&knowledge, DUMP);
        preview.file = FileParts::from(File::open("/dev/null").unwrap());
        preview.help(&Silent::default());
        assert!(expand(&preview, DUMP));
        assert_eq!(preview.end(), Some(0));
    }
}
