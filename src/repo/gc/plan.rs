//! Step 6: what is to be done with each pack. A plan can be shown; carrying it out is another step.

use crate::repo::gc::error::GcError;
use crate::repo::gc::records::GcRecord;
use crate::repo::gc::survey::{ListedPack, Survey};
use crate::repo::gc::usage::Usage;
use crate::repo::id::{FrameId, PackId};
use crate::repo::view::View;
use std::collections::HashSet;

/// Packs of whose bytes more percent than this aren't needed are rewritten.
pub const REWRITE_ABOVE: u64 = 30;

/// How much may remain that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxUnused {
    /// What is left when every pack is rewritten of which more than [`REWRITE_ABOVE`] percent are dead.
    #[default]
    ByPack,
    /// So many percent of what stays, in the repository as a whole: the packs with the largest dead share are rewritten first.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
    /// Any amount: nothing is rewritten.
    Unlimited,
}

/// What a plan goes by.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// What may remain.
    pub max_unused: MaxUnused,
    /// Most bytes of packs that are rewritten; `None`: no limit.
    pub max_repack: Option<u64>,
}

/// A pack that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoomedPack {
    /// Its number in the view.
    pub number: u32,
    /// The pack.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// About how many of these bytes are needed and will be stored again.
    pub needed: u64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct GcPlan {
    /// Packs that nothing needs.
    pub remove: Vec<DoomedPack>,
    /// Packs of which something is needed, which goes into new packs first.
    pub rewrite: Vec<DoomedPack>,
    /// Packs that aren't understood: removed only if their openings show that they are this repository's.
    pub unknown: Vec<DoomedPack>,
    /// All packs, and their bytes.
    pub packs: u64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes in packs that stay that nothing needs, by the share of raw bytes.
    pub unused_after: u64,
    /// Packs that would go but for a run that is still going on or that another may go on from, or a copy that another pruner relies on.
    pub held: u64,
    /// Frames that snapshots need and no pack holds.
    pub missing: Vec<FrameId>,
}

impl GcPlan {
    /// Bytes of the packs that go.
    pub fn bytes_removed(&self) -> u64 {
        self.remove.iter().chain(&self.rewrite).chain(&self.unknown).map(|pack| pack.length).sum()
    }

    /// Bytes that are stored again for that.
    pub fn bytes_rewritten(&self) -> u64 {
        self.rewrite.iter().map(|pack| pack.needed).sum()
    }

    /// Bytes by which the repository shrinks.
    pub fn bytes_freed(&self) -> u64 {
        self.bytes_removed().saturating_sub(self.bytes_rewritten())
    }

    /// Has packs looked at like those that aren't understood at all, of which too little is known for sure.
    pub fn doubt(&mut self, is_doubtful: &dyn Fn(&DoomedPack) -> bool) {
        let (doubtful, remove): (Vec<_>, Vec<_>) = std::mem::take(&mut self.remove).into_iter().partition(is_doubtful);
        self.remove = remove;
        if self.missing.is_empty() {
            self.unknown.extend(doubtful);
        } else {
            // What is missing may be in there.
            self.unused_after += doubtful.iter().map(|pack| pack.length).sum::<u64>();
        }
    }

    /// The numbers of the packs that go.
    pub fn numbers(&self) -> Vec<u32> {
        self.remove.iter().chain(&self.rewrite).chain(&self.unknown).map(|pack| pack.number).collect()
    }
}

/// A candidate of which a part is needed.
struct Mixed {
    pack: DoomedPack,
    dead: u64,
    raw: u64,
    /// Must be rewritten, because nobody may rely on it any more.
    condemned: bool,
}

/// Makes a plan. `packs` is the listing from before runs and snapshots were looked at: younger packs are none of its business.
pub fn plan(
    view: &View,
    usage: &Usage<'_>,
    packs: &[ListedPack],
    survey: &Survey,
    options: &PlanOptions,
) -> Result<GcPlan, GcError> {
    let kept = kept_by_others(&survey.records);
    let mut plan = GcPlan { missing: usage.missing().to_vec(), ..GcPlan::default() };
    let mut mixed = Vec::new();
    let mut unused = 0;
    for listed in packs {
        let Some(number) = view.packs().number(&listed.id).filter(|&number| view.is_listed(number)) else { continue };
        plan.packs += 1;
        plan.bytes += listed.length;
        let use_ = usage.pack(number);
        let is_of_use = survey.unfinished.contains(&listed.id.run) && !usage.is_condemned(number);
        let held = survey.protects(listed.id) || kept.contains(&listed.id) || is_of_use;
        let needed = share(listed.length, use_.live, use_.raw);
        let pack = DoomedPack { number, id: listed.id, length: listed.length, needed };
        let understood = view.packs().get(number).is_some_and(|row| row.indexed.frames);
        if !use_.needed && held {
            plan.held += 1;
            unused += listed.length;
        } else if !use_.needed && understood {
            plan.remove.push(DoomedPack { needed: 0, ..pack });
        } else if !use_.needed {
            // What is missing may be in there.
            if usage.missing().is_empty() {
                plan.unknown.push(DoomedPack { needed: 0, ..pack });
            }
        } else if held {
            unused += listed.length - needed;
        } else {
            let condemned = usage.is_condemned(number);
            mixed.push(Mixed { pack, dead: use_.dead(), raw: use_.raw, condemned });
        }
    }
    let rest = choose_rewrites(mixed, plan.bytes - plan.bytes_removed(), unused, options, &mut plan.rewrite);
    plan.unused_after = rest;
    Ok(plan)
}

/// Packs that other pruners' records need to stay.
fn kept_by_others(records: &[GcRecord]) -> HashSet<PackId> {
    records.iter().flat_map(|record| record.body.kept.iter().copied()).collect()
}

/// `part` of `whole`, as bytes of `length`.
fn share(length: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(length) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX).min(length)
}

/// Takes those that are to be rewritten, worst first, and gives the unused bytes that remain. `staying` are the bytes of packs that aren't removed, of which `unused` are unused
/// and can't be helped.
fn choose_rewrites(
    mut mixed: Vec<Mixed>,
    staying: u64,
    mut unused: u64,
    options: &PlanOptions,
    rewrite: &mut Vec<DoomedPack>,
) -> u64 {
    let dead_share = |pack: &Mixed| share(1 << 20, pack.dead, pack.raw);
    mixed.sort_by_key(|pack| (!pack.condemned, std::cmp::Reverse(dead_share(pack)), pack.pack.id));
    unused += mixed.iter().map(|pack| pack.pack.length - pack.pack.needed).sum::<u64>();
    let used = staying.saturating_sub(unused);
    let mut budget = options.max_repack.unwrap_or(u64::MAX);
    for pack in mixed {
        let wanted = match options.max_unused {
            MaxUnused::ByPack => pack.dead * 100 > pack.raw * REWRITE_ABOVE,
            MaxUnused::Percent(percent) => unused > used.saturating_mul(percent.into()) / 100 && pack.dead > 0,
            MaxUnused::Bytes(bytes) => unused > bytes && pack.dead > 0,
            MaxUnused::Unlimited => false,
        };
        let possible = options.max_unused != MaxUnused::Unlimited && pack.pack.length <= budget;
        if possible && (wanted || pack.condemned) {
            budget -= pack.pack.length;
            unused -= pack.pack.length - pack.pack.needed;
            rewrite.push(pack.pack);
        }
    }
    unused
}
