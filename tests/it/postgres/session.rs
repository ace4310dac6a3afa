//! Sessions, facts and dumps of a live server, by the library.

use super::server::{Server, succeed};
use super::world::{MINUTE, World, unique};
use nightsafe::snapshot::postgres::dump::{Contents, DumpOptions, DumpSession};
use nightsafe::snapshot::postgres::error::PostgresError;
use nightsafe::snapshot::postgres::programs::Programs;
use nightsafe::snapshot::postgres::session::Session;
use nightsafe::snapshot::postgres::tables::Denial;
use nightsafe::snapshot::postgres::{facts, globals, pooler, server};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

fn rows(contents: &Contents, name: &str) -> Option<u64> {
    contents.tables.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("{name}: {contents:?}")).rows
}

const ODD: &str = r#"
    CREATE SCHEMA "My.Schema";
    CREATE TABLE "My.Schema"."a""b.C*?$[x] 'q' \ {y}" (id int);
    INSERT INTO "My.Schema"."a""b.C*?$[x] 'q' \ {y}" SELECT generate_series(1, 7);
    CREATE TABLE "line
feed	tab" ("select" text);
    INSERT INTO "line
feed	tab" VALUES ('x'), (NULL);
    CREATE TABLE "\echo ☂ :name" (id int);
    INSERT INTO "\echo ☂ :name" VALUES (1);
    CREATE TABLE empty ();
    CREATE TABLE parted (id int, part text) PARTITION BY LIST (part);
    CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
    CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
    INSERT INTO parted SELECT n, CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 90) n;
    CREATE TABLE parent (id int, double int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE child (more text) INHERITS (parent);
    INSERT INTO parent (id) SELECT generate_series(1, 4);
    INSERT INTO child (id) SELECT generate_series(1, 5);
    CREATE TABLE log (id bigserial PRIMARY KEY, line text);
    CREATE UNLOGGED TABLE scratch (id int GENERATED ALWAYS AS IDENTITY);
    INSERT INTO scratch SELECT FROM generate_series(1, 6);
    CREATE TABLE big (id int, text text);
    INSERT INTO big SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
    CREATE VIEW seen AS SELECT * FROM log;
    CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM big;
    SELECT lo_create(0), lo_create(0), lo_create(0);"#;

#[test]
fn counts_are_those_of_the_dump() {
    let Some(world) = World::find(ODD) else { return };
    let mut writer = world.server.command("psql");
    writer.env("PGDATABASE", &world.database).args(["-X", "-q"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut writer = writer.spawn().unwrap();
    let mut statements = writer.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        // Until its end is closed by the one who reads.
        while statements.write_all(b"INSERT INTO log (line) VALUES ('x');\n").is_ok() {}
    });
    while world.sql("SELECT count(*) > 50 FROM log").trim() != "t" {}

    let mut session = world.begin(&DumpOptions::default());
    let process = session.start_dump().unwrap();
    let facts = session.facts().clone();
    // Without locks the dump would now hold no row of one and fail over the other.
    let mut truncate = world.beside("TRUNCATE big");
    let mut drop_table = world.beside("DROP TABLE child");
    world.until_waiting(2);
    let (file, contents) = world.finish(session, process);
    assert!(truncate.wait().unwrap().success() && drop_table.wait().unwrap().success());
    assert_eq!(world.sql("SELECT count(*) FROM big").trim(), "0");
    writer.kill().unwrap();
    writer.wait().unwrap();
    writing.join().unwrap();

    let restored = world.restored(&file);
    assert_eq!(restored.len(), contents.tables.len());
    assert_eq!(restored.values().sum::<u64>(), contents.tables.iter().map(|table| table.rows.unwrap()).sum::<u64>());
    for (name, expected) in [
        ("a\"b.C*?$[x] 'q' \\ {y}", 7),
        ("line\nfeed\ttab", 2),
        ("\\echo ☂ :name", 1),
        ("empty", 0),
        ("parted_a", 30),
        ("parted_b", 60),
        ("parent", 4),
        ("child", 5),
        ("scratch", 6),
        ("big", 20_000),
        ("log", restored["log"]),
    ] {
        assert_eq!(rows(&contents, name), Some(expected), "{name}");
    }
    assert!(restored["log"] > 50 && contents.tables.iter().all(|table| table.name != "parted"));
    assert_eq!(contents.large_objects, 3);
    assert!(contents.ledgers.is_empty() && contents.warnings.is_empty() && contents.keys_in_use.is_none());
    let properties = &facts.properties;
    assert_eq!(properties.name, world.database);
    assert_eq!((properties.encoding.as_str(), properties.owner.as_str()), ("UTF8", "postgres"));
    assert_eq!((properties.locale_provider.as_str(), &properties.locale), ("c", &None));
    assert!(properties.bytes.unwrap() > 1 << 20 && !properties.standby && facts.denied.is_empty());
    assert!(facts.client.major() >= facts.server.major() && facts.server.major() >= 10);
    assert!(facts.extensions.iter().any(|extension| extension.name == "plpgsql" && extension.schema == "pg_catalog"));
    assert!(facts.roles.iter().any(|role| role.name == "postgres" && role.login));
}

#[test]
fn a_change_between_our_locks_and_those_of_the_dump_passes_first() {
    let Some(world) = World::find(ODD) else { return };
    let mut session = world.begin(&DumpOptions::default());
    let taken = session.facts().taken;
    // These wait for us, and pg_dump then waits for them.
    let mut truncate = world.beside("TRUNCATE big");
    let mut drop_table = world.beside("DROP TABLE child");
    world.until_waiting(2);
    let process = session.start_dump().unwrap();
    assert!(session.facts().taken > taken);
    let (file, contents) = world.finish(session, process);
    assert!(truncate.wait().unwrap().success() && drop_table.wait().unwrap().success());
    let restored = world.restored(&file);
    assert!(rows(&contents, "big") == Some(0) && restored["big"] == 0 && !restored.contains_key("child"));
    assert_eq!(restored.len(), contents.tables.len());
}

#[test]
fn a_thousand_tables_are_locked_and_counted() {
    let Some(world) = World::find(
        "DO $$ BEGIN FOR n IN 1..1000 LOOP
            EXECUTE format('CREATE TABLE t%s AS SELECT generate_series(1, %s) AS id', n, n % 7);
        END LOOP; END $$",
    ) else {
        return;
    };
    let mut session = world.begin(&DumpOptions::default());
    let mut drop_table = world.beside("DROP TABLE t999");
    world.until_waiting(1);
    let contents = session.count().unwrap();
    assert_eq!(contents.tables.len(), 1000);
    for table in &contents.tables {
        assert_eq!(table.rows, table.name[1..].parse().ok().map(|n: u64| n % 7), "{table}");
    }
    // Nothing is held any longer.
    drop(session);
    assert!(drop_table.wait().unwrap().success());
}

#[test]
fn what_may_not_be_read_is_named_and_left_out() {
    let Some(world) = World::find(ODD) else { return };
    let role = format!("ns_{}", unique());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; CREATE ROLE {role}_group; GRANT {role}_group TO {role};
        GRANT USAGE ON SCHEMA public TO {role}_group; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}; CREATE TABLE own (id int); ALTER TABLE own OWNER TO {role};
        REVOKE SELECT ON \"line\nfeed\ttab\", parted_b FROM {role};
        CREATE TABLE policed (id int); INSERT INTO policed VALUES (1); GRANT SELECT ON policed TO {role};
        ALTER TABLE policed ENABLE ROW LEVEL SECURITY; SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
        CREATE SEQUENCE hidden"
    ));
    let location = world.location().with_user(&role);
    let programs = Programs::find(&location).unwrap();
    let session = DumpSession::begin(&location, &programs, &DumpOptions::default()).unwrap();
    let denied: Vec<_> = session.facts().denied.iter().map(|d| (d.name.as_str(), d.sequence, d.denial)).collect();
    assert_eq!(
        denied,
        [
            ("a\"b.C*?$[x] 'q' \\ {y}", false, Denial::NotReadable),
            ("hidden", true, Denial::NotReadable),
            ("line\nfeed\ttab", false, Denial::NotReadable),
            ("parted_b", false, Denial::NotReadable),
            ("policed", false, Denial::RowSecurity),
        ]
    );
    assert!(session.facts().denied[3].to_string().contains("table public.parted_b: no right to read it"));
    let roles = session.facts().roles.clone();
    let own = roles.iter().find(|found| found.name == role).unwrap();
    assert!(own.login && own.inherit && own.member_of == [format!("{role}_group")]);
    assert!(roles.iter().any(|found| found.name == format!("{role}_group") && !found.login));
    let (file, contents) = world.dump(session);
    let restored = world.restored(&file);
    assert!(!restored.contains_key("parted_b") && restored["policed"] == 0 && restored["big"] == 20_000);
    assert_eq!(contents.tables.len() + 1, restored.len(), "all but the one whose data is missing");
    let roles = globals::dump(&location, &programs).unwrap();
    assert!(!roles.with_passwords && String::from_utf8(roles.sql).unwrap().contains(&format!("CREATE ROLE {role};")));
    world.sql(&format!("DROP OWNED BY {role}, {role}_group; DROP ROLE {role}, {role}_group"));
}

