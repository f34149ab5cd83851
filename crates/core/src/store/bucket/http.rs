//! Requests to a storage: which answers are tried again, how long, and what a person is told.
//!
//! Every request that is made here may be made twice: reads, parts of an upload, and writes of a whole file with the same
//! bytes. (A completion that was lost on its way back is seen by the size of the file, in [`super::upload`].) A body is
//! taken whole before it counts, at most a part of an upload: a connection that breaks in the middle of it costs that part
//! and nothing more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use crate::words::errors::error_chain;
use crate::words::limits::Limits;
use crate::words::storage::StorageAccess;

/// Pauses between attempts, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// However long the first took: silence is often that of one connection.
const LEAST_TRIES: u32 = 3;

/// Servers that put the parts of a large file together before they answer may need minutes; the end of a dump waits 300 s.
const COMPLETION_FACTOR: u32 = 4;

/// A line that brings fewer bytes a second is as good as broken.
const LEAST_BYTES_A_SECOND: u64 = 32 << 10;

/// Longest text of a server in a message of ours.
const LONGEST_WORDS: usize = 300;

/// Hands out the one client.
#[derive(Debug)]
pub(super) struct Connector(pub(super) HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// A client that does not give up at once.
pub(super) fn client(access: &StorageAccess, limits: Limits) -> io::Result<HttpClient> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(limits.connect)
        .user_agent(concat!("gpdump/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .dns_resolver(Arc::new(Names));
    builder = builder.tls_backend_preconfigured(tls(authorities(access)?)?);
    if access.base_url().starts_with("http://") {
        // No server of the machine's own is behind a proxy.
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(io::Error::other)?;
    Ok(HttpClient::new(Patient {
        client,
        limits,
        is_down: AtomicBool::new(false),
    }))
}

/// Whom to believe that a server is what it says. Nobody, where no certificate will be looked at.
fn authorities(access: &StorageAccess) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !access.base_url().starts_with("https://") {
        return Ok(roots);
    }
    let (found, whose) = match &access.authorities {
        Some(text) => (
            CertificateDer::pem_slice_iter(text.as_bytes()).flatten().collect(),
            "the file that was named for it has none",
        ),
        None => (
            rustls_native_certs::load_native_certs().certs,
            "this machine has none (the package ca-certificates has them)",
        ),
    };
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(io::Error::other(format!(
            "no root certificates: {whose}, so nobody can tell whether a server is what it says"
        ))),
        _ => Ok(roots),
    }
}

fn tls(roots: RootCertStore) -> io::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The system's names; whatever ends in `.localhost` is this machine (RFC 6761), which not every system knows.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = match name == "localhost" || name.ends_with(".localhost") {
                true => vec![(Ipv4Addr::LOCALHOST, 0).into()],
                false => tokio::net::lookup_host((name, 0)).await?.collect(),
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct Patient {
    client: reqwest::Client,
    limits: Limits,
    /// The last request had no answer, however often it was sent. Those that follow are sent once: what a run that fails
    /// has to undo shall not wait as long for each file.
    is_down: AtomicBool,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Patient {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.call_patiently(request))
    }
}

