//! Writes one segment's data file and its index: members in order, unfinished name, sync, checked close, rename.
//! In a bucket the unfinished name is a multipart upload, and its completion is the rename.
//!
//! The producer (a COPY stream) fills members; they are compressed in parallel and written in order by a thread of their
//! own, which also sums the file and knows the offsets that the index needs. Every hand-over is bounded: a slow disk
//! slows the COPY down.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::bucket::Upload;
use super::compress::{CompressPool, MEMBER_BYTES, Member};
use super::files::Files;
use super::member_ends::MemberEnds;
use super::pipe::{GiveUp, PATIENCE, PipeWriter};
use crate::format::index::{IndexEntry, IndexError, IndexWriter};
use crate::words::job::{FileStamp, TableTotals};
use crate::words::layout::{Compression, PARTIAL_SUFFIX};
use crate::words::names::QualifiedName;
use crate::words::place::Place;

/// Members that wait to be written, for each file. With [`MEMBER_BYTES`] this bounds the memory of a stream.
const QUEUE: usize = 6;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} \"{path}\"")]
    Io {
        what: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the writer of \"{0}\" stopped early")]
    WriterGone(String),
}

#[derive(Debug)]
enum Item {
    Text(Vec<u8>),
    Member(oneshot::Receiver<Member>),
    /// A table begins at the place where the file stands now.
    BlockStart,
    BlockEnd {
        name: QualifiedName,
        totals: TableTotals,
        block_bytes: u64,
    },
    /// All is written; without it the file is abandoned.
    End,
}

/// A data file in the making. Dropped without [`DataFile::finish`] it leaves nothing behind.
#[derive(Debug)]
pub struct DataFile {
    path: Place,
    compression: Compression,
    pool: CompressPool,
    buffer: Vec<u8>,
    /// Members end where the text says so, and not only where they are full.
    ends: Option<MemberEnds>,
    block_bytes: u64,
    items: Option<mpsc::Sender<Item>>,
    writer: Option<JoinHandle<Result<FinishedFiles, Error>>>,
    /// Unfinished names that go when this value goes.
    abandoned: Vec<PathBuf>,
    give_up: GiveUp,
}

/// A written and synced data file with its index, still under their unfinished names.
#[derive(Debug)]
pub struct FinishedFiles {
    pub data: PartialFile,
    pub index: PartialFile,
}

/// A complete file that waits for its name. Dropped unpublished, it is removed.
#[derive(Debug)]
pub struct PartialFile {
    final_place: Place,
    unnamed: Unnamed,
    published: bool,
    pub stamp: FileStamp,
}

/// What a complete file is until it has its name.
#[derive(Debug)]
enum Unnamed {
    /// A file under its unfinished name; this is the final one.
    File(PathBuf),
    /// A named pipe that was there: it was written in place.
    InPlace,
    /// Undone when it is dropped.
    Upload(Box<Upload>),
}

impl PartialFile {
    /// Gives the file its name. The name must be free: a set is never written over.
    pub fn publish(&mut self) -> Result<(), Error> {
        let named = match &mut self.unnamed {
            Unnamed::File(path) => rename_to(path),
            Unnamed::InPlace => Ok(()),
            Unnamed::Upload(upload) => upload.publish(),
        };
        named.map_err(io_error("give the final name to", &self.final_place))?;
        self.published = true;
        Ok(())
    }

    pub fn final_place(&self) -> &Place {
        &self.final_place
    }

    /// Writes a file that is in memory as a whole.
    /// Into a named pipe it waits for a reader, until that is given up.
    pub fn write(files: &Files, place: &Place, bytes: &[u8], give_up: &GiveUp) -> Result<PartialFile, Error> {
        let mut output = Output::open(files, place, give_up)?;
        output.append(bytes)?;
        output.finish()
    }
}

