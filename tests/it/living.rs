//! Trees that change while they are read, and disks that fail: what can't be captured is named, and nothing beside it is lost.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use crate::fidelity::mount;
use crate::fidelity::{back_up, is_root};
use crate::world::{World, everything_into, noise, portrait};
use nightsafe::snapshot::backup::{BackupOptions, BackupSummary, FilesSource, backup};
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::restore;
use nightsafe::snapshot::tree::problem::{Problem, ProblemKind};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Holds all readers, each at the first chunk of the first file that it reads, until the walk is through; then something happens to the tree, and they go on.
///
/// That works because readers, as all that takes long, ask now and then whether the user wants no more.
struct Gate<'a> {
    progress: Progress,
    walker: ThreadId,
    /// When the walk asked last, and how often in a row it had waited before.
    walked: Mutex<(Instant, usize)>,
    open: (Mutex<bool>, Condvar),
    waiting: AtomicUsize,
    act: &'a (dyn Fn() + Sync),
}

impl<'a> Gate<'a> {
    fn new(act: &'a (dyn Fn() + Sync)) -> Self {
        Self {
            progress: Progress::default(),
            walker: std::thread::current().id(),
            walked: Mutex::new((Instant::now(), 0)),
            open: (Mutex::new(false), Condvar::new()),
            waiting: AtomicUsize::new(0),
            act,
        }
    }
}

impl Monitor for Gate<'_> {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn interrupted(&self) -> bool {
        let (open, opened) = &self.open;
        if std::thread::current().id() != self.walker {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            return false;
        }
        // The walk asks at each entry; once it only waits for the readers, it asks ten times a second, again and again.
        let pauses = {
            let mut walked = self.walked.lock().unwrap();
            let (last, pauses) = *walked;
            *walked = (Instant::now(), if last.elapsed() > Duration::from_millis(80) { pauses + 1 } else { 0 });
            walked.1
        };
        if !*open.lock().unwrap() && pauses >= 3 && self.waiting.load(Ordering::SeqCst) >= readers() {
            (self.act)();
            *open.lock().unwrap() = true;
            opened.notify_all();
        }
        false
    }
}

fn readers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Backs up, and has `act` happen when all was found and nothing but the first files, which aren't touched, was opened.
fn back_up_while(world: &World, act: &(dyn Fn() + Sync)) -> BackupSummary {
    for n in 0..readers() {
        world.write(&format!("  first {n}"), noise(200_000));
    }
    // There must be a snapshot already: with its totals nobody counts, who would be held, too.
    backup(&world.repo(), &world.options(), &Gate::new(act)).unwrap()
}

fn restored(world: &World, summary: &BackupSummary) -> std::path::PathBuf {
    let target = world.fresh();
    let path = "data".parse().unwrap();
    let snapshot = world.snapshot(summary.snapshot.unwrap());
    let summary =
        restore::restore(&world.repo(), &snapshot, Some(&path), &everything_into(target.clone()), &Silent::default());
    assert_eq!(summary.unwrap().problems, []);
    target
}

fn kinds(problems: &[Problem]) -> BTreeMap<String, ProblemKind> {
    let named = |problem: &Problem| (problem.path.to_string().replace("/data/", ""), problem.kind);
    problems.iter().map(named).collect()
}

