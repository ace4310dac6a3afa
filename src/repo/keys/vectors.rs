//! Writes the test vectors of `tests/data/vectors/keys`, which `tests/it/vectors.rs` reads and describes.
//!
//! Sealing draws salts, so every run of this writes other bytes: it's run by hand, when the format changes, with
//! `cargo test --lib keys::vectors -- --ignored`.

use super::bundle::{Bundle, Sharing, create_repository};
use super::credential::{Credential, Label, Secret, seal_padded};
use super::testing::hex_of;
use super::{KdfParams, KeyFile, Opened, Passphrase, ReadKeys, RunKey, WriteKeys};
use crate::repo::cbor::{self, Time};
use crate::repo::envelope::seal_manifest;
use crate::repo::format::{Class, Kind, key};
use crate::repo::id::{DomainId, FrameId, PackHash, PackId, RunId};
use crate::repo::needs::Needs;
use crate::repo::pack::presence::Presence;
use crate::repo::record::{self, RunRecord, Segment, SegmentFrame, SegmentPack, Stop};
use std::path::PathBuf;

/// The passphrase, not in its canonical form: decomposed, with a newline.
const TYPED: &str = "u\u{308}berall liegt noch Schnee\n";
const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

/// Where the vectors go, and what most of them share.
struct Folder {
    path: PathBuf,
    admin: ReadKeys,
    host_bundle: Bundle,
}

impl Folder {
    fn write(&self, name: &str, about: &str, object: &str, expect: &str, fields: &[(&str, &str)], bytes: &[u8]) {
        use std::fmt::Write as _;
        let mut text = format!("nightsafe vector 1\nabout: {about}\nobject: {object}\nexpect: {expect}\n");
        for (field, value) in fields {
            writeln!(text, "{field}: {value}").unwrap();
        }
        for line in bytes.chunks(32) {
            write!(text, "\n{}", hex_of(line)).unwrap();
        }
        std::fs::write(self.path.join(format!("{name}.vec")), text + "\n").unwrap();
    }

    fn credential(
        &self,
        name: &str,
        about: &str,
        expect: &str,
        secret: &Secret,
        fields: &[(&str, &str)],
        bytes: &[u8],
    ) {
        let id = bytes.get(40..56).map_or_else(|| "0".repeat(32), hex_of);
        let store_key = format!("credentials/{id}");
        let (field, value) = match secret {
            Secret::Passphrase(_) => ("passphrase", hex_of(TYPED.as_bytes())),
            Secret::KeyFile(file) => ("key-file", file.to_text().to_string()),
        };
        let fields = [&[("key", store_key.as_str()), (field, value.as_str())], fields].concat();
        self.write(name, about, "credential", expect, &fields, bytes);
    }
}

fn params() -> KdfParams {
    KdfParams::new(256, 2, 2).unwrap()
}

fn label() -> Label {
    Label { text: "laptop".to_owned(), created: TIME, host: "alpha".to_owned() }
}

fn typed() -> Secret {
    Secret::Passphrase(Passphrase::new(TYPED).unwrap())
}

fn file(n: u8) -> Secret {
    Secret::KeyFile(KeyFile::from_bytes([n; 32]))
}

fn write_keys(bundle: &Bundle) -> WriteKeys {
    let (Opened::Full(keys, _) | Opened::WriteOnly(keys)) = bundle.open().unwrap();
    keys
}

#[test]
#[ignore = "writes files; run by hand when the format changes"]
fn write_all() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/keys"));
    std::fs::create_dir_all(&path).unwrap();
    let admin = create_repository();
    let host_bundle = admin.new_write_only(Sharing::Alone);
    let folder = Folder { path, admin, host_bundle };
    good_credentials(&folder);
    altered_credentials(&folder);
    bad_bundles(&folder);
    records(&folder);
    bad_bodies(&folder);
    wrong_signers(&folder);
    manifests(&folder);
    wraps(&folder);
    texts(&folder);
}

fn good_credentials(f: &Folder) {
    let seal = |bundle: &Bundle, secret: &Secret| {
        Credential::seal(bundle, &f.admin, secret, params(), &label()).unwrap().as_bytes().to_vec()
    };
    let full = [("role", "full"), ("label", "laptop")];
    let host = [("role", "write-only"), ("label", "laptop")];
    let bytes = seal(&f.admin.new_full(), &typed());
    f.credential("credential-full-passphrase", "typed decomposed, with a newline", "accept", &typed(), &full, &bytes);
    let bytes = seal(&f.admin.new_full(), &file(1));
    f.credential("credential-full-key-file", "opens most other vectors", "accept", &file(1), &full, &bytes);
    let bytes = seal(&f.host_bundle, &file(2));
    f.credential("credential-host", "write-only, in a domain of its own", "accept", &file(2), &host, &bytes);
    let bytes = seal(&f.admin.new_write_only(Sharing::With(DomainId::SHARED)), &file(3));
    f.credential("credential-sharing", "write-only, in the domain of full ones", "accept", &file(3), &host, &bytes);
}

