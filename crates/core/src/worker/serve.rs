//! The worker's main loop: requests in, events out, everything undone when the master goes away.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dump_segment::{self, SegmentDump, SegmentFiles, Step};
use super::protocol::{
    DumpStart, Event, HEARTBEAT_SECONDS, LogLevel, MAX_LINE_BYTES, PROTOCOL, Request, TABLES_PER_REQUEST,
};
use super::{host_ops, host_tasks};
use crate::db::connect::Login;
use crate::db::error_chain;
use crate::store::compress::CompressPool;
use crate::store::files::Files;
use crate::words::exit::Exit;
use crate::words::ids::ContentId;
use crate::words::job::{TableJob, TableTotals};
use crate::words::limits::Limits;
use crate::words::names::QualifiedName;
use crate::words::storage::StorageAccess;

/// Events that wait for the pipe to the master.
const EVENT_QUEUE: usize = 256;

/// How long the last events may take to be read.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// How long unfinished uploads may take to be taken back, a little less than the master has patience.
const SETTLE_LIMIT: Duration = Duration::from_millis(2500);

/// Runs the worker until its input ends. `host` is how this machine calls itself.
pub async fn run(login: Login, host: String) -> Exit {
    let (events, queue) = mpsc::channel(EVENT_QUEUE);
    let stop = CancellationToken::new();
    let printer = spawn_printer(queue, stop.clone());
    let hello = Event::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        pid: std::process::id(),
        host,
    };
    let _ = events.send(hello).await;
    let heartbeat = tokio::spawn(heartbeat(events.clone()));
    let mut worker = Worker {
        login,
        files: Files::default(),
        events,
        dump: None,
    };
    worker.serve(&stop).await;
    worker.reset().await;
    let files = worker.files.clone();
    // The threads that write files are still taking back what they had begun.
    let _ = tokio::task::spawn_blocking(move || files.settle(SETTLE_LIMIT)).await;
    heartbeat.abort();
    drop(worker);
    // The printer ends with its last sender. A reader that takes nothing must not keep us.
    let printed = tokio::task::spawn_blocking(move || printer.join());
    let _ = tokio::time::timeout(LAST_WORDS_LIMIT, printed).await;
    Exit::Ok
}

/// Standard output is written by one thread, a line at a time; a broken pipe stops the worker.
fn spawn_printer(mut queue: mpsc::Receiver<Event>, stop: CancellationToken) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut out = std::io::stdout().lock();
        while let Some(event) = queue.blocking_recv() {
            let mut line = serde_json::to_vec(&event).expect("an event is plain data");
            line.push(b'\n');
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                stop.cancel();
                return;
            }
        }
    })
}

async fn heartbeat(events: mpsc::Sender<Event>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(HEARTBEAT_SECONDS));
    loop {
        ticks.tick().await;
        if events.send(Event::Alive).await.is_err() {
            return;
        }
    }
}

struct Worker {
    login: Login,
    files: Files,
    events: mpsc::Sender<Event>,
    dump: Option<HostDump>,
}

impl Worker {
    async fn serve(&mut self, stop: &CancellationToken) {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("signal handlers can be installed at start");
        let (requests, mut queue) = mpsc::channel(4);
        let reader = tokio::spawn(read_requests(requests));
        loop {
            tokio::select! {
                request = queue.recv() => match request {
                    Some(Ok(Request::Limits(limits))) => self.login.limits = limits,
                    Some(Ok(request)) => self.handle(request, &mut queue, stop).await,
                    Some(Err(message)) => {
                        let _ = self.events.send(Event::Failed { content: ContentId::MASTER, message }).await;
                        break;
                    }
                    None => break,
                },
                Some(ended) = next_ended(&mut self.dump) => self.segment_ended(ended).await,
                () = stop.cancelled() => break,
                _ = terminate.recv() => break,
            }
        }
        reader.abort();
    }

