//! The bodies of records, opened.

use super::input::{Input, assert_spelling};
use super::memory;
use nightsafe::repo::cbor;
use nightsafe::repo::format::{MAX_FRAME, MAX_OBJECT};
use nightsafe::repo::needs;
use nightsafe::repo::record::{Condemned, Note, PACK_HEAD_LEN, Pins, Record, RunRecord, Segment, Stop, Tombstone};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 7 {
        0 => drop(decoded::<RunRecord>(input.rest())),
        1 => drop(decoded::<Pins>(input.rest())),
        2 => drop(decoded::<Stop>(input.rest())),
        3 => drop(decoded::<Tombstone>(input.rest())),
        4 => drop(decoded::<Condemned>(input.rest())),
        5 => drop(decoded::<Note>(input.rest())),
        _ => drop(decoded::<Segment>(input.rest()).as_ref().map(limits)),
    }
}

fn decoded<T: Record + PartialEq + std::fmt::Debug>(body: &[u8]) -> Option<T> {
    let record: T = memory::at_most(memory::for_records(body), || needs::decode(T::NAME, body)).ok()?;
    let written = cbor::encode(&record);
    assert_spelling(body, &written);
    assert_eq!(needs::decode::<T>(T::NAME, &written).as_ref(), Ok(&record));
    record.check().is_ok().then_some(record)
}

/// What a segment that is taken says can be so.
fn limits(segment: &Segment) {
    for pack in &segment.packs {
        assert!(u64::from(pack.length) <= MAX_OBJECT);
        let stored: u64 = pack.frames.iter().map(|frame| u64::from(frame.stored_length)).sum();
        assert!(u64::from(PACK_HEAD_LEN) + stored + u64::from(pack.trailer_length) + 12 <= u64::from(pack.length));
        for frame in &pack.frames {
            assert!(frame.class().is_some() && frame.chunks > 0 && frame.raw_length as usize <= MAX_FRAME);
            if let Some(present) = frame.present() {
                let runs = present.runs();
                let held: usize = runs.iter().map(|(_, count)| usize::from(*count)).sum();
                assert!(0 < held && held < usize::from(frame.chunks));
                assert!(
                    runs.iter().all(|(first, count)| u32::from(*first) + u32::from(*count) <= u32::from(frame.chunks))
                );
            }
        }
    }
}
