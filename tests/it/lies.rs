//! Segments and packs that lie, beside a prune: nothing is believed that wasn't looked at.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::prune::{assert_restores, at_once, forget, night, packs, pruned, try_prune};
use crate::world::{World, noise, portrait};
use crate::write_only::Host;
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::keys::Sharing;
use nightsafe::repo::needs::Needs;
use nightsafe::repo::pack::builder::{FRAMES_START, PackBuilder, PackOpening};
use nightsafe::repo::pack::frame::SealedFrame;
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::record::{self, Segment, SegmentPack};
use nightsafe::repo::store::Store;
use nightsafe::repo::store::faulty::{Fault, FaultyStore};
use nightsafe::repo::store::operation::Operation;
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::prune;
use std::sync::Arc;

/// A stolen host writes segments that claim the frames of others' packs for one of its own, or leave out what its packs hold.
#[test]
fn segments_that_lie_cost_nobody_anything() {
    for leave_out in [false, true] {
        let world = World::new();
        for n in 0..40 {
            world.write(&format!("file-{n:02}"), noise(4_000));
        }
        let first = night(&world);
        for n in 0..25 {
            std::fs::remove_file(world.source().join(format!("file-{n:02}"))).unwrap();
        }
        let kept = night(&world);
        let repo = world.repo();
        let mut segments = Vec::new();
        for store_key in world.objects("index/").keys() {
            let (segment, _) =
                record::open_record::<record::Segment>(repo.read_keys(), store_key, &world.bytes(store_key)).unwrap();
            segments.push((store_key.clone(), segment));
        }
        let all: Vec<_> = segments.iter().flat_map(|(_, segment)| &segment.packs).cloned().collect();
        for (store_key, mut segment) in segments {
            for pack in &mut segment.packs {
                if leave_out {
                    pack.frames.truncate(1);
                } else {
                    // The frames of every other pack, as far as they find room.
                    let mut room = pack.length - pack.trailer_length - 152;
                    let others =
                        all.iter().filter(|other| other.pack != pack.pack).flat_map(|other| other.frames.clone());
                    pack.frames = others
                        .take_while(|frame| room.checked_sub(frame.stored_length).map(|left| room = left).is_some())
                        .collect();
                }
            }
            world.replace(&store_key, record::seal_record(repo.keys(), &store_key, &segment));
        }
        std::fs::remove_dir_all(world.cache()).unwrap();
        assert_restores(&world, &[first.clone(), kept.clone()]);
        std::fs::remove_dir_all(world.cache()).unwrap();
        forget(&world, first.0);
        let _ = try_prune(&world, &at_once());
        std::fs::remove_dir_all(world.cache()).unwrap();
        let _ = try_prune(&world, &at_once());
        std::fs::remove_dir_all(world.cache()).unwrap();
        assert_restores(&world, std::slice::from_ref(&kept));
        // What is there, the trailers say.
        for store_key in world.objects("index/").keys() {
            world.store.delete(store_key).unwrap();
        }
        std::fs::remove_dir_all(world.cache()).unwrap();
        assert_restores(&world, &[kept]);
    }
}

/// How the second copy of every frame is garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Garbage {
    /// Its disk changed a bit in each frame: the pack isn't what its name says.
    Flipped,
    /// Somebody with the key put noise in the place of each frame, under a trailer and a name that are right.
    Forged,
}

/// Two packs claim the same frames, and those of the other one are garbage: a hostile writer forged them, or its disk lies.
#[test]
fn a_second_copy_is_opened_before_the_first_goes() {
    for garbage in [Garbage::Flipped, Garbage::Forged] {
        // Which copy is chosen hangs on names, which are random.
        (0..4).for_each(|_| a_second_copy_that_is_garbage(garbage));
    }
}

/// The same pack with garbage in each of its frames, in its place or beside it. Gives its name, and how many frames there were.
fn with_garbage(world: &World, pack: PackId, garbage: Garbage) -> (PackId, usize) {
    let (repo, key) = (world.repo(), key::pack(pack));
    let mut bytes = world.bytes(&key);
    let whole = WholePack::new(pack, &bytes, repo.id()).unwrap();
    let rows = whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap();
    let opening =
        PackOpening { repository: repo.id(), domain: whole.opening.domain, run: pack.run, wrap: whole.opening.wrap };
    match garbage {
        Garbage::Flipped => {
            let mut at = FRAMES_START;
            for row in &rows {
                let length = row.stored_length as usize;
                bytes[at + length / 2] ^= 1;
                at += length;
            }
            world.replace(&key, bytes);
            (pack, rows.len())
        }
        Garbage::Forged => {
            let mut builder = PackBuilder::new(rows[0].table.class, &opening, 4096);
            for row in &rows {
                builder.push(&SealedFrame {
                    id: row.id,
                    class: row.table.class,
                    encoded_table: row.table.encode(),
                    chunks: u16::try_from(row.table.chunks.len()).unwrap(),
                    present: None,
                    raw_length: row.raw_length,
                    bytes: noise(row.stored_length as usize),
                });
            }
            let forged = builder.finish(&opening, repo.read_keys().domain(opening.domain).index());
            world.store.delete(&key).unwrap();
            world.store.put(&key::pack(forged.id), &forged.bytes).unwrap();
            (forged.id, rows.len())
        }
    }
}

