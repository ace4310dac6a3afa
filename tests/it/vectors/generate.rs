//! Writes the vectors of `tests/data/vectors/content`, which [`super::content`] reads and describes.
//!
//! Sealing draws salts, so every run of this writes other bytes: it's run by hand, when the format changes, with
//! `cargo test --test it vectors::generate -- --ignored`.

mod dumps;
mod packs;
mod trees;

use super::content::folder;
use nightsafe::repo::cbor::Time;
use nightsafe::repo::codec::put_varint;
use nightsafe::repo::format::{Class, MAX_CHUNK, SUITE};
use nightsafe::repo::id::{ChunkId, DomainId, FrameId, RunId};
use nightsafe::repo::keys::bundle::create_repository;
use nightsafe::repo::keys::{
    Credential, IdKeys, KdfParams, KeyFile, Label, Opened, ReadKeys, RunKey, Secret, SecretRoot, Wrap, WriteKeys,
};
use nightsafe::repo::pack::table::{Table, TableChunk};
use nightsafe::repo::seal::seal_salted;
use std::fmt::Write as _;

/// Where vectors go, and the keys that they share.
struct Maker {
    write: WriteKeys,
    read: ReadKeys,
    run: RunId,
    run_key: RunKey,
    wrap: Wrap,
    secret: SecretRoot,
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn write_file(name: &str, about: &str, object: &str, expect: &str, fields: &[(&str, &str)], bytes: &[u8]) {
    let mut text = format!("nightsafe vector 1\nabout: {about}\nobject: {object}\nexpect: {expect}\n");
    for (field, value) in fields {
        writeln!(text, "{field}: {value}").unwrap();
    }
    for line in bytes.chunks(32) {
        write!(text, "\n{}", hex_of(line)).unwrap();
    }
    // What has no bytes still ends its head with an empty line.
    std::fs::write(folder().join(format!("{name}.vec")), text + "\n").unwrap();
}

#[test]
#[ignore = "writes files; run by hand when the format changes"]
fn write_all() {
    // What isn't written again would be left without the credential that opens it.
    std::fs::remove_dir_all(folder()).or_else(|error| if folder().exists() { Err(error) } else { Ok(()) }).unwrap();
    std::fs::create_dir_all(folder()).unwrap();
    let maker = Maker::new();
    maker.frames();
    maker.bad_frames();
    packs::write(&maker);
    trees::write();
    dumps::write(trees::top());
}

/// The plaintext of a frame, as its fields say.
struct Plain<'p> {
    codec: u8,
    root: &'p [u8],
    /// Length and, of an absent one, id.
    chunks: Vec<(usize, Option<ChunkId>)>,
    body: Vec<u8>,
}

impl Plain<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut out = [&[self.codec], self.root].concat();
        put_varint(&mut out, self.chunks.len() as u64);
        for (length, absent) in &self.chunks {
            put_varint(&mut out, *length as u64 * 2 + u64::from(absent.is_some()));
            out.extend(absent.iter().flat_map(|id| *id.as_bytes()));
        }
        out.extend_from_slice(&self.body);
        out
    }
}

fn table(class: Class, ids: &IdKeys, chunks: &[&[u8]]) -> Table {
    let chunk = |bytes: &&[u8]| TableChunk { length: u32::try_from(bytes.len()).unwrap(), id: ids.chunk_id(bytes) };
    Table { class, chunks: chunks.iter().map(chunk).collect() }
}

fn lengths(chunks: &[&[u8]]) -> Vec<(usize, Option<ChunkId>)> {
    chunks.iter().map(|chunk| (chunk.len(), None)).collect()
}

fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

const A: &[u8] = &[b'a'; 700];
const B: &[u8] = b"INSERT INTO t VALUES (1);\n";
const C: &[u8] = &[b'c'; 1_300];

impl Maker {
    fn new() -> Self {
        let admin = create_repository();
        let bundle = admin.new_full();
        let file = KeyFile::from_bytes([9; 32]);
        let text = file.to_text();
        let time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
        let label = Label { text: "laptop".to_owned(), created: time, host: "alpha".to_owned() };
        let credential =
            Credential::seal(&bundle, &admin, &Secret::KeyFile(file), KdfParams::STANDARD, &label).unwrap();
        let Ok(Opened::Full(write, read)) = bundle.open() else { panic!("a new full bundle is one") };
        let store_key = format!("credentials/{}", write.credential());
        let fields = [("key", store_key.as_str()), ("key-file", &text), ("role", "full"), ("label", "laptop")];
        write_file("credential", "opens the other vectors", "credential", "accept", &fields, credential.as_bytes());
        let (run, run_key) = (write.new_run(), RunKey::generate());
        let wrap = write.wrap(&run_key, run);
        Self { write, read, run, run_key, wrap, secret: SecretRoot::from_bytes([3; 32]) }
    }

