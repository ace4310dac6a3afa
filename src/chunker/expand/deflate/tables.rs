//! The tables of RFC 1951, sections 3.2.5 to 3.2.7.

/// The code of a block's end; those below are literals.
pub(in super::super) const END: usize = 256;
/// Codes for literals, the end and lengths.
pub(in super::super) const CODES: usize = 286;
/// Codes for distances.
pub(in super::super) const DISTANCES: usize = 30;
/// Codes for lengths of codes.
pub(in super::super) const LENGTHS: usize = 19;

/// The shortest length or distance of a code, and how many bits follow it.
pub(in super::super) type Range = (u16, u8);

/// Of the codes for lengths, from [`END`] + 1 on.
pub(in super::super) const LENGTH_RANGES: [Range; 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// Of the codes for distances.
pub(in super::super) const DISTANCE_RANGES: [Range; DISTANCES] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];
/// The order in which the lengths of the codes for lengths are written.
pub(in super::super) const ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Bits that follow the codes for lengths: how often the one before, or zero, is repeated.
pub(in super::super) const REPEATS: [u8; LENGTHS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// The range that a length or distance falls into.
pub(in super::super) fn range_of(ranges: &[Range], value: u16) -> usize {
    ranges.partition_point(|(from, _)| *from <= value).saturating_sub(1)
}

/// How often a code for lengths of codes stands for its length, given the bits that follow it.
pub(in super::super) const fn repeated(code: usize, bits: u32) -> usize {
    let least = match code {
        16 | 17 => 3,
        18 => 11,
        _ => 1,
    };
    least + bits as usize
}
