//! TLS to the servers, by the rules of libpq's `sslmode` (PostgreSQL documentation, "libpq - SSL Support").
//!
//! A root certificate file that exists is used in every mode; without one only `verify-ca` and `verify-full` fail.
//! Where libpq accepts what no certificate authority signed (its root file holds the server's own certificate), so do we.
//! Names of hosts are looked for in the subject alternative names only: libpq still reads the common name, TLS libraries
//! do no longer.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode as Way;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client, Config, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::BoxError;
use super::connect::{FailedTry, describe};
use super::socket::{Address, Socket};
use super::tap::{Errors, Tap};
use crate::words::environment::{SslMode, TlsSettings};

/// Longest wait for a server to take a request to cancel.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// How a server is reached: where it listens, and how TLS is spoken to it, if it is.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    tls: MakeRustlsConnect,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

/// Stops what a session's server does, from outside of the session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    connector: Connector,
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canceller")
    }
}

impl Canceller {
    pub(super) fn new(token: CancelToken, connector: Connector) -> Self {
        Canceller { token, connector }
    }

    /// Asks the server to cancel the statement of the session. A server that cannot be reached any more holds nobody up.
    pub async fn cancel(self) {
        let Canceller { token, connector } = self;
        let _ = tokio::time::timeout(CANCEL_LIMIT, async {
            let socket = connector.address.open(CANCEL_LIMIT).await?;
            // Nothing comes back over this connection but its end.
            let socket = Tap::new(socket, Errors::default());
            let cancelled = token.cancel_query_raw(socket, connector.handshake()).await;
            cancelled.map_err(io::Error::other)
        })
        .await;
    }
}

impl Connector {
    fn handshake(&self) -> Handshake {
        let mut tls = self.tls.clone();
        let Ok(handshake) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &self.address.host);
        Handshake(handshake)
    }
}

type TlsOf<S> = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;

/// TLS over a socket: what the server says is heard behind it.
struct Handshake(<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect);

impl TlsConnect<Tap<Socket>> for Handshake {
    type Stream = Tap<TlsOf<Socket>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: Tap<Socket>) -> Self::Future {
        let (socket, errors) = stream.into_inner();
        let encrypting = self.0.connect(socket);
        Box::pin(async move { Ok(Tap::new(encrypting.await?, errors)) })
    }
}

impl TlsStream for Tap<TlsOf<Socket>> {
    fn channel_binding(&self) -> ChannelBinding {
        self.get_ref().channel_binding()
    }
}

/// What the driver gives for a connection that stands.
pub(super) type Connected = (Client, Connection<Tap<Socket>, Tap<TlsOf<Socket>>>, Connector);

/// Connects with as much encryption as the settings want; each try has the limit. What the server tells of errors goes to
/// `errors`.
pub(super) async fn connect(
    config: &mut Config,
    settings: &TlsSettings,
    address: &Address,
    errors: &Errors,
    limit: Duration,
) -> Result<Connected, FailedTry> {
    let tries = tries(settings.mode, address);
    let mut last = FailedTry::from(BoxError::from("no way to connect is allowed"));
    for (at, way) in tries.iter().enumerate() {
        let connector = Connector {
            address: address.clone(),
            tls: connector(settings, *way)?,
        };
        config.ssl_mode(*way);
        // The whole handshake gets the limit too, not only the TCP part: a stopped server accepts and stays silent.
        let shaken = tokio::time::timeout(limit, async {
            let socket = address.open(limit).await?;
            let socket = match way {
                Way::Disable => Tap::new(socket, errors.clone()),
                _ => Tap::behind_question(socket, errors.clone()),
            };
            Ok::<_, FailedTry>(config.connect_raw(socket, connector.handshake()).await)
        });
        let error = match shaken.await {
            Ok(Ok(Ok((client, connection)))) => return Ok((client, connection, connector)),
            Ok(Ok(Err(error))) => error,
            Ok(Err(failed)) => return Err(failed),
            Err(_) => return Err(BoxError::from(format!("no answer within {} s", limit.as_secs())).into()),
        };
        let is_last = at + 1 == tries.len();
        if is_last || !the_other_way_may_do(&error) {
            last = FailedTry::of(&error);
            break;
        }
        tracing::debug!("{}: {}; trying the other way", address.host, describe(&error));
    }
    Err(last)
}

