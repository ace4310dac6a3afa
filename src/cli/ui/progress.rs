//! Progress of long work: a line on the terminal ten times a second, or a `status` message of JSON once a second.

use crate::cli::json;
use crate::cli::signals::Signals;
use crate::cli::ui::{Ui, Verbosity, lock, style, units};
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use crate::snapshot::backup::now;
use crate::snapshot::monitor::Outcome;
use crate::snapshot::monitor::{EntryAction, Monitor, Progress};
use crate::snapshot::tree::path::escape_name;
use crate::snapshot::tree::problem::Problem;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);
/// Between two `status` messages, in ticks.
const TICKS_PER_STATUS: u32 = 10;
/// How far back the rate looks, in seconds: long enough to be calm, short enough to be true.
const RATE_WINDOW: f64 = 10.0;

/// Does `work` while its progress is shown; a first Ctrl-C meanwhile asks it to stop, a second ends the program.
pub fn watched<T>(ui: &Ui, signals: &Signals, work: impl FnOnce(&dyn Monitor) -> T) -> T {
    let watch = Watch { ui, signals, progress: Progress::default(), done: AtomicBool::new(false) };
    let _gently = signals.gently();
    thread::scope(|scope| {
        let ticker = scope.spawn(|| watch.show());
        // Ends the ticker also when `work` panics, since the scope waits for it.
        let _end = OnDrop(|| {
            watch.done.store(true, Ordering::Release);
            ticker.thread().unpark();
        });
        work(&watch)
    })
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Counts, and tells what happens.
struct Watch<'a> {
    ui: &'a Ui,
    signals: &'a Signals,
    progress: Progress,
    done: AtomicBool,
}

impl Watch<'_> {
    /// Shows the counters until the work is done.
    fn show(&self) {
        let bar = self.ui.draws().then(line);
        self.ui.set_bar(bar.clone());
        let (began, mut rate, mut told) = (Instant::now(), Rate::default(), false);
        for tick in 1.. {
            thread::park_timeout(TICK);
            if self.done.load(Ordering::Acquire) {
                break;
            }
            let seconds = began.elapsed().as_secs_f64();
            let status = self.status(seconds, &mut rate);
            if let Some(bar) = &bar {
                bar.set_message(render_status(&status));
                bar.tick();
            } else if self.ui.is_json() && self.ui.verbosity() > Verbosity::Quiet && tick % TICKS_PER_STATUS == 0 {
                // If standard output fails, the result that follows finds out and says so.
                drop(self.ui.json(&status));
            }
            if self.interrupted() && !told {
                told = true;
                self.ui.note("stopping; press Ctrl-C again to stop at once");
            }
        }
        self.ui.set_bar(None);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn status(&self, seconds: f64, rate: &mut Rate) -> json::Status {
        let now = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let bytes_done = now(&self.progress.bytes_done);
        let scanning = self.progress.scanning.load(Ordering::Relaxed);
        let mut status = json::Status {
            message_type: "status",
            phase: *lock(&self.progress.phase),
            seconds_elapsed: seconds,
            percent_done: None,
            files_total: now(&self.progress.files_total),
            files_done: now(&self.progress.files_done),
            bytes_total: now(&self.progress.bytes_total),
            bytes_done,
            bytes_stored: now(&self.progress.bytes_stored),
            bytes_per_second: rate.after(seconds, bytes_done),
            seconds_left: None,
        };
        if !scanning {
            status.estimate();
        }
        status
    }
}

