//! Bundles and labels, sealed here as a holder of the key file could seal them: what such a one can make a program believe.

use super::input::Input;
use super::keys;
use super::memory;
use nightsafe::repo::format::{Kind, key};
use nightsafe::repo::id::{CredentialId, RepositoryId};
use nightsafe::repo::keys::{Access, Credential, KeyFile, Opened, ReadKeys, Role, Secret};
use nightsafe::repo::seal::{SealKey, seal_once, seal_salted};
use std::sync::LazyLock;

/// The secret of the key file.
const SECRET: [u8; 32] = [1; 32];
const SALT: [u8; 32] = [5; 32];

struct Fixed {
    keys: ReadKeys,
    id: CredentialId,
    repository: RepositoryId,
    /// The key of the bundle, and the commitment to it.
    derived: [u8; 64],
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let (write, keys) = keys::of_keys().full();
    let mut derived = [0; 64];
    let mut hasher = blake3::Hasher::new_derive_key("nightsafe 1 key file");
    hasher.update(&SECRET).update(&SALT).finalize_xof().fill(&mut derived);
    Fixed { id: write.credential(), repository: write.repository(), keys, derived }
});

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let role = 1 + (input.byte() & 1);
    let length = usize::from(input.word());
    let bundle = input.bytes(length.min(1022));
    let label = input.rest();
    let object = sealed(role, bundle, &label[..label.len().min(238)]);
    memory::at_most(256 << 10, || {
        let credential = Credential::parse(FIXED.id, &object).expect("it has the form of one");
        let secret = Secret::KeyFile(KeyFile::from_bytes(SECRET));
        let label = credential.label(&FIXED.keys);
        let Ok(opened) = credential.open(&secret) else { return };
        let label = label.expect("it was read when the bundle was opened");
        assert!(label.text.len() + label.host.len() < 238);
        let (write, is_full) = match &opened {
            Opened::Full(write, _) => (write, true),
            Opened::WriteOnly(write) => (write, false),
        };
        assert_eq!(is_full, role == Role::Full.code());
        assert_eq!((write.role().code(), write.credential(), write.repository()), (role, FIXED.id, FIXED.repository));
    });
}

/// `u16` length, the bytes, zeros.
fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = u16::try_from(bytes.len()).unwrap_or_default().to_le_bytes().to_vec();
    padded.extend_from_slice(bytes);
    padded.resize(length, 0);
    padded
}

fn sealed(role: u8, bundle: &[u8], label: &[u8]) -> Vec<u8> {
    let Fixed { keys, id, repository, derived } = &*FIXED;
    let (key, commitment) = derived.split_at(32);
    let mut object = Kind::Credential.header().to_vec();
    object.extend_from_slice(&[2, role, 0, 0]);
    object.extend_from_slice(&[0; 12]);
    object.extend_from_slice(repository.as_bytes());
    object.extend_from_slice(id.as_bytes());
    object.extend_from_slice(&SALT);
    object.extend_from_slice(commitment);
    let key = SealKey::from_bytes(key.try_into().expect("32 bytes"));
    let bundle = seal_once(key, &object, &padded(bundle, 1024));
    let label = seal_salted(keys.common(), b"label", &[&object], &padded(label, 240));
    object.extend_from_slice(&bundle);
    object.extend_from_slice(&label);
    keys.sign_object(&key::credential(*id), object)
}
