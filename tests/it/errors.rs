//! Every kind of error that can end the program, and where it is seen: in a transcript of `tests/it/messages.rs` and its like, in another test, or why
//! nowhere. That another test names an error is looked for by words: it shows that somebody thought of it, not that its message is read.
//!
//! A new variant doesn't compile before it stands here; a new enum of errors fails the last test.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use nightsafe::repo::error::{ReadError, RepoError};
use nightsafe::repo::gc::error::GcError;
use nightsafe::repo::keys::key_file::KeyFileError;
use nightsafe::repo::keys::ring::RingError;
use nightsafe::repo::store::StoreErrorKind;
use nightsafe::repo::store::probe::ProbeError;
use nightsafe::repo::store::url::UrlError;
use nightsafe::repo::writer::WriteError;
use nightsafe::snapshot::backup::BackupError;
use nightsafe::snapshot::browse::BrowseError;
use nightsafe::snapshot::check::{CheckError, ReadingError};
use nightsafe::snapshot::forget::ForgetError;
use nightsafe::snapshot::policy::Refusal;
use nightsafe::snapshot::policy::rule::CountError;
use nightsafe::snapshot::policy::span::SpanError;
use nightsafe::snapshot::postgres::error::PostgresError;
use nightsafe::snapshot::postgres::restore::error::DatabaseError;
use nightsafe::snapshot::postgres::rows::{NameError, RowsError};
use nightsafe::snapshot::repair::RepairError;
use nightsafe::snapshot::restore::RestoreError;
use nightsafe::snapshot::restore::delete::DeleteRefusal;
use nightsafe::snapshot::snapshots::ResolveError;
use nightsafe::snapshot::source::excludes::ExcludeError;
use nightsafe::snapshot::source::roots::RootError;
use nightsafe::snapshot::source::walk::WalkError;
use nightsafe::snapshot::undo::UndoError;
use std::fs;
use std::path::{Path, PathBuf};

