//! Scripts of SQL on their way to `psql`: they restore into the one new database, as a whole or not at all.
//!
//! `psql` obeys commands that begin with a backslash: `\connect` in the middle of a dump of several databases would restore the rest into another database than the one that was
//! meant, `\!` runs programs here. A `psql` that knows `\restrict` is told to refuse them all. For an older one nothing but this filter stands between, which reads the script as `psql` does: strings, comments
//! and COPY data may hold backslashes, elsewhere they are refused. It stops accidents and every trick that we know of.
//!
//! It's no sandbox. The server runs what the script says with all that the user may do there: a dump of somebody whom you don't trust is to be restored by a user who may do little.

mod lexer;
mod rules;
mod state;

use super::error::DatabaseError;
use crate::snapshot::postgres::programs::Version;
use lexer::{Event, Lexer, Next, Unclear};
use rules::{Rules, Verdict};
use std::io::{self, Write};

/// Longest part of the script that is repeated in a message.
const MOST_COMMAND: usize = 200;

/// Most bytes of a statement that are held back until it's known whether it is passed on.
const MOST_HELD: usize = 64 << 10;

/// What `pg_dump` writes at the beginning and at the end.
const HEAD: &[u8] = b"PostgreSQL database dump";
const FOOT: &[u8] = b"PostgreSQL database dump complete";

/// Whether a `psql` can be told to refuse all commands that begin with a backslash.
pub fn knows_restrict(psql: Version) -> bool {
    let since = match psql.major() {
        ..13 => return false,
        13 => 22,
        14 => 19,
        15 => 14,
        16 => 10,
        17 => 6,
        _ => 0,
    };
    psql.0 % 10_000 >= since
}

/// Passes a script on.
pub struct Script<W> {
    inner: W,
    lexer: Lexer,
    rules: Rules,
    /// What was looked at and wasn't passed on yet.
    out: Vec<u8>,
    /// From where on it is held back.
    held: Option<usize>,
    line: u64,
    /// Whether the comment that a dump begins with was seen, and the one that it ends with wasn't.
    open: bool,
    refused: Option<DatabaseError>,
}

impl<W: Write> Script<W> {
    /// Passes on to `inner`: to a `psql` of this version, for a server of this major version.
    pub fn new(inner: W, psql: Version, server: u32) -> Self {
        Self {
            inner,
            lexer: Lexer::new(psql.major(), !knows_restrict(psql)),
            rules: Rules { server },
            out: Vec::new(),
            held: None,
            line: 1,
            open: false,
            refused: None,
        }
    }

    /// Why it was refused, if it was.
    pub fn refused(&mut self) -> Option<DatabaseError> {
        self.refused.take()
    }

    /// The end of the script, which has to be complete: to `psql` the end of its input would be the end of COPY's data, and of the transaction.
    pub fn finish(&mut self) -> io::Result<()> {
        let event = self.lexer.finish();
        self.handle(event)?;
        let why = if !self.lexer.may_end() {
            "in the middle of a statement or of its data"
        } else if self.open {
            "without 'PostgreSQL database dump complete'"
        } else {
            self.release()?;
            return self.inner.flush();
        };
        self.refused = Some(DatabaseError::CutOff { line: self.line, why });
        Err(io::ErrorKind::InvalidData.into())
    }

    fn refuse(&mut self, command: &[u8]) -> io::Error {
        let text = String::from_utf8_lossy(&command[..command.len().min(MOST_COMMAND)]);
        let command = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
        self.refused = Some(DatabaseError::Script { line: self.line, command });
        io::ErrorKind::InvalidData.into()
    }

    /// A command of psql: those that newer dumps begin and end with are left out, because we have our own key or none.
    fn command(&mut self, command: &[u8]) -> io::Result<()> {
        let word = command.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if [b"\\restrict".as_slice(), b"\\unrestrict"].contains(&word) && self.lexer.may_end() {
            return Ok(());
        }
        Err(self.refuse(command))
    }

