//! Two trees, walked side by side in bounded memory.

use crate::repo::error::ReadError;
use crate::repo::format::MAX_DEPTH;
use crate::repo::reader::Reader;
use crate::snapshot::browse::{self, BrowseError, Count};
use crate::snapshot::diff::entry::{Aspect, Change, Sameness, content, metadata};
use crate::snapshot::diff::{Part, Summary};
use crate::snapshot::stream::{StreamReader, unwrap_read_error};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use std::cmp::Ordering;
use std::io::{BufRead, BufReader};
use std::iter::Peekable;
use std::ops::ControlFlow;

/// An entry that differs.
#[derive(Debug)]
pub struct Difference<'d> {
    /// Where it is.
    pub path: &'d SafePath,
    /// How it differs.
    pub change: Change,
    /// What it was; nothing if it was added.
    pub before: Option<&'d Entry>,
    /// What it is; nothing if it was removed.
    pub after: Option<&'d Entry>,
    /// What differs of its metadata, if it was there before.
    pub metadata: Vec<Aspect>,
    /// The variables that a secret file sets and didn't.
    pub variables_added: Vec<String>,
    /// The variables that a secret file set and doesn't.
    pub variables_removed: Vec<String>,
}

/// The entries of a directory.
type Entries<'r> = Peekable<Box<dyn Iterator<Item = Result<Entry, ReadError>> + 'r>>;

/// Directories of the same path; nothing on a side that has none.
struct Level<'r> {
    path: SafePath,
    before: Option<Entries<'r>>,
    after: Option<Entries<'r>>,
}

/// Entries of the same name, one of them at least.
type Pair = (Option<Entry>, Option<Entry>);

