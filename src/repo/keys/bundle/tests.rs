use super::*;
use crate::repo::keys::Wrap;
use crate::repo::keys::testing::{repository, write_only};
use crate::repo::seal::{keyed, open_once};

#[test]
fn a_further_full_credential_reads_what_the_first_one_wrote() {
    let (write, read) = repository();
    let Ok(Opened::Full(second, second_read)) = read.new_full().open() else { panic!("full") };
    let run = write.new_run();
    let wrap = write.wrap(&RunKey::from_bytes([3; 32]), run);
    assert_eq!(second_read.unwrap_run_key(&wrap, run).unwrap().seal_key().as_bytes(), &[3; 32]);
    assert_eq!(second.authority(), write.authority());
    assert_eq!(second.domain().index().as_bytes(), write.domain().index().as_bytes());
    assert_ne!(second.credential(), write.credential());
    assert_ne!(second.signing.as_bytes(), write.signing.as_bytes());
    assert_eq!((second.role(), second.domain().id()), (Role::Full, DomainId::SHARED));
}

#[test]
fn a_write_only_credential_has_a_domain_of_its_own_unless_it_shares() {
    let (write, read) = repository();
    let host = write_only(&read);
    assert_eq!(host.role(), Role::WriteOnly);
    assert_eq!(host.domain().id().as_bytes(), host.credential().as_bytes());
    assert_ne!(host.domain().index().as_bytes(), write.domain().index().as_bytes());
    assert_eq!(read.domain(host.domain().id()).index().as_bytes(), host.domain().index().as_bytes());
    assert!(host.index_key(write.domain().id()).is_none(), "a foreign domain");
    for domain in [host.domain().id(), DomainId::SHARED] {
        let Ok(Opened::WriteOnly(sharing)) = read.new_write_only(Sharing::With(domain)).open() else {
            panic!("write-only")
        };
        assert_eq!(sharing.domain().id(), domain);
        assert_eq!(sharing.domain().index().as_bytes(), read.domain(domain).index().as_bytes());
    }
}

/// Whatever 32 bytes of its bundle are taken for the secret restore key, or for the key behind the wrap, and whatever is derived
/// from them: a write-only credential doesn't get its own run key back.
#[test]
fn nothing_that_a_write_only_credential_holds_opens_a_wrap() {
    let (_, read) = repository();
    let bundle = read.new_write_only(Sharing::Alone);
    let Ok(Opened::WriteOnly(host)) = bundle.open() else { panic!("write-only") };
    let run = host.new_run();
    let wrap = host.wrap(&RunKey::from_bytes([3; 32]), run);
    let unwrap = |restore: RestoreSecret| {
        let psk = host.psk.clone();
        let (admin, master) = (SigningKey::from_bytes(&[0; 32]), Zeroizing::new([0; 32]));
        let authority = *host.authority();
        let keys = ReadKeys { authority, restore, psk, common: host.common.duplicate(), admin, master };
        keys.unwrap_run_key(&wrap, run).is_ok()
    };
    assert!(unwrap(read.restore.clone()), "only the key is missing");
    let bytes = bundle.encode();
    let windows = bytes.windows(32).map(|window| <[u8; 32]>::try_from(window).unwrap());
    let names: [&[u8]; 6] = [b"chunk", b"frame", b"gear", b"index", b"content", b"nightsafe 1 psk"];
    let own = [host.psk.as_slice(), host.common.as_bytes(), host.signing.as_bytes(), host.domain().index().as_bytes()];
    let derived = own.into_iter().flat_map(|key| {
        let key: [u8; 32] = key.try_into().unwrap();
        names.map(|name| keyed(&key, &[name])).into_iter().chain([key, *blake3::hash(&key).as_bytes()])
    });
    let scalar = host.signing.to_scalar_bytes();
    for key in windows.chain(derived).chain([scalar, [0; 32]]) {
        assert!(!unwrap(RestoreSecret::from_bytes(&key).unwrap()));
        assert!(open_once(&SealKey::from_bytes(key), b"", &wrap.as_bytes()[Wrap::LEN - 48..]).is_err());
    }
}

