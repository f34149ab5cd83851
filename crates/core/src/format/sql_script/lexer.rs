//! Where statements, comments, COPY blocks and psql commands begin and end.
//!
//! Linear in the size of the script: every byte is looked at once, quoted text through memchr.

use std::fmt;

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::tokens;

/// A part of a script, as byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start..self.end]
    }
}

/// A script that ends inside something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the SQL text cannot be cut into statements: the {what} that begins in line {line} is never closed")]
pub struct LexError {
    pub what: Unclosed,
    pub line: usize,
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclosed {
    QuotedText,
    QuotedName,
    DollarQuote,
    Comment,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unclosed::QuotedText => "quoted text",
            Unclosed::QuotedName => "quoted name",
            Unclosed::DollarQuote => "dollar-quoted text",
            Unclosed::Comment => "comment",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// A `--` line between statements, without its newline.
    Comment(Span),
    /// `span` has the semicolon (if there was one), `body` has not.
    Statement {
        span: Span,
        body: Span,
    },
    Copy {
        span: Span,
        body: Span,
        data: Span,
        rows: u64,
        complete: bool,
    },
    Meta(Span),
}

pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    /// `standard_conforming_strings` as the script has set it so far: whether a backslash in `'...'` is just one.
    standard_strings: bool,
}

pub(crate) fn is_ident_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

const STOP: u8 = 1;
const LETTER: u8 = 2;

/// What the statement loop must look at; everything else is skipped byte by byte through this table.
const CLASS: [u8; 256] = {
    let mut class = [0u8; 256];
    let stops = b"'\"$-/();\\";
    let mut i = 0;
    while i < stops.len() {
        class[stops[i] as usize] = STOP;
        i += 1;
    }
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        if c.is_ascii_alphabetic() || c == b'_' || c >= 0x80 {
            class[b] = LETTER;
        }
        b += 1;
    }
    class
};

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Lexer {
            text,
            pos: 0,
            standard_strings: true,
        }
    }

    pub(crate) fn next_chunk(&mut self) -> Result<Option<Chunk>, LexError> {
        let text = self.text;
        loop {
            let Some(&b) = text.get(self.pos) else {
                return Ok(None);
            };
            match b {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b';' => self.pos += 1,
                b'-' if text.get(self.pos + 1) == Some(&b'-') => {
                    let span = Span::new(self.pos, line_end(text, self.pos));
                    self.pos = span.end;
                    return Ok(Some(Chunk::Comment(span)));
                }
                b'/' if text.get(self.pos + 1) == Some(&b'*') => self.pos = skip_comment(text, self.pos)?,
                b'\\' => {
                    let span = Span::new(self.pos, line_end(text, self.pos));
                    self.pos = span.end;
                    return Ok(Some(Chunk::Meta(span)));
                }
                _ => return self.statement().map(Some),
            }
        }
    }

    fn statement(&mut self) -> Result<Chunk, LexError> {
        let text = self.text;
        let start = self.pos;
        // Only a routine can have a body of statements that is not quoted; only there words must be looked at.
        let has_body = tokens::creates_routine(&text[start..]);
        let stop = if has_body { STOP | LETTER } else { STOP };
        let mut parens = 0usize;
        let mut blocks = 0usize;
        let mut last_word = Span::new(start, start);
        let mut i = start;
        let (body_end, end) = loop {
            while i < text.len() && CLASS[text[i] as usize] & stop == 0 {
                i += 1;
            }
            if i >= text.len() {
                let trimmed = text[start..].trim_ascii_end().len();
                break (start + trimmed, start + trimmed);
            }
            match text[i] {
                b';' if parens == 0 && blocks == 0 => break (i, i + 1),
                // psql would run the line that begins here, even inside a statement; the statement cannot go on after it.
                b'\\' if i == 0 || text[i - 1] == b'\n' => break (i, i),
                b'(' => {
                    parens += 1;
                    i += 1;
                }
                b')' => {
                    parens = parens.saturating_sub(1);
                    i += 1;
                }
                b if CLASS[b as usize] == LETTER => {
                    let word = Span::new(i, ident_end(text, i));
                    let is = |w: &str| word.of(text).eq_ignore_ascii_case(w.as_bytes());
                    if blocks > 0 {
                        // `begin` is not counted: it may be a column's name, and blocks do not nest.
                        if is("case") {
                            blocks += 1;
                        } else if is("end") {
                            blocks -= 1;
                        }
                    } else if parens == 0 && is("atomic") && last_word.of(text).eq_ignore_ascii_case(b"begin") {
                        blocks = 1;
                    }
                    last_word = word;
                    // Stops before a quote: what stands in front of it says what kind of quote it is.
                    i = word.end;
                }
                _ => i = skip_special(text, i, self.standard_strings)?,
            }
        };
        let body = Span::new(start, start + text[start..body_end].trim_ascii_end().len());
        self.pos = end;
        let statement = body.of(text);
        if let Some(on) = tokens::sets_standard_strings(statement) {
            self.standard_strings = on;
        }
        if end > body_end && tokens::is_copy_from_stdin(statement, self.standard_strings) {
            return Ok(self.copy_block(body));
        }
        Ok(Chunk::Statement {
            span: Span::new(start, end),
            body,
        })
    }

    /// The rows begin in the line after the statement, whatever else stands in its line.
    fn copy_block(&mut self, body: Span) -> Chunk {
        let text = self.text;
        let first = (line_end(text, self.pos) + 1).min(text.len());
        let (data_end, end, complete) = match end_mark(&text[first..]) {
            Some(at) => {
                let mark = first + at;
                (mark, (line_end(text, mark) + 1).min(text.len()), true)
            }
            None => (text.len(), text.len(), false),
        };
        self.pos = end;
        let data = Span::new(first, data_end);
        Chunk::Copy {
            span: Span::new(body.start, end),
            body,
            data,
            rows: memchr_iter(b'\n', data.of(text)).count() as u64,
            complete,
        }
    }
}

