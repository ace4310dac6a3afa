//! The header before each member, and what may stand behind one.

/// What a member begins with.
pub(super) const SIGNATURE: &[u8; 4] = b"PK\x03\x04";
/// A header without name and extra fields.
const FIXED: usize = 30;
/// Bytes of it that tell whether it is one.
const TOLD: usize = 10;
/// No name is longer: it is a path.
const MAX_NAME: u16 = 4096;
/// The newest version of the format, 6.3.
const MAX_VERSION: u8 = 63;

/// Compressed in no way.
pub(super) const STORED: u16 = 0;
/// Compressed by deflate.
pub(super) const DEFLATED: u16 = 8;

const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 1 << 3;
/// Bits without a meaning, and that of hidden headers.
const UNKNOWN_FLAGS: u16 = 0xf780;
/// A size that doesn't fit, and stands in an extra field.
const ELSEWHERE: u32 = u32::MAX;
/// The extra field in which it does.
const ZIP64: u16 = 1;

/// By what a member's content is checked: its CRC-32, and its length modulo 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) crc: [u8; 4],
    pub(super) length: [u8; 4],
}

impl Mark {
    /// Of what has this checksum and so many bytes.
    pub(super) const fn of(crc: [u8; 4], bytes: u64) -> Self {
        let [a, b, c, d, ..] = bytes.to_le_bytes();
        Self { crc, length: [a, b, c, d] }
    }
}

/// What a header says of its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) method: u16,
    pub(super) is_encrypted: bool,
    /// Whether sizes stand behind the member.
    pub(super) has_descriptor: bool,
    /// Compressed bytes, if it tells.
    pub(super) size: Option<u64>,
    /// What its content is, unless that stands behind the member.
    pub(super) mark: Option<Mark>,
    /// The level that it hints at.
    pub(super) likely: Option<u8>,
}

/// What the bytes are that stand where a header may.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A whole header.
    Header(Header),
    /// So many bytes at least decide.
    Needs(usize),
    /// Not a header.
    None,
}

/// Whether bytes begin like a header, as far as they go.
pub(super) fn is_start(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) && bytes.get(..TOLD).is_some_and(is_plausible)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

/// Whether there are such headers. The signature alone comes in programs and in what isn't ZIP.
fn is_plausible(told: &[u8]) -> bool {
    let method = u16_at(told, 8);
    told.get(4).is_some_and(|version| *version <= MAX_VERSION)
        && u16_at(told, 6) & UNKNOWN_FLAGS == 0
        && matches!(method, 0..=6 | 8..=10 | 12 | 14 | 16 | 18..=20 | 93..=99)
}