#[test]
fn whatever_happens_to_a_file_before_it_is_opened_is_named_or_read_and_never_waited_for() {
    use ProblemKind::{Changed, Other, Vanished};
    let world = World::new();
    let at = |name: &str| world.source().join(name);
    let names = [
        "by a file",
        "by a folder",
        "by a link",
        "by a pipe",
        "by a socket",
        "cut",
        "gone",
        "grown",
        "linked",
        "mode",
        "sibling",
    ];
    for name in names {
        world.write(name, noise(5_000));
    }
    std::fs::hard_link(at("linked"), at("other name")).unwrap();
    std::fs::write(world.source().with_extension("outside"), "outside").unwrap();
    back_up(&world, &world.source());
    std::fs::remove_dir_all(world.cache()).unwrap();
    let sibling = std::fs::read(at("sibling")).unwrap();
    let summary = back_up_while(&world, &|| {
        let replace = |name: &str, make: &dyn Fn(&Path)| {
            make(&at("new"));
            if at("new").is_dir() {
                std::fs::remove_file(at(name)).unwrap();
            }
            std::fs::rename(at("new"), at(name)).unwrap();
        };
        replace("by a file", &|path| {
            std::fs::write(path, "the new one").unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
            rustix::fs::lsetxattr(path, "user.new", b"1", XattrFlags::empty()).unwrap();
        });
        replace("by a folder", &|path| {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("file"), "").unwrap();
        });
        replace("by a link", &|path| symlink(world.source().with_extension("outside"), path).unwrap());
        replace("by a pipe", &|path| rustix::fs::mkfifoat(CWD, path, Mode::RUSR).unwrap());
        replace("by a socket", &|path| rustix::fs::mknodat(CWD, path, FileType::Socket, Mode::RUSR, 0).unwrap());
        replace("linked", &|path| std::fs::write(path, "another file").unwrap());
        std::fs::remove_file(at("gone")).unwrap();
        std::fs::File::options().write(true).open(at("cut")).unwrap().set_len(10).unwrap();
        std::fs::File::options().append(true).open(at("grown")).unwrap().write_all(b"more").unwrap();
        std::fs::set_permissions(at("mode"), PermissionsExt::from_mode(0o640)).unwrap();
    });
    let expected = [
        ("by a folder", Changed),
        ("by a link", Changed),
        ("by a pipe", Changed),
        ("by a socket", Changed),
        ("gone", Vanished),
        ("linked", Changed),
        ("other name", Other),
    ];
    let expected: BTreeMap<String, ProblemKind> = expected.map(|(name, kind)| (name.to_owned(), kind)).into();
    assert_eq!(kinds(&summary.problems), expected, "{:?}", summary.problems);
    assert_eq!(summary.state, State::Incomplete);
    let target = restored(&world, &summary);
    let read = |name: &str| std::fs::read(target.join(name)).unwrap();
    assert_eq!(
        (read("by a file").as_slice(), read("cut").len(), read("grown").len()),
        (&b"the new one"[..], 10, 5_004)
    );
    assert!(read("sibling") == sibling && read("grown").ends_with(b"more"));
    let facts = std::fs::metadata(target.join("by a file")).unwrap();
    assert_eq!(facts.mode() & 0o777, 0o600, "the new content doesn't get the mode of the old file");
    assert!(rustix::fs::lgetxattr(target.join("by a file"), "user.new", &mut [0u8; 8][..]).is_ok());
    assert_eq!(std::fs::metadata(target.join("mode")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), readers() + names.len() - 6);
    // The next night all of it is there.
    let summary = world.back_up();
    assert_eq!((summary.problems.as_slice(), summary.state), (&[][..], State::Complete));
    assert_eq!(portrait(&restored(&world, &summary)), portrait(&world.source()));
}

/// Appends to a file whenever a reader asks whether to go on.
struct Restless {
    progress: Progress,
    walker: ThreadId,
    file: Mutex<std::fs::File>,
    left: AtomicUsize,
}

impl Monitor for Restless {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn interrupted(&self) -> bool {
        let is_wanted =
            || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if std::thread::current().id() != self.walker && is_wanted() {
            // The time of a change may have no more than a tick's precision.
            std::thread::sleep(Duration::from_millis(15));
            self.file.lock().unwrap().write_all(b"!").unwrap();
        }
        false
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_three_times() {
    for (changes, problems) in [(0, 0), (2, 0), (1_000, 1)] {
        let world = World::new();
        world.write("sibling", noise(100));
        back_up(&world, &world.source());
        // One chunk, so that a reading asks once; the other file stands in its entry.
        std::fs::write(world.source().join("sibling"), noise(50)).unwrap();
        world.write("log", noise(10_000));
        let file = Mutex::new(std::fs::File::options().append(true).open(world.source().join("log")).unwrap());
        let (walker, left) = (std::thread::current().id(), AtomicUsize::new(changes));
        let monitor = Restless { progress: Progress::default(), walker, file, left };
        let summary = backup(&world.repo(), &world.options(), &monitor).unwrap();
        let told: Vec<_> = summary.problems.iter().map(|p| (p.path.to_string(), p.kind, p.message.as_str())).collect();
        let message = "it changed during each of 3 readings; the last one is kept";
        assert_eq!(told, vec![("/data/log".to_owned(), ProblemKind::Changed, message); problems], "{changes}");
        let target = restored(&world, &summary);
        let length = std::fs::read(target.join("log")).unwrap().len();
        let expected = if problems > 0 { 10_002 } else { 10_000 + changes };
        assert_eq!((length, target.join("sibling").exists()), (expected, true), "{changes}");
    }
}

/// Acts once, in the middle of the first reading.
struct Meddler<'a> {
    progress: Progress,
    walker: ThreadId,
    act: Mutex<Option<&'a (dyn Fn() + Sync)>>,
}

impl Monitor for Meddler<'_> {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn interrupted(&self) -> bool {
        if std::thread::current().id() != self.walker
            && let Some(act) = self.act.lock().unwrap().take()
        {
            // The time of a change may have no more than a tick's precision.
            std::thread::sleep(Duration::from_millis(15));
            act();
        }
        false
    }
}

