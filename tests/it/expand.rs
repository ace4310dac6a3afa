//! Containers are stored without their compression, and every one comes back bit for bit.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod ahead;

use crate::prune::{at_once, forget};
use crate::world::{NAME, World, noise, noisy_text, portrait};
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use nightsafe::repo::format::key;
use nightsafe::repo::id::RunId;
use nightsafe::snapshot::backup::backup;
use nightsafe::snapshot::browse;
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::prune;
use nightsafe::snapshot::rebuilt::FileReader;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::tree::entry::Entry;
use nightsafe::snapshot::tree::path::SafePath;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

const DUMPS: [(&str, &[u8]); 11] = [
    ("chinook-night1-pg11.dump", include_bytes!("../data/dumps/chinook-night1-pg11.dump")),
    ("chinook-night2-pg11.dump", include_bytes!("../data/dumps/chinook-night2-pg11.dump")),
    ("dvdrental-pg9.6.dump", include_bytes!("../data/dumps/dvdrental-pg9.6.dump")),
    ("northwind-pg13.dump", include_bytes!("../data/dumps/northwind-pg13.dump")),
    ("sakila-pg18.dump", include_bytes!("../data/dumps/sakila-pg18.dump")),
    ("odd-appended-pg17.dump", include_bytes!("../data/dumps/odd-appended-pg17.dump")),
    ("odd-pg15.dump", include_bytes!("../data/dumps/odd-pg15.dump")),
    ("blocks-lz4-pg17.dump", include_bytes!("../data/dumps/blocks-lz4-pg17.dump")),
    ("blocks-zstd-pg17.dump", include_bytes!("../data/dumps/blocks-zstd-pg17.dump")),
    ("blocks-zstd-long-pg17.dump", include_bytes!("../data/dumps/blocks-zstd-long-pg17.dump")),
    ("blocks-zstd-1.5.4-pg17.dump", include_bytes!("../data/dumps/blocks-zstd-1.5.4-pg17.dump")),
];

pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// CRC-32, as it stands in a ZIP.
fn crc(content: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(content);
    crc.sum().to_le_bytes()
}

/// A ZIP of files with their levels (0: stored), made at some time.
pub fn zip(members: &[(&str, &[u8], u32)], time: u32) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content, level) in members {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(*level));
        encoder.write_all(content).unwrap();
        let (method, data) = if *level == 0 { (0u16, content.to_vec()) } else { (8, encoder.finish().unwrap()) };
        let [offset, packed, size] = [bytes.len(), data.len(), content.len()].map(|n| u32::try_from(n).unwrap());
        let mut fields = [&b"\x14\0\0\0"[..], &method.to_le_bytes(), &time.to_le_bytes(), &crc(content)].concat();
        fields.extend([packed.to_le_bytes(), size.to_le_bytes()].concat());
        fields.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([&b"PK\x03\x04"[..], &fields, name.as_bytes(), &data].concat());
        let offset = offset.to_le_bytes();
        directory.extend([&b"PK\x01\x02\x14\0"[..], &fields, &[0; 10], &offset, name.as_bytes()].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let [length, offset] = [directory.len(), bytes.len()].map(|n| u32::try_from(n).unwrap().to_le_bytes());
    [&bytes[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &length, &offset, &[0; 2]].concat()
}

/// Rows of a table in text, each with something that nothing compresses.
fn rows(count: usize) -> Vec<String> {
    let noise = noisy_text(count * 40);
    (0..count).map(|n| format!("{n}\tcustomer {}\t{}\n", n % 977, &noise[n * 40..][..40])).collect()
}

/// A tar of files, as POSIX has it.
fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[148..157].copy_from_slice(b"        0");
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        bytes.extend([&block[..], content].concat());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    [bytes, vec![0; 1_024]].concat()
}