    /// At the end of a statement, which is passed on with its semicolon or left out.
    fn statement(&mut self) -> io::Result<()> {
        match (self.rules.judge(self.lexer.text()), self.held.take()) {
            (Verdict::Pass { next, escapes }, _) => {
                self.out.push(b';');
                self.lexer.begin(next, escapes);
            }
            (Verdict::LeaveOut, Some(held)) => {
                self.out.truncate(held);
                self.lexer.begin(Next::Statement, None);
            }
            // Longer than what is held back.
            (Verdict::LeaveOut, None) => return Err(self.refuse(b"BEGIN")),
            (Verdict::Refuse(what), _) => return Err(self.refuse(what.as_bytes())),
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Nothing | Event::CommandBegins | Event::Statement => {}
            Event::Command(command) => self.command(&command)?,
            Event::Comment(comment) => match comment.trim_ascii() {
                HEAD => self.open = true,
                FOOT => self.open = false,
                _ => {}
            },
        }
        Ok(())
    }

    /// Passes on all that isn't held back.
    fn release(&mut self) -> io::Result<()> {
        let end = self.held.unwrap_or(self.out.len());
        self.inner.write_all(&self.out[..end])?;
        self.out.drain(..end);
        self.held = self.held.map(|_| 0);
        Ok(())
    }

    /// Holds back what may be left out.
    fn hold(&mut self, before: usize) {
        let text = self.lexer.text();
        if self.held.is_none() && text.len() != 1 {
            return;
        }
        if text.is_empty() || !self.rules.holds(text) {
            self.held = None;
        } else {
            self.held = self.held.or(Some(before));
        }
        let Some(held) = self.held else { return };
        if self.rules.is_dropped(text) {
            self.out.truncate(held);
        } else if self.out.len() - held > MOST_HELD {
            self.held = None;
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.contains(&0) {
            // To psql the line would end there.
            return Err(self.refuse(b"(a NUL)"));
        }
        let mut at = 0;
        while at < bytes.len() {
            let skipped = self.lexer.skip(&bytes[at..]);
            self.out.extend_from_slice(&bytes[at..at + skipped]);
            at += skipped;
            let Some(&byte) = bytes.get(at) else { break };
            at += 1;
            self.byte(byte)?;
        }
        self.release()
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        let before = self.out.len();
        let in_command = self.lexer.in_command();
        match self.lexer.step(byte) {
            Ok(Event::Statement) => self.statement()?,
            Ok(event) => {
                if !in_command && event != Event::CommandBegins {
                    self.out.push(byte);
                    self.hold(before);
                }
                self.handle(event)?;
            }
            Err(Unclear(text)) => return Err(self.refuse(&text)),
        }
        self.line += u64::from(byte == b'\n');
        Ok(())
    }
}

impl<W: Write> Write for Script<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A psql that obeys all commands.
    const OLD: Version = Version(150_013);

    /// What passes of a script given in pieces of `size` bytes, or the line and command that it was refused for.
    fn pass(script: &str, server: u32, size: usize) -> Result<String, (u64, String)> {
        pass_to(OLD, script, server, size)
    }

    fn pass_to(psql: Version, script: &str, server: u32, size: usize) -> Result<String, (u64, String)> {
        let mut out = Vec::new();
        let mut filter = Script::new(&mut out, psql, server);
        let mut pieces = script.as_bytes().chunks(size.max(1));
        let result = pieces.try_for_each(|piece| filter.write_all(piece)).and_then(|()| filter.finish());
        match (result, filter.refused()) {
            (Ok(()), None) => Ok(String::from_utf8(out).unwrap()),
            (Err(_), Some(DatabaseError::Script { line, command })) => Err((line, command)),
            (Err(_), Some(DatabaseError::CutOff { line, why })) => Err((line, why.to_owned())),
            other => panic!("{other:?}"),
        }
    }

    const ORDINARY: &str = r#"-- Dumped \connect by
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
/* \c /* nested */ \c */
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '\connect' || $1; $x$ \! $_$;
CREATE FUNCTION g() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT CASE WHEN true THEN 1 ELSE 2 END;
 SELECT 2;
END;
INSERT INTO t VALUES ('it''s \', E'\'\\c', "a\b", U&'\0041', B'01', a[1:2], 1.5e10, '' COLLATE "C");
COMMENT ON TABLE t IS 'one'
  ' string';
COPY public."t" (a, b) FROM stdin;
\N	\\x
\connect other
\.x
\.

SELECT 1 - -1, a$b$c FROM t; -- \!
"#;

