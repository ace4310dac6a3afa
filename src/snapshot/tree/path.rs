//! Paths inside a snapshot: clean components of bytes, and how names are shown to people.

use crate::repo::format::MAX_DEPTH;
use crate::snapshot::tree::check::is_name;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A path inside a snapshot: components that are neither empty, `.` nor `..` and hold no NUL, relative to the top.
///
/// The empty path is the top itself. It is kept as its components joined by `/`, which is also its form in CBOR (a byte string). Paths are ordered
/// as a depth-first walk meets them: component by component.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SafePath(Vec<u8>);

/// Bytes that can't be a path inside a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct PathError {
    /// The bytes, escaped.
    pub path: String,
    /// What is wrong with them.
    pub fault: &'static str,
}

impl SafePath {
    /// The top of a snapshot.
    pub const fn top() -> Self {
        Self(Vec::new())
    }

    /// The path that a person wrote: leading, trailing and repeated `/` and the component `.` have no effect, `..` is refused.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let mut path = Self::top();
        for component in text.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".") {
            path.push(component).map_err(|e| PathError { path: escape_name(text), fault: e.fault })?;
        }
        Ok(path)
    }

    /// The path with exactly these bytes: components joined by single `/`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self::top());
        }
        let mut path = Self::top();
        for component in bytes.split(|&b| b == b'/') {
            path.push(component).map_err(|e| PathError { path: escape_name(bytes), fault: e.fault })?;
        }
        Ok(path)
    }

    /// The components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the top.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the top downwards.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }

    /// How many components there are.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The last component; nothing for the top.
    pub fn name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The directory that it is in; nothing for the top.
    pub fn parent(&self) -> Option<Self> {
        let mut parent = self.clone();
        parent.pop();
        (!self.is_top()).then_some(parent)
    }

    /// Goes down to the child `name`; leaves the path as it is if that can't be a name.
    pub fn push(&mut self, name: &[u8]) -> Result<(), PathError> {
        let fault = |fault| PathError { path: escape_name(name), fault };
        if name == b".." {
            return Err(fault("`..` is not allowed"));
        }
        if !is_name(name) {
            return Err(fault("not a possible name"));
        }
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(())
    }

    /// Goes up to the parent; the top stays where it is.
    pub fn pop(&mut self) {
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        self.0.truncate(end);
    }

    /// The child `name` of this path.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        let mut child = self.clone();
        child.push(name)?;
        Ok(child)
    }

    /// The path that lies at `below` under this one.
    #[must_use]
    pub fn descend(&self, below: &Self) -> Self {
        let between: &[u8] = if self.is_top() || below.is_top() { b"" } else { b"/" };
        Self([self.0.as_slice(), between, below.0.as_slice()].concat())
    }

    /// What is left of this path below `parent`; nothing if it isn't below it.
    pub fn below(&self, parent: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(parent.0.as_slice())?;
        match rest.strip_prefix(b"/") {
            Some(rest) if !parent.is_top() => Some(Self(rest.to_vec())),
            _ if parent.is_top() || rest.is_empty() => Some(Self(rest.to_vec())),
            _ => None,
        }
    }
}

impl PartialOrd for SafePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SafePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components())
    }
}

impl FromStr for SafePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text.as_bytes())
    }
}

/// Escaped, with a `/` in front.
impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", escape_name(&self.0))
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafePath({self})")
    }
}

impl<C> Encode<C> for SafePath {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SafePath {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let path = Self::from_bytes(d.bytes()?).map_err(|_| DecodeError::message("not a clean path"))?;
        if path.depth() <= MAX_DEPTH { Ok(path) } else { Err(DecodeError::message("a path deeper than any tree")) }
    }
}

/// A name or path for people: what a terminal would obey or hide is written as an escape, and so is what isn't UTF-8.
///
/// `\` becomes `\\`, so that different names never look the same; line feed, carriage return and tab become `\n`, `\r`, `\t`; other control bytes and bytes that
/// aren't UTF-8 become `\x1b`; characters beyond ASCII that control or hide (C1, bidirectional marks, zero-width, separators) become `\u{202e}`.
pub fn escape_name(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                c if c.is_ascii_control() => escape_byte(&mut shown, u32::from(c)),
                c if hides(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        for &byte in chunk.invalid() {
            escape_byte(&mut shown, u32::from(byte));
        }
    }
    shown
}

