//! One statement on its way to another server: its words, what kind it is, and changes to its text.

use crate::format::ddl_split::choose::real;
use crate::format::sql_script::Span;
use crate::format::sql_script::tokens::{Name, Token, TokenKind, Tokens, unquote};
use crate::format::toc::Entry;
use crate::words::names::QualifiedName;

/// What a statement does, as far as its first words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    CreateTable,
    CreateExternalTable,
    CreateView,
    CreateRoutine,
    CreateAggregate,
    CreateLanguage,
    CreateIndex,
    CreateRule,
    CreateType,
    CreateProtocol,
    AlterTable,
    AlterExternalTable,
    AlterFunction,
    AlterType,
    /// `CREATE|ALTER ROLE`
    Role,
    /// `CREATE|ALTER RESOURCE QUEUE|GROUP`
    Resource,
    /// `CREATE FILESPACE`, `CREATE TABLESPACE`
    Space,
    Comment,
    /// `GRANT`, `REVOKE`
    Grant,
    Drop,
    Set,
    Other,
}

/// Words that stand between CREATE and what is created.
const ADJECTIVES: [&str; 13] = [
    "or",
    "replace",
    "global",
    "local",
    "temporary",
    "temp",
    "unlogged",
    "readable",
    "writable",
    "trusted",
    "procedural",
    "ordered",
    "unique",
];

impl Kind {
    pub(super) fn of(tokens: &[Token]) -> Kind {
        let Some(first) = tokens.first() else {
            return Kind::Other;
        };
        let verb = |word: &str| first.is(word);
        let mut rest = tokens[1..].iter();
        if verb("create") {
            let thing = rest.find(|token| !ADJECTIVES.iter().any(|word| token.is(word)));
            let is = |word: &str| thing.is_some_and(|thing| thing.is(word));
            return match () {
                () if is("table") => Kind::CreateTable,
                () if is("external") => Kind::CreateExternalTable,
                () if is("view") || is("materialized") => Kind::CreateView,
                () if is("function") || is("procedure") => Kind::CreateRoutine,
                () if is("aggregate") => Kind::CreateAggregate,
                () if is("language") => Kind::CreateLanguage,
                () if is("index") => Kind::CreateIndex,
                () if is("rule") => Kind::CreateRule,
                () if is("type") || is("domain") => Kind::CreateType,
                () if is("protocol") => Kind::CreateProtocol,
                () if is("role") || is("user") => Kind::Role,
                () if is("resource") => Kind::Resource,
                () if is("filespace") || is("tablespace") => Kind::Space,
                () => Kind::Other,
            };
        }
        let second = rest.next();
        let is = |word: &str| second.is_some_and(|second| second.is(word));
        if verb("alter") {
            return match () {
                () if is("table") => Kind::AlterTable,
                () if is("external") => Kind::AlterExternalTable,
                () if is("function") => Kind::AlterFunction,
                () if is("type") => Kind::AlterType,
                () if is("role") || is("user") => Kind::Role,
                () if is("resource") => Kind::Resource,
                () => Kind::Other,
            };
        }
        match () {
            () if verb("comment") => Kind::Comment,
            () if verb("grant") || verb("revoke") => Kind::Grant,
            () if verb("drop") => Kind::Drop,
            () if verb("set") => Kind::Set,
            () => Kind::Other,
        }
    }
}

/// The file that a statement stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    PreData,
    PostData,
    Globals,
}

/// A statement with all that a rewrite may want to know of it.
#[derive(Debug)]
pub struct Statement<'a> {
    pub(super) text: &'a [u8],
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) kind: Kind,
    pub(super) entry: Option<&'a Entry>,
    pub(super) part: Part,
    /// `SET default_with_oids = true` was in force.
    pub(super) with_oids: bool,
    /// Whether a backslash in `'...'` is just one.
    pub(super) standard_strings: bool,
}