    #[test]
    fn ordinary_scripts_pass_as_they_are() {
        let script = ORDINARY;
        for size in [1, 7, 10_000] {
            assert_eq!(pass(script, 15, size).as_deref(), Ok(script), "{size}");
        }
    }

    #[test]
    fn commands_are_refused_wherever_they_stand() {
        for (script, line, command) in [
            ("SELECT 1;\n\\connect wiki\nSELECT 2;", 2, "\\connect wiki"),
            ("\\c wiki", 1, "\\c wiki"),
            ("SELECT 1 \\! rm -rf x\n", 1, "\\! rm -rf x"),
            ("SELECT '\\' \\gexec\n", 1, "\\gexec"),
            ("COPY t FROM stdin;\n1\n\\.\n\\connect x\n", 4, "\\connect x"),
            ("COPY t FROM stdin; SELECT 1;\n", 1, "S"),
            ("SET x = $$a$$; \\q\n", 1, "\\q"),
            ("CREATE  DATABASE wiki;\n", 1, "CREATE DATABASE WIKI"),
            ("-- x\ndrop database wiki;\n", 2, "DROP DATABASE WIKI"),
            ("/*x*/ CREATE/* y */DATABASE wiki;", 1, "CREATE DATABASE WIKI"),
            ("SELECT 1 \\restrict x\n", 1, "\\restrict x"),
        ] {
            for size in [1, 10_000] {
                assert_eq!(pass(script, 15, size), Err((line, command.to_owned())), "{script}");
            }
        }
        assert!(pass("SET standard_conforming_strings = off;\nSELECT '\\'\\c';", 15, 5).is_ok());
        assert!(pass("SELECT '\\'\\c';\n", 15, 5).is_err());
    }

    #[test]
    fn what_psql_reads_otherwise_than_it_looks_runs_no_program() {
        // Scripts that ran programs on the host although the filter had read all of them: psql ends comments at carriage returns, opens strings behind dollar signs and numbers, begins no data for a COPY
        // that sends them, ends no statement in parentheses, and reads what goes on with a string on another line as a string of its own.
        for script in [
            "-- x\r\\! touch x\n",
            "SELECT $E'\\' '\\! touch x\n",
            "COPY (SELECT a FROM stdin ) TO STDOUT;\n\\! touch x\n\\.\n",
            "SELECT (;COPY x FROM STDIN;\n\\! touch x\n\\.\n);\n",
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; COPY x FROM STDIN;\n\\! touch x\n\\.\nEND;",
            "SELECT E'a'\n'\\'\\! touch x\n",
            "SELECT E'a' -- x\n '\\'\\! touch x\n';",
            "SELECT 1$a$ ' $a$ \\! touch x\n';",
            "SELECT $1$a$ ' $a$ \\! touch x\n';",
            "SELECT 1E'\\' '\\! touch x\n",
            "SELECT 1.e'\\' '\\! touch x\n",
            "SELECT a:E'\\' '\\! touch x\n",
            "SELECT E'\u{e9}\\' '\\! touch x\n",
            "SELECT $\u{e9}$ $\u{e9}$;",
            "SET standard_conforming_strings = off; SELECT B'\\' \\! touch x\n';",
            "SET LOCAL standard_conforming_strings = off; SELECT 1;",
            "SELECT 1; -- \0\n",
            "SELECT E'a'\u{b}'\\'\\! touch x\n",
        ] {
            for size in [1, 10_000] {
                assert!(pass(script, 15, size).is_err(), "{script:?}");
            }
        }
        let body = "CREATE FUNCTION begin() RETURNS int; COPY x FROM STDIN;\n'\n\\.\n\\! touch x\n';";
        assert!(pass_to(Version(130_001), body, 13, 100).is_err(), "older programs know no bodies");
    }

