//! What a restore has done so far, `gp_restore_<key>_resume`: what `gpdbrestore --resume` goes on from.
//!
//! ```text
//! {"begin":{"format":1,"program":"gpdbrestore 0.1.0","key":"20240102030405","database":"shop","database_oid":16411,"set":"9f86d0...","request":{"-e":"given"},"made_database":true,"errors":[]}}
//! {"there":[{"schema":"public","name":"notes"}]}
//! {"definitions":{"errors":[],"not_restored":[],"failed_tables":[]}}
//! {"loaded":[{"table":{"schema":"public","name":"orders"},"oid":16415,"rows":120}]}
//! "ended"
//! ```
//!
//! Lines are only ever added. The last one may be cut off: the program was killed while it wrote it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::words::ids::{Oid, TimestampKey};
use crate::words::names::QualifiedName;

/// Raised when a line changes its meaning.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Begin(Begin),
    /// Relations, as the database calls them, that were there before the restore.
    There(Vec<QualifiedName>),
    /// The definitions before the data were all run.
    Definitions(DefinitionsDone),
    Loaded(Vec<LoadedWhole>),
    /// All of it went well: there is nothing to go on with.
    Ended,
}

/// What the restore is one of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    pub program: String,
    pub key: TimestampKey,
    pub database: String,
    pub database_oid: Oid,
    /// A sum over everything in the set that decides what is restored.
    pub set: String,
    /// What was asked for: option and value.
    pub request: BTreeMap<String, String>,
    /// The database was made by this restore: what is in it came from the set.
    pub made_database: bool,
    /// What went wrong before the first definition.
    pub errors: Vec<String>,
}

/// How the definitions before the data went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionsDone {
    pub errors: Vec<String>,
    pub not_restored: Vec<Refused>,
    pub failed_tables: BTreeSet<QualifiedName>,
}

/// Something that the server would not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub what: String,
    pub why: Vec<String>,
    pub search_path: Option<String>,
    pub sql: String,
}

/// A table with all its rows in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedWhole {
    /// As the set calls it.
    pub table: QualifiedName,
    /// Of the table in the database.
    pub oid: Oid,
    pub rows: u64,
}

/// All lines together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRecord {
    pub begin: Begin,
    pub there: BTreeSet<QualifiedName>,
    pub definitions: Option<DefinitionsDone>,
    pub loaded: BTreeMap<QualifiedName, LoadedWhole>,
    pub ended: bool,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    #[error("it has no first line")]
    Empty,
    #[error("line {0} is damaged")]
    Damaged(usize),
    #[error("it is of format {0}, and this program knows format {FORMAT}")]
    Format(u32),
}

impl Line {
    /// With its line end.
    pub fn text(&self) -> String {
        // There is nothing in a line that JSON cannot say: names of fields are texts, and all else is data.
        format!("{}\n", serde_json::to_string(self).unwrap_or_default())
    }
}

impl ResumeRecord {
    /// Reads a record. Lines behind the last line end were not finished and say nothing.
    pub fn parse(bytes: &[u8]) -> Result<ResumeRecord, BadRecord> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut record: Option<ResumeRecord> = None;
        for (at, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let damaged = BadRecord::Damaged(at + 1);
            let line: Line = serde_json::from_slice(line).map_err(|_| damaged.clone())?;
            match (&mut record, line) {
                (None, Line::Begin(begin)) if begin.format != FORMAT => return Err(BadRecord::Format(begin.format)),
                (None, Line::Begin(begin)) => {
                    record = Some(ResumeRecord {
                        begin,
                        there: BTreeSet::new(),
                        definitions: None,
                        loaded: BTreeMap::new(),
                        ended: false,
                    });
                }
                (None, _) | (Some(_), Line::Begin(_)) => return Err(damaged),
                (Some(record), Line::There(names)) => record.there.extend(names),
                (Some(record), Line::Definitions(done)) => record.definitions = Some(done),
                (Some(record), Line::Loaded(tables)) => {
                    // What was said last holds.
                    record
                        .loaded
                        .extend(tables.into_iter().map(|one| (one.table.clone(), one)));
                }
                (Some(record), Line::Ended) => record.ended = true,
            }
        }
        record.ok_or(BadRecord::Empty)
    }

    /// The lines that say the same.
    pub fn lines(&self) -> Vec<Line> {
        /// Names in one line.
        const PER_LINE: usize = 500;
        let mut lines = vec![Line::Begin(self.begin.clone())];
        let there: Vec<QualifiedName> = self.there.iter().cloned().collect();
        lines.extend(there.chunks(PER_LINE).map(|names| Line::There(names.to_vec())));
        lines.extend(self.definitions.clone().map(Line::Definitions));
        let loaded: Vec<LoadedWhole> = self.loaded.values().cloned().collect();
        lines.extend(loaded.chunks(PER_LINE).map(|tables| Line::Loaded(tables.to_vec())));
        lines.extend(self.ended.then_some(Line::Ended));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ResumeRecord {
        let table = QualifiedName::new("public", "or\nders");
        ResumeRecord {
            begin: Begin {
                format: FORMAT,
                program: "gpdbrestore 0".into(),
                key: "20240102030405".parse().unwrap(),
                database: "shop".into(),
                database_oid: Oid(16411),
                set: "00".into(),
                request: [("-e".to_owned(), "given".to_owned())].into(),
                made_database: true,
                errors: Vec::new(),
            },
            there: [QualifiedName::new("public", "notes")].into(),
            definitions: Some(DefinitionsDone::default()),
            loaded: [(
                table.clone(),
                LoadedWhole {
                    table,
                    oid: Oid(16415),
                    rows: 120,
                },
            )]
            .into(),
            ended: true,
        }
    }

    fn text(record: &ResumeRecord) -> String {
        record.lines().iter().map(Line::text).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(ResumeRecord::parse(text(&record()).as_bytes()), Ok(record()));
    }

    #[test]
    fn a_record_cut_at_any_byte_says_what_its_whole_lines_say_or_is_empty() {
        let whole = text(&record());
        for end in 0..whole.len() {
            match ResumeRecord::parse(&whole.as_bytes()[..end]) {
                Ok(read) => assert!(!read.ended && read.begin == record().begin),
                Err(error) => assert_eq!(error, BadRecord::Empty),
            }
        }
    }

    #[test]
    fn a_damaged_line_and_another_format_are_refused() {
        let damaged = text(&record()).replacen("{\"there\"", "{\"their\"", 1);
        assert_eq!(ResumeRecord::parse(damaged.as_bytes()), Err(BadRecord::Damaged(2)));
        let newer = text(&record()).replacen("\"format\":1", "\"format\":2", 1);
        assert_eq!(ResumeRecord::parse(newer.as_bytes()), Err(BadRecord::Format(2)));
        assert_eq!(ResumeRecord::parse(b"\"ended\"\n"), Err(BadRecord::Damaged(1)));
    }
}