#[test]
fn data_is_left_out_as_pg_dump_leaves_it_out() {
    let Some(world) = World::find(ODD) else { return };
    for (schemas, without) in [
        (vec![], vec!["log", "PARTED_*"]),
        (vec![], vec!["public.big", r#""My.Schema".*"#, r#""\echo ☂ :name""#]),
        (vec!["\"My.Schema\""], vec![]),
        (vec!["\"My.S\"*", "pub*"], vec!["*.?og", "nothing"]),
        (vec!["public"], vec!["c[a-i]ild|parent"]),
    ] {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let options =
            DumpOptions { schemas: owned(&schemas), exclude_table_data: owned(&without), ..DumpOptions::default() };
        let (file, contents) = world.dump(world.begin(&options));
        let mut list = world.server.command("pg_restore");
        list.arg("-l").arg(&file);
        let listed = succeed(list).lines().filter(|line| line.contains(" TABLE DATA ")).count();
        let counted = contents.tables.iter().filter(|table| table.rows.is_some()).count();
        assert_eq!(counted, listed, "{schemas:?} {without:?}: {:?}", contents.tables);
        assert!(listed > 0);
        assert_eq!(contents.large_objects, if schemas.is_empty() { 3 } else { 0 });
    }
}

#[test]
fn keys_in_use_are_asked_for_as_a_text() {
    let Some(world) = World::find(
        "CREATE SEQUENCE s; CREATE TABLE users (kid text); INSERT INTO users VALUES ('b'), ('a'), ('b'), (NULL)",
    ) else {
        return;
    };
    let keys = |query: &str| {
        let options = DumpOptions { keys_query: Some(query.to_owned()), ..DumpOptions::default() };
        world.begin(&options).count().map(|contents| contents.keys_in_use.unwrap())
    };
    assert_eq!(keys("SELECT kid FROM users; -- all").unwrap_err().sqlstate(), Some("42601"));
    assert_eq!(keys("SELECT kid FROM users -- all").unwrap(), ["a", "b"]);
    assert_eq!(keys("SELECT 1 UNION SELECT 10;").unwrap(), ["1", "10"]);
    for (query, state) in [
        ("SELECT 'open", "42601"),
        ("SELECT 1) x; \\! false", "42601"),
        ("DELETE FROM users RETURNING kid", "42601"),
        ("SELECT nextval('s')", "25006"),
        ("SELECT kid FROM nobody", "42P01"),
    ] {
        let error = keys(query).unwrap_err();
        assert_eq!(error.sqlstate(), Some(state), "{query}: {error}");
    }
    assert!(matches!(keys("SELECT 1 AS a, 2 AS b"), Err(PostgresError::Answer { .. })));
}

#[test]
fn failures_are_told_apart() {
    let Some(world) = World::find("") else { return };
    let programs = Programs::find(&world.location()).unwrap();
    let failure = |location: &server::Server| match Session::open(location, &programs, MINUTE) {
        Err(PostgresError::Connect { said, .. }) => said,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("connected to {}", location.describe()),
    };
    let said = failure(&world.location().with_database("no such database"));
    assert!(said.contains("database \"no such database\" does not exist"), "{said}");
    let said = failure(&world.location().with_user("nobody-here"));
    assert!(said.contains("nobody-here"), "{said}");
    let said = failure(&world.location().with_host("127.0.0.1").with_port(1));
    assert!(said.contains("127.0.0.1"), "{said}");
    let said = failure(&world.location().with_host("/nowhere"));
    assert!(said.contains("/nowhere"), "{said}");
    let said = failure(&world.location().with_prefix(vec!["sh".into(), "-c".into(), "echo gone >&2; exit 1".into()]));
    assert_eq!(said, "gone");

    let mut session = world.session();
    assert_eq!(session.query::<serde_json::Value>("SELECT 1 AS a, 'x' AS b").unwrap()[0]["b"], "x");
    let error = session.execute("SELECT 1 / 0").unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.to_string().ends_with(": ERROR: division by zero")),
        (Some("22012"), true),
        "{error}"
    );
    assert!(matches!(session.execute("SELECT 1"), Err(PostgresError::Lost { .. })));

    let mut session = world.session();
    session.execute("SET application_name = 'victim'").unwrap();
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
    let error = session.execute("SELECT 1").unwrap_err();
    assert!(matches!(error, PostgresError::Lost { .. }), "{error:?}");
    assert!(facts::databases(&mut world.session()).unwrap().contains(&world.database));
}

