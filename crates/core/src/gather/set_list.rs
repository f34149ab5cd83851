//! Everything that lies in the dump directories of the master, set by set: names, sizes, reports and manifests, no rows.

use std::collections::BTreeMap;
use std::io;

use crate::db::error_chain;
use crate::format::increments;
use crate::format::manifest_summary::ManifestSummary;
use crate::format::report;
use crate::plan::set_list::SetTraces;
use crate::store::files::{EntryKind, Files};
use crate::words::ids::{DumpDate, Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames, parse_any_prefix};
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// What was found, and a sentence for each directory that could not be looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundSets {
    pub sets: Vec<SetTraces>,
    pub not_read: Vec<String>,
}

/// Reads all dump directories below a root. That there are none is no error, that there is no root is one.
pub fn read_sets(storage: &Files, root: &Place) -> Result<FoundSets, Refusal> {
    let place = root.join(DUMP_DIR);
    let could_not = |path: &Place, error: &io::Error| {
        Refusal::failed(format!("could not read directory {}: {error}", path.display()))
    };
    let entries = match storage.list(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match root.is_stored() || storage.is_dir(root).unwrap_or(false) {
                true => Ok(FoundSets::default()),
                false => Err(could_not(root, &error)),
            };
        }
        Err(error) => return Err(could_not(&place, &error)),
    };
    let mut found = FoundSets::default();
    for entry in entries {
        let path = place.join(&entry.name);
        let is_date = entry.name.parse::<DumpDate>().is_ok();
        if !is_date || !(entry.kind == EntryKind::Directory || storage.is_dir(&path).unwrap_or(false)) {
            continue;
        }
        match read_directory(storage, &path) {
            Ok(sets) => found.sets.extend(sets),
            Err(error) => found
                .not_read
                .push(format!("could not read directory {}: {error}", path.display())),
        }
    }
    Ok(found)
}

/// A file of a set with its bytes; `None` for what has no size of its own, such as a named pipe.
type Named = Vec<(DumpFileName, String, Option<u64>)>;

fn read_directory(storage: &Files, directory: &Place) -> io::Result<Vec<SetTraces>> {
    let mut sets: BTreeMap<(Prefix, TimestampKey), Named> = BTreeMap::new();
    for entry in storage.list(directory)? {
        let text = entry.name;
        let Some(name) = parse_any_prefix(&text) else {
            continue;
        };
        // A restore leaves its records beside the set, or where there never was one.
        if is_of_restore(name.kind) {
            continue;
        }
        let size = match entry.kind {
            EntryKind::File(size) => Some(size),
            EntryKind::Directory | EntryKind::Other => None,
        };
        sets.entry((name.prefix.clone(), name.key))
            .or_default()
            .push((name, text, size));
    }
    let sets = sets.into_iter();
    Ok(sets
        .map(|((prefix, key), files)| read_set(storage, directory, prefix, key, &files))
        .collect())
}

fn is_of_restore(kind: DumpFileKind) -> bool {
    matches!(
        kind,
        DumpFileKind::RestoreReport | DumpFileKind::RestoreStatus | DumpFileKind::RestorePlan
    )
}

fn read_set(storage: &Files, directory: &Place, prefix: Prefix, key: TimestampKey, files: &Named) -> SetTraces {
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
                match storage.read(&path) {
                    Ok(bytes) => {
                        set.report = Some(report::parse(&String::from_utf8_lossy(&bytes), &set.prefix, key));
                    }
                    Err(error) => set.problems.push(format!("could not read {}: {error}", path.display())),
                }
            }
            DumpFileKind::Manifest => {
                let path = directory.join(names.of_set(DumpFileKind::Manifest));
                match read_manifest(storage, &path, &set) {
                    Ok(manifest) => set.manifest = Some(manifest),
                    Err(problem) => set.problems.push(problem),
                }
            }
            DumpFileKind::Increments => {
                let path = directory.join(names.of_set(DumpFileKind::Increments));
                let read = storage
                    .read(&path)
                    .map_err(|error| format!("could not read {}: {error}", path.display()));
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

fn read_manifest(storage: &Files, path: &Place, set: &SetTraces) -> Result<ManifestSummary, String> {
    let text = storage
        .read(path)
        .map_err(|error| format!("could not read {}: {error}", path.display()))?;
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
fn lost_files(manifest: &ManifestSummary, names: &SetNames, files: &Named) -> Vec<String> {
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
