//! Reads a file of a bucket in pieces, the next one under way while the last is used.
//!
//! Each piece is a request of its own, so a connection that breaks costs that piece and not what came before it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Bucket, http, received};
use crate::words::place::StorageUrl;

/// Bytes of one request.
const PIECE_BYTES: u64 = 8 << 20;

/// Smaller ones first: who needs the first line shall not wait for millions.
const FIRST_PIECE_BYTES: u64 = 1 << 20;

/// A file, or a part of it.
#[derive(Debug)]
pub struct BucketReader {
    bucket: Bucket,
    url: StorageUrl,
    /// What was not asked for yet.
    left: Range<u64>,
    piece_bytes: u64,
    /// The file that the first piece came from: another one of the same name must not give the rest.
    tag: Option<String>,
    coming: Option<Receiver<io::Result<Bytes>>>,
    /// What has come and was not used yet.
    piece: Bytes,
}

impl Bucket {
    /// From the beginning to the end.
    pub fn open_file(&self, url: &StorageUrl) -> io::Result<BucketReader> {
        let key = self.key(url)?;
        let meta =
            self.ask(move |inner| async move { inner.store.get_opts(&key, head()).await.map(|found| found.meta) })?;
        Ok(BucketReader {
            tag: meta.e_tag,
            ..self.open_range(url, 0..meta.size)
        })
    }

    /// These bytes, which must be there.
    pub fn open_range(&self, url: &StorageUrl, range: Range<u64>) -> BucketReader {
        BucketReader {
            bucket: self.clone(),
            url: url.clone(),
            left: range,
            piece_bytes: FIRST_PIECE_BYTES,
            tag: None,
            coming: None,
            piece: Bytes::new(),
        }
    }
}

fn head() -> GetOptions {
    GetOptions {
        head: true,
        ..GetOptions::default()
    }
}

impl BucketReader {
    /// Asks for the next piece.
    fn ask(&mut self) -> io::Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let range = self.left.start..self.left.end.min(self.left.start + self.piece_bytes);
        self.left.start = range.end;
        self.piece_bytes = PIECE_BYTES;
        let key = self.bucket.key(&self.url)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let (sender, receiver) = sync_channel(1);
        let inner = std::sync::Arc::clone(&self.bucket.0);
        let cancel = inner.cancel.clone();
        let work = async move {
            let get = async {
                let found = inner.store.get_opts(&key, options).await?;
                found.bytes().await
            };
            let bytes: Bytes = get.await.map_err(|error| match error {
                object_store::Error::Precondition { .. } => {
                    io::Error::other("the file was written anew while it was read")
                }
                error => http::told(&error),
            })?;
            let wanted = range.end - range.start;
            match bytes.len() as u64 == wanted {
                true => Ok(bytes),
                false => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "the storage gave {} bytes of {wanted} from byte {} on",
                        bytes.len(),
                        range.start
                    ),
                )),
            }
        };
        let runtime = self.bucket.0.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| io::Error::other("the threads of the storage have ended"))?;
        runtime.spawn(async move {
            let done = tokio::select! {
                done = work => done,
                () = cancel.cancelled() => Err(io::Error::other("the run was interrupted")),
            };
            let _ = sender.send(done);
        });
        self.coming = Some(receiver);
        Ok(())
    }
}

impl Read for BucketReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            if self.coming.is_none() {
                self.ask()?;
            }
            let Some(coming) = self.coming.take() else {
                return Ok(0);
            };
            let gone = || io::Error::other("the threads of the storage have ended");
            self.piece = received(&coming).map_err(|_| gone())??;
            // Under way while this one is used.
            self.ask()?;
        }
        let bytes = self.piece.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.piece.split_to(bytes));
        Ok(bytes)
    }
}