#[test]
fn a_lock_that_is_not_granted_names_its_holder() {
    let Some(world) = World::find("CREATE TABLE held ()") else { return };
    let mut holder = world.beside("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)");
    while world.sql("SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted").trim() != "1" {}
    let options = DumpOptions { lock_wait: Duration::from_millis(300), ..DumpOptions::default() };
    let location = world.location();
    let error = DumpSession::begin(&location, &Programs::find(&location).unwrap(), &options).err().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(error, PostgresError::LockTimeout { .. }), "{error}");
    assert!(error.to_string().contains("public.held is locked by process"), "{error}");
}

#[test]
fn programs_behind_a_prefix_do_the_same() {
    let Some(world) = World::find(ODD) else { return };
    let socket = world.server.socket.display();
    let prefix = ["env", "-u", "PGUSER", "-u", "PGDATABASE", &format!("PGHOST={socket}"), "POSTGRES_PASSWORD=unused"];
    let mut prefix: Vec<String> = prefix.map(str::to_owned).to_vec();
    prefix.push(format!("POSTGRES_DB={}", world.database));
    let location = server::Server::default().with_password(Zeroizing::new("also unused".into())).unwrap();
    let location = location.with_prefix(prefix);
    let programs = Programs::find(&location).unwrap();
    let session = DumpSession::begin(&location, &programs, &DumpOptions::default()).unwrap();
    assert_eq!(session.facts().properties.name, world.database);
    let (file, contents) = world.dump(session);
    assert_eq!(world.restored(&file).values().sum::<u64>(), contents.tables.iter().filter_map(|t| t.rows).sum::<u64>());
    let roles = globals::dump(&location, &programs).unwrap();
    assert!(roles.with_passwords && String::from_utf8(roles.sql).unwrap().contains("CREATE ROLE postgres;"));
}

