//! The integration tests: one binary.

mod binary;
mod cli;
mod config;
mod damage;
mod diff;
mod faults;
mod forget;
mod full_store;
mod independent_reader;
mod kill;
mod layers;
mod lies;
mod model;
mod order;
mod postgres;
mod prune;
mod recovery;
mod repair;
mod roundtrip;
mod rows;
mod store;
mod tree;
mod undo;
mod vectors;
mod world;
mod write_only;
