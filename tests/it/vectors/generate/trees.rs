//! Vectors of lists, directories and the parts of manifests.

use super::{hex_of, write_file, zstd_frame};
use nightsafe::repo::cbor::{self, Time};
use nightsafe::repo::codec::{put_varint, zigzag};
use nightsafe::repo::id::FrameId;
use nightsafe::snapshot::manifest::application::{Application, Image, Key, KeyUse};
use nightsafe::snapshot::manifest::database::{Database, Extension, Ledger, Role, Table};
use nightsafe::snapshot::manifest::{OpenPart, SealedPart, Source, SourceDetail, State, Statistics};
use nightsafe::snapshot::tree::entry::{Entry, EntryType, Flags, Xattr, encode_entry};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::reference::{Extent, Reference};

const TIME: Time = Time { seconds: -1, nanoseconds: 123_456_789 };

pub(super) fn write() {
    lists();
    directories();
    bad_directories();
    parts();
}

/// A list whose parts are given freely.
#[derive(Clone)]
struct Parts {
    version: u8,
    bytes: u64,
    frames: Vec<u8>,
    n: u64,
    /// Slot, first and count, the former two as differences.
    columns: [Vec<i64>; 3],
    behind: &'static [u8],
}

impl Parts {
    fn encode_with(&self, column: impl Fn(&[u8]) -> (Vec<u8>, u64)) -> Vec<u8> {
        let mut out = vec![self.version];
        put_varint(&mut out, self.bytes);
        out.extend([7; 32]);
        put_varint(&mut out, self.frames.len() as u64);
        out.extend(self.frames.iter().flat_map(|&frame| [frame; 32]));
        put_varint(&mut out, self.n);
        for (number, values) in self.columns.iter().enumerate() {
            let mut raw = Vec::new();
            for &value in values {
                put_varint(&mut raw, if number == 2 { value.cast_unsigned() } else { zigzag(value) });
            }
            let (packed, length) = column(&raw);
            put_varint(&mut out, packed.len() as u64);
            put_varint(&mut out, length);
            out.extend(packed);
        }
        out.extend(self.behind);
        out
    }

    fn encode(&self) -> Vec<u8> {
        self.encode_with(|raw| (zstd_frame(raw), raw.len() as u64))
    }
}