impl Monitor for Watch<'_> {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn problem(&self, problem: &Problem) {
        if self.ui.is_json() {
            // As above: the result finds out.
            drop(self.ui.json(&json::Problem::from(problem)));
        } else if self.ui.verbosity() >= Verbosity::Verbose {
            self.ui.tell(&format!("{}\n", style::paint(style::WARNING, &problem.to_string())));
        }
    }

    fn warning(&self, text: &str) {
        self.ui.alert(text);
    }

    fn entry(&self, path: &[u8], what: EntryAction, bytes: u64) {
        let least = if what == EntryAction::Unmodified { Verbosity::Everything } else { Verbosity::Verbose };
        if self.ui.verbosity() < least {
            return;
        }
        if self.ui.is_json() {
            drop(self.ui.json(&json::Verbose::new(path, what, bytes)));
        } else {
            drop(self.ui.print(&render_entry(path, what, bytes)));
        }
    }

    fn container(&self, path: &[u8], bytes: u64, stream: Option<u64>, outcome: &Outcome) {
        if self.ui.verbosity() < Verbosity::Verbose {
            return;
        }
        if self.ui.is_json() {
            drop(self.ui.json(&json::Container::new(path, bytes, stream, outcome)));
        } else {
            drop(self.ui.print(&render_container(path, bytes, stream, outcome)));
        }
    }

    fn checkpoint(&self, snapshot: RunId, files: u64, bytes: u64) {
        if self.ui.is_json() {
            if self.ui.verbosity() > Verbosity::Quiet {
                drop(self.ui.json(&json::Checkpoint::new(snapshot, files, bytes)));
            }
        } else {
            self.ui.note(&render_checkpoint(snapshot, now(), files, bytes, self.ui.zone()));
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.interrupted()
    }
}

/// A line on standard error that is drawn over and over.
fn line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // A template that can't be parsed would leave indicatif's own, which is no reason to fail.
    if let Ok(shown) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(shown);
    }
    bar
}

/// What a person reads while it works.
pub fn render_status(status: &json::Status) -> String {
    let mut text = status.phase.to_owned();
    let mut add = |part: String| {
        let gap = if text.is_empty() { "" } else { "  " };
        write!(text, "{gap}{part}").expect("writing to a String can't fail");
    };
    if status.files_total > 0 {
        add(format!("{} of {}", units::count(status.files_done), units::counted(status.files_total, "file")));
    }
    if status.bytes_total > 0 {
        let percent = status.percent_done.map(|percent| format!(" ({percent:.0} %)")).unwrap_or_default();
        add(format!("{} of {}{percent}", units::size(status.bytes_done), units::size(status.bytes_total)));
    } else if status.bytes_done > 0 {
        add(units::size(status.bytes_done));
    }
    if status.bytes_stored > 0 {
        add(format!("{} stored", units::size(status.bytes_stored)));
    }
    if status.bytes_per_second > 0 {
        add(units::rate(status.bytes_per_second, 1.0));
    }
    if let Some(left) = status.seconds_left {
        add(format!("{} left", units::duration(left)));
    }
    text
}

/// That a checkpoint was taken.
fn render_checkpoint(snapshot: RunId, at: Time, files: u64, bytes: u64, zone: &TimeZone) -> String {
    let (id, at) = (json::short_id(snapshot), units::time(at, zone));
    if files == 0 {
        return format!("checkpoint {id} at {at}: what is stored so far would be used if it ended here");
    }
    let (files, size) = (units::counted(files, "file"), units::size(bytes));
    format!("checkpoint {id} at {at}: {files} ({size}) could be restored if it ended here")
}

fn render_entry(path: &[u8], what: EntryAction, bytes: u64) -> String {
    format!("{:<10}  {:>10}  {}\n", json::action(what), units::size(bytes), escape_name(path))
}

fn render_container(path: &[u8], bytes: u64, stream: Option<u64>, outcome: &Outcome) -> String {
    let formats: Vec<&str> = outcome.formats.iter().rev().map(|format| format.name()).collect();
    let (what, size) = match stream {
        Some(stream) => ("expanded", format!("{} as {}", units::size(bytes), units::size(stream))),
        None => ("compressed", units::size(bytes)),
    };
    let left: Vec<String> = outcome.left.iter().map(ToString::to_string).collect();
    let left = match (left.is_empty(), stream) {
        (true, _) => String::new(),
        (false, None) => format!("; left as it is: {}", left.join(", ")),
        (false, Some(_)) => format!("; parts are left as they are: {}", left.join(", ")),
    };
    let known = match outcome.known {
        0 => String::new(),
        known => format!("; {known} of {} as before", units::counted(outcome.undone, "stream")),
    };
    format!("{what:<10}  {size:>10}  {} ({}{known}{left})\n", escape_name(path), formats.join(" in "))
}

