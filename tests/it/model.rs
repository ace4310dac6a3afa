//! The protocol of `docs/protocol.md` as a model that is explored in full: every interleaving of backups, undos, repairs and prunes.
//!
//! To be read beside that document. Each step of a process is one step of an enum, with the request that it makes:
//!
//! | file | what |
//! | --- | --- |
//! | `model/writer.rs` | backup, undo, repair: announce, pin, fence, store, last look, commit |
//! | `model/pruner.rs` | prune: list, mark, plan, condemn, look again, delete |
//! | `model/state.rs` | what lies in the store |
//! | `model/action.rs` | what may happen: a counterexample is a list of these |
//! | `model/protocol.rs` | who takes part, what may go wrong, and what must hold |
//! | `model/broken.rs` | mistakes, each of which must be noticed |
//!
//! There is one chunk that everybody wants, and every pack claims to hold it: a pack that is wrongly deleted is then the only one in some history. A
//! *kill* is no action: a killed process takes no step any more, which every history contains. What a kill leaves behind is one: half an object, a
//! request that arrives late or twice. A *record* counts as read in the moment of its GET; a LIST of packs is one moment (each decision hangs on one pack),
//! runs, snapshots and records are looked at one by one. Retention, the census and the canary aren't modelled: they are nets below this one.
//!
//! What the configurations add, and how many states each has. The tests insist on nine tenths of that, so that one that explores nothing fails.
//!
//! | configuration | | states |
//! | --- | --- | ---: |
//! | `one_writer_and_one_pruner` | everything a healthy store allows: rewriting, stops, grace, second round, records removed | 17,347 |
//! | `a_stream` | pins are settled before it is read | 13,397 |
//! | `a_restart` | a run that was stopped, and the run that starts again | 206,100 |
//! | `an_undo` | the old snapshot is brought back beside two pruners | 986,663 |
//! | `a_repair` | the old pack is damaged, another holds the chunk | 1,944 |
//! | `a_forgery` | a second copy whose trailer lies | 13,846 |
//! | `a_short_pack` | an object is cut short | 21,917 |
//! | `a_ghost` | a LIST shows what was deleted | 9,576 |
//! | `slow_listings` | three keys that LISTs don't show yet | 265,042 |
//! | `slow_listings_and_two_pruners` | one writer, one late key | 1,086,254 |
//! | `two_writers` | without rewriting and stops | 368,539 |
//! | `two_pruners` | one writer, with rewriting, without stops | 1,049,480 |
//! | `two_pruners_and_stops` | one writer, with stops, without rewriting | 357,886 |
//! | `two_pruners_alone` | no writer, everything else | 8,385 |
//! | `a_pack_that_arrives_twice` | one writer, two pruners, a repeated upload | 115,604 |
//! | `two_of_each` | two writers, two pruners, everything: random walks only | |
//!
//! With everything allowed at once, two writers have 4,099,847 states and two pruners 17,307,686: `cargo test --release --test it model -- --ignored`.
//! Fifty million random steps of `two_of_each` come with them.
//!
//! # What each step is for
//!
//! `every_mistake_is_caught` leaves the steps out one by one. Some are covered by others, which `steps_that_others_cover` shows: leaving one of them
//! out loses nothing in that configuration, unless its partner is left out, too.
//!
//! # What it taught
//!
//! - Pins are read *before* the GET of `snapshots/<run>`, and a snapshot that this GET finds counts, listed or not. Otherwise a writer can commit
//!   and remove its pins between the two, and a late listing hides its snapshot from 8b ([`Broken::PinsAfterSnapshot`]).
//! - A gc record is removed by its own pruner when that is done, whatever became of the packs. Others must leave it, even if none of its packs
//!   is listed: an upload that is repeated late brings a pack back, which a suspended pruner is still going to delete
//!   (`only_its_pruner_may_remove_a_record`). What a removed record kept needn't be honoured any more: 8d, after 8c, notices what it deleted.
//! - A gc record decides the run of its pruner. When it is removed, what that pruner rewrote belongs to an undecided run again, which is safe, and
//!   is garbage only once the run was declared dead.
//! - The last look turns down packs that were condemned and rescued in the same moment ([`CAPTURED_AGAIN`]): space and time, never data.

