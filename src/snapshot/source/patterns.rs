//! Patterns as in `.gitignore`, compiled in one way for all that take them.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// A pattern that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternFault {
    /// Which one, counted from 0; nothing if it's all of them together.
    pub nth: Option<usize>,
    /// What is wrong with it.
    pub message: String,
}

/// Compiles lines; of several that match the last one counts.
pub fn compile<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> Result<Gitignore, PatternFault> {
    let mut builder = GitignoreBuilder::new("/");
    builder.allow_unclosed_class(false);
    let fault = |nth, error| PatternFault { nth, message: reason_of(error) };
    for (nth, line) in lines.into_iter().enumerate() {
        builder.add_line(None, line.as_ref()).map_err(|error| fault(Some(nth), error))?;
    }
    builder.build().map_err(|error| fault(None, error))
}

/// The line for a pattern that is given by itself, and so is no comment.
pub fn given(pattern: &str) -> String {
    pattern.strip_prefix('#').map_or_else(|| pattern.to_owned(), |rest| format!("\\#{rest}"))
}

fn reason_of(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        assert_eq!(compile(["a", "["]).unwrap_err().nth, Some(1));
        let rule = compile([given("#a")]).unwrap();
        assert!(rule.matched("#a", false).is_ignore());
        assert!(!compile(["#a"]).unwrap().matched("#a", false).is_ignore(), "a comment");
    }
}
