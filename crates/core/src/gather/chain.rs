//! Chains of increments as they lie on the master: the base of a new one, and the sets that an old one needs.

use std::collections::BTreeMap;
use tracing::{debug, warn};

use super::dump_set::read_manifest;
use crate::format::increments;
use crate::format::plan_file::PlanLine;
use crate::format::report;
use crate::format::state::{BadState, LastOperations, ModCounts};
use crate::format::table_list::{TableList, parse_schemas, splits};
use crate::plan::incremental::StatesBefore;
use crate::plan::incremental::base::{Base, Candidate, HeapFileBefore, Verdict, judge_full, why_no_increment};
use crate::plan::restore::chain::{Member, assign};
use crate::store::files::{EntryKind, Files};
use crate::words::cluster::Cluster;
use crate::words::ids::{ContentId, DumpDate, Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames, dump_directory};
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// Finds what a new increment of the database goes on with, and reads what it is compared with.
pub fn find_base(
    files: &Files,
    root: &Place,
    prefix: &Prefix,
    database: &str,
    cluster: &Cluster,
    with_heap: bool,
) -> Result<Base, Refusal> {
    let full = find_full(files, root, prefix, database)?;
    check_cluster(&full, cluster)?;
    let names = set_names(prefix, full.key);
    let directory = dump_directory(root, full.key);
    let increments = read_increments(files, &directory.join(names.of_set(DumpFileKind::Increments)))?;
    let list = directory.join(names.of_set(DumpFileKind::Increments));
    for key in &increments {
        if let Some(reason) = broken_increment(files, root, prefix, *key, database)? {
            return Err(Refusal::failed(format!(
                "Timestamp '{key}' from increments file '{}' is not a valid increment",
                list.display()
            ))
            .with_hint(format!("{reason}; a new full dump begins a new chain")));
        }
    }
    let last = increments.last().copied().unwrap_or(full.key);
    let filter = read_optional(files, &directory.join(names.of_set(DumpFileKind::Filter)))?;
    let schemas = read_optional(files, &directory.join(names.of_set(DumpFileKind::Schema)))?;
    let mut before = read_states(files, root, prefix, last)?;
    if let Some(chosen) = full.chosen_tables() {
        // The states are those of all tables, but some of these are in no set yet.
        let mut held = chosen.to_vec();
        for key in &increments {
            let list = read_table_list(files, root, prefix, *key, DumpFileKind::DirtyList)?;
            // A line that can be read as two tables proves neither.
            let names = list.lines().iter().map(|line| splits(line));
            held.extend(names.filter(|names| names.len() == 1).flatten());
        }
        before.rows = before.rows.only(&held);
        before.columns = before.columns.only(&held);
    }
    Ok(Base {
        before,
        heap: match with_heap {
            true => read_heap_files(files, root, prefix, last),
            false => None,
        },
        filter: match prefix.is_empty() {
            true => None,
            false => filter.map(|text| TableList::parse(&text).lines().to_vec()),
        },
        schemas: schemas.map(|text| parse_schemas(&text)),
        full: full.key,
        directory,
        increments,
    })
}

/// The lines of the filter that the next increment of the database would have; `None`: no filter.
pub fn find_filter(
    files: &Files,
    root: &Place,
    prefix: &Prefix,
    database: &str,
) -> Result<Option<Vec<String>>, Refusal> {
    let full = find_full(files, root, prefix, database)?;
    let path = dump_directory(root, full.key).join(set_names(prefix, full.key).of_set(DumpFileKind::Filter));
    Ok(read_optional(files, &path)?.map(|text| TableList::parse(&text).lines().to_vec()))
}

/// The increments file of a full dump; without a file there are none yet.
pub fn read_increments(files: &Files, path: &Place) -> Result<Vec<TimestampKey>, Refusal> {
    match read_optional(files, path)? {
        None => Ok(Vec::new()),
        Some(text) => increments::parse(&text, &path.display().to_string())
            .map_err(|bad| Refusal::failed(bad.to_string()).with_hint("a new full dump begins a new chain")),
    }
}

