//! An object storage to test against: the S3 protocol over real HTTP, with signatures, in memory, and with faults.
//!
//! Stricter than most: buckets are names of hosts and never parts of a path, bodies must have the sum that was signed, and
//! headers that other providers refuse (checksums, tags, conditions on writes) are refused here.

mod bucket;
mod faults;
mod http;
mod signature;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use self::bucket::Bucket;
pub use self::faults::{Fault, FaultKind};
use self::http::{Request, Response};

/// The account that the server knows.
pub const KEY_ID: &str = "AKIATESTKEYID0000001";
pub const SECRET: &str = "v3ryS3cretKeyOfTheTests/+0123456789abcdef";

/// The one bucket there is.
pub const BUCKET: &str = "cold-copies";

/// The region that signatures must be made for.
pub const REGION: &str = "test-region-1";

/// A running server; it ends with the process.
#[derive(Debug)]
pub struct ObjectServer {
    port: u16,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

/// What was asked and answered.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Method, path and query.
    pub line: String,
    pub status: u16,
    /// Bytes of the bodies.
    pub received: u64,
    pub sent: u64,
}

#[derive(Debug, Default)]
struct State {
    bucket: Bucket,
    log: Vec<Logged>,
    /// Each with the number of requests that it might have happened to.
    faults: Vec<(Fault, usize)>,
    /// Requests since the faults were set.
    count: usize,
    /// Requests since then that something went wrong with.
    struck: usize,
    /// The bucket stands in the path.
    in_paths: bool,
}

impl ObjectServer {
    pub fn start() -> ObjectServer {
        ObjectServer::listen("http", Some)
    }

    /// The same behind TLS, with this certificate and this key (PEM).
    pub fn start_with_tls(certificate: &Path, key: &Path) -> ObjectServer {
        let certificates = CertificateDer::pem_file_iter(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                certificates.map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_file(key).unwrap(),
            );
        let config = Arc::new(config.unwrap());
        ObjectServer::listen("https", move |socket| {
            let session = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(StreamOwned::new(session, socket))
        })
    }

    fn listen<W: Wire>(scheme: &'static str, dress: impl Fn(TcpStream) -> Option<W> + Send + 'static) -> ObjectServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let of_threads = Arc::clone(&state);
        thread::spawn(move || {
            for wire in listener.incoming().flatten().filter_map(dress) {
                let state = Arc::clone(&of_threads);
                thread::spawn(move || serve(wire, port, &state));
            }
        });
        ObjectServer { port, scheme, state }
    }

    /// For `--storage-endpoint`.
    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    /// From now on the bucket stands in the path, and in no host.
    pub fn know_paths_only(&self) {
        self.state().in_paths = true;
    }

    /// For `--storage`.
    pub fn url(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Who the programs are.
    pub fn environment() -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", REGION),
        ]
    }

    /// Keys of all objects with their bytes.
    pub fn objects(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        self.state().bucket.objects()
    }

    /// Writes an object, or takes it away.
    pub fn set(&self, key: &str, bytes: Option<Vec<u8>>) {
        self.state().bucket.set(key, bytes);
    }

    /// Keys of uploads that nobody finished.
    pub fn open_uploads(&self) -> Vec<String> {
        self.state().bucket.open_uploads()
    }

    /// What was asked since this was called last.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.state().log)
    }

    /// Sets what goes wrong from now on; counts requests from 1 on. No faults: nothing does.
    pub fn fail(&self, faults: &[Fault]) {
        let mut state = self.state();
        state.faults = faults.iter().map(|fault| (*fault, 0)).collect();
        (state.count, state.struck) = (0, 0);
    }

    /// Requests since [`ObjectServer::fail`].
    pub fn count(&self) -> usize {
        self.state().count
    }

    /// Requests that went wrong since [`ObjectServer::fail`].
    pub fn struck(&self) -> usize {
        self.state().struck
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, dressed or not.
trait Wire: Read + Write + Send + 'static {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// Answers until the other side has no more to ask.
fn serve(wire: impl Wire, port: u16, state: &Mutex<State>) {
    let mut reader = std::io::BufReader::new(wire);
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let kind = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.count += 1;
            state
                .faults
                .iter_mut()
                .find_map(|(fault, seen)| fault.strikes(seen, &request))
        };
        let response = match kind.and_then(FaultKind::instead) {
            Some(response) => response,
            None => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                answer(&mut state, port, &request)
            }
        };
        let kind = kind.filter(|kind| kind.changes(&request, &response));
        let logged = Logged {
            line: format!("{} {}", request.method, request.target),
            status: response.status,
            received: request.body.len() as u64,
            sent: response.body.len() as u64,
        };
        {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.log.push(logged);
            state.struck += usize::from(kind.is_some());
        }
        if !faults::send(reader.get_mut(), &response, kind) {
            return;
        }
    }
}

fn answer(state: &mut State, port: u16, request: &Request) -> Response {
    let host = request.header("host").unwrap_or_default();
    let (own_host, base) = match state.in_paths {
        false => (format!("{BUCKET}.localhost:{port}"), String::new()),
        true => (format!("localhost:{port}"), format!("/{BUCKET}")),
    };
    if host != own_host || !request.path().starts_with(&base) {
        return Response::error(400, "PathStyleNotSupported", &format!("{host} names no bucket"));
    }
    let unwanted = [
        "x-amz-checksum",
        "x-amz-sdk-checksum",
        "x-amz-tagging",
        "if-none-match",
        "x-amz-trailer",
    ];
    if let Some((name, _)) = (request.headers.iter()).find(|(name, _)| unwanted.iter().any(|bad| name.starts_with(bad)))
    {
        return Response::error(501, "NotImplemented", &format!("header {name}"));
    }
    if let Err(why) = signature::check(request, KEY_ID, SECRET, REGION) {
        return Response::error(403, "SignatureDoesNotMatch", &why);
    }
    state.bucket.answer(request, &base)
}
