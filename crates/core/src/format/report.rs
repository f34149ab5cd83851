//! The report of a dump, `gp_dump_<key>.rpt`: what was asked for and how it went, instance by instance.
//!
//! ```text
//! <empty line>
//! Greenplum Database Backup Report
//! Timestamp Key: 20261122102505
//! gp_dump Command Line: -p 15432 -U gpadmin --gp-c demo
//! Pass through Command Line Options: None
//! Compression Program: gzip
//! Backup Type: Full
//! Program: gpcrondump 0.1.0
//!
//! Individual Results
//! <tab>segment 0 (dbid 2) Host sdw1 Port 25432 Database demo BackupFile /data/x/gp_dump_0_2_20261122102505.gz: Succeeded<blank>
//! <tab>Master (dbid 1) Host mdw Port 15432 Database demo BackupFile /data/y/gp_dump_-1_1_20261122102505.gz: Failed with error:<blank>
//! { could not open file
//! }
//!
//! gp_dump utility finished unsuccessfully with  1  failures.
//! ```
//!
//! Only the line `Program:` is ours; it marks a set that must have a manifest. Layout: `gp_dump.md` 2.6. The report of a
//! restore is in [`restore`].

mod parse;
pub mod restore;

pub use parse::{ReportFacts, parse};

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::words::ids::{ContentId, DbId};
use crate::words::layout::Compression;
use crate::words::outcome::{InstanceOutcome, InstanceResult};

/// Whether a set holds all tables or what changed since another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    Full,
    Incremental,
}

impl BackupType {
    pub fn text(self) -> &'static str {
        match self {
            BackupType::Full => "Full",
            BackupType::Incremental => "Incremental",
        }
    }
}

/// How it went, as a report says it; messages as they stand between the braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowResult {
    Succeeded,
    Errors(String),
    Failed(String),
}

/// One line of the individual results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    pub content: ContentId,
    pub dbid: DbId,
    pub host: String,
    pub port: u16,
    pub database: String,
    /// As the original prints it: for the second row of the master `<dump file>_post_data`, which is not the name of the
    /// file when it is compressed. Never a path to open.
    pub file: String,
    pub result: RowResult,
}

/// The last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failures(usize),
    Errors,
}

/// A report to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// As typed: a report is also written for a key that is none.
    pub key: String,
    /// See [`join_arguments`].
    pub command_line: String,
    /// `None` is written as `None`.
    pub pass_through: Option<String>,
    pub compression: Compression,
    pub backup_type: BackupType,
    /// Version of our program; `None` writes a report like the original's.
    pub program: Option<String>,
    pub rows: Vec<ReportRow>,
}

impl BackupReport {
    /// The two rows of a dump that failed before its instances were known.
    pub fn early_failure_rows(host: Option<&str>, port: u16, database: Option<&str>, message: &str) -> Vec<ReportRow> {
        let row = |file: &str| ReportRow {
            content: ContentId::MASTER,
            dbid: DbId(1),
            host: host.unwrap_or("localhost").to_owned(),
            port,
            database: database.unwrap_or("unknown").to_owned(),
            file: file.to_owned(),
            result: RowResult::Failed(with_line_end(message)),
        };
        vec![row(""), row("_post_data")]
    }

    /// The whole text of the file.
    pub fn write(&self) -> String {
        let mut text = format!(
            "\nGreenplum Database Backup Report\nTimestamp Key: {}\ngp_dump Command Line: {}\n\
             Pass through Command Line Options: {}\nCompression Program: {}\nBackup Type: {}\n",
            self.key,
            self.command_line,
            self.pass_through.as_deref().unwrap_or("None"),
            match self.compression {
                Compression::Gzip => "gzip",
                Compression::None => "None",
            },
            self.backup_type.text(),
        );
        if let Some(version) = &self.program {
            let _ = writeln!(text, "Program: gpcrondump {version}");
        }
        text.push_str("\nIndividual Results\n");
        for row in &self.rows {
            row.write(&mut text);
        }
        text.push('\n');
        text.push_str(&match self.conclusion() {
            Conclusion::Success => "gp_dump utility finished successfully.\n".to_owned(),
            Conclusion::Failures(count) => {
                format!("gp_dump utility finished unsuccessfully with  {count}  failures.\n")
            }
            Conclusion::Errors => "gp_dump utility finished but errors were found.\n".to_owned(),
        });
        text
    }

    /// What the rows amount to. Instances are counted, not rows: the master has two.
    pub fn conclusion(&self) -> Conclusion {
        let failed = self.rows.iter().filter(|r| matches!(r.result, RowResult::Failed(_)));
        let failed: BTreeSet<DbId> = failed.map(|r| r.dbid).collect();
        if !failed.is_empty() {
            Conclusion::Failures(failed.len())
        } else if self.rows.iter().any(|r| matches!(r.result, RowResult::Errors(_))) {
            Conclusion::Errors
        } else {
            Conclusion::Success
        }
    }
}

impl ReportRow {
    fn write(&self, text: &mut String) {
        let who = if self.content.is_master() {
            "Master".to_owned()
        } else {
            format!("segment {}", self.content)
        };
        let _ = write!(
            text,
            "\t{who} (dbid {}) Host {} Port {} Database {} BackupFile {}: ",
            self.dbid, self.host, self.port, self.database, self.file
        );
        let _ = match &self.result {
            RowResult::Succeeded => writeln!(text, "Succeeded "),
            RowResult::Errors(message) => writeln!(text, "Finished but errors were found: \n{{ {message}}}"),
            RowResult::Failed(message) => writeln!(text, "Failed with error: \n{{ {message}}}"),
        };
    }
}

/// The rows of a dump in the original's order: highest content first, the master last and twice.
pub fn rows_of(outcomes: &[InstanceOutcome], database: &str) -> Vec<ReportRow> {
    let mut outcomes: Vec<&InstanceOutcome> = outcomes.iter().collect();
    outcomes.sort_by_key(|o| std::cmp::Reverse((o.instance.content, o.instance.dbid)));
    let mut rows = Vec::new();
    for outcome in outcomes {
        let row = ReportRow {
            content: outcome.instance.content,
            dbid: outcome.instance.dbid,
            host: outcome.instance.host.0.clone(),
            port: outcome.instance.port,
            database: database.to_owned(),
            file: outcome.file.clone(),
            result: RowResult::from(&outcome.result),
        };
        let post_data = outcome.instance.content.is_master().then(|| ReportRow {
            file: format!("{}_post_data", row.file),
            ..row.clone()
        });
        rows.push(row);
        rows.extend(post_data);
    }
    rows
}

impl From<&InstanceResult> for RowResult {
    fn from(result: &InstanceResult) -> Self {
        match result {
            InstanceResult::Succeeded(_) => RowResult::Succeeded,
            InstanceResult::Errors(messages) => RowResult::Errors(with_line_end(&messages.join("\n"))),
            InstanceResult::Failed(message) => RowResult::Failed(with_line_end(message)),
        }
    }
}

/// Arguments in one line, those with a blank, a double quote or a dollar sign in double quotes.
pub fn join_arguments<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = arguments.into_iter().map(|argument| {
        if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || c == '"' || c == '$') {
            // A line break would end the line that the arguments are shown in.
            let escaped = argument.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            format!("\"{}\"", escaped.replace('\n', "\\n").replace('\r', "\\r"))
        } else {
            argument.to_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn with_line_end(message: &str) -> String {
    if message.ends_with('\n') {
        message.to_owned()
    } else {
        format!("{message}\n")
    }
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
