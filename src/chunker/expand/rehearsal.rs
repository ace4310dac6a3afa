//! Following a recipe while it's written: whether its steps fit what they are for, without compressing anything.
//!
//! That what is undone gives its compressed bytes again is proven stream by stream. What stands around the streams, and in which order, only following the recipe shows; that would take as long as the proofs once more.
//! So the steps are followed as [`Stages`](super::stages::Stages) does, by the same code, with a stand-in for each compressor: it takes content and gives as many bytes as were proven to come of it. In the end there must be as
//! many bytes as the container has.

use super::guided::Pending;
use super::pieces::{Framer, Unframer};
use super::recipe::{MAX_NESTING, Step};
use super::undoing::Given;
use std::convert::Infallible;

/// What stands for bytes that a compressor gives.
const STAND_IN: [u8; 16 << 10] = [0; 16 << 10];

/// Follows the steps that are written.
#[derive(Default)]
pub(super) struct Rehearsal {
    stages: Vec<Stage>,
    unframer: Unframer,
    /// Bytes that come of it.
    given: u64,
    /// Why it can't be followed.
    fault: Option<&'static str>,
}

/// What was begun and hasn't ended.
enum Stage {
    Stream(Stream),
    Pieces(Framer),
}

/// In the place of a compressor.
#[derive(Default)]
struct Stream {
    /// Which of the streams in each other it is.
    level: u8,
    /// Guides whose content hasn't come, and how much of the first one's has; if it's guided to.
    guides: Option<(Pending, usize)>,
    /// Content came for which there was no guide.
    is_lost: bool,
    /// Bytes of content that it took.
    taken: u64,
    /// Those that were undone, and compressed ones that they are proven to give.
    content: u64,
    given: u64,
}

impl Stream {
    /// A guide comes; false if it's for nothing, or there are too many.
    fn expect(&mut self, length: u32, guide: &[u8]) -> bool {
        let fits = self.guides.as_mut().is_some_and(|(pending, _)| pending.push(length, guide));
        // It may be for no content at all.
        self.take(0);
        fits
    }

    fn take(&mut self, mut bytes: usize) {
        self.taken += bytes as u64;
        let Some((pending, held)) = &mut self.guides else { return };
        while let Some(length) = pending.length() {
            let now = bytes.min(length - *held);
            (*held, bytes) = (*held + now, bytes - now);
            if *held < length {
                return;
            }
            pending.pop();
            *held = 0;
        }
        self.is_lost |= bytes > 0;
    }

    /// Whether all content came, and what belongs to it.
    fn is_whole(&self) -> bool {
        self.taken == self.content
            && !self.is_lost
            && self.guides.as_ref().is_none_or(|(pending, _)| pending.length().is_none())
    }
}

/// Bytes come out of the innermost of these stages.
fn emit(stages: &mut [Stage], bytes: &[u8], given: &mut u64) {
    match stages.split_last_mut() {
        None => *given += bytes.len() as u64,
        Some((Stage::Stream(stream), _)) => stream.take(bytes.len()),
        Some((Stage::Pieces(framer), outer)) => {
            let Ok(()) = framer.push(bytes, &mut |part| {
                emit(outer, part, given);
                Ok::<_, Infallible>(())
            });
        }
    }
}

