//! What `psql` and `pg_restore` say of a failure, without what they quote of the data.
//!
//! Behind the server's error they repeat the statement, which may set a password, and the row, which belongs to people. So only the line that says what went wrong is kept, and of that not the value.

use crate::snapshot::postgres::error::{clean, coded};

/// What both put before their own lines.
const PROGRAMS: [&str; 2] = ["psql:", "pg_restore:"];

/// Lines that repeat the data or the statement, whatever stands before them.
const ASIDE: [&str; 8] =
    ["LINE ", "QUERY:", "CONTEXT:", "DETAIL:", "LOCATION:", "STATEMENT:", "Command was:", "The command was:"];

/// What opens and closes a quotation in the languages that the server speaks.
const QUOTES: [char; 7] = ['"', '\'', '«', '»', '„', '“', '”'];

/// What a program said, on one line and fit for logs.
pub fn fit(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let (mut kept, mut aside) = (String::new(), false);
    for line in text.lines() {
        if PROGRAMS.iter().any(|program| line.starts_with(program)) {
            // What follows a message of the server is about data; what follows one of the program's own goes on with it.
            aside = line.contains(":  ");
        } else {
            aside |= ASIDE.iter().any(|aside| line.starts_with(aside));
            if aside {
                continue;
            }
        }
        kept.push_str(&message(line));
        kept.push('\n');
    }
    clean(kept.as_bytes())
}

/// `… ERROR:  22P02: message`, of which the message isn't kept as it is.
fn message(line: &str) -> String {
    let Some((before, message)) = line.split_once(":  ") else { return without_values(line) };
    let message = match coded(message) {
        // Class 22 is about data.
        Some((code, message)) if code.starts_with("22") => message.split_once(": ").map_or(message, |(text, _)| text),
        Some((_, message)) => until_value(message),
        None => until_value(message),
    };
    format!("{before}: {}", without_values(message))
}

/// Until a colon that no words follow.
fn until_value(message: &str) -> &str {
    let value = message
        .match_indices(": ")
        .find(|(at, colon)| message[at + colon.len()..].chars().next().is_none_or(|first| !first.is_alphabetic()));
    value.map_or(message, |(at, _)| &message[..at])
}

/// Quotations that can't be names are left out.
fn without_values(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        kept.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let end = rest.find('"').unwrap_or(rest.len());
        let name = &rest[..end];
        let is_name = name.len() <= 63 && !name.chars().any(|c| c.is_whitespace() || QUOTES.contains(&c));
        kept.push_str(if is_name && end < rest.len() { name } else { "…" });
        kept.push('"');
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_statements_stay_out_of_messages() {
        // Messages that reached the log with a row's values and with the password of a role.
        for (words, expected) in [
            (
                "psql:<stdin>:9: ERROR:  22P02: invalid input syntax for type integer: \"hunter2\"\nCONTEXT:  COPY t, line 2, column a: \"hunter2\"\nLOCATION:  pg_strtoint32, numutils.c:320\n",
                "psql:<stdin>:9: ERROR: invalid input syntax for type integer",
            ),
            (
                "psql:<stdin>:9: FEHLER:  22P02: ungültige Eingabesyntax für Typ integer: »hunter2«\nKONTEXT:  COPY t, Zeile 2: »hunter2«\n",
                "psql:<stdin>:9: FEHLER: ungültige Eingabesyntax für Typ integer",
            ),
            (
                "psql:<stdin>:3: ERROR:  42601: syntax error at or near \"hunter2 and more\"\nLINE 1: CREATE ROLE x PASSWORD 'hunter2'\n    ^\n",
                "psql:<stdin>:3: ERROR: syntax error at or near \"…\"",
            ),
            (
                "psql:<stdin>:3: ERROR:  42601: unterminated quoted string at or near \"'hunter2\nhunter2\nLINE 1: x\n",
                "psql:<stdin>:3: ERROR: unterminated quoted string at or near \"…\"",
            ),
            (
                "psql:<stdin>:4: ERROR:  23505: duplicate key value violates unique constraint \"t_pkey\"\nDETAIL:  Key (a)=(hunter2) already exists.\n",
                "psql:<stdin>:4: ERROR: duplicate key value violates unique constraint \"t_pkey\"",
            ),
            (
                "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 215; 1259 16390 TABLE t postgres\npg_restore: error: could not execute query: ERROR:  role \"x\" does not exist\nCommand was: CREATE ROLE y PASSWORD 'hunter2';\nhunter2\n\n",
                "pg_restore: while PROCESSING TOC:; pg_restore: from TOC entry 215; 1259 16390 TABLE t postgres; pg_restore: error: could not execute query: ERROR: role \"x\" does not exist",
            ),
            (
                "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"hunter2\"\nCONTEXT:  COPY t, line 1, column a: \"hunter2\"\n",
                "pg_restore: error: COPY failed for table \"t\": ERROR: invalid input syntax for type integer",
            ),
        ] {
            assert_eq!(fit(words.as_bytes()), expected);
        }
    }

    #[test]
    fn what_went_wrong_is_still_said() {
        for words in [
            "psql: error: connection to server on socket \"/run/x/.s.PGSQL.5432\" failed: No such file or directory; Is the server running locally?",
            "sh: 1: psql: not found",
            "psql:<stdin>:3: ERROR: could not open extension control file \"/usr/share/x.control\": No such file or directory",
            "pg_restore: error: unsupported version (1.16) in file header",
        ] {
            let raw = words.replace("; ", "\n\t").replace("ERROR: ", "ERROR:  58P01: ");
            assert_eq!(fit(raw.as_bytes()), words);
        }
    }
}
