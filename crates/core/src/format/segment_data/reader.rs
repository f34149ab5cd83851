//! Reads a data file that arrives in chunks cut anywhere.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

use super::copy_statement::{begins_with, first_schema, is_trigger_switch, literal, parse_copy, parse_set};
use super::encoding::{self, Lengths};
use super::insert_statement::{append_rows, parse_head};
use super::lexer::{Lexer, Piece};
use crate::words::job::TableTotals;
use crate::words::names::QualifiedName;

/// Text made of INSERT statements that is handed on at once.
const INSERTED_BYTES: usize = 1 << 16;

/// The head of a block: of a COPY, or of INSERT statements that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyBlock {
    pub table: QualifiedName,
    /// `None` when the statement has no list: COPY of a table without columns, INSERT of any. Empty for `INSERT ... DEFAULT
    /// VALUES`: surely a table without columns.
    pub columns: Option<Vec<String>>,
    /// Each row begins with its OID.
    pub with_oids: bool,
    /// As it stands in the file, without the semicolon, in the encoding of the file; may rely on the search path.
    pub copy_statement: Bytes,
}

/// What a data file says, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// `SET client_encoding`: what names and rows that follow are written in.
    Encoding(String),
    Begin(CopyBlock),
    /// Row text as COPY takes it; may begin and end within a row.
    Rows(Bytes),
    /// The block is whole.
    End(TableTotals),
    /// Anything that is not known to be harmless when passed over: large objects, strangers. Who restores must execute or
    /// refuse it.
    Statement {
        schema: Option<String>,
        text: Bytes,
    },
}

/// Why a data file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    #[error("the data file ends inside the rows of table {table}, after {rows} rows: it was cut off")]
    EndedInsideBlock { table: QualifiedName, rows: u64 },
    #[error("the data file ends inside the statement \"{0}\": it was cut off")]
    EndedInsideStatement(String),
    #[error(
        "the data file does not end with the line \"-- Greenplum Database database dump complete\": it was cut off, or \
         its dump failed"
    )]
    NoTrailer,
    #[error("the statement \"{statement}\" at byte {at} of the data file could not be read: {reason}")]
    BadCopy {
        statement: String,
        at: u64,
        reason: &'static str,
    },
    #[error(
        "the statement \"{statement}\" at byte {at} of the data file names no schema, and no search_path was set before it"
    )]
    NoSchema { statement: String, at: u64 },
    #[error(
        "the name \"{name}\" at byte {at} of the data file could not be decoded from encoding {encoding}: these \
         bytes mean nothing in it, or this program does not know it"
    )]
    NameNotDecoded { name: String, at: u64, encoding: String },
    #[error("a statement before byte {at} of the data file is longer than any server takes: this is no data file")]
    StatementTooLong { at: u64 },
}

/// How much of the end mark `\.` has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Not at the beginning of a line.
    Inside,
    /// At the beginning of a line.
    LineStart,
    /// `\` is held back.
    Backslash,
    /// `\.` is held back.
    Whole,
}

#[derive(Debug)]
enum Mode {
    Script,
    /// Behind the semicolon of COPY: the rest of that line.
    CopyLineEnd,
    Rows(Mark),
    Ended,
}

/// INSERT statements with the same head, one behind the other: they are a block like that of a COPY.
#[derive(Debug)]
struct InsertRun {
    /// Everything in front of the first value of each of them.
    head: Bytes,
    /// Rows that were not handed on yet.
    text: Vec<u8>,
}

/// Push parser: [`push`](Self::push) a chunk, take events until `None`, and so on; after the last chunk
/// [`close`](Self::close), the events that are left, and [`finish`](Self::finish).
///
/// Holds no more than a statement and a few bytes; rows of COPY pass through as slices of the chunks.
#[derive(Debug)]
pub struct BlockReader {
    mode: Mode,
    lexer: Lexer,
    end_mark: Finder<'static>,
    input: Bytes,
    waiting: VecDeque<Bytes>,
    pushed_bytes: u64,
    schema: Option<Vec<u8>>,
    encoding: String,
    table: Option<QualifiedName>,
    totals: TableTotals,
    inserts: Option<InsertRun>,
    /// A comment has said that rows of this table follow, and nothing has yet: schema and name. Of INSERT statements there
    /// may be none.
    announced: Option<(Vec<u8>, Vec<u8>)>,
    /// What is known and was not asked for yet.
    ready: VecDeque<DataEvent>,
    is_closed: bool,
    trailer_seen: bool,
}

impl Default for BlockReader {
    fn default() -> Self {
        Self::new()
    }
}

