//! What happens where something exists already.

use crate::snapshot::monitor::Monitor;
use crate::snapshot::restore::session::{Session, lock};
use crate::snapshot::source::metadata::{Identity, Metadata};
use crate::snapshot::source::reader::next_data;
use crate::snapshot::target::attributes::AttributeWriter;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::node::Pinned;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::reference::Extent;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What happens to files that exist where one is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overwrite {
    /// They stay as they are.
    #[default]
    Never,
    /// They stay if mode, time, owner and content are those of the snapshot.
    IfChanged,
    /// They stay unless the snapshot's changed later.
    IfNewer,
    /// They are replaced.
    Always,
}

/// What a restore may find in its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing: the folder was empty.
    Fresh,
    /// What an interrupted restore of the same left: that stays if it is what the snapshot holds, and gets the attributes that it lacks; files that a power loss left without a
    /// part of their bytes are written again; anything else isn't touched.
    GoOn {
        /// Whether all files are written again, since the system couldn't bring them to the disk: what is read of them now proves nothing.
        anew: bool,
    },
    /// Anything.
    Existing(Overwrite),
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// There is nothing of that name.
    Create,
    /// It's a directory, and so is what exists.
    Enter,
    /// What exists stays; its identity, if it was found to be what the snapshot holds.
    Keep(Option<Identity>),
    /// What exists stays and gets attributes that it lacks: an interrupted restore made it, and it has no name elsewhere.
    Mend(Identity),
    /// What exists is replaced.
    Replace(Placement),
    /// What exists stays, and the entry can't be restored for that reason.
    Refuse(&'static str),
}

/// How something comes to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Nothing has it.
    New,
    /// In the place of something that isn't a directory.
    Over,
    /// In the place of a file that is the same but for bytes that it lacks (see [`is_part_of`]); of any other it isn't taken.
    OverPart,
    /// In the place of an empty directory, which is removed before.
    InsteadOfDirectory,
}

/// What only types and times tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Enter,
    Keep,
    Compare,
    Complete,
    Replace,
    Refuse(&'static str),
}

/// Another type is in the way.
const OTHER_TYPE: &str = "something of another type exists there; --overwrite if-changed or always replaces it";
/// A directory is in the way, and isn't empty. It's never emptied for that: while contents are still being read, nobody knows whether what should replace it can be.
const FILLED: &str = "a folder that holds something exists there; move it away and restore again";
/// A restore that goes on found what it didn't make.
pub(super) const NOT_MINE: &str = "something else exists there already; --overwrite if-changed replaces it";

fn verdict(rule: Rule, entry: &Entry, now: &Metadata) -> Verdict {
    let is_newer = entry.mtime > now.mtime;
    if entry.kind == EntryType::Directory && now.kind == EntryType::Directory {
        return Verdict::Enter;
    }
    if entry.kind != now.kind {
        return match rule {
            Rule::Fresh | Rule::GoOn { .. } => Verdict::Refuse(NOT_MINE),
            Rule::Existing(Overwrite::IfChanged | Overwrite::Always) => Verdict::Replace,
            Rule::Existing(Overwrite::IfNewer) if is_newer => Verdict::Replace,
            Rule::Existing(_) => Verdict::Refuse(OTHER_TYPE),
        };
    }
    match rule {
        Rule::Fresh => Verdict::Refuse(NOT_MINE),
        Rule::GoOn { anew: true } if entry.kind == EntryType::File => Verdict::Complete,
        Rule::GoOn { .. } | Rule::Existing(Overwrite::IfChanged) => Verdict::Compare,
        Rule::Existing(Overwrite::Never) => Verdict::Keep,
        Rule::Existing(Overwrite::IfNewer) if !is_newer => Verdict::Keep,
        Rule::Existing(Overwrite::IfNewer | Overwrite::Always) => Verdict::Replace,
    }
}

/// How closely what exists is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// By type, size, mode, time and owner: for a plan.
    Glance,
    /// Also by its content.
    Closely,
}

