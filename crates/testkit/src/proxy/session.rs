//! One client's session.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use super::Shared;
use super::copy::CopyIn;
use super::segments::{self, Answer, Segment};
use super::statement::{Dispatched, dispatched, is_copy_from_stdin, is_copy_to_stdout, is_count_of_table};
use super::wire::{Message, Wire};

struct Session<'a> {
    client: &'a mut Wire,
    master: Wire,
    /// Empty until the first statement that goes to the segments.
    segments: Vec<Segment>,
    startup: Bytes,
    shared: &'a Shared,
    key: Option<[u8; 8]>,
    /// ReadyForQuery messages that the master still owes us.
    owed: usize,
    in_transaction: bool,
    /// The text of prepared statements by name, and of the statement that was sent last.
    prepared: HashMap<String, String>,
    running: String,
    /// Sync messages sent since the last Bind: COPY swallows them.
    syncs_since_bind: usize,
    copy: Option<CopyIn>,
    /// What the client shall read instead of the master's own end of a COPY.
    copied: Option<Answer>,
    /// Rows that the segments have counted, to be added to those of the master.
    counted: Option<u64>,
}

/// Relays until one side goes away.
pub(super) async fn run(client: &mut Wire, startup: Bytes, shared: &Shared) -> io::Result<()> {
    let mut master = Wire::connect(&shared.master).await?;
    master.write(&startup).await?;
    let mut session = Session {
        client,
        master,
        segments: Vec::new(),
        startup,
        shared,
        key: None,
        owed: 1,
        in_transaction: false,
        prepared: HashMap::new(),
        running: String::new(),
        syncs_since_bind: 0,
        copy: None,
        copied: None,
        counted: None,
    };
    let end = session.relay().await;
    if let Some(key) = session.key {
        shared.backends.lock().unwrap().remove(&key);
    }
    // A polite good-bye lets the servers end without a line in their log; the client's own went to the master.
    for segment in &mut session.segments {
        let _ = segment.wire.send(&Message::new(b'X', b"")).await;
    }
    end
}

