//! A writer that forges: whoever holds a stolen write-only credential puts what it may put, and tries what it may not.

use super::actors::Actor;
use super::faults::Kind;
use crate::repo::format::{Class, key};
use crate::repo::id::{PackId, RunId};
use crate::repo::keys::{RunKey, WriteKeys};
use crate::repo::needs::Needs;
use crate::repo::pack::builder::{PackBuilder, PackOpening};
use crate::repo::pack::frame::SealedFrame;
use crate::repo::pack::parse;
use crate::repo::record::{self, Segment, SegmentFrame, SegmentPack};
use crate::repo::store::{Store, StoreError};
use bytes::Bytes;

/// The length that forged segments say a trailer has: shorter than any is, so that much finds room.
const TRAILER: u32 = 16;

/// What there is to forge from.
struct Loot {
    /// Packs, with their lengths.
    packs: Vec<(PackId, u64)>,
    /// Runs of the forger's credential that are decided.
    mine: Vec<RunId>,
}

impl Actor {
    /// Forges some of everything.
    pub(super) fn forge(&mut self) -> Result<(), StoreError> {
        let (store, keys) = self.parts();
        let store = &*store;
        self.world.lock().faults.hit(Kind::Forged);
        let mut loot = Loot { packs: Vec::new(), mine: Vec::new() };
        store.list(key::PACKS, &mut |listed| {
            loot.packs.extend(key::parse_pack(&listed.key).map(|pack| (pack, listed.length)));
        })?;
        store.list(key::SNAPSHOTS, &mut |listed| loot.mine.extend(key::parse_run(key::SNAPSHOTS, &listed.key)))?;
        loot.mine.retain(|run: &RunId| run.belongs_to(keys.credential()));
        for _ in 0..=self.chance.below(3) {
            self.forge_pack(store, &keys, &loot)?;
        }
        if self.chance.percent(50) {
            self.forge_segment(store, &keys, &loot)?;
        }
        if self.chance.percent(30) {
            self.forge_record(store, &keys)?;
        }
        if self.chance.percent(10) {
            self.forge_snapshot(store, &keys)?;
        }
        Ok(())
    }

    /// A pack whose trailer names frames of others, with garbage in their place; under the id of a run that is decided, or of one that never was.
    fn forge_pack(&mut self, store: &dyn Store, keys: &WriteKeys, loot: &Loot) -> Result<(), StoreError> {
        let run = self.chance.pick(&loot.mine).copied().unwrap_or_else(|| keys.new_run());
        let run_key = RunKey::generate();
        let (repository, domain) = (keys.repository(), keys.domain());
        let opening = PackOpening { repository, domain: domain.id(), run, wrap: keys.wrap(&run_key, run) };
        let Some(&(victim, length)) = self.chance.pick(&loot.packs) else { return Ok(()) };
        let Ok(trailer) = parse::read_trailer(store, victim, length, repository, domain) else { return Ok(()) };
        let class = trailer.frames.first().map_or(Class::Data, |frame| frame.table.class);
        let mut pack = PackBuilder::new(class, &opening, 4096);
        for frame in trailer.frames.into_iter().filter(|frame| frame.present.is_none()) {
            {
                let mut state = self.world.lock();
                let step = state.schedule.step;
                state.forged.entry(frame.id.to_string()).or_insert(step);
            }
            pack.push(&SealedFrame {
                id: frame.id,
                class,
                encoded_table: frame.table.encode(),
                chunks: u16::try_from(frame.table.chunks.len()).unwrap_or(0),
                present: None,
                raw_length: frame.raw_length,
                bytes: vec![0x5a; frame.stored_length as usize],
            });
        }
        if pack.is_empty() {
            return Ok(());
        }
        let pack = pack.finish(&opening, domain.index());
        store.put(&key::pack(pack.id), &pack.bytes)
    }

    /// A segment about a pack of its own: it leaves out what that holds, and may claim frames of another one.
    fn forge_segment(&mut self, store: &dyn Store, keys: &WriteKeys, loot: &Loot) -> Result<(), StoreError> {
        let own: Vec<_> = loot.packs.iter().filter(|(pack, _)| pack.run.belongs_to(keys.credential())).collect();
        let Some(&&(pack, length)) = self.chance.pick(&own) else { return Ok(()) };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut frames = Vec::new();
        if self.chance.percent(50)
            && let Some(&(victim, of_victim)) = self.chance.pick(&loot.packs)
            && let Ok(trailer) = parse::read_trailer(store, victim, of_victim, keys.repository(), keys.domain())
        {
            let mut room = length.saturating_sub(record::PACK_HEAD_LEN + 12 + TRAILER);
            for frame in trailer.frames.iter().filter(|frame| frame.present.is_none()) {
                let Some(left) = room.checked_sub(frame.stored_length) else { break };
                room = left;
                let chunks = u16::try_from(frame.table.chunks.len()).unwrap_or(0);
                let lengths = (frame.stored_length, frame.raw_length);
                frames.push(SegmentFrame::new(frame.id, lengths, frame.table.class, chunks, None));
            }
        }
        let packs = vec![SegmentPack { pack, length, trailer_length: TRAILER, frames }];
        // Readers take what comes first.
        let run = self.chance.pick(&loot.mine).copied().unwrap_or_else(|| keys.new_run());
        let store_key = key::segment(run, 90 + self.chance.number() % 10);
        let sealed = record::seal_record(keys, &store_key, &Segment { needs: Needs::NONE, packs });
        store.put(&store_key, &Bytes::from(sealed))
    }

    /// An object that only others may sign.
    fn forge_record(&mut self, store: &dyn Store, keys: &WriteKeys) -> Result<(), StoreError> {
        let mut runs = Vec::new();
        store.list(key::RUNS, &mut |listed| runs.extend(key::parse_run(key::RUNS, &listed.key)))?;
        let Some(&victim) = self.chance.pick(&runs) else { return Ok(()) };
        let forged = [key::stop(victim), key::forgotten(victim), key::gc(keys.new_run()), key::pins(victim, 7)];
        match self.chance.pick(&forged) {
            Some(key) => store.put(key, &Bytes::from_static(b"nobody signed this")),
            None => Ok(()),
        }
    }

    /// A snapshot that is another one under a new name, or nothing at all.
    fn forge_snapshot(&mut self, store: &dyn Store, keys: &WriteKeys) -> Result<(), StoreError> {
        let mut snapshots = Vec::new();
        store.list(key::SNAPSHOTS, &mut |listed| snapshots.push(listed.key))?;
        let bytes = match self.chance.pick(&snapshots) {
            Some(victim) if self.chance.percent(70) => store.get(victim, 1 << 20)?,
            _ => Bytes::from_static(b"no manifest"),
        };
        store.put(&key::snapshot(keys.new_run()), &bytes)
    }
}
