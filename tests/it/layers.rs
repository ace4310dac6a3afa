//! Holds the source code to the layers and to a few rules that no lint knows.
//!
//! `cli → snapshot → {repo, chunker}`, `cli → repo`: a file may name its own layer and those that an arrow leads to. Read
//! from the text of `src/`, because the compiler allows any arrow. Comments and literals don't count.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may name whom, besides itself.
const ARROWS: [(&str, &[&str]); 4] =
    [("chunker", &[]), ("repo", &[]), ("snapshot", &["repo", "chunker"]), ("cli", &["snapshot", "repo"])];

/// The only file with asynchronous code: it owns the runtime that OpenDAL needs.
const ASYNC_FILE: &str = "repo/store/opendal.rs";

/// The only file with `unsafe`: it maps index tables into memory.
const UNSAFE_FILE: &str = "repo/index/table.rs";

const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The functions of `std::env` that read what the user has set.
const ENVIRONMENT: [&str; 5] = ["var", "var_os", "vars", "vars_os", "args"];

#[test]
fn source_keeps_to_its_layers() {
    let root = manifest_dir().join("src");
    let files = rust_files(&root);
    assert!(files.len() >= 5, "only {} source files found below {}", files.len(), root.display());
    let mut violations = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let name = file.strip_prefix(&root).expect("it was found below the root").to_str().expect("ASCII names");
        violations.extend(check(name, &text));
    }
    assert!(violations.is_empty(), "the layers (docs: src/lib.rs) are broken:\n{}", violations.join("\n"));
}

#[test]
fn every_test_file_is_part_of_the_test_binary() {
    let forgotten = undeclared(&manifest_dir().join("tests/it"), "main.rs");
    assert!(forgotten.is_empty(), "never run, because no `mod` declares them: {forgotten:?}");
}

#[test]
fn forgotten_test_files_are_caught() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    };
    put("main.rs", "mod used; // mod forgotten;\nmod store; mod local;");
    put("used.rs", "");
    put("forgotten.rs", "");
    put("store/mod.rs", "mod remote;");
    put("store/remote.rs", "");
    put("store/lost.rs", "");
    put("local.rs", "");
    put("local/lost.rs", "");
    put("data/notes.txt", "");
    put("whole/mod.rs", "");
    let names: Vec<PathBuf> = undeclared(folder.path(), "main.rs")
        .into_iter()
        .map(|path| path.strip_prefix(folder.path()).expect("it was found there").to_owned())
        .collect();
    assert_eq!(names, ["forgotten.rs", "local/lost.rs", "store/lost.rs", "whole"].map(PathBuf::from));
}

/// The modules below `folder` that `root`, the file which declares those of this folder, doesn't name; sorted.
fn undeclared(folder: &Path, root: &str) -> Vec<PathBuf> {
    let declaring = tokens(&fs::read_to_string(folder.join(root)).expect("the file that declares modules can be read"));
    let declared: Vec<&str> =
        declaring.windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";").map(|w| w[1].text.as_str()).collect();
    let mut forgotten = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of tests can be listed") {
        let path = entry.expect("an entry of it").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("ASCII names");
        let is_file = path.extension().is_some_and(|e| e == "rs") && !["mod", "main"].contains(&name);
        if (is_file || path.join("mod.rs").is_file()) && !declared.contains(&name) {
            forgotten.push(path);
        } else if path.is_dir() {
            let outside = format!("../{name}.rs");
            let inner = ["mod.rs", outside.as_str()].into_iter().find(|inner| path.join(inner).is_file());
            forgotten.extend(inner.map(|inner| undeclared(&path, inner)).unwrap_or_default());
        }
    }
    forgotten.sort();
    forgotten
}

#[test]
fn wrong_arrows_are_caught() {
    let cases = [
        ("repo/writer.rs", "use crate::snapshot::manifest::Manifest;"),
        ("repo/writer.rs", "fn f() { let x = crate::chunker::Params::default(); }"),
        ("repo/writer.rs", "use crate::{repo::id::PackId, cli};"),
        ("repo/writer.rs", "use crate::{repo::{id, seal}, snapshot::{tree}};"),
        ("repo/writer.rs", "use super::super::snapshot;"),
        ("repo/writer.rs", "use super::{id, super::snapshot::tree};"),
        ("repo/mod.rs", "use super::chunker::Cut;"),
        ("repo/keys/mod.rs", "pub(in crate::snapshot) fn f() {}"),
        ("repo/id.rs", "mod tests { use super::super::super::cli; }"),
        ("repo/id.rs", "#[cfg(test)]\nmod tests { use crate::snapshot::tree; }"),
        ("chunker/stream.rs", "use crate::repo::codec;"),
        ("snapshot/backup.rs", "use crate::cli::ui;"),
        ("cli/args.rs", "use crate::chunker::Profile;"),
        ("cli/args.rs", "use crate::*;"),
        ("cli/args.rs", "use crate as everything;"),
        ("repo/id.rs", "impl crate::repo::id::A for crate::cli::B {}"),
        ("repo/id.rs", "fn f(x: crate::repo::id::A<crate::cli::B>) {}"),
        ("repo/id.rs", "use crate::{repo as r, cli as c};"),
        ("repo/id.rs", "macro_rules! m { () => { $crate::snapshot::f() } }"),
        ("main.rs", "fn main() { nightsafe::repo::f(); }"),
    ];
    for (file, text) in cases {
        assert_eq!(check(file, text).len(), 1, "{file}: {text}: {:?}", check(file, text));
    }
}

