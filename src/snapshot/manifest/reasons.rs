//! Why compression wasn't undone, counted.

use crate::chunker::expand::Left;
use minicbor::{Decode, Encode};

/// Containers in which something stays compressed, by the reason; one with several counts for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Reasons {
    /// See [`Left::Damaged`].
    #[cbor(n(0), default, skip_if = "is_zero")]
    pub damaged: u64,
    /// See [`Left::Truncated`].
    #[cbor(n(1), default, skip_if = "is_zero")]
    pub truncated: u64,
    /// See [`Left::OtherEncoder`].
    #[cbor(n(2), default, skip_if = "is_zero")]
    pub other_encoder: u64,
    /// See [`Left::Differs`].
    #[cbor(n(3), default, skip_if = "is_zero")]
    pub differs: u64,
    /// See [`Left::NoGain`].
    #[cbor(n(4), default, skip_if = "is_zero")]
    pub no_gain: u64,
    /// See [`Left::Bomb`].
    #[cbor(n(5), default, skip_if = "is_zero")]
    pub bomb: u64,
    /// See [`Left::TooDeep`].
    #[cbor(n(6), default, skip_if = "is_zero")]
    pub too_deep: u64,
    /// See [`Left::Unsupported`].
    #[cbor(n(7), default, skip_if = "is_zero")]
    pub unsupported: u64,
    /// See [`Left::Misfit`].
    #[cbor(n(8), default, skip_if = "is_zero")]
    pub misfit: u64,
}

impl Reasons {
    /// Counts a container with these.
    pub fn count<'l>(&mut self, reasons: impl IntoIterator<Item = &'l Left>) {
        for reason in reasons {
            *match reason {
                Left::Damaged => &mut self.damaged,
                Left::Truncated => &mut self.truncated,
                Left::OtherEncoder => &mut self.other_encoder,
                Left::Differs => &mut self.differs,
                Left::NoGain => &mut self.no_gain,
                Left::Bomb => &mut self.bomb,
                Left::TooDeep => &mut self.too_deep,
                Left::Unsupported => &mut self.unsupported,
                Left::Misfit => &mut self.misfit,
            } += 1;
        }
    }

    /// Each that there is, with its count.
    pub fn all(&self) -> impl Iterator<Item = (Left, u64)> {
        [
            (Left::Damaged, self.damaged),
            (Left::Truncated, self.truncated),
            (Left::OtherEncoder, self.other_encoder),
            (Left::Differs, self.differs),
            (Left::NoGain, self.no_gain),
            (Left::Bomb, self.bomb),
            (Left::TooDeep, self.too_deep),
            (Left::Unsupported, self.unsupported),
            (Left::Misfit, self.misfit),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as minicbor calls it")]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;

    const ALL: [Left; 9] = [
        Left::Damaged,
        Left::Truncated,
        Left::OtherEncoder,
        Left::Differs,
        Left::NoGain,
        Left::Bomb,
        Left::TooDeep,
        Left::Unsupported,
        Left::Misfit,
    ];

    #[test]
    fn each_is_counted_for_itself() {
        let mut reasons = Reasons::default();
        assert!(reasons.is_none() && cbor::encode(&reasons) == [0xa0]);
        for (times, reason) in (1..).zip(&ALL) {
            (0..times).for_each(|_| reasons.count([reason]));
        }
        assert_eq!(reasons.all().collect::<Vec<_>>(), ALL.into_iter().zip(1..).collect::<Vec<_>>());
        let bytes = cbor::encode(&reasons);
        assert_eq!(bytes, [&[0xa9][..], &(0..9).flat_map(|n| [n, n + 1]).collect::<Vec<_>>()].concat());
        assert_eq!(cbor::decode::<Reasons>("reasons", &bytes).unwrap(), reasons);
        let few = Reasons { bomb: 3, ..Reasons::default() };
        assert_eq!(cbor::decode::<Reasons>("reasons", &[0xa1, 5, 3]).unwrap(), few);
        assert_eq!(few.all().collect::<Vec<_>>(), [(Left::Bomb, 3)]);
    }
}
