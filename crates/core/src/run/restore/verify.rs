//! `--verify`: reads all files that a restore would read, and says what could be restored. Nothing is changed.
//!
//! The master is asked which hosts and directories the cluster has, and no database beside `template1` is touched. When it
//! does not answer, the files are looked for on this host alone, where the set says that they were written or under `-u`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::chain::{self, Chain};
use super::definitions::parse_script;
use super::selection::Selection;
use super::which::find_key;
use super::{PROGRAM, external_verify, scene, told};
use crate::exec::restore_fleet::RestoreFleet;
use crate::format::external_rows::ExternalRows;
use crate::format::report::BackupType;
use crate::format::run_report::{MESSAGES, RestoreBody};
use crate::gather::cluster::{launcher, master_address, read_surroundings, server_address, streams};
use crate::gather::{dump_set, small_files};
use crate::plan::external::{Direction, shown_location};
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::{DataFile, DumpSet, places};
use crate::plan::restore_request::RestoreRequest;
use crate::plan::verify::{Expected, Judgement, Tally};
use crate::store::files::Files;
use crate::words::cluster::{Cluster, HostName, Instance, Role};
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::{ContentId, DbId};
use crate::words::layout::{DumpFileKind, InstanceId};
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::worker::verify_segment::{VerifyFile, VerifyStart};

/// Damaged tables that are named; a set that lost a host has all of them.
const TOLD_TABLES: usize = 100;

/// Reads and judges; an error when what was asked for could not be restored as it was.
pub(super) async fn verify(
    environment: &Environment,
    request: &RestoreRequest,
    storage: &Files,
    choose: &impl AsyncFn(String, usize) -> Result<usize, Refusal>,
    report: &mut RestoreBody,
) -> Result<Exit, Refusal> {
    let root = &request.root();
    let key = find_key(storage, root, request, choose).await?;
    let set = dump_set::read_dump_set(storage, root, &request.prefix, key)?;
    let chain = chain::read(storage, root, request, &set)?;
    told::of_set(report, &set, chain.plan.iter().map(|line| line.key));
    tracing::info!("Verifying dump set {key} of database {}", set.database);
    let mut tally = Tally::default();
    check_master(storage, &set, &chain, &mut tally)?;
    let (pre_data, post_data) = (
        read_ddl(storage, &set, DumpFileKind::Dump)?,
        read_ddl(storage, &set, DumpFileKind::PostData)?,
    );
    let script = parse_script(&pre_data.0, &pre_data.1)?;
    parse_script(&post_data.0, &post_data.1)?;
    let inventory = Inventory::read(&script);
    let defined: HashSet<String> = inventory.tables.iter().map(|table| table.name.to_string()).collect();
    tracing::info!("Definitions can be read: {} tables", inventory.tables.len());
    chain.check_lists(&set, || Ok(inventory.clone()))?;
    let selection = Selection::read(request, &script)?;
    if !request.metadata_only {
        let cluster = find_cluster(environment, request, &set).await?;
        let parts = parts_of(&set, &chain, &inventory, selection.as_ref());
        read_rows(environment, request, storage, &cluster, parts, &mut tally).await?;
    }
    if let Some(rows) = set.manifest.as_ref().and_then(|manifest| manifest.external.as_ref()) {
        note_external(rows, &mut tally);
        match request.external.template {
            Some(_) if !request.metadata_only => {
                external_verify::count(environment, request, &set, selection.as_ref(), rows, &mut tally).await?;
            }
            _ => note_unread(rows, &mut tally),
        }
    }
    let judgement = tally.judge(&defined);
    report.tables = judgement.tables.saturating_sub(judgement.damaged.len()) as u64;
    report.rows = judgement.rows;
    report.restore_errors = tally.problems.iter().take(MESSAGES).cloned().collect();
    report.failed_tables = judgement.damaged.keys().cloned().collect();
    report.notes = tally
        .beside
        .iter()
        .chain(&tally.unchecked)
        .take(MESSAGES)
        .cloned()
        .collect();
    tell(&set, &tally, &judgement)
}

