//! Whatever lies in a folder, expanded and rebuilt: by hand, over what programs made. Figures: `docs/expansion.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use nightsafe::chunker::expand::{Expansion, Format, Inner, Outcome, Rebuilder};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

/// By the folder that files lie in.
#[derive(Debug, Default)]
struct Sum {
    files: u64,
    whole: u64,
    whole_bytes: u64,
    taken: Taken,
    left: BTreeMap<&'static str, u64>,
}

pub fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

/// The recipe and what came of it; the file comes back.
pub fn expanded(bytes: &[u8]) -> (Vec<u8>, Outcome) {
    let (mut expansion, mut stream, mut recipe) = (Expansion::new(), Vec::new(), Vec::new());
    let mut each = |inner: Inner<'_>| {
        if let Inner::Bytes(bytes) = inner {
            stream.extend_from_slice(bytes);
        }
        Ok::<_, Infallible>(())
    };
    for part in bytes.chunks(100_000) {
        let Ok(()) = expansion.push(part, &mut each);
        recipe.extend(expansion.take_recipe());
    }
    let Ok((rest, outcome)) = expansion.finish(&mut each);
    recipe.extend(rest);
    let (mut rebuilder, mut back) = (Rebuilder::new(&recipe[..]), Vec::new());
    let mut out = |part: &[u8]| {
        back.extend_from_slice(part);
        Ok::<_, Infallible>(())
    };
    for part in stream.chunks(70_000) {
        rebuilder.push(part, &mut out).unwrap();
    }
    rebuilder.finish(&mut out).unwrap();
    assert!(back == bytes, "other bytes come back");
    (recipe, outcome)
}

/// What is said of a container's bytes.
#[derive(Debug, Default)]
pub struct Taken {
    /// All of them.
    pub bytes: u64,
    /// Those that are made again by compressing.
    pub undone: u64,
    /// Bytes of guides to that, which come besides.
    pub guides: u64,
    /// Streams, by the code of the step that makes them.
    methods: BTreeMap<u8, u64>,
}

impl Taken {
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.undone += other.undone;
        self.guides += other.guides;
        other.methods.iter().for_each(|(code, count)| *self.methods.entry(*code).or_default() += count);
    }
}

/// What a recipe says of a container of so many bytes (`docs/format.md`, section 6).
pub fn taken(recipe: &[u8], bytes: usize) -> Taken {
    let mut taken = Taken { bytes: bytes as u64, ..Taken::default() };
    let (mut kept, mut open, mut rest) = (0, Vec::new(), &recipe[1..]);
    while let Some((&[code, ref number @ ..], later)) = rest.split_first_chunk::<9>() {
        let number = u64::from_le_bytes(*number);
        let literal = match code {
            5 => number,
            31 => number & 0xff_ffff,
            _ => 0,
        };
        rest = &later[usize::try_from(literal).unwrap()..];
        let is_compressed = open.iter().any(|code| *code != 32);
        match code {
            0 | 1 => drop(open.pop()),
            2 | 3 | 5 if !is_compressed => kept += number,
            16..=28 | 30 => {
                *taken.methods.entry(code).or_default() += 1;
                open.push(code);
            }
            31 => taken.guides += literal + 9,
            32 => open.push(code),
            _ => {}
        }
    }
    taken.undone = taken.bytes.saturating_sub(kept);
    taken
}

/// `NIGHTSAFE_COLLECTION=folder cargo test --release --test it collection -- --ignored --nocapture`.
#[test]
#[ignore = "needs a collection"]
fn a_collection_comes_back() {
    let folder = std::env::var_os("NIGHTSAFE_COLLECTION").expect("NIGHTSAFE_COLLECTION names a folder");
    let mut files = Vec::new();
    walk(Path::new(&folder), &mut files);
    let mut sums: BTreeMap<PathBuf, Sum> = BTreeMap::new();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        if Format::of(&bytes).is_none() {
            continue;
        }
        let (recipe, outcome) = expanded(&bytes);
        let sum = sums.entry(file.parent().unwrap().to_owned()).or_default();
        sum.taken.add(&taken(&recipe, bytes.len()));
        sum.files += 1;
        if outcome.left.is_empty() {
            sum.whole += 1;
            sum.whole_bytes += bytes.len() as u64;
        }
        for left in &outcome.left {
            *sum.left.entry(left.code()).or_default() += 1;
        }
    }
    for (folder, sum) in sums {
        println!("{}: {sum:?}", folder.display());
    }
}
