//! Streams of a container side by side: each is compressed by a thread of its own, and what they give is put in a line again.
//!
//! Where nothing is begun in a recipe that hasn't ended, one group of steps ends and another may begin; no group hangs on another. What a group takes from the stream is known when it's its turn, so this goes as far ahead as there is memory for,
//! and waits for the first one then. Memory, for each rebuilder: 32 MiB for what was read and not compressed, with encoders; 32 MiB for what was compressed and isn't wanted yet; and what each thread makes of the batch at hand, which is some 100 KiB, but may be 40 MiB of what a hostile recipe held back.

use super::crew::Crew;
use super::group::{Batch, ENCODER, Group, Made, ROOM};
use super::rebuild::{Output, RebuildError};
use super::recipe::Step;
use super::stages::Stages;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// So much is given to another thread at once.
const BATCH: usize = 128 << 10;

/// What is under way, the first that is wanted at the front.
pub(super) struct Line {
    crew: Crew,
    /// Steps that have begun and not ended, in each other.
    depth: usize,
    /// So many of them at most, of those that nobody has yet.
    deepest: usize,
    /// Of the group that goes on, what nobody has yet.
    batch: Batch,
    /// Whether the last one in the line goes on.
    goes_on: bool,
    items: VecDeque<Item>,
    /// Memory that is taken, but for what groups made.
    taken: usize,
    /// Bytes that groups made.
    waiting: Arc<AtomicUsize>,
}

enum Item {
    Bytes(Vec<u8>),
    /// And what its encoders take until its end: as many as there were at once.
    Group(Arc<Group>, usize),
}

impl Line {
    /// With these threads, if there are any.
    pub(super) fn with(crew: &Crew) -> Option<Self> {
        let line = || Self {
            crew: crew.clone(),
            depth: 0,
            deepest: 0,
            batch: Batch::default(),
            goes_on: false,
            items: VecDeque::new(),
            taken: 0,
            waiting: Arc::default(),
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
            Step::Compress(_) | Step::Guided(..) | Step::Pieces => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
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
        self.settle(out)?;
        Ok(self.depth == 0)
    }

    /// Passes on all that there is, before something ends it early.
    pub(super) fn settle<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        // Of pieces outside of anything else the depth doesn't tell.
        if self.depth > 0 || self.goes_on || self.batch.cost > 0 {
            self.close();
        }
        self.pass_on(0, out)
    }

    /// Bytes that nothing is done to.
    fn give<E>(&mut self, bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        if self.items.is_empty() {
            return out(bytes).map_err(RebuildError::Output);
        }
        self.taken += bytes.len();
        if let Some(Item::Bytes(last)) = self.items.back_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.items.push_back(Item::Bytes(bytes.to_vec()));
        }
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
        self.close();
        self.pass_on(ROOM, out)
    }

    /// The group that goes on has all that it takes.
    fn close(&mut self) {
        let group = self.hand_over();
        self.goes_on = false;
        self.deepest = 0;
        if group.close() {
            self.crew.call(group);
        }
    }

    /// Gives what there is of a group to whoever does it.
    fn hand_over(&mut self) -> Arc<Group> {
        let batch = std::mem::take(&mut self.batch);
        self.taken += batch.cost;
        let encoders = self.deepest * ENCODER;
        let group = match self.items.back_mut() {
            Some(Item::Group(group, weight)) if self.goes_on => {
                self.taken += encoders - *weight;
                *weight = encoders;
                Arc::clone(group)
            }
            _ => {
                let group = Arc::new(Group::new(&self.waiting));
                self.taken += encoders;
                self.items.push_back(Item::Group(Arc::clone(&group), encoders));
                self.goes_on = true;
                group
            }
        };
        if group.add(batch) {
            self.crew.call(Arc::clone(&group));
        }
        group
    }

    /// Passes on what is there of the first ones, and waits for that while more than so much memory is taken; for all of it if that is nothing.
    fn pass_on<E>(&mut self, most: usize, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while let Some(first) = self.items.front() {
            let (group, weight) = match first {
                Item::Bytes(bytes) => {
                    self.taken -= bytes.len();
                    out(bytes).map_err(RebuildError::Output)?;
                    self.items.pop_front();
                    continue;
                }
                Item::Group(group, weight) => (group, *weight),
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
                    if let Err(error) = result {
                        // What comes behind it has no place any more.
                        self.abandon();
                        return Err(error.into());
                    }
                    self.taken -= weight;
                    self.items.pop_front();
                }
                Made::Panic(panic) => resume_unwind(panic),
                Made::Nothing => break,
            }
        }
        Ok(())
    }
}

