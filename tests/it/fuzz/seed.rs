//! The first inputs of the fuzz targets: what the test vectors hold, and some of what people and programs write.

mod remembered;
mod told;

use super::folder;
use super::targets::keys::{self, Vector, hex};
use minicbor::bytes::ByteVec;
use nightsafe::repo::format::Class;
use nightsafe::repo::id::{ChunkId, FrameId, PackHash, PackId, RunId};
use nightsafe::repo::index::{ChunkPlace, FramePlace, IndexCache, Indexed};
use nightsafe::repo::seal::{SealKey, open_once, open_salted};
use std::fs;

#[test]
#[ignore = "writes into fuzz/corpus: only where a target is new, or the format has changed"]
fn the_first_inputs_are_written() {
    for kind in ["keys", "content"] {
        for entry in fs::read_dir(folder().join("../tests/data/vectors").join(kind)).unwrap() {
            vector(&Vector::parse(&fs::read_to_string(entry.unwrap().path()).unwrap()));
        }
    }
    archives();
    exports();
    index();
    remembered::write();
    told::write();
    // Changes of a sound database: none, two in its header, one in a page, and one that is cut.
    for changes in
        [&b"\0\x01\0"[..], b"\x02\x01\0\x10\0\x02\x10\0\x64\0\x01\x0a", b"\x01\x01\0\x03\x10\x08\0\0\0\0", b"\0\0\x14"]
    {
        put("seen", changes);
    }
    for (target, texts) in TEXTS {
        for (choice, text) in *texts {
            let prefix: &[u8] = choice.as_ref().map_or(&[], std::slice::from_ref);
            put(target, &[prefix, text.as_bytes()].concat());
        }
    }
}

/// Adds an input of a target, named by its hash.
fn put(target: &str, bytes: &[u8]) {
    /// Longer ones only take time.
    const LONGEST: usize = 8_192;
    let folder = folder().join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    if bytes.len() <= LONGEST + 2 {
        fs::write(folder.join(&blake3::hash(bytes).to_hex()[..16]), bytes).unwrap();
    }
}

fn vector(vector: &Vector) {
    let key = vector.get("key");
    let with_key = [&[u8::try_from(key.len()).unwrap_or_default()], key.as_bytes(), &vector.bytes].concat();
    match vector.get("object") {
        "record" => {
            let kinds = ["runs", "pins", "stops", "forgotten", "gc", "notes", "index"];
            let kind = kinds.iter().position(|kind| key.starts_with(kind)).unwrap_or_default();
            put("record", &[&[u8::try_from(kind).unwrap_or_default()], &hex(vector.get("body"))[..]].concat());
            put("cbor", &hex(vector.get("body")));
            put("object", &with_key);
        }
        "manifest" => {
            put("manifest", &[&[0], &hex(vector.get("open"))[..]].concat());
            put("manifest", &[&[2], &hex(vector.get("sealed"))[..]].concat());
            put("object", &with_key);
        }
        "credential" => {
            put("object", &with_key);
            bundle(vector);
        }
        "key-file" => put("key_text", &vector.bytes),
        "varint" => put("cbor", &vector.bytes),
        "frame" => frame(vector),
        "pack" => put("pack", &[&[2], &vector.bytes[..]].concat()),
        "trailer" => {
            put("pack", &[&[4, 0, 1], &vector.bytes[..]].concat());
            put("pack", &[&[5, 0, 1], &vector.bytes[..]].concat());
            let records = minicbor::decode::<Vec<(FrameId, u32, u32, ByteVec, ByteVec)>>(&vector.bytes);
            for record in records.unwrap_or_default() {
                put("pack", &[&[0], &record.3[..]].concat());
                put("pack", &[&[1, 3, 0], &record.4[..]].concat());
            }
        }
        "list" => put("list", &vector.bytes),
        "directory" => put("directory", &vector.bytes),
        "open-part" => put("manifest", &[&[0], &vector.bytes[..]].concat()),
        "sealed-part" => {
            put("cbor", &vector.bytes);
            put("manifest", &[&[2], &vector.bytes[..]].concat());
        }
        _ => {}
    }
}

