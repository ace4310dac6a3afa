//! Passphrases: their canonical bytes, a guess at their strength, and generated ones.

use crate::repo::seal::random;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A passphrase in the form that is derived from: Unicode NFC, UTF-8, without one final newline.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

/// No passphrase at all; most likely an empty file or variable, so it's refused instead of tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is empty")]
pub struct EmptyPassphrase;

/// NFC makes UTF-8 at most three times as long (Unicode Standard Annex #15, section 12.1, table 6).
const NFC_GROWTH: usize = 3;

impl Passphrase {
    /// The passphrase that was typed, or read from a file.
    pub fn new(text: &str) -> Result<Self, EmptyPassphrase> {
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            return Err(EmptyPassphrase);
        }
        // With room for the longest form nothing is moved, and no copy stays behind.
        let mut canonical = String::with_capacity(NFC_GROWTH * text.len());
        canonical.extend(text.nfc());
        Ok(Self(canonical))
    }

    /// A new passphrase of 125 random bits: five groups of five letters and digits that aren't easily misread.
    pub fn generate() -> Self {
        /// Crockford's base32: without i, l, o, u.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let bytes: Zeroizing<[u8; 25]> = Zeroizing::new(random());
        let mut text = String::with_capacity(25 + 4);
        for (i, byte) in bytes.iter().enumerate() {
            if i > 0 && i % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte & 31)])); // 32 divides 256: all are equally likely
        }
        Self(text)
    }

    /// The text, to show a generated passphrase to the person who has to keep it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A guess at how hard the passphrase is to guess.
    pub fn strength(&self) -> Strength {
        let text = Zeroizing::new(self.0.to_lowercase());
        let stem = text.trim_matches(|c: char| !c.is_alphabetic());
        if COMMON.contains(&text.as_str()) || COMMON.contains(&stem) {
            return Strength { bits: COMMON_BITS };
        }
        let characters = surprising(&text);
        let capital = self.0.chars().skip(1).any(char::is_uppercase);
        let other = self.0.chars().any(|c| !c.is_alphabetic() && !c.is_whitespace());
        Strength { bits: bits_of(characters) + if capital && other { COMPOSITION_BITS } else { 0 } }
    }
}

/// A guess at how hard a passphrase is to guess, for one that a person chose: NIST SP 800-63-1, appendix A. It underestimates
/// random ones, which doesn't matter: those are long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strength {
    bits: u32,
}

impl Strength {
    /// Below this an attacker with a copy of the repository and a few machines gets through: 2³⁰ derivations of 0.1 s are
    /// some three years of one core.
    pub const WEAK_BITS: u32 = 30;

    /// The guess: an attacker needs about 2 to the power of this many attempts.
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// Whether to warn of it.
    pub const fn is_weak(self) -> bool {
        self.bits < Self::WEAK_BITS
    }
}

/// Both capitals (not only the first letter) and other than letters.
const COMPOSITION_BITS: u32 = 6;
/// Any of the common ones, with digits and signs around it.
const COMMON_BITS: u32 = 8;

/// No guess gets better beyond this many characters.
const MOST_COUNTED: usize = 256;

/// NIST's table: 4 bits for the first character, 2 for each of the next 7, 1.5 up to the 20th, 1 beyond.
fn bits_of(characters: usize) -> u32 {
    let half_bits = (1..=characters).map(|n| match n {
        1 => 8,
        2..=8 => 4,
        9..=20 => 3,
        _ => 2,
    });
    half_bits.fold(0u32, u32::saturating_add) / 2
}

/// How many characters neither repeat nor count on from the one before, nor repeat what came earlier (`abcabcabc`).
fn surprising(text: &str) -> usize {
    let characters: Zeroizing<Vec<u32>> = Zeroizing::new(text.chars().take(MOST_COUNTED).map(u32::from).collect());
    let period = (1..=characters.len()).find(|&p| (p..characters.len()).all(|i| characters[i] == characters[i - p]));
    let once = &characters[..period.unwrap_or(0)];
    let steps = once.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 1).count();
    steps + usize::from(!once.is_empty())
}

/// What everybody tries first (lower case).
const COMMON: [&str; 40] = [
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "qwerty",
    "qwertz",
    "azerty",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "1q2w3e4r",
    "1qaz2wsx",
    "123123",
    "letmein",
    "welcome",
    "willkommen",
    "admin",
    "administrator",
    "root",
    "toor",
    "secret",
    "geheim",
    "test",
    "changeme",
    "default",
    "backup",
    "nightsafe",
    "restic",
    "borg",
    "server",
    "iloveyou",
    "dragon",
    "monkey",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "master",
    "superman",
    "hallo",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(text: &str) -> u32 {
        Passphrase::new(text).unwrap().strength().bits()
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(text: String) {
            if let Ok(passphrase) = Passphrase::new(&text) {
                prop_assert!(passphrase.0.len() <= NFC_GROWTH * text.len());
                let _ = passphrase.strength();
                if !passphrase.0.ends_with('\n') {
                    prop_assert_eq!(&Passphrase::new(&passphrase.0).unwrap().0, &passphrase.0);
                }
            }
        }
    }

    #[test]
    fn one_way_of_typing_is_as_good_as_another() {
        let canonical = |text: &str| Passphrase::new(text).map(|p| p.0.clone());
        assert_eq!(canonical("u\u{308}bung"), canonical("\u{fc}bung"));
        assert_eq!(canonical("words\n"), canonical("words"));
        assert_eq!(canonical("words\r\n"), canonical("words"));
        assert_eq!(canonical("words\n\n").unwrap(), "words\n");
        assert_eq!(canonical("words\r").unwrap(), "words\r");
        assert_eq!(canonical(" words ").unwrap(), " words ");
        assert_ne!(canonical("ﬁ"), canonical("fi"), "NFC, not NFKC");
        for empty in ["", "\n", "\r\n"] {
            assert_eq!(canonical(empty), Err(EmptyPassphrase));
        }
    }

    #[test]
    fn what_is_common_repeated_or_counted_is_weak() {
        for text in [
            "password",
            "Passw0rd!",
            "Password2025!",
            "backup",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz",
            "1234567890123456789012345",
            "abcabcabcabcabcabcabcabcabc",
            "x",
            "Summer2025!",
            "tr0ub4dor",
        ] {
            assert!(Passphrase::new(text).unwrap().strength().is_weak(), "{text}: {}", bits(text));
        }
        for text in ["correct horse battery staple", "Mfr,T!w9zUq-rrB7", "überall liegt noch Schnee"] {
            assert!(!Passphrase::new(text).unwrap().strength().is_weak(), "{text}: {}", bits(text));
        }
        assert!(bits("correct horse battery staple") > bits("correct horse"));
    }

    #[test]
    fn generated_ones_are_new_strong_and_easily_typed() {
        let (a, b) = (Passphrase::generate(), Passphrase::generate());
        assert_ne!(a.reveal(), b.reveal());
        assert!(!a.strength().is_weak());
        assert_eq!(a.reveal().len(), 29);
        assert_eq!(a.reveal().split('-').map(str::len).collect::<Vec<_>>(), [5; 5]);
        assert!(a.reveal().bytes().all(|c| c == b'-' || c.is_ascii_digit() || c.is_ascii_lowercase()));
    }
}