/// Every kind of container, whole and not, and whether all of its compression can be undone.
fn containers() -> Vec<(String, Vec<u8>, Option<bool>)> {
    let text = rows(8_000).concat().into_bytes();
    let mut all: Vec<(String, Vec<u8>, Option<bool>)> =
        DUMPS.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec(), Some(true))).collect();
    // Those of odd content aren't compressed.
    all.iter_mut().filter(|(name, ..)| name.starts_with("odd")).for_each(|(.., whole)| *whole = None);
    // A library whose bytes are others.
    all.iter_mut().filter(|(name, ..)| name.contains("1.5.4")).for_each(|(.., whole)| *whole = Some(false));
    for level in [1, 6, 9] {
        all.push((format!("text-{level}.gz"), gzip(&text, level), Some(true)));
    }
    all.push(("nested.dump.gz".to_owned(), gzip(DUMPS[3].1, 6), Some(true)));
    all.push(("members.gz".to_owned(), [gzip(&text, 6), gzip(b"more", 9), b"garbage".to_vec()].concat(), Some(true)));
    all.push(("cut.gz".to_owned(), gzip(&text, 6)[..150_000].to_vec(), Some(false)));
    all.push(("cut.dump".to_owned(), DUMPS[0].1[..200_000].to_vec(), Some(false)));
    let mut flipped = DUMPS[0].1.to_vec();
    flipped[150_000] ^= 4;
    all.push(("flipped.dump".to_owned(), flipped, Some(false)));
    // Nothing to be had: noise, levels that nobody has, what only begins like a container.
    all.push(("noise.gz".to_owned(), gzip(&noise(100_000), 6), None));
    all.push(("stored.gz".to_owned(), gzip(&text, 0), None));
    all.push(("no.gz".to_owned(), [&[0x1f, 0x8b, 8][..], &noise(5_000)].concat(), None));
    all.push(("future.dump".to_owned(), [&b"PGDMP\x01\x63\0\x04\x08\x01\x01"[..], &noise(5_000)].concat(), None));
    all.push(("tiny.gz".to_owned(), gzip(b"", 6), None));
    // A ZIP holds many, so that its stream is none of them.
    let noise = noise(100_000);
    let members: [(&str, &[u8], u32); 5] =
        [("a", &text, 6), ("b", &text, 9), ("noise", &noise, 0), ("c.dump", DUMPS[0].1, 0), ("empty", b"", 6)];
    let zipped = zip(&members, 1);
    all.push(("cut.zip".to_owned(), zipped[..150_000].to_vec(), Some(false)));
    all.push(("nested.zip.gz".to_owned(), gzip(&zip(&[("inner.zip", &zipped, 0)], 1), 6), Some(false)));
    all.push(("members.zip".to_owned(), zipped, Some(false)));
    all.push(("empty.zip".to_owned(), [zip(&[], 1), vec![0; 100]].concat(), None));
    // So does a tar, which is stored as it is unless something in it was compressed.
    all.push(("plain.tar".to_owned(), tar(&[("noise", &noise), ("text", &text)]), None));
    all.push(("noise.tar.gz".to_owned(), gzip(&tar(&[("noise", &noise)]), 6), Some(false)));
    let inner: [(&str, &[u8]); 3] = [("a.sql.gz", &gzip(&text, 6)), ("b", b"short"), ("c.dump", DUMPS[0].1)];
    all.push(("nested.tar".to_owned(), tar(&inner), Some(false)));
    all.push(("nested.tar.gz".to_owned(), gzip(&tar(&inner), 6), Some(false)));
    all.push(("no.zip".to_owned(), [&b"PK\x03\x04\xff"[..], &noise[..5_000]].concat(), None));
    all
}

fn entry(world: &World, id: RunId, name: &str) -> Entry {
    let repo = world.repo();
    let path = SafePath::parse(format!("{NAME}/{name}").as_bytes()).unwrap();
    browse::entry_at(&browse::reader(&repo).unwrap(), &world.snapshot(id), &path).unwrap()
}

fn dumped(world: &World, id: RunId, name: &str) -> Vec<u8> {
    let path = SafePath::parse(format!("{NAME}/{name}").as_bytes()).unwrap();
    let mut out = Vec::new();
    restore::dump(&world.repo(), &world.snapshot(id), &path, &mut out, &Silent::default()).unwrap();
    out
}

fn checked(world: &World) -> Vec<String> {
    let options = CheckOptions { read_data: Some("100%".parse().unwrap()), ..CheckOptions::default() };
    let report = check(&world.repo(), &options, &Silent::default()).unwrap();
    report.errors.into_iter().map(|damage| format!("{} {:?}", damage.object, damage.snapshots)).collect()
}

