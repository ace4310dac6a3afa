//! Segments, made again from the trailers of packs that no segment names which can be read.
//!
//! Restores work without: they look at the trailers themselves, each time that a cache is new. So this saves time, and data only if a
//! trailer is damaged later, too.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::{DomainId, PackId, RunId};
use crate::repo::keys::{Role, Signer};
use crate::repo::needs::Needs;
use crate::repo::pack::builder::FRAMES_START;
use crate::repo::pack::parse::{self, PackError};
use crate::repo::pack::trailer::TrailerFrame;
use crate::repo::record::{self, Segment, SegmentFrame, SegmentPack};
use crate::repo::repository::{Full, Repo};
use crate::repo::run;
use crate::repo::store::StoreErrorKind;
use crate::repo::view::in_parallel;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Packs that one segment names.
const SEGMENT_PACKS: usize = 1024;

/// What a repair of the index would do.
#[derive(Debug, Default)]
pub struct IndexPlan {
    /// Packs in the repository.
    pub packs: u64,
    /// Segments that can't be used, and why.
    pub unusable: Vec<(String, String)>,
    /// What new segments will say, by domain.
    pub unnamed: BTreeMap<DomainId, Vec<SegmentPack>>,
    /// Packs that no segment names and whose trailers can't be used, and why.
    pub unreadable: Vec<(PackId, String)>,
}

impl IndexPlan {
    /// How many packs new segments will name.
    pub fn added_packs(&self) -> u64 {
        self.unnamed.values().map(|packs| packs.len() as u64).sum()
    }

    /// Writes the segments, under a run of their own. Gives its id; nothing if there was nothing to write.
    pub fn carry_out(self, repo: &Repo<Full>, now: Time, host: &str, tool: &str) -> Result<Option<RunId>, RepoError> {
        if self.unnamed.is_empty() {
            return Ok(None);
        }
        let run = repo.keys().new_run();
        run::announce(repo, run, now, host, tool)?;
        let mut n = 0;
        for (domain, packs) in self.unnamed {
            for packs in packs.chunks(SEGMENT_PACKS) {
                let store_key = key::segment(run, n);
                let segment = Segment { needs: Needs::NONE, packs: packs.to_vec() };
                let sealed = record::seal_record_in(repo.keys(), repo.read_keys(), domain, &store_key, &segment);
                repo.store().put(&store_key, &Bytes::from(sealed))?;
                n += 1;
            }
        }
        Ok(Some(run))
    }
}

/// Finds out which packs no readable segment names, and reads their trailers.
pub fn plan(repo: &Repo<Full>) -> Result<IndexPlan, RepoError> {
    let mut listed: HashMap<PackId, u64> = HashMap::new();
    repo.store().list(key::PACKS, &mut |object| {
        if let Some(pack) = key::parse_pack(&object.key) {
            listed.insert(pack, object.length);
        }
    })?;
    let mut plan = IndexPlan { packs: listed.len() as u64, ..IndexPlan::default() };
    let named = named(repo, &listed, &mut plan.unusable)?;
    let mut unnamed: Vec<(PackId, u64)> = listed.into_iter().filter(|(pack, _)| !named.contains(pack)).collect();
    unnamed.sort_unstable();
    let found = Mutex::new(&mut plan);
    in_parallel(repo.store().connections(), &unnamed, &|&(pack, length): &(PackId, u64)| {
        let read = describe(repo, pack, length);
        let mut plan = found.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok((domain, described)) => plan.unnamed.entry(domain).or_default().push(described),
            Err(PackError::Store(error)) if !matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Short) => {
                return Err(RepoError::from(error));
            }
            Err(error) => plan.unreadable.push((pack, error.to_string())),
        }
        Ok(())
    })?;
    plan.unnamed.values_mut().for_each(|packs| packs.sort_unstable_by_key(|described| described.pack));
    plan.unreadable.sort_unstable_by_key(|(pack, _)| *pack);
    Ok(plan)
}

/// The packs that readable segments name with the length that they have.
fn named(
    repo: &Repo<Full>,
    listed: &HashMap<PackId, u64>,
    unusable: &mut Vec<(String, String)>,
) -> Result<HashSet<PackId>, RepoError> {
    let mut keys = Vec::new();
    repo.store().list(key::INDEX, &mut |object| keys.push(object.key))?;
    keys.sort_unstable();
    let mut named = HashSet::new();
    for store_key in keys {
        if key::parse_numbered(key::INDEX, &store_key).is_none() {
            continue;
        }
        let bytes = match repo.store().get(&store_key, MAX_OBJECT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        match record::open_record::<Segment>(repo.read_keys(), &store_key, &bytes) {
            Ok((segment, signer)) => {
                // As readers believe them: a write-only credential about packs of its own runs only.
                let may_speak_of = |run: RunId| match &signer {
                    Signer::Admin => true,
                    Signer::Credential(by) => by.role() == Role::Full || run.belongs_to(by.credential()),
                };
                let right = segment.packs.iter().filter(|said| listed.get(&said.pack) == Some(&u64::from(said.length)));
                named.extend(right.map(|said| said.pack).filter(|pack| may_speak_of(pack.run)));
            }
            Err(why) => unusable.push((store_key, why.fault.to_string())),
        }
    }
    Ok(named)
}

/// What a segment says of a pack, out of its trailer.
fn describe(repo: &Repo<Full>, pack: PackId, length: u64) -> Result<(DomainId, SegmentPack), PackError> {
    let store = &**repo.store();
    let head = store.get_range(&key::pack(pack), 0, FRAMES_START as u64)?;
    let domain = parse::opening(&head, repo.id(), pack.run)?.domain;
    let trailer = parse::read_trailer(store, pack, length, repo.id(), &repo.read_keys().domain(domain))?;
    let frame = |frame: &TrailerFrame| {
        let chunks = u16::try_from(frame.table.chunks.len()).unwrap_or(u16::MAX);
        let lengths = (frame.stored_length, frame.raw_length);
        SegmentFrame::new(frame.id, lengths, frame.table.class, chunks, frame.present.as_ref())
    };
    let described = SegmentPack {
        pack,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        trailer_length: trailer.length,
        frames: trailer.frames.iter().map(frame).collect(),
    };
    Ok((domain, described))
}
