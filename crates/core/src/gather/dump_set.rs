//! One dump set as it lies on the master: its report, its manifest, its small files.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::format::cdatabase::Cdatabase;
use crate::format::manifest::Manifest;
use crate::format::report;
use crate::plan::restore::{DumpSet, SetSegment};
use crate::store::files::{EntryKind, Files};
use crate::store::pipe::{PATIENCE, PipeReader};
use crate::words::ids::{ContentId, Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames, dump_directory};
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::worker::hex;

/// Finds the set under a root (`-u` or the master's data directory), reads its report and manifest, and refuses what is
/// not whole.
pub fn read_dump_set(files: &Files, root: &Place, prefix: &Prefix, key: TimestampKey) -> Result<DumpSet, Refusal> {
    let set = read_set(files, root, prefix, key)?;
    let master_dump = set.directory.join(set.names.of_master(DumpFileKind::Dump));
    if !exists(files, &master_dump)? {
        return Err(Refusal::known(format!(
            "Unable to find {}. Skipping restore.",
            master_dump.display()
        )));
    }
    Ok(set)
}

/// The same for a restore that runs no definitions and loads no rows: the files of those may be gone.
pub fn read_set(files: &Files, root: &Place, prefix: &Prefix, key: TimestampKey) -> Result<DumpSet, Refusal> {
    let directory = dump_directory(root, key);
    let names = |naming, compression| SetNames {
        prefix: prefix.clone(),
        key,
        naming,
        compression,
    };
    let report_name = names(FileNaming::New, Compression::None).of_set(DumpFileKind::Report);
    let path = directory.join(&report_name);
    let bytes = match files.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(no_report(files, root, &report_name, key, &path));
        }
        Err(error) => return Err(could_not_read(&path, &error)),
    };
    // Messages of servers in another encoding may stand in it; the facts are ASCII, but for the database's name.
    let text = String::from_utf8_lossy(&bytes);
    let facts = report::parse(&text, prefix, key);
    let (Some(compression), Some(database)) = (facts.compression, facts.database.clone()) else {
        return Err(Refusal::failed(format!(
            "Could not determine database name and compression type from report file {}",
            path.display()
        )));
    };
    let names = names(facts.naming, compression);
    let manifest = read_manifest(files, &directory, &names, facts.program.is_some())?;
    let segments = match &manifest {
        Some(manifest) => segments_of_manifest(manifest),
        None => segments_of_report(&facts),
    };
    let mut set = DumpSet {
        encoding: manifest.as_ref().map(|manifest| manifest.encoding.clone()),
        database: manifest.as_ref().map_or(database, |m| m.database.clone()),
        backup_type: backup_type(manifest.as_ref(), &facts, &text, &path)?,
        is_filtered: facts.is_filtered(),
        names,
        directory,
        manifest,
        segments,
    };
    if set.manifest.is_none() && !files.is_pipe(&ddl_path(&set, DumpFileKind::Cdatabase)) {
        // Rows may be loaded without that file.
        set.encoding = read_ddl(files, &set, DumpFileKind::Cdatabase)
            .ok()
            .and_then(|text| Cdatabase::parse(&String::from_utf8_lossy(&text)).ok())
            .and_then(|created| created.encoding().map(str::to_owned));
    }
    if set.segments.is_empty() {
        return Err(Refusal::failed(format!(
            "report file {} names no segment, so nobody can tell which data files belong to the set",
            path.display()
        )));
    }
    Ok(set)
}

/// Sets of old versions do not tell their type and are full; but a line that cannot be read, or a report without its end,
/// would make a full set of an increment.
fn backup_type(
    manifest: Option<&Manifest>,
    facts: &report::ReportFacts,
    text: &str,
    path: &Place,
) -> Result<report::BackupType, Refusal> {
    if let Some(manifest) = manifest {
        return Ok(manifest.backup_type);
    }
    if facts.conclusion.is_none() {
        return Err(Refusal::failed(format!(
            "report file {} does not end as a report does: it was cut off, or the dump did not come to its end",
            path.display()
        ))
        .with_hint("nothing was changed; without its end nobody can tell which data files belong to the set"));
    }
    match facts.backup_type {
        None if text.contains("Backup Type") => Err(damaged(path, "the type of the backup cannot be read")),
        known => Ok(known.unwrap_or(report::BackupType::Full)),
    }
}

/// Checks the master's own files against the manifest, sums and all: they are small, and everything depends on them. A
/// file that a restore can do without is only told.
pub fn check_master_files(files: &Files, set: &DumpSet) -> Result<(), Refusal> {
    for (kind, refusal) in master_files_problems(files, set) {
        if is_vital(kind) {
            return Err(refusal);
        }
        warn!("{refusal}; a restore can do without this file");
    }
    Ok(())
}