impl Patient {
    /// Until there is an answer that trying again would not change, or the time for it is over.
    async fn call_patiently(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let began = Instant::now();
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            let answer = self.call_once(request.clone()).await;
            let why = match &answer {
                Ok((response, body)) => why_again(response.status().as_u16(), body),
                // It will show the same one again.
                Err(error) if bad_certificate(error).is_some() => None,
                Err(error) => Some(error_chain(error)),
            };
            tries += 1;
            let has_time = tries < LEAST_TRIES || began.elapsed() + pause < self.limits.connect;
            let is_hopeless = answer.is_err() && self.is_down.load(Ordering::Relaxed);
            let (Some(why), true, false) = (why, has_time, is_hopeless) else {
                self.is_down.store(answer.is_err(), Ordering::Relaxed);
                return answer.map(|(response, _)| response);
            };
            // The path alone: the rest of a URL is nobody's business.
            tracing::debug!("{} {}: {why}; trying again", request.method(), request.uri().path());
            // Not all streams of a host at the same moment.
            let jitter = f64::from(began.elapsed().subsec_nanos() % 1000) / 2000.0;
            tokio::time::sleep(pause.mul_f64(0.75 + jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt with all of its body.
    async fn call_once(&self, request: HttpRequest) -> Result<(HttpResponse, Bytes), HttpError> {
        // Asked twice while it works, a server may do it twice at once.
        let silence = match is_completion(&request) {
            true => self.limits.silence * COMPLETION_FACTOR,
            false => self.limits.silence,
        };
        let is_head = request.method() == "HEAD";
        let sent = request.body().content_length() as u64;
        let slow = || HttpError::new(HttpErrorKind::Timeout, io::Error::new(io::ErrorKind::TimedOut, SILENT));
        let sending = silence + Duration::from_secs(sent / LEAST_BYTES_A_SECOND);
        let response = tokio::time::timeout(sending, self.client.call(request))
            .await
            .map_err(|_| slow())??;
        let (parts, body) = response.into_parts();
        let mut pieces = body.bytes_stream();
        let mut body = Vec::new();
        while let Some(piece) = tokio::time::timeout(silence, pieces.next()).await.map_err(|_| slow())? {
            body.extend_from_slice(&piece?);
        }
        let promised: Option<usize> =
            (parts.headers.get("content-length")).and_then(|value| value.to_str().ok()?.parse().ok());
        if let (Some(promised), false) = (promised, is_head)
            && promised != body.len()
        {
            let cut = io::Error::new(io::ErrorKind::UnexpectedEof, CUT_OFF);
            return Err(HttpError::new(HttpErrorKind::Interrupted, cut));
        }
        let body = Bytes::from(body);
        Ok((HttpResponse::from_parts(parts, body.clone().into()), body))
    }
}

/// The end of an upload in parts.
fn is_completion(request: &HttpRequest) -> bool {
    request.method() == "POST" && request.uri().query().is_some_and(|query| query.contains("uploadId="))
}

const SILENT: &str = "the storage fell silent";
const CUT_OFF: &str = "its answer ended too early";

/// Why an answer may be another one the next time.
fn why_again(status: u16, body: &[u8]) -> Option<String> {
    match status {
        408 | 429 | 500..=599 => Some(format!("status {status}")),
        // The answer to a completion begins before the work does, so an error can only stand in its body.
        200 if is_error(body) => element(&String::from_utf8_lossy(body), "Code"),
        _ => None,
    }
}

/// A document of which the first element is `Error`. Files of a dump set begin with nothing of the kind.
fn is_error(body: &[u8]) -> bool {
    let head = &body[..body.len().min(200)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    let text = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest).trim_start(),
        None => text,
    };
    text.starts_with("<Error>") || text.starts_with("<Error ")
}

/// The text of the first element of this name.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let rest = text.split_once(&format!("<{name}>"))?.1;
    let inner = rest.split_once(&format!("</{name}>"))?.0;
    let plain = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&#34;", "\"").replace("&amp;", "&"))
}

/// What the crate says, in words of `std::io` and of people: no URL, no header, no dump of a body.
pub(super) fn told(error: &object_store::Error) -> io::Error {
    use object_store::Error as E;
    if let Some(why) = bad_certificate(error) {
        return io::Error::other(format!(
            "the certificate of the storage is not trusted: {why}; AWS_CA_BUNDLE, or ca_bundle in the file of \
             --storage-credentials, names the file with the certificates of those who may sign for it"
        ));
    }
    let text = error_chain(error);
    let kind = match error {
        E::NotFound { .. } => io::ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        E::AlreadyExists { .. } | E::Precondition { .. } => io::ErrorKind::AlreadyExists,
        _ => io::ErrorKind::Other,
    };
    let code = element(&text, "Code");
    match (code, kind) {
        (Some(code), _) => io::Error::new(kind, said(&code, element(&text, "Message"))),
        (None, io::ErrorKind::NotFound) => io::Error::new(kind, "it is not there"),
        (None, io::ErrorKind::PermissionDenied) => io::Error::new(kind, said("AccessDenied", None)),
        (None, _) => io::Error::new(kind, last_cause(error)),
    }
}

/// The same for an answer that we read ourselves.
pub(super) fn of_status(status: u16, body: &str) -> io::Error {
    let kind = match status {
        404 => io::ErrorKind::NotFound,
        401 | 403 => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    let code = element(body, "Code").unwrap_or_else(|| format!("status {status}"));
    io::Error::new(kind, said(&code, element(body, "Message")))
}

/// What the storage said, and what helps.
fn said(code: &str, message: Option<String>) -> String {
    let message: String = message.unwrap_or_default().chars().take(LONGEST_WORDS).collect();
    let help = match code {
        "AccessDenied" | "AllAccessDisabled" => {
            "; the account needs the rights to list the bucket and to read, write and delete below the prefix, uploads in \
             parts included"
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => {
            "; look at the account and its secret, see docs/storage.md"
        }
        "NoSuchBucket" => "; buckets are not made by this program",
        "RequestTimeTooSkewed" => "; set the clock of this host",
        "AuthorizationHeaderMalformed" | "PermanentRedirect" => "; name the region of the bucket with AWS_REGION",
        _ => "",
    };
    match message.is_empty() {
        true => format!("the storage says {code}{help}"),
        false => format!("the storage says {code}: {}{help}", message.trim_end_matches('.')),
    }
}

/// What is wrong with the certificate of the server, when it is that.
fn bad_certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        // An error of this kind hides what it holds from `source`.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = match held {
            Some(held) => held.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(rustls::Error::InvalidCertificate(why)) = tls {
            return Some(why.to_string());
        }
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// The innermost says what happened; those around it, to which URL.
fn last_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let text = last.to_string();
    match text.contains("status code: ") {
        true => {
            let status: String = text
                .split("status code: ")
                .nth(1)
                .unwrap_or_default()
                .chars()
                .take(3)
                .collect();
            format!("the storage answers with status {status}")
        }
        false => format!(
            "the storage cannot be reached: {}",
            text.chars().take(LONGEST_WORDS).collect::<String>()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(why_again(status, b"").is_some(), "{status}");
        }
        for status in [200, 204, 206, 301, 400, 403, 404, 409, 412] {
            assert!(why_again(status, b"").is_none(), "{status}");
        }
        let late = b"<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>";
        assert_eq!(why_again(200, late).as_deref(), Some("InternalError"));
        assert_eq!(why_again(200, b"<CompleteMultipartUploadResult/>"), None);
        assert_eq!(why_again(206, late), None);
    }

    #[test]
    fn an_answer_is_told_in_words_and_says_what_helps() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>a &amp; b.</Message>\
                    <StringToSign>AKIA</StringToSign></Error>";
        let error = of_status(403, body);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "the storage says SignatureDoesNotMatch: a & b; look at the account and its secret, see docs/storage.md"
        );
        assert_eq!(of_status(400, "").to_string(), "the storage says status 400");
    }
}
