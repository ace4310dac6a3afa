//! What kept a cache from being written. Caches are hints, so whoever uses one goes on without; somebody should hear of it all the same, once.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// The first thing that kept a cache from being written. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CacheFault(Arc<OnceLock<String>>);

impl CacheFault {
    /// Notes why a cache wasn't written; only the first reason counts.
    pub fn note(&self, why: &dyn Display) {
        self.0.get_or_init(|| why.to_string());
    }

    /// Why, if anything was noted.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_for_all_clones() {
        let fault = CacheFault::default();
        let other = fault.clone();
        assert_eq!(fault.get(), None);
        other.note(&"first");
        fault.note(&"second");
        assert_eq!((fault.get(), other.get()), (Some("first"), Some("first")));
    }
}