/// The rate over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    samples: VecDeque<(f64, u64)>,
}

impl Rate {
    /// Bytes a second, `bytes` having been done after `seconds`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "for the eye; a cast of f64 saturates"
    )]
    fn after(&mut self, seconds: f64, bytes: u64) -> u64 {
        self.samples.push_back((seconds, bytes));
        while self.samples.len() > 2 && self.samples[0].0 < seconds - RATE_WINDOW {
            self.samples.pop_front();
        }
        let (since, before) = self.samples[0];
        if seconds - since < 0.05 { 0 } else { (bytes.saturating_sub(before) as f64 / (seconds - since)) as u64 }
    }
}

/// A message as it might be, for tests.
#[cfg(test)]
pub(crate) fn sample() -> json::Status {
    json::Status {
        message_type: "status",
        phase: "storing",
        seconds_elapsed: 30.0,
        percent_done: None,
        files_total: 20_000,
        files_done: 12_345,
        bytes_total: 2 << 30,
        bytes_done: 1 << 30,
        bytes_stored: 300 << 20,
        bytes_per_second: 5 << 20,
        seconds_left: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress() {
        let mut status = sample();
        insta::assert_snapshot!(render_status(&status), @"storing  12\u{202f}345 of 20\u{202f}000 files  1.0 GiB of 2.0 GiB  300 MiB stored  5.0 MiB/s");
        status.estimate();
        insta::assert_snapshot!(render_status(&status), @r"storing  12 345 of 20 000 files  1.0 GiB of 2.0 GiB (50 %)  300 MiB stored  5.0 MiB/s  3 min 25 s left");
        status.bytes_total = 0;
        status.estimate();
        assert_eq!((status.percent_done, status.seconds_left), (None, None), "nothing to divide by");
    }

    #[test]
    fn a_checkpoint_takes_a_line() {
        use crate::cli::commands::test_data::{NOON, run};
        let line = render_checkpoint(run(1), NOON, 345, 7, &TimeZone::UTC);
        assert!(line.starts_with("checkpoint 954mjja9 at 2026-11-20 12:05: 345 files ("), "{line}");
        assert!(line.ends_with("could be restored if it ended here"), "{line}");
        let line = render_checkpoint(run(1), NOON, 0, 0, &TimeZone::UTC);
        assert!(line.ends_with(": what is stored so far would be used if it ended here"), "{line}");
    }

    #[test]
    fn the_rate_forgets_what_is_long_ago() {
        let mut rate = Rate::default();
        assert_eq!(rate.after(0.0, 0), 0, "no time has passed");
        assert_eq!(rate.after(2.0, 200), 100);
        assert_eq!(rate.after(3.0, 100), 33, "counters that fall are no negative rate");
        for second in 4..40 {
            rate.after(f64::from(second), 200);
        }
        assert_eq!(rate.after(40.0, 200), 0);
        assert!(rate.samples.len() < 15);
    }

    #[test]
    fn work_is_counted_and_its_result_returned() {
        let ui = Ui::new(false, Verbosity::Quiet, jiff::tz::TimeZone::UTC);
        let signals = Signals::default();
        let answer = watched(&ui, &signals, |monitor| {
            monitor.progress().files_done.fetch_add(7, Ordering::Relaxed);
            assert!(!monitor.interrupted());
            signals.interrupt();
            (monitor.progress().files_done.load(Ordering::Relaxed), monitor.interrupted())
        });
        assert_eq!(answer, (7, true));
    }
}
