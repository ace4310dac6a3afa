use super::*;
use crate::repo::cbor::Time;
use crate::repo::format::{Class, key};
use crate::repo::id::{FrameId, PackHash, PackId, RunId};
use crate::repo::keys::testing::{repository, write_only};
use crate::repo::keys::{Opened, Sharing};
use crate::repo::needs::Needs;
use crate::repo::pack::presence::Presence;
use proptest::prelude::*;

const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

fn run_record() -> RunRecord {
    RunRecord { needs: Needs::NONE, started: TIME, host: "alpha".to_owned(), tool: "nightsafe 1".to_owned() }
}

fn pack(n: u8) -> PackId {
    PackId { run: RunId::from_bytes([n; 20]), hash: PackHash::from_bytes([n; 32]) }
}

fn segment(run: RunId) -> Segment {
    let some = Presence::of(3, |i| i == 1);
    let frame = |n, present| SegmentFrame::new(FrameId::from_bytes([n; 32]), (100, 1_000), Class::Meta, 3, present);
    let packs = vec![SegmentPack {
        pack: PackId { run, hash: PackHash::from_bytes([4; 32]) },
        length: 1_000,
        trailer_length: 80,
        frames: vec![frame(1, some.as_ref()), frame(2, None)],
    }];
    Segment { needs: Needs::NONE, packs }
}

fn fault<T: Record>(keys: &impl Access, store_key: &str, object: &[u8]) -> Fault {
    let error = open_record::<T>(keys, store_key, object).err().expect("an error");
    assert_eq!(error.key, store_key);
    error.fault
}

#[test]
fn every_kind_survives() {
    let (write, read) = repository();
    let host = write_only(&read);
    let run = host.new_run();
    let by_host = Signer::Credential(*host.certificate());

    let object = seal_record(&host, &key::run(run), &run_record());
    for opened in [open_record(&host, &key::run(run), &object), open_record(&read, &key::run(run), &object)] {
        assert_eq!(opened, Ok((run_record(), by_host)));
    }
    let pins = Pins { needs: Needs::NONE, packs: vec![pack(1), pack(2)] };
    let object = seal_record(&host, &key::pins(run, 3), &pins);
    assert_eq!(open_record(&host, &key::pins(run, 3), &object), Ok((pins, by_host)));
    let segment = segment(run);
    let object = seal_record(&host, &key::segment(run, 0), &segment);
    assert_eq!(open_record(&read, &key::segment(run, 0), &object), Ok((segment, by_host)));

    let by_full = Signer::Credential(*write.certificate());
    let note = Note {
        needs: Needs::NONE,
        time: TIME,
        snapshot: Some(run),
        tags: vec!["monthly".to_owned()],
        untags: vec!["nightly".to_owned()],
        protects: true,
        withdraws: vec![write.new_run()],
        verified: vec![VerifiedPacks { time: TIME, packs: vec![pack(7)] }],
    };
    let store_key = key::note(write.new_run(), 0);
    let object = seal_record(&write, &store_key, &note);
    assert_eq!(open_record(&read, &store_key, &object), Ok((note, by_full)));

    let stop = Stop { needs: Needs::NONE, time: TIME };
    let object = seal_admin_record(&read, &key::stop(run), &stop);
    assert_eq!(open_record(&host, &key::stop(run), &object), Ok((stop, Signer::Admin)));
    let tombstone = Tombstone { needs: Needs::NONE, time: TIME, dead: true };
    let object = seal_admin_record(&read, &key::forgotten(run), &tombstone);
    assert_eq!(open_record(&host, &key::forgotten(run), &object), Ok((tombstone, Signer::Admin)));
    let gid = key::gc(write.new_run());
    let (condemned, kept, census) = (vec![pack(9)], vec![pack(8)], vec![run]);
    let condemned = Condemned { needs: Needs::NONE, time: TIME, condemned, kept, census };
    let object = seal_admin_record(&read, &gid, &condemned);
    assert_eq!(open_record(&host, &gid, &object), Ok((condemned, Signer::Admin)));
}