fn rename_to(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, rename, renameat_with};
    use rustix::io::Errno;
    let partial = partial_path(path);
    renameat_with(CWD, &partial, CWD, path, RenameFlags::NOREPLACE)
        // Some network file systems know no such flag; the unfinished name is ours alone, so look and rename.
        .or_else(|errno| match errno {
            Errno::INVAL | Errno::NOSYS if !path.exists() => rename(&partial, path),
            other => Err(other),
        })
        .map_err(Into::into)
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if let (Unnamed::File(path), false) = (&self.unnamed, self.published) {
            let _ = std::fs::remove_file(partial_path(path));
        }
    }
}

/// The name that a file has until it is complete.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
}

/// Makes a rename durable. In a bucket it is that when it is done.
pub fn sync_directory(directory: &Place) -> Result<(), Error> {
    let Some(path) = directory.local() else {
        return Ok(());
    };
    File::open(path)
        .and_then(|handle| handle.sync_all())
        .map_err(io_error("sync directory", directory))
}

/// Writes a small file whole: unfinished name, sync, final name, directory synced. Replaces an older one.
pub fn write_small_file(files: &Files, place: &Place, bytes: &[u8]) -> Result<FileStamp, Error> {
    match place.local() {
        Some(path) => replace_file(path, bytes)?,
        None => files.put(place, bytes).map_err(io_error("write", place))?,
    }
    if let Some(directory) = place.parent() {
        sync_directory(&directory)?;
    }
    Ok(FileStamp {
        name: place.file_name().into_owned(),
        size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    })
}

pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let partial = partial_path(path);
    let mut file = create_partial(&partial)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let named = written
        .map_err(io_error("write", &partial.as_path().into()))
        .and_then(|()| std::fs::rename(&partial, path).map_err(io_error("give the final name to", &path.into())));
    if named.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    named
}

impl DataFile {
    /// Starts a file; fails at once when it cannot be created.
    pub fn create(
        files: &Files,
        path: &Place,
        index_path: &Place,
        compression: Compression,
        pool: CompressPool,
    ) -> Result<Self, Error> {
        let give_up = GiveUp::default();
        let output = Output::open(files, path, &give_up)?;
        let index = Output::open(files, index_path, &give_up)?;
        let abandoned = [&output, &index].into_iter().filter_map(Output::partial).collect();
        let (items, queue) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("data-file".to_owned())
            .spawn(move || write_items(output, index, compression, queue))
            .map_err(io_error("start a writer for", path))?;
        Ok(DataFile {
            path: path.to_owned(),
            compression,
            pool,
            buffer: Vec::with_capacity(MEMBER_BYTES),
            ends: None,
            block_bytes: 0,
            items: Some(items),
            writer: Some(writer),
            abandoned,
            give_up,
        })
    }

    /// For a compressed file of which rsync shall find the unchanged parts.
    pub fn rsyncable(mut self) -> Self {
        self.ends = (self.compression == Compression::Gzip).then(MemberEnds::default);
        self
    }

