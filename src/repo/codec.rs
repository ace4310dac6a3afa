//! Reading and writing of bytes that cannot panic and cannot be talked into allocating (`docs/format.md`, section 1).

/// Bytes that aren't what the format asks for; says what was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// The longest varint, in bytes.
pub const MAX_VARINT: usize = 10;

/// Appends `value` as unsigned LEB128.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Maps signed to unsigned integers so that small magnitudes give short varints.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The reverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// A cursor over bytes that were read; every step is checked.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`; `what` names the thing in errors.
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    /// The error for the thing that is being read.
    pub const fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    /// What hasn't been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The last `n` bytes of what hasn't been read yet.
    pub fn bytes_from_end(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let at = self.rest.len().checked_sub(n).ok_or(Malformed(self.what))?;
        let (rest, tail) = self.rest.split_at(at);
        self.rest = rest;
        Ok(tail)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let what = self.what;
        self.bytes(N)?.try_into().map_err(|_| Malformed(what))
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// The next two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next varint, in its shortest form.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for i in 0..MAX_VARINT {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if i == MAX_VARINT - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || i == 0;
                return if shortest { Ok(value) } else { Err(self.malformed()) };
            }
        }
        Err(self.malformed())
    }

    /// The next varint, which must not exceed `max`.
    pub fn varint_up_to(&mut self, max: usize) -> Result<usize, Malformed> {
        let value = usize::try_from(self.varint()?).map_err(|_| self.malformed())?;
        if value > max { Err(self.malformed()) } else { Ok(value) }
    }

    /// Succeeds when nothing is left.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(self.what)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_survive(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor::new("test", &bytes);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.end(), Ok(()));
        }

        #[test]
        fn any_accepted_varint_is_the_shortest(bytes in prop::collection::vec(any::<u8>(), 1..12)) {
            let mut cursor = Cursor::new("test", &bytes);
            if let Ok(value) = cursor.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
                prop_assert_eq!(cursor.rest().len(), bytes.len() - again.len());
            }
        }

        #[test]
        fn zigzag_survives(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn overlong_and_overflowing_varints_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff; 10], &[0x80; 11], &[0x80], &[]] {
            assert!(Cursor::new("test", bytes).varint().is_err(), "{bytes:?}");
        }
    }
}
