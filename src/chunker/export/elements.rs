//! Counting the elements of an array of JSON (RFC 8259), of any length, in little memory.

use memchr::memchr2;

/// Arrays and objects in each other; as many as `serde_json` takes.
const MAX_DEPTH: u32 = 127;

/// Counts the elements of the array that is pushed.
///
/// It's no validator: what stands in an element is looked at only as far as it takes to find where it ends.
#[derive(Debug, Clone)]
pub struct Elements {
    state: State,
    /// Arrays and objects that are open.
    depth: u32,
    /// Which of these are objects; the innermost one is the lowest bit.
    objects: u128,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the array.
    Before,
    /// In the array, where an element or its end may come.
    Begun,
    /// Behind a comma of the array.
    Comma,
    /// In an element that is a number or a word.
    Scalar,
    /// Behind an element.
    Behind,
    /// In an element that is an array or an object.
    Inside,
    /// In a string; whether a backslash came just now.
    String(bool),
    /// Behind the array.
    Done,
    /// It isn't an array.
    Malformed,
}

impl Default for Elements {
    fn default() -> Self {
        Self { state: State::Before, depth: 0, objects: 0, count: 0 }
    }
}

impl Elements {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, later)) = bytes.split_first() {
            bytes = match self.state {
                State::Malformed => return,
                State::String(true) => {
                    self.state = State::String(false);
                    later
                }
                State::String(false) => self.string(bytes),
                State::Inside => self.inside(bytes),
                State::Before | State::Begun | State::Comma | State::Scalar | State::Behind | State::Done => {
                    self.state = self.next(byte);
                    later
                }
            };
        }
    }

    /// How many there are, if it was a whole array.
    pub fn finish(&self) -> Option<u64> {
        (self.state == State::Done).then_some(self.count)
    }

    /// What comes of a byte of the array itself.
    fn next(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Scalar, b' ' | b'\t' | b'\n' | b'\r') => State::Behind,
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Before, b'[') => {
                self.open(byte);
                State::Begun
            }
            (State::Scalar | State::Behind, b',') => State::Comma,
            (State::Begun | State::Scalar | State::Behind, b']') => {
                self.depth = 0;
                State::Done
            }
            (State::Before | State::Done | State::Behind, _)
            | (State::Scalar, b'"' | b'[' | b'{')
            | (_, b',' | b':' | b']' | b'}') => State::Malformed,
            (State::Scalar, _) => State::Scalar,
            (_, b'"') => {
                self.count += 1;
                State::String(false)
            }
            (_, b'[' | b'{') => {
                self.count += 1;
                self.open(byte);
                State::Inside
            }
            _ => {
                self.count += 1;
                State::Scalar
            }
        }
    }

    fn open(&mut self, byte: u8) {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(byte == b'{');
    }

    /// Goes on in a string; what follows.
    fn string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(at) = memchr2(b'"', b'\\', bytes) else { return &[] };
        self.state = match bytes[at] {
            b'\\' => State::String(true),
            _ if self.depth > 1 => State::Inside,
            _ => State::Behind,
        };
        &bytes[at + 1..]
    }

    /// Goes on in an array or an object within the array, up to a string or its end; what follows.
    fn inside<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => {
                    self.state = State::String(false);
                    return &bytes[at + 1..];
                }
                b'[' | b'{' if self.depth < MAX_DEPTH => self.open(byte),
                b']' | b'}' if (byte == b'}') == (self.objects & 1 == 1) => {
                    self.depth -= 1;
                    self.objects >>= 1;
                    if self.depth == 1 {
                        self.state = State::Behind;
                        return &bytes[at + 1..];
                    }
                }
                b'[' | b'{' | b']' | b'}' => {
                    self.state = State::Malformed;
                    return &[];
                }
                _ => {}
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::steps::in_steps;
    use proptest::prelude::*;

    fn count(json: &[u8], steps: &[usize]) -> Option<u64> {
        let mut elements = Elements::default();
        in_steps(json, steps).for_each(|part| elements.push(part));
        elements.finish()
    }

    #[test]
    fn elements_are_counted_whatever_they_are() {
        for (json, expected) in [
            ("[]", 0),
            (" [ \n] \r\n\t", 0),
            ("[0]", 1),
            ("[null, true , -1.5e+3\n]", 3),
            (r#"["", "a,b", "\"]", "\\"]"#, 4),
            (r#"[{}, [], {"a": [1, 2, {"b": "]}"}]}, [[],[]]]"#, 4),
            (r#"[{"a":"\\\"}]"},"\u00e4"]"#, 2),
        ] {
            for steps in [&[1000][..], &[1], &[2, 3]] {
                assert_eq!(count(json.as_bytes(), steps), Some(expected), "{json}");
            }
        }
    }

    #[test]
    fn of_what_is_no_array_nothing_is_told() {
        let deep = "[".repeat(129) + &"]".repeat(129);
        for json in [
            "",
            " ",
            "{}",
            "1",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1,,2]",
            "[1 2]",
            "[\"a\" 1]",
            "[1}",
            "[}",
            "[]]",
            "[] 1",
            "[{]",
            "[[}]",
            "[{\"a\": 1]]",
            "[\"",
            "[\"\\\"]",
            "[1\"a\"]",
            "[1[]]",
            "[:]",
            "\u{feff}[]",
            &deep,
        ] {
            assert_eq!(count(json.as_bytes(), &[1000]), None, "{json}");
            assert_eq!(count(json.as_bytes(), &[1]), None, "{json}");
        }
        let deepest = "[".repeat(127) + &"]".repeat(127);
        assert_eq!(count(deepest.as_bytes(), &[10]), Some(1));
    }

    proptest! {
        #[test]
        fn pieces_decide_nothing(
            parts in prop::collection::vec(prop::sample::select(&["[", "]", "{", "}", "\"", "\\", ",", ":", "1", " "][..]), 0..40),
            steps in prop::collection::vec(1usize..9, 1..4),
        ) {
            let json = "[".to_owned() + &parts.concat() + "]";
            prop_assert_eq!(count(json.as_bytes(), &steps), count(json.as_bytes(), &[1000]));
        }
    }
}
