use super::*;
use crate::repo::keys::testing::{repository, write_only};
use crate::repo::seal::NotAuthentic;

/// A manifest of a run of `keys`.
fn manifest(keys: &WriteKeys) -> (RunId, Vec<u8>) {
    let (run, run_key) = (keys.new_run(), RunKey::generate());
    let wrap = keys.wrap(&run_key, run);
    (run, seal_manifest(keys, run, &run_key, &wrap, b"open words", b"sealed words").unwrap())
}

#[test]
fn both_parts_come_back_to_who_may_read_them() {
    let (write, read) = repository();
    let host = write_only(&read);
    for keys in [&write, &host] {
        let (run, object) = manifest(keys);
        let envelope = open_manifest(keys, run, &object).unwrap();
        assert_eq!(envelope.open_part(), b"open words");
        assert_eq!((envelope.run(), envelope.domain()), (run, keys.domain().id()));
        assert_eq!(envelope.signer(), keys.certificate());
        assert_eq!(open_manifest(&read, run, &object), Ok(envelope.clone()));
        assert_eq!(envelope.open_sealed_part(&read), Ok(b"sealed words".to_vec()));
        let run_key = read.unwrap_run_key(envelope.wrap(), run);
        assert!(run_key.is_ok());
    }
    let (run, object) = manifest(&host);
    let error = open_manifest(&write, run, &object).unwrap_err();
    assert_eq!(error, ObjectError { key: key::snapshot(run), fault: Fault::ForeignDomain(host.domain().id()) });
}

#[test]
fn every_altered_bit_and_every_truncation_is_refused() {
    let (write, _) = repository();
    let (run, object) = manifest(&write);
    for bit in 0..object.len() * 8 {
        let mut altered = object.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(open_manifest(&write, run, &altered).is_err(), "bit {bit}");
    }
    for length in 0..object.len() {
        assert!(open_manifest(&write, run, &object[..length]).is_err(), "{length}");
    }
    assert!(open_manifest(&write, write.new_run(), &object).is_err(), "under another name");
}

/// A credential that signs rubbish gets no further than one that damages its manifest.
#[test]
fn rubbish_that_is_signed_is_refused_too() {
    let (write, read) = repository();
    let (run, object) = manifest(&write);
    let body = &object[..object.len() - crate::repo::keys::sign::CREDENTIAL_BLOCK_LEN];
    let sign = |body: Vec<u8>| write.sign_object(&key::snapshot(run), body);
    assert!(open_manifest(&write, run, &sign(body.to_vec())).is_ok());
    for length in 0..body.len() {
        assert!(open_manifest(&write, run, &sign(body[..length].to_vec())).is_err(), "{length}");
    }
    assert!(open_manifest(&write, run, &sign([body, &[0]].concat())).is_err(), "trailing bytes");
    for bit in 8 * 8..body.len() * 8 {
        let mut altered = body.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        let opened = open_manifest(&write, run, &sign(altered)).and_then(|e| e.open_sealed_part(&read));
        assert!(opened.is_err(), "bit {bit}");
    }
}

#[test]
fn a_wrap_of_another_run_key_is_damage() {
    let (write, read) = repository();
    let run = write.new_run();
    let wrap = write.wrap(&RunKey::generate(), run);
    let object = seal_manifest(&write, run, &RunKey::generate(), &wrap, b"", b"").unwrap();
    let envelope = open_manifest(&write, run, &object).unwrap();
    assert_eq!(envelope.open_sealed_part(&read).unwrap_err().fault, Fault::NotAuthentic(NotAuthentic));
}
