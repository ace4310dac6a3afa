//! Scripts of `pg_dump`, plain text: what is in them.
//!
//! | noun | meaning |
//! | --- | --- |
//! | [`is_script`] | whether a stream begins like one |
//! | [`Script`] | what a script that is pushed says and holds |
//! | [`ScriptContents`] | what was found |
//!
//! Nothing here decides how a script is cut. It's read as `psql` reads it, as far as it takes to tell statements from what stands in strings, comments and data; where that gets
//! lost, nothing is told. Memory: below 15 MiB, whatever comes.

mod data;
mod facts;
mod inserts;
mod lexer;

use crate::chunker::archive::copy::{Keeper, Wanted};
use data::Data;
use facts::Facts;
pub use facts::{ScriptContents, ScriptTable};
use lexer::{Lexer, Token};

/// What `pg_dump` and `pg_dumpall` begin a script with, and what stands at its end.
const HEAD: &str = "PostgreSQL database dump";
const FOOT: &str = "PostgreSQL database dump complete";
const CLUSTER_HEAD: &str = "PostgreSQL database cluster dump";
const CLUSTER_FOOT: &str = "PostgreSQL database cluster dump complete";
/// Bytes at the end of a script in which that is looked for. A line of `\unrestrict` may follow it.
const TAIL: usize = 512;

/// Whether a stream that begins like this is a script of `pg_dump` or `pg_dumpall`: nothing but comments and commands of `psql` stand before the line that says so.
pub fn is_script(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let title = lines.find(|line| is_title(line) || !(line.is_empty() || line.starts_with(b"--") || line[0] == b'\\'));
    title.is_some_and(is_title)
}

/// Whether what a script ends with is what `pg_dump` writes last.
fn ends_with_foot(tail: &[u8]) -> bool {
    let mut lines = tail.rsplit(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let last = lines.find(|line| !(line.is_empty() || *line == b"--" || line[0] == b'\\'));
    let text = last.and_then(|line| line.strip_prefix(b"-- "));
    text.is_some_and(|text| text == FOOT.as_bytes() || text == CLUSTER_FOOT.as_bytes())
}

fn is_title(line: &[u8]) -> bool {
    let text = line.strip_prefix(b"-- ");
    text.is_some_and(|text| text == HEAD.as_bytes() || text == CLUSTER_HEAD.as_bytes())
}

/// Why a script isn't a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// What `pg_dump` writes last isn't there.
    #[error("the script ends too early, after {at} bytes: '{FOOT}' isn't there")]
    Truncated {
        /// Its length, in bytes.
        at: u64,
    },
    /// As before, in the data of a table.
    #[error("the script ends in the middle of the data of {table}, after {at} bytes")]
    InData {
        /// The table, with its schema if that is known.
        table: String,
        /// The script's length, in bytes.
        at: u64,
    },
}

/// Reads a script that is pushed.
#[derive(Debug)]
pub struct Script {
    lexer: Lexer,
    facts: Facts,
    /// The data that is being read.
    data: Option<Data>,
    /// The last bytes.
    tail: Vec<u8>,
    /// All bytes so far.
    bytes: u64,
    /// Keeps rows that somebody wants to know: of COPY; `facts` has those of INSERT.
    keeper: Keeper,
}

impl Script {
    /// At the start of a script, of which the rows of tables that are wanted are kept, in [`ScriptContents::kept`].
    pub fn keeping(wanted: Wanted) -> Self {
        let (lexer, facts) = (Lexer::default(), Facts::new(wanted));
        Self { lexer, facts, data: None, tail: Vec::new(), bytes: 0, keeper: Keeper::new(wanted) }
    }

    /// Takes more bytes.
    pub fn push(&mut self, mut input: &[u8]) {
        self.bytes += input.len() as u64;
        self.keep_tail(input);
        loop {
            if let Some(data) = &mut self.data {
                let before = input;
                let has_ended = data.take(&mut input);
                self.keeper.add(&before[..before.len() - input.len()]);
                if !has_ended {
                    return;
                }
                self.keeper.end(data.around());
                self.facts.copied(data);
                self.data = None;
            }
            match self.lexer.next(&mut input) {
                Some(token) => self.token(token),
                None => return,
            }
        }
    }

    /// Ends the script: what is in it, or why it isn't a whole one. Nothing if it is whole, but can't be told of: it holds several databases, more names than are kept, or what isn't understood.
    pub fn finish(mut self) -> Result<Option<ScriptContents>, ScriptFault> {
        if let Some(token) = self.lexer.finish() {
            self.token(token);
        }
        let at = self.bytes;
        if self.facts.is_whole() {
            let copied = self.keeper.finish();
            return Ok(self.facts.contents().map(|mut contents| {
                contents.kept.extend(copied);
                contents
            }));
        }
        match self.data.and(self.facts.copying()) {
            // Whoever lost the thread doesn't know the end when it's there.
            _ if ends_with_foot(&self.tail) => Ok(None),
            Some(table) => Err(ScriptFault::InData { table, at }),
            None => Err(ScriptFault::Truncated { at }),
        }
    }

    fn token(&mut self, token: Token) {
        match token {
            Token::Comment => self.facts.comment(self.lexer.aside()),
            Token::Command => self.facts.command(self.lexer.aside()),
            Token::Statement => {
                let statement = self.lexer.statement();
                if self.facts.statement(&statement) {
                    self.data = Some(Data::default());
                    if let Some((schema, copy)) = self.facts.copy() {
                        self.keeper.begin(schema, copy);
                    }
                }
            }
        }
    }

    fn keep_tail(&mut self, input: &[u8]) {
        let new = &input[input.len().saturating_sub(TAIL)..];
        let old = (self.tail.len() + new.len()).saturating_sub(TAIL);
        self.tail.drain(..old);
        self.tail.extend_from_slice(new);
    }
}

#[cfg(test)]
mod tests;
