//! The configuration file `nightsafe.toml`: which repositories and applications there are. `docs/configuration.md` is the reference.
//!
//! | module | what |
//! | --- | --- |
//! | [`files`] | which file is read, and those that it includes |
//! | [`document`] | one file as a tree that knows on which line everything stands |
//! | [`finding`] | what is wrong with it, and where |
//! | [`decode`] | the tree → the model; everything that's wrong is found, not only the first |
//! | [`model`] | what the rest of the program is given: plain types; serialised they are the file again |
//! | [`schedule`], [`period`] | when, and how long |
//! | [`engine`], [`stack`] | compose files: how a container is reached, which files belong to a stack |
//! | [`check`] | what only the host can tell: whether paths exist and passwords can be read |
//!
//! A file is written by a person and may be wrong in any way; it's bounded before it's parsed. A value of a secret never stands in it, and no message repeats what
//! stands where one was expected.

pub mod check;
pub mod decode;
pub mod document;
pub mod engine;
pub mod files;
pub mod finding;
pub mod model;
pub mod period;
pub mod schedule;
pub mod stack;

#[cfg(test)]
mod tests;

pub use files::{Loaded, Search, load};
pub use finding::{Finding, Place, Severity};
pub use model::{
    AppConfig, CommandSource, Config, Databases, FilesSource, Keep, KeyName, Keys, PostgresSource, Reach,
    RepositoryConfig, SecretFrom, SourceConfig, SourceKind, StackSource, VersionFrom,
};
pub use period::Period;
