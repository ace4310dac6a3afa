//! What pruners condemned and kept, and which snapshots they saw: the records under `gc/`.

use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::key;
use crate::repo::id::{PackId, RunId};
use crate::repo::record::Condemned;
use crate::repo::repository::{Access, Repo};
use crate::repo::store::Listed;
use std::collections::HashSet;

/// A pruner's record.
#[derive(Debug, Clone)]
pub struct GcRecord {
    /// The pruner.
    pub gid: RunId,
    /// When the store says that it was written.
    pub modified: Option<i64>,
    /// What it says.
    pub body: Condemned,
}

/// Loads the records that a listing of `gc/` names. Those that the admin key didn't sign count as absent.
pub fn load<A: Access>(repo: &Repo<A>, listed: &[Listed]) -> Result<Vec<GcRecord>, RepoError> {
    let mut records = Vec::new();
    for listed in listed {
        let Some(gid) = key::parse_run(key::GC, &listed.key) else { continue };
        if let Some(body) = fetch::by_admin::<_, Condemned>(repo, &listed.key)? {
            records.push(GcRecord { gid, modified: listed.modified, body });
        }
    }
    Ok(records)
}

/// All packs that some pruner condemned.
pub fn condemned<A: Access>(repo: &Repo<A>) -> Result<HashSet<PackId>, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::GC, &mut |object| listed.push(object))?;
    Ok(load(repo, &listed)?.into_iter().flat_map(|record| record.body.condemned).collect())
}

/// The census of the record that was written last.
pub fn census(records: &[GcRecord]) -> &[RunId] {
    let newest = records
        .iter()
        .filter(|record| !record.body.census.is_empty())
        .max_by_key(|record| (record.modified, record.body.time, record.gid));
    newest.map_or(&[], |record| record.body.census.as_slice())
}
