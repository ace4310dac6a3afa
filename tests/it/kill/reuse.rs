//! What a killed backup stored isn't stored again by the next one, pack by pack and chunk by chunk.

use super::Scene;
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::gc::records;
use nightsafe::repo::id::{ChunkId, PackId, RunId};
use nightsafe::repo::keys::{KeyFile, Secret};
use nightsafe::repo::pack::parse;
use nightsafe::repo::record::{self, RunRecord};
use nightsafe::repo::repository::{AnyRepo, CacheDir, Full, Repo, open};
use nightsafe::repo::store::local::LocalStore;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

fn repo(scene: &Scene) -> Repo<Full> {
    let key = std::fs::read_to_string(scene.at("key")).unwrap();
    let secret = Secret::KeyFile(KeyFile::parse(&key).unwrap());
    let store = Arc::new(LocalStore::new(&scene.at("repository")));
    match open(store, &secret, &CacheDir::new(scene.at("cache-of-the-test"))).unwrap() {
        AnyRepo::Full(repo) => repo,
        AnyRepo::WriteOnly(_) => panic!("a full credential opened as write-only"),
    }
}

fn packs(repo: &Repo<Full>) -> BTreeMap<PackId, u64> {
    let mut packs = BTreeMap::new();
    repo.store()
        .list(key::PACKS, &mut |listed| packs.extend(key::parse_pack(&listed.key).map(|id| (id, listed.length))))
        .unwrap();
    packs
}

/// The chunks of a pack that others may refer to: those of secrets are known to nobody, and of frames of which a part is gone little is said here.
fn chunks(repo: &Repo<Full>, pack: PackId, length: u64) -> Vec<ChunkId> {
    let trailer = parse::read_trailer(&**repo.store(), pack, length, repo.id(), repo.keys().domain()).unwrap();
    let whole = trailer.frames.into_iter().filter(|row| row.present.is_none() && row.table.class != Class::Secret);
    whole.flat_map(|row| row.table.chunks).map(|chunk| chunk.id).collect()
}

/// Runs of the victim that have no manifest.
fn unfinished(repo: &Repo<Full>) -> HashSet<RunId> {
    let mut runs = Vec::new();
    repo.store().list(key::RUNS, &mut |listed| runs.extend(key::parse_run(key::RUNS, &listed.key))).unwrap();
    let is_mine = |run: &RunId| {
        let store_key = key::run(*run);
        let Ok(bytes) = repo.store().get(&store_key, 1 << 20) else { return false };
        let record = record::open_record::<RunRecord>(repo.read_keys(), &store_key, &bytes);
        let is_victim = record.is_ok_and(|(record, _)| record.host == "victim");
        is_victim && repo.store().length(&key::snapshot(*run)).unwrap().is_none()
    };
    runs.into_iter().filter(is_mine).collect()
}

/// Backs the victim up to the end, as it is, and compares: of the chunks in packs that are there by now, and that no pruner condemned, the run stores none. Gives how many of these packs are of runs of the victim that didn't
/// come to their end.
pub(super) fn assert_nothing_is_stored_again(scene: &Scene) -> usize {
    let repo = repo(scene);
    let condemned = records::condemned(&repo).unwrap();
    let killed = unfinished(&repo);
    let mut there: HashMap<ChunkId, PackId> = HashMap::new();
    let mut left = 0;
    for (pack, length) in packs(&repo).into_iter().filter(|(pack, _)| !condemned.contains(pack)) {
        left += usize::from(killed.contains(&pack.run));
        there.extend(chunks(&repo, pack, length).into_iter().map(|chunk| (chunk, pack)));
    }
    let output = scene.command("victim", &["backup"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let last = output.stdout.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(last).unwrap();
    let id: RunId = summary["snapshot_id"].as_str().unwrap().parse().unwrap();
    for (pack, length) in packs(&repo).into_iter().filter(|(pack, _)| pack.run == id) {
        for chunk in chunks(&repo, pack, length) {
            assert!(!there.contains_key(&chunk), "{pack} holds a chunk again that {} held", there[&chunk]);
        }
    }
    left
}
