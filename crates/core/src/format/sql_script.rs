//! A script of SQL as pg_dump and gp_dump write it, cut into what a restore does one by one.
//!
//! ```text
//! SET search_path = s1, pg_catalog;               -> Statement
//! CREATE RULE r AS ON INSERT TO t DO (a; b);      -> one Statement
//! COPY t (a, b) FROM stdin;                       -> CopyBlock, 1 row
//! 1  x            (a tab between)
//! \.
//! \connect other                                  -> MetaCommand: psql would run it, we never do
//! ```
//!
//! Works on bytes, so any encoding will do in which no byte below 0x80 is part of another character; pg_dump writes
//! server encodings only, and those all are of that kind. Nothing is decoded and nothing is changed.

pub(crate) mod lexer;
pub(crate) mod tokens;

pub use lexer::{LexError, Span, Unclosed};

use super::toc::{Entry, Toc};

/// One thing of a script, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    Statement {
        /// Without the semicolon.
        text: &'a [u8],
        /// With it, as offsets into the script.
        span: Span,
        /// Index into [`Script::entries`]; `None` in the head of the file and behind its last line.
        entry: Option<usize>,
    },
    CopyBlock {
        /// `COPY ... FROM stdin` without the semicolon.
        statement: &'a [u8],
        /// The rows, each with its newline, without the end mark.
        data: &'a [u8],
        rows: u64,
        /// False when the script ends before `\.`: rows are missing.
        complete: bool,
        span: Span,
        entry: Option<usize>,
    },
    /// A line that psql would take as a command to itself. Refuse it or warn, never run it.
    MetaCommand {
        text: &'a [u8],
        span: Span,
        entry: Option<usize>,
    },
}

impl Item<'_> {
    pub fn entry(&self) -> Option<usize> {
        match self {
            Item::Statement { entry, .. } | Item::CopyBlock { entry, .. } | Item::MetaCommand { entry, .. } => *entry,
        }
    }

    pub fn span(&self) -> Span {
        match self {
            Item::Statement { span, .. } | Item::CopyBlock { span, .. } | Item::MetaCommand { span, .. } => *span,
        }
    }
}

/// A script with its table of contents.
#[derive(Debug)]
pub struct Script<'a> {
    text: &'a [u8],
    toc: Toc,
}

impl<'a> Script<'a> {
    /// Reads the whole script once. Fails when a quoted text or a comment is never closed.
    pub fn parse(text: &'a [u8]) -> Result<Self, LexError> {
        Ok(Script {
            text,
            toc: Toc::scan(text)?,
        })
    }

    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    pub fn entries(&self) -> &[Entry] {
        &self.toc.entries
    }

    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + '_ {
        self.toc.pieces.iter().map(|piece| piece.item(self.text))
    }

    /// The items of one entry: its definition and what goes with it, without the settings in front.
    pub fn items_of(&self, entry: &Entry) -> impl Iterator<Item = Item<'a>> + '_ {
        self.toc.pieces[entry.pieces.clone()]
            .iter()
            .map(|piece| piece.item(self.text))
    }
}

#[cfg(test)]
mod tests;
