//! Ids, store keys, and paths inside a snapshot.

use super::memory;
use nightsafe::repo::cbor;
use nightsafe::repo::format::{MAX_DEPTH, MAX_NAME, key};
use nightsafe::repo::id::{CredentialId, FrameId, PackId, RunId};
use nightsafe::repo::store::check_key;
use nightsafe::snapshot::tree::path::{SafePath, escape_name};
use std::fmt::Display;
use std::path::{Component, Path};
use std::str::FromStr;

pub fn run(data: &[u8]) {
    paths(data);
    if let Ok(text) = std::str::from_utf8(data) {
        ids(text);
        keys(text);
    }
}

/// Whether nothing of a path leads out of where it is put.
pub fn assert_safe(path: &SafePath) {
    for name in path.components() {
        assert!(!name.is_empty() && name.len() <= MAX_NAME && name != b"." && name != b"..", "{path}");
        assert!(!name.contains(&0) && !name.contains(&b'/'), "{path}");
    }
    assert!(!path.as_bytes().starts_with(b"/") && !path.as_bytes().ends_with(b"/"), "{path}");
}

fn paths(data: &[u8]) {
    let clean = SafePath::from_bytes(data).ok();
    if let Some(path) = &clean {
        assert_eq!(path.as_bytes(), data);
        assert_safe(path);
        let names: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        assert_eq!(names.join(&b'/'), data);
        let again = cbor::decode::<SafePath>("path", &cbor::encode(path));
        assert_eq!(again.is_ok(), path.depth() <= MAX_DEPTH);
        if let (Some(parent), Some(name)) = (path.parent(), path.name()) {
            assert_eq!(parent.join(name).as_ref(), Ok(path));
            assert_eq!(path.below(&parent).map(|below| below.as_bytes().to_vec()), Some(name.to_vec()));
        }
    }
    if let Ok(path) = SafePath::parse(data) {
        assert_safe(&path);
        assert_eq!(SafePath::from_bytes(path.as_bytes()).as_ref(), Ok(&path));
        assert!(clean.is_none_or(|clean| clean == path));
    }
    let shown = memory::at_most(64 + 32 * data.len(), || escape_name(data));
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

fn same<T: FromStr + Display>(text: &str) -> Option<T> {
    let id = text.parse::<T>().ok()?;
    assert_eq!(id.to_string(), text);
    Some(id)
}

fn ids(text: &str) {
    same::<RunId>(text);
    same::<PackId>(text);
    same::<CredentialId>(text);
    same::<FrameId>(text);
}

fn keys(text: &str) {
    if let Some(pack) = key::parse_pack(text) {
        assert_eq!(key::pack(pack), text);
        assert_eq!(check_key(text), Ok(()));
    }
    for prefix in [key::RUNS, key::SNAPSHOTS, key::STOPS, key::FORGOTTEN, key::GC] {
        if let Some(run) = key::parse_run(prefix, text) {
            assert_eq!(format!("{prefix}{run}"), text);
            assert_eq!(check_key(text), Ok(()));
        }
    }
    for prefix in [key::INDEX, key::PINS, key::NOTES] {
        if let Some((run, n)) = key::parse_numbered(prefix, text) {
            assert_eq!(format!("{prefix}{run}/{n}"), text);
            assert_eq!(check_key(text), Ok(()));
        }
    }
    if check_key(text).is_ok() {
        assert!(text.len() <= 512 && text.strip_suffix(".tmp").is_none(), "{text}");
        let parts: Vec<Component<'_>> = Path::new(text).components().collect();
        assert_eq!(parts.len(), text.split('/').count(), "{text}");
        assert!(
            parts
                .iter()
                .all(|part| matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."))),
            "{text}"
        );
    }
}
