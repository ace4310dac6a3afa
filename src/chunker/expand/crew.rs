//! Threads that compress streams of containers which are rebuilt.

use super::group::Group;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Threads that several rebuilders share. The first begins with the first rebuilder, others when there's something to do; they end with the last handle.
#[derive(Clone)]
pub struct Crew(Arc<Handle>);

/// Sends the threads home when nobody can give them anything any more.
struct Handle(Arc<Pool>);

struct Pool {
    most: usize,
    shift: Mutex<Shift>,
    changed: Condvar,
}

#[derive(Default)]
struct Shift {
    waiting: VecDeque<Arc<Group>>,
    threads: usize,
    idle: usize,
    is_over: bool,
}

impl Crew {
    /// So many threads at most.
    pub fn new(threads: usize) -> Self {
        let pool = Pool { most: threads, shift: Mutex::default(), changed: Condvar::new() };
        Self(Arc::new(Handle(Arc::new(pool))))
    }

    /// A thread for each core.
    pub fn of_all_cores() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    /// Whether there is a thread, or one can be begun. Of one alone there's no use.
    pub(super) fn is_there(&self) -> bool {
        let pool = &self.0.0;
        let mut shift = pool.lock();
        pool.most > 1 && (shift.threads > 0 || pool.hire(&mut shift))
    }

    /// Has somebody work on this.
    pub(super) fn call(&self, group: Arc<Group>) {
        let pool = &self.0.0;
        let mut shift = pool.lock();
        shift.waiting.push_back(group);
        if shift.idle < shift.waiting.len() && shift.threads < pool.most {
            // If there can't be another, those that there are do it.
            pool.hire(&mut shift);
        }
        pool.changed.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut shift = self.0.lock();
        shift.is_over = true;
        shift.waiting.clear();
        self.0.changed.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shift> {
        self.shift.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hire(self: &Arc<Self>, shift: &mut Shift) -> bool {
        let pool = Arc::clone(self);
        let begun = thread::Builder::new().name("rebuild".to_owned()).spawn(move || pool.work()).is_ok();
        shift.threads += usize::from(begun);
        begun
    }

    fn work(&self) {
        let mut shift = self.lock();
        while !shift.is_over {
            if let Some(group) = shift.waiting.pop_front() {
                drop(shift);
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| group.work())) {
                    // It goes on where the group is waited for.
                    group.fail(panic);
                }
                shift = self.lock();
            } else {
                shift.idle += 1;
                shift = self.changed.wait(shift).unwrap_or_else(PoisonError::into_inner);
                shift.idle -= 1;
            }
        }
    }
}
