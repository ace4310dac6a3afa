//! nightsafe: nightly, deduplicated, sealed backups of self-hosted applications.
//!
//! The words used everywhere, in code and in documents:
//!
//! | word | meaning |
//! | --- | --- |
//! | store | a flat key → bytes service under one URL: a folder, or anything OpenDAL reaches |
//! | repository | what nightsafe keeps in one store |
//! | source | one thing that is captured: a tree of files, the files of a compose stack, databases of a server |
//! | app | a named group of sources captured together |
//! | chunk | a content-defined piece of a stream; its id is a keyed BLAKE3 of its plaintext |
//! | frame | a run of consecutive new chunks, compressed and sealed as one; what lists refer to and the index knows |
//! | pack | an immutable object of frames with a sealed trailer, named by the BLAKE3 of its bytes |
//! | segment | a sealed index object: frame → pack, offset, lengths |
//! | list | the references (frame, first chunk, count) that make up a stream |
//! | known chunks | a writer's local map from chunk id to frame and place: the deduplication; a hint |
//! | tree | the entries of one directory, itself stored as a chunked stream |
//! | snapshot | one committed manifest: the complete record of one run |
//! | run | one execution of a writer, with a fresh random id |
//! | credential | a key file or passphrase that opens a bundle of keys; full or write-only |
//!
//! Four modules, in layers that point one way (`cli → snapshot → {repo, chunker}`, `cli → repo`; a test holds them):
//!
//! - [`chunker`]: pure; bytes in, boundaries out.
//! - [`repo`]: the sealed, packed, content-addressed store.
//! - [`snapshot`]: what is captured, how, and how it comes back.
//! - [`cli`]: the only module that prints, reads the environment or asks a person.
//!
//! `docs/format.md` specifies the bytes, `docs/protocol.md` why many writers need no locks.

pub mod chunker;
pub mod cli;
pub mod repo;
pub mod snapshot;
