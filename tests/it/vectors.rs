//! Every vector in `tests/data/vectors/keys` has the outcome that it says.
//!
//! A vector is a text: the line `nightsafe vector 1`; lines `field: value`; an empty line; the bytes in hex, in lines of any
//! length. All have `about` (for people), `object` (what the bytes are), and `expect`: `accept`, or `reject: ` and the reason in a
//! word. The others:
//!
//! | object | given | expected when accepted |
//! | --- | --- | --- |
//! | `credential` | `key`: store key; `passphrase`: hex of what was typed, or `key-file`: its text | `role`, `label` |
//! | `record`, `manifest` | `key`; `with`: the credential vector whose secret opens it | `body` in hex, and `sealing-key`, which opens it by itself; `open` and `sealed` (absent: not asked for) in hex |
//! | `wrap` | `run`; `with` | `run-key` in hex |
//! | `key-file` | | `secret` in hex |
//! | `varint` | | `value` |
//!
//! All but those of other repositories belong to one repository. Malformed ones are sealed and signed like sound ones, wherever
//! they can be, so that it's the reason given that rejects them and not the seal.

#![expect(clippy::unwrap_used, reason = "a test: what isn't as it should be ends it")]

mod content;
mod generate;

use nightsafe::repo::cbor;
use nightsafe::repo::codec::Cursor;
use nightsafe::repo::envelope::open_manifest;
use nightsafe::repo::header::HeaderError;
use nightsafe::repo::keys::credential::Fault as CredentialFault;
use nightsafe::repo::keys::key_file::KeyFileError;
use nightsafe::repo::keys::sign::{ADMIN_BLOCK_LEN, CREDENTIAL_BLOCK_LEN, Signer};
use nightsafe::repo::keys::{Access, Credential, KeyFile, Opened, Passphrase, ReadKeys, Role, Secret, Wrap, WriteKeys};
use nightsafe::repo::record::{
    Condemned, Fault, ObjectError, Pins, Record, RunRecord, Segment, Stop, Tombstone, open_record,
};
use nightsafe::repo::seal::{SealKey, open_salted};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
    bytes: Vec<u8>,
}

impl Vector {
    fn parse(name: &str, text: &str) -> Self {
        let (head, digits) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("nightsafe vector 1"), "{name}");
        let fields = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}")));
        let fields = fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), fields, bytes: hex(&digits.split_whitespace().collect::<String>()) }
    }

    fn get(&self, field: &str) -> &str {
        self.fields.get(field).unwrap_or_else(|| panic!("{}: no {field}", self.name))
    }

    fn secret(&self) -> Secret {
        match self.fields.get("passphrase") {
            Some(typed) => Secret::Passphrase(Passphrase::new(&String::from_utf8(hex(typed)).unwrap()).unwrap()),
            None => Secret::KeyFile(KeyFile::parse(self.get("key-file")).unwrap()),
        }
    }

    fn open_credential(&self) -> Result<(Credential, Opened), CredentialFault> {
        let id = self.get("key").strip_prefix("credentials/").unwrap().parse().unwrap();
        let credential = Credential::parse(id, &self.bytes).map_err(|error| error.fault)?;
        let opened = credential.open(&self.secret()).map_err(|error| error.fault)?;
        Ok((credential, opened))
    }

    /// The keys that this vector is opened with.
    fn keys(&self, folder: &Path) -> (WriteKeys, Option<ReadKeys>) {
        let name = self.get("with");
        let credential = Self::parse(name, &fs::read_to_string(folder.join(format!("{name}.vec"))).unwrap());
        match credential.open_credential().unwrap().1 {
            Opened::Full(write, read) => (write, Some(read)),
            Opened::WriteOnly(write) => (write, None),
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_vector_has_the_outcome_that_it_says() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/keys"));
    let mut outcomes: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("vec"), "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let vector = Vector::parse(name, &fs::read_to_string(&path).unwrap());
        let outcome = match vector.get("object") {
            "credential" => credential(&vector),
            "record" => record(&vector, &folder),
            "manifest" => manifest(&vector, &folder),
            "wrap" => wrap(&vector, &folder),
            "key-file" => key_file(&vector),
            "varint" => varint(&vector),
            other => panic!("{name}: no test for {other}"),
        };
        let outcome = outcome.map_or_else(|reason| format!("reject: {reason}"), |()| "accept".to_owned());
        assert_eq!(outcome, vector.get("expect"), "{name}");
        *outcomes.entry((vector.get("object").to_owned(), outcome == "accept")).or_default() += 1;
    }
    for object in ["credential", "record", "manifest", "wrap", "key-file", "varint"] {
        for accepted in [true, false] {
            assert!(outcomes.contains_key(&(object.to_owned(), accepted)), "no {object} is accepted: {accepted}");
        }
    }
}

fn credential(vector: &Vector) -> Result<(), &'static str> {
    let (credential, opened) = vector.open_credential().map_err(|fault| credential_reason(&fault))?;
    let (role, keys) = match &opened {
        Opened::Full(keys, _) => ("full", keys),
        Opened::WriteOnly(keys) => ("write-only", keys),
    };
    assert_eq!(role, vector.get("role"), "{}", vector.name);
    assert_eq!(credential.role() == Role::Full, role == "full");
    assert_eq!(credential.label(keys).unwrap().text, vector.get("label"), "{}", vector.name);
    Ok(())
}

