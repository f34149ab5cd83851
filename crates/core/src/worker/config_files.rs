//! Saves an instance's configuration: an uncompressed tar of every `*.conf` in its data directory (`gpcrondump.md` 4.7).
//!
//! Names in it are absolute without the leading `/`, as the original's. A link is saved as what it points to: a saved
//! configuration that only points somewhere is none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::store::data_file::PartialFile;
use crate::store::files::Files;
use crate::store::pipe::GiveUp;
use crate::words::job::FileStamp;
use crate::words::place::Place;

/// Configuration is text that people write; more than this is something else.
const LARGEST_TAR: u64 = 256 << 20;

/// Why it is not saved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read configuration file \"{path}\"")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no configuration file (*.conf) in \"{0}\"")]
    None(String),
    #[error("the configuration files in \"{0}\" are larger than 256 MiB")]
    TooLarge(String),
    #[error(transparent)]
    Write(#[from] crate::store::data_file::Error),
}

/// Writes the tar under its final name; a named pipe of that name is written in place. `others` are files that the
/// server reads from elsewhere.
pub fn save(to: &Files, data_dir: &Path, others: &[PathBuf], target: &Place) -> Result<FileStamp, Error> {
    let mut files = conf_files(data_dir).map_err(read_error(data_dir))?;
    files.extend(others.iter().filter(|file| !file.starts_with(data_dir)).cloned());
    if files.is_empty() {
        return Err(Error::None(data_dir.display().to_string()));
    }
    let mut archive = tar::Builder::new(Vec::new());
    let mut size = 0;
    for path in &files {
        let mut file = File::open(path).map_err(read_error(path))?;
        size += file.metadata().map_err(read_error(path))?.len();
        if size > LARGEST_TAR {
            return Err(Error::TooLarge(data_dir.display().to_string()));
        }
        let name = path.strip_prefix("/").unwrap_or(path);
        archive.append_file(name, &mut file).map_err(read_error(path))?;
    }
    let bytes = archive.into_inner().map_err(read_error(data_dir))?;
    let mut written = PartialFile::write(to, target, &bytes, &GiveUp::default())?;
    written.publish()?;
    if let Some(directory) = target.parent() {
        crate::store::data_file::sync_directory(&directory)?;
    }
    Ok(written.stamp.clone())
}

fn conf_files(data_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "conf") && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn every_conf_file_is_in_the_tar_under_its_own_name() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("gpseg0");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("postgresql.conf"), "port=1\n").unwrap();
        fs::write(root.path().join("real"), "hba\n").unwrap();
        symlink(root.path().join("real"), data.join("pg_hba.conf")).unwrap();
        fs::write(data.join("PG_VERSION"), "8\n").unwrap();
        fs::create_dir(data.join("dir.conf")).unwrap();
        let target = root.path().join("config.tar");
        let files = Files::default();
        let stamp = save(
            &files,
            &data,
            &[root.path().join("real"), data.join("postgresql.conf")],
            &target.as_path().into(),
        )
        .unwrap();
        let meta = fs::metadata(&target).unwrap();
        assert_eq!((stamp.size, meta.mode() & 0o777), (meta.len(), 0o600));
        let mut found = Vec::new();
        for entry in tar::Archive::new(File::open(&target).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            found.push((Path::new("/").join(entry.path().unwrap()), text));
        }
        assert_eq!(
            found,
            [
                (data.join("pg_hba.conf"), "hba\n".to_owned()),
                (data.join("postgresql.conf"), "port=1\n".to_owned()),
                (root.path().join("real"), "hba\n".to_owned()),
            ]
        );
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(matches!(
            save(&files, &empty, &[], &root.path().join("x").into()),
            Err(Error::None(_))
        ));
    }
}
