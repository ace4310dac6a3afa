//! An adaptive binary range coder, as that of LZMA (G. N. N. Martin, "Range encoding", 1979; I. Pavlov, LZMA specification, 2015), with chances that adapt at two speeds.

/// How likely a bit is 0: the mean of two estimates, in 65,536ths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    quick: u16,
    slow: u16,
}

/// Each bit moves the estimates by so many halvings of what is left.
const QUICK: u8 = 4;
const SLOW: u8 = 7;
/// Bits of a chance when the range is split.
const PRECISION: u8 = 15;
/// Below this the range is widened by a byte.
const NARROW: u32 = 1 << 24;

impl Chance {
    /// As likely as not.
    pub(super) const EVEN: Self = Self { quick: 1 << 15, slow: 1 << 15 };

    /// The part of a range that stands for 0: not all of it, nor nothing.
    fn split(self, range: u32) -> u32 {
        let chance = (u32::from(self.quick) + u32::from(self.slow)) >> (17 - PRECISION);
        (range >> PRECISION) * chance.clamp(1, (1 << PRECISION) - 1)
    }

    const fn learn(&mut self, bit: bool) {
        if bit {
            self.quick -= self.quick >> QUICK;
            self.slow -= self.slow >> SLOW;
        } else {
            self.quick += (u16::MAX - self.quick) >> QUICK;
            self.slow += (u16::MAX - self.slow) >> SLOW;
        }
    }
}

/// Codes bits, in either direction: a decoder takes no notice of the values that it's given.
pub(super) trait Coder {
    /// A bit.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool;

    /// A number of so many bits, the highest first, each with a chance by those before it: there must be 2 to the power of `bits` chances.
    fn number(&mut self, chances: &mut [Chance], bits: u8, value: usize) -> usize {
        let mut node = 1;
        for place in (0..bits).rev() {
            node = node << 1 | usize::from(self.bit(&mut chances[node], value >> place & 1 == 1));
        }
        node - (1 << bits)
    }

    /// A number of so many bits that nothing is known of.
    fn raw(&mut self, bits: u8, value: usize) -> usize {
        (0..bits)
            .rev()
            .fold(0, |all, place| all << 1 | usize::from(self.bit(&mut { Chance::EVEN }, value >> place & 1 == 1)))
    }
}

/// Writes.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u64,
    range: u32,
    /// A byte that a carry may still change, with how many bytes `ff` behind it.
    held: Option<u8>,
    full: usize,
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) const fn new() -> Self {
        Self { low: 0, range: u32::MAX, held: None, full: 0, bytes: Vec::new() }
    }

    fn shift(&mut self) {
        let carry = self.low >> 32 != 0;
        let byte = u8::try_from(self.low >> 24 & 0xff).unwrap_or(0);
        if byte == 0xff && !carry {
            self.full += 1;
        } else {
            if let Some(held) = self.held {
                self.bytes.push(held.wrapping_add(u8::from(carry)));
            }
            let full = if carry { 0 } else { 0xff };
            self.bytes.extend(std::iter::repeat_n(full, std::mem::take(&mut self.full)));
            self.held = Some(byte);
        }
        self.low = self.low << 8 & 0xffff_ffff;
    }

    /// The bytes, without zeros at their end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        // Of what the range leaves, the number with the most zeros at its end.
        let most = self.low + u64::from(self.range) - 1;
        let round = (0..32).rev().map(|bits| most >> bits << bits).find(|number| *number >= self.low);
        self.low = round.unwrap_or(self.low);
        (0..5).for_each(|_| self.shift());
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

impl Coder for Encoder {
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        let split = chance.split(self.range);
        if bit {
            self.low += u64::from(split);
            self.range -= split;
        } else {
            self.range = split;
        }
        chance.learn(bit);
        while self.range < NARROW {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

/// Reads.
#[derive(Debug)]
pub(super) struct Decoder<'b> {
    bytes: &'b [u8],
    range: u32,
    code: u32,
}

impl<'b> Decoder<'b> {
    /// At the start of bytes, behind which there are zeros.
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        let mut decoder = Self { bytes, range: u32::MAX, code: 0 };
        (0..4).for_each(|_| decoder.shift());
        decoder
    }

    fn shift(&mut self) {
        let (byte, rest) = self.bytes.split_first().map_or((0, self.bytes), |(byte, rest)| (*byte, rest));
        self.bytes = rest;
        self.code = self.code << 8 | u32::from(byte);
    }

    /// Whether all bytes were read.
    pub(super) const fn is_done(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, chance: &mut Chance, _: bool) -> bool {
        let split = chance.split(self.range);
        let bit = self.code >= split;
        if bit {
            self.code -= split;
            self.range -= split;
        } else {
            self.range = split;
        }
        chance.learn(bit);
        while self.range < NARROW {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec((0u8..9, any::<u8>(), 0usize..3), 0..2_000)) {
            let code = |coder: &mut dyn FnMut(&mut [Chance], u8, usize) -> usize| -> Vec<usize> {
                let mut chances = [[Chance::EVEN; 256]; 3];
                // Small numbers are frequent, so that chances get extreme.
                values.iter().map(|(bits, value, of)| {
                    let value = usize::from(*value >> (of * 3)) & ((1 << bits.min(&8)) - 1);
                    coder(&mut chances[*of], *bits.min(&8), value)
                }).collect()
            };
            let mut encoder = Encoder::new();
            let written = code(&mut |chances, bits, value| {
                encoder.raw(bits, value);
                encoder.number(chances, bits, value)
            });
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            let read = code(&mut |chances, bits, value| {
                assert_eq!(decoder.raw(bits, 0), value);
                decoder.number(chances, bits, 0)
            });
            prop_assert_eq!(read, written);
            prop_assert!(decoder.is_done());
        }
    }

    #[test]
    fn what_is_expected_takes_next_to_nothing() {
        let (mut encoder, mut chance) = (Encoder::new(), Chance::EVEN);
        (0..100_000).for_each(|_| {
            encoder.bit(&mut chance, false);
        });
        (0..100_000).for_each(|_| {
            encoder.bit(&mut chance, true);
        });
        assert!(encoder.finish().len() < 100);
    }
}
