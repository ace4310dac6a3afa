//! What programs differ in that share the engine.

/// A program, and how it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Kind {
    /// 1 to 9.
    pub(super) level: u8,
    /// Bits of the hash of three bytes.
    pub(super) hash_bits: u8,
    /// A block ends when it has one literal or match less.
    pub(super) most: usize,
    /// zlib: blocks don't end early where literals prevail, a match that reaches the end of the input is as good as any, and the window moves on when the input has ended, too.
    pub(super) is_zlib: bool,
    /// Whether blocks end where the content says so.
    pub(super) rsyncable: bool,
}

impl Kind {
    /// GNU gzip at a level, 1 to 9.
    pub(in super::super) const fn gzip(level: u8) -> Self {
        Self { level, hash_bits: 15, most: 1 << 15, is_zlib: false, rsyncable: false }
    }

    /// The same with `--rsyncable`.
    pub(in super::super) const fn rsyncable(level: u8) -> Self {
        Self { rsyncable: true, ..Self::gzip(level) }
    }

    /// zlib at a level, 1 to 9, and a memory level, 1 to 9, with a window of 15 bits and the default strategy.
    pub(in super::super) const fn zlib(level: u8, memory: u8) -> Self {
        let memory = if memory > 9 { 9 } else { memory };
        Self { level, hash_bits: memory + 7, most: 1 << (memory + 6), is_zlib: true, rsyncable: false }
    }
}
