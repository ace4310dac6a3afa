//! Reading streams back: references → frames → bytes, compared with the content hash at the end.

use crate::repo::error::ReadError;
use crate::repo::format::Class;
use crate::repo::keys::domain::SecretRoot;
use crate::repo::pack::frame::OpenFrame;
use crate::repo::reader::Reader;
use crate::snapshot::tree::entry::{Content, Entry, EntryType};
use crate::snapshot::tree::list::ListReader;
use crate::snapshot::tree::reader::TreeError;
use crate::snapshot::tree::recipe::Recipe;
use crate::snapshot::tree::reference::Reference;
use std::io::{self, Read};
use std::sync::Arc;

/// Longest encoded list that is read (`docs/format.md`, section 1): 2²⁶ references, each to another frame, take a little more than 2 GiB. Bytes are read before memory is
/// taken for them, so a list that claims more than it has costs nothing.
const MAX_LIST: u64 = 3 << 30;

/// Compares content with its hash. In class secret the key comes with the frames.
pub struct ContentHasher {
    hasher: Option<blake3::Hasher>,
}

impl ContentHasher {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Self { hasher: None }
    }

    /// Hashes the next bytes, which come from `frame`.
    pub fn update(&mut self, frame: &OpenFrame, bytes: &[u8]) {
        let keyed = || frame.secret_root.as_ref().map(SecretRoot::content_hasher);
        let hasher = self.hasher.get_or_insert_with(|| keyed().unwrap_or_default());
        hasher.update(bytes);
    }

    /// Fails unless the stream was the one with this hash.
    pub fn finish(self, expected: Option<[u8; 32]>) -> Result<(), ReadError> {
        let found = self.hasher.unwrap_or_default().finalize();
        // `blake3::Hash` compares in constant time.
        match expected {
            Some(expected) if found == blake3::Hash::from_bytes(expected) => Ok(()),
            _ => Err(ReadError::ContentHash),
        }
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The class that the stream of an entry is stored in.
pub fn class_of(entry: &Entry) -> Class {
    match entry.kind {
        EntryType::Directory => Class::Meta,
        _ if entry.is_secret() => Class::Secret,
        _ => Class::Data,
    }
}

/// All references of an entry's stream; those of a long one are read from its list.
pub fn references(reader: &Reader<'_>, entry: &Entry) -> Result<Vec<Reference>, ReadError> {
    collected(&mut |each| each_of_stream(reader, entry, each))
}

/// All references of a recipe.
pub fn references_of_recipe(reader: &Reader<'_>, recipe: &Recipe) -> Result<Vec<Reference>, ReadError> {
    collected(&mut |each| each_of_recipe(reader, recipe, each))
}

/// Calls `each` for every reference that it takes to have an entry's content. Memory: that of the encoded list, however many references it says it has: a list of a few KB may hold 2²⁶.
///
/// # Errors
/// If a list can't be read or isn't sound; `each` may have been called by then.
pub fn each_reference(reader: &Reader<'_>, entry: &Entry, each: Each<'_>) -> Result<(), ReadError> {
    each_of_stream(reader, entry, each)?;
    entry.recipe.as_ref().map_or(Ok(()), |recipe| each_of_recipe(reader, recipe, each))
}

/// Whoever takes references, one after the other.
type Each<'e> = &'e mut dyn FnMut(Reference) -> Result<(), ReadError>;

fn collected(walk: &mut dyn FnMut(Each<'_>) -> Result<(), ReadError>) -> Result<Vec<Reference>, ReadError> {
    let mut references = Vec::new();
    walk(&mut |reference| {
        references.push(reference);
        Ok(())
    })?;
    Ok(references)
}

fn each_of_stream(reader: &Reader<'_>, entry: &Entry, each: Each<'_>) -> Result<(), ReadError> {
    match entry.content() {
        None | Some(Content::Inline(_)) => Ok(()),
        Some(Content::References(references)) => references.iter().copied().try_for_each(each),
        Some(Content::List(list)) => each_listed(reader, list, (entry.stream_len(), entry.stream_hash()), each),
    }
}

fn each_of_recipe(reader: &Reader<'_>, recipe: &Recipe, each: Each<'_>) -> Result<(), ReadError> {
    match &recipe.list {
        Some(list) => each_listed(reader, list, (Some(recipe.bytes), Some(recipe.hash)), each),
        None => recipe.references.iter().flatten().copied().try_for_each(each),
    }
}

/// Those that a list holds, of a stream of this length and hash.
fn each_listed(
    reader: &Reader<'_>,
    list: &[Reference],
    of: (Option<u64>, Option<[u8; 32]>),
    each: Each<'_>,
) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    let list = StreamReader::new(reader, list.to_vec(), Class::Meta);
    list.take(MAX_LIST).read_to_end(&mut bytes).map_err(unwrap_read_error)?;
    let list = ListReader::new(&bytes)?;
    if (Some(list.bytes()), Some(list.hash())) != of {
        return Err(ReadError::ContentHash);
    }
    for reference in list {
        each(reference?)?;
    }
    Ok(())
}

/// The chunks that a reference names, in a frame of the right class.
pub fn referred<'f>(frame: &'f OpenFrame, reference: &Reference, class: Class) -> Result<&'f [u8], ReadError> {
    if frame.class != class {
        return Err(ReadError::Class { frame: reference.frame, found: frame.class, wanted: class });
    }
    let Reference { frame: id, first, count } = *reference;
    let last = first.saturating_add(count).saturating_sub(1);
    frame.chunks(first, count).ok_or(ReadError::Chunks { frame: id, first, last })
}

