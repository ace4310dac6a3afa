//! What is under way between two stages, so that one can wait for all that was sent up to now while more is sent.

use crate::repo::failure::Failure;
use crate::repo::writer::{WriteError, lock};
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often whoever waits looks whether something failed.
const LOOK: Duration = Duration::from_millis(100);

/// Numbers what is under way.
#[derive(Default)]
pub(super) struct Flight {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    under_way: BTreeSet<u64>,
}

impl Flight {
    /// Something is under way from now on; gives its number.
    pub(super) fn begin(&self) -> u64 {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number);
        number
    }

    /// It has arrived.
    pub(super) fn land(&self, number: u64) {
        lock(&self.state).under_way.remove(&number);
        self.landed.notify_all();
    }

    /// Waits until all that began before this call has arrived. `go_on` is asked now and then.
    pub(super) fn wait(
        &self,
        failure: &Failure<WriteError>,
        go_on: &dyn Fn() -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut state = lock(&self.state);
        let end = state.next;
        while state.under_way.first().is_some_and(|&number| number < end) {
            if failure.is_set() {
                return Err(WriteError::Stopped);
            }
            go_on()?;
            (state, _) = self.landed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_what_began_before_and_not_for_what_came_later() {
        let (flight, failure) = (Flight::default(), Failure::default());
        let never = || Err(WriteError::Interrupted);
        let (first, second) = (flight.begin(), flight.begin());
        flight.land(second);
        // Nobody lands the first one: the wait would go on, so that it is interrupted.
        assert!(flight.wait(&failure, &never).is_err());
        // It lands while it's waited for, and another one begins.
        let third = Mutex::new(None);
        let land = || {
            *lock(&third) = Some(first);
            Ok(())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while lock(&third).is_none() {
                    std::thread::yield_now();
                }
                flight.begin();
                flight.land(first);
            });
            assert!(flight.wait(&failure, &land).is_ok(), "what began later isn't waited for");
        });
        assert!(flight.wait(&failure, &never).is_err(), "until it's waited for again");
    }

    #[test]
    fn a_failure_ends_the_wait() {
        let (flight, failure) = (Flight::default(), Failure::default());
        flight.begin();
        failure.set(WriteError::Numbers);
        assert!(matches!(flight.wait(&failure, &|| Ok(())), Err(WriteError::Stopped)));
    }
}
