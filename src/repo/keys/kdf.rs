//! From a passphrase or a key file to the key that wraps a bundle (`docs/format.md`, section 3, *Credentials*).

use super::key_file::KeyFile;
use super::passphrase::Passphrase;
use crate::repo::seal::SealKey;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

/// Context of the derivation from a key file.
const KEY_FILE_CONTEXT: &str = "nightsafe 1 key file";

/// Most memory of a derivation: 2 GiB (section 1, *Limits*).
const MAX_MEMORY_KIB: u32 = 2 << 20;
/// Most passes.
const MAX_PASSES: u32 = 64;
/// Most lanes.
const MAX_LANES: u32 = 64;
/// Least memory per lane that Argon2 is defined for (RFC 9106, section 3.1).
const MIN_MEMORY_KIB_PER_LANE: u32 = 8;

/// Parameters of Argon2id, within the limits of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A derivation that isn't done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// Beyond the limits of the format, or of Argon2 itself.
    #[error("Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is beyond the format's limits")]
    Limits {
        /// Memory asked for, in KiB.
        memory_kib: u32,
        /// Passes asked for.
        passes: u32,
        /// Lanes asked for.
        lanes: u32,
    },
    /// This machine doesn't have the memory.
    #[error("the passphrase needs {memory_kib} KiB of memory to be checked, which this machine doesn't give")]
    Memory {
        /// Memory asked for, in KiB.
        memory_kib: u32,
    },
}

impl KdfParams {
    /// RFC 9106's second recommendation (section 4): 64 MiB, 3 passes, 4 lanes; 0.14 s on a machine of 2025.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// 1 GiB, 3 passes, 4 lanes: some seconds.
    pub const STRONG: Self = Self { memory_kib: 1 << 20, passes: 3, lanes: 4 };

    /// These parameters, if they are within the limits.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, KdfError> {
        let enough = 1 <= passes && 1 <= lanes && MIN_MEMORY_KIB_PER_LANE.saturating_mul(lanes) <= memory_kib;
        if enough && memory_kib <= MAX_MEMORY_KIB && passes <= MAX_PASSES && lanes <= MAX_LANES {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(KdfError::Limits { memory_kib, passes, lanes })
        }
    }

    /// Memory in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }
}

impl Default for KdfParams {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// What comes out of a secret and a salt.
pub(super) struct Derived {
    /// Wraps the bundle.
    pub(super) key: SealKey,
    /// Stands in the credential: tells a wrong secret from damage, and keeps a ciphertext from opening under two keys.
    pub(super) commitment: [u8; 32],
}

impl Derived {
    fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut key, mut commitment) = ([0; 32], [0; 32]);
        key.copy_from_slice(&bytes[..32]);
        commitment.copy_from_slice(&bytes[32..]);
        let derived = Self { key: SealKey::from_bytes(key), commitment };
        key.zeroize();
        derived
    }

    /// Whether the commitment is `other`, in constant time.
    pub(super) fn is_committed_to(&self, other: &[u8; 32]) -> bool {
        blake3::Hash::from_bytes(self.commitment) == *other // blake3 compares hashes in constant time
    }
}

/// Derives from a passphrase, which takes what `params` say. The lanes run one after the other: in parallel they would bring in a
/// pool of threads for less than a tenth of a second.
pub(super) fn from_passphrase(
    passphrase: &Passphrase,
    salt: &[u8; 32],
    params: KdfParams,
) -> Result<Derived, KdfError> {
    let KdfParams { memory_kib, passes, lanes } = params;
    let limits = |_| KdfError::Limits { memory_kib, passes, lanes };
    let memory = |_| KdfError::Memory { memory_kib };
    let params = Params::new(memory_kib, passes, lanes, Some(64)).map_err(limits)?;
    let mut blocks: Vec<Block> = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(memory)?;
    blocks.resize(params.block_count(), Block::default());
    let mut bytes = Zeroizing::new([0; 64]);
    let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        passphrase.as_bytes(),
        salt,
        &mut *bytes,
        &mut blocks,
    );
    blocks.iter_mut().for_each(Zeroize::zeroize);
    // Of the errors of Argon2 only a passphrase of more than 4 GiB is left.
    result.map_err(limits).map(|()| Derived::from_bytes(&bytes))
}

