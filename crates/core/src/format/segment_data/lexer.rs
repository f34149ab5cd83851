//! Cuts a script into statements and line comments while it arrives in pieces.
//!
//! Knows string literals (plain, `E''`, and plain ones with backslashes where `standard_conforming_strings` is off),
//! quoted identifiers and `--` comments. Does not know dollar quotes and block comments: no data file and no cdatabase
//! file has them.

use bytes::{Buf, Bytes};

/// No server takes a longer statement, so a longer one is not one.
const MAX_STATEMENT_BYTES: usize = 1 << 30;
/// Comments are only looked at for the trailer; a longer one is cut.
const MAX_COMMENT_BYTES: usize = 1024;

/// Something that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::format) enum Piece {
    /// With its dashes, without the line end.
    Comment(Vec<u8>),
    /// Without leading white space and the semicolon.
    Statement(Vec<u8>),
}

/// A statement grew beyond what any server takes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::format) struct TooLong;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// One dash was seen and is held back: it may begin a comment.
    Dash,
    Comment,
    Literal,
    /// Behind a backslash in a literal that has escapes.
    Escape,
    Identifier,
}

#[derive(Debug)]
pub(in crate::format) struct Lexer {
    state: State,
    statement: Vec<u8>,
    comment: Vec<u8>,
    /// The literal that is open, or was closed last, has backslash escapes.
    escapes: bool,
    /// The value of `standard_conforming_strings`.
    pub(in crate::format) standard_strings: bool,
}

impl Lexer {
    pub(in crate::format) fn new() -> Self {
        Lexer {
            state: State::Plain,
            statement: Vec::new(),
            comment: Vec::new(),
            escapes: false,
            standard_strings: true,
        }
    }

    /// Takes bytes from `input` until a piece is whole; `None` when the input is used up before that.
    pub(in crate::format) fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, TooLong> {
        while input.has_remaining() {
            let byte = input[0];
            match self.state {
                State::Plain => match byte {
                    b';' => {
                        input.advance(1);
                        return Ok(Some(Piece::Statement(std::mem::take(&mut self.statement))));
                    }
                    b'-' => self.state = State::Dash,
                    b'\'' => {
                        // A quote right behind a closed literal is a doubled quote: the same literal goes on.
                        if self.statement.last() != Some(&b'\'') {
                            self.escapes = !self.standard_strings || self.is_behind_e();
                        }
                        self.state = State::Literal;
                        self.statement.push(byte);
                    }
                    b'"' => {
                        self.state = State::Identifier;
                        self.statement.push(byte);
                    }
                    _ if byte.is_ascii_whitespace() && self.statement.is_empty() => {}
                    _ => self.statement.push(byte),
                },
                State::Dash if byte == b'-' => {
                    self.state = State::Comment;
                    self.comment.extend_from_slice(b"--");
                }
                State::Dash => {
                    self.statement.push(b'-');
                    self.state = State::Plain;
                    continue;
                }
                State::Comment => {
                    let end = memchr::memchr(b'\n', input);
                    let taken = end.unwrap_or(input.len());
                    let room = MAX_COMMENT_BYTES.saturating_sub(self.comment.len());
                    self.comment.extend_from_slice(&input[..taken.min(room)]);
                    input.advance(taken);
                    if end.is_some() {
                        // The line end is left to be read as white space.
                        self.state = State::Plain;
                        return Ok(Some(Piece::Comment(std::mem::take(&mut self.comment))));
                    }
                    continue;
                }
                State::Literal => {
                    self.statement.push(byte);
                    match byte {
                        b'\'' => self.state = State::Plain,
                        b'\\' if self.escapes => self.state = State::Escape,
                        _ => {}
                    }
                }
                State::Escape => {
                    self.statement.push(byte);
                    self.state = State::Literal;
                }
                State::Identifier => {
                    self.statement.push(byte);
                    if byte == b'"' {
                        self.state = State::Plain;
                    }
                }
            }
            input.advance(1);
            if self.statement.len() > MAX_STATEMENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(None)
    }

    /// The statement that was begun and not ended. A comment needs no line end when the script is over.
    pub(in crate::format) fn unfinished(&self) -> Option<&[u8]> {
        let open = !self.statement.is_empty() || self.state == State::Dash;
        open.then_some(self.statement.as_slice())
    }

    fn is_behind_e(&self) -> bool {
        match self.statement.as_slice() {
            [.., before, b'e' | b'E'] => !(before.is_ascii_alphanumeric() || *before == b'_' || *before >= 0x80),
            [b'e' | b'E'] => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, standard_strings: bool) -> Vec<String> {
        let mut lexer = Lexer::new();
        lexer.standard_strings = standard_strings;
        let mut input = Bytes::copy_from_slice(text.as_bytes());
        let mut found = Vec::new();
        while let Some(piece) = lexer.next(&mut input).unwrap() {
            found.push(match piece {
                Piece::Comment(text) | Piece::Statement(text) => String::from_utf8(text).unwrap(),
            });
        }
        found
    }

    #[test]
    fn semicolons_and_dashes_in_quotes_end_nothing() {
        assert_eq!(
            pieces("-- a ; b\n a '; -- ''' \"x;--\" - 1;\nb;", true),
            ["-- a ; b", "a '; -- ''' \"x;--\" - 1", "b"]
        );
    }

    #[test]
    fn backslashes_escape_in_e_literals_and_in_all_when_strings_are_not_standard() {
        assert_eq!(pieces("a E'x\\';''\\';';b;", true), ["a E'x\\';''\\';'", "b"]);
        assert_eq!(pieces("a '\\';b;", true), ["a '\\'", "b"]);
        assert_eq!(pieces("a '\\';b;';c;", false), ["a '\\';b;'", "c"]);
        assert_eq!(pieces("a TYPE'\\';b;", true), ["a TYPE'\\'", "b"]);
    }
}