const fn credential_reason(fault: &CredentialFault) -> &'static str {
    match fault {
        CredentialFault::Header(error) => header_reason(*error),
        CredentialFault::Malformed(_) => "malformed",
        CredentialFault::Kdf(_) => "limits",
        CredentialFault::OtherMethod => "other-method",
        CredentialFault::WrongSecret => "wrong-secret",
        CredentialFault::Damaged => "damaged",
        CredentialFault::Needs(_) => "needs",
        CredentialFault::Signature(_) => "signature",
        CredentialFault::LabelTooLong => "label",
    }
}

const fn header_reason(error: HeaderError) -> &'static str {
    match error {
        HeaderError::Magic => "magic",
        HeaderError::Kind(_) => "kind",
        HeaderError::Version(_) => "version",
        HeaderError::Suite(_) => "suite",
    }
}

const fn reason(error: &ObjectError) -> &'static str {
    match &error.fault {
        Fault::Header(error) => header_reason(*error),
        Fault::Malformed(_) => "malformed",
        Fault::ForeignRepository(_) => "foreign-repository",
        Fault::Signature(_) | Fault::OtherDomain(_) => "signature",
        Fault::ForeignDomain(_) => "foreign-domain",
        Fault::NotAuthentic(_) => "damaged",
        Fault::Needs(_) => "needs",
        Fault::Wrap(_) => "wrap",
    }
}

fn record(vector: &Vector, folder: &Path) -> Result<(), &'static str> {
    let (write, read) = vector.keys(folder);
    match &read {
        Some(keys) => any_record(vector, keys),
        None => any_record(vector, &write),
    }
}

fn any_record(vector: &Vector, keys: &impl Access) -> Result<(), &'static str> {
    match vector.get("key").split('/').next().unwrap() {
        "runs" => record_of::<RunRecord>(vector, keys),
        "pins" => record_of::<Pins>(vector, keys),
        "index" => record_of::<Segment>(vector, keys),
        "stops" => record_of::<Stop>(vector, keys),
        "forgotten" => record_of::<Tombstone>(vector, keys),
        "gc" => record_of::<Condemned>(vector, keys),
        other => panic!("{}: no test for {other}", vector.name),
    }
}

fn record_of<T: Record + std::fmt::Debug + PartialEq>(vector: &Vector, keys: &impl Access) -> Result<(), &'static str> {
    let store_key = vector.get("key");
    let (record, signer) = open_record::<T>(keys, store_key, &vector.bytes).map_err(|error| reason(&error))?;
    let body = hex(vector.get("body"));
    assert_eq!(record, cbor::decode::<T>("body", &body).unwrap(), "{}", vector.name);
    // And once more by the letter of the specification.
    let key = SealKey::from_bytes(hex(vector.get("sealing-key")).try_into().unwrap());
    let block = if signer == Signer::Admin { ADMIN_BLOCK_LEN } else { CREDENTIAL_BLOCK_LEN };
    let sealed = &vector.bytes[40..vector.bytes.len() - block];
    let opened = open_salted(&key, b"record", &[&vector.bytes[8..24], store_key.as_bytes()], sealed);
    assert_eq!(opened, Ok(body), "{}", vector.name);
    Ok(())
}

fn manifest(vector: &Vector, folder: &Path) -> Result<(), &'static str> {
    let (write, read) = vector.keys(folder);
    let run = vector.get("key").strip_prefix("snapshots/").unwrap().parse().unwrap();
    let envelope = match &read {
        Some(keys) => open_manifest(keys, run, &vector.bytes),
        None => open_manifest(&write, run, &vector.bytes),
    };
    let envelope = envelope.map_err(|error| reason(&error))?;
    let sealed = read.map(|keys| envelope.open_sealed_part(&keys).map_err(|error| reason(&error))).transpose()?;
    assert_eq!(envelope.open_part(), hex(vector.get("open")), "{}", vector.name);
    assert_eq!(sealed, vector.fields.get("sealed").map(|digits| hex(digits)), "{}", vector.name);
    Ok(())
}

fn wrap(vector: &Vector, folder: &Path) -> Result<(), &'static str> {
    let keys = vector.keys(folder).1.expect("a full credential");
    let wrap = Wrap::from_bytes(vector.bytes.as_slice().try_into().unwrap());
    let run_key = keys.unwrap_run_key(&wrap, vector.get("run").parse().unwrap()).map_err(|_| "wrap")?;
    assert_eq!(run_key.seal_key().as_bytes()[..], hex(vector.get("run-key")), "{}", vector.name);
    Ok(())
}

fn key_file(vector: &Vector) -> Result<(), &'static str> {
    let key_file = KeyFile::parse(std::str::from_utf8(&vector.bytes).unwrap()).map_err(|error| match error {
        KeyFileError::Other => "other",
        KeyFileError::Version => "version",
        KeyFileError::Form => "form",
        KeyFileError::Check => "check",
        KeyFileError::WordCount(_) => "word-count",
        KeyFileError::Word(_) => "word",
        KeyFileError::WordCheck => "word-check",
    })?;
    let again = KeyFile::from_bytes(hex(vector.get("secret")).try_into().unwrap());
    assert_eq!(*key_file.to_text(), *again.to_text(), "{}", vector.name);
    Ok(())
}

fn varint(vector: &Vector) -> Result<(), &'static str> {
    let mut cursor = Cursor::new("varint", &vector.bytes);
    let value = cursor.varint().map_err(|_| "malformed")?;
    assert_eq!((value.to_string().as_str(), cursor.end()), (vector.get("value"), Ok(())), "{}", vector.name);
    Ok(())
}
