//! `restore --target`: files into a folder.

use crate::cli::commands::Context;
use crate::cli::commands::backup::{besides, render_first_problems};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::settings::SecretSource;
use crate::cli::ui::{clean, style, units};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::url::StoreUrl;
use crate::snapshot::manifest::State;
use crate::snapshot::restore::plan::Listed;
use crate::snapshot::restore::{self as library, Overwrite, RestoreError, RestoreOptions, RestorePlan, RestoreSummary};
use crate::snapshot::snapshots::Snapshot;
use crate::snapshot::target::attributes::{AttributeOptions, Ownership};
use crate::snapshot::tree::path::{SafePath, escape_name};
use crate::snapshot::tree::problem::ProblemKind;
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How many problems are listed.
const LISTED: usize = 20;
/// How many things that a checkpoint lacks are listed.
const LACKS: usize = 5;

/// Options for folders.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct FolderArgs {
    /// Into a folder that holds something; its files stay
    #[arg(long, conflicts_with = "postgres")]
    into_existing: bool,
    /// Replace those: never, if-changed, if-newer, always; implies --into-existing
    #[arg(long, value_name = "WHEN", conflicts_with = "postgres", hide_possible_values = true)]
    overwrite: Option<When>,
    /// Delete what the snapshot lacks; --dry-run first
    #[arg(long, requires = "into_existing", conflicts_with = "postgres")]
    delete: bool,
    /// Whose files become: numbers (as recorded), names (as they are here), keep (yours)
    #[arg(
        long,
        value_name = "WHOSE",
        conflicts_with = "postgres",
        hide_possible_values = true,
        hide_short_help = true
    )]
    owner: Option<Whose>,
    /// Restore setuid and setgid bits of files
    #[arg(long, conflicts_with = "postgres", hide_short_help = true)]
    setuid: bool,
    /// Restore pipes, sockets and devices
    #[arg(long, conflicts_with = "postgres", hide_short_help = true)]
    special: bool,
    /// Restore security.* and trusted.* attributes: capabilities, labels
    #[arg(long, conflicts_with = "postgres", hide_short_help = true)]
    security_xattrs: bool,
}

/// Which files are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// None
    Never,
    /// Those that differ in content, time, mode or owner
    IfChanged,
    /// Those of which the snapshot's changed later
    IfNewer,
    /// All
    Always,
}

/// Whose the files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Whose {
    /// Owners by the recorded numbers
    Numbers,
    /// Owners by the recorded names
    Names,
    /// Those of whoever restores
    Keep,
}

impl FolderArgs {
    /// What the library is asked for.
    pub fn options(&self, target: PathBuf, allow_incomplete: bool) -> RestoreOptions {
        let overwrite = self.overwrite.map(|when| match when {
            When::Never => Overwrite::Never,
            When::IfChanged => Overwrite::IfChanged,
            When::IfNewer => Overwrite::IfNewer,
            When::Always => Overwrite::Always,
        });
        let ownership = match self.owner {
            None | Some(Whose::Numbers) => Ownership::Numbers,
            Some(Whose::Names) => Ownership::Names,
            Some(Whose::Keep) => Ownership::Keep,
        };
        let (set_id, security_xattrs) = (self.setuid, self.security_xattrs);
        RestoreOptions {
            existing: overwrite.or(self.into_existing.then_some(Overwrite::Never)),
            delete: self.delete,
            allow_incomplete,
            attributes: AttributeOptions { ownership, set_id, security_xattrs, ..AttributeOptions::default() },
            special: self.special,
            ..RestoreOptions::into(target)
        }
    }
}

