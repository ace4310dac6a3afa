//! Words as a shell takes them, for commands that messages and the recovery page give.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `word` so that a shell reads it as one word; without quotes where it needs none.
pub fn word(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._:@%+=,-".contains(byte);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.as_bytes().iter().all(is_plain) => text.to_owned(),
        _ => quoted(word.as_bytes()),
    }
}

/// In quotes, on one line of text whatever the bytes are. What a terminal would obey, and what isn't UTF-8, bash and newer shells read (`$'…'`, POSIX.1-2024), others don't.
pub fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escaped = |&byte: &u8| match byte {
                b' '..=b'~' if !matches!(byte, b'\'' | b'\\') => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::child::Withheld;

    #[test]
    fn what_is_quoted_is_read_back_by_a_shell() {
        for bytes in
            [&b"/mnt/night"[..], b"it's $HOME \"`x`\" \\", b"a\nb\tc'd\\", b"\xff\xfe/\xc3\xa4", "ä€".as_bytes()]
        {
            let quoted = quoted(bytes);
            assert!(!quoted.contains(char::is_control), "{quoted}");
            let printed =
                Withheld::default().command("bash").args(["-c", &format!("printf %s {quoted}")]).output().unwrap();
            assert_eq!(printed.stdout, bytes, "{quoted}");
        }
    }

    #[test]
    fn words_that_a_shell_would_split_or_read_are_quoted() {
        for (text, expected) in [
            ("/mnt/new", "/mnt/new"),
            ("954mjja9:/data", "954mjja9:/data"),
            ("", "''"),
            ("my files", "'my files'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;x", "'$HOME;x'"),
            ("ä", "'ä'"),
            (r"a\b", r"'a\b'"),
        ] {
            assert_eq!(word(OsStr::new(text)), expected);
        }
    }
}
