//! How many threads work on what this machine computes.

/// As many as there are cores.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