impl Rehearsal {
    /// Bytes come, as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.end_pieces();
        emit(&mut self.stages, bytes, &mut self.given);
    }

    /// Bytes come in pieces of an archive.
    pub(super) fn pieced(&mut self, mut bytes: &[u8]) {
        loop {
            match self.unframer.next(&mut bytes) {
                Ok(Some(part)) => emit(&mut self.stages, part, &mut self.given),
                Ok(None) => break,
                Err(why) => return self.fail(why),
            }
        }
    }

    /// A step that takes nothing from the stream is written, or bytes of the stream are skipped.
    pub(super) fn step(&mut self, step: &Step) {
        self.end_pieces();
        let Self { stages, given, .. } = self;
        let came = match step {
            Step::Pieces => self.begin(Stage::Pieces(Framer::default())),
            Step::Sizes { count, size } => {
                let framer = stages.iter_mut().rev().find_map(|stage| match stage {
                    Stage::Pieces(framer) => Some(framer),
                    Stage::Stream(_) => None,
                });
                framer.map_or(Err("sizes of no pieces"), |framer| framer.expect(*count, *size))
            }
            Step::Guide { length, level, guide } => {
                let stream = stages.iter_mut().rev().find_map(|stage| match stage {
                    Stage::Stream(stream) if stream.level == *level => Some(stream),
                    _ => None,
                });
                if stream.is_some_and(|stream| stream.expect(*length, guide)) {
                    Ok(())
                } else {
                    Err("a guide to nothing, or too many")
                }
            }
            Step::Flush => match stages.last() {
                Some(Stage::Stream(Stream { guides: None, .. })) => Ok(()),
                _ => Err("a flush of nothing"),
            },
            Step::End | Step::Cut(_) => {
                let ends = stages.pop();
                let mut out = |part: &[u8]| {
                    emit(stages, part, given);
                    Ok::<_, Infallible>(())
                };
                match (ends, step) {
                    (Some(Stage::Stream(stream)), Step::Cut(at)) if stream.is_whole() && stream.given == *at => Ok(()),
                    (Some(Stage::Stream(stream)), Step::End) if stream.is_whole() => Ok(()),
                    (Some(Stage::Stream(_)), _) => Err("more content than was undone, or less"),
                    (Some(Stage::Pieces(framer)), Step::End) => {
                        let Ok(ended) = framer.finish(&mut out);
                        ended
                    }
                    (Some(Stage::Pieces(framer)), Step::Cut(at)) => {
                        let Ok(cut) = framer.break_off(&mut out);
                        cut.and_then(|given| if given == *at { Ok(()) } else { Err("a cut elsewhere") })
                    }
                    _ => Err("an end of nothing"),
                }
            }
            Step::Literal(bytes) => {
                emit(stages, bytes, given);
                Ok(())
            }
            // Told by what is given.
            Step::Compress(_) | Step::Guided(..) | Step::Raw(_) | Step::Pieced(_) | Step::Skip(_) => Ok(()),
        };
        if let Err(why) = came {
            self.fail(why);
        }
    }

    /// What becomes of a stream, before the step that tells it.
    pub(super) fn given(&mut self, given: &Given<'_>) {
        let begun = match *given {
            Given::Begin(level, _) => self.begin(Stage::Stream(Stream { level, ..Stream::default() })),
            Given::Guided(level, _) => {
                let guides = Some((Pending::default(), 0));
                self.begin(Stage::Stream(Stream { level, guides, ..Stream::default() }))
            }
            Given::Made { level, content, given } => self.made(level, content, given),
            _ => Ok(()),
        };
        if let Err(why) = begun {
            self.fail(why);
        }
    }

    fn begin(&mut self, stage: Stage) -> Result<(), &'static str> {
        if self.stages.len() == MAX_NESTING {
            return Err("too many steps in each other");
        }
        self.stages.push(stage);
        Ok(())
    }

    /// So much content of a stream has been undone and is proven to give so much.
    fn made(&mut self, level: u8, content: u64, proven: u64) -> Result<(), &'static str> {
        let Self { stages, given, .. } = self;
        let is_it = |stage: &Stage| matches!(stage, Stage::Stream(stream) if stream.level == level);
        let Some(at) = stages.iter().rposition(is_it) else { return Err("bytes of no stream") };
        let (outer, inner) = stages.split_at_mut(at);
        let Some(Stage::Stream(stream)) = inner.first_mut() else { return Ok(()) };
        let mut more = proven.checked_sub(stream.given).ok_or("fewer bytes than before")?;
        (stream.content, stream.given) = (content, proven);
        while more > 0 {
            let part = &STAND_IN[..usize::try_from(more).map_or(STAND_IN.len(), |more| more.min(STAND_IN.len()))];
            emit(outer, part, given);
            more -= part.len() as u64;
        }
        Ok(())
    }

    /// What came in pieces is over.
    fn end_pieces(&mut self) {
        if !self.unframer.is_between() {
            self.unframer = Unframer::default();
            self.fail("a piece isn't whole");
        }
    }

    fn fail(&mut self, why: &'static str) {
        self.fault.get_or_insert(why);
    }

    /// Whether it came to its end, and to so many bytes.
    pub(super) fn finish(mut self, length: u64) -> Result<(), &'static str> {
        #[cfg(test)]
        if spoiled::is_spoiled(length) {
            return Err("spoiled by a test");
        }
        self.end_pieces();
        match self.fault {
            Some(why) => Err(why),
            None if !self.stages.is_empty() => Err("it ends before something that it began"),
            None if self.given != length => Err("other bytes than the container has"),
            None => Ok(()),
        }
    }
}

/// Containers of a length are told to be misfits, since no other is known.
#[cfg(test)]
pub(crate) mod spoiled {
    use std::sync::atomic::{AtomicU64, Ordering};

