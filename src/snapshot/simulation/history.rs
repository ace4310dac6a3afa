//! Which histories there are: what happened before, who acts at once, and what is done when all is quiet again.

use super::chance::Chance;
use super::clock::{DAY, HOUR};
use super::content::{File, Night, night};
use super::schedule::Point;
use crate::repo::format::key;
use crate::repo::gc::plan::MaxUnused;
use crate::repo::store::operation::Operation;

/// Credentials that actors have.
pub(super) const FULL: usize = 0;
/// A second full one.
pub(super) const OTHER_FULL: usize = 1;
/// Write-only, with a domain of its own.
pub(super) const ALONE: usize = 2;
/// Write-only, deduplicating with the full ones.
pub(super) const SHARING: usize = 3;

/// One thing that an actor does.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// A backup of these files.
    BackUp(Night),
    /// One that sees no packs at first, so that it stores all of it again.
    BackUpBlindly(Night),
    /// A prune.
    Prune(MaxUnused),
    /// A snapshot is forgotten.
    Forget,
    /// The oldest one is forgotten.
    ForgetFirst,
    /// A forgotten snapshot is brought back.
    Undo,
    /// All is read and what is damaged set aside; the index is completed.
    Repair,
    /// All is read, and noted as verified.
    Check,
    /// The storage loses a pack all of which is elsewhere too, while no pruner has condemned anything.
    LoseCopy,
    /// So many seconds pass for all.
    Pass(i64),
    /// Its cache is deleted.
    LoseCache,
    /// Its cache is replaced by a copy of another's.
    TakeCache,
    /// A writer forges.
    Forge,
}

/// Somebody, and what it does.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// By whose credential.
    pub(super) credential: usize,
    /// In which direction its clock is years off: −1, 0, 1.
    pub(super) clock: i64,
    /// What it does before anything goes wrong or at once.
    pub(super) before: Vec<Task>,
    /// What it does while the others do theirs.
    pub(super) during: Vec<Task>,
    /// What it does when all others have ended.
    pub(super) after: Vec<Task>,
}

/// A history.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// Those who act.
    pub(super) scripts: Vec<Script>,
    /// The order of what happens before: actor numbers, each standing for its next task.
    pub(super) order: Vec<usize>,
    /// Most faults.
    pub(super) faults: u32,
    /// Where actors are interrupted; empty: somewhere.
    pub(super) points: Vec<Point>,
}

impl History {
    /// The history of a seed.
    pub(super) fn generate(chance: &mut Chance) -> Self {
        if chance.percent(8) {
            return Self::twins(chance);
        }
        let hosts = 1 + chance.below(2);
        let pruners = 1 + usize::from(chance.percent(45));
        let mut scripts = Vec::new();
        let mut order = Vec::new();
        let mut nights: Vec<Night> = Vec::new();
        for host in 0..hosts {
            let credential = [FULL, OTHER_FULL, ALONE, SHARING][chance.below(4)];
            let mut before = Vec::new();
            for _ in 0..=chance.below(3) {
                let night = remember(chance, &mut nights);
                before.push(if chance.percent(25) { Task::BackUpBlindly(night) } else { Task::BackUp(night) });
            }
            order.extend(std::iter::repeat_n(host, before.len()));
            let mut during = Vec::new();
            for _ in 0..=usize::from(chance.percent(30)) {
                match chance.below(12) {
                    0 => during.push(Task::LoseCache),
                    1 => during.push(Task::TakeCache),
                    2 => during.push(Task::Pass([HOUR, DAY, 4 * DAY][chance.below(3)])),
                    _ => {}
                }
                during.push(Task::BackUp(remember(chance, &mut nights)));
            }
            scripts.push(Script { credential, clock: wrong(chance), before, during, after: Vec::new() });
        }
        // Who forgets does so before, so that there is something to prune, and sometimes meanwhile.
        let keeper = scripts.len();
        let forgets = chance.below(4);
        let mut before = vec![Task::Forget; forgets];
        before.push(Task::Pass([HOUR, 4 * DAY, 8 * DAY, 8 * DAY][chance.below(4)]));
        order.extend(std::iter::repeat_n(keeper, before.len()));
        let during = match chance.below(12) {
            0 | 1 => vec![Task::Forget],
            2 => vec![Task::Undo],
            3 => vec![Task::Pass(7 * DAY), Task::Undo],
            4 | 5 => vec![Task::LoseCopy],
            _ => Vec::new(),
        };
        let mut after = vec![Task::Pass(10 * DAY), prune(chance)];
        if chance.percent(30) {
            after.extend([Task::Pass(4 * DAY), prune(chance)]);
        }
        scripts.push(Script { credential: FULL, clock: 0, before, during, after });
        for _ in 0..pruners {
            let mut during = Vec::new();
            for _ in 0..=chance.below(2) {
                if chance.percent(30) {
                    during.push(Task::Pass([HOUR, 4 * DAY, 8 * DAY][chance.below(3)]));
                }
                during.push(prune(chance));
            }
            scripts.push(Script {
                credential: [FULL, OTHER_FULL][chance.below(2)],
                clock: wrong(chance),
                before: Vec::new(),
                during,
                after: Vec::new(),
            });
        }
        if chance.percent(15) {
            let before = vec![Task::BackUp(remember(chance, &mut nights)), Task::Forge];
            order.splice(0..0, [scripts.len()]);
            order.push(scripts.len());
            let during = if chance.percent(50) { vec![Task::Forge] } else { Vec::new() };
            scripts.push(Script { credential: SHARING, clock: wrong(chance), before, during, after: Vec::new() });
        }
        let faults = [0, 0, 0, 1, 2, 4][chance.below(6)];
        Self { scripts, order, faults, points: Vec::new() }
    }

