use super::*;
use crate::repo::cbor::Time;
use crate::repo::keys::bundle::{Sharing, create_repository};
use crate::repo::keys::{KeyFile, Passphrase};
use crate::repo::store::Listed;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Objects in memory, and how often each was asked for.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    gets: Mutex<Vec<String>>,
    /// Gives back other bytes than were put.
    garbles: bool,
}

impl Memory {
    fn error(kind: StoreErrorKind, key: &str) -> StoreError {
        StoreError { kind, key: key.to_owned(), url: "memory:".to_owned(), source: None }
    }

    fn insert(&self, id: CredentialId, bytes: Vec<u8>) {
        self.objects.lock().unwrap().insert(key::credential(id), bytes.into());
    }

    fn ids(&self) -> Vec<CredentialId> {
        list(self).unwrap().into_iter().map(|found| found.id).collect()
    }
}

impl Store for Memory {
    fn url(&self) -> &'static str {
        "memory:"
    }
    fn connections(&self) -> usize {
        1
    }
    fn create_root(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let bytes = if self.garbles { bytes.slice(1..) } else { bytes.clone() };
        self.objects.lock().unwrap().insert(key.to_owned(), bytes);
        Ok(())
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.gets.lock().unwrap().push(key.to_owned());
        let objects = self.objects.lock().unwrap();
        let bytes = objects.get(key).ok_or_else(|| Self::error(StoreErrorKind::NotFound, key))?;
        if bytes.len() as u64 > limit { Err(Self::error(StoreErrorKind::TooLong, key)) } else { Ok(bytes.clone()) }
    }
    fn get_range(&self, key: &str, _: u64, _: u64) -> Result<Bytes, StoreError> {
        Err(Self::error(StoreErrorKind::Other, key))
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.objects.lock().unwrap().get(key).map(|bytes| bytes.len() as u64))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        for (key, bytes) in self.objects.lock().unwrap().iter().filter(|(key, _)| key.starts_with(prefix)) {
            each(Listed { key: key.clone(), length: bytes.len() as u64, modified: None });
        }
        Ok(())
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().remove(key);
        Ok(())
    }
}

fn quick() -> KdfParams {
    KdfParams::new(8, 1, 1).unwrap()
}

fn label() -> Label {
    Label { text: "one".to_owned(), created: Time::default(), host: "alpha".to_owned() }
}

fn passphrase(text: &str) -> Secret {
    Secret::Passphrase(Passphrase::new(text).unwrap())
}

fn key_file(n: u8) -> Secret {
    Secret::KeyFile(KeyFile::from_bytes([n; 32]))
}

fn add_full(store: &Memory, admin: &ReadKeys, secret: &Secret) -> CredentialId {
    add(store, admin, &admin.new_full(), secret, quick(), &label()).unwrap()
}

