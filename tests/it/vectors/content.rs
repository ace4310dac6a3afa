//! Every vector in `tests/data/vectors/content` has the outcome that it says: what frames, packs, lists, directories and manifests hold.
//!
//! They are written as those of the keys are; `credential.vec`, opened by the key file in it, opens the others. Their fields:
//!
//! | object | given | expected when accepted |
//! | --- | --- | --- |
//! | `frame` | `with`, `wrap` in hex, `run`; `class`; `id`: the frame asked for | `run-key` in hex; `lengths`: of the chunks, `absent` for absent ones; `present`: hash of the present chunks' bytes |
//! | `pack` | `with`, `key` | `frames`: their ids |
//! | `trailer` (opened) | `with`; `end`: where the pack's frames end | `frames` |
//! | `list` | | `bytes`, `hash`; `references`: frame id, first, count, joined by `:` |
//! | `directory` | | `names` in hex |
//! | `open-part`, `sealed-part` (of a manifest, opened) | | |
//!
//! Ids and the like follow each other with a blank between. The reasons why directories are rejected are `order`, `truncated`, `too-long`, `malformed`, and of what is
//! wrong with an entry the name that the program has for it.

use super::{Vector, hex};
use nightsafe::repo::cbor;
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::{DomainId, FrameId};
use nightsafe::repo::keys::{ReadKeys, Wrap};
use nightsafe::repo::pack::frame::{self, FrameError, Zstd};
use nightsafe::repo::pack::parse::{PackError, WholePack};
use nightsafe::repo::pack::trailer::{self, TrailerFrame};
use nightsafe::snapshot::manifest::{OpenPart, SealedPart};
use nightsafe::snapshot::tree::entry::Entry;
use nightsafe::snapshot::tree::list::List;
use nightsafe::snapshot::tree::reader::{EntryReader, TreeError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/content"))
}

const OBJECTS: [&str; 7] = ["frame", "pack", "trailer", "list", "directory", "open-part", "sealed-part"];

#[test]
fn every_vector_of_content_has_the_outcome_that_it_says() {
    let folder = folder();
    let (mut outcomes, mut wrong): (BTreeMap<(String, bool), usize>, Vec<String>) = Default::default();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("vec"), "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let vector = Vector::parse(name, &fs::read_to_string(&path).unwrap());
        let outcome = outcome(&vector, &folder);
        let outcome = outcome.map_or_else(|reason| format!("reject: {reason}"), |()| "accept".to_owned());
        if outcome != vector.get("expect") {
            wrong.push(format!("{name}: {outcome}, not {}", vector.get("expect")));
        }
        *outcomes.entry((vector.get("object").to_owned(), outcome == "accept")).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for object in OBJECTS {
        for accepted in [true, false] {
            assert!(outcomes.contains_key(&(object.to_owned(), accepted)), "no {object} is accepted: {accepted}");
        }
    }
}

fn outcome(vector: &Vector, folder: &Path) -> Result<(), String> {
    match vector.get("object") {
        "credential" => vector.open_credential().map(|_| ()).map_err(|fault| fault.to_string()),
        "frame" => frame(vector, folder),
        "pack" => pack(vector, folder),
        "trailer" => trailer(vector, folder),
        "list" => list(vector),
        "directory" => directory(vector),
        "open-part" => {
            cbor::decode::<OpenPart>("manifest", &vector.bytes).map(|_| ()).map_err(|_| "malformed".to_owned())
        }
        "sealed-part" => sealed_part(vector),
        other => panic!("{}: no test for {other}", vector.name),
    }
}

fn read_keys(vector: &Vector, folder: &Path) -> ReadKeys {
    vector.keys(folder).1.expect("a full credential")
}

fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