#[test]
fn broken_rules_are_caught() {
    let cases = [
        ("repo/store/local.rs", "pub async fn read() {}"),
        ("snapshot/pipeline.rs", "let x = async move { 1 };"),
        ("repo/seal.rs", "fn f() { unsafe { g() } }"),
        ("repo/check.rs", "println!(\"x\");"),
        ("snapshot/restore.rs", "fn f() { std::eprintln!(); }"),
        ("lib.rs", "fn f() { dbg!(1); }"),
        ("repo/store/url.rs", "let x = std::env::var(\"HOME\");"),
        ("repo/store/url.rs", "let x = env::args().nth(1);"),
    ];
    for (file, text) in cases {
        assert_eq!(check(file, text).len(), 1, "{file}: {text}: {:?}", check(file, text));
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let cases = [
        (
            "repo/writer.rs",
            "use crate::repo::{id::PackId, seal};\nuse super::pack::Builder;\nuse super::super::repo::id;",
        ),
        ("repo/writer.rs", "// use crate::snapshot;\n/* crate::cli /* nested */ crate::cli */ let s = \"crate::cli\";"),
        (
            "repo/writer.rs",
            "let s = r#\"unsafe \" println!()\"#; let c = '\"'; let l: &'static str = b\"async\"; let q = '\\'';",
        ),
        ("repo/id.rs", "pub(crate) fn f() {} mod tests { use super::super::seal; }"),
        ("snapshot/backup.rs", "use crate::{chunker::stream, repo::{id, writer}, snapshot::tree};"),
        ("cli/commands/init.rs", "use crate::{cli::ui, repo, snapshot}; fn f() { println!(); std::env::var(\"X\"); }"),
        ("repo/store/opendal.rs", "async fn f() { async {}; }"),
        ("repo/index/table.rs", "fn f() { unsafe {} }"),
        ("repo/store/url.rs", "#[cfg(test)]\nmod tests { fn f() { std::env::var(\"NIGHTSAFE_TEST_S3\"); } }"),
        ("lib.rs", "pub mod repo; pub mod snapshot;"),
        ("main.rs", "fn main() -> std::process::ExitCode { nightsafe::cli::run() }"),
    ];
    for (file, text) in cases {
        assert_eq!(check(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}

/// Every violation in one file; `file` is its path below `src`.
fn check(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let module = module_of(file);
    let mut scopes: Vec<Scope> = Vec::new();
    let mut found = Vec::new();
    let mut skip_until = 0;
    for (at, token) in tokens.iter().enumerate() {
        let is = |offset: usize, text: &str| tokens.get(at + offset).is_some_and(|t| t.text == text);
        let before = |offset: usize, text: &str| at >= offset && tokens[at - offset].text == text;
        let mut report = |what: String| found.push(format!("src/{file}:{}: {what}", token.line));
        match token.text.as_str() {
            "{" => scopes.push(Scope::opened_before(&tokens[..at])),
            "}" => drop(scopes.pop()),
            "async" if file != ASYNC_FILE => report(format!("`async` belongs into src/{ASYNC_FILE}")),
            "unsafe" if file != UNSAFE_FILE => report(format!("`unsafe` belongs into src/{UNSAFE_FILE}")),
            name if PRINTING.contains(&name) && is(1, "!") && module.first().is_none_or(|layer| layer != "cli") => {
                report(format!("`{name}!`: only cli prints"));
            }
            name if ENVIRONMENT.contains(&name)
                && before(1, "::")
                && before(2, "env")
                && module.first().is_none_or(|layer| layer != "cli")
                && !scopes.iter().any(|scope| scope.is_test) =>
            {
                report(format!("`env::{name}`: only cli reads the environment"));
            }
            "crate" | "super" | "nightsafe" if at >= skip_until && is(1, "::") && !before(1, "::") => {
                let mut inner = module.clone();
                inner.extend(scopes.iter().filter_map(|scope| scope.module.clone()));
                let mut paths = Vec::new();
                skip_until = expand_path(&tokens, at, &inner, &mut paths);
                for path in paths {
                    if let Some(problem) = wrong_arrow(&module, &path) {
                        report(problem);
                    }
                }
            }
            "crate" if is(1, "as") => report("`crate` under another name hides arrows".into()),
            _ => {}
        }
    }
    found
}

/// What is wrong with a file of `module` naming the absolute path `target`.
fn wrong_arrow(module: &[String], target: &[String]) -> Option<String> {
    let to = target.first()?;
    let from = module.first().map_or("lib", String::as_str);
    let allowed = match ARROWS.iter().find(|(layer, _)| *layer == from) {
        Some((_, allowed)) => from == to || allowed.contains(&to.as_str()),
        None => to == "cli", // main.rs calls the command line; lib.rs names nobody
    };
    (!allowed).then(|| format!("{from} → {} is not an arrow", target.join("::")))
}

/// Resolves the path, or tree of paths in braces, that begins at `at` to absolute ones. Returns where it ends.
fn expand_path(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "crate" | "nightsafe" => path.clear(),
            "super" => drop(path.pop()),
            "self" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t.text != "}") {
                    at = if tokens[at].text == "," { at + 1 } else { expand_path(tokens, at, &path, paths) };
                }
                return at + 1;
            }
            name => path.push(name.to_owned()),
        }
        at += 1;
        let more = tokens.get(at).is_some_and(|t| t.text == "::")
            && tokens.get(at + 1).is_some_and(|t| t.is_word() || t.text == "{" || t.text == "*");
        if !more {
            break;
        }
        at += 1;
    }
    paths.push(path);
    if tokens.get(at).is_some_and(|t| t.text == "as") { at + 2 } else { at }
}

