//! The header of a member, one block (POSIX.1-2024, "ustar Interchange Format"; GNU tar, "Basic Tar Format").

/// All that a tar is made of: headers, and contents with what pads them.
pub(super) const BLOCK: usize = 512;
/// A block of zeros, as they stand at the end.
pub(super) const ZEROS: [u8; BLOCK] = [0; BLOCK];

const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..263;
/// Whether the map of a sparse member goes on: in its header, and in the blocks behind that.
const GOES_ON: usize = 482;
const GOES_ON_AGAIN: usize = 504;
/// So many bytes a member may have, so that what comes behind it can be told in 64 bits: other programs know no more either.
const MAX_SIZE: u64 = i64::MAX as u64;
/// No record's length has more digits.
const MAX_DIGITS: usize = 20;

/// What a header says of its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) size: u64,
}

/// What stands behind a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// The data of a file with holes; before them more of the map that tells where these are, if that goes on.
    Sparse {
        /// Whether it does.
        goes_on: bool,
    },
    /// Records (pax) of the next member, which may tell its size.
    Records,
    /// Something else of the next member, or of all that come: a long name, records that have no size.
    Extension,
    /// Nothing, whatever the size: links, devices, folders.
    Nothing,
    /// Whatever it is.
    Other,
}

/// Reads a header, if it is a sound one.
pub(super) fn read(block: &[u8]) -> Option<Header> {
    let magic = block.get(MAGIC)?;
    let kind = *block.get(KIND)?;
    // GNU's goes on with blanks. What is older has none, and is not told from other things by a sum alone.
    if !matches!(magic, b"ustar\0" | b"ustar ") || octal(block.get(CHECKSUM)?) != Some(sum(block)) {
        return None;
    }
    let size = size(block.get(SIZE)?)?;
    let kind = match kind {
        b'0' | 0 | b'7' => Kind::File,
        b'1'..=b'6' => Kind::Nothing,
        b'S' => Kind::Sparse { goes_on: *block.get(GOES_ON)? != 0 },
        b'x' | b'X' => Kind::Records,
        b'g' | b'K' | b'L' => Kind::Extension,
        _ => Kind::Other,
    };
    Some(Header { kind, size })
}

/// Whether the map of a sparse member goes on behind this block of it.
pub(super) fn goes_on(map: &[u8]) -> bool {
    map.get(GOES_ON_AGAIN).is_some_and(|byte| *byte != 0)
}

/// What a header's checksum is if it's sound: its own place counts as blanks.
pub(super) fn sum(block: &[u8]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let own = block.get(CHECKSUM).unwrap_or_default();
    sum(block) - sum(own) + own.len() as u64 * u64::from(b' ')
}

/// Octal digits, perhaps behind blanks, up to something that isn't one. Without any it's 0.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let length = digits.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let number = digits[..length].iter().fold(0, |number, digit| number << 3 | u64::from(digit - b'0'));
    // Twelve digits are 36 bits.
    matches!(digits.get(length), None | Some(b'\0' | b' ')).then_some(number)
}

/// A size: octal, or for what is too large for that a number of 95 bits behind one that says so.
fn size(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, 0, 0, 0, number @ ..] => number.try_into().ok().map(u64::from_be_bytes).filter(|size| *size <= MAX_SIZE),
        [0x80..=0xff, ..] => None,
        _ => octal(field),
    }
}

/// The size that a member's records tell, the last if there are several.
pub(super) fn size_in(mut records: &[u8]) -> Option<u64> {
    let mut size = None;
    while let Some((record, later)) = record(records) {
        if let Some(value) = record.strip_prefix(b"size=") {
            // Without a value it's the header's again.
            size = decimal(value).filter(|size| *size <= MAX_SIZE);
        }
        records = later;
    }
    size
}

/// The first record, and those behind it: its length, a blank, a name, `=`, a value, the end of a line. Nothing if it isn't one.
fn record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', &records[..records.len().min(MAX_DIGITS + 1)])?;
    let length = usize::try_from(decimal(&records[..blank])?).ok()?;
    let (record, later) = records.split_at_checked(length)?;
    Some((record.get(blank + 1..)?.strip_suffix(b"\n")?, later))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_one = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_one)?.parse().ok()
}
