//! What was said of snapshots after they were committed: tags, protection (`docs/format.md`, section 9).
//!
//! Notes are only ever added. One that no longer counts is *withdrawn* by another one that names it, for good: so it doesn't matter in
//! which order they are read, and no clock decides. A note counts only if a full credential signed it: a stolen write-only one could
//! otherwise unprotect.

use crate::repo::cbor::Time;
use crate::repo::error::RepoError;
use crate::repo::id::RunId;
use crate::repo::needs::Needs;
use crate::repo::note::{self, UnusableNote};
use crate::repo::record::Note;
use crate::repo::repository::{Full, Repo};
use std::collections::{BTreeMap, BTreeSet};

/// All notes that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// By the run in their names.
    notes: BTreeMap<RunId, Vec<Note>>,
    /// Those that can't be used, and why.
    pub unusable: Vec<UnusableNote>,
}

/// Reads them.
pub fn notes(repo: &Repo<Full>) -> Result<Notes, RepoError> {
    let note::Notes { sound, unusable } = note::load(repo)?;
    Ok(Notes { unusable, ..Notes::new(sound.into_iter().map(|found| (found.run, found.note))) })
}

impl Notes {
    /// The notes that count among those that full credentials wrote, in any order.
    pub fn new(all: impl IntoIterator<Item = (RunId, Note)>) -> Self {
        let mut notes: BTreeMap<RunId, Vec<Note>> = BTreeMap::new();
        for (run, note) in all {
            notes.entry(run).or_default().push(note);
        }
        // Also what a withdrawn note withdrew stays withdrawn: else two hosts that withdraw each other's notes would bring old ones back.
        let withdrawn: BTreeSet<RunId> = notes.values().flatten().flat_map(|note| &note.withdraws).copied().collect();
        notes.retain(|run, _| !withdrawn.contains(run));
        Self { notes, unusable: Vec::new() }
    }

    /// The notes about a snapshot, and the runs in their names.
    fn about(&self, snapshot: RunId) -> impl Iterator<Item = (RunId, &Note)> {
        let all = self.notes.iter().flat_map(|(run, notes)| notes.iter().map(|note| (*run, note)));
        all.filter(move |(_, note)| note.snapshot == Some(snapshot))
    }