    /// The same with somebody who checks and repairs meanwhile. Apart from [`generate`](Self::generate), so that seeds keep the histories that they had.
    pub(super) fn with_repairs(mut self, chance: &mut Chance) -> Self {
        let task = |chance: &mut Chance| if chance.percent(70) { Task::Repair } else { Task::Check };
        let during = (0..=chance.below(2)).map(|_| task(chance)).collect();
        let after = if chance.percent(30) { vec![Task::Repair] } else { Vec::new() };
        let credential = [FULL, OTHER_FULL][chance.below(2)];
        let clock = wrong(chance);
        self.scripts.push(Script { credential, clock, before: Vec::new(), during, after });
        self
    }

    /// Two hosts stored the same at once, so that each chunk is in two packs, of which one may go. Then either two pruners, of whom each thinks that the other pack stays, because a grace
    /// ended in between; or the storage loses the one that was to stay, before the other one is condemned. By chance alone this would take very many histories.
    fn twins(chance: &mut Chance) -> Self {
        let shared: Night = (0..2).map(|number| plain(number, 100 + number * 10)).collect();
        let loses = chance.percent(50);
        let mut more = shared.clone();
        if !loses {
            more.push(plain(7, 200));
        }
        let quiet = |credential, before, during| Script { credential, clock: 0, before, during, after: Vec::new() };
        let before = vec![Task::BackUp(more), Task::BackUp(shared.clone())];
        let mut scripts = vec![quiet([FULL, OTHER_FULL, SHARING][chance.below(3)], before, Vec::new())];
        scripts.push(quiet(
            [FULL, OTHER_FULL, SHARING][chance.below(3)],
            vec![Task::BackUpBlindly(shared)],
            Vec::new(),
        ));
        let at = |actor, operation, prefix| Point { actor, operation, prefix, nth: 1, seconds: None };
        let prunes = || vec![Task::Prune(MaxUnused::ByPack)];
        scripts.push(quiet(FULL, Vec::new(), prunes()));
        let (mut order, mut points) = (vec![0, 1, 0], vec![at(2, Operation::Put, key::GC)]);
        if loses {
            scripts.push(quiet(FULL, Vec::new(), vec![Task::LoseCopy]));
        } else {
            scripts.push(quiet(OTHER_FULL, vec![Task::ForgetFirst], prunes()));
            order.push(3);
            points.push(at(3, Operation::Put, key::GC));
            // Whoever of the two comes first; the other then sees that the grace is over.
            for point in &mut points {
                point.seconds = Some(9 * DAY);
            }
            points.push(at(2 + chance.below(2), Operation::Delete, key::PACKS));
        }
        Self { scripts, order, faults: 0, points }
    }
}

/// A file that is read again and again.
fn plain(number: u64, chunk: u64) -> File {
    File { name: format!("file-{number}"), chunks: vec![chunk, chunk + 1], is_stream: false, is_apart: true }
}

/// A new night, or one that some host had before: what is backed up again is found in packs that may be about to go.
fn remember(chance: &mut Chance, nights: &mut Vec<Night>) -> Night {
    if chance.percent(50)
        && let Some(night) = chance.pick(nights)
    {
        return night.clone();
    }
    nights.push(night(chance));
    nights[nights.len() - 1].clone()
}

fn prune(chance: &mut Chance) -> Task {
    Task::Prune([MaxUnused::ByPack, MaxUnused::ByPack, MaxUnused::Percent(0), MaxUnused::Unlimited][chance.below(4)])
}

fn wrong(chance: &mut Chance) -> i64 {
    if chance.percent(10) { [-1, 1][chance.below(2)] } else { 0 }
}
