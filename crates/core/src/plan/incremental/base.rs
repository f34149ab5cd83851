//! Which full dump an increment is based on (`gpcrondump.md` 3.2), and what is no base.

use std::collections::BTreeMap;

use super::StatesBefore;
use crate::format::report::{BackupType, Conclusion, ReportFacts};
use crate::words::ids::{ContentId, DbId, Prefix, TimestampKey};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// The chain that a new increment goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub full: TimestampKey,
    /// The date directory of the full dump on the master.
    pub directory: Place,
    /// Oldest first.
    pub increments: Vec<TimestampKey>,
    pub before: StatesBefore,
    /// The heap states of the last set's segments, when they are asked for and can be trusted.
    pub heap: Option<BTreeMap<ContentId, HeapFileBefore>>,
    /// Lines of the full dump's filter, for a filtered dump with a prefix.
    pub filter: Option<Vec<String>>,
    /// Schemas of which tables created later belong to the filter too.
    pub schemas: Option<Vec<String>>,
}

/// A file of heap states in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapFileBefore {
    pub dbid: DbId,
    pub name: String,
    pub sha256: String,
}

impl Base {
    /// The set that the new one is compared with.
    pub fn last(&self) -> TimestampKey {
        self.increments.last().copied().unwrap_or(self.full)
    }
}

/// A set whose report was found, as far as it lies on the master.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub key: TimestampKey,
    pub report: ReportFacts,
    /// For a set of ours: what is wrong with its manifest, `None` when nothing is.
    pub manifest_problem: Option<String>,
    /// From the manifest, else from the report.
    pub database: Option<String>,
    pub has_cdatabase: bool,
    pub has_filter_file: bool,
    /// The tables whose rows it holds, as its manifest says.
    pub tables: Option<Vec<QualifiedName>>,
}

impl Candidate {
    /// The tables of a full dump of which nobody remembers why it holds these alone; `None` for any other.
    pub fn chosen_tables(&self) -> Option<&[QualifiedName]> {
        let is_remembered = self.has_filter_file || !self.report.is_filtered();
        self.tables.as_deref().filter(|_| !is_remembered)
    }
}

/// What a set is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Usable,
    /// Another kind of set, or of another database: nothing to talk about.
    Other,
    /// It would be the base, if it were in order: told, and an older one is taken.
    Passed(String),
    Refused(Refusal),
}

/// Whether a set can be the full dump of a chain of `database`.
pub fn judge_full(candidate: &Candidate, database: &str, prefix: &Prefix) -> Verdict {
    let key = candidate.key;
    let report = &candidate.report;
    // Reports of long ago have no such line and are of full dumps, but have no state files either.
    if candidate.database.as_deref() != Some(database) || report.backup_type != Some(BackupType::Full) {
        return Verdict::Other;
    }
    if report.conclusion != Some(Conclusion::Success) {
        return Verdict::Passed(format!("Dump {key} is not the base of this one: it did not succeed"));
    }
    if let Some(problem) = &candidate.manifest_problem {
        return Verdict::Passed(format!("Dump {key} is not the base of this one: {problem}"));
    }
    if !candidate.has_cdatabase {
        return Verdict::Passed(format!(
            "Dump {key} is not the base of this one: its file with the CREATE DATABASE statement is missing"
        ));
    }
    if report.key.as_deref().and_then(|text| text.parse().ok()) != Some(key) {
        return Verdict::Refused(
            Refusal::failed("Invalid timestamp value found in report_file").with_hint(format!(
                "the report of dump {key} names key \"{}\"; a new full dump begins a new chain",
                report.key.as_deref().unwrap_or_default()
            )),
        );
    }
    // Without a prefix the increments are of everything: what the full dump does not hold is dumped by the first of
    // them, as far as the manifest tells what that is.
    let is_complete_by_increments = prefix.is_empty() && candidate.tables.is_some();
    if report.is_filtered() && !candidate.has_filter_file && !is_complete_by_increments {
        return Verdict::Passed(if prefix.is_empty() {
            format!(
                "Dump {key} is not the base of this one: it holds chosen tables only, and without --prefix nobody \
                 remembers which"
            )
        } else {
            format!("Dump {key} is not the base of this one: its list of chosen tables is missing")
        });
    }
    Verdict::Usable
}

/// Why a set is no increment of `database`; `None` when it is one.
pub fn why_no_increment(candidate: &Candidate, database: &str) -> Option<String> {
    let report = &candidate.report;
    if report.backup_type != Some(BackupType::Incremental) {
        return Some("its report does not say that it is incremental".to_owned());
    }
    if report.conclusion != Some(Conclusion::Success) {
        return Some("its report does not say that it succeeded".to_owned());
    }
    if candidate.database.as_deref() != Some(database) {
        return Some(format!(
            "it is of database {}",
            candidate.database.as_deref().unwrap_or("unknown")
        ));
    }
    candidate.manifest_problem.clone()
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