/// What is to be done with `entry` in `parent`.
pub(super) fn judge(session: &Session<'_>, parent: &Directory, entry: &Entry, look: Look) -> io::Result<Judged> {
    if session.rule == Rule::Fresh && look == Look::Closely {
        // Creating fails where something came meanwhile.
        return Ok(Judged::Create);
    }
    let Some(now) = parent.look(&entry.name)? else { return Ok(Judged::Create) };
    let replace = || {
        let is_directory = now.kind == EntryType::Directory;
        if is_directory && !parent.child(&entry.name)?.names()?.is_empty() {
            return Ok(Judged::Refuse(FILLED));
        }
        Ok(Judged::Replace(if is_directory { Placement::InsteadOfDirectory } else { Placement::Over }))
    };
    // What an interrupted restore left is at most as long as it should be; whether it is a part of that shows when the content is there.
    let complete = || match entry.size {
        Some(size) if now.kind == EntryType::File && now.size <= size => Judged::Replace(Placement::OverPart),
        _ => Judged::Refuse(NOT_MINE),
    };
    match verdict(session.rule, entry, &now) {
        Verdict::Enter => Ok(Judged::Enter),
        // Other names of it may be linked to it only if it is what they should be.
        Verdict::Keep if entry.link_group.is_some() => {
            Ok(Judged::Keep(same(session, parent, entry, look)?.map(|same| same.identity)))
        }
        Verdict::Keep => Ok(Judged::Keep(None)),
        Verdict::Refuse(why) => Ok(Judged::Refuse(why)),
        Verdict::Replace => replace(),
        Verdict::Complete => Ok(complete()),
        Verdict::Compare => match same(session, parent, entry, look)? {
            Some(Same { identity, attributes: Attributes::Right }) => Ok(Judged::Keep(Some(identity))),
            Some(Same { identity, attributes: Attributes::Mendable }) => Ok(Judged::Mend(identity)),
            // The same content again, in a new file: nothing is lost.
            Some(_) if entry.kind == EntryType::File => Ok(complete()),
            None if matches!(session.rule, Rule::GoOn { .. }) => Ok(complete()),
            Some(_) | None => replace(),
        },
    }
}

/// What exists and is what the entry describes.
struct Same {
    identity: Identity,
    attributes: Attributes,
}

/// Whether what exists has the attributes that it should have, too.
enum Attributes {
    Right,
    /// No, and they can be set where it is: it belongs to whoever restores or to whom it should, and has no other name.
    Mendable,
    /// No, and what changes in place may change elsewhere, or for somebody else.
    Foreign,
}

impl Attributes {
    /// Those of something that an interrupted restore may have made, but for what it couldn't set.
    fn of_own(writer: &mut AttributeWriter, entry: &Entry, now: &Metadata, pinned: &Pinned) -> io::Result<Self> {
        let owner = writer.wanted_owner(entry);
        if writer.has_all(entry, now) && writer.agree_in_xattrs(entry, pinned)? {
            return Ok(Self::Right);
        }
        let is_own = now.uid == owner.0 || now.uid == rustix::process::geteuid().as_raw();
        Ok(if is_own && now.links == 1 { Self::Mendable } else { Self::Foreign })
    }
}

/// What exists, if it is what the entry describes: but for attributes, where a restore goes on.
fn same(session: &Session<'_>, parent: &Directory, entry: &Entry, look: Look) -> io::Result<Option<Same>> {
    let pinned = parent.pin(&entry.name)?;
    let now = pinned.metadata()?;
    if now.kind != entry.kind {
        return Ok(None);
    }
    let attributes = {
        let mut writer = lock(&session.attributes);
        match session.rule {
            Rule::GoOn { .. } => Attributes::of_own(&mut writer, entry, &now, &pinned)?,
            _ if writer.agree(entry, &now) && writer.agree_in_xattrs(entry, &pinned)? => Attributes::Right,
            _ => return Ok(None),
        }
    };
    let is_same = match entry.kind {
        EntryType::File => Some(now.size) == entry.size && same_file(session, &pinned, entry, look)?,
        EntryType::Symlink => Some(pinned.read_link()?) == entry.target,
        EntryType::CharacterDevice | EntryType::BlockDevice => Some(now.rdev) == entry.device,
        EntryType::Fifo | EntryType::Socket => true,
        EntryType::Directory => false,
    };
    Ok(is_same.then(|| Same { identity: now.identity(), attributes }))
}