fn a_second_copy_that_is_garbage(garbage: Garbage) {
    let world = World::new();
    // More than a frame.
    world.write("file", noise(1_400_000));
    let kept = night(&world);
    // The same data stored again by a host that knew nothing of the first.
    let originals = packs(&world);
    let cut: Vec<_> = originals.iter().map(|pack| (key::pack(*pack), world.bytes(&key::pack(*pack)))).collect();
    for (key, _) in &cut {
        world.store.delete(key).unwrap();
    }
    std::fs::remove_dir_all(world.cache()).unwrap();
    let second = night(&world);
    let copies: Vec<PackId> = packs(&world);
    for (key, bytes) in cut {
        world.store.put(&key, &bytes.into()).unwrap();
    }
    let spoiled: Vec<_> = copies.iter().map(|pack| with_garbage(&world, *pack, garbage)).collect();
    assert!(spoiled.iter().map(|(_, frames)| frames).sum::<usize>() > 2, "{spoiled:?}");
    let forget_caches = || drop(std::fs::remove_dir_all(world.cache()));
    let nights = [kept, second];
    // The right bytes come back whichever copy is met first, and `check --read-data` names each pack with garbage, and no other.
    forget_caches();
    assert_restores(&world, &nights);
    forget_caches();
    let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
    let report = check(&world.repo(), &options, &Silent::default()).unwrap();
    let mut named: Vec<&str> = report.errors.iter().map(|damage| damage.object.as_str()).collect();
    named.sort_unstable();
    let mut expected: Vec<String> = spoiled.iter().map(|(pack, _)| key::pack(*pack)).collect();
    expected.sort_unstable();
    assert_eq!(named, expected, "{garbage:?}: {:#?}", report.errors);
    let report = pruned(&world);
    assert_restores(&world, &nights);
    forget_caches();
    assert_restores(&world, &nights);
    assert!(report.packs_kept >= 2, "{report:?}");
}

/// A segment that says of packs that they hold nothing.
fn denial(world: &World, packs: impl Iterator<Item = PackId>) -> Segment {
    let lengths = world.objects("packs/");
    let length = |pack: PackId| u32::try_from(lengths[&key::pack(pack)]).unwrap();
    let packs = packs.map(|pack| SegmentPack { pack, length: length(pack), trailer_length: 16, frames: Vec::new() });
    Segment { needs: Needs::NONE, packs: packs.collect() }
}

/// The admin host backs up first, and so notes that packs of another domain hold no chunks for it. That counted as having read their trailers, so that a segment alone was believed afterwards: one by
/// a stolen host that left out what its packs hold had a prune delete them.
#[test]
fn packs_of_other_domains_do_not_go_by_what_a_segment_says() {
    let world = World::new();
    world.write("goes", noise(50_000));
    let (first, _) = night(&world);
    let host = Host::new(&world, Sharing::Alone);
    world.write("stays", noise(300_000));
    let kept = (host.back_up(&world).snapshot.unwrap(), portrait(&world.source()));
    // The admin host's next backup lists the host's packs, and has nothing to learn from them.
    let second = night(&world);
    let theirs = packs(&world).into_iter().filter(|pack| pack.run.belongs_to(host.credential));
    let denial = denial(&world, theirs);
    assert!(!denial.packs.is_empty());
    // It's met before the honest one: zeros sort first.
    let run = RunId::new(host.credential, [0; 16]);
    let store_key = key::segment(run, 0);
    let sealed = record::seal_record(host.repo(&world).keys(), &store_key, &denial);
    world.store.put(&store_key, &sealed.into()).unwrap();
    forget(&world, first);
    let _ = try_prune(&world, &at_once());
    std::fs::remove_dir_all(world.cache()).unwrap();
    assert_restores(&world, &[kept, second]);
}

/// A segment leaves out what a pack holds, a garbage copy of that makes the index complete, and the one read of the pack's own trailer goes wrong: the pack looked as if nobody needed it.
#[test]
fn a_pack_whose_trailer_cannot_be_read_now_stays() {
    let world = World::new();
    world.write("file", noise(200_000));
    let kept = night(&world);
    world.write("other", noise(100_000));
    let (second, _) = night(&world);
    std::fs::remove_file(world.source().join("other")).unwrap();
    let third = night(&world);
    let repo = world.repo();
    let before = packs(&world);
    for store_key in world.objects("index/").keys() {
        let (mut segment, _) =
            record::open_record::<Segment>(repo.read_keys(), store_key, &world.bytes(store_key)).unwrap();
        segment.packs.iter_mut().for_each(|pack| pack.frames.clear());
        world.replace(store_key, record::seal_record(repo.keys(), store_key, &segment));
    }
    forget(&world, second);
    // Every range that is read of a pack is wrong, in turn; among them those of the trailers.
    for nth in 0..40 {
        std::fs::remove_dir_all(world.cache()).unwrap();
        let store = Arc::new(FaultyStore::new(world.store.clone()));
        (0..3).for_each(|more| store.plan(Operation::GetRange, nth + more, Fault::Flipped(777)));
        let _ = prune(&world.repo_over(store), &at_once(), &Silent::default());
    }
    std::fs::remove_dir_all(world.cache()).unwrap();
    assert!(packs(&world).len() <= before.len());
    assert_restores(&world, &[kept, third]);
}
