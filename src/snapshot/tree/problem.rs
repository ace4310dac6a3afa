//! Named problems: what a snapshot doesn't hold as it should, and why (`docs/format.md`, section 8).

use crate::snapshot::tree::path::SafePath;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};
use rustix::io::Errno;
use std::fmt;
use std::io;

/// What kind of problem; the codes are those of the format and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// Anything else; also what a later version calls by a code that isn't known here.
    Other = 0,
    /// It can't be read: an input or output error.
    Unreadable = 1,
    /// It changed while it was read, so what is stored may never have existed as such.
    Changed = 2,
    /// It was listed and then gone.
    Vanished = 3,
    /// A name, path, attribute or number is beyond a limit of the format.
    TooLong = 4,
    /// The system can't tell what is asked, or it is of a type that can't be stored.
    Unsupported = 5,
    /// Not allowed.
    Denied = 6,
    /// A source failed as a whole, or a part of it did.
    Failed = 7,
    /// A checkpoint was taken before it was reached, or before it was read to its end.
    NotReached = 8,
}

impl ProblemKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Other,
        Self::Unreadable,
        Self::Changed,
        Self::Vanished,
        Self::TooLong,
        Self::Unsupported,
        Self::Denied,
        Self::Failed,
        Self::NotReached,
    ];

    /// The code that stands for the kind.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code; [`ProblemKind::Other`] for one that isn't known.
    pub fn from_code(code: u64) -> Self {
        Self::ALL.into_iter().find(|kind| u64::from(kind.code()) == code).unwrap_or(Self::Other)
    }

    /// The kind that fits what the system said.
    pub fn of(error: &io::Error) -> Self {
        // A reader may have wrapped what the system said, to say where.
        let wrapped = || error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
        match error.raw_os_error().or_else(wrapped).map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied,
            Some(Errno::NOENT | Errno::STALE) => Self::Vanished,
            Some(Errno::NAMETOOLONG | Errno::TOOBIG | Errno::FBIG | Errno::OVERFLOW) => Self::TooLong,
            Some(Errno::OPNOTSUPP | Errno::NOSYS) => Self::Unsupported,
            Some(_) => Self::Unreadable,
            None if error.kind() == io::ErrorKind::Unsupported => Self::Unsupported,
            None => Self::Other,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "problem",
            Self::Unreadable => "can't be read",
            Self::Changed => "changed while it was read",
            Self::Vanished => "vanished",
            Self::TooLong => "beyond a limit",
            Self::Unsupported => "not supported",
            Self::Denied => "permission denied",
            Self::Failed => "failed",
            Self::NotReached => "not reached",
        })
    }
}

impl<C> Encode<C> for ProblemKind {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u8(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ProblemKind {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u64().map(Self::from_code)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about, as a path inside the snapshot.
    pub path: SafePath,
    /// What kind it is.
    pub kind: ProblemKind,
    /// What went wrong, for people; holds no control characters and no content of files.
    pub message: String,
}

impl Problem {
    /// Of a checkpoint: the file wasn't read to its end.
    pub fn unfinished(path: SafePath) -> Self {
        Self { path, kind: ProblemKind::NotReached, message: "it was being read when this checkpoint was taken".into() }
    }

    /// Of a checkpoint: a directory was being captured. Names come sorted.
    pub fn reached(path: SafePath) -> Self {
        let message = "the backup had come to here when this checkpoint was taken: what comes behind it, in the order of names, isn't in it";
        Self { path, kind: ProblemKind::NotReached, message: message.into() }
    }

    /// Of a checkpoint: the source of this name comes later.
    pub fn not_begun(name: &[u8]) -> Self {
        let message = "it wasn't begun when this checkpoint was taken".into();
        Self { path: SafePath::parse(name).unwrap_or_default(), kind: ProblemKind::NotReached, message }
    }

    /// The problem that an error of the system at `path` is; `what` says what was tried, as in "open".
    pub fn of(path: &SafePath, what: &str, error: &io::Error) -> Self {
        Self { path: path.clone(), kind: ProblemKind::of(error), message: format!("{what}: {error}") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // It's listed as a problem anyway.
            ProblemKind::Other => write!(f, "{}: {}", self.path, self.message),
            kind => write!(f, "{}: {kind}: {}", self.path, self.message),
        }
    }
}

impl<C> Encode<C> for Problem {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(3)?.encode(&self.path)?.encode(self.kind)?.str(&self.message)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Problem {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.array()? != Some(3) {
            return Err(DecodeError::message("a problem has three parts"));
        }
        Ok(Self { path: d.decode()?, kind: d.decode()?, message: d.decode()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::cbor;

    #[test]
    fn problems_survive_and_unknown_kinds_are_others() {
        for kind in ProblemKind::ALL {
            let problem = Problem { path: SafePath::parse(b"a/\xff").unwrap(), kind, message: "why".into() };
            assert_eq!(cbor::decode::<Problem>("problem", &cbor::encode(&problem)), Ok(problem));
        }
        assert_eq!(cbor::decode::<ProblemKind>("kind", &[0x18, 99]), Ok(ProblemKind::Other));
        let codes: Vec<u8> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8], "codes never change");
    }

    #[test]
    fn errors_of_the_system_have_kinds() {
        let kind = |errno: Errno| ProblemKind::of(&errno.into());
        assert_eq!(kind(Errno::ACCESS), ProblemKind::Denied);
        assert_eq!(kind(Errno::NOENT), ProblemKind::Vanished);
        assert_eq!(kind(Errno::IO), ProblemKind::Unreadable);
        assert_eq!(kind(Errno::NAMETOOLONG), ProblemKind::TooLong);
        assert_eq!(ProblemKind::of(&io::Error::other("x")), ProblemKind::Other);
    }
}
