//! State files: how often each append-optimized table was changed, and what was last done to it, at the time of a dump.
//!
//! ```text
//! sales, ao_small, 3                                                          gp_dump_<key>_ao_state_file, _co_state_file
//! sales,ao_small,42815,ALTER,OWNER,2026-11-22 10:34:41.156837+00              gp_dump_<key>_last_operation
//! ```
//!
//! An incremental dump takes a table again when its line is new or differs. Nothing is quoted, so a name with a comma
//! makes a line that can be split in several ways; therefore lines are looked up by their text ([`ModCounts::of`]) and
//! not by their parts. An empty list is a file with one empty line. Source: `gpcrondump.md` 3.3, `gp_dump.md` 7.1.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::words::ids::Oid;
use crate::words::names::QualifiedName;

/// The original refuses counters of more than 15 digits.
pub const MAX_MOD_COUNT: u64 = 999_999_999_999_999;

/// How often a table was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModCount {
    pub table: QualifiedName,
    pub count: u64,
}

/// What was last done to a table of one kind of action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastOperation {
    pub table: QualifiedName,
    pub oid: Oid,
    /// `CREATE`, `ALTER`, `TRUNCATE`.
    pub action: String,
    pub subtype: String,
    /// The server's text of the moment.
    pub moment: String,
}

/// Counters of append-optimized tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// Of the tables that are stored by row.
    pub rows: Vec<ModCount>,
    /// Of the tables that are stored by column.
    pub columns: Vec<ModCount>,
}

/// What the state files of a set say, as the server has it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableStates {
    pub counts: TableCounts,
    pub operations: Vec<LastOperation>,
}

impl TableCounts {
    pub fn len(&self) -> usize {
        self.rows.len() + self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same in pieces of at most `size` of each kind.
    pub fn parts(&self, size: usize) -> Vec<TableCounts> {
        let rows = self.rows.chunks(size).map(|rows| TableCounts {
            rows: rows.to_vec(),
            columns: Vec::new(),
        });
        let columns = self.columns.chunks(size).map(|columns| TableCounts {
            rows: Vec::new(),
            columns: columns.to_vec(),
        });
        rows.chain(columns).collect()
    }

    /// Adds what other segments counted. A table that one of them does not have loses its count: nobody can tell.
    pub fn sum(parts: Vec<TableCounts>) -> TableCounts {
        let (rows, columns): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.rows, part.columns)).unzip();
        TableCounts {
            rows: sum_of(rows),
            columns: sum_of(columns),
        }
    }
}

fn sum_of(parts: Vec<Vec<ModCount>>) -> Vec<ModCount> {
    let segments = parts.len();
    let mut sums: BTreeMap<QualifiedName, (u64, usize)> = BTreeMap::new();
    for count in parts.into_iter().flatten() {
        let sum = sums.entry(count.table).or_default();
        *sum = (sum.0.saturating_add(count.count), sum.1 + 1);
    }
    let complete = sums.into_iter().filter(|(_, (_, seen))| *seen == segments);
    complete.map(|(table, (count, _))| ModCount { table, count }).collect()
}

/// A line that is none of a state file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    #[error("line {line} of the state file is not \"schema, table, count\": \"{text}\"")]
    Count { line: usize, text: String },
    #[error("line {line} of the last-operation file is not \"schema,table,oid,action,subtype,time\": \"{text}\"")]
    Operation { line: usize, text: String },
}

/// The text of an AO or CO state file.
///
/// A table whose name has a line break is left out, because two lines would be read from it, and so is one whose counter
/// the original could not read: a table without a line is dumped by every incremental, which is right if slow.
pub fn write_counts<'a>(counts: impl IntoIterator<Item = &'a ModCount>) -> String {
    let mut text = String::new();
    for count in counts
        .into_iter()
        .filter(|c| is_one_line(&c.table) && c.count <= MAX_MOD_COUNT)
    {
        let _ = writeln!(text, "{}, {}, {}", count.table.schema, count.table.name, count.count);
    }
    or_empty_line(text)
}

/// The text of a last-operation file; names with line breaks as in [`write_counts`].
pub fn write_operations<'a>(operations: impl IntoIterator<Item = &'a LastOperation>) -> String {
    let mut text = String::new();
    for operation in operations.into_iter().filter(|o| is_one_line(&o.table)) {
        text.push_str(&operation.line());
        text.push('\n');
    }
    or_empty_line(text)
}

/// A state file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModCounts {
    /// By what stands in front of the count, with the blank behind the comma left out or not as in the file. `None` where
    /// commas in names make two tables look the same: nobody can tell whose count it is.
    by_name: BTreeMap<String, Option<u64>>,
}

