//! Messages of PostgreSQL's protocol 3 on a socket: cut, built, passed on.

use std::io;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A whole message as it stood on the wire: tag, length, body.
#[derive(Debug, Clone)]
pub(super) struct Message(pub(super) Bytes);

impl Message {
    pub(super) fn new(tag: u8, body: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(5 + body.len());
        frame.put_u8(tag);
        frame.put_u32(body.len() as u32 + 4);
        frame.put_slice(body);
        Message(frame.freeze())
    }

    pub(super) fn query(sql: &str) -> Self {
        Message::new(b'Q', &[sql.as_bytes(), b"\0"].concat())
    }

    /// An error as the server would send it.
    pub(super) fn error(text: &str) -> Self {
        Message::new(b'E', format!("SERROR\0VERROR\0C58000\0M{text}\0\0").as_bytes())
    }

    pub(super) fn tag(&self) -> u8 {
        self.0[0]
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.0[5..]
    }

    /// Of a row: the number in its first column.
    pub(super) fn number(&self) -> Option<u64> {
        let length = i32::from_be_bytes(self.body().get(2..6)?.try_into().ok()?);
        let value = self.body().get(6..6 + usize::try_from(length).ok()?)?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// A row of one column.
    pub(super) fn row_of(number: u64) -> Self {
        let text = number.to_string();
        let mut body = vec![0, 1];
        body.extend_from_slice(&(text.len() as i32).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
        Message::new(b'D', &body)
    }

    /// The n-th zero-terminated string of the body.
    pub(super) fn string(&self, n: usize) -> String {
        let part = self.body().split(|b| *b == 0).nth(n).unwrap_or_default();
        String::from_utf8_lossy(part).into_owned()
    }
}

/// One side of a conversation.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    read: BytesMut,
}

impl Wire {
    pub(super) fn new(socket: impl Socket + 'static) -> Self {
        Wire {
            socket: Box::new(socket),
            read: BytesMut::with_capacity(16 * 1024),
        }
    }

    pub(super) async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Wire::new(UnixStream::connect(socket).await?))
    }

    /// The next message, `None` at the end. Safe to be dropped while it waits: nothing read is lost.
    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if self.read.len() >= 5 {
                let length = u32::from_be_bytes([self.read[1], self.read[2], self.read[3], self.read[4]]) as usize + 1;
                if self.read.len() >= length {
                    return Ok(Some(Message(self.read.split_to(length).freeze())));
                }
            }
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message of a peer that must not go away.
    pub(super) async fn expect(&mut self) -> io::Result<Message> {
        self.next()
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// A packet of the time before the session: length and body, no tag.
    pub(super) async fn startup(&mut self) -> io::Result<Bytes> {
        let length = self.socket.read_u32().await?;
        let mut packet = BytesMut::zeroed(length.clamp(8, 10_000) as usize);
        packet[..4].copy_from_slice(&length.to_be_bytes());
        self.socket.read_exact(&mut packet[4..]).await?;
        Ok(packet.freeze())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.write(&message.0).await
    }
}
