//! How many threads work on what this machine computes.

/// As many as there are cores.
pub fn threads() -> usize {
    #[cfg(test)]
    if crate::repo::determined::is_on() {
        return 1;
    }
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// What a thread is to do, as the thread that starts it would: nothing is added to it but in a simulation.
#[cfg(not(test))]
pub(crate) fn inherit<T>(work: impl FnOnce() -> T + Send) -> impl FnOnce() -> T + Send {
    work
}

/// The same, with random words that follow from those of the thread that starts it.
#[cfg(test)]
pub(crate) fn inherit<T>(work: impl FnOnce() -> T + Send) -> impl FnOnce() -> T + Send {
    let seed = crate::repo::determined::next();
    move || {
        crate::repo::determined::begin(seed);
        work()
    }
}