#[test]
fn a_write_only_bundle_holds_no_secret_of_a_full_one() {
    let (_, read) = repository();
    let bytes = read.new_write_only(Sharing::With(DomainId::SHARED)).encode();
    let secrets: [[u8; 32]; 3] = [read.restore.to_bytes().into(), *read.admin.as_bytes(), *read.master];
    let full = read.new_full().encode();
    for secret in secrets {
        assert!(full.windows(32).any(|window| window == secret));
        assert!(!bytes.windows(32).any(|window| window == secret));
    }
}

#[test]
fn a_bundle_survives_its_bytes_and_fits() {
    let (_, read) = repository();
    for bundle in [read.new_full(), read.new_write_only(Sharing::Alone)] {
        let bytes = bundle.encode();
        assert!(bytes.len() + 2 <= PADDED_LEN, "{}", bytes.len());
        let again = Bundle::decode(&bytes).unwrap();
        assert_eq!(*again.encode(), *bytes);
        assert!(again.open().is_ok());
    }
}

#[test]
fn bundles_that_contradict_themselves_are_refused() {
    let (_, read) = repository();
    let (_, foreign) = repository();
    let refused = |what: &str, bundle: Bundle, change: &dyn Fn(&mut Record)| {
        let mut bundle = bundle;
        assert!(bundle.open().is_ok());
        change(&mut bundle.0);
        assert!(bundle.open().is_err(), "{what}");
    };
    let full = || read.new_full();
    refused("no restore secret", full(), &|b| b.restore_secret = None);
    refused("no admin seed", full(), &|b| b.admin_seed = None);
    refused("no master", full(), &|b| b.master = None);
    refused("another restore secret", full(), &|b| b.restore_secret = Some([1; 32]));
    refused("another admin seed", full(), &|b| b.admin_seed = Some([1; 32]));
    refused("another master", full(), &|b| b.master = Some([1; 32]));
    refused("another domain root", full(), &|b| b.domain_root = [1; 32]);
    refused("another signing key", full(), &|b| b.signing_seed = [1; 32]);
    refused("another repository", full(), &|b| b.repository = foreign.authority().repository());
    refused("another credential", full(), &|b| b.credential = new_credential_id());
    refused("another role", full(), &|b| b.role = Role::WriteOnly.code());
    refused("no role", full(), &|b| b.role = 3);
    refused("another domain", full(), &|b| b.domain = DomainId::from_bytes([1; 16]));
    refused("another admin key", full(), &|b| b.admin_public = *foreign.authority().admin().as_bytes());
    refused("another's certificate", full(), &|b| b.certificate = read.new_full().0.certificate);
    refused("no restore key", full(), &|b| b.restore_public = [0; 32]);
    let write_only = || read.new_write_only(Sharing::Alone);
    refused("a master that it mustn't have", write_only(), &|b| b.master = Some(*read.master));
    refused("no restore key", write_only(), &|b| b.restore_public = [0; 32]);
}

/// A new field doesn't compile before it is said here whether it's secret, and then only if it is wiped.
#[test]
fn every_secret_of_a_credential_is_wiped() {
    use crate::repo::keys::secrecy::wiped;
    let (write, read) = repository();
    // The private key of HPKE is wiped by X25519's own type, which isn't at hand here; authorities, certificates and what is called public aren't secret.
    let WriteKeys { authority: _, restore: _, psk, common, signing, certificate: _, domain: _ } = &write;
    wiped(psk);
    wiped(common);
    wiped(signing);
    let ReadKeys { authority: _, restore: _, psk, common, admin, master } = &read;
    wiped(psk);
    wiped(common);
    wiped(admin);
    wiped(master);
    let Bundle(record) = read.new_full();
    wiped(&record);
}
