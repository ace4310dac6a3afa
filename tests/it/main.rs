//! The integration tests: one binary.
#![allow(clippy::disallowed_methods, reason = "tests run programs as they are")]

mod binary;
mod cli;
mod config;
mod damage;
mod diff;
mod faults;
mod forget;
mod full_store;
mod independent_reader;
mod intercept;
mod json;
mod kill;
mod layers;
mod lies;
mod messages;
mod model;
mod order;
mod postgres;
mod prune;
mod recovery;
mod repair;
mod restore;
mod roundtrip;
mod rows;
mod secrets;
mod specified;
mod store;
mod terminal;
mod tree;
mod undo;
mod vectors;
mod world;
mod write_only;
