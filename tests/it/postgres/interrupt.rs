//! What could lead a session astray or keep it waiting, by the library.

use super::world::{MINUTE, World, unique};
use nightsafe::snapshot::postgres::dump::{DumpOptions, DumpSession};
use nightsafe::snapshot::postgres::error::PostgresError;
use nightsafe::snapshot::postgres::globals;
use nightsafe::snapshot::postgres::interrupt::Interrupt;
use nightsafe::snapshot::postgres::programs::Programs;
use nightsafe::snapshot::postgres::session::Session;
use std::time::Duration;

#[test]
fn whoever_waits_for_a_server_can_be_interrupted() {
    // Ctrl-C was heard only when the server had answered: after the time for locks, or when a large table had been counted.
    let Some(world) = World::find("CREATE TABLE held ()") else { return };
    let mut holder = world.beside("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)");
    while world.sql("SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted").trim() != "1" {}
    let options = DumpOptions { lock_wait: Duration::from_secs(20), ..DumpOptions::default() };
    let programs = Programs::find(&world.location()).unwrap();
    let interrupted = || {
        let interrupt = Interrupt::default();
        (world.location().with_interrupt(interrupt.clone()), interrupt)
    };
    let (location, interrupt) = interrupted();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            world.until_waiting(1);
            interrupt.set();
        });
        DumpSession::begin(&location, &programs, &options).err().unwrap()
    });
    assert!(matches!(error, PostgresError::Interrupted), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();

    let (location, interrupt) = interrupted();
    let mut session = Session::open(&location, &programs, MINUTE).unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'";
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while world.sql(running).trim() != "1" {}
            interrupt.set();
        });
        session.execute("SELECT pg_sleep(30)").unwrap_err()
    });
    assert!(matches!(error, PostgresError::Interrupted), "{error}");
    assert!(matches!(session.execute("SELECT 1"), Err(PostgresError::Interrupted)));
    let error = globals::dump(&location, &programs).err().unwrap();
    assert!(matches!(error, PostgresError::Interrupted), "{error}");
}

#[test]
fn the_name_of_a_database_leads_nowhere_else() {
    // `pg_dumpall --database NAME` read a name with a `=` as a connection string: roles weren't captured, and such a name could have sent the password to another host.
    let Some(world) = World::find("") else { return };
    let name = format!("host=/nowhere user=it's \\ x={}", unique());
    world.server.query("postgres", &format!("CREATE DATABASE \"{name}\""));
    let location = world.location().with_database(&name);
    let programs = Programs::find(&location).unwrap();
    let roles = globals::dump(&location, &programs);
    let facts = DumpSession::begin(&location, &programs, &DumpOptions::default()).and_then(|mut session| {
        let (facts, dump) = (session.facts().clone(), session.start_dump()?);
        session.finish(dump).map(|_| facts)
    });
    world.server.query("postgres", &format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
    assert!(String::from_utf8(roles.unwrap().sql).unwrap().contains("CREATE ROLE postgres;"));
    assert_eq!(facts.unwrap().properties.name, name);
}
