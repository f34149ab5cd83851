//! Looks whether the text of a data file could be loaded: every block ends, every row has its columns. Blocks of INSERT
//! statements are looked at as the COPY text that they are made into.
//!
//! ```text
//! COPY t (a, b) FROM stdin;
//! 1<tab>x
//! 2                    <- row 2 has 1 column, its statement has 2
//! \.
//! ```
//!
//! Only a server can say whether a value is one of its type; what the frame of the rows can tell is told here.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::segment_data::{BlockReader, CopyBlock, DataError, DataEvent};
use crate::words::job::TableTotals;
use crate::words::names::QualifiedName;

/// A block that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedBlock {
    #[serde(flatten)]
    pub table: QualifiedName,
    #[serde(flatten)]
    pub totals: TableTotals,
    /// Why its rows cannot be loaded.
    pub problem: Option<String>,
}

/// Why nothing behind a place of a data file can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("it holds a statement that brings no rows (\"{0}\"), which no restore runs")]
    Statement(String),
}

/// Push checker: [`push`](Self::push) the text in pieces of any size, then [`finish`](Self::finish).
#[derive(Debug, Default)]
pub struct DataCheck {
    reader: BlockReader,
    open: Option<OpenBlock>,
}

#[derive(Debug)]
struct OpenBlock {
    table: QualifiedName,
    rows: RowShapes,
}

impl DataCheck {
    pub fn new() -> Self {
        DataCheck::default()
    }

    /// Takes the next bytes of the unpacked file; gives the blocks that end in them to `ended`.
    pub fn push(&mut self, text: Bytes, mut ended: impl FnMut(CheckedBlock)) -> Result<(), Unusable> {
        self.reader.push(text);
        self.take_events(&mut ended)
    }

    fn take_events(&mut self, ended: &mut dyn FnMut(CheckedBlock)) -> Result<(), Unusable> {
        while let Some(event) = self.reader.next_event()? {
            match event {
                DataEvent::Encoding(_) => {}
                DataEvent::Begin(block) => {
                    self.open = Some(OpenBlock {
                        rows: RowShapes::of(&block),
                        table: block.table,
                    });
                }
                DataEvent::Rows(text) => {
                    if let Some(open) = &mut self.open {
                        open.rows.take(&text);
                    }
                }
                DataEvent::End(totals) => {
                    if let Some(open) = self.open.take() {
                        ended(CheckedBlock {
                            table: open.table,
                            totals,
                            problem: open.rows.problem(),
                        });
                    }
                }
                DataEvent::Statement { text, .. } => {
                    let shown = String::from_utf8_lossy(&text).chars().take(120).collect();
                    return Err(Unusable::Statement(shown));
                }
            }
        }
        Ok(())
    }

    /// The table whose block is open.
    pub fn inside(&self) -> Option<&QualifiedName> {
        self.open.as_ref().map(|open| &open.table)
    }

    /// Says that the file is over; a block may end with it.
    pub fn finish(mut self, mut ended: impl FnMut(CheckedBlock)) -> Result<(), Unusable> {
        self.reader.close();
        self.take_events(&mut ended)?;
        Ok(self.reader.finish()?)
    }

    /// Says that a part of the file, cut at the ends of blocks, is over.
    pub fn finish_part(mut self, mut ended: impl FnMut(CheckedBlock)) -> Result<(), Unusable> {
        self.reader.close();
        self.take_events(&mut ended)?;
        Ok(self.reader.finish_part()?)
    }
}

/// Counts the columns of rows that arrive in pieces.
#[derive(Debug)]
struct RowShapes {
    /// Columns of a good row; of INSERT statements without names the first row tells.
    expected: Option<u64>,
    row: u64,
    tabs: u64,
    /// The row has a byte; a row without one is the only row of a table without columns.
    any: bool,
    first_bad: Option<(u64, u64)>,
    bad_rows: u64,
}

impl RowShapes {
    fn of(block: &CopyBlock) -> Self {
        let is_copy = block
            .copy_statement
            .get(..4)
            .is_some_and(|w| w.eq_ignore_ascii_case(b"copy"));
        let columns = match &block.columns {
            Some(columns) => Some(columns.len()),
            None => is_copy.then_some(0),
        };
        RowShapes {
            expected: columns.map(|columns| (columns + usize::from(block.with_oids)) as u64),
            row: 1,
            tabs: 0,
            any: false,
            first_bad: None,
            bad_rows: 0,
        }
    }