/// Rows in a storage are not looked at unless somebody asks: all of them would be read.
fn note_unread(rows: &ExternalRows, tally: &mut Tally) {
    let count: u64 = rows.tables.iter().map(|table| table.rows).sum();
    if !rows.tables.is_empty() {
        tally.unchecked.push(format!(
            "{count} rows of {} tables: they lie in {}, where only external tables read them (--external counts them)",
            rows.tables.len(),
            shown_location(rows, "", Direction::Read)
        ));
    }
}

fn note_external(rows: &ExternalRows, tally: &mut Tally) {
    for missing in &rows.missing {
        let reason = format!("its rows were not written when the set was made: {}", missing.why);
        tally.without_rows(missing.table.to_string(), reason);
    }
}

/// What is not whole on the master. Without the files that every restore needs there is nothing to go on with.
fn check_master(files: &Files, set: &DumpSet, chain: &Chain, tally: &mut Tally) -> Result<(), Refusal> {
    for kind in [DumpFileKind::Dump, DumpFileKind::PostData] {
        dump_set::require(files, set, kind)?;
    }
    let mut vital = None;
    for set in std::iter::once(set).chain(chain.older.iter().map(|older| &older.set)) {
        if set.manifest.is_none() {
            let report = set.directory.join(set.names.of_set(DumpFileKind::Report));
            tally.unchecked.push(format!(
                "sums and counts of set {}: it has no manifest, report \"{}\" is all there is",
                set.names.key,
                report.display()
            ));
        }
        let by_sum: Vec<(DumpFileKind, Refusal)> = dump_set::master_files_problems(files, set);
        for problem in small_files::problems(files, set) {
            // That it is another file says it all.
            if !by_sum.iter().any(|(_, by_sum)| names_same_file(&by_sum.text, &problem)) {
                tally.beside.push(problem);
            }
        }
        for (kind, refusal) in by_sum {
            match dump_set::is_vital(kind) {
                true => {
                    tracing::error!("{refusal}");
                    vital.get_or_insert(refusal);
                }
                false => tally.beside.push(refusal.text),
            }
        }
    }
    match vital {
        None => Ok(()),
        Some(refusal) => Err(Refusal::failed(format!(
            "nothing of set {} can be restored: {}",
            set.names.key, refusal.text
        ))
        .with_hint("get a good copy of that file; a restore refuses the set before it changes anything")),
    }
}

/// Whether a problem, which begins with the quoted path of its file, is about the file that another one names.
fn names_same_file(text: &str, problem: &str) -> bool {
    problem.split('"').nth(1).is_some_and(|path| text.contains(path))
}

fn read_ddl(files: &Files, set: &DumpSet, kind: DumpFileKind) -> Result<(Vec<u8>, Place), Refusal> {
    Ok((dump_set::read_ddl(files, set, kind)?, dump_set::ddl_path(set, kind)))
}

/// A set that rows come from.
struct Part<'a> {
    set: &'a DumpSet,
    expected: Vec<Expected>,
    /// The file that names all that it can hold.
    list: Option<String>,
    /// `None`: all.
    only: Option<Vec<String>>,
}

