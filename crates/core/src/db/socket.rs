//! Sockets to servers.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

pub(super) type Socket = Either<TcpStream, UnixStream>;

/// Where a server listens, and how long its host may be silent.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// The directory of a unix socket (an absolute path), or a host name or address.
    pub(super) host: String,
    pub(super) port: u16,
    /// A connection whose other side acknowledges nothing for so long is taken for broken.
    pub(super) silence: Duration,
}

/// Probes without an answer after which the other host counts as gone.
const KEEPALIVE_PROBES: u32 = 4;

impl Address {
    pub(super) fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Connects to the first address of the host that answers; they share the limit, so that one that swallows packets does
    /// not take all of it.
    pub(super) async fn open(&self, limit: Duration) -> io::Result<Socket> {
        if self.is_unix() {
            let path = format!("{}/.s.PGSQL.{}", self.host, self.port);
            return Ok(Either::Right(within(limit, UnixStream::connect(path)).await?));
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
        let addresses: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        for address in addresses {
            let opened = match within(share, TcpStream::connect(address)).await {
                Ok(stream) => self.prepare(&stream).map(|()| stream),
                Err(error) => Err(error),
            };
            match opened {
                Ok(stream) => return Ok(Either::Left(stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let silence = u32::try_from(self.silence.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, silence)?;
        sockopt::set_socket_keepalive(stream, true)?;
        let second = Duration::from_secs(1);
        sockopt::set_tcp_keepidle(stream, (self.silence / 2).max(second))?;
        sockopt::set_tcp_keepintvl(stream, (self.silence / (2 * KEEPALIVE_PROBES)).max(second))?;
        sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
        Ok(())
    }
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")),
    }
}
