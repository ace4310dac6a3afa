//! Key files: 32 random bytes as a line of text, or as 24 words (`docs/format.md`, section 3, *Credentials*).

use crate::repo::seal::random;
use bip39::{Error as WordError, Language, Mnemonic};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What every key file begins with, up to its version.
const PREFIX: &str = "NIGHTSAFE-KEY-";
/// The version that is written, and the only one that is read.
const VERSION: &str = "1";
/// Hex digits of the check at the end.
const CHECK_LEN: usize = 8;

/// Words of a key (BIP-39: 11 bits each, of which the last 8 are a check).
const WORDS: usize = 24;

/// Longest text that is looked at; a key file has 90 characters, its words have at most 215, and either may be surrounded by some white space.
pub const MAX_TEXT: usize = 4_096;

/// The secret of a key file. It can't be guessed, so no derivation has to slow an attacker down.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyFile([u8; 32]);

/// A text that isn't a key file. Says nothing of the text: it may be a secret after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Something else altogether.
    #[error("not a key file: it would begin with NIGHTSAFE-KEY-1-")]
    Other,
    /// A key file of a version that this program doesn't know.
    #[error("a key file of a version that this nightsafe doesn't know")]
    Version,
    /// A key file, with characters missing, or too many, or that aren't hex digits.
    #[error("the key file is damaged: 64 hex digits, a hyphen and 8 hex digits must follow NIGHTSAFE-KEY-1-")]
    Form,
    /// A key file in which at least one character was misread.
    #[error("the key file is damaged: its digits don't match the check at its end")]
    Check,
    /// Words of which there are too few or too many.
    #[error("a key has {WORDS} words, and these are {0}")]
    WordCount(usize),
    /// A word that is in no key.
    #[error("word {0} isn't one of those that keys are made of")]
    Word(usize),
    /// Words of which at least one was misread, or that are in the wrong order.
    #[error("the words don't match the check in the last one: one of them is wrong, or their order is")]
    WordCheck,
}

impl KeyFile {
    /// A new random one.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The one with this secret.
    pub const fn from_bytes(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The key file that `text` is, in either form; white space around it and between words is ignored, letters may be of either case.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > MAX_TEXT {
            return Err(KeyFileError::Other);
        }
        let text = Zeroizing::new(text.trim().to_ascii_lowercase());
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let words = text.split_whitespace().count();
        if words > WORDS / 2 && text.split_whitespace().all(is_word) {
            return Self::of_words(&text);
        }
        let rest = text.strip_prefix(PREFIX.to_ascii_lowercase().as_str()).ok_or(KeyFileError::Other)?;
        let (version, rest) = rest.split_once('-').ok_or(KeyFileError::Other)?;
        if version != VERSION {
            return Err(KeyFileError::Version);
        }
        let (digits, check) = rest.split_once('-').ok_or(KeyFileError::Form)?;
        let key_file = Self(unhex(digits).ok_or(KeyFileError::Form)?);
        let check: [u8; CHECK_LEN / 2] = unhex(check).ok_or(KeyFileError::Form)?;
        if check == key_file.check() { Ok(key_file) } else { Err(KeyFileError::Check) }
    }

    /// The text, without a newline.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 3 + 64 + CHECK_LEN));
        text.push_str(PREFIX);
        text.push_str(VERSION);
        text.push('-');
        push_hex(&mut text, &self.0);
        text.push('-');
        push_hex(&mut text, &self.check());
        text
    }

    /// The same as 24 words of BIP-39's English list, for people to write down.
    ///
    /// Source: <https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>, with the secret as its entropy. No seed is derived from them.
    pub fn to_words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &self.0);
        // Only entropy of another length has none.
        for word in mnemonic.iter().flat_map(Mnemonic::words) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    fn of_words(text: &str) -> Result<Self, KeyFileError> {
        let count = text.split_whitespace().count();
        if count != WORDS {
            return Err(KeyFileError::WordCount(count));
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, text).map_err(|error| match error {
            WordError::UnknownWord(index) => KeyFileError::Word(index + 1),
            _ => KeyFileError::WordCheck,
        })?;
        let (entropy, length) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        entropy[..length].try_into().map(Self).map_err(|_| KeyFileError::WordCheck)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn check(&self) -> [u8; CHECK_LEN / 2] {
        let [a, b, c, d, ..] = *blake3::hash(&self.0).as_bytes();
        [a, b, c, d]
    }
}

