//! Made-up data for the tests of what is shown.

use crate::cli::config::{Loaded, Place};
use crate::cli::json::ConfigCheck;
use crate::repo::cbor::Time;
use crate::repo::format::key;
use crate::repo::id::{CredentialId, FrameId, PackHash, PackId, RunId};
use crate::repo::keys::credential::Method;
use crate::repo::keys::{KdfParams, Label, Role};
use crate::repo::note::{Matter, UnusableNote};
use crate::repo::repair::notes::{NotesOutcome, NotesPlan};
use crate::repo::repair::packs::{DamagedPack, PacksOutcome, PacksPlan};
use crate::repo::repository::{CredentialFacts, CredentialInfo};
use crate::snapshot::backup::BackupSummary;
use crate::snapshot::check::{CheckReport, Damage, Damaged, Verification};
use crate::snapshot::manifest::application::{Application, Image, Key, KeyUse};
use crate::snapshot::manifest::database::{Database, Extension, Ledger, Role as DatabaseRole, Table};
use crate::snapshot::manifest::dump::{DumpContents, DumpFile, Sidecar};
use crate::snapshot::manifest::export::sample;
use crate::snapshot::manifest::reasons::Reasons;
use crate::snapshot::manifest::{Manifest, SecretFile, Source, SourceDetail, State, Statistics};
use crate::snapshot::monitor::{Format, Left, Outcome};
use crate::snapshot::repair::losses::{Loss, Losses};
use crate::snapshot::restore::plan::Listed;
use crate::snapshot::restore::{RestorePlan, RestoreSummary};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::tree::entry::{Entry, EntryType, Flags};
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use std::collections::BTreeMap;

/// 2026-11-20 12:05:00.5 UTC.
pub(crate) const NOON: Time = Time { seconds: 1_795_176_300, nanoseconds: 500_000_000 };

pub(crate) fn run(n: u8) -> RunId {
    RunId::new(CredentialId::from_bytes([0x11; 16]), [n.wrapping_mul(73); 16])
}

pub(crate) fn path(text: &str) -> SafePath {
    SafePath::parse(text.as_bytes()).unwrap()
}

pub(crate) fn statistics() -> Statistics {
    Statistics {
        files: 20_360,
        directories: 1_205,
        others: 3,
        bytes: 2 << 30,
        files_new: 12,
        files_changed: 3,
        files_unmodified: 20_345,
        bytes_read: 35_757_000,
        raw_added: 12_800_000,
        stored_added: 4_300_000,
        packs_added: 2,
        chunks_added: 830,
        milliseconds: 12_340,
        containers: 1,
        container_bytes: 9_000_000,
        container_stream_bytes: 31_000_000,
        containers_left: 2,
        reasons: Reasons { damaged: 1, other_encoder: 2, ..Reasons::default() },
    }
}

pub(crate) fn expansion() -> Outcome {
    let (formats, left) = (vec![Format::Gzip, Format::PgDump], [Left::Truncated].into());
    Outcome { formats, undone: 3, known: 2, left, is_cut: true }
}

pub(crate) fn source() -> Source {
    Source { name: "files".to_owned(), kind: "files".to_owned(), state: State::Complete }
}

pub(crate) fn backup_summary() -> BackupSummary {
    BackupSummary {
        snapshot: Some(run(1)),
        state: State::Complete,
        statistics: statistics(),
        problems: vec![],
        sources: vec![source()],
        details: vec![],
        databases: vec![database()],
        seconds: 12.34,
    }
}

pub(crate) fn problems(number: usize) -> Vec<Problem> {
    let kinds = [ProblemKind::Denied, ProblemKind::Changed, ProblemKind::Vanished];
    let problem = |n: usize| Problem {
        path: path(&format!("/srv/app/file\u{1b}{n}")),
        kind: kinds[n % 3],
        message: format!("open: number {n}"),
    };
    (0..number).map(problem).collect()
}