    fn take(&mut self, text: &[u8]) {
        let mut rest = 0;
        for at in memchr::memchr2_iter(b'\t', b'\n', text) {
            if text[at] == b'\t' {
                self.tabs += 1;
                continue;
            }
            self.any |= at > rest;
            rest = at + 1;
            self.end_row();
        }
        self.any |= rest < text.len();
    }

    fn end_row(&mut self) {
        // A row of one column can be an empty text.
        let found = match (self.expected, self.any) {
            (Some(0), false) => 0,
            _ => self.tabs + 1,
        };
        if found != *self.expected.get_or_insert(found) {
            self.first_bad.get_or_insert((self.row, found));
            self.bad_rows += 1;
        }
        self.row += 1;
        self.tabs = 0;
        self.any = false;
    }

    fn problem(&self) -> Option<String> {
        let (row, found) = self.first_bad?;
        let more = match self.bad_rows {
            1 => String::new(),
            count => format!(", and {} more rows are like that", count - 1),
        };
        Some(format!(
            "row {row} has {found} columns, and its statement has {}{more}",
            self.expected.unwrap_or_default()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, piece: usize) -> (Vec<CheckedBlock>, Result<(), Unusable>) {
        let mut check = DataCheck::new();
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            if let Err(error) = check.push(Bytes::copy_from_slice(piece), |block| found.push(block)) {
                return (found, Err(error));
            }
        }
        let end = check.finish_part(|block| found.push(block));
        (found, end)
    }

    fn problem(head: &str, rows: &str) -> Option<String> {
        let text = format!("SET search_path = s;\nCOPY {head} FROM stdin;\n{rows}\\.\n");
        let whole = check(&text, text.len());
        for piece in 1..9 {
            assert_eq!(check(&text, piece), whole, "in pieces of {piece}");
        }
        let (mut blocks, end) = whole;
        end.unwrap();
        blocks.remove(0).problem
    }

    #[test]
    fn rows_with_another_number_of_columns_are_named() {
        assert_eq!(problem("t (a, b)", "1\tx\n\\N\t\n"), None);
        assert_eq!(problem("t (a)", "\n1\n"), None);
        assert_eq!(problem("t ", "\n\n"), None);
        assert_eq!(problem("t (a) WITH OIDS", "1\tx\n"), None);
        assert_eq!(
            problem("t (a, b)", "1\tx\n2\n3\ty\n\n1\t2\t3\n").unwrap(),
            "row 2 has 1 columns, and its statement has 2, and 2 more rows are like that"
        );
        assert_eq!(
            problem("t ", "x\n").unwrap(),
            "row 1 has 1 columns, and its statement has 0"
        );
    }

    #[test]
    fn insert_statements_are_rows_too() {
        let text =
            "INSERT INTO s.t VALUES (1, 'a\tb');\nINSERT INTO s.t VALUES (2, NULL);\nINSERT INTO s.u VALUES (3);\n";
        let (blocks, end) = check(text, text.len());
        end.unwrap();
        let found: Vec<_> = blocks.iter().map(|b| (b.totals.rows, b.problem.clone())).collect();
        assert_eq!(found, [(2, None), (1, None)]);
        assert_eq!(check(text, 3).0, blocks);
    }

    #[test]
    fn what_a_restore_would_refuse_is_an_error() {
        let (_, end) = check("TRUNCATE t;\n", 100);
        assert!(end.unwrap_err().to_string().contains("brings no rows"));
        let (blocks, end) = check("COPY s.t (a) FROM stdin;\n1\n\\.\nCOPY s.u (a) FROM stdin;\n1\n", 7);
        assert_eq!(blocks.len(), 1);
        assert!(end.unwrap_err().to_string().contains("inside the rows of table s.u"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..20) {
            let text = String::from_utf8_lossy(&text).into_owned();
            let _ = check(&text, piece);
            let _ = check(&format!("COPY s.t (a) FROM stdin;\n{text}"), piece);
        }
    }
}