fn altered_credentials(f: &Folder) {
    let sealed = |secret: &Secret| {
        let credential = Credential::seal(&f.admin.new_full(), &f.admin, secret, params(), &label()).unwrap();
        credential.as_bytes().to_vec()
    };
    let altered = |name: &str, about: &str, reason: &str, at: usize, bytes: &[u8]| {
        let mut object = sealed(&typed());
        object[at..at + bytes.len()].copy_from_slice(bytes);
        f.credential(&format!("credential-{name}"), about, &format!("reject: {reason}"), &typed(), &[], &object);
    };
    altered("magic", "not of nightsafe", "magic", 0, b"borg!");
    altered("kind", "a run record under a credential's name", "kind", 5, b"R");
    altered("version-2", "format version 2", "version", 6, &[2]);
    altered("suite-9", "suite 9", "suite", 7, &[9]);
    altered("method-3", "opened in a third way", "malformed", 8, &[3]);
    altered("role-3", "a third role", "malformed", 9, &[3]);
    altered("reserved", "a byte set that is reserved", "malformed", 10, &[1]);
    altered(
        "memory-4-gib",
        "more memory than the limit: nothing is derived",
        "limits",
        12,
        &(4u32 << 20).to_le_bytes(),
    );
    altered("passes-65", "more passes than the limit", "limits", 16, &65u32.to_le_bytes());
    altered("lanes-0", "no lanes", "limits", 20, &0u32.to_le_bytes());
    altered("salt", "another salt, which can't be told from a wrong secret", "wrong-secret", 56, &[0; 32]);
    altered("commitment", "another commitment", "wrong-secret", 88, &[0; 32]);
    altered("repository", "another repository's id: authenticated", "damaged", 24, &[0; 16]);
    altered("bundle", "the bundle's ciphertext altered", "damaged", 120, &[0; 8]);
    altered("label", "the label altered", "signature", 1160, &[0; 8]);
    altered("signature", "the signature altered", "signature", 1432, &[0; 8]);
    let bytes = sealed(&typed());
    f.credential(
        "credential-truncated",
        "its last byte is missing",
        "reject: malformed",
        &typed(),
        &[],
        &bytes[..1496],
    );
    f.credential(
        "credential-trailing",
        "a byte too many",
        "reject: malformed",
        &typed(),
        &[],
        &[&bytes[..], &[0]].concat(),
    );
    f.credential(
        "credential-other-key-file",
        "another key file's",
        "reject: wrong-secret",
        &file(5),
        &[],
        &sealed(&file(4)),
    );
    f.credential(
        "credential-other-method",
        "a key file for a passphrase's",
        "reject: other-method",
        &file(5),
        &[],
        &bytes,
    );
}

fn bad_bundles(f: &Folder) {
    let stranger = create_repository();
    let wrap_cbor = |bundle: &Bundle, cbor: &[u8], admin: &ReadKeys| {
        seal_padded(bundle, cbor, admin, &file(1), params(), &cbor::encode(&label())).unwrap()
    };
    let bad = |name: &str, about: &str, reason: &str, bytes: &[u8]| {
        f.credential(&format!("credential-{name}"), about, &format!("reject: {reason}"), &file(1), &[], bytes);
    };
    let changed = |bundle: Bundle, change: &dyn Fn(&mut super::bundle::Record)| {
        let mut bundle = bundle;
        change(&mut bundle.0);
        wrap_cbor(&bundle, &bundle.encode(), &f.admin)
    };
    bad(
        "without-master",
        "a full bundle without the master",
        "malformed",
        &changed(f.admin.new_full(), &|b| b.master = None),
    );
    let with_master = changed(f.admin.new_write_only(Sharing::Alone), &|b| b.master = Some([1; 32]));
    bad("with-master", "a write-only bundle with a master", "malformed", &with_master);
    let (outer, inner) = (f.admin.new_full(), f.admin.new_full());
    bad("of-another", "another credential's bundle", "malformed", &wrap_cbor(&outer, &inner.encode(), &f.admin));
    let cbor = outer.encode();
    bad(
        "bundle-trailing",
        "a byte behind the bundle's CBOR",
        "malformed",
        &wrap_cbor(&outer, &[&cbor[..], &[0]].concat(), &f.admin),
    );
    let needing = [&[cbor[0] + 1, 0, 0x81, 0x61, b'x'], &cbor[1..]].concat();
    bad("needs", "needs the feature x", "needs", &wrap_cbor(&outer, &needing, &f.admin));
    bad("forged", "signed by another repository's admin key", "signature", &wrap_cbor(&outer, &cbor, &stranger));
}

