//! The integration tests: one binary.

mod binary;
mod cli;
mod damage;
mod faults;
mod independent_reader;
mod layers;
mod order;
mod postgres;
mod roundtrip;
mod store;
mod tree;
mod vectors;
mod world;
mod write_only;
