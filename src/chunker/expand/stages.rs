//! What steps of a recipe do to the bytes between them.

use super::deflater::Deflater;
use super::guided::Guided;
use super::method::Method;
use super::pieces::{Framer, Unframer};
use super::rebuild::{Output, RebuildError};
use super::recipe::{MAX_NESTING, RecipeError, Step};

/// What was begun and hasn't ended, the outermost first.
#[derive(Default)]
pub(super) struct Stages {
    stages: Vec<Stage>,
    unframer: Unframer,
}

/// What changes the bytes that pass through it.
enum Stage {
    Deflate(Deflater),
    Guided(Box<Guided>, u8),
    Pieces(Framer),
}

impl Stage {
    const fn framer(&mut self) -> Option<&mut Framer> {
        if let Self::Pieces(framer) = self { Some(framer) } else { None }
    }

    /// Whether it's one that takes much memory.
    const fn is_zstd(&self) -> bool {
        matches!(self, Self::Deflate(deflater) if matches!(deflater.method(), Method::Zstd { .. }))
    }

    /// Passes bytes through.
    fn push<E>(&mut self, bytes: &[u8], out: Output<'_, E>) -> Result<(), E> {
        match self {
            Self::Deflate(deflater) => deflater.push(bytes, out),
            Self::Guided(guided, _) => guided.push(bytes, out),
            Self::Pieces(framer) => framer.push(bytes, out),
        }
    }
}

/// Passes bytes through all stages, from the innermost to the outermost.
fn emit<E>(stages: &mut [Stage], bytes: &[u8], out: Output<'_, E>) -> Result<(), E> {
    match stages.split_last_mut() {
        None => out(bytes),
        Some((innermost, outer)) => innermost.push(bytes, &mut |given| emit(outer, given, out)),
    }
}

impl Stages {
    pub(super) const fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// The next bytes of the stream, as they are.
    pub(super) fn raw<E>(&mut self, bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        emit(&mut self.stages, bytes, out).map_err(RebuildError::Output)
    }

    /// The next bytes of the stream, pieces of an archive; the last of a step if it `is_done` with them.
    pub(super) fn pieced<E>(
        &mut self,
        mut bytes: &[u8],
        is_done: bool,
        out: Output<'_, E>,
    ) -> Result<(), RebuildError<E>> {
        while let Some(part) = self.unframer.next(&mut bytes).map_err(RecipeError::Misfit)? {
            emit(&mut self.stages, part, out).map_err(RebuildError::Output)?;
        }
        if is_done && !std::mem::take(&mut self.unframer).is_between() {
            return Err(RecipeError::Misfit("a piece isn't whole").into());
        }
        Ok(())
    }

    /// Does a step, as far as that takes no bytes of the stream.
    pub(super) fn step<E>(&mut self, step: Step, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        match step {
            Step::Raw(_) | Step::Pieced(_) | Step::Skip(_) => {}
            Step::Literal(bytes) => emit(&mut self.stages, &bytes, out).map_err(RebuildError::Output)?,
            Step::Compress(Method::Zstd { .. }) if self.stages.iter().any(Stage::is_zstd) => {
                return Err(RecipeError::Malformed("one frame of Zstandard in another").into());
            }
            Step::Compress(method) => self.begin(Stage::Deflate(Deflater::new(method)))?,
            Step::Guided(level, search) => self.begin(Stage::Guided(Box::new(Guided::new(search)), level))?,
            Step::Guide { length, level, guide } => self.guide(length, level, &guide, out)?,
            Step::Pieces => self.begin(Stage::Pieces(Framer::default()))?,
            Step::Sizes { count, size } => match self.stages.iter_mut().rev().find_map(Stage::framer) {
                Some(framer) => framer.expect(count, size).map_err(RecipeError::Misfit)?,
                None => return Err(RecipeError::Misfit("sizes of no pieces").into()),
            },
            Step::Flush => match self.stages.split_last_mut() {
                Some((Stage::Deflate(deflater), outer)) => {
                    deflater.flush(&mut |given| emit(outer, given, out)).map_err(RebuildError::Output)?;
                }
                _ => return Err(RecipeError::Misfit("a flush of nothing").into()),
            },
            Step::End | Step::Cut(_) => self.end(&step, out)?,
        }
        Ok(())
    }

    /// Guides come before the content that they are for, of which what is in it may hold back some: so there may be other streams within the one that a guide is for.
    fn guide<E>(&mut self, length: u32, level: u8, guide: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        let is_it = |stage: &Stage| matches!(stage, Stage::Guided(_, of) if *of == level);
        let of = self.stages.iter().rposition(is_it).map(|at| self.stages.split_at_mut(at));
        match of {
            Some((outer, [Stage::Guided(guided, _), ..])) => {
                guided.expect(length, guide, &mut |given| emit(outer, given, out)).map_err(RebuildError::Output)
            }
            _ => Err(RecipeError::Misfit("a guide to nothing").into()),
        }
    }

    fn begin(&mut self, stage: Stage) -> Result<(), RecipeError> {
        if self.stages.len() == MAX_NESTING {
            return Err(RecipeError::Malformed("too many steps in each other"));
        }
        self.stages.push(stage);
        Ok(())
    }

    fn end<E>(&mut self, step: &Step, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        let stages = &mut self.stages;
        match (stages.pop(), step) {
            (Some(Stage::Deflate(mut deflater)), Step::End) => {
                deflater.finish(&mut |given| emit(stages, given, out)).map_err(RebuildError::Output)
            }
            (Some(Stage::Deflate(deflater)), Step::Cut(at)) => {
                // What it has given already has gone on; here it only must not have been more.
                if deflater.given() == *at { Ok(()) } else { Err(RecipeError::Misfit("a cut elsewhere").into()) }
            }
            (Some(Stage::Guided(guided, _)), Step::End) => {
                let ended = guided.finish(&mut |given| emit(stages, given, out)).map_err(RebuildError::Output)?;
                ended.map_err(|why| RecipeError::Misfit(why).into())
            }
            (Some(Stage::Guided(guided, _)), Step::Cut(at)) => match guided.given() {
                Ok(given) if given == *at => Ok(()),
                Ok(_) => Err(RecipeError::Misfit("a cut elsewhere").into()),
                Err(why) => Err(RecipeError::Misfit(why).into()),
            },
            (Some(Stage::Pieces(framer)), Step::End) => {
                let framed = framer.finish(&mut |given| emit(stages, given, out)).map_err(RebuildError::Output)?;
                framed.map_err(|why| RecipeError::Misfit(why).into())
            }
            (Some(Stage::Pieces(framer)), Step::Cut(at)) => {
                let given = framer.break_off(&mut |given| emit(stages, given, out)).map_err(RebuildError::Output)?;
                match given {
                    Ok(given) if given == *at => Ok(()),
                    Ok(_) => Err(RecipeError::Misfit("a cut elsewhere").into()),
                    Err(why) => Err(RecipeError::Misfit(why).into()),
                }
            }
            _ => Err(RecipeError::Misfit("an end of nothing").into()),
        }
    }
}
