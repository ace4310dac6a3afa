//! Reading a script byte by byte as `psql` reads it, so that both agree on what is a string and what is a command.
//!
//! Where programs of different versions disagree, or where `psql` reads otherwise than the server, the script is refused: no program that dumps writes such things.

use super::state::{State, copy, dollars, push};

/// Most bytes of a statement that are looked at.
const MOST_STATEMENT: usize = 4096;

/// Longest command, comment or tag that is kept.
const MOST_KEPT: usize = 200;

/// Longest word that is kept: none that matters is longer.
const MOST_WORD: usize = 16;

/// What a byte was the end, or the beginning, of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Of nothing that matters.
    Nothing,
    /// A statement ends; [`Lexer::begin`] takes the next one up.
    Statement,
    /// A command of psql was begun.
    CommandBegins,
    /// A command of psql, which ends.
    Command(Vec<u8>),
    /// A comment that ends with its line.
    Comment(Vec<u8>),
}

/// What isn't read alike by everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unclear(pub(super) Vec<u8>);

/// What a statement is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another statement.
    Statement,
    /// Data of COPY … FROM stdin.
    Data,
}

/// Where in a script we are.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Lexer {
    state: State,
    /// Whether psql is one that ends no statement between BEGIN and END of a function's body.
    knows_bodies: bool,
    /// Whether psql would obey commands that are overlooked.
    careful: bool,
    /// Backslashes in plain strings escape (`standard_conforming_strings = off`).
    escapes: bool,
    /// The statement: in capitals, blanks as one, without comments and what is in parentheses, and a quote for each string and name.
    text: Vec<u8>,
    /// The word that we are in, in capitals; what stood before it.
    word: Vec<u8>,
    word_length: usize,
    before_word: u8,
    /// The statement's first words.
    first: Vec<Vec<u8>>,
    parentheses: u32,
    bodies: u32,
    /// The byte before, outside of strings.
    last: u8,
    /// Behind a string that a second one would go on with for the server, and not for psql.
    may_go_on: bool,
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Lexer {
    /// At the beginning of a script for a `psql` of this major version. `careful`: it would obey a command that is overlooked here.
    pub(super) fn new(psql: u32, careful: bool) -> Self {
        Self {
            state: State::Plain,
            knows_bodies: psql >= 14,
            careful,
            escapes: false,
            text: Vec::new(),
            word: Vec::new(),
            word_length: 0,
            before_word: b'\n',
            first: Vec::new(),
            parentheses: 0,
            bodies: 0,
            last: b'\n',
            may_go_on: false,
        }
    }

    /// The statement until now; see the field.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether we are in a command of psql.
    pub(super) fn in_command(&self) -> bool {
        matches!(self.state, State::Command(_))
    }

    /// Begins what follows a statement. `escapes`: whether backslashes in plain strings escape from now on.
    pub(super) fn begin(&mut self, next: Next, escapes: Option<bool>) {
        self.text.clear();
        self.first.clear();
        self.may_go_on = false;
        self.escapes = escapes.unwrap_or(self.escapes);
        self.state = if next == Next::Data { State::CopyBegins } else { State::Plain };
    }

    /// Whether a script may end here.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.state, State::Plain | State::LineComment(_)) && self.text.trim_ascii().is_empty()
    }

    /// The command or comment that the script ends in.
    pub(super) fn finish(&mut self) -> Event {
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Command(command) => Event::Command(command),
            State::LineComment(comment) => Event::Comment(comment),
            other => {
                self.state = other;
                Event::Nothing
            }
        }
    }

    /// How many bytes can be skipped: most of a dump is data, of which nothing but the beginnings of lines matters.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        let State::Copy(line) = &mut self.state else { return 0 };
        let first = bytes.first().copied().unwrap_or(b'\\');
        if line.len() < 4 && (!line.is_empty() || first == b'\\' || first == b'\n') {
            return 0;
        }
        line.resize(4, b' ');
        bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
    }

    /// Takes one byte.
    pub(super) fn step(&mut self, byte: u8) -> Result<Event, Unclear> {
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Plain => return self.plain(byte),
            State::Quoted { escapes, escaped, half } => return self.quoted(byte, escapes, escaped, half),
            State::Behind { escapes } => {
                if byte == b'\'' {
                    self.state = State::Quoted { escapes, escaped: false, half: false };
                } else {
                    self.may_go_on = escapes != self.escapes;
                    self.last = b'\'';
                    return self.plain(byte);
                }
            }
            State::Name if byte == b'"' => self.last = b'"',
            State::Name => self.state = State::Name,
            State::Opening(tag) => return self.opening(byte, tag),
            State::Dollars { tag, end } => self.state = dollars(tag, end, byte),
            State::LineComment(comment) if byte == b'\n' || byte == b'\r' => return Ok(Event::Comment(comment)),
            State::LineComment(mut comment) => {
                push(&mut comment, byte, MOST_KEPT);
                self.state = State::LineComment(comment);
            }
            State::Comment { depth, before } => match (before, byte) {
                (b'*', b'/') if depth == 1 => {}
                (b'*', b'/') => self.state = State::Comment { depth: depth - 1, before: 0 },
                (b'/', b'*') => self.state = State::Comment { depth: depth.saturating_add(1), before: 0 },
                _ => self.state = State::Comment { depth, before: byte },
            },
            State::CopyBegins if byte == b'\n' => self.state = State::Copy(Vec::new()),
            State::CopyBegins if is_blank(byte) => self.state = State::CopyBegins,
            State::CopyBegins => return Err(Unclear(vec![byte])),
            State::Copy(line) => self.state = copy(line, byte),
            State::Command(command) if byte == b'\n' => return Ok(Event::Command(command)),
            State::Command(mut command) => {
                push(&mut command, byte, MOST_KEPT);
                self.state = State::Command(command);
            }
        }
        Ok(Event::Nothing)
    }

    /// One byte outside of everything.
    fn plain(&mut self, byte: u8) -> Result<Event, Unclear> {
        let last = std::mem::replace(&mut self.last, byte);
        if is_name(byte) {
            if self.word_length == 0 {
                self.before_word = last;
            }
            self.word_length += 1;
            push(&mut self.word, byte.to_ascii_uppercase(), MOST_WORD);
            self.note(byte);
            return Ok(Event::Nothing);
        }
        if byte == b'$' && self.word_length > 0 {
            // A part of a name. Behind a number it may be the beginning of a string.
            let first = self.word.first().copied().unwrap_or_default();
            if first.is_ascii_digit() || first == b'$' {
                return Err(self.unclear(byte));
            }
            self.word_length += 1;
            push(&mut self.word, byte, MOST_WORD);
            self.note(byte);
            return Ok(Event::Nothing);
        }
        let word = self.end_word()?;
        match byte {
            b'\'' => return self.open(&word, last),
            b'"' => {
                self.note(b'"');
                self.state = State::Name;
            }
            b'$' => self.state = State::Opening(Vec::new()),
            b'-' if last == b'-' => {
                self.unnote();
                self.state = State::LineComment(Vec::new());
            }
            b'*' if last == b'/' => {
                self.unnote();
                self.state = State::Comment { depth: 1, before: 0 };
            }
            b'\\' => {
                self.state = State::Command(vec![byte]);
                return Ok(Event::CommandBegins);
            }
            b';' if self.parentheses == 0 && self.bodies == 0 => return Ok(Event::Statement),
            // Some take it for a blank.
            0x0b => return Err(self.unclear(byte)),
            b'(' => {
                self.note(byte);
                self.parentheses = self.parentheses.saturating_add(1);
            }
            b')' => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.note(byte);
            }
            _ => self.note(byte),
        }
        Ok(Event::Nothing)
    }

    /// Behind the quote that opens a string.
    fn open(&mut self, word: &[u8], last: u8) -> Result<Event, Unclear> {
        let escapes = if word.is_empty() {
            // U&'…' never escapes for psql, but then it isn't clear that this is one.
            if self.may_go_on || (last == b'&' && self.escapes) {
                return Err(self.unclear(b'\''));
            }
            self.escapes
        } else {
            let stands_alone = is_blank(self.before_word) || b"(,=[|<>~".contains(&self.before_word);
            match word {
                b"E" if stands_alone => true,
                b"N" if stands_alone => self.escapes,
                b"B" | b"X" if stands_alone && !self.escapes => false,
                _ => return Err(Unclear([word, b"'"].concat())),
            }
        };
        self.note(b'\'');
        self.state = State::Quoted { escapes, escaped: false, half: false };
        Ok(Event::Nothing)
    }

    fn quoted(&mut self, byte: u8, escapes: bool, escaped: bool, half: bool) -> Result<Event, Unclear> {
        if half && escapes && byte == b'\\' && self.careful {
            // In some encodings it is the second half of a character.
            return Err(Unclear(b"E'...\\".to_vec()));
        }
        self.state = match byte {
            b'\'' if !escaped => State::Behind { escapes },
            _ => State::Quoted { escapes, escaped: escapes && byte == b'\\' && !escaped, half: byte >= 0x80 },
        };
        Ok(Event::Nothing)
    }

    /// Behind a dollar sign that stands alone.
    fn opening(&mut self, byte: u8, mut tag: Vec<u8>) -> Result<Event, Unclear> {
        if byte == b'$' {
            self.note(b'\'');
            self.last = b'\'';
            self.state = State::Dollars { tag, end: Vec::new() };
            return Ok(Event::Nothing);
        }
        if tag.is_empty() && byte.is_ascii_digit() {
            // A parameter.
            self.note(b'$');
            self.before_word = b'$';
            self.word_length = 1;
            self.word.push(b'$');
            return self.plain(byte);
        }
        // Of characters that psql reads as halves it sees not all.
        if is_name(byte) && !(byte >= 0x80 && self.careful) && tag.len() < MOST_KEPT {
            tag.push(byte);
            self.state = State::Opening(tag);
            return Ok(Event::Nothing);
        }
        Err(Unclear([b"$", tag.as_slice(), &[byte]].concat()))
    }

    /// At the end of a word, or of none.
    fn end_word(&mut self) -> Result<Vec<u8>, Unclear> {
        let whole = self.word_length <= self.word.len();
        self.word_length = 0;
        let word = std::mem::take(&mut self.word);
        if word.first().is_none_or(|first| first.is_ascii_digit() || *first == b'$') {
            return Ok(word);
        }
        if whole && self.parentheses == 0 && is_function(&self.first) {
            match word.as_slice() {
                // Older programs end the statement at the first semicolon nevertheless.
                b"BEGIN" if !self.knows_bodies => return Err(Unclear(word)),
                b"BEGIN" => self.bodies = self.bodies.saturating_add(1),
                b"CASE" if self.bodies > 0 => self.bodies = self.bodies.saturating_add(1),
                b"END" => self.bodies = self.bodies.saturating_sub(1),
                _ => {}
            }
        }
        if self.first.len() < 4 {
            self.first.push(word.clone());
        }
        Ok(if whole { word } else { [word.as_slice(), b"..."].concat() })
    }

    fn unclear(&self, byte: u8) -> Unclear {
        Unclear([self.word.as_slice(), &[byte]].concat())
    }

    fn note(&mut self, byte: u8) {
        let byte = if is_blank(byte) { b' ' } else { byte.to_ascii_uppercase() };
        if byte != b' ' && byte != b'-' {
            self.may_go_on = false;
        }
        let doubled = byte == b' ' && self.text.last().is_none_or(|last| *last == b' ');
        if !doubled && self.parentheses == 0 {
            push(&mut self.text, byte, MOST_STATEMENT);
        }
    }

    /// A comment begins, whose first character was taken for an operator.
    fn unnote(&mut self) {
        if self.parentheses == 0 && self.text.len() < MOST_STATEMENT {
            self.text.pop();
        }
        self.note(b' ');
        self.last = b' ';
    }
}

/// Whether a statement with these first words makes a function, whose body may hold semicolons.
fn is_function(first: &[Vec<u8>]) -> bool {
    let rest = match first {
        [create, or, replace, rest @ ..] if create == b"CREATE" && or == b"OR" && replace == b"REPLACE" => rest,
        [create, rest @ ..] if create == b"CREATE" => rest,
        _ => return false,
    };
    rest.first().is_some_and(|word| word == b"FUNCTION" || word == b"PROCEDURE")
}
