//! Zeros with a sign.

use super::*;

/// The pieces of a block end with one of length zero. A zero with a sign is one, too: it came back without, so that the file couldn't be restored. No program writes it; a fuzzer found it.
#[test]
fn a_zero_with_a_sign_ends_a_block_and_comes_back() {
    let plain = include_bytes!("../../../../tests/data/dumps/chinook-night1-pg11.dump");
    let (mut ends, mut at, mut parser) = (Vec::new(), 0, Parser::default());
    let mut input = &plain[..];
    while let Some(event) = parser.next(&mut input).unwrap() {
        if matches!(event, Event::BlockEnd) {
            ends.push(at);
        }
        at += event.length();
    }
    assert!(ends.len() > 5 && ends.iter().all(|at| plain[*at..at + 5] == [0; 5]));
    let mut signed = plain.to_vec();
    for (nth, at) in ends.into_iter().enumerate() {
        signed[at] = nth.to_le_bytes()[0];
    }
    let (as_it_is, with_signs) = (proven(plain), proven(&signed));
    assert!(as_it_is.stream == with_signs.stream, "the stream is the same");
    assert_eq!(as_it_is.outcome, with_signs.outcome);
}