/// Reads the header that `bytes` are, or begin. No more than it takes may be given.
pub(super) fn read(bytes: &[u8]) -> Read {
    if !bytes.iter().zip(SIGNATURE).all(|(byte, expected)| byte == expected) {
        return Read::None;
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else { return Read::Needs(FIXED) };
    let (flags, method) = (u16_at(fixed, 6), u16_at(fixed, 8));
    let (packed, unpacked) = (u32_at(fixed, 18), u32_at(fixed, 22));
    let (name, extra) = (u16_at(fixed, 26), u16_at(fixed, 28));
    let is_encrypted = flags & ENCRYPTED != 0;
    let is_odd = method == STORED && !is_encrypted && packed != unpacked;
    if !is_plausible(fixed) || name > MAX_NAME || is_odd {
        return Read::None;
    }
    let length = FIXED + usize::from(name) + usize::from(extra);
    if bytes.len() < length {
        return Read::Needs(length);
    }
    let has_descriptor = flags & DESCRIPTOR != 0;
    let extra = rest.get(usize::from(name)..).unwrap_or_default();
    let sizes = zip64_sizes(extra, packed == ELSEWHERE, unpacked == ELSEWHERE);
    let [size, length] =
        [sizes.packed.unwrap_or_else(|| packed.into()), sizes.unpacked.unwrap_or_else(|| unpacked.into())];
    // Who writes without seeking back puts zeros, also for the checksum.
    let size = if has_descriptor && size == 0 { None } else { Some(size) };
    let mark = (!has_descriptor).then(|| Mark::of(u32_at(fixed, 14).to_le_bytes(), length));
    // Maximum, fast, super fast; what is normal is the default anyway.
    let likely = [None, Some(9), Some(1), Some(1)][usize::from(flags >> 1 & 3)];
    Read::Header(Header { method, is_encrypted, has_descriptor, size, mark, likely })
}

/// The name of the member whose whole header this is.
pub(super) fn name(header: &[u8]) -> &[u8] {
    header.get(FIXED..FIXED + usize::from(u16_at(header, 26))).unwrap_or_default()
}

/// Sizes of 64 bits, as far as they are there.
#[derive(Default)]
struct Sizes {
    packed: Option<u64>,
    unpacked: Option<u64>,
}

/// The sizes in the extra fields of a header: those that the header itself has no room for, that of the content first.
fn zip64_sizes(mut extra: &[u8], packed: bool, unpacked: bool) -> Sizes {
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some((field, later)) = extra[4..].split_at_checked(length) else { break };
        if id == ZIP64 {
            let at = if unpacked { 8 } else { 0 };
            let [packed, unpacked] =
                [(packed, at), (unpacked, 0)].map(|(is_there, at)| is_there.then(|| u64_at(field, at)).flatten());
            return Sizes { packed, unpacked };
        }
        extra = later;
    }
    Sizes::default()
}

/// How far the bytes go in which a header could begin later: all of them, or up to a signature or the beginning of one at the end.
pub(super) fn before(bytes: &[u8]) -> usize {
    memchr::memmem::find(bytes, SIGNATURE).unwrap_or_else(|| {
        let most = bytes.len().min(SIGNATURE.len() - 1);
        let held = (1..=most).rev().find(|held| bytes.ends_with(&SIGNATURE[..*held]));
        bytes.len() - held.unwrap_or(0)
    })
}

/// Bytes behind a member that tell whether these are a descriptor: the longest one, and what follows.
pub(super) const LOOKED_AT: usize = 28;

/// What stands behind a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Its bytes.
    pub(super) length: usize,
    /// What the member's content is.
    pub(super) mark: Mark,
}

