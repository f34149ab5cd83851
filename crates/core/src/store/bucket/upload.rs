//! A file on its way into a bucket: parts as they fill, its name when all is well, nothing when it is dropped before.
//!
//! What a rename is on a disk is the completion of the upload here: until then nobody sees a file. One that fits into a
//! part needs no upload in parts: it stays in memory, and its name comes with its bytes.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use tokio::task::AbortHandle;

use super::{Bucket, http, received};
use crate::words::place::StorageUrl;

/// Parts under way at a time, beside the one that fills.
const UNDER_WAY: usize = 2;

/// Servers take no more.
const MOST_PARTS: usize = 10_000;

/// How long to try to take an upload back; what stays is found by the next run.
const UNDO_LIMIT: Duration = Duration::from_secs(5);

/// See the head of this module.
#[derive(Debug)]
pub struct Upload {
    bucket: Bucket,
    url: StorageUrl,
    buffer: Vec<u8>,
    /// Of an upload in parts.
    id: Option<String>,
    parts: Vec<PartId>,
    under_way: VecDeque<(Receiver<io::Result<PartId>>, AbortHandle)>,
    written: u64,
    published: bool,
}

impl Bucket {
    /// Begins a file. Its name must be free.
    pub fn upload(&self, url: &StorageUrl) -> io::Result<Upload> {
        let upload = Upload {
            bucket: self.clone(),
            url: url.clone(),
            buffer: Vec::new(),
            id: None,
            parts: Vec::new(),
            under_way: VecDeque::new(),
            written: 0,
            published: false,
        };
        *self.0.uploads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        upload.must_be_free()?;
        Ok(upload)
    }
}

impl Upload {
    fn must_be_free(&self) -> io::Result<()> {
        match self.bucket.size(&self.url)? {
            None => Ok(()),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file of this name is there already, and none is written over",
            )),
        }
    }

    /// Takes all of the bytes; waits while too many are under way.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part_bytes = self.bucket.access().part_bytes(self.parts.len() + self.under_way.len());
        if self.buffer.len() >= part_bytes {
            self.send_part()?;
        }
        let room = part_bytes.saturating_sub(self.buffer.len()).max(1);
        let now = &bytes[..bytes.len().min(room)];
        self.buffer.extend_from_slice(now);
        self.written += now.len() as u64;
        Ok(now.len())
    }

    /// No more is to come: waits until all parts are there.
    pub fn close(&mut self) -> io::Result<()> {
        if self.id.is_some() {
            if !self.buffer.is_empty() {
                self.send_part()?;
            }
            while !self.under_way.is_empty() {
                self.await_part()?;
            }
        }
        Ok(())
    }

    /// Gives the file its name, which must still be free.
    pub fn publish(&mut self) -> io::Result<()> {
        self.must_be_free()?;
        match self.id.clone() {
            None => self.bucket.put(&self.url, self.buffer.clone())?,
            Some(id) => self.complete(id)?,
        }
        self.published = true;
        self.buffer = Vec::new();
        Ok(())
    }

    fn complete(&self, id: String) -> io::Result<()> {
        let (key, parts) = (self.key()?, self.parts.clone());
        let completed = self
            .bucket
            .ask(move |inner| async move { inner.store.complete_multipart(&key, &id, parts).await.map(|_| ()) });
        let Err(error) = completed else { return Ok(()) };
        // An answer that was lost on its way back: the upload is gone, because it is a file now. The name was free.
        match self.bucket.size(&self.url) {
            Ok(Some(size)) if size == self.written => Ok(()),
            _ => Err(error),
        }
    }

    fn send_part(&mut self) -> io::Result<()> {
        while self.under_way.len() >= UNDER_WAY {
            self.await_part()?;
        }
        let key = self.key()?;
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let key = key.clone();
                let begin = move |inner: Arc<super::Inner>| async move { inner.store.create_multipart(&key).await };
                let id = self.bucket.ask(begin)?;
                self.id.insert(id).clone()
            }
        };
        let number = self.parts.len() + self.under_way.len();
        if number >= MOST_PARTS {
            return Err(io::Error::other(format!(
                "it has more than {MOST_PARTS} parts, and no storage takes more: {} bytes are too many for one file",
                self.written
            )));
        }
        let next = self.bucket.access().part_bytes(number + 1);
        let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(next));
        let (sender, receiver) = sync_channel(1);
        let inner = Arc::clone(&self.bucket.0);
        let cancel = inner.cancel.clone();
        let gone = || io::Error::other("the threads of the storage have ended");
        let runtime = self.bucket.0.runtime.as_ref().ok_or_else(gone)?;
        let task = runtime.spawn(async move {
            let sending = inner.store.put_part(&key, &id, number, PutPayload::from(part));
            let sent = tokio::select! {
                sent = sending => sent.map_err(|error| http::told(&error)),
                () = cancel.cancelled() => Err(io::Error::other("the run was interrupted")),
            };
            let _ = sender.send(sent);
        });
        self.under_way.push_back((receiver, task.abort_handle()));
        Ok(())
    }

    fn await_part(&mut self) -> io::Result<()> {
        if let Some((receiver, _)) = self.under_way.pop_front() {
            let gone = |_| io::Error::other("the threads of the storage have ended");
            self.parts.push(received(&receiver).map_err(gone)??);
        }
        Ok(())
    }

    fn key(&self) -> io::Result<Key> {
        self.bucket.key(&self.url)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(id), false) = (self.id.take(), self.published)
            && let Ok(key) = self.key()
        {
            for (_, task) in self.under_way.drain(..) {
                task.abort();
            }
            let inner = Arc::clone(&self.bucket.0);
            let undone = self.bucket.wait_whatever(async move {
                let undo = inner.store.abort_multipart(&key, &id);
                match tokio::time::timeout(UNDO_LIMIT, undo).await {
                    Ok(done) => done.map_err(|error| http::told(&error)),
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                }
            });
            if let Err(error) = undone {
                tracing::debug!(
                    "the upload of {} could not be taken back, the next run will: {error}",
                    self.url
                );
            }
        }
        let mut open = self.bucket.0.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        self.bucket.0.upload_over.notify_all();
    }
}