    /// Appends text. A write error of the thread surfaces here or in [`DataFile::finish`].
    pub async fn write(&mut self, mut text: &[u8]) -> Result<(), Error> {
        self.block_bytes += text.len() as u64;
        while let Some(length) = self.ends.as_mut().and_then(|ends| ends.next(text)) {
            let (now, later) = text.split_at(length);
            self.buffer.extend_from_slice(now);
            text = later;
            self.flush_member().await?;
        }
        while self.buffer.len() + text.len() >= MEMBER_BYTES {
            let (now, later) = text.split_at(MEMBER_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(now);
            text = later;
            self.flush_member().await?;
        }
        self.buffer.extend_from_slice(text);
        Ok(())
    }

    /// Ends the member, so that what follows can be found and read alone.
    pub async fn start_block(&mut self) -> Result<(), Error> {
        self.flush_member().await?;
        self.block_bytes = 0;
        self.send(Item::BlockStart).await
    }

    /// Ends a table's block and notes it in the index.
    pub async fn end_block(&mut self, name: QualifiedName, totals: TableTotals) -> Result<(), Error> {
        self.flush_member().await?;
        let block_bytes = self.block_bytes;
        self.send(Item::BlockEnd {
            name,
            totals,
            block_bytes,
        })
        .await
    }

    /// Waits until everything is on disk.
    pub async fn finish(mut self) -> Result<FinishedFiles, Error> {
        let ended = async {
            self.flush_member().await?;
            self.send(Item::End).await
        };
        let sent = ended.await;
        self.items = None;
        // What could not be sent brings the reason along: the thread has been asked for it already.
        sent?;
        let files = self.join_writer().await?;
        // From here on the finished files look after their own names.
        self.abandoned.clear();
        Ok(files)
    }

    async fn flush_member(&mut self) -> Result<(), Error> {
        if let Some(ends) = &mut self.ends {
            ends.restart();
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let text = std::mem::replace(&mut self.buffer, Vec::with_capacity(MEMBER_BYTES));
        let item = match self.compression {
            Compression::Gzip => Item::Member(self.pool.start(text).await),
            Compression::None => Item::Text(text),
        };
        self.send(item).await
    }

    async fn send(&mut self, item: Item) -> Result<(), Error> {
        let Some(items) = &self.items else {
            return Err(Error::WriterGone(self.path.display().to_string()));
        };
        if items.send(item).await.is_ok() {
            return Ok(());
        }
        // The thread only stops early with an error: fetch it.
        self.items = None;
        match self.join_writer().await {
            Err(error) => Err(error),
            Ok(_) => Err(Error::WriterGone(self.path.display().to_string())),
        }
    }

    async fn join_writer(&mut self) -> Result<FinishedFiles, Error> {
        let gone = || Error::WriterGone(self.path.display().to_string());
        let writer = self.writer.take().ok_or_else(gone)?;
        match tokio::task::spawn_blocking(move || writer.join()).await {
            Ok(Ok(result)) => result,
            _ => Err(gone()),
        }
    }
}

impl Drop for DataFile {
    /// The thread removes what it was writing as well, but a program that ends does not wait for it.
    fn drop(&mut self) {
        self.give_up.say();
        for path in &self.abandoned {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// One output file with its running sum.
#[derive(Debug)]
struct Output {
    path: Place,
    /// Gone when it is finished.
    file: Option<BufWriter<Target>>,
    sum: Sha256,
    written: u64,
}

impl Output {
    fn open(files: &Files, place: &Place, give_up: &GiveUp) -> Result<Output, Error> {
        let target = match place.local() {
            // A named pipe that somebody made beforehand is a target by itself.
            Some(path) if files.is_pipe(place) => Target::Pipe(PipeWriter::new(path, PATIENCE, give_up.clone())),
            Some(path) => Target::File(create_partial(&partial_path(path))?),
            None => Target::Upload(Box::new(files.upload(place).map_err(io_error("create", place))?)),
        };
        Ok(Output {
            path: place.clone(),
            file: Some(BufWriter::with_capacity(1 << 16, target)),
            sum: Sha256::new(),
            written: 0,
        })
    }

    /// The unfinished name, where there is one.
    fn partial(&self) -> Option<PathBuf> {
        match self.file.as_ref()?.get_ref() {
            Target::File(_) => self.path.local().map(partial_path),
            Target::Pipe(_) | Target::Upload(_) => None,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes).map_err(io_error("write", &self.path))
    }

    fn digest(&self) -> String {
        hex(&self.sum.clone().finalize())
    }

    fn finish(mut self) -> Result<PartialFile, Error> {
        if let Some(file) = &mut self.file {
            file.flush().map_err(io_error("write", &self.path))?;
            match file.get_mut() {
                Target::File(file) => file.sync_all().map_err(io_error("sync", &self.path))?,
                Target::Upload(upload) => upload.close().map_err(io_error("write", &self.path))?,
                Target::Pipe(_) => {}
            }
        }
        let target = self.file.take().and_then(|file| file.into_inner().ok());
        let unnamed = match (target, self.path.local()) {
            (Some(Target::Upload(upload)), _) => Unnamed::Upload(upload),
            (Some(Target::File(_)), Some(path)) => Unnamed::File(path.to_owned()),
            _ => Unnamed::InPlace,
        };
        Ok(PartialFile {
            final_place: self.path.clone(),
            unnamed,
            published: false,
            stamp: FileStamp {
                name: self.path.file_name().into_owned(),
                size: self.written,
                sha256: self.digest(),
            },
        })
    }
}

#[derive(Debug)]
enum Target {
    File(File),
    Pipe(PipeWriter),
    /// Undone when it is dropped.
    Upload(Box<Upload>),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Target::File(file) => file.write(bytes),
            Target::Pipe(pipe) => pipe.write(bytes),
            Target::Upload(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Target::File(file) => file.flush(),
            Target::Pipe(pipe) => pipe.flush(),
            // All of it is there at once, or nothing: the last part goes when there is no more to come.
            Target::Upload(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.open_file()?.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.open_file()?.flush()
    }
}

impl Output {
    fn open_file(&mut self) -> std::io::Result<&mut BufWriter<Target>> {
        self.file.as_mut().ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(partial) = self.partial() {
            let _ = std::fs::remove_file(partial);
        }
    }
}

fn write_items(
    mut data: Output,
    index: Output,
    compression: Compression,
    mut queue: mpsc::Receiver<Item>,
) -> Result<FinishedFiles, Error> {
    let mut index = IndexWriter::new(index, &data.path.file_name(), compression)?;
    // Where the present block began: after the file's header, then after the end of the block before.
    let mut block_start = 0;
    loop {
        match queue.blocking_recv() {
            Some(Item::Text(text)) => data.append(&text)?,
            Some(Item::Member(member)) => {
                let member = member
                    .blocking_recv()
                    .map_err(|_| Error::WriterGone(data.path.display().to_string()))?;
                data.append(&member)?;
            }
            Some(Item::BlockStart) => block_start = data.written,
            Some(Item::BlockEnd {
                name,
                totals,
                block_bytes,
            }) => index.table(&IndexEntry {
                table: name,
                offset: block_start,
                length: data.written - block_start,
                totals,
                block_bytes,
                block_crc: None,
            })?,
            Some(Item::End) => break,
            None => return Err(Error::WriterGone(data.path.display().to_string())),
        }
    }
    let index = index.finish(data.written, &data.digest())?;
    Ok(FinishedFiles {
        data: data.finish()?,
        index: index.finish()?,
    })
}

fn create_partial(path: &Path) -> Result<File, Error> {
    let create = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc_nofollow())
            .open(path)
    };
    create()
        .or_else(|error| match error.kind() {
            // Left by a run that was killed: nobody else uses this name, a second run is locked out.
            std::io::ErrorKind::AlreadyExists => std::fs::remove_file(path).and_then(|()| create()),
            _ => Err(error),
        })
        .map_err(io_error("create", &path.into()))
}

fn libc_nofollow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits() as i32
}

pub(super) fn io_error(what: &'static str, place: &Place) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = place.to_string();
    move |source| Error::Io { what, path, source }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stopped_the_writer_is_told_at_the_end_too() {
        let dir = tempfile::tempdir().unwrap();
        let (data, index) = (dir.path().join("data"), dir.path().join("index"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &data, mode).unwrap();
        let pipe = data.clone();
        let (data, index) = (Place::from(data), Place::from(index));
        let pool = CompressPool::new(1);
        let mut file = DataFile::create(&Files::default(), &data, &index, Compression::None, pool).unwrap();
        file.write(&vec![b'x'; 2 * MEMBER_BYTES]).await.unwrap();
        // All is handed over when its reader comes and goes, as a disk gets full behind the last row.
        drop(File::open(pipe).unwrap());
        let writer = file.writer.as_ref().unwrap();
        while !writer.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let error = crate::words::errors::error_chain(&file.finish().await.unwrap_err());
        assert!(error.contains("Broken pipe"), "{error}");
    }
}
