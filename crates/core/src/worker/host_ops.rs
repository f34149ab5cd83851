//! Small things that the master asks of a host: make directories, look for files, write a status file.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::host_tasks::Room;
use super::protocol::{DirectoryState, FoundFile};
use crate::store::data_file;
use crate::store::files::{EntryKind, Files};
use crate::words::place::Place;

/// Why a dump directory cannot be used; the texts are those of the original (`gpcrondump.md` 2.8).
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("Could not create {0}")]
    Create(Place, #[source] std::io::Error),
    #[error("Could not write to {0}")]
    Write(Place, #[source] std::io::Error),
}

/// What could not be done to a directory, by the text of a [`DirectoryError`] from another process.
pub fn what_failed(text: &str) -> &'static str {
    match text.starts_with("Could not write to ") {
        true => "write to",
        false => "create",
    }
}

/// Directories above a dump directory that may be new with it: `db_dumps`, and the root that `-u` names.
const NEW_LEVELS: usize = 3;

/// Makes the directory and those above it (mode 0700), writes a byte into an unnamed file there, asks for free space.
pub fn prepare_directory(files: &Files, place: &Place) -> Result<DirectoryState, DirectoryError> {
    let write = |source| DirectoryError::Write(place.clone(), source);
    match place.local() {
        Some(path) => prepare_path(path, place),
        None => {
            let created = !files.is_dir(place).map_err(write)?;
            files.probe(place).map_err(write)?;
            Ok(DirectoryState {
                created,
                free_bytes: u64::MAX,
                device: 0,
            })
        }
    }
}

fn prepare_path(directory: &Path, place: &Place) -> Result<DirectoryState, DirectoryError> {
    let created = !directory.is_dir();
    let create = |source| DirectoryError::Create(place.clone(), source);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(create)?;
    let write = |source| DirectoryError::Write(place.clone(), source);
    let mut probe = tempfile::tempfile_in(directory).map_err(write)?;
    probe.write_all(b"x").map_err(write)?;
    if created {
        // Files that are synced are still lost when the directory above forgets this one: its name, and those of the
        // directories made with it, must be on disk too. One that may not be read cannot be synced by us.
        for above in directory.ancestors().skip(1).take(NEW_LEVELS) {
            if let Ok(handle) = std::fs::File::open(above) {
                handle.sync_all().map_err(write)?;
            }
        }
    }
    let Room { free_bytes, device } = room(directory).map_err(write)?;
    Ok(DirectoryState {
        created,
        free_bytes,
        device,
    })
}

/// What the file system of a directory has left.
pub fn room(directory: &Path) -> std::io::Result<Room> {
    let space = rustix::fs::statvfs(directory)?;
    Ok(Room {
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        device: std::fs::metadata(directory)?.dev(),
    })
}

/// Which of these names are files or named pipes in the directory.
pub fn find_files(files: &Files, directory: &Place, names: &[String]) -> (Vec<FoundFile>, Vec<String>) {
    let mut problems = Vec::new();
    let found = names.iter().filter_map(|name| {
        // Names come from a manifest or a report: a set must not lead out of its directory.
        if name.contains('/') || name == ".." {
            return None;
        }
        let place = directory.join(name);
        let looked = files.look(&place).unwrap_or_else(|error| {
            problems.push(format!("could not look for {place}: {error}"));
            None
        });
        let size = match looked? {
            EntryKind::Directory => return None,
            EntryKind::File(size) => {
                // As good as missing; found out later, a database would have been dropped for it.
                if let Some(Err(error)) = place.local().map(std::fs::File::open) {
                    problems.push(format!("could not read {place}: {error}"));
                    return None;
                }
                Some(size)
            }
            EntryKind::Other if files.is_pipe(&place) => None,
            EntryKind::Other => Some(0),
        };
        let name = name.clone();
        Some(FoundFile { name, size })
    });
    (found.collect(), problems)
}

/// Writes a file as a whole.
pub fn write_file(files: &Files, place: &Place, text: &str) -> Result<(), String> {
    data_file::write_small_file(files, place, text.as_bytes())
        .map(|_| ())
        .map_err(|error| crate::db::error_chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_not_found() {
        // One that root cannot read either.
        let write_only = Path::new("/proc/sys/vm/compact_memory");
        if !write_only.is_file() || std::fs::File::open(write_only).is_ok() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(write_only, root.path().join("a")).unwrap();
        std::fs::write(root.path().join("b"), "").unwrap();
        let (_, problems) = find_files(&Files::default(), &root.path().into(), &["a".into(), "b".into()]);
        assert!(
            problems.len() == 1 && problems[0].starts_with("could not read "),
            "{problems:?}"
        );
    }

    #[test]
    fn a_directory_is_made_private_and_probed() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("db_dumps/20240102");
        let prepare = || prepare_directory(&Files::default(), &directory.as_path().into()).unwrap();
        let state = prepare();
        assert!(state.created && state.free_bytes > 0);
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert!(!prepare().created);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "12").unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        let names = ["a", "b", "../x", "sub"].map(str::to_owned);
        assert_eq!(
            find_files(&Files::default(), &root.path().into(), &names).0,
            [FoundFile {
                name: "a".to_owned(),
                size: Some(2)
            }]
        );
        assert!(
            find_files(&Files::default(), &root.path().join("sub").into(), &["../a".to_owned()])
                .0
                .is_empty()
        );
    }
}