impl ModCounts {
    /// Reads lines with blanks behind the commas (since 4.3.8) and without (before).
    pub fn parse(text: &str) -> Result<ModCounts, BadState> {
        let mut by_name = BTreeMap::new();
        for (line, text) in lines(text) {
            let bad = || BadState::Count {
                line,
                text: text.to_owned(),
            };
            // The count is behind the last comma, whatever commas the names have.
            let (name, count) = text.rsplit_once(',').ok_or_else(bad)?;
            if !name.contains(',') {
                return Err(bad());
            }
            let count = Some(count.trim().parse().map_err(|_| bad())?);
            let known = by_name.entry(name.to_owned());
            known.and_modify(|known| *known = None).or_insert(count);
        }
        Ok(ModCounts { by_name })
    }

    /// The count of a table at the time of that dump; `None` when the table was not there, or nobody can tell.
    pub fn of(&self, table: &QualifiedName) -> Option<u64> {
        let since_438 = format!("{}, {}", table.schema, table.name);
        let before = || format!("{},{}", table.schema, table.name);
        self.by_name
            .get(&since_438)
            .or_else(|| self.by_name.get(&before()))
            .copied()
            .flatten()
    }

    /// The counts of these tables alone.
    pub fn only<'a>(&self, tables: impl IntoIterator<Item = &'a QualifiedName>) -> ModCounts {
        let mut by_name = BTreeMap::new();
        for table in tables {
            for name in [
                format!("{}, {}", table.schema, table.name),
                format!("{},{}", table.schema, table.name),
            ] {
                if let Some(count) = self.by_name.get(&name) {
                    by_name.insert(name, *count);
                }
            }
        }
        ModCounts { by_name }
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// A last-operation file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastOperations {
    lines: BTreeSet<String>,
}

impl LastOperations {
    pub fn parse(text: &str) -> Result<LastOperations, BadState> {
        let mut found = BTreeSet::new();
        for (line, text) in lines(text) {
            let operation = LastOperation::parse(text).ok_or_else(|| BadState::Operation {
                line,
                text: text.to_owned(),
            })?;
            found.insert(operation.line());
        }
        Ok(LastOperations { lines: found })
    }

