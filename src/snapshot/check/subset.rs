//! Which part of the packs a check reads.

use std::str::FromStr;

/// A part of the packs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subset {
    /// All of them.
    All,
    /// A random choice of about so many percent of the bytes.
    Percent(f64),
    /// The `n`-th of `of` parts: all parts together are all packs.
    Part {
        /// Which, from 1 on.
        n: u64,
        /// Of how many.
        of: u64,
    },
    /// A random choice of about so many bytes.
    Bytes(u64),
}

/// A text that names no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part of the packs: write a share such as 5%, a part such as 1/10, or an amount such as 2G")]
pub struct SubsetError(String);

impl FromStr for Subset {
    type Err = SubsetError;

    fn from_str(text: &str) -> Result<Self, SubsetError> {
        parse(text.trim()).ok_or_else(|| SubsetError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Subset> {
    if text == "all" {
        return Some(Subset::All);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok()?;
        return (percent > 0.0 && percent <= 100.0).then_some(Subset::Percent(percent));
    }
    if let Some((n, of)) = text.split_once('/') {
        let (n, of) = (n.parse().ok()?, of.parse().ok()?);
        return (1 <= n && n <= of).then_some(Subset::Part { n, of });
    }
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(Subset::Bytes(bytes))
}

impl Subset {
    /// About how many of `total` bytes it is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of bytes, positive, need not be exact"
    )]
    pub(super) fn bytes_of(self, total: u64) -> u64 {
        match self {
            Self::All => total,
            Self::Part { of, .. } => total / of,
            Self::Percent(percent) => (total as f64 * percent / 100.0).ceil() as u64,
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Takes the part out of `packs`, of which each has a length and comes in an order that has nothing to do with content.
    pub(super) fn choose<T>(self, mut packs: Vec<(T, u64)>, random: u64) -> Vec<(T, u64)> {
        let total: u64 = packs.iter().map(|(_, length)| length).sum();
        if let Self::Part { n, of } = self {
            let in_part = |i: usize| i as u64 % of == n - 1;
            let mut i = 0;
            packs.retain(|_| {
                i += 1;
                in_part(i - 1)
            });
            return packs;
        }
        let wanted = self.bytes_of(total);
        // Packs are in the order of their hashes: a run of them from a random place on is a random choice.
        let count = packs.len() as u64;
        let start = if count == 0 { 0 } else { usize::try_from(random % count).unwrap_or(0) };
        packs.rotate_left(start);
        let mut sum = 0;
        packs.retain(|(_, length)| {
            let take = sum < wanted;
            sum += length;
            take
        });
        packs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_people_write_them() {
        let parse = |text: &str| text.parse::<Subset>().ok();
        assert_eq!(parse("5%"), Some(Subset::Percent(5.0)));
        assert_eq!(parse("0.5%"), Some(Subset::Percent(0.5)));
        assert_eq!(parse("2/10"), Some(Subset::Part { n: 2, of: 10 }));
        assert_eq!(parse("2G"), Some(Subset::Bytes(2 << 30)));
        assert_eq!(parse("300"), Some(Subset::Bytes(300)));
        for wrong in ["", "0%", "101%", "0/3", "4/3", "x", "5 apples", "-1", "0", "99999999999T"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_make_up_the_whole() {
        let packs: Vec<(u32, u64)> = (0..23).map(|i| (i, 10)).collect();
        let mut all: Vec<u32> = Vec::new();
        for n in 1..=5 {
            all.extend(Subset::Part { n, of: 5 }.choose(packs.clone(), 9).into_iter().map(|(pack, _)| pack));
        }
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
        assert_eq!(Subset::Percent(10.0).choose(packs.clone(), 22).len(), 3, "23 bytes need three packs");
        assert_eq!(Subset::Bytes(95).choose(packs.clone(), 4).len(), 10);
        assert_eq!(Subset::All.choose(packs, 4).len(), 23);
    }
}
