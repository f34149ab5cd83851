//! Reads `PARTITION BY RANGE (d) SUBPARTITION BY LIST (r) (PARTITION p START (x) END (y) WITH (tablename='t') (...), ...)`.

use crate::format::sql_script::Span;
use crate::plan::translate::statement::{Statement, literal};
use crate::plan::translate::tables::items;

/// The whole clause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clause<'a> {
    /// From the table downwards.
    pub(super) levels: Vec<Level<'a>>,
    pub(super) partitions: Vec<Partition<'a>>,
}

/// What partitions of one level are told apart by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Level<'a> {
    pub(super) is_list: bool,
    /// As they are written.
    pub(super) columns: Vec<&'a [u8]>,
}

/// One partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Partition<'a> {
    /// The real name of its table.
    pub(super) table: Vec<u8>,
    pub(super) is_default: bool,
    pub(super) start: Option<Bound<'a>>,
    pub(super) end: Option<Bound<'a>>,
    /// What stands between the parentheses of VALUES.
    pub(super) values: Option<&'a [u8]>,
    /// How it is stored: `appendonly=true` and its like.
    pub(super) options: Vec<&'a [u8]>,
    pub(super) partitions: Vec<Partition<'a>>,
}

/// An end of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound<'a> {
    pub(super) value: &'a [u8],
    /// As is usual: a start that belongs to the range, an end that does not.
    pub(super) is_edge: bool,
    /// `(value) INCLUSIVE`, in the text of the statement.
    pub(super) span: Span,
}

impl<'a> Clause<'a> {
    /// Nothing when the clause has no list of partitions with the names of their tables.
    pub(super) fn read(statement: &Statement<'a>, at: usize) -> Option<Clause<'a>> {
        let mut levels = Vec::new();
        let mut at = at;
        while (statement.is(at, "partition") || statement.is(at, "subpartition")) && statement.is(at + 1, "by") {
            let is_list = statement.is(at + 2, "list");
            if !is_list && !statement.is(at + 2, "range") {
                return None;
            }
            let close = statement.closing(at + 3)?;
            let columns = items(statement, at + 3, close);
            levels.push(Level {
                is_list,
                columns: columns
                    .into_iter()
                    .map(|(from, to)| statement.slice(from, to))
                    .collect(),
            });
            at = close + 1;
            if statement.are(at, &["subpartition", "template"]) {
                at = statement.closing(at + 2)? + 1;
            }
        }
        let close = Some(at).filter(|at| statement.is_sign(*at, b'('))?;
        let close = statement.closing(close)?;
        Some(Clause {
            levels,
            partitions: partitions(statement, at, close)?,
        })
    }
}

fn partitions<'a>(statement: &Statement<'a>, open: usize, close: usize) -> Option<Vec<Partition<'a>>> {
    let found = items(statement, open, close);
    found
        .into_iter()
        .map(|(from, to)| partition(statement, from, to))
        .collect()
}

fn partition<'a>(statement: &Statement<'a>, from: usize, to: usize) -> Option<Partition<'a>> {
    let mut partition = Partition {
        table: Vec::new(),
        is_default: false,
        start: None,
        end: None,
        values: None,
        options: Vec::new(),
        partitions: Vec::new(),
    };
    let mut at = from;
    if statement.is(at, "default") {
        partition.is_default = true;
        at += 1;
    }
    if statement.is(at, "partition") || statement.is(at, "subpartition") {
        // The name may be any word.
        at += 2;
    }
    while at <= to {
        let opens = statement.is_sign(at + 1, b'(');
        let close = statement.closing(at + 1).filter(|_| opens);
        match close {
            Some(close) if statement.is(at, "start") || statement.is(at, "end") => {
                let is_start = statement.is(at, "start");
                let inclusive = statement.is(close + 1, "inclusive");
                let exclusive = statement.is(close + 1, "exclusive");
                let last = close + usize::from(inclusive || exclusive);
                let bound = Bound {
                    value: statement.slice(at + 2, close - 1),
                    is_edge: if is_start { !exclusive } else { !inclusive },
                    span: statement.span(at + 1, last),
                };
                match is_start {
                    true => partition.start = Some(bound),
                    false => partition.end = Some(bound),
                }
                at = last + 1;
            }
            Some(close) if statement.is(at, "values") => {
                partition.values = Some(statement.slice(at + 2, close - 1));
                at = close + 1;
            }
            Some(close) if statement.is(at, "with") => {
                for (from, to) in items(statement, at + 1, close) {
                    match statement.is(from, "tablename") {
                        true => partition.table = literal(&statement.tokens[to], statement.standard_strings)?,
                        false => partition.options.push(statement.slice(from, to)),
                    }
                }
                at = close + 1;
            }
            // EVERY, ENCODING: nothing that rows depend on.
            Some(close) => at = close + 1,
            None if statement.is_sign(at, b'(') => {
                let close = statement.closing(at)?;
                partition.partitions = partitions(statement, at, close)?;
                at = close + 1;
            }
            None => at += 1,
        }
    }
    (!partition.table.is_empty()).then_some(partition)
}
