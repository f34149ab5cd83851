//! COPY FROM STDIN through the master: each row to the segment that the hash of its first column names.
//!
//! Rows that are equal in the first column meet on one segment, so that foreign keys on it hold there.

use std::hash::{DefaultHasher, Hasher};
use std::io;

use super::segments::{self, Answer, Segment};
use super::wire::Message;

/// A COPY that all segments have begun.
#[derive(Default)]
pub(super) struct CopyIn {
    /// The beginning of a row whose end has not come yet.
    partial: Vec<u8>,
    /// Rows on their way, per segment.
    waiting: Vec<Vec<u8>>,
}

/// Rows are sent on in pieces of about this size.
const PIECE: usize = 64 * 1024;

impl CopyIn {
    /// Begins COPY on every segment, or gives the error of the first that refused; then none is left in COPY.
    pub(super) async fn begin(
        segments: &mut [Segment],
        sql: &str,
        master_in_transaction: bool,
    ) -> io::Result<Result<Self, Message>> {
        let mut refused = None;
        let mut begun = Vec::new();
        for (index, segment) in segments.iter_mut().enumerate() {
            segment.ask(sql, master_in_transaction).await?;
            loop {
                let message = segment.wire.expect().await?;
                match message.tag() {
                    b'G' => {
                        begun.push(index);
                        break;
                    }
                    b'E' => {
                        refused.get_or_insert(message);
                    }
                    b'Z' => break,
                    _ => {}
                }
            }
        }
        let Some(error) = refused else {
            return Ok(Ok(CopyIn {
                partial: Vec::new(),
                waiting: vec![Vec::new(); segments.len()],
            }));
        };
        for index in begun {
            segments[index]
                .wire
                .send(&Message::new(b'f', b"another segment refused\0"))
                .await?;
            segments[index].answer().await?;
        }
        Ok(Err(error))
    }

    /// Takes bytes from the client, which may begin and end inside of a row.
    pub(super) async fn data(&mut self, bytes: &[u8], segments: &mut [Segment]) -> io::Result<()> {
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            self.partial.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                break;
            }
            let row = std::mem::take(&mut self.partial);
            if row == b"\\.\n" {
                continue;
            }
            let target = place(&row, segments.len());
            self.waiting[target].extend_from_slice(&row);
            if self.waiting[target].len() > PIECE {
                flush(&mut self.waiting[target], &mut segments[target]).await?;
            }
        }
        Ok(())
    }

    /// The client is done: ends COPY on all segments.
    pub(super) async fn finish(mut self, segments: &mut [Segment]) -> io::Result<Answer> {
        if !self.partial.is_empty() {
            self.data(b"\n", segments).await?;
        }
        for (waiting, segment) in self.waiting.iter_mut().zip(segments.iter_mut()) {
            flush(waiting, segment).await?;
            segment.wire.send(&Message::new(b'c', b"")).await?;
        }
        segments::gather(segments).await
    }

    /// The client gave up: so do the segments.
    pub(super) async fn fail(self, message: &Message, segments: &mut [Segment]) -> io::Result<()> {
        for segment in segments.iter_mut() {
            segment.wire.send(message).await?;
        }
        segments::gather(segments).await.map(drop)
    }
}

async fn flush(waiting: &mut Vec<u8>, segment: &mut Segment) -> io::Result<()> {
    if !waiting.is_empty() {
        segment.wire.send(&Message::new(b'd', waiting)).await?;
        waiting.clear();
    }
    Ok(())
}

/// The segment for a row in COPY's text format.
fn place(row: &[u8], segments: usize) -> usize {
    let end = row.iter().position(|b| matches!(b, b'\t' | b'\n')).unwrap_or(row.len());
    let mut hasher = DefaultHasher::new();
    hasher.write(&row[..end]);
    (hasher.finish() % segments as u64) as usize
}