pub(crate) fn snapshot(n: u8) -> Snapshot {
    let manifest = Manifest {
        time: Time { seconds: NOON.seconds + 86_400 * i64::from(n - 1), ..NOON },
        zone: "Europe/Berlin".to_owned(),
        host: "web1".to_owned(),
        app: Some("wiki".to_owned()),
        tags: vec!["nightly".to_owned()],
        state: State::Complete,
        sequence: 41 + u64::from(n),
        previous: None,
        replaces: Vec::new(),
        root: Entry::new("", EntryType::Directory),
        parent: (n > 1).then(|| run(n - 1)),
        brings_back: None,
        checkpoint_of: None,
        tool: "nightsafe 0.1.0".to_owned(),
        statistics: statistics(),
        sources: vec![source()],
        paths: vec![b"/srv/app".to_vec()],
        problems: vec![],
        secrets: vec![SecretFile {
            path: path("/srv/app/.env"),
            names: vec!["DB_PASSWORD".to_owned(), "JWT_KEY".to_owned()],
        }],
        user: Some("root".to_owned()),
        databases: vec![],
        application: None,
        details: vec![],
        exclusions: vec![],
        dumps: vec![],
    };
    let (tags, stored) = (manifest.tags.clone(), Some(manifest.time.seconds));
    Snapshot { id: run(n), manifest, hash: [n; 32], write_only: false, stored, tags, protected: false }
}

/// A whole dump, and one that was cut off.
pub(crate) fn dumps() -> Vec<DumpFile> {
    let contents = DumpContents {
        database: "wiki".to_owned(),
        created: "2026-11-20 03:00:05".to_owned(),
        server: "15.14 (Debian 15.14-1)".to_owned(),
        client: "17.2".to_owned(),
        extensions: vec!["pg_trgm".to_owned()],
        tables: vec![Table { rows: None, ..table("public", "page", 120) }],
        large_objects: None,
        ledgers: Some(vec![ledger()]),
    };
    let whole = DumpFile {
        path: path("/backups/wiki.dump.gz"),
        bytes: 4096,
        sha256: [0x5a; 32],
        fault: None,
        contents: Some(contents),
        sidecar: Some(Sidecar {
            path: path("/backups/wiki.manifest.json"),
            fields: vec![("appVersion".to_owned(), "2.4.1".to_owned())],
        }),
        export: None,
    };
    let cut = DumpFile {
        path: path("/backups/cut.dump"),
        fault: Some("the archive ends too early, after 99 bytes".to_owned()),
        contents: None,
        sidecar: None,
        ..whole.clone()
    };
    vec![cut, whole]
}

/// An application's export.
pub(crate) fn export() -> DumpFile {
    DumpFile {
        path: path("/uploads/backups/backup-2026-11-20-030005.zip"),
        bytes: 123_456,
        sha256: [0x5a; 32],
        fault: None,
        contents: None,
        sidecar: None,
        export: Some(sample()),
    }
}

pub(crate) fn details() -> Vec<SourceDetail> {
    let name = "files".to_owned();
    vec![SourceDetail { name, entries: 21_568, bytes: 2 << 30, raw_added: 12_800_000, milliseconds: 12_340 }]
}

/// A table of so many rows, a hundred bytes each.
pub(crate) fn table(schema: &str, name: &str, rows: u64) -> Table {
    let (rows, bytes) = (Some(rows), Some(rows * 100));
    let (schema, name) = (schema.to_owned(), name.to_owned());
    Table { schema, name, rows, dumped_rows: rows, bytes, first_chunk: Some(7), chunks: Some(3) }
}

pub(crate) fn ledger() -> Ledger {
    Ledger {
        kind: "prisma".to_owned(),
        schema: "public".to_owned(),
        table: "_prisma_migrations".to_owned(),
        rows: vec!["20260101_init 0a1b".to_owned(), "20260202_pages 2c3d".to_owned()],
        hash: [0x5e; 32],
        warnings: vec!["20260303_half began and didn't end".to_owned()],
    }
}

