//! What OpenDAL's errors mean, and how they are told without giving away a secret.

use super::super::StoreErrorKind;
use super::super::local;
use ::opendal::{Error, ErrorKind};
use std::error::Error as _;
use std::io;
use zeroize::Zeroizing;

/// Secret values shorter than this aren't searched for in messages: they would be found in half the words.
const SHORTEST_SECRET: usize = 4;

/// What stands in for what isn't told.
const HIDDEN: &str = "***";

/// What a service said, as text without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ServiceError(String);

/// The values of secret options.
#[derive(Default)]
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(super) fn new(values: impl IntoIterator<Item = Zeroizing<String>>) -> Self {
        Self(values.into_iter().filter(|value| value.len() >= SHORTEST_SECRET).collect())
    }

    /// `error` as text: without secret values, and without the queries of URLs, which may hold signatures.
    pub(super) fn hide(&self, error: &Error) -> ServiceError {
        let mut text = without_queries(&full_text(error));
        for secret in &self.0 {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        ServiceError(text)
    }
}

/// All that is known of an error: OpenDAL shows only the first of its causes, and what `ssh` said is a later one.
fn full_text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source().and_then(std::error::Error::source);
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(below.to_string().trim_end());
        cause = below.source();
    }
    text
}

/// `text` with what follows a `?` in a URL hidden.
fn without_queries(text: &str) -> String {
    let ends_word = |character: char| character.is_whitespace() || matches!(character, '"' | ',' | '}' | ')' | '\'');
    text.split_inclusive(ends_word)
        .map(|word| {
            let Some(query) = word.find("://").and_then(|_| word.find('?')) else { return word.to_owned() };
            let end = if word.ends_with(ends_word) {
                word.char_indices().next_back().map_or("", |(at, _)| &word[at..])
            } else {
                ""
            };
            [&word[..=query], HIDDEN, end].concat()
        })
        .collect()
}

/// What an error means.
pub(super) fn kind_of(error: &Error) -> StoreErrorKind {
    let text = full_text(error);
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // The services' own words: OpenDAL tells none of these apart.
    if says(&[
        "NoSuchBucket",
        "ContainerNotFound",
        "FilesystemNotFound",
        "ShareNotFound",
        "The specified bucket does not exist",
    ]) {
        return StoreErrorKind::RootMissing;
    }
    if says(&[
        "No space left",
        "quota exceeded",
        "QuotaExceeded",
        "storage_cap_exceeded",
        "status: 507",
        "InsufficientStorage",
    ]) {
        return StoreErrorKind::Full;
    }
    match error.kind() {
        // A folder where an object would be is none.
        ErrorKind::NotFound | ErrorKind::IsADirectory => StoreErrorKind::NotFound,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => StoreErrorKind::Exists,
        ErrorKind::RangeNotSatisfied => StoreErrorKind::Short,
        ErrorKind::RateLimited => StoreErrorKind::Transient,
        ErrorKind::PermissionDenied if !error.is_temporary() => StoreErrorKind::Denied,
        _ if says(&["Host key verification failed", "Permission denied", "status: 401"]) => StoreErrorKind::Denied,
        _ => match of_the_system(error) {
            Some(kind) => kind,
            // The SSH client says no more than that it couldn't connect.
            None if error.is_temporary() || says(&["=> ssh error"]) => StoreErrorKind::Transient,
            None => StoreErrorKind::Other,
        },
    }
}

/// The kind of the error of the system below, if there is one that says more than that something failed.
fn of_the_system(error: &Error) -> Option<StoreErrorKind> {
    let below = error.source()?.downcast_ref::<io::Error>()?;
    below.raw_os_error()?;
    if below.kind() == io::ErrorKind::IsADirectory {
        return Some(StoreErrorKind::NotFound);
    }
    Some(local::kind_of(below)).filter(|kind| *kind != StoreErrorKind::Other)
}

/// Whether the service doesn't know conditional writes: it answered 501.
pub(super) fn is_unsupported(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.to_string().contains("NotImplemented")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unexpected(message: &str) -> Error {
        Error::new(ErrorKind::Unexpected, message)
    }

    #[test]
    fn services_words_are_understood() {
        for (error, kind) in [
            (Error::new(ErrorKind::ConfigInvalid, "S3Error { code: \"NoSuchBucket\" }"), StoreErrorKind::RootMissing),
            (Error::new(ErrorKind::NotFound, "gone"), StoreErrorKind::NotFound),
            (Error::new(ErrorKind::ConditionNotMatch, "there"), StoreErrorKind::Exists),
            (Error::new(ErrorKind::PermissionDenied, "no"), StoreErrorKind::Denied),
            (Error::new(ErrorKind::PermissionDenied, "locked").set_temporary(), StoreErrorKind::Transient),
            (unexpected("bad").set_temporary(), StoreErrorKind::Transient),
            (unexpected("ssh error"), StoreErrorKind::Transient),
            (
                unexpected("ssh error").set_source(io::Error::other("Permission denied (publickey)")),
                StoreErrorKind::Denied,
            ),
            (unexpected("bad").set_source(io::Error::from_raw_os_error(28)).set_temporary(), StoreErrorKind::Full),
            (unexpected("bad").set_source(io::Error::from_raw_os_error(30)).set_temporary(), StoreErrorKind::Denied),
            (unexpected("bad"), StoreErrorKind::Other),
        ] {
            assert_eq!(kind_of(&error), kind, "{error}");
        }
    }

    #[test]
    fn secrets_and_signatures_are_hidden() {
        let secrets = Secrets::new([Zeroizing::new("hunter22".to_owned()), Zeroizing::new("a".to_owned())]);
        let error = unexpected("at hunter22").with_context("url", "https://h/c?sv=1&sig=abc%3D").with_context("b", "c");
        let text = secrets.hide(&error).to_string();
        assert!(!text.contains("hunter22") && !text.contains("sig="), "{text}");
        assert!(text.contains("https://h/c?***") && text.contains("b: c"), "{text}");
    }

    #[test]
    fn text_without_urls_stays() {
        assert_eq!(without_queries("why? because, (a) \"b\""), "why? because, (a) \"b\"");
    }
}