    /// The tags that a snapshot has: those of its manifest that no note takes away, and those that notes give it.
    pub fn tags(&self, snapshot: RunId, of_manifest: &[String]) -> Vec<String> {
        let untags: BTreeSet<&String> = self.about(snapshot).flat_map(|(_, note)| &note.untags).collect();
        let mut tags: Vec<String> = of_manifest.iter().filter(|tag| !untags.contains(tag)).cloned().collect();
        for tag in self.about(snapshot).flat_map(|(_, note)| &note.tags) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// Whether a note protects a snapshot.
    pub fn protects(&self, snapshot: RunId) -> bool {
        self.about(snapshot).any(|(_, note)| note.protects)
    }

    /// The note that gives a snapshot exactly these tags; nothing if it has them. Tags of other notes go by withdrawing these, what else they say being
    /// said again.
    pub fn retag(&self, snapshot: RunId, of_manifest: &[String], wanted: &[String], time: Time) -> Option<Note> {
        let has: BTreeSet<String> = self.tags(snapshot, of_manifest).into_iter().collect();
        let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
        if has == wanted {
            return None;
        }
        let mut note = Note { snapshot: Some(snapshot), ..empty(time) };
        let mut untags: BTreeSet<String> = of_manifest.iter().filter(|tag| !wanted.contains(*tag)).cloned().collect();
        for (run, old) in self.about(snapshot).filter(|(_, old)| old.tags.iter().any(|tag| !wanted.contains(tag))) {
            note.withdraws.push(run);
            note.protects |= old.protects;
            note.verified.extend(old.verified.iter().cloned());
            untags.extend(old.untags.iter().cloned());
        }
        let remaining = || self.about(snapshot).filter(|(run, _)| !note.withdraws.contains(run)).map(|(_, old)| old);
        let gone: BTreeSet<&String> = remaining().flat_map(|old| &old.untags).chain(&untags).collect();
        let of_manifest = of_manifest.iter().filter(|tag| !gone.contains(tag));
        let kept: BTreeSet<&String> = remaining().flat_map(|old| &old.tags).chain(of_manifest).collect();
        note.tags = wanted.iter().filter(|tag| !kept.contains(tag)).cloned().collect();
        note.untags = untags.into_iter().collect();
        Some(note)
    }

    /// The note that protects a snapshot, or takes all protection from it; nothing if it's as wanted.
    pub fn reprotect(&self, snapshot: RunId, wanted: bool, time: Time) -> Option<Note> {
        if self.protects(snapshot) == wanted {
            return None;
        }
        let mut note = Note { snapshot: Some(snapshot), protects: wanted, ..empty(time) };
        for (run, old) in self.about(snapshot).filter(|(_, old)| old.protects) {
            note.withdraws.push(run);
            note.tags.extend(old.tags.iter().cloned());
            note.untags.extend(old.untags.iter().cloned());
            note.verified.extend(old.verified.iter().cloned());
        }
        Some(note)
    }

    /// The note that says of `to`, which is to hold what `from` held, all that notes say of `from`; nothing if they say nothing.
    pub fn carried(&self, from: RunId, to: RunId, of_manifest: &[String], time: Time) -> Option<Note> {
        let tags = self.retag(to, of_manifest, &self.tags(from, of_manifest), time);
        let mut note = tags.unwrap_or_else(|| Note { snapshot: Some(to), ..empty(time) });
        note.protects = self.protects(from);
        (note.protects || !note.tags.is_empty() || !note.untags.is_empty()).then_some(note)
    }
}

/// A note that says nothing.
fn empty(time: Time) -> Note {
    Note {
        needs: Needs::NONE,
        time,
        snapshot: None,
        tags: Vec::new(),
        untags: Vec::new(),
        protects: false,
        withdraws: Vec::new(),
        verified: Vec::new(),
    }
}

/// Writes a note, under a run id of its own.
pub fn write(repo: &Repo<Full>, note: &Note) -> Result<RunId, RepoError> {
    // A protection that isn't there protects nothing: this makes sure that it is.
    Ok(note::write(repo, note)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time { seconds: 0, nanoseconds: 0 };

    fn run(n: u8) -> RunId {
        RunId::from_bytes([n; 20])
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Notes about snapshot 1, each written in view of those before.
    #[derive(Default)]
    struct Book(Vec<(RunId, Note)>);

    impl Book {
        fn add(&mut self, note: Option<Note>) {
            let run = run(100 + u8::try_from(self.0.len()).unwrap());
            self.0.extend(note.map(|note| (run, note)));
        }

        fn notes(&self) -> Notes {
            Notes::new(self.0.iter().rev().cloned())
        }

        fn tag(&mut self, manifest: &str, wanted: &str) -> String {
            self.add(self.notes().retag(run(1), &words(manifest), &words(wanted), NOW));
            self.notes().tags(run(1), &words(manifest)).join(" ")
        }
    }

    #[test]
    fn tags_come_and_go() {
        let mut book = Book::default();
        assert_eq!(book.tag("a b", "a b c"), "a b c");
        assert_eq!(book.0[0].1.tags, ["c"], "only what is new");
        assert_eq!(book.tag("a b", "b c"), "b c");
        assert_eq!(book.0[1].1.untags, ["a"]);
        assert_eq!(book.tag("a b", "a"), "a");
        assert_eq!(book.tag("a b", ""), "");
        assert_eq!(book.tag("a b", "b"), "b");
        let before = book.0.len();
        assert_eq!((book.tag("a b", "b"), book.0.len()), ("b".to_owned(), before), "nothing to say");
        assert_eq!(book.notes().tags(run(2), &words("x")), ["x"], "another snapshot's");
    }

    #[test]
    fn protection_holds_until_each_note_that_gives_it_is_withdrawn() {
        let mut book = Book::default();
        // Two hosts that didn't see each other's note.
        let first = book.notes().reprotect(run(1), true, NOW);
        let second = book.notes().reprotect(run(1), true, NOW);
        assert!(first.is_some());
        book.add(first);
        let seen_by_one = book.notes();
        book.add(second);
        assert_eq!(book.notes().reprotect(run(1), true, NOW), None);
        book.add(seen_by_one.reprotect(run(1), false, NOW));
        assert!(book.notes().protects(run(1)), "the other one stands");
        book.add(book.notes().reprotect(run(1), false, NOW));
        assert!(!book.notes().protects(run(1)) && !book.notes().protects(run(2)));
    }

    #[test]
    fn what_comes_back_has_its_tags_and_its_protection() {
        let mut book = Book::default();
        assert_eq!(book.notes().carried(run(1), run(2), &words("a"), NOW), None);
        book.tag("a b", "b c");
        book.add(book.notes().reprotect(run(1), true, NOW));
        book.add(book.notes().carried(run(1), run(2), &words("a b"), NOW));
        let notes = book.notes();
        assert_eq!((notes.tags(run(2), &words("a b")), notes.protects(run(2))), (words("b c"), true));
    }

    #[test]
    fn a_note_that_says_more_is_replaced_by_one_that_says_the_rest() {
        let mut book = Book::default();
        let both = Note { snapshot: Some(run(1)), tags: words("x"), protects: true, ..empty(NOW) };
        book.add(Some(both));
        assert_eq!(book.tag("", "y"), "y");
        assert!(book.notes().protects(run(1)));
        book.add(book.notes().reprotect(run(1), false, NOW));
        assert_eq!(book.notes().tags(run(1), &[]), ["y"]);
        assert!(!book.notes().protects(run(1)));
    }

    proptest! {
        #[test]
        fn any_tags_lead_to_any_others(manifest: u8, steps in prop::collection::vec(any::<u8>(), 1..8)) {
            let text = |bits: u8| (0..4).filter(|n| bits >> n & 1 == 1).map(|n| format!("t{n}")).collect::<Vec<_>>().join(" ");
            let mut book = Book::default();
            for wanted in steps.into_iter().map(text) {
                let mut found = words(&book.tag(&text(manifest), &wanted));
                found.sort();
                prop_assert_eq!(found.join(" "), wanted);
            }
        }
    }
}
