//! A bucket of an object storage: files by their URL, with calls that wait like those of `std::fs`.
//!
//! The protocol is the crate `object_store`'s; what is ours is in [`http`]: which answers are tried again, how long, and
//! what a person is told. Requests run in threads of their own, so that a caller may wait wherever it stands.

mod http;
mod read;
mod upload;

use std::future::Future;
use std::io;
use std::sync::mpsc::{Receiver, RecvError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential, S3ConditionalPut};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub use self::read::BucketReader;
pub use self::upload::Upload;
use super::files::{Entry, EntryKind};
use crate::words::limits::Limits;
use crate::words::place::StorageUrl;
use crate::words::storage::StorageAccess;

/// An open way to a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: StorageAccess,
    store: AmazonS3,
    /// For what the crate cannot ask.
    http: HttpClient,
    /// Gone only while it is dropped.
    runtime: Option<Runtime>,
    cancel: CancellationToken,
    /// Uploads that are neither named nor undone.
    uploads: Mutex<usize>,
    upload_over: Condvar,
}

/// Threads for requests: they wait for the network, and signing is the only work.
const THREADS: usize = 2;

/// Listing reads so much at most; more are no dump directory.
const MOST_UPLOADS: usize = 10_000;

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever drops the last handle may be in the middle of async work, where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    /// Asks nobody: whether the bucket is there shows with the first request. `cancel` ends every wait.
    pub fn open(access: StorageAccess, limits: Limits, cancel: CancellationToken) -> io::Result<Bucket> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("storage")
            .enable_all()
            .build()?;
        let client = http::client(&access, limits)?;
        let base = access.base_url();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(access.root.bucket())
            .with_region(&access.region)
            .with_access_key_id(access.account.key_id.reveal())
            .with_secret_access_key(access.account.secret.reveal())
            // The bucket is a part of this URL already, wherever it stands in it.
            .with_virtual_hosted_style_request(true)
            .with_allow_http(base.starts_with("http://"))
            .with_endpoint(base)
            // Tags, conditions and bulk deletes come with headers that COS and OSS refuse.
            .with_disable_tagging(true)
            .with_disable_bulk_delete(true)
            .with_conditional_put(S3ConditionalPut::Disabled)
            // One place decides what is tried again: ours.
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .with_http_connector(http::Connector(client.clone()));
        if let Some(token) = &access.account.token {
            builder = builder.with_token(token.reveal());
        }
        let store = builder.build().map_err(|error| http::told(&error))?;
        Ok(Bucket(Arc::new(Inner {
            access,
            store,
            http: client,
            runtime: Some(runtime),
            cancel,
            uploads: Mutex::new(0),
            upload_over: Condvar::new(),
        })))
    }

    pub fn access(&self) -> &StorageAccess {
        &self.0.access
    }

    /// Bytes of a file; `None`: there is none.
    pub fn size(&self, url: &StorageUrl) -> io::Result<Option<u64>> {
        let key = self.key(url)?;
        match self.ask(move |inner| async move { inner.store.head(&key).await.map(|meta| meta.size) }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            size => size.map(Some),
        }
    }

    /// Whether something lies below it.
    pub fn has_below(&self, url: &StorageUrl) -> io::Result<bool> {
        let key = self.key(url)?;
        self.ask(move |inner| async move { Ok(inner.store.list(Some(&key)).next().await.transpose()?.is_some()) })
    }

    /// What lies directly below it.
    pub fn list(&self, url: &StorageUrl) -> io::Result<Vec<Entry>> {
        let key = self.key(url)?;
        let found = self.ask(move |inner| async move { inner.store.list_with_delimiter(Some(&key)).await })?;
        let name_of = |key: &Key| key.filename().unwrap_or_default().to_owned();
        let files = found.objects.iter().map(|meta| Entry {
            name: name_of(&meta.location),
            kind: EntryKind::File(meta.size),
        });
        let directories = found.common_prefixes.iter().map(|key| Entry {
            name: name_of(key),
            kind: EntryKind::Directory,
        });
        let entries: Vec<Entry> = files.chain(directories).collect();
        match entries.is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(entries),
        }
    }

    pub fn read(&self, url: &StorageUrl) -> io::Result<Vec<u8>> {
        let key = self.key(url)?;
        let bytes = self.ask(move |inner| async move { inner.store.get(&key).await?.bytes().await })?;
        Ok(bytes.into())
    }

    /// Writes a file at once, over one of its name.
    pub fn put(&self, url: &StorageUrl, bytes: Vec<u8>) -> io::Result<()> {
        let key = self.key(url)?;
        let payload = PutPayload::from(bytes);
        self.ask(move |inner| async move { inner.store.put(&key, payload).await.map(|_| ()) })
    }

    /// That it was not there is no error.
    pub fn remove(&self, url: &StorageUrl) -> io::Result<()> {
        let key = self.key(url)?;
        match self.ask(move |inner| async move { inner.store.delete(&key).await }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Begins an upload below this directory and takes it back: the right to write is there, and nothing stays.
    pub fn probe(&self, directory: &StorageUrl) -> io::Result<()> {
        let key = self.key(&below(directory, "probe"))?;
        self.ask(move |inner| async move {
            let id = inner.store.create_multipart(&key).await?;
            match inner.store.abort_multipart(&key, &id).await {
                // Done by a first try, of which the answer was lost.
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                done => done,
            }
        })
    }

    /// Takes back all uploads below this directory that nobody finished. Gives back the names of their files.
    pub fn remove_uploads(&self, directory: &StorageUrl) -> io::Result<Vec<String>> {
        let found = self.list_uploads(directory)?;
        let mut names = Vec::new();
        for (key, id) in found {
            let key = Key::parse(&key).map_err(io::Error::other)?;
            let name = key.filename().unwrap_or_default().to_owned();
            match self.ask(move |inner| async move { inner.store.abort_multipart(&key, &id).await }) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(()) => names.push(name),
            }
        }
        Ok(names)
    }

    /// Keys and ids. The crate has no words for this question; the signature is its own.
    fn list_uploads(&self, directory: &StorageUrl) -> io::Result<Vec<(String, String)>> {
        let access = &self.0.access;
        let url = format!(
            "{}/?max-uploads=1000&prefix={}%2F&uploads=",
            access.base_url(),
            directory
                .key
                .replace('/', "%2F")
                .replace('+', "%2B")
                .replace('=', "%3D")
        );
        let uri = url.parse().map_err(io::Error::other)?;
        let inner = Arc::clone(&self.0);
        let mut found = Vec::new();
        // Each answer holds a thousand; those that were taken back are gone from the next.
        let text = self.wait(async move {
            let account = &inner.access.account;
            let credential = AwsCredential {
                key_id: account.key_id.reveal().to_owned(),
                secret_key: account.secret.reveal().to_owned(),
                token: account.token.as_ref().map(|token| token.reveal().to_owned()),
            };
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.uri_mut() = uri;
            let authorizer = AwsAuthorizer::new(&credential, "s3", &inner.access.region);
            authorizer
                .try_authorize(&mut request, None)
                .map_err(|error| http::told(&error))?;
            let response = inner.http.execute(request).await.map_err(io::Error::other)?;
            let status = response.status();
            let bytes = response.into_body().bytes().await.map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match status.is_success() {
                true => Ok(text),
                false => Err(http::of_status(status.as_u16(), &text)),
            }
        })?;
        for upload in text.split("<Upload>").skip(1).take(MOST_UPLOADS) {
            if let (Some(key), Some(id)) = (http::element(upload, "Key"), http::element(upload, "UploadId")) {
                found.push((key, id));
            }
        }
        Ok(found)
    }

    /// Waits until no upload is open any more: each has its name or is undone.
    pub fn settle(&self, limit: Duration) {
        let open = self.0.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.upload_over.wait_timeout_while(open, limit, |open| *open > 0);
        drop(waited);
    }

    fn key(&self, url: &StorageUrl) -> io::Result<Key> {
        if !self.0.access.root.is_same_bucket(url) {
            return Err(io::Error::other(format!(
                "{url} is not in the bucket that --storage names, {}",
                self.0.access.root
            )));
        }
        Key::parse(&url.key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// Waits for an answer of the storage, in words of `std::io`.
    fn ask<T: Send + 'static, F: Future<Output = object_store::Result<T>> + Send>(
        &self,
        question: impl FnOnce(Arc<Inner>) -> F + Send + 'static,
    ) -> io::Result<T> {
        let inner = Arc::clone(&self.0);
        self.wait(async move { question(inner).await.map_err(|error| http::told(&error)) })
    }

    /// Runs it in a thread of the storage, until it is done or nobody wants it any more.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
        let cancel = self.0.cancel.clone();
        self.wait_whatever(async move {
            tokio::select! {
                done = work => done,
                () = cancel.cancelled() => Err(io::Error::other("the run was interrupted")),
            }
        })
    }

    /// The same for what has to be done when the run is over as well.
    fn wait_whatever<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the threads of the storage have ended");
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let runtime = self.0.runtime.as_ref().ok_or_else(gone)?;
        runtime.spawn(async move { drop(answer.send(work.await)) });
        received(&answered).map_err(|_| gone())?
    }
}

/// Waits without keeping the tasks of this thread from going on elsewhere: a worker must be able to say that it lives.
fn received<T>(answered: &Receiver<T>) -> Result<T, RecvError> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| answered.recv()),
        _ => answered.recv(),
    }
}

fn below(directory: &StorageUrl, name: &str) -> StorageUrl {
    StorageUrl {
        key: match directory.key.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", directory.key),
        },
        ..directory.clone()
    }
}
