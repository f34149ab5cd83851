//! The object that `--json` prints at the end of a run: one line on standard output, and nothing else there.
//!
//! ```text
//! {"format":1,"program":"gpcrondump","version":"0.1.0","action":"dump","exit_status":0,"outcome":"ok",...,
//!  "databases":[{"database":"sales","key":"20240102030405","outcome":"ok","files":12,"bytes":40960,...}]}
//! ```
//!
//! All fields are in `docs/formats/json.md`. Fields may be added; one that changes its meaning raises [`FORMAT`].

use std::path::PathBuf;

use serde::Serialize;

use super::manifest::{BaseSets, Consistency, Manifest};
use super::manifest_summary::ManifestSummary;
use super::report::BackupType;
use crate::words::exit::Exit;
use crate::words::ids::TimestampKey;
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// The version of this format.
pub const FORMAT: u32 = 1;

/// What every run tells, with what only some of them do in `body`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport<Body> {
    pub format: u32,
    pub program: String,
    pub version: String,
    pub action: Action,
    /// As the shell sees it.
    pub exit_status: u8,
    pub outcome: Outcome,
    /// The options as they were typed.
    pub command_line: String,
    pub host: Option<String>,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub ended: String,
    pub seconds: f64,
    pub log_file: Option<PathBuf>,
    /// The lines of the log, without their heads; the first [`MESSAGES`].
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
    /// What helps against the last error.
    pub hint: Option<String>,
    #[serde(flatten)]
    pub body: Body,
}

/// Warnings and errors that are kept of each kind; the log file has all.
pub const MESSAGES: usize = 1000;

impl<Body: Serialize> RunReport<Body> {
    /// One line with its end.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a report has only strings as keys");
        line.push('\n');
        line
    }
}

/// What the run was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The options were refused before it was clear.
    None,
    Dump,
    /// `gpcrondump -o`
    CleanUp,
    /// `gpcrondump --list-filter-tables`
    ListFilterTables,
    ListBackups,
    Restore,
    /// `gpdbrestore -L`
    ListTables,
    /// `gpdbrestore --list-backup`
    ListBackup,
    /// `gpdbrestore --verify`
    Verify,
}

/// The exit status in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Ok,
    Warnings,
    Failed,
    /// The question was answered with no.
    Aborted,
    /// Of a database whose turn never came.
    NotDone,
}

impl From<Exit> for Outcome {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Outcome::Ok,
            Exit::Warnings => Outcome::Warnings,
            Exit::Failed => Outcome::Failed,
            Exit::Aborted => Outcome::Aborted,
        }
    }
}

/// A run that has nothing to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NoBody {}

/// What a dump adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DumpBody {
    /// In the order in which they are dumped.
    pub databases: Vec<DatabaseDump>,
}

/// One database of a dump.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseDump {
    pub database: String,
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
    pub hint: Option<String>,
    /// `None` when it failed before it had one.
    pub key: Option<TimestampKey>,
    /// `None` unless there is a set.
    pub set: Option<SetFacts>,
}

/// A set that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetFacts {
    /// Without the underscore; empty: none.
    pub prefix: String,
    pub kind: BackupType,
    /// The master's.
    pub directory: Place,
    /// On all hosts, the manifest left out.
    pub files: u64,
    /// Of these files.
    pub bytes: u64,
    pub segments: u64,
    pub tables: u64,
    pub rows: u64,
    /// Of the rows as text, before compression, on all segments.
    pub row_bytes: u64,
    pub seconds: Option<i64>,
    /// Whether all segments show the same transactions.
    pub cut: Consistency,
    /// Of an increment.
    pub base: Option<BaseSets>,
}

impl DatabaseDump {
    /// Before its turn has come.
    pub fn waiting(database: &str) -> Self {
        DatabaseDump {
            database: database.to_owned(),
            outcome: Outcome::NotDone,
            error: None,
            hint: None,
            key: None,
            set: None,
        }
    }

    pub fn failed(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Failed;
        self.error = Some(refusal.text.clone());
        self.hint.clone_from(&refusal.hint);
    }

    pub fn dumped(&mut self, exit: Exit, directory: Place, manifest: &Manifest) {
        let summary = ManifestSummary::of(manifest);
        let (files, bytes) = summary.files();
        self.outcome = exit.into();
        self.key = Some(summary.key);
        self.set = Some(SetFacts {
            prefix: summary.prefix.as_str().trim_end_matches('_').to_owned(),
            kind: summary.backup_type,
            directory,
            files,
            bytes,
            segments: summary.segments(),
            tables: summary.sums.tables,
            rows: summary.rows(),
            row_bytes: summary.sums.bytes,
            seconds: summary.seconds(),
            base: summary.base,
            cut: summary.consistency,
        });
    }
}

/// What a restore adds; fields are empty as far as it did not get there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RestoreBody {
    pub key: Option<TimestampKey>,
    /// Without the underscore; empty: none.
    pub prefix: String,
    pub kind: Option<BackupType>,
    /// The database that was restored into.
    pub database: Option<String>,
    /// The one that was dumped.
    pub set_database: Option<String>,
    /// The sets that rows came from, newest first.
    pub sets: Vec<TimestampKey>,
    /// Tables that rows were loaded into.
    pub tables: u64,
    pub rows: u64,
    /// What the server refused, and what did not add up; the first [`MESSAGES`].
    pub restore_errors: Vec<String>,
    /// Tables whose rows are not in, or not all of them.
    pub failed_tables: Vec<String>,
    /// What was left as it is, left out, or made beside what was asked for.
    pub notes: Vec<String>,
    /// Of `-L` and `--list-backup`.
    pub listed: Vec<String>,
}