    static LENGTH: AtomicU64 = AtomicU64::new(u64::MAX);

    pub(super) fn is_spoiled(length: u64) -> bool {
        LENGTH.load(Ordering::Relaxed) == length
    }

    /// From now on those of this length.
    pub(crate) fn spoil(length: u64) {
        LENGTH.store(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::expand::method::Method;

    const METHOD: Method = Method::Zlib(6);
    /// Two pieces that hold a stream of seven bytes.
    const FITS: [Event; 8] = [
        Event::Step(Step::Pieces),
        Event::Begin(1),
        Event::Raw(20),
        Event::Step(Step::Sizes { count: 2, size: 4 }),
        Event::Made { content: 20, given: 7 },
        Event::Step(Step::End),
        Event::Raw(1),
        Event::Step(Step::End),
    ];

    #[derive(Clone, Debug)]
    enum Event {
        Raw(usize),
        Pieced(&'static [u8]),
        Step(Step),
        Begin(u8),
        Made { content: u64, given: u64 },
    }

    fn follow(events: &[Event], length: u64) -> Result<(), &'static str> {
        let mut rehearsal = Rehearsal::default();
        for event in events {
            match event {
                Event::Raw(length) => rehearsal.raw(&vec![1; *length]),
                Event::Pieced(bytes) => rehearsal.pieced(bytes),
                Event::Step(step) => rehearsal.step(step),
                Event::Begin(level) => rehearsal.given(&Given::Begin(*level, METHOD)),
                Event::Made { content, given } => {
                    rehearsal.given(&Given::Made { level: 1, content: *content, given: *given });
                }
            }
        }
        rehearsal.finish(length)
    }

    /// Two pieces of four bytes, their lengths, and that of the empty one.
    const LENGTH: u64 = 2 * (5 + 4) + 5;

    #[test]
    fn what_fits_comes_to_the_containers_length() {
        assert_eq!(follow(&FITS, LENGTH), Ok(()));
        assert_eq!(follow(&FITS, LENGTH - 1), Err("other bytes than the container has"));
        assert_eq!(follow(&[Event::Pieced(&[0, 2, 0, 0, 0, 7, 7])], 2), Ok(()));
        assert_eq!(follow(&[], 0), Ok(()));
    }

    /// Whatever is left out, told twice or told otherwise: a recipe isn't taken.
    #[test]
    fn what_does_not_fit_is_a_misfit() {
        for (at, event) in FITS.iter().enumerate() {
            let mut lacking = FITS.to_vec();
            lacking.remove(at);
            assert!(follow(&lacking, LENGTH).is_err(), "without {event:?}");
            let mut twice = FITS.to_vec();
            twice.insert(at, event.clone());
            // So much was proven already.
            let is_news = !matches!(event, Event::Made { .. });
            assert_eq!(follow(&twice, LENGTH).is_err(), is_news, "twice {event:?}");
        }
        let mut cut = FITS.to_vec();
        cut[5] = Event::Step(Step::Cut(6));
        assert!(follow(&cut, LENGTH).is_err());
        cut[5] = Event::Step(Step::Cut(7));
        assert_eq!(follow(&cut, LENGTH), Ok(()));
        assert_eq!(follow(&[Event::Pieced(&[0, 2, 0, 0, 0, 7]), Event::Raw(1)], 2), Err("a piece isn't whole"));
        assert!(follow(&[Event::Made { content: 1, given: 1 }], 1).is_err());
        assert!(follow(&[Event::Step(Step::Flush)], 0).is_err());
        let guide = Step::Guide { length: 1, level: 1, guide: vec![1] };
        assert!(follow(&[Event::Begin(1), Event::Step(guide)], 0).is_err());
    }

    /// A guide without its content, and content without a guide.
    #[test]
    fn guides_fit_their_content() {
        let follow = |guides: u32, content: usize| {
            let mut rehearsal = Rehearsal::default();
            rehearsal.given(&Given::Guided(1, crate::chunker::expand::guided::Search { depth: 8, least: 4 }));
            (0..guides).for_each(|_| rehearsal.step(&Step::Guide { length: 10, level: 1, guide: vec![0] }));
            rehearsal.raw(&vec![0; content]);
            rehearsal.given(&Given::Made { level: 1, content: content as u64, given: 5 });
            rehearsal.step(&Step::End);
            rehearsal.finish(5)
        };
        assert_eq!([follow(2, 20), follow(0, 0)], [Ok(()); 2]);
        assert!([follow(2, 19), follow(2, 21), follow(0, 1), follow(1, 0)].iter().all(Result::is_err));
    }
}
