//! Dumps one segment: one session, one transaction, one data file.
//!
//! The steps come from the master: lock and say so; take the snapshot when told, in the instant in which all segments
//! take theirs; copy when told. The finished files are handed back unnamed: they get their names only when every
//! segment of the cluster is finished.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::heap_states;
use super::protocol::{DumpStart, Event, StatesAsked, StatesPart};
use crate::db::connect::{ConnectSpec, Login, local_hosts};
use crate::db::copy::{RowEncoding, copy_out, copy_out_statement};
use crate::db::heap_states::log_place_sql;
use crate::db::locks::{LockMode, limit_lock_wait, lock_tables};
use crate::db::{self, Session, table_states};
use crate::format::heap_state::{self, HeapStates, Lsn};
use crate::format::segment_data::{self, InsertWriter};
use crate::store::compress::CompressPool;
use crate::store::data_file::{self, DataFile, PartialFile};
use crate::store::files::Files;
use crate::store::pipe::GiveUp;
use crate::words::dialect::{Dialect, Product};
use crate::words::job::{RowForm, SegmentTarget, TableJob, TableTotals};
use crate::words::layout::DumpFileKind;
use crate::words::names::{QualifiedName, quote_literal};
use crate::words::place::Place;

/// What the master tells all segments of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// With the name of one to be taken over, or a new one.
    OpenSnapshot(Option<String>),
    /// About these tables.
    ReadStates(Arc<StatesAsked>, Arc<HashSet<QualifiedName>>),
    /// With tables to be copied behind those that are known.
    CopyData(Arc<Vec<TableJob>>),
}

/// Everything one segment's task is given.
#[derive(Debug)]
pub struct SegmentDump {
    pub start: Arc<DumpStart>,
    pub tables: Arc<Vec<TableJob>>,
    pub segment: SegmentTarget,
    pub login: Login,
    pub files: Files,
    pub pool: CompressPool,
    /// Sums over the segments of this host, in the order of `tables`.
    pub totals: Arc<Mutex<Vec<TableTotals>>>,
    pub events: mpsc::Sender<Event>,
    pub steps: mpsc::Receiver<Step>,
    pub cancel: CancellationToken,
}

/// Complete files of one segment that wait for their names.
#[derive(Debug)]
pub struct SegmentFiles {
    pub data: PartialFile,
    pub index: PartialFile,
    /// When it was asked for and could be read.
    pub heap: Option<PartialFile>,
}