fn escape_byte(shown: &mut String, byte: u32) {
    let written = write!(shown, "\\x{byte:02x}");
    debug_assert!(written.is_ok(), "writing to a String can't fail");
}

/// Whether a character changes how others are shown, or can't be seen (Unicode: Cc, most of Cf, Zl, Zp).
const fn hides(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;
    use proptest::prelude::*;

    #[test]
    fn what_people_write_is_cleaned_and_what_leads_out_is_refused() {
        for (text, clean) in [("", ""), ("/", ""), ("a", "a"), ("/a//b/./c/", "a/b/c"), ("./.", ""), ("...", "...")] {
            assert_eq!(text.parse::<SafePath>().unwrap().as_bytes(), clean.as_bytes(), "{text}");
        }
        for text in ["..", "/a/../b", "a/..", "a\0b"] {
            assert!(text.parse::<SafePath>().is_err(), "{text:?}");
        }
        let error = SafePath::parse(b"a\x1b/../b").unwrap_err();
        assert_eq!(error.to_string(), "a\\x1b/../b: `..` is not allowed");
    }

    #[test]
    fn only_clean_bytes_are_decoded() {
        for text in ["/a", "a/", "a//b", ".", "a/./b", "..", "a\0", "/"] {
            assert!(SafePath::from_bytes(text.as_bytes()).is_err(), "{text:?}");
            let bytes = minicbor::to_vec(minicbor::bytes::ByteVec::from(text.as_bytes().to_vec())).unwrap();
            assert!(cbor::decode::<SafePath>("path", &bytes).is_err(), "{text:?}");
        }
        assert!(SafePath::from_bytes(&[b'x'; crate::repo::format::MAX_NAME]).is_ok());
        assert!(SafePath::from_bytes(&[b'x'; crate::repo::format::MAX_NAME + 1]).is_err());
        let deep = "a/".repeat(MAX_DEPTH) + "a";
        let deep = SafePath::from_bytes(deep.as_bytes()).unwrap();
        assert!(cbor::decode::<SafePath>("path", &cbor::encode(&deep)).is_err(), "deeper than any tree");
    }

    fn component() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 1..6).prop_filter("a possible name", |name| is_name(name))
    }

    proptest! {
        #[test]
        fn paths_are_their_components(components in prop::collection::vec(component(), 0..6), other in prop::collection::vec(component(), 0..6)) {
            let build = |components: &[Vec<u8>]| {
                let mut path = SafePath::top();
                for component in components {
                    path.push(component).unwrap();
                }
                path
            };
            let path = build(&components);
            prop_assert_eq!(path.components().map(<[u8]>::to_vec).collect::<Vec<_>>(), components.clone());
            prop_assert_eq!(path.depth(), components.len());
            prop_assert_eq!(SafePath::from_bytes(path.as_bytes()).unwrap(), path.clone());
            prop_assert_eq!(SafePath::parse(path.as_bytes()).unwrap(), path.clone());
            prop_assert_eq!(cbor::decode::<SafePath>("path", &cbor::encode(&path)).unwrap(), path.clone());
            prop_assert_eq!(path.cmp(&build(&other)), components.cmp(&other));
            prop_assert_eq!(build(&[components.clone(), other.clone()].concat()).below(&path), Some(build(&other)));
            prop_assert_eq!(build(&other).below(&path).is_some(), other.starts_with(&components));
            let mut parent = path.clone();
            parent.pop();
            prop_assert_eq!(parent, build(&components[..components.len().saturating_sub(1)]));
        }

        #[test]
        fn escaped_names_are_harmless_and_differ(a: Vec<u8>, b: Vec<u8>) {
            let (shown_a, shown_b) = (escape_name(&a), escape_name(&b));
            prop_assert!(!shown_a.chars().any(|c| c.is_control() || hides(c)));
            prop_assert_eq!(shown_a == shown_b, a == b);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(escape_name(b"a\x1b[31m\n\\\xff"), "a\\x1b[31m\\n\\\\\\xff");
        assert_eq!(escape_name("Ä€ \u{202e}\u{9b}\u{200b}".as_bytes()), "Ä€ \\u{202e}\\u{9b}\\u{200b}");
        assert_eq!(SafePath::parse(b"x/\x07").unwrap().to_string(), "/x/\\x07");
    }
}
