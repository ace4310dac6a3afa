//! Keys of a domain, and the secret roots that stand in for them (`docs/format.md`, sections 2 and 4).

use crate::repo::id::{ChunkId, DomainId, FrameId};
use crate::repo::seal::{SealKey, keyed, random};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Context of the derivation of domain roots from the master.
const ROOT_CONTEXT: &str = "nightsafe 1 domain root";

/// 32 bytes that all keys of a domain come from.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct DomainRoot(pub(super) [u8; 32]);

impl DomainRoot {
    /// The root of `domain` in the repository with this master.
    pub(super) fn derive(master: &[u8; 32], domain: DomainId) -> Self {
        let mut input = Zeroizing::new([0; 48]);
        input[..32].copy_from_slice(master);
        input[32..].copy_from_slice(domain.as_bytes());
        Self(blake3::derive_key(ROOT_CONTEXT, &*input))
    }
}

/// The two keys that ids come from: of a domain, or of a secret root.
pub struct IdKeys {
    chunk: SealKey,
    frame: SealKey,
}

impl IdKeys {
    fn derive(root: &[u8; 32]) -> Self {
        Self { chunk: subkey(root, b"chunk"), frame: subkey(root, b"frame") }
    }

    /// The id of the chunk with this plaintext.
    pub fn chunk_id(&self, plaintext: &[u8]) -> ChunkId {
        let hash = *blake3::keyed_hash(self.chunk.as_bytes(), plaintext).as_bytes();
        let mut id = [0; ChunkId::LEN];
        id.copy_from_slice(&hash[..ChunkId::LEN]);
        ChunkId::from_bytes(id)
    }

    /// The id of the frame with this table.
    pub fn frame_id(&self, table: &[u8]) -> FrameId {
        FrameId::from_bytes(*blake3::keyed_hash(self.frame.as_bytes(), table).as_bytes())
    }
}

/// What the credentials of a domain share.
pub struct DomainKeys {
    id: DomainId,
    ids: IdKeys,
    gear: SealKey,
    index: SealKey,
}

impl DomainKeys {
    pub(super) fn derive(id: DomainId, root: &DomainRoot) -> Self {
        let root = &root.0;
        Self { id, ids: IdKeys::derive(root), gear: subkey(root, b"gear"), index: subkey(root, b"index") }
    }

    /// The domain's name.
    pub const fn id(&self) -> DomainId {
        self.id
    }

    /// What ids of chunks and frames of the classes `data` and `meta` come from.
    pub const fn ids(&self) -> &IdKeys {
        &self.ids
    }

    /// What the gear table is drawn from.
    pub const fn gear(&self) -> &[u8; 32] {
        self.gear.as_bytes()
    }

    /// What seals the things that a writer must read again: segments, pins, trailers, the open part of a manifest.
    pub const fn index(&self) -> &SealKey {
        &self.index
    }
}

/// The root of a run's class `secret`: stands in for the domain, so that nothing in the repository can be compared with a guess.
pub struct SecretRoot {
    root: SealKey,
    ids: IdKeys,
    content: SealKey,
}

impl SecretRoot {
    /// A new random root.
    pub fn generate() -> Self {
        Self::from_bytes(random())
    }

    /// The root with these bytes, found in a frame.
    pub fn from_bytes(root: [u8; 32]) -> Self {
        Self { ids: IdKeys::derive(&root), content: subkey(&root, b"content"), root: SealKey::from_bytes(root) }
    }

    /// The bytes that stand in a frame.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.root.as_bytes()
    }

    /// What ids of chunks and frames come from.
    pub const fn ids(&self) -> &IdKeys {
        &self.ids
    }

    /// A hasher for the content hash of a stream.
    pub fn content_hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(self.content.as_bytes())
    }
}

fn subkey(root: &[u8; 32], name: &[u8]) -> SealKey {
    SealKey::from_bytes(keyed(root, &[name]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A new field doesn't compile before it stands here.
    #[test]
    fn every_key_is_wiped() {
        use crate::repo::keys::secrecy::wiped;
        let root = DomainRoot::derive(&[7; 32], DomainId::SHARED);
        wiped(&root);
        let DomainKeys { id: _, ids: IdKeys { chunk, frame }, gear, index } =
            DomainKeys::derive(DomainId::SHARED, &root);
        [chunk, frame, gear, index].iter().for_each(wiped);
        let SecretRoot { root, ids: IdKeys { chunk, frame }, content } = SecretRoot::generate();
        [root, chunk, frame, content].iter().for_each(wiped);
    }

    #[test]
    fn every_key_of_every_root_is_another() {
        let mut seen = HashSet::new();
        for (master, domain) in [(1, 1), (1, 2), (2, 1)] {
            let keys = DomainKeys::derive(
                DomainId::from_bytes([domain; 16]),
                &DomainRoot::derive(&[master; 32], DomainId::from_bytes([domain; 16])),
            );
            let secret = SecretRoot::from_bytes([master * 2 + domain; 32]);
            for key in [keys.ids().chunk.as_bytes(), keys.ids().frame.as_bytes(), keys.gear(), keys.index().as_bytes()]
            {
                assert!(seen.insert(*key));
            }
            for key in [secret.ids().chunk.as_bytes(), secret.ids().frame.as_bytes(), secret.content.as_bytes()] {
                assert!(seen.insert(*key));
            }
        }
    }

    /// Written out once more by the letter of the specification.
    #[test]
    fn derivations_are_the_specified_ones() {
        let domain = DomainId::from_bytes([5; 16]);
        let root = DomainRoot::derive(&[4; 32], domain);
        let input = [[4; 32].as_slice(), &[5; 16]].concat();
        assert_eq!(
            root.0,
            blake3::Hasher::new_derive_key("nightsafe 1 domain root").update(&input).finalize().as_bytes()[..]
        );
        let keys = DomainKeys::derive(domain, &root);
        let chunk_key = blake3::keyed_hash(&root.0, b"chunk");
        assert_eq!(
            keys.ids().chunk_id(b"text").as_bytes()[..],
            blake3::keyed_hash(chunk_key.as_bytes(), b"text").as_bytes()[..16]
        );
        let frame_key = blake3::keyed_hash(&root.0, b"frame");
        assert_eq!(keys.ids().frame_id(b"t").as_bytes(), blake3::keyed_hash(frame_key.as_bytes(), b"t").as_bytes());
        assert_eq!(keys.gear(), blake3::keyed_hash(&root.0, b"gear").as_bytes());
        assert_eq!(keys.index().as_bytes(), blake3::keyed_hash(&root.0, b"index").as_bytes());
        let secret = SecretRoot::from_bytes(root.0);
        let content_key = blake3::keyed_hash(&root.0, b"content");
        assert_eq!(secret.content_hasher().update(b"x").finalize(), blake3::keyed_hash(content_key.as_bytes(), b"x"));
    }
}
