//! The small files of a set, and the look at all files before the manifest vouches for them.

use std::collections::BTreeMap;

use tracing::error;

use super::prepare::Directories;
use super::{DumpContext, engine_arguments, streams};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::manifest::{InstanceFiles, TableFacts};
use crate::format::report::{self, BackupReport};
use crate::format::state::{self, TableStates};
use crate::format::status::{self, Agent, Level};
use crate::run::refusal_of;
use crate::store::data_file::{self, write_small_file};
use crate::store::files::{EntryKind, Files};
use crate::words::ids::ContentId;
use crate::words::job::{FileStamp, TableTotals};
use crate::words::layout::{DumpFileKind, InstanceId, SetNames};
use crate::words::outcome::{InstanceOutcome, InstanceResult};
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;

/// What a later incremental dump compares with.
pub(super) fn state_files(states: &TableStates) -> Vec<(DumpFileKind, String)> {
    vec![
        (DumpFileKind::AoState, state::write_counts(&states.counts.rows)),
        (DumpFileKind::CoState, state::write_counts(&states.counts.columns)),
        (DumpFileKind::LastOperation, state::write_operations(&states.operations)),
    ]
}

/// Status files of all instances: what the original's check, and people, read.
pub(super) async fn write_status_files(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    names: &SetNames,
    directories: &Directories,
    master_steps: &[String],
    master_stamps: &mut Vec<FileStamp>,
) -> Result<(), Refusal> {
    let moment = (context.now)();
    let text_of = |steps: &[String], failure: Option<&String>| {
        let mut text = status::line(
            moment,
            Agent::Dump,
            Level::Info,
            &format!(
                "Dumping database {}...",
                crate::words::names::quote_ident(&context.database)
            ),
        );
        text.extend(steps.iter().map(|step| status::untimed(Agent::Dump, step)));
        match failure {
            None => text.push_str(&status::success(moment, Agent::Dump)),
            Some(message) => text.push_str(&status::line(moment, Agent::Dump, Level::Error, message)),
        }
        text
    };
    let files: BTreeMap<ContentId, (Place, String)> = context
        .surroundings
        .cluster
        .primaries()
        .iter()
        .filter_map(|primary| {
            let id = InstanceId {
                content: primary.content,
                dbid: primary.dbid,
            };
            let path = directories
                .segments
                .get(&primary.content)?
                .join(names.of_instance(DumpFileKind::Status, id));
            Some((
                primary.content,
                (path, text_of(&[], fleet.failures.get(&primary.content))),
            ))
        })
        .collect();
    let was_well = fleet.all_well();
    for problem in fleet.write_files(files).await {
        error!("could not write a status file: {problem}");
        if was_well {
            return Err(Refusal::known(
                "The data are complete, but their status files could not be written",
            ));
        }
    }
    let path = directories.master.join(names.of_master(DumpFileKind::Status));
    let others_failed = (!was_well).then(|| "the dump was given up because of failures on segments".to_owned());
    let stamp = write_small_file(
        context.files,
        &path,
        text_of(master_steps, others_failed.as_ref()).as_bytes(),
    )
    .map_err(|e| refusal_of(&e))?;
    master_stamps.push(stamp);
    Ok(())
}

pub(super) fn outcomes_of(
    context: &DumpContext<'_>,
    fleet: &DumpFleet,
    names: &SetNames,
    directories: &Directories,
    master_stamps: &[FileStamp],
) -> Vec<InstanceOutcome> {
    let cluster = &context.surroundings.cluster;
    let given_up = "given up because of failures on other segments\n".to_owned();
    let mut outcomes: Vec<InstanceOutcome> = cluster
        .primaries()
        .iter()
        .map(|primary| {
            let id = InstanceId {
                content: primary.content,
                dbid: primary.dbid,
            };
            let directory = directories.segments.get(&primary.content).cloned().unwrap_or_default();
            let result = match (fleet.failures.get(&primary.content), fleet.all_well()) {
                (Some(message), _) => InstanceResult::Failed(format!("{message}\n")),
                (None, false) => InstanceResult::Failed(given_up.clone()),
                (None, true) => {
                    InstanceResult::Succeeded(fleet.stamps.get(&primary.content).cloned().unwrap_or_default())
                }
            };
            InstanceOutcome {
                instance: primary.clone(),
                file: directory
                    .join(names.of_instance(DumpFileKind::Dump, id))
                    .display()
                    .to_string(),
                result,
            }
        })
        .collect();
    let result = match fleet.all_well() {
        true => InstanceResult::Succeeded(master_stamps.to_vec()),
        false => InstanceResult::Failed(given_up),
    };
    outcomes.push(InstanceOutcome {
        instance: cluster.master().clone(),
        file: directories
            .master
            .join(names.of_master(DumpFileKind::Dump))
            .display()
            .to_string(),
        result,
    });
    outcomes
}

