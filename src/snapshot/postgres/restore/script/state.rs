//! What a byte of a script stands in.

/// Where a byte stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Outside of everything.
    Plain,
    /// In a string.
    Quoted { escapes: bool, escaped: bool, half: bool },
    /// Behind a quote, which another may double.
    Behind { escapes: bool },
    /// In a quoted name.
    Name,
    /// Behind a dollar sign that may open a string.
    Opening(Vec<u8>),
    /// In a string between dollar signs, and how much of the end was seen.
    Dollars { tag: Vec<u8>, end: Vec<u8> },
    /// In a comment that ends with its line: its beginning.
    LineComment(Vec<u8>),
    /// In one that may hold others.
    Comment { depth: u32, before: u8 },
    /// On the rest of the line of COPY … FROM stdin.
    CopyBegins,
    /// In its data: the beginning of the line.
    Copy(Vec<u8>),
    /// In a command of psql.
    Command(Vec<u8>),
}

/// Adds a byte to what is kept, unless that is enough.
pub(super) fn push(bytes: &mut Vec<u8>, byte: u8, most: usize) {
    if bytes.len() < most {
        bytes.push(byte);
    }
}

/// What follows a byte in a string between dollar signs.
pub(super) fn dollars(tag: Vec<u8>, mut end: Vec<u8>, byte: u8) -> State {
    // `end` is what was seen of `$tag$`, its first dollar sign included.
    if byte == b'$' && end.len() == tag.len() + 1 {
        return State::Plain;
    }
    let goes_on = match end.len() {
        0 => byte == b'$',
        seen => tag.get(seen - 1) == Some(&byte),
    };
    if goes_on {
        end.push(byte);
    } else {
        end.clear();
        end.extend((byte == b'$').then_some(byte));
    }
    State::Dollars { tag, end }
}

/// What follows a byte of COPY's data.
pub(super) fn copy(mut line: Vec<u8>, byte: u8) -> State {
    if byte == b'\n' {
        let ends = line == b"\\." || line == b"\\.\r";
        return if ends { State::Plain } else { State::Copy(Vec::new()) };
    }
    push(&mut line, byte, 4);
    State::Copy(line)
}
