use super::*;
use crate::repo::id::DomainId;
use crate::repo::keys::bundle::{Sharing, create_repository};
use proptest::prelude::*;

/// The least that Argon2 and the format allow: quick, and of no use against anyone.
fn quick() -> KdfParams {
    KdfParams::new(8, 1, 1).unwrap()
}

fn label(text: &str) -> Label {
    Label { text: text.to_owned(), created: Time { seconds: 5, nanoseconds: 7 }, host: "alpha".to_owned() }
}

fn passphrase(text: &str) -> Secret {
    Secret::Passphrase(Passphrase::new(text).unwrap())
}

fn fault(result: Result<Opened, CredentialError>) -> Fault {
    result.err().expect("an error").fault
}

#[test]
fn credentials_open_with_their_secret_only() {
    let admin = create_repository();
    let key_file = Secret::KeyFile(KeyFile::from_bytes([5; 32]));
    for (secret, wrong, other) in [
        (passphrase("words"), passphrase("Words"), &key_file),
        (
            Secret::KeyFile(KeyFile::from_bytes([4; 32])),
            Secret::KeyFile(KeyFile::from_bytes([5; 32])),
            &passphrase("words"),
        ),
    ] {
        let full = Credential::seal(&admin.new_full(), &admin, &secret, quick(), &label("one")).unwrap();
        assert_eq!(full.as_bytes().len(), 1_497);
        let Ok(Opened::Full(keys, read)) = full.open(&secret) else { panic!("full") };
        assert_eq!((keys.credential(), full.role(), keys.role()), (full.id(), Role::Full, Role::Full));
        assert_eq!(read.authority(), admin.authority());
        assert_eq!(full.label(&keys), Ok(label("one")));
        assert_eq!(fault(full.open(&wrong)), Fault::WrongSecret);
        assert_eq!(fault(full.open(other)), Fault::OtherMethod);

        let bundle = admin.new_write_only(Sharing::With(DomainId::SHARED));
        let host = Credential::seal(&bundle, &admin, &secret, quick(), &label("two")).unwrap();
        let Ok(Opened::WriteOnly(keys)) = host.open(&secret) else { panic!("write-only") };
        assert_eq!(
            (keys.credential(), host.role(), keys.domain().id()),
            (host.id(), Role::WriteOnly, DomainId::SHARED)
        );
        assert_eq!(full.label(&keys), Ok(label("one")), "every credential reads labels");
    }
}

#[test]
fn every_altered_bit_and_every_truncation_is_refused() {
    let admin = create_repository();
    let secret = Secret::KeyFile(KeyFile::generate());
    let credential = Credential::seal(&admin.new_full(), &admin, &secret, quick(), &label("one")).unwrap();
    let (id, bytes) = (credential.id(), credential.as_bytes());
    let opens = |bytes: &[u8]| Credential::parse(id, bytes).and_then(|c| c.open(&secret)).is_ok();
    assert!(opens(bytes));
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&altered), "bit {bit}");
        let listed = Credential::parse(id, &altered).and_then(|c| c.label(&admin));
        assert!(listed.is_err(), "bit {bit} in a listing");
    }
    for length in 0..bytes.len() {
        assert!(!opens(&bytes[..length]), "{length}");
    }
    assert!(!opens(&[bytes, &[0]].concat()));
    assert!(Credential::parse(admin.new_full().credential(), bytes).is_err(), "under another's name");
}