/// Why a segment could not be dumped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Server(#[from] db::Error),
    #[error(transparent)]
    File(#[from] data_file::Error),
    #[error(transparent)]
    Name(#[from] segment_data::NameNotEncoded),
    #[error("cancelled")]
    Cancelled,
}

/// Counters, or names, in one event.
const COUNTS_PER_EVENT: usize = 1000;
impl Error {
    /// For the master: the error, its causes, what helps.
    pub fn told(&self) -> String {
        match self {
            Error::Server(error) => db::error_and_hint(error),
            other => db::error_chain(other),
        }
    }
}

/// How often progress is reported at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// INSERT statements made at once of a row of any length.
const SQL_BYTES: usize = 1 << 20;

impl SegmentDump {
    /// Runs the dump to its end, or until cancelled. No session stays open behind it.
    pub async fn run(mut self) -> Result<SegmentFiles, Error> {
        let cancel = self.cancel.clone();
        let spec = self.connect_spec();
        let session = tokio::select! {
            session = Session::open(&spec) => session?,
            () = cancel.cancelled() => return Err(Error::Cancelled),
        };
        let result = tokio::select! {
            result = self.dump(&session) => result,
            () = cancel.cancelled() => Err(Error::Cancelled),
        };
        match result {
            Ok(files) => {
                session.close().await;
                Ok(files)
            }
            Err(error) => {
                // The server may be in the middle of a COPY or wait for a lock: it must not go on for nobody.
                let is_dispatcher =
                    self.start.stream_hosts.is_some() && self.start.dialect.product != Product::Postgres;
                match is_dispatcher {
                    true => session.leave().await,
                    false => session.abort().await,
                }
                Err(error)
            }
        }
    }

    async fn dump(&mut self, session: &Session) -> Result<SegmentFiles, Error> {
        let (content, dialect) = (self.segment.instance.content, self.start.dialect.clone());
        let settings = dialect.dump_session_settings();
        for setting in settings.iter().map(String::as_str).chain([Dialect::OWN_NAMES_ONLY]) {
            session.run(setting, "preparing the session").await?;
        }
        let encoding = RowEncoding::prepare(session, &self.start.encoding).await?;
        let begin = format!(
            "BEGIN; SET TRANSACTION ISOLATION LEVEL {}",
            dialect.snapshot_isolation()
        );
        session.run(&begin, "opening the transaction").await?;
        let own = self.tables.iter().filter(|table| self.is_mine(table));
        let names: Vec<_> = own.map(|table| table.name.clone()).collect();
        limit_lock_wait(session, &dialect, Duration::from_secs(self.start.lock_wait_seconds)).await?;
        lock_tables(session, &dialect, &names, LockMode::AccessShare).await?;
        limit_lock_wait(session, &dialect, Duration::ZERO).await?;
        let is_pipe = self.files.is_pipe(&self.data_path());
        let _ = self.events.send(Event::Ready { content, is_pipe }).await;

        let Some(Step::OpenSnapshot(exported)) = self.steps.recv().await else {
            return Err(Error::Cancelled);
        };
        // LOCK takes no snapshot; the first query does, and it holds for the rest of the transaction.
        if let Some(name) = exported {
            let take = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(&name));
            session.run(&take, "taking over the snapshot").await?;
        }
        let lsn = self.open_snapshot(session).await?;
        let _ = self.events.send(Event::SnapshotOpen { content }).await;

        let mut heap = None;
        loop {
            match self.steps.recv().await {
                Some(Step::ReadStates(asked, tables)) => heap = self.tell_states(session, &asked, lsn, &tables).await?,
                Some(Step::CopyData(more)) => return self.copy_tables(session, &encoding, &more, heap).await,
                Some(Step::OpenSnapshot(_)) | None => return Err(Error::Cancelled),
            }
        }
    }

    /// The place in the log is read by the query that takes the snapshot, while the master keeps writers out: what is
    /// logged later is not in this dump.
    async fn open_snapshot(&self, session: &Session) -> Result<Option<Lsn>, Error> {
        if !self.start.heap_states {
            session.one("SELECT 1", "taking the snapshot").await?;
            return Ok(None);
        }
        let sql = log_place_sql(&self.start.dialect);
        let place = session.one(sql, "taking the snapshot").await?;
        Ok(place.and_then(|text| text.parse().ok()))
    }

    /// Gives back the heap states that shall be written down.
    async fn tell_states(
        &self,
        session: &Session,
        asked: &StatesAsked,
        lsn: Option<Lsn>,
        tables: &HashSet<QualifiedName>,
    ) -> Result<Option<HeapStates>, Error> {
        let content = self.segment.instance.content;
        let tell = |part| self.events.send(Event::States { content, part });
        if asked.counters {
            let counts = table_states::read_mod_counts(session, &self.start.dialect, tables).await?;
            for part in counts.parts(COUNTS_PER_EVENT) {
                let _ = tell(StatesPart::Counts(part)).await;
            }
        }
        let mut heap = None;
        if let (true, Some(lsn)) = (asked.heap, lsn) {
            let (dialect, data_dir) = (&self.start.dialect, &self.segment.instance.data_dir);
            let result = match heap_states::read(session, dialect, data_dir, lsn, tables).await {
                Err(reason) => Err(reason),
                Ok(now) => {
                    let before = asked.heap_before.iter().find(|before| before.content == content);
                    let same = match before {
                        Some(before) => heap_states::unchanged(&self.files, before, &now, data_dir).await,
                        None => Ok(Vec::new()),
                    };
                    heap = Some(now);
                    same
                }
            };
            match result {
                Ok(same) => {
                    for part in same.chunks(COUNTS_PER_EVENT) {
                        let _ = tell(StatesPart::UnchangedHeap(part.to_vec())).await;
                    }
                }
                Err(reason) => drop(tell(StatesPart::NoHeap(reason)).await),
            }
        }
        let _ = tell(StatesPart::End).await;
        Ok(heap)
    }

    async fn copy_tables(
        &self,
        session: &Session,
        encoding: &RowEncoding,
        more: &[TableJob],
        heap: Option<HeapStates>,
    ) -> Result<SegmentFiles, Error> {
        let names = &self.start.names;
        let path = self.data_path();
        let index = self
            .segment
            .directory
            .join(names.of_instance(DumpFileKind::Index, self.segment.id));
        let mut file = DataFile::create(&self.files, &path, &index, names.compression, self.pool.clone())?;
        if self.start.rsyncable {
            file = file.rsyncable();
        }
        file.write(&segment_data::file_header(&self.start.encoding)).await?;
        let mut progress = Progress::new(self.segment.instance.content, self.events.clone());
        for (at, table) in self.tables.iter().chain(more).enumerate() {
            file.start_block().await?;
            file.write(&segment_data::block_head_in(table, &self.start.names_in)?)
                .await?;
            let mut inserts = self.insert_writer(table)?;
            let totals = match self.is_mine(table) {
                true => copy_table(session, encoding, table, &mut inserts, &mut file, &mut progress).await?,
                false => TableTotals::default(),
            };
            file.write(segment_data::block_end(table)).await?;
            file.end_block(table.name.clone(), totals).await?;
            self.add_totals(at, totals);
            progress.table_done().await;
        }
        file.start_block().await?;
        file.write(&segment_data::file_trailer()).await?;
        let files = file.finish().await?;
        session.run("COMMIT", "ending the transaction").await?;
        progress.send().await;
        let heap = match heap {
            None => None,
            Some(states) => {
                let name = names.of_instance(DumpFileKind::HeapState, self.segment.id);
                let text = heap_state::write(&states);
                let path = self.segment.directory.join(name);
                Some(PartialFile::write(
                    &self.files,
                    &path,
                    text.as_bytes(),
                    &GiveUp::default(),
                )?)
            }
        };
        Ok(SegmentFiles {
            data: files.data,
            index: files.index,
            heap,
        })
    }

    fn data_path(&self) -> Place {
        let name = self.start.names.of_instance(DumpFileKind::Dump, self.segment.id);
        self.segment.directory.join(name)
    }

    fn insert_writer(&self, table: &TableJob) -> Result<Option<InsertWriter>, Error> {
        let RowForm::Inserts { shape, list_columns } = &table.form else {
            return Ok(None);
        };
        let (rows_in, names_in) = (&self.start.encoding, &self.start.names_in);
        Ok(Some(InsertWriter::new(table, shape, *list_columns, rows_in, names_in)?))
    }

    fn add_totals(&self, table: usize, totals: TableTotals) {
        let mut sums = self.totals.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        sums[table].rows += totals.rows;
        sums[table].bytes += totals.bytes;
    }

    /// A segment has a part of every table, a stream all of some.
    fn is_mine(&self, table: &TableJob) -> bool {
        self.start.stream_hosts.is_none() || table.stream == Some(self.segment.instance.content)
    }

    fn connect_spec(&self) -> ConnectSpec {
        let instance = &self.segment.instance;
        ConnectSpec {
            hosts: match &self.start.stream_hosts {
                None => local_hosts(&instance.data_dir, &instance.address.0, instance.port),
                Some(hosts) => hosts.clone(),
            },
            port: instance.port,
            database: self.start.login.database.clone(),
            login: Login {
                user: self.start.login.user.clone(),
                ..self.login.clone()
            },
            utility_setting: self.start.dialect.utility_setting.clone(),
            application_name: "gpcrondump".to_owned(),
            beneath: None,
            whom: match &self.start.stream_hosts {
                None => instance.to_string(),
                Some(_) => format!(
                    "the master, connection {}, port {}",
                    instance.content.0 + 1,
                    instance.port
                ),
            },
        }
    }
}

