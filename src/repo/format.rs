//! Constants of the repository format: headers, limits, names of objects (`docs/format.md`, sections 1 and 3).

use crate::repo::id::{CredentialId, PackId, RunId};

/// The first bytes of every object.
pub const MAGIC: &[u8; 5] = b"nsafe";
/// The format version that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// ChaCha20-Poly1305, BLAKE3, HPKE with X25519, Ed25519, zstd.
pub const SUITE: u8 = 1;
/// What a zstd frame begins with (RFC 8878, section 3.1.1); skippable frames begin otherwise.
pub const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// Longest chunk, in bytes.
pub const MAX_CHUNK: usize = 8 << 20;
/// Most raw bytes of a frame.
pub const MAX_FRAME: usize = 8 << 20;
/// Most chunks of a frame.
pub const MAX_FRAME_CHUNKS: usize = 65_535;
/// Longest object.
pub const MAX_OBJECT: u64 = 256 << 20;
/// Longest name of a directory entry, in bytes.
pub const MAX_NAME: usize = 4_096;
/// Deepest tree.
pub const MAX_DEPTH: usize = 4_096;
/// Longest extended attribute, in bytes.
pub const MAX_XATTR: usize = 64 << 10;
/// Most references that stand inline in a directory entry.
pub const MAX_INLINE_REFS: usize = 64;
/// Most references of a list's own stream.
pub const MAX_LIST_REFS: usize = 65_536;
/// Longest file whose content stands in its directory entry, in bytes.
pub const MAX_INLINE_FILE: usize = 64;

/// The object that says that a folder or bucket holds a repository.
pub const MARKER: &str = "nightsafe.json";

/// What an object is; the letter in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A wrapped bundle of keys.
    Credential,
    /// A run began.
    Run,
    /// Frames.
    Pack,
    /// The end of a pack.
    PackEnd,
    /// Where frames are.
    Segment,
    /// Foreign packs that a run relies on.
    Pins,
    /// A manifest.
    Snapshot,
    /// A run was declared dead.
    Stop,
    /// A snapshot was forgotten.
    Forgotten,
    /// Packs were condemned.
    Condemned,
    /// What is said of a snapshot, or of packs, later.
    Note,
}

impl Kind {
    /// The letter in the header.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Credential => b'C',
            Self::Run => b'R',
            Self::Pack => b'P',
            Self::PackEnd => b'p',
            Self::Segment => b'I',
            Self::Pins => b'N',
            Self::Snapshot => b'S',
            Self::Stop => b'X',
            Self::Forgotten => b'F',
            Self::Condemned => b'G',
            Self::Note => b'T',
        }
    }

    /// The 8 bytes that open an object of this kind.
    pub const fn header(self) -> [u8; HEADER_LEN] {
        let m = MAGIC;
        [m[0], m[1], m[2], m[3], m[4], self.letter(), VERSION, SUITE]
    }
}

/// Frames hold one class of content, and so do packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Content of files and streams.
    Data = 0,
    /// Directories and lists.
    Meta = 1,
    /// Content that was marked secret: not deduplicated, not compressed, padded.
    Secret = 2,
}

impl Class {
    /// All classes, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Data, Self::Meta, Self::Secret];

    /// The class with this code.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Data),
            1 => Some(Self::Meta),
            2 => Some(Self::Secret),
            _ => None,
        }
    }

    /// The code that stands for the class.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Store keys of objects.
pub mod key {
    use super::{CredentialId, PackId, RunId};

    /// Where credentials are.
    pub const CREDENTIALS: &str = "credentials/";
    /// Where run records are.
    pub const RUNS: &str = "runs/";
    /// Where packs are.
    pub const PACKS: &str = "packs/";
    /// Where segments are.
    pub const INDEX: &str = "index/";
    /// Where pins are.
    pub const PINS: &str = "pins/";
    /// Where manifests are.
    pub const SNAPSHOTS: &str = "snapshots/";
    /// Where stops are.
    pub const STOPS: &str = "stops/";
    /// Where tombstones are.
    pub const FORGOTTEN: &str = "forgotten/";
    /// Where condemnations are.
    pub const GC: &str = "gc/";
    /// Where notes are.
    pub const NOTES: &str = "notes/";

    /// A credential.
    pub fn credential(id: CredentialId) -> String {
        format!("{CREDENTIALS}{id}")
    }
    /// A run record.
    pub fn run(id: RunId) -> String {
        format!("{RUNS}{id}")
    }
    /// A pack.
    pub fn pack(id: PackId) -> String {
        format!("{PACKS}{}/{id}", &id.hash.to_string()[..2])
    }
    /// The `n`-th segment of a run.
    pub fn segment(run: RunId, n: u64) -> String {
        format!("{INDEX}{run}/{n}")
    }
    /// The `n`-th pins of a run.
    pub fn pins(run: RunId, n: u64) -> String {
        format!("{PINS}{run}/{n}")
    }
    /// The manifest of the snapshot that a run committed.
    pub fn snapshot(run: RunId) -> String {
        format!("{SNAPSHOTS}{run}")
    }
    /// The stop of a run.
    pub fn stop(run: RunId) -> String {
        format!("{STOPS}{run}")
    }
    /// The tombstone of a snapshot.
    pub fn forgotten(run: RunId) -> String {
        format!("{FORGOTTEN}{run}")
    }

    /// What the pruner `gid` condemned.
    pub fn gc(gid: RunId) -> String {
        format!("{GC}{gid}")
    }
    /// The `n`-th note of a run.
    pub fn note(run: RunId, n: u64) -> String {
        format!("{NOTES}{run}/{n}")
    }

    /// The pack that a store key names; nothing for other keys and for a pack in the wrong folder.
    pub fn parse_pack(key: &str) -> Option<PackId> {
        let id: PackId = key.strip_prefix(PACKS)?.split_once('/')?.1.parse().ok()?;
        (self::pack(id) == key).then_some(id)
    }
    /// The run that a key `prefix<run>` names.
    pub fn parse_run(prefix: &str, key: &str) -> Option<RunId> {
        key.strip_prefix(prefix)?.parse().ok()
    }
    /// The run and number that a key `prefix<run>/<n>` names.
    pub fn parse_numbered(prefix: &str, key: &str) -> Option<(RunId, u64)> {
        let (run, n) = key.strip_prefix(prefix)?.split_once('/')?;
        let number: u64 = n.parse().ok()?;
        (number.to_string() == n).then_some(())?;
        Some((run.parse().ok()?, number))
    }
}
