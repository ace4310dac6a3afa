//! Files that applications write beside their dumps to describe them: read, kept in the manifest, and held against the dump.

use crate::snapshot::backup::BackupError;
use crate::snapshot::manifest::dump::{DumpFile, Sidecar};
use crate::snapshot::source::patterns;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use ignore::gitignore::Gitignore;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest file that is read as one, in bytes.
pub(super) const MAX_BYTES: u64 = 64 << 10;
/// Most fields that are kept.
pub const MAX_FIELDS: usize = 64;
/// Longest name of a field and longest value, in bytes.
pub const MAX_FIELD: usize = 1 << 10;
/// What the fields are called that say which file is described, how long it is and what its SHA-256 is.
const NAME: [&str; 3] = ["filename", "fileName", "file"];
const SIZE: [&str; 3] = ["sizeBytes", "size_bytes", "size"];
const SHA256: [&str; 2] = ["sha256", "sha256sum"];

/// Which files describe others.
#[derive(Debug)]
pub(super) struct SidecarRule(Gitignore);

impl SidecarRule {
    /// Those that a pattern of `.gitignore`'s kind matches; what is wrong with it if it can't be used.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        patterns::compile([patterns::given(pattern)]).map(Self).map_err(|fault| fault.message)
    }

    /// Whether the file at `path` inside the snapshot is one.
    pub(super) fn is_sidecar(&self, path: &[u8], size: u64) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        size <= MAX_BYTES && self.0.matched(path, false).is_ignore()
    }
}

/// Whether a pattern can be used.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check(pattern: &str) -> Result<(), String> {
    let checked = SidecarRule::compile(pattern).map(drop);
    checked.map_err(|message| BackupError::Sidecar { pattern: pattern.to_owned(), message }.to_string())
}

/// Reads one; nothing if it isn't an object of JSON.
pub fn read(path: &SafePath, bytes: &[u8]) -> Option<Sidecar> {
    let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else { return None };
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let fields = object.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
    let fields = fields.filter(|(name, value)| name.len() <= MAX_FIELD && value.len() <= MAX_FIELD).take(MAX_FIELDS);
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    Some(Sidecar { path: path.clone(), fields })
}

/// Gives dumps the sidecars that describe them; what is wrong with the dumps by what these say.
pub fn assign(dumps: &mut [DumpFile], sidecars: &[Sidecar]) -> Vec<Problem> {
    let by_path: BTreeMap<SafePath, &Sidecar> =
        sidecars.iter().filter_map(|sidecar| Some((described(sidecar)?, sidecar))).collect();
    let mut problems = Vec::new();
    for dump in dumps {
        let Some(&sidecar) = by_path.get(&dump.path) else { continue };
        problems.extend(contradictions(dump, sidecar));
        dump.sidecar = Some(sidecar.clone());
    }
    problems
}

fn field<'s>(sidecar: &'s Sidecar, names: &[&str]) -> Option<&'s str> {
    let value = |name: &&str| sidecar.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    names.iter().find_map(value)
}

/// The path of the file that it describes: one in its own directory.
fn described(sidecar: &Sidecar) -> Option<SafePath> {
    let name = Path::new(field(sidecar, &NAME)?).file_name()?;
    sidecar.path.parent()?.join(name.as_bytes()).ok()
}

/// The hash that a text tells: 64 hexadecimal digits, perhaps with its name before them and a file's behind, as `sha256sum` writes.
fn hash_in(text: &str) -> Option<[u8; 32]> {
    let word = text.split_whitespace().next()?;
    let digits =
        word.get(..7).filter(|name| name.eq_ignore_ascii_case("sha256:")).map_or(word, |name| &word[name.len()..]);
    // Any hash of 32 bytes, in hex.
    blake3::Hash::from_hex(digits.to_ascii_lowercase()).ok().map(|hash| *hash.as_bytes())
}