#[test]
fn containers_of_all_kinds_come_back_bit_for_bit() {
    let (world, all) = (World::new(), containers());
    for (name, bytes, _) in &all {
        world.write(name, bytes);
    }
    std::fs::hard_link(world.source().join(DUMPS[0].0), world.source().join("another name")).unwrap();
    let portrait = crate::world::portrait(&world.source());
    let first = world.back_up();
    let id = first.snapshot.unwrap();
    assert_eq!(first.problems, []);
    assert_eq!(world.restored(id), portrait);
    assert_eq!(checked(&world), [] as [String; 0]);
    for (name, bytes, whole) in all {
        let entry = entry(&world, id, &name);
        assert_eq!(entry.recipe.as_ref().map(|recipe| recipe.is_whole), whole, "{name}");
        assert_eq!(entry.size, Some(bytes.len() as u64), "{name}");
        if DUMPS.iter().any(|(dump, _)| *dump == name) {
            assert!(dumped(&world, id, &name) == bytes, "{name}");
            let repo = world.repo();
            let reader = browse::reader(&repo).unwrap();
            let mut read = Vec::new();
            FileReader::new(&reader, &entry).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{name}");
        }
    }
    // Read again or not, nothing is stored again, whatever becomes of the caches.
    let again = world.back_up();
    assert_eq!((again.statistics.files_unmodified, again.statistics.raw_added), (first.statistics.files, 0));
    std::fs::remove_dir_all(world.cache()).unwrap();
    let anew = world.back_up();
    assert_eq!((anew.statistics.files_new, anew.statistics.raw_added), (first.statistics.files_new, 0));
    assert_eq!(world.restored(anew.snapshot.unwrap()), portrait);
}

#[test]
fn a_night_costs_what_changed_and_not_the_whole_file() {
    let world = World::new();
    let mut rows = rows(60_000);
    let night = |rows: &[String]| gzip(rows.concat().as_bytes(), 6);
    world.write("night.sql.gz", night(&rows));
    let first = world.back_up();
    let size = std::fs::metadata(world.source().join("night.sql.gz")).unwrap().len();
    for n in (0..60_000).step_by(6_000) {
        writeln!(rows[n], "changed\t{}", noisy_text(30)).unwrap();
    }
    world.write("night.sql.gz", night(&rows));
    let second = world.back_up();
    assert!(second.statistics.stored_added < size / 4, "{} of {size}", second.statistics.stored_added);
    // As it is, everything behind the first change is new.
    let verbatim = World::new();
    for rows in [&rows[1..], &rows] {
        verbatim.write("night.sql.gz", night(rows));
        let mut options = verbatim.options();
        options.files[0].no_expand = true;
        let summary = backup(&verbatim.repo(), &options, &Silent::default()).unwrap();
        let id = summary.snapshot.unwrap();
        assert!(entry(&verbatim, id, "night.sql.gz").recipe.is_none());
        assert!(summary.statistics.stored_added > size * 9 / 10, "{}", summary.statistics.stored_added);
    }
    assert!(dumped(&world, second.snapshot.unwrap(), "night.sql.gz") == night(&rows));
    assert!(first.statistics.stored_added < size * 11 / 10);
}

/// What applications export: the same files again, with other times, beside the files themselves.
#[test]
fn members_of_a_zip_are_shared_with_files_and_with_the_zip_of_yesterday() {
    let world = World::new();
    let (text, other, picture) = (rows(20_000).concat(), rows(9_000).concat(), noise(400_000));
    world.write("text", &text);
    world.write("picture", &picture);
    let first = world.back_up();
    let night = |time, other: &str| {
        zip(&[("text", text.as_bytes(), 6), ("other", other.as_bytes(), 6), ("picture", &picture, 0)], time)
    };
    let zipped = night(1, &other);
    world.write("export.zip", &zipped);
    let second = world.back_up();
    let new = |summary: &nightsafe::snapshot::backup::BackupSummary| summary.statistics.stored_added;
    // `text` as a file is cut as other files are, the picture is just the same.
    assert!(new(&second) < zipped.len() as u64 - 250_000, "{} of {}", new(&second), zipped.len());
    let changed = other.replacen("customer 7", "customer VII", 1);
    world.write("export.zip", night(2, &changed));
    let third = world.back_up();
    assert!(new(&third) < 100_000, "{} of {}", new(&third), zipped.len());
    assert!(dumped(&world, third.snapshot.unwrap(), "export.zip") == night(2, &changed));
    assert!(dumped(&world, second.snapshot.unwrap(), "export.zip") == zipped);
    assert!(first.statistics.stored_added > 400_000);
}