/// The sets that an increment needs, newest first: itself, those before it, the full dump. The keys of a chain stand in
/// one file only.
fn find_chain(files: &Files, root: &Place, prefix: &Prefix, key: TimestampKey) -> Result<Vec<TimestampKey>, Refusal> {
    for directory in date_directories(files, root)?.iter().rev() {
        for name in dump_files(files, directory, prefix)? {
            if name.kind != DumpFileKind::Increments {
                continue;
            }
            let path = directory.join(name.text());
            // A damaged list is no reason not to find the right one.
            let increments = match read_increments(files, &path) {
                Ok(increments) => increments,
                Err(refusal) => {
                    warn!("{refusal}");
                    continue;
                }
            };
            if increments.contains(&key) {
                let mut chain: Vec<TimestampKey> = increments.into_iter().filter(|k| *k <= key).collect();
                chain.reverse();
                chain.push(name.key);
                return Ok(chain);
            }
        }
    }
    Err(Refusal::failed(format!(
        "Could not locate full backup associated with timestamp '{key}'. Either increments file or full backup is missing.\n"
    ))
    .with_hint(format!(
        "a file that ends in _increments and names {key} was looked for below {}",
        root.join(DUMP_DIR).display()
    )))
}

/// The plan of an increment: every set of its chain, newest first, with the tables whose rows come from it.
pub fn read_plan(files: &Files, root: &Place, prefix: &Prefix, key: TimestampKey) -> Result<Vec<PlanLine>, Refusal> {
    let chain = find_chain(files, root, prefix, key)?;
    let (full, increments) = chain.split_last().expect("a chain has a full dump");
    let mut members = Vec::with_capacity(chain.len());
    for increment in increments {
        members.push(Member {
            key: *increment,
            dirty: Some(read_table_list(
                files,
                root,
                prefix,
                *increment,
                DumpFileKind::DirtyList,
            )?),
        });
    }
    members.push(Member {
        key: *full,
        dirty: None,
    });
    let tables = read_table_list(files, root, prefix, key, DumpFileKind::TableList)?;
    // Its table might come from an older set for that.
    let dirty = members.first().and_then(|newest| newest.dirty.as_ref());
    if let Some(stranger) = dirty
        .iter()
        .flat_map(|list| list.lines())
        .find(|line| !tables.has_line(line))
    {
        let list = |kind| set_names(prefix, key).of_set(kind);
        return Err(Refusal::failed(format!(
            "{} names {stranger}, and {}, which names all tables, does not: one of them is damaged",
            list(DumpFileKind::DirtyList),
            list(DumpFileKind::TableList)
        ))
        .with_hint("nothing was changed; without its lists nobody can tell what an incremental set holds"));
    }
    Ok(assign(&tables, &members))
}

/// A list of tables that every increment has.
fn read_table_list(
    files: &Files,
    root: &Place,
    prefix: &Prefix,
    key: TimestampKey,
    kind: DumpFileKind,
) -> Result<TableList, Refusal> {
    let path = dump_directory(root, key).join(set_names(prefix, key).of_set(kind));
    match read_optional(files, &path)? {
        Some(text) => Ok(TableList::parse(&text)),
        None => Err(
            Refusal::failed(format!("[Errno 2] No such file or directory: '{}'", path.display()))
                .with_hint("nothing was changed; without its lists nobody can tell what an incremental set holds"),
        ),
    }
}

/// The newest full dump that can be a base. Sets that were passed over are told.
fn find_full(files: &Files, root: &Place, prefix: &Prefix, database: &str) -> Result<Candidate, Refusal> {
    for directory in date_directories(files, root)? {
        let mut reports: Vec<TimestampKey> = dump_files(files, &directory, prefix)?
            .into_iter()
            .filter(|name| name.kind == DumpFileKind::Report)
            .map(|name| name.key)
            .collect();
        if reports.is_empty() {
            if files.list(&directory).is_ok_and(|entries| entries.is_empty()) {
                warn!("Dump directory {} is empty", directory.display());
            } else {
                warn!("No dump report files found in dump directory {}", directory.display());
            }
        }
        reports.sort_unstable();
        for key in reports.into_iter().rev() {
            let candidate = read_candidate(files, &directory, prefix, key)?;
            debug!("Checking for latest timestamp in report of {key}");
            match judge_full(&candidate, database, prefix) {
                Verdict::Usable => return Ok(candidate),
                Verdict::Other => {}
                Verdict::Passed(reason) => warn!("{reason}"),
                Verdict::Refused(refusal) => return Err(refusal),
            }
        }
    }
    let place = root.join(DUMP_DIR);
    let which = match prefix.is_empty() {
        true => "without a prefix".to_owned(),
        false => format!("with prefix {}", prefix.as_str().trim_end_matches('_')),
    };
    Err(
        Refusal::failed("No full backup found for incremental").with_hint(format!(
            "a whole full dump of database {database} {which} was looked for below {}; run gpcrondump without \
             --incremental once",
            place.display()
        )),
    )
}