/// The descriptor that stands behind a member of so many compressed bytes, if there is one: with a signature or without, with sizes of 32 or 64 bits.
pub(super) fn descriptor(bytes: &[u8], size: u64) -> Option<Descriptor> {
    let read = |length: usize| {
        let (signed, wide) = (matches!(length, 16 | 24), length >= 20);
        let at = if signed { 8 } else { 4 };
        let [told, unpacked] = [at, at + if wide { 8 } else { 4 }]
            .map(|at| if wide { u64_at(bytes, at) } else { Some(u32_at(bytes, at).into()) });
        // Whatever part of a ZIP comes next begins like that.
        let is_one = bytes.get(length..).is_some_and(|next| next.starts_with(b"PK"))
            && (!signed || bytes.starts_with(b"PK\x07\x08"))
            && told == Some(size);
        let mark = Mark::of(u32_at(bytes, at - 4).to_le_bytes(), unpacked?);
        is_one.then_some(Descriptor { length, mark })
    };
    [16, 24, 12, 20].into_iter().find_map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, flags: u16, method: u16, sizes: [u32; 2], name: &[u8], extra: &[u8]) -> Vec<u8> {
        let mut bytes = [&SIGNATURE[..], &[version, 0]].concat();
        bytes.extend([flags.to_le_bytes(), method.to_le_bytes()].concat());
        bytes.extend([7; 8]);
        bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend([name, extra].iter().flat_map(|part| u16::try_from(part.len()).unwrap().to_le_bytes()));
        [&bytes[..], name, extra].concat()
    }

    #[test]
    fn sizes_of_64_bits_are_found_among_other_fields() {
        let other = [&[0x55, 0x54, 5, 0][..], b"times"].concat();
        let both = [&other[..], &[1, 0, 16, 0], &9u64.to_le_bytes(), &(5u64 << 32).to_le_bytes(), &other].concat();
        let size = |sizes, extra: &[u8]| match read(&header(45, 0, 8, sizes, b"name", extra)) {
            Read::Header(header) => header.size,
            other => panic!("{other:?}"),
        };
        assert_eq!(size([u32::MAX, u32::MAX], &both), Some(5 << 32));
        assert_eq!(size([u32::MAX, 9], &[&[1, 0, 8, 0][..], &7u64.to_le_bytes()].concat()), Some(7));
        assert_eq!(size([3, u32::MAX], &both), Some(3));
        let length = |sizes, extra: &[u8]| match read(&header(45, 0, 8, sizes, b"name", extra)) {
            Read::Header(header) => header.mark.unwrap().length,
            other => panic!("{other:?}"),
        };
        assert_eq!(length([u32::MAX, u32::MAX], &both), [9, 0, 0, 0]);
        assert_eq!(length([u32::MAX, 8], &both), [8, 0, 0, 0]);
        assert_eq!(length([3, u32::MAX], &both), [9, 0, 0, 0]);
        assert_eq!(length([3, u32::MAX], &other), [0xff; 4]);
        // Missing, too short, cut off: what stands there is meant.
        for extra in [&other[..], &[1, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8], &both[..20], &[1], &[]] {
            assert_eq!(size([u32::MAX, u32::MAX], extra), Some(u32::MAX.into()));
        }
    }

    #[test]
    fn what_only_begins_like_a_header_is_none() {
        let good = header(20, 0x0808, 8, [0, 0], b"a", b"");
        assert!(matches!(read(&good), Read::Header(Header { size: None, has_descriptor: true, .. })));
        assert!(is_start(&good[..16]) && !is_start(&good[..9]));
        for bad in [
            header(64, 0, 8, [1, 1], b"a", b""),
            header(20, 0x80, 8, [1, 1], b"a", b""),
            header(20, 0x2000, 8, [1, 1], b"a", b""),
            header(20, 0, 7, [1, 1], b"a", b""),
            header(20, 0, 0, [1, 2], b"a", b""),
            header(20, 0, 0, [1, 1], &[b'a'; 4097], b""),
            b"PK\x03\x05".to_vec(),
        ] {
            assert_eq!(read(&bad), Read::None);
        }
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), Read::Needs(if length < 30 { 30 } else { 31 }));
        }
    }

    #[test]
    fn descriptors_are_told_by_the_size_and_by_what_follows() {
        let (crc, size) = (0x0403_4b50_u32.to_le_bytes(), 300u32.to_le_bytes());
        let wide = 300u64.to_le_bytes();
        for (parts, length) in [
            (vec![&b"PK\x07\x08"[..], &crc, &size, &[9; 4]], 16),
            (vec![&b"PK\x07\x08"[..], &crc, &wide, &[9; 8]], 24),
            (vec![&crc[..], &size, &[9; 4]], 12),
            (vec![&crc[..], &wide, &[9; 8]], 20),
        ] {
            let bytes = [parts.concat(), b"PK\x01\x02............".to_vec()].concat();
            let mark = Mark { crc, length: [9; 4] };
            assert_eq!(descriptor(&bytes, 300), Some(Descriptor { length, mark }));
            assert_eq!(descriptor(&bytes, 301), None);
            assert_eq!(descriptor(&bytes[..length], 300), None, "nothing follows");
        }
    }

    #[test]
    fn a_signature_may_begin_at_the_end() {
        for (bytes, at) in [
            (&b""[..], 0),
            (b"abc", 3),
            (b"abP", 2),
            (b"PKPK\x03", 2),
            (b"PPK\x03\x04PK", 1),
            (b"PK\x03", 0),
            (b"PK\x03\x05", 4),
        ] {
            assert_eq!(before(bytes), at, "{bytes:?}");
        }
    }
}