#[test]
fn every_altered_bit_and_every_truncation_is_refused() {
    let (write, read) = repository();
    let run = write.new_run();
    let record = seal_record(&write, &key::run(run), &run_record());
    let stop = seal_admin_record(&read, &key::stop(run), &Stop { needs: Needs::NONE, time: TIME });
    let opens_record = |bytes: &[u8]| open_record::<RunRecord>(&write, &key::run(run), bytes).is_ok();
    let opens_stop = |bytes: &[u8]| open_record::<Stop>(&write, &key::stop(run), bytes).is_ok();
    for (object, opens) in [(record, &opens_record as &dyn Fn(&[u8]) -> bool), (stop, &opens_stop)] {
        assert!(opens(&object));
        for bit in 0..object.len() * 8 {
            let mut altered = object.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!opens(&altered), "bit {bit}");
        }
        for length in 0..object.len() {
            assert!(!opens(&object[..length]), "{length}");
        }
        assert!(!opens(&[&object[..], &[0]].concat()));
    }
}

#[test]
fn what_is_the_matter_is_told_apart() {
    let (write, read) = repository();
    let (foreign, _) = repository();
    let (host, other_host) = (write_only(&read), write_only(&read));
    let run = host.new_run();
    let store_key = key::run(run);
    let object = seal_record(&host, &store_key, &run_record());

    assert_eq!(fault::<RunRecord>(&other_host, &store_key, &object), Fault::ForeignDomain(host.domain().id()));
    assert_eq!(fault::<RunRecord>(&write, &store_key, &object), Fault::ForeignDomain(host.domain().id()));
    assert_eq!(fault::<RunRecord>(&foreign, &store_key, &object), Fault::ForeignRepository(host.repository()));
    assert_eq!(
        fault::<Pins>(&host, &store_key, &object),
        Fault::Header(HeaderError::Kind(b'R')),
        "a record of another kind"
    );
    let elsewhere = key::run(host.new_run());
    assert!(fault::<RunRecord>(&host, &elsewhere, &object).is_wrongly_signed(), "moved to another name");
    for (at, expected) in [(6, HeaderError::Version(3)), (7, HeaderError::Suite(3))] {
        let mut newer = object.clone();
        newer[at] = 3;
        let fault = fault::<RunRecord>(&host, &store_key, &newer);
        assert_eq!(fault, Fault::Header(expected));
        assert!(fault.is_unknown_version() && !fault.is_wrongly_signed());
    }
    // Right in all but the signer: the other host's signature, and that of no one.
    let unsigned = &object[..object.len() - crate::repo::keys::sign::CREDENTIAL_BLOCK_LEN];
    let by_other = other_host.sign_object(&store_key, unsigned.to_vec());
    assert!(fault::<RunRecord>(&host, &store_key, &by_other).is_wrongly_signed());
    assert!(fault::<RunRecord>(&host, &store_key, unsigned).is_wrongly_signed());
    let by_admin = read.sign_object(&store_key, unsigned.to_vec());
    assert!(fault::<RunRecord>(&host, &store_key, &by_admin).is_wrongly_signed());
    // Signed, but sealed by another key: damage, not a forgery.
    let index = foreign.domain().index();
    let sealed = seal(Kind::Run, host.repository(), host.domain().id(), index, &store_key, b"");
    let object = host.sign_object(&store_key, sealed);
    assert_eq!(fault::<RunRecord>(&host, &store_key, &object), Fault::NotAuthentic(NotAuthentic));
}

#[test]
fn bodies_that_the_format_forbids_are_refused() {
    let (write, _) = repository();
    let run = write.new_run();
    let store_key = key::run(run);
    let (domain, index) = (write.domain().id(), write.domain().index());
    let open = |body: &[u8]| {
        let sealed = seal(Kind::Run, write.repository(), domain, index, &store_key, body);
        open_record::<RunRecord>(&write, &store_key, &write.sign_object(&store_key, sealed))
            .map_err(|error| error.fault)
    };
    let body = cbor::encode(&run_record());
    assert!(open(&body).is_ok());
    assert_eq!(open(&[&body[..], &[0]].concat()).err(), Some(Malformed("run record").into()), "trailing bytes");
    assert_eq!(open(b"").err(), Some(Malformed("run record").into()));
    let needing = [&[body[0] + 1, 0, 0x81, 0x61, b'x'], &body[1..]].concat();
    assert_eq!(open(&needing).err(), Some(Fault::Needs("x".to_owned())));
    let newer = [&[body[0] + 1], &body[1..], &[0x18, 99, 1]].concat();
    assert_eq!(open(&newer).map(|(record, _)| record), Ok(run_record()), "unknown keys are ignored");
}

