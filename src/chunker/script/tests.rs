use super::*;
use proptest::prelude::*;

/// What a script that comes in pieces of `size` bytes holds.
fn read_in(script: &[u8], size: usize) -> Result<Option<ScriptContents>, ScriptFault> {
    let mut reader = Script::keeping(|table, _| table == "t");
    script.chunks(size.max(1)).for_each(|piece| reader.push(piece));
    reader.finish()
}

fn read(script: &str) -> Result<Option<ScriptContents>, ScriptFault> {
    read_in(script.as_bytes(), usize::MAX)
}

/// A script as `pg_dump` writes it, with this in it.
fn script(body: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict Xy1\n\n-- Dumped from database version 15.14 (Debian 15.14-1)\n\
         -- Dumped by pg_dump version 17.6\n\n-- Started on 2026-11-20 03:00:05 CET\n\nSET standard_conforming_strings = on;\n\
         {body}\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict Xy1\n\n"
    )
}

fn told(body: &str) -> ScriptContents {
    read(&script(body)).unwrap().unwrap_or_else(|| panic!("nothing is told of {body}"))
}

/// Schema, table, rows and bytes.
fn tables(contents: &ScriptContents) -> Vec<(&str, &str, Option<u64>, Option<u64>)> {
    contents.tables.iter().map(|t| (t.schema.as_str(), t.table.as_str(), t.rows, t.bytes)).collect()
}

const BODY: &str = r#"
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;


--
-- Name: EXTENSION "uuid-ossp"; Type: COMMENT; Schema: -; Owner:
--

COMMENT ON EXTENSION "uuid-ossp" IS 'generate UUIDs; -- PostgreSQL database dump';
CREATE EXTENSION hstore;
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$
COPY public.wrong (a) FROM stdin;
1
\.
-- Dumped from database version 1
SELECT '$x$ $' || $1; $_$;
CREATE FUNCTION public.g() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT CASE WHEN true THEN 1 ELSE 2 END;
 INSERT INTO public.wrong VALUES (1);
END;
CREATE RULE r AS ON INSERT TO public.v DO INSTEAD ( INSERT INTO public.wrong VALUES (2); SELECT 1;);
/* INSERT INTO public.wrong VALUES (3); /* ; */ ' */
COMMENT ON TABLE public.t IS E'it''s \'; INSERT INTO public.wrong VALUES (4); $a$ \\';
COMMENT ON TABLE public.t IS 'a \';
COPY public.t (a, b) FROM stdin;
\N	\\x
INSERT INTO public.wrong VALUES (5);
-- PostgreSQL database dump

\.


COPY "S.1"."line
feed "" and . dot" (id) FROM stdin;
\.

INSERT INTO public.i VALUES (1, 'a;b', '('), (2, E'\'', now());
INSERT INTO public.i (a, b) OVERRIDING SYSTEM VALUE VALUES
	(3, $$)$$),
	((4), (5));
INSERT INTO public.i VALUES (6) ON CONFLICT (a) DO NOTHING;
INSERT INTO public.none DEFAULT VALUES;
INSERT INTO public.elsewhere SELECT 1;
SELECT pg_catalog.lo_create('16404');
SELECT pg_catalog.lo_open('16404', 131072);
SELECT a$b$c, 1 - -1 FROM public.t; -- the end; really
"#;

#[test]
fn statements_are_told_from_what_looks_like_them() {
    let contents = told(BODY);
    let versions = (contents.server.as_str(), contents.client.as_str(), contents.started.as_str());
    assert_eq!(versions, ("15.14 (Debian 15.14-1)", "17.6", "2026-11-20 03:00:05"));
    assert_eq!(contents.extensions, ["hstore", "uuid-ossp"]);
    assert_eq!((contents.large_objects, contents.database.as_str()), (1, ""));
    let expected = [
        ("S.1", "line\nfeed \" and . dot", Some(0), Some(0)),
        ("public", "elsewhere", None, None),
        ("public", "i", Some(5), None),
        ("public", "none", Some(1), None),
        ("public", "t", Some(4), Some(7 + 37 + 28 + 1)),
    ];
    assert_eq!(tables(&contents), expected);
}

#[test]
fn the_pieces_make_no_difference() {
    let script = script(BODY);
    let whole = read(&script);
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(read_in(script.as_bytes(), size), whole, "{size}");
    }
    let crlf = script.replace('\n', "\r\n");
    let crlf = read(&crlf).unwrap().unwrap();
    assert_eq!(crlf.server, "15.14 (Debian 15.14-1)");
    let rows = |contents: &ScriptContents| contents.tables.iter().map(|table| table.rows).collect::<Vec<_>>();
    assert_eq!(rows(&crlf), rows(&whole.unwrap().unwrap()));
}

#[test]
fn a_script_that_was_cut_is_not_whole() {
    let script = script(BODY);
    let end = script.find(" complete\n").unwrap() + " complete".len();
    for at in (40..end).filter(|at| script.is_char_boundary(*at)) {
        assert!(read(&script[..at]).is_err(), "{:?}", &script[..at]);
    }
    assert!(read(&script[..end]).unwrap().is_some(), "nothing that matters is behind it");
    let row = script.find("INSERT INTO public.wrong VALUES (5)").unwrap();
    let fault = read(&script[..row]).unwrap_err();
    assert_eq!(fault, ScriptFault::InData { table: "public.t".into(), at: row as u64 });
    let message = fault.to_string();
    assert!(message.starts_with("the script ends in the middle of the data of public.t"), "{message}");
    let other = read(&script[..script.find("CREATE RULE").unwrap()]).unwrap_err().to_string();
    assert!(other.contains("'PostgreSQL database dump complete' isn't there"), "{other}");
}