/// Offset of the line `\.` that ends COPY data.
fn end_mark(data: &[u8]) -> Option<usize> {
    let is_mark = |at: usize| {
        let rest = &data[at..];
        rest.starts_with(b"\\.") && matches!(&rest[2..], [] | [b'\n', ..] | [b'\r', b'\n', ..])
    };
    if is_mark(0) {
        return Some(0);
    }
    memmem::find_iter(data, b"\n\\.")
        .map(|at| at + 1)
        .find(|&at| is_mark(at))
}

fn line_end(text: &[u8], from: usize) -> usize {
    memchr(b'\n', &text[from..]).map_or(text.len(), |n| from + n)
}

/// The end of a word that begins at `from`.
pub(crate) fn ident_end(text: &[u8], from: usize) -> usize {
    from + text[from..]
        .iter()
        .position(|&b| !is_ident_byte(b))
        .unwrap_or(text.len() - from)
}

/// The first byte behind the quote, comment or plain character at `at`.
pub(crate) fn skip_special(text: &[u8], at: usize, standard_strings: bool) -> Result<usize, LexError> {
    match text[at] {
        b'\'' => skip_string(text, at, !standard_strings || has_escape_prefix(text, at)),
        b'"' => skip_name(text, at),
        b'$' => match dollar_tag(text, at) {
            Some(tag) => memmem::find(&text[at + tag.len()..], tag)
                .map(|n| at + n + 2 * tag.len())
                .ok_or_else(|| unclosed(text, at, Unclosed::DollarQuote)),
            None => Ok(at + 1),
        },
        b'-' if text.get(at + 1) == Some(&b'-') => Ok(line_end(text, at)),
        b'/' if text.get(at + 1) == Some(&b'*') => skip_comment(text, at),
        _ => Ok(at + 1),
    }
}

/// The quote at `at` belongs to `E'...'`.
fn has_escape_prefix(text: &[u8], at: usize) -> bool {
    at > 0 && text[at - 1].eq_ignore_ascii_case(&b'e') && (at < 2 || !is_ident_byte(text[at - 2]))
}

fn skip_string(text: &[u8], at: usize, backslash_escapes: bool) -> Result<usize, LexError> {
    let mut i = at + 1;
    loop {
        let rest = text.get(i..).unwrap_or_default();
        let found = if backslash_escapes {
            memchr2(b'\'', b'\\', rest)
        } else {
            memchr(b'\'', rest)
        };
        i += found.ok_or_else(|| unclosed(text, at, Unclosed::QuotedText))?;
        if text[i] == b'\\' || text.get(i + 1) == Some(&b'\'') {
            i += 2;
        } else {
            return Ok(i + 1);
        }
    }
}

/// A doubled quote ends one name and begins the next: the same for finding the end.
fn skip_name(text: &[u8], at: usize) -> Result<usize, LexError> {
    memchr(b'"', &text[at + 1..])
        .map(|n| at + n + 2)
        .ok_or_else(|| unclosed(text, at, Unclosed::QuotedName))
}

fn skip_comment(text: &[u8], at: usize) -> Result<usize, LexError> {
    let mut depth = 1;
    let mut i = at + 2;
    while depth > 0 {
        let rest = text.get(i..).unwrap_or_default();
        i += memchr2(b'/', b'*', rest).ok_or_else(|| unclosed(text, at, Unclosed::Comment))?;
        match text[i..] {
            [b'/', b'*', ..] => {
                depth += 1;
                i += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                i += 2;
            }
            _ => i += 1,
        }
    }
    Ok(i)
}

/// `$$` or `$tag$` at `at`; nothing when the dollar is part of a name or of a parameter like `$1`.
fn dollar_tag(text: &[u8], at: usize) -> Option<&[u8]> {
    if at > 0 && is_ident_byte(text[at - 1]) {
        return None;
    }
    let rest = &text[at + 1..];
    let length = rest.iter().position(|&b| !is_ident_byte(b) || b == b'$')?;
    let starts_like_name = rest.first().is_some_and(|b| !b.is_ascii_digit());
    (rest[length] == b'$' && starts_like_name).then(|| &text[at..at + length + 2])
}

fn unclosed(text: &[u8], offset: usize, what: Unclosed) -> LexError {
    LexError {
        what,
        line: memchr_iter(b'\n', &text[..offset]).count() + 1,
        offset,
    }
}
