//! Why compression isn't undone.

/// Why a stream stays compressed, wholly or from some point on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Left {
    /// It isn't what it should be, or it's damaged.
    Damaged,
    /// It ends in the middle.
    Truncated,
    /// No method makes such bytes at any level: another program did.
    OtherEncoder,
    /// From some point on it isn't what its method makes.
    Differs,
    /// It's as long as its content.
    NoGain,
    /// Its content is out of proportion.
    Bomb,
    /// It's in too many others.
    TooDeep,
    /// It's encrypted, or compressed in a way that isn't known.
    Unsupported,
    /// The recipe that was made of it can't be followed: a fault of this program.
    Misfit,
}

impl Left {
    /// In a word, for machines.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Truncated => "truncated",
            Self::OtherEncoder => "other_encoder",
            Self::Differs => "differs",
            Self::NoGain => "no_gain",
            Self::Bomb => "bomb",
            Self::TooDeep => "too_deep",
            Self::Unsupported => "unsupported",
            Self::Misfit => "misfit",
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Damaged => "it's damaged",
            Self::Truncated => "it ends in the middle",
            Self::OtherEncoder => "an unusual program compressed it",
            Self::Differs => "from some point on other bytes would come back",
            Self::NoGain => "it hardly gets longer",
            Self::Bomb => "it gets out of proportion",
            Self::TooDeep => "it's in too many others",
            Self::Unsupported => "it's encrypted, or compressed in another way",
            Self::Misfit => "what was made of it didn't fit together",
        })
    }
}
