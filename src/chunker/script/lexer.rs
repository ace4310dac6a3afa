//! A script in statements, comments and commands of `psql`.
//!
//! It's read as `psql` reads it, as far as `pg_dump` makes use of that: strings with and without escapes, names in quotes, strings between dollar signs, nested comments, parentheses, and bodies of functions between
//! BEGIN ATOMIC and END.

use memchr::{memchr, memchr2};

/// Bytes at the start of a statement that tell whether it matters.
const MOST_START: usize = 40;
/// Bytes that are kept of a statement that matters, and of COPY, which names all columns: PostgreSQL has up to 1,600 of 63 bytes each, in quotes that may be doubled.
const MOST_STATEMENT: usize = 4 << 10;
const MOST_COPY: usize = 256 << 10;
/// Bytes that are kept of a comment or command.
const MOST_ASIDE: usize = 256;
/// Longest tag of a string between dollar signs.
const MOST_TAG: usize = 256;
/// What statements that matter begin with.
const STARTS: [&[u8]; 6] = [
    b"INSERT INTO ",
    b"CREATE TABLE ",
    b"CREATE EXTENSION ",
    b"CREATE DATABASE ",
    b"SET search_path = ",
    b"SELECT pg_catalog.lo_open(",
];
/// What makes a function, whose body may hold semicolons.
const FUNCTIONS: [&[u8]; 4] =
    [b"CREATE FUNCTION ", b"CREATE PROCEDURE ", b"CREATE OR REPLACE FUNCTION ", b"CREATE OR REPLACE PROCEDURE "];

/// What ends where the lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A comment between two statements, that ends with its line: see [`Lexer::aside`].
    Comment,
    /// A command of `psql`: see [`Lexer::aside`].
    Command,
    /// A statement: see [`Lexer::statement`].
    Statement,
}

/// A statement that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement<'l> {
    /// Its text, or the beginning of it.
    pub(super) text: &'l [u8],
    /// Whether that is all.
    pub(super) is_whole: bool,
    /// Of INSERT with VALUES: how many rows these are.
    pub(super) rows: Option<u64>,
}

/// What a byte stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside of everything.
    Plain,
    /// In a string.
    Text { escapes: bool, is_escaped: bool },
    /// Behind a quote, which another one may double.
    Behind { escapes: bool },
    /// In a quoted name.
    Name,
    /// Behind a dollar sign that may open a string.
    Opening,
    /// In a string between dollar signs; how much of its end was seen.
    Dollars { seen: usize },
    /// In a comment that ends with its line.
    Line,
    /// In one that may hold others.
    Block { depth: u32, last: u8 },
    /// In a command of `psql`.
    Command,
}

/// The word outside of everything that isn't complete, in capitals, as far as words matter.
#[derive(Debug, Default, Clone, Copy)]
struct Word {
    letters: [u8; 8],
    length: usize,
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(letter) = self.letters.get_mut(self.length) {
            *letter = byte.to_ascii_uppercase();
        }
        self.length += 1;
    }

    fn is(&self, word: &[u8]) -> bool {
        self.letters.get(..self.length) == Some(word)
    }
}

/// The rows of an INSERT.
#[derive(Debug, Default, Clone, Copy)]
struct Inserted {
    /// How many; nothing before VALUES.
    rows: Option<u64>,
    /// Whether what is in parentheses is another row.
    goes_on: bool,
}

/// Where in a script we are.
#[derive(Debug)]
pub(super) struct Lexer {
    place: Place,
    /// The beginning of the statement; how long it is, in bytes.
    start: Vec<u8>,
    length: usize,
    /// Bytes that are kept of it.
    most: usize,
    /// Whether it has ended.
    has_ended: bool,
    /// The comment or command, or its beginning.
    aside: Vec<u8>,
    /// The end of the string between dollar signs that we are in.
    end: Vec<u8>,
    /// The byte before, outside of everything.
    last: u8,
    word: Word,
    /// The word before.
    before: Word,
    parentheses: u32,
    bodies: u32,
    inserted: Inserted,
}

