//! The entry of a directory: what a snapshot knows of one file, directory, link or other (`docs/format.md`, section 7).

use crate::repo::cbor::{self, Time};
use crate::repo::codec::put_varint;
use crate::snapshot::tree::recipe::Recipe;
use crate::snapshot::tree::reference::{Extent, Reference};
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// What an entry is; the codes are those of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryType {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A named pipe.
    Fifo = 4,
    /// A socket.
    Socket = 5,
    /// A character device.
    CharacterDevice = 6,
    /// A block device.
    BlockDevice = 7,
}

impl EntryType {
    /// All types, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Directory,
        Self::Symlink,
        Self::Fifo,
        Self::Socket,
        Self::CharacterDevice,
        Self::BlockDevice,
    ];

    /// The code that stands for the type.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether entries of this type have a stream, and so a size.
    pub const fn has_stream(self) -> bool {
        matches!(self, Self::File | Self::Directory)
    }

    /// Whether entries of this type stand for a device.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::CharacterDevice | Self::BlockDevice)
    }
}

impl<C> Encode<C> for EntryType {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u8(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for EntryType {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        Self::from_code(d.u8()?).ok_or_else(|| DecodeError::message("unknown type of entry"))
    }
}

/// Marks of an entry: bits of the format's field 19. Bits that aren't known are kept and have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u64);

impl Flags {
    /// The content was marked secret.
    pub const SECRET: Self = Self(1);
    /// The file changed while it was read.
    pub const CHANGED: Self = Self(1 << 1);

    /// What was in the directory was left out on purpose: it holds a marker, or is on another file system.
    pub const EMPTIED: Self = Self(1 << 2);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the bits of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether no bit is set.
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl<C> Encode<C> for Flags {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u64(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Flags {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u64().map(Self)
    }
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its whole name, as in `user.comment`.
    pub name: Vec<u8>,
    /// Its value: at most 64 KiB.
    pub value: Vec<u8>,
}

impl<C> Encode<C> for Xattr {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.bytes(&self.name)?.bytes(&self.value)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Xattr {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.array()? != Some(2) {
            return Err(DecodeError::message("an extended attribute has two parts"));
        }
        Ok(Self { name: d.bytes()?.to_vec(), value: d.bytes()?.to_vec() })
    }
}

/// One entry of a directory.
///
/// What was decoded or put together is checked by [`Entry::check`]; only then do the fields agree with each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Its name in the directory; empty only for the top of a tree.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// What it is.
    #[n(1)]
    pub kind: EntryType,
    /// The 12 permission bits.
    #[n(2)]
    pub mode: u32,
    /// The owner's number.
    #[n(3)]
    pub uid: u32,
    /// The group's number.
    #[n(4)]
    pub gid: u32,
    /// The owner's name on the host that was backed up, if it had one there.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub user: Option<Vec<u8>>,
    /// The group's name on the host that was backed up, if it had one there.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub group: Option<Vec<u8>>,
    /// Bytes of the file with its holes, or of the directory's stream; nothing for other types.
    #[n(7)]
    pub size: Option<u64>,
    /// When the content changed last.
    #[n(8)]
    pub mtime: Time,
    /// When the entry changed last.
    #[n(9)]
    pub ctime: Option<Time>,
    /// When it was created.
    #[n(10)]
    pub btime: Option<Time>,
    /// Where a symbolic link leads.
    #[cbor(n(11), with = "minicbor::bytes")]
    pub target: Option<Vec<u8>>,
    /// Major and minor number of a device.
    #[n(12)]
    pub device: Option<(u32, u32)>,
    /// Entries of one snapshot with the same group are one file with several names.
    #[cbor(n(13), with = "minicbor::bytes")]
    pub link_group: Option<[u8; 8]>,
    /// Extended attributes, sorted by name.
    #[cbor(n(14), skip_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
    /// The stream itself, if it is short; see [`Entry::content`].
    #[cbor(n(15), with = "minicbor::bytes")]
    pub inline: Option<Vec<u8>>,
    /// The references of the stream, if they are few; see [`Entry::content`].
    #[n(16)]
    pub references: Option<Vec<Reference>>,
    /// The references of the list of the stream's references; see [`Entry::content`].
    #[n(17)]
    pub list: Option<Vec<Reference>>,
    /// The content hash of the stream; of the file, where that was expanded.
    #[cbor(n(18), with = "minicbor::bytes")]
    pub hash: Option<[u8; 32]>,
    /// Marks.
    #[cbor(n(19), skip_if = "Flags::is_empty")]
    pub flags: Flags,
    /// The data extents of a sparse file: its stream holds only these bytes.
    #[n(20)]
    pub extents: Option<Vec<Extent>>,
    /// What rebuilds a file that was expanded: the stream isn't the file then.
    #[n(21)]
    pub recipe: Option<Recipe>,
}

/// Where the bytes of an entry's stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Here they are.
    Inline(&'a [u8]),
    /// In these chunks.
    References(&'a [Reference]),
    /// In the chunks of the list that is in these chunks.
    List(&'a [Reference]),
}

impl Entry {
    /// Gives another entry this one's content: that of another name of the same file, or of the same bytes seen before.
    pub fn copy_content_to(&self, to: &mut Self) {
        to.size = self.size;
        to.inline.clone_from(&self.inline);
        to.references.clone_from(&self.references);
        to.list.clone_from(&self.list);
        to.hash = self.hash;
        to.flags = self.flags;
        to.extents.clone_from(&self.extents);
        to.recipe.clone_from(&self.recipe);
    }

    /// An entry that has only what every entry has.
    pub fn new(name: impl Into<Vec<u8>>, kind: EntryType) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            size: None,
            mtime: Time::default(),
            ctime: None,
            btime: None,
            target: None,
            device: None,
            link_group: None,
            xattrs: Vec::new(),
            inline: None,
            references: None,
            list: None,
            hash: None,
            flags: Flags::default(),
            extents: None,
            recipe: None,
        }
    }

    /// Where the bytes of the stream are; nothing for types without one, and for an entry that fails [`Entry::check`] perhaps.
    pub fn content(&self) -> Option<Content<'_>> {
        let inline = self.inline.as_deref().map(Content::Inline);
        let references = self.references.as_deref().map(Content::References);
        inline.or(references).or(self.list.as_deref().map(Content::List))
    }