    async fn handle(
        &mut self,
        request: Request,
        queue: &mut mpsc::Receiver<Result<Request, String>>,
        stop: &CancellationToken,
    ) {
        match request {
            Request::Prepare { directories } => {
                for wanted in directories {
                    let files = self.files.clone();
                    let result = blocking(move || host_ops::prepare_directory(&files, &wanted.directory)).await;
                    let result = result.map_err(|error| error_chain(&error));
                    let _ = self
                        .events
                        .send(Event::Prepared {
                            content: wanted.content,
                            result,
                        })
                        .await;
                }
            }
            Request::StartDump(start) => self.dump = Some(HostDump::new(start)),
            Request::Tables(tables) => {
                if let Some(dump) = &mut self.dump {
                    dump.tables.extend(tables);
                }
            }
            Request::TablesEnd => {
                if let Some(dump) = &mut self.dump {
                    dump.start_segments(&self.login, &self.files, &self.events);
                }
            }
            Request::OpenSnapshots { exported } => self.step(Step::OpenSnapshot(exported)).await,
            Request::StatesOf(tables) => {
                if let Some(dump) = &mut self.dump {
                    dump.states_of.extend(tables);
                }
            }
            Request::ReadStates(asked) => {
                if let Some(tables) = self.dump.as_mut().map(|dump| std::mem::take(&mut dump.states_of)) {
                    self.step(Step::ReadStates(Arc::new(asked), Arc::new(tables))).await;
                }
            }
            Request::CopyData => {
                if let Some(more) = self.dump.as_mut().map(HostDump::take_more) {
                    self.step(Step::CopyData(more)).await;
                }
            }
            Request::Storage(access) => self.files = self.way_to(access, stop).await,
            Request::Publish => self.publish().await,
            Request::Reset => {
                self.reset().await;
                let _ = self.events.send(Event::ResetDone).await;
            }
            Request::Find { directory, names } => {
                let files = self.files.clone();
                let (files, problems) = blocking(move || host_ops::find_files(&files, &directory, &names)).await;
                let _ = self.events.send(Event::Found { files, problems }).await;
            }
            Request::WriteFile { path, text } => {
                let (files, target) = (self.files.clone(), path.clone());
                let result = blocking(move || host_ops::write_file(&files, &target, &text)).await;
                let _ = self.events.send(Event::Written { path, result }).await;
            }
            Request::Task(task) => {
                let files = self.files.clone();
                let result = blocking(move || host_tasks::perform(&files, &task)).await;
                let result = result.map_err(|error| error_chain(&error));
                let _ = self.events.send(Event::TaskEnded(result)).await;
            }
            // They are the reader's.
            Request::Limits(_) | Request::Alive => {}
            Request::Restore(start) => {
                let cancel = stop.child_token();
                let work = super::restore_segment::run(start, &self.login, &self.files, &self.events, cancel.clone());
                let next = until_interrupted(work, queue, &cancel).await;
                self.handle_next(next, queue, stop).await;
            }
            Request::Verify(start) => {
                let cancel = stop.child_token();
                let work = super::verify_segment::run(start, &self.files, &self.events, cancel.clone());
                let next = until_interrupted(work, queue, &cancel).await;
                self.handle_next(next, queue, stop).await;
            }
        }
    }

    /// The way to a bucket. When there is none, each use of it says so.
    async fn way_to(&self, access: StorageAccess, stop: &CancellationToken) -> Files {
        let (limits, stop) = (self.login.limits, stop.clone());
        match Files::with_bucket(access, limits, stop) {
            Ok(files) => files,
            Err(error) => {
                let (level, text) = (
                    LogLevel::Warning,
                    format!("could not prepare the way to the storage: {error}"),
                );
                let _ = self.events.send(Event::Log { level, text }).await;
                Files::default()
            }
        }
    }

    /// What has interrupted some work is asked for all the same: it may have come when the work was as good as done.
    async fn handle_next(
        &mut self,
        next: Option<Request>,
        queue: &mut mpsc::Receiver<Result<Request, String>>,
        stop: &CancellationToken,
    ) {
        if let Some(request) = next {
            Box::pin(self.handle(request, queue, stop)).await;
        }
    }

    async fn step(&mut self, step: Step) {
        if let Some(dump) = &self.dump {
            for sender in &dump.steps {
                // A segment that has ended takes no more steps; it has said why.
                let _ = sender.send(step.clone()).await;
            }
        }
    }

    async fn segment_ended(&mut self, (content, result): (ContentId, Result<SegmentFiles, dump_segment::Error>)) {
        let Some(dump) = &mut self.dump else { return };
        match result {
            Ok(files) => {
                let all = [&files.data, &files.index].into_iter().chain(&files.heap);
                let stamps = all.map(|file| file.stamp.clone()).collect();
                dump.finished.insert(content, files);
                if dump.finished.len() == dump.start.segments.len() {
                    dump.send_totals(&self.events).await;
                }
                let _ = self.events.send(Event::Finished { content, files: stamps }).await;
            }
            Err(dump_segment::Error::Cancelled) => {}
            Err(error) => {
                let message = error.told();
                let _ = self.events.send(Event::Failed { content, message }).await;
            }
        }
    }

    async fn publish(&mut self) {
        let Some(dump) = &mut self.dump else { return };
        let mut finished = std::mem::take(&mut dump.finished);
        for (content, files) in &mut finished {
            // The data file last: who sees it can count on its index.
            let directory = files.data.final_place().parent();
            let named = files
                .heap
                .as_mut()
                .map_or(Ok(()), |heap| heap.publish())
                .and_then(|()| files.index.publish())
                .and_then(|()| files.data.publish())
                .and_then(|()| match directory {
                    Some(directory) => crate::store::data_file::sync_directory(&directory),
                    None => Ok(()),
                });
            let event = match named {
                Ok(()) => Event::Published { content: *content },
                Err(error) => Event::Failed {
                    content: *content,
                    message: error_chain(&error),
                },
            };
            let _ = self.events.send(event).await;
        }
        self.dump = None;
    }