fn run_record() -> RunRecord {
    RunRecord { needs: Needs::NONE, started: TIME, host: "alpha".to_owned(), tool: "nightsafe 0.1.0".to_owned() }
}

const FULL: (&str, &str) = ("with", "credential-full-key-file");
const HOST: (&str, &str) = ("with", "credential-host");

/// A run's record of the host with this body.
fn sealed_by_host(f: &Folder, kind: Kind, store_key: &str, body: &[u8]) -> Vec<u8> {
    let host = write_keys(&f.host_bundle);
    let object = record::seal(kind, host.repository(), host.domain().id(), host.domain().index(), store_key, body);
    host.sign_object(store_key, object)
}

fn records(f: &Folder) {
    let host = write_keys(&f.host_bundle);
    let run = host.new_run();
    let index = hex_of(host.domain().index().as_bytes());
    let accept = |name: &str, about: &str, with, store_key: &str, sealing_key: &str, body: &[u8], bytes: &[u8]| {
        let body = hex_of(body);
        let fields = [("key", store_key), with, ("sealing-key", sealing_key), ("body", &body)];
        f.write(name, about, "record", "accept", &fields, bytes);
    };
    let (store_key, body) = (key::run(run), cbor::encode(&run_record()));
    let bytes = record::seal_record(&host, &store_key, &run_record());
    accept("record-run", "a host's, read by itself", HOST, &store_key, &index, &body, &bytes);
    accept("record-run-by-full", "a host's, read by a full credential", FULL, &store_key, &index, &body, &bytes);
    let foreign = [("key", store_key.as_str()), ("with", "credential-sharing")];
    f.write("record-foreign", "of another domain", "record", "reject: foreign-domain", &foreign, &bytes);

    let some = Presence::of(3, |i| i == 1);
    let frame = |n, present| SegmentFrame::new(FrameId::from_bytes([n; 32]), (1_000, 4_000), Class::Data, 3, present);
    let frames = vec![frame(1, None), frame(2, some.as_ref())];
    let hash = PackHash::from_bytes([4; 32]);
    let packs = vec![SegmentPack { pack: PackId { run, hash }, length: 4_096, trailer_length: 300, frames }];
    let mut segment = Segment { needs: Needs::NONE, packs };
    let store_key = key::segment(run, 0);
    let bytes = record::seal_record(&host, &store_key, &segment);
    accept("record-segment", "two frames of a pack", HOST, &store_key, &index, &cbor::encode(&segment), &bytes);
    segment.packs[0].trailer_length = 4_096;
    let bytes = record::seal_record(&host, &store_key, &segment);
    let fields = [("key", store_key.as_str()), HOST];
    f.write(
        "record-segment-room",
        "frames and a trailer that have no room in the pack",
        "record",
        "reject: malformed",
        &fields,
        &bytes,
    );

    let (store_key, stop) = (key::stop(run), Stop { needs: Needs::NONE, time: TIME });
    let bytes = record::seal_admin_record(&f.admin, &store_key, &stop);
    let common = hex_of(super::Access::common(&f.admin).as_bytes());
    accept("record-stop", "the admin key's, read by a host", HOST, &store_key, &common, &cbor::encode(&stop), &bytes);
}

fn bad_bodies(f: &Folder) {
    let host = write_keys(&f.host_bundle);
    let store_key = key::run(host.new_run());
    let body = cbor::encode(&run_record());
    let fields = [("key", store_key.as_str()), HOST];
    let bad = |name: &str, about: &str, reason: &str, body: &[u8]| {
        let bytes = sealed_by_host(f, Kind::Run, &store_key, body);
        f.write(&format!("record-{name}"), about, "record", &format!("reject: {reason}"), &fields, &bytes);
    };
    bad("trailing", "a byte behind the CBOR", "malformed", &[&body[..], &[0]].concat());
    bad("empty", "no CBOR", "malformed", b"");
    let twice = [&[body[0] + 1, 1, 0x82, 0, 0], &body[1..]].concat();
    bad("key-twice", "a key that occurs twice", "malformed", &twice);
    bad("indefinite", "a map of indefinite length", "malformed", &[&[0xbf], &body[1..], &[0xff]].concat());
    let nested = [&[body[0] + 1], &body[1..], &[9], &[0x81; 16], &[0]].concat();
    bad("nesting", "an unknown field nested deeper than 16", "malformed", &nested);
    bad("needs", "needs the feature x", "needs", &[&[body[0] + 1, 0, 0x81, 0x61, b'x'], &body[1..]].concat());
    let newer = [&[body[0] + 1], &body[1..], &[9, 1]].concat();
    let (bytes, newer, index) =
        (sealed_by_host(f, Kind::Run, &store_key, &newer), hex_of(&newer), hex_of(host.domain().index().as_bytes()));
    let fields = [fields[0], HOST, ("sealing-key", &index), ("body", &newer)];
    f.write("record-unknown-key", "a key that format 1 doesn't define", "record", "accept", &fields, &bytes);
}

