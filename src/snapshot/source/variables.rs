//! The variables in an environment file: for a manifest their names only, never values.
//!
//! Dialects differ (a shell, `docker compose`, a dozen libraries). Where they disagree about where a value ends, this parser prefers to miss a name to taking a
//! piece of a value for one.

pub mod values;

/// Most names that are kept of one file.
pub const MAX_NAMES: usize = 10_000;
/// Longest name that is kept, in bytes.
pub const MAX_NAME_LEN: usize = 256;

/// The names of the variables that `content` sets, each once, in the order in which they first occur.
///
/// Understands `NAME=value`, `export NAME=value`, comments, values in `'`, `"` or `` ` `` that go over several lines, values continued by `\` at the end of a line, and PEM blocks.
pub fn variable_names(content: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    assignments(content, &mut |name, _| {
        if seen.insert(name) {
            names.push(name.to_owned());
        }
        names.len() < MAX_NAMES
    });
    names
}

/// Calls `each` with the name of each variable, and all of `content` from the beginning of its value on; until it returns false.
pub(super) fn assignments<'a>(content: &'a [u8], each: &mut dyn FnMut(&'a str, &'a [u8]) -> bool) {
    let mut rest = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut after_garbage = false;
    while !rest.is_empty() {
        let (whole, later) = split_line(rest);
        let from_here = rest;
        rest = later;
        let line = whole.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let Some((name, value)) = assignment(line).filter(|_| !(after_garbage && looks_like_base64(line))) else {
            after_garbage = true;
            rest = skip_pem(line, rest);
            continue;
        };
        after_garbage = false;
        // The value is the end of the line without what was trimmed.
        let trimmed = whole.len() - whole.trim_ascii_end().len();
        let at = whole.len() - trimmed - value.len();
        if name.len() <= MAX_NAME_LEN && !each(name, &from_here[at..]) {
            return;
        }
        match skip_value(value, rest) {
            Some(later) => rest = later,
            None => break,
        }
    }
}

/// The line, and what comes after it.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&b| b == b'\n' || b == b'\r') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// The name and the beginning of the value, if the line is an assignment.
fn assignment(line: &[u8]) -> Option<(&str, &[u8])> {
    let line = match line.strip_prefix(b"export") {
        Some(rest) if rest.starts_with(b" ") || rest.starts_with(b"\t") => rest.trim_ascii_start(),
        _ => line,
    };
    let equals = line.iter().position(|&b| b == b'=')?;
    let name = line[..equals].trim_ascii_end();
    let (first, others) = name.split_first()?;
    let begins = first.is_ascii_alphabetic() || *first == b'_';
    let goes_on = others.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
    let name = std::str::from_utf8(name).ok().filter(|_| begins && goes_on)?;
    Some((name, line[equals + 1..].trim_ascii_start()))
}

/// What comes after a value that begins with `value` on its first line; nothing if a quote is never closed.
fn skip_value<'a>(value: &'a [u8], later: &'a [u8]) -> Option<&'a [u8]> {
    match value.first() {
        Some(&quote) if b"'\"`".contains(&quote) => skip_quoted(quote, &value[1..], later),
        _ => Some(skip_continued(value, skip_pem(value, later))),
    }
}

/// What comes after the line on which `quote` is closed.
fn skip_quoted<'a>(quote: u8, value: &'a [u8], mut later: &'a [u8]) -> Option<&'a [u8]> {
    let mut line = value;
    loop {
        if let Some(end) = closing(quote, line) {
            // A shell appends what follows without a space; another quote may be opened there.
            return match line[end + 1..].first() {
                Some(b) if !b.is_ascii_whitespace() => skip_value(&line[end + 1..], later),
                _ => Some(later),
            };
        }
        if later.is_empty() {
            return None;
        }
        (line, later) = split_line(later);
    }
}

/// Where `quote` is closed in a line.
fn closing(quote: u8, line: &[u8]) -> Option<usize> {
    let mut escaped = false;
    line.iter().position(|&b| {
        let closes = b == quote && !escaped;
        escaped = b == b'\\' && quote != b'\'' && !escaped;
        closes
    })
}

