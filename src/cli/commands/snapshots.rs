//! `snapshots`: what there is, grouped by app.

use crate::cli::args::FilterArgs;
use crate::cli::commands::{Context, exit_of_reading};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use crate::snapshot::manifest::State;
use crate::snapshot::policy::{self, Candidate, Options};
use crate::snapshot::snapshots::{self as library, Filter, Snapshot, Snapshots};
use crate::snapshot::tree::path::escape_name;
use anstyle::Style;
use clap::Args;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// How many paths of a snapshot a table names.
const PATHS: usize = 2;

/// List the snapshots
#[derive(Debug, Args)]
#[command(after_help = "\
Grouped by app, the newest last. ADDED is what a snapshot made the repository grow by. With --forgotten, those that
were forgotten and aren't pruned yet, each with the time since when. A checkpoint is what a long backup had done
by then; it's incomplete.

Examples:
  nightsafe snapshots
  nightsafe snapshots --app wiki --json")]
pub struct SnapshotsArgs {
    /// Those that were forgotten and are still there
    #[arg(long)]
    forgotten: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Since when snapshots are forgotten.
type Since = HashMap<RunId, Time>;

/// Lists them.
pub fn snapshots(args: SnapshotsArgs, context: &Context) -> Result<Exit, CliError> {
    let open = context.open_full()?;
    let (all, since) = if args.forgotten {
        let (all, since) = library::forgotten(&open.repo)?;
        (all, since.into_iter().map(|(id, seconds)| (id, Time { seconds, nanoseconds: 0 })).collect())
    } else {
        (context.snapshots(&open.repo)?, Since::new())
    };
    let filter = Filter::from(args.filter);
    let mut list: Vec<&Snapshot> = all.list.iter().filter(|snapshot| filter.admits(snapshot)).collect();
    if context.ui.is_json() {
        let message = |snapshot: &Snapshot| json::Snapshot {
            forgotten: since.get(&snapshot.id).map(|&time| units::rfc3339(time)),
            ..json::Snapshot::from(snapshot)
        };
        context.ui.json(&list.into_iter().map(message).collect::<Vec<_>>())?;
    } else if args.forgotten && all.list.is_empty() {
        context.ui.print("no snapshot is forgotten and still there\n")?;
    } else {
        let overtaken = if args.forgotten { BTreeSet::new() } else { overtaken(&all) };
        list.retain(|snapshot| !overtaken.contains(&snapshot.id));
        context.ui.print(&render(&list, all.list.len() - overtaken.len(), &since, context.ui.zone()))?;
        if !overtaken.is_empty() {
            context.ui.note(&render_overtaken(overtaken.len()));
        }
    }
    // One that can't be read was perhaps forgotten for that.
    Ok(if args.forgotten { Exit::Done } else { exit_of_reading(&all) })
}

/// Checkpoints that later snapshots stand for. Those that somebody protects are shown.
fn overtaken(all: &Snapshots) -> BTreeSet<RunId> {
    let candidates: Vec<Candidate> = all.list.iter().map(Candidate::from).collect();
    let mut overtaken = policy::overtaken(&candidates, &Options::default());
    for protected in candidates.iter().filter(|candidate| candidate.protected) {
        overtaken.remove(&protected.id);
    }
    overtaken
}

fn render_overtaken(count: usize) -> String {
    let checkpoints = units::counted(count as u64, "checkpoint");
    format!("{checkpoints} not shown: later snapshots stand for them; `nightsafe forget` by rules forgets them")
}

/// The tables, one for each app.
fn render(list: &[&Snapshot], of: usize, since: &Since, zone: &TimeZone) -> String {
    if list.is_empty() {
        return match of {
            0 => "no snapshots yet: nightsafe backup PATH… makes one\n".to_owned(),
            _ => format!("none of the {} fits\n", units::counted(of as u64, "snapshot")),
        };
    }
    let mut apps: BTreeMap<Option<&str>, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in list {
        apps.entry(snapshot.manifest.app.as_deref()).or_default().push(snapshot);
    }
    let mut text = String::new();
    let headed = apps.len() > 1 || apps.keys().any(Option::is_some);
    for (app, snapshots) in apps {
        if headed {
            let name = app.map_or_else(|| "without an app".to_owned(), clean);
            writeln!(text, "{}", style::paint(style::HEADING, &name)).expect("writing to a String can't fail");
        }
        text.push_str(&table(&snapshots, since, zone));
        text.push('\n');
    }
    let incomplete = list.iter().filter(|snapshot| snapshot.manifest.state == State::Incomplete).count();
    text.push_str(&units::counted(list.len() as u64, "snapshot"));
    if incomplete > 0 {
        write!(text, ", {} incomplete", units::count(incomplete as u64)).expect("writing to a String can't fail");
    }
    text.push('\n');
    text
}

fn table(snapshots: &[&Snapshot], since: &Since, zone: &TimeZone) -> String {
    use Align::{Left, Right, Shortened};
    let columns = [
        ("ID", Left),
        ("TIME", Left),
        ("HOST", Shortened),
        ("STATE", Left),
        ("FILES", Right),
        ("SIZE", Right),
        ("ADDED", Right),
        ("PATHS", Shortened),
        ("TAGS", Shortened),
    ];
    let mut table = Table::new(&columns);
    for snapshot in snapshots {
        let m = &snapshot.manifest;
        let complete = m.state == State::Complete;
        let state = match (since.get(&snapshot.id), complete, snapshot.protected) {
            (Some(&since), ..) => format!("forgotten {}", units::time(since, zone)),
            (None, true, false) => "ok".to_owned(),
            (None, true, true) => "protected".to_owned(),
            (None, false, _) if m.checkpoint_of.is_some() => "checkpoint".to_owned(),
            (None, false, _) => "incomplete".to_owned(),
        };
        let cells = [
            json::short_id(snapshot.id),
            units::time(m.time, zone),
            clean(&m.host),
            state,
            units::count(m.statistics.files),
            units::size(m.statistics.bytes),
            format!("+{}", units::size(m.statistics.stored_added)),
            paths(&m.paths),
            clean(&snapshot.tags.join(",")),
        ];
        table.styled_row(cells, if complete { Style::new() } else { style::WARNING });
    }
    table.render()
}

fn paths(paths: &[Vec<u8>]) -> String {
    let named: Vec<_> = paths.iter().take(PATHS).map(|path| escape_name(path)).collect();
    match paths.len().saturating_sub(PATHS) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;

    #[test]
    fn the_table() {
        let mut list = [1, 2, 3].map(test_data::snapshot);
        list[1].manifest.state = State::Incomplete;
        list[2].manifest.app = None;
        list[2].manifest.host = "evil\u{1b}[2J".to_owned();
        list[2].manifest.paths = vec![b"/a\nb".to_vec(), b"/\xff".to_vec(), b"/c".to_vec()];
        let list: Vec<_> = list.iter().collect();
        insta::assert_snapshot!(style::plain(&render(&list, 3, &Since::new(), &TimeZone::UTC)), @r"
        without an app
        ID        TIME              HOST         STATE   FILES     SIZE     ADDED  PATHS                   TAGS
        vfdxqpyv  2026-11-22 12:05  evil\x1b[2J  ok     20 360  2.0 GiB  +4.1 MiB  /a\nb /\xff and 1 more  nightly

        wiki
        ID        TIME              HOST  STATE        FILES     SIZE     ADDED  PATHS     TAGS
        954mjja9  2026-11-20 12:05  web1  ok          20 360  2.0 GiB  +4.1 MiB  /srv/app  nightly
        ja9954mj  2026-11-21 12:05  web1  incomplete  20 360  2.0 GiB  +4.1 MiB  /srv/app  nightly

        3 snapshots, 1 incomplete
        ");
    }

    #[test]
    fn protected_and_forgotten_ones() {
        let mut list = [1, 2].map(test_data::snapshot);
        list[0].protected = true;
        let list: Vec<_> = list.iter().collect();
        let since = Since::from([(list[1].id, Time { seconds: test_data::NOON.seconds + 7 * 86_400, nanoseconds: 0 })]);
        insta::assert_snapshot!(style::plain(&render(&list, 2, &since, &TimeZone::UTC)), @r"
        wiki
        ID        TIME              HOST  STATE                        FILES     SIZE     ADDED  PATHS     TAGS
        954mjja9  2026-11-20 12:05  web1  protected                   20 360  2.0 GiB  +4.1 MiB  /srv/app  nightly
        ja9954mj  2026-11-21 12:05  web1  forgotten 2026-11-27 12:05  20 360  2.0 GiB  +4.1 MiB  /srv/app  nightly

        2 snapshots
        ");
    }

    #[test]
    fn checkpoints_are_called_so_unless_something_stands_for_them() {
        let mut list = [1, 2, 3].map(test_data::snapshot);
        for snapshot in &mut list[..2] {
            snapshot.manifest.state = State::Incomplete;
            snapshot.manifest.checkpoint_of = Some(test_data::run(9));
        }
        list[1].manifest.sequence += 1;
        let shown = render(&[&list[1]], 1, &Since::new(), &TimeZone::UTC);
        assert!(style::plain(&shown).contains("checkpoint"), "{shown}");
        let mut all = Snapshots { list: list[..2].to_vec(), ..Snapshots::default() };
        assert_eq!(overtaken(&all), [list[0].id].into());
        all.list = list.to_vec();
        assert_eq!(overtaken(&all), [list[0].id, list[1].id].into(), "a later one is complete");
        all.list[0].protected = true;
        assert_eq!(overtaken(&all), [list[1].id].into());
        assert!(render_overtaken(1).starts_with("1 checkpoint not shown"));
    }

    #[test]
    fn no_snapshots() {
        assert_eq!(
            render(&[], 0, &Since::new(), &TimeZone::UTC),
            "no snapshots yet: nightsafe backup PATH… makes one\n"
        );
        assert_eq!(render(&[], 7, &Since::new(), &TimeZone::UTC), "none of the 7 snapshots fits\n");
    }

    #[test]
    fn filters() {
        let snapshot = test_data::snapshot(1);
        let fits = |app: Option<&str>, host: Option<&str>, tags: &[&str]| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
            Filter { app: owned(app), host: owned(host), tags }.admits(&snapshot)
        };
        assert!(fits(None, None, &[]) && fits(Some("wiki"), Some("web1"), &["nightly"]));
        assert!(
            !fits(Some("blog"), None, &[]) && !fits(None, Some("web2"), &[]) && !fits(None, None, &["nightly", "x"])
        );
    }
}
