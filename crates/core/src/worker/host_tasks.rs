//! Single tasks on a host beside a dump or a restore: remove what is no longer wanted, save the configuration, tell the room
//! on disk.
//!
//! The master names a root, a date, a set; the paths are built here, from types that cannot hold a `/`, so that no message
//! whatever it says makes this program remove anything but a date directory or the files of one set.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{config_files, host_ops};
use crate::store::files::{EntryKind, Files};
use crate::words::ids::{DumpDate, Prefix, TimestampKey};
use crate::words::job::FileStamp;
use crate::words::layout::{DUMP_DIR, DumpFileName, PARTIAL_SUFFIX};
use crate::words::place::Place;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostTask {
    /// Removes `<root>/db_dumps/<date>` with everything in it.
    RemoveDate { root: Place, date: DumpDate },
    /// Removes the files of one set from its directory, unfinished ones too.
    RemoveSet {
        directory: Place,
        prefix: Prefix,
        key: TimestampKey,
    },
    /// Removes only the unfinished files of one set, which a worker that was killed could not.
    RemoveUnfinished {
        directory: Place,
        prefix: Prefix,
        key: TimestampKey,
    },
    /// Saves the configuration files of an instance into `target`, with `others` that lie elsewhere.
    SaveConfig {
        data_dir: PathBuf,
        others: Vec<PathBuf>,
        target: Place,
    },
    /// Tells what the file systems of these directories have left.
    Room { directories: Vec<PathBuf> },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskOutcome {
    /// False where there was nothing.
    DateRemoved(bool),
    /// The names of the files.
    SetRemoved(Vec<String>),
    ConfigSaved(FileStamp),
    /// In the order of the directories; or why it is not known.
    Room(Vec<Result<Room, String>>),
}

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes that an ordinary user can still write to it.
    pub free_bytes: u64,
    /// The same number means the same file system on that host.
    pub device: u64,
}

/// Why a task could not be done, each with its path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} \"{path}\"")]
    Io {
        what: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("\"{0}\" is not a directory and is left alone")]
    NotADirectory(String),
    #[error(transparent)]
    Config(#[from] config_files::Error),
}

/// Does it; blocks.
pub fn perform(files: &Files, task: &HostTask) -> Result<TaskOutcome, Error> {
    match task {
        HostTask::RemoveDate { root, date } => remove_date(files, root, *date).map(TaskOutcome::DateRemoved),
        HostTask::RemoveSet { directory, prefix, key } => {
            remove_set(files, directory, prefix, *key, Which::All).map(TaskOutcome::SetRemoved)
        }
        HostTask::RemoveUnfinished { directory, prefix, key } => {
            remove_set(files, directory, prefix, *key, Which::Unfinished).map(TaskOutcome::SetRemoved)
        }
        HostTask::SaveConfig {
            data_dir,
            others,
            target,
        } => Ok(TaskOutcome::ConfigSaved(config_files::save(
            files, data_dir, others, target,
        )?)),
        HostTask::Room { directories } => {
            let room = |directory: &PathBuf| host_ops::room(directory).map_err(|error| error.to_string());
            Ok(TaskOutcome::Room(directories.iter().map(room).collect()))
        }
    }
}

