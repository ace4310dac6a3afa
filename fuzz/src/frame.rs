//! The plaintext of frames: what is taken is what a second reader takes that was written by the letter of `docs/format.md`, section 4. And sealing again.

use super::input::Input;
use super::keys::{self, Vector, hex};
use super::memory;
use nightsafe::repo::format::{Class, MAX_CHUNK, MAX_FRAME};
use nightsafe::repo::id::{ChunkId, FrameId, RepositoryId, RunId};
use nightsafe::repo::keys::{DomainKeys, RunKey, SecretRoot, Wrap};
use nightsafe::repo::pack::frame::{self, Zstd};
use nightsafe::repo::pack::reseal::{ProvenFrame, Resealer};
use nightsafe::repo::seal::seal_salted;
use std::cell::RefCell;
use std::io::Read;

/// Frames of more raw bytes are tried seldom: they only take time.
const USUAL: usize = 64 << 10;

struct Fixed {
    domain: DomainKeys,
    repository: RepositoryId,
    run: RunId,
    run_key: RunKey,
    zstd: Zstd,
}

thread_local! {
    static FIXED: RefCell<Fixed> = RefCell::new({
        let vector = Vector::parse(include_str!("../../tests/data/vectors/content/frame-raw.vec"));
        let (write, read) = keys::of_content().full();
        let run = vector.get("run").parse().expect("a run id");
        let wrap = Wrap::from_bytes(hex(vector.get("wrap")).try_into().expect("a wrap"));
        let run_key = read.unwrap_run_key(&wrap, run).expect("its run key");
        let zstd = Zstd::new().expect("a decompressor");
        Fixed { domain: read.domain(write.domain().id()), repository: write.repository(), run, run_key, zstd }
    });
}

/// What the second reader found.
struct Found<'p> {
    compressed: bool,
    root: Option<SecretRoot>,
    chunks: Vec<(usize, Option<ChunkId>)>,
    raw_length: usize,
    body: &'p [u8],
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (class, keep) = (Class::ALL[usize::from(input.byte() % 3)], input.byte());
    let plain = input.rest();
    let found = parse(class, plain);
    if found.as_ref().is_some_and(|found| found.raw_length > USUAL) && blake3::hash(data).as_bytes()[0] != 0 {
        return;
    }
    FIXED.with_borrow_mut(|fixed| {
        let Fixed { domain, repository, run, run_key, zstd } = fixed;
        let aad = [&[1], &repository.as_bytes()[..], run.as_bytes(), &[class.code()]].concat();
        let sealed = seal_salted(run_key.seal_key(), b"frame", &[&aad], plain);
        let body = found.as_ref().and_then(inflate);
        let sound = found.as_ref().zip(body.as_deref());
        let keys = found.as_ref().and_then(|found| found.root.as_ref()).map_or(domain.ids(), SecretRoot::ids);
        let id = sound.map_or(FrameId::from_bytes([0; 32]), |(found, body)| {
            keys.frame_id(&table(class, found, body, |chunk| keys.chunk_id(chunk)))
        });
        let most = (64 << 10) + 4 * found.as_ref().map_or(0, |found| found.raw_length) + 64 * plain.len();
        let opened = memory::at_most(most, || {
            ProvenFrame::open(&sealed, id, class, (*repository, *run, run_key), domain.ids(), zstd)
        });
        assert_eq!(opened.is_ok(), sound.is_some(), "{class:?}: {plain:02x?}");
        let (Ok(opened), Some((found, body))) = (opened, sound) else { return };
        let mut at = 0;
        for (ordinal, (length, absent)) in (0..).zip(&found.chunks) {
            let expected = absent.is_none().then(|| &body[at..at + length]);
            assert_eq!(opened.content().chunk(ordinal), expected);
            at += expected.map_or(0, <[u8]>::len);
        }
        assert_eq!((at, opened.content().count()), (body.len(), found.chunks.len()));
        let resealer = Resealer { repository: *repository, run: *run, run_key };
        let kept = |ordinal: u32| keep >> (ordinal % 8) & 1 == 1;
        let again = resealer.reseal(&opened, &kept, domain.ids(), zstd).expect("a proven frame can be sealed again");
        let left = (0..).zip(&found.chunks).any(|(ordinal, (_, absent))| absent.is_none() && kept(ordinal));
        assert_eq!(again.is_some(), left);
        if let Some(again) = again {
            let open = frame::open(&again.bytes, id, class, (*repository, *run, run_key), domain.ids(), zstd);
            let open = open.expect("the same frame");
            for ordinal in 0..u32::try_from(found.chunks.len()).expect("few") {
                assert_eq!(open.chunk(ordinal), opened.content().chunk(ordinal).filter(|_| kept(ordinal)));
            }
        }
    });
}

