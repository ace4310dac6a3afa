//! Where the next boundary is: FastCDC 2020 over a slice.

use crate::chunker::{Gear, Profile};
use fastcdc::v2020::cut_gear;

/// The length of the first chunk of `bytes`: 0 only if there are none.
///
/// `bytes` must hold at least [`Profile::max`] bytes of the stream, or all that is left of it; what lies beyond the
/// maximum has no influence.
pub fn cut(gear: &Gear, profile: Profile, bytes: &[u8]) -> usize {
    let masks = profile.masks();
    let (_hash, length) = cut_gear(
        bytes,
        profile.min(),
        profile.average(),
        profile.max(),
        masks.strict,
        masks.loose,
        masks.strict << 1,
        masks.loose << 1,
        gear.plain(),
        gear.shifted(),
    );
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that never change: BLAKE3's output for `seed`.
    fn generated(seed: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(seed).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The lengths of the chunks of `bytes`.
    fn lengths(gear: &Gear, profile: Profile, mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = cut(gear, profile, bytes);
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    /// The algorithm as the paper has it: one byte at a time.
    fn naive(gear: &Gear, profile: Profile, bytes: &[u8]) -> usize {
        if bytes.len() <= profile.min() {
            return bytes.len();
        }
        let end = bytes.len().min(profile.max());
        let center = end.min(profile.average());
        let masks = profile.masks();
        let mut hash = 0u64;
        // An odd last byte is never a boundary: the crate looks at bytes in pairs.
        for (i, byte) in bytes.iter().enumerate().take(end & !1).skip(profile.min()) {
            hash = (hash << 1).wrapping_add(gear.plain()[usize::from(*byte)]);
            // The pair that holds an odd centre belongs to the second part.
            let mask = if i < center & !1 { masks.strict } else { masks.loose };
            if hash & mask == 0 {
                return i;
            }
        }
        end
    }

    proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            #[test]
            fn agrees_with_the_paper(seed: u64, key: u8, length in 0usize..80_000, profile in prop::sample::select(vec![Profile::Text4k, Profile::Meta, Profile::Opaque64k])) {
                let (bytes, gear) = (generated(&seed.to_le_bytes(), length), Gear::new(&[key; 32]));
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let length = cut(&gear, profile, rest);
                    prop_assert_eq!(length, naive(&gear, profile, rest));
                    prop_assert_eq!(length, cut(&gear, profile, &rest[..rest.len().min(profile.max())]));
                    rest = &rest[length..];
                }
            }

            #[test]
            fn lengths_keep_their_bounds(seed: u64, letters in 1u8..=255, length in 0usize..200_000, profile in prop::sample::select(Profile::ALL.to_vec())) {
                let mut bytes = generated(&seed.to_le_bytes(), length);
                for byte in &mut bytes {
     *byte %= letters;
    }
                let lengths = lengths(&Gear::new(&[1; 32]), profile, &bytes);
                prop_assert_eq!(lengths.iter().sum::<usize>(), length);
                if let Some((last, others)) = lengths.split_last() {
                    prop_assert!((1..=profile.max()).contains(last));
                    prop_assert!(others.iter().all(|length| (profile.min()..=profile.max()).contains(length)));
                }
            }
        }

    #[test]
    fn nothing_has_no_chunk() {
        assert_eq!(cut(&Gear::new(&[0; 32]), Profile::Meta, b""), 0);
    }

    /// Pins the algorithm: if this fails, every repository would store all its data once more.
    #[test]
    fn boundaries_never_change() {
        let gear = Gear::new(&[7; 32]);
        let bytes = generated(b"golden", 32 << 20);
        // Name, number of chunks, the first lengths, and the hash of all lengths.
        let found = Profile::ALL.map(|profile| {
            let lengths = lengths(&gear, profile, &bytes);
            let all: Vec<u8> = lengths.iter().flat_map(|&n| u32::try_from(n).unwrap().to_le_bytes()).collect();
            let hash = blake3::hash(&all).to_hex();
            format!("{} {} {:?} {}", profile.name(), lengths.len(), &lengths[..3], &hash[..16])
        });
        let expected = [
            "text-4k 6802 [4993, 4188, 4831] ddfe2ecca0cf3df5",
            "opaque-64k 424 [81214, 21510, 26955] a93019ff687eb1d9",
            "opaque-256k 109 [102724, 139754, 305907] 211c77643c31b36c",
            "opaque-1m 26 [1058388, 430142, 1876926] 48de16bdc41a494d",
            "meta 3387 [9181, 14018, 9628] 918bd81cca54288a",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn inserted_bytes_change_few_chunks() {
        let gear = Gear::new(&[7; 32]);
        let old = generated(b"shift", 2 << 20);
        let mut new = old.clone();
        new.splice(1_000_000..1_000_000, *b"13 new bytes.");
        let chunks = |bytes: &[u8]| {
            let mut rest = bytes;
            lengths(&gear, Profile::Text4k, bytes)
                .into_iter()
                .map(|length| rest.split_off(..length).unwrap().to_vec())
                .collect::<std::collections::HashSet<_>>()
        };
        let (old, new) = (chunks(&old), chunks(&new));
        assert!(old.len() > 300);
        assert!(new.difference(&old).count() <= 4, "{} of {} chunks are new", new.difference(&old).count(), new.len());
    }

    #[test]
    fn keys_give_boundaries_of_their_own() {
        let bytes = generated(b"keys", 1 << 20);
        let ends = |key| {
            let lengths = lengths(&Gear::new(&[key; 32]), Profile::Text4k, &bytes);
            lengths
                .iter()
                .scan(0, |at, length| {
                    *at += length;
                    Some(*at)
                })
                .collect::<std::collections::HashSet<_>>()
        };
        let (one, other) = (ends(1), ends(2));
        assert!(one.len() > 150 && other.len() > 150);
        assert!(one.intersection(&other).count() < 10, "the end of the stream, and rare accidents");
    }
}