fn wrong_signers(f: &Folder) {
    let (host, other) = (write_keys(&f.host_bundle), write_keys(&f.admin.new_write_only(Sharing::Alone)));
    let run = host.new_run();
    let bad = |name: &str, about: &str, reason: &str, store_key: &str, bytes: &[u8]| {
        f.write(
            &format!("record-{name}"),
            about,
            "record",
            &format!("reject: {reason}"),
            &[("key", store_key), HOST],
            bytes,
        );
    };
    let store_key = key::run(run);
    let good = record::seal_record(&host, &store_key, &run_record());
    let unsigned = good[..good.len() - super::sign::CREDENTIAL_BLOCK_LEN].to_vec();
    bad("unsigned", "no signature block", "signature", &store_key, &unsigned);
    bad("moved", "under another run's name", "signature", &key::run(host.new_run()), &good);
    let signed = other.sign_object(&store_key, unsigned.clone());
    bad("other-credential", "signed by a credential that the run isn't of", "signature", &store_key, &signed);
    let signed = f.admin.sign_object(&store_key, unsigned);
    bad("by-admin", "a run's, signed by the admin key", "signature", &store_key, &signed);
    let stop_key = key::stop(run);
    let common = super::Access::common(&host);
    let body = cbor::encode(&Stop { needs: Needs::NONE, time: TIME });
    let stop = record::seal(Kind::Stop, host.repository(), DomainId::SHARED, common, &stop_key, &body);
    bad("stop-by-host", "a stop, signed by a host", "signature", &stop_key, &host.sign_object(&stop_key, stop));
    let domain = other.domain();
    let body = cbor::encode(&run_record());
    let record = record::seal(Kind::Run, host.repository(), domain.id(), domain.index(), &store_key, &body);
    bad(
        "other-domain",
        "a host's, for a domain not its own",
        "signature",
        &store_key,
        &host.sign_object(&store_key, record),
    );
    let stranger = write_keys(&create_repository().new_full());
    let strange_key = key::run(stranger.new_run());
    let bytes = record::seal_record(&stranger, &strange_key, &run_record());
    bad("other-repository", "another repository's", "foreign-repository", &strange_key, &bytes);
    let sealed = record::seal(Kind::Run, host.repository(), host.domain().id(), common, &store_key, &body);
    bad("other-key", "signed, but sealed by another key", "damaged", &store_key, &host.sign_object(&store_key, sealed));
}

fn manifests(f: &Folder) {
    let host = write_keys(&f.host_bundle);
    let (run, run_key) = (host.new_run(), RunKey::generate());
    let wrap = host.wrap(&run_key, run);
    // Not what section 8 says of the parts' content: only how they are sealed.
    let (open, sealed) = ([0xa1, 1, 0x82, 0, 0], [0xa1, 5, 0x61, b'x']);
    let bytes = seal_manifest(&host, run, &run_key, &wrap, &open, &sealed).unwrap();
    let (store_key, open, sealed) = (key::snapshot(run), hex_of(&open), hex_of(&sealed));
    let common = [("key", store_key.as_str()), ("open", open.as_str())];
    let fields = [common[0], FULL, common[1], ("sealed", sealed.as_str())];
    f.write("manifest-by-full", "both parts, read by a full credential", "manifest", "accept", &fields, &bytes);
    let fields = [common[0], HOST, common[1]];
    f.write("manifest-by-host", "the open part, read by who wrote it", "manifest", "accept", &fields, &bytes);
    let fields = [common[0], ("with", "credential-sharing")];
    f.write("manifest-foreign", "of another domain", "manifest", "reject: foreign-domain", &fields, &bytes);
    let bad = |name: &str, about: &str, reason: &str, at: usize, with: &[u8]| {
        let mut body = bytes[..bytes.len() - super::sign::CREDENTIAL_BLOCK_LEN].to_vec();
        body[at..at + with.len()].copy_from_slice(with);
        let bytes = host.sign_object(&store_key, body);
        let fields = [common[0], FULL];
        f.write(&format!("manifest-{name}"), about, "manifest", &format!("reject: {reason}"), &fields, &bytes);
    };
    bad("run", "another run's id in it, and signed", "malformed", 40, &[0; 20]);
    bad("length", "a length beyond the end, and signed", "malformed", 156, &u32::MAX.to_le_bytes());
    bad("open-length", "a length that splits the parts elsewhere, and signed", "malformed", 156, &20u32.to_le_bytes());
    bad("wrap", "another wrap, and signed", "wrap", 60, &[1; 80]);
    bad("swapped", "the open part's ciphertext altered, and signed", "damaged", 160, &[0; 5]);
}