/// Digit by digit, so that no formatter keeps a copy.
fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_answered(text: String, tail: String) {
            prop_assert!(KeyFile::parse(&text).is_err());
            let text = format!("NIGHTSAFE-KEY-1-{tail}");
            prop_assert!(KeyFile::parse(&text).is_err());
        }

        #[test]
        fn every_secret_survives_its_text(secret: [u8; 32]) {
            let text = KeyFile::from_bytes(secret).to_text();
            prop_assert_eq!(KeyFile::parse(&text).map(|k| *k.as_bytes()), Ok(secret));
        }
    }

    #[test]
    fn spellings_that_people_produce_are_read() {
        let key_file = KeyFile::generate();
        let text = key_file.to_text();
        for spelling in [format!("\n {} \r\n", *text), text.to_lowercase(), text.to_uppercase()] {
            assert_eq!(KeyFile::parse(&spelling).map(|k| *k.as_bytes()), Ok(*key_file.as_bytes()), "{spelling}");
        }
    }

    #[test]
    fn every_misread_character_is_noticed() {
        let text = KeyFile::from_bytes([0xab; 32]).to_text();
        assert_eq!(text.len(), 89);
        for at in 0..text.len() {
            for c in ['0', 'z', '-'] {
                let mut other = text.to_string();
                other.replace_range(at..=at, &c.to_string());
                if other != *text {
                    assert!(KeyFile::parse(&other).is_err(), "{other}");
                }
            }
            assert!(KeyFile::parse(&text[..at]).is_err());
        }
        let error = |text: &str| KeyFile::parse(text).err();
        assert_eq!(error("correct horse"), Some(KeyFileError::Other));
        assert_eq!(error(&text.replace("-1-", "-2-")), Some(KeyFileError::Version));
        assert_eq!(error(&text.replacen("ab", "aé", 1)), Some(KeyFileError::Form));
        assert_eq!(error(&text.replacen("ab", "ac", 1)), Some(KeyFileError::Check));
        assert_eq!(error(&format!("{}0", *text)), Some(KeyFileError::Form));
        assert_eq!(error(&" ".repeat(MAX_TEXT + 1)), Some(KeyFileError::Other));
    }

    /// The vectors of BIP-39 for 256 bits: <https://github.com/trezor/python-mnemonic/blob/master/vectors.json>.
    #[test]
    fn words_are_those_of_bip_39() {
        let legal = "legal winner thank year wave sausage worth useful ".repeat(3);
        let legal = legal.replacen(" useful ", " title", 3).replacen(" title", " useful ", 2);
        for (byte, words) in [(0x7f, legal), (0, "abandon ".repeat(23) + "art"), (0xff, "zoo ".repeat(23) + "vote")] {
            let key_file = KeyFile::from_bytes([byte; 32]);
            assert_eq!(*key_file.to_words(), words);
            for spelling in [words.clone(), words.to_uppercase(), words.replace(' ', "\n  "), format!(" {words}\n")] {
                assert_eq!(KeyFile::parse(&spelling).map(|k| *k.as_bytes()), Ok([byte; 32]), "{spelling}");
            }
        }
    }

    #[test]
    fn misread_words_are_noticed() {
        let words = KeyFile::from_bytes([0x5a; 32]).to_words();
        let list: Vec<&str> = words.split(' ').collect();
        let error = |list: &[&str]| KeyFile::parse(&list.join(" ")).err();
        assert_eq!(error(&list[1..]), Some(KeyFileError::WordCount(23)));
        let mut other = list.clone();
        other[6] = "nightsafe";
        assert_eq!(error(&other), Some(KeyFileError::Word(7)));
        let mut swapped = list.clone();
        swapped.swap(0, 1);
        assert!(list[0] != list[1] && error(&swapped) == Some(KeyFileError::WordCheck), "{words:?}");
    }
}