impl BlockReader {
    pub fn new() -> Self {
        BlockReader {
            mode: Mode::Script,
            lexer: Lexer::new(),
            end_mark: Finder::new(b"\n\\.\n"),
            input: Bytes::new(),
            waiting: VecDeque::new(),
            pushed_bytes: 0,
            schema: None,
            encoding: "UTF8".to_owned(),
            table: None,
            totals: TableTotals::default(),
            inserts: None,
            announced: None,
            ready: VecDeque::new(),
            is_closed: false,
            trailer_seen: false,
        }
    }

    /// Hands in the next bytes of the (uncompressed) file.
    pub fn push(&mut self, chunk: Bytes) {
        self.pushed_bytes += chunk.len() as u64;
        if self.input.is_empty() {
            self.input = chunk;
        } else {
            self.waiting.push_back(chunk);
        }
    }

    /// The next event; `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<DataEvent>, DataError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if let Mode::Ended = self.mode {
                self.mode = Mode::Script;
                self.table = None;
                return Ok(Some(DataEvent::End(std::mem::take(&mut self.totals))));
            }
            if self.input.is_empty() {
                match self.waiting.pop_front() {
                    Some(chunk) => self.input = chunk,
                    None if self.is_closed => {
                        self.end_inserts();
                        self.end_announced();
                        return Ok(self.ready.pop_front());
                    }
                    None => return Ok(None),
                }
            }
            let event = match self.mode {
                Mode::Script => self.read_script()?,
                Mode::CopyLineEnd => {
                    self.read_copy_line_end()?;
                    None
                }
                Mode::Rows(mark) => self.read_rows(mark),
                Mode::Ended => None,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// No more bytes come: a block of INSERT statements that reached to the end is over. Ask for its events.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Says that the file is over; an error unless it was complete.
    pub fn finish(self) -> Result<(), DataError> {
        self.finish_block()?;
        if self.trailer_seen {
            Ok(())
        } else {
            Err(DataError::NoTrailer)
        }
    }

    /// Says that a single block, read alone from the middle of a file, is over.
    pub fn finish_part(self) -> Result<(), DataError> {
        self.finish_block()
    }

    /// Whether the last thing read was the comment that ends a complete file.
    pub fn trailer_seen(&self) -> bool {
        self.trailer_seen
    }

    fn finish_block(&self) -> Result<(), DataError> {
        if let Some(table) = &self.table {
            return Err(DataError::EndedInsideBlock {
                table: table.clone(),
                rows: self.totals.rows,
            });
        }
        match self.lexer.unfinished() {
            Some(statement) => Err(DataError::EndedInsideStatement(excerpt(statement))),
            None => Ok(()),
        }
    }

    fn read_script(&mut self) -> Result<Option<DataEvent>, DataError> {
        let piece = self.lexer.next(&mut self.input);
        match piece.map_err(|_| DataError::StatementTooLong { at: self.offset() })? {
            None => Ok(None),
            Some(Piece::Comment(text)) => {
                self.trailer_seen |= is_trailer(&text);
                if text != b"--" {
                    self.end_inserts();
                    self.end_announced();
                    self.announced = announced_table(&text);
                }
                Ok(None)
            }
            Some(Piece::Statement(text)) => {
                // Whatever follows the trailer makes it the trailer of something else.
                self.trailer_seen = false;
                if begins_with(&text, &["insert"]) {
                    self.insert(Bytes::from(text))?;
                    return Ok(None);
                }
                if begins_with(&text, &["copy"]) {
                    self.announced = None;
                }
                self.end_inserts();
                let event = self.statement(Bytes::from(text))?;
                self.ready.extend(event);
                Ok(None)
            }
        }
    }

    /// Another row, or the first, of a block of INSERT statements.
    fn insert(&mut self, text: Bytes) -> Result<(), DataError> {
        self.announced = None;
        let goes_on = self.inserts.as_ref().is_some_and(|run| text.starts_with(&run.head));
        if !goes_on {
            let head = parse_head(&text).map_err(|reason| self.bad(&text, reason))?;
            let Some(schema) = head.schema.as_ref().or(self.schema.as_ref()) else {
                return Err(DataError::NoSchema {
                    statement: excerpt(&text),
                    at: self.offset(),
                });
            };
            let names = head
                .columns
                .as_ref()
                .map(|names| names.iter().map(|n| self.decode(n)).collect());
            let block = CopyBlock {
                table: QualifiedName::new(self.decode(schema)?, self.decode(&head.table)?),
                columns: names.transpose()?,
                with_oids: false,
                copy_statement: text.slice(..head.length),
            };
            self.end_inserts();
            self.inserts = Some(InsertRun {
                head: block.copy_statement.clone(),
                text: Vec::new(),
            });
            self.ready.push_back(DataEvent::Begin(block));
        }
        let (standard, lengths) = (self.lexer.standard_strings, Lengths::of(&self.encoding));
        let Some(run) = &mut self.inserts else { return Ok(()) };
        let held = run.text.len();
        let values = &text[run.head.len()..];
        let rows = if values.is_empty() {
            // DEFAULT VALUES: to COPY a row without columns is an empty line.
            run.text.push(b'\n');
            Ok(1)
        } else {
            append_rows(values, standard, lengths, &mut run.text)
        };
        let (bytes, is_full) = (run.text.len() - held, run.text.len() >= INSERTED_BYTES);
        if is_full {
            let full = std::mem::take(&mut run.text);
            self.ready.push_back(DataEvent::Rows(full.into()));
        }
        self.totals.rows += rows.map_err(|reason| self.bad(&text, reason))?;
        self.totals.bytes += bytes as u64;
        Ok(())
    }

    fn bad(&self, statement: &[u8], reason: &'static str) -> DataError {
        DataError::BadCopy {
            statement: excerpt(statement),
            at: self.offset(),
            reason,
        }
    }

    /// Ends a block of INSERT statements.
    fn end_inserts(&mut self) {
        if let Some(run) = self.inserts.take() {
            if !run.text.is_empty() {
                self.ready.push_back(DataEvent::Rows(run.text.into()));
            }
            self.ready.push_back(DataEvent::End(std::mem::take(&mut self.totals)));
        }
    }

    /// A block was announced, and no row of it came.
    fn end_announced(&mut self) {
        let Some((schema, table)) = self.announced.take() else {
            return;
        };
        // A name that cannot be read belongs to a table that nothing has to be done for.
        if let (Ok(schema), Ok(table)) = (self.decode(&schema), self.decode(&table)) {
            self.ready.push_back(DataEvent::Begin(CopyBlock {
                table: QualifiedName::new(schema, table),
                columns: None,
                with_oids: false,
                copy_statement: Bytes::new(),
            }));
            self.ready.push_back(DataEvent::End(TableTotals::default()));
        }
    }

    fn statement(&mut self, text: Bytes) -> Result<Option<DataEvent>, DataError> {
        if begins_with(&text, &["copy"]) {
            let block = self.copy_block(text)?;
            self.table = Some(block.table.clone());
            self.mode = Mode::CopyLineEnd;
            return Ok(Some(DataEvent::Begin(block)));
        }
        if let Some((name, value)) = parse_set(&text) {
            match name.as_str() {
                "search_path" => self.schema = first_schema(value),
                "standard_conforming_strings" => self.lexer.standard_strings = !value.eq_ignore_ascii_case(b"off"),
                "client_encoding" => {
                    let value = literal(value).unwrap_or_else(|| value.to_vec());
                    self.encoding = String::from_utf8_lossy(&value).into_owned();
                    return Ok(Some(DataEvent::Encoding(self.encoding.clone())));
                }
                _ => {}
            }
            return Ok(None);
        }
        let squeezed: Vec<u8> = text
            .iter()
            .take(64)
            .filter(|b| !b.is_ascii_whitespace())
            .copied()
            .collect();
        let squeezed = squeezed.to_ascii_lowercase();
        if squeezed.starts_with(b"selectpg_catalog.set_config('search_path','',") {
            self.schema = None;
            return Ok(None);
        }
        let harmless = begins_with(&text, &["set"])
            || begins_with(&text, &["reset"])
            || begins_with(&text, &["begin"])
            || begins_with(&text, &["commit"])
            || is_trigger_switch(&text)
            // A segment's sequences never advance; the master's values count, and they are in its own file.
            || squeezed.starts_with(b"selectpg_catalog.setval(")
            || squeezed.starts_with(b"selectsetval(");
        if harmless || text.is_empty() {
            return Ok(None);
        }
        let schema = match &self.schema {
            Some(name) => Some(self.decode(name)?),
            None => None,
        };
        Ok(Some(DataEvent::Statement { schema, text }))
    }

    fn copy_block(&self, text: Bytes) -> Result<CopyBlock, DataError> {
        let parts = parse_copy(&text).map_err(|reason| self.bad(&text, reason))?;
        let Some(schema) = parts.schema.as_ref().or(self.schema.as_ref()) else {
            return Err(DataError::NoSchema {
                statement: excerpt(&text),
                at: self.offset(),
            });
        };
        let columns = match &parts.columns {
            None => None,
            Some(names) => Some(names.iter().map(|n| self.decode(n)).collect::<Result<Vec<_>, _>>()?),
        };
        Ok(CopyBlock {
            table: QualifiedName::new(self.decode(schema)?, self.decode(&parts.table)?),
            columns,
            with_oids: parts.with_oids,
            copy_statement: text,
        })
    }

    fn decode(&self, name: &[u8]) -> Result<String, DataError> {
        encoding::decode(name, &self.encoding).ok_or_else(|| DataError::NameNotDecoded {
            name: excerpt(name),
            at: self.offset(),
            encoding: self.encoding.clone(),
        })
    }

    fn read_copy_line_end(&mut self) -> Result<(), DataError> {
        while let Some(byte) = self.input.first().copied() {
            match byte {
                b'\n' => {
                    self.input.advance(1);
                    self.mode = Mode::Rows(Mark::LineStart);
                    return Ok(());
                }
                b' ' | b'\t' => self.input.advance(1),
                _ => {
                    let table = self.table.as_ref().map(ToString::to_string).unwrap_or_default();
                    return Err(self.bad(
                        format!("COPY {table}").as_bytes(),
                        "something stands behind it in its line",
                    ));
                }
            }
        }
        Ok(())
    }

    fn read_rows(&mut self, mark: Mark) -> Option<DataEvent> {
        let (mark, held): (Mark, &'static [u8]) = match (mark, self.input[0]) {
            (Mark::Inside, _) => return self.read_inside_rows(),
            (Mark::LineStart, b'\\') => (Mark::Backslash, b""),
            (Mark::Backslash, b'.') => (Mark::Whole, b""),
            (Mark::Whole, b'\n') => {
                self.input.advance(1);
                self.mode = Mode::Ended;
                return None;
            }
            // Not the end mark after all: what was held back is row text.
            (Mark::LineStart, _) => (Mark::Inside, b""),
            (Mark::Backslash, _) => (Mark::Inside, b"\\"),
            (Mark::Whole, _) => (Mark::Inside, b"\\."),
        };
        self.mode = Mode::Rows(mark);
        if mark != Mark::Inside {
            self.input.advance(1);
        }
        self.rows(Bytes::from_static(held))
    }

    /// Within a line the end mark can only come behind a line break: one search for all four bytes and one count of
    /// line breaks are several times faster than to look at every line.
    fn read_inside_rows(&mut self) -> Option<DataEvent> {
        let found = self.end_mark.find(&self.input);
        let (taken, skipped) = match found {
            Some(at) => {
                self.mode = Mode::Ended;
                (at + 1, 3)
            }
            None => {
                let (mark, held) = match &self.input[..] {
                    [.., b'\n', b'\\', b'.'] => (Mark::Whole, 2),
                    [.., b'\n', b'\\'] => (Mark::Backslash, 1),
                    [.., b'\n'] => (Mark::LineStart, 0),
                    _ => (Mark::Inside, 0),
                };
                self.mode = Mode::Rows(mark);
                (self.input.len() - held, held)
            }
        };
        let text = self.input.split_to(taken);
        self.input.advance(skipped);
        self.rows(text)
    }

    fn rows(&mut self, text: Bytes) -> Option<DataEvent> {
        if text.is_empty() {
            return None;
        }
        self.totals.rows += memchr::memchr_iter(b'\n', &text).count() as u64;
        self.totals.bytes += text.len() as u64;
        Some(DataEvent::Rows(text))
    }

    /// Bytes of the file that have been used up.
    fn offset(&self) -> u64 {
        let waiting: usize = self.waiting.iter().map(Bytes::len).sum();
        self.pushed_bytes - (self.input.len() + waiting) as u64
    }
}

/// The table of a comment "Data for Name". Names are bare there, so one that holds such words may be read wrong.
fn announced_table(comment: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = comment.strip_prefix(b"-- Data for Name: ")?;
    let kind = b"; Type: TABLE DATA; Schema: ";
    let at = memchr::memmem::find(text, kind)?;
    let (name, rest) = (&text[..at], &text[at + kind.len()..]);
    let schema = &rest[..memchr::memmem::rfind(rest, b"; Owner: ")?];
    Some((schema.to_vec(), name.to_vec()))
}

fn is_trailer(comment: &[u8]) -> bool {
    let text = comment.trim_ascii();
    text == super::TRAILER_TEXT.as_bytes() || text == b"-- PostgreSQL database dump complete"
}

/// The beginning of a text for a message.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut cut: String = text.chars().take(120).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
