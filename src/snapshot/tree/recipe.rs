//! What a file that was expanded is rebuilt with (`docs/format.md`, sections 6 and 7).

use crate::snapshot::tree::reference::Reference;
use minicbor::{Decode, Encode};

/// Where a file's recipe is, and what the stream that is stored instead of the file is like.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Recipe {
    /// Bytes of the stream.
    #[n(0)]
    pub stream_bytes: u64,
    /// Its content hash.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub stream_hash: [u8; 32],
    /// Bytes of the recipe.
    #[n(2)]
    pub bytes: u64,
    /// Its content hash.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// The references of the recipe, if they are few.
    #[n(4)]
    pub references: Option<Vec<Reference>>,
    /// The references of the list of the recipe's references.
    #[n(5)]
    pub list: Option<Vec<Reference>>,
    /// Whether all compression was undone, so that the stream is the content of the innermost container: of a `pg_dump` archive the same without compression. Never if one of them is a ZIP, which holds many.
    #[cbor(n(6), with = "crate::repo::cbor::yes_or_no")]
    pub is_whole: bool,
}