/// Checks one of the master's files against the manifest.
pub fn check_master_file(files: &Files, set: &DumpSet, kind: DumpFileKind) -> Result<(), Refusal> {
    let mut problems = master_files_problems(files, set).into_iter();
    match problems.find(|(of, _)| *of == kind) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

/// The master's files that are not what the manifest lists, the report left out: it is written again when something goes
/// wrong after the dump, and says nothing that is not in the manifest.
pub fn master_files_problems(files: &Files, set: &DumpSet) -> Vec<(DumpFileKind, Refusal)> {
    let master = set.manifest.iter().flat_map(|m| &m.instances);
    let mut problems = Vec::new();
    for stamp in master.filter(|i| i.content.is_master()).flat_map(|m| &m.files) {
        let path = set.directory.join(&stamp.name);
        let kind = DumpFileName::parse(&stamp.name, &set.names.prefix).map(|name| name.kind);
        // The chain grows behind the full dump.
        let Some(kind) = kind.filter(|kind| !matches!(kind, DumpFileKind::Report | DumpFileKind::Increments)) else {
            continue;
        };
        // What comes out of a pipe comes once: it is held against the manifest when it is read.
        if files.is_pipe(&path) {
            continue;
        }
        match sum_file(files, &path) {
            Ok((size, sha256)) if size == stamp.size && sha256 == stamp.sha256 => {}
            Ok(_) => problems.push((
                kind,
                damaged(&path, "it is not the file that the manifest of the set lists"),
            )),
            Err(error) => problems.push((kind, could_not_read(&path, &error))),
        }
    }
    problems
}

/// A restore reads these; which others it reads too is for its options to say.
pub fn is_vital(kind: DumpFileKind) -> bool {
    matches!(
        kind,
        DumpFileKind::Dump
            | DumpFileKind::PostData
            | DumpFileKind::Cdatabase
            | DumpFileKind::TableList
            | DumpFileKind::DirtyList
    )
}

/// A DDL file of the master, unpacked.
pub fn read_ddl(files: &Files, set: &DumpSet, kind: DumpFileKind) -> Result<Vec<u8>, Refusal> {
    let path = ddl_path(set, kind);
    let bytes = match path.local() {
        Some(local) if files.is_pipe(&path) => read_pipe(set, local)?,
        _ => files.read(&path).map_err(|error| could_not_read(&path, &error))?,
    };
    let packed = path.file_name().ends_with(".gz");
    let text = if packed {
        let mut text = Vec::new();
        match MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text) {
            Ok(_) if !bytes.is_empty() => text,
            Ok(_) => return Err(damaged(&path, "it is empty")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged(&path, "it was cut off")),
            Err(error) => return Err(damaged(&path, &error.to_string())),
        }
    } else {
        bytes
    };
    Ok(text)
}

fn read_pipe(set: &DumpSet, path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    PipeReader::open(path, PATIENCE, || false)
        .and_then(|mut pipe| pipe.read_to_end(&mut bytes))
        .map_err(|error| could_not_read(&path.into(), &error))?;
    let of_master = set
        .manifest
        .iter()
        .flat_map(|m| &m.instances)
        .filter(|i| i.content.is_master());
    let mut stamps = of_master.flat_map(|files| &files.files);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match stamps.find(|stamp| stamp.name == name) {
        Some(stamp) if stamp.sha256 != hex(&Sha256::digest(&bytes)) => Err(damaged(
            &path.into(),
            "what came out of this named pipe is not the file that the manifest of the set lists",
        )),
        _ => Ok(bytes),
    }
}

/// Where a file of the master lies.
pub fn ddl_path(set: &DumpSet, kind: DumpFileKind) -> Place {
    set.directory.join(set.names.of_master(kind))
}

/// Refuses a set in which a file of the master is missing that every set has.
pub fn require(files: &Files, set: &DumpSet, kind: DumpFileKind) -> Result<(), Refusal> {
    let path = ddl_path(set, kind);
    if exists(files, &path)? {
        return Ok(());
    }
    Err(Refusal::known(format!(
        "Unable to find {}. Skipping restore.",
        path.display()
    )))
}

/// A regular file or a named pipe.
fn exists(files: &Files, path: &Place) -> Result<bool, Refusal> {
    let is_file = files.is_file(path).map_err(|error| {
        Refusal::failed(format!("could not look for {}: {error}", path.display())).with_hint("nothing was changed")
    });
    Ok(is_file? || files.is_pipe(path))
}