/// Whoever hears of differences.
type Each<'e> = &'e mut dyn FnMut(&Difference<'_>) -> ControlFlow<()>;

/// A comparison of two trees.
pub(super) struct Trees<'r, 's> {
    reader: &'r Reader<'r>,
    before: Part<'s>,
    after: Part<'s>,
    /// Whether paths begin at the parts.
    relative: bool,
    summary: Summary,
}

impl<'r, 's> Trees<'r, 's> {
    pub(super) fn new(reader: &'r Reader<'r>, before: Part<'s>, after: Part<'s>) -> Self {
        Self { reader, before, after, relative: false, summary: Summary::default() }
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    /// Compares two entries and all below them.
    pub(super) fn compare(&mut self, before: &Entry, after: &Entry, each: Each<'_>) -> Result<(), BrowseError> {
        let are_directories = before.kind == EntryType::Directory && after.kind == EntryType::Directory;
        let (path, other) = (self.after.path(), self.before.path());
        self.relative = path != other && are_directories;
        let base = if self.relative { SafePath::top() } else { path };
        // What is known of the top of a snapshot was made up with it.
        if !(are_directories && base.is_top()) && self.differ(&base, Some(before), Some(after), each)?.is_break() {
            return Ok(());
        }
        let mut counts = [self.before, self.after].map(|part| Count::of(part.snapshot));
        let mut open = Vec::new();
        open.extend(self.descend(&base, Some(before), Some(after))?);
        // One open stream on each side for each directory on the path, each holding one frame at most.
        while let Some(level) = open.last_mut() {
            let failed = |path: &SafePath, source| BrowseError::Read { path: path.clone(), source };
            let Some((before, after)) = level.next().map_err(|source| failed(&level.path, source))? else {
                open.pop();
                continue;
            };
            let name = before.as_ref().or(after.as_ref()).map_or(&[][..], |entry| &entry.name);
            let too_deep = |why: String| failed(&level.path, ReadError::Directory { why });
            let path = level.path.join(name).map_err(|error| too_deep(error.to_string()))?;
            if open.len() > MAX_DEPTH {
                return Err(failed(
                    &path,
                    ReadError::Directory { why: format!("deeper than {MAX_DEPTH} directories") },
                ));
            }
            for (count, entry) in counts.iter_mut().zip([&before, &after]) {
                entry.as_ref().map_or(Ok(()), |_| count.one(&path))?;
            }
            if self.differ(&path, before.as_ref(), after.as_ref(), each)?.is_break() {
                return Ok(());
            }
            open.extend(self.descend(&path, before.as_ref(), after.as_ref())?);
        }
        Ok(())
    }

    /// Opens what is to be looked into: directories, unless they are alike.
    fn descend(
        &self,
        path: &SafePath,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Result<Option<Level<'r>>, BrowseError> {
        let directory = |entry: Option<&'_ Entry>| entry.filter(|entry| entry.kind == EntryType::Directory).cloned();
        let (before, after) = (directory(before), directory(after));
        let alike = matches!((&before, &after), (Some(one), Some(other)) if content(one, other) == Sameness::Same);
        if alike || before.is_none() && after.is_none() {
            return Ok(None);
        }
        let open = |entry: Option<Entry>| -> Result<Option<Entries<'r>>, BrowseError> {
            let Some(entry) = entry else { return Ok(None) };
            let entries = browse::entries(self.reader, &entry)
                .map_err(|source| BrowseError::Read { path: path.clone(), source })?;
            Ok(Some((Box::new(entries) as Box<dyn Iterator<Item = _> + 'r>).peekable()))
        };
        Ok(Some(Level { path: path.clone(), before: open(before)?, after: open(after)? }))
    }

    /// Tells how the entries at a path differ, if they do.
    fn differ(
        &mut self,
        path: &SafePath,
        before: Option<&Entry>,
        after: Option<&Entry>,
        each: Each<'_>,
    ) -> Result<ControlFlow<()>, BrowseError> {
        let aspects = before.zip(after).map_or_else(Vec::new, |(before, after)| metadata(before, after));
        let change = match (before, after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (Some(before), Some(after)) if before.kind != after.kind => Change::Type,
            (Some(before), Some(after)) => match self.content(path, before, after)? {
                Sameness::Different => Change::Content,
                Sameness::Untold => Change::Unknown,
                Sameness::Same if aspects.is_empty() => return Ok(ControlFlow::Continue(())),
                Sameness::Same => Change::Metadata,
            },
        };
        self.count(change, before, after);
        let (variables_added, variables_removed) = self.variables(path, before, after);
        let metadata = if change == Change::Type { Vec::new() } else { aspects };
        Ok(each(&Difference { path, change, before, after, metadata, variables_added, variables_removed }))
    }

    /// Whether the content is the same. What is in directories is compared later, and secret files are read where their entries don't tell.
    fn content(&self, path: &SafePath, before: &Entry, after: &Entry) -> Result<Sameness, BrowseError> {
        if before.kind == EntryType::Directory {
            return Ok(Sameness::Same);
        }
        match content(before, after) {
            Sameness::Untold => match self.same_bytes(before, after) {
                Ok(true) => Ok(Sameness::Same),
                Ok(false) => Ok(Sameness::Different),
                Err(source) if source.is_store_failure() => Err(BrowseError::Read { path: path.clone(), source }),
                Err(_) => Ok(Sameness::Untold),
            },
            told => Ok(told),
        }
    }

    fn same_bytes(&self, before: &Entry, after: &Entry) -> Result<bool, ReadError> {
        let mut streams = [before, after].map(|entry| StreamReader::of(self.reader, entry).map(BufReader::new));
        let [Ok(one), Ok(other)] = &mut streams else {
            return streams.into_iter().try_for_each(|stream| stream.map(drop)).map(|()| false);
        };
        loop {
            let a = one.fill_buf().map_err(unwrap_read_error)?;
            let b = other.fill_buf().map_err(unwrap_read_error)?;
            let n = a.len().min(b.len());
            if n == 0 {
                return Ok(a.len() == b.len());
            }
            if a[..n] != b[..n] {
                return Ok(false);
            }
            one.consume(n);
            other.consume(n);
        }
    }

    /// The variables that only the second entry sets, and those that only the first does; of secret files.
    fn variables(&self, path: &SafePath, before: Option<&Entry>, after: Option<&Entry>) -> (Vec<String>, Vec<String>) {
        let names = |part: Part<'s>, entry: Option<&Entry>| -> &'s [String] {
            if !entry.is_some_and(Entry::is_secret) {
                return &[];
            }
            if !self.relative {
                return part.variables(path);
            }
            let inside = path.components().try_fold(part.path(), |path, name| path.join(name).ok());
            inside.map_or(&[], move |path| part.variables(&path))
        };
        let (before, after) = (names(self.before, before), names(self.after, after));
        let without = |all: &[String], others: &[String]| -> Vec<String> {
            all.iter().filter(|name| !others.contains(name)).cloned().collect()
        };
        (without(after, before), without(before, after))
    }

    fn count(&mut self, change: Change, before: Option<&Entry>, after: Option<&Entry>) {
        let size = |entry: &Entry| if entry.kind == EntryType::File { entry.size.unwrap_or(0) } else { 0 };
        let (old, new) = (before.map_or(0, size), after.map_or(0, size));
        let s = &mut self.summary;
        match change {
            Change::Added => after.into_iter().for_each(|entry| s.added.count(entry)),
            Change::Removed => before.into_iter().for_each(|entry| s.removed.count(entry)),
            Change::Content => after.into_iter().for_each(|entry| s.changed.count(entry)),
            Change::Unknown => s.unknown += 1,
            Change::Metadata => s.metadata += 1,
            Change::Type => s.types += 1,
        }
        match change {
            Change::Content => {
                s.bytes_before = s.bytes_before.saturating_add(old);
                s.bytes_after = s.bytes_after.saturating_add(new);
            }
            Change::Added | Change::Removed | Change::Type => {
                s.bytes_added = s.bytes_added.saturating_add(new);
                s.bytes_removed = s.bytes_removed.saturating_add(old);
            }
            Change::Unknown | Change::Metadata => {}
        }
    }
}

impl Level<'_> {
    /// The entries of the next name.
    fn next(&mut self) -> Result<Option<Pair>, ReadError> {
        next_pair(self.before.as_mut(), self.after.as_mut())
    }
}

/// The entries of the next name of two directories whose entries are sorted; an error comes before what is behind it.
fn next_pair<I, J, E>(
    mut before: Option<&mut Peekable<I>>,
    mut after: Option<&mut Peekable<J>>,
) -> Result<Option<Pair>, E>
where
    I: Iterator<Item = Result<Entry, E>>,
    J: Iterator<Item = Result<Entry, E>>,
{
    let order = {
        let one = before.as_mut().and_then(|entries| entries.peek());
        let other = after.as_mut().and_then(|entries| entries.peek());
        match (one, other) {
            (None, None) => return Ok(None),
            (Some(Ok(one)), Some(Ok(other))) => one.name.cmp(&other.name),
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(_)) => Ordering::Greater,
        }
    };
    let one = if order.is_le() { before.and_then(Iterator::next) } else { None };
    let other = if order.is_ge() { after.and_then(Iterator::next) } else { None };
    Ok(Some((one.transpose()?, other.transpose()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn entries(names: &BTreeMap<Vec<u8>, u64>) -> Vec<Result<Entry, String>> {
        let entry = |(name, size): (&Vec<u8>, &u64)| {
            Ok(Entry { size: Some(*size), ..Entry::new(name.clone(), EntryType::File) })
        };
        names.iter().map(entry).collect()
    }

    proptest! {
        #[test]
        fn names_meet_as_in_a_merged_set(
            before in prop::collection::btree_map(prop::collection::vec(97u8..101, 1..3), 0..9u64, 0..9),
            after in prop::collection::btree_map(prop::collection::vec(97u8..101, 1..3), 0..9u64, 0..9),
        ) {
            let (mut one, mut other) = (entries(&before).into_iter().peekable(), entries(&after).into_iter().peekable());
            let mut met = Vec::new();
            while let Some((one, other)) = next_pair(Some(&mut one), Some(&mut other)).unwrap() {
                let name = one.as_ref().or(other.as_ref()).unwrap().name.clone();
                met.push((name, one.and_then(|entry| entry.size), other.and_then(|entry| entry.size)));
            }
            let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            let expected: Vec<_> =
                names.into_iter().map(|name| (name.clone(), before.get(&name).copied(), after.get(&name).copied())).collect();
            prop_assert_eq!(met, expected);
        }
    }

    type Side = Peekable<std::vec::IntoIter<Result<Entry, &'static str>>>;

    #[test]
    fn errors_come_at_once_and_a_missing_side_is_empty() {
        let broken = || vec![Err::<Entry, _>("broken")].into_iter().peekable();
        let whole = || vec![Ok::<_, &str>(Entry::new("a", EntryType::Fifo))].into_iter().peekable();
        assert_eq!(next_pair(Some(&mut broken()), Some(&mut whole())).unwrap_err(), "broken");
        assert_eq!(next_pair(Some(&mut whole()), Some(&mut broken())).unwrap_err(), "broken");
        let (one, other) = next_pair(None::<&mut Side>, Some(&mut whole())).unwrap().unwrap();
        assert_eq!((one, other.map(|entry| entry.name)), (None, Some(b"a".to_vec())));
        assert_eq!(next_pair(None::<&mut Side>, None::<&mut Side>), Ok(None));
    }
}