fn lists() {
    // Frames a, b: a 5+2, b 0+65535, a (where it was left, at 7) 1, a from 0 again.
    let good = Parts {
        version: 1,
        bytes: 100_000,
        frames: vec![0xaa, 0xbb],
        n: 4,
        columns: [vec![0, 1, -1, 0], vec![5, 0, 0, -8], vec![2, 65_535, 1, 1]],
        behind: &[],
    };
    let id = |frame: u8| FrameId::from_bytes([frame; 32]);
    let (a, b) = (id(0xaa), id(0xbb));
    let references = format!("{a}:5:2 {b}:0:65535 {a}:7:1 {a}:0:1");
    let accept = |name: &str, about: &str, bytes: &str, references: &str, list: &[u8]| {
        let fields = [("bytes", bytes), ("hash", &hex_of(&[7; 32])), ("references", references)];
        write_file(&format!("list-{name}"), about, "list", "accept", &fields, list);
    };
    accept("four", "four references to two frames", "100000", &references, &good.encode());
    let empty = Parts { bytes: 0, frames: vec![], n: 0, columns: [const { Vec::new() }; 3], ..good.clone() };
    accept("empty", "of an empty stream", "0", "", &empty.encode());
    let bad = |name: &str, about: &str, list: &[u8]| {
        write_file(&format!("list-{name}"), about, "list", "reject: malformed", &[], list);
    };
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        change(&mut parts);
        parts.encode()
    };
    bad("version", "version 2", &with(&|l| l.version = 2));
    bad("trailing", "a byte behind it", &with(&|l| l.behind = &[0]));
    bad("slot", "a slot out of range", &with(&|l| l.columns[0] = vec![0, 1, 1, 0]));
    bad("slot-negative", "a slot below 0", &with(&|l| l.columns[0] = vec![0, 1, -2, 0]));
    bad("order", "slots not in order of first use", &with(&|l| l.columns[0] = vec![1, -1, 0, 0]));
    bad("unused", "a frame that isn't used", &with(&|l| l.frames.push(0xcc)));
    bad("twice", "a frame id that occurs twice", &with(&|l| l.frames = vec![0xaa, 0xaa]));
    bad("count", "a count of zero", &with(&|l| l.columns[2][3] = 0));
    bad("beyond", "chunks that no frame has", &with(&|l| l.columns[1][1] = 1));
    bad("first", "a first below 0", &with(&|l| l.columns[1][3] = -9));
    bad("n-more", "more references than values", &with(&|l| l.n = 5));
    bad("n-less", "fewer references than values", &with(&|l| l.n = 3));
    bad("n-lie", "2⁶⁰ references", &with(&|l| l.n = 1 << 60));
    bad("bytes", "more references than bytes", &with(&|l| l.bytes = 3));
    bad("bytes-none", "no bytes, but references", &with(&|l| l.bytes = 0));
    let skippable = empty.encode_with(|_| (b"\x50\x2a\x4d\x18\0\0\0\0".to_vec(), 0));
    bad("skippable", "of an empty stream, whose columns are skippable frames", &skippable);
    bad("no-references", "bytes, but no references", &Parts { bytes: 1, ..empty }.encode());
    bad("raw", "another raw length", &good.encode_with(|raw| (zstd_frame(raw), raw.len() as u64 + 1)));
    let two = |raw: &[u8]| ([zstd_frame(&raw[..1]), zstd_frame(&raw[1..])].concat(), raw.len() as u64);
    bad("two-frames", "columns of two zstd frames", &good.encode_with(two));
    let wide = |raw: &[u8]| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(24).unwrap();
        encoder.include_contentsize(false).unwrap();
        std::io::Write::write_all(&mut encoder, raw).unwrap();
        (encoder.finish().unwrap(), raw.len() as u64)
    };
    bad("window", "a window of 16 MiB", &good.encode_with(wide));
    // 256 references of one frame, each where the one before left it. No compressor asks for a window beyond a length that it gives, so it's written by hand (RFC 8878, section 3.1.1):
    // magic, descriptor, window, 256 more than this length, and a block that repeats a byte.
    let alike = Parts {
        bytes: 1_000,
        frames: vec![0xaa],
        n: 256,
        columns: [vec![0; 256], vec![0; 256], vec![1; 256]],
        ..good.clone()
    };
    let known = |raw: &[u8]| ([b"\x28\xb5\x2f\xfd\x40\x70\0\0\x03\x08\0", &raw[..1]].concat(), 256);
    bad("window-known", "a window of 16 MiB, though the length of what is in it is given", &alike.encode_with(known));
}

fn entry(name: &str, kind: EntryType) -> Entry {
    Entry { mode: 0o640, uid: 1_000, gid: 1_000, mtime: TIME, ..Entry::new(name, kind) }
}

fn inline(name: &str, bytes: &[u8]) -> Entry {
    Entry { size: Some(bytes.len() as u64), inline: Some(bytes.to_vec()), ..entry(name, EntryType::File) }
}

fn references(first: u32, n: usize) -> Vec<Reference> {
    vec![Reference { frame: FrameId::from_bytes([1; 32]), first, count: 1 }; n]
}

fn stored(name: &str, size: u64) -> Entry {
    let references = Some(references(0, usize::from(size > 0)));
    Entry { size: Some(size), references, hash: Some([2; 32]), ..entry(name, EntryType::File) }
}

fn stream(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        encode_entry(entry, &mut out);
    }
    out
}