    fn ids(&self, class: Class) -> &IdKeys {
        if class == Class::Secret { self.secret.ids() } else { self.write.domain().ids() }
    }

    /// The id of the frame with these chunks.
    fn id(&self, class: Class, chunks: &[&[u8]]) -> FrameId {
        let ids = self.ids(class);
        ids.frame_id(&table(class, ids, chunks).encode())
    }

    /// A frame with this plaintext, sealed as if it were sound.
    fn seal(&self, class: Class, plain: &[u8]) -> Vec<u8> {
        let repository = self.write.repository();
        let aad: [&[u8]; 4] = [&[SUITE], repository.as_bytes(), self.run.as_bytes(), &[class.code()]];
        seal_salted(self.run_key.seal_key(), b"frame", &aad, plain)
    }

    fn frame(
        &self,
        name: &str,
        about: &str,
        class: Class,
        id: FrameId,
        expect: Result<(&[&[u8]], &str), &str>,
        plain: &[u8],
    ) {
        self.sealed_frame(name, about, class, id, expect, &self.seal(class, plain));
    }

    fn sealed_frame(
        &self,
        name: &str,
        about: &str,
        class: Class,
        id: FrameId,
        expect: Result<(&[&[u8]], &str), &str>,
        sealed: &[u8],
    ) {
        let (run, wrap) = (self.run.to_string(), hex_of(self.wrap.as_bytes()));
        let (run_key, id, class) =
            (hex_of(self.run_key.seal_key().as_bytes()), id.to_string(), class.code().to_string());
        let mut fields = vec![("with", "credential"), ("run", &run), ("wrap", &wrap), ("run-key", &run_key)];
        fields.extend([("class", class.as_str()), ("id", &id)]);
        let present = expect.map(|(present, _)| blake3::hash(&present.concat()).to_hex());
        let expect = match (&expect, &present) {
            (Ok((_, lengths)), Ok(present)) => {
                fields.extend([("lengths", *lengths), ("present", present.as_str())]);
                "accept".to_owned()
            }
            (Err(reason), _) | (_, Err(reason)) => format!("reject: {reason}"),
        };
        write_file(&format!("frame-{name}"), about, "frame", &expect, &fields, sealed);
    }

    fn frames(&self) {
        let chunks = [A, B, C];
        let all: &[&[u8]] = &chunks;
        let (id, body) = (self.id(Class::Data, &chunks), chunks.concat());
        let plain = |codec, chunks, body| Plain { codec, root: &[], chunks, body }.encode();
        let raw = plain(0, lengths(&chunks), body.clone());
        self.frame("raw", "three chunks, not compressed", Class::Data, id, Ok((all, "700 26 1300")), &raw);
        let zstd = plain(1, lengths(&chunks), zstd_frame(&body));
        self.frame("zstd", "the same, compressed", Class::Data, id, Ok((all, "700 26 1300")), &zstd);
        let meta = self.id(Class::Meta, &[B]);
        self.frame("meta", "of class meta", Class::Meta, meta, Ok((&[B], "26")), &plain(0, lengths(&[B]), B.to_vec()));
        let ids = self.ids(Class::Data);
        let partial = vec![(A.len(), Some(ids.chunk_id(A))), (B.len(), None), (C.len(), Some(ids.chunk_id(C)))];
        let expect = Ok((&[B][..], "absent 26 absent"));
        self.frame("partial", "only the second chunk is left", Class::Data, id, expect, &plain(0, partial, B.to_vec()));
        let partial = vec![(A.len(), None), (B.len(), Some(ids.chunk_id(B))), (C.len(), None)];
        let expect = Ok((&[A, C][..], "700 absent 1300"));
        let zstd = plain(1, partial, zstd_frame(&[A, C].concat()));
        self.frame("partial-zstd", "the second is absent, compressed", Class::Data, id, expect, &zstd);
        let largest = vec![b'x'; MAX_CHUNK];
        let (largest, expect) = (largest.as_slice(), "8388608");
        let zstd = plain(1, lengths(&[largest]), zstd_frame(largest));
        let id = self.id(Class::Data, &[largest]);
        self.frame("largest", "one chunk of 8 MiB", Class::Data, id, Ok((&[largest], expect)), &zstd);
        let secret = self.padded(lengths(&[B]), B, 4_096);
        let id = self.id(Class::Secret, &[B]);
        self.frame("secret", "of class secret", Class::Secret, id, Ok((&[B], "26")), &secret);
    }

    /// The plaintext of a frame of class secret, with zeros up to a length.
    fn padded(&self, chunks: Vec<(usize, Option<ChunkId>)>, body: &[u8], length: usize) -> Vec<u8> {
        let mut plain = Plain { codec: 0, root: self.secret.as_bytes(), chunks, body: body.to_vec() }.encode();
        plain.resize(length, 0);
        plain
    }