async fn copy_table(
    session: &Session,
    encoding: &RowEncoding,
    table: &TableJob,
    inserts: &mut Option<InsertWriter>,
    file: &mut DataFile,
    progress: &mut Progress,
) -> Result<TableTotals, Error> {
    let doing = format!("copying table {}", table.name);
    // A table without columns has rows all the same, but COPY cannot carry them back: every server reads such a line as
    // an error. The original writes them; so do we.
    let stream = copy_out(session, encoding, &copy_out_statement(table), &doing).await?;
    futures_util::pin_mut!(stream);
    let mut totals = TableTotals::default();
    loop {
        let Some(rows) = session.watch(&doing, stream.next()).await? else {
            break;
        };
        let rows = rows.map_err(|e| session.error(e, &doing))?;
        // Text format: every row ends in a line feed, and a line feed inside a value is written as \n.
        let count = memchr::memchr_iter(b'\n', &rows).count() as u64;
        totals.rows += count;
        totals.bytes += rows.len() as u64;
        match inserts {
            None => file.write(&rows).await?,
            Some(inserts) => {
                let mut rest = &rows[..];
                while !rest.is_empty() {
                    let mut sql = Vec::with_capacity(rest.len().min(SQL_BYTES) * 2);
                    inserts.write(&mut rest, &mut sql, SQL_BYTES);
                    file.write(&sql).await?;
                }
            }
        }
        progress.rows(count, rows.len() as u64).await;
    }
    Ok(totals)
}

/// Counts and reports, at most once a second.
struct Progress {
    content: crate::words::ids::ContentId,
    events: mpsc::Sender<Event>,
    tables: u64,
    rows: u64,
    bytes: u64,
    sent: Instant,
    since_look: u64,
}

impl Progress {
    fn new(content: crate::words::ids::ContentId, events: mpsc::Sender<Event>) -> Self {
        Progress {
            content,
            events,
            tables: 0,
            rows: 0,
            bytes: 0,
            sent: Instant::now(),
            since_look: 0,
        }
    }

    async fn rows(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
        self.since_look += bytes;
        // Looking at the clock for every row would cost more than counting it.
        if self.since_look > 1 << 20 {
            self.since_look = 0;
            self.send_if_due().await;
        }
    }

    async fn table_done(&mut self) {
        self.tables += 1;
        self.send_if_due().await;
    }

    async fn send_if_due(&mut self) {
        if self.sent.elapsed() >= PROGRESS_EVERY {
            self.send().await;
        }
    }

    async fn send(&mut self) {
        self.sent = Instant::now();
        let (content, tables, rows, bytes) = (self.content, self.tables, self.rows, self.bytes);
        let _ = self
            .events
            .send(Event::Progress {
                content,
                tables,
                rows,
                bytes,
            })
            .await;
    }
}
