//! Huffman codes of limited length, as the classical implementations of deflate choose among equals.

use super::tables::{CODES, DISTANCES};

/// A code: its bits, the first of them lowest, and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Code {
    pub(in super::super) bits: u16,
    pub(in super::super) length: u8,
}

/// The codes for some counts.
pub(in super::super) struct Tree {
    pub(in super::super) codes: Vec<Code>,
    /// Up to the last one that is used.
    pub(in super::super) used: usize,
}

impl Tree {
    /// Codes of at most `longest` bits for symbols that occur so often.
    pub(in super::super) fn of(counts: &[u32], longest: u8) -> Self {
        let mut counts = counts.to_vec();
        let mut used = counts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
        // Decoders want two codes at least.
        let mut free = (0..2).filter(|symbol| counts[*symbol] == 0).collect::<Vec<_>>().into_iter();
        while counts.iter().filter(|count| **count > 0).count() < 2 {
            let symbol = if used <= 2 { used } else { free.next().unwrap_or(0) };
            counts[symbol] = 1;
            used = used.max(symbol + 1);
        }
        let lengths = lengths(&counts, longest);
        Self { codes: codes(&lengths), used }
    }
}

impl Tree {
    /// The lengths of its codes, up to the last one that is used.
    pub(in super::super) fn lengths(&self) -> Vec<u8> {
        self.codes[..self.used].iter().map(|code| code.length).collect()
    }
}

/// Nodes that wait to be joined: the one with the smallest count first, the shallowest among equals.
struct Heap {
    nodes: Vec<usize>,
    counts: Vec<u64>,
    depths: Vec<u8>,
}

impl Heap {
    fn is_smaller(&self, a: usize, b: usize) -> bool {
        self.counts[a] < self.counts[b] || (self.counts[a] == self.counts[b] && self.depths[a] <= self.depths[b])
    }

    /// Moves the node at a place down to where it belongs. Places are counted from 1.
    fn sink(&mut self, mut place: usize) {
        let node = self.nodes[place - 1];
        let length = self.nodes.len();
        let mut child = 2 * place;
        while child <= length {
            if child < length && self.is_smaller(self.nodes[child], self.nodes[child - 1]) {
                child += 1;
            }
            if self.is_smaller(node, self.nodes[child - 1]) {
                break;
            }
            self.nodes[place - 1] = self.nodes[child - 1];
            place = child;
            child *= 2;
        }
        self.nodes[place - 1] = node;
    }

    fn pop(&mut self) -> usize {
        let first = self.nodes.swap_remove(0);
        if !self.nodes.is_empty() {
            self.sink(1);
        }
        first
    }
}

/// The length of each symbol's code.
fn lengths(counts: &[u32], longest: u8) -> Vec<u8> {
    let symbols = counts.len();
    let nodes: Vec<usize> = (0..symbols).filter(|symbol| counts[*symbol] > 0).collect();
    let mut heap =
        Heap { nodes, counts: counts.iter().map(|count| u64::from(*count)).collect(), depths: vec![0; symbols] };
    for place in (1..=heap.nodes.len() / 2).rev() {
        heap.sink(place);
    }
    // In the order in which they were taken: the last ones are nearest to the root.
    let mut taken = Vec::new();
    let mut parents = vec![usize::MAX; symbols];
    loop {
        let one = heap.pop();
        let other = heap.nodes[0];
        taken.extend([one, other]);
        let joined = heap.counts.len();
        heap.counts.push(heap.counts[one] + heap.counts[other]);
        heap.depths.push(heap.depths[one].max(heap.depths[other]) + 1);
        parents.push(usize::MAX);
        (parents[one], parents[other]) = (joined, joined);
        heap.nodes[0] = joined;
        heap.sink(1);
        if heap.nodes.len() == 1 {
            break;
        }
    }
    limit(&taken, &parents, symbols, longest)
}

/// Lengths by the tree, none of them beyond `longest`.
fn limit(taken: &[usize], parents: &[usize], symbols: usize, longest: u8) -> Vec<u8> {
    let mut depths = vec![0u8; parents.len()];
    let mut numbers = vec![0usize; usize::from(longest) + 1];
    let mut overflow = 0usize;
    // The root was taken by nobody; children come behind their parents from the end on.
    for node in taken.iter().rev().copied() {
        let mut depth = depths[parents[node]] + 1;
        if depth > longest {
            depth = longest;
            overflow += 1;
        }
        depths[node] = depth;
        if node < symbols {
            numbers[usize::from(depth)] += 1;
        }
    }
    if overflow == 0 {
        return depths[..symbols].to_vec();
    }
    // A leaf moves down beside one that is too deep, until all have a place.
    let last = usize::from(longest);
    let mut left = overflow.cast_signed();
    while left > 0 {
        let mut bits = last - 1;
        while numbers[bits] == 0 {
            bits -= 1;
        }
        numbers[bits] -= 1;
        numbers[bits + 1] += 2;
        numbers[last] -= 1;
        left -= 2;
    }
    let mut leaves = taken.iter().copied().filter(|node| *node < symbols);
    for bits in (1..=last).rev() {
        for _ in 0..numbers[bits] {
            if let Some(leaf) = leaves.next() {
                depths[leaf] = u8::try_from(bits).unwrap_or(longest);
            }
        }
    }
    depths[..symbols].to_vec()
}

/// Codes by their lengths (RFC 1951, section 3.2.2). If there are more than bits tell apart, some are alike.
pub(in super::super) fn codes(lengths: &[u8]) -> Vec<Code> {
    let mut numbers = [0u16; 16];
    lengths.iter().filter(|length| **length > 0).for_each(|length| numbers[usize::from(*length)] += 1);
    let mut next = [0u16; 17];
    for length in 1..16 {
        next[length + 1] = next[length].wrapping_add(numbers[length]) << 1;
    }
    let code = |length: &u8| {
        if *length == 0 {
            return Code::default();
        }
        let place = &mut next[usize::from(*length)];
        let bits = place.reverse_bits() >> (16 - u32::from(*length));
        *place = place.wrapping_add(1);
        Code { bits, length: *length }
    };
    lengths.iter().map(code).collect()
}

/// The lengths of fixed codes for literals and lengths, the last two of which stand for nothing, and for distances.
pub(in super::super) const FIXED: ([u8; 288], [u8; DISTANCES]) = {
    let mut lengths = [8; 288];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    (lengths, [5; DISTANCES])
};

/// The codes of blocks with fixed ones, for literals and lengths, and for distances.
pub(in super::super) fn fixed() -> (Vec<Code>, Vec<Code>) {
    let mut of_codes = codes(&FIXED.0);
    of_codes.truncate(CODES);
    (of_codes, codes(&FIXED.1))
}
