//! Errors of a server, heard while rows are sent to it.
//!
//! During `COPY ... FROM STDIN` the driver looks for the server's answer when the rows end. A server that has refused one
//! throws the others away until then: hours of a large table. So the server's messages are looked at on their way to the
//! driver (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats": a byte for the kind, then four for a
//! length that counts itself).

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};

/// Kind byte and length.
const HEAD: usize = 5;

/// Bytes of an error that are kept: its first fields are severity and text.
const KEPT: usize = 4096;

/// What a server has told of errors over one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    count: AtomicU64,
    last: Mutex<String>,
}

impl Errors {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// The last of them: `FATAL: terminating connection due to administrator command`.
    pub(super) fn last(&self) -> Option<String> {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        (self.count() > 0).then(|| last.clone())
    }

    fn add(&self, fields: &[u8]) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = in_words(fields);
        self.0.count.fetch_add(1, Ordering::Release);
    }
}

/// The fields of an `ErrorResponse`: each a byte for what it is and a text that ends with zero.
fn in_words(fields: &[u8]) -> String {
    let (mut severity, mut message) = (None, None);
    for field in fields.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'S', text)) => severity = Some(String::from_utf8_lossy(text)),
            Some((b'M', text)) => message = Some(String::from_utf8_lossy(text)),
            _ => {}
        }
    }
    format!(
        "{}: {}",
        severity.as_deref().unwrap_or("ERROR"),
        message.as_deref().unwrap_or("the server gave no reason")
    )
}

/// Cuts what a server sends into messages, wherever the pieces end.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the message that have not come yet.
    left: usize,
    /// The beginning of an error.
    error: Option<Vec<u8>>,
}

impl Messages {
    fn take(&mut self, mut bytes: &[u8], errors: &Errors) {
        while !bytes.is_empty() {
            if self.have == 0 && self.left == 0 {
                bytes = behind_whole_messages(bytes);
            }
            if self.left > 0 {
                let (now, later) = bytes.split_at(self.left.min(bytes.len()));
                if let Some(kept) = &mut self.error {
                    kept.extend_from_slice(&now[..now.len().min(KEPT - kept.len())]);
                }
                self.left -= now.len();
                bytes = later;
            } else {
                let (now, later) = bytes.split_at((HEAD - self.have).min(bytes.len()));
                self.head[self.have..self.have + now.len()].copy_from_slice(now);
                self.have += now.len();
                bytes = later;
                if self.have < HEAD {
                    return;
                }
                self.have = 0;
                let kind = self.head[0];
                self.left = length_of_body(self.head);
                self.error = (kind == b'E').then(Vec::new);
            }
            if self.left == 0
                && let Some(fields) = self.error.take()
            {
                errors.add(&fields);
            }
        }
    }
}

fn length_of_body([_, length @ ..]: [u8; HEAD]) -> usize {
    // A length below four breaks the protocol; the driver says so.
    (u32::from_be_bytes(length) as usize).saturating_sub(length.len())
}

/// Passes over the messages that are here as a whole and no errors: the rows of a COPY are such, each of them one.
fn behind_whole_messages(mut bytes: &[u8]) -> &[u8] {
    while let Some((head, behind)) = bytes.split_first_chunk::<HEAD>()
        && head[0] != b'E'
        && let Some(next) = behind.get(length_of_body(*head)..)
    {
        bytes = next;
    }
    bytes
}

/// A stream from a server on which its errors are heard.
#[derive(Debug)]
pub(super) struct Tap<S> {
    inner: S,
    /// The answer to the question for TLS, one byte, is still to come; it is not a message.
    expects_answer: bool,
    messages: Messages,
    errors: Errors,
}

impl<S> Tap<S> {
    pub(super) fn new(inner: S, errors: Errors) -> Self {
        Tap {
            inner,
            expects_answer: false,
            messages: Messages::default(),
            errors,
        }
    }

    /// The same where the server will be asked first whether it speaks TLS.
    pub(super) fn behind_question(inner: S, errors: Errors) -> Self {
        Tap {
            expects_answer: true,
            ..Tap::new(inner, errors)
        }
    }

    pub(super) fn into_inner(self) -> (S, Errors) {
        (self.inner, self.errors)
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let mut new = &buf.filled()[before..];
        let this = &mut *self;
        if this.expects_answer
            && let Some((_, behind)) = new.split_first()
        {
            this.expects_answer = false;
            new = behind;
        }
        this.messages.take(new, &this.errors);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    async fn read_through(mut tap: Tap<&[u8]>) -> Vec<u8> {
        let mut all = Vec::new();
        tap.read_to_end(&mut all).await.unwrap();
        all
    }

    #[test]
    fn errors_are_found_wherever_the_pieces_end() {
        let error = message(b'E', b"SFEHLER\0VERROR\0C22P02\0Mno number: \"E\0WCOPY\0\0");
        let sent = [
            message(b'G', b"\0\0\x01\0\0"),
            message(b'N', b"SEE\0\0"),
            error,
            message(b'Z', b"I"),
        ]
        .concat();
        for piece in 1..=sent.len() {
            let (mut messages, errors) = (Messages::default(), Errors::default());
            for bytes in sent.chunks(piece) {
                messages.take(bytes, &errors);
            }
            assert_eq!(errors.count(), 1, "pieces of {piece}");
            assert_eq!(errors.last().unwrap(), "FEHLER: no number: \"E");
        }
    }

    #[test]
    fn an_error_counts_when_it_is_whole() {
        let error = message(b'E', b"SERROR\0Mfull\0\0");
        let (mut messages, errors) = (Messages::default(), Errors::default());
        messages.take(&error[..error.len() - 1], &errors);
        assert_eq!(errors.last(), None);
        messages.take(&error[error.len() - 1..], &errors);
        assert_eq!(errors.last().unwrap(), "ERROR: full");
        messages.take(&message(b'E', b""), &errors);
        assert_eq!(
            (errors.count(), errors.last().unwrap().as_str()),
            (2, "ERROR: the server gave no reason")
        );
    }

    #[test]
    fn a_long_error_keeps_its_beginning() {
        let mut fields = b"SERROR\0Mtoo long\0W".to_vec();
        fields.resize(10 * KEPT, b'E');
        let (mut messages, errors) = (Messages::default(), Errors::default());
        messages.take(&[message(b'E', &fields), message(b'E', b"Mnext\0\0")].concat(), &errors);
        assert_eq!((errors.count(), errors.last().unwrap().as_str()), (2, "ERROR: next"));
    }

    #[tokio::test]
    async fn the_answer_to_the_question_for_tls_is_no_message() {
        let sent = [b"N".to_vec(), message(b'E', b"SFATAL\0Mno\0\0")].concat();
        let errors = Errors::default();
        assert_eq!(
            read_through(Tap::behind_question(&sent[..], errors.clone())).await,
            sent
        );
        assert_eq!(errors.last().unwrap(), "FATAL: no");
        let errors = Errors::default();
        read_through(Tap::new(&sent[1..], errors.clone())).await;
        assert_eq!(errors.last().unwrap(), "FATAL: no");
    }
}
