//! The values of a row.

use memchr::memchr;
use std::borrow::Cow;

/// The values of a row in COPY's text format, in the order of the statement's columns; `None` is NULL.
///
/// `row` comes without its line feed. A table without columns has one empty value here: the format can't tell the two.
pub const fn values(row: &[u8]) -> Values<'_> {
    Values { rest: Some(row) }
}

/// Iterates over the values of a row: see [`values`].
#[derive(Debug, Clone)]
pub struct Values<'r> {
    rest: Option<&'r [u8]>,
}

impl<'r> Iterator for Values<'r> {
    type Item = Option<Cow<'r, [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        // A tabulator within a value is escaped, so this one separates.
        let (value, rest) = match memchr(b'\t', rest) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some((value != b"\\N").then(|| unescape(value)))
    }
}

/// A value without its escapes: copied only if it has some.
fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = memchr(b'\\', value) else {
        return Cow::Borrowed(value);
    };
    let mut rest = value;
    let mut plain = Vec::with_capacity(value.len());
    loop {
        plain.extend_from_slice(&rest[..at]);
        let (byte, length) = escaped(&rest[at + 1..]);
        plain.push(byte);
        rest = &rest[at + 1 + length..];
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// The byte that stands behind a backslash, and how many bytes it takes there.
fn escaped(rest: &[u8]) -> (u8, usize) {
    match rest {
        [] => (b'\\', 0),
        [b'b', ..] => (8, 1),
        [b'f', ..] => (12, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'v', ..] => (11, 1),
        [b'0'..=b'7', ..] => digits(rest, 8, 3),
        [b'x', hex @ ..] if hex.first().is_some_and(u8::is_ascii_hexdigit) => {
            let (byte, length) = digits(hex, 16, 2);
            (byte, length + 1)
        }
        [other, ..] => (*other, 1),
    }
}

/// The number that at most `most` digits make up, without what exceeds a byte, and how many there are.
fn digits(rest: &[u8], radix: u32, most: usize) -> (u8, usize) {
    let digits = rest.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    let (number, length) = digits.fold((0, 0), |(number, length), digit| (number * radix + digit, length + 1));
    (number.to_le_bytes()[0], length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(row: &[u8]) -> Vec<Option<Vec<u8>>> {
        values(row).map(|value| value.map(Cow::into_owned)).collect()
    }

    #[allow(clippy::unnecessary_wraps)] // it is what values look like
    fn some(value: &[u8]) -> Option<Vec<u8>> {
        Some(value.to_vec())
    }

    #[test]
    fn values_of_all_kinds() {
        assert_eq!(decoded(b"1\t\\N\t\ttext"), [some(b"1"), None, some(b""), some(b"text")]);
        assert_eq!(decoded(b""), [some(b"")]);
        assert_eq!(decoded(b"\t"), [some(b""), some(b"")]);
        assert_eq!(decoded(b"\\\\N\t\\N\\N\tx\\N"), [some(b"\\N"), some(b"NN"), some(b"xN")]);
        assert_eq!(decoded(b"\\b\\f\\n\\r\\t\\v\\\\\\q"), [some(b"\x08\x0c\n\r\t\x0b\\q")]);
        assert_eq!(decoded(b"\\101\\1018\\7\\0\\400"), [some(b"AA8\x07\0\0")]);
        assert_eq!(decoded(b"\\x41\\x4\\x414\\xg\\x"), [some(b"A\x04A4xgx")]);
        assert_eq!(decoded(b"end\\"), [some(b"end\\")]);
        assert!(matches!(values(b"plain").next(), Some(Some(Cow::Borrowed(b"plain")))));
    }

    /// As PostgreSQL writes values.
    fn escape(value: Option<&[u8]>) -> Vec<u8> {
        let Some(value) = value else {
            return b"\\N".to_vec();
        };
        let escape = |byte: &u8| match byte {
            8 => b"\\b".to_vec(),
            9 => b"\\t".to_vec(),
            10 => b"\\n".to_vec(),
            11 => b"\\v".to_vec(),
            12 => b"\\f".to_vec(),
            13 => b"\\r".to_vec(),
            b'\\' => b"\\\\".to_vec(),
            other => vec![*other],
        };
        value.iter().flat_map(escape).collect()
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(row in prop::collection::vec(any::<Option<Vec<u8>>>(), 1..6)) {
            let text: Vec<_> = row.iter().map(|value| escape(value.as_deref())).collect();
            prop_assert_eq!(decoded(&text.join(&b'\t')), row);
        }

        #[test]
        fn anything_may_come(row in prop::collection::vec(prop::sample::select(&b"\\xX01789abN\t\n "[..]), 0..40)) {
            prop_assert_eq!(decoded(&row).len(), row.split(|byte| *byte == b'\t').count());
        }
    }
}
