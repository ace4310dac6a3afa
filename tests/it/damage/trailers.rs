//! Packs that are sealed and named as they should be, and whose trailers lie about what is in them. Who writes them has the keys: a stolen host, or a program with a bug.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::prune::{assert_restores, at_once, forget, night, try_prune};
use crate::world::{World, noise};
use minicbor::Encoder;
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::{PackHash, PackId};
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::pack::trailer::TrailerFrame;
use nightsafe::repo::seal::seal_salted;
use nightsafe::repo::store::Store;
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;

/// Head and frames of a pack, and what its trailer says.
struct Taken {
    pack: PackId,
    body: Vec<u8>,
    rows: Vec<TrailerFrame>,
}

fn taken(world: &World, class: Class) -> Vec<Taken> {
    let repo = world.repo();
    let mut all = Vec::new();
    for key in world.objects(key::PACKS).keys() {
        let (pack, bytes) = (key::parse_pack(key).unwrap(), world.bytes(key));
        let whole = WholePack::new(pack, &bytes, repo.id()).unwrap();
        let rows = whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap();
        if rows[0].table.class == class {
            let end: u32 = 140 + rows.iter().map(|row| row.stored_length).sum::<u32>();
            all.push(Taken { pack, body: bytes[..end as usize].to_vec(), rows });
        }
    }
    all
}

/// A pack of these bytes that says it holds these frames. Gives its name.
fn plant(world: &World, from: &Taken, rows: &[TrailerFrame]) -> PackId {
    let repo = world.repo();
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(rows.len() as u64).unwrap();
    for row in rows {
        let array = encoder.array(5).unwrap().bytes(row.id.as_bytes()).unwrap();
        array.u32(row.stored_length).unwrap().u32(row.raw_length).unwrap();
        array.bytes(&row.table.encode()).unwrap().bytes(&[]).unwrap();
    }
    let keys = repo.read_keys().domain(repo.keys().domain().id());
    let repository = repo.id();
    let aad: [&[u8]; 3] = [repository.as_bytes(), from.pack.run.as_bytes(), b"trailer"];
    let trailer = seal_salted(keys.index(), b"trailer", &aad, &encoder.into_writer());
    let length = u32::try_from(trailer.len()).unwrap().to_le_bytes();
    let bytes = [&from.body[..], &trailer, &length, b"nsafep\x01\x01"].concat();
    let pack = PackId { run: from.pack.run, hash: PackHash::from_bytes(*blake3::hash(&bytes).as_bytes()) };
    world.store.put(&key::pack(pack), &bytes.into()).unwrap();
    pack
}

/// The ways in which a pack with the bytes of `one` can lie.
fn lies(one: &Taken, other: &Taken) -> Vec<(&'static str, Vec<TrailerFrame>)> {
    let (own, foreign) = (&one.rows[0], &other.rows[0]);
    let lengths_of =
        |row: &TrailerFrame, of: &TrailerFrame| TrailerFrame { stored_length: of.stored_length, ..row.clone() };
    vec![
        ("another frame's name and table", vec![lengths_of(foreign, own)]),
        ("another frame besides its own, of which there isn't a byte", vec![own.clone(), lengths_of(foreign, own)]),
        (
            "a frame that begins elsewhere",
            vec![TrailerFrame { stored_length: 40, ..foreign.clone() }, lengths_of(own, own)],
        ),
        ("a frame cut short", vec![TrailerFrame { stored_length: own.stored_length - 1, ..own.clone() }]),
        ("the same frame twice", vec![TrailerFrame { stored_length: 50, ..own.clone() }, own.clone()]),
        ("another raw length", vec![TrailerFrame { raw_length: own.raw_length + 1, ..own.clone() }]),
        ("a frame longer than the pack", vec![TrailerFrame { stored_length: 1 << 27, ..own.clone() }]),
    ]
}

#[test]
fn trailers_that_lie_cost_nobody_anything_and_are_named() {
    for class in [Class::Data, Class::Meta] {
        let world = World::new();
        world.write("stays", noise(60_000));
        world.write("goes", noise(60_000));
        let first = night(&world);
        std::fs::remove_file(world.source().join("goes")).unwrap();
        world.write("more", noise(50_000));
        let second = night(&world);
        let taken = taken(&world, class);
        assert!(taken.len() >= 2);
        // Readers learn from trailers alone.
        for segment in world.objects(key::INDEX).keys() {
            world.store.delete(segment).unwrap();
        }
        let mut planted = Vec::new();
        for (one, other) in [(&taken[0], &taken[1]), (&taken[1], &taken[0])] {
            for (what, rows) in lies(one, other) {
                planted.push((what, plant(&world, one, &rows)));
            }
        }
        let forget_caches = || drop(std::fs::remove_dir_all(world.cache()));
        forget_caches();
        assert_restores(&world, &[first.clone(), second.clone()]);
        let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
        let report = check(&world.repo(), &options, &Silent::default()).unwrap();
        for (what, pack) in &planted {
            assert!(
                report.errors.iter().any(|damage| damage.object == key::pack(*pack)),
                "{what}: {:#?}",
                report.errors
            );
        }
        assert_eq!(report.errors.len(), planted.len(), "and nothing else: {:#?}", report.errors);
        // A writer that believes them stores too little, unless it looks.
        forget_caches();
        let third = night(&world);
        forget_caches();
        assert_restores(&world, &[first.clone(), second.clone(), third.clone()]);
        forget(&world, first.0);
        for _ in 0..2 {
            forget_caches();
            let _ = try_prune(&world, &at_once());
            forget_caches();
            assert_restores(&world, &[second.clone(), third.clone()]);
        }
    }
}
