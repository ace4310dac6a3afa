//! Names of users and groups, each asked for once.

use crate::snapshot::tree::check::MAX_OWNER_NAME;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Remembers names of users and groups: asking the system's directory service may mean a question over the network.
///
/// What has no name has none in the entry either.
#[derive(Debug, Default)]
pub struct Owners {
    users: HashMap<u32, Option<Vec<u8>>>,
    groups: HashMap<u32, Option<Vec<u8>>>,
    uids: HashMap<Vec<u8>, Option<u32>>,
    gids: HashMap<Vec<u8>, Option<u32>>,
}

impl Owners {
    /// The name of a user.
    pub fn user(&mut self, uid: u32) -> Option<Vec<u8>> {
        let ask = || uzers::get_user_by_uid(uid).and_then(|user| kept(user.name()));
        self.users.entry(uid).or_insert_with(ask).clone()
    }

    /// The name of a group.
    pub fn group(&mut self, gid: u32) -> Option<Vec<u8>> {
        let ask = || uzers::get_group_by_gid(gid).and_then(|group| kept(group.name()));
        self.groups.entry(gid).or_insert_with(ask).clone()
    }

    /// The number of the user with this name on this host.
    pub fn uid(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(known) = self.uids.get(name) {
            return *known;
        }
        let uid = askable(name).and_then(uzers::get_user_by_name).map(|user| user.uid());
        self.uids.insert(name.to_vec(), uid);
        uid
    }

    /// The number of the group with this name on this host.
    pub fn gid(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(known) = self.gids.get(name) {
            return *known;
        }
        let gid = askable(name).and_then(uzers::get_group_by_name).map(|group| group.gid());
        self.gids.insert(name.to_vec(), gid);
        gid
    }
}

fn kept(name: &OsStr) -> Option<Vec<u8>> {
    let name = name.as_bytes();
    (1..=MAX_OWNER_NAME).contains(&name.len()).then(|| name.to_vec())
}

/// Names with NUL, which a damaged snapshot may hold, can't be asked for.
fn askable(name: &[u8]) -> Option<&OsStr> {
    (!name.is_empty() && !name.contains(&0)).then(|| OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_both_ways() {
        let mut owners = Owners::default();
        assert_eq!(owners.user(0).as_deref(), Some(&b"root"[..]));
        assert_eq!(owners.uid(b"root"), Some(0));
        assert_eq!(owners.gid(b"root"), Some(0));
        assert_eq!(owners.user(4_000_000_001), None);
        assert_eq!(owners.group(4_000_000_001), None);
        assert_eq!(owners.uid(b"nobody of that name"), None);
        assert_eq!(owners.uid(b"ro\0ot"), None);
    }
}