fn wraps(f: &Folder) {
    let host = write_keys(&f.host_bundle);
    let run = host.new_run();
    let mut bytes = *host.wrap(&RunKey::from_bytes([7; 32]), run).as_bytes();
    let (run, other) = (run.to_string(), RunId::from_bytes([1; 20]).to_string());
    let run_key = hex_of(&[7; 32]);
    f.write("wrap", "a host's", "wrap", "accept", &[("run", &run), FULL, ("run-key", &run_key)], &bytes);
    f.write("wrap-other-run", "of another run", "wrap", "reject: wrap", &[("run", &other), FULL], &bytes);
    bytes[31] ^= 0x80;
    let about = "the bit of enc that X25519 ignores is set";
    f.write("wrap-ignored-bit", about, "wrap", "reject: wrap", &[("run", &run), FULL], &bytes);
}

fn texts(f: &Folder) {
    let secret = [0xab; 32];
    let key_file = KeyFile::from_bytes(secret);
    let text = key_file.to_text();
    let fields = [("secret", hex_of(&secret))];
    let fields = [(fields[0].0, fields[0].1.as_str())];
    f.write("key-file", "as it's written", "key-file", "accept", &fields, text.as_bytes());
    let shouted = format!("\n\t{}\r\n", text.to_uppercase());
    f.write(
        "key-file-upper-case",
        "in capitals, with white space around",
        "key-file",
        "accept",
        &fields,
        shouted.as_bytes(),
    );
    let bad = |name: &str, about: &str, reason: &str, text: &str| {
        f.write(&format!("key-file-{name}"), about, "key-file", &format!("reject: {reason}"), &[], text.as_bytes());
    };
    bad("check", "a digit misread", "check", &text.replacen("ab", "a6", 1));
    bad("version-2", "version 2", "version", &text.replace("-1-", "-2-"));
    bad("short", "a digit missing", "form", &text.replacen("ab", "a", 1));
    bad("other", "a passphrase", "other", "correct horse battery staple");
    let words = key_file.to_words();
    f.write("key-file-words", "as 24 words", "key-file", "accept", &fields, words.as_bytes());
    let spaced = words.to_uppercase().replace(' ', "\n") + "\n";
    let about = "as words in capitals, a line each";
    f.write("key-file-words-spaced", about, "key-file", "accept", &fields, spaced.as_bytes());
    let but_last = words.rsplit_once(' ').map(|(words, _)| words).unwrap_or_default();
    bad("words-23", "a word missing", "word-count", but_last);
    let fourth = words.split(' ').nth(3).unwrap_or_default();
    bad(
        "words-unknown",
        "a word that isn't in the list",
        "word",
        &words.replacen(&format!(" {fourth} "), " nightsafe ", 1),
    );
    bad("words-check", "the last word misread", "word-check", &format!("{but_last} abandon"));
    let varint = |name: &str, about: &str, expect: &str, fields: &[(&str, &str)], bytes: &[u8]| {
        f.write(&format!("varint-{name}"), about, "varint", expect, fields, bytes);
    };
    let most = [&[0xff; 9][..], &[1]].concat();
    varint("most", "2⁶⁴−1", "accept", &[("value", "18446744073709551615")], &most);
    varint("zero", "0", "accept", &[("value", "0")], &[0]);
    varint("overlong", "0 in two bytes", "reject: malformed", &[], &[0x80, 0]);
    varint("overflow", "2⁶⁴", "reject: malformed", &[], &[&[0x80; 9][..], &[2]].concat());
    varint("unfinished", "no last byte", "reject: malformed", &[], &[0x80]);
    varint("eleven", "eleven bytes", "reject: malformed", &[], &[&[0x80; 10][..], &[1]].concat());
}
