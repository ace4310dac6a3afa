//! The time that work takes, by a clock that tests can set.

use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// The machine's own from now on, which goes on while the machine sleeps: a backup that began in the evening has lasted until the morning, although the lid was closed.
impl Default for Clock {
    fn default() -> Self {
        let begun = since_boot();
        Self::of(move || since_boot().saturating_sub(begun))
    }
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