/// What comes after the lines that an unquoted value is continued on.
fn skip_continued<'a>(value: &[u8], mut later: &'a [u8]) -> &'a [u8] {
    let mut continues = value.ends_with(b"\\");
    while continues && !later.is_empty() {
        let (line, rest) = split_line(later);
        later = rest;
        continues = line.trim_ascii_end().ends_with(b"\\");
    }
    later
}

/// What comes after the PEM block that begins on `line`, or `later`.
fn skip_pem<'a>(line: &[u8], mut later: &'a [u8]) -> &'a [u8] {
    let holds = |line: &[u8], mark: &[u8]| line.windows(mark.len()).any(|window| window == mark);
    if !holds(line, b"-----BEGIN") || holds(line, b"-----END") {
        return later;
    }
    while !later.is_empty() {
        let (inside, rest) = split_line(later);
        later = rest;
        if holds(inside, b"-----END") {
            break;
        }
    }
    later
}

/// Whether a line may be the padded end of something in Base64 rather than an assignment of nothing.
fn looks_like_base64(line: &[u8]) -> bool {
    let content = line.strip_suffix(b"=").map(|line| line.strip_suffix(b"=").unwrap_or(line));
    content.is_some_and(|content| content.iter().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        variable_names(text.as_bytes())
    }

    #[test]
    fn names_are_found_and_values_are_not() {
        let text = "\u{feff}# comment\nA=1\r\nexport B_2=two # A3=3\n  C.D-E = x=y\n\n#F=1\nG=\nA=again\nexported=1\n1X=2\nplain\n";
        assert_eq!(names(text), ["A", "B_2", "C.D-E", "G", "exported"]);
    }

    #[test]
    fn quoted_values_over_lines_hide_what_looks_like_names() {
        assert_eq!(names("A='x\nHIDDEN=1\n' # B=1\nC=1"), ["A", "C"]);
        assert_eq!(names("A=\"x\\\"\nHIDDEN=1\"\nC=1"), ["A", "C"]);
        assert_eq!(names("A='x\\'\nC=1"), ["A", "C"], "no escapes in single quotes");
        assert_eq!(names("A=`x\nHIDDEN=1`\nC=1"), ["A", "C"]);
        assert_eq!(names("A=\"x\"'y\nHIDDEN=1'\nC=1"), ["A", "C"]);
        assert_eq!(names("A=\"never closed\nHIDDEN=1\n"), ["A"]);
        assert_eq!(names("A=it's\nB=1"), ["A", "B"]);
    }

    #[test]
    fn keys_and_continued_lines_hide_what_looks_like_names() {
        assert_eq!(names("A=-----BEGIN KEY-----\nMIIE=\nabcd==\n-----END KEY-----\nB=1"), ["A", "B"]);
        assert_eq!(names("-----BEGIN KEY-----\nMIIE=\n-----END KEY-----\nB=1"), ["B"]);
        assert_eq!(names("A=c2VjcmV0\n+c2VjcmV0/\nc2VjcmV0=\nB=1"), ["A", "B"]);
        assert_eq!(names("A=x \\\nHIDDEN=1\nB=1"), ["A", "B"]);
    }

    #[test]
    fn counts_and_lengths_are_bounded() {
        let many: String = (0..MAX_NAMES + 5).map(|i| format!("V{i}=x")).collect::<Vec<_>>().join("\n");
        assert_eq!(names(&many).len(), MAX_NAMES);
        let long = format!("{}=1\n{}=1\nB=2", "A".repeat(MAX_NAME_LEN), "A".repeat(MAX_NAME_LEN + 1));
        assert_eq!(names(&long), [&"A".repeat(MAX_NAME_LEN), "B"]);
    }

    proptest! {
        #[test]
        fn values_in_double_quotes_never_become_names(values in prop::collection::vec("[ -~\n\r=]{0,40}", 1..8)) {
            let lines = values.iter().enumerate().map(|(i, value)| {
                format!("KEY_{i}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            });
            let text = lines.collect::<Vec<_>>().join("\n");
            let expected: Vec<String> = (0..values.len()).map(|i| format!("KEY_{i}")).collect();
            prop_assert_eq!(names(&text), expected);
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(prop::sample::select(&b"A=\"'`\\\n #x-"[..]), 0..60)) {
            for name in variable_names(&bytes) {
                prop_assert!(!name.is_empty() && !name.contains(['=', '"', '\'', '\n', ' ']));
            }
        }
    }
}