mod action;
mod broken;
mod pack;
mod protocol;
mod pruner;
mod set;
mod state;
mod writer;

use broken::Broken;
use protocol::{
    ALL_COMMIT, CAPTURED_AGAIN, FENCE_HOLDS, FOREIGN_ONLY, GARBAGE_DELETED, May, NOTHING_LOST, PROMISES_KEPT, Protocol,
    REPAIR_HELPS, Role, STOPPED,
};
use state::State;
use stateright::{Checker, HasDiscoveries, Model, Path, UniformChooser};

/// What may happen where there is one pruner.
const MUCH: &[May] = &[
    May::Rewrite,
    May::TakeForStale,
    May::Grace,
    May::ForgetAll,
    May::PinTwice,
    May::AnybodyRemovesRecords,
    May::OwnerRemovesRecord,
];
type Configuration = fn() -> Protocol;

const USUAL: &[&str] = &[GARBAGE_DELETED, ALL_COMMIT, FOREIGN_ONLY];

fn one_writer_and_one_pruner() -> Protocol {
    let sometimes = &[GARBAGE_DELETED, ALL_COMMIT, FOREIGN_ONLY, STOPPED];
    Protocol { writers: &[Role::Backup], pruners: 1, may: MUCH, sometimes, ..Protocol::default() }
}

/// A stream can't be read twice: what passed its fence must stay.
fn a_stream() -> Protocol {
    let sometimes = &[GARBAGE_DELETED, ALL_COMMIT, FOREIGN_ONLY, CAPTURED_AGAIN];
    Protocol { writers: &[Role::Stream], sometimes, ..one_writer_and_one_pruner() }
}

/// A stopped run starts again, as a new run that pins the packs of the first.
fn a_restart() -> Protocol {
    let may = &[May::Rewrite, May::TakeForStale, May::AnybodyRemovesRecords, May::OwnerRemovesRecord];
    let sometimes = &[GARBAGE_DELETED, FOREIGN_ONLY, STOPPED];
    Protocol { writers: &[Role::Backup, Role::Restart], may, sometimes, ..one_writer_and_one_pruner() }
}

fn an_undo() -> Protocol {
    Protocol { writers: &[Role::Undo], pruners: 2, sometimes: USUAL, ..one_writer_and_one_pruner() }
}

/// The old snapshot's pack is damaged, and somebody else's holds the chunk, too.
fn a_repair() -> Protocol {
    let may = &[May::FirstDamaged, May::Rewrite, May::TakeForStale, May::AnybodyRemovesRecords];
    Protocol {
        writers: &[Role::Repair],
        may,
        sometimes: &[GARBAGE_DELETED, REPAIR_HELPS],
        ..one_writer_and_one_pruner()
    }
}

/// A stolen host wrote a second copy of the chunk, with garbage in it.
fn a_forgery() -> Protocol {
    let may = &[May::SecondForged, May::Rewrite, May::TakeForStale, May::ForgetAll, May::AnybodyRemovesRecords];
    Protocol { may, sometimes: USUAL, ..one_writer_and_one_pruner() }
}

/// An object is cut short, by a kill or by a store that says that all is well.
fn a_short_pack() -> Protocol {
    let may = &[May::CutShort, May::Rewrite, May::TakeForStale, May::ForgetAll, May::AnybodyRemovesRecords];
    Protocol { may, sometimes: USUAL, ..one_writer_and_one_pruner() }
}

/// A listing still shows what was deleted.
fn a_ghost() -> Protocol {
    let may = &[May::ListDeleted, May::Rewrite, May::TakeForStale, May::ForgetAll, May::AnybodyRemovesRecords];
    Protocol { may, sometimes: USUAL, ..one_writer_and_one_pruner() }
}

/// Listings don't show up to three keys for a while, and pruners wait twice as long.
fn slow_listings() -> Protocol {
    let may = &[May::Rewrite, May::TakeForStale, May::AnybodyRemovesRecords];
    Protocol { may, late_keys: 3, ..one_writer_and_one_pruner() }
}