fn check_cluster(full: &Candidate, cluster: &Cluster) -> Result<(), Refusal> {
    let through_master = full.report.rows.iter().any(|row| Cluster::is_stream(row.dbid));
    match (through_master, cluster.is_streams()) {
        // Each table is whole in one file, however many connections there are.
        (true, true) => return Ok(()),
        (false, false) => {}
        (was, _) => {
            let (how, now) = match was {
                true => ("through the master", "without"),
                false => ("of the segments", "with"),
            };
            return Err(Refusal::known(format!(
                "The full dump {} was taken {how}, and this run is {now} --through-master",
                full.key
            ))
            .with_hint("a chain is of one kind; make a full dump of this one, with a prefix of its own"));
        }
    }
    let mut dumped: Vec<i32> = full
        .report
        .rows
        .iter()
        .map(|row| row.content.0)
        .filter(|c| *c >= 0)
        .collect();
    dumped.sort_unstable();
    dumped.dedup();
    let there: Vec<i32> = cluster.primaries().iter().map(|primary| primary.content.0).collect();
    if dumped == there {
        return Ok(());
    }
    Err(Refusal::known(format!(
        "The full dump {} was taken of {} segments, and the cluster has {}",
        full.key,
        dumped.len(),
        there.len()
    ))
    .with_hint("tables that did not change would have to be restored from other segments; make a full dump"))
}

/// Why an increment of a chain cannot be gone on with.
fn broken_increment(
    files: &Files,
    root: &Place,
    prefix: &Prefix,
    key: TimestampKey,
    database: &str,
) -> Result<Option<String>, Refusal> {
    let directory = dump_directory(root, key);
    let names = set_names(prefix, key);
    for kind in [DumpFileKind::Report, DumpFileKind::DirtyList, DumpFileKind::TableList] {
        let path = directory.join(names.of_set(kind));
        if !is_there(files, &path)? {
            return Ok(Some(format!("its file {} is missing", path.display())));
        }
    }
    Ok(why_no_increment(
        &read_candidate(files, &directory, prefix, key)?,
        database,
    ))
}

/// That a storage does not answer is not that a filter is missing.
fn is_there(files: &Files, path: &Place) -> Result<bool, Refusal> {
    files.is_file(path).map_err(|error| could_not_read(path, &error))
}

fn read_candidate(files: &Files, directory: &Place, prefix: &Prefix, key: TimestampKey) -> Result<Candidate, Refusal> {
    let names = set_names(prefix, key);
    let path = directory.join(names.of_set(DumpFileKind::Report));
    let text = files.read(&path).map_err(|error| could_not_read(&path, &error))?;
    let report = report::parse(&String::from_utf8_lossy(&text), prefix, key);
    let names = SetNames {
        naming: report.naming,
        compression: report.compression.unwrap_or(names.compression),
        ..names
    };
    let (manifest, manifest_problem) = match read_manifest(files, directory, &names, report.program.is_some()) {
        Ok(manifest) => (manifest, None),
        Err(refusal) => (None, Some(refusal.text)),
    };
    Ok(Candidate {
        key,
        manifest_problem,
        tables: (manifest.as_ref()).map(|manifest| manifest.tables.iter().map(|facts| facts.table.clone()).collect()),
        database: manifest.map(|m| m.database).or_else(|| report.database.clone()),
        has_cdatabase: is_there(files, &directory.join(names.of_master(DumpFileKind::Cdatabase)))?,
        has_filter_file: is_there(files, &directory.join(names.of_set(DumpFileKind::Filter)))?,
        report,
    })
}

fn read_states(files: &Files, root: &Place, prefix: &Prefix, key: TimestampKey) -> Result<StatesBefore, Refusal> {
    let directory = dump_directory(root, key);
    let names = set_names(prefix, key);
    let read = |kind: DumpFileKind| {
        let path = directory.join(names.of_set(kind));
        let missing = match kind {
            DumpFileKind::AoState => format!("ao state file does not exist: {}", path.display()),
            DumpFileKind::CoState => format!("co state file does not exist: {}", path.display()),
            _ => format!("[Errno 2] No such file or directory: '{}'", path.display()),
        };
        match read_optional(files, &path)? {
            Some(text) => Ok((path, text)),
            None => Err(Refusal::failed(missing).with_hint(format!(
                "dump {key} cannot be compared with; a new full dump begins a new chain"
            ))),
        }
    };
    let (rows_file, rows) = read(DumpFileKind::AoState)?;
    let (columns_file, columns) = read(DumpFileKind::CoState)?;
    let (operations_file, operations) = read(DumpFileKind::LastOperation)?;
    Ok(StatesBefore {
        rows: ModCounts::parse(&rows).map_err(|bad| damaged_state(&bad, &rows_file))?,
        columns: ModCounts::parse(&columns).map_err(|bad| damaged_state(&bad, &columns_file))?,
        operations: LastOperations::parse(&operations).map_err(|bad| damaged_state(&bad, &operations_file))?,
    })
}