#[test]
fn nothing_is_told_of_several_databases() {
    let both = [script("COPY public.a (b) FROM stdin;\n1\n\\.\n"), script("")].concat();
    assert_eq!(read(&both), Ok(None));
    assert!(read(&both[..both.len() - 80]).is_err(), "the second one was cut");
    let cluster = format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE a;\n\\connect template1\n\n{}\\connect b\n\n{}\
         --\n-- PostgreSQL database cluster dump complete\n--\n",
        script(""),
        script("")
    );
    assert_eq!(read(&cluster), Ok(None));
    let end = cluster.find("cluster dump complete").unwrap();
    assert!(read(&cluster[..end]).is_err(), "each database is whole, the script isn't");
    assert_eq!(read(&script("\\connect a\nSELECT 1;\n\\c b")), Ok(None));
    assert_eq!(read(&script("\\i other.sql")), Ok(None));
}

#[test]
fn the_database_is_told_by_what_makes_it() {
    let contents = told("CREATE DATABASE \"my wiki\" WITH TEMPLATE = template0;\n\n\\connect \"my wiki\"\n");
    assert_eq!(contents.database, "my wiki");
}

/// Before PostgreSQL 11 statements named no schema.
#[test]
fn the_search_path_names_the_schema() {
    let body = "SET search_path = app, pg_catalog;\nCOPY t (a) FROM stdin;\n1\n\\.\nINSERT INTO u VALUES (1);\n";
    assert_eq!(tables(&told(body)), [("app", "t", Some(1), Some(2)), ("app", "u", Some(1), None)]);
}

#[test]
fn rows_of_one_table_are_added_up() {
    let body = "COPY public.t (a) FROM stdin;\n1\n\\.\nCOPY public.t (a) FROM stdin;\n22\n\\.\n";
    assert_eq!(tables(&told(body)), [("public", "t", Some(2), Some(5))]);
    let mixed = format!("{body}INSERT INTO public.t VALUES (3);\n");
    assert_eq!(tables(&told(&mixed)), [("public", "t", Some(3), None)]);
}

#[test]
fn what_pg_dump_does_not_write_is_not_guessed_at() {
    let rows = "1\t'\n\\.\n";
    for body in [
        format!("COPY public.t FROM stdin WITH (FORMAT csv);\n{rows}"),
        format!("copy t from stdin;\n{rows}"),
        format!("COPY public.t ({}) FROM stdin;\n{rows}", "a, ".repeat(100_000)),
    ] {
        assert_eq!(read(&script(&body)), Ok(None), "{body:.60}");
    }
    // It gets lost in a string, but the end is there.
    assert_eq!(read(&script("SELECT 'a;\n")), Ok(None));
    assert!(read(&format!("{}--\n-- PostgreSQL database dump\n--\n", script("SELECT 'a;"))).is_err());
}

#[test]
fn whatever_comes_takes_little_memory() {
    let mut reader = Script::keeping(|table, _| table == "t");
    reader.push(script("").as_bytes());
    for n in 0..200_000 {
        reader.push(format!("COPY public.t{n} (a) FROM stdin;\n\\.\nCREATE EXTENSION e{n};\n").as_bytes());
    }
    for long in ["x", "'x", "\\x", "COPY x", "INSERT INTO \"x", "-- x", "/* x", "$x$", "\""] {
        reader.push(long.as_bytes());
        (0..1000).for_each(|_| reader.push(&[b'x'; 5000]));
    }
    let Script { lexer, facts, tail, .. } = &reader;
    assert!(lexer.kept() + tail.len() < 300 << 10, "{}", lexer.kept());
    assert!(facts.kept() < 5 << 20, "{}", facts.kept());
    assert_eq!(reader.finish(), Ok(None), "whole it was, and is too much to tell of");
}

#[test]
fn scripts_are_told_by_their_beginning() {
    let whole = script("");
    let restricted = format!("\\restrict abc\n\n{whole}");
    let cluster = "--\n-- PostgreSQL database cluster dump\n--\n";
    for head in [&whole, &restricted, &whole.replace('\n', "\r\n"), &format!("\u{feff}{whole}"), cluster] {
        assert!(is_script(head.as_bytes()), "{head}");
    }
    for head in [
        "",
        "--\n",
        "SELECT 1;\n-- PostgreSQL database dump\n",
        "-- PostgreSQL database dump complete\n",
        "-- MySQL dump",
    ] {
        assert!(!is_script(head.as_bytes()), "{head}");
    }
}

proptest! {
    #[test]
    fn anything_may_come(text in "[-aEI$'\"\\\\;()/*\n ]{0,60}", size in 1_usize..9) {
        let script = script(&text);
        prop_assert_eq!(read_in(script.as_bytes(), size), read(&script));
    }

    #[test]
    fn names_and_rows_come_back(schema: String, table: String, rows in prop::collection::vec("[ -~]{0,20}", 0..9)) {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let rows: Vec<String> = rows.iter().map(|row| row.replace('\\', "\\\\") + "\n").collect();
        let body = format!("COPY {}.{} (a) FROM stdin;\n{}\\.\n", quote(&schema), quote(&table), rows.concat());
        let contents = told(&body);
        let bytes = rows.concat().len() as u64;
        prop_assert_eq!(tables(&contents), [(&*schema, &*table, Some(rows.len() as u64), Some(bytes))]);
    }
}