fn same_file(session: &Session<'_>, pinned: &Pinned, entry: &Entry, look: Look) -> io::Result<bool> {
    if look == Look::Glance {
        return Ok(true);
    }
    if entry.is_secret() {
        // The key of a secret's hash comes with its content.
        return Ok(false);
    }
    has_content(&pinned.open_file()?, entry, session.monitor)
}

/// Whether a file holds what the entry describes, zeros in the place of its holes. Fails if the user wants no more.
fn has_content(file: &File, entry: &Entry, monitor: &dyn Monitor) -> io::Result<bool> {
    let read = |from, to, each: &mut dyn FnMut(&[u8]) -> bool| read(file, (from, to), monitor, each);
    let size = entry.size.unwrap_or(0);
    let whole = [Extent { offset: 0, length: size }];
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    for extent in entry.extents.as_deref().unwrap_or(&whole) {
        let end = extent.offset.saturating_add(extent.length);
        let is_hole = is_zero(file, (position, extent.offset), monitor)?;
        let is_read = is_hole
            && read(extent.offset, end, &mut |bytes| {
                hasher.update(bytes);
                true
            })?;
        if !is_read {
            return Ok(false);
        }
        position = end;
    }
    let is_hole = is_zero(file, (position, size), monitor)?;
    let expected = entry.inline.as_ref().map_or(entry.hash, |bytes| Some(*blake3::hash(bytes).as_bytes()));
    Ok(is_hole && expected.is_some_and(|expected| hasher.finalize() == blake3::Hash::from_bytes(expected)))
}

/// Whether a file holds nothing but zeros between two positions. What the file system knows to be a hole isn't read: it may be a terabyte.
fn is_zero(file: &File, (mut position, end): (u64, u64), monitor: &dyn Monitor) -> io::Result<bool> {
    if file.metadata()?.len() < end {
        return Ok(false);
    }
    while position < end {
        // Where the file system knows no holes, all is data.
        let Some((data, until)) = next_data(file, position, end).unwrap_or(Some((position, end))) else {
            return Ok(true);
        };
        if !read(file, (data, until), monitor, &mut |bytes| bytes.iter().all(|&byte| byte == 0))? {
            return Ok(false);
        }
        position = until;
    }
    Ok(true)
}

/// Whether `found` could be what a power loss left of `whole`: it isn't longer, and each of its bytes is the same or zero. Nothing is lost with it.
pub(super) fn is_part_of(found: &File, whole: &File, monitor: &dyn Monitor) -> io::Result<bool> {
    let size = found.metadata()?.len();
    let mut position = 0;
    let mut expected = vec![0; 256 << 10];
    let is_part = read(found, (0, size), monitor, &mut |bytes| {
        let expected = &mut expected[..bytes.len()];
        let is_there = whole.read_exact_at(expected, position).is_ok();
        position += bytes.len() as u64;
        is_there && bytes.iter().zip(&*expected).all(|(byte, good)| *byte == 0 || byte == good)
    })?;
    Ok(is_part && found.metadata()?.len() == size)
}

