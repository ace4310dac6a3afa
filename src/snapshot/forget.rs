//! Forgetting snapshots: a plan that can be shown, then tombstones. Nothing is deleted; that is a pruner's work.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::gc::tombstone::bury_snapshot;
use crate::repo::id::RunId;
use crate::repo::repository::{Full, Repo};
use crate::repo::view::in_parallel;
use crate::snapshot::policy::{self, Candidate, Group, Options, Outcome, Policy, Refusal};
use crate::snapshot::snapshots::{Filter, Snapshot, Snapshots};

/// What would be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetPlan {
    /// The groups, with a verdict on each of their snapshots.
    pub groups: Vec<Group>,
    /// What keeps the plan from being carried out.
    pub refusals: Vec<Refusal>,
    /// Runs whose manifests can't be read, which were named.
    pub unreadable: Vec<RunId>,
    /// What the verdicts were made from.
    pub candidates: Vec<Candidate>,
}

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// The snapshots, in order of their ids.
    pub ids: Vec<RunId>,
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// A safety check refuses.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// It isn't a run whose manifest can't be read, nor the whole id of one that is gone.
    #[error("{0} is no snapshot that can't be read or is gone")]
    NotUnreadable(String),
    /// An id that several such runs begin with.
    #[error("{0} is the beginning of several ids")]
    Ambiguous(String),
    /// The repository.
    #[error(transparent)]
    Repo(#[from] RepoError),
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<&Snapshot> for Candidate {
    fn from(snapshot: &Snapshot) -> Self {
        let manifest = &snapshot.manifest;
        Self {
            id: snapshot.id,
            origin: manifest.brings_back.unwrap_or(snapshot.id),
            time: manifest.time,
            host: manifest.host.clone(),
            app: manifest.app.clone(),
            paths: manifest.paths.clone(),
            tags: snapshot.tags.clone(),
            write_only: snapshot.write_only,
            complete: snapshot.is_complete(),
            checkpoint_of: manifest.checkpoint_of,
            sequence: manifest.sequence,
            bytes: manifest.statistics.bytes,
            protected: snapshot.protected,
            stored: snapshot.stored,
        }
    }
}

impl ForgetPlan {
    /// A note that can't be used may have been the one that keeps a snapshot, so while there is such a note none goes.
    fn new(all: &Snapshots, candidates: Vec<Candidate>, outcome: Outcome) -> Self {
        let Outcome { groups, mut refusals } = outcome;
        if groups.iter().any(|group| group.removed().next().is_some()) {
            let unusable = all.notes.unusable.iter().filter(|note| note.matter.may_keep());
            refusals.extend(unusable.cloned().map(Refusal::Note));
        }
        Self { groups, refusals, unreadable: Vec::new(), candidates }
    }

    /// By rules, among the snapshots that `filter` admits. Those that can't be read are never counted, and stay.
    pub fn by_policy(all: &Snapshots, filter: &Filter, policy: &Policy, options: &Options) -> Self {
        let admitted = all.list.iter().filter(|snapshot| filter.admits(snapshot));
        let candidates: Vec<Candidate> = admitted.map(Candidate::from).collect();
        let outcome = policy::apply(&candidates, policy, options);
        Self::new(all, candidates, outcome)
    }

    /// Those that were named.
    pub fn by_ids(all: &Snapshots, ids: &[RunId], options: &Options) -> Self {
        let candidates: Vec<Candidate> = all.list.iter().map(Candidate::from).collect();
        let outcome = policy::forget_named(&candidates, ids, options);
        Self::new(all, candidates, outcome)
    }

    /// Those whose manifests can't be read, named by their ids or beginnings of them; and those whose manifests are gone, named by their whole ids.
    pub fn of_unreadable(all: &Snapshots, names: &[String]) -> Result<Self, ForgetError> {
        let gone = |name: &String| name.parse().ok().filter(|run| !all.listed.contains(run));
        let find = |name: &String| {
            let fits = |id: &RunId| id.to_string().starts_with(name) || id.random_part().starts_with(name);
            let mut found = all.unreadable.iter().map(|(id, _)| *id).filter(fits);
            match (found.next(), found.next()) {
                (Some(id), None) if !name.is_empty() => Ok(id),
                (Some(_), _) => Err(ForgetError::Ambiguous(name.clone())),
                (None, _) => gone(name).ok_or_else(|| ForgetError::NotUnreadable(name.clone())),
            }
        };
        let unreadable = names.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { unreadable, ..Self::default() })
    }

    /// What would be forgotten, in order of the ids.
    pub fn ids(&self) -> Vec<RunId> {
        let removed = self.groups.iter().flat_map(Group::removed).map(|verdict| verdict.id);
        let mut ids: Vec<RunId> = removed.chain(self.unreadable.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Carries out a plan: writes a tombstone for each snapshot. Interrupted in between, some are forgotten and the others aren't.
///
/// A tombstone that is there already says the same; whatever else is in its place is an error.
pub fn execute(repo: &Repo<Full>, plan: &ForgetPlan, now: Time) -> Result<Forgotten, ForgetError> {
    if !plan.refusals.is_empty() {
        return Err(ForgetError::Refused(plan.refusals.clone()));
    }
    let ids = plan.ids();
    in_parallel(repo.store().connections(), &ids, &|&id: &RunId| bury_snapshot(repo, id, now))?;
    Ok(Forgotten { ids })
}
