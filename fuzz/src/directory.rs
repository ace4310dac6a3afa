//! Directories: entries one after the other, in whatever pieces they arrive.

use super::input::{assert_spelling, pieces};
use super::memory;
use nightsafe::repo::format::{MAX_INLINE_FILE, MAX_INLINE_REFS, MAX_LIST_REFS, MAX_NAME, MAX_XATTR};
use nightsafe::snapshot::tree::entry::{Content, Entry, EntryType, encode_entry};
use nightsafe::snapshot::tree::reader::EntryReader;
use std::io::{self, Read};

pub fn run(data: &[u8]) {
    let whole = read(data);
    assert_eq!(whole, read(Pieces { rest: &[], later: pieces(data) }), "pieces decide");
    let (entries, is_sound) = whole;
    let mut written = Vec::new();
    for entry in &entries {
        sound(entry);
        encode_entry(entry, &mut written);
    }
    assert!(entries.is_sorted_by(|one, other| one.name < other.name));
    if is_sound {
        assert_spelling(data, &written);
    }
    assert_eq!(read(&written[..]), (entries, true));
}

/// The entries up to the first that isn't in order, and whether there was none.
fn read(input: impl Read) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let mut reader = EntryReader::new(input);
    loop {
        // What is read at once isn't more than what there is; the largest inputs have some KB.
        match memory::at_most(4 << 20, || reader.next()) {
            Some(Ok(entry)) => entries.push(entry),
            Some(Err(_)) => {
                assert!(reader.next().is_none(), "it goes on behind an error");
                return (entries, false);
            }
            None => return (entries, true),
        }
    }
}

struct Pieces<'a, I> {
    rest: &'a [u8],
    later: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Pieces<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.later.next().unwrap_or_default();
        }
        self.rest.read(buffer)
    }
}

/// What `docs/format.md`, section 7, says of an entry.
fn sound(entry: &Entry) {
    let name = entry.name.as_slice();
    assert!(
        (1..=MAX_NAME).contains(&name.len())
            && name != b"."
            && name != b".."
            && !name.contains(&b'/')
            && !name.contains(&0)
    );
    assert!(entry.mode <= 0o7777);
    assert_eq!(entry.size.is_some(), matches!(entry.kind, EntryType::File | EntryType::Directory));
    assert_eq!(entry.target.is_some(), entry.kind == EntryType::Symlink);
    assert_eq!(entry.device.is_some(), entry.kind.is_device());
    assert!(
        entry
            .xattrs
            .iter()
            .all(|xattr| !xattr.name.is_empty() && xattr.name.len() <= 255 && xattr.value.len() <= MAX_XATTR)
    );
    assert!(entry.xattrs.is_sorted_by(|one, other| one.name < other.name));
    let contents = [entry.inline.is_some(), entry.references.is_some(), entry.list.is_some()];
    let contents = contents.into_iter().filter(|given| *given).count();
    assert_eq!(contents, usize::from(entry.kind.has_stream()));
    assert_eq!(entry.hash.is_some(), contents == 1 && entry.inline.is_none());
    let length = entry.stream_len().expect("extents that can be added up");
    assert!(entry.extents.is_none() || length <= entry.size.unwrap_or(0));
    match entry.content() {
        None => {}
        Some(Content::Inline(bytes)) => {
            assert!(bytes.len() <= MAX_INLINE_FILE && bytes.len() as u64 == length && !entry.is_secret());
            assert_eq!(entry.kind, EntryType::File);
        }
        Some(Content::References(references)) => {
            assert!(references.len() <= MAX_INLINE_REFS && references.is_empty() == (length == 0));
        }
        Some(Content::List(references)) => assert!((1..=MAX_LIST_REFS).contains(&references.len()) && length > 0),
    }
    let references = entry.references.iter().chain(&entry.list).flatten();
    assert!(references.into_iter().all(|reference| reference.count > 0
        && reference.first.checked_add(reference.count).is_some_and(|end| end <= 65_535)));
    let mut free_from = 0;
    for extent in entry.extents.iter().flatten() {
        assert!(extent.length > 0 && extent.offset >= free_from);
        free_from = extent.end().expect("an end") + 1;
        assert!(free_from <= entry.size.unwrap_or(0) + 1);
    }
}