/// Restores.
pub fn restore(
    options: &RestoreOptions,
    dry_run: bool,
    repo: &Repo<Full>,
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    context: &Context,
) -> Result<Exit, CliError> {
    let ui = context.ui;
    if options.delete {
        spare_what_backups_need(&options.target, context)?;
    }
    let plan = library::plan(repo, snapshot, path, options)?;
    let looks = options.existing.is_some() || plan.goes_on;
    if !ui.is_json() {
        ui.say(&render_plan(snapshot, path, &plan, looks, ui.zone()))?;
        ui.flush()?;
    }
    if plan.free.is_some_and(|free| free < plan.bytes) {
        ui.alert("there is less room than this needs, unless files are sparse or there already");
    }
    if dry_run {
        if ui.is_json() {
            ui.json(&json::Restore::dry(snapshot.id, &plan))?;
        } else {
            ui.say(&render_lists(&plan))?;
        }
        let lacking = [&plan.refused, &plan.untouched, &plan.unreadable];
        return Ok(if lacking.iter().all(|list| list.count == 0) { Exit::Done } else { Exit::Incomplete });
    }
    let result = context.watched(|monitor| library::restore(repo, snapshot, path, options, monitor));
    let kept = format!(
        "what is in {} is a part of the snapshot only; the same command, typed again, goes on",
        plan.target.display()
    );
    let result = result.map_err(|error| match error {
        // The more precise hint first: it's the one that counts.
        RestoreError::Full { in_place, .. } => match room(&plan, in_place) {
            Some(hint) => CliError::from_error(Exit::Failed, &error).hint(hint),
            None => error.into(),
        },
        error => CliError::from(error),
    });
    let summary = context.ended(result, &kept)?;
    if ui.is_json() {
        ui.json(&json::Restore::new(snapshot.id, &plan, &summary))?;
    } else {
        if !summary.problems.is_empty() {
            ui.tell(&render_first_problems(&summary.problems, summary.problem_count, LISTED, None));
        }
        if let Some(denied) = render_denied(&summary) {
            ui.alert(&denied);
        }
        ui.say(&render_summary(&summary))?;
    }
    // What a checkpoint lacks nobody has restored.
    let is_whole = summary.is_complete() && snapshot.manifest.checkpoint_of.is_none();
    Ok(if is_whole { Exit::Done } else { Exit::Incomplete })
}

/// What to do when the disk is full and `in_place` bytes of files are there; nothing if it isn't known how much is missing, as where there's a quota.
fn room(plan: &RestorePlan, in_place: u64) -> Option<String> {
    let free = library::plan::free(&plan.target)?;
    let missing = plan.bytes.checked_sub(in_place)?.checked_sub(free).filter(|&missing| missing > 0)?;
    let missing = units::size(missing);
    Some(format!("about {missing} more is needed; make room, and the same command, typed again, goes on"))
}

/// Refuses to delete in a folder that holds the repository, the cache or the key, or lies in one of them: no snapshot holds them.
fn spare_what_backups_need(target: &Path, context: &Context) -> Result<(), CliError> {
    let settings = context.settings;
    let repository = StoreUrl::parse(settings.repository()?)?.folder_here();
    let secret = match &settings.secret {
        SecretSource::KeyFile(path) | SecretSource::PasswordFile(path) | SecretSource::File(path) => {
            Some(path.as_path())
        }
        _ => None,
    };
    let precious =
        [("the repository", repository.as_deref()), ("the cache", settings.cache.as_deref()), ("the key", secret)];
    // What doesn't exist yet holds nothing.
    let Ok(target) = target.canonicalize() else { return Ok(()) };
    for (what, path) in precious {
        let Some(path) = path.and_then(|path| path.canonicalize().ok()) else { continue };
        if path.starts_with(&target) || target.starts_with(&path) {
            let message = format!("--delete in {}: {what} lies there ({})", target.display(), path.display());
            return Err(CliError::new(Exit::Refused, message).hint("restore a folder below, or without --delete"));
        }
    }
    Ok(())
}

