//! Which statements of a script are passed on: those that stay in the new database, and in the one transaction that makes it.
//!
//! Roles and settings of databases belong to the whole server. A script that changed them would change what is live before it is known whether the restore succeeds.

use super::lexer::Next;

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is passed on.
    Pass {
        next: Next,
        /// Whether backslashes in plain strings escape from now on, if it says so.
        escapes: Option<bool>,
    },
    /// It isn't, and does no harm.
    LeaveOut,
    /// The script can't be restored because of it.
    Refuse(String),
}

/// What `pg_dump` writes around large objects, and others around everything: psql's own transaction takes their place.
const TRANSACTION: [&str; 9] = [
    "BEGIN",
    "BEGIN WORK",
    "BEGIN TRANSACTION",
    "START TRANSACTION",
    "COMMIT",
    "COMMIT WORK",
    "COMMIT TRANSACTION",
    "END",
    "END TRANSACTION",
];

/// Programs before version 11 write it into every script, with the name of the database that was dumped.
const COMMENT: &str = "COMMENT ON DATABASE ";

/// Newer programs write it, and servers before version 17 don't know it.
const TIMEOUT: &str = "SET TRANSACTION_TIMEOUT ";

/// Kinds of objects that belong to the whole server.
const SHARED: [&str; 6] = ["DATABASE", "ROLE", "USER", "GROUP", "TABLESPACE", "PARAMETER"];

/// What is known of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The server's major version.
    pub(super) server: u32,
}

impl Rules {
    /// Whether a statement that begins like this may be left out, so that it has to be held back.
    pub(super) fn holds(self, text: &[u8]) -> bool {
        // The last character may be the first of a comment.
        let text = text.strip_suffix(b"-").or(text.strip_suffix(b"/")).unwrap_or(text);
        let begins = |whole: &&str| whole.as_bytes().starts_with(text.trim_ascii_end());
        TRANSACTION.iter().any(begins) || self.prefixes().any(|prefix| begins(&prefix)) || self.is_dropped(text)
    }

    /// Whether a statement that begins like this is left out, however it ends.
    pub(super) fn is_dropped(self, text: &[u8]) -> bool {
        self.prefixes().any(|prefix| text.starts_with(prefix.as_bytes()))
    }

    fn prefixes(self) -> impl Iterator<Item = &'static str> {
        [Some(COMMENT), (self.server < 17).then_some(TIMEOUT)].into_iter().flatten()
    }

    /// What is done with a whole statement.
    pub(super) fn judge(self, text: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(text);
        let text = text.trim();
        if TRANSACTION.contains(&text) || self.is_dropped(text.as_bytes()) {
            return Verdict::LeaveOut;
        }
        let words = words(text);
        let pass = |next, escapes| Verdict::Pass { next, escapes };
        match words.as_slice() {
            ["COPY", rest @ ..] if takes_data(rest) => pass(Next::Data, None),
            ["SET", "STANDARD_CONFORMING_STRINGS", .., value] => match *value {
                "ON" => pass(Next::Statement, Some(false)),
                "OFF" => pass(Next::Statement, Some(true)),
                _ => Verdict::Refuse(brief(&words)),
            },
            ["SET" | "RESET", rest @ ..] if rest.contains(&"STANDARD_CONFORMING_STRINGS") => {
                Verdict::Refuse(brief(&words))
            }
            words if is_refused(words) => Verdict::Refuse(brief(words)),
            _ => pass(Next::Statement, None),
        }
    }
}

/// The words of a statement, and its other characters one by one.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if is_name(first) { rest.find(|c| !is_name(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// Its beginning, for a message.
fn brief(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().take(4).copied().take_while(|word| *word != "\"" && *word != "'").collect();
    words.join(" ")
}

/// `table (columns) FROM STDIN …`, of which what is in parentheses isn't there.
fn takes_data(words: &[&str]) -> bool {
    let Some(from) = words.iter().position(|word| *word == "FROM") else { return false };
    let (table, rest) = words.split_at(from);
    let table = table.strip_suffix(&["(", ")"]).unwrap_or(table);
    let is_name = |word: &&str| word.starts_with(|c: char| c != '(' && c != ')' && c != '\'');
    !table.is_empty() && table.iter().all(is_name) && rest.get(1) == Some(&"STDIN")
}

