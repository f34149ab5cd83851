//! Small things that the master asks of a host: make directories, look for files, write a status file.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::protocol::{DirectoryState, FoundFile};
use crate::store::data_file;

/// Why a dump directory cannot be used; the texts are those of the original (`gpcrondump.md` 2.8).
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("Could not create {0}")]
    Create(PathBuf, #[source] std::io::Error),
    #[error("Could not write to {0}")]
    Write(PathBuf, #[source] std::io::Error),
}

/// Directories above a dump directory that may be new with it: `db_dumps`, and the root that `-u` names.
const NEW_LEVELS: usize = 3;

/// Makes the directory and those above it (mode 0700), writes a byte into an unnamed file there, asks for free space.
pub fn prepare_directory(directory: &Path) -> Result<DirectoryState, DirectoryError> {
    let created = !directory.is_dir();
    let create = |source| DirectoryError::Create(directory.to_owned(), source);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(create)?;
    let write = |source| DirectoryError::Write(directory.to_owned(), source);
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
    let space = rustix::fs::statvfs(directory).map_err(|errno| write(errno.into()))?;
    let device = std::fs::metadata(directory).map_err(write)?.dev();
    Ok(DirectoryState {
        created,
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        device,
    })
}

/// Which of these names are files or named pipes in the directory.
pub fn find_files(directory: &Path, names: &[String]) -> Vec<FoundFile> {
    let found = names.iter().filter_map(|name| {
        // Names come from a manifest or a report: a set must not lead out of its directory.
        if name.contains('/') || name == ".." {
            return None;
        }
        let meta = std::fs::metadata(directory.join(name)).ok()?;
        (!meta.is_dir()).then(|| FoundFile {
            name: name.clone(),
            size: (!meta.file_type().is_fifo()).then_some(meta.len()),
        })
    });
    found.collect()
}

/// Writes a file as a whole.
pub fn write_file(path: &Path, text: &str) -> Result<(), String> {
    data_file::write_small_file(path, text.as_bytes())
        .map(|_| ())
        .map_err(|error| crate::db::error_chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_private_and_probed() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("db_dumps/20240102");
        let state = prepare_directory(&directory).unwrap();
        assert!(state.created && state.free_bytes > 0);
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert!(!prepare_directory(&directory).unwrap().created);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "12").unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        let names = ["a", "b", "../x", "sub"].map(str::to_owned);
        assert_eq!(
            find_files(root.path(), &names),
            [FoundFile {
                name: "a".to_owned(),
                size: Some(2)
            }]
        );
        assert!(find_files(&root.path().join("sub"), &["../a".to_owned()]).is_empty());
    }
}