pub(crate) fn database() -> Database {
    let role = |name: &str, member_of: &[&str]| DatabaseRole {
        name: name.to_owned(),
        login: member_of.is_empty(),
        member_of: member_of.iter().map(|&role| role.to_owned()).collect(),
        inherit: true,
    };
    let extension =
        |name: &str, version: &str| Extension { name: name.into(), version: version.into(), schema: "public".into() };
    Database {
        source: "db".to_owned(),
        name: "wiki".to_owned(),
        dump: path("/db/wiki.dump"),
        bytes: 1 << 30,
        blake3: [0xb3; 32],
        sha256: [0x5a; 32],
        taken: NOON,
        server: 150_014,
        client: 170_002,
        encoding: "UTF8".to_owned(),
        collation: "de_DE.UTF-8".to_owned(),
        character_type: "C".to_owned(),
        owner: "wiki".to_owned(),
        extensions: vec![extension("pg_trgm", "1.6"), extension("vector", "0.7.0")],
        tables: vec![table("public", "page", 120_000), table("public", "User\u{1b}", 12), table("stats", "hit", 3_000)],
        large_objects: 3,
        roles: vec![role("reader", &["wiki"]), role("wiki", &[])],
        ledgers: vec![ledger()],
        keys_in_use: Some(vec!["k1".to_owned()]),
        locale_provider: Some("c".to_owned()),
        icu_locale: None,
    }
}

pub(crate) fn application() -> Application {
    let key = |variable: &str, usage, id: Option<&str>, fingerprint| Key {
        variable: variable.to_owned(),
        usage,
        id: id.map(str::to_owned),
        fingerprint,
    };
    Application {
        version: Some("2.4.1".to_owned()),
        images: vec![Image {
            service: "web".to_owned(),
            image: "ghcr.io/wiki/wiki:2.4.1".to_owned(),
            digest: Some(format!("sha256:{}", "9f".repeat(32))),
            version: Some("2.4.1".to_owned()),
        }],
        keys: vec![
            key("DATA_KEY", KeyUse::Decrypts, Some("k1"), Some([0x4f; 16])),
            key("SESSION_KEY", KeyUse::Signs, None, None),
        ],
    }
}

pub(crate) fn entries() -> Vec<(SafePath, Entry)> {
    let mut folder = Entry::new("app", EntryType::Directory);
    folder.mode = 0o755;
    folder.size = Some(400);
    folder.mtime = NOON;
    let mut file = Entry::new(".env", EntryType::File);
    file.mode = 0o600;
    file.size = Some(1_234_567);
    file.user = Some(b"root".to_vec());
    file.group = Some(b"www-data".to_vec());
    file.flags.insert(Flags::SECRET);
    let mut link = Entry::new("a\nb", EntryType::Symlink);
    link.mode = 0o777;
    link.uid = 1000;
    link.target = Some(b"/\xff".to_vec());
    let mut device = Entry::new("null", EntryType::CharacterDevice);
    device.device = Some((1, 3));
    let at = |parent: &str, entry: Entry| (path(parent).join(&entry.name).unwrap(), entry);
    vec![at("srv", folder), at("srv/app", file), at("srv/app", link), at("dev", device)]
}

pub(crate) fn plan() -> RestorePlan {
    RestorePlan {
        files: 20_360,
        directories: 1_205,
        others: 1,
        bytes: 2 << 30,
        target: "/mnt/new".into(),
        free: Some(20 << 30),
        created: Listed { count: 21, first: (0..20).map(|n| path(&format!("srv/app/{n}"))).collect() },
        overwritten: Listed { count: 1, first: vec![path("srv/x\u{1b}")] },
        ..RestorePlan::default()
    }
}

pub(crate) fn restore_summary() -> RestoreSummary {
    RestoreSummary {
        files: 20_360,
        directories: 1_205,
        others: 1,
        bytes: 2 << 30,
        seconds: 20.0,
        ..RestoreSummary::default()
    }
}

pub(crate) fn check_report() -> CheckReport {
    let paths = |number: usize| (0..number).map(|n| path(&format!("/srv/app/{n}"))).collect();
    let damage = |object: &str, what: &str, snapshots| Damage {
        object: object.to_owned(),
        kind: Damaged::Other,
        what: what.to_owned(),
        snapshots,
    };
    CheckReport {
        packs: 1234,
        packs_read: 1234,
        bytes_read: 5 << 30,
        snapshots: 14,
        verification: Verification {
            at: NOON,
            oldest: Some(Time { seconds: NOON.seconds - 1_000_000, ..NOON }),
            never: 34,
        },
        errors: vec![
            damage("packs/ab/x", "its hash differs", vec![(run(1), paths(7)), (run(2), paths(1))]),
            damage("index/x/0", "missing", vec![]),
            damage("packs/cd/y", "too short", vec![(run(1), paths(8))]),
        ],
        warnings: vec!["one segment is written twice".to_owned()],
    }
}

