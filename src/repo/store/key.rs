//! What may be a key.

use super::{StoreError, StoreErrorKind};
use std::io;

/// The longest key in bytes: far more than the format's longest (about 120), far less than any service's limit (S3: 1,024).
const LONGEST: usize = 512;

/// The longest component in bytes: folders allow 255 (`NAME_MAX`).
const LONGEST_COMPONENT: usize = 200;

/// What names of unfinished files end in; they are never keys.
pub(super) const TEMPORARY: &str = ".tmp";

/// Why a text isn't a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key: keys are components of a-z, 0-9, '.' and '-', separated by '/'; none begins with '.', the last doesn't end in '.tmp'"
)]
pub struct InvalidKey;

/// Whether `key` may name an object.
///
/// It must be made of components of `[a-z0-9.-]`, separated by single `/`, each of 1 to 200 bytes, 512 in all. No component begins with a dot (so there is no
/// `..`) and the key doesn't end in `.tmp`: listings hide both.
pub fn check_key(key: &str) -> Result<(), InvalidKey> {
    let fits = key.len() <= LONGEST && key.split('/').all(is_component) && !key.ends_with(TEMPORARY);
    if fits { Ok(()) } else { Err(InvalidKey) }
}

/// Whether `prefix` may begin a listing: empty, or components as of a key, each followed by `/`.
pub(super) fn check_prefix(prefix: &str) -> Result<(), InvalidKey> {
    match prefix.strip_suffix('/') {
        None if prefix.is_empty() => Ok(()),
        Some(folder) if folder.len() <= LONGEST && folder.split('/').all(is_component) => Ok(()),
        _ => Err(InvalidKey),
    }
}

/// [`check_key`] as an error of the store at `url`.
pub(super) fn require_key(key: &str, url: &str) -> Result<(), StoreError> {
    check_key(key).map_err(|error| StoreError::new(StoreErrorKind::Other, key, url).because(error))
}

/// [`check_prefix`] as an error of the store at `url`.
pub(super) fn require_prefix(prefix: &str, url: &str) -> Result<(), StoreError> {
    check_prefix(prefix).map_err(|error| StoreError::new(StoreErrorKind::Other, prefix, url).because(error))
}

/// Whether `name` may be a component of a key.
pub(super) fn is_component(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_COMPONENT
        && !name.starts_with('.')
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

/// A name for an unfinished file that no other writer draws: 128 random bits, and `.tmp`.
pub(super) fn temporary_name() -> io::Result<String> {
    Ok(random_name()? + TEMPORARY)
}

/// 128 random bits as 32 hex digits.
pub(super) fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    fill_random(&mut random)?;
    Ok(format!("{:032x}", u128::from_le_bytes(random)))
}

/// Fills `bytes` with randomness from the system.
pub(super) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(format!("no randomness: {error}")))
}

/// Whether `name` is one that [`temporary_name`] gives.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY)
        .is_some_and(|random| random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_of_the_format_are_keys() {
        for key in ["nightsafe.json", "packs/0a/12345678-0000-abc", "index/1-2/0", "a", "a.b-c/0"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn hostile_and_hidden_names_are_not() {
        let long = "a".repeat(201);
        let deep = "a/".repeat(256) + "a";
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "../a",
            "a/../b",
            ".",
            "./a",
            "a/./b",
            ".hidden",
            "a/.hidden",
            "a.tmp",
            "a/b.tmp",
            "A",
            "a_b",
            "a b",
            "a\0",
            "ä",
            "a\\b",
            "a:b",
            "~",
            &long,
            &deep,
        ] {
            assert_eq!(check_key(key), Err(InvalidKey), "{key}");
        }
    }

    #[test]
    fn prefixes_are_empty_or_folders() {
        for prefix in ["", "packs/", "packs/0a/"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix}");
        }
        for prefix in ["/", "packs", "packs//", "../", "/packs/", ".x/", "a/../"] {
            assert_eq!(check_prefix(prefix), Err(InvalidKey), "{prefix}");
        }
    }

    #[test]
    fn temporary_names_differ_and_are_no_keys() {
        let (one, two) = (temporary_name().unwrap(), temporary_name().unwrap());
        assert_ne!(one, two);
        assert!(is_temporary(&one) && check_key(&one).is_err());
        assert!(!is_temporary("x.tmp") && !is_temporary("0a"));
    }

    proptest! {
        /// A key joined to a root stays below it and is one path per key.
        #[test]
        fn a_key_is_a_clean_relative_path(key in "[a-z0-9./_-]{0,20}") {
            if check_key(&key).is_ok() {
                let path = std::path::Path::new(&key);
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
                let again: Vec<_> = path.components().map(|c| c.as_os_str().to_str().unwrap()).collect();
                prop_assert_eq!(again.join("/"), key);
            }
        }
    }
}
