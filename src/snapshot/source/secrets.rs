//! Which files count as secret: their content is stored in a class of its own that tells nothing.

use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::patterns::{self, PatternFault};
use crate::snapshot::tree::entry::EntryType;
use ignore::Match;
use ignore::gitignore::Gitignore;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Largest file that counts as secret by its name alone, in bytes: keys and environments are small, and secrets don't deduplicate.
pub const MAX_DEFAULT_SECRET: u64 = 1 << 20;

/// The names that count as secret unless a pattern says otherwise; compared without regard to case. `*` stands for anything.
///
/// Environments of applications; private keys of SSH, TLS, `WireGuard`, age and `GnuPG`; password files of tools; key files of nightsafe itself. `*.pem` and `*.key` also catch certificates
/// and other small files, which costs their deduplication and nothing else.
pub const DEFAULT_NAMES: &[&str] = &[
    ".env",
    ".env.*",
    "*.env",
    ".envrc",
    "secrets.env",
    "docker.env",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "ssh_host_*_key",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "*.age-key",
    ".pgpass",
    ".my.cnf",
    ".netrc",
    ".htpasswd",
    ".git-credentials",
    ".vault-token",
    ".npmrc",
    ".pypirc",
    "secrets.yml",
    "secrets.yaml",
    "secrets.json",
    "secrets.toml",
    "credentials.json",
    "master.key",
    "private.asc",
];

/// Names that look like those but are templates without values.
pub const TEMPLATE_NAMES: &[&str] = &[
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    ".env.*.example",
    ".env.*.sample",
    ".env.*.template",
    ".env.*.dist",
    "example.env",
    "sample.env",
    "template.env",
    "*.example.env",
    "*.sample.env",
    "*.template.env",
];

/// A pattern of secret files that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("secret pattern `{pattern}`: {message}")]
pub struct SecretPatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub message: String,
}

/// Tells which files are secret.
#[derive(Debug)]
pub struct SecretRules {
    patterns: Gitignore,
}

impl SecretRules {
    /// Rules with patterns of `.gitignore`'s kind that come before the defaults: what they match is secret whatever its size, and what they take back with `!` is not.
    ///
    /// They are matched against paths inside the snapshot.
    pub fn compile(patterns: &[String]) -> Result<Self, SecretPatternError> {
        let lines = patterns.iter().map(|pattern| patterns::given(pattern));
        let compiled = patterns::compile(lines).map_err(|PatternFault { nth, message }| {
            let pattern = nth.and_then(|nth| patterns.get(nth).cloned());
            SecretPatternError { pattern: pattern.unwrap_or_else(|| "(all together)".to_owned()), message }
        })?;
        Ok(Self { patterns: compiled })
    }

    /// Whether the file at `path` inside the snapshot is secret. Only regular files can be.
    pub fn is_secret(&self, path: &[u8], metadata: &Metadata) -> bool {
        if metadata.kind != EntryType::File {
            return false;
        }
        // A pattern may name a directory: what is in it is meant too.
        let path = Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
        match self.patterns.matched_path_or_any_parents(path, false) {
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
            Match::None => {
                metadata.size <= MAX_DEFAULT_SECRET
                    && path.file_name().is_some_and(|name| is_secret_name(name.as_bytes()))
            }
        }
    }
}

/// Whether a file of this name is secret by default.
pub fn is_secret_name(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let any = |names: &[&str]| names.iter().any(|pattern| matches(pattern.as_bytes(), &name));
    any(DEFAULT_NAMES) && !any(TEMPLATE_NAMES)
}

/// Whether `name` fits a pattern in which each `*` stands for any bytes, at least one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), Some((_, tail))) => (0..=tail.len()).any(|n| matches(rest, &tail[n..])),
        (Some((p, rest)), Some((n, tail))) => p == n && matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> Metadata {
        Metadata { kind: EntryType::File, size, ..Metadata::synthetic() }
    }

    #[test]
    fn environments_and_keys_are_secret_and_templates_are_not() {
        for name in [
            ".env",
            ".env.production",
            ".ENV",
            "docker.env",
            "app.env",
            "id_ed25519",
            "server.key",
            "ssh_host_rsa_key",
            ".env.local",
            "x.PEM",
        ] {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in [
            ".env.example",
            ".env.sample",
            ".env.template",
            ".env.dist",
            ".env.prod.example",
            "example.env",
            "id_ed25519.pub",
            "env",
            ".environment",
            "key",
            "a.keys",
            "",
        ] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn patterns_come_before_names_and_size() {
        let rules = SecretRules::compile(&["vault/".into(), "*.token".into(), "!public.pem".into()]).unwrap();
        assert!(rules.is_secret(b"stack/vault/deep/file", &file(9 << 20)));
        assert!(rules.is_secret(b"/stack/a.token", &file(9 << 20)));
        assert!(!rules.is_secret(b"stack/public.pem", &file(1)));
        assert!(rules.is_secret(b"stack/private.pem", &file(MAX_DEFAULT_SECRET)));
        assert!(!rules.is_secret(b"stack/private.pem", &file(MAX_DEFAULT_SECRET + 1)));
        assert!(!rules.is_secret(b"stack/.env", &Metadata::synthetic()), "a directory");
        assert!(!rules.is_secret(b"", &file(1)));
        let error = SecretRules::compile(&["a[".into()]).unwrap_err();
        assert_eq!(error.pattern, "a[");
    }
}
