//! What is captured, how, and how it comes back.

pub mod application;
pub mod backup;
pub mod browse;
pub mod capture;
pub mod check;
pub mod checkpoint;
pub mod child;
pub mod compat;
pub mod diff;
pub mod forget;
pub mod history;
pub mod manifest;
pub mod monitor;
pub mod notes;
pub mod policy;
pub mod postgres;
pub mod proofs;
pub mod prune;
pub mod reach;
pub mod rebuilt;
mod recorder;
pub mod repair;
pub mod restore;
pub mod seen;
#[cfg(test)]
mod simulation;
pub mod snapshots;
pub mod source;
pub mod stream;
pub mod target;
pub mod tombstone;
pub mod tree;
pub mod undo;
pub mod unfinished;
pub mod vanished;
