//! The features that a record can't be used without (`docs/format.md`, section 1: field `0 needs`).

use crate::repo::cbor;
use crate::repo::codec::Malformed;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Names of features; format 1 defines none, so what is written here is always empty, which is written as an absent field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs(Vec<String>);

impl Needs {
    /// No feature is needed.
    pub const NONE: Self = Self(Vec::new());
}

/// A record that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// It isn't what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is, but must not be used by who doesn't know this feature.
    #[error("needs the feature {0:?}, which this nightsafe doesn't know")]
    Unknown(String),
}

/// Only the field that says what the others need.
#[derive(Decode)]
#[cbor(map)]
struct OnlyNeeds {
    #[n(0)]
    needs: Needs,
}

/// The record that `bytes` hold, strictly, unless it needs what isn't known: then its other fields aren't looked at.
pub fn decode<'b, T: Decode<'b, ()>>(what: &'static str, bytes: &'b [u8]) -> Result<T, NeedsError> {
    let OnlyNeeds { needs } = cbor::decode(what, bytes)?;
    match needs.0.into_iter().next() {
        Some(feature) => Err(NeedsError::Unknown(feature)),
        None => Ok(cbor::decode(what, bytes)?),
    }
}

impl<C> Encode<C> for Needs {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }

    fn is_nil(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b, C> Decode<'b, C> for Needs {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Vec::decode(d, ctx).map(Self)
    }

    fn nil() -> Option<Self> {
        Some(Self::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        needs: Needs,
        #[n(1)]
        number: u64,
    }

    #[test]
    fn absent_and_empty_are_the_same_and_anything_else_is_refused() {
        let sample = Sample { needs: Needs::NONE, number: 3 };
        assert_eq!(cbor::encode(&sample), [0xa1, 1, 3]);
        assert_eq!(decode("sample", &[0xa1, 1, 3]), Ok(Sample { needs: Needs::NONE, number: 3 }));
        assert_eq!(decode("sample", &[0xa2, 0, 0x80, 1, 3]), Ok(sample));
        // The number is a text here: what a future feature changes isn't reported as damage.
        let unknown = decode::<Sample>("sample", &[0xa2, 0, 0x81, 0x61, b'x', 1, 0x61, b'y']);
        assert_eq!(unknown, Err(NeedsError::Unknown("x".to_owned())));
        assert_eq!(decode::<Sample>("sample", &[0xa2, 0, 5, 1, 3]), Err(Malformed("sample").into()));
    }
}
