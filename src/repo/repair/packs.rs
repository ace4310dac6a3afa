//! Damaged packs: what is still good in them is copied into new packs, and they are *set aside*: condemned, so that no run relies on them
//! any more and the next backup stores again what was lost. They stay where they are.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::{Class, MAX_OBJECT, key};
use crate::repo::gc::error::GcError;
use crate::repo::gc::records;
use crate::repo::gc::rewrite::Rewriter;
use crate::repo::id::{FrameId, PackHash, PackId, RunId};
use crate::repo::keys::domain::DomainKeys;
use crate::repo::needs::Needs;
use crate::repo::pack::frame::Zstd;
use crate::repo::pack::parse::WholePack;
use crate::repo::pack::reseal::ProvenFrame;
use crate::repo::reader::Reader;
use crate::repo::record::{self, Condemned, Tombstone};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;
use crate::repo::view::View;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a repair of packs would do.
#[derive(Debug, Default)]
pub struct PacksPlan {
    /// The packs that are damaged, and what becomes of what they hold.
    pub damaged: Vec<DamagedPack>,
    /// Packs that were named and are sound.
    pub sound: Vec<PackId>,
}

/// A pack that is damaged.
#[derive(Debug)]
pub struct DamagedPack {
    /// The pack.
    pub pack: PackId,
    /// Whether it's set aside already.
    pub is_set_aside: bool,
    /// Frames that are good and nowhere else: they are copied.
    pub copied: Vec<FrameId>,
    /// How many frames are elsewhere, too.
    pub elsewhere: u64,
    /// Frames that are in no other pack, and why they can't be used.
    pub lost: Vec<(FrameId, String)>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct PacksOutcome {
    /// The run under which it was done; nothing if there was nothing to do.
    pub run: Option<RunId>,
    /// Frames that were copied.
    pub copied: u64,
    /// Packs that were written, and their bytes.
    pub written: (u64, u64),
    /// Packs that were set aside.
    pub set_aside: u64,
}

/// A frame of a pack: where it lies, and which class it's said to be of.
struct Place {
    id: FrameId,
    offset: usize,
    length: usize,
    class: Class,
}

/// Looks at packs, frame by frame.
pub fn plan(repo: &Repo<Full>, reader: &Reader<'_>, packs: &BTreeSet<PackId>) -> Result<PacksPlan, GcError> {
    let condemned = records::condemned(repo)?;
    let suspects: HashSet<PackId> = packs.iter().copied().chain(condemned.iter().copied()).collect();
    let mut zstd = Zstd::new()?;
    let mut plan = PacksPlan::default();
    for &pack in packs {
        let bytes = bytes_of(repo, pack)?;
        if PackHash::from_bytes(*blake3::hash(&bytes).as_bytes()) == pack.hash && opens(repo, reader, pack, &bytes)? {
            plan.sound.push(pack);
            continue;
        }
        let mut damaged = DamagedPack {
            pack,
            is_set_aside: condemned.contains(&pack),
            copied: Vec::new(),
            elsewhere: 0,
            lost: Vec::new(),
        };
        each_frame(
            repo,
            reader,
            pack,
            &bytes,
            &mut |id, opened, _, zstd| {
                if reader.has_copy_outside(id, &suspects, zstd).map_err(GcError::Rewrite)? {
                    damaged.elsewhere += 1;
                    return Ok(());
                }
                match opened {
                    Ok(_) => damaged.copied.push(id),
                    // Several partial copies may make up a whole one.
                    Err(_) if reader.frame(id).is_ok_and(|frame| frame.is_whole()) => damaged.elsewhere += 1,
                    Err(why) => damaged.lost.push((id, why)),
                }
                Ok(())
            },
            &mut zstd,
        )?;
        plan.damaged.push(damaged);
    }
    Ok(plan)
}

impl PacksPlan {
    /// Whether there is anything to be done.
    pub fn is_empty(&self) -> bool {
        self.damaged.iter().all(|damaged| damaged.copied.is_empty() && damaged.is_set_aside)
    }