#[test]
fn damage_is_told_from_a_wrong_secret() {
    let admin = create_repository();
    let secret = passphrase("words");
    let credential = Credential::seal(&admin.new_full(), &admin, &secret, quick(), &label("one")).unwrap();
    let altered = |at: usize| {
        let mut bytes = credential.as_bytes().to_vec();
        bytes[at] ^= 1;
        Credential::parse(credential.id(), &bytes).and_then(|c| c.open(&secret)).err().unwrap().fault
    };
    assert_eq!(altered(0), Fault::Header(HeaderError::Magic));
    assert_eq!(altered(5), Fault::Header(HeaderError::Kind(b'B')));
    assert_eq!(altered(6), Fault::Header(HeaderError::Version(0)));
    assert_eq!(altered(7), Fault::Header(HeaderError::Suite(0)));
    assert_eq!(altered(10), Fault::Malformed(Malformed("reserved bytes")));
    assert!(matches!(altered(23), Fault::Kdf(KdfError::Limits { lanes: 0x0100_0001, .. })), "refused, not derived");
    assert_eq!(altered(24), Fault::Damaged, "the repository id isn't derived from, but authenticated");
    for at in [SALT_AT, COMMITMENT_AT] {
        assert_eq!(altered(at), Fault::WrongSecret);
    }
    assert_eq!(altered(CLEAR_LEN), Fault::Damaged);
    for at in [LABEL_AT, SIGNATURE_AT] {
        assert_eq!(altered(at), Fault::Signature(SignatureError::Wrong));
    }
    assert_eq!(altered(Credential::LEN - 1), Fault::Signature(crate::repo::keys::certificate::CertificateError.into()));
}

#[test]
fn what_the_admin_key_did_not_sign_is_refused() {
    let (admin, foreign) = (create_repository(), create_repository());
    let secret = Secret::KeyFile(KeyFile::generate());
    let own = Credential::seal(&admin.new_full(), &admin, &secret, quick(), &label("one")).unwrap();
    let forged = Credential::seal(&admin.new_full(), &foreign, &secret, quick(), &label("one")).unwrap();
    assert_eq!(fault(forged.open(&secret)), Fault::Signature(SignatureError::Wrong));
    assert!(forged.verify(admin.authority()).is_err());
    assert_eq!(own.verify(admin.authority()), Ok(()));
    let elsewhere = Credential::seal(&foreign.new_full(), &foreign, &secret, quick(), &label("one")).unwrap();
    assert!(elsewhere.open(&secret).is_ok());
    assert!(elsewhere.verify(admin.authority()).is_err(), "another repository's");
}

#[test]
fn a_label_that_does_not_fit_is_an_error_of_its_own() {
    let admin = create_repository();
    let secret = Secret::KeyFile(KeyFile::generate());
    let seal = |length| Credential::seal(&admin.new_full(), &admin, &secret, quick(), &label(&"x".repeat(length)));
    assert_eq!(seal(240).err().map(|error| error.fault), Some(Fault::LabelTooLong));
    let longest = (0..240).rev().find(|&length| seal(length).is_ok()).unwrap();
    assert!(longest > 200, "{longest}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), Credential::LEN), method in 1..=2u8) {
        let header: [u8; 12] = [b'n', b's', b'a', b'f', b'e', b'C', 1, 1, method, 1, 0, 0];
        bytes[..12].copy_from_slice(&header);
        bytes[12..24].fill(0);
        bytes[12] = if method == 1 { 8 } else { 0 };
        bytes[16] = 2 - method;
        bytes[20] = 2 - method;
        let id = CredentialId::from_bytes(bytes[40..56].try_into().unwrap());
        let credential = Credential::parse(id, &bytes).unwrap();
        let secret = if method == 1 { passphrase("words") } else { Secret::KeyFile(KeyFile::from_bytes([1; 32])) };
        prop_assert_eq!(fault(credential.open(&secret)), Fault::WrongSecret);
    }

    #[test]
    fn padding_survives_and_nothing_else_does(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0..32usize) {
        match pad(&bytes, 32) {
            None => prop_assert!(bytes.len() > 30),
            Some(padded) => {
                prop_assert_eq!(padded.len(), 32);
                prop_assert_eq!(unpad("test", &padded), Ok(&bytes[..]));
                let mut altered = padded.clone();
                altered[at] ^= 0x80;
                prop_assert_ne!(unpad("test", &altered), Ok(&bytes[..]));
                if at >= 2 + bytes.len() {
                    prop_assert_eq!(unpad("test", &altered), Err(Malformed("test")));
                }
            }
        }
    }
}