/// Pruners don't see each other's records in time, either.
fn slow_listings_and_two_pruners() -> Protocol {
    let may = &[May::AnybodyRemovesRecords];
    Protocol { may, late_keys: 1, ..two_pruners() }
}

fn two_writers() -> Protocol {
    let sometimes = &[GARBAGE_DELETED, ALL_COMMIT, FOREIGN_ONLY];
    Protocol { writers: &[Role::Backup, Role::Backup], pruners: 1, sometimes, ..Protocol::default() }
}

fn two_pruners() -> Protocol {
    let may = &[May::Rewrite, May::AnybodyRemovesRecords, May::OwnerRemovesRecord];
    Protocol { writers: &[Role::Backup], pruners: 2, may, sometimes: USUAL, ..Protocol::default() }
}

/// The same without rewriting, but with runs that are taken for stale.
fn two_pruners_and_stops() -> Protocol {
    let may = &[May::TakeForStale, May::AnybodyRemovesRecords];
    Protocol { may, sometimes: &[GARBAGE_DELETED, ALL_COMMIT, FOREIGN_ONLY, STOPPED], ..two_pruners() }
}

/// Without writers there is room for everything else.
fn two_pruners_alone() -> Protocol {
    Protocol { writers: &[], may: MUCH, sometimes: &[GARBAGE_DELETED], ..two_pruners() }
}

/// A repeated upload arrives after the pack was deleted.
fn a_pack_that_arrives_twice() -> Protocol {
    Protocol { may: &[May::ArriveTwice, May::OwnerRemovesRecord], ..two_pruners() }
}

/// No run is taken for stale.
fn forgetting() -> Protocol {
    Protocol { may: &[May::Rewrite, May::ForgetAll], sometimes: USUAL, ..one_writer_and_one_pruner() }
}

fn two_of_each() -> Protocol {
    Protocol { writers: &[Role::Backup, Role::Stream], pruners: 2, may: MUCH, sometimes: USUAL, ..Protocol::default() }
}

#[expect(clippy::print_stdout, reason = "`--nocapture` shows what the table above says")]
fn say(what: &str) {
    println!("{what}");
}

/// Explores everything; what must hold holds, and what must be possible is.
fn explore(protocol: Protocol, states: usize) {
    let checker = protocol.checker().spawn_bfs().join();
    let found = checker.unique_state_count();
    say(&format!("{found} states, {} steps deep", checker.max_depth()));
    checker.assert_properties();
    assert!(found >= states / 10 * 9, "{found} states were explored; there should be {states}");
}

/// Takes random steps.
fn walk(states: usize) {
    let checker = two_of_each().checker().target_state_count(states).spawn_simulation(1, UniformChooser).join();
    checker.assert_properties();
    assert!(checker.state_count() >= states);
}

/// The shortest way to violate a property, or any of them.
fn violation(
    protocol: Configuration,
    broken: &[Broken],
    only: Option<&'static str>,
) -> Option<Path<State, action::Action>> {
    let protocol = Protocol { broken: broken.to_vec(), sometimes: &[], only, ..protocol() };
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.discoveries().into_values().next()
}

/// Like [`violation`], where there must be one.
fn assert_caught(protocol: Configuration, broken: &[Broken], property: &'static str) {
    let Some(path) = violation(protocol, broken, Some(property)) else { panic!("{broken:?} isn't caught: {property}") };
    say(&format!("{broken:?}: not so after {} steps: {property}", path.into_actions().len()));
}

/// Like [`violation`], where there must be none.
fn assert_safe(protocol: Configuration, broken: &[Broken]) {
    if let Some(path) = violation(protocol, broken, None) {
        panic!("{broken:?}: {:#?}", path.into_actions());
    }
}

#[test]
fn one_writer_and_one_pruner_lose_nothing() {
    explore(one_writer_and_one_pruner(), 17_347);
}

#[test]
fn a_stream_loses_nothing() {
    explore(a_stream(), 13_397);
}

#[test]
fn a_restart_loses_nothing() {
    explore(a_restart(), 206_100);
}

#[test]
fn an_undo_loses_nothing() {
    explore(an_undo(), 986_663);
}