fn render_plan(
    snapshot: &Snapshot,
    path: Option<&SafePath>,
    plan: &RestorePlan,
    looks: bool,
    zone: &TimeZone,
) -> String {
    let m = &snapshot.manifest;
    let app = m.app.as_deref().map(|app| format!(", {}", clean(app))).unwrap_or_default();
    let part = path.filter(|path| !path.is_top()).map(|path| format!("{path} of ")).unwrap_or_default();
    let mut text = format!(
        "Restoring {part}snapshot {} ({}, {}{app})\n",
        json::short_id(snapshot.id),
        units::time(m.time, zone),
        clean(&m.host)
    );
    let free = plan.free.map_or_else(|| "free space unknown".to_owned(), |free| format!("{} free", units::size(free)));
    let mut rows = vec![
        ("to", escape_name(plan.target.as_os_str().as_encoded_bytes())),
        ("files", format!("{}, {}", units::counted(plan.files, "file"), besides(plan.directories, plan.others))),
        ("size", format!("{}; {free}", units::size(plan.bytes))),
    ];
    if looks {
        let always = ["new", "replaced", "kept", "deleted", "in the way"];
        let shown = lists(plan).into_iter().filter(|(what, list)| always.contains(what) || list.count > 0);
        let counts: Vec<_> = shown.map(|(what, list)| format!("{} {what}", units::count(list.count))).collect();
        let lead = if plan.goes_on { "goes on: " } else { "" };
        rows.push(("there", format!("{lead}{}", counts.join(", "))));
    }
    for (name, value) in rows {
        writeln!(text, "  {name:<6} {value}").expect("writing to a String can't fail");
    }
    if m.checkpoint_of.is_some() {
        text.push_str(&render_checkpoint(snapshot));
    } else if m.state == State::Incomplete {
        let warning = "This snapshot is incomplete: `nightsafe show` lists what it lacks.";
        text.push_str(&style::paint(style::WARNING, warning));
        text.push('\n');
    }
    text
}

/// What a checkpoint lacks, as far as it's because it was taken too early.
fn render_checkpoint(snapshot: &Snapshot) -> String {
    let warning = "This is a checkpoint of a backup that went on, so it is incomplete:";
    let mut text = style::paint(style::WARNING, warning) + "\n";
    let problems = &snapshot.manifest.problems;
    let lacks = || problems.iter().filter(|problem| problem.kind == ProblemKind::NotReached);
    for problem in lacks().take(LACKS) {
        writeln!(text, "  {problem}").expect("writing to a String can't fail");
    }
    if let Some(more) = problems.len().checked_sub(lacks().count().min(LACKS)).filter(|&more| more > 0) {
        let id = json::short_id(snapshot.id);
        writeln!(text, "  and {} more: nightsafe show {id} --problems", units::count(more as u64))
            .expect("writing to a String can't fail");
    }
    text
}

/// What would happen to entries, and to which.
fn lists(plan: &RestorePlan) -> [(&'static str, &Listed); 8] {
    [
        ("new", &plan.created),
        ("replaced", &plan.overwritten),
        ("kept", &plan.kept),
        ("deleted", &plan.deleted),
        ("in the way", &plan.refused),
        ("left alone, as the backup did", &plan.spared),
        ("without deleting, since they can't be looked at", &plan.untouched),
        ("lost with what is in them, since they can't be read in the snapshot", &plan.unreadable),
    ]
}

/// The closing words of a dry run.
fn render_lists(plan: &RestorePlan) -> String {
    let mut text = String::new();
    for (what, list) in lists(plan).into_iter().filter(|(_, list)| list.count > 0) {
        let lead = style::paint(style::HEADING, &format!("{what}:"));
        writeln!(text, "{lead}").expect("writing to a String can't fail");
        for path in &list.first {
            writeln!(text, "  {path}").expect("writing to a String can't fail");
        }
        if let Some(more) = list.count.checked_sub(list.first.len() as u64).filter(|&more| more > 0) {
            writeln!(text, "  and {} more", units::count(more)).expect("writing to a String can't fail");
        }
    }
    text.push_str("nothing was written: a dry run\n");
    text
}

/// What the system didn't permit, in one line.
fn render_denied(summary: &RestoreSummary) -> Option<String> {
    let denied = &summary.denied;
    let parts = [
        (denied.owners, "owner", " (--owner keep leaves them to you)"),
        (denied.set_ids, "file with setuid or setgid bits", ""),
        (denied.devices, "device", ""),
        (denied.xattrs, "security attribute", ""),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, noun, more)| match noun {
            "file with setuid or setgid bits" if count != 1 => {
                format!("{} files with setuid or setgid bits", units::count(count))
            }
            _ => format!("{}{more}", units::counted(count, noun)),
        })
        .collect();
    (!parts.is_empty()).then(|| format!("not permitted to this user: {}; root may restore all of it", parts.join(", ")))
}

