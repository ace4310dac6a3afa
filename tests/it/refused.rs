//! A system that refuses: each call by which a backup, or a restore, changes something fails in turn. `unsynced.rs` has those that wait for the disk.
//!
//! What must hold: what couldn't be done is an error that names the object or path, nothing is committed that isn't whole, nothing in a target is wrong, and the same command, typed again, succeeds.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stdout, reason = "totals for the documents")]

mod backups;
mod restores;
mod sources;

use crate::traced::Call;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Of the suite: so many cases are passed over for each that is tried; the tests that are ignored try all.
const STRIDE: usize = 17;
/// No thread of runs as small as these makes more calls of a kind.
const MOST: usize = 150;

/// One kind of failure.
#[derive(Debug, Clone, Copy)]
struct Fault {
    /// The call that fails.
    call: &'static str,
    /// How, as strace has it: an error, or how much is said to have been written.
    how: &'static str,
    /// What else the system can't do, all the time.
    besides: &'static [&'static str],
}

impl Fault {
    const fn new(call: &'static str, how: &'static str) -> Self {
        Self { call, how, besides: &[] }
    }

    /// What strace is told, for the so-manieth call of each thread.
    fn inject(&self, nth: usize) -> Vec<String> {
        let besides = self.besides.iter().map(|besides| (*besides).to_owned());
        besides.chain([format!("{}:{}:when={nth}", self.call, self.how)]).collect()
    }

    /// The calls that strace looks at.
    fn traced(&self) -> String {
        let besides = self.besides.iter().filter_map(|besides| Some(besides.split_once(':')?.0));
        besides.chain([self.call]).collect::<Vec<_>>().join(",")
    }

    /// The calls that failed because of this, below a folder.
    fn struck<'c>(&self, calls: &'c [Call], root: &Path) -> Vec<&'c Call> {
        let is_below = |call: &Call| call.subject().is_some_and(|path| Path::new(&path).starts_with(root));
        calls.iter().filter(|call| call.name == self.call && call.injected && is_below(call)).collect()
    }
}

/// Failed calls, by their names, ways to fail, and what came of them.
#[derive(Debug, Default)]
struct Totals(BTreeMap<(&'static str, &'static str, &'static str), usize>);

impl Totals {
    fn add(&mut self, fault: &Fault, outcome: &'static str, calls: usize) {
        *self.0.entry((fault.call, fault.how, outcome)).or_default() += calls;
    }

    fn report(&self, what: &str) {
        println!("failed calls of {what}, by name, failure and outcome: {:#?}", self.0);
        println!("{} in all", self.0.values().sum::<usize>());
    }
}

/// The cases to try: each fault at the first, second, … call. `attempt` tells whether there was such a call; nothing where tracing isn't allowed. All that goes wrong is told at the end.
fn try_in_turn(faults: &[Fault], stride: usize, mut attempt: impl FnMut(&Fault, usize) -> Option<bool>) -> Option<()> {
    let mut broken = Vec::new();
    for (n, fault) in faults.iter().enumerate() {
        // Another part of the calls for each.
        for nth in (1 + n % stride.min(5)..MOST).step_by(stride) {
            match catch_unwind(AssertUnwindSafe(|| attempt(fault, nth))) {
                Ok(there) if !there? => break,
                Ok(_) => {}
                Err(_) => broken.push(format!("{fault:?} {nth}")),
            }
        }
    }
    assert!(broken.is_empty(), "{} cases, see above: {broken:#?}", broken.len());
    Some(())
}