fn parse(class: Class, plain: &[u8]) -> Option<Found<'_>> {
    let is_secret = class == Class::Secret;
    let (codec, mut rest) = plain.split_first()?;
    if *codec > u8::from(!is_secret) {
        return None;
    }
    let mut root = None;
    if is_secret {
        let (bytes, later) = rest.split_first_chunk()?;
        (root, rest) = (Some(SecretRoot::from_bytes(*bytes)), later);
    }
    let n = varint(&mut rest)?;
    if !(1..=65_535).contains(&n) {
        return None;
    }
    let mut chunks = Vec::new();
    for _ in 0..n {
        let packed = usize::try_from(varint(&mut rest)?).ok()?;
        let mut id = None;
        if packed % 2 == 1 {
            let (bytes, later) = rest.split_first_chunk()?;
            (id, rest) = (Some(ChunkId::from_bytes(*bytes)), later);
        }
        if !(1..=MAX_CHUNK).contains(&(packed / 2)) {
            return None;
        }
        chunks.push((packed / 2, id));
    }
    let all: usize = chunks.iter().map(|(length, _)| length).sum();
    let raw_length: usize = chunks.iter().filter(|(_, absent)| absent.is_none()).map(|(length, _)| length).sum();
    let blocks = !is_secret || plain.len().is_multiple_of(4096);
    (all <= MAX_FRAME && raw_length > 0 && blocks).then_some(Found {
        compressed: *codec == 1,
        root,
        chunks,
        raw_length,
        body: rest,
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let length = rest.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, later) = rest.split_at(length);
    *rest = later;
    let value = bytes.iter().rev().fold(0u128, |value, byte| value << 7 | u128::from(byte & 0x7f));
    u64::try_from(value).ok().filter(|_| length == 1 || bytes[length - 1] != 0)
}

fn inflate(found: &Found<'_>) -> Option<Vec<u8>> {
    if found.compressed {
        // As a stream, unlike the program; one more byte than there may be is asked for.
        let mut decoder = zstd::stream::read::Decoder::with_buffer(found.body).ok()?.single_frame();
        decoder.window_log_max(31).ok()?;
        let mut body = Vec::new();
        decoder.by_ref().take(found.raw_length as u64 + 1).read_to_end(&mut body).ok()?;
        let used = decoder.read(&mut [0]).ok()? == 0 && decoder.finish().is_empty();
        return (used && body.len() == found.raw_length).then_some(body);
    }
    let (body, padding) = found.body.split_at_checked(found.raw_length)?;
    let fits = if found.root.is_some() { padding.len() < 4096 } else { padding.is_empty() };
    (fits && padding.iter().all(|byte| *byte == 0)).then(|| body.to_vec())
}

fn table(class: Class, found: &Found<'_>, body: &[u8], id_of: impl Fn(&[u8]) -> ChunkId) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, mut value: usize| {
        while value > 127 {
            out.push((value % 128 + 128).to_le_bytes()[0]);
            value /= 128;
        }
        out.push(value.to_le_bytes()[0]);
    };
    let mut out = vec![class.code()];
    put(&mut out, found.chunks.len());
    let mut rest = body;
    for (length, absent) in &found.chunks {
        put(&mut out, *length);
        let id = absent.unwrap_or_else(|| {
            let (chunk, later) = rest.split_at(*length);
            rest = later;
            id_of(chunk)
        });
        out.extend_from_slice(id.as_bytes());
    }
    out
}
