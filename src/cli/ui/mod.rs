//! Everything that is shown: the only module that writes to standard output and standard error.
//!
//! Results go to standard output, all else (notes, warnings, progress, errors) to standard error. With `--json` standard output holds nothing but JSON,
//! with `-q` nothing at all unless it was asked for by the verb itself, as a listing is.
//!
//! A reader of standard output that goes away (`nightsafe ls … | head`) is no error: what follows isn't written, the work goes on, and the exit code is that of the
//! work. Where the output *is* the result (`dump`) the failed write is the verb's own failure.

pub mod progress;
pub mod shell;
pub mod style;
pub mod table;
pub mod units;

use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::snapshot::tree::path::escape_name;
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verbosity {
    /// Nothing on success (`-q`).
    Quiet,
    /// Progress and a summary.
    Normal,
    /// Also each new, changed or restored entry (`-v`).
    Verbose,
    /// Also each unmodified entry (`-vv`).
    Everything,
}

/// The terminal, or what stands in for it.
pub struct Ui {
    json: bool,
    verbosity: Verbosity,
    zone: TimeZone,
    out: Mutex<BufWriter<anstream::Stdout>>,
    out_is_terminal: bool,
    closed: AtomicBool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Ui {
    /// The user interface; times are shown in `zone`.
    pub fn new(json: bool, verbosity: Verbosity, zone: TimeZone) -> Self {
        let out = Mutex::new(BufWriter::with_capacity(64 << 10, anstream::stdout()));
        let out_is_terminal = io::stdout().is_terminal();
        Self { json, verbosity, zone, out, out_is_terminal, closed: AtomicBool::new(false), bar: Mutex::new(None) }
    }

    /// Whether results are written as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// The zone in which times are shown.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether progress can be drawn: a terminal, no JSON, not quiet.
    pub fn draws(&self) -> bool {
        !self.json && self.verbosity > Verbosity::Quiet && io::stderr().is_terminal()
    }

    /// Whether nobody reads standard output any more, so that a long listing may end.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Prints whole lines that were asked for.
    pub fn print(&self, lines: &str) -> Result<(), CliError> {
        self.above_bar(|| self.write(lines.as_bytes()))
    }

    /// Prints whole lines about what was done: not with `-q`.
    pub fn say(&self, lines: &str) -> Result<(), CliError> {
        if self.verbosity == Verbosity::Quiet { Ok(()) } else { self.print(lines) }
    }

    /// Prints one message as a line of JSON, at once.
    pub fn json(&self, message: &impl Serialize) -> Result<(), CliError> {
        self.json_of_many(message)?;
        self.flush()
    }

    /// Prints one of many messages as a line of JSON; those that follow take it along.
    pub fn json_of_many(&self, message: &impl Serialize) -> Result<(), CliError> {
        let mut line = serde_json::to_vec(message).map_err(|error| CliError::failed("JSON", &error))?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Tells something in passing on standard error: not with `-q` or `--json`.
    pub fn note(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet && !self.json {
            self.tell(&format!("{text}\n"));
        }
    }

    /// Warns on standard error: not with `-q`.
    pub fn warn(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.alert(text);
        }
    }

    /// Warns on standard error, always: for what keeps a run from being a success.
    pub fn alert(&self, text: &str) {
        if self.json {
            self.tell_json(&json::Warning { message_type: "warning", message: text });
        } else {
            self.tell(&format!("{} {}\n", style::paint(style::WARNING, "warning:"), clean(text)));
        }
    }

    /// Prints whole lines on standard error, always, and as they are.
    pub fn tell(&self, lines: &str) {
        // Nobody can be told that standard error doesn't work.
        self.above_bar(|| drop(anstream::stderr().lock().write_all(lines.as_bytes())));
    }

    fn tell_json(&self, message: &impl Serialize) {
        if let Ok(line) = serde_json::to_string(message) {
            self.tell(&format!("{line}\n"));
        }
    }

    /// Reports an error that ends the program.
    pub fn error(&self, error: &CliError) {
        if error.is_silent() {
            return;
        }
        if self.json {
            self.tell_json(&json::ExitError::from(error));
        } else {
            self.tell(&render_error(error));
        }
    }

    /// Writes out what is still buffered.
    pub fn flush(&self) -> Result<(), CliError> {
        let flushed = lock(&self.out).flush();
        self.accept(flushed)
    }

    /// Standard output for bytes that are a result of their own.
    pub fn raw_output(&self) -> Result<io::StdoutLock<'static>, CliError> {
        self.flush()?;
        Ok(io::stdout().lock())
    }

