//! The report of a restore, `gp_restore_<key>.rpt`.
//!
//! ```text
//! <empty line>
//! Greenplum Database Restore Report
//! Timestamp Key: 20261122103444
//! gp_restore Command Line: -i -h vm -p 15432 -U gpadmin --gp-c -d demo
//! Pass through Command Line Options: None
//! Compression Program: gunzip
//!
//! Individual Results
//! <tab>Restore of demo on dbid 1 (mdw:15432) from /data/y/gp_dump_-1_1_20261122103444.gz: Succeeded
//! <tab>Restore of demo on dbid 2 (sdw1:25432) from /data/x/gp_dump_0_2_20261122103444.gz: Failed with error:<blank>
//! {
//! could not read the file
//! }
//!
//! gp_restore  utility finished unsuccessfully with  1  failures.
//! ```
//!
//! Layout: `gpdbrestore.md` 5.8. Nothing reads it back.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::RowResult;
use crate::words::ids::{ContentId, DbId};
use crate::words::layout::Compression;

/// One line of the individual results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRow {
    pub content: ContentId,
    pub dbid: DbId,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub file: String,
    pub result: RowResult,
}

/// A report to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    pub key: String,
    pub command_line: String,
    pub pass_through: Option<String>,
    pub compression: Compression,
    pub results: RestoreResults,
}

/// How far a restore came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreResults {
    /// In any order: they are written master first, then by content, highest first.
    Instances(Vec<RestoreRow>),
    /// Options were wrong, or the master could not be connected to.
    MasterError { database: Option<String>, message: String },
}

impl RestoreReport {
    /// The whole text of the file.
    pub fn write(&self) -> String {
        let mut text = format!(
            "\nGreenplum Database Restore Report\nTimestamp Key: {}\ngp_restore Command Line: {}\n\
             Pass through Command Line Options: {}\nCompression Program: {}\n\nIndividual Results\n",
            self.key,
            self.command_line,
            self.pass_through.as_deref().unwrap_or("None"),
            match self.compression {
                Compression::Gzip => "gunzip",
                Compression::None => "None",
            },
        );
        match &self.results {
            RestoreResults::MasterError { database, message } => {
                let database = database.as_deref().unwrap_or("UNSPECIFIED");
                let _ = write!(
                    text,
                    "\tRestore of database \"{database}\" on Master database: Failed with error: \n{{{message}}}\n\n\
                     gp_restore  utility finished unsuccessfully with 1 failure.\n"
                );
            }
            RestoreResults::Instances(rows) => write_rows(rows, &mut text),
        }
        text
    }
}

fn write_rows(rows: &[RestoreRow], text: &mut String) {
    let mut rows: Vec<&RestoreRow> = rows.iter().collect();
    rows.sort_by_key(|r| (!r.content.is_master(), std::cmp::Reverse(r.content)));
    let mut failed = BTreeSet::new();
    let mut has_errors = false;
    for row in rows {
        let _ = write!(
            text,
            "\tRestore of {} on dbid {} ({}:{}) from {}: ",
            row.database, row.dbid, row.host, row.port, row.file
        );
        let _ = match &row.result {
            RowResult::Succeeded => writeln!(text, "Succeeded"),
            RowResult::Errors(message) => {
                has_errors = true;
                writeln!(text, "Completed but errors were found: \n{{\n{message}}}")
            }
            RowResult::Failed(message) => {
                failed.insert(row.dbid);
                writeln!(text, "Failed with error: \n{{\n{message}}}")
            }
        };
    }
    // Two blanks behind the program's name, as the original has them.
    let _ = match (failed.len(), has_errors) {
        (0, false) => writeln!(text, "\ngp_restore  utility finished successfully."),
        (0, true) => writeln!(text, "\ngp_restore  utility finished but errors were found."),
        (count, _) => writeln!(
            text,
            "\ngp_restore  utility finished unsuccessfully with  {count}  failures."
        ),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(content: i32, dbid: i32, port: u16, file: &str, result: RowResult) -> RestoreRow {
        RestoreRow {
            content: ContentId(content),
            dbid: DbId(dbid),
            host: "vm".into(),
            port,
            database: "demo".into(),
            file: file.into(),
            result,
        }
    }

    fn report(results: RestoreResults) -> RestoreReport {
        RestoreReport {
            key: "20261122103444".into(),
            command_line:
                "-i -h vm -p 15432 -U gpadmin --gp-d=db_dumps/20261122 --gp-i --gp-k=20261122103444 --gp-l=p \
                           --gp-c -d demo"
                    .into(),
            pass_through: Some(" --post-data-schema-only".into()),
            compression: Compression::Gzip,
            results,
        }
    }

    #[test]
    fn it_is_the_originals_to_the_byte() {
        let segment = |content: i32| {
            let file = format!(
                "/data/gp5/primary/gpseg{content}/db_dumps/20261122/gp_dump_{content}_{}_20261122103444.gz",
                content + 2
            );
            row(
                content,
                content + 2,
                25432 + content as u16,
                &file,
                RowResult::Succeeded,
            )
        };
        let master = "/data/gp5/master/gpseg-1/db_dumps/20261122/gp_dump_-1_1_20261122103444_post_data.gz";
        let mut rows: Vec<RestoreRow> = (0..3).map(segment).collect();
        rows.push(row(-1, 1, 15432, master, RowResult::Succeeded));
        assert_eq!(
            report(RestoreResults::Instances(rows)).write(),
            include_str!("../../../../../tests/data/reference/gp5/01-full/gp_restore_20261122103444.rpt")
        );
    }

    #[test]
    fn failures_and_errors_are_told_with_their_messages() {
        let rows = vec![
            row(0, 2, 1, "/f", RowResult::Errors("ERROR:  x\n".into())),
            row(1, 3, 2, "/g", RowResult::Failed("y\n".into())),
        ];
        let text = report(RestoreResults::Instances(rows.clone())).write();
        assert!(text.ends_with(
            "\tRestore of demo on dbid 3 (vm:2) from /g: Failed with error: \n{\ny\n}\n\
             \tRestore of demo on dbid 2 (vm:1) from /f: Completed but errors were found: \n{\nERROR:  x\n}\n\n\
             gp_restore  utility finished unsuccessfully with  1  failures.\n"
        ));
        let text = report(RestoreResults::Instances(rows[..1].to_vec())).write();
        assert!(text.ends_with("\ngp_restore  utility finished but errors were found.\n"));
    }

    #[test]
    fn a_master_error_is_the_only_result() {
        let results = RestoreResults::MasterError {
            database: None,
            message: "no connection".into(),
        };
        assert!(report(results).write().ends_with(
            "Individual Results\n\tRestore of database \"UNSPECIFIED\" on Master database: Failed with error: \n\
             {no connection}\n\ngp_restore  utility finished unsuccessfully with 1 failure.\n"
        ));
    }
}
