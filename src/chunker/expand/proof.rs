//! Proving, while a stream is undone, that its bytes can be made again.

use super::deflater::{BLOCK, Deflater, Each, is_flushed};
use super::method::Method;
use std::collections::VecDeque;

/// Compresses content again and compares it with what it came from.
pub(super) struct Proof {
    deflater: Deflater,
    /// Content that isn't a whole block yet.
    block: Vec<u8>,
    /// Original bytes behind those that the proven blocks gave.
    original: VecDeque<u8>,
    /// Of these, how many were compared.
    compared: usize,
    /// What was given beyond the original so far.
    ahead: Vec<u8>,
    /// Blocks that were compressed and aren't proven, and what had been given behind each.
    open: VecDeque<(Vec<u8>, u64)>,
    /// What the proven blocks gave.
    given: u64,
}

/// The bytes differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unproven;

impl Proof {
    pub(super) fn new(method: Method) -> Self {
        Self {
            deflater: Deflater::new(method),
            block: Vec::with_capacity(BLOCK),
            original: VecDeque::new(),
            compared: 0,
            ahead: Vec::new(),
            open: VecDeque::new(),
            given: 0,
        }
    }

    /// Adds bytes and what they were undone to.
    pub(super) fn add(&mut self, mut content: &[u8], original: &[u8]) -> Result<(), Unproven> {
        self.original.extend(original);
        // What was given before the original came.
        let ahead = std::mem::take(&mut self.ahead);
        compare(&ahead, &self.original, &mut self.compared, &mut self.ahead)?;
        while !content.is_empty() {
            let (now, later) = content.split_at(content.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            content = later;
            if self.block.len() == BLOCK {
                let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
                let Self { deflater, original, compared, ahead, .. } = self;
                deflater.push(&block, &mut |given| compare(given, original, compared, ahead))?;
                self.open.push_back((block, self.deflater.given()));
            }
        }
        Ok(())
    }

    /// Gives out the blocks that are proven.
    pub(super) fn settle<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let certain = self.given + self.compared as u64;
        while let Some((block, given)) = self.open.pop_front_if(|(_, given)| *given <= certain) {
            let gone = usize::try_from(given - self.given).unwrap_or(0);
            self.original.drain(..gone.min(self.original.len()));
            self.compared -= gone;
            self.given = given;
            each(&block)?;
        }
        Ok(())
    }

    /// Compares to the end. If that fails, what was proven before still is.
    ///
    /// Whether it was flushed before.
    pub(super) fn finish(&mut self) -> Result<bool, Unproven> {
        let Self { deflater, original, compared, ahead, block, .. } = self;
        let end: Vec<u8> = original.range(original.len().saturating_sub(16)..).copied().collect();
        let flushed = is_flushed(&end);
        let mut at = *compared;
        let mut compare = |given: &[u8]| compare(given, original, &mut at, ahead);
        deflater.push(block, &mut compare)?;
        if flushed {
            deflater.flush(&mut compare)?;
        }
        deflater.finish(&mut compare)?;
        if at == original.len() && ahead.is_empty() { Ok(flushed) } else { Err(Unproven) }
    }

    /// What the proven blocks gave, and the original bytes behind that.
    pub(super) fn rest(&self) -> (u64, [&[u8]; 2]) {
        let (front, back) = self.original.as_slices();
        (self.given, [front, back])
    }

    /// Gives out everything: it was compared to the end.
    pub(super) fn all<E>(self, each: Each<'_, E>) -> Result<(), E> {
        self.open
            .iter()
            .map(|(block, _)| block)
            .chain([&self.block])
            .filter(|block| !block.is_empty())
            .try_for_each(|block| each(block))
    }
}

fn compare(given: &[u8], original: &VecDeque<u8>, compared: &mut usize, ahead: &mut Vec<u8>) -> Result<(), Unproven> {
    let (now, beyond) = given.split_at(given.len().min(original.len().saturating_sub(*compared)));
    let (front, back) = original.as_slices();
    let of_front = front.get(*compared..).unwrap_or_default();
    let (one, other) = now.split_at(now.len().min(of_front.len()));
    let behind = compared.saturating_sub(front.len());
    let back = back.get(behind..).unwrap_or_default();
    if !of_front.starts_with(one) || !back.starts_with(other) {
        return Err(Unproven);
    }
    *compared += now.len();
    ahead.extend_from_slice(beyond);
    Ok(())
}
