//! The reserve: an object of random bytes that is given up when the storage is full, since a prune has to write a little before it can delete.

use crate::repo::gc::error::GcError;
use crate::repo::seal;
use crate::repo::store::{Store, StoreError, StoreErrorKind};
use bytes::Bytes;

/// The object; readers ignore it.
pub const KEY: &str = "reserve";
/// Its length in bytes: room for canaries and the record of a prune.
const LENGTH: usize = 1 << 20;

/// Removes the reserve.
pub fn give_up(store: &dyn Store) -> Result<(), GcError> {
    Ok(store.delete(KEY)?)
}

/// Puts an object without which room can't be made; if there is none for it, the reserve is given up.
pub fn put(store: &dyn Store, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
    match store.put(key, bytes) {
        Err(error) if error.kind == StoreErrorKind::Full => {
            store.delete(KEY)?;
            store.put(key, bytes)
        }
        other => other,
    }
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
