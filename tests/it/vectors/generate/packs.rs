//! Vectors of packs and their trailers.

use super::{A, B, C, Maker, Plain, lengths, table, write_file};
use minicbor::Encoder;
use nightsafe::repo::format::Class;
use nightsafe::repo::id::{FrameId, PackHash, PackId, RunId};
use nightsafe::repo::keys::IdKeys;
use nightsafe::repo::pack::builder::PackOpening;
use nightsafe::repo::pack::padme;
use nightsafe::repo::seal::seal_salted;

/// A frame's row of a trailer.
#[derive(Clone)]
struct Row {
    id: FrameId,
    stored: u32,
    raw: u32,
    table: Vec<u8>,
    present: Vec<u8>,
}

fn row(class: Class, ids: &IdKeys, chunks: &[&[u8]], stored: usize) -> Row {
    let table = table(class, ids, chunks).encode();
    let raw = chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
    let (stored, raw) = (u32::try_from(stored).unwrap(), u32::try_from(raw).unwrap());
    Row { id: ids.frame_id(&table), stored, raw, table, present: vec![] }
}

fn encode(rows: &[Row]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(rows.len() as u64).unwrap();
    for row in rows {
        encoder.array(5).unwrap().bytes(row.id.as_bytes()).unwrap().u32(row.stored).unwrap().u32(row.raw).unwrap();
        encoder.bytes(&row.table).unwrap().bytes(&row.present).unwrap();
    }
    encoder.into_writer()
}

pub(super) fn write(maker: &Maker) {
    trailers(maker);
    packs(maker);
}

fn trailers(maker: &Maker) {
    let ids = maker.ids(Class::Data);
    let sound = row(Class::Data, ids, &[A, B, C], 1_000);
    let second = row(Class::Data, ids, &[B, C], 500);
    let vector = |name: &str, about: &str, expect: Result<&[&Row], &str>, end: u32, bytes: &[u8]| {
        let end = end.to_string();
        let frames = expect.map(|rows| rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>().join(" "));
        let mut fields = vec![("with", "credential"), ("end", end.as_str())];
        let expect = match &frames {
            Ok(frames) => {
                fields.push(("frames", frames));
                "accept".to_owned()
            }
            Err(reason) => format!("reject: {reason}"),
        };
        write_file(&format!("trailer-{name}"), about, "trailer", &expect, &fields, bytes);
    };
    let both = encode(&[sound.clone(), second.clone()]);
    vector("two", "two frames that fill the pack exactly", Ok(&[&sound, &second]), 1_640, &both);
    let partial = Row { raw: 726, present: vec![0b011], ..sound.clone() };
    vector("partial", "the third chunk is absent", Ok(&[&partial]), 9_999, &encode(std::slice::from_ref(&partial)));
    let secret = Row { id: FrameId::from_bytes([1; 32]), ..row(Class::Secret, ids, &[A], 5_000) };
    let about = "of class secret, where ids can't be compared";
    vector("secret", about, Ok(&[&secret]), 9_999, &encode(std::slice::from_ref(&secret)));

    let bad = |name: &str, about: &str, rows: &[Row]| vector(name, about, Err("malformed"), 1_640, &encode(rows));
    vector("overfull", "frames a byte longer than the pack", Err("malformed"), 1_639, &both);
    vector("trailing", "a byte behind the CBOR", Err("malformed"), 9_999, &[&both[..], &[0]].concat());
    bad("none", "no frames", &[]);
    bad("id", "a table that doesn't hash to its id", &[Row { id: second.id, ..sound.clone() }]);
    bad("raw", "another raw length", &[Row { raw: 2_025, ..sound.clone() }]);
    bad("table", "a table with a byte too many", &[Row { table: [&sound.table[..], &[0]].concat(), ..sound.clone() }]);
    bad("classes", "frames of two classes", &[sound.clone(), row(Class::Meta, ids, &[B], 100)]);
    bad("bitmap-long", "a bitmap of two bytes", &[Row { present: vec![0b011, 0], ..partial.clone() }]);
    bad("bitmap-unused", "an unused bit set", &[Row { present: vec![0b1011], ..partial.clone() }]);
    bad("bitmap-all", "a bitmap of all chunks", &[Row { present: vec![0b111], ..sound.clone() }]);
    bad("bitmap-none", "a bitmap of no chunks", &[Row { raw: 0, present: vec![0], ..sound.clone() }]);
    bad("bitmap-raw", "the raw length of all chunks with a bitmap", &[Row { present: vec![0b011], ..sound }]);
    let mut six = both[..1].to_vec();
    six.extend([&[0x86], &both[2..]].concat());
    vector("six-parts", "a row of six parts", Err("malformed"), 9_999, &six);
}