/// Reads a stream, a frame at a time.
pub struct StreamReader<'r> {
    reader: &'r Reader<'r>,
    references: std::vec::IntoIter<Reference>,
    class: Class,
    current: Option<(Arc<OpenFrame>, Reference, usize)>,
    check: Option<(ContentHasher, Option<[u8; 32]>)>,
}

impl<'r> StreamReader<'r> {
    /// The bytes of `references`; chunks are verified, the whole isn't.
    pub fn new(reader: &'r Reader<'r>, references: Vec<Reference>, class: Class) -> Self {
        Self { reader, references: references.into_iter(), class, current: None, check: None }
    }

    /// The stream of an entry, which isn't the file if that was expanded. Its end is only reached if all of it has the entry's content hash: else the last read fails.
    pub fn of(reader: &'r Reader<'r>, entry: &Entry) -> Result<Self, ReadError> {
        let mut stream = Self::new(reader, references(reader, entry)?, class_of(entry));
        stream.check = Some((ContentHasher::new(), entry.stream_hash()));
        Ok(stream)
    }

    /// A recipe, checked likewise.
    pub fn of_recipe(reader: &'r Reader<'r>, recipe: &Recipe) -> Result<Self, ReadError> {
        let mut stream = Self::new(reader, references_of_recipe(reader, recipe)?, Class::Data);
        stream.check = Some((ContentHasher::new(), Some(recipe.hash)));
        Ok(stream)
    }

    fn next_bytes(&mut self, room: &mut [u8]) -> Result<usize, ReadError> {
        loop {
            if let Some((frame, reference, at)) = &mut self.current {
                let rest = &referred(frame, reference, self.class)?[*at..];
                if !rest.is_empty() {
                    let n = rest.len().min(room.len());
                    room[..n].copy_from_slice(&rest[..n]);
                    *at += n;
                    if let Some((hasher, _)) = &mut self.check {
                        hasher.update(frame, &room[..n]);
                    }
                    return Ok(n);
                }
            }
            if let Some(reference) = self.references.next() {
                let frame = self.reader.frame_with(reference.frame, reference.first, reference.count)?;
                self.current = Some((frame, reference, 0));
                continue;
            }
            self.current = None;
            if let Some((hasher, expected)) = self.check.take() {
                hasher.finish(expected)?;
            }
            return Ok(0);
        }
    }
}

impl Read for StreamReader<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        self.next_bytes(room).map_err(io::Error::other)
    }
}

/// The error that a [`StreamReader`] wrapped to pass it through [`Read`].
pub fn unwrap_read_error(error: io::Error) -> ReadError {
    error.downcast::<ReadError>().unwrap_or_else(ReadError::Io)
}

/// What is wrong with a directory, as an error of reading.
pub fn of_tree_error(error: TreeError) -> ReadError {
    match error {
        TreeError::Read(error) => unwrap_read_error(error),
        TreeError::Malformed(malformed) => malformed.into(),
        other => ReadError::Directory { why: other.to_string() },
    }
}
