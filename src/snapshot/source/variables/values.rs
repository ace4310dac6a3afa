//! The values of the variables in an environment file, where they have to be compared: never kept, never shown.

use super::assignments;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The variables that an environment file sets, and to what. Wiped when dropped.
#[derive(Default)]
pub struct Variables(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Variables {
    /// What `content` sets; of a variable that is set twice, the last value.
    ///
    /// The dialect is that of [`variable_names`](super::variable_names); nothing is expanded.
    pub fn parse(content: &[u8]) -> Self {
        let mut found = Self::default();
        found.add(content);
        found
    }

    /// Adds what another file sets, which comes before what was set until now.
    pub fn add(&mut self, content: &[u8]) {
        assignments(content, &mut |name, value| {
            self.0.insert(name.to_owned(), Zeroizing::new(text(value)));
            self.0.len() < super::MAX_NAMES
        });
    }

    /// The value of a variable; nothing if it isn't set or is empty.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The value that `tail` begins with.
fn text(tail: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), tail);
    while let Some((&quote, inside)) = rest.split_first().filter(|(quote, _)| b"'\"`".contains(quote)) {
        rest = quoted(quote, inside, &mut out);
        if rest.first().is_none_or(u8::is_ascii_whitespace) {
            return out;
        }
    }
    unquoted(rest, &mut out);
    out
}

/// Takes what stands up to the closing `quote`; returns what follows it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    while let Some((&byte, later)) = rest.split_first() {
        rest = later;
        match byte {
            _ if byte == quote => return rest,
            b'\\' if quote != b'\'' => {
                let Some((&escaped, later)) = rest.split_first() else { return rest };
                rest = later;
                match escaped {
                    b'n' if quote == b'"' => out.push(b'\n'),
                    b'r' if quote == b'"' => out.push(b'\r'),
                    b't' if quote == b'"' => out.push(b'\t'),
                    b'"' | b'`' | b'\\' | b'$' => out.push(escaped),
                    _ => out.extend([b'\\', escaped]),
                }
            }
            _ => out.push(byte),
        }
    }
    rest
}

/// Takes the rest of the line without a comment, and the lines that it is continued on.
fn unquoted(tail: &[u8], out: &mut Vec<u8>) {
    let mut rest = tail;
    let mut pem = false;
    loop {
        let end = rest.iter().position(|&b| b == b'\n' || b == b'\r').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let holds = |mark: &[u8]| line.windows(mark.len()).any(|window| window == mark);
        let ends = holds(b"-----END");
        pem = (pem || holds(b"-----BEGIN")) && !ends;
        if pem && !rest.is_empty() {
            out.extend(line.trim_ascii_end());
            out.push(b'\n');
        } else if let Some(continued) = line.strip_suffix(b"\\").filter(|_| !rest.is_empty()) {
            out.extend(continued);
        } else {
            let comment = line.windows(2).position(|pair| pair[0].is_ascii_whitespace() && pair[1] == b'#');
            let starts = if line.first() == Some(&b'#') && out.is_empty() { Some(0) } else { None };
            out.extend(line[..starts.or(comment).unwrap_or(line.len())].trim_ascii_end());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::source::variables::variable_names;
    use proptest::prelude::*;

    fn value(text: &str, name: &str) -> Option<String> {
        Variables::parse(text.as_bytes()).get(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn values_are_what_a_shell_would_make_of_them() {
        let file = "\u{feff}A=1\r\n export B =  two words # comment\nC='x # y' # z\nD=\"a\\nb \\\"q\\\" \\$x \\z\"\nE=\nF=a#b\nG=\"x\"'y'z\n\
            H='line 1\nI=hidden'\nJ=x \\\ny\nA=last\nK=#c\n";
        let expected = [
            ("A", "last"),
            ("B", "two words"),
            ("C", "x # y"),
            ("D", "a\nb \"q\" $x \\z"),
            ("F", "a#b"),
            ("G", "xyz"),
            ("H", "line 1\nI=hidden"),
            ("J", "x y"),
        ];
        for (name, text) in expected {
            assert_eq!(value(file, name).as_deref(), Some(text), "{name}");
        }
        for unset in ["E", "I", "K", "nothing"] {
            assert_eq!(value(file, unset), None, "{unset}");
        }
    }

    #[test]
    fn a_key_over_several_lines_is_one_value() {
        let key = "-----BEGIN KEY-----\nMIIE=\nabcd==\n-----END KEY-----";
        let file = format!("A={key}\nB=\"{key}\"\nC=1");
        assert_eq!(value(&file, "A").as_deref(), Some(key));
        assert_eq!(value(&file, "B").as_deref(), Some(key));
        assert_eq!(value(&file, "C").as_deref(), Some("1"));
    }

    #[test]
    fn nothing_of_a_value_is_shown() {
        assert_eq!(format!("{:?}", Variables::parse(b"A=hush")), "{\"A\"}");
    }

    proptest! {
        #[test]
        fn quoted_values_come_back(values in prop::collection::vec("[ -~\n]{1,40}", 1..8)) {
            let lines = values.iter().enumerate().map(|(i, value)| {
                format!("KEY_{i}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            });
            let file = lines.collect::<Vec<_>>().join("\n");
            for (i, expected) in values.iter().enumerate() {
                let found = value(&file, &format!("KEY_{i}"));
                prop_assert_eq!(found.as_ref(), Some(expected));
            }
        }

        #[test]
        fn the_names_are_those_of_the_other_parser(bytes in prop::collection::vec(prop::sample::select(&b"AB=\"'`\\\n\r #x-"[..]), 0..60)) {
            let mut names = variable_names(&bytes);
            names.sort();
            let found: Vec<_> = Variables::parse(&bytes).iter().map(|(name, _)| name.to_owned()).collect();
            prop_assert_eq!(found, names);
        }
    }
}