fn packs(maker: &Maker) {
    let keys = maker.read.domain(maker.domain());
    let repository = maker.write.repository();
    let opening = PackOpening { repository, domain: maker.domain(), run: maker.run, wrap: maker.wrap };
    let frame = |chunks: &[&[u8]]| {
        let plain = Plain { codec: 0, root: &[], chunks: lengths(chunks), body: chunks.concat() };
        maker.seal(Class::Data, &plain.encode())
    };
    let (first, second) = (frame(&[A, B]), frame(&[C]));
    let rows = [row(Class::Data, keys.ids(), &[A, B], first.len()), row(Class::Data, keys.ids(), &[C], second.len())];
    let aad: [&[u8]; 3] = [repository.as_bytes(), maker.run.as_bytes(), b"trailer"];
    let trailer = seal_salted(keys.index(), b"trailer", &aad, &encode(&rows));
    let end = |t: usize, kind: u8| [&u32::try_from(t).unwrap().to_le_bytes()[..], b"nsafe", &[kind, 1, 1]].concat();
    let whole = |opening: &PackOpening, trailer: &[u8], end: &[u8]| {
        let mut bytes = [&opening.encode()[..], &first, &second].concat();
        let length = (bytes.len() + trailer.len() + end.len()) as u64;
        bytes.resize(bytes.len() + usize::try_from(padme::padded(length) - length).unwrap(), 0xaa);
        [&bytes[..], trailer, end].concat()
    };
    let named = |name: &str, about: &str, expect: Result<(), &str>, run: RunId, hash: [u8; 32], bytes: &[u8]| {
        let id = PackId { run, hash: PackHash::from_bytes(hash) };
        let store_key = nightsafe::repo::format::key::pack(id);
        let frames = format!("{} {}", rows[0].id, rows[1].id);
        let fields = [("with", "credential"), ("key", store_key.as_str()), ("frames", &frames)];
        let expect = expect.map_or_else(|reason| format!("reject: {reason}"), |()| "accept".to_owned());
        let fields = if expect == "accept" { &fields[..] } else { &fields[..2] };
        write_file(&format!("pack{name}"), about, "pack", &expect, fields, bytes);
    };
    let vector = |name: &str, about: &str, expect, bytes: &[u8]| {
        named(name, about, expect, maker.run, *blake3::hash(bytes).as_bytes(), bytes);
    };
    let good = whole(&opening, &trailer, &end(trailer.len(), b'p'));
    vector("", "two frames", Ok(()), &good);
    let unpadded = [&opening.encode()[..], &first, &second, &trailer, &end(trailer.len(), b'p')].concat();
    vector("-unpadded", "not padded: that is the writer's affair", Ok(()), &unpadded);
    named("-hash", "under another name", Err("hash"), maker.run, [1; 32], &good);
    let other = RunId::from_bytes([1; 20]);
    named("-run", "under another run's name", Err("foreign"), other, *blake3::hash(&good).as_bytes(), &good);
    let stranger =
        PackOpening { repository: nightsafe::repo::id::RepositoryId::from_bytes([1; 16]), ..opening.clone() };
    vector(
        "-repository",
        "of another repository",
        Err("foreign"),
        &whole(&stranger, &trailer, &end(trailer.len(), b'p')),
    );
    let domain = PackOpening { domain: nightsafe::repo::id::DomainId::from_bytes([1; 16]), ..opening.clone() };
    vector(
        "-domain",
        "said to be of another domain",
        Err("seal"),
        &whole(&domain, &trailer, &end(trailer.len(), b'p')),
    );
    vector("-cut", "only its opening", Err("malformed"), &good[..140]);
    vector("-kind", "it ends as it begins", Err("malformed"), &whole(&opening, &trailer, &end(trailer.len(), b'P')));
    vector("-t", "a trailer as long as the pack", Err("malformed"), &whole(&opening, &trailer, &end(good.len(), b'p')));
    vector("-t-31", "a trailer without room for salt and tag", Err("seal"), &whole(&opening, &trailer, &end(31, b'p')));
    vector(
        "-t-short",
        "a trailer's length less one",
        Err("seal"),
        &whole(&opening, &trailer, &end(trailer.len() - 1, b'p')),
    );
    for (name, at, to, about) in [
        ("-magic", 0, b'N', "not of nightsafe"),
        ("-opening-kind", 5, b'S', "opened as a manifest"),
        ("-version", 6, 2, "format version 2"),
        ("-suite", 7, 9, "suite 9"),
    ] {
        let mut bytes = good.clone();
        bytes[at] = to;
        vector(name, about, Err("malformed"), &bytes);
    }
}
