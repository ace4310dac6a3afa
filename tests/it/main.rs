//! The integration tests: one binary.

mod binary;
mod cli;
mod config;
mod damage;
mod diff;
mod faults;
mod forget;
mod independent_reader;
mod kill;
mod layers;
mod model;
mod order;
mod postgres;
mod prune;
mod repair;
mod restore;
mod roundtrip;
mod rows;
mod store;
mod tree;
mod undo;
mod vectors;
mod world;
mod write_only;
