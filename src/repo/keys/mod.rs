//! Keys: who may read, who may write, and how a passphrase or a key file leads there (`docs/format.md`, sections 2 and 3).
//!
//! A *credential* is an object that a passphrase or a key file opens ([`Secret`]). Inside is a *bundle* of keys, and what comes
//! out is one of two things ([`Opened`]): [`WriteKeys`] alone from a write-only credential, [`WriteKeys`] and [`ReadKeys`] from a
//! full one. What reads backups, forgets them or makes credentials asks for [`ReadKeys`], so a write-only host can't even be
//! asked to:
//!
//! ```no_run
//! use nightsafe::repo::{id::RunId, keys::{ReadKeys, Wrap, WriteKeys}};
//! fn full(write: &WriteKeys, read: &ReadKeys, wrap: &Wrap, run: RunId) {
//!     let _ = read.unwrap_run_key(wrap, run);
//! }
//! ```
//! ```compile_fail
//! use nightsafe::repo::{id::RunId, keys::{ReadKeys, Wrap, WriteKeys}};
//! fn write_only(write: &WriteKeys, wrap: &Wrap, run: RunId) {
//!     let _ = write.unwrap_run_key(wrap, run);
//! }
//! ```
//!
//! Nothing here revokes: who has copied a bundle keeps what is in it, and a credential that was removed can still be attacked in
//! old copies of the repository. Removing one, or changing its passphrase, only keeps it from opening *this* repository from now
//! on.
//!
//! Secret bytes have no `Debug` and no `Display`, are compared in constant time, and are wiped when dropped.

pub mod bundle;
pub mod certificate;
pub mod credential;
pub mod domain;
pub mod kdf;
pub mod key_file;
pub mod passphrase;
pub mod ring;
#[cfg(test)]
mod secrecy;
pub mod sign;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod vectors;
pub mod wrap;

pub use bundle::{Access, Bundle, Opened, ReadKeys, Sharing, WriteKeys};
pub use certificate::{Certificate, Role};
pub use credential::{Credential, Label, Secret};
pub use domain::{DomainKeys, IdKeys, SecretRoot};
pub use kdf::KdfParams;
pub use key_file::KeyFile;
pub use passphrase::Passphrase;
pub use sign::{Authority, Signer};
pub use wrap::{RunKey, Wrap};
