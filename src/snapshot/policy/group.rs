//! Which snapshots are counted together.

use super::Candidate;
use crate::snapshot::tree::path::escape_name;
use std::fmt;
use std::str::FromStr;

/// What snapshots of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that a user may write")]
pub struct GroupBy {
    /// The app.
    pub app: bool,
    /// The host.
    pub host: bool,
    /// What was asked for.
    pub paths: bool,
    /// The tags.
    pub tags: bool,
    /// The key that signed; always, where that may only write.
    pub key: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { app: true, host: true, paths: true, tags: false, key: true }
    }
}

/// A word that doesn't say what groups have in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} doesn't make groups: write some of app, host, paths, tags and key, with commas between")]
pub struct GroupByError(String);

impl FromStr for GroupBy {
    type Err = GroupByError;

    fn from_str(text: &str) -> Result<Self, GroupByError> {
        let mut by = Self { app: false, host: false, paths: false, tags: false, key: false };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let flag = match word {
                "app" => &mut by.app,
                "host" => &mut by.host,
                "path" | "paths" => &mut by.paths,
                "tag" | "tags" => &mut by.tags,
                "key" => &mut by.key,
                _ => return Err(GroupByError(word.to_owned())),
            };
            *flag = true;
        }
        Ok(by)
    }
}

/// What the snapshots of one group have in common; `None` where it doesn't matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The app; none if they are of none.
    pub app: Option<Option<String>>,
    /// The host.
    pub host: Option<String>,
    /// What was asked for, sorted.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags, sorted.
    pub tags: Option<Vec<String>>,
    /// The beginning of the id of the key that signed.
    pub key: Option<[u8; 4]>,
    /// Whether that key may only write.
    pub write_only: bool,
}

impl GroupKey {
    /// The group of a snapshot.
    pub fn of(candidate: &Candidate, by: GroupBy) -> Self {
        Self {
            app: by.app.then(|| candidate.app.clone()),
            host: by.host.then(|| candidate.host.clone()),
            paths: by.paths.then(|| sorted(&candidate.paths)),
            tags: by.tags.then(|| sorted(&candidate.tags)),
            key: (by.key || candidate.write_only).then(|| candidate.origin.credential_part()),
            write_only: candidate.write_only,
        }
    }
}

fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    let mut all = items.to_vec();
    all.sort();
    all.dedup();
    all
}

/// For people: `wiki on web1, /srv/app, key 11111111`. Names are escaped.
impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |text: &str| escape_name(text.as_bytes());
        let mut parts = Vec::new();
        let app = self.app.as_ref().map(|app| app.as_deref().map_or_else(|| "no app".to_owned(), name));
        parts.extend(match (app, &self.host) {
            (Some(app), Some(host)) => Some(format!("{app} on {}", name(host))),
            (None, Some(host)) => Some(name(host)),
            (app, None) => app,
        });
        let paths = |paths: &Vec<Vec<u8>>| match &paths[..] {
            [] => "no paths".to_owned(),
            [path] => escape_name(path),
            [path, more @ ..] => format!("{} and {} more", escape_name(path), more.len()),
        };
        parts.extend(self.paths.as_ref().map(paths));
        let tags = |tags: &Vec<String>| match &tags[..] {
            [] => "no tags".to_owned(),
            tags => tags.iter().map(|tag| name(tag)).collect::<Vec<_>>().join("+"),
        };
        parts.extend(self.tags.as_ref().map(tags));
        let digits = |key: [u8; 4]| format!("{:08x}", u32::from_be_bytes(key));
        let kind = if self.write_only { "write-only key" } else { "key" };
        parts.extend(self.key.map(|key| format!("{kind} {}", digits(key))));
        if parts.is_empty() {
            parts.push("all snapshots".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!("app,host,paths,key".parse(), Ok(GroupBy::default()));
        let none: GroupBy = "".parse().unwrap();
        assert!(!none.app && !none.host && !none.paths && !none.tags && !none.key);
        assert!(" tag , path".parse::<GroupBy>().is_ok_and(|by| by.tags && by.paths && !by.app));
        assert!("app,moon".parse::<GroupBy>().is_err_and(|why| why.to_string().starts_with("\"moon\"")));
    }
}
