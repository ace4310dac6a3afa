//! Whatever lies in a folder.

use super::*;
use crate::chunker::expand::recipe::{RecipeReader, Step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// By the folder that files lie in.
#[derive(Debug, Default)]
struct Sum {
    files: u64,
    bytes: u64,
    whole: u64,
    whole_bytes: u64,
    methods: BTreeMap<String, u64>,
    left: BTreeMap<&'static str, u64>,
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

/// To be run by hand, over what programs made: `NIGHTSAFE_COLLECTION=folder cargo test --release collection -- --ignored --nocapture`. Figures: `docs/expansion.md`.
#[test]
#[ignore = "needs a collection"]
#[expect(clippy::print_stdout, reason = "what it is for")]
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
        let expanded = expand(&bytes, &[100_000]);
        let back = rebuild(&expanded.recipe, &expanded.stream, &[70_000]);
        assert!(back.is_ok_and(|back| back == bytes), "{}: other bytes come back", file.display());
        let sum = sums.entry(file.parent().unwrap().to_owned()).or_default();
        let mut recipe = RecipeReader::new(&expanded.recipe[..]);
        while let Some(step) = recipe.next().unwrap() {
            if let Step::Compress(method) = step {
                *sum.methods.entry(format!("{method:?}")).or_default() += 1;
            }
        }
        sum.files += 1;
        sum.bytes += bytes.len() as u64;
        if expanded.outcome.left.is_empty() {
            sum.whole += 1;
            sum.whole_bytes += bytes.len() as u64;
        }
        expanded.outcome.left.iter().for_each(|left| *sum.left.entry(left.code()).or_default() += 1);
    }
    for (folder, sum) in sums {
        println!("{}: {sum:?}", folder.display());
    }
}
