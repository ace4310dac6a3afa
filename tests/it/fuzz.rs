//! Every decoder of bytes that come from outside, against the inputs that fuzzing found and against mutations of them.
//!
//! `fuzz/` has the targets and what they demand, `fuzz/README.md` how they are run for long. Here they are run for so short that nobody notices; what mutations there are is the same each time.

#![expect(clippy::unwrap_used, reason = "a test: what isn't as it should be ends it")]

mod seed;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What decoders hold is measured.
#[global_allocator]
static MEMORY: targets::memory::Measured = targets::memory::Measured;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

macro_rules! fuzzed {
    ($($name:ident: $mutations:literal),+ $(,)?) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        $(mod $name {
            #[test]
            fn holds_for_the_committed_inputs_and_mutations_of_them() {
                super::try_all(stringify!($name), $mutations, super::targets::$name::run);
            }
        })+
    };
}

// How many mutations: what takes about half a second.
fuzzed! {
    archive: 1_000,
    cbor: 5_000,
    config: 500,
    copy: 5_000,
    credential: 500,
    directory: 2_000,
    environment: 2_000,
    expand: 100,
    export: 2_000,
    frame: 1_000,
    index: 500,
    key_text: 2_000,
    list: 1_000,
    manifest: 2_000,
    names: 2_000,
    object: 2_000,
    pack: 2_000,
    plain: 1_000,
    record: 5_000,
    remembered: 2_000,
    script: 1_000,
    seen: 200,
    told: 2_000,
    url: 2_000,
    words: 1_000,
}

#[test]
fn every_target_has_inputs_and_is_tried_here() {
    let names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let stems = |folder: PathBuf| -> BTreeSet<String> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(stems(folder().join("fuzz_targets")), names);
    assert_eq!(stems(folder().join("corpus")), names);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in NAMES {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml doesn't build {name}");
        let target = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("target!({name})")), "{name} runs another target");
    }
}

/// Shows the input that a target panicked on.
struct Tried<'a>(&'a [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let digits =
                self.0.iter().fold("the input, in hex: ".to_owned(), |text, byte| text + &format!("{byte:02x}"));
            show(&digits);
        }
    }
}

#[expect(clippy::print_stderr, reason = "the message of a test that fails")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn try_all(name: &str, mutations: u32, run: fn(&[u8])) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join("corpus").join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!inputs.is_empty());
    let attempt = |input: &[u8]| {
        let _shown = Tried(input);
        run(input);
    };
    attempt(&[]);
    for input in &inputs {
        attempt(input);
    }
    let mut mutator = Mutator(name.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)));
    for _ in 0..mutations {
        attempt(&mutator.mutation(&inputs));
    }
}

/// Changes inputs as fuzzers do. Its numbers are those of `SplitMix64` (Steele, Lea and Flood 2014).
struct Mutator(u64);

impl Mutator {
    /// The next number below `end`, which isn't 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((number ^ number >> 31) % end as u64).unwrap()
    }

    fn mutation(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(3) {
            let other = self.below(inputs.len());
            self.change(&mut bytes, &inputs[other]);
        }
        bytes
    }

    /// One change; `other` is another input.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        /// Numbers at which something changes: lengths, signs, widths.
        const NUMBERS: [u64; 12] =
            [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
        let at = self.below(bytes.len() + 1);
        let length = self.below(bytes.len() - at + 1);
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length.min(16))),
            2 => {
                let copied = bytes[at..at + length.min(64)].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            3 => {
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            4 => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
            5 => {
                let (number, width) = (NUMBERS[self.below(NUMBERS.len())], 1 << self.below(4));
                let big = self.below(2) == 0;
                let number = if big { number.to_be_bytes() } else { number.to_le_bytes() };
                let number = if big { &number[8 - width..] } else { &number[..width] };
                bytes.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = *new);
            }
            6 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = u8::try_from(self.below(256)).unwrap()),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
        }
    }
}