    /// Copies what is good, and then sets the packs aside.
    pub fn carry_out(
        &self,
        repo: &Repo<Full>,
        reader: &Reader<'_>,
        (now, host, tool): (Time, &str, &str),
    ) -> Result<PacksOutcome, GcError> {
        if self.is_empty() {
            return Ok(PacksOutcome::default());
        }
        let run = repo.keys().new_run();
        let rewriter = Rewriter::start(repo, run, now, host, tool)?;
        let mut zstd = Zstd::new()?;
        let mut copied = 0;
        for damaged in self.damaged.iter().filter(|damaged| !damaged.copied.is_empty()) {
            let wanted: HashSet<FrameId> = damaged.copied.iter().copied().collect();
            let bytes = bytes_of(repo, damaged.pack)?;
            each_frame(
                repo,
                reader,
                damaged.pack,
                &bytes,
                &mut |id, opened, domain, zstd| {
                    if let (Ok(proven), true) = (opened, wanted.contains(&id)) {
                        rewriter.adopt(&proven, id, (damaged.pack, domain), zstd)?;
                        copied += 1;
                    }
                    Ok(())
                },
                &mut zstd,
            )?;
        }
        let moved = rewriter.finish()?;
        let aside: Vec<PackId> = self.damaged.iter().map(|damaged| damaged.pack).collect();
        let kept: Vec<PackId> = moved.packs.iter().map(|(pack, _)| *pack).collect();
        set_aside(repo, run, now, aside, kept)?;
        Ok(PacksOutcome {
            run: Some(run),
            copied,
            written: (moved.packs.len() as u64, moved.packs.iter().map(|(_, length)| length).sum()),
            set_aside: self.damaged.iter().filter(|damaged| !damaged.is_set_aside).count() as u64,
        })
    }
}

/// The bytes of a pack; none if there is none, as of one that is gone.
fn bytes_of(repo: &Repo<Full>, pack: PackId) -> Result<Bytes, GcError> {
    match repo.store().get(&key::pack(pack), MAX_OBJECT) {
        Ok(bytes) => Ok(bytes),
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Short) => Ok(Bytes::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether every frame that the trailer of a pack names opens.
fn opens(repo: &Repo<Full>, reader: &Reader<'_>, pack: PackId, bytes: &[u8]) -> Result<bool, GcError> {
    let Ok(whole) = WholePack::new(pack, bytes, repo.id()) else { return Ok(false) };
    if whole.frames(&repo.read_keys().domain(whole.opening.domain)).is_err() {
        return Ok(false);
    }
    let mut sound = true;
    each_frame(
        repo,
        reader,
        pack,
        bytes,
        &mut |_, opened, _, _| {
            sound &= opened.is_ok();
            Ok(())
        },
        &mut Zstd::new()?,
    )?;
    Ok(sound)
}

/// What is done with a frame of a pack: its id, the frame or why it can't be opened, the keys of its domain.
type EachFrame<'a> =
    dyn FnMut(FrameId, Result<ProvenFrame, String>, &DomainKeys, &mut Zstd) -> Result<(), GcError> + 'a;

/// Opens the frames of a pack, whatever else of it is damaged: where they are, its trailer says, or else the index.
fn each_frame(
    repo: &Repo<Full>,
    reader: &Reader<'_>,
    pack: PackId,
    bytes: &[u8],
    each: &mut EachFrame<'_>,
    zstd: &mut Zstd,
) -> Result<(), GcError> {
    let access = match reader.run(pack) {
        Ok(access) => Some(access),
        Err(error) if error.is_store_failure() => return Err(GcError::Rewrite(error)),
        Err(_) => None,
    };
    let own = repo.read_keys().domain(repo.keys().domain().id());
    let domain = access.as_ref().map_or(&own, |access| &access.domain);
    for place in places(repo, reader.view(), pack, bytes, domain)? {
        let sealed = bytes.get(place.offset..place.offset.saturating_add(place.length));
        let opened = match (sealed, &access) {
            (Some(sealed), Some(access)) => {
                let run = (repo.id(), pack.run, &access.run_key);
                let opened = ProvenFrame::open(sealed, place.id, place.class, run, domain.ids(), zstd);
                opened.map_err(|why| why.to_string())
            }
            (None, _) => Err("it isn't there any more".to_owned()),
            (_, None) => Err("the key of its run can't be opened".to_owned()),
        };
        each(place.id, opened, domain, zstd)?;
    }
    Ok(())
}

/// Where the frames of a pack are.
fn places(
    repo: &Repo<Full>,
    view: &View,
    pack: PackId,
    bytes: &[u8],
    domain: &DomainKeys,
) -> Result<Vec<Place>, RepoError> {
    let whole = WholePack::unheaded(bytes, (repo.id(), domain.id(), pack.run));
    if let Some(frames) = whole.and_then(|whole| whole.frames(domain).ok()) {
        let place = |frame: &crate::repo::pack::trailer::TrailerFrame| Place {
            id: frame.id,
            offset: frame.offset as usize,
            length: frame.stored_length as usize,
            class: frame.table.class,
        };
        return Ok(frames.iter().map(place).collect());
    }
    let Some(number) = view.packs().number(&pack) else { return Ok(Vec::new()) };
    let mut found = BTreeMap::new();
    view.frames().scan(&mut |frame, copies| {
        for copy in copies.iter().filter(|copy| copy.pack == number) {
            let class = Class::from_code(copy.class).unwrap_or(Class::Data);
            let place = Place { id: *frame, offset: copy.offset as usize, length: copy.stored as usize, class };
            found.insert(copy.offset, place);
        }
    })?;
    Ok(found.into_values().collect())
}

/// Condemns packs without deleting them: no run relies on them from now on.
fn set_aside(
    repo: &Repo<Full>,
    run: RunId,
    now: Time,
    condemned: Vec<PackId>,
    kept: Vec<PackId>,
) -> Result<(), RepoError> {
    let body = Condemned { needs: Needs::NONE, time: now, condemned, kept, census: census(repo)? };
    let store_key = key::gc(run);
    let sealed = Bytes::from(record::seal_admin_record(repo.read_keys(), &store_key, &body));
    // Writers go by it, so it must be there as a whole.
    fetch::put_and_read_back(repo, &store_key, &sealed)
}

/// The snapshots that the next prune is to find: those that are there, and those that the last one found, so that a repair hides no loss. But none of runs that were declared dead: a prune that is
/// going on removes their manifests.
fn census(repo: &Repo<Full>) -> Result<Vec<RunId>, RepoError> {
    let mut found = BTreeSet::new();
    repo.store().list(key::SNAPSHOTS, &mut |object| found.extend(key::parse_run(key::SNAPSHOTS, &object.key)))?;
    let mut listed = Vec::new();
    repo.store().list(key::GC, &mut |object| listed.push(object))?;
    let mut buried = Vec::new();
    repo.store().list(key::FORGOTTEN, &mut |object| buried.extend(key::parse_run(key::FORGOTTEN, &object.key)))?;
    for run in buried.into_iter().filter(|run| found.contains(run)).collect::<Vec<_>>() {
        if fetch::by_admin::<_, Tombstone>(repo, &key::forgotten(run))?.is_some_and(|tombstone| tombstone.dead) {
            found.remove(&run);
        }
    }
    found.extend(records::census(&records::load(repo, &listed)?));
    Ok(found.into_iter().collect())
}
