//! What other programs tell: files beside dumps, container engines, `psql` and its like.

use super::input::Input;
use super::memory;
use nightsafe::repo::cbor;
use nightsafe::snapshot::capture::application::Inspected;
use nightsafe::snapshot::capture::sidecar::{MAX_FIELD, MAX_FIELDS, assign, read};
use nightsafe::snapshot::manifest::application::Image;
use nightsafe::snapshot::manifest::dump::{DumpFile, Sidecar};
use nightsafe::snapshot::postgres::answer::{Unanswered, read_answer};
use nightsafe::snapshot::postgres::programs::{Found, Version};
use nightsafe::snapshot::postgres::restore::feed::words::fit;
use nightsafe::snapshot::postgres::session::refusal;
use nightsafe::snapshot::tree::path::SafePath;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest text that is kept of an engine's words, and longest message, in characters.
const MAX_TEXT: usize = 1_024;
const MAX_MESSAGE: usize = 2_000;
const SECRET: &str = "hunter2";

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 5 {
        0 => sidecar(input.word(), input.rest()),
        1 => {
            let length = usize::from(input.word());
            let containers = String::from_utf8_lossy(input.bytes(length));
            engine(&containers, &String::from_utf8_lossy(input.rest()));
        }
        2 => answer(input.word().into(), input.rest()),
        3 => words(input.rest()),
        _ => program(input.rest()),
    }
}

const fn most(bytes: usize) -> usize {
    (64 << 10) + 128 * bytes
}

