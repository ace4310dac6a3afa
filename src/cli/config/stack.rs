//! Which files belong to a stack: the compose files, `.env`, overrides, and the `env_file`s that they name.
//!
//! Compose files are YAML, and only `env_file` matters here; a parser of all of YAML would be a large thing to trust for that. So the text is searched for it, in the three ways in which it's
//! written. What is found too much doesn't exist, and what is missed (an anchor, another file that is included) can be named in a source of kind `files`.

use super::document::join;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest compose file that is looked through, in bytes.
const LONGEST: u64 = 4 << 20;

/// The files of a stack.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StackFiles {
    /// Those that exist: absolute, sorted.
    pub files: Vec<PathBuf>,
    /// What a compose file names and isn't there, or can't be told.
    pub missing: Vec<String>,
}

/// Finds the files of the stack that these compose files describe.
pub fn files(compose: &[PathBuf]) -> io::Result<StackFiles> {
    let (mut files, mut missing) = (BTreeSet::new(), Vec::new());
    for path in compose {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
        files.insert(path.clone());
        files.extend(beside(path).into_iter().filter(|path| path.is_file()));
        for name in env_files(&String::from_utf8_lossy(&bytes)) {
            let file = join(folder, &name);
            if name.contains('$') {
                missing.push(format!("env_file `{name}` of {} holds a variable", path.display()));
            } else if file.is_file() {
                files.insert(file);
            } else {
                missing.push(format!("env_file {} of {} isn't there", file.display(), path.display()));
            }
        }
    }
    Ok(StackFiles { files: files.into_iter().collect(), missing })
}

/// `.env` and the override that compose reads without being told.
fn beside(compose: &Path) -> Vec<PathBuf> {
    let mut beside = vec![compose.with_file_name(".env")];
    let stem = compose.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    for extension in ["yml", "yaml"] {
        beside.push(compose.with_file_name(format!("{stem}.override.{extension}")));
    }
    beside
}

/// The files that `env_file` names in the text of a compose file: `env_file: A`, `env_file: [A, B]`, or lines of `- A` and `- path: A` below it.
pub fn env_files(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut lines = text.lines().map(without_comment).peekable();
    while let Some(line) = lines.next() {
        for (at, _) in line.match_indices("env_file:") {
            let rest = line[at + "env_file:".len()..].trim();
            if let Some(list) = rest.strip_prefix('[') {
                found.extend(list.split(']').next().unwrap_or_default().split(',').filter_map(name));
            } else if !rest.is_empty() {
                found.extend(rest.split([',', '}']).next().and_then(name));
            } else {
                let indent = indent_of(line);
                while let Some(item) = lines.next_if(|line| is_item_of(line, indent)) {
                    found.extend(name(item.trim().trim_start_matches('-')));
                }
            }
        }
    }
    found
}

/// Whether a line belongs to the list below a key that stands at `indent`.
fn is_item_of(line: &str, indent: usize) -> bool {
    let text = line.trim();
    text.is_empty() || indent_of(line) > indent || (indent_of(line) == indent && text.starts_with('-'))
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn without_comment(line: &str) -> &str {
    match line.find(" #") {
        _ if line.trim_start().starts_with('#') => "",
        Some(at) => &line[..at],
        None => line,
    }
}

/// A name without quotes; of `path: A` the `A`, of other keys nothing.
fn name(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('{').trim();
    let text = match text.split_once(": ") {
        Some(("path", path)) => path.split([',', '}']).next().unwrap_or_default(),
        Some(_) => return None,
        None => text,
    };
    let text = text.trim().trim_matches(['"', '\'']);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn env_file_is_found_however_it_is_written() {
        let text = "\
services:
  a: {image: x, env_file: docker.env, volumes: [b]}
  b:
    env_file: \"quoted.env\" # not this.env
  c:
    env_file: [one.env, 'two.env']
  d:
    env_file:
      - three.env
      - path: four.env
        required: false

    image: five.env
  e:
    env_file:
    - six.env
    environment:
    - seven=8.env
  # env_file: commented.env
";
        let found: Vec<_> = env_files(text).into_iter().collect();
        let expected = ["docker.env", "four.env", "one.env", "quoted.env", "six.env", "three.env", "two.env"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stack_is_its_compose_file_and_what_stands_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("compose.yml"), "x:\n  env_file: [docker.env, gone.env, \"${WHICH}.env\"]\n").unwrap();
        for name in [".env", "docker.env", "compose.override.yml", "other.env"] {
            fs::write(at(name), "A=b\n").unwrap();
        }
        let stack = files(&[at("compose.yml")]).unwrap();
        assert_eq!(stack.files, [at(".env"), at("compose.override.yml"), at("compose.yml"), at("docker.env")]);
        assert_eq!(stack.missing.len(), 2, "{:?}", stack.missing);
        assert!(files(&[at("none.yml")]).is_err());
    }
}