fn opened(store: &Memory, secret: &Secret, remembered: Option<CredentialId>) -> Option<CredentialId> {
    match open_any(store, secret, remembered, None) {
        Ok(Opened::Full(keys, _) | Opened::WriteOnly(keys)) => Some(keys.credential()),
        Err(RingError::WrongSecret { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn whichever_credential_fits_is_opened() {
    let (store, admin) = (Memory::default(), create_repository());
    let by_words = add_full(&store, &admin, &passphrase("words"));
    let by_file = add_full(&store, &admin, &key_file(1));
    let host = add(&store, &admin, &admin.new_write_only(Sharing::Alone), &key_file(2), quick(), &label()).unwrap();
    for remembered in [None, Some(by_words), Some(by_file), Some(admin.new_full().credential())] {
        assert_eq!(opened(&store, &passphrase("words"), remembered), Some(by_words));
        assert_eq!(opened(&store, &key_file(1), remembered), Some(by_file));
        assert_eq!(opened(&store, &key_file(2), remembered), Some(host));
        assert_eq!(opened(&store, &key_file(3), remembered), None);
        assert_eq!(opened(&store, &passphrase("other"), remembered), None);
    }
    store.gets.lock().unwrap().clear();
    assert_eq!(opened(&store, &passphrase("words"), Some(by_words)), Some(by_words));
    assert_eq!(*store.gets.lock().unwrap(), [key::credential(by_words)], "a remembered one costs one request");
}

#[test]
fn at_most_eight_passphrases_are_tried_and_the_remembered_one_is_among_them() {
    let (store, admin) = (Memory::default(), create_repository());
    for n in 0..11 {
        add_full(&store, &admin, &passphrase(&format!("words {n}")));
    }
    let Err(RingError::WrongSecret { untried }) = open_any(&store, &passphrase("other"), None, None) else {
        panic!("wrong")
    };
    assert_eq!(untried, 11 - MAX_PASSPHRASES_TRIED);
    let last = *store.ids().last().unwrap();
    let secret = (0..11).map(|n| passphrase(&format!("words {n}"))).find(|secret| {
        let object = get(&store, last).unwrap().unwrap().unwrap();
        object.open(secret).is_ok()
    });
    let secret = secret.unwrap();
    assert_eq!(opened(&store, &secret, None), None, "the last of eleven");
    assert_eq!(opened(&store, &secret, Some(last)), Some(last));
    for n in 0..30 {
        add_full(&store, &admin, &key_file(n));
    }
    assert!(opened(&store, &key_file(29), None).is_some(), "key files are all tried");
}

#[test]
fn damage_beside_a_credential_does_not_matter_and_damage_to_it_is_named() {
    let (store, admin) = (Memory::default(), create_repository());
    let secret = passphrase("words");
    assert!(matches!(open_any(&store, &secret, None, None), Err(RingError::NoCredentials)));
    let broken = admin.new_full().credential();
    store.insert(broken, b"rubbish".to_vec());
    store.objects.lock().unwrap().insert("credentials/readme.txt".to_owned(), Bytes::new());
    assert_eq!(store.ids(), [broken], "names that don't fit are ignored");
    let Err(RingError::Credential(error)) = open_any(&store, &secret, None, None) else {
        panic!("all there is is damaged")
    };
    assert_eq!(error.credential, broken);
    let id = add_full(&store, &admin, &secret);
    store.insert(broken, vec![0; Credential::LEN + 1]);
    assert_eq!(opened(&store, &secret, None), Some(id));
    assert_eq!(opened(&store, &passphrase("other"), None), None, "a wrong secret learns nothing of the damage");
    let mut bytes = store.objects.lock().unwrap()[&key::credential(id)].to_vec();
    bytes[200] ^= 1;
    store.insert(id, bytes);
    let Err(RingError::Credential(error)) = open_any(&store, &secret, None, None) else { panic!("it is damaged") };
    assert_eq!(error, CredentialError { credential: id, fault: Fault::Damaged });
    assert_eq!(opened(&store, &passphrase("other"), None), None, "a wrong secret learns nothing of the damage");
}

#[test]
fn the_last_full_credential_stays() {
    let (store, admin) = (Memory::default(), create_repository());
    let first = add_full(&store, &admin, &key_file(1));
    let host = add(&store, &admin, &admin.new_write_only(Sharing::Alone), &key_file(2), quick(), &label()).unwrap();
    // Neither rubbish, nor a forgery, nor a foreign repository's, nor a write-only one counts as another full one.
    store.insert(admin.new_full().credential(), b"rubbish".to_vec());
    let foreign = create_repository();
    add_full(&store, &foreign, &key_file(3));
    let forged = Credential::seal(&admin.new_full(), &foreign, &key_file(4), quick(), &label()).unwrap();
    store.insert(forged.id(), forged.as_bytes().to_vec());
    let stays = |id| matches!(remove(&store, &admin, id), Err(RingError::LastFull(refused)) if refused == id);
    assert!(stays(first));
    assert!(remove(&store, &admin, host).is_ok(), "a write-only one may go");
    assert_eq!(opened(&store, &key_file(2), None), None);
    assert!(matches!(remove(&store, &admin, host), Err(RingError::NotFound(id)) if id == host));
    let second = add_full(&store, &admin, &key_file(5));
    assert!(remove(&store, &admin, forged.id()).is_ok());
    assert!(remove(&store, &admin, first).is_ok());
    assert!(stays(second));
    assert_eq!(opened(&store, &key_file(5), None), Some(second));
    let mut bytes = store.objects.lock().unwrap()[&key::credential(second)].to_vec();
    bytes[1_300] ^= 1;
    store.insert(second, bytes);
    assert!(stays(second), "what is damaged may be mended");
}

#[test]
fn a_replaced_secret_opens_no_longer_and_the_new_one_does() {
    let (store, admin) = (Memory::default(), create_repository());
    let old = add_full(&store, &admin, &passphrase("old words"));
    let new = replace(&store, &admin, old, &passphrase("new words"), quick(), &label()).unwrap();
    assert_ne!(old, new);
    assert_eq!(opened(&store, &passphrase("old words"), Some(old)), None);
    assert_eq!(opened(&store, &passphrase("new words"), Some(old)), Some(new));
    assert_eq!(store.ids(), [new]);
    let gone = replace(&store, &admin, old, &passphrase("x"), quick(), &label());
    assert!(matches!(gone, Err(RingError::NotFound(id)) if id == old));
    let host = add(&store, &admin, &admin.new_write_only(Sharing::Alone), &key_file(2), quick(), &label()).unwrap();
    let refused = replace(&store, &admin, host, &key_file(3), quick(), &label());
    assert!(matches!(refused, Err(RingError::NotFull(id)) if id == host));
    assert_eq!(opened(&store, &key_file(2), None), Some(host));
}

#[test]
fn nothing_is_removed_before_the_new_one_was_read_again() {
    let (mut store, admin) = (Memory::default(), create_repository());
    let old = add_full(&store, &admin, &passphrase("old words"));
    store.garbles = true;
    let failed = replace(&store, &admin, old, &passphrase("new words"), quick(), &label());
    assert!(matches!(failed, Err(RingError::NotWritten(_))));
    assert_eq!(opened(&store, &passphrase("old words"), None), Some(old));
}

/// Two repositories were copied into one folder, and one secret opens both: which was opened hung on whose credential's id came first.
#[test]
fn of_two_repositories_in_one_place_the_expected_one_is_opened() {
    for _ in 0..8 {
        let (store, one, other) = (Memory::default(), create_repository(), create_repository());
        let ids = [&one, &other].map(|admin| (admin.authority().repository(), add_full(&store, admin, &key_file(1))));
        for (repository, credential) in ids {
            for remembered in [None, Some(ids[0].1), Some(ids[1].1)] {
                let Ok(Opened::Full(keys, _)) = open_any(&store, &key_file(1), remembered, Some(repository)) else {
                    panic!("it doesn't open");
                };
                assert_eq!((keys.repository(), keys.credential()), (repository, credential));
            }
        }
        // Where the one that is expected isn't there, what is there is better than nothing.
        let absent = RepositoryId::from_bytes([9; 16]);
        assert!(open_any(&store, &key_file(1), None, Some(absent)).is_ok());
    }
}