    fn bad_frames(&self) {
        let chunks = [A, B];
        let (id, body) = (self.id(Class::Data, &chunks), chunks.concat());
        let plain = |codec, chunks, body: &[u8]| Plain { codec, root: &[], chunks, body: body.to_vec() }.encode();
        let bad = |name: &str, about: &str, reason: &str, plain: &[u8]| {
            self.frame(name, about, Class::Data, id, Err(reason), plain);
        };
        let good = plain(0, lengths(&chunks), &body);
        bad("empty", "no plaintext", "malformed", b"");
        bad("codec", "a third codec", "malformed", &plain(2, lengths(&chunks), &body));
        bad("short", "its last byte is missing", "malformed", &good[..good.len() - 1]);
        bad("trailing", "a byte too many", "malformed", &[&good[..], &[0]].concat());
        bad("no-chunks", "no chunks", "malformed", &plain(0, vec![], b""));
        bad("empty-chunk", "a chunk of no bytes", "malformed", &plain(0, vec![(0, None), (5, None)], b"12345"));
        bad("chunks-lie", "more chunks than it can hold", "malformed", &[0, 0xff, 0xff, 3, 2, b'x']);
        bad("chunk-too-long", "a chunk of 8 MiB and a byte", "malformed", &plain(1, vec![(MAX_CHUNK + 1, None)], b""));
        let absent = ChunkId::from_bytes([0; 16]);
        let whole = vec![(MAX_CHUNK, Some(absent)), (1, None)];
        bad("too-long", "8 MiB and a byte, absent chunks included", "malformed", &plain(0, whole, b"x"));
        bad("nothing-left", "its only chunk is absent", "malformed", &plain(0, vec![(700, Some(absent))], b""));
        bad("long-varint", "a length in a longer form", "malformed", &[&[0, 1, 0x82, 0][..], b"x"].concat());
        let zstd = |body: &[u8]| plain(1, lengths(&chunks), body);
        bad("bomb", "decompresses to 4 MiB", "compression", &zstd(&zstd_frame(&vec![0; 4 << 20])));
        bad("bomb-less", "decompresses to a byte less", "compression", &zstd(&zstd_frame(&body[1..])));
        let two = [zstd_frame(A), zstd_frame(B)].concat();
        bad("two-zstd-frames", "two zstd frames that together have the length", "compression", &zstd(&two));
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, b'x'][..], &zstd_frame(&body)].concat();
        bad("skippable", "a skippable frame in front of a sound one", "compression", &zstd(&skippable));
        let trailing = [&zstd_frame(&body)[..], &[0]].concat();
        bad("zstd-trailing", "a byte behind the zstd frame", "compression", &zstd(&trailing));
        bad("not-zstd", "said to be compressed, and isn't", "compression", &zstd(&body));
        let other = [A, C];
        bad("other", "other chunks", "other-frame", &plain(0, lengths(&other), &other.concat()));
        let wrong = vec![(A.len(), None), (B.len(), Some(absent))];
        bad("absent-id", "another id for an absent chunk", "other-frame", &plain(0, wrong, A));
        let mut flipped = self.seal(Class::Data, &good);
        flipped[20] ^= 1;
        self.sealed_frame("flipped", "a bit flipped", Class::Data, id, Err("seal"), &flipped);
        self.sealed_frame("cut", "no room for salt and tag", Class::Data, id, Err("seal"), &flipped[..31]);
        let meta = self.seal(Class::Data, &good);
        self.sealed_frame("class", "sealed as data, opened as meta", Class::Meta, id, Err("seal"), &meta);
        let id = self.id(Class::Secret, &[B]);
        let bad = |name: &str, about: &str, reason: &str, plain: &[u8]| {
            self.frame(&format!("secret-{name}"), about, Class::Secret, id, Err(reason), plain);
        };
        let mut dirty = self.padded(lengths(&[B]), B, 4_096);
        dirty[4_095] = 1;
        bad("dirty", "padding that isn't zero", "malformed", &dirty);
        bad("unpadded", "not a multiple of 4,096 bytes", "malformed", &self.padded(lengths(&[B]), B, 100));
        bad("padding", "4,096 bytes of padding too many", "malformed", &self.padded(lengths(&[B]), B, 8_192));
        let zstd = Plain { codec: 1, root: self.secret.as_bytes(), chunks: lengths(&[B]), body: zstd_frame(B) };
        bad("zstd", "compressed", "malformed", &zstd.encode());
        bad("other", "another chunk", "other-frame", &self.padded(lengths(&[A]), A, 4_096));
    }

    /// The domain of full credentials, for which all is written.
    fn domain(&self) -> DomainId {
        self.write.domain().id()
    }
}
