//! Containers as the programs of this machine make them: all come back, and all of their compression is undone.
//!
//! `cargo test --test it encoders -- --nocapture` prints the table. Programs that aren't installed are named; `scripts/test` installs those that are small.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::collection::{Taken, expanded, taken};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program that makes archives.
struct Encoder {
    name: &'static str,
    /// What tells whether it's there: a command that does nothing.
    probe: &'static [&'static str],
    levels: &'static [u32],
    /// For a shell in the samples' folder, with `$L` for the level and `$F` for a sample; it writes to its standard output.
    script: &'static str,
    /// Guides to the streams take at most so much, in percent of the archives' bytes. All else is undone, but for headers.
    guides: u64,
}

const ALL: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9];
const FEW: &[u32] = &[1, 6, 9];
/// Of these the quick levels are guided to with so many bytes that it isn't worth it for all samples.
const SLOW: &[u32] = &[6, 9];

const JAVA: &str = "import java.io.*; import java.util.zip.*; public class Zip { public static void main(String[] a) throws Exception {
    var out = new ZipOutputStream(System.out); out.setLevel(Integer.parseInt(a[0]));
    out.putNextEntry(new ZipEntry(a[1])); new FileInputStream(a[1]).transferTo(out); out.closeEntry(); out.close(); } }";