fn frame(vector: &Vector, folder: &Path) -> Result<(), String> {
    let keys = read_keys(vector, folder);
    let run = vector.get("run").parse().unwrap();
    let wrap = Wrap::from_bytes(hex(vector.get("wrap")).try_into().unwrap());
    let run_key = keys.unwrap_run_key(&wrap, run).unwrap();
    assert_eq!(run_key.seal_key().as_bytes()[..], hex(vector.get("run-key")), "{}", vector.name);
    let id = FrameId::from_bytes(hex(vector.get("id")).try_into().unwrap());
    let class = Class::from_code(vector.get("class").parse().unwrap()).unwrap();
    let repository = keys.authority().repository();
    let domain = keys.domain(DomainId::SHARED);
    let open =
        frame::open(&vector.bytes, id, class, (repository, run, &run_key), domain.ids(), &mut Zstd::new().unwrap());
    let open = open.map_err(|error| match error {
        FrameError::Malformed(_) => "malformed",
        FrameError::Seal => "seal",
        FrameError::Compression => "compression",
        FrameError::OtherFrame => "other-frame",
    })?;
    let chunks: Vec<Option<&[u8]>> = (0..u32::try_from(open.count()).unwrap()).map(|n| open.chunk(n)).collect();
    let lengths = chunks.iter().map(|chunk| chunk.map_or_else(|| "absent".to_owned(), |chunk| chunk.len().to_string()));
    assert_eq!(joined(lengths), vector.get("lengths"), "{}", vector.name);
    let present: Vec<u8> = chunks.into_iter().flatten().flatten().copied().collect();
    assert_eq!(blake3::hash(&present).to_hex().as_str(), vector.get("present"), "{}", vector.name);
    Ok(())
}

fn assert_frames(vector: &Vector, frames: &[TrailerFrame]) {
    assert_eq!(joined(frames.iter().map(|frame| frame.id)), vector.get("frames"), "{}", vector.name);
}

fn pack(vector: &Vector, folder: &Path) -> Result<(), String> {
    let keys = read_keys(vector, folder);
    let reason = |error: PackError| match error {
        PackError::Store(error) => panic!("there is no store: {error}"),
        PackError::Malformed(_) => "malformed",
        PackError::Foreign => "foreign",
        PackError::Trailer => "seal",
        PackError::Hash => "hash",
    };
    let id = key::parse_pack(vector.get("key")).unwrap();
    let pack = WholePack::new(id, &vector.bytes, keys.authority().repository()).map_err(reason)?;
    let frames = pack.frames(&keys.domain(pack.opening.domain)).map_err(reason)?;
    assert_frames(vector, &frames);
    let run_key = keys.unwrap_run_key(&pack.opening.wrap, id.run).map_err(|_| "wrap")?;
    let access = (keys.authority().repository(), id.run, &run_key);
    let domain = keys.domain(pack.opening.domain);
    for frame in frames {
        let stored = pack.frame(&frame).unwrap();
        let open =
            frame::open(stored, frame.id, frame.table.class, access, domain.ids(), &mut Zstd::new().unwrap()).unwrap();
        assert_eq!(open.encoded_table, frame.table.encode(), "{}", vector.name);
    }
    Ok(())
}

fn trailer(vector: &Vector, folder: &Path) -> Result<(), String> {
    let domain = read_keys(vector, folder).domain(DomainId::SHARED);
    let end = vector.get("end").parse().unwrap();
    let frames = trailer::decode(&vector.bytes, domain.ids(), 140, end).map_err(|_| "malformed")?;
    assert_frames(vector, &frames);
    Ok(())
}

fn list(vector: &Vector) -> Result<(), String> {
    let list = List::decode(&vector.bytes).map_err(|_| "malformed")?;
    assert_eq!(list.bytes.to_string(), vector.get("bytes"), "{}", vector.name);
    assert_eq!(list.hash[..], hex(vector.get("hash")), "{}", vector.name);
    let references = list.references.iter().map(|r| format!("{}:{}:{}", r.frame, r.first, r.count));
    assert_eq!(joined(references), vector.get("references"), "{}", vector.name);
    Ok(())
}

/// What the program calls it, in lower case.
fn word(fault: impl std::fmt::Debug) -> String {
    format!("{fault:?}").to_lowercase()
}

fn directory(vector: &Vector) -> Result<(), String> {
    let entries: Result<Vec<Entry>, TreeError> = EntryReader::new(&vector.bytes[..]).collect();
    let entries = entries.map_err(|error| match error {
        TreeError::Read(error) => panic!("memory can be read: {error}"),
        TreeError::Truncated => "truncated".to_owned(),
        TreeError::TooLong(_) => "too-long".to_owned(),
        TreeError::Malformed(_) => "malformed".to_owned(),
        TreeError::Entry(error) => word(error.fault),
        TreeError::Order(_) => "order".to_owned(),
    })?;
    let names: Vec<Vec<u8>> = vector.get("names").split_whitespace().map(hex).collect();
    assert_eq!(entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), names, "{}", vector.name);
    Ok(())
}

fn sealed_part(vector: &Vector) -> Result<(), String> {
    let part: SealedPart = cbor::decode("manifest", &vector.bytes).map_err(|_| "malformed")?;
    part.root.check_top().map_err(|error| word(error.fault))
}