    #[test]
    fn a_script_that_was_cut_is_incomplete() {
        // The first half of a dump was restored and called a success: to psql the end of its input ends COPY's data, and the transaction with COMMIT.
        let whole = format!(
            "--\n-- PostgreSQL database dump\n--\n\n{ORDINARY}\n--\n-- PostgreSQL database dump complete\n--\n\n"
        );
        assert_eq!(pass(&whole, 15, 100).as_deref(), Ok(whole.as_str()));
        let crlf = whole.replace('\n', "\r\n");
        assert_eq!(pass(&crlf, 15, 100).as_deref(), Ok(crlf.as_str()));
        let end = whole.find(" complete").unwrap();
        for cut in (35..=end).filter(|at| whole.is_char_boundary(*at)) {
            assert!(pass(&whole[..cut], 15, 100).is_err(), "{:?}", &whole[..cut]);
        }
        for cut in
            ["COPY t FROM stdin;\n1\n2\n", "COPY t FROM stdin;", "SELECT 1", "SELECT 1; SELECT '", "/* x", "SELECT ("]
        {
            assert!(pass(cut, 15, 1).is_err(), "{cut}");
        }
        for whole in ["SELECT 1; -- x", "SELECT 1;\n", "COPY t FROM stdin;\n1\n\\.\n"] {
            assert!(pass(whole, 15, 1).is_ok(), "{whole}");
        }
    }

    #[test]
    fn many_columns_hide_no_data() {
        // A dump of a table with 160 columns was refused: FROM stdin stood behind what was kept of the statement.
        let columns: Vec<String> = (0..160).map(|n| format!("a_column_with_quite_a_long_name_{n}")).collect();
        let script = format!("COPY t ({}) FROM stdin;\n\\N\n\\.\n", columns.join(", "));
        assert_eq!(pass(&script, 15, 1000).as_deref(), Ok(script.as_str()));
    }

    #[test]
    fn what_ends_the_transaction_or_is_unknown_to_older_servers_is_left_out() {
        // COMMIT behind large objects, as pg_dump writes it, made all statements until then lasting, whatever came later.
        let script = "\\restrict Abc\nSET transaction_timeout = 0;\nBEGIN;\n\nSELECT 1;\n\nCOMMIT;\nCOMMENT ON DATABASE wiki IS 'a;b';\nbegin_it();\n\\unrestrict Abc\n";
        for size in [1, 3, 10_000] {
            assert_eq!(pass(script, 15, size).unwrap(), "\n\n\nSELECT 1;\n\n\n\nbegin_it();\n");
            let newer = "SET transaction_timeout = 0;\n\n\nSELECT 1;\n\n\n\nbegin_it();\n";
            assert_eq!(pass(script, 17, size).unwrap(), newer);
            assert_eq!(pass("SET /* x */ transaction_timeout -- y\n = 0;", 15, size).unwrap(), "");
        }
    }

    #[test]
    fn the_key_is_given_to_those_that_know_it() {
        let known = |version| knows_restrict(Version(version));
        assert!(known(130_022) && known(150_014) && known(160_010) && known(170_006) && known(180_000));
        assert!(!known(90_624) && !known(120_022) && !known(130_021) && !known(140_018) && !known(170_005));
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(script in "[-aBEGINbegin'\"$/*;()\\\\\n .]{0,40}", size in 1_usize..7) {
            prop_assert_eq!(pass(&script, 15, size), pass(&script, 15, 100));
        }

        #[test]
        fn strings_and_data_pass(text in "[ -~\n]{0,40}", row in "[ -~]{0,20}") {
            let row = row.replace('\\', "\\\\");
            let quoted = text.replace('\'', "''");
            let script = format!("INSERT INTO t VALUES ('{quoted}');\nCOPY t FROM stdin;\n{row}\n\\.\nSELECT $z${text}$z$;\n");
            prop_assume!(!text.contains("$z$") && !text.ends_with('$') && !text.ends_with("$z"));
            prop_assert_eq!(pass(&script, 15, 10), Ok(script.clone()));
        }
    }
}
