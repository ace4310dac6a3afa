//! What other programs say.

use super::put;

/// Files beside dumps, behind the size of the dump.
const SIDECARS: &[&str] = &[
    r#"{"filename": "a.dump", "sizeBytes": 7, "sha256": "sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB", "kid": null, "v": true}"#,
    r#"{"file": "/var/backup/a.dump", "size": " 8 ", "sha256sum": "6161616161616161616161616161616161616161616161616161616161616161  a.dump", "x": [1.5e3, {}]}"#,
    r#"{"fileName": "..", "size_bytes": -1, "sha256": "sha256-q80="}"#,
    "[]",
];
const CONTAINERS: &str = r#"[{"Id":"c1","Name":"/wiki-db-1","Image":"sha256:aa","Config":{"Image":"postgres:16","Labels":{"com.docker.compose.service":"db"}}},{"Name":"/wiki-app-1","Image":"sha256:bb","Config":{"Image":"x/wiki:stable","Labels":{"com.docker.compose.service":"app","org.opencontainers.image.version":"2.4.1"}}},{"Name":"x","Image":"","Config":{"Image":"","Labels":null}}]"#;
const IMAGES: &str =
    r#"[{"Id":"sha256:aa","RepoDigests":["postgres@sha256:11"]},{"Id":"sha256:bb","RepoDigests":[]},{"Id":""}]"#;
/// Answers of psql, behind their limit.
const ANSWERS: &[&[u8]] = &[
    b"\xff\x01{\"n\":1}\n\n{\"n\":2}\ndone\nmore\n",
    b"\x0a\0done\n",
    b"\x04\0done\n",
    b"\xff\0done",
    b"\xff\0\ndone \n",
];
/// Messages of psql and `pg_restore`.
const WORDS: &[&str] = &[
    "psql:<stdin>:12: ERROR:  42P01: relation \"x\" does not exist\nLINE 1: SELECT * FROM x\n                      ^\nHINT:  none\nLOCATION:  parserOpenTable, parse_relation.c:1392\n",
    "psql: error: connection to server on socket \"/x\" failed: No such file\n\tIs it?\n",
    "psql:<stdin>:9: FEHLER:  22P02: ung\u{fc}ltige Eingabe: \u{bb}x\u{ab}\nKONTEXT:  COPY t, Zeile 2: \u{bb}x\u{ab}\n",
    "pg_restore: while PROCESSING TOC:\npg_restore: error: could not execute query: ERROR:  role \"x\" does not exist\nCommand was: CREATE ROLE y PASSWORD 'x y';\nx\n\n",
    "psql:<stdin>:3: ERROR:  42601: unterminated quoted string at or near \"'x\ny\nDETAIL:  Key (a)=(1)\n",
];
/// Lines of a search for programs, and versions.
const PROGRAMS: &[&str] = &[
    "/usr/lib/postgresql/15/bin/pg_dump\tpg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)",
    "psql\tpsql (PostgreSQL) 18beta1",
    "9.6.24",
    "9.600",
    "/x\ty\t",
];

pub(super) fn write() {
    for text in SIDECARS {
        put("told", &[&[0, 7, 0], text.as_bytes()].concat());
    }
    let length = u16::try_from(CONTAINERS.len()).unwrap_or_default().to_le_bytes();
    for (length, images) in [(length, IMAGES), (length, "[]"), ([2, 0], "[]{}")] {
        let containers = if length == [2, 0] { "" } else { CONTAINERS };
        put("told", &[&[1][..], &length, containers.as_bytes(), images.as_bytes()].concat());
    }
    for answer in ANSWERS {
        put("told", &[&[2], *answer].concat());
    }
    for words in WORDS {
        put("told", &[&[3], words.as_bytes()].concat());
    }
    for line in PROGRAMS {
        put("told", &[&[4], line.as_bytes()].concat());
    }
}