/// The ways to try, in order.
fn tries(mode: SslMode, address: &Address) -> &'static [Way] {
    // The mode means nothing to a unix socket.
    if address.is_unix() {
        return &[Way::Disable];
    }
    match mode {
        SslMode::Disable => &[Way::Disable],
        SslMode::Allow => &[Way::Disable, Way::Require],
        SslMode::Prefer => &[Way::Prefer, Way::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Way::Require],
    }
}

/// TLS did not come about, or `pg_hba.conf` does not let in the way that was tried.
fn the_other_way_may_do(error: &tokio_postgres::Error) -> bool {
    // invalid_authorization_specification
    if let Some(db) = error.as_db_error() {
        return db.code().code() == "28000";
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn connector(settings: &TlsSettings, way: Way) -> Result<MakeRustlsConnect, BoxError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    if way == Way::Disable {
        let never_used = builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        return Ok(MakeRustlsConnect::new(never_used));
    }
    let verifier = Arc::new(Verifier::new(settings, provider)?);
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match client_certificate(settings)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// The certificate by which we make ourselves known, if there is one.
fn client_certificate(
    settings: &TlsSettings,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, BoxError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !settings.certificate.exists() {
        return Ok(None);
    }
    let key_file = settings.key.display();
    let chain = certificates(&settings.certificate)?;
    let meta = std::fs::metadata(&settings.key)
        .map_err(|e| format!("there is a certificate, but its private key file \"{key_file}\" cannot be used: {e}"))?;
    // libpq's rule: a key of root may be read by a group.
    let others = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.permissions().mode() & others != 0 {
        return Err(format!("private key file \"{key_file}\" can be read by others: chmod it to 0600").into());
    }
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|e| {
        format!("private key file \"{key_file}\" cannot be read (an encrypted key cannot be used): {e}")
    })?;
    Ok(Some((chain, key)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("certificate file \"{}\" holds no certificate", file.display()).into()),
        Err(error) => Err(format!("certificate file \"{}\" cannot be read: {error}", file.display()).into()),
    }
}

/// What of a server's certificate is looked at.
#[derive(Debug)]
struct Verifier {
    /// Without roots nothing is verified: encryption alone was asked for.
    chains: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(settings: &TlsSettings, provider: Arc<CryptoProvider>) -> Result<Self, BoxError> {
        let file = &settings.root_certificates;
        let mut roots = Vec::new();
        if file.as_os_str() == "system" {
            roots = rustls_native_certs::load_native_certs().certs;
            if roots.is_empty() {
                return Err("PGSSLROOTCERT=system, but no certificates were found on this machine".into());
            }
        } else if file.exists() {
            roots = certificates(file)?;
        } else if settings.mode.verifies() {
            let text = "root certificate file \"{}\" does not exist: put the certificate of the server's authority \
                        there, name it with PGSSLROOTCERT (\"system\" for those of this machine), or use \
                        PGSSLMODE=require to encrypt without verifying";
            return Err(text.replace("{}", &file.display().to_string()).into());
        }
        let chains = if roots.is_empty() {
            None
        } else {
            let mut store = RootCertStore::empty();
            let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
            match added {
                // Only such as no authority would issue: they are compared as they are.
                0 => None,
                _ => Some(WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build()?),
            }
        };
        Ok(Verifier {
            chains,
            roots,
            names: settings.mode == SslMode::VerifyFull,
            provider,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.roots.is_empty() {
            return Ok(ServerCertVerified::assertion());
        }
        if self.roots.iter().any(|root| root.as_ref() == certificate.as_ref()) {
            if self.names {
                let parsed = ParsedCertificate::try_from(certificate)?;
                rustls::client::verify_server_name(&parsed, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let Some(chains) = &self.chains else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        match chains.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The chain was looked at before the name.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