impl Default for Lexer {
    fn default() -> Self {
        Self {
            place: Place::Plain,
            start: Vec::new(),
            length: 0,
            most: MOST_START,
            has_ended: false,
            aside: Vec::new(),
            end: Vec::new(),
            last: b'\n',
            word: Word::default(),
            before: Word::default(),
            parentheses: 0,
            bodies: 0,
            inserted: Inserted::default(),
        }
    }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Lexer {
    /// The comment or command that has just ended.
    pub(super) fn aside(&self) -> &[u8] {
        &self.aside
    }

    /// The statement that has just ended.
    pub(super) fn statement(&self) -> Statement<'_> {
        Statement { text: &self.start, is_whole: self.start.len() == self.length, rows: self.inserted.rows }
    }

    /// Takes bytes off `input` up to the end of the next token; nothing if there is none.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Token> {
        if std::mem::take(&mut self.has_ended) {
            self.begin();
        }
        while !input.is_empty() {
            let (skipped, later) = input.split_at(self.skipped(input));
            self.keep(skipped);
            *input = later;
            let Some((&byte, later)) = input.split_first() else { break };
            *input = later;
            if let Some(token) = self.step(byte) {
                return Some(token);
            }
        }
        None
    }

    /// The comment or command that the script ends in.
    pub(super) fn finish(&mut self) -> Option<Token> {
        match self.place {
            Place::Line if self.length == 0 => Some(Token::Comment),
            Place::Command => Some(Token::Command),
            _ => None,
        }
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.start.capacity() + self.aside.capacity() + self.end.capacity()
    }

    /// Begins a statement.
    fn begin(&mut self) {
        self.start.clear();
        (self.length, self.most, self.parentheses, self.bodies) = (0, MOST_START, 0, 0);
        (self.word, self.before, self.inserted) = Default::default();
    }

    /// How many bytes at the start of `input` change nothing.
    fn skipped(&mut self, input: &[u8]) -> usize {
        let end = match self.place {
            Place::Text { escapes: true, is_escaped: false } => memchr2(b'\'', b'\\', input),
            Place::Text { escapes: false, .. } => memchr(b'\'', input),
            Place::Name => memchr(b'"', input),
            Place::Dollars { seen: 0 } => memchr(b'$', input),
            Place::Line | Place::Command => memchr(b'\n', input),
            Place::Block { depth, .. } => {
                let end = memchr2(b'*', b'/', input);
                if end != Some(0) {
                    self.place = Place::Block { depth, last: 0 };
                }
                end
            }
            _ => Some(0),
        };
        end.unwrap_or(input.len())
    }

    /// Keeps bytes of the statement, or of what stands beside it, as far as they matter.
    fn keep(&mut self, bytes: &[u8]) {
        match self.place {
            Place::Block { .. } => {}
            Place::Line | Place::Command => {
                let room = MOST_ASIDE.saturating_sub(self.aside.len()).min(bytes.len());
                self.aside.extend_from_slice(&bytes[..room]);
            }
            _ => self.keep_statement(bytes),
        }
    }

    fn keep_statement(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while self.start.len() < self.most && !bytes.is_empty() {
            let (kept, later) = bytes.split_at(bytes.len().min(self.most - self.start.len()));
            self.start.extend_from_slice(kept);
            bytes = later;
            if self.start.len() == MOST_START {
                self.most = most_of(&self.start);
            }
        }
    }

    fn step(&mut self, byte: u8) -> Option<Token> {
        match self.place {
            Place::Plain => return self.plain(byte),
            Place::Behind { escapes } => {
                self.place = Place::Plain;
                if byte != b'\'' {
                    self.last = b'\'';
                    return self.plain(byte);
                }
                self.place = Place::Text { escapes, is_escaped: false };
            }
            Place::Text { escapes, is_escaped } => {
                self.place = match byte {
                    b'\'' if !is_escaped => Place::Behind { escapes },
                    _ => Place::Text { escapes, is_escaped: escapes && byte == b'\\' && !is_escaped },
                };
            }
            Place::Name => self.leave_if(byte == b'"'),
            Place::Opening => return self.opening(byte),
            Place::Dollars { seen } => {
                let seen = if self.end.get(seen) == Some(&byte) { seen + 1 } else { usize::from(byte == b'$') };
                self.place = Place::Dollars { seen };
                self.leave_if(seen == self.end.len());
            }
            Place::Line | Place::Command => {
                let is_command = self.place == Place::Command;
                self.leave_if(byte == b'\n');
                // A comment in a statement says nothing of the script.
                let is_token = is_command || self.length == 0;
                return (byte == b'\n' && is_token).then_some(if is_command { Token::Command } else { Token::Comment });
            }
            Place::Block { depth, last } => {
                self.place = match (last, byte) {
                    (b'*', b'/') if depth == 1 => Place::Plain,
                    (b'*', b'/') => Place::Block { depth: depth - 1, last: 0 },
                    (b'/', b'*') => Place::Block { depth: depth.saturating_add(1), last: 0 },
                    _ => Place::Block { depth, last: byte },
                };
                return None;
            }
        }
        self.keep_statement(&[byte]);
        None
    }

    /// Leaves a string, name or comment.
    fn leave_if(&mut self, is_end: bool) {
        if is_end {
            (self.place, self.last) = (Place::Plain, b'\n');
        }
    }

    /// One byte outside of everything.
    fn plain(&mut self, byte: u8) -> Option<Token> {
        let last = std::mem::replace(&mut self.last, byte);
        if is_name(byte) || (byte == b'$' && self.word.length > 0) {
            self.word.push(byte);
            self.keep_statement(&[byte]);
            return None;
        }
        let word = self.end_word();
        match byte {
            _ if byte.is_ascii_whitespace() && self.length == 0 => return None,
            b'\'' => self.place = Place::Text { escapes: word.is(b"E"), is_escaped: false },
            b'"' => self.place = Place::Name,
            b'$' => {
                self.end = vec![b'$'];
                self.place = Place::Opening;
            }
            b'-' if last == b'-' => return self.aside_begins(Place::Line),
            b'*' if last == b'/' => return self.aside_begins(Place::Block { depth: 1, last: 0 }),
            b'\\' => {
                self.begin();
                return self.aside_begins(Place::Command);
            }
            b'(' => {
                if self.parentheses == 0 && self.inserted.goes_on {
                    self.inserted.rows = self.inserted.rows.map(|rows| rows + 1);
                }
                self.parentheses = self.parentheses.saturating_add(1);
            }
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        self.keep_statement(&[byte]);
        self.has_ended = byte == b';' && self.parentheses == 0 && self.bodies == 0;
        self.has_ended.then_some(Token::Statement)
    }

    /// A comment or command begins.
    fn aside_begins(&mut self, place: Place) -> Option<Token> {
        if self.length == 1 {
            // It was the first character of the comment.
            self.begin();
        }
        self.aside.clear();
        if place == Place::Command {
            self.aside.push(b'\\');
        }
        self.place = place;
        None
    }

    /// Behind a dollar sign that stands alone.
    fn opening(&mut self, byte: u8) -> Option<Token> {
        if byte == b'$' {
            self.end.push(byte);
            self.place = Place::Dollars { seen: 0 };
        } else if is_name(byte) && !(self.end.len() == 1 && byte.is_ascii_digit()) && self.end.len() < MOST_TAG {
            self.end.push(byte);
        } else {
            // A parameter.
            self.place = Place::Plain;
            return self.plain(byte);
        }
        self.keep_statement(&[byte]);
        None
    }

    /// At the end of a word, or of none.
    fn end_word(&mut self) -> Word {
        let word = std::mem::take(&mut self.word);
        if word.length == 0 || self.parentheses > 0 {
            return word;
        }
        if word.is(b"VALUES") && self.bodies == 0 && self.start.starts_with(STARTS[0]) {
            let is_default = self.before.is(b"DEFAULT");
            self.inserted = Inserted { rows: Some(u64::from(is_default)), goes_on: !is_default };
        } else if word.is(b"ON") {
            self.inserted.goes_on = false;
        } else if word.is(b"ATOMIC") && self.before.is(b"BEGIN") {
            self.bodies = u32::from(FUNCTIONS.iter().any(|start| self.start.starts_with(start)));
        } else if word.is(b"CASE") && self.bodies > 0 {
            self.bodies = self.bodies.saturating_add(1);
        } else if word.is(b"END") {
            self.bodies = self.bodies.saturating_sub(1);
        }
        self.before = word;
        word
    }
}

/// Bytes that are kept of a statement that begins like this.
fn most_of(start: &[u8]) -> usize {
    if start.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"COPY ")) {
        MOST_COPY
    } else if STARTS.iter().any(|prefix| start.starts_with(prefix)) {
        MOST_STATEMENT
    } else {
        MOST_START
    }
}
