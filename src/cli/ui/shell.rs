//! Words as a shell takes them, for commands that messages give.

use std::ffi::OsStr;

/// `word` so that a POSIX shell reads it as one word. What a terminal would obey is escaped where it's printed ([`super::clean`]), and can't be copied then.
pub fn word(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._:@%+=,-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