    /// Whether the very same was the last operation at the time of that dump.
    pub fn contains(&self, operation: &LastOperation) -> bool {
        self.lines.contains(&operation.line())
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl LastOperation {
    fn line(&self) -> String {
        let LastOperation {
            table,
            oid,
            action,
            subtype,
            moment,
        } = self;
        format!("{},{},{oid},{action},{subtype},{moment}", table.schema, table.name)
    }

    /// Split from the right: only names hold commas. Of a name with commas the first one ends the schema, which may be
    /// wrong but writes the same line again.
    fn parse(line: &str) -> Option<LastOperation> {
        let mut parts = line.rsplitn(5, ',');
        let (moment, subtype, action) = (parts.next()?, parts.next()?, parts.next()?);
        let oid = parts.next()?.trim().parse().ok()?;
        let (schema, name) = parts.next()?.split_once(',')?;
        Some(LastOperation {
            table: QualifiedName::new(schema, name),
            oid: Oid(oid),
            action: action.trim().to_owned(),
            subtype: subtype.trim().to_owned(),
            moment: moment.trim().to_owned(),
        })
    }
}

/// Lines that are not blank, with their numbers from 1. Only `\n` ends a line: `\r` can be part of a name.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split('\n')).filter(|(_, line)| !line.trim().is_empty())
}

fn is_one_line(table: &QualifiedName) -> bool {
    !table.schema.contains('\n') && !table.name.contains('\n')
}

fn or_empty_line(text: String) -> String {
    if text.is_empty() { "\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AO: &str = include_str!("../../../../tests/data/reference/gp5/01-full/gp_dump_20261122103444_ao_state_file");
    const OPERATIONS: &str =
        include_str!("../../../../tests/data/reference/gp5/01-full/gp_dump_20261122103444_last_operation");

    fn count(schema: &str, name: &str, count: u64) -> ModCount {
        ModCount {
            table: QualifiedName::new(schema, name),
            count,
        }
    }

    fn operation(schema: &str, name: &str, subtype: &str) -> LastOperation {
        LastOperation {
            table: QualifiedName::new(schema, name),
            oid: Oid(7),
            action: "ALTER".into(),
            subtype: subtype.into(),
            moment: "2026-11-22 10:34:41.156837+00".into(),
        }
    }

    #[test]
    fn counts_of_chosen_tables_alone() {
        let counts = ModCounts::parse("s, a, 1\ns,b,2\ns, c, 3\n").unwrap();
        let (a, b, other) = (
            QualifiedName::new("s", "a"),
            QualifiedName::new("s", "b"),
            QualifiedName::new("s", "other"),
        );
        let some = counts.only([&a, &b, &other]);
        assert_eq!((some.of(&a), some.of(&b), some.len()), (Some(1), Some(2), 2));
    }

    #[test]
    fn state_files_of_the_original_are_read_and_written_to_the_byte() {
        let counts = [
            count("sales", "ao_small", 3),
            count("public", "ao_row", 1),
            count("sales", "orders_1_prt_other", 1),
            count("sales", "orders_1_prt_m1", 1),
            count("sales", "orders_1_prt_m2", 1),
            count("sales", "orders_1_prt_m4", 1),
            count("Odd Schema", "AO Mixed", 1),
        ];
        assert_eq!(write_counts(&counts), AO);
        let read = ModCounts::parse(AO).unwrap();
        assert_eq!(read.len(), 7);
        assert!(counts.iter().all(|c| read.of(&c.table) == Some(c.count)));
        assert_eq!(read.of(&QualifiedName::new("sales", "new")), None);
    }

    #[test]
    fn last_operations_of_the_original_are_read_and_written_to_the_byte() {
        let operations: Vec<LastOperation> = OPERATIONS.lines().map(|l| LastOperation::parse(l).unwrap()).collect();
        assert_eq!(write_operations(&operations), OPERATIONS);
        assert_eq!(operations[2].table, QualifiedName::new("sales", "ao_small"));
        let read = LastOperations::parse(OPERATIONS).unwrap();
        assert!(operations.iter().all(|o| read.contains(o)));
        let mut later = operations[2].clone();
        later.moment = "2026-11-22 11:00:00+00".into();
        assert!(!read.contains(&later));
    }

    #[test]
    fn an_empty_list_is_one_empty_line() {
        assert_eq!(write_counts([]), "\n");
        assert_eq!(write_operations([]), "\n");
        assert!(ModCounts::parse("\n").unwrap().is_empty());
        assert!(LastOperations::parse("\n").unwrap().is_empty());
    }

    #[test]
    fn lines_without_blanks_are_those_of_older_releases() {
        let read = ModCounts::parse("public,t,4\nsales, u, 5\n").unwrap();
        assert_eq!(read.of(&QualifiedName::new("public", "t")), Some(4));
        assert_eq!(read.of(&QualifiedName::new("sales", "u")), Some(5));
    }

    #[test]
    fn two_tables_that_look_the_same_have_no_count() {
        let counts = [count("a, b", "c", 1), count("a", "b, c", 2), count("a", "b", 3)];
        let read = ModCounts::parse(&write_counts(&counts)).unwrap();
        assert_eq!(counts.map(|c| read.of(&c.table)), [None, None, Some(3)]);
    }

    #[test]
    fn a_counter_that_the_original_would_refuse_has_no_line() {
        let counts = [count("s", "a", MAX_MOD_COUNT), count("s", "b", MAX_MOD_COUNT + 1)];
        assert_eq!(write_counts(&counts), "s, a, 999999999999999\n");
    }

    #[test]
    fn counts_of_segments_are_summed_and_a_table_that_one_lacks_has_none() {
        let of = |rows: &[ModCount]| TableCounts {
            rows: rows.to_vec(),
            columns: Vec::new(),
        };
        let sum = TableCounts::sum(vec![
            of(&[count("s", "a", 1), count("s", "b", 5)]),
            of(&[count("s", "a", 2)]),
        ]);
        assert_eq!(sum, of(&[count("s", "a", 3)]));
    }

    #[test]
    fn a_line_that_is_none_is_refused_with_its_number() {
        assert_eq!(
            ModCounts::parse("a, b, 1\n\nx, 2\n").unwrap_err().to_string(),
            "line 3 of the state file is not \"schema, table, count\": \"x, 2\""
        );
        assert!(ModCounts::parse("a, b, ####").is_err());
        assert!(LastOperations::parse("a,b,x,ALTER,,2020").is_err());
        assert!(LastOperations::parse("a,1,ALTER,,2020").is_err());
    }

    #[test]
    fn a_name_with_a_line_break_is_left_out_and_so_always_dirty() {
        assert_eq!(write_counts(&[count("s", "a\nb", 1), count("s", "c", 2)]), "s, c, 2\n");
        assert_eq!(write_operations(&[operation("s\n", "a", "")]), "\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_found(
            tables in proptest::collection::btree_map("[^\\n]{1,6}", ("[^\\n]{1,6}", any::<u64>()), 0..6),
            subtype in "[A-Z ]{0,10}",
        ) {
            let counts: Vec<ModCount> = tables.iter().map(|(s, (t, n))| count(&format!("{s}."), t, *n % MAX_MOD_COUNT)).collect();
            let texts: BTreeSet<String> = counts.iter().map(|c| write_counts([c]).rsplit_once(',').unwrap().0.to_owned()).collect();
            // Commas in names can make two tables look the same; those are not told apart.
            prop_assume!(texts.len() == counts.len());
            let read = ModCounts::parse(&write_counts(&counts)).unwrap();
            for count in &counts {
                prop_assert_eq!(read.of(&count.table), Some(count.count));
            }
            let operations: Vec<LastOperation> =
                counts.iter().map(|c| operation(&c.table.schema, &c.table.name, subtype.trim())).collect();
            let read = LastOperations::parse(&write_operations(&operations)).unwrap();
            prop_assert!(operations.iter().all(|o| read.contains(o)));
        }
    }
}
