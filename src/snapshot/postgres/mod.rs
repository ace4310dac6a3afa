//! Live PostgreSQL databases: sessions, dumps and what a database says of itself.
//!
//! No driver: everything runs through PostgreSQL's own client programs as children. The same code so reaches a server over TCP, a Unix socket, a service file and TLS (libpq knows all
//! that), and one inside a container by a command prefix, whose programs are then used. What is found here is handed to the caller; nothing is printed, and the environment is left to the children.

pub mod answer;
pub mod client;
pub mod command;
pub mod dump;
pub mod error;
pub mod facts;
pub mod globals;
pub mod interrupt;
pub mod ledger;
pub mod options;
mod pattern;
pub mod pooler;
pub mod programs;
pub mod quote;
pub mod restore;
pub mod rows;
pub mod server;
pub mod session;
pub mod source;
pub mod tables;
