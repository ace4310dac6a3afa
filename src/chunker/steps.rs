//! For tests: bytes as they may arrive.

/// `bytes` in pieces of these lengths, again and again, to their end.
pub(super) fn in_steps<'b>(mut bytes: &'b [u8], steps: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut steps = steps.iter().cycle();
    std::iter::from_fn(move || {
        let step = *steps.next().filter(|_| !bytes.is_empty())?;
        bytes.split_off(..bytes.len().min(step))
    })
}