/// Backs up a tree of which one file only is read in pieces, and has `act` happen while it is. There must be a snapshot already, see above.
fn back_up_meddled(world: &World, act: &(dyn Fn() + Sync)) -> BackupSummary {
    let (walker, act) = (std::thread::current().id(), Mutex::new(Some(act)));
    let monitor = Meddler { progress: Progress::default(), walker, act };
    let summary = backup(&world.repo(), &world.options(), &monitor).unwrap();
    assert!(monitor.act.into_inner().unwrap().is_none(), "nothing happened");
    summary
}

/// A program that saves one name of a hard-linked file by renaming, in the middle of its reading: neither the new file's content may come back under the other name, nor may a half of each.
#[test]
fn one_of_several_names_that_is_saved_by_renaming_while_it_is_read() {
    let world = World::new();
    let at = |name: &str| world.source().join(name);
    world.write("sibling", noise(100));
    back_up(&world, &world.source());
    world.write("a first", noise(300_000));
    std::fs::hard_link(at("a first"), at("z second")).unwrap();
    world.write("sibling", noise(120));
    let summary = back_up_meddled(&world, &|| {
        std::fs::write(at(".new"), noise(200_000)).unwrap();
        std::fs::rename(at(".new"), at("a first")).unwrap();
    });
    let expected = [("a first".to_owned(), ProblemKind::Changed), ("z second".to_owned(), ProblemKind::Other)];
    assert_eq!(kinds(&summary.problems), expected.into(), "{:?}", summary.problems);
    assert_eq!(summary.state, State::Incomplete);
    let target = restored(&world, &summary);
    assert!(target.join("sibling").exists() && !target.join("a first").exists() && !target.join("z second").exists());
    // The next night both are there, and nothing is amiss.
    let summary = world.back_up();
    assert_eq!((summary.problems.as_slice(), summary.state), (&[][..], State::Complete));
    assert_eq!(portrait(&restored(&world, &summary)), portrait(&world.source()));
}

/// Extended attributes that changed together with the content: what is stored is what the file had when it was read last, never the older attributes with the newer content.
#[test]
fn extended_attributes_of_a_file_that_changes_while_it_is_read_are_read_anew() {
    let world = World::new();
    let at = |name: &str| world.source().join(name);
    let set = |name: &str, value: &[u8]| rustix::fs::lsetxattr(at("file"), name, value, XattrFlags::empty());
    world.write("sibling", noise(100));
    back_up(&world, &world.source());
    world.write("file", noise(300_000));
    if set("user.changes", b"before").is_err() {
        return eprintln!("skipped: no extended attributes here");
    }
    set("user.goes", b"1").unwrap();
    let summary = back_up_meddled(&world, &|| {
        std::fs::File::options().append(true).open(at("file")).unwrap().write_all(b"more").unwrap();
        set("user.changes", b"after").unwrap();
        set("user.comes", b"1").unwrap();
        rustix::fs::lremovexattr(at("file"), "user.goes").unwrap();
    });
    assert_eq!(summary.problems, []);
    // The night after that nor does the cache remember others.
    for summary in [summary, world.back_up()] {
        let target = restored(&world, &summary);
        assert_eq!(portrait(&target), portrait(&world.source()));
        let of = |name: &str| {
            let mut value = [0; 16];
            rustix::fs::lgetxattr(target.join("file"), name, &mut value[..]).ok().map(|length| value[..length].to_vec())
        };
        assert_eq!(of("user.changes").as_deref(), Some(&b"after"[..]));
        assert!(of("user.comes").is_some() && of("user.goes").is_none());
    }
}

/// Another process that never stops changing things.
struct Churn {
    children: Vec<Child>,
}

const CHURN: &str = r#"
cd "$1" && n=0
while :; do
    n=$((n + 1)) && f=$((n % 7)) && text=$(printf "%0$((n % 97 + 1))d" 0)
    printf '%s' "$text" > ".new$2" && mv -fT ".new$2" "saved $2 $f" 2>/dev/null
    printf '%s' "$text" >> "grown $2"
    : > "cut $2" && printf '%s' "$text" > "cut $2"
    rm -rf "turn $2 $f"
    case $((n % 5)) in
        0) mkdir -p "turn $2 $f/a/b" && : > "turn $2 $f/a/b/c" ;;
        1) ln -s /etc/passwd "turn $2 $f" ;;
        2) mkfifo "turn $2 $f" ;;
        3) printf x > "turn $2 $f" ;;
    esac
    mv -T "walk $2" "walk $2 away" 2>/dev/null || mv -T "walk $2 away" "walk $2" 2>/dev/null
done
"#;