fn contradictions(dump: &DumpFile, sidecar: &Sidecar) -> Vec<Problem> {
    let problem = |what: &str, found: &str, said: &str| Problem {
        path: dump.path.clone(),
        kind: ProblemKind::Other,
        message: format!("its {what} is {found}, and {} says {said}: one of them isn't what it was", sidecar.path),
    };
    let mut problems = Vec::new();
    // What isn't a number or a hash says something else.
    let size = field(sidecar, &SIZE).and_then(|said| said.trim().parse::<u64>().ok());
    if let Some(said) = size.filter(|said| *said != dump.bytes) {
        problems.push(problem("size", &format!("{} bytes", dump.bytes), &said.to_string()));
    }
    if let Some(said) = field(sidecar, &SHA256).and_then(hash_in).filter(|said| *said != dump.sha256) {
        let [found, said] = [dump.sha256, said].map(|hash| blake3::Hash::from_bytes(hash).to_hex());
        problems.push(problem("SHA-256", &found, &said));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SafePath {
        SafePath::parse(text.as_bytes()).unwrap()
    }

    fn dump(at: &str) -> DumpFile {
        let (fault, contents, sidecar, export) = (None, None, None, None);
        DumpFile { path: path(at), bytes: 7, sha256: [0xab; 32], fault, contents, sidecar, export }
    }

    fn sidecar(at: &str, json: &str) -> Sidecar {
        read(&path(at), json.as_bytes()).unwrap()
    }

    #[test]
    fn a_sidecar_goes_to_its_dump_and_is_held_against_it() {
        let sha256 = "AB".repeat(32);
        let good =
            format!(r#"{{"filename": "a.dump", "sizeBytes": 7, "sha256": "sha256:{sha256}", "kid": null, "v": "2"}}"#);
        let mut dumps = [dump("b/a.dump"), dump("c/a.dump")];
        assert_eq!(assign(&mut dumps, &[sidecar("b/a.json", &good)]), []);
        let fields = &dumps[0].sidecar.as_ref().unwrap().fields;
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["filename", "sha256", "sizeBytes", "v"], "what is null or has fields of its own isn't kept");
        assert_eq!(dumps[1].sidecar, None, "another directory");

        let bad = format!(
            r#"{{"filename": "/var/backup/a.dump", "size": " 8 ", "sha256sum": "{}  a.dump"}}"#,
            "0".repeat(64)
        );
        let problems = assign(&mut dumps, &[sidecar("c/a.json", &bad)]);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(problems.iter().all(|problem| problem.path == path("c/a.dump")));
        assert_eq!(messages[0], "its size is 7 bytes, and /c/a.json says 8: one of them isn't what it was");
        assert!(messages[1].starts_with("its SHA-256 is abab"), "{messages:?}");
        // A size for people, a hash of another spelling: nothing that could be held against it.
        let other = r#"{"file": "a.dump", "size": "12 MB", "sha256": "sha256-q80="}"#;
        assert_eq!(assign(&mut dumps, &[sidecar("c/a.json", other)]), []);
    }

    #[test]
    fn what_is_no_sidecar_is_none() {
        for bytes in [&b"[]"[..], b"", b"{", b"\xff"] {
            assert_eq!(read(&path("x.json"), bytes), None);
        }
        assert_eq!(described(&sidecar("x.json", "{}")), None);
        for name in ["..", "/", "", "a\\u0000b"] {
            assert_eq!(described(&sidecar("d/x.json", &format!(r#"{{"file": "{name}"}}"#))), None, "{name}");
        }
        let many: Vec<String> = (0..100).map(|n| format!(r#""{n}": {n}"#)).collect();
        assert_eq!(sidecar("x", &format!("{{{}}}", many.join(","))).fields.len(), MAX_FIELDS);
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let rule = SidecarRule::compile("*.manifest.json").unwrap();
        assert!(rule.is_sidecar(b"backup/a.dump.manifest.json", 10));
        assert!(!rule.is_sidecar(b"backup/a.dump", 10) && !rule.is_sidecar(b"a.manifest.json", MAX_BYTES + 1));
        let said = check("[").unwrap_err();
        assert!(said.starts_with("sidecar pattern `[`: ") && check("*.json").is_ok(), "{said}");
    }
}