impl<'a> Statement<'a> {
    pub(super) fn of(text: &'a [u8], standard_strings: bool) -> Statement<'a> {
        let tokens: Vec<Token> = Tokens::with_strings(text, standard_strings).collect();
        Statement {
            text,
            kind: Kind::of(&tokens),
            tokens,
            entry: None,
            part: Part::PreData,
            with_oids: false,
            standard_strings,
        }
    }

    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(word))
    }

    pub(super) fn is_sign(&self, at: usize, sign: u8) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_sign(sign))
    }

    /// Whether these words stand at this place one behind the other.
    pub(super) fn are(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is(at + n, word))
    }

    /// The first place from `from` on, outside of parentheses, where these words stand.
    pub(super) fn find(&self, from: usize, words: &[&str]) -> Option<usize> {
        let mut depth = 0usize;
        for at in from..self.tokens.len() {
            match &self.tokens[at] {
                token if token.is_sign(b'(') => depth += 1,
                token if token.is_sign(b')') => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.are(at, words) => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// The place of the parenthesis that closes the one at `open`.
    pub(super) fn closing(&self, open: usize) -> Option<usize> {
        if !self.is_sign(open, b'(') {
            return None;
        }
        let mut depth = 0usize;
        for at in open..self.tokens.len() {
            if self.is_sign(at, b'(') {
                depth += 1;
            } else if self.is_sign(at, b')') {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }

    /// The name at a place, as it is written, and the place behind it.
    pub(super) fn name(&self, at: usize) -> Option<(Name<'a>, usize)> {
        let first = self.tokens.get(at).filter(|token| token.is_name())?;
        let second = self.tokens.get(at + 2).filter(|name| name.is_name());
        match second.filter(|_| self.is_sign(at + 1, b'.')) {
            Some(second) => Some((
                Name {
                    schema: Some(first.text),
                    name: second.text,
                },
                at + 3,
            )),
            None => Some((
                Name {
                    schema: None,
                    name: first.text,
                },
                at + 1,
            )),
        }
    }

    /// The real name that is meant: without a schema it is one of the entry's.
    pub(super) fn real(&self, name: Name) -> QualifiedName {
        match self.entry {
            Some(entry) => {
                let (schema, name) = real(entry, name);
                QualifiedName::new(schema, name)
            }
            None => {
                let part = |part: &[u8]| String::from_utf8_lossy(&unquote(part)).into_owned();
                QualifiedName::new(name.schema.map(part).unwrap_or_default(), part(name.name))
            }
        }
    }

    /// The table of `CREATE TABLE t`, `ALTER TABLE [ONLY] t`, and the place behind its name.
    pub(super) fn table(&self) -> Option<(Name<'a>, usize)> {
        let table = (0..self.tokens.len().min(6)).find(|at| self.is(*at, "table"))?;
        let at = table + 1 + usize::from(self.is(table + 1, "only"));
        self.name(at)
    }

    /// A name as it is written.
    pub(super) fn slice_of_name(&self, name: &Name<'_>) -> Vec<u8> {
        match name.schema {
            Some(schema) => [schema, b".", name.name].concat(),
            None => name.name.to_vec(),
        }
    }

    /// From the first to the last token of a range of places.
    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        Span::new(self.tokens[from].span.start, self.tokens[to].span.end)
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.span(from, to).of(self.text)
    }
}

/// Changes to the text of a statement, made all at once.
#[derive(Debug, Default)]
pub(super) struct Edits {
    edits: Vec<(Span, Vec<u8>)>,
}

impl Edits {
    pub(super) fn replace(&mut self, span: Span, with: impl Into<Vec<u8>>) {
        self.edits.push((span, with.into()));
    }

    pub(super) fn insert(&mut self, at: usize, text: impl Into<Vec<u8>>) {
        self.replace(Span::new(at, at), text);
    }

    /// Takes out tokens and the white space in front of them.
    pub(super) fn cut(&mut self, statement: &Statement<'_>, from: usize, to: usize) {
        let span = statement.span(from, to);
        let start = match from {
            0 => span.start,
            from => statement.tokens[from - 1].span.end,
        };
        self.replace(Span::new(start, span.end), b"");
    }

    /// The new text; nothing when there is nothing to change.
    pub(super) fn apply(mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(span, _)| (span.start, span.end));
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        for (span, with) in self.edits {
            // What lies in a part that went already is gone with it.
            if span.start < copied {
                continue;
            }
            out.extend_from_slice(&text[copied..span.start]);
            out.extend_from_slice(&with);
            copied = span.end;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }
}

/// The text that a literal stands for, still in the encoding of the file.
pub(super) fn literal(token: &Token, standard_strings: bool) -> Option<Vec<u8>> {
    if token.kind != TokenKind::Text {
        return None;
    }
    let (escapes, quoted) = match token.text {
        [b'e' | b'E', rest @ ..] => (true, rest),
        rest => (!standard_strings, rest),
    };
    let inner = quoted.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\'' => {
                bytes.next();
                out.push(b'\'');
            }
            b'\\' if escapes => out.extend(bytes.next()),
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// A real name, in the encoding of the file, as SQL.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    if let Ok(text) = std::str::from_utf8(name) {
        return crate::words::names::quote_ident_if_needed(text).into_bytes();
    }
    let mut out = vec![b'"'];
    for &byte in name {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}
