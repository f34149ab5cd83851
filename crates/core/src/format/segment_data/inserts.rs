//! Rows as INSERT statements: made of the text that COPY sends, so that a table of any size streams through.
//!
//! The layout is that of the original's engine with `-d` and `-D` (`gp_dump.md` 3.7): numbers bare, bits as `B'101'`,
//! booleans as words, everything else a literal in which only the apostrophe is doubled, because the file says
//! `standard_conforming_strings = on`.

use super::NameNotEncoded;
use super::encoding;
use crate::words::job::TableJob;
use crate::words::names::{quote_ident, quote_ident_if_needed};
use crate::words::relation::{InsertShape, ValueKind};

/// Makes INSERT statements of one table's COPY text.
#[derive(Debug)]
pub struct InsertWriter {
    /// Everything in front of the first value.
    head: Vec<u8>,
    values: Vec<ValueKind>,
    encoding: encoding::Lengths,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    RowStart,
    /// In front of the value of this column.
    Value(usize),
    /// Inside the literal of this column.
    Literal(usize),
}

impl InsertWriter {
    /// `rows_in` and `names_in` are the encodings of the rows and of the names beside them.
    pub fn new(
        table: &TableJob,
        shape: &InsertShape,
        list_columns: bool,
        rows_in: &str,
        names_in: &str,
    ) -> Result<Self, NameNotEncoded> {
        let mut head = format!("INSERT INTO {} ", quote_ident_if_needed(&table.name.name));
        if shape.values.is_empty() {
            head.push_str("DEFAULT VALUES;\n");
        } else {
            if list_columns {
                let columns: Vec<String> = table.columns.iter().map(|c| quote_ident_if_needed(c)).collect();
                head.push_str(&format!("({}) ", columns.join(", ")));
            }
            if shape.overrides_identity {
                head.push_str("OVERRIDING SYSTEM VALUE ");
            }
            head.push_str("VALUES (");
        }
        let head = encoding::encode(&head, names_in).ok_or_else(|| NameNotEncoded {
            table: table.name.clone(),
            encoding: names_in.to_owned(),
        })?;
        Ok(InsertWriter {
            head,
            values: shape.values.clone(),
            encoding: encoding::Lengths::of(rows_in),
            place: Place::RowStart,
        })
    }

    /// Takes COPY text from the front of `rows`, which ends with a whole row, and appends SQL to `out` until `rows` is
    /// used up or `out` has about `limit` bytes. Call it again for the rest.
    pub fn write(&mut self, rows: &mut &[u8], out: &mut Vec<u8>, limit: usize) {
        while !rows.is_empty() && out.len() < limit {
            match self.place {
                Place::RowStart => {
                    out.extend_from_slice(&self.head);
                    if self.values.is_empty() {
                        // A row without columns is an empty line.
                        let end = memchr::memchr(b'\n', rows).map_or(rows.len(), |at| at + 1);
                        *rows = &rows[end..];
                    } else {
                        self.place = Place::Value(0);
                    }
                }
                Place::Value(column) => self.value(column, rows, out),
                Place::Literal(column) => {
                    if self.literal(rows, out, limit) {
                        out.push(b'\'');
                        self.end_value(column, rows, out);
                    }
                }
            }
        }
    }

    fn value(&mut self, column: usize, rows: &mut &[u8], out: &mut Vec<u8>) {
        if let [b'\\', b'N', b'\t' | b'\n', ..] = rows {
            *rows = &rows[2..];
            out.extend_from_slice(b"NULL");
            return self.end_value(column, rows, out);
        }
        let kind = self.values.get(column).copied().unwrap_or(ValueKind::Text);
        if kind == ValueKind::Text {
            out.push(b'\'');
            self.place = Place::Literal(column);
            return;
        }
        // These are short, and nothing in them is escaped.
        let end = memchr::memchr2(b'\t', b'\n', rows).unwrap_or(rows.len());
        let (text, rest) = rows.split_at(end);
        *rows = rest;
        let is_bare = |text: &[u8]| text.iter().all(|b| b"0123456789 +-eE.".contains(b));
        match (kind, text) {
            (ValueKind::Number, text) if is_bare(text) => out.extend_from_slice(text),
            (ValueKind::Boolean, b"t") => out.extend_from_slice(b"true"),
            (ValueKind::Boolean, b"f") => out.extend_from_slice(b"false"),
            (kind, text) => {
                out.extend_from_slice(if kind == ValueKind::Bits { b"B'" } else { b"'" });
                out.extend_from_slice(text);
                out.push(b'\'');
            }
        }
        self.end_value(column, rows, out);
    }

    /// True when the end of the value was reached.
    fn literal(&self, rows: &mut &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        while let Some(&byte) = rows.first() {
            if out.len() >= limit {
                return false;
            }
            match byte {
                b'\t' | b'\n' => return true,
                b'\'' => {
                    out.extend_from_slice(b"''");
                    *rows = &rows[1..];
                }
                b'\\' => {
                    let escaped = rows.get(1).copied().unwrap_or(b'\\');
                    out.push(match escaped {
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'v' => 0x0b,
                        other => other,
                    });
                    *rows = &rows[2.min(rows.len())..];
                }
                _ => {
                    let run = self
                        .encoding
                        .run(rows, limit, |b| matches!(b, b'\t' | b'\n' | b'\'' | b'\\'));
                    out.extend_from_slice(&rows[..run]);
                    *rows = &rows[run..];
                }
            }
        }
        // Rows come whole; a row without its end has none that could be waited for.
        true
    }

    fn end_value(&mut self, column: usize, rows: &mut &[u8], out: &mut Vec<u8>) {
        if rows.first() == Some(&b'\t') {
            out.extend_from_slice(b", ");
            self.place = Place::Value(column + 1);
        } else {
            out.extend_from_slice(b");\n");
            self.place = Place::RowStart;
        }
        *rows = &rows[1.min(rows.len())..];
    }
}

/// The statement that gives a table without columns as many rows; no COPY can.
pub fn insert_default_rows(table: &crate::words::names::QualifiedName, rows: usize) -> String {
    let table = format!("{}.{}", quote_ident(&table.schema), quote_ident(&table.name));
    format!("INSERT INTO {table} DEFAULT VALUES;").repeat(rows)
}

#[cfg(test)]
#[path = "inserts_tests.rs"]
mod tests;