    /// Bytes of the stream: the size, what the extents of a sparse file add up to, or what the recipe says of a file that was expanded; nothing if that overflows.
    pub fn stream_len(&self) -> Option<u64> {
        if let Some(recipe) = &self.recipe {
            return Some(recipe.stream_bytes);
        }
        let size = self.size.unwrap_or(0);
        self.extents
            .as_ref()
            .map_or(Some(size), |extents| extents.iter().try_fold(0u64, |n, e| n.checked_add(e.length)))
    }

    /// The content hash of the stream, which is that of the file unless it was expanded.
    pub fn stream_hash(&self) -> Option<[u8; 32]> {
        self.recipe.as_ref().map_or(self.hash, |recipe| Some(recipe.stream_hash))
    }

    /// All references that stand in the entry itself.
    pub fn named(&self) -> impl Iterator<Item = &Reference> {
        let recipe = self.recipe.iter().flat_map(|recipe| recipe.references.iter().chain(&recipe.list));
        self.references.iter().chain(&self.list).chain(recipe).flatten()
    }

    /// Whether some of its references stand in lists.
    pub fn has_list(&self) -> bool {
        self.list.is_some() || self.recipe.as_ref().is_some_and(|recipe| recipe.list.is_some())
    }

    /// Whether the content was marked secret.
    pub const fn is_secret(&self) -> bool {
        self.flags.contains(Flags::SECRET)
    }
}

/// Appends an entry to a directory's stream.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let bytes = cbor::encode(entry);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_bytes_that_the_format_says() {
        let mut entry = Entry::new(b"a\xff".to_vec(), EntryType::File);
        entry.mode = 0o640;
        entry.size = Some(2);
        entry.mtime = Time { seconds: -1, nanoseconds: 5 };
        entry.link_group = Some([1; 8]);
        entry.inline = Some(b"hi".to_vec());
        entry.flags.insert(Flags::CHANGED);
        let mut bytes = Vec::new();
        encode_entry(&entry, &mut bytes);
        let expected = [
            &[0x25, 0xaa][..],                     // length, map of 10
            &[0x00, 0x42, b'a', 0xff],             // name
            &[0x01, 0x01, 0x02, 0x19, 0x01, 0xa0], // type, mode
            &[0x03, 0x00, 0x04, 0x00, 0x07, 0x02], // uid, gid, size
            &[0x08, 0x82, 0x20, 0x05],             // mtime
            &[0x0d, 0x48, 1, 1, 1, 1, 1, 1, 1, 1], // hard-link group
            &[0x0f, 0x42, b'h', b'i', 0x13, 0x02], // content, flags
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn codes_of_types_are_those_of_the_format() {
        let codes: Vec<u8> = EntryType::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(EntryType::from_code(0), None);
        assert_eq!(EntryType::from_code(8), None);
    }
}
