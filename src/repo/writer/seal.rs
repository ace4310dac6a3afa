//! The stage that compresses, seals, verifies and puts frames into packs: one thread per core.

use crate::repo::pack::builder::{FinishedPack, PackBuilder};
use crate::repo::pack::frame::{FrameSealer, RawFrame, SealedFrame, Zstd};
use crate::repo::writer::{Numbered, PACK_TARGET, SealChannels, Shared, WriteError, lock};
use crossbeam_channel::Sender;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Works until no lane is left, then closes the packs that are open (the last thread to end does).
pub(super) fn work(shared: &Shared, (frames, packs): SealChannels) {
    match seal_all(shared, &frames, &packs) {
        Ok(()) => {}
        Err(error) => {
            shared.fail(error);
            // Lanes that wait for room must see that nothing comes any more.
            for _ in &frames {}
        }
    }
}

fn seal_all(
    shared: &Shared,
    frames: &crossbeam_channel::Receiver<Numbered<RawFrame>>,
    packs: &Sender<Numbered<FinishedPack>>,
) -> Result<(), WriteError> {
    let mut zstd = Zstd::new()?;
    let sealer = FrameSealer {
        repository: shared.opening.repository,
        run: shared.opening.run,
        run_key: &shared.run_key,
        secret_root: &shared.secret_root,
    };
    for (flight, frame) in frames {
        if shared.failure.is_set() {
            return Err(WriteError::Stopped);
        }
        let sealed = sealer.seal(frame, &mut zstd).map_err(WriteError::Verify)?;
        let full = add(shared, &sealed);
        shared.frames_sent.land(flight);
        if let Some(pack) = full {
            send(shared, packs, pack)?;
        }
    }
    if shared.sealing.fetch_sub(1, Ordering::AcqRel) > 1 {
        return Ok(());
    }
    close_packs(shared, packs)
}

/// Closes the open packs and hands them to the uploaders.
pub(super) fn close_packs(shared: &Shared, packs: &Sender<Numbered<FinishedPack>>) -> Result<(), WriteError> {
    let close = |open: &Mutex<Option<PackBuilder>>| {
        let mut open = lock(open);
        open.take().filter(|pack| !pack.is_empty()).map(|pack| (shared.packs_sent.begin(), pack))
    };
    shared.open_packs.iter().filter_map(close).try_for_each(|pack| send(shared, packs, pack))
}

/// Adds a frame to the open pack of its class, or to a new one if it doesn't fit any more; then gives the full one.
fn add(shared: &Shared, frame: &SealedFrame) -> Option<Numbered<PackBuilder>> {
    let mut open = lock(&shared.open_packs[usize::from(frame.class.code())]);
    let full = open.take_if(|pack| !pack.is_empty() && pack.length_with(frame) > PACK_TARGET);
    open.get_or_insert_with(|| PackBuilder::new(frame.class, &shared.opening, PACK_TARGET)).push(frame);
    // As long as nobody else looks at the open pack: whoever waits for all packs must find it there or under way.
    full.map(|pack| (shared.packs_sent.begin(), pack))
}

/// Finishes a pack and hands it to the uploaders.
fn send(
    shared: &Shared,
    packs: &Sender<Numbered<FinishedPack>>,
    (flight, pack): Numbered<PackBuilder>,
) -> Result<(), WriteError> {
    let pack = pack.finish(&shared.opening, shared.keys.domain().index());
    packs.send((flight, pack)).map_err(|_| WriteError::Stopped)
}