impl Line {
    /// Nobody wants any of it.
    fn abandon(&mut self) {
        for item in self.items.drain(..) {
            if let Item::Group(group, _) = item {
                group.abandon();
            }
        }
        (self.batch, self.goes_on, self.depth) = (Batch::default(), false, 0);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.abandon();
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
        (0..count).flat_map(|n| format!("{seed}\t{}\tsomebody\n", n * n % 9_973).into_bytes()).collect()
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
        let waits: Vec<_> = (0..groups).map(|_| Group::new(&Arc::default())).collect();
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

    /// Pieces of pieces of pieces: a few hundred bytes of recipe made a thread gather terabytes, since only what went in was counted.
    #[test]
    fn what_gives_much_more_than_it_takes_is_refused() {
        let crew = Crew::new(2);
        let mut line = Line::with(&crew).unwrap();
        let (mut given, most) = (0, 2 * ROOM);
        let mut out = |bytes: &[u8]| {
            given += bytes.len();
            Ok::<_, Infallible>(())
        };
        for _ in 0..12 {
            line.step(Step::Pieces, &mut out).unwrap();
            line.step(Step::Sizes { count: u32::MAX, size: 1 }, &mut out).unwrap();
        }
        let refused = (0..2 * BATCH)
            .try_for_each(|_| line.raw(b"1234567890", &mut out))
            .and_then(|()| line.finish(&mut out).map(drop));
        assert!(matches!(refused, Err(RebuildError::Recipe(_))), "{refused:?}");
        assert!(given < most, "{given}");
    }

    #[test]
    fn what_comes_before_a_fault_comes_out() {
        let (bytes, mut recipe, stream) = members(&[60_000, 60_000, 60_000]);
        // The last step's code is none.
        let last = recipe.len() - 9;
        recipe[last] = 200;
        for settles in [false, true] {
            let (mut rebuilder, mut back) = (Rebuilder::with(&recipe[..], &Crew::new(3)), Vec::new());
            let mut out = |part: &[u8]| {
                back.extend_from_slice(part);
                Ok::<_, Infallible>(())
            };
            if settles {
                rebuilder.push(&stream[..stream.len() * 2 / 3], &mut out).unwrap();
                rebuilder.settle(&mut out).unwrap();
                assert!(bytes.starts_with(&back) && back.len() * 2 > bytes.len(), "{}", back.len());
            } else {
                assert!(rebuilder.push(&stream, &mut out).and_then(|()| rebuilder.finish(&mut out)).is_err());
                assert!(bytes.starts_with(&back) && back.len() + 100 > bytes.len(), "{}", back.len());
            }
        }
    }

    /// A container with a hundred others in it (a `.tar.gz` of `.gz` files): encoders counted until the outermost ended, and so nothing was left to wait for but what nobody had handed over yet.
    #[test]
    fn a_group_that_goes_on_is_not_waited_for() {
        let (crew, mut given) = (Crew::new(2), 0);
        let mut line = Line::with(&crew).unwrap();
        let mut out = |bytes: &[u8]| {
            given += bytes.len();
            Ok::<_, Infallible>(())
        };
        let content = rows(1, 300);
        line.step(Step::Compress(Method::Zlib(6)), &mut out).unwrap();
        for _ in 0..300 {
            line.step(Step::Compress(Method::Zlib(1)), &mut out).unwrap();
            line.raw(&content, &mut out).unwrap();
            line.step(Step::End, &mut out).unwrap();
        }
        line.step(Step::End, &mut out).unwrap();
        assert!(content.len() * 300 > 4 * BATCH && line.finish(&mut out).unwrap() && given > 0);
    }

    /// Nor pieces outside of anything else, whose stream ends before they do.
    #[test]
    fn pieces_that_lack_something_are_not_waited_for() {
        let crew = Crew::new(2);
        let mut line = Line::with(&crew).unwrap();
        let mut out = |_: &[u8]| Ok::<_, Infallible>(());
        let piece = [&[0, 0, 4, 0, 0][..], &[7; 1024]].concat();
        for _ in 0..2 * BATCH / piece.len() {
            line.pieced(&piece, false, &mut out).unwrap();
        }
        line.settle(&mut out).unwrap();
    }

    /// What comes behind a fault stays away, also where others had made it by then.
    #[test]
    fn nothing_comes_out_behind_a_fault() {
        let crew = Crew::new(3);
        let mut line = Line::with(&crew).unwrap();
        let mut given = Vec::new();
        let mut out = |bytes: &[u8]| {
            given.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        };
        let mut failed = false;
        for wrong in [false, true, false, false] {
            let mut steps = vec![Step::Compress(Method::Zlib(1)), Step::Literal(rows(1, 200))];
            // A size of what has no pieces.
            steps.extend(wrong.then_some(Step::Sizes { count: 1, size: 1 }));
            steps.push(Step::End);
            for step in steps {
                failed = failed || line.step(step, &mut out).is_err();
            }
        }
        failed = failed || line.settle(&mut out).is_err();
        assert!(failed);
        line.settle(&mut out).unwrap();
        let mut alone = Vec::new();
        let mut stages = Stages::default();
        for step in [Step::Compress(Method::Zlib(1)), Step::Literal(rows(1, 200)), Step::End] {
            let mut out = |bytes: &[u8]| {
                alone.extend_from_slice(bytes);
                Ok::<_, Infallible>(())
            };
            stages.step(step, &mut out).unwrap();
        }
        // The zlib stream of what is before; of what is wrong its beginning at most.
        assert!(given.starts_with(&alone) && given.len() < 2 * alone.len(), "{} of {}", given.len(), alone.len());
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
        let group = Group::new(&Arc::default());
        group.fail(Box::new("why"));
        assert!(matches!(group.take(true), Made::Panic(_)), "whoever waits for it is told");
    }
}