/// Where an error is seen.
enum Seen {
    /// In a transcript, with these words.
    Said(&'static str),
    /// In the test of this file, by its name as `Enum::Variant`.
    In(&'static str),
    /// In the test of this file, by these words.
    Words(&'static str, &'static str),
    /// It only passes on another one that stands here.
    Inner,
    /// Nowhere, because of this.
    Not(&'static str),
}
use Seen::{In, Inner, Not, Said, Words};

/// One variant: its enum, its name, where it is seen.
struct Variant(&'static str, &'static str, Seen);

/// All variants of an enum; one that is missing doesn't compile.
macro_rules! all {
    ($enum:ident { $($variant:ident => $seen:expr,)* }) => {{
        let _exhaustive = |error: &$enum| match error { $($enum::$variant { .. } => (),)* };
        vec![$(Variant(stringify!($enum), stringify!($variant), $seen)),*]
    }};
}

fn of_repositories() -> Vec<Variant> {
    [
        all!(StoreErrorKind {
            NotFound => In("tests/it/store/conformance.rs"),
            RootMissing => Said("there is no repository at /nonexistent/night"),
            Exists => In("tests/it/store/conformance.rs"),
            Short => In("tests/it/store/conformance.rs"),
            TooLong => In("tests/it/store/conformance.rs"),
            Denied => In("tests/it/store/local.rs"),
            Full => In("tests/it/full_store.rs"),
            Transient => In("tests/it/faults.rs"),
            Other => In("tests/it/faults/every_call.rs"),
        }),
        all!(RepoError {
            NoRepository => Said("there is no repository at BASE/home"),
            AlreadyExists => Said("there is a repository at BASE/repository already"),
            Other => In("tests/it/damage/rollback.rs"),
            WrongSecret => Said("wrong password or key file"),
            Probe => Inner,
            Store => Inner,
            Ring => Inner,
            Damaged => In("tests/it/faults.rs"),
            Cache => Not("where the cache takes nothing the index stays in memory; it takes 4 million frames, or 128 MiB of chunks, before that fails: src/repo/index/tiers.rs"),
        }),
        all!(RingError {
            Store => Inner,
            NoCredentials => In("src/repo/keys/ring/tests.rs"),
            WrongSecret => In("src/repo/keys/ring/tests.rs"),
            Credential => In("src/repo/keys/ring/tests.rs"),
            NotFound => In("src/repo/keys/ring/tests.rs"),
            LastFull => In("src/repo/keys/ring/tests.rs"),
            NotFull => In("src/repo/keys/ring/tests.rs"),
            NotWritten => In("src/repo/keys/ring/tests.rs"),
        }),
        all!(KeyFileError {
            Other => Said("not a key file: it would begin with NIGHTSAFE-KEY-1-"),
            Version => In("src/repo/keys/key_file.rs"),
            Form => In("src/repo/keys/key_file.rs"),
            Check => In("src/repo/keys/key_file.rs"),
            WordCount => In("src/repo/keys/key_file.rs"),
            Word => In("src/repo/keys/key_file.rs"),
            WordCheck => In("src/repo/keys/key_file.rs"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_storages() -> Vec<Variant> {
    [
        all!(UrlError {
            Empty => Said("the repository URL is empty"),
            UnknownScheme => Said("no store is called 'gopher:'"),
            NotCompiled => Said("'ftp:' is not in this build of nightsafe"),
            SecretInUrl => Said("a secret doesn't belong into a repository URL"),
            Malformed => Said("not a URL of 's3:'"),
            Tilde => Said("'~' is not expanded here"),
            UnknownOption => Said("'s3:' has no option 'regoin'"),
            BadOption => In("src/repo/store/url/tests.rs"),
            SecretOption => Said("the option 'secret_access_key' is a secret"),
            Store => Inner,
        }),
        all!(ProbeError {
            Failed => Words("src/repo/store/probe.rs", "the store could not remove a probe object"),
            Broken => In("src/repo/store/probe.rs"),
        }),
        all!(WriteError {
            Store => Inner,
            Verify => Not("each frame is opened again where it was sealed: what comes out is another one only where memory or processor fail"),
            Cache => Not("where the cache takes nothing the index stays in memory; it takes 4 million frames, or 128 MiB of chunks, before that fails: src/repo/index/tiers.rs"),
            System => Words("tests/it/ended.rs", "this machine refuses what the run needs"),
            Interrupted => In("src/repo/writer/flight.rs"),
            Numbers => In("src/repo/writer/flight.rs"),
            Stopped => In("src/repo/writer/flight.rs"),
        }),
        all!(ReadError {
            Missing => Said("is in no pack of the repository"),
            Lost => Said("error: /data/file: pack "),
            Frame => Said("frame ID: the seal of the frame is broken"),
            Pack => Said("it belongs to another repository or run"),
            RunKey => Said("its key can't be opened"),
            Chunks => Words("tests/it/forged/said.rs", "lacks chunks 0 to 1"),
            Class => Words("tests/it/forged/said.rs", "holds Meta where Data should be"),
            ContentHash => Words("tests/it/forged/said.rs", "the content doesn't match its hash"),
            Directory => Words("tests/it/forged.rs", "deeper than {MAX_DEPTH} directories"),
            Recipe => Words("tests/it/forged/said.rs", "it can't be rebuilt: "),
            Malformed => Inner,
            Trailers => Inner,
            Io => Said("is in gzip, and broken"),
        }),
        all!(GcError {
            Repo => Inner,
            Io => Not("its only cause is a compressor that gets no memory; where memory is that short, chance decides what fails first"),
            Listing => In("src/repo/gc/canary.rs"),
            Census => In("tests/it/prune.rs"),
            Withdrawn => In("tests/it/ended.rs"),
            NoSnapshots => In("tests/it/prune.rs"),
            Unreadable => Said("can't be followed to its data"),
            Manifest => In("tests/it/prune.rs"),
            Pins => In("tests/it/prune.rs"),
            Foreign => In("tests/it/damage/foreign.rs"),
            TooMuch => Said("50 % of all data would be deleted"),
            Rewrite => In("tests/it/ended.rs"),
            Interrupted => In("tests/it/ended.rs"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_backups() -> Vec<Variant> {
    [
        all!(BackupError {
            Roots => Inner,
            Excludes => Inner,
            Secrets => Said("secret pattern"),
            Sidecar => In("tests/it/ended.rs"),
            Walk => Inner,
            RenameOne => Not("the command line looks first: --as names one path"),
            SameName => Said("two sources would be stored as /db"),
            Repo => Inner,
            Write => Inner,
            Interrupted => In("src/cli/error.rs"),
            Stopped => Not("the run that hears it begins again; where that happens too often, it is `Unstable` that ends it"),
            Unstable => In("tests/it/ended.rs"),
        }),
        all!(RootError {
            Look => Said("/nonexistent/folder: No such file"),
            Relative => In("src/snapshot/source/roots.rs"),
            NotADirectory => In("src/snapshot/source/roots.rs"),
            Name => Said("`a/b` can't be the name of a directory entry"),
            SameName => Said("two of the paths are named `compose.yml`"),
            None => In("src/snapshot/source/roots.rs"),
        }),
        all!(ExcludeError {
            Pattern => Said("exclude pattern `a[` (as given)"),
            File => In("src/snapshot/source/excludes.rs"),
            Encoding => In("src/snapshot/source/excludes.rs"),
            Marker => In("src/snapshot/source/excludes.rs"),
        }),
        all!(WalkError {
            Open => In("tests/it/ended.rs"),
            Exclude => Inner,
        }),
        all!(BrowseError {
            NoSuchPath => Said("/data/none: there is no such file or directory in this snapshot"),
            Repo => Inner,
            Read => Inner,
            TooMany => Words("tests/it/forged.rs", "entries that its manifest counts"),
        }),
        all!(ResolveError {
            Syntax => Said("\"not an id\" doesn't name a snapshot"),
            NotFound => Said("no snapshot matches \"zzzz\""),
            Ambiguous => Not("ids are random: two that begin alike can't be had at will"),
            MixedHosts => Said("`latest` would mix snapshots of 2 hosts"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_housekeeping() -> Vec<Variant> {
    [
        all!(CheckError {
            Repo => Inner,
            Read => Inner,
            Interrupted => In("tests/it/repair.rs"),
        }),
        all!(ReadingError {
            Subset => Said("\"200%\" is no part of the packs"),
            Amount => Said("\"x/day\" is no budget"),
            Period => Said("\"5%/moon\" is no budget"),
        }),
        all!(RepairError {
            Repo => Inner,
            Check => Inner,
            Copy => Inner,
            NoSuchPack => Said("no pack matches \"zzzz\""),
            Ambiguous => Said("\"\" is the beginning of the names of"),
        }),
        all!(ForgetError {
            Refused => Inner,
            NotUnreadable => Said("zzzz is no snapshot that can't be read or is gone"),
            Ambiguous => In("tests/it/forget.rs"),
            Repo => Inner,
        }),
        all!(Refusal {
            Doubtful => Said("claim to be younger than the store says"),
            Shrunk => In("tests/it/forget.rs"),
            Protected => Said("is protected"),
            Last => Said("no complete snapshot would remain without"),
            Note => Said("it may have protected one of these snapshots"),
        }),
        all!(CountError {
            Negative => Said("-1 is negative: write `all` to keep every one"),
            Syntax => Said("\"many\" is no number"),
        }),
        all!(SpanError {
            Syntax => Said("\"5x\" is no length of time"),
            Twice => Said("gives `d` twice"),
            Zero => Said("\"0d\" is no time at all"),
        }),
        all!(UndoError {
            NotForgotten => In("tests/it/undo.rs"),
            NotFound => In("tests/it/undo.rs"),
            TooLate => In("tests/it/undo.rs"),
            Gone => In("tests/it/undo.rs"),
            Unreadable => In("tests/it/ended.rs"),
            Stopped => In("tests/it/ended.rs"),
            Repo => Inner,
            Write => Inner,
            Interrupted => In("tests/it/ended.rs"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_restores() -> Vec<Variant> {
    [
        all!(RestoreError {
            Repo => Inner,
            Browse => Inner,
            Read => Inner,
            TargetNotEmpty => Said("BASE/source isn't empty"),
            Unfinished => In("tests/it/restore/interrupted.rs"),
            Busy => In("tests/it/restore/interrupted.rs"),
            Full => Words("tests/it/full_disk.rs", "No space"),
            Unsynced => Words("tests/it/unsynced.rs", "brought to the disk"),
            Target => Said("/proc/nothing: No such file or directory"),
            Delete => Inner,
            Distrusted => In("tests/it/unsynced.rs"),
            NotAFile => Said("/data is not a regular file"),
            Output => In("src/cli/error.rs"),
            Interrupted => In("tests/it/restore/interrupted.rs"),
        }),
        all!(DeleteRefusal {
            NotADirectory => In("tests/it/restore.rs"),
            Incomplete => In("tests/it/restore.rs"),
            Partial => In("tests/it/restore.rs"),
            Unreadable => In("tests/it/restore.rs"),
            Rules => In("src/cli/error/restore.rs"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_databases() -> Vec<Variant> {
    [
        all!(PostgresError {
            PasswordInLocation => Said("a password doesn't belong into the location of a database"),
            SecretInPrefix => Said("a password or another secret doesn't belong into the command"),
            Malformed => Said("not the location of a database: the scheme is neither"),
            BadPassword => In("src/snapshot/postgres/server.rs"),
            BadArgument => In("src/snapshot/postgres/options.rs"),
            ChoosingArgument => Said("since it chooses what is dumped"),
            Spawn => In("src/snapshot/postgres/programs.rs"),
            NoProgram => In("src/snapshot/postgres/programs.rs"),
            ProgramsTooOld => Words("tests/it/postgres/messages.rs", "every pg_dump found is older"),
            ServerTooOld => In("src/snapshot/postgres/programs.rs"),
            Connect => In("tests/it/postgres/session.rs"),
            Lost => In("tests/it/postgres/session.rs"),
            Statement => In("src/snapshot/postgres/restore/create.rs"),
            Answer => In("tests/it/postgres/session.rs"),
            Pooled => In("tests/it/postgres/session.rs"),
            LockTimeout => In("tests/it/postgres/session.rs"),
            TablesKeepChanging => Words("tests/it/postgres/messages.rs", "during each of 5 attempts"),
            Interrupted => In("tests/it/postgres/interrupt.rs"),
            Program => In("tests/it/postgres/session.rs"),
            TooLong => Words("tests/it/postgres/messages.rs", "gave more than 67108864 bytes"),
            Pipe => Not("pipes to a child end, and never fail; waiting for it failed where the ends of children were ignored, until that was mended"),
        }),
        all!(DatabaseError {
            Postgres => Inner,
            Repo => Inner,
            Browse => Inner,
            Read => Inner,
            NoDatabaseNamed => Said("the location names no database to restore into"),
            NameTooLong => Said("is too long for the name of a database"),
            Template => Said("is a template for new databases, nothing to restore into"),
            NoDatabaseStored => Said("the snapshot holds no database that was captured from a server"),
            SeveralStored => Said("the snapshot holds 2 databases: one, two"),
            NoSuchDatabase => Said("the snapshot holds no database 'three', but one, two"),
            NotADump => Said("/d/empty is no dump that can be restored"),
            Script => In("src/snapshot/postgres/restore/script.rs"),
            CutOff => In("src/snapshot/postgres/restore/script.rs"),
            Option => Said("--no-owner isn't possible with a dump that is SQL"),
            NotEmpty => Words("tests/it/postgres/restore.rs", "contains(\"public.mine\")"),
            Incomplete => Words("tests/it/postgres/restore_safety.rs", "--allow-incomplete"),
            Connected => Said("database 'busy' is in use by 1 session of psql"),
            Busy => Words("tests/it/postgres/restore_safety.rs", "another restore"),
            MayNotCreate => Said("user 'plain' may not create databases"),
            MayNotRename => Said("user 'maker' may not rename database 'two'"),
            Extensions => Said("the server lacks extensions that the database needs: pg_nowhere"),
            ServerOlder => Said("the dump is of PostgreSQL 99.1"),
            ArchiveTooNew => Said("no pg_restore of that version or newer"),
            Locale => In("src/snapshot/postgres/restore/create.rs"),
            Roles => Said("user 'maker' may not create them: gone"),
            SpoolTooSmall => In("src/snapshot/postgres/restore/spool.rs"),
            Spool => In("src/snapshot/postgres/restore/spool.rs"),
            Mismatch => Words("tests/it/postgres/restore_facts.rs", "mismatch"),
            Interrupted => Words("tests/it/postgres/messages.rs", "error: interrupted"),
        }),
        all!(RowsError {
            Repo => Inner,
            Browse => In("tests/it/rows.rs"),
            Read => Inner,
            NoDatabase => In("tests/it/rows.rs"),
            ManyDatabases => In("tests/it/rows.rs"),
            NotADump => In("tests/it/rows.rs"),
            Archive => Said("/data/file: this is no dump in PostgreSQL's custom format"),
            Name => In("tests/it/rows.rs"),
            Unusable => In("tests/it/rows.rs"),
            LeftOut => In("tests/it/rows.rs"),
            NoColumn => In("src/snapshot/postgres/rows/output.rs"),
            Values => In("src/snapshot/postgres/rows/output.rs"),
            Count => In("tests/it/rows.rs"),
            Output => In("src/cli/commands/dump/table.rs"),
            Interrupted => In("tests/it/rows.rs"),
        }),
        all!(NameError {
            Syntax => Said("isn't the name of a table: write TABLE or SCHEMA.TABLE"),
            Unknown => In("tests/it/rows.rs"),
            Ambiguous => In("src/snapshot/postgres/rows/name.rs"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Enums that never end the program: what they say stands within a problem, a finding or one of the errors above.
const WITHIN: [&str; 20] = [
    "ArchiveError",
    "ArchiveStreamError",
    "EntryFault",
    "Fault",
    "FlowError",
    "FrameError",
    "HeaderError",
    "IndexError",
    "KdfError",
    "NeedsError",
    "OpenError",
    "PackError",
    "PipeError",
    "RebuildError",
    "RecipeError",
    "ScriptFault",
    "SeenError",
    "SignatureError",
    "TreeError",
    "WitnessError",
];

/// What people read, as the tests of messages have it.
const TRANSCRIPTS: [&str; 7] = [
    "snapshots/it__messages__repository",
    "snapshots/it__messages__snapshots",
    "snapshots/it__messages__housekeeping",
    "snapshots/it__messages__configurations",
    "messages/snapshots/it__messages__damage__damage",
    "postgres/snapshots/it__postgres__messages__dumps",
    "postgres/snapshots/it__postgres__messages__servers",
];

fn all() -> Vec<Variant> {
    [of_repositories(), of_storages(), of_backups(), of_housekeeping(), of_restores(), of_databases()]
        .into_iter()
        .flatten()
        .collect()
}

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The part of a source that holds tests: all of a file of tests, or what stands behind `#[cfg(test)]`.
fn tests_of(file: &str) -> String {
    let text = text(file);
    let is_test = file.starts_with("tests/") || file.ends_with("/tests.rs");
    if is_test { text } else { text.split_once("#[cfg(test)]\nmod ").unwrap_or_default().1.to_owned() }
}

#[test]
fn each_error_is_seen_somewhere_or_cannot_be_provoked() {
    let transcripts = TRANSCRIPTS.map(|name| text(&format!("tests/it/{name}.snap"))).concat();
    let mut unseen = Vec::new();
    for Variant(of, name, seen) in all() {
        let name = format!("{of}::{name}");
        let (is_seen, place) = match seen {
            Said(words) => (transcripts.contains(words), words),
            In(file) => (tests_of(file).contains(&name), file),
            Words(file, words) => (tests_of(file).contains(words), words),
            Inner => (true, ""),
            Not(why) => (why.len() > 20, why),
        };
        if !is_seen {
            unseen.push(format!("{name}: {place}"));
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), all);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            all.push(entry.path());
        }
    }
}

#[test]
fn no_enum_of_errors_is_forgotten() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let known: Vec<&str> = all().iter().map(|Variant(of, ..)| *of).chain(WITHIN).collect();
    let mut found = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("pub enum ")) {
            let name = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if ["Error", "Refusal", "Fault", "ErrorKind"].iter().any(|end| name.ends_with(end)) {
                assert!(known.contains(&name), "{name} of {}: say where it is seen", file.display());
                found += 1;
            }
        }
    }
    assert!(found >= 40, "{found}");
}