#[test]
fn a_write_only_host_cannot_write_for_another_domain() {
    let (_, read) = repository();
    let host = write_only(&read);
    let run = host.new_run();
    let domain = DomainId::SHARED;
    let sealed = seal(Kind::Run, host.repository(), domain, read.domain(domain).index(), &key::run(run), b"");
    let object = host.sign_object(&key::run(run), sealed);
    let fault = fault::<RunRecord>(&read, &key::run(run), &object);
    assert_eq!(fault, Fault::OtherDomain(domain));
    assert!(fault.is_wrongly_signed());
}

#[test]
fn a_pruner_writes_for_the_domains_whose_packs_it_rewrites() {
    let (write, read) = repository();
    let host = write_only(&read);
    let run = write.new_run();
    let pins = Pins { needs: Needs::NONE, packs: vec![pack(1)] };
    let object = seal_record_in(&write, &read, host.domain().id(), &key::pins(run, 0), &pins);
    assert_eq!(open_record(&host, &key::pins(run, 0), &object).map(|(pins, _)| pins), Ok(pins));
}

#[test]
fn hosts_that_share_a_domain_read_each_others_records() {
    let (_, read) = repository();
    let host = write_only(&read);
    let Ok(Opened::WriteOnly(friend)) = read.new_write_only(Sharing::With(host.domain().id())).open() else {
        panic!("write-only")
    };
    let run = friend.new_run();
    let object = seal_record(&friend, &key::run(run), &run_record());
    assert_eq!(open_record(&host, &key::run(run), &object).map(|(record, _)| record), Ok(run_record()));
}

#[test]
fn segments_that_make_no_sense_are_refused() {
    let (write, _) = repository();
    let run = write.new_run();
    let store_key = key::segment(run, 0);
    let good = segment(run);
    let opens = |change: &dyn Fn(&mut Segment)| {
        let mut segment = good.clone();
        change(&mut segment);
        open_record::<Segment>(&write, &store_key, &seal_record(&write, &store_key, &segment)).is_ok()
    };
    assert!(opens(&|_| ()));
    assert!(opens(&|s| s.packs[0].length = 140 + 200 + 80 + 12));
    assert!(!opens(&|s| s.packs[0].length = 140 + 200 + 80 + 11), "frames beyond the pack");
    assert!(!opens(&|s| s.packs[0].length = (256 << 20) + 1));
    assert!(!opens(&|s| s.packs[0].trailer_length = u32::MAX));
    assert!(!opens(&|s| s.packs[0].frames[0].stored_length = u32::MAX));
    assert!(!opens(&|s| s.packs[0].frames[0].raw_length = (8 << 20) + 1));
    // Class, chunks and bitmap stand at the end of a frame's array, which is the end of the segment.
    for (end, sensible) in [
        (&[0, 3, 0x40][..], true),
        (&[2, 3, 0x41, 0b101], true),
        (&[3, 3, 0x40], false),
        (&[0, 0, 0x40], false),
        (&[0, 3, 0x41, 0b111], false),
        (&[0, 3, 0x41, 0], false),
        (&[0, 3, 0x42, 0b101, 0], false),
    ] {
        let mut body = cbor::encode(&good);
        body.truncate(body.len() - 3);
        body.extend_from_slice(end);
        let sealed =
            seal(Kind::Segment, write.repository(), write.domain().id(), write.domain().index(), &store_key, &body);
        let opened = open_record::<Segment>(&write, &store_key, &write.sign_object(&store_key, sealed));
        assert_eq!(opened.is_ok(), sensible, "{end:?}");
    }
}

proptest! {
    #[test]
    fn any_body_is_answered(body: Vec<u8>) {
        let (write, _) = repository();
        let run = write.new_run();
        let store_key = key::segment(run, 0);
        let sealed = seal(Kind::Segment, write.repository(), write.domain().id(), write.domain().index(), &store_key, &body);
        prop_assert!(open_record::<Segment>(&write, &store_key, &write.sign_object(&store_key, sealed)).is_err());
    }

    #[test]
    fn frames_keep_what_is_said_of_them(class in 0..3u8, lengths: (u32, u32), held in prop::collection::vec(any::<bool>(), 1..40)) {
        let class = Class::from_code(class).unwrap();
        let present = Presence::of(held.len(), |i| held[i]);
        let chunks = u16::try_from(held.len()).unwrap();
        let frame = SegmentFrame::new(FrameId::from_bytes([1; 32]), lengths, class, chunks, present.as_ref());
        prop_assert_eq!((frame.class(), frame.present()), (Some(class), present));
        prop_assert_eq!(cbor::decode::<SegmentFrame>("frame", &cbor::encode(&frame)), Ok(frame));
    }
}
