//! Making durable what was stored so far, while more is stored.

use crate::repo::id::{PackId, RunId};
use crate::repo::keys::RunKey;
use crate::repo::keys::bundle::WriteKeys;
use crate::repo::pack::builder::PackOpening;
use crate::repo::view::View;
use crate::repo::writer::{Durable, WriteError, Writer, seal, upload};
use std::sync::Arc;

/// Proof that what a run had stored, or could refer to, at a moment is durable or somebody else's.
#[non_exhaustive]
pub struct Settled {
    /// The packs that the run has written.
    own: Vec<(PackId, u64)>,
    /// The packs of others that it refers to.
    relied: Vec<u32>,
}

impl Writer {
    /// Waits until all frames that have an id by now are durable: their packs are closed, stored, and named by a segment. Others may go on
    /// putting chunks meanwhile; of what they put nothing is promised. `go_on` is asked now and then.
    pub fn settle(&self, go_on: &dyn Fn() -> Result<(), WriteError>) -> Result<Settled, WriteError> {
        let shared = &*self.shared;
        let (Some(frames), Some(packs)) = (&self.frames, &self.packs) else { return Err(WriteError::Stopped) };
        for frame in shared.mending.finish(shared) {
            frames.send(frame).map_err(|_| WriteError::Stopped)?;
        }
        shared.frames_sent.wait(&shared.failure, go_on)?;
        seal::close_packs(shared, packs)?;
        shared.packs_sent.wait(&shared.failure, go_on)?;
        upload::write_segment(shared)?;
        Ok(Settled { own: shared.segments.own_packs(), relied: shared.relied.iter().collect() })
    }
}

impl Settled {
    /// The packs, by the numbers that the view has for them.
    pub fn packs(&self, view: &View) -> Vec<u32> {
        let own = self.own.iter().filter_map(|(id, _)| view.packs().number(id));
        own.chain(self.relied.iter().copied()).collect()
    }

    /// Bytes of the packs that the run has written, and how many there are.
    pub fn stored(&self) -> (u64, u64) {
        (self.own.iter().map(|(_, length)| length).sum(), self.own.len() as u64)
    }

    /// The same as another run has it that stores nothing itself, and relies on all of this.
    pub fn relied_on_by(&self, run: RunId, keys: &WriteKeys, view: &View) -> Durable {
        let run_key = Arc::new(RunKey::generate());
        let wrap = keys.wrap(&run_key, run);
        let opening = PackOpening { repository: keys.repository(), domain: keys.domain().id(), run, wrap };
        Durable { run, own: Vec::new(), relied: self.packs(view), opening, run_key }
    }
}