/// What is sealed in a credential that a key file opens.
fn bundle(vector: &Vector) {
    let Some(digits) = vector.get("key-file").split('-').nth(3).filter(|_| vector.bytes.len() == 1497) else { return };
    let mut derived = [0; 64];
    let mut hasher = blake3::Hasher::new_derive_key("nightsafe 1 key file");
    hasher.update(&hex(digits)).update(&vector.bytes[56..88]).finalize_xof().fill(&mut derived);
    let key = SealKey::from_bytes(derived[..32].try_into().expect("32 bytes"));
    let Ok(padded) = open_once(&key, &vector.bytes[..120], &vector.bytes[120..1160]) else { return };
    let length = usize::from(u16::from_le_bytes([padded[0], padded[1]]));
    let label = [&[0xa3, 1, 0x61, b'x', 2, 0x82, 0, 0, 3, 0x60][..]].concat();
    let bundle = padded.get(2..2 + length).unwrap_or_default();
    put("credential", &[&[vector.bytes[9] - 1], &padded[..2], bundle, &label].concat());
}

fn frame(vector: &Vector) {
    let class: u8 = vector.get("class").parse().unwrap_or_default();
    let repository = keys::of_content().full().0.repository();
    let run: RunId = vector.get("run").parse().expect("a run id");
    let key = SealKey::from_bytes(hex(vector.get("run-key")).try_into().unwrap_or([0; 32]));
    let aad = [&[1], &repository.as_bytes()[..], run.as_bytes(), &[class]].concat();
    let plain = open_salted(&key, b"frame", &[&aad], &vector.bytes);
    if let Ok(plain) = plain {
        put("frame", &[&[class, 0x55], &plain[..]].concat());
    }
}

/// Manifests of exports, and small exports.
fn exports() {
    let hash = "61".repeat(32);
    let manifest = format!(
        r#"{{"backup_format_version":2,"nosdesk_version":"1.0.13","schema_hash":"0319c33351b4a3c4","migration_version":"20260618100000","schema_sha256":"{hash}","created_at":"2026-11-20T03:00:05+00:00","tables":{{"users":{{"count":1,"sha256":"{hash}"}},"odd":{{"count":0,"sha256":""}},"unread":{{"count":2}},"gone":{{"count":3,"sha256":"x"}}}},"files":{{"total_count":1,"total_size_bytes":4}}}}"#
    );
    for choice in [1, 12] {
        put("export", &[&[1, choice], manifest.as_bytes()].concat());
    }
    let table: &[u8] = b"[\n  {\n    \"id\": 1\n  }\n]";
    for level in [0, 6] {
        let members = [
            ("data/users.json", table, level),
            ("data/odd.json", b"[]", level),
            ("files/a", b"text", level),
            ("manifest.json", manifest.as_bytes(), level),
        ];
        put("export", &[&[2], &crate::expand::zip(&members, 7)[..]].concat());
    }
}

