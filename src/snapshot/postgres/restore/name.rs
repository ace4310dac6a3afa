//! Names of databases that a restore makes, and the comments by which it knows them again.

use crate::repo::seal::random;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longest name that PostgreSQL keeps, in bytes.
pub(super) const LONGEST: usize = 63;

/// Stands between the target's name and the id of an attempt.
const BESIDE: &str = "_nightsafe_restore_";

/// Stands between the target's name and when it was replaced.
const BEFORE: &str = "_before_";

/// Digits of an attempt's id: four stand for the target, the others are random.
const DIGITS: usize = 20;

/// What a comment on a database that is being restored begins and ends with.
const BEGINS: &str = "nightsafe restore of ";
const UNFINISHED: &str = ", unfinished";

/// A name for the database that is restored into, beside the one that it will replace. So random that nobody else has it, a database that was kept least of all.
pub fn beside(target: &str) -> String {
    shortened(target, &format!("{BESIDE}{}{:016x}", of(target), u64::from_le_bytes(random())))
}

/// Whether a database is one that an attempt to restore `target` left: its name, and its comment if it got so far.
pub fn is_unfinished(name: &str, comment: Option<&str>, target: &str) -> bool {
    let Some((_, id)) = name.rsplit_once(BESIDE) else { return false };
    let ours = id.len() == DIGITS && id.starts_with(&of(target)) && id.bytes().all(|b| b.is_ascii_hexdigit());
    ours && name == shortened(target, &format!("{BESIDE}{id}"))
        && comment.is_none_or(|comment| comment.starts_with(BEGINS) && comment.ends_with(UNFINISHED))
}

/// A name for the database that was replaced.
pub fn before(target: &str, now: Timestamp, taken: &dyn Fn(&str) -> bool) -> String {
    let date = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S");
    let suffix = format!("{BEFORE}{date}");
    let numbered = (2..).map(|n: u32| format!("{suffix}_{n}"));
    let mut names = std::iter::once(suffix.clone()).chain(numbered).map(|suffix| shortened(target, &suffix));
    names.find(|name| !taken(name)).unwrap_or_else(|| shortened(target, &suffix))
}

/// The comment on a database that is being restored.
pub fn unfinished(what: &str, target: &str, now: Timestamp) -> String {
    format!("{BEGINS}{what} for '{target}', begun {now:.0}{UNFINISHED}")
}

/// The comment on a database that is complete and didn't get its name, and why.
pub fn kept(what: &str, target: &str, why: &str) -> String {
    format!("{BEGINS}{what} for '{target}': {why}")
}

/// The comment on a database that was restored.
pub fn finished(what: &str, now: Timestamp, overridden: &[&str]) -> String {
    let overridden = if overridden.is_empty() { String::new() } else { format!(", with {}", overridden.join(" ")) };
    format!("restored by nightsafe from {what}, {now:.0}{overridden}")
}

/// Four digits that stand for a whole name: two long names may begin alike.
fn of(target: &str) -> String {
    let hash = blake3::hash(target.as_bytes());
    format!("{:02x}{:02x}", hash.as_bytes()[0], hash.as_bytes()[1])
}

/// The number of the advisory lock that a restore into `target` holds.
pub fn lock_number(target: &str) -> i64 {
    let hash = blake3::derive_key("nightsafe 1 restore of a database", target.as_bytes());
    i64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

/// The name with the suffix, of which only as much of the name is left as fits.
fn shortened(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(LONGEST.saturating_sub(suffix.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_replaced_has_a_dated_name_that_is_free() {
        let now: Timestamp = "2026-11-20T03:04:05Z".parse().unwrap();
        assert_eq!(before("wiki", now, &|_| false), "wiki_before_20261120_030405");
        let first = |name: &str| name == "wiki_before_20261120_030405";
        assert_eq!(before("wiki", now, &first), "wiki_before_20261120_030405_2");
    }

    #[test]
    fn only_unfinished_attempts_are_known_again() {
        let now: Timestamp = "2026-11-20T03:04:05.7Z".parse().unwrap();
        let name = beside("wiki");
        let comment = unfinished("snapshot 3f2k", "wiki", now);
        assert_eq!(comment, "nightsafe restore of snapshot 3f2k for 'wiki', begun 2026-11-20T03:04:05Z, unfinished");
        assert!(is_unfinished(&name, Some(&comment), "wiki"));
        assert!(is_unfinished(&name, None, "wiki"), "it was stopped before it wrote the comment");
        assert!(!is_unfinished(&name, Some("mine"), "wiki"));
        assert!(!is_unfinished(&name, Some(&kept("snapshot 3f2k", "wiki", "rows differ")), "wiki"));
        assert!(!is_unfinished(&name, Some(&comment), "wikis"));
        for other in ["wiki", "wiki_nightsafe_restore_", "wiki_nightsafe_restore_copy1234copy1234copy"] {
            assert!(!is_unfinished(other, Some(&comment), "wiki"), "{other}");
        }
        assert_eq!(
            finished("snapshot 3f2k", now, &["--allow-key-mismatch"]),
            "restored by nightsafe from snapshot 3f2k, 2026-11-20T03:04:05Z, with --allow-key-mismatch"
        );
    }

    #[test]
    fn names_of_attempts_dont_meet() {
        // The random part had two bytes: among a few hundred databases that were kept because their rows differ, the next attempt's name was likely taken. Its CREATE DATABASE failed, and cleaning up dropped the one that was kept.
        let names: std::collections::BTreeSet<String> = (0..5000).map(|_| beside("wiki")).collect();
        assert_eq!(names.len(), 5000);
        let long = beside(&"x".repeat(LONGEST));
        assert!(long.len() == LONGEST && long.starts_with("xxxxxxxxxxxxxxxxxxxxxxxx_nightsafe_restore_"), "{long}");
    }

    proptest! {
        #[test]
        fn names_fit_and_are_known_again(target in "\\PC{1,40}", other in "\\PC{1,40}") {
            let name = beside(&target);
            prop_assert!(name.len() <= LONGEST);
            prop_assert!(is_unfinished(&name, None, &target));
            let common = format!("{}{target}", "x".repeat(60));
            prop_assert!(is_unfinished(&beside(&common), None, &common));
            if of(&target) != of(&other) {
                prop_assert!(!is_unfinished(&name, None, &other));
            }
        }
    }
}
