//! Makes what a thread does repeatable, for the simulation (`snapshot::simulation`): in tests only, and only where a test asks for it.
//!
//! A thread that began so draws its random words from a seed, and so do the threads that it starts; and it counts one core, so that no two of its threads call the store at
//! once. Everything else, tests included, has the operating system's randomness: a program that seals must not have a switch for another.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on what this thread does depends on `seed`; `None`: on chance again.
pub(crate) fn begin(seed: Option<u64>) {
    STATE.set(seed);
}

/// Whether this thread's doing is repeatable.
pub(crate) fn is_on() -> bool {
    STATE.get().is_some()
}

/// The next random number of this thread (`SplitMix64`); `None`: ask the operating system.
pub(crate) fn next() -> Option<u64> {
    let state = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(state));
    Some(mix(state))
}

/// Fills `bytes`, if this thread's doing is repeatable.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    for part in bytes.chunks_mut(8) {
        let Some(next) = next() else { return false };
        part.copy_from_slice(&next.to_le_bytes()[..part.len()]);
    }
    true
}

/// Spreads a number over all bits.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The generator for those who want one: from the seed, or the operating system's.
pub(crate) struct Words;

impl hpke::rand_core::TryRng for Words {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(crate::repo::seal::random()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(crate::repo::seal::random()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for part in bytes.chunks_mut(8) {
            let word: [u8; 8] = crate::repo::seal::random();
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Words {}