/// The files of heap states in a set, as its manifest names them. Without them the increment dumps all heap tables.
fn read_heap_files(
    files: &Files,
    root: &Place,
    prefix: &Prefix,
    key: TimestampKey,
) -> Option<BTreeMap<ContentId, HeapFileBefore>> {
    let found = read_manifest(files, &dump_directory(root, key), &set_names(prefix, key), true)
        .ok()
        .flatten();
    let Some(manifest) = found else {
        warn!("All heap tables are dumped: dump {key} was not made by this program");
        return None;
    };
    // Writers were at work while its segments took their snapshots: what they did shows in no page.
    if !manifest.consistency.one_cut {
        warn!("All heap tables are dumped: dump {key} is not one cut across all segments");
        return None;
    }
    let segments = manifest
        .instances
        .iter()
        .filter(|instance| !instance.content.is_master());
    let files = segments.map(|instance| {
        let is_heap_state =
            |name: &str| DumpFileName::parse(name, prefix).is_some_and(|name| name.kind == DumpFileKind::HeapState);
        let file = instance.files.iter().find(|file| is_heap_state(&file.name))?;
        let before = HeapFileBefore {
            dbid: instance.dbid,
            name: file.name.clone(),
            sha256: file.sha256.clone(),
        };
        Some((instance.content, before))
    });
    let files: Option<BTreeMap<_, _>> = files.collect();
    if files.is_none() {
        warn!("All heap tables are dumped: dump {key} was made without --incremental-heap, or it could not tell");
    }
    files
}

fn damaged_state(bad: &BadState, path: &Place) -> Refusal {
    let (text, line) = match bad {
        BadState::Count { line, text } => (format!("Invalid state file format {text}"), line),
        BadState::Operation { line, text } => (
            format!("Wrong number of tokens in last_operation data for last backup: \"{text}\""),
            line,
        ),
    };
    Refusal::failed(text).with_hint(format!(
        "line {line} of {} is damaged; a new full dump begins a new chain",
        path.display()
    ))
}

/// Date directories, newest first.
fn date_directories(files: &Files, root: &Place) -> Result<Vec<Place>, Refusal> {
    let place = root.join(DUMP_DIR);
    let entries = match files.list(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(could_not_read(&place, &error)),
    };
    let mut directories = Vec::new();
    for entry in entries {
        let path = place.join(&entry.name);
        if entry.name.parse::<DumpDate>().is_ok()
            && (entry.kind == EntryKind::Directory || files.is_dir(&path).unwrap_or(false))
        {
            directories.push(path);
        }
    }
    directories.sort_unstable_by(|a, b| b.cmp(a));
    Ok(directories)
}

fn dump_files(files: &Files, directory: &Place, prefix: &Prefix) -> Result<Vec<DumpFileName>, Refusal> {
    let mut names = Vec::new();
    for entry in files
        .list(directory)
        .map_err(|error| could_not_read(directory, &error))?
    {
        names.extend(DumpFileName::parse(&entry.name, prefix));
    }
    names.sort_by_key(|name| name.key);
    Ok(names)
}

/// For names that do not depend on naming and compression.
fn set_names(prefix: &Prefix, key: TimestampKey) -> SetNames {
    SetNames {
        prefix: prefix.clone(),
        key,
        naming: FileNaming::New,
        compression: Compression::Gzip,
    }
}

fn read_optional(files: &Files, path: &Place) -> Result<Option<String>, Refusal> {
    match files.read(path) {
        // What is no UTF-8 names nothing that we can find again, and so proves nothing.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(could_not_read(path, &error)),
    }
}

fn could_not_read(path: &Place, error: &std::io::Error) -> Refusal {
    Refusal::failed(format!("could not read {}: {error}", path.display()))
}
