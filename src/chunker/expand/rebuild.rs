//! Following a recipe: the bytes of the container come out as the stream goes in.

use super::crew::Crew;
use super::line::Line;
use super::recipe::{RecipeError, RecipeReader, Step};
use super::stages::Stages;
use super::take::take;
use std::io::Read;

/// Rebuilds what was expanded, as a stream: memory is bounded whatever the lengths are.
pub struct Rebuilder<R> {
    recipe: RecipeReader<R>,
    /// The step that waits for bytes of the stream.
    taking: Taking,
    work: Work,
}

/// What is done with the next bytes of the stream.
enum Taking {
    /// Nothing: the next step says.
    Nothing,
    Raw(u64),
    Pieced(u64),
    Skip(u64),
    /// The recipe has ended.
    Ended,
}

/// Who does what steps say.
enum Work {
    Alone(Box<Stages>),
    SideBySide(Box<Line>),
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

impl<R: Read> Rebuilder<R> {
    /// A rebuilder at the start of a stream that follows `recipe`.
    pub fn new(recipe: R) -> Self {
        Self { recipe: RecipeReader::new(recipe), taking: Taking::Nothing, work: Work::Alone(Box::default()) }
    }

    /// The same, which has streams that don't hang on each other compressed by others, side by side. What they give comes later, in the same order.
    pub fn with(recipe: R, crew: &Crew) -> Self {
        let work =
            Line::with(crew).map_or_else(|| Work::Alone(Box::default()), |line| Work::SideBySide(Box::new(line)));
        Self { recipe: RecipeReader::new(recipe), taking: Taking::Nothing, work }
    }

    /// Takes the next bytes of the stream; calls `out` for what they give.
    ///
    /// After an error nothing more may be asked of it.
    pub fn push<E>(&mut self, mut bytes: &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while !bytes.is_empty() {
            if let Err(error) = self.take(&mut bytes, out) {
                return Err(self.after(error, out));
            }
        }
        Ok(())
    }

    /// Gives what there is, because nothing more comes: what was pushed and hasn't come out.
    pub fn settle<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        match &mut self.work {
            Work::Alone(_) => Ok(()),
            Work::SideBySide(line) => line.settle(out),
        }
    }

    /// What ends it, once all that comes before is out; which may have an error of its own.
    fn after<E>(&mut self, error: RebuildError<E>, out: Output<'_, E>) -> RebuildError<E> {
        match error {
            RebuildError::Recipe(_) => self.settle(out).err().unwrap_or(error),
            RebuildError::Output(_) => error,
        }
    }

    /// Ends the stream. Fails if the recipe wants more of it.
    pub fn finish<E>(mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        while matches!(self.taking, Taking::Nothing) {
            if let Err(error) = self.next_step(out) {
                return Err(self.after(error, out));
            }
        }
        if !matches!(self.taking, Taking::Ended) {
            return Err(self.after(RecipeError::Misfit("the stream is too short").into(), out));
        }
        let is_whole = match self.work {
            Work::Alone(stages) => stages.is_empty(),
            Work::SideBySide(line) => line.finish(out)?,
        };
        if is_whole { Ok(()) } else { Err(RecipeError::Misfit("it ends before something that it began").into()) }
    }

    /// Takes bytes for the step that wants some.
    fn take<E>(&mut self, bytes: &mut &[u8], out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        match self.taking {
            Taking::Nothing => self.next_step(out)?,
            Taking::Ended => return Err(RecipeError::Misfit("the stream is too long").into()),
            Taking::Raw(left) => {
                let (now, left) = take(bytes, left);
                self.taking = if left > 0 { Taking::Raw(left) } else { Taking::Nothing };
                match &mut self.work {
                    Work::Alone(stages) => stages.raw(now, out)?,
                    Work::SideBySide(line) => line.raw(now, out)?,
                }
            }
            Taking::Pieced(left) => {
                let (now, left) = take(bytes, left);
                self.taking = if left > 0 { Taking::Pieced(left) } else { Taking::Nothing };
                match &mut self.work {
                    Work::Alone(stages) => stages.pieced(now, left == 0, out)?,
                    Work::SideBySide(line) => line.pieced(now, left == 0, out)?,
                }
            }
            Taking::Skip(left) => {
                let (_, left) = take(bytes, left);
                self.taking = if left > 0 { Taking::Skip(left) } else { Taking::Nothing };
            }
        }
        Ok(())
    }

    /// Does the next step, as far as that takes no bytes of the stream.
    fn next_step<E>(&mut self, out: Output<'_, E>) -> Result<(), RebuildError<E>> {
        let Some(step) = self.recipe.next()? else {
            self.taking = Taking::Ended;
            return Ok(());
        };
        match step {
            Step::Raw(length) => self.taking = Taking::Raw(length),
            Step::Pieced(length) => self.taking = Taking::Pieced(length),
            Step::Skip(length) => self.taking = Taking::Skip(length),
            step => match &mut self.work {
                Work::Alone(stages) => stages.step(step, out)?,
                Work::SideBySide(line) => line.step(step, out)?,
            },
        }
        Ok(())
    }
}