/// The pack with this number.
pub(crate) fn pack(number: u8) -> PackId {
    PackId { run: run(1), hash: PackHash::from_bytes([number; 32]) }
}

/// A repair of packs that saved one frame and lost another.
pub(crate) fn notes_repair() -> (NotesPlan, NotesOutcome) {
    let note = |number: u8, why: &str, matter| UnusableNote {
        key: key::note(RunId::from_bytes([number; 20]), 0),
        why: why.to_owned(),
        matter,
    };
    let plan = NotesPlan {
        sound: 12,
        damaged: vec![
            note(1, "wrongly signed: the signature is wrong", Matter::Damaged),
            note(2, "it is empty", Matter::Damaged),
            note(3, "signed by a credential that may only write", Matter::Powerless),
        ],
        others: vec![note(4, "needs the feature x, which this nightsafe doesn't know", Matter::Newer)],
    };
    let keys: Vec<String> = plan.damaged.iter().map(|note| note.key.clone()).collect();
    let (removed, spared) = (vec![keys[0].clone(), keys[2].clone()], vec![keys[1].clone()]);
    let outcome = NotesOutcome { removed, spared, mended: Vec::new() };
    (plan, outcome)
}

pub(crate) fn packs_repair() -> (PacksPlan, PacksOutcome) {
    let frame = |byte| FrameId::from_bytes([byte; 32]);
    let damaged = |number, copied, lost| DamagedPack {
        pack: pack(number),
        is_set_aside: number == 2,
        copied,
        elsewhere: 30,
        lost,
    };
    let lost = vec![(frame(9), "the seal of the frame is broken".to_owned())];
    let gone = vec![(frame(10), "it isn't there any more".to_owned())];
    let plan =
        PacksPlan { damaged: vec![damaged(1, vec![frame(8)], lost), damaged(2, vec![], gone)], sound: vec![pack(3)] };
    let outcome = PacksOutcome { run: Some(run(2)), copied: 1, written: (1, 5 << 20), set_aside: 1 };
    (plan, outcome)
}

/// A snapshot that has lost two paths, and one that is lost.
pub(crate) fn losses() -> Losses {
    let paths = BTreeMap::from([(path("/srv/app/a"), true), (path("/srv/app/b"), false)]);
    let readable = Loss { id: run(1), snapshot: Some(Box::new(snapshot(2))), paths };
    let unreadable = Loss { id: run(2), snapshot: None, paths: BTreeMap::new() };
    Losses { snapshots: 14, damaged: vec![readable, unreadable], report: check_report() }
}

pub(crate) fn credentials() -> Vec<CredentialInfo> {
    let info = |byte: u8, role, method, label: &str, current| CredentialInfo {
        id: CredentialId::from_bytes([byte; 16]),
        current,
        what: Ok(CredentialFacts {
            role,
            method,
            label: Label { text: label.to_owned(), created: NOON, host: "web1".to_owned() },
        }),
    };
    vec![
        info(0x11, Role::Full, Method::Passphrase(KdfParams::STANDARD), "first", true),
        info(0xab, Role::WriteOnly, Method::KeyFile, "night\u{1b}", false),
    ]
}

/// A configuration that was looked at, with one of everything.
pub(crate) fn config_check() -> ConfigCheck {
    let mut loaded = Loaded { files: vec!["/etc/nightsafe/nightsafe.toml".into()], ..Loaded::default() };
    let place = Place { file: "/etc/nightsafe/nightsafe.toml".into(), line: 7 };
    loaded.report.problem(Some(place), "app.wiki.source.db", "unknown key `servcie`; did you mean `service`?");
    loaded.report.warning(None, "notify", "understood, but this version doesn't act on it yet");
    let next = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    ConfigCheck::new(&loaded, &[("wiki".to_owned(), vec![next])])
}