fn remove_date(files: &Files, root: &Place, date: DumpDate) -> Result<bool, Error> {
    let place = root.join(DUMP_DIR).join(date.to_string());
    let Some(directory) = place.local() else {
        return remove_stored_date(files, &place);
    };
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", directory)(error)),
        // A link would lead out of the dump directory.
        Ok(meta) if !meta.is_dir() => Err(Error::NotADirectory(directory.display().to_string())),
        // Removes links as links, and cannot be led astray by one that appears meanwhile.
        Ok(_) => match fs::remove_dir_all(directory) {
            // Hosts that share a file system get there at the same time: what counts is that it is gone.
            Err(_) if !directory.exists() => Ok(true),
            Err(_) => fs::remove_dir_all(directory)
                .map(|()| true)
                .map_err(io_error("remove", directory)),
            Ok(()) => Ok(true),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Unfinished,
}

fn remove_set(
    files: &Files,
    place: &Place,
    prefix: &Prefix,
    key: TimestampKey,
    which: Which,
) -> Result<Vec<String>, Error> {
    let Some(directory) = place.local() else {
        return remove_stored_set(files, place, prefix, key, which);
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", directory)(error)),
    };
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("list", directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let unfinished = name.strip_suffix(PARTIAL_SUFFIX);
        if which == Which::Unfinished && unfinished.is_none() {
            continue;
        }
        let whole = unfinished.unwrap_or(name);
        if DumpFileName::parse(whole, prefix).is_none_or(|file| file.key != key) {
            continue;
        }
        let path = entry.path();
        let is_dir = entry.file_type().map_err(io_error("look at", &path))?.is_dir();
        if !is_dir {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            removed.push(name.to_owned());
        }
    }
    removed.sort_unstable();
    Ok(removed)
}

/// The manifests go first: what is left of a set when this is broken off must not look like a whole one.
fn remove_stored_date(files: &Files, directory: &Place) -> Result<bool, Error> {
    let mut names = stored_names(files, directory)?;
    names.sort_by_key(|name| !name.ends_with(MANIFEST_END));
    for name in &names {
        let place = directory.join(name);
        files.remove(&place).map_err(place_error("remove", &place))?;
    }
    remove_uploads(files, directory)?;
    Ok(!names.is_empty())
}

fn remove_stored_set(
    files: &Files,
    directory: &Place,
    prefix: &Prefix,
    key: TimestampKey,
    which: Which,
) -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    if which == Which::All {
        removed = stored_names(files, directory)?;
        removed.retain(|name| DumpFileName::parse(name, prefix).is_some_and(|file| file.key == key));
        removed.sort_by_key(|name| !name.ends_with(MANIFEST_END));
        for name in &removed {
            let place = directory.join(name);
            files.remove(&place).map_err(place_error("remove", &place))?;
        }
    }
    removed.extend(remove_uploads(files, directory)?);
    removed.sort_unstable();
    Ok(removed)
}

const MANIFEST_END: &str = "_manifest.json";

fn stored_names(files: &Files, directory: &Place) -> Result<Vec<String>, Error> {
    let entries = match files.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(place_error("list", directory))?,
    };
    let entries = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File(_)));
    Ok(entries.map(|entry| entry.name).collect())
}

fn remove_uploads(files: &Files, directory: &Place) -> Result<Vec<String>, Error> {
    let removed = files.remove_uploads(directory);
    removed.map_err(place_error("take back unfinished uploads below", directory))
}

fn place_error(what: &'static str, place: &Place) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = place.to_string();
    move |source| Error::Io { what, path, source }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_goes_with_its_links_and_nothing_behind_them() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "").unwrap();
        let dumps = root.path().join(DUMP_DIR);
        fs::create_dir_all(dumps.join("20240101/sub")).unwrap();
        std::os::unix::fs::symlink(&outside, dumps.join("20240101/link")).unwrap();
        std::os::unix::fs::symlink(&outside, dumps.join("20240102")).unwrap();
        fs::write(dumps.join("20240103"), "").unwrap();
        let remove = |date: &str| remove_date(&Files::default(), &root.path().into(), date.parse().unwrap());
        assert!(remove("20240101").unwrap());
        assert!(!remove("20240101").unwrap());
        for date in ["20240102", "20240103"] {
            let refused = remove(date).unwrap_err().to_string();
            assert!(refused.ends_with("is not a directory and is left alone"), "{refused}");
        }
        assert!(outside.join("precious").exists() && dumps.join("20240103").exists());
    }

    #[test]
    fn only_the_files_of_the_set_go() {
        let root = tempfile::tempdir().unwrap();
        let ours = [
            "p_gp_dump_20240102030405.rpt",
            "p_gp_dump_0_2_20240102030405.gz",
            "p_gp_dump_0_2_20240102030405_index.partial",
            "p_gp_dump_status_0_2_20240102030405",
        ];
        let others = [
            "gp_dump_20240102030405.rpt",
            "p_gp_dump_20240102030406.rpt",
            "notes of 20240102030405",
            "p_gp_dump_20240101010203_increments",
        ];
        for name in ours.iter().chain(&others) {
            fs::write(root.path().join(name), "").unwrap();
        }
        let prefix = Prefix::from_option("p").unwrap();
        let mut removed = remove_set(
            &Files::default(),
            &root.path().into(),
            &prefix,
            "20240102030405".parse().unwrap(),
            Which::All,
        )
        .unwrap();
        removed.sort_unstable();
        let mut expected = ours.map(str::to_owned);
        expected.sort_unstable();
        assert_eq!(removed, expected);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), others.len());
    }
}
