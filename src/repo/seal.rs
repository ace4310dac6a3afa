//! Sealing: authenticated encryption under keys that are used once (`docs/format.md`, section 1).
//!
//! Everything that is sealed goes one of two ways. [`Plain::seal`] and [`seal_salted`] draw a salt, derive a key from it and put
//! the salt in front, so the same key may seal any number of things. [`seal_once`] consumes its key. Neither takes a nonce: a key
//! that comes out of a fresh salt never meets a second plaintext, so the nonce is all zeros.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a salt.
pub const SALT_LEN: usize = 16;
/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;
/// How much longer the salted form is than what it seals.
pub const SALTED_OVERHEAD: usize = SALT_LEN + TAG_LEN;

/// Bytes that were not sealed by this key for this place, or were altered since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic: altered, or sealed for another place or by another key")]
pub struct NotAuthentic;

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// If the operating system has none to give: no key can be drawn then, and going on would seal under a guessable one.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(test)]
    if crate::repo::determined::fill(&mut bytes) {
        return bytes;
    }
    getrandom::fill(&mut bytes).expect("a seeded generator doesn't fail, and without one nothing may be sealed");
    bytes
}

/// 32 secret bytes that seal. They can't be printed, compared or cloned, and are wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random key.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key's bytes: handle them as what they are.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that `keyed(self; parts joined)` gives.
    #[must_use]
    pub fn derive(&self, parts: &[&[u8]]) -> Self {
        Self(keyed(&self.0, parts))
    }

    /// A second handle on the same key; not `Clone`, so that it shows where it happens.
    pub(crate) const fn duplicate(&self) -> Self {
        Self(self.0)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&self.0).into())
    }
}

/// BLAKE3 in keyed mode over the joined `parts`.
pub fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let hash = *hasher.finalize().as_bytes();
    hasher.zeroize();
    hash
}

/// A plaintext in the making, with room for the salt before it: it is sealed where it stands, without being copied.
///
/// The buffer is not wiped: what goes through here is content, not keys.
pub struct Plain(Vec<u8>); // at least `SALT_LEN` long, always

impl Plain {
    /// An empty plaintext; `length` more bytes and the tag fit without another allocation.
    pub fn with_capacity(length: usize) -> Self {
        Self::reusing(Vec::with_capacity(length.saturating_add(SALTED_OVERHEAD)))
    }

    /// An empty plaintext in an old buffer.
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(SALT_LEN, 0);
        Self(buffer)
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn push(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Appends `by` zeros and gives them to be written over; [`Self::truncate`] takes back what wasn't needed.
    pub fn grow(&mut self, by: usize) -> &mut [u8] {
        let start = self.0.len();
        self.0.resize(start + by, 0);
        &mut self.0[start..]
    }

    /// Keeps the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(SALT_LEN + length);
    }

    /// Bytes so far.
    pub const fn len(&self) -> usize {
        self.0.len() - SALT_LEN
    }

    /// Whether there are none yet.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The plaintext so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.0[SALT_LEN..]
    }

    /// salt ‖ `aead(keyed(key; label ‖ salt); aad; plaintext)`, in the same buffer. The parts of `aad` are joined.
    ///
    /// # Panics
    /// Never: the cipher takes 256 GiB, more than any buffer here.
    pub fn seal(self, key: &SealKey, label: &[u8], aad: &[&[u8]]) -> Vec<u8> {
        let mut buffer = self.0;
        let salt: [u8; SALT_LEN] = random();
        let (room, plaintext) = buffer.split_at_mut(SALT_LEN);
        room.copy_from_slice(&salt);
        let tag = key
            .derive(&[label, &salt])
            .cipher()
            .encrypt_inout_detached(&Nonce::default(), &aad.concat(), plaintext.into())
            .expect("a buffer is shorter than the cipher's limit of 256 GiB");
        buffer.extend_from_slice(&tag);
        buffer
    }
}

impl std::io::Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// salt ‖ `aead(keyed(key; label ‖ salt); aad; plaintext)`; see [`Plain::seal`], which doesn't copy.
pub fn seal_salted(key: &SealKey, label: &[u8], aad: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
    let mut plain = Plain::with_capacity(plaintext.len());
    plain.extend_from_slice(plaintext);
    plain.seal(key, label, aad)
}

/// What [`seal_salted`] sealed.
pub fn open_salted(key: &SealKey, label: &[u8], aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
    let (salt, sealed) = sealed.split_first_chunk::<SALT_LEN>().ok_or(NotAuthentic)?;
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(NotAuthentic)?;
    let mut plaintext = ciphertext.to_vec();
    open_detached(&key.derive(&[label, salt]), &aad.concat(), &mut plaintext, tag)?;
    Ok(plaintext)
}

/// What [`seal_salted`] sealed, decrypted where it stands; after an error `sealed` holds nothing of use.
pub fn open_salted_in_place<'a>(
    key: &SealKey,
    label: &[u8],
    aad: &[&[u8]],
    sealed: &'a mut [u8],
) -> Result<&'a mut [u8], NotAuthentic> {
    let (salt, sealed) = sealed.split_first_chunk_mut::<SALT_LEN>().ok_or(NotAuthentic)?;
    let (plaintext, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(NotAuthentic)?;
    open_detached(&key.derive(&[label, salt]), &aad.concat(), plaintext, tag)?;
    Ok(plaintext)
}