/// Small archives of several versions, with rows, large objects, text, and a second table of contents.
fn archives() {
    for (minor, compression) in [(10, 0), (12, 0), (14, 6), (15, 1), (16, 0)] {
        let integer = |n: i32| [&[u8::from(n < 0)][..], &n.unsigned_abs().to_le_bytes()].concat();
        let string = |text: &str| [integer(i32::try_from(text.len()).unwrap_or_default()), text.into()].concat();
        let none = integer(-1);
        let mut out = [&b"PGDMP\x01"[..], &[minor, 0, 4, 8, 1]].concat();
        out.extend(if minor < 15 { integer(compression) } else { vec![u8::try_from(compression).unwrap_or_default()] });
        out.extend([10, 20, 3, 4, 5, 126, 0].map(integer).concat());
        out.extend(["db", "16.1", "16.1"].map(string).concat());
        let mut toc = integer(4);
        for (id, desc, copy) in [
            (1, "TABLE", ""),
            (2, "TABLE DATA", "COPY public.t (a, b) FROM stdin;\n"),
            (3, "BLOBS", ""),
            (4, "TABLE DATA", ""),
        ] {
            toc.extend(
                [integer(id), integer(i32::from(desc != "TABLE")), string("0"), string("0"), string("t"), string(desc)]
                    .concat(),
            );
            toc.extend(if minor >= 11 { integer(if desc == "TABLE" { 2 } else { 3 }) } else { vec![] });
            toc.extend([string("CREATE x;"), string(""), string(copy), string("public"), string("")].concat());
            toc.extend(if minor >= 14 { string("heap") } else { vec![] });
            toc.extend(if minor >= 16 { integer(114) } else { vec![] });
            toc.extend([string("me"), string("false"), string("1"), none.clone()].concat());
            toc.extend([2, 9, 0, 0, 0, 0, 0, 0, 0]);
        }
        out.extend_from_slice(&toc);
        let piece = |text: &[u8]| [integer(i32::try_from(text.len()).unwrap_or_default()), text.to_vec()].concat();
        let rows = [&[1][..], &integer(2), &piece(b"1\tone\n2\t\\N\n3"), &piece(b"\tthree\\n\n\\.\n\n\n"), &integer(0)]
            .concat();
        let objects = [
            &[3][..],
            &integer(3),
            &integer(17),
            &piece(b"large"),
            &integer(0),
            &integer(-5),
            &piece(b"x"),
            &integer(0),
            &integer(0),
        ]
        .concat();
        let text = [&[1][..], &integer(4), &piece(b"INSERT INTO t VALUES (1);\n"), &integer(0)].concat();
        put("copy", &[&[0], &rows[..]].concat());
        put("archive", &[&out[..], &objects, &rows, &text].concat());
        put("archive", &[&out[..], &rows, &text, &objects, &toc].concat());
    }
}

/// The files of a small index.
fn index() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = IndexCache::open(folder.path(), [1; 32]);
    for i in 0..3 {
        let frame = FrameId::from_bytes([i; 32]);
        let pack = PackId { run: RunId::from_bytes([i; 20]), hash: PackHash::from_bytes([i; 32]) };
        let number = cache.packs.add(pack, 1_000, 100).unwrap();
        let place = FramePlace {
            pack: number,
            offset: 140,
            stored: 10,
            raw: 10,
            class: Class::Data.code(),
            partial: false,
            first: 0,
            count: 1,
        };
        cache.frames.insert(&frame, &place).unwrap();
        let frame = cache.numbers.push(&frame).unwrap();
        let place = ChunkPlace { frame, ordinal: 0, length: 1 };
        cache.known.insert_if_absent(&ChunkId::from_bytes([i; 16]), place).unwrap();
        cache.packs.mark(number, Indexed::ALL);
    }
    cache.commit().unwrap();
    let mut parts: [Vec<u8>; 5] = Default::default();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let kinds = ["packs", "numbers", "frames", "known"];
        let kind = path.extension().and_then(|kind| kinds.iter().position(|known| Some(*known) == kind.to_str()));
        parts[kind.unwrap_or(4)] = match kind {
            Some(2 | 3) => bytes,
            _ => bytes[8..bytes.len() - 32].to_vec(),
        };
    }
    let [packs, numbers, frames, known, state] = parts;
    put("index", &[&[1], &state[..]].concat());
    put("index", &[&[0], &known[..]].concat());
    let mut all = Vec::new();
    for part in [packs, numbers, frames, known] {
        all.extend_from_slice(&u16::try_from(part.len()).unwrap_or_default().to_le_bytes());
        all.extend_from_slice(&part);
    }
    for choice in [2, 2 | 4, 2 | 4 | 8, 2 | 16] {
        put("index", &[&[choice], &all[..]].concat());
    }
}

/// Texts, with the byte before them.
type Texts = &'static [(Option<u8>, &'static str)];

