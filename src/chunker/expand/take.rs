//! Taking bytes from the front of those that came.

/// Takes up to so many bytes from the front of `input`; also gives how many are missing.
pub(super) fn take<'b>(input: &mut &'b [u8], most: u64) -> (&'b [u8], u64) {
    let (now, later) = input.split_at(usize::try_from(most).map_or(input.len(), |most| most.min(input.len())));
    *input = later;
    (now, most - now.len() as u64)
}
