//! What a Greenplum master does between its clients and the segments, as far as dump and restore can see it.
//!
//! The proxy stands where the master is said to be. It relays each session to the real server, and runs on every
//! segment what a dispatcher would send there: DDL, transaction walls, settings, locks; rows of COPY FROM STDIN go to
//! the segments by a hash of their first column, and COPY TO STDOUT gathers them; `SELECT count(*) FROM table` is added up.
//! Nothing else gathers: another query through the master sees no rows.
//! Extended-protocol messages go to the master alone, but for COPY.

mod copy;
mod segments;
mod session;
mod statement;
mod wire;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};

use crate::client::{runtime, wait};
use wire::{Socket, Wire};

/// A backend that a cancel request has to reach: its server's socket and its key.
type Backend = (PathBuf, [u8; 8]);

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    master: PathBuf,
    segments: Vec<PathBuf>,
    /// By the key that the client was given.
    backends: Mutex<HashMap<[u8; 8], Vec<Backend>>>,
}

/// A running proxy; stops with its sessions when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    acceptor: AbortHandle,
}

impl Proxy {
    /// Listens on the port and on `.s.PGSQL.<port>` in the directory; the paths are the sockets of the real servers.
    ///
    /// `elsewhere` is a socket that listens in a network of tests, where everybody is trusted.
    pub(crate) fn start(
        port: u16,
        sockets: &Path,
        master: PathBuf,
        segments: Vec<PathBuf>,
        elsewhere: Option<std::net::TcpListener>,
    ) -> io::Result<Self> {
        let path = sockets.join(format!(".s.PGSQL.{port}"));
        let shared = Arc::new(Shared {
            master,
            segments,
            backends: Mutex::default(),
        });
        let trusted = elsewhere.is_some();
        let (tcp, unix) = wait(async move {
            let tcp = match elsewhere {
                Some(listener) => {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)?
                }
                None => TcpListener::bind(("0.0.0.0", port)).await?,
            };
            let unix = UnixListener::bind(path)?;
            io::Result::Ok((tcp, unix))
        })?;
        let acceptor = runtime().spawn(accept(tcp, unix, shared, trusted)).abort_handle();
        Ok(Proxy { acceptor })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(tcp: TcpListener, unix: UnixListener, shared: Arc<Shared>, trusted: bool) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, peer)) = tcp.accept() => {
                // Trusted are clients of this machine only, as in pg_hba.conf of the servers behind.
                let local = peer.ip().is_loopback() || socket.local_addr().is_ok_and(|a| a.ip() == peer.ip());
                if local || trusted {
                    let _ = socket.set_nodelay(true);
                    sessions.spawn(serve(socket, shared.clone()));
                }
            }
            Ok((socket, _)) = unix.accept() => {
                sessions.spawn(serve(socket, shared.clone()));
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn serve(socket: impl Socket + 'static, shared: Arc<Shared>) {
    let mut client = Wire::new(socket);
    // An error here is a connection that broke; the other side sees its own end of it.
    let _ = greet(&mut client, &shared).await;
}

/// Codes that stand where a protocol version would.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

async fn greet(client: &mut Wire, shared: &Arc<Shared>) -> io::Result<()> {
    loop {
        let packet = client.startup().await?;
        let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        match code {
            SSL | GSS => client.write(b"N").await?,
            CANCEL => return cancel(shared, &packet[8..16]).await,
            _ => return session::run(client, packet, shared).await,
        }
    }
}

/// Passes a cancel request on to every server that works for the session.
async fn cancel(shared: &Shared, key: &[u8]) -> io::Result<()> {
    let backends = shared.backends.lock().unwrap().get(key).cloned().unwrap_or_default();
    for (server, key) in backends {
        let mut packet = [16_u32.to_be_bytes(), CANCEL.to_be_bytes()].concat();
        packet.extend(key);
        let mut wire = Wire::connect(&server).await?;
        wire.write(&packet).await?;
        // The server closes when it has sent the signal; only then may the client see us close.
        let _ = wire.next().await;
    }
    Ok(())
}
