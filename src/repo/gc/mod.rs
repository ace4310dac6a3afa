//! Garbage collection: which packs nothing needs any more, and how they go while others write (`docs/protocol.md`).
//!
//! | step | function |
//! | --- | --- |
//! | 1 canary | [`canary::Canaries`] |
//! | 3 runs and pins, 4 snapshots, 5 stale runs | [`survey::survey`] |
//! | 4 marks | [`fence::Roots::mark`], which `snapshot::prune` implements, into [`marks::Marks`] |
//! | 6 plan | [`usage::Usage`], [`plan::plan`], [`prove::prove`], [`rewrite::Rewriter`] |
//! | 7 condemn | [`condemn::condemn`] |
//! | 8 a to d | [`fence::fence`] |
//! | 9 delete | [`sweep::sweep`], [`sweep::tidy`] |
//!
//! Each step consumes what the one before gave: a plan is proven, what is proven is condemned, what is condemned is sentenced, and only what is sentenced is swept.
//!
//! Memory: 48 bytes for each frame that snapshots reach, 24 for each pack, what is being rewritten, and up to 8 MiB for each connection while copies that stay are opened.

pub mod canary;
pub mod condemn;
pub mod error;
pub mod fence;
pub mod marks;
pub mod plan;
pub mod prove;
pub mod records;
pub mod reserve;
pub mod rewrite;
pub mod survey;
pub mod sweep;
pub mod tombstone;
pub mod unknown;
pub mod usage;