const GO: &str = "package main
import (\"compress/gzip\"; \"io\"; \"os\"; \"strconv\")
func main() { level, _ := strconv.Atoi(os.Args[1]); to, _ := gzip.NewWriterLevel(os.Stdout, level); io.Copy(to, os.Stdin); to.Close() }";

const ENCODERS: &[Encoder] = &[
    Encoder { name: "gzip", probe: &["gzip", "-V"], levels: ALL, script: "gzip -$L <$F", guides: 0 },
    Encoder {
        name: "gzip --rsyncable",
        probe: &["gzip", "--rsyncable", "-V"],
        levels: FEW,
        script: "gzip --rsyncable -$L <$F",
        guides: 0,
    },
    Encoder { name: "pigz", probe: &["pigz", "-V"], levels: FEW, script: "pigz -$L <$F", guides: 0 },
    Encoder { name: "pigz -i", probe: &["pigz", "-V"], levels: FEW, script: "pigz -i -$L <$F", guides: 0 },
    Encoder { name: "pigz -p 1", probe: &["pigz", "-V"], levels: FEW, script: "pigz -p 1 -$L <$F", guides: 0 },
    Encoder {
        name: "Python's gzip",
        probe: &["python3", "-V"],
        levels: FEW,
        script: "python3 -c 'import gzip, sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), '$L'))' <$F",
        guides: 0,
    },
    Encoder {
        name: "Python's zipfile",
        probe: &["python3", "-V"],
        levels: FEW,
        script:
            "python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.stdout.buffer, \"w\", zipfile.ZIP_DEFLATED, compresslevel='$L') as file: file.write(\"'$F'\")'",
        guides: 0,
    },
    Encoder {
        name: "Perl's IO::Compress::Gzip",
        probe: &["perl", "-MIO::Compress::Gzip", "-e", ""],
        levels: FEW,
        script: "perl -MIO::Compress::Gzip=gzip -e 'gzip \"-\" => \"-\", -Level => '$L <$F",
        guides: 0,
    },
    Encoder { name: "Info-ZIP", probe: &["zip", "-v"], levels: FEW, script: "zip -q -$L - $F 2>/dev/null", guides: 0 },
    Encoder {
        name: "Java's zip",
        probe: &["java", "-version"],
        levels: SLOW,
        script: "java Zip.java $L $F",
        guides: 0,
    },
    Encoder {
        name: "git archive (tar.gz)",
        probe: &["git", "--version"],
        levels: SLOW,
        script: "git init -q r$F$L && cp $F r$F$L && cd r$F$L && git add . && git -c user.name=n -c user.email=e commit -qm m && git archive --format=tar.gz -$L HEAD",
        guides: 0,
    },
    Encoder {
        name: "npm pack",
        probe: &["npm", "--version"],
        levels: &[9],
        script: "mkdir n$F && cp $F n$F && cd n$F && printf '{\"name\":\"n\",\"version\":\"1.0.0\"}' >package.json && npm pack --silent --offline >&2 && cat n-1.0.0.tgz",
        guides: 2,
    },
    Encoder {
        name: "busybox gzip",
        probe: &["busybox", "gzip", "--help"],
        levels: &[6],
        script: "busybox gzip <$F",
        guides: 2,
    },
    Encoder {
        name: "Go's gzip",
        probe: &["go", "version"],
        levels: SLOW,
        script: "[ -x ./gz ] || GOCACHE=$PWD/go GOFLAGS=-mod=mod go build -o gz gz.go >&2; ./gz $L <$F",
        guides: 2,
    },
    Encoder {
        name: "Node's gzip",
        probe: &["node", "--version"],
        levels: &[6],
        script: "node -e 'process.stdout.write(require(\"zlib\").gzipSync(require(\"fs\").readFileSync(\"'$F'\"), {level: '$L'}))'",
        guides: 2,
    },
    Encoder {
        name: "libdeflate",
        probe: &["libdeflate-gzip", "-V"],
        levels: &[6],
        script: "libdeflate-gzip -$L -c <$F",
        guides: 4,
    },
    Encoder {
        name: "7-Zip (gzip)",
        probe: &["7zz", "i"],
        levels: &[5],
        script: "7zz a -tgzip -mx=$L -si -so -bd -bso0 x <$F",
        guides: 12,
    },
    Encoder {
        name: "7-Zip (zip)",
        probe: &["7zz", "i"],
        levels: &[5],
        script: "7zz a -tzip -mx=$L -bd -bso0 a$F.zip $F >&2 && cat a$F.zip",
        guides: 12,
    },
    Encoder {
        name: "zopfli",
        probe: &["zopfli", "-h"],
        levels: &[1],
        script: "head -c 300000 $F >s$F && zopfli --i$L -c s$F",
        guides: 12,
    },
];

/// Rows of a dump, something like source code, and something like a program: always the same bytes.
fn samples(folder: &Path) -> [&'static str; 3] {
    let chance = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
    let rows = (0..24_000u64).map(|n| {
        let noise = blake3::hash(&n.to_le_bytes());
        format!("{n}\tcustomer {}\t2026-11-{:02} 03:00:{:02}\t{}\n", n % 977, n % 30 + 1, n % 60, &noise.to_hex()[..24])
    });
    fs::write(folder.join("rows"), rows.collect::<Vec<_>>().concat()).unwrap();
    let words = "let mut self match Some None Ok Err return bytes length offset reader writer state stream frame chunk if else for in while";
    let words: Vec<&str> = words.split(' ').collect();
    let code = (0..24_000u64).map(|n| {
        let dice = chance(n);
        let line: Vec<_> =
            dice[..usize::from(dice[31] % 9)].iter().map(|die| words[usize::from(*die) % words.len()]).collect();
        format!("{}{}({});\n", "    ".repeat(usize::from(dice[30] % 5)), line.join(" "), n % 300 * 7)
    });
    fs::write(folder.join("code"), code.collect::<Vec<_>>().concat()).unwrap();
    let program = (0..50_000u32).flat_map(|n| {
        let dice = chance(u64::from(n / 3));
        [
            &[0x48, 0x8b, dice[0] & 0x3f, dice[1] & 7][..],
            &(n * 16).to_le_bytes(),
            &dice[2..usize::from(3 + dice[2] % 9)],
        ]
        .concat()
    });
    fs::write(folder.join("program"), program.collect::<Vec<u8>>()).unwrap();
    ["rows", "code", "program"]
}

fn is_there(probe: &[&str]) -> bool {
    let status = Command::new(probe[0]).args(&probe[1..]).stdin(Stdio::null()).output();
    match status {
        Ok(output) => output.status.success(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{probe:?}: {error}");
            false
        }
    }
}

#[test]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what it is for; what is skipped is said")]
fn what_programs_make_comes_back_and_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    fs::write(folder.path().join("Zip.java"), JAVA).unwrap();
    fs::write(folder.path().join("gz.go"), GO).unwrap();
    println!(
        "| made by | levels | archives | their bytes | undone | guides |\n| --- | --- | ---: | ---: | ---: | ---: |"
    );
    let mut faults = Vec::new();
    for encoder in ENCODERS {
        if !is_there(encoder.probe) {
            eprintln!("skipped: {} ({} isn't installed)", encoder.name, encoder.probe[0]);
            continue;
        }
        let (mut archives, mut all) = (0, Taken::default());
        for level in encoder.levels {
            for sample in samples {
                let output = Command::new("sh")
                    .args(["-ec", encoder.script])
                    .envs([("L", level.to_string()), ("F", sample.to_owned())])
                    .env("HOME", folder.path())
                    // As a hook of git sets them.
                    .env_remove("GIT_DIR")
                    .env_remove("GIT_INDEX_FILE")
                    .env_remove("GIT_WORK_TREE")
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                let why = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.success() && !output.stdout.is_empty(),
                    "{} -{level} {sample}: {why}",
                    encoder.name
                );
                // It insists that it comes back.
                let (recipe, _) = expanded(&output.stdout);
                let taken = taken(&recipe, output.stdout.len());
                archives += 1;
                all.add(&taken);
            }
        }
        let undone = all.undone * 100 / all.bytes;
        let guides = all.guides * 1_000 / all.bytes;
        println!(
            "| {} | {:?} | {archives} | {} | {undone} % | {}.{} % |",
            encoder.name,
            encoder.levels,
            all.bytes,
            guides / 10,
            guides % 10
        );
        if undone < 95 || all.guides * 100 > encoder.guides * all.bytes {
            faults.push((encoder.name, undone, all));
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
}
