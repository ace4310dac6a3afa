//! What goes wrong, how often, and how often it did.
//!
//! A history has a few faults at most: when everything fails nothing happens. Listings lie at most once for each prefix and history: the protocol asks twice, or asks something else too, where
//! an answer decides; two lies about the same thing are beyond what it promises.

use super::chance::Chance;
use super::schedule::is_interesting;
use crate::repo::store::StoreErrorKind;
use crate::repo::store::operation::Operation;
use std::collections::BTreeSet;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The call fails and has no effect.
    Before,
    /// It has its effect and fails.
    After,
    /// A put stores a part and fails.
    Torn,
    /// A put stores a part and succeeds: a lying disk.
    TornSilently,
    /// A put stores nothing under its key and succeeds.
    Empty,
    /// A read has a wrong bit.
    Flipped,
    /// A read is shorter than it should be.
    Short,
    /// A put fails and takes effect later.
    Late,
    /// A put takes effect at once and once more later.
    Twice,
    /// A delete succeeds and takes effect later.
    LateDelete,
    /// A listing as it was some calls ago.
    Stale,
    /// A listing that ends early.
    Cut,
    /// A listing of nothing.
    Nothing,
    /// A listing without one of its keys.
    Missing,
    /// This call and some further ones of the same actor are turned away: 429, 503.
    Burst,
    /// No answer for two days.
    Hang,
    /// No room for a while.
    Full,
    /// The process dies; the call may still take effect, now or later.
    Death,
    /// A host's clock is years off.
    Clock,
    /// A writer forges.
    Forged,
    /// An actor was suspended.
    Suspended,
    /// A pack was lost all of which was elsewhere too.
    Lost,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 22] = [
        Self::Before,
        Self::After,
        Self::Torn,
        Self::TornSilently,
        Self::Empty,
        Self::Flipped,
        Self::Short,
        Self::Late,
        Self::Twice,
        Self::LateDelete,
        Self::Stale,
        Self::Cut,
        Self::Nothing,
        Self::Missing,
        Self::Burst,
        Self::Hang,
        Self::Full,
        Self::Death,
        Self::Clock,
        Self::Forged,
        Self::Suspended,
        Self::Lost,
    ];
}

/// How often each kind of fault happened.
pub(super) type Hits = [u64; Kind::ALL.len()];

/// The faults of a history.
#[derive(Debug)]
pub(super) struct Faults {
    chance: Chance,
    left: u32,
    per_mille: u64,
    lied: BTreeSet<String>,
    /// By actor, how many further calls are turned away.
    burst: Vec<u32>,
    /// Until this step there is no room.
    full_until: u64,
    /// What happened.
    pub(super) hits: Hits,
    /// Whether faults happen at all now.
    pub(super) on: bool,
}

impl Faults {
    /// At most so many, for so many actors.
    pub(super) fn new(chance: Chance, most: u32, actors: usize) -> Self {
        Self {
            chance,
            left: most,
            per_mille: 12,
            lied: BTreeSet::new(),
            burst: vec![0; actors],
            full_until: 0,
            hits: [0; Kind::ALL.len()],
            on: false,
        }
    }

    /// Counts a fault.
    pub(super) fn hit(&mut self, kind: Kind) {
        self.hits[kind as usize] += 1;
    }

    /// A number from 0 to `n` − 1, for the details of a fault.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.chance.below(n)
    }

    /// How this call goes wrong, if it does.
    pub(super) fn draw(&mut self, actor: usize, operation: Operation, key: &str, step: u64) -> Option<Kind> {
        if !self.on {
            return None;
        }
        if self.burst[actor] > 0 {
            self.burst[actor] -= 1;
            return Some(Kind::Before);
        }
        if step < self.full_until && operation == Operation::Put {
            return Some(Kind::Full);
        }
        let weight = if is_interesting(operation, key) { 3 } else { 1 };
        if self.left == 0 || !self.chance.per_mille(weight * self.per_mille) {
            return None;
        }
        let kind = self.kind_for(operation, key)?;
        self.left -= 1;
        self.hit(kind);
        match kind {
            Kind::Burst => self.burst[actor] = 1 + u32::try_from(self.chance.below(6)).unwrap_or(0),
            Kind::Full => self.full_until = step + 3 + self.chance.below(30) as u64,
            _ => {}
        }
        Some(kind)
    }

    fn kind_for(&mut self, operation: Operation, key: &str) -> Option<Kind> {
        let always = [Kind::Before, Kind::After, Kind::Burst, Kind::Hang, Kind::Death, Kind::Death];
        let more: &[Kind] = match operation {
            Operation::Put => {
                &[Kind::Torn, Kind::TornSilently, Kind::Empty, Kind::Late, Kind::Late, Kind::Twice, Kind::Full]
            }
            Operation::Get | Operation::GetRange => &[Kind::Flipped, Kind::Short],
            Operation::List if self.lied.insert(key.to_owned()) => {
                &[Kind::Stale, Kind::Stale, Kind::Cut, Kind::Nothing, Kind::Missing, Kind::Missing]
            }
            Operation::Delete => &[Kind::LateDelete, Kind::LateDelete],
            _ => &[],
        };
        let all: Vec<Kind> = always.iter().chain(more).copied().collect();
        self.chance.pick(&all).copied()
    }

    /// The error of a call that fails.
    pub(super) fn error(&mut self) -> StoreErrorKind {
        if self.chance.percent(70) { StoreErrorKind::Transient } else { StoreErrorKind::Other }
    }
}
