//! Sealing a stored frame again under another run's key, whole or *punched*: with only some of its chunks.
//!
//! Its table, and so its id, stays: what refers to it needs no change (`docs/format.md`, section 4).

use crate::repo::codec::{Malformed, put_varint};
use crate::repo::format::Class;
use crate::repo::id::{FrameId, RepositoryId, RunId};
use crate::repo::keys::domain::IdKeys;
use crate::repo::keys::wrap::RunKey;
use crate::repo::pack::frame::{
    self, FRAME_TARGET, FrameError, FrameShape, OpenFrame, SECRET_BLOCK, SealedFrame, Zstd,
};
use crate::repo::pack::presence::Presence;
use crate::repo::pack::table::Table;
use crate::repo::seal::Plain;

/// A stored frame that was opened and proved itself.
pub struct ProvenFrame {
    id: FrameId,
    open: OpenFrame,
    plain: Vec<u8>,
}

impl ProvenFrame {
    /// Opens a stored frame; its id keys are those of the pack's domain.
    pub fn open(
        sealed: &[u8],
        id: FrameId,
        class: Class,
        run: (RepositoryId, RunId, &RunKey),
        domain: &IdKeys,
        zstd: &mut Zstd,
    ) -> Result<Self, FrameError> {
        let plain = frame::unseal(sealed, class, run)?;
        let open = frame::verify(&plain, id, class, domain, zstd)?;
        Ok(Self { id, open, plain })
    }

    /// What is in it.
    pub const fn content(&self) -> &OpenFrame {
        &self.open
    }
}

/// Seals frames of other runs for one run.
pub struct Resealer<'k> {
    /// The repository.
    pub repository: RepositoryId,
    /// The run that writes.
    pub run: RunId,
    /// Its key.
    pub run_key: &'k RunKey,
}

impl Resealer<'_> {
    /// Seals a frame again, with those of its chunks that `keep` wants; of chunks that are absent it isn't asked. `None` if nothing would be left.
    ///
    /// The result is opened again and compared before it's given: it may become the only copy.
    pub fn reseal(
        &self,
        proven: &ProvenFrame,
        keep: &dyn Fn(u32) -> bool,
        domain: &IdKeys,
        zstd: &mut Zstd,
    ) -> Result<Option<SealedFrame>, FrameError> {
        let (id, open, class) = (proven.id, &proven.open, proven.open.class);
        let table = Table::decode(&open.encoded_table)?;
        let n = table.chunks.len();
        let wanted = |i: u32| open.chunk(i).is_some() && keep(i);
        let kept: Vec<bool> = (0..u32::try_from(n).unwrap_or(u32::MAX)).map(wanted).collect();
        if !kept.contains(&true) {
            return Ok(None);
        }
        let as_it_is = (0..).zip(&kept).all(|(i, &kept)| kept == open.chunk(i).is_some());
        let plain = if as_it_is {
            let mut plain = Plain::with_capacity(proven.plain.len());
            plain.extend_from_slice(&proven.plain);
            plain
        } else {
            punched(open, &table, &kept, zstd)
        };
        let aad = frame::associated_data(self.repository, self.run, class);
        let bytes = plain.seal(self.run_key.seal_key(), b"frame", &[&aad]);
        let again = frame::open(&bytes, id, class, (self.repository, self.run, self.run_key), domain, zstd)?;
        let same = (0..).zip(&kept).all(|(i, &kept)| again.chunk(i) == open.chunk(i).filter(|_| kept));
        if !same {
            return Err(FrameError::OtherFrame);
        }
        Ok(Some(SealedFrame {
            id,
            class,
            encoded_table: open.encoded_table.clone(),
            chunks: u16::try_from(n).map_err(|_| Malformed("frame"))?,
            present: Presence::of(n, |i| kept[i]),
            raw_length: u32::try_from(again.raw_length()).unwrap_or(u32::MAX),
            bytes,
        }))
    }
}