/// The original looks into the other date directories to say something else.
fn no_report(files: &Files, root: &Place, name: &str, key: TimestampKey, path: &Place) -> Refusal {
    let top = root.join(DUMP_DIR);
    let elsewhere = (files.list(&top).into_iter().flatten())
        .filter(|entry| entry.kind == EntryKind::Directory)
        .map(|entry| top.join(&entry.name).join(name))
        .find(|candidate| files.is_file(candidate).unwrap_or(false));
    match elsewhere {
        Some(found) => {
            Refusal::failed(format!("[Errno 2] No such file or directory: '{}'", path.display())).with_hint(format!(
                "the report lies at {}; a set must lie in the directory of its own date",
                found.display()
            ))
        }
        None => Refusal::failed(format!("Unable to locate report file for timestamp {key}")).with_hint(format!(
            "it was looked for at {}; -u names another root, --prefix the prefix of the set",
            path.display()
        )),
    }
}

pub(super) fn read_manifest(
    files: &Files,
    directory: &Place,
    names: &SetNames,
    must_be_there: bool,
) -> Result<Option<Manifest>, Refusal> {
    let path = directory.join(names.of_set(DumpFileKind::Manifest));
    let incomplete = |reason: String| {
        Refusal::failed(format!("the dump set {} is incomplete or damaged: {reason}", names.key))
            .with_hint("nothing was changed; restore another set, or look into the log of that dump")
    };
    let text = match files
        .read(&path)
        .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
    {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be_there => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(incomplete(format!(
                "its report says that gpcrondump wrote it, and its manifest {} is missing",
                path.display()
            )));
        }
        Err(error) => return Err(could_not_read(&path, &error)),
    };
    let manifest = Manifest::parse(&text)
        .map_err(|error| incomplete(format!("{}: {}", path.display(), crate::db::error_chain(&error))))?;
    let mut problems = manifest.problems();
    if manifest.key != names.key || manifest.prefix != names.prefix {
        problems.push(format!("it belongs to set {}{}", manifest.prefix, manifest.key));
    }
    match problems.first() {
        None => Ok(Some(manifest)),
        Some(problem) => Err(incomplete(format!("{}: {problem}", path.display()))),
    }
}

fn segments_of_manifest(manifest: &Manifest) -> Vec<SetSegment> {
    let names = SetNames {
        prefix: manifest.prefix.clone(),
        key: manifest.key,
        naming: manifest.naming,
        compression: manifest.compression,
    };
    let mut segments: Vec<SetSegment> = manifest
        .instances
        .iter()
        .filter(|i| !i.content.is_master())
        .map(|instance| {
            let id = crate::words::layout::InstanceId {
                content: instance.content,
                dbid: instance.dbid,
            };
            let name = names.of_instance(DumpFileKind::Dump, id);
            let stamp = instance.files.iter().find(|f| f.name == name);
            SetSegment {
                content: instance.content,
                dbid: instance.dbid,
                host: instance.host.clone(),
                directory: instance.directory.clone(),
                size: stamp.map(|s| s.size),
                sha256: stamp.map(|s| s.sha256.clone()),
                name,
            }
        })
        .collect();
    segments.sort_by_key(|s| s.content);
    segments
}

fn segments_of_report(facts: &report::ReportFacts) -> Vec<SetSegment> {
    let mut segments: Vec<SetSegment> = facts
        .rows
        .iter()
        .filter(|row| !row.content.is_master())
        .filter_map(|row| {
            let file = Place::from(row.file.as_str());
            Some(SetSegment {
                content: row.content,
                dbid: row.dbid,
                host: crate::words::cluster::HostName(row.host.clone()),
                directory: file.parent()?,
                name: file.file_name().into_owned(),
                size: None,
                sha256: None,
            })
        })
        .collect();
    segments.sort_by_key(|s: &SetSegment| s.content);
    segments.dedup_by_key(|s| s.content);
    debug_assert!(segments.iter().all(|s| s.content >= ContentId(0)));
    segments
}

fn sum_file(files: &Files, path: &Place) -> io::Result<(u64, String)> {
    let mut file = files.open(path)?;
    let mut sum = Sha256::new();
    let size = io::copy(&mut file, &mut sum)?;
    Ok((size, hex(&sum.finalize())))
}

fn could_not_read(path: &Place, error: &io::Error) -> Refusal {
    Refusal::failed(format!("could not read {}: {error}", path.display()))
}

fn damaged(path: &Place, how: &str) -> Refusal {
    Refusal::failed(format!("{} is damaged: {how}", path.display()))
        .with_hint("nothing was changed; restore another set, or get a good copy of the file")
}
