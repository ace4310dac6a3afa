//! Notes that nobody can read, or that count for nothing: they are removed, one by one. Each was signed as a whole, so there's nothing in it that could be saved, unless it's only its head that is damaged,
//! which is the same for all: then it gets the right one.
//!
//! The only repair that removes anything: such a note can't be healed by adding to it, every check would find it, and no snapshot could be forgotten for as long as it might have
//! protected one. A note that is readable is never touched, nor one that a newer program may read or the storage just doesn't give.

use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::note::{self, Matter, UnusableNote};
use crate::repo::repository::{Full, Repo};

/// What a repair of notes would do.
#[derive(Debug, Default)]
pub struct NotesPlan {
    /// How many notes there are that can be used.
    pub sound: u64,
    /// Those that would be removed, or mended where that's possible.
    pub damaged: Vec<UnusableNote>,
    /// Those that can't be used now, and stay.
    pub others: Vec<UnusableNote>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct NotesOutcome {
    /// The keys of the notes that were removed.
    pub removed: Vec<String>,
    /// The keys of those that are as they were written again.
    pub mended: Vec<String>,
    /// The keys of those that aren't damaged any more when they are looked at again, or that are gone.
    pub spared: Vec<String>,
}

/// Reads all notes.
///
/// # Errors
/// If the store fails: what isn't about the content of a note is no reason to remove it.
pub fn plan(repo: &Repo<Full>) -> Result<NotesPlan, RepoError> {
    let note::Notes { sound, unusable } = note::load(repo)?;
    let (damaged, others) = unusable.into_iter().partition(|note| note.matter.is_for_good());
    Ok(NotesPlan { sound: sound.len() as u64, damaged, others })
}

impl NotesPlan {
    /// Mends or removes the notes of the plan. Each is looked at once more before: an upload that was under way may have come to its end.
    ///
    /// # Errors
    /// If the store fails. Those that were removed until then are gone, and the same repair, done again, goes on.
    pub fn carry_out(&self, repo: &Repo<Full>) -> Result<NotesOutcome, RepoError> {
        let mut outcome = NotesOutcome::default();
        for planned in &self.damaged {
            let Some((run, _)) = key::parse_numbered(key::NOTES, &planned.key) else { continue };
            match note::look_at(repo, run, &planned.key)? {
                Some(Err(unusable)) if unusable.matter == Matter::Damaged && note::mend(repo, &planned.key)? => {
                    outcome.mended.push(planned.key.clone());
                }
                Some(Err(unusable)) if unusable.matter.is_for_good() => {
                    repo.store().delete(&planned.key)?;
                    outcome.removed.push(planned.key.clone());
                }
                _ => outcome.spared.push(planned.key.clone()),
            }
        }
        Ok(outcome)
    }
}
