//! What was found in all files of a restore, and what that amounts to: which tables could be restored.
//!
//! Tables have their text, `schema.table`, as in the lists of a chain.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::format::data_check::CheckedBlock;
use crate::words::ids::TimestampKey;
use crate::words::job::TableTotals;

/// A table whose rows must be in every data file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub table: String,
    /// What the manifest counts, all segments together.
    pub totals: Option<TableTotals>,
}

/// Takes what workers find, file by file.
#[derive(Debug, Default)]
pub struct Tally {
    sets: Vec<SetTally>,
    files: Vec<FileTally>,
    damaged: BTreeMap<String, BTreeSet<String>>,
    /// What is wrong with whole data files.
    pub problems: Vec<String>,
    /// Data files that are not there, so that a restore refuses their set.
    pub lost_files: usize,
    /// What is wrong beside the rows.
    pub beside: Vec<String>,
    pub unchecked: Vec<String>,
    /// Rows of tables that were counted where they are.
    elsewhere: Vec<u64>,
}

#[derive(Debug)]
struct SetTally {
    key: TimestampKey,
    expected: Vec<Expected>,
    /// The file that names all that the data files can hold.
    list: Option<String>,
    files: usize,
    seen: HashMap<String, Seen>,
}

#[derive(Debug)]
struct FileTally {
    set: usize,
    name: String,
    tables: u64,
    totals: TableTotals,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    totals: TableTotals,
    files: usize,
}

/// What all of it amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Tables that were asked for.
    pub tables: usize,
    pub rows: u64,
    /// Tables that cannot be restored as they were, each with the reasons.
    pub damaged: BTreeMap<String, BTreeSet<String>>,
}

impl Tally {
    /// A set that rows come from, with the tables that come from it; `list`: the file that says so, when it holds no others.
    pub fn set(&mut self, key: TimestampKey, expected: Vec<Expected>, list: Option<String>) -> usize {
        self.sets.push(SetTally {
            key,
            expected,
            list,
            files: 0,
            seen: HashMap::new(),
        });
        self.sets.len() - 1
    }

    /// A data file of a set; the number is for what is found in it.
    pub fn file(&mut self, set: usize, name: String) -> usize {
        self.sets[set].files += 1;
        self.files.push(FileTally {
            set,
            name,
            tables: 0,
            totals: TableTotals::default(),
        });
        self.files.len() - 1
    }

    /// A data file that is not there.
    pub fn missing(&mut self, set: usize, sentence: String) {
        self.sets[set].files += 1;
        self.lost_files += 1;
        self.problems.push(sentence);
    }

    /// Blocks of a file.
    pub fn blocks(&mut self, file: usize, blocks: Vec<CheckedBlock>) {
        let Some(file) = self.files.get_mut(file) else { return };
        let set = &mut self.sets[file.set];
        for block in blocks {
            let table = block.table.to_string();
            if let Some(problem) = block.problem {
                self.damaged.entry(table.clone()).or_default().insert(problem);
            }
            file.tables += 1;
            file.totals.rows += block.totals.rows;
            file.totals.bytes += block.totals.bytes;
            let seen = set.seen.entry(table).or_default();
            seen.files += 1;
            seen.totals.rows += block.totals.rows;
            seen.totals.bytes += block.totals.bytes;
        }
    }

    /// A table that is in the set without its rows.
    pub fn without_rows(&mut self, table: String, reason: String) {
        self.damaged.entry(table).or_default().insert(reason);
    }

    /// A table whose rows are in no file of the set, and were counted where they are.
    pub fn elsewhere(&mut self, rows: u64) {
        self.elsewhere.push(rows);
    }

    /// How a file is called, with tables and totals, for a line of the log.
    pub fn describe(&self, file: usize) -> String {
        match self.files.get(file) {
            None => String::new(),
            Some(FileTally {
                name, tables, totals, ..
            }) => format!("{name}: {tables} tables, {} rows, {} bytes", totals.rows, totals.bytes),
        }
    }

