//! Where expansion goes: the stream that is stored, and the recipe that makes the container of it.

use super::allowance::Allowance;
use super::proven::Ahead;
use super::recipe::{RecipeWriter, Step};
use super::rehearsal::Rehearsal;
use super::undoing::Given;
use crate::chunker::export::Collector;

/// The next part of the stream that is stored instead of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner<'b> {
    /// What comes now has nothing to do with what came before: another member, or the contents of a container.
    Border,
    /// Bytes.
    Bytes(&'b [u8]),
}

/// Whoever takes the stream.
pub type Each<'e, E> = &'e mut dyn FnMut(Inner<'_>) -> Result<(), E>;

/// Both at once.
pub(super) struct Out<'o, E> {
    pub(super) recipe: &'o mut RecipeWriter,
    /// Who follows it.
    pub(super) rehearsal: &'o mut Rehearsal,
    pub(super) stream: Each<'o, E>,
    pub(super) allowance: &'o mut Allowance,
    /// Who knows streams of the outermost container.
    pub(super) ahead: Option<&'o mut (dyn Ahead + 'static)>,
    /// Who is told of the members of the outermost container, if it's a ZIP.
    pub(super) export: &'o mut Collector,
}

impl<E> Out<'_, E> {
    /// A step that takes nothing from the stream.
    pub(super) fn step(&mut self, step: Step) {
        self.rehearsal.step(&step);
        self.recipe.push(step);
    }

    /// What becomes of a stream.
    pub(super) fn given(&mut self, given: &Given<'_>) {
        self.rehearsal.given(given);
        if let Some(step) = given.step() {
            self.step(step);
        }
    }

    /// Bytes that only the recipe knows.
    pub(super) fn literal(&mut self, bytes: &[u8]) {
        self.allowance.give(bytes.len());
        self.rehearsal.raw(bytes);
        self.recipe.literal(bytes);
    }

    /// Bytes of the stream that are what they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.rehearsal.raw(bytes);
        self.recipe.push(Step::Raw(bytes.len() as u64));
        self.bytes(bytes)
    }

    /// Bytes of the stream whose lengths in pieces don't count.
    pub(super) fn pieced(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.rehearsal.pieced(bytes);
        self.recipe.push(Step::Pieced(bytes.len() as u64));
        self.bytes(bytes)
    }

    /// Bytes of the stream that stand for others.
    pub(super) fn instead(&mut self, bytes: &[u8], of: &[u8]) -> Result<(), E> {
        self.rehearsal.raw(of);
        self.recipe.push(Step::Skip(bytes.len() as u64));
        self.recipe.literal(of);
        self.bytes(bytes)
    }

    pub(super) fn border(&mut self) -> Result<(), E> {
        (self.stream)(Inner::Border)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.allowance.give(bytes.len());
        if bytes.is_empty() { Ok(()) } else { (self.stream)(Inner::Bytes(bytes)) }
    }
}