/// What crontabs make: the program's own streams differ from zlib's.
#[test]
fn the_gzip_of_this_machine_is_made_again_at_every_level() {
    let world = World::new();
    let text = rows(40_000).concat();
    world.write("text", &text);
    let archive = world.source().join("archive");
    std::fs::write(&archive, DUMPS[0].1).unwrap();
    for level in 1..=9 {
        for name in ["text", "archive"] {
            let to = std::fs::File::create(world.source().join(format!("{name}-{level}.gz"))).unwrap();
            let gzip =
                Command::new("gzip").arg(format!("-{level}c")).arg(world.source().join(name)).stdout(to).status();
            assert!(gzip.unwrap().success());
        }
    }
    // Fed by a pipe, in whatever pieces.
    let to = std::fs::File::create(world.source().join("piped.gz")).unwrap();
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(to).spawn().unwrap();
    let mut pipe = gzip.stdin.take().unwrap();
    text.as_bytes().chunks(3_001).for_each(|part| pipe.write_all(part).unwrap());
    drop(pipe);
    assert!(gzip.wait().unwrap().success());
    let portrait = crate::world::portrait(&world.source());
    let summary = world.back_up();
    let id = summary.snapshot.unwrap();
    for name in (1..=9).flat_map(|level| [format!("text-{level}.gz"), format!("archive-{level}.gz")]) {
        let recipe = entry(&world, id, &name).recipe.unwrap_or_else(|| panic!("{name} isn't expanded"));
        assert!(recipe.is_whole && recipe.bytes < 5_000, "{name}: {recipe:?}");
    }
    assert!(entry(&world, id, "piped.gz").recipe.is_some_and(|recipe| recipe.is_whole));
    assert_eq!(world.restored(id), portrait);
    // All of these are the same text and the same archive.
    let (stored, all) = (summary.statistics.stored_added, summary.statistics.bytes);
    assert!(stored < all / 6, "{stored} bytes for {all}");
}

#[test]
fn what_recipes_need_outlives_prunes() {
    let world = World::new();
    world.write("kept.dump", DUMPS[0].1);
    world.write("gone", noise(3_000_000));
    world.write("also.gz", gzip(rows(30_000).concat().as_bytes(), 9));
    let first = world.back_up().snapshot.unwrap();
    std::fs::remove_file(world.source().join("gone")).unwrap();
    let second = world.back_up().snapshot.unwrap();
    let portrait = crate::world::portrait(&world.source());
    forget(&world, first);
    let report = prune(&world.repo(), &at_once(), &Silent::default()).unwrap();
    assert!(report.bytes_freed > 2_000_000, "{report:?}");
    assert_eq!(world.restored(second), portrait);
    assert_eq!(checked(&world), [] as [String; 0]);
}