fn parts_of<'a>(
    set: &'a DumpSet,
    chain: &'a Chain,
    inventory: &Inventory,
    selection: Option<&Selection>,
) -> Vec<Part<'a>> {
    let wanted: Option<HashSet<String>> =
        selection.map(|selection| selection.rows().map(ToString::to_string).collect());
    let is_wanted = |table: &String| wanted.as_ref().is_none_or(|wanted| wanted.contains(table));
    let chosen = |tables: &[String]| -> Vec<String> { tables.iter().filter(|t| is_wanted(t)).cloned().collect() };
    let mut parts = Vec::new();
    let of_newest = chain.plan.first().map(|line| chosen(&line.tables));
    let listed = match (&set.manifest, of_newest) {
        (Some(manifest), _) => manifest.tables.iter().map(|facts| facts.table.to_string()).collect(),
        (None, Some(tables)) => tables,
        // The originals write a block for each table into each file.
        (None, None) if set.backup_type == BackupType::Full => inventory.with_rows().collect(),
        (None, None) => Vec::new(),
    };
    let listed = chosen(&listed);
    let list = match (&set.manifest, chain.plan.is_empty()) {
        (Some(_), _) => Some(DumpFileKind::Manifest),
        (None, false) => Some(DumpFileKind::DirtyList),
        (None, true) => None,
    };
    parts.push(Part {
        set,
        expected: expected(set, &listed),
        list: list.filter(|_| wanted.is_none()).map(|kind| set.names.of_set(kind)),
        only: wanted.as_ref().map(|_| listed),
    });
    for older in &chain.older {
        let tables = chosen(&older.tables);
        if !tables.is_empty() {
            parts.push(Part {
                set: &older.set,
                expected: expected(&older.set, &tables),
                list: None,
                only: Some(tables),
            });
        }
    }
    parts
}

fn expected(set: &DumpSet, tables: &[String]) -> Vec<Expected> {
    let counted: HashMap<String, _> = set
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.tables)
        .map(|facts| (facts.table.to_string(), facts.totals))
        .collect();
    let tables = tables.iter().map(|table| Expected {
        totals: counted.get(table).copied(),
        table: table.clone(),
    });
    tables.collect()
}

/// The cluster that the master knows, or this host alone.
async fn find_cluster(environment: &Environment, request: &RestoreRequest, set: &DumpSet) -> Result<Cluster, Refusal> {
    if request.through_master {
        // All files lie here, and no server is needed to read them.
        let nowhere = server_address(environment, &[], PROGRAM, request.limits);
        let (host, root) = (&environment.host_full, &request.master_data_dir);
        return Ok(streams(&nowhere, host, root, set.segments.len()));
    }
    let asked = match master_address(environment, Some(&request.master_data_dir), PROGRAM, request.limits) {
        Ok(address) => read_surroundings(&address, &environment.host_full)
            .await
            .map_err(|error| crate::db::error_chain(&error)),
        Err(refusal) => Err(refusal.text),
    };
    let error = match asked {
        Ok(around) => return Ok(around.cluster),
        Err(error) => error,
    };
    tracing::warn!("the master could not be asked for its hosts, so files are looked for on this host alone: {error}");
    let instance = |content, dbid, data_dir: &Path| Instance {
        dbid,
        content,
        role: Role::Primary,
        up: true,
        host: HostName(environment.host.clone()),
        address: HostName(environment.host.clone()),
        port: 0,
        data_dir: data_dir.to_owned(),
    };
    let master = instance(ContentId::MASTER, DbId(1), &request.master_data_dir);
    // <root>/db_dumps/<date>
    let segments = set.segments.iter().map(|segment| {
        let root = segment.directory.local().and_then(|path| path.ancestors().nth(2));
        instance(segment.content, segment.dbid, root.unwrap_or(&request.master_data_dir))
    });
    Cluster::new(std::iter::once(master).chain(segments).collect())
        .map_err(|error| Refusal::failed(format!("set {} is of no cluster: {error}", set.names.key)))
}

