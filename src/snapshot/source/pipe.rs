//! Streams that no file holds: what a program writes, or standard input.

use crate::snapshot::child::Withheld;
use crate::snapshot::postgres::interrupt::{Interrupt, Output, POLL};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Lines of what a program says that are kept: the last ones.
const KEPT_LINES: usize = 20;
/// Bytes that are kept of each.
const KEPT_BYTES: u64 = 1000;

/// How long what a program said is waited for when it has ended: one that it left behind may hold its standard error open.
const PATIENCE: Duration = Duration::from_secs(2);

/// A stream to back up: a file in a folder of its own.
#[derive(Debug, Clone)]
pub struct PipeSource {
    /// The name of the folder, at the top of the tree.
    pub name: String,
    /// The name of the file in it.
    pub file: String,
    /// Where it comes from.
    pub from: PipeFrom,
    /// Whether a container is stored as it is, compressed.
    pub no_expand: bool,
    /// What is secret besides what is by its name, as gitignore-style patterns.
    pub secrets: Vec<String>,
}

/// Where a stream comes from.
#[derive(Debug, Clone)]
pub enum PipeFrom {
    /// Somebody writes it, and can't be asked to do so again.
    Input(Input),
    /// A program writes it.
    Command {
        /// The program and its arguments.
        words: Vec<String>,
        /// What it doesn't inherit.
        withheld: Withheld,
    },
}

impl PipeFrom {
    /// What the manifest calls such a source.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Input(_) => "stdin",
            Self::Command { .. } => "command",
        }
    }
}

/// A stream that can be read once. All clones are one.
#[derive(Clone)]
pub struct Input(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl Input {
    /// What this reads.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(reader)))))
    }

    fn take(&self) -> Option<Box<dyn Read + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}

/// Why a stream didn't come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// It was read before, by a run that had to begin again.
    #[error("it can't be read twice, and packs of the first time were lost meanwhile: begin again")]
    Once,
    /// The program can't be started.
    #[error("{program} can't be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The program failed, so that nobody knows whether all of it came.
    #[error("{program} ended with {status}{said}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last, behind a colon; nothing if it said nothing.
        said: String,
    },
    /// It can't be asked how it ended.
    #[error("{program}: {source}")]
    Wait {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// A stream that is being read.
pub struct Pipe {
    output: Output,
    program: Option<Program>,
}

struct Program {
    name: String,
    child: Child,
    said: Receiver<VecDeque<String>>,
}

impl PipeFrom {
    /// Begins it. `interrupt` ends waiting for it.
    pub fn open(&self, interrupt: &Interrupt) -> Result<Pipe, PipeError> {
        let (words, withheld) = match self {
            Self::Input(input) => {
                let output = Output::of(input.take().ok_or(PipeError::Once)?, interrupt.clone());
                return Ok(Pipe { output, program: None });
            }
            Self::Command { words, withheld } => (words, withheld),
        };
        let (name, arguments) = words.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        let start = |source| PipeError::Start { program: name.to_owned(), source };
        let mut command = withheld.leading(name);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(start)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(start(io::ErrorKind::BrokenPipe.into()));
        };
        let (tell, said) = channel();
        std::thread::spawn(move || {
            // Nobody may want to know any more.
            let _ = tell.send(last_lines(BufReader::new(stderr)));
        });
        let program = Some(Program { name: name.to_owned(), child, said });
        Ok(Pipe { output: Output::of(stdout, interrupt.clone()), program })
    }
}

impl Pipe {
    /// Its bytes.
    pub fn output(&mut self) -> &mut impl Read {
        &mut self.output
    }

    /// After its last byte: whether that was all. What the program said meanwhile, if it succeeded.
    pub fn finish(self, interrupt: &Interrupt) -> Result<Vec<String>, PipeError> {
        let Self { output, program } = self;
        // A program that goes on to write gets no further.
        drop(output);
        program.map_or_else(|| Ok(Vec::new()), |mut program| program.finish(interrupt))
    }
}

impl Program {
    fn finish(&mut self, interrupt: &Interrupt) -> Result<Vec<String>, PipeError> {
        let status = loop {
            if interrupt.is_set() {
                // It may have ended.
                let _ = self.child.kill();
            }
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(POLL / 10),
                Err(source) => return Err(PipeError::Wait { program: self.name.clone(), source }),
            }
        };
        let lines = self.said.recv_timeout(PATIENCE).unwrap_or_default();
        if status.success() {
            return Ok(lines.into());
        }
        let said = lines.back().map(|line| format!(": {line}")).unwrap_or_default();
        Err(PipeError::Failed { program: self.name.clone(), status, said })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What is left of it when the run fails: nobody reads what it writes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of what a program says.
fn last_lines(mut reader: impl BufRead) -> VecDeque<String> {
    let mut lines = VecDeque::new();
    let mut line = Vec::new();
    while reader.by_ref().take(KEPT_BYTES).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            lines.push_back(text);
        }
        if lines.len() > KEPT_LINES {
            lines.pop_front();
        }
        line.clear();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> PipeFrom {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        PipeFrom::Command { words, withheld: Withheld::from_iter(["HOME"]) }
    }

    fn run(from: &PipeFrom) -> (Vec<u8>, Result<Vec<String>, PipeError>) {
        let interrupt = Interrupt::default();
        let mut pipe = from.open(&interrupt).unwrap();
        let mut bytes = Vec::new();
        pipe.output().read_to_end(&mut bytes).unwrap();
        (bytes, pipe.finish(&interrupt))
    }

    #[test]
    fn what_a_program_writes_counts_if_it_succeeds() {
        let (bytes, said) = run(&sh("echo to stderr >&2; printf 'a\\0b%s' \"$HOME\""));
        assert_eq!((bytes.as_slice(), said.unwrap()), (&b"a\0b"[..], vec!["to stderr".to_owned()]));
        let (bytes, said) = run(&sh("echo part; echo first >&2; echo last >&2; exit 3"));
        assert_eq!(bytes, b"part\n");
        assert_eq!(said.unwrap_err().to_string(), "sh ended with exit status: 3: last");
        let none = PipeFrom::Command { words: vec!["/none/such".to_owned()], withheld: Withheld::default() };
        let error = none.open(&Interrupt::default()).err().unwrap();
        assert!(error.to_string().starts_with("/none/such can't be started: "), "{error}");
    }

    #[test]
    fn a_program_is_ended_with_the_run() {
        let interrupt = Interrupt::default();
        let pipe = sh("exec sleep 1000").open(&interrupt).unwrap();
        interrupt.set();
        assert!(matches!(pipe.finish(&interrupt), Err(PipeError::Failed { .. })));
        let Some(program) = sh("exec sleep 1000").open(&Interrupt::default()).unwrap().program else { panic!() };
        let proc = format!("/proc/{}", program.child.id());
        drop(program);
        assert!(!std::path::Path::new(&proc).exists());
    }

    #[test]
    fn much_that_is_said_is_bounded() {
        let lines = last_lines(BufReader::new("x\n".repeat(100).as_bytes()));
        assert_eq!(lines.len(), KEPT_LINES);
        let long = "x".repeat(5000);
        assert!(last_lines(BufReader::new(long.as_bytes())).iter().all(|line| line.len() <= 1000));
    }

    #[test]
    fn what_cannot_be_asked_again_is_read_once() {
        let from = PipeFrom::Input(Input::new(&b"once"[..]));
        assert_eq!(run(&from).0, b"once");
        assert!(matches!(from.clone().open(&Interrupt::default()), Err(PipeError::Once)));
    }
}