impl Session<'_> {
    async fn relay(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                message = self.client.next() => match message? {
                    Some(message) => self.take_from_client(message).await?,
                    None => return Ok(()),
                },
                message = self.master.next() => match message? {
                    Some(message) => self.take_from_master(message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn take_from_client(&mut self, message: Message) -> io::Result<()> {
        match message.tag() {
            b'Q' => {
                self.running = message.string(0);
                self.syncs_since_bind = 0;
                if let Some(part) = dispatched(&self.running) {
                    return self.dispatch(message, part).await;
                }
                if !self.shared.segments.is_empty() && is_count_of_table(&self.running) {
                    return self.count(message).await;
                }
                self.owed += 1;
            }
            b'S' => {
                self.owed += 1;
                self.syncs_since_bind += 1;
            }
            b'P' => {
                self.prepared.insert(message.string(0), message.string(1));
            }
            b'B' => {
                self.running = self.prepared.get(&message.string(1)).cloned().unwrap_or_default();
                self.syncs_since_bind = 0;
            }
            b'd' | b'c' | b'f' if self.copy.is_some() => return self.take_copy_data(message).await,
            _ => {}
        }
        self.master.send(&message).await
    }

    async fn take_from_master(&mut self, message: Message) -> io::Result<()> {
        match message.tag() {
            b'K' => self.register(&message),
            b'Z' => self.ready(&message),
            b'G' if !self.shared.segments.is_empty() && is_copy_from_stdin(&self.running) => {
                self.owed -= self.syncs_since_bind;
                return self.begin_copy(message).await;
            }
            b'c' if !self.shared.segments.is_empty() && is_copy_to_stdout(&self.running) => {
                return self.gather_copy(message).await;
            }
            b'D' => {
                if let Some(rows) = self.counted.take() {
                    let all = rows + message.number().unwrap_or(0);
                    return self.client.send(&Message::row_of(all)).await;
                }
            }
            b'C' => {
                if let Some(answer) = self.copied.take() {
                    let tag = format!("COPY {}\0", answer.rows);
                    return self.client.send(&Message::new(b'C', tag.as_bytes())).await;
                }
            }
            b'E' => {
                self.counted = None;
                if let Some(error) = self.copied.take().and_then(|answer| answer.error) {
                    return self.client.send(&error).await;
                }
            }
            _ => {}
        }
        self.client.send(&message).await
    }

    /// Counts the rows of a table on the segments, and then on the master.
    async fn count(&mut self, query: Message) -> io::Result<()> {
        self.take_what_is_owed().await?;
        let counted = match self.open_segments().await {
            Err(error) => Err(error),
            Ok(()) => {
                let answer = segments::run(&mut self.segments, &self.running, self.in_transaction).await?;
                answer.error.map_or(Ok(answer.number), Err)
            }
        };
        match counted {
            Ok(rows) => {
                self.counted = Some(rows);
                self.owed += 1;
                self.master.send(&query).await
            }
            Err(error) => {
                self.client.send(&error).await?;
                self.abort_master().await
            }
        }
    }

    async fn take_what_is_owed(&mut self) -> io::Result<()> {
        while self.owed > 0 {
            let message = self.master.expect().await?;
            Box::pin(self.take_from_master(message)).await?;
        }
        Ok(())
    }

    fn register(&mut self, message: &Message) {
        let mut key = [0; 8];
        key.copy_from_slice(message.body());
        self.key = Some(key);
        let backend = (self.shared.master.clone(), key);
        self.shared.backends.lock().unwrap().insert(key, vec![backend]);
    }

    fn ready(&mut self, message: &Message) {
        self.owed = self.owed.saturating_sub(1);
        self.in_transaction = message.body() != b"I";
    }

    /// Opens the sessions on the segments when there are none yet.
    async fn open_segments(&mut self) -> Result<(), Message> {
        if self.segments.is_empty() {
            self.segments = segments::open(self.shared, &self.startup).await?;
            if let Some(key) = self.key {
                let mut backends = self.shared.backends.lock().unwrap();
                let all = backends.entry(key).or_default();
                all.extend(self.segments.iter().map(|s| s.backend.clone()));
            }
        }
        Ok(())
    }

    /// Runs a query on the master and then on the segments; the client learns that it worked when it worked everywhere.
    async fn dispatch(&mut self, query: Message, part: Dispatched) -> io::Result<()> {
        self.take_what_is_owed().await?;
        let was_in_transaction = self.in_transaction;
        self.master.send(&query).await?;
        self.owed += 1;
        let (mut tags, mut failed) = (Vec::new(), false);
        let ready = loop {
            let message = self.master.expect().await?;
            match message.tag() {
                b'C' => tags.push(message),
                b'Z' => break message,
                tag => {
                    failed |= tag == b'E';
                    // A client that is gone must not leave the segments without what the master has done.
                    let _ = self.client.send(&message).await;
                }
            }
        };
        self.ready(&ready);

        let error = if failed {
            None
        } else {
            // COMMIT of a failed transaction answers ROLLBACK; the segments must not commit then.
            let rolled_back = part.commits && tags.iter().any(|tag| tag.string(0) == "ROLLBACK");
            let sql = if rolled_back { "ROLLBACK" } else { &part.sql };
            match self.open_segments().await {
                Err(error) => Some(error),
                Ok(()) => segments::run(&mut self.segments, sql, was_in_transaction).await?.error,
            }
        };
        match error {
            Some(error) => {
                self.client.send(&error).await?;
                self.abort_master().await
            }
            None => {
                for tag in tags {
                    self.client.send(&tag).await?;
                }
                self.client.send(&ready).await
            }
        }
    }

    /// A segment failed inside of a transaction: the master's must not go on. Tells the client the state after that.
    async fn abort_master(&mut self) -> io::Result<()> {
        let statement = if self.in_transaction {
            "DO $$ BEGIN RAISE EXCEPTION 'a segment failed'; END $$"
        } else {
            ""
        };
        self.master.send(&Message::query(statement)).await?;
        loop {
            let message = self.master.expect().await?;
            if message.tag() == b'Z' {
                return self.client.send(&message).await;
            }
        }
    }

    async fn begin_copy(&mut self, response: Message) -> io::Result<()> {
        let refused = match self.open_segments().await {
            Err(error) => error,
            Ok(()) => {
                let begun = CopyIn::begin(&mut self.segments, &self.running, self.in_transaction).await?;
                match begun {
                    Err(error) => error,
                    Ok(copy) => {
                        self.copy = Some(copy);
                        return self.client.send(&response).await;
                    }
                }
            }
        };
        // The client has not seen that COPY began, and will not send what ends it; the master has to be freed here.
        self.copied = Some(Answer {
            error: Some(refused),
            ..Answer::default()
        });
        self.master.send(&Message::new(b'f', b"a segment failed\0")).await?;
        if self.syncs_since_bind > 0 {
            self.owed += 1;
            self.master.send(&Message::new(b'S', b"")).await?;
        }
        Ok(())
    }

    /// The master is at the end of its own rows: those of the segments follow.
    async fn gather_copy(&mut self, end: Message) -> io::Result<()> {
        if let Err(error) = self.open_segments().await {
            return Err(io::Error::other(error.string(3)));
        }
        let mut rows = 0;
        for segment in &mut self.segments {
            rows += segment
                .copy_out(&self.running, self.in_transaction, self.client)
                .await?;
        }
        self.copied = Some(Answer {
            rows,
            ..Answer::default()
        });
        self.client.send(&end).await
    }

    async fn take_copy_data(&mut self, message: Message) -> io::Result<()> {
        let Some(mut copy) = self.copy.take() else {
            return Ok(());
        };
        match message.tag() {
            b'd' => {
                copy.data(message.body(), &mut self.segments).await?;
                self.copy = Some(copy);
                Ok(())
            }
            b'c' => {
                let answer = copy.finish(&mut self.segments).await?;
                let end = match answer.error {
                    None => message,
                    Some(_) => Message::new(b'f', b"a segment failed\0"),
                };
                self.copied = Some(answer);
                self.master.send(&end).await
            }
            _ => {
                copy.fail(&message, &mut self.segments).await?;
                self.master.send(&message).await
            }
        }
    }
}
