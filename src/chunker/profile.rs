//! How long the chunks of a stream are: recorded constants of the format (`docs/format.md`, section 5).

use fastcdc::v2020::{Normalization, select_masks};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

/// Minimum, average and maximum length of chunks.
///
/// Fine chunks find what changed in database text, coarse ones keep the number of chunks of large files low. The sizes
/// rest on measurements of a real series of dumps: at 4 KiB a night added 28 MB, at 64 KiB 93 MB, at 1 MiB 303 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// What of database text isn't cut by its rows.
    Text4k,
    /// Other files below 256 MiB.
    Opaque64k,
    /// Other files below 4 GiB, or of unknown size.
    Opaque256k,
    /// Larger files.
    Opaque1m,
    /// Directories and lists.
    Meta,
}

/// The masks that the rolling hash is tested with: a boundary lies where all their bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    /// Up to the average length: one bit more, so that boundaries are rarer.
    pub(super) strict: u64,
    /// Beyond it: one bit fewer.
    pub(super) loose: u64,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 5] = [Self::Text4k, Self::Opaque64k, Self::Opaque256k, Self::Opaque1m, Self::Meta];

    /// The profile for a file of `size` bytes; `None` where the size isn't known beforehand.
    pub const fn for_opaque(size: Option<u64>) -> Self {
        match size {
            Some(size) if size < GIB / 4 => Self::Opaque64k,
            Some(size) if size >= 4 * GIB => Self::Opaque1m,
            Some(_) | None => Self::Opaque256k,
        }
    }

    /// The name of the profile in the format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text4k => "text-4k",
            Self::Opaque64k => "opaque-64k",
            Self::Opaque256k => "opaque-256k",
            Self::Opaque1m => "opaque-1m",
            Self::Meta => "meta",
        }
    }

    /// The shortest chunk, in bytes; only the last one of a stream may be shorter.
    pub const fn min(self) -> usize {
        self.average() / 4
    }

    /// The average that chunks of random bytes come near to, in bytes.
    pub const fn average(self) -> usize {
        match self {
            Self::Text4k => 4 * KIB,
            Self::Meta => 8 * KIB,
            Self::Opaque64k => 64 * KIB,
            Self::Opaque256k => 256 * KIB,
            Self::Opaque1m => MIB,
        }
    }

    /// The longest chunk, in bytes.
    pub const fn max(self) -> usize {
        match self {
            Self::Meta => 64 * KIB,
            other => other.average() * 4,
        }
    }

    /// The masks of normalisation level 1; the higher levels were worse at every size.
    pub(super) fn masks(self) -> Masks {
        let (strict, loose) = select_masks(self.average(), Normalization::Level1);
        Masks { strict, loose }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastcdc::v2020;

    #[test]
    fn profiles_are_those_of_the_format() {
        let rows: Vec<_> = Profile::ALL
            .iter()
            .map(|p| format!("{} {} {} {}", p.name(), p.min() / KIB, p.average() / KIB, p.max() / KIB))
            .collect();
        let format = [
            "text-4k 1 4 16",
            "opaque-64k 16 64 256",
            "opaque-256k 64 256 1024",
            "opaque-1m 256 1024 4096",
            "meta 2 8 64",
        ];
        assert_eq!(rows, format);
    }

    #[test]
    fn sizes_are_within_what_the_algorithm_allows() {
        for profile in Profile::ALL {
            let (min, average, max) = (profile.min(), profile.average(), profile.max());
            assert!((v2020::MINIMUM_MIN..=v2020::MINIMUM_MAX).contains(&min));
            assert!((v2020::AVERAGE_MIN..=v2020::AVERAGE_MAX).contains(&average));
            assert!((v2020::MAXIMUM_MIN..=v2020::MAXIMUM_MAX).contains(&max));
            assert!(min < average && average < max);
            assert!(average.is_power_of_two(), "so that the choice of masks doesn't hang on rounding");
            let bits = average.ilog2();
            let masks = profile.masks();
            assert_eq!((masks.strict.count_ones(), masks.loose.count_ones()), (bits + 1, bits - 1), "{profile:?}");
            assert!(masks.strict.leading_zeros() > 0, "shifting it left loses nothing");
        }
    }

    #[test]
    fn sizes_choose_profiles() {
        assert_eq!(Profile::for_opaque(Some(GIB / 4 - 1)), Profile::Opaque64k);
        assert_eq!(Profile::for_opaque(Some(GIB / 4)), Profile::Opaque256k);
        assert_eq!(Profile::for_opaque(None), Profile::Opaque256k);
        assert_eq!(Profile::for_opaque(Some(4 * GIB)), Profile::Opaque1m);
        assert_eq!(Profile::for_opaque(Some(u64::MAX)), Profile::Opaque1m);
    }
}
