//! What is fuzzed: one module for each decoder of bytes that come from outside, with what must hold whatever they are.
//!
//! Each has a function `run`, which panics if something doesn't hold. Both use it: the fuzz targets of this folder, and the tests of the program (`tests/it/fuzz.rs`), which
//! try the committed inputs and some mutations of them.

pub mod archive;
pub mod cbor;
pub mod config;
pub mod copy;
pub mod credential;
pub mod directory;
pub mod environment;
pub mod expand;
pub mod export;
pub mod frame;
pub mod index;
pub mod input;
pub mod key_text;
pub mod keys;
pub mod list;
pub mod manifest;
pub mod memory;
pub mod names;
pub mod object;
pub mod pack;
pub mod plain;
pub mod record;
pub mod remembered;
pub mod script;
pub mod seen;
pub mod told;
pub mod url;
pub mod words;

/// Makes a fuzz target of a module.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[global_allocator]
        static MEMORY: $crate::memory::Measured = $crate::memory::Measured;

        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::run(data));
    };
}