/// Derives from a key file, which takes no time: its secret can't be guessed.
pub(super) fn from_key_file(key_file: &KeyFile, salt: &[u8; 32]) -> Derived {
    let mut hasher = blake3::Hasher::new_derive_key(KEY_FILE_CONTEXT);
    hasher.update(key_file.as_bytes()).update(salt);
    let mut bytes = Zeroizing::new([0; 64]);
    let mut reader = hasher.finalize_xof();
    reader.fill(&mut *bytes);
    reader.zeroize();
    hasher.zeroize();
    Derived::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::keys::testing::{hex, hex_of};

    #[test]
    fn parameters_beyond_the_limits_are_refused_before_anything_is_derived() {
        for (memory_kib, passes, lanes) in [
            (MAX_MEMORY_KIB + 1, 3, 4),
            (64 << 10, MAX_PASSES + 1, 4),
            (64 << 10, 3, MAX_LANES + 1),
            (u32::MAX, u32::MAX, u32::MAX),
            (64 << 10, 0, 4),
            (64 << 10, 3, 0),
            (31, 3, 4),
            (0, 0, 0),
        ] {
            let expected = Err(KdfError::Limits { memory_kib, passes, lanes });
            assert_eq!(KdfParams::new(memory_kib, passes, lanes), expected);
        }
        assert_eq!(KdfParams::new(MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES).map(KdfParams::memory_kib), Ok(2 << 20));
        for params in [KdfParams::STANDARD, KdfParams::STRONG, KdfParams { memory_kib: 8, passes: 1, lanes: 1 }] {
            assert_eq!(KdfParams::new(params.memory_kib, params.passes, params.lanes), Ok(params));
        }
    }

    #[test]
    fn the_default_is_rfc_9106s_second_recommendation() {
        assert_eq!(KdfParams::default(), KdfParams { memory_kib: 65_536, passes: 3, lanes: 4 });
    }

    #[test]
    fn a_passphrase_salt_and_parameters_each_matter() {
        let derive = |text: &str, salt: u8, memory_kib, passes, lanes| {
            let params = KdfParams::new(memory_kib, passes, lanes).unwrap();
            let derived = from_passphrase(&Passphrase::new(text).unwrap(), &[salt; 32], params).unwrap();
            (*derived.key.as_bytes(), derived.commitment)
        };
        let base = derive("words", 1, 64, 1, 1);
        assert_eq!(base, derive("words", 1, 64, 1, 1));
        assert_ne!(base.0, base.1);
        for other in [
            derive("Words", 1, 64, 1, 1),
            derive("words", 2, 64, 1, 1),
            derive("words", 1, 128, 1, 1),
            derive("words", 1, 64, 2, 1),
            derive("words", 1, 64, 1, 2),
        ] {
            assert!(base.0 != other.0 && base.1 != other.1);
        }
    }

    /// Argon2id as `argon2` of the reference implementation prints it:
    /// `printf words | argon2 00000000000000000000000000000000 -id -m 6 -t 2 -p 2 -l 64 -r`
    #[test]
    fn argon2id_is_the_reference_implementations() {
        let params = KdfParams::new(64, 2, 2).unwrap();
        let derived =
            from_passphrase(&Passphrase::new("words").unwrap(), b"00000000000000000000000000000000", params).unwrap();
        let expected = hex("6b26cbdfe10c5ccecd4732184e05c17c43095f03c97613a809c42b1830a8eb05\
             928fefa8e1edb234e7ada3939e267a5556d4d5cd6853f83dd8297a0e4f2f51d4");
        assert_eq!(hex_of(derived.key.as_bytes()) + &hex_of(&derived.commitment), hex_of(&expected));
    }
}
