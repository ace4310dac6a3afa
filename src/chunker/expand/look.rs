//! A look at the beginning of a stream of deflate: which literals and matches it is made of, and where its first block ends.
//!
//! Nothing hangs on them but what is tried first.

use super::deflate::reader::{Form, Reader, Token};
use super::deflater::is_flushed;

/// Literals and matches that are kept.
pub(super) const KEPT: usize = 768;
/// Bytes that these give, at most: pigz begins anew behind 128 KiB, and ends a match there that is one of 258 bytes else.
const COVERED: usize = (128 << 10) - 258;
/// Blocks that are looked at: empty ones have none.
const BLOCKS: usize = 16;
/// Those of a block that are counted. No encoder that is known gathers more, but those whose streams are guided to.
const COUNTED: usize = 1 << 15;

/// What a stream begins with.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The first literals and matches, up to a stored block.
    pub(super) tokens: Vec<Token>,
    /// How many the first block has, if its end was seen, another follows, and it isn't stored.
    pub(super) first: Option<usize>,
    /// Whether these are all of the stream, in a single block.
    pub(super) is_whole: bool,
    /// Bytes that they give.
    covered: usize,
}

impl Look {
    pub(super) fn at(bytes: &[u8]) -> Self {
        let mut look = Self::default();
        let (mut reader, mut content) = (Reader::new(), Vec::new());
        reader.push(bytes);
        for nth in 0..BLOCKS {
            let whole = reader.next(&mut content).ok();
            // Of one that goes on beyond what there is, the part that there is.
            let Some(block) = whole.as_ref().or_else(|| reader.block()) else { break };
            if block.form == Form::Stored {
                break;
            }
            let all = look.keep(&block.tokens);
            if nth == 0 && whole.is_some() {
                look.first = Some(block.tokens.len()).filter(|count| !block.is_last && *count <= COUNTED);
                look.is_whole = block.is_last && all;
            }
            if !all || whole.is_none() || block.is_last {
                break;
            }
        }
        // A flush ended it, perhaps.
        look.first = look.first.filter(|_| !is_flushed(bytes));
        look
    }

    /// Keeps what there is room for; whether that's all.
    fn keep(&mut self, tokens: &[Token]) -> bool {
        for token in tokens {
            self.covered += token.length();
            if self.tokens.len() == KEPT || self.covered > COVERED {
                return false;
            }
            self.tokens.push(*token);
        }
        true
    }
}