fn assert_clean(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

/// Kept are fields that another reader finds, and a dump is held against no others.
fn sidecar(size: u16, bytes: &[u8]) {
    let path = |text: &str| SafePath::parse(text.as_bytes()).expect("a path");
    let sidecar = memory::at_most(most(bytes.len()), || read(&path("b/a.json"), bytes));
    let all: Option<BTreeMap<String, Value>> = serde_json::from_slice(bytes).ok();
    assert_eq!(sidecar.is_some(), all.is_some());
    let (Some(sidecar), Some(all)) = (sidecar, all) else { return };
    let fields = &sidecar.fields;
    assert!(fields.len() <= MAX_FIELDS && fields.is_sorted_by(|(a, _), (b, _)| a < b));
    for (name, text) in fields {
        assert!(name.len() <= MAX_FIELD && text.len() <= MAX_FIELD);
        assert_eq!(*text, all[name].as_str().map_or_else(|| all[name].to_string(), str::to_owned));
    }
    assert_eq!(cbor::decode::<Sidecar>("sidecar", &cbor::encode(&sidecar)).as_ref(), Ok(&sidecar));
    let dump = |name: &str| {
        let (fault, contents, sidecar, export) = (None, None, None, None);
        DumpFile { path: path(name), bytes: size.into(), sha256: [0x61; 32], fault, contents, sidecar, export }
    };
    let mut dumps = ["b/a.dump", "b/a", "a.dump"].map(dump);
    let problems = assign(&mut dumps, std::slice::from_ref(&sidecar));
    let described: Vec<&DumpFile> = dumps.iter().filter(|dump| dump.sidecar.is_some()).collect();
    assert!(described.len() <= 1 && problems.len() <= 2);
    for dump in &described {
        assert!(dump.path.as_bytes().starts_with(b"b/"), "in another directory");
        let name = dump.path.name().expect("a file");
        assert!(sidecar.fields.iter().any(|(_, text)| text.as_bytes().windows(name.len()).any(|part| part == name)));
    }
    for problem in &problems {
        assert_eq!(Some(&problem.path), described.first().map(|dump| &dump.path));
        assert_clean(&problem.message);
    }
}

fn engine(containers: &str, images: &str) {
    let inspected = match memory::at_most(most(containers.len()), || Inspected::parse(containers)) {
        Ok(inspected) => inspected,
        Err(why) => return assert_clean(&why),
    };
    let ids = inspected.image_ids();
    assert!(ids.is_sorted_by(|a, b| a < b), "one is there twice");
    let images = match memory::at_most(most(containers.len() + images.len()), || inspected.images(images)) {
        Ok(images) => images,
        Err(why) => return assert_clean(&why),
    };
    let key = |image: &Image| (image.service.clone(), image.image.clone());
    assert!(images.is_sorted_by_key(key) && images.len() >= usize::from(!ids.is_empty()));
    for image in images {
        for text in [Some(&image.service), Some(&image.image), image.digest.as_ref(), image.version.as_ref()] {
            assert!(text.is_none_or(|text| !text.contains(char::is_control) && text.chars().count() <= MAX_TEXT));
        }
        assert!(image.digest.as_ref().is_none_or(|digest| !digest.contains('@')));
        assert_eq!(cbor::decode::<Image>("image", &cbor::encode(&image)).as_ref(), Ok(&image));
    }
}

type Answer = (Vec<Vec<u8>>, Result<(), Unanswered>);

/// Lines come one by one, whatever pieces the pipe gives, up to the word and no longer than allowed.
fn answer(limit: u64, bytes: &[u8]) {
    const MARKER: &str = "done";
    let answer = |mut output: &mut dyn BufRead| -> Answer {
        let mut lines = Vec::new();
        let outcome = read_answer(&mut output, MARKER, limit, &mut |line| lines.push(line.to_vec()));
        (lines, outcome)
    };
    let whole = memory::at_most(most(bytes.len()), || answer(&mut &bytes[..]));
    let piecewise = answer(&mut BufReader::with_capacity(1 + bytes.len() % 7, bytes));
    assert_eq!(whole, piecewise, "pieces decide");
    // By the letter: all up to the word's line, if that is within the limit.
    let end = [b"\n", MARKER.as_bytes(), b"\n"].concat();
    let text = [b"\n", bytes].concat();
    let found = text.windows(end.len()).position(|window| window == end);
    let length = found.map(|at| at + end.len() - 1);
    let (lines, outcome) = whole;
    assert_eq!(outcome.is_ok(), length.is_some_and(|length| length as u64 <= limit));
    if outcome == Err(Unanswered::Ended) {
        assert!(length.is_none() && bytes.len() as u64 <= limit);
    }
    let taken = length.filter(|_| outcome.is_ok()).map_or(bytes, |length| &bytes[..length + 1 - end.len()]);
    let mut expected = taken.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    assert!(lines.iter().all(|line| expected.next() == Some(line)));
    assert!(outcome.is_err() || expected.next().is_none(), "a line is lost");
}

/// Messages are short, fit for a terminal, and hold nothing of what servers quote of the data.
fn words(bytes: &[u8]) {
    let told = |bytes: &[u8]| {
        let (code, refused) = memory::at_most(most(bytes.len()), || refusal(bytes));
        assert!(code.is_none_or(|code| code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        let fit = memory::at_most(most(bytes.len()), || fit(bytes));
        for text in [&refused, &fit] {
            assert!(!text.contains(char::is_control) && text.chars().count() <= MAX_MESSAGE + 1, "{text:?}");
        }
        [refused, fit]
    };
    let [_, said] = told(bytes);
    if said.contains(SECRET) {
        return;
    }
    let line = bytes.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
    for aside in ["DETAIL:  ", "CONTEXT:  ", "STATEMENT:  ", "LINE 1: "] {
        let [_, said] = told(&[bytes, b"\n", aside.as_bytes(), line, SECRET.as_bytes()].concat());
        assert!(!said.contains(SECRET), "{said:?}");
    }
}

fn program(bytes: &[u8]) {
    let Some(found) = memory::at_most(most(bytes.len()), || Found::parse(bytes)) else {
        return version(Version::of_number(&String::from_utf8_lossy(bytes)));
    };
    let path = bytes.split(|byte| *byte == b'\t').next();
    assert_eq!(Some(found.path.as_bytes()), path);
    assert_eq!(Path::new(&found.path).file_name(), Some(OsStr::new(found.program.name())));
    version(Some(found.version));
}

/// A version has one spelling.
fn version(version: Option<Version>) {
    let Some(version) = version else { return };
    assert_eq!(Version::of_number(&version.to_string()), Some(version), "{version}");
}