/// What a brace opened.
struct Scope {
    /// The name of an inline module.
    module: Option<String>,
    is_test: bool,
}

impl Scope {
    fn opened_before(tokens: &[Token]) -> Self {
        let words: Vec<&str> = tokens.iter().rev().take(9).map(|t| t.text.as_str()).collect();
        match words.as_slice() {
            [name, "mod", rest @ ..] => {
                let is_test = rest.starts_with(&["]", ")", "test", "(", "cfg", "[", "#"]);
                Self { module: Some((*name).to_owned()), is_test }
            }
            _ => Self { module: None, is_test: false },
        }
    }
}

/// The module that a file below `src` is, `[]` for the root.
fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

#[derive(Debug)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

/// Words, `::` and single punctuation marks; no comments, no literals but numbers.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let length = token_length(&chars[at..]);
        let piece: String = chars[at..at + length].iter().collect();
        let literal = piece.contains(['"', '\'']);
        if !literal && !piece.starts_with("//") && !piece.starts_with("/*") && !piece.trim().is_empty() {
            tokens.push(Token { line, text: piece.clone() });
        }
        line += piece.matches('\n').count();
        at += length;
    }
    tokens
}

/// How many characters the first token takes. `chars` is not empty.
fn token_length(chars: &[char]) -> usize {
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| chars.get(i) == Some(&c));
    let until = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        chars[from..].windows(end.len()).position(|w| w == end).map_or(chars.len(), |i| from + i + end.len())
    };
    if starts("//") {
        return chars.iter().position(|c| *c == '\n').unwrap_or(chars.len());
    }
    if starts("/*") {
        let (mut depth, mut at) = (1, 2);
        while depth > 0 && at < chars.len() {
            match (chars[at], chars.get(at + 1)) {
                ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
                ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        return at;
    }
    if starts("::") {
        return 2;
    }
    let word = chars.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
    let prefix: String = chars[..word].iter().collect();
    if word > 0 && !["b", "c", "r", "br", "cr"].contains(&prefix.as_str()) {
        return word;
    }
    let hashes = chars[word..].iter().take_while(|c| **c == '#').count();
    match chars.get(word + hashes) {
        Some('"') if prefix.ends_with('r') => until(word + hashes + 1, &format!("\"{}", "#".repeat(hashes))),
        Some('"') if hashes == 0 => quoted(chars, word, '"'),
        Some('\'') if hashes == 0 && is_char_literal(&chars[word..]) => quoted(chars, word, '\''),
        Some('\'') if word == 0 => 1 + chars[1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count(),
        _ => word.max(1),
    }
}

/// The end of a literal whose opening quote stands at `open`.
fn quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Whether the quote that `chars` begins with opens a character, not a lifetime.
fn is_char_literal(chars: &[char]) -> bool {
    chars.get(1) == Some(&'\\') || chars.get(2) == Some(&'\'')
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder can be listed") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