/// What nobody asked for, in one line.
fn render_left_out(summary: &RestoreSummary) -> Option<String> {
    let special = match summary.special_left_out {
        1 => "1 pipe, socket or device".to_owned(),
        n => format!("{} pipes, sockets and devices", units::count(n)),
    };
    let set_ids = match summary.left_out.set_ids {
        1 => "setuid or setgid bits of 1 file".to_owned(),
        n => format!("setuid or setgid bits of {} files", units::count(n)),
    };
    let xattrs = units::counted(summary.left_out.xattrs, "security attribute");
    let parts = [
        (summary.left_out.set_ids, set_ids, "--setuid"),
        (summary.special_left_out, special, "--special"),
        (summary.left_out.xattrs, xattrs, "--security-xattrs"),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(_, what, option)| format!("{what} ({option} restores them)"))
        .collect();
    (!parts.is_empty()).then(|| format!("left out: {}\n", parts.join(", ")))
}

fn render_summary(summary: &RestoreSummary) -> String {
    let what = format!(
        "{} ({}) and {} in {}, {}",
        units::counted(summary.files, "file"),
        units::size(summary.bytes),
        besides(summary.directories, summary.others),
        units::duration(summary.seconds),
        units::rate(summary.bytes, summary.seconds),
    );
    let mut text = render_left_out(summary).unwrap_or_default();
    let changes = [(summary.overwritten, "replaced"), (summary.kept, "kept"), (summary.deleted, "deleted")];
    if changes.iter().any(|(count, _)| *count > 0) {
        let changes = changes.map(|(count, what)| format!("{} {what}", units::count(count)));
        writeln!(text, "{}", changes.join(", ")).expect("writing to a String can't fail");
    }
    if summary.spared > 0 {
        writeln!(text, "{} left alone, as the backup did", units::count(summary.spared))
            .expect("writing to a String can't fail");
    }
    let verdict = match summary.problem_count {
        0 if summary.is_complete() => style::paint(style::GOOD, &format!("restored and verified: {what}")),
        0 => style::paint(style::WARNING, &format!("restored and verified, but for what isn't permitted: {what}")),
        n => {
            let problems = units::counted(n, "problem");
            style::paint(style::WARNING, &format!("restored with {problems}: {what}"))
        }
    };
    text + &verdict + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::snapshot::restore::Denied;
    use crate::snapshot::target::attributes::LeftOut;
    use crate::snapshot::tree::problem::Problem;

    #[test]
    fn the_plan_and_the_result() {
        let (snapshot, plan, mut summary) = (test_data::snapshot(1), test_data::plan(), test_data::restore_summary());
        insta::assert_snapshot!(style::plain(&render_plan(&snapshot, None, &plan, false, &TimeZone::UTC)), @r"
        Restoring snapshot 954mjja9 (2026-11-20 12:05, web1, wiki)
          to     /mnt/new
          files  20 360 files, 1 205 folders, 1 link or device
          size   2.0 GiB; 20.0 GiB free
        ");
        let mut incomplete = snapshot;
        incomplete.manifest.state = State::Incomplete;
        let path = SafePath::parse(b"/srv/app").unwrap();
        let unknown = RestorePlan { free: None, ..plan };
        insta::assert_snapshot!(style::plain(&render_plan(&incomplete, Some(&path), &unknown, true, &TimeZone::UTC)), @r"
        Restoring /srv/app of snapshot 954mjja9 (2026-11-20 12:05, web1, wiki)
          to     /mnt/new
          files  20 360 files, 1 205 folders, 1 link or device
          size   2.0 GiB; free space unknown
          there  21 new, 1 replaced, 0 kept, 0 deleted, 0 in the way
        This snapshot is incomplete: `nightsafe show` lists what it lacks.
        ");
        insta::assert_snapshot!(style::plain(&render_summary(&summary)), @r"restored and verified: 20 360 files (2.0 GiB) and 1 205 folders, 1 link or device in 20 s, 102 MiB/s");
        (summary.problems, summary.problem_count) = (test_data::problems(1), 1);
        insta::assert_snapshot!(style::plain(&render_summary(&summary)), @r"restored with 1 problem: 20 360 files (2.0 GiB) and 1 205 folders, 1 link or device in 20 s, 102 MiB/s");
    }

    #[test]
    fn a_checkpoint_says_what_it_lacks() {
        let mut snapshot = test_data::snapshot(1);
        snapshot.manifest.state = State::Incomplete;
        snapshot.manifest.checkpoint_of = Some(test_data::run(2));
        let lacks = |name: String| Problem::unfinished(SafePath::parse(name.as_bytes()).unwrap());
        snapshot.manifest.problems = (0..7).map(|n| lacks(format!("a/{n}"))).collect();
        let text = style::plain(&render_plan(&snapshot, None, &test_data::plan(), false, &TimeZone::UTC));
        let lines: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(lines[0], "This is a checkpoint of a backup that went on, so it is incomplete:");
        assert_eq!(lines[1], "  /a/0: not reached: it was being read when this checkpoint was taken");
        assert_eq!(lines.last(), Some(&"  and 2 more: nightsafe show 954mjja9 --problems"), "{text}");
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn a_dry_run_names_the_first_of_each_kind() {
        let plan = RestorePlan { goes_on: true, ..test_data::plan() };
        let text = style::plain(&render_lists(&plan));
        assert_eq!(text.lines().count(), 1 + 20 + 1 + 2 + 1);
        assert!(text.starts_with("new:\n  /srv/app/0\n"), "{text}");
        assert!(text.ends_with("  and 1 more\nreplaced:\n  /srv/x\\x1b\nnothing was written: a dry run\n"), "{text}");
        let shown = render_plan(&test_data::snapshot(1), None, &plan, true, &TimeZone::UTC);
        assert!(style::plain(&shown).contains("there  goes on: 21 new"), "{shown}");
    }

    #[test]
    fn what_is_left_out_or_not_permitted_takes_a_line_each() {
        let mut summary = test_data::restore_summary();
        assert_eq!((render_denied(&summary), render_left_out(&summary)), (None, None));
        summary.left_out = LeftOut { set_ids: 3, xattrs: 1 };
        summary.special_left_out = 2;
        (summary.overwritten, summary.kept) = (4, 1_205);
        summary.denied = Denied { owners: 1_205, set_ids: 1, devices: 2, xattrs: 0 };
        insta::assert_snapshot!(style::plain(&render_summary(&summary)), @r"
        left out: setuid or setgid bits of 3 files (--setuid restores them), 2 pipes, sockets and devices (--special restores them), 1 security attribute (--security-xattrs restores them)
        4 replaced, 1 205 kept, 0 deleted
        restored and verified, but for what isn't permitted: 20 360 files (2.0 GiB) and 1 205 folders, 1 link or device in 20 s, 102 MiB/s
        ");
        insta::assert_snapshot!(render_denied(&summary).unwrap(), @"not permitted to this user: 1 205 owners (--owner keep leaves them to you), 1 file with setuid or setgid bits, 2 devices; root may restore all of it");
    }
}