fn is_refused(words: &[&str]) -> bool {
    let shared = |word: Option<&&str>| word.is_some_and(|word| SHARED.contains(word));
    match words {
        ["COPY" | "COMMIT" | "ROLLBACK" | "ABORT" | "BEGIN" | "END", ..]
        | ["START" | "PREPARE", "TRANSACTION", ..]
        | ["REASSIGN" | "DROP", "OWNED", ..]
        | ["ALTER", "SYSTEM", ..] => true,
        // Users of foreign servers.
        ["CREATE" | "ALTER" | "DROP", "USER", "MAPPING", ..] => false,
        ["CREATE" | "ALTER" | "DROP", kind, ..] | ["COMMENT", "ON", kind, ..] => shared(Some(kind)),
        ["SECURITY", "LABEL", rest @ ..] => {
            let on = rest.iter().position(|word| *word == "ON");
            on.is_some_and(|on| shared(rest.get(on + 1)))
        }
        // Without ON it is about members of roles.
        ["GRANT" | "REVOKE", rest @ ..] => match rest.iter().position(|word| *word == "ON") {
            Some(on) => shared(rest.get(on + 1)),
            None => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Verdict {
        Rules { server: 15 }.judge(text.as_bytes())
    }

    #[test]
    fn nothing_that_belongs_to_the_whole_server_is_changed() {
        // A script that ended the transaction and set a parameter of the live database did so although the restore failed later.
        for refused in [
            "ALTER DATABASE WIKI SET WORK_MEM = '",
            "ALTER DATABASE\" SET",
            "CREATE DATABASE X",
            "DROP DATABASE X",
            "CREATE ROLE X",
            "ALTER USER X PASSWORD '",
            "DROP GROUP X",
            "GRANT CONNECT, TEMPORARY ON DATABASE WIKI TO X",
            "REVOKE ALL ON DATABASE \" FROM PUBLIC",
            "REVOKE GRANT OPTION FOR ALL ON TABLESPACE X FROM Y",
            "GRANT \" TO X",
            "GRANT ADMINS TO X",
            "COMMENT ON ROLE X IS '",
            "COMMENT ON DATABASE\" IS '",
            "SECURITY LABEL FOR X ON DATABASE WIKI IS '",
            "REASSIGN OWNED BY X TO Y",
            "DROP OWNED BY X",
            "ROLLBACK",
            "ABORT",
            "COMMIT PREPARED '",
            "PREPARE TRANSACTION '",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "COMMIT AND CHAIN",
            "SET STANDARD_CONFORMING_STRINGS = '",
            "COPY () TO STDOUT",
            "COPY X FROM '",
            "COPY X FROM PROGRAM '",
        ] {
            assert!(matches!(judge(refused), Verdict::Refuse(_)), "{refused}");
        }
        for passed in [
            "CREATE USER MAPPING FOR X SERVER Y OPTIONS ()",
            "GRANT SELECT, INSERT() ON TABLE PUBLIC.T TO X",
            "ALTER DEFAULT PRIVILEGES FOR ROLE X GRANT ALL ON TABLES TO Y",
            "COMMENT ON TABLE X IS '",
            "CREATE TABLE ROLE ()",
            "SET ROLE X",
            "PREPARE X AS SELECT",
            "DROP TABLE DATABASE",
        ] {
            assert_eq!(judge(passed), Verdict::Pass { next: Next::Statement, escapes: None }, "{passed}");
        }
    }

    #[test]
    fn transactions_and_what_other_versions_write_is_left_out() {
        for (text, server, left_out) in [
            ("BEGIN", 15, true),
            ("COMMIT ", 15, true),
            ("SET TRANSACTION_TIMEOUT = 0", 16, true),
            ("SET TRANSACTION_TIMEOUT = 0", 17, false),
            ("COMMENT ON DATABASE X IS '", 17, true),
        ] {
            let rules = Rules { server };
            assert_eq!(rules.judge(text.as_bytes()) == Verdict::LeaveOut, left_out, "{text}");
            assert!(!left_out || (1..=text.len()).all(|end| rules.holds(&text.as_bytes()[..end])), "{text}");
        }
        assert!(!Rules { server: 15 }.holds(b"SELECT"));
    }

    #[test]
    fn data_follow_only_a_copy_from_standard_input() {
        for text in ["COPY T FROM STDIN", "COPY PUBLIC.\" () FROM STDIN WITH CSV", "COPY \".\"() FROM STDIN WITH ()"] {
            assert_eq!(judge(text), Verdict::Pass { next: Next::Data, escapes: None }, "{text}");
        }
    }
}
