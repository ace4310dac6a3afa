//! What the manifest tells of dumps that something else made counts when they are restored, as it does for what was captured live.

use super::restore::{words, world};

const MIGRATIONS: &str = "
    CREATE TABLE django_migrations (id serial, app text, name text);
    INSERT INTO django_migrations (app, name) VALUES ('wiki', '0001_initial'), ('wiki', '0002_pages');";

#[test]
fn migrations_of_a_dump_that_something_else_made_are_compared() {
    let Some(world) = world() else { return };
    world.server.query(&world.name("old"), MIGRATIONS);
    world.dump("custom", &["-Fc"]);
    world.dump("plain.sql", &[]);
    world.dump("inserts.sql", &["--inserts"]);
    world.dump("schema.sql", &["--schema-only"]);
    world.back_up();
    // An application that is older than the dump.
    world.server.query("postgres", &format!("CREATE DATABASE {}", world.name("older")));
    world.server.query(&world.name("older"), MIGRATIONS);
    world.server.query(&world.name("older"), "DELETE FROM django_migrations WHERE name = '0002_pages'");
    for dump in ["custom", "plain.sql", "inserts.sql"] {
        let refused = world.restore(dump, "older", &["--replace"]);
        assert!(!refused.status.success(), "{dump}");
        let said = words(&refused);
        assert!(said.contains("too old") && said.contains("--allow-ledger-mismatch"), "{dump}: {said}");
        assert_eq!(world.databases("older").len(), 1, "{dump}: nothing was begun");
    }
    // A dump that has none may have left them out, which is said and refuses nothing.
    let unknown = world.restore("schema.sql", "older", &["--replace", "--dry-run"]);
    assert!(unknown.status.success(), "{}", words(&unknown));
    let plan = String::from_utf8(unknown.stdout).unwrap();
    assert!(plan.contains("those of the dump aren't known"), "{plan}");
    let allowed = world.restore("custom", "older", &["--replace", "--allow-ledger-mismatch"]);
    assert!(allowed.status.success(), "{}", words(&allowed));
    let rows = world.server.query(&world.name("older"), "SELECT count(*) FROM django_migrations");
    assert_eq!(rows.trim(), "2");
}
