//! Every id, each a type of its own without conversions between them, so that one can't be given for another.

use std::fmt;
use std::str::FromStr;

/// A text that isn't the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}")]
pub struct IdError {
    /// What was expected, such as "run id".
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

/// Defines an id of `$len` bytes that is written as lower-case hex digits.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError { what: $what, text: text.to_owned() };
                hex::<$len>(text).map(Self).ok_or_else(error)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                let wrong = |_| minicbor::decode::Error::message(concat!($what, " of another length"));
                bytes.try_into().map(Self).map_err(wrong)
            }
        }
    };
}

hex_id!(
    /// Names a repository for good, whatever URL it is reached by.
    RepositoryId, 16, "repository id"
);
hex_id!(
    /// Names a credential.
    CredentialId, 16, "credential id"
);
hex_id!(
    /// Names a set of credentials that deduplicate against each other.
    DomainId, 16, "domain id"
);
hex_id!(
    /// Names a chunk: the first 16 bytes of the keyed BLAKE3 of its plaintext.
    ChunkId, 16, "chunk id"
);
hex_id!(
    /// Names a frame: the keyed BLAKE3 of its table of chunks.
    FrameId, 32, "frame id"
);
hex_id!(
    /// The BLAKE3 of a pack's bytes.
    PackHash, 32, "pack hash"
);

impl DomainId {
    /// The domain that full credentials share; also stands for "no domain" in records that every credential reads.
    pub const SHARED: Self = Self([0; 16]);
}

/// Names a run, and the snapshot it commits: 4 bytes of its credential's id, then 16 random ones.
///
/// Written as 8 hex digits, `-` and 26 characters of Crockford's base32, so that a storage policy can confine a credential
/// to keys with its own prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 20]);

impl RunId {
    /// Length in bytes.
    pub const LEN: usize = 20;

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// A run of `credential` with these random bytes.
    pub fn new(credential: CredentialId, random: [u8; 16]) -> Self {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&credential.0[..4]);
        bytes[4..].copy_from_slice(&random);
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Whether a run with this id may have been written by `credential`.
    pub fn belongs_to(&self, credential: CredentialId) -> bool {
        self.0[..4] == credential.0[..4]
    }

    /// The first bytes of the id of the credential that wrote the run.
    pub fn credential_part(&self) -> [u8; 4] {
        [self.0[0], self.0[1], self.0[2], self.0[3]]
    }

    /// The random part as text: what people type and tables show.
    pub fn random_part(&self) -> String {
        base32(&self.0[4..])
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{}", base32(&self.0[4..]))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (credential, random) = text.split_once('-')?;
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&hex::<4>(credential)?);
            bytes[4..].copy_from_slice(&unbase32(random)?);
            Some(Self(bytes))
        };
        parse().ok_or_else(|| IdError { what: "run id", text: text.to_owned() })
    }
}

impl<C> minicbor::Encode<C> for RunId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for RunId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = |_| minicbor::decode::Error::message("run id of another length");
        d.bytes()?.try_into().map(Self).map_err(wrong)
    }
}

/// Names a pack: the run that wrote it and the hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PackId {
    /// The run that wrote the pack.
    pub run: RunId,
    /// The BLAKE3 of the pack's bytes.
    pub hash: PackHash,
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.hash)
    }
}

impl FromStr for PackId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError { what: "pack id", text: text.to_owned() };
        let (run, hash) = text.rsplit_once('-').ok_or_else(error)?;
        Ok(Self { run: run.parse().map_err(|_| error())?, hash: hash.parse().map_err(|_| error())? })
    }
}

impl<C> minicbor::Encode<C> for PackId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let mut bytes = [0; 52];
        bytes[..20].copy_from_slice(&self.run.0);
        bytes[20..].copy_from_slice(&self.hash.0);
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for PackId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("pack id of another length");
        let (run, hash) = d.bytes()?.split_at_checked(20).ok_or_else(wrong)?;
        let run = run.try_into().map_err(|_| wrong())?;
        let hash = hash.try_into().map_err(|_| wrong())?;
        Ok(Self { run: RunId(run), hash: PackHash(hash) })
    }
}

/// The `N` bytes that a text of exactly 2·N lower-case hex digits stands for.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
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

/// Crockford's base32 without the letters that are easily misread, in lower case.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The base32 of `bytes`, most significant bits first, zero bits at the end.
fn base32(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0u32, 0);
    for &byte in bytes {
        held = held << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// The 16 bytes that 26 characters of base32 stand for.
fn unbase32(text: &str) -> Option<[u8; 16]> {
    if text.len() != 26 {
        return None;
    }
    let (mut held, mut bits, mut bytes, mut at) = (0u32, 0, [0; 16], 0);
    for c in text.bytes() {
        let digit = BASE32.iter().position(|&letter| letter == c)?;
        held = held << 5 | u32::try_from(digit).ok()?;
        bits += 5;
        if bits >= 8 && at < 16 {
            bits -= 8;
            bytes[at] = u8::try_from(held >> bits & 255).ok()?;
            at += 1;
        }
    }
    (held.trailing_zeros() >= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        let run = RunId::new(CredentialId::from_bytes([0xab; 16]), *b"0123456789abcdef");
        assert_eq!(run.to_string().len(), 8 + 1 + 26);
        assert_eq!(run.to_string().parse(), Ok(run));
        let pack = PackId { run, hash: PackHash::from_bytes([7; 32]) };
        assert_eq!(pack.to_string().parse(), Ok(pack));
        let bytes = minicbor::to_vec(pack).unwrap();
        assert_eq!(minicbor::decode::<PackId>(&bytes).unwrap(), pack);
    }

    #[test]
    fn other_spellings_are_refused() {
        let run = RunId::new(CredentialId::from_bytes([0xab; 16]), [0xff; 16]).to_string();
        assert!(run.to_uppercase().parse::<RunId>().is_err());
        assert!(run[1..].parse::<RunId>().is_err());
        let last_bits_set = format!("{}z", &run[..run.len() - 1]);
        assert!(last_bits_set.parse::<RunId>().is_err());
        assert!("0g".repeat(8).parse::<CredentialId>().is_err());
    }
}
