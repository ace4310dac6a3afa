//! The first part of a stream, which tells what made it.

use super::{Given, Sink, State, Undoing};
use crate::chunker::expand::codec::{Codec, Undoer};
use crate::chunker::expand::expander::Format;
use crate::chunker::expand::guided::{Guider, search_of};
use crate::chunker::expand::left::Left;
use crate::chunker::expand::proof::Proof;
use crate::chunker::expand::trial::{Beginning, methods_of};

/// Undone bytes that are enough.
const TRIAL_CONTENT: usize = 8 << 20;
/// What isn't longer than so many hundredths of its compressed bytes isn't worth it.
const MIN_GAIN: usize = 103;
/// Below so many compressed bytes that doesn't matter: next to nothing, or nothing at all, was compressed.
const SHORT: usize = 512;

impl Undoing {
    /// Gathers the first part.
    pub(super) fn try_on<E>(
        &mut self,
        (mut inflater, mut original, mut content, enough): (Undoer, Vec<u8>, Vec<u8>, usize),
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let before = *input;
        while !inflater.has_ended()
            && content.len() < TRIAL_CONTENT
            && original.len() + (before.len() - input.len()) < enough
        {
            let room = enough.saturating_sub(original.len() + (before.len() - input.len()));
            let mut part = &input[..input.len().min(room)];
            let offered = part.len();
            let Some(undone) = inflater.step(&mut part) else {
                self.left = Some(Left::Damaged);
                self.state = State::Lost;
                sink(Given::Verbatim(&original))?;
                *input = before;
                return Ok(());
            };
            content.extend_from_slice(undone);
            *input = &input[offered - part.len()..];
            if input.is_empty() && !inflater.may_hold_more() {
                break;
            }
        }
        let taken = &before[..before.len() - input.len()];
        self.compressed += taken.len() as u64;
        original.extend_from_slice(taken);
        if !inflater.has_ended() && content.len() < TRIAL_CONTENT && original.len() < enough {
            self.state = State::Trial { inflater, original, content, enough };
            return Ok(());
        }
        let gains = !self.codec.must_gain()
            || original.len() < SHORT
            // A container in a container doesn't shrink, and is what is to be undone.
            || Format::of(&content).is_some()
            || content.len().saturating_mul(100) > original.len().saturating_mul(MIN_GAIN);
        let beginning = Beginning { original: &original, content: &content, ended: inflater.has_ended() };
        // Where only part of it is known, more than one may do.
        let decides = beginning.ended || enough >= self.codec.long_trial() || content.len() >= TRIAL_CONTENT;
        let at_most = if decides { 1 } else { 2 };
        let methods = if gains { methods_of(beginning, self.codec, self.habits, at_most) } else { Vec::new() };
        if methods.len() > 1 {
            self.state = State::Trial { inflater, original, content, enough: self.codec.long_trial() };
            return Ok(());
        }
        self.count(&content);
        self.method = methods.first().copied();
        let Some(method) = self.method else {
            let is_deflate = gains && matches!(self.codec, Codec::Deflate(_)) && !self.habits.is_hopeless();
            if let Some(search) = is_deflate.then(|| search_of(&original, self.habits.search())).flatten() {
                self.search = Some(search);
                sink(Given::Guided(self.level, search))?;
                let mut guider = Box::new(Guider::new(search));
                guider.push(&original);
                return self.guide(inflater, guider, sink);
            }
            self.left = Some(if gains { Left::OtherEncoder } else { Left::NoGain });
            self.state = if inflater.has_ended() { State::Ended } else { State::Skipping(inflater) };
            return sink(Given::Verbatim(&original));
        };
        sink(Given::Begin(self.level, method))?;
        let mut proof = Box::new(Proof::new(method));
        let added = proof.add(&content, &original);
        self.go_on(inflater, proof, added, sink)
    }
}