/// `aead(key; aad; plaintext)`, consuming the key because nothing else may be sealed by it.
///
/// # Panics
/// Never: the cipher takes 256 GiB, more than any slice here.
#[expect(clippy::needless_pass_by_value, reason = "a key without a salt is used once, so it is taken away")]
pub fn seal_once(key: SealKey, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plaintext.len() + TAG_LEN);
    sealed.extend_from_slice(plaintext);
    let tag = key
        .cipher()
        .encrypt_inout_detached(&Nonce::default(), aad, sealed.as_mut_slice().into())
        .expect("a slice is shorter than the cipher's limit of 256 GiB");
    sealed.extend_from_slice(&tag);
    sealed
}

/// What [`seal_once`] sealed; wiped when dropped, since only keys are sealed like that.
pub fn open_once(key: &SealKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(NotAuthentic)?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    open_detached(key, aad, &mut plaintext, tag)?;
    Ok(plaintext)
}

fn open_detached(key: &SealKey, aad: &[u8], buffer: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), NotAuthentic> {
    let tag = Tag::from(*tag);
    key.cipher().decrypt_inout_detached(&Nonce::default(), aad, buffer.into(), &tag).map_err(|_| NotAuthentic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: SealKey = SealKey::from_bytes([7; 32]);

    proptest! {
        #[test]
        fn all_ways_of_sealing_open(plaintext: Vec<u8>, aad: Vec<u8>, at in 0..=32usize) {
            let sealed = seal_salted(&KEY, b"test", &[&aad], &plaintext);
            prop_assert_eq!(sealed.len(), plaintext.len() + SALTED_OVERHEAD);
            prop_assert_eq!(open_salted(&KEY, b"test", &[&aad], &sealed), Ok(plaintext.clone()));
            let (a, b) = aad.split_at(at.min(aad.len()));
            prop_assert_eq!(open_salted_in_place(&KEY, b"test", &[a, b], &mut sealed.clone()).map(|p| p.to_vec()), Ok(plaintext.clone()));
            let once = seal_once(SealKey::from_bytes([8; 32]), &aad, &plaintext);
            prop_assert_eq!(open_once(&SealKey::from_bytes([8; 32]), &aad, &once).map(|p| p.to_vec()), Ok(plaintext));
        }

        #[test]
        fn a_plaintext_is_built_as_a_vector_is(steps: Vec<(u8, Vec<u8>)>) {
            let (mut plain, mut model) = (Plain::reusing(vec![1; 99]), Vec::new());
            for (way, bytes) in steps {
                match way % 4 {
                    0 => { plain.extend_from_slice(&bytes); model.extend_from_slice(&bytes); }
                    1 => { plain.push(way); model.push(way); }
                    2 => { plain.grow(bytes.len()).copy_from_slice(&bytes); model.extend_from_slice(&bytes); }
                    _ => { plain.truncate(bytes.len()); model.truncate(bytes.len()); }
                }
                prop_assert_eq!(plain.as_slice(), &model[..]);
                prop_assert_eq!(plain.len(), model.len());
            }
            prop_assert_eq!(open_salted(&KEY, b"x", &[], &plain.seal(&KEY, b"x", &[])), Ok(model));
        }
    }

    #[test]
    fn every_altered_bit_and_every_other_place_is_refused() {
        let sealed = seal_salted(&KEY, b"test", &[b"here"], b"words");
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_salted(&KEY, b"test", &[b"here"], &bytes), Err(NotAuthentic), "bit {bit}");
            assert_eq!(open_salted_in_place(&KEY, b"test", &[b"here"], &mut bytes), Err(NotAuthentic), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(open_salted(&KEY, b"test", &[b"here"], &sealed[..length]), Err(NotAuthentic), "{length}");
        }
        assert_eq!(open_salted(&KEY, b"test", &[b"there"], &sealed), Err(NotAuthentic));
        assert_eq!(open_salted(&KEY, b"text", &[b"here"], &sealed), Err(NotAuthentic));
        assert_eq!(open_salted(&SealKey::from_bytes([8; 32]), b"test", &[b"here"], &sealed), Err(NotAuthentic));
    }

    #[test]
    fn equal_plaintexts_seal_differently() {
        assert_ne!(seal_salted(&KEY, b"test", &[], b"words"), seal_salted(&KEY, b"test", &[], b"words"));
    }

    /// ChaCha20-Poly1305 of nothing under the zero key and nonce, with the tag computed by hand: Poly1305 of the length block
    /// under the first 32 bytes of RFC 8439's test vector 1 (section 2.3.2's block function with a zero key, counter 0).
    #[test]
    fn the_one_time_key_is_rfc_8439s() {
        // Zero lengths make one zero block with its high bit set: tag = (r * 2^128 mod p + s) mod 2^128.
        let block: [u8; 32] = [
            0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28, 0xbd, 0xd2,
            0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc, 0x8b, 0x77, 0x0d, 0xc7,
        ];
        let mut r = u128::from_le_bytes(block[..16].try_into().unwrap());
        r &= 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        // r·2^128 = (r·2^130)/4; r is a sum of 4·high + low with low < 4, and 2^130 ≡ 5 (mod p).
        let high = r >> 2;
        // So r·2^128 ≡ 5·high + low·2^128, which is below p, and low·2^128 is beyond the tag's 128 bits.
        let sum = (5 * high).wrapping_add(u128::from_le_bytes(block[16..].try_into().unwrap()));
        assert_eq!(seal_once(SealKey::from_bytes([0; 32]), b"", b""), sum.to_le_bytes());
    }
}