#[test]
fn a_recipe_that_is_lost_takes_its_file_with_it_and_no_other() {
    let world = World::new();
    world.write("a.gz", gzip(rows(30_000).concat().as_bytes(), 6));
    let id = world.back_up().snapshot.unwrap();
    let packs = world.objects(key::PACKS);
    world.write("b.gz", gzip(rows(30_000).concat().as_bytes(), 6));
    let both = world.back_up().snapshot.unwrap();
    let new = world.objects(key::PACKS).into_iter().filter(|(store_key, _)| !packs.contains_key(store_key));
    let (store_key, _) = new.max_by_key(|(_, length)| *length).unwrap();
    let mut bytes = world.bytes(&store_key);
    // Behind the rows, which were stored as the stream came: the recipe shares its frame with nothing else.
    let near_end = bytes.len() - 2_000;
    bytes[200..near_end].iter_mut().for_each(|byte| *byte ^= 1);
    world.replace(&store_key, bytes);
    let errors = checked(&world);
    assert!(errors.iter().any(|error| error.contains("b.gz")), "{errors:?}");
    assert!(!errors.iter().any(|error| error.contains("a.gz")), "{errors:?}");
    let (target, result) = world.try_restore(both);
    let summary = result.unwrap();
    assert!(summary.problems.iter().all(|problem| problem.path.to_string().ends_with("b.gz")), "{summary:?}");
    assert!(std::fs::read(target.join("a.gz")).unwrap() == std::fs::read(world.source().join("a.gz")).unwrap());
    assert!(dumped(&world, id, "a.gz") == std::fs::read(world.source().join("a.gz")).unwrap());
}

/// What a tar holds is shared with what is beside it, and a plain one isn't told of.
#[test]
fn a_tar_shares_with_the_files_that_are_in_it() {
    let world = World::new();
    let (photo, dump) = (noise(3 << 20), DUMPS[0].1);
    world.write("photo", &photo);
    world.back_up();
    world.write("uploads.tar", tar(&[("short", b"short"), ("photo", &photo)]));
    let plain = world.back_up();
    assert_eq!((plain.statistics.containers, plain.statistics.containers_left), (0, 0));
    assert!(plain.statistics.raw_added < 100_000, "{:?}", plain.statistics);
    assert!(entry(&world, plain.snapshot.unwrap(), "uploads.tar").recipe.is_none());
    world.write("c.dump", dump);
    world.back_up();
    world.write("all.tar.gz", gzip(&tar(&[("photo", &photo), ("short", b"short"), ("c.dump", dump)]), 6));
    let packed = world.back_up();
    assert!(packed.statistics.raw_added < 200_000, "{:?}", packed.statistics);
    let id = packed.snapshot.unwrap();
    assert!(entry(&world, id, "all.tar.gz").recipe.is_some_and(|recipe| !recipe.is_whole));
    assert_eq!(world.snapshot(id).manifest.dumps.len(), 1, "what is in a tar isn't the file's");
    let portrait = crate::world::portrait(&world.source());
    assert_eq!(world.restored(id), portrait);
}

#[test]
fn secrets_and_sparse_files_are_no_containers() {
    let world = World::new();
    world.write(".env", gzip(rows(300).concat().as_bytes(), 6));
    let sparse = std::fs::File::create(world.source().join("sparse.gz")).unwrap();
    (&sparse).write_all(&gzip(rows(3_000).concat().as_bytes(), 6)).unwrap();
    sparse.set_len(50 << 20).unwrap();
    let portrait = crate::world::portrait(&world.source());
    let id = world.back_up().snapshot.unwrap();
    assert!(entry(&world, id, ".env").recipe.is_none() && entry(&world, id, ".env").is_secret());
    assert!(entry(&world, id, "sparse.gz").recipe.is_none());
    assert_eq!(world.restored(id), portrait);
}

/// Dumps are rotated, copied, touched: the same bytes under another name or time. Whether they are is found by reading them.
#[test]
fn a_container_whose_bytes_are_known_is_not_undone_again() {
    let world = World::new();
    let at = |name: &str| world.source().join(name);
    let day = Duration::from_hours(24);
    let touch = |name: &str| {
        let file = File::options().write(true).open(at(name)).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - day).unwrap();
    };
    // What changed in the last seconds has no times that the cache relies on.
    let back_up = || {
        std::thread::sleep(Duration::from_millis(2_300));
        world.back_up()
    };
    let mut night = gzip(rows(10_000).concat().as_bytes(), 6);
    world.write("night.sql.gz", &night);
    world.write("chinook.dump", DUMPS[0].1);
    assert_eq!(back_up().statistics.containers, 2);
    ["night.sql.gz", "chinook.dump"].into_iter().for_each(touch);
    let touched = back_up();
    assert_eq!((touched.statistics.containers, touched.statistics.files_unmodified), (0, 2));
    assert_eq!(touched.statistics.bytes_read, (night.len() + DUMPS[0].1.len()) as u64);

    std::fs::rename(at("night.sql.gz"), at("night.1.sql.gz")).unwrap();
    std::fs::rename(at("chinook.dump"), at("moved.dump")).unwrap();
    // The header's time: other bytes, as many as before, and for the cache a file that looks like the one that was there.
    night[4] ^= 1;
    world.write("night.sql.gz", &night);
    let time = at("night.1.sql.gz").metadata().unwrap().modified().unwrap();
    File::options().write(true).open(at("night.sql.gz")).unwrap().set_modified(time).unwrap();
    let rotated = back_up();
    assert_eq!((rotated.statistics.containers, rotated.statistics.files_new), (1, 2));
    assert_eq!(world.restored(rotated.snapshot.unwrap()), portrait(&world.source()));
    let dumps = world.snapshot(rotated.snapshot.unwrap()).manifest.dumps;
    assert_eq!(dumps.len(), 1);
    assert_eq!((dumps[0].path.to_string().as_str(), dumps[0].contents.is_some()), ("/data/moved.dump", true));
    // It's in the cache by its new name.
    assert_eq!(back_up().statistics.bytes_read, 0);
}