    /// Asks for a line on the terminal; nothing without one.
    pub fn ask(&self, question: &str) -> Option<String> {
        self.tell(question);
        let mut line = String::new();
        io::stdin().read_line(&mut line).ok().filter(|&read| read > 0).map(|_| line.trim().to_owned())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        if self.is_closed() {
            return Ok(());
        }
        let written = {
            let mut out = lock(&self.out);
            // Somebody who looks on sees each line when it's written; a file or pipe gets larger pieces.
            out.write_all(bytes).and_then(|()| if self.out_is_terminal { out.flush() } else { Ok(()) })
        };
        self.accept(written)
    }

    fn accept(&self, result: io::Result<()>) -> Result<(), CliError> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(CliError::failed("standard output can't be written", &error)),
            Ok(()) => Ok(()),
        }
    }

    fn above_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = lock(&self.bar).clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn set_bar(&self, bar: Option<ProgressBar>) {
        *lock(&self.bar) = bar;
    }
}

/// The guarded value; one that a panicking thread left is as good as any here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many columns standard output has, if it's a terminal.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A terminal that doesn't know its size says 0.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Text of unknown origin (labels, hosts, messages of other programs) on one line, harmless for a terminal.
pub fn clean(text: &str) -> String {
    // Names inside such a text were escaped where it was made, so backslashes stay single.
    escape_name(text.as_bytes()).replace("\\\\", "\\")
}

/// The error as people read it: what failed, because of what, and what to do next.
pub fn render_error(error: &CliError) -> String {
    let mut text = format!("{} {}\n", style::paint(style::BAD, "error:"), clean(error.message()));
    for cause in error.causes() {
        writeln!(text, "  because: {}", clean(cause)).expect("writing to a String can't fail");
    }
    if let Some(hint) = error.next_step() {
        for (i, line) in hint.lines().enumerate() {
            let lead = if i == 0 { style::paint(style::GOOD, "hint:") } else { "     ".to_owned() };
            writeln!(text, "{lead} {}", clean(line)).expect("writing to a String can't fail");
        }
    }
    text
}

/// Prints what the parser of arguments says (help, version, wrong usage) and returns the exit code.
pub fn arguments(error: &clap::Error, json: bool) -> Exit {
    if !error.use_stderr() {
        // `--help` to a closed pipe is no failure.
        drop(error.print());
        return Exit::Done;
    }
    if json {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let error =
            CliError::usage(message).hint("`nightsafe --help` lists the verbs, `nightsafe VERB --help` their options");
        Ui::new(true, Verbosity::Normal, TimeZone::UTC).error(&error);
    } else {
        drop(error.print());
    }
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let cause = io::Error::other("No route to host");
        let error = CliError::failed("sftp:nas/night: no answer", &cause).hint("try again\nor look at the network");
        insta::assert_snapshot!(style::plain(&render_error(&error)), @r"
        error: sftp:nas/night: no answer
          because: No route to host
        hint: try again
              or look at the network
        ");
    }

    #[test]
    fn text_from_elsewhere_commands_no_terminal() {
        assert_eq!(clean("a\u{1b}]0;x\u{7}b\nc\\d \u{202e}"), "a\\x1b]0;x\\x07b\\nc\\d \\u{202e}");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let ui = Ui::new(false, Verbosity::Normal, TimeZone::UTC);
        assert!(ui.accept(Err(io::Error::from(io::ErrorKind::StorageFull))).is_err());
        assert!(!ui.is_closed());
        assert!(ui.accept(Err(io::Error::from(io::ErrorKind::BrokenPipe))).is_ok());
        assert!(ui.is_closed());
    }
}
