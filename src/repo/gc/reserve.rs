//! The reserve: an object of random bytes that is given up when the storage is full, since a prune has to write a little before it can delete.

use crate::repo::gc::error::GcError;
use crate::repo::seal;
use crate::repo::store::Store;
use bytes::Bytes;

/// The object; readers ignore it.
pub const KEY: &str = "reserve";
/// Its length in bytes: room for canaries and the record of a prune.
const LENGTH: usize = 1 << 20;

/// Removes the reserve.
pub fn give_up(store: &dyn Store) -> Result<(), GcError> {
    Ok(store.delete(KEY)?)
}

/// Makes sure that there is a reserve, as far as there is room.
pub fn keep(store: &dyn Store) {
    // Without it the next prune on a full disk fails, which is no reason to fail now.
    if let Ok(None) = store.length(KEY) {
        let mut bytes = vec![0; LENGTH];
        blake3::Hasher::new_keyed(&seal::random()).finalize_xof().fill(&mut bytes);
        let _ = store.put(KEY, &Bytes::from(bytes));
    }
}
