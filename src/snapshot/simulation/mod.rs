//! Histories of many actors in one repository, simulated: the real code over a store and clocks that are not real. In tests only.
//!
//! # What it claims
//!
//! Whatever hosts, pruners and people do at once, whoever dies or is suspended meanwhile, whatever the store does wrong of what [`faults`] lists: every snapshot that was committed and isn't
//! forgotten restores exactly ([`oracle`]), and a backup that reported success is listed. And each fence of the protocol is needed for that: without any one of them the same histories lose
//! data ([`tests`]).
//!
//! What it doesn't claim: credentials that share a domain believe each other about what they stored. One of them that lies can make snapshots rely on garbage that are taken *after* its lie; those are
//! counted as poisoned, not as lost. Snapshots from before the lie must survive it.
//!
//! # How it works
//!
//! | module | what |
//! | --- | --- |
//! | [`history`] | from a seed: who there is, what each does before, at once, and afterwards |
//! | [`actors`] | does it, by the real backup, prune, forget, repair, check and reader |
//! | [`forger`] | a writer that forges packs, segments, records and snapshots |
//! | [`content`] | what hosts hold, in memory; hosts and nights share chunks |
//! | [`schedule`] | who goes on: each call to the store is a point where another may |
//! | [`store`], [`clock`], [`faults`] | objects in a map, effects that come late, lies, wrong clocks |
//! | [`oracle`] | restores everything and compares |
//!
//! A history depends on nothing but its seed: one thread goes on at a time, random words are drawn from the seed (`repo::determined`), and packs, whose names hang on the randomness of HPKE too, are
//! listed in the order in which they were written.
//!
//! # How to read a loss
//!
//! The test prints the seed, what was lost, and the calls with ids shortened. `NIGHTSAFE_TEST_SEED=n` with the ignored test `one_history` shows one history again. A seed that ever failed stays a test, with its story.

mod actors;
mod chance;
mod clock;
mod content;
mod faults;
mod forger;
mod history;
mod oracle;
mod run;
mod schedule;
mod store;
mod tests;
