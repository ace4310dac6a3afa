//! Padmé: padding that hides most of a length at a cost of at most 12 %, about 1 % for packs.
//!
//! Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", `PoPETs` 2019, algorithm 1.

/// The length to which `length` bytes are padded.
pub const fn padded(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1u64 << (exponent - kept_bits)) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::padded;
    use proptest::prelude::*;

    #[test]
    fn values_of_the_paper() {
        assert_eq!([9, 10, 16, 17, 100, 1000].map(padded), [10, 10, 16, 18, 104, 1024]);
    }

    proptest! {
        #[test]
        fn grows_little_and_is_stable(length in 0u64..1 << 40) {
            let long = padded(length);
            prop_assert!(long >= length && long <= length + length / 8 + 1);
            prop_assert_eq!(padded(long), long);
        }
    }
}
