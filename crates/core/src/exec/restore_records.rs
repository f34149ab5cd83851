//! What a restore leaves behind to be read: a status file for each instance and the report.

use std::path::Path;

use chrono::NaiveDateTime;

use super::restore_fleet::{FileOutcome, LoadOutcome};
use crate::format::report::RowResult;
use crate::format::report::restore::{RestoreReport, RestoreResults, RestoreRow};
use crate::format::status::{self, Agent, Level};
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::translate::not_restored::{self, NotRestored};
use crate::words::cluster::{Cluster, HostName, Instance};
use crate::words::ids::{ContentId, DbId};
use crate::words::layout::{DumpFileKind, InstanceId};
use crate::words::place::Place;
use crate::words::secret::without_parameters;

/// How it went on the master.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterOutcome {
    pub errors: Vec<String>,
    pub not_restored: Vec<NotRestored>,
    pub failure: Option<String>,
}

/// What the records tell of.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    pub set: &'a DumpSet,
    pub cluster: &'a Cluster,
    pub database: &'a str,
    pub command_line: &'a str,
    pub files: &'a [DataFile],
    pub master: &'a MasterOutcome,
    pub load: &'a LoadOutcome,
    /// The directory asked for; without one everything goes to the data directories.
    pub directory: Option<&'a Path>,
    /// The master's data directory.
    pub master_directory: &'a Path,
    pub now: NaiveDateTime,
}

/// Every file to be written: host, path, text.
pub fn compose(records: Records<'_>) -> Vec<(HostName, Place, String)> {
    let Records { set, cluster, .. } = records;
    let master = cluster.master();
    let at_master = records.directory.unwrap_or(records.master_directory);
    let master_result = result_of(records.master.failure.as_deref(), &[&records.master.errors]);
    let mut written = vec![(
        master.host.clone(),
        at_master.join(set.names.of_master(DumpFileKind::RestoreStatus)).into(),
        status_text(records.now, &set.names.of_master(DumpFileKind::Dump), &master_result),
    )];
    let mut rows = vec![RestoreRow {
        content: ContentId::MASTER,
        dbid: DbId(1),
        host: master.host.0.clone(),
        port: master.port,
        database: records.database.to_owned(),
        file: set
            .directory
            .join(set.names.of_master(DumpFileKind::Dump))
            .display()
            .to_string(),
        result: master_result,
    }];
    let untouched = FileOutcome::default();
    for file in records.files {
        let target: Option<&Instance> = cluster.primary(file.content);
        let outcome = records.load.files.get(&file.content).unwrap_or(&untouched);
        let failure = match (&outcome.failure, outcome.rows) {
            (None, None) => Some("the restore ended before this file"),
            (failure, _) => failure.as_deref(),
        };
        let result = result_of(failure, &[&outcome.refused, &outcome.miscounted]);
        let id = InstanceId {
            content: file.content,
            dbid: target.map_or(file.dbid, |t| t.dbid),
        };
        // Nothing is written into a bucket: who restores needs no right for that.
        let beside = file.path.local().and_then(Path::parent);
        let directory = match (records.directory, target) {
            (Some(directory), _) => directory,
            (None, Some(target)) => &target.data_dir,
            (None, None) => beside.unwrap_or(at_master),
        };
        let host = match (records.directory, target) {
            (None, Some(target)) => &target.host,
            (None, None) if beside.is_none() => &master.host,
            _ => &file.host,
        };
        written.push((
            host.clone(),
            directory
                .join(set.names.of_instance(DumpFileKind::RestoreStatus, id))
                .into(),
            status_text(records.now, &file.path.display().to_string(), &result),
        ));
        let server = target.unwrap_or(master);
        rows.push(RestoreRow {
            content: file.content,
            dbid: id.dbid,
            host: server.host.0.clone(),
            port: server.port,
            database: records.database.to_owned(),
            file: file.path.display().to_string(),
            result,
        });
    }
    let report = RestoreReport {
        key: set.names.key.to_string(),
        command_line: records.command_line.to_owned(),
        pass_through: None,
        compression: set.names.compression,
        results: RestoreResults::Instances(rows),
    };
    let path = at_master.join(set.names.of_set(DumpFileKind::RestoreReport));
    written.push((master.host.clone(), path.into(), report.write()));
    if !records.master.not_restored.is_empty() {
        let text = not_restored::write(&report.key, records.database, &records.master.not_restored);
        let path = at_master.join(set.names.of_set(DumpFileKind::RestoreRest));
        written.push((master.host.clone(), path.into(), text));
    }
    written
}

/// Servers quote statements, and those of external tables have secrets in them: not in a file that is mailed and shown.
fn result_of(failure: Option<&str>, errors: &[&Vec<String>]) -> RowResult {
    let mut lines = String::new();
    for message in errors.iter().copied().flatten() {
        lines.push_str("ERROR:  ");
        lines.push_str(&without_parameters(message));
        lines.push('\n');
    }
    match failure {
        Some(failure) => RowResult::Failed(format!("{lines}ERROR:  {}\n", without_parameters(failure))),
        None if lines.is_empty() => RowResult::Succeeded,
        None => RowResult::Errors(lines),
    }
}

fn status_text(now: NaiveDateTime, file: &str, result: &RowResult) -> String {
    let line = |level, text: &str| status::line(now, Agent::Restore, level, text);
    let mut text = line(Level::Info, &format!("Restored from {file}"));
    match result {
        RowResult::Succeeded => {}
        RowResult::Errors(lines) | RowResult::Failed(lines) => text.push_str(lines),
    }
    match result {
        RowResult::Failed(_) => text.push_str(&line(Level::Error, "Finished with errors")),
        _ => text.push_str(&status::success(now, Agent::Restore)),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_quotes_of_a_location_is_not_told_on() {
        let errors = vec!["bad URL \"cos://b/ secretKey=abc secretId=def\"".to_owned()];
        let RowResult::Failed(text) = result_of(Some("token=ghi is over"), &[&errors]) else {
            panic!("it failed");
        };
        assert_eq!(
            text,
            "ERROR:  bad URL \"cos://b/ secretKey=*** secretId=***\"\nERROR:  token=*** is over\n"
        );
    }
}