#[test]
fn a_server_that_crashes_is_told_by_everybody() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    // Without trust a password can be wrong.
    server.query("postgres", "CREATE ROLE careful LOGIN PASSWORD 'right \"word'");
    let rules = server.data().join("pg_hba.conf");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("local all careful scram-sha-256\n{text}")).unwrap();
    server.query("postgres", "SELECT pg_reload_conf()");
    let world =
        World::on(server, "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 50000) n");
    let location = world.location().with_user("careful");
    let programs = Programs::find(&location).unwrap();
    let with = |password: &str| location.clone().with_password(Zeroizing::new(password.into())).unwrap();
    for wrong in [with("wrong"), with("wrong").with_prefix(vec!["env".into()])] {
        let error = Session::open(&wrong, &programs, MINUTE).err().unwrap();
        assert!(matches!(error, PostgresError::Connect { .. }), "{error}");
        assert!(error.to_string().contains("password authentication failed") && !error.to_string().contains("wrong"));
    }
    Session::open(&with("right \"word"), &programs, MINUTE).unwrap().close().unwrap();
    Session::open(&with("right \"word").with_prefix(vec!["env".into()]), &programs, MINUTE).unwrap().close().unwrap();

    let mut session = world.begin(&DumpOptions::default());
    let mut process = session.start_dump().unwrap();
    let mut stdout = process.take_output().unwrap();
    stdout.read_exact(&mut [0; 10_000]).unwrap();
    world.server.crash();
    assert!(matches!(session.count(), Err(PostgresError::Lost { .. })));
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    let error = session.finish(process).unwrap_err();
    assert!(matches!(error, PostgresError::Program { .. }), "{error:?}");
    assert!(error.to_string().contains("pg_dump: error"), "{error}");
}

#[test]
fn a_pooler_in_transaction_mode_is_refused() {
    let pooler = "/usr/sbin/pgbouncer";
    if !std::path::Path::new(pooler).exists() {
        return eprintln!("skipped: no {pooler} (Debian: apt-get install pgbouncer)");
    }
    let Some(world) = World::find("") else { return };
    for (mode, refused) in [("transaction", true), ("statement", true), ("session", false)] {
        let folder = tempfile::Builder::new().prefix("ns-pgb").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let configuration = folder.path().join("pgbouncer.ini");
        let path = folder.path().display();
        let text = format!(
            "[databases]\n* = host={} port=5432\n[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {path}\n\
             auth_type = trust\nauth_file = {path}/users\npool_mode = {mode}\ndefault_pool_size = 3\nserver_round_robin = 1\n\
             logfile = {path}/log\n",
            world.server.socket.display()
        );
        std::fs::write(&configuration, text).unwrap();
        std::fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        // As whoever the server is: it refuses root, and the server's socket is closed to others.
        let user = std::fs::metadata(&world.server.socket).unwrap().uid().to_string();
        let mut command = Command::new(if is_root() { "setpriv" } else { pooler });
        if is_root() {
            command.args(["--reuid", &user, "--clear-groups", pooler]);
        }
        command.arg(&configuration);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let location = world.location().with_host(folder.path().to_str().unwrap()).with_port(6432);
        let programs = Programs::find(&location).unwrap();
        let socket = folder.path().join(".s.PGSQL.6432");
        while !socket.exists() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}",
                std::fs::read_to_string(folder.path().join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let result = pooler::connect(&location, &programs);
        match &result {
            Ok(_) => assert!(!refused, "{mode}"),
            Err(PostgresError::Pooled { .. }) => assert!(refused, "{mode}"),
            Err(error) => panic!("{mode}: {error}"),
        }
        drop(result);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