pub(super) fn write_report(
    context: &DumpContext<'_>,
    names: &SetNames,
    directory: &Place,
    outcomes: &[InstanceOutcome],
) -> Result<FileStamp, data_file::Error> {
    let arguments = engine_arguments(context, directory);
    let text = BackupReport {
        key: context.key.to_string(),
        command_line: report::join_arguments(arguments.words()),
        pass_through: arguments.handed_on(),
        compression: names.compression,
        backup_type: context.request.backup_type,
        program: Some(env!("CARGO_PKG_VERSION").to_owned()),
        rows: report::rows_of(outcomes, &context.database),
    }
    .write();
    write_small_file(
        context.files,
        &directory.join(names.of_set(DumpFileKind::Report)),
        text.as_bytes(),
    )
}

/// Looks once more for every file that was promised, on every host.
pub(super) async fn post_dump_check(
    files: &Files,
    fleet: &mut DumpFleet,
    directories: &Directories,
    master_stamps: &[FileStamp],
) -> Result<(), Refusal> {
    let mut problems = fleet.check_files(&directories.segments).await;
    for stamp in master_stamps {
        let path = directories.master.join(&stamp.name);
        let is_there = match files.look(&path) {
            Ok(Some(EntryKind::File(size))) => size == stamp.size,
            // A named pipe was read by somebody else.
            Ok(found) => found.is_some() && !path.is_stored(),
            Err(error) => {
                problems.push(format!("could not look for {path}: {error}"));
                continue;
            }
        };
        if !is_there {
            problems.push(format!(
                "file \"{}\" is not there with its {} bytes",
                path.display(),
                stamp.size
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        error!("{problem}");
    }
    Err(Refusal::known(format!(
        "Dump was unsuccessful. {} file(s) failed post-dump checks.",
        problems.len()
    )))
}

pub(super) fn instance_files(
    context: &DumpContext<'_>,
    fleet: &DumpFleet,
    directories: &Directories,
    master_stamps: Vec<FileStamp>,
) -> Vec<InstanceFiles> {
    let cluster = &context.surroundings.cluster;
    let master = InstanceFiles {
        content: InstanceId::MASTER.content,
        dbid: InstanceId::MASTER.dbid,
        host: cluster.master().host.clone(),
        directory: directories.master.clone(),
        files: master_stamps,
    };
    let segments = cluster.primaries().iter().map(|primary| InstanceFiles {
        content: primary.content,
        dbid: primary.dbid,
        host: primary.host.clone(),
        directory: directories.segments.get(&primary.content).cloned().unwrap_or_default(),
        files: fleet.stamps.get(&primary.content).cloned().unwrap_or_default(),
    });
    std::iter::once(master).chain(segments).collect()
}

pub(super) fn table_facts(
    context: &DumpContext<'_>,
    relations: &[Relation],
    totals: &[TableTotals],
) -> Vec<TableFacts> {
    let is_streams = context.surroundings.cluster.is_streams();
    let facts = relations.iter().zip(totals).map(|(relation, totals)| TableFacts {
        table: relation.name.clone(),
        totals: *totals,
        distribution: streams::distribution(context, relation),
        legacy_hash: relation.legacy_hash && !is_streams,
        distributed_by: match is_streams {
            true => Vec::new(),
            false => relation.distributed_by.clone(),
        },
    });
    facts.collect()
}