fn directories() {
    let secret = |mut entry: Entry| {
        entry.flags.insert(Flags::SECRET);
        entry
    };
    let extents = Some(vec![Extent { offset: 0, length: 1 }, Extent { offset: 2, length: 3 }]);
    let xattrs =
        vec![Xattr { name: b"user.a".to_vec(), value: vec![] }, Xattr { name: b"user.b".to_vec(), value: vec![0] }];
    let every = [
        Entry { user: Some(b"me".to_vec()), ctime: Some(TIME), btime: Some(TIME), xattrs, ..inline("a", b"short") },
        inline("b", b""),
        stored("c", 0),
        Entry { link_group: Some([7; 8]), ..stored("d", 1 << 40) },
        Entry { list: Some(references(0, 65)), references: None, ..stored("e", 1 << 50) },
        secret(stored("f", 9)),
        Entry { extents: extents.clone(), ..stored("g", 100) },
        Entry { size: Some(100), extents, ..inline("h", b"data") },
        Entry { size: Some(100), extents: Some(vec![]), ..stored("i", 0) },
        Entry { kind: EntryType::Directory, ..stored("j", 0) },
        Entry { target: Some(b"../x".to_vec()), ..entry("k", EntryType::Symlink) },
        entry("l", EntryType::Fifo),
        entry("m", EntryType::Socket),
        Entry { device: Some((1, 3)), ..entry("n", EntryType::CharacterDevice) },
        Entry { device: Some((8, 0)), ..entry("o", EntryType::BlockDevice) },
        Entry { name: vec![0xff], ..entry("", EntryType::Fifo) },
    ];
    let accept = |name: &str, about: &str, names: &str, bytes: &[u8]| {
        write_file(&format!("directory-{name}"), about, "directory", "accept", &[("names", names)], bytes);
    };
    let names: Vec<String> = every.iter().map(|entry| hex_of(&entry.name)).collect();
    accept("every", "an entry of every kind", &names.join(" "), &stream(&every));
    let upper = [entry("B", EntryType::Fifo), entry("a", EntryType::Fifo), entry("a.", EntryType::Fifo)];
    accept("bytes", "names are ordered as bytes", "42 61 612e", &stream(&upper));
    let mut bytes = stream(&[entry("a", EntryType::Fifo)]);
    // One more field: the map's head, the key, the value.
    (bytes[0], bytes[1]) = (bytes[0] + 4, bytes[1] + 1);
    bytes.extend([0x18, 99, 0x81, 0x05]);
    accept("unknown", "a field that format 1 doesn't define", "61", &bytes);
}

fn bad_directories() {
    let bad = |name: &str, about: &str, reason: &str, bytes: &[u8]| {
        write_file(&format!("directory-{name}"), about, "directory", &format!("reject: {reason}"), &[], bytes);
    };
    let fifo = |name: &str| entry(name, EntryType::Fifo);
    let one = |name: &str, about: &str, reason: &str, entry: Entry| bad(name, about, reason, &stream(&[entry]));
    bad("order", "b before a", "order", &stream(&[fifo("b"), fifo("a")]));
    bad("twice", "a name twice", "order", &stream(&[fifo("a"), fifo("a")]));
    let good = stream(&[fifo("a")]);
    bad("truncated", "its last byte is missing", "truncated", &good[..good.len() - 1]);
    bad("too-long", "an entry of 16 MiB and a byte", "too-long", &[0x81, 0x80, 0x80, 0x08]);
    bad("no-cbor", "an entry without CBOR", "malformed", &[0]);
    bad("long-varint", "a length in a longer form", "malformed", &[0x80, 0]);
    for (name, entry_name) in [("dot", "."), ("dot-dot", ".."), ("slash", "a/b"), ("nul", "a\0"), ("nameless", "")] {
        one(name, "a name that must not be", "name", fifo(entry_name));
    }
    one("long-name", "a name of 4,097 bytes", "name", fifo(&"n".repeat(4_097)));
    one("mode", "more than 12 bits of mode", "mode", Entry { mode: 0o10000, ..fifo("a") });
    one("size", "a pipe with a size", "size", Entry { size: Some(0), ..fifo("a") });
    one(
        "two-contents",
        "both inline and references",
        "content",
        Entry { inline: Some(b"x".to_vec()), ..stored("a", 1) },
    );
    one("no-content", "a file without content", "content", Entry { inline: None, ..inline("a", b"x") });
    let directory = Entry { kind: EntryType::Directory, ..inline("a", b"x") };
    one("inline-directory", "a directory with its stream inline", "content", directory);
    one("inline-65", "65 bytes inline", "content", inline("a", &[1; 65]));
    let mut secret = inline("a", b"PASSWORD=x");
    secret.flags.insert(Flags::SECRET);
    one("secret-inline", "a secret in its entry", "secret", secret);
    one("length", "content of another length", "length", Entry { size: Some(2), ..inline("a", b"x") });
    one(
        "empty-references",
        "no references, but a size",
        "length",
        Entry { references: Some(vec![]), ..stored("a", 1) },
    );
    one("hash", "no content hash", "hash", Entry { hash: None, ..stored("a", 1) });
    one("inline-hash", "a content hash beside content", "hash", Entry { hash: Some([1; 32]), ..inline("a", b"x") });
    one(
        "references-65",
        "65 references inline",
        "references",
        Entry { references: Some(references(0, 65)), ..stored("a", 99) },
    );
    // Said while the record is decoded already.
    one(
        "reference",
        "a reference beyond any frame",
        "malformed",
        Entry { references: Some(references(65_535, 1)), ..stored("a", 1) },
    );
    one("link", "a link without target", "target", entry("a", EntryType::Symlink));
    one("target", "a target of NUL", "target", Entry { target: Some(vec![0]), ..entry("a", EntryType::Symlink) });
    one("device", "a device without numbers", "device", entry("a", EntryType::BlockDevice));
    let group = Entry { kind: EntryType::Directory, link_group: Some([1; 8]), ..stored("a", 0) };
    one("group", "a directory in a group", "linkgroup", group);
    one("owner", "an empty name of the owner", "owner", Entry { user: Some(vec![]), ..fifo("a") });
    let xattr = |name: &[u8], length| Xattr { name: name.to_vec(), value: vec![0; length] };
    one(
        "xattr-order",
        "attributes out of order",
        "xattrs",
        Entry { xattrs: vec![xattr(b"b", 0), xattr(b"a", 0)], ..fifo("a") },
    );
    one(
        "xattr-long",
        "an attribute of 64 KiB and a byte",
        "xattrs",
        Entry { xattrs: vec![xattr(b"a", 65_537)], ..fifo("a") },
    );
    for (name, about, extents) in [
        ("extents-touch", "extents that touch", &[(0, 1), (1, 3)][..]),
        ("extents-overlap", "extents that overlap", &[(0, 2), (1, 2)]),
        ("extents-beyond", "extents beyond the size", &[(98, 4)]),
        ("extents-empty", "an empty extent", &[(0, 4), (50, 0)]),
    ] {
        let extents = extents.iter().map(|&(offset, length)| Extent { offset, length }).collect();
        one(name, about, "extents", Entry { size: Some(100), extents: Some(extents), ..inline("a", b"data") });
    }
    let changed = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes.splice(at..at + from.len(), to.iter().copied());
        bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
        bytes
    };
    bad("type", "an eighth type", "malformed", &changed(&[1, 4], &[1, 8]));
    bad("null", "null for an absent field", "malformed", &changed(&[0xa6], &[0xa6, 0xf6]));
    bad("long-integer", "a type in a longer form", "malformed", &changed(&[1, 4], &[1, 0x18, 4]));
    bad("key-order", "keys out of order", "malformed", &changed(&[1, 4, 2, 0x19, 1, 0xa0], &[2, 0x19, 1, 0xa0, 1, 4]));
    bad(
        "nanoseconds",
        "10⁹ nanoseconds",
        "malformed",
        &changed(&[0x1a, 0x07, 0x5b, 0xcd, 0x15], &[0x1a, 0x3b, 0x9a, 0xca, 0]),
    );
    bad("text-name", "a name as text", "malformed", &changed(&[0, 0x41, b'a'], &[0, 0x61, b'a']));
}

