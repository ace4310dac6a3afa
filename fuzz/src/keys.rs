//! Keys that are always the same: those of the repository that the test vectors belong to, whose sound ones are the first inputs.

use nightsafe::repo::keys::{Credential, KeyFile, Opened, ReadKeys, Secret, WriteKeys};

/// A vector: fields of text, and bytes. `tests/it/vectors.rs` has the form.
pub struct Vector {
    fields: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Vector {
    pub fn parse(text: &str) -> Self {
        let (head, digits) = text.split_once("\n\n").unwrap_or((text, ""));
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect();
        Self { fields, bytes: hex(&digits.split_whitespace().collect::<String>()) }
    }

    pub fn get(&self, field: &str) -> &str {
        let found = self.fields.iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The keys that a credential opens.
    pub fn open(&self) -> Opened {
        let id = self.get("key").strip_prefix("credentials/").expect("a credential").parse().expect("its id");
        let secret = Secret::KeyFile(KeyFile::parse(self.get("key-file")).expect("its key file"));
        Credential::parse(id, &self.bytes).expect("a credential").open(&secret).expect("its keys")
    }

    /// The keys that a full credential opens.
    pub fn full(&self) -> (WriteKeys, ReadKeys) {
        match self.open() {
            Opened::Full(write, read) => (write, read),
            Opened::WriteOnly(_) => panic!("a full credential"),
        }
    }
}

pub fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16);
    pairs.map(|digits| pair(digits).expect("hex digits")).collect()
}

/// The full credential of the vectors of keys.
pub fn of_keys() -> Vector {
    Vector::parse(include_str!("../../tests/data/vectors/keys/credential-full-key-file.vec"))
}

/// The full credential of the vectors of content.
pub fn of_content() -> Vector {
    Vector::parse(include_str!("../../tests/data/vectors/content/credential.vec"))
}
