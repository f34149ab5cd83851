//! The words of one statement, for reading the few facts that are needed of it: what it creates, and on what.

use super::lexer::{Span, ident_end, is_ident_byte, skip_special};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or an unquoted name.
    Word,
    /// `"..."`, doubled quotes inside.
    QuotedName,
    /// A literal of any kind, or a dollar-quoted text.
    Text,
    /// One character of anything else; numbers come digit by digit.
    Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a [u8],
    pub span: Span,
}

impl Token<'_> {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }

    pub(crate) fn is_sign(&self, sign: u8) -> bool {
        self.kind == TokenKind::Sign && self.text == [sign]
    }

    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::QuotedName)
    }
}

/// Walks over the tokens of a statement; comments are passed over. Ends early at a quote that is never closed.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    pos: usize,
    standard_strings: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Tokens {
            text,
            pos: 0,
            standard_strings: true,
        }
    }

    pub(crate) fn with_strings(text: &'a [u8], standard_strings: bool) -> Self {
        Tokens {
            text,
            pos: 0,
            standard_strings,
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(keyword));
        if found {
            self.next();
        }
        found
    }

    fn eat_sign(&mut self, sign: u8) -> bool {
        let found = self.peek().is_some_and(|token| token.is_sign(sign));
        if found {
            self.next();
        }
        found
    }

    pub(crate) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().all(|keyword| self.eat(keyword))
    }

    /// A name with or without its schema, each part as it is written.
    pub(crate) fn name(&mut self) -> Option<Name<'a>> {
        let first = self.next().filter(Token::is_name)?;
        if !self.eat_sign(b'.') {
            return Some(Name {
                schema: None,
                name: first.text,
            });
        }
        let second = self.next().filter(Token::is_name)?;
        Some(Name {
            schema: Some(first.text),
            name: second.text,
        })
    }

    /// Moves behind the next such keyword that is not inside parentheses.
    pub(crate) fn skip_past(&mut self, keyword: &str) -> bool {
        let mut depth = 0usize;
        for token in self.by_ref() {
            if token.is_sign(b'(') {
                depth += 1;
            } else if token.is_sign(b')') {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && token.is(keyword) {
                return true;
            }
        }
        false
    }
}

/// A name in SQL text, quotes and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub schema: Option<&'a [u8]>,
    pub name: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.text;
        loop {
            let start = self.pos;
            let &b = text.get(start)?;
            let (kind, end) = match b {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                    self.pos += 1;
                    continue;
                }
                b'-' | b'/' => {
                    let end = skip_special(text, start, true).ok()?;
                    if end > start + 1 {
                        self.pos = end;
                        continue;
                    }
                    (TokenKind::Sign, end)
                }
                b'"' => (TokenKind::QuotedName, quoted_name_end(text, start)?),
                b'\'' | b'$' => {
                    let end = skip_special(text, start, self.standard_strings).ok()?;
                    let kind = if end > start + 1 {
                        TokenKind::Text
                    } else {
                        TokenKind::Sign
                    };
                    (kind, end)
                }
                b if is_ident_byte(b) && !b.is_ascii_digit() => {
                    let end = ident_end(text, start);
                    // E'..', B'..', X'..', N'..': the letter belongs to the literal.
                    if end == start + 1 && text.get(end) == Some(&b'\'') && b"eEbBxXnN".contains(&b) {
                        let end = skip_special(text, end, self.standard_strings).ok()?;
                        (TokenKind::Text, end)
                    } else {
                        (TokenKind::Word, end)
                    }
                }
                _ => (TokenKind::Sign, start + 1),
            };
            self.pos = end;
            return Some(Token {
                kind,
                text: &text[start..end],
                span: Span::new(start, end),
            });
        }
    }
}

/// Unlike the lexer's, this takes doubled quotes as part of the name.
fn quoted_name_end(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        end = skip_special(text, end, true).ok()?;
        if text.get(end) != Some(&b'"') {
            return Some(end);
        }
    }
}

/// `CREATE [OR REPLACE] FUNCTION|PROCEDURE`: may have a body `BEGIN ATOMIC ... END` (PostgreSQL 14).
pub(crate) fn creates_routine(statement: &[u8]) -> bool {
    if !statement.first().is_some_and(|b| b.eq_ignore_ascii_case(&b'c')) {
        return false;
    }
    let mut tokens = Tokens::of(statement);
    if !tokens.eat("create") {
        return false;
    }
    if tokens.eat("or") {
        tokens.eat("replace");
    }
    tokens.eat("function") || tokens.eat("procedure")
}

/// `SET standard_conforming_strings = ...`: the new value.
pub(crate) fn sets_standard_strings(statement: &[u8]) -> Option<bool> {
    let mut tokens = Tokens::of(statement);
    if !tokens.eat("set") {
        return None;
    }
    if !tokens.eat("session") {
        tokens.eat("local");
    }
    if !tokens.eat("standard_conforming_strings") {
        return None;
    }
    let value = tokens.find(|token| !token.is("to") && !token.is_sign(b'='))?;
    let value = value.text.trim_ascii();
    Some(value.eq_ignore_ascii_case(b"on") || value.eq_ignore_ascii_case(b"'on'") || value == b"true")
}

/// `COPY table [(columns)] FROM stdin ...`: data follow.
pub(crate) fn is_copy_from_stdin(statement: &[u8], standard_strings: bool) -> bool {
    let mut tokens = Tokens::with_strings(statement, standard_strings);
    tokens.eat("copy") && tokens.skip_past("from") && tokens.eat("stdin")
}

/// The real name behind a name in SQL text.
pub(crate) fn unquote(name: &[u8]) -> Vec<u8> {
    match name {
        [b'"', inner @ .., b'"'] => {
            let mut real = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(&b) = bytes.next() {
                real.push(b);
                if b == b'"' {
                    bytes.next();
                }
            }
            real
        }
        bare => bare.to_ascii_lowercase(),
    }
}
