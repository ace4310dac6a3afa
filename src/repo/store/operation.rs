//! The kinds of calls, for the wrappers that count and break them.

/// One method of [`Store`](super::Store) that reaches the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`create_root`](super::Store::create_root)
    CreateRoot,
    /// [`put`](super::Store::put)
    Put,
    /// [`get`](super::Store::get)
    Get,
    /// [`get_range`](super::Store::get_range)
    GetRange,
    /// [`length`](super::Store::length)
    Length,
    /// [`list`](super::Store::list)
    List,
    /// [`delete`](super::Store::delete)
    Delete,
    /// [`settle`](super::Store::settle)
    Settle,
}