/// Targets, and texts for them.
const TEXTS: &[(&str, Texts)] = &[
    (
        "export",
        &[
            (Some(0), "[]"),
            (Some(0), " [\n  {\n    \"id\": 1,\n    \"a\": [true, null, \"]\\\"\\\\\", {}]\n  }, -1.5e3,\n\"\" ]\n"),
            (Some(0), "[[[[{\"\":[[]]}]],0],[1}]"),
        ],
    ),
    ("key_text", &[(None, "correct horse"), (None, "e\u{301}\r\n"), (None, "\u{fb01}\u{1e9b}\u{323}")]),
    (
        "names",
        &[
            (None, "a/b/c"),
            (None, "/a//./b/"),
            (None, "a/../b"),
            (None, "...\u{202e}\x1b[0m"),
            (None, "abababab-64s36d1n6rvkge9g64s36d1n6r"),
            (None, "index/abababab-64s36d1n6rvkge9g64s36d1n6r/10"),
            (None, "nightsafe.json"),
            (None, "a.tmp"),
            (
                None,
                "packs/07/abababab-64s36d1n6rvkge9g64s36d1n6r-0707070707070707070707070707070707070707070707070707070707070707",
            ),
        ],
    ),
    (
        "words",
        &[
            (Some(0), "30 3 * * *"),
            (Some(0), "10-20/5,50 * 1,15 jan-mar mon"),
            (Some(0), "@weekly"),
            (Some(1), "26h"),
            (Some(1), "6 mo"),
            (Some(2), "1y2m3w4d5h"),
            (Some(2), "14d"),
            (Some(3), "20M"),
            (Some(3), "2 GiB"),
            (Some(4), "2026-11-20T13:05:00Z"),
            (Some(4), "2026-11-20 13:05"),
            (Some(4), "2026-11-20T13:05:00.123+02:00[Europe/Berlin]"),
            (Some(5), "public.\"Odd \"\"name\""),
            (Some(5), "id=5"),
            (Some(6), "latest:shop:/a/b"),
            (Some(6), "3f2k:/x:y"),
            (Some(7), "5%"),
            (Some(7), "10G/week"),
            (Some(7), "1/10"),
            (Some(8), "/srv/**/*.[!a-c]{tmp,bak}/"),
            (Some(8), "#a"),
            (Some(8), "!\\[a"),
        ],
    ),
    (
        "url",
        &[
            (Some(0), "/mnt/x"),
            (Some(0), "file:///x"),
            (Some(0), "memory:"),
            (Some(0), "s3:bucket/prefix"),
            (Some(0), "s3:https://host:9000/bucket/a"),
            (Some(0), "sftp:me@host:path"),
            (Some(0), "sftp://me@[::1]:22/~/path"),
            (Some(0), "webdav:https://me@host/dav/x"),
            (Some(0), "fs:x"),
            (Some(0), "webdav:https://me:secret@host/x"),
            (Some(0), "azblob:container/p"),
            (Some(1), "postgres://me@a:1,[::1]:2/db?sslmode=require"),
            (Some(1), "host=x port=5 user='a b' dbname=\\'"),
            (Some(1), "service=s"),
            (Some(1), "postgresql://%2Fvar%2Frun/db"),
        ],
    ),
    (
        "copy",
        &[
            (Some(1), "1\t\\N\ttext\\n\\101\\x41\\\\"),
            (Some(2), "COPY public.\"Odd \"\"name\" (id, \"Mixed Case\") FROM stdin;\n"),
            (Some(2), "COPY t  FROM stdin;"),
        ],
    ),
    (
        "script",
        &[
            (
                Some(0),
                "-- PostgreSQL database dump\n\\restrict x\nSET standard_conforming_strings = on;\nCREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '\\c'; $x$ $_$;\nCOPY t (a) FROM stdin;\n1\\t\n\\.\n\n-- PostgreSQL database dump complete\n",
            ),
            (Some(1), "/* a /* b */ */ SELECT E'\\'', U&'\\0041', \"a\"\"b\", 'x''y' -- c\n 'z';\nBEGIN;\nCOMMIT;\n"),
            (
                Some(2),
                "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 ELSE 2 END; END;\nSET transaction_timeout = 0;\nCREATE DATABASE x;\n",
            ),
            (Some(0), "SELECT 1;\n\\connect other\n"),
        ],
    ),
    (
        "plain",
        &[
            (
                Some(0),
                "-- PostgreSQL database dump\n\\restrict x\n-- Dumped from database version 15.14 (Debian 15.14-1)\n-- Dumped by pg_dump version 17.2\n-- Started on 2026-11-20 03:00:05 CET\nSET search_path = a, pg_catalog;\nCREATE TABLE a.\"Odd\" (\n    id integer NOT NULL,\n    \"x y\" numeric(3,2) DEFAULT 'a,'',',\n    CONSTRAINT c CHECK ((id > 0))\n);\nCOPY a.\"Odd\" (id, \"x y\") FROM stdin;\n1\t\\N\n\\.\nSELECT pg_catalog.lo_open('1', 131072);\n-- PostgreSQL database dump complete\n\\unrestrict x\n",
            ),
            (
                Some(1),
                "CREATE DATABASE x;\n\\connect x\nCREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;\nCREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\nCREATE FUNCTION g() RETURNS text LANGUAGE sql AS $_$ SELECT ';' $_$;\n/* a /* b */ */ SELECT E'\\'', U&'\\0041';\n",
            ),
            (
                Some(1),
                "CREATE TABLE b.schema_migrations (\n    version bigint NOT NULL,\n    dirty boolean NOT NULL\n);\nINSERT INTO b.schema_migrations VALUES (7, true);\nINSERT INTO b.schema_migrations (version, dirty) OVERRIDING SYSTEM VALUE VALUES\n\t(-8.5, false),\n\t('a''\\b', NULL) ON CONFLICT DO NOTHING;\n",
            ),
            (
                Some(1),
                "COPY a.knex_migrations_lock (index, is_locked) FROM stdin;\n1\t1\n\\.\nCOPY a.knex_migrations (id, name, batch, migration_time) FROM stdin;\n2\tb\\tc\t1\t\\N\n1\ta\t1\t2026-01-01 00:00:00+00\n\\.\n",
            ),
            (Some(1), "COPY t (a) FROM stdin;\n1\n"),
            (Some(2), "20260101\tf\n20260102\tt\r\n\\N\t\\x41\n\n"),
        ],
    ),
    (
        "environment",
        &[
            (
                Some(0),
                "A=1\nexport B = 'two\nlines' # c\nC=\"x\\n$\" \\\nD=`y`\nE=-----BEGIN KEY-----\nabc==\n-----END KEY-----\nF=a \\\n b\n",
            ),
            (Some(0), "\u{feff}# c\n\nX.Y-Z=\"a\"'b'c\nBAD LINE\nabcd==\n=x\n"),
            (
                Some(1),
                "services:\n  a:\n    env_file: .env\n  b:\n    env_file:\n      - one.env\n      - path: \"two.env\"\n        required: false\n  c: {env_file: [x, 'y']} # z\n",
            ),
        ],
    ),
    (
        "config",
        &[
            (
                None,
                "timezone = \"Europe/Berlin\"\ninclude = [\"apps.d/*.toml\"]\n[repository.offsite]\nurl = \"s3:ws-night\"\noptions = { endpoint = \"https://s3.example.net\", connections = 4 }\nsecret_options = { access_key_id = { credential = \"s3-id\" } }\npassword = { file = \"pw\" }\n[notify]\nping = { file = \"/etc/url\" }\non_failure = [\"mailto:ops@example.net\"]\n",
            ),
            (
                None,
                "[repository.nas]\nurl = \"night\"\npassword = { env = \"PW\" }\n[app.w]\ncompose = \"/opt/w/compose.yml\"\nrepositories = [\"nas\"]\nschedule = \"30 3 * * *\"\nmax_age = \"26h\"\nkeep = { daily = 7, weekly = 4, within = \"14d\" }\n[app.w.source.db]\nkind = \"postgres\"\nservice = \"postgres\"\ndatabases = \"all\"\n[app.w.source.f]\nkind = \"files\"\npaths = [\"/srv\"]\nexclude = [\"*.tmp\"]\n[app.w.source.s]\nkind = \"stack\"\n",
            ),
        ],
    ),
];
