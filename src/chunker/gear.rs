//! The gear table: drawn from a key, so that nobody without it can tell boundaries from contents.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Entries of a gear table: one for each value of a byte.
const ENTRIES: usize = 256;

/// The secret table of the rolling hash, and its twin that is shifted left by one.
///
/// The two are wiped when this is dropped. They live on the heap so that moving a `Gear` leaves no copy behind.
pub struct Gear {
    tables: Box<Tables>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Tables {
    plain: [u64; ENTRIES],
    shifted: [u64; ENTRIES],
}

impl Gear {
    /// The table of a domain's gear key.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut tables = Box::new(Tables { plain: [0; ENTRIES], shifted: [0; ENTRIES] });
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(b"gear table");
        let mut output = hasher.finalize_xof();
        let mut word = [0; 8];
        for (plain, shifted) in tables.plain.iter_mut().zip(&mut tables.shifted) {
            output.fill(&mut word);
            *plain = u64::from_le_bytes(word);
            *shifted = *plain << 1;
        }
        word.zeroize();
        output.zeroize();
        hasher.zeroize();
        Self { tables }
    }

    /// The table.
    pub(super) fn plain(&self) -> &[u64; ENTRIES] {
        &self.tables.plain
    }

    /// The table, each value shifted left by one.
    pub(super) fn shifted(&self) -> &[u64; ENTRIES] {
        &self.tables.shifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What boundaries lie at is secret, too.
    #[test]
    fn the_tables_are_wiped() {
        const fn wiped<T: ZeroizeOnDrop>(_: &T) {}
        let Gear { tables } = Gear::new(&[7; 32]);
        wiped(&*tables);
    }

    #[test]
    fn the_table_is_the_keyed_hash_in_order() {
        let key = [3; 32];
        let mut bytes = [0; 2048];
        blake3::Hasher::new_keyed(&key).update(b"gear table").finalize_xof().fill(&mut bytes);
        let gear = Gear::new(&key);
        for (i, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let value = u64::from_le_bytes(*word);
            assert_eq!(gear.plain()[i], value);
            assert_eq!(gear.shifted()[i], value.wrapping_mul(2));
        }
    }

    #[test]
    fn every_key_has_a_table_of_its_own() {
        assert_ne!(Gear::new(&[1; 32]).plain(), Gear::new(&[2; 32]).plain());
    }
}
