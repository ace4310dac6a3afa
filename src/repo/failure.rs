//! The first error of many threads: it stops all of them and is the one that is reported.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shared place for the first error.
pub struct Failure<E> {
    failed: AtomicBool,
    first: Mutex<Option<E>>,
}

impl<E> Default for Failure<E> {
    fn default() -> Self {
        Self { failed: AtomicBool::new(false), first: Mutex::new(None) }
    }
}

impl<E> Failure<E> {
    /// Keeps `error` if it is the first.
    pub fn set(&self, error: E) {
        let mut first = self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.failed.swap(true, Ordering::AcqRel) {
            *first = Some(error);
        }
    }

    /// Whether something failed: stop.
    pub fn is_set(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The first error, for the one who reports it.
    pub fn take(&self) -> Option<E> {
        self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn the_first_error_stays() {
        let failure = Failure::default();
        assert!(!failure.is_set());
        failure.set("first");
        failure.set("second");
        assert!(failure.is_set());
        assert_eq!(failure.take(), Some("first"));
        failure.set("third");
        assert_eq!(failure.take(), None, "it was reported already");
    }
}
