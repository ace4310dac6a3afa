//! Whole objects as a store gives them, and a store key that they are found under: only what the keys' holders wrote is taken, byte by byte.

use super::input::Input;
use super::keys::{self, Vector};
use super::memory;
use nightsafe::repo::envelope::open_manifest;
use nightsafe::repo::format::{Kind, MARKER, key};
use nightsafe::repo::header::check_header;
use nightsafe::repo::keys::{Credential, KeyFile, ReadKeys, Secret};
use nightsafe::repo::pack::parse::{WholePack, claimed};
use nightsafe::repo::record::{Condemned, Note, Pins, RunRecord, Segment, Stop, Tombstone, open_record};
use nightsafe::repo::repository::marked_id;
use nightsafe::repo::store::Store;
use nightsafe::repo::store::memory::MemoryStore;
use std::sync::LazyLock;

/// Whatever is taken, with its key.
static SOUND: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let vectors = [
        include_str!("../../tests/data/vectors/keys/credential-full-key-file.vec"),
        include_str!("../../tests/data/vectors/keys/credential-host.vec"),
        include_str!("../../tests/data/vectors/keys/credential-sharing.vec"),
        include_str!("../../tests/data/vectors/keys/manifest-by-full.vec"),
        include_str!("../../tests/data/vectors/keys/manifest-by-host.vec"),
        include_str!("../../tests/data/vectors/keys/record-run.vec"),
        include_str!("../../tests/data/vectors/keys/record-run-by-full.vec"),
        include_str!("../../tests/data/vectors/keys/record-segment.vec"),
        include_str!("../../tests/data/vectors/keys/record-stop.vec"),
        include_str!("../../tests/data/vectors/keys/record-unknown-key.vec"),
    ];
    let vectors = vectors.map(Vector::parse);
    vectors.into_iter().map(|vector| (vector.get("key").to_owned(), vector.bytes)).collect()
});

static KEYS: LazyLock<ReadKeys> = LazyLock::new(|| keys::of_keys().full().1);

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let length = usize::from(input.byte());
    let Ok(store_key) = std::str::from_utf8(input.bytes(length)) else { return };
    let object = input.rest();
    let is_taken = memory::at_most((64 << 10) + 128 * object.len(), || open(store_key, object));
    if is_taken {
        assert!(SOUND.iter().any(|(key, bytes)| key == store_key && bytes == object), "{store_key}: {object:02x?}");
    }
}

/// Whether the object is taken under this key.
fn open(store_key: &str, object: &[u8]) -> bool {
    let keys = &*KEYS;
    let folder = store_key.find('/').map_or("", |at| &store_key[..=at]);
    match folder {
        key::RUNS => open_record::<RunRecord>(keys, store_key, object).is_ok(),
        key::PINS => open_record::<Pins>(keys, store_key, object).is_ok(),
        key::INDEX => open_record::<Segment>(keys, store_key, object).is_ok(),
        key::NOTES => open_record::<Note>(keys, store_key, object).is_ok(),
        key::STOPS => open_record::<Stop>(keys, store_key, object).is_ok(),
        key::FORGOTTEN => open_record::<Tombstone>(keys, store_key, object).is_ok(),
        key::GC => open_record::<Condemned>(keys, store_key, object).is_ok(),
        key::SNAPSHOTS => {
            let envelope = key::parse_run(folder, store_key).map(|run| open_manifest(keys, run, object));
            let envelope = envelope.and_then(Result::ok);
            envelope.is_some_and(|envelope| envelope.open_sealed_part(keys).is_ok())
        }
        key::CREDENTIALS => {
            let Ok(id) = store_key[folder.len()..].parse() else { return false };
            let Ok(credential) = Credential::parse(id, object) else { return false };
            // Key files only: a passphrase takes its time.
            let secret = Secret::KeyFile(KeyFile::from_bytes([1; 32]));
            let label = credential.label(keys);
            credential.open(&secret).is_ok() && label.is_ok()
        }
        key::PACKS => {
            let repository = keys.authority().repository();
            let pack = key::parse_pack(store_key);
            assert_eq!(claimed(object).is_some(), object.len() >= 140 && check_header(Kind::Pack, object).is_ok());
            pack.is_some_and(|pack| WholePack::new(pack, object, repository).is_ok())
        }
        _ if store_key == MARKER => {
            let store = MemoryStore::new();
            let id = store.put(MARKER, &object.to_vec().into()).ok().and_then(|()| marked_id(&store).ok());
            // It is JSON, which may be spelt in many ways.
            id.is_some_and(|id| !String::from_utf8_lossy(object).contains(&id.to_string()) && !object.contains(&b'\\'))
        }
        _ => false,
    }
}
