//! What a snapshot leaves out on purpose, as rules (`docs/format.md`, section 8).

use crate::repo::cbor;
use crate::snapshot::tree::path::SafePath;
use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};

/// What was left out below a root. A restore that deletes what a snapshot lacks spares what matches.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exclusion {
    /// The root, as it is stored; in each directory the rules of the innermost root count.
    #[n(0)]
    pub root: SafePath,
    /// Patterns as in `.gitignore`, matched against paths relative to the root; the last that matches decides.
    #[n(1)]
    pub patterns: Vec<String>,
    /// Files of more bytes than this.
    #[n(2)]
    pub larger_than: Option<u64>,
    /// What is in directories that hold one of these.
    #[n(3)]
    pub markers: Vec<ExclusionMarker>,
}

/// A file that marks a directory whose content is left out.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct ExclusionMarker {
    /// Its name.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// What it begins with; empty if that doesn't matter.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub begins: Vec<u8>,
}

impl<'b, C> Decode<'b, C> for ExclusionMarker {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 2)?;
        Ok(Self { name: d.bytes()?.to_vec(), begins: d.bytes()?.to_vec() })
    }
}
