//! The time that work takes, by a clock that tests can set.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells how long it is since some moment in the past, and never less than it told before. What is done every so often goes by it; nothing that
/// decides about safety does.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` gives.
    pub fn of(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

/// The machine's own, which stands still while the machine sleeps.
impl Default for Clock {
    fn default() -> Self {
        let begun = Instant::now();
        Self::of(move || begun.elapsed())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
