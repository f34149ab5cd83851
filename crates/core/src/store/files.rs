//! The files of dump sets, wherever they lie. The only way from a [`Place`] to its bytes.
//!
//! Calls wait, as those of `std::fs` do, and errors are of `std::io` with the same kinds: who reads a set need not know
//! where it is. Named pipes are a matter of hosts: [`super::pipe`] knows them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bucket::{Bucket, Upload};
use super::pipe;
use crate::words::limits::Limits;
use crate::words::place::{Place, StorageUrl};
use crate::words::storage::StorageAccess;

/// The disks of this host, and the bucket that a run was told of. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Files {
    bucket: Option<Bucket>,
}

/// What lies in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// With its bytes.
    File(u64),
    Directory,
    /// A pipe, a link that leads nowhere or out of the directory.
    Other,
}

impl Files {
    /// With a bucket. Nobody is asked yet; `cancel` ends every wait for it.
    pub fn with_bucket(access: StorageAccess, limits: Limits, cancel: CancellationToken) -> io::Result<Files> {
        Ok(Files {
            bucket: Some(Bucket::open(access, limits, cancel)?),
        })
    }

    /// What a worker has to be told.
    pub fn access(&self) -> Option<&StorageAccess> {
        self.bucket.as_ref().map(Bucket::access)
    }

    fn bucket(&self, url: &StorageUrl) -> io::Result<&Bucket> {
        self.bucket
            .as_ref()
            .ok_or_else(|| io::Error::other(format!("{url} lies in a storage, and no --storage was named")))
    }

    /// What is there, links followed; `None`: nothing.
    pub fn look(&self, place: &Place) -> io::Result<Option<EntryKind>> {
        match place {
            Place::Local(path) => match fs::metadata(path) {
                Ok(meta) if meta.is_file() => Ok(Some(EntryKind::File(meta.len()))),
                Ok(meta) if meta.is_dir() => Ok(Some(EntryKind::Directory)),
                Ok(_) => Ok(Some(EntryKind::Other)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Place::Stored(url) => {
                let bucket = self.bucket(url)?;
                if let Some(size) = bucket.size(url)? {
                    return Ok(Some(EntryKind::File(size)));
                }
                Ok(bucket.has_below(url)?.then_some(EntryKind::Directory))
            }
        }
    }

    /// An error is one of a storage that could not be asked: a file that nobody may look at is not one that is missing.
    pub fn is_file(&self, place: &Place) -> io::Result<bool> {
        match place {
            Place::Local(path) => Ok(path.is_file()),
            Place::Stored(url) => Ok(self.bucket(url)?.size(url)?.is_some()),
        }
    }

    /// Errors as those of [`Files::is_file`].
    pub fn is_dir(&self, place: &Place) -> io::Result<bool> {
        match place {
            Place::Local(path) => Ok(path.is_dir()),
            Place::Stored(url) => self.bucket(url)?.has_below(url),
        }
    }

    /// A named pipe: its bytes come once.
    pub fn is_pipe(&self, place: &Place) -> bool {
        place.local().is_some_and(pipe::is_pipe)
    }

    /// What lies in a directory, links not followed but for the kind of what they lead to, in no order.
    pub fn list(&self, directory: &Place) -> io::Result<Vec<Entry>> {
        match directory {
            Place::Local(path) => {
                let mut entries = Vec::new();
                for entry in fs::read_dir(path)? {
                    let entry = entry?;
                    // No file of a set has a name that is no text.
                    let Ok(name) = entry.file_name().into_string() else {
                        continue;
                    };
                    let is_link = entry.file_type()?.is_symlink();
                    let kind = match fs::metadata(entry.path()) {
                        Ok(meta) if meta.is_file() => EntryKind::File(meta.len()),
                        Ok(meta) if meta.is_dir() && !is_link => EntryKind::Directory,
                        Ok(_) => EntryKind::Other,
                        // Gone since it was listed, most likely by a clean-up.
                        Err(_) if !is_link => continue,
                        Err(_) => EntryKind::Other,
                    };
                    entries.push(Entry { name, kind });
                }
                Ok(entries)
            }
            Place::Stored(url) => self.bucket(url)?.list(url),
        }
    }

    /// All of a file that fits into memory.
    pub fn read(&self, place: &Place) -> io::Result<Vec<u8>> {
        match place {
            Place::Local(path) => fs::read(path),
            Place::Stored(url) => self.bucket(url)?.read(url),
        }
    }

    /// From the beginning to the end.
    pub fn open(&self, place: &Place) -> io::Result<Box<dyn Read + Send>> {
        match place {
            Place::Local(path) => Ok(Box::new(File::open(path)?)),
            Place::Stored(url) => Ok(Box::new(self.bucket(url)?.open_file(url)?)),
        }
    }

    /// So many bytes from there on.
    pub fn open_range(&self, place: &Place, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>> {
        match place {
            Place::Local(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file.take(length)))
            }
            Place::Stored(url) => {
                let range = offset..offset.saturating_add(length);
                Ok(Box::new(self.bucket(url)?.open_range(url, range)))
            }
        }
    }

    /// Removes a file; that it was not there is no error.
    pub fn remove(&self, place: &Place) -> io::Result<()> {
        match place {
            Place::Local(path) => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Place::Stored(url) => self.bucket(url)?.remove(url),
        }
    }

    /// A file on its way into the bucket.
    pub(super) fn upload(&self, place: &Place) -> io::Result<Upload> {
        let url = stored(place)?;
        self.bucket(url)?.upload(url)
    }

    /// Writes a file of the bucket at once, over one of its name.
    pub(super) fn put(&self, place: &Place, bytes: &[u8]) -> io::Result<()> {
        let url = stored(place)?;
        self.bucket(url)?.put(url, bytes.to_vec())
    }

    /// Whether a directory of the bucket can be written to; it leaves nothing behind.
    pub fn probe(&self, directory: &Place) -> io::Result<()> {
        let url = stored(directory)?;
        self.bucket(url)?.probe(url)
    }

    /// Takes back what runs that were killed have begun to upload below a directory of the bucket; names of the files.
    pub fn remove_uploads(&self, directory: &Place) -> io::Result<Vec<String>> {
        let url = stored(directory)?;
        self.bucket(url)?.remove_uploads(url)
    }

    /// Waits until no file is on its way into the bucket any more.
    pub fn settle(&self, limit: Duration) {
        if let Some(bucket) = &self.bucket {
            bucket.settle(limit);
        }
    }
}

fn stored(place: &Place) -> io::Result<&StorageUrl> {
    match place {
        Place::Stored(url) => Ok(url),
        Place::Local(path) => Err(io::Error::other(format!("{} lies in no storage", path.display()))),
    }
}
