//! The date directories of a root with the sets in them: what cleaning up decides on.

use std::collections::BTreeMap;
use std::io;

use crate::format::report::{self, BackupType};
use crate::plan::retention::{DateDirectory, FoundSet};
use crate::store::files::{EntryKind, Files};
use crate::words::ids::{DumpDate, Prefix, TimestampKey};
use crate::words::layout::{DUMP_DIR, DumpFileKind, DumpFileName, SetNames, parse_any_prefix};
use crate::words::place::Place;

/// Reads `<root>/db_dumps`. Only real directories whose name is a date count; what else lies there is nobody's set.
pub fn read_date_directories(files: &Files, root: &Place) -> io::Result<Vec<DateDirectory>> {
    let mut directories = Vec::new();
    let place = root.join(DUMP_DIR);
    for entry in files.list(&place)? {
        let Ok(date) = entry.name.parse::<DumpDate>() else {
            continue;
        };
        // A symbolic link is not a directory of ours.
        if entry.kind == EntryKind::Directory {
            directories.push(DateDirectory {
                date,
                sets: read_sets(files, &place.join(&entry.name))?,
            });
        }
    }
    directories.sort_by_key(|directory| directory.date);
    Ok(directories)
}

fn read_sets(files: &Files, directory: &Place) -> io::Result<Vec<FoundSet>> {
    let mut sets: BTreeMap<(Prefix, TimestampKey), FoundSet> = BTreeMap::new();
    for entry in files.list(directory)? {
        let Some(file) = parse_any_prefix(&entry.name) else {
            continue;
        };
        let set = sets.entry((file.prefix.clone(), file.key)).or_insert_with(|| FoundSet {
            prefix: file.prefix.clone(),
            key: file.key,
            database: None,
            is_incremental: false,
            increments: Vec::new(),
        });
        match file.kind {
            DumpFileKind::Report => read_report(files, directory, &file, set),
            // Only incremental dumps have them; the report may be lost.
            DumpFileKind::DirtyList | DumpFileKind::TableList => set.is_incremental = true,
            DumpFileKind::Increments => {
                let text = files.read(&directory.join(file.text()))?;
                let keys = String::from_utf8_lossy(&text)
                    .lines()
                    .filter_map(|line| line.trim().parse().ok())
                    .collect();
                set.increments = keys;
                set.increments.sort_unstable();
            }
            _ => {}
        }
    }
    Ok(sets.into_values().collect())
}

fn read_report(files: &Files, directory: &Place, file: &DumpFileName, set: &mut FoundSet) {
    let names = SetNames {
        prefix: file.prefix.clone(),
        key: file.key,
        naming: file.naming,
        compression: file.compression,
    };
    // An unreadable report says nothing; its set is taken for a full dump that anybody may need.
    let Ok(text) = files.read(&directory.join(names.of_set(DumpFileKind::Report))) else {
        return;
    };
    let facts = report::parse(&String::from_utf8_lossy(&text), &file.prefix, file.key);
    set.is_incremental |= facts.backup_type == Some(BackupType::Incremental);
    set.database = facts.database;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_directories_of_dates_count_and_chains_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dumps = root.path().join(DUMP_DIR);
        for name in ["20240101", "20240102", "20241301", "lost+found", "2024010"] {
            fs::create_dir_all(dumps.join(name)).unwrap();
        }
        fs::write(dumps.join("20240103"), "a file").unwrap();
        std::os::unix::fs::symlink(root.path(), dumps.join("20240104")).unwrap();
        fs::write(
            dumps.join("20240101/p_gp_dump_20240101010203.rpt"),
            "Backup Type: Full\n",
        )
        .unwrap();
        fs::write(
            dumps.join("20240101/p_gp_dump_20240101010203_increments"),
            "20240102010203\n",
        )
        .unwrap();
        fs::write(
            dumps.join("20240102/p_gp_dump_20240102010203.rpt"),
            "Backup Type: Incremental\n\nIndividual Results\n",
        )
        .unwrap();
        fs::write(dumps.join("20240102/notes.txt"), "").unwrap();
        let found = read_date_directories(&Files::default(), &root.path().into()).unwrap();
        let set = |key: &str, is_incremental: bool, increments: &[&str]| FoundSet {
            prefix: Prefix::from_option("p").unwrap(),
            key: key.parse().unwrap(),
            database: None,
            is_incremental,
            increments: increments.iter().map(|key| key.parse().unwrap()).collect(),
        };
        assert_eq!(
            found,
            [
                DateDirectory {
                    date: "20240101".parse().unwrap(),
                    sets: vec![set("20240101010203", false, &["20240102010203"])],
                },
                DateDirectory {
                    date: "20240102".parse().unwrap(),
                    sets: vec![set("20240102010203", true, &[])],
                },
            ]
        );
    }
}