async fn read_rows(
    environment: &Environment,
    request: &RestoreRequest,
    storage: &Files,
    cluster: &Cluster,
    parts: Vec<Part<'_>>,
    tally: &mut Tally,
) -> Result<(), Refusal> {
    let hosts: BTreeSet<HostName> = cluster.instances().map(|i| i.host.clone()).collect();
    let launcher = launcher(environment, request.remote_bin.clone(), request.limits, storage);
    let mut fleet = RestoreFleet::start(&launcher, hosts, request.parallel).await?;
    let own_names = [environment.host.clone(), environment.host_full.clone()];
    let root = request.backup_root.as_ref();
    let mut jobs: BTreeMap<HostName, VerifyStart> = BTreeMap::new();
    let mut choices = Vec::new();
    for part in parts {
        let number = tally.set(part.set.names.key, part.expected, part.list);
        let only = part.only.map(|tables| {
            choices.push(tables);
            choices.len() - 1
        });
        let search = places::search(part.set, cluster, root, &own_names);
        let found = fleet.find(&search).await?;
        let (files, missing) = places::choose_each(part.set, cluster, root, &own_names, &found);
        for missing in &missing {
            let refusal = scene::refuse_missing(std::slice::from_ref(missing));
            tally.missing(
                number,
                format!("segment {}, file {}: {}", missing.content, missing.name, refusal.text),
            );
        }
        for file in files {
            let name = format!("Segment {}, {} on {}", file.content, file.path.display(), file.host);
            let number = tally.file(number, name);
            let job = jobs.entry(file.host.clone()).or_default();
            job.files.push(verify_file(part.set, &file, number, only));
        }
    }
    for job in jobs.values_mut() {
        job.choices.clone_from(&choices);
    }
    fleet.verify(jobs, tally).await;
    fleet.stop().await;
    Ok(())
}

fn verify_file(set: &DumpSet, file: &DataFile, number: usize, only: Option<usize>) -> VerifyFile {
    let id = InstanceId {
        content: file.content,
        dbid: file.dbid,
    };
    let data_name = set.names.of_instance(DumpFileKind::Dump, id);
    let stamps = set.manifest.iter().flat_map(|manifest| &manifest.instances);
    let stamps = stamps
        .filter(|instance| instance.content == file.content)
        .flat_map(|i| &i.files);
    VerifyFile {
        number,
        path: file.path.clone(),
        compression: set.names.compression,
        sha256: file.sha256.clone(),
        index: set.names.of_instance(DumpFileKind::Index, id),
        status: set.names.of_instance(DumpFileKind::Status, id),
        beside: stamps.filter(|stamp| stamp.name != data_name).cloned().collect(),
        only,
    }
}

fn tell(set: &DumpSet, tally: &Tally, judgement: &Judgement) -> Result<Exit, Refusal> {
    let key = set.names.key;
    for sentence in &tally.unchecked {
        tracing::info!("Not checked: {sentence}");
    }
    for sentence in &tally.beside {
        tracing::warn!("{sentence}");
    }
    for sentence in &tally.problems {
        tracing::error!("{sentence}");
    }
    for (table, reasons) in judgement.damaged.iter().take(TOLD_TABLES) {
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        tracing::error!("Table {table} is damaged: {}", reasons.join("; "));
    }
    let (all, damaged) = (judgement.tables, judgement.damaged.len());
    if damaged > TOLD_TABLES {
        tracing::error!("{} more tables are damaged", damaged - TOLD_TABLES);
    }
    if damaged == 0 && tally.problems.is_empty() {
        tracing::info!(
            "All of it can be restored: {all} tables, {} rows, set {key} of database {}",
            judgement.rows,
            set.database
        );
        return Ok(match tally.beside.is_empty() {
            true => Exit::Ok,
            false => {
                tracing::warn!("{} files beside the rows are damaged or missing", tally.beside.len());
                Exit::Warnings
            }
        });
    }
    let refusal = Refusal::failed(match damaged {
        0 => format!("data files of set {key} are damaged, though the rows of all {all} tables can be read"),
        _ => format!("{damaged} of {all} tables of set {key} cannot be restored as they were"),
    });
    Err(match (tally.lost_files, all.saturating_sub(damaged)) {
        (0, 0) => refusal.with_hint("no table of what was asked for is whole; look for another copy of the files named above"),
        (0, whole) => refusal.with_hint(format!(
            "the definitions, and {whole} tables that are whole, can be restored: name them with -T or --table-file"
        )),
        (lost, _) => refusal.with_hint(format!(
            "{lost} data files are missing, and a restore refuses the set before it changes anything until they are back"
        )),
    })
}
