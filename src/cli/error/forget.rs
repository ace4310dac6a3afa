//! Errors of forgetting.

use super::{CliError, Exit};
use crate::snapshot::forget::ForgetError;
use crate::snapshot::policy::Refusal;

impl From<ForgetError> for CliError {
    fn from(error: ForgetError) -> Self {
        match &error {
            ForgetError::Refused(refusals) => {
                let mut hints: Vec<&str> = refusals.iter().map(override_of).collect();
                hints.sort_unstable();
                hints.dedup();
                Self::from_error(Exit::Refused, &error).hint(format!("nothing was forgotten\n{}", hints.join("\n")))
            }
            ForgetError::NotUnreadable(_) => Self::from_error(Exit::Failed, &error)
                .hint("`nightsafe snapshots` warns of those that can't be read; forget others without --unreadable"),
            ForgetError::Ambiguous(_) => Self::from_error(Exit::Usage, &error).hint("write more of the id"),
            ForgetError::Repo(_) => match error {
                ForgetError::Repo(error) => error.into(),
                other => Self::from_error(Exit::Failed, &other),
            },
        }
    }
}

/// What to do about a refusal.
fn override_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Doubtful { .. } => {
            "set the clocks right; --trust-hosts goes by the snapshots' own times, whatever the store's clock says"
        }
        Refusal::Shrunk { .. } => "`nightsafe diff` shows what is gone; if that is right: --accept-shrink",
        Refusal::Protected(_) => "`nightsafe protect --remove SNAP` takes the protection away",
        Refusal::Last { .. } => "--allow-empty-group lets the last one go",
        Refusal::Note(note) => note.matter.next_step(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::repo::note::{Matter, UnusableNote};

    #[test]
    fn a_refusal_names_what_overrides_it() {
        let refusals = vec![Refusal::Protected(test_data::run(1)), Refusal::Protected(test_data::run(2))];
        let error = CliError::from(ForgetError::Refused(refusals));
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(
            error.next_step(),
            Some("nothing was forgotten\n`nightsafe protect --remove SNAP` takes the protection away")
        );
        let note = |matter| UnusableNote { key: "notes/x/0".to_owned(), why: "damaged".to_owned(), matter };
        let refusals = [Matter::Damaged, Matter::Newer].map(|matter| Refusal::Note(note(matter)));
        let error = CliError::from(ForgetError::Refused(refusals.into()));
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.message().starts_with("notes/x/0: damaged; it may have protected one of these snapshots"));
        let next = error.next_step().unwrap();
        assert!(next.contains("`nightsafe repair notes`") && next.contains("newer nightsafe"), "{next}");
        assert_eq!(CliError::from(ForgetError::NotUnreadable("x".to_owned())).exit(), Exit::Failed);
    }
}
