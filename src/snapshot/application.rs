//! The keys of an application: fingerprints that tell two values apart and give neither away.
//!
//! A plain hash of a weak secret could be guessed from the manifest; this one needs the keys of the repository, too.

use crate::repo::envelope;
use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::RunId;
use crate::repo::keys::domain::DomainKeys;
use crate::repo::repository::{Full, Repo};
use zeroize::Zeroizing;

/// Context of the derivation of the key that fingerprints are made with.
const CONTEXT: &str = "nightsafe 1 key fingerprints";

/// What fingerprints of a domain's snapshots are made with.
pub fn fingerprint_key(domain: &DomainKeys) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(CONTEXT, domain.index().as_bytes()))
}

/// What the fingerprints in a snapshot were made with.
pub fn fingerprint_key_of(repo: &Repo<Full>, snapshot: RunId) -> Result<Zeroizing<[u8; 32]>, RepoError> {
    let name = key::snapshot(snapshot);
    let bytes = repo.store().get(&name, MAX_OBJECT)?;
    let opened = envelope::open_manifest(repo.read_keys(), snapshot, &bytes);
    let domain = opened.map_err(|why| RepoError::damaged(&name, why.fault))?.domain();
    Ok(fingerprint_key(&repo.read_keys().domain(domain)))
}

/// The fingerprint of a key: 16 bytes of its keyed BLAKE3. Where the key stood doesn't count: on another host that may be elsewhere.
pub fn fingerprint(key: &[u8; 32], value: &[u8]) -> [u8; 16] {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&blake3::keyed_hash(key, value).as_bytes()[..16]);
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_key_and_value() {
        let one = fingerprint(&[1; 32], b"x");
        assert_eq!(one, fingerprint(&[1; 32], b"x"));
        assert_eq!(one[..], blake3::keyed_hash(&[1; 32], b"x").as_bytes()[..16]);
        assert!(one != fingerprint(&[2; 32], b"x") && one != fingerprint(&[1; 32], b"y"));
    }
}
