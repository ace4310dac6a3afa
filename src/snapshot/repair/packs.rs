//! Which packs are to be repaired: those that are named, and those that a check of the data finds.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::id::PackId;
use crate::repo::reader::Reader;
use crate::repo::repair::packs::{self, PacksOutcome, PacksPlan};
use crate::repo::repository::{Full, Repo};
use crate::repo::view::View;
use crate::snapshot::backup::{TOOL, now};
use crate::snapshot::check::{CheckOptions, Damaged, Reading, check};
use crate::snapshot::monitor::Monitor;
use crate::snapshot::repair::RepairError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which packs to repair.
#[derive(Debug, Clone, Default)]
pub struct PacksOptions {
    /// By name: a store key, or the beginning of the hash in it.
    pub packs: Vec<String>,
    /// Those that are found by reading so much.
    pub read_data: Option<Reading>,
    /// The time to reckon with instead of now.
    pub now: Option<Time>,
    /// The host to name in the record of the run.
    pub host: String,
    /// Whether to show the plan only.
    pub dry_run: bool,
}

/// Makes the plan, and carries it out unless it is a dry run.
pub fn repair(
    repo: &Repo<Full>,
    options: &PacksOptions,
    monitor: &dyn Monitor,
) -> Result<(PacksPlan, PacksOutcome), RepairError> {
    let mut wanted = named(repo, &options.packs)?;
    if options.read_data.is_some() {
        let report = check(repo, &CheckOptions { read_data: options.read_data, time: options.now }, monitor)?;
        wanted.extend(report.errors.iter().filter_map(|damage| match damage.kind {
            Damaged::Pack(pack) => Some(pack),
            Damaged::Frame(_) | Damaged::Note(_) | Damaged::Other => None,
        }));
    }
    monitor.progress().enter("looking at packs");
    let (view, _) = View::for_reading(repo)?;
    let reader = Reader::new(repo, Arc::new(view));
    let plan = packs::plan(repo, &reader, &wanted)?;
    if options.dry_run {
        return Ok((plan, PacksOutcome::default()));
    }
    monitor.progress().enter("copying what is good");
    let time = options.now.unwrap_or_else(now);
    let outcome = plan.carry_out(repo, &reader, (time, &options.host, TOOL))?;
    Ok((plan, outcome))
}

/// The packs of these names.
fn named(repo: &Repo<Full>, names: &[String]) -> Result<BTreeSet<PackId>, RepairError> {
    let mut listed = Vec::new();
    if !names.is_empty() {
        let each = &mut |object: crate::repo::store::Listed| listed.extend(key::parse_pack(&object.key));
        repo.store().list(key::PACKS, each).map_err(RepoError::from)?;
    }
    let mut found = BTreeSet::new();
    for name in names {
        // A name is written as messages show it: with or without the folder before it.
        let short = name.rsplit('/').next().unwrap_or_default();
        let fits = |pack: &&PackId| pack.to_string() == short || pack.hash.to_string().starts_with(short);
        let matching: Vec<&PackId> = listed.iter().filter(fits).collect();
        match matching[..] {
            [pack] if !short.is_empty() => drop(found.insert(*pack)),
            [] => return Err(RepairError::NoSuchPack(name.clone())),
            _ => return Err(RepairError::Ambiguous(name.clone(), matching.len())),
        }
    }
    Ok(found)
}
