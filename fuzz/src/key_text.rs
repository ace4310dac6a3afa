//! Key files in both forms, and passphrases.

use super::memory;
use nightsafe::repo::keys::{KeyFile, Passphrase};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = memory::at_most((16 << 10) + 16 * text.len(), || KeyFile::parse(text)) {
        let (line, words) = (key.to_text(), key.to_words());
        for form in [&line, &words] {
            let again = KeyFile::parse(form).expect("it was written by the program");
            assert_eq!(*again.to_text(), *line);
        }
        // One spelling, but for case and white space.
        let spelt = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(spelt == line.to_lowercase() || spelt == *words, "{text:?}");
    }
    // Many marks upon one letter are sorted in a buffer of their own.
    if let Ok(passphrase) = memory::at_most(256 + 16 * text.len(), || Passphrase::new(text)) {
        let canonical = passphrase.reveal();
        assert!(!canonical.is_empty() && canonical.len() <= 3 * text.len());
        // Canonical is what is canonical already; one newline at the end counts for nothing.
        let newline = if canonical.ends_with('\r') { "\r\n" } else { "\n" };
        let again = Passphrase::new(&format!("{canonical}{newline}"));
        assert!(again.is_ok_and(|again| again.reveal() == canonical), "{text:?}");
        let _ = passphrase.strength().is_weak();
    }
}