#[test]
fn a_repair_helps() {
    explore(a_repair(), 1_944);
}

#[test]
fn a_forgery_is_not_kept() {
    explore(a_forgery(), 13_846);
}

#[test]
fn a_short_pack_is_not_relied_on() {
    explore(a_short_pack(), 21_917);
}

#[test]
fn a_ghost_is_noticed() {
    explore(a_ghost(), 9_576);
}

#[test]
fn slow_listings_lose_nothing() {
    explore(slow_listings(), 265_042);
}

#[test]
fn slow_listings_and_two_pruners_lose_nothing() {
    explore(slow_listings_and_two_pruners(), 1_086_254);
}

#[test]
fn two_writers_lose_nothing() {
    explore(two_writers(), 368_539);
}

#[test]
fn two_pruners_lose_nothing() {
    explore(two_pruners(), 1_049_480);
}

#[test]
fn two_pruners_and_stops_lose_nothing() {
    explore(two_pruners_and_stops(), 357_886);
}

#[test]
fn two_pruners_alone_lose_nothing() {
    explore(two_pruners_alone(), 8_385);
}

#[test]
fn a_pack_that_arrives_twice_loses_nothing() {
    explore(a_pack_that_arrives_twice(), 115_604);
}

/// Too many states to explore: random walks.
#[test]
fn two_of_each_lose_nothing_in_random_walks() {
    walk(300_000);
}

#[test]
#[ignore = "minutes: a release build is in order"]
fn two_of_each_lose_nothing_in_long_random_walks() {
    walk(50_000_000);
}

#[test]
#[ignore = "minutes and gigabytes: a release build is in order"]
fn two_writers_with_everything_lose_nothing() {
    let may = &[May::Rewrite, May::TakeForStale, May::AnybodyRemovesRecords, May::OwnerRemovesRecord];
    explore(Protocol { may, ..two_writers() }, 4_099_847);
}

#[test]
#[ignore = "minutes and gigabytes: a release build is in order"]
fn two_pruners_with_everything_lose_nothing() {
    explore(Protocol { may: MUCH, ..two_pruners() }, 17_307_686);
}

/// What is done wrongly, where that is noticed, and what doesn't hold then.
const CAUGHT: &[(&[Broken], Configuration, &str)] = &[
    (&[Broken::RunNotAnnounced], slow_listings, NOTHING_LOST),
    // The last look repeats what the fence does. The fence comes before sources are read, which spares streams a second capture.
    (&[Broken::FenceWithoutGc], one_writer_and_one_pruner, FENCE_HOLDS),
    (&[Broken::FenceWithoutGc, Broken::NoLastLook], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::FenceWithoutList], one_writer_and_one_pruner, FENCE_HOLDS),
    (&[Broken::FenceWithoutList, Broken::NoLastLook], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::ListBeforeGc], one_writer_and_one_pruner, FENCE_HOLDS),
    (&[Broken::ListBeforeGc, Broken::NoLastLook], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::LengthsIgnored], a_short_pack, NOTHING_LOST),
    // Where the store does as it says, the fence suffices. The last look is for the others.
    (&[Broken::NoLastLook], a_short_pack, NOTHING_LOST),
    (&[Broken::NoLastLook], a_ghost, NOTHING_LOST),
    (&[Broken::StopNotLookedFor], one_writer_and_one_pruner, PROMISES_KEPT),
    (&[Broken::UnpinBeforeCommit], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::ForgetDeletes], forgetting, NOTHING_LOST),
    (&[Broken::UndecidedPacksCondemned], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::PinsAfterSnapshot], slow_listings, NOTHING_LOST),
    (&[Broken::FoundSnapshotsIgnored], slow_listings, NOTHING_LOST),
    (&[Broken::SnapshotNotLookedFor], one_writer_and_one_pruner, PROMISES_KEPT),
    (&[Broken::KeptNotOpened], a_forgery, NOTHING_LOST),
    (&[Broken::RescuedIsKept], two_pruners_and_stops, NOTHING_LOST),
    (&[Broken::NoWait], slow_listings, NOTHING_LOST),
    (&[Broken::WaitsOnce], slow_listings, NOTHING_LOST),
    (&[Broken::RunsNotReadAgain], one_writer_and_one_pruner, NOTHING_LOST),
    (&[Broken::KeptNotLookedFor], two_pruners_and_stops, NOTHING_LOST),
    (&[Broken::KeptLookedForFirst], two_pruners_and_stops, NOTHING_LOST),
    (&[Broken::FinishesOthers], two_pruners_and_stops, NOTHING_LOST),
];

