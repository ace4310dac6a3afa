//! Scripts of SQL on their way to `psql`: what passes doesn't depend on how they arrive, and no command of psql is in it.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::snapshot::postgres::programs::Version;
use nightsafe::snapshot::postgres::restore::script::Script;
use std::io::Write;

/// A `psql` that obeys commands, an older one that knows no bodies of functions, and one that can be told to refuse them.
const PSQL: [u32; 3] = [150_013, 130_002, 170_006];

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let psql = Version(PSQL[usize::from(choice % 3)]);
    let server = 13 + u32::from(choice / 3 % 6);
    let script = input.rest();
    let whole = memory::at_most((256 << 10) + 64 * script.len(), || pass(psql, server, std::iter::once(script)));
    let piecewise = memory::at_most((256 << 10) + 64 * script.len(), || pass(psql, server, pieces(script)));
    assert_eq!(whole, piecewise, "pieces decide");
    let Some(passed) = whole else { return };
    assert!(!passed.contains(&0) && passed.len() <= script.len());
    assert!(is_part_of(&passed, script), "something was added");
    // What passed once passes as it is: nothing in it is left out or refused by who reads it once more.
    assert_eq!(pass(psql, server, std::iter::once(&passed[..])).as_ref(), Some(&passed));
}

/// What passes of a script; nothing if it is refused.
fn pass<'a>(psql: Version, server: u32, mut input: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut passed = Vec::new();
    let mut script = Script::new(&mut passed, psql, server);
    let outcome = input.try_for_each(|piece| script.write_all(piece)).and_then(|()| script.finish());
    assert_eq!(script.refused().is_some(), outcome.is_err());
    outcome.ok().map(|()| passed)
}

/// Whether the bytes of `part` occur in `whole` in their order.
fn is_part_of(part: &[u8], whole: &[u8]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}
