//! Streams of a container side by side: each is compressed by a thread of its own, and what they give is put in a line again.
//!
//! Where nothing is begun in a recipe that hasn't ended, one group of steps ends and another may begin; no group hangs on another. What a group takes from the stream is known when it's its turn, so this goes as far ahead as there is memory for,
//! and waits for the first one then.

use super::crew::Crew;
use super::group::{Batch, Group, Made};
use super::rebuild::{Output, RebuildError};
use super::recipe::Step;
use super::stages::Stages;
use std::collections::VecDeque;
use std::sync::Arc;

/// About so much memory is taken by what waits to be compressed, and what waits for its turn. Streams of up to this are compressed side by side wholly, of longer ones the ends.
const ROOM: usize = 32 << 20;
/// So much is given to another thread at once.
const BATCH: usize = 128 << 10;

/// What is under way, the first that is wanted at the front.
pub(super) struct Line {
    crew: Crew,
    /// Steps that have begun and not ended, in each other.
    depth: usize,
    /// Of the group that goes on, what nobody has yet.
    batch: Batch,
    /// Whether the last one in the line goes on.
    goes_on: bool,
    line: VecDeque<Item>,
    taken: usize,
}

enum Item {
    Bytes(Vec<u8>),
    Group(Arc<Group>),
}

impl Line {
    /// With these threads, if there are any.
    pub(super) fn with(crew: &Crew) -> Option<Self> {
        let line = || Self {
            crew: crew.clone(),
            depth: 0,
            batch: Batch::default(),
            goes_on: false,
            line: VecDeque::new(),
            taken: 0,
        };
        crew.is_there().then(line)
    }

    pub(super) fn raw<E>(&mut self, bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        if self.depth == 0 {
            return self.give(bytes, out);
        }
        self.batch.raw(bytes);
        self.go_on(out)
    }

    pub(super) fn pieced<E>(&mut self, bytes: &[u8], is_done: bool, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        // Outside of a group, they are one of their own.
        self.batch.pieced(bytes, is_done);
        if self.depth == 0 && is_done { self.end(out) } else { self.go_on(out) }
    }

    pub(super) fn step<E>(&mut self, step: Step, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        match &step {
            Step::Compress(_) | Step::Guided(..) | Step::Pieces => self.depth += 1,
            Step::Literal(bytes) if self.depth == 0 => return self.give(bytes, out),
            // There's nothing that this could be for.
            _ if self.depth == 0 => return Stages::default().step(step, out),
            Step::End | Step::Cut(_) => self.depth -= 1,
            _ => {}
        }
        self.batch.step(step);
        if self.depth == 0 { self.end(out) } else { self.go_on(out) }
    }

    /// Ends the line. Whether all that began has ended.
    pub(super) fn finish<E>(mut self, out: Output<'_, E>) -> Result<bool, RebuildError<E>> {
        if self.depth > 0 {
            return Ok(false);
        }
        self.pass_on(0, out)?;
        Ok(true)
    }

    /// Bytes that nothing is done to.
    fn give<E>(&mut self, bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        if self.line.is_empty() {
            return out(bytes).map_err(RebuildError::Output);
        }
        self.taken += bytes.len();
        self.line.push_back(Item::Bytes(bytes.to_vec()));
        self.pass_on(ROOM, out)
    }

