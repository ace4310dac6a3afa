//! The 8 bytes that open every object (`docs/format.md`, section 1).

use crate::repo::format::{HEADER_LEN, Kind, MAGIC, SUITE, VERSION};

/// A header that this program can't go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The first bytes aren't nightsafe's, or are too few.
    #[error("not an object of nightsafe")]
    Magic,
    /// The object is of another kind than its name says.
    #[error("of kind {0:#04x}, which its name doesn't allow")]
    Kind(u8),
    /// Written in a format that this program doesn't know.
    #[error("format version {0} is unknown: a newer nightsafe wrote it")]
    Version(u8),
    /// Sealed with algorithms that this program doesn't know.
    #[error("suite {0} is unknown: a newer nightsafe wrote it")]
    Suite(u8),
}

/// Succeeds when `bytes` begin with the header of an object of `kind`; gives what follows.
pub fn check_header(kind: Kind, bytes: &[u8]) -> Result<&[u8], HeaderError> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(HeaderError::Magic)?;
    let [magic @ .., letter, version, suite] = header;
    match () {
        () if magic != MAGIC => Err(HeaderError::Magic),
        () if *letter != kind.letter() => Err(HeaderError::Kind(*letter)),
        () if *version != VERSION => Err(HeaderError::Version(*version)),
        () if *suite != SUITE => Err(HeaderError::Suite(*suite)),
        () => Ok(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_header_is_checked() {
        let header = *b"nsafeR\x01\x01rest";
        assert_eq!(check_header(Kind::Run, &header), Ok(&b"rest"[..]));
        assert_eq!(check_header(Kind::Run, &header[..7]), Err(HeaderError::Magic));
        let with = |at: usize, byte: u8| {
            let mut header = header;
            header[at] = byte;
            check_header(Kind::Run, &header).map(|_| ())
        };
        assert_eq!(with(4, b'E'), Err(HeaderError::Magic));
        assert_eq!(with(5, b'S'), Err(HeaderError::Kind(b'S')));
        assert_eq!(with(6, 2), Err(HeaderError::Version(2)));
        assert_eq!(with(7, 0), Err(HeaderError::Suite(0)));
    }
}