    /// Holds what was found against what should be there. `defined`: the tables that the definitions create.
    pub fn judge(&mut self, defined: &HashSet<String>) -> Judgement {
        let mut judgement = Judgement {
            tables: self.elsewhere.len(),
            rows: self.elsewhere.iter().sum(),
            ..Judgement::default()
        };
        let mut damaged = std::mem::take(&mut self.damaged);
        for set in &self.sets {
            let key = set.key;
            let mut wanted = HashSet::new();
            for Expected { table, totals } in &set.expected {
                wanted.insert(table.as_str());
                judgement.tables += 1;
                let seen = set.seen.get(table).copied().unwrap_or_default();
                judgement.rows += seen.totals.rows;
                let told = damaged.contains_key(table);
                let mut say = |reason: String| {
                    damaged.entry(table.clone()).or_default().insert(reason);
                };
                if !defined.contains(table) {
                    say("the definitions of the set do not create it".to_owned());
                }
                let counted = totals.unwrap_or(seen.totals);
                if seen.files < set.files {
                    say(format!(
                        "its rows were found in {} of {} data files of set {key}",
                        seen.files, set.files
                    ));
                } else if seen.files > set.files {
                    say(format!("its rows are more than once in a data file of set {key}"));
                } else if counted != seen.totals && !told {
                    say(format!(
                        "the data files have {} rows of it, and the manifest of set {key} counts {}",
                        seen.totals.rows, counted.rows
                    ));
                }
            }
            let Some(list) = &set.list else { continue };
            // The originals write empty blocks of tables above their partitions too.
            let others = set.seen.iter().filter(|(_, seen)| seen.totals.rows > 0);
            for (table, _) in others.filter(|(table, _)| !wanted.contains(table.as_str())) {
                let reason = format!("a data file of set {key} has rows of it, and {list} does not name it");
                damaged.entry(table.clone()).or_default().insert(reason);
            }
        }
        judgement.damaged = damaged;
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::names::QualifiedName;

    fn block(name: &str, rows: u64, problem: Option<&str>) -> CheckedBlock {
        CheckedBlock {
            table: QualifiedName::new("s", name),
            totals: TableTotals { rows, bytes: rows },
            problem: problem.map(str::to_owned),
        }
    }

    fn expected(name: &str, rows: Option<u64>) -> Expected {
        Expected {
            table: format!("s.{name}"),
            totals: rows.map(|rows| TableTotals { rows, bytes: rows }),
        }
    }

    #[test]
    fn tables_whose_rows_lie_elsewhere_count_too() {
        let mut tally = Tally::default();
        tally.elsewhere(7);
        tally.elsewhere(3);
        tally.without_rows("s.lost".to_owned(), "4 rows are missing".to_owned());
        let judgement = tally.judge(&HashSet::new());
        assert_eq!((judgement.tables, judgement.rows, judgement.damaged.len()), (2, 10, 1));
    }

    #[test]
    fn what_is_not_as_expected_is_damaged_and_nothing_else() {
        let mut tally = Tally::default();
        let tables = ["good", "short", "bad", "lost"].map(|name| expected(name, Some(4)));
        let set = tally.set(
            "20240102030405".parse().unwrap(),
            tables.to_vec(),
            Some("the manifest".into()),
        );
        let files = [tally.file(set, "a".into()), tally.file(set, "b".into())];
        for file in files {
            let short = if file == 0 { 1 } else { 2 };
            let bad = (file == 1).then_some("row 1 is wrong");
            tally.blocks(
                file,
                vec![
                    block("good", 2, None),
                    block("short", short, None),
                    block("bad", 2, bad),
                ],
            );
        }
        tally.blocks(
            files[0],
            vec![
                block("lost", 2, None),
                block("strange", 1, None),
                block("parent", 0, None),
            ],
        );
        assert_eq!(tally.describe(files[1]), "b: 3 tables, 6 rows, 6 bytes");
        let defined = ["s.good", "s.short", "s.bad", "s.lost"].map(str::to_owned).into();
        let judgement = tally.judge(&defined);
        assert_eq!((judgement.tables, judgement.rows), (4, 13));
        let said: Vec<String> = judgement
            .damaged
            .iter()
            .map(|(table, why)| format!("{table}: {}", why.iter().cloned().collect::<Vec<_>>().join("; ")))
            .collect();
        assert_eq!(
            said,
            [
                "s.bad: row 1 is wrong",
                "s.lost: its rows were found in 1 of 2 data files of set 20240102030405",
                "s.short: the data files have 3 rows of it, and the manifest of set 20240102030405 counts 4",
                "s.strange: a data file of set 20240102030405 has rows of it, and the manifest does not name it",
            ]
        );
    }

    #[test]
    fn a_missing_file_damages_every_table_of_its_set() {
        let mut tally = Tally::default();
        let set = tally.set("20240102030405".parse().unwrap(), vec![expected("t", None)], None);
        let file = tally.file(set, "a".into());
        tally.missing(set, "b is missing".into());
        tally.blocks(file, vec![block("t", 2, None), block("u", 2, None)]);
        let judgement = tally.judge(&["s.t".to_owned()].into());
        assert_eq!(judgement.damaged.keys().collect::<Vec<_>>(), ["s.t"]);
        assert_eq!(tally.problems, ["b is missing"]);
    }
}