/// Gives the bytes from `position` to `end` to `each`, as long as that likes them. False if it doesn't, or if the file ends before.
fn read(
    file: &File,
    (mut position, end): (u64, u64),
    monitor: &dyn Monitor,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut buffer = vec![0; 256 << 10];
    while position < end {
        if monitor.interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let room = usize::try_from(end - position).map_or(buffer.len(), |room| room.min(buffer.len()));
        match file.read_at(&mut buffer[..room], position) {
            Ok(0) => return Ok(false),
            Ok(n) if !each(&buffer[..n]) => return Ok(false),
            Ok(n) => position += n as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor::Time;
    use crate::snapshot::monitor::{Progress, Silent};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn entry(kind: EntryType, seconds: i64) -> Entry {
        Entry { mtime: Time { seconds, nanoseconds: 0 }, ..Entry::new("x", kind) }
    }

    fn there(kind: EntryType) -> Metadata {
        Metadata { kind, mtime: Time { seconds: 5, nanoseconds: 0 }, ..Metadata::synthetic() }
    }

    #[test]
    fn each_rule_decides_by_types_and_times() {
        use EntryType::{Directory, File, Symlink};
        let all = [
            Rule::Fresh,
            Rule::GoOn { anew: false },
            Rule::GoOn { anew: true },
            Rule::Existing(Overwrite::Never),
            Rule::Existing(Overwrite::IfChanged),
            Rule::Existing(Overwrite::IfNewer),
            Rule::Existing(Overwrite::Always),
        ];
        let of = |wanted, seconds, now| {
            let letter = |verdict| match verdict {
                Verdict::Enter => 'e',
                Verdict::Keep => 'k',
                Verdict::Compare => 'c',
                Verdict::Complete => 'p',
                Verdict::Replace => 'R',
                Verdict::Refuse(_) => '-',
            };
            all.map(|rule| letter(verdict(rule, &entry(wanted, seconds), &there(now)))).iter().collect::<String>()
        };
        for (wanted, seconds, now, expected) in [
            (File, 4, File, "-cpkckR"),
            (File, 5, File, "-cpkckR"),
            (File, 6, File, "-cpkcRR"),
            (Symlink, 6, Symlink, "-cckcRR"),
            (Directory, 6, Directory, "eeeeeee"),
            (File, 4, Symlink, "----R-R"),
            (File, 6, Symlink, "----RRR"),
            (File, 6, Directory, "----RRR"),
            (Directory, 4, Symlink, "----R-R"),
            (Directory, 6, Symlink, "----RRR"),
        ] {
            assert_eq!(of(wanted, seconds, now), expected, "{wanted:?} of {seconds} over {now:?}");
        }
    }

    #[test]
    fn a_part_is_no_longer_and_differs_by_zeros_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            File::open(dir.path().join(name)).unwrap()
        };
        let whole = file("whole", b"abcdef");
        for part in [&b""[..], b"abc", b"abcdef", b"\0\0\0", b"a\0\0def"] {
            assert!(is_part_of(&file("part", part), &whole, &Silent::default()).unwrap(), "{part:?}");
        }
        for other in [&b"abcdefg"[..], b"abcdef\0", b"abX", b"\0\0\0\0\0X", b"bcdef"] {
            assert!(!is_part_of(&file("other", other), &whole, &Silent::default()).unwrap(), "{other:?}");
        }
    }

    #[test]
    fn content_is_compared_with_its_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            File::open(&path).unwrap()
        };
        let has_content = |file: &File, entry: &Entry| has_content(file, entry, &Silent::default());
        let mut entry = Entry::new("f", EntryType::File);
        (entry.size, entry.inline) = (Some(6), Some(b"abcdef".to_vec()));
        assert!(has_content(&file(b"abcdef"), &entry).unwrap());
        assert!(!has_content(&file(b"abcdeg"), &entry).unwrap());
        assert!(!has_content(&file(b"abcde"), &entry).unwrap(), "cut off since it was looked at");
        entry.inline = None;
        entry.hash = Some(*blake3::hash(b"bd").as_bytes());
        entry.extents = Some(vec![Extent { offset: 1, length: 1 }, Extent { offset: 3, length: 1 }]);
        assert!(has_content(&file(b"\0b\0d\0\0"), &entry).unwrap());
        for other in [&b"xb\0d\0\0"[..], b"\0bxd\0\0", b"\0b\0d\0x", b"\0x\0d\0\0"] {
            assert!(!has_content(&file(other), &entry).unwrap());
        }
    }

    /// Wants no more when it was asked so often.
    struct Impatient(Silent, AtomicUsize);

    impl Monitor for Impatient {
        fn progress(&self) -> &Progress {
            self.0.progress()
        }
        fn interrupted(&self) -> bool {
            self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        }
    }

    /// Once, Ctrl-C was heard only when a file of whatever size had been compared to its end.
    #[test]
    fn comparing_a_large_file_can_be_interrupted() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let entry = Entry { size: Some(1 << 40), hash: Some([0; 32]), ..Entry::new("f", EntryType::File) };
        let monitor = Impatient(Silent::default(), AtomicUsize::new(3));
        assert!(has_content(&file, &entry, &monitor).is_err());
    }
}
