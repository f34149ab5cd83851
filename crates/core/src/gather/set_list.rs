//! Everything that lies in the dump directories of the master, set by set: names, sizes, reports and manifests, no rows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::db::error_chain;
use crate::format::increments;
use crate::format::manifest_summary::ManifestSummary;
use crate::format::report;
use crate::plan::set_list::SetTraces;
use crate::words::ids::{DumpDate, Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames, parse_any_prefix};
use crate::words::refusal::Refusal;

/// What was found, and a sentence for each directory that could not be looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundSets {
    pub sets: Vec<SetTraces>,
    pub not_read: Vec<String>,
}

/// Reads all dump directories below a root. That there are none is no error, that there is no root is one.
pub fn read_sets(root: &Path) -> Result<FoundSets, Refusal> {
    let place = root.join(DUMP_DIR);
    let could_not = |path: &Path, error: &io::Error| {
        Refusal::failed(format!("could not read directory {}: {error}", path.display()))
    };
    let entries = match fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::metadata(root).map_err(|error| could_not(root, &error))?;
            return Ok(FoundSets::default());
        }
        Err(error) => return Err(could_not(&place, &error)),
    };
    let mut found = FoundSets::default();
    for entry in entries {
        let path = entry.map_err(|error| could_not(&place, &error))?.path();
        let is_date = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.parse::<DumpDate>().is_ok());
        if !is_date || !path.is_dir() {
            continue;
        }
        match read_directory(&path) {
            Ok(sets) => found.sets.extend(sets),
            Err(error) => found
                .not_read
                .push(format!("could not read directory {}: {error}", path.display())),
        }
    }
    Ok(found)
}

/// A file of a set with its bytes; `None` for what has no size of its own, such as a named pipe.
type Files = Vec<(DumpFileName, String, Option<u64>)>;

fn read_directory(directory: &Path) -> io::Result<Vec<SetTraces>> {
    let mut sets: BTreeMap<(Prefix, TimestampKey), Files> = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(text) = entry.file_name().into_string() else {
            continue;
        };
        let Some(name) = parse_any_prefix(&text) else {
            continue;
        };
        // A restore leaves its records beside the set, or where there never was one.
        if is_of_restore(name.kind) {
            continue;
        }
        // Gone since it was listed, most likely by a clean-up.
        let Ok(meta) = fs::metadata(entry.path()) else {
            continue;
        };
        let size = meta.is_file().then_some(meta.len());
        sets.entry((name.prefix.clone(), name.key))
            .or_default()
            .push((name, text, size));
    }
    let sets = sets.into_iter();
    Ok(sets
        .map(|((prefix, key), files)| read_set(directory, prefix, key, &files))
        .collect())
}

fn is_of_restore(kind: DumpFileKind) -> bool {
    matches!(
        kind,
        DumpFileKind::RestoreReport | DumpFileKind::RestoreStatus | DumpFileKind::RestorePlan
    )
}

fn read_set(directory: &Path, prefix: Prefix, key: TimestampKey, files: &Files) -> SetTraces {
    let names = SetNames {
        prefix: prefix.clone(),
        key,
        naming: FileNaming::New,
        compression: Compression::Gzip,
    };
    let mut set = SetTraces {
        prefix,
        key,
        directory: directory.to_owned(),
        files: files.len() as u64,
        bytes: files.iter().filter_map(|(_, _, size)| *size).sum(),
        report: None,
        manifest: None,
        problems: Vec::new(),
        has_dump: false,
        has_increment_lists: false,
        increments: Vec::new(),
        increments_problem: None,
    };
    for (name, ..) in files {
        match name.kind {
            DumpFileKind::Dump => set.has_dump |= name.instance.is_some_and(|id| id.content.is_master()),
            DumpFileKind::DirtyList | DumpFileKind::TableList => set.has_increment_lists = true,
            DumpFileKind::Report => {
                let path = directory.join(names.of_set(DumpFileKind::Report));
                match fs::read(&path) {
                    Ok(bytes) => {
                        set.report = Some(report::parse(&String::from_utf8_lossy(&bytes), &set.prefix, key));
                    }
                    Err(error) => set.problems.push(format!("could not read {}: {error}", path.display())),
                }
            }
            DumpFileKind::Manifest => {
                let path = directory.join(names.of_set(DumpFileKind::Manifest));
                match read_manifest(&path, &set) {
                    Ok(manifest) => set.manifest = Some(manifest),
                    Err(problem) => set.problems.push(problem),
                }
            }
            DumpFileKind::Increments => {
                let path = directory.join(names.of_set(DumpFileKind::Increments));
                let read = fs::read(&path).map_err(|error| format!("could not read {}: {error}", path.display()));
                let parsed = read.and_then(|bytes| {
                    increments::parse(&String::from_utf8_lossy(&bytes), &path.display().to_string())
                        .map_err(|bad| bad.to_string())
                });
                match parsed {
                    Ok(keys) => set.increments = keys,
                    Err(problem) => set.increments_problem = Some(problem),
                }
            }
            _ => {}
        }
    }
    if let Some(manifest) = &set.manifest {
        set.problems.extend(lost_files(manifest, &names, files));
    }
    set
}

fn read_manifest(path: &Path, set: &SetTraces) -> Result<ManifestSummary, String> {
    let text = fs::read(path).map_err(|error| format!("could not read {}: {error}", path.display()))?;
    let manifest =
        ManifestSummary::parse(&text).map_err(|error| format!("{}: {}", path.display(), error_chain(&error)))?;
    match manifest.key == set.key && manifest.prefix == set.prefix {
        true => Ok(manifest),
        false => Err(format!(
            "{} belongs to set {}{}",
            path.display(),
            manifest.prefix,
            manifest.key
        )),
    }
}

/// Files of the master that the manifest vouches for and that are not there as it says.
fn lost_files(manifest: &ManifestSummary, names: &SetNames, files: &Files) -> Vec<String> {
    let report = names.of_set(DumpFileKind::Report);
    let master = manifest
        .instances
        .iter()
        .filter(|instance| instance.content.is_master());
    let listed = master.flat_map(|instance| &instance.files);
    // The report is written again when something goes wrong after the dump.
    let listed = listed.filter(|stamp| stamp.name != report);
    listed
        .filter_map(|stamp| match files.iter().find(|(_, text, _)| *text == stamp.name) {
            None => Some(format!("its file {} is missing", stamp.name)),
            Some((_, _, Some(size))) if *size != stamp.size => Some(format!(
                "its file {} has {size} bytes, the manifest says {}",
                stamp.name, stamp.size
            )),
            Some(_) => None,
        })
        .collect()
}
