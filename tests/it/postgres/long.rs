//! A database whose first dump takes nights to upload.

use super::world::World as Database;
use crate::checkpoint::long::until_done;
use crate::world::World;
use nightsafe::repo::clock::Clock;
use nightsafe::snapshot::backup::{BackupOptions, backup};
use nightsafe::snapshot::checkpoint::Cadence;
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::postgres::source::PostgresSource;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Some 30 MB, however they are compressed.
const LARGE: &str = "CREATE TABLE large (id int PRIMARY KEY, body text);
    INSERT INTO large SELECT n, (SELECT string_agg(md5(n || '-' || m), '') FROM generate_series(1, 250) m)
    FROM generate_series(1, 7000) n;";

/// A checkpoint now and then: the clock goes on by a second whenever somebody looks at it.
fn now_and_then() -> Cadence {
    let looks = Arc::new(AtomicU64::new(0));
    let clock = Clock::of(move || Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed)));
    Cadence { every: Some(Duration::from_mins(1)), clock }
}

/// Between two reads of what `pg_dump` writes a checkpoint may be taken. It holds no dump yet, and what was stored of it stays: else a database that takes longer than a night would never be backed up.
#[test]
fn a_dump_that_takes_nights_gets_further_each_night() {
    let Some(database) = Database::find(LARGE) else { return };
    let world = World::new();
    let options = || {
        let (name, server) = ("db".to_owned(), database.location());
        let (which, globals, dump) = Default::default();
        let databases = vec![PostgresSource { name, server, which, globals, options: dump }];
        BackupOptions { files: Vec::new(), databases, checkpoints: now_and_then(), ..world.options() }
    };
    let alone = World::new();
    let whole = backup(&alone.repo(), &options(), &Silent::default()).unwrap().statistics.stored_added;
    let (done, arrived) =
        until_done(&world, &|line| backup(&world.repo_over(line.clone()), &options(), &Silent::default()));
    assert_eq!(done.state, State::Complete, "{:?}", done.problems);
    assert!(whole > 25 << 20 && arrived < whole * 5 / 4, "{arrived} of {whole}");
    let rows: Vec<Option<u64>> = done.databases[0].tables.iter().map(|table| table.dumped_rows).collect();
    assert_eq!(rows, [Some(7_000)]);
}