    fn go_on<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        if self.batch.cost < BATCH {
            return Ok(());
        }
        self.hand_over();
        self.pass_on(ROOM, out)
    }

    fn end<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        let group = self.hand_over();
        self.goes_on = false;
        if group.close() {
            self.crew.call(group);
        }
        self.pass_on(ROOM, out)
    }

    /// Gives what there is of a group to whoever does it.
    fn hand_over(&mut self) -> Arc<Group> {
        let group = match self.line.back() {
            Some(Item::Group(group)) if self.goes_on => Arc::clone(group),
            _ => {
                let group = Arc::<Group>::default();
                self.line.push_back(Item::Group(Arc::clone(&group)));
                self.goes_on = true;
                group
            }
        };
        let batch = std::mem::take(&mut self.batch);
        self.taken += batch.cost;
        if group.add(batch) {
            self.crew.call(Arc::clone(&group));
        }
        group
    }

    /// Passes on what is there of the first ones, and waits for that while more than so much memory is taken; for all of it if that is nothing.
    fn pass_on<E>(&mut self, most: usize, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while let Some(first) = self.line.front() {
            let group = match first {
                Item::Bytes(bytes) => {
                    self.taken -= bytes.len();
                    out(bytes).map_err(RebuildError::Output)?;
                    self.line.pop_front();
                    continue;
                }
                Item::Group(group) => group,
            };
            if group.is_wanted() {
                self.crew.call(Arc::clone(group));
            }
            match group.take(most == 0 || self.taken > most) {
                Made::Bytes(bytes, cost) => {
                    self.taken -= cost;
                    out(&bytes).map_err(RebuildError::Output)?;
                }
                Made::All(result) => {
                    result?;
                    self.line.pop_front();
                }
                Made::Nothing => break,
            }
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for item in &self.line {
            if let Item::Group(group) = item {
                group.abandon();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::expand::harness::{expand, gzip};
    use crate::chunker::expand::method::Method;
    use crate::chunker::expand::{Expansion, Rebuilder};
    use std::convert::Infallible;

    /// Rows that no two members share.
    fn rows(seed: usize, count: usize) -> Vec<u8> {
        (0..count).map(|n| format!("{seed}\t{}\tsomebody\n", n * n % 9_973)).collect::<String>().into_bytes()
    }

    /// Several members of gzip, and what they are expanded to.
    fn members(lengths: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let members: Vec<_> = lengths.iter().enumerate().map(|(seed, length)| gzip(&rows(seed, *length), 6)).collect();
        let bytes = members.concat();
        let expanded = expand(Expansion::new(), &bytes, &[70_000]);
        assert_eq!(expanded.outcome.undone, lengths.len() as u64);
        (bytes, expanded.recipe, expanded.stream)
    }

    #[test]
    fn no_more_is_under_way_than_there_is_room_for() {
        // As if threads never came to anything: nobody takes what the first one gives until room is short.
        let crew = Crew::new(2);
        let mut line = Line::with(&crew).unwrap();
        let (block, mut given, mut most) = (rows(1, 40_000), 0, 0);
        let mut out = |bytes: &[u8]| {
            given += bytes.len();
            Ok::<_, Infallible>(())
        };
        for _ in 0..120 {
            line.step(Step::Compress(Method::Zlib(1)), &mut out).unwrap();
            for part in block.chunks(64 << 10) {
                line.raw(part, &mut out).unwrap();
                most = most.max(line.taken + line.batch.cost);
            }
            line.step(Step::End, &mut out).unwrap();
            line.raw(&block[..1_000], &mut out).unwrap();
            most = most.max(line.taken);
        }
        assert!(block.len() * 120 > ROOM && most <= ROOM + 2 * BATCH, "{most}");
        assert!(line.finish(&mut out).unwrap());
        assert!(given > 40_000);
    }

    #[test]
    fn frames_of_zstandard_are_made_one_after_the_other() {
        let crew = Crew::new(4);
        let frame = Method::Zstd { level: 3, long: false };
        let (groups, out) = (2, &mut |_: &[u8]| Ok::<_, Infallible>(()));
        let mut line = Line::with(&crew).unwrap();
        // A first group that isn't at its end stands before frames that are.
        line.step(Step::Compress(Method::Zlib(1)), out).unwrap();
        line.raw(&rows(1, 20_000), out).unwrap();
        let waits: Vec<_> = (0..groups).map(|_| Arc::<Group>::default()).collect();
        for group in &waits {
            let mut batch = Batch::default();
            batch.step(Step::Compress(frame));
            batch.raw(b"content");
            batch.step(Step::End);
            assert!(!group.add(batch) && !group.close(), "nobody is called before it's wanted");
            assert!(matches!(group.take(false), Made::Nothing));
        }
        for group in waits {
            assert!(group.is_wanted());
            assert!(!group.is_wanted(), "once");
            group.work();
            assert!(matches!(group.take(true), Made::Bytes(bytes, _) if !bytes.is_empty()));
            assert!(matches!(group.take(true), Made::All(Ok(()))));
        }
        line.step(Step::End, out).unwrap();
        assert!(line.finish(out).unwrap());
    }

    #[test]
    fn whoever_gives_up_keeps_nobody() {
        let (bytes, recipe, stream) = members(&[60_000, 60_000, 60_000]);
        let crew = Crew::new(3);
        for length in [0, 1_000, stream.len() / 2, stream.len() - 1] {
            let mut rebuilder = Rebuilder::with(&recipe[..], &crew);
            let mut out = |_: &[u8]| Ok::<_, Infallible>(());
            rebuilder.push(&stream[..length], &mut out).unwrap();
            drop(rebuilder);
            let mut rebuilder = Rebuilder::with(&recipe[..], &crew);
            rebuilder.push(&stream[..length], &mut out).unwrap();
            assert!(rebuilder.finish(&mut out).is_err());
        }
        // An output that fails ends it, whoever was at work.
        let mut rebuilder = Rebuilder::with(&recipe[..], &crew);
        let mut full = |_: &[u8]| Err("full");
        let pushed = rebuilder.push(&stream, &mut full).and_then(|()| rebuilder.finish(&mut full));
        assert!(matches!(pushed, Err(RebuildError::Output("full"))));
        // And the threads are there for others.
        let (mut rebuilder, mut back) = (Rebuilder::with(&recipe[..], &crew), Vec::new());
        let mut out = |part: &[u8]| {
            back.extend_from_slice(part);
            Ok::<_, Infallible>(())
        };
        rebuilder.push(&stream, &mut out).unwrap();
        rebuilder.finish(&mut out).unwrap();
        assert!(back == bytes);
    }

    #[test]
    fn one_alone_and_none_do_it_themselves() {
        for crew in [Crew::new(0), Crew::new(1)] {
            assert!(Line::with(&crew).is_none());
        }
        let group = Group::default();
        group.fail();
        assert!(matches!(group.take(true), Made::All(Err(_))));
    }
}