/// What is sealed of a snapshot with this root, and nothing else.
pub(super) fn sealed_of(root: Entry) -> SealedPart {
    SealedPart {
        needs: None,
        root,
        paths: vec![],
        problems: vec![],
        secrets: vec![],
        user: None,
        databases: None,
        application: None,
        details: None,
        exclusions: None,
        dumps: None,
    }
}

/// The top of a tree.
pub(super) fn top() -> Entry {
    Entry { kind: EntryType::Directory, ..stored("", 0) }
}

fn parts() {
    let open = OpenPart {
        needs: None,
        time: TIME,
        zone: "Europe/Berlin".to_owned(),
        host: "alpha".to_owned(),
        app: None,
        tags: vec!["weekly".to_owned()],
        state: State::Incomplete,
        sequence: 3,
        previous: Some([4; 32]),
        parent: None,
        replaces: None,
        tool: "nightsafe 0.1.0".to_owned(),
        statistics: Statistics { files: 1, ..Statistics::default() },
        sources: vec![Source { name: "home".to_owned(), kind: "files".to_owned(), state: State::Complete }],
        brings_back: None,
        checkpoint_of: None,
    };
    let sealed = SealedPart { paths: vec![b"/home/\xff".to_vec().into()], ..sealed_of(top()) };
    let vector = |part: &str, name: &str, about: &str, expect: &str, bytes: &[u8]| {
        write_file(&format!("{part}-part{name}"), about, &format!("{part}-part"), expect, &[], bytes);
    };
    let bytes = cbor::encode(&open);
    vector("open", "", "with a tag and a source", "accept", &bytes);
    let changed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let tags = [&[5, 0x81, 0x66][..], b"weekly"].concat();
    let mut lacking = changed(&tags, &[]);
    lacking[0] -= 1;
    vector("open", "-tags", "no field 5", "reject: malformed", &lacking);
    vector("open", "-state", "a third state", "reject: malformed", &changed(&[6, 1, 7], &[6, 2, 7]));
    vector("open", "-trailing", "a byte behind it", "reject: malformed", &[&bytes[..], &[0]].concat());
    let source = [&[0x83, 0x64][..], b"home"].concat();
    let longer = [&[0x84, 0x64][..], b"home"].concat();
    let four = [&changed(&source, &longer)[..], &[0]].concat();
    vector("open", "-source", "a source of four parts", "reject: malformed", &four);
    vector("sealed", "", "the top, and what was asked for", "accept", &cbor::encode(&sealed));
    let mut named = sealed.clone();
    named.root.name = b"top".to_vec();
    vector("sealed", "-top-name", "a top with a name", "reject: top", &cbor::encode(&named));
    let file = SealedPart { root: inline("", b"x"), ..sealed.clone() };
    vector("sealed", "-top-file", "a file for a top", "reject: top", &cbor::encode(&file));
    let live = SealedPart {
        databases: Some(vec![database()]),
        application: Some(application()),
        details: Some(vec![SourceDetail {
            name: "db".to_owned(),
            entries: 3,
            bytes: 900,
            raw_added: 800,
            milliseconds: 7,
        }]),
        ..sealed
    };
    let bytes = cbor::encode(&live);
    vector("sealed", "-live", "a database, an application, and what a source came to", "accept", &bytes);
    let changed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let login = [&[0x64][..], b"wiki", &[1, 1]].concat();
    let maybe = [&[0x64][..], b"wiki", &[1, 2]].concat();
    vector("sealed", "-login", "a role that may log in or not: 2", "reject: malformed", &changed(&login, &maybe));
    let used = [&b"WIKI_KEY"[..], &[1, 0]].concat();
    let unknown = [&b"WIKI_KEY"[..], &[1, 2]].concat();
    vector("sealed", "-key-use", "a third use of a key", "reject: malformed", &changed(&used, &unknown));
}

