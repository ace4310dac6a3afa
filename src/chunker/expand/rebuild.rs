//! Following a recipe: the bytes of the container come out as the stream goes in.

use super::deflater::Deflater;
use super::guided::Guided;
use super::method::Method;
use super::pieces::{Framer, Unframer};
use super::recipe::{MAX_NESTING, RecipeError, RecipeReader, Step};
use std::io::Read;

/// Rebuilds what was expanded, as a stream: memory is bounded whatever the lengths are.
pub struct Rebuilder<R> {
    recipe: RecipeReader<R>,
    /// The step that waits for bytes of the stream.
    taking: Taking,
    /// What was begun and hasn't ended, the outermost first.
    stages: Vec<Stage>,
}

/// What is done with the next bytes of the stream.
enum Taking {
    /// Nothing: the next step says.
    Nothing,
    Raw(u64),
    Pieced(u64, Unframer),
    Skip(u64),
    /// The recipe has ended.
    Ended,
}

/// What changes the bytes that pass through it.
enum Stage {
    Deflate(Deflater),
    Guided(Box<Guided>, u8),
    Pieces(Framer),
}

/// Where rebuilt bytes go.
pub type Output<'o, E> = &'o mut dyn FnMut(&[u8]) -> Result<(), E>;

/// Why rebuilding ended.
#[derive(Debug)]
pub enum RebuildError<E> {
    /// The recipe's fault.
    Recipe(RecipeError),
    /// The output's.
    Output(E),
}

impl<E> From<RecipeError> for RebuildError<E> {
    fn from(error: RecipeError) -> Self {
        Self::Recipe(error)
    }
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

impl<R: Read> Rebuilder<R> {
    /// A rebuilder at the start of a stream that follows `recipe`.
    pub const fn new(recipe: R) -> Self {
        Self { recipe: RecipeReader::new(recipe), taking: Taking::Nothing, stages: Vec::new() }
    }

    /// Takes the next bytes of the stream; calls `out` for what they give.
    ///
    /// After an error nothing more may be asked of it.
    pub fn push<E>(&mut self, mut bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while !bytes.is_empty() {
            bytes = self.take(bytes, out)?;
        }
        Ok(())
    }

    /// Ends the stream. Fails if the recipe wants more of it.
    pub fn finish<E>(mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while matches!(self.taking, Taking::Nothing) {
            self.next_step(out)?;
        }
        match self.taking {
            Taking::Ended if self.stages.is_empty() => Ok(()),
            Taking::Ended => Err(RecipeError::Misfit("it ends before something that it began").into()),
            _ => Err(RecipeError::Misfit("the stream is too short").into()),
        }
    }

    /// Takes bytes for the step that wants some; gives what is left.
    fn take<'b, E>(&mut self, bytes: &'b [u8], out: Output<'_, E>) -> Result<&'b [u8], RebuildError<E>> {
        let left = match &mut self.taking {
            Taking::Nothing => {
                self.next_step(out)?;
                return Ok(bytes);
            }
            Taking::Ended => return Err(RecipeError::Misfit("the stream is too long").into()),
            Taking::Raw(left) | Taking::Pieced(left, _) | Taking::Skip(left) => left,
        };
        let (now, later) = bytes.split_at(usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len())));
        *left -= now.len() as u64;
        let is_done = *left == 0;
        let stages = &mut self.stages;
        match &mut self.taking {
            Taking::Raw(_) => emit(stages, now, out).map_err(RebuildError::Output)?,
            Taking::Pieced(_, unframer) => {
                let mut input = now;
                while let Some(part) = unframer.next(&mut input).map_err(RecipeError::Misfit)? {
                    emit(stages, part, out).map_err(RebuildError::Output)?;
                }
                if is_done && !unframer.is_between() {
                    return Err(RecipeError::Misfit("a piece isn't whole").into());
                }
            }
            Taking::Skip(_) | Taking::Nothing | Taking::Ended => {}
        }
        if is_done {
            self.taking = Taking::Nothing;
        }
        Ok(later)
    }

    /// Does the next step, as far as that takes no bytes of the stream.
    fn next_step<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        let Some(step) = self.recipe.next()? else {
            self.taking = Taking::Ended;
            return Ok(());
        };
        match step {
            Step::Raw(length) => self.taking = Taking::Raw(length),
            Step::Pieced(length) => self.taking = Taking::Pieced(length, Unframer::default()),
            Step::Skip(length) => self.taking = Taking::Skip(length),
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