impl Churn {
    fn begin(folder: &Path) -> Self {
        let start = |n: usize| {
            std::fs::create_dir_all(folder.join(format!("walk {n}/sub/sub"))).unwrap();
            std::fs::write(folder.join(format!("walk {n}/sub/sub/file")), "there").unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", CHURN, "sh"]).arg(folder).arg(n.to_string());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        Self { children: (0..2).map(start).collect() }
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_tree_that_another_process_changes_all_the_time_is_backed_up() {
    let world = World::new();
    for folder in ["a", "churn/between", "z"] {
        for n in 0..60 {
            world.write(&format!("{folder}/{n}"), noise(n * 40));
        }
    }
    let steady = ["a", "churn/between", "z"];
    let portraits = |base: &Path| steady.map(|folder| portrait(&base.join(folder)));
    let before = portraits(&world.source());
    let churn = Churn::begin(&world.source().join("churn"));
    for _ in 0..12 {
        let summary = world.back_up();
        for problem in &summary.problems {
            assert!(problem.path.to_string().starts_with("/data/churn/"), "{problem}");
            let is_expected = matches!(problem.kind, ProblemKind::Changed | ProblemKind::Vanished | ProblemKind::Other);
            assert!(is_expected, "{problem}");
        }
        assert_eq!(summary.state == State::Complete, summary.problems.is_empty());
        let target = restored(&world, &summary);
        assert!(portraits(&target) == before, "what nobody touched is all there");
        // What is saved by renaming is whole: zeros only, and some.
        for entry in std::fs::read_dir(target.join("churn")).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("saved") {
                let content = std::fs::read(entry.path()).unwrap();
                assert!(!content.is_empty() && content.iter().all(|&byte| byte == b'0'), "{entry:?}");
            }
        }
        std::fs::remove_dir_all(target).unwrap();
    }
    drop(churn);
    let summary = world.back_up();
    assert_eq!(summary.problems, [], "when it's quiet nothing is amiss");
}

/// A disk that fails: the rest of an image, in which the most of a file lies, is gone.
#[test]
fn a_file_on_a_failing_disk_is_named_with_the_place_and_its_siblings_are_stored() {
    let Some(place) = mount::ext4("-I 256 -O ^has_journal", 24) else { return };
    let source = place.path.clone();
    for name in ["a", "z"] {
        std::fs::write(source.join(name), noise(10_000)).unwrap();
    }
    std::fs::write(source.join("m"), noise(14 << 20)).unwrap();
    std::fs::write(source.join("n"), noise(1 << 20)).unwrap();
    let image = place.folder.path().join("image");
    // Written, and then not remembered.
    mount::unmount(&place.path).unwrap();
    rustix::fs::sync();
    if let Err(reason) = mount::mount(&["-o", "loop,ro", image.to_str().unwrap()], &place.path) {
        return eprintln!("skipped: {reason}");
    }
    // What comes after the first 1,000 blocks of the file lies behind the new end of the image.
    let asked = Command::new("debugfs").args(["-R", "bmap /m 1000", image.to_str().unwrap()]).output().unwrap();
    let block: u64 = String::from_utf8(asked.stdout).unwrap().trim().parse().unwrap();
    std::fs::File::options().write(true).open(&image).unwrap().set_len(block * 4_096).unwrap();
    let direct =
        Command::new("dd").arg(format!("if={}", source.join("m").display())).args(["of=/dev/null", "bs=1M"]).output();
    if direct.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: an image that is cut off doesn't fail here");
    }
    let world = World::new();
    let files = FilesSource { name: Some("data".to_owned()), paths: vec![source], ..FilesSource::default() };
    let options = BackupOptions { files: vec![files], ..world.options() };
    let summary = backup(&world.repo(), &options, &Silent::default()).unwrap();
    assert!(is_root() && summary.state == State::Incomplete);
    let told = kinds(&summary.problems);
    assert_eq!(told["m"], ProblemKind::Unreadable, "{:?}", summary.problems);
    assert!(told.keys().all(|name| name == "m" || name == "n"), "{:?}", summary.problems);
    let message = &summary.problems.iter().find(|problem| problem.path.to_string() == "/data/m").unwrap().message;
    let offset = message.strip_prefix("read: at byte ").and_then(|rest| rest.split(": ").next()).unwrap();
    let offset: usize = offset.parse().unwrap();
    assert!(offset > 0 && offset <= 4_096_000 && message.ends_with("(os error 5)"), "{message}");
    let target = restored(&world, &summary);
    assert!(target.join("a").exists() && target.join("z").exists() && !target.join("m").exists());
}

/// Whether a monitor that never interrupts was asked at all: else the tests above would prove nothing.
#[test]
fn readers_do_ask_whether_to_go_on() {
    let asked = AtomicBool::new(false);
    let world = World::new();
    back_up(&world, &world.source());
    back_up_while(&world, &|| asked.store(true, Ordering::SeqCst));
    assert!(asked.load(Ordering::SeqCst));
}