/// The plaintext of a frame that holds only these chunks.
fn punched(open: &OpenFrame, table: &Table, kept: &[bool], zstd: &mut Zstd) -> Plain {
    let mut body = Vec::with_capacity(open.raw_length());
    for (ordinal, _) in (0..).zip(kept).filter(|(_, kept)| **kept) {
        body.extend_from_slice(open.chunk(ordinal).unwrap_or_default());
    }
    // Only frames of rows grow beyond the target of the others.
    let shape = if body.len() > FRAME_TARGET { FrameShape::ROWS } else { FrameShape::FILES };
    let compressed = if open.class == Class::Secret { None } else { frame::compress(&body, shape.level, zstd) };
    let stored = compressed.as_ref().unwrap_or(&body);
    let mut plain = Plain::with_capacity(stored.len() + 21 * kept.len() + 64 + SECRET_BLOCK);
    plain.push(u8::from(compressed.is_some()));
    if let Some(root) = &open.secret_root {
        plain.extend_from_slice(root.as_bytes());
    }
    let mut lengths = Vec::new();
    put_varint(&mut lengths, kept.len() as u64);
    for (chunk, &kept) in table.chunks.iter().zip(kept) {
        put_varint(&mut lengths, u64::from(chunk.length) << 1 | u64::from(!kept));
        if !kept {
            lengths.extend_from_slice(chunk.id.as_bytes());
        }
    }
    plain.extend_from_slice(&lengths);
    plain.extend_from_slice(stored);
    if open.class == Class::Secret {
        let length = plain.as_slice().len();
        plain.grow(length.next_multiple_of(SECRET_BLOCK) - length);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::format::MAX_CHUNK;
    use crate::repo::keys::domain::SecretRoot;
    use crate::repo::keys::testing::repository;
    use crate::repo::pack::frame::{FrameBuilder, FrameSealer};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Sealed, punched, punched again: what is left is what was there, the id stays, and what is gone is gone.
        #[test]
        fn what_is_kept_is_what_was_there(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), any::<bool>(), any::<bool>()), 1..30),
            class in 0..3u8,
        ) {
            let (write, _) = repository();
            let class = Class::from_code(class).unwrap();
            let root = SecretRoot::generate();
            let domain = write.domain().ids();
            let ids = if class == Class::Secret { root.ids() } else { domain };
            let mut builder = FrameBuilder::new(class, FrameShape::FILES);
            for (chunk, ..) in &chunks {
                assert!(chunk.len() <= MAX_CHUNK);
                builder.push(ids.chunk_id(chunk), chunk);
            }
            let (run, key) = (write.new_run(), RunKey::generate());
            let repository = write.repository();
            let mut zstd = Zstd::new().unwrap();
            let raw = builder.finish(ids);
            let id = raw.id;
            let sealer = FrameSealer { repository, run, run_key: &key, secret_root: &root };
            let mut sealed = sealer.seal(raw, &mut zstd).unwrap();
            let mut held = vec![true; chunks.len()];
            let mut from = (run, key);
            for pass in 0..2 {
                let proven =
                    ProvenFrame::open(&sealed.bytes, id, class, (repository, from.0, &from.1), domain, &mut zstd).unwrap();
                let keep = |i: usize| if pass == 0 { chunks[i].1 } else { chunks[i].2 };
                let (run, key) = (write.new_run(), RunKey::generate());
                let resealer = Resealer { repository, run, run_key: &key };
                let resealed = resealer.reseal(&proven, &|i| keep(i as usize), domain, &mut zstd).unwrap();
                (0..held.len()).for_each(|i| held[i] &= keep(i));
                let Some(resealed) = resealed else {
                    prop_assert!(!held.contains(&true));
                    return Ok(());
                };
                prop_assert_eq!(&resealed.present, &Presence::of(held.len(), |i| held[i]));
                let open = frame::open(&resealed.bytes, id, class, (repository, run, &key), domain, &mut zstd).unwrap();
                for (i, (chunk, ..)) in chunks.iter().enumerate() {
                    let expected = held[i].then_some(&chunk[..]);
                    prop_assert_eq!(open.chunk(u32::try_from(i).unwrap()), expected);
                }
                sealed = resealed;
                from = (run, key);
            }
        }
    }
}