/// A database with one of everything.
fn database() -> Database {
    let table = Table {
        schema: "public".to_owned(),
        name: "pages".to_owned(),
        rows: Some(3),
        dumped_rows: Some(3),
        bytes: Some(90),
        first_chunk: Some(2),
        chunks: Some(1),
    };
    let role = Role { name: "wiki".to_owned(), login: true, member_of: vec!["readers".to_owned()], inherit: false };
    let ledger = Ledger {
        kind: "diesel".to_owned(),
        schema: "public".to_owned(),
        table: "__diesel_schema_migrations".to_owned(),
        rows: vec!["20260101".to_owned()],
        hash: [8; 32],
        warnings: vec![],
    };
    Database {
        source: "db".to_owned(),
        name: "wiki".to_owned(),
        dump: SafePath::parse(b"db/wiki.dump").unwrap(),
        bytes: 900,
        blake3: [5; 32],
        sha256: [6; 32],
        taken: TIME,
        server: 150_014,
        client: 170_011,
        encoding: "UTF8".to_owned(),
        collation: "C".to_owned(),
        character_type: "C".to_owned(),
        owner: "wiki".to_owned(),
        extensions: vec![Extension {
            name: "hstore".to_owned(),
            version: "1.8".to_owned(),
            schema: "public".to_owned(),
        }],
        tables: vec![table],
        large_objects: 0,
        roles: vec![role],
        ledgers: vec![ledger],
        keys_in_use: Some(vec!["7".to_owned()]),
        locale_provider: Some("c".to_owned()),
        icu_locale: None,
    }
}

/// An application with an image and a key.
fn application() -> Application {
    let image = Image {
        service: "app".to_owned(),
        image: "wiki:stable".to_owned(),
        digest: None,
        version: Some("2.4.1".to_owned()),
    };
    let key = Key {
        variable: "WIKI_KEY".to_owned(),
        usage: KeyUse::Decrypts,
        id: Some("7".to_owned()),
        fingerprint: Some([9; 16]),
    };
    Application { version: Some("2.4.1".to_owned()), images: vec![image], keys: vec![key] }
}