    async fn reset(&mut self) {
        if let Some(mut dump) = self.dump.take() {
            dump.cancel.cancel();
            while dump.running.join_next().await.is_some() {}
        }
    }
}

/// A dump on this host, from the first request to the names of the files.
struct HostDump {
    start: Arc<DumpStart>,
    tables: Vec<TableJob>,
    states_of: HashSet<QualifiedName>,
    totals: Arc<Mutex<Vec<TableTotals>>>,
    steps: Vec<mpsc::Sender<Step>>,
    running: JoinSet<(ContentId, Result<SegmentFiles, dump_segment::Error>)>,
    finished: BTreeMap<ContentId, SegmentFiles>,
    cancel: CancellationToken,
}

impl HostDump {
    fn new(start: DumpStart) -> Self {
        HostDump {
            start: Arc::new(start),
            tables: Vec::new(),
            states_of: HashSet::new(),
            totals: Arc::default(),
            steps: Vec::new(),
            running: JoinSet::new(),
            finished: BTreeMap::new(),
            cancel: CancellationToken::new(),
        }
    }

    fn start_segments(&mut self, login: &Login, files: &Files, events: &mpsc::Sender<Event>) {
        let tables = Arc::new(std::mem::take(&mut self.tables));
        *self.totals.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            vec![TableTotals::default(); tables.len()];
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let pool = CompressPool::new(cores);
        for segment in &self.start.segments {
            let (sender, steps) = mpsc::channel(2);
            self.steps.push(sender);
            let content = segment.instance.content;
            let job = SegmentDump {
                start: Arc::clone(&self.start),
                tables: Arc::clone(&tables),
                segment: segment.clone(),
                login: login.clone(),
                files: files.clone(),
                pool: pool.clone(),
                totals: Arc::clone(&self.totals),
                events: events.clone(),
                steps,
                cancel: self.cancel.child_token(),
            };
            self.running.spawn(async move { (content, job.run().await) });
        }
    }

    /// Tables that came after the snapshots were taken.
    fn take_more(&mut self) -> Arc<Vec<TableJob>> {
        let more = std::mem::take(&mut self.tables);
        let mut totals = self.totals.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = totals.len() + more.len();
        totals.resize(count, TableTotals::default());
        Arc::new(more)
    }

    async fn send_totals(&self, events: &mpsc::Sender<Event>) {
        let totals = self
            .totals
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone();
        for (at, part) in totals.chunks(TABLES_PER_REQUEST * 4).enumerate() {
            let first = at * TABLES_PER_REQUEST * 4;
            let _ = events
                .send(Event::Totals {
                    first,
                    totals: part.to_vec(),
                })
                .await;
        }
    }
}

/// Work that needs no further request: whatever comes while it runs, or the end of the input, stops it. Gives back what
/// has come.
async fn until_interrupted(
    work: impl Future<Output = ()>,
    queue: &mut mpsc::Receiver<Result<Request, String>>,
    cancel: &CancellationToken,
) -> Option<Request> {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => None,
        request = queue.recv() => {
            cancel.cancel();
            work.await;
            request?.ok()
        }
    }
}

/// The next segment whose task has ended; never, when there is none.
async fn next_ended(dump: &mut Option<HostDump>) -> Option<(ContentId, Result<SegmentFiles, dump_segment::Error>)> {
    let Some(dump) = dump else {
        return std::future::pending().await;
    };
    match dump.running.join_next().await {
        Some(Ok(ended)) => Some(ended),
        // A task that panicked is a bug; the master sees the silence of its segment end with this process.
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        None => std::future::pending().await,
    }
}

async fn read_requests(requests: mpsc::Sender<Result<Request, String>>) {
    let mut input = BufReader::new(tokio::io::stdin()).take(0);
    let mut silence = Limits::default().silence;
    loop {
        input.set_limit(MAX_LINE_BYTES as u64);
        let mut line = Vec::new();
        match tokio::time::timeout(silence, input.read_until(b'\n', &mut line)).await {
            Ok(Ok(1..)) if line.ends_with(b"\n") => {}
            // End of input, the middle of a line, or silence: the master is gone, or the way to it. Its sshd may take
            // hours to notice that; the locks of this worker must not stay so long.
            _ => return,
        }
        let request = serde_json::from_slice(&line).map_err(|error| format!("unreadable request: {error}"));
        match request {
            Ok(Request::Alive) => continue,
            Ok(Request::Limits(limits)) => silence = limits.silence,
            _ => {}
        }
        if requests.send(request).await.is_err() {
            return;
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