/// What the program says of containers, and that it leaves them alone if it's told to.
#[test]
fn the_program_says_what_it_left_and_expands_nothing_if_it_must_not() {
    let scene = crate::binary::Scene::new();
    let sound = gzip(noisy_text(300_000).as_bytes(), 6);
    let mut damaged = gzip(noisy_text(300_001).as_bytes(), 6);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 16;
    let cut = &sound[..sound.len() / 2];
    for (name, bytes) in [("sound.gz", &sound[..]), ("damaged.gz", &damaged), ("cut.gz", cut)] {
        std::fs::write(scene.at("source").join(name), bytes).unwrap();
    }
    let source = scene.at("source");
    let source = source.to_str().unwrap();
    let said = scene.run(["backup", "--as", "data", "-v", source]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = |name: &str| {
        let mut lines =
            said.out.lines().chain(said.err.lines()).filter(|line| line.contains(name) && line.contains("gzip"));
        lines.next().unwrap_or_default().to_owned()
    };
    assert!(line("damaged.gz").contains("it's damaged"), "{said:?}");
    assert!(line("cut.gz").contains("it ends in the middle"), "{said:?}");
    assert!(!line("sound.gz").is_empty() && !line("sound.gz").contains("left"), "{said:?}");
    let containers = |said: &crate::binary::Said| {
        let summary = said.json();
        (summary["containers"].as_u64().unwrap(), summary["containers_left"].as_u64().unwrap())
    };
    std::fs::write(scene.at("more.gz"), gzip(noisy_text(300_002).as_bytes(), 6)).unwrap();
    let more = scene.at("more.gz");
    let more = more.to_str().unwrap();
    let said = scene.run(["backup", "--json", "--no-expand", source, more, "--no-cache"]);
    assert_eq!(containers(&said), (0, 0), "{said:?}");
    let config = format!(
        "[repository.r]\nurl = \"{}\"\npassword = {{ file = \"{}\" }}\n[app.a]\nrepositories = [\"r\"]\n[app.a.source.f]\nkind = \"files\"\npath = \"{source}\"\nexpand = EXPAND\n",
        scene.at("repository").display(),
        scene.at("key").display(),
    );
    for (expand, number) in [("false", 0), ("true", 3)] {
        std::fs::write(scene.at("nightsafe.toml"), config.replace("EXPAND", expand)).unwrap();
        let config = scene.at("nightsafe.toml");
        let arguments = ["backup", "--json", "--no-cache", "--app", "a", "--config", config.to_str().unwrap()];
        let said = scene.run(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        let (expanded, left) = containers(&said);
        assert_eq!(expanded + left, number, "{said:?}");
    }
    let said = crate::streams::piped(&scene, &["backup", "--json", "--no-expand", "--stdin", "s.gz"], &sound);
    assert_eq!(containers(&said), (0, 0), "{said:?}");
    let said = crate::streams::piped(&scene, &["backup", "--json", "--stdin", "s.gz"], &sound);
    assert_eq!(containers(&said), (1, 0), "{said:?}");
}
