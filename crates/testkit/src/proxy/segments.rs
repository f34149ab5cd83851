//! The sessions that one client's session has on the segments.

use std::io;

use bytes::Bytes;

use super::wire::{Message, Wire};
use super::{Backend, Shared};

/// One session on one segment.
pub(super) struct Segment {
    pub(super) wire: Wire,
    pub(super) backend: Backend,
    in_transaction: bool,
}

/// What a segment answered to a query.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) error: Option<Message>,
    /// Rows named in the last command tag.
    pub(super) rows: u64,
    /// The number in the first column of the last row.
    pub(super) number: u64,
}

/// Opens a session on each segment with the client's own start-up packet; the error is the server's.
pub(super) async fn open(shared: &Shared, startup: &Bytes) -> Result<Vec<Segment>, Message> {
    let mut segments = Vec::new();
    for (content, server) in shared.segments.iter().enumerate() {
        let gone = |e: io::Error| Message::error(&format!("connection to segment {content} failed: {e}"));
        let mut wire = Wire::connect(server).await.map_err(gone)?;
        wire.write(startup).await.map_err(gone)?;
        let mut key = [0; 8];
        loop {
            let message = wire.expect().await.map_err(gone)?;
            match message.tag() {
                b'E' => return Err(message),
                b'K' => key.copy_from_slice(message.body()),
                b'Z' => break,
                _ => {}
            }
        }
        segments.push(Segment {
            wire,
            backend: (server.clone(), key),
            in_transaction: false,
        });
    }
    Ok(segments)
}

impl Segment {
    /// Sends a query; in a transaction that the master is in, the segment is too.
    pub(super) async fn ask(&mut self, sql: &str, master_in_transaction: bool) -> io::Result<()> {
        if master_in_transaction && !self.in_transaction {
            self.wire.send(&Message::query("BEGIN")).await?;
            self.answer().await?;
        }
        self.wire.send(&Message::query(sql)).await
    }

    /// Runs a COPY TO STDOUT and passes its rows on; how many there were.
    pub(super) async fn copy_out(
        &mut self,
        sql: &str,
        master_in_transaction: bool,
        client: &mut Wire,
    ) -> io::Result<u64> {
        self.ask(sql, master_in_transaction).await?;
        let mut rows = 0;
        loop {
            let message = self.wire.expect().await?;
            match message.tag() {
                b'd' => {
                    rows += 1;
                    client.send(&message).await?;
                }
                // The client has begun to read: it learns of this by the end of the connection.
                b'E' => return Err(io::Error::other(message.string(3))),
                b'Z' => {
                    self.in_transaction = message.body() != b"I";
                    return Ok(rows);
                }
                _ => {}
            }
        }
    }

    /// Reads until the segment is ready for the next query.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            let message = self.wire.expect().await?;
            match message.tag() {
                b'E' => {
                    answer.error.get_or_insert(message);
                }
                b'C' => {
                    let tag = message.string(0);
                    answer.rows = tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                }
                b'D' => answer.number = message.number().unwrap_or(0),
                b'Z' => {
                    self.in_transaction = message.body() != b"I";
                    return Ok(answer);
                }
                _ => {}
            }
        }
    }
}

/// Runs a query on all segments at once; the first error and the sums.
pub(super) async fn run(segments: &mut [Segment], sql: &str, master_in_transaction: bool) -> io::Result<Answer> {
    for segment in segments.iter_mut() {
        segment.ask(sql, master_in_transaction).await?;
    }
    gather(segments).await
}

/// Waits for the answers of all.
pub(super) async fn gather(segments: &mut [Segment]) -> io::Result<Answer> {
    let mut all = Answer::default();
    for segment in segments {
        let answer = segment.answer().await?;
        all.error = all.error.or(answer.error);
        all.rows += answer.rows;
        all.number += answer.number;
    }
    Ok(all)
}