#[test]
fn every_mistake_is_caught() {
    for &(broken, protocol, property) in CAUGHT {
        assert_caught(protocol, broken, property);
    }
}

/// Mistakes that lose nothing in this configuration, and what loses something together with them.
const COVERED: &[(Broken, Broken, Configuration)] = &[
    // Where the store does as it says, what passed the fence is there at the commit.
    (Broken::NoLastLook, Broken::FenceWithoutGc, one_writer_and_one_pruner),
    // Where listings are prompt, 8b sees the snapshot of a writer that removed its pins in the middle of 8a.
    (Broken::PinsAfterSnapshot, Broken::SnapshotsNotReadAgain, one_writer_and_one_pruner),
    (Broken::FoundSnapshotsIgnored, Broken::SnapshotsNotReadAgain, one_writer_and_one_pruner),
    // A snapshot that was committed during 8a is found by the GET that follows the GET of its pins. 8b is needed if that doesn't count.
    (Broken::SnapshotsNotReadAgain, Broken::FoundSnapshotsIgnored, one_writer_and_one_pruner),
    (Broken::SnapshotsBeforePins, Broken::FoundSnapshotsIgnored, one_writer_and_one_pruner),
    (Broken::SnapshotsBeforePins, Broken::PinsAfterSnapshot, one_writer_and_one_pruner),
    // Either half of 8c suffices.
    (Broken::OthersKeptNotRescued, Broken::KeptMayBeCondemned, two_pruners_and_stops),
    (Broken::KeptMayBeCondemned, Broken::OthersKeptNotRescued, two_pruners_and_stops),
    // Whoever passes the whole fence may delete what another condemned. But nobody can know that the other is dead: taken for finished, its record
    // would no longer keep others from relying on what it may still delete.
    (Broken::FinishesOthersFenced, Broken::FinishedRecordsIgnored, two_pruners_and_stops),
    // What a finished prune deleted is missing in 8d. So a pruner that is done may remove its record.
    (Broken::FinishedRecordsIgnored, Broken::KeptNotLookedFor, two_pruners_and_stops),
];

#[test]
fn steps_that_others_cover() {
    for &(broken, partner, protocol) in COVERED {
        assert_safe(protocol, &[broken]);
        assert_caught(protocol, &[broken, partner], NOTHING_LOST);
    }
}

/// What isn't noticed in any configuration, so that the step is redundant here: a pruner whose own run was declared dead goes on. What it rewrote, if it was
/// condemned, is its kept copy, and 8c and 8d look after that.
const REDUNDANT: &[Broken] = &[Broken::OwnStopNotLookedFor];

#[test]
fn steps_that_are_redundant() {
    for &broken in REDUNDANT {
        assert_safe(two_pruners_and_stops, &[broken]);
        assert_safe(two_pruners_alone, &[broken]);
    }
}

#[test]
fn every_mistake_is_made() {
    let made = |broken: &Broken| {
        CAUGHT.iter().any(|(caught, ..)| caught.contains(broken))
            || COVERED.iter().any(|(covered, ..)| covered == broken)
            || REDUNDANT.contains(broken)
    };
    let never: Vec<_> = Broken::ALL.iter().filter(|broken| !made(broken)).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// Where an upload can arrive twice, a gc record is the only thing that keeps writers away from a pack that a suspended pruner is still going to
/// delete. That no pack of the record is listed any more doesn't say that its pruner is done.
#[test]
fn only_its_pruner_may_remove_a_record() {
    let removed_by_anybody =
        || Protocol { may: &[May::ArriveTwice, May::AnybodyRemovesRecords], ..a_pack_that_arrives_twice() };
    assert_caught(removed_by_anybody, &[], NOTHING_LOST);
}
