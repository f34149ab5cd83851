//! A dump on all hosts, phase by phase: every phase ends when each segment has answered, failed, or run out of time.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::fanout::{Fleet, FleetEvent};
use crate::db::error_chain;
use crate::format::state::TableCounts;
use crate::words::cluster::Instance;
use crate::words::ids::ContentId;
use crate::words::job::{FileStamp, TableJob, TableTotals};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::progress::ProgressBoard;
use crate::worker::protocol::{
    DirectoryState, DumpStart, Event, FoundFile, LogLevel, PreparedDirectory, Request, StatesAsked, StatesPart,
    TABLES_PER_REQUEST,
};

/// Limits for the phases that wait for many segments.
pub const PREPARE_LIMIT: Duration = Duration::from_secs(120);
pub const SNAPSHOT_LIMIT: Duration = Duration::from_secs(10);
pub const PUBLISH_LIMIT: Duration = Duration::from_secs(300);
const RESET_LIMIT: Duration = Duration::from_secs(30);

/// What one segment said about its tables.
#[derive(Debug, Default)]
pub struct SegmentStates {
    pub counts: TableCounts,
    pub unchanged_heap: HashSet<QualifiedName>,
    /// Why nothing is known of its heap tables.
    pub no_heap: Option<String>,
}

/// How far a segment is.
#[derive(Debug, Clone, Copy, Default)]
struct Copied {
    tables: u64,
    rows: u64,
    bytes: u64,
}

/// What has come in so far.
#[derive(Debug)]
pub struct DumpFleet {
    fleet: Fleet,
    instances: BTreeMap<ContentId, Instance>,
    /// Why a segment will not be dumped; the first reason of each.
    pub failures: BTreeMap<ContentId, String>,
    pub stamps: BTreeMap<ContentId, Vec<FileStamp>>,
    pub totals: Vec<TableTotals>,
    progress: BTreeMap<ContentId, Copied>,
    /// The host of each segment whose worker has ended.
    lost_hosts: BTreeSet<usize>,
    has_pipes: bool,
}

impl DumpFleet {
    pub fn new(fleet: Fleet, primaries: &[Instance]) -> Self {
        DumpFleet {
            fleet,
            instances: primaries
                .iter()
                .map(|instance| (instance.content, instance.clone()))
                .collect(),
            failures: BTreeMap::new(),
            stamps: BTreeMap::new(),
            totals: Vec::new(),
            progress: BTreeMap::new(),
            lost_hosts: BTreeSet::new(),
            has_pipes: false,
        }
    }

    pub fn all_well(&self) -> bool {
        self.failures.is_empty()
    }

    /// Makes and probes the directories of all segments.
    pub async fn prepare(
        &mut self,
        directories: &BTreeMap<ContentId, Place>,
    ) -> BTreeMap<ContentId, Result<DirectoryState, String>> {
        let hosts: Vec<Vec<ContentId>> = self.fleet.hosts().map(|host| host.contents.clone()).collect();
        for (host, contents) in hosts.iter().enumerate() {
            let wanted = contents.iter().filter_map(|content| {
                directories.get(content).map(|directory| PreparedDirectory {
                    content: *content,
                    directory: directory.clone(),
                })
            });
            self.fleet
                .send(
                    host,
                    &Request::Prepare {
                        directories: wanted.collect(),
                    },
                )
                .await;
        }
        let mut states = BTreeMap::new();
        self.wait("make its dump directory", PREPARE_LIMIT, |event| match event {
            Event::Prepared { content, result } => {
                states.insert(*content, result.clone());
                Some(*content)
            }
            _ => None,
        })
        .await;
        for (content, reason) in &self.failures {
            states.entry(*content).or_insert_with(|| Err(reason.clone()));
        }
        states
    }

    /// Hands out the work and waits until every segment holds its locks.
    pub async fn start(&mut self, start_of: impl Fn(&[ContentId]) -> DumpStart, tables: &[TableJob], limit: Duration) {
        self.totals = vec![TableTotals::default(); tables.len()];
        let hosts: Vec<Vec<ContentId>> = self.fleet.hosts().map(|host| host.contents.clone()).collect();
        for (host, contents) in hosts.iter().enumerate() {
            self.fleet.send(host, &Request::StartDump(start_of(contents))).await;
        }
        for part in tables.chunks(TABLES_PER_REQUEST) {
            self.fleet.send_all(&Request::Tables(part.to_vec())).await;
        }
        self.fleet.send_all(&Request::TablesEnd).await;
        let mut has_pipes = false;
        self.wait("lock its tables", limit, |event| match event {
            Event::Ready { content, is_pipe } => {
                has_pipes |= is_pipe;
                Some(*content)
            }
            _ => None,
        })
        .await;
        self.has_pipes = has_pipes;
    }

    /// Whether the files of the last `start` can be written a second time: a reader of named pipes has what came first.
    pub fn can_begin_anew(&self) -> bool {
        !self.has_pipes
    }

    /// Adds tables to the list that `start` gave, to be copied last. They are not locked on the segments: the master holds
    /// locks on them.
    pub async fn add_tables(&mut self, tables: &[TableJob]) {
        self.totals
            .resize(self.totals.len() + tables.len(), TableTotals::default());
        for part in tables.chunks(TABLES_PER_REQUEST) {
            self.fleet.send_all(&Request::Tables(part.to_vec())).await;
        }
    }

    /// Lets all segments take their snapshots, or streams take over the one of this name.
    pub async fn open_snapshots(&mut self, exported: Option<String>) {
        self.fleet.send_all(&Request::OpenSnapshots { exported }).await;
        self.wait("take its snapshot", SNAPSHOT_LIMIT, |event| match event {
            Event::SnapshotOpen { content } => Some(*content),
            _ => None,
        })
        .await;
    }

    /// Asks all segments in what state the tables are in their snapshots, and waits for the last, or for the first
    /// failure, without a limit on the whole, as in [`DumpFleet::copy`].
    pub async fn read_states(
        &mut self,
        tables: &[QualifiedName],
        asked: StatesAsked,
    ) -> BTreeMap<ContentId, SegmentStates> {
        for part in tables.chunks(TABLES_PER_REQUEST) {
            self.fleet.send_all(&Request::StatesOf(part.to_vec())).await;
        }
        self.fleet.send_all(&Request::ReadStates(asked)).await;
        let mut states: BTreeMap<ContentId, SegmentStates> = BTreeMap::new();
        let mut waiting = self.living();
        while !waiting.is_empty() && self.failures.is_empty() {
            let event = self.fleet.next().await;
            if let Some(Event::States { content, part }) = self.note(event) {
                let state = states.entry(content).or_default();
                match part {
                    StatesPart::Counts(counts) => {
                        state.counts.rows.extend(counts.rows);
                        state.counts.columns.extend(counts.columns);
                    }
                    StatesPart::UnchangedHeap(tables) => state.unchanged_heap.extend(tables),
                    StatesPart::NoHeap(reason) => state.no_heap = Some(reason),
                    StatesPart::End => drop(waiting.remove(&content)),
                }
            }
            waiting.retain(|content| !self.failures.contains_key(content));
        }
        states
    }

    /// Lets all segments copy and waits for the last, or for the first failure. There is no limit on the whole:
    /// workers that fall silent, and servers that do, are noticed one by one.
    pub async fn copy(&mut self, board: &ProgressBoard) {
        self.fleet.send_all(&Request::CopyData).await;
        let mut waiting = self.living();
        while !waiting.is_empty() && self.failures.is_empty() {
            let event = self.fleet.next().await;
            let is_progress = matches!(event.event, Ok(Event::Progress { .. } | Event::Finished { .. }));
            let noted = self.note(event);
            match noted {
                Some(Event::Finished { content, files }) => {
                    waiting.remove(&content);
                    self.stamps.insert(content, files);
                }
                Some(Event::Totals { first, totals }) => {
                    for (sum, part) in self.totals.iter_mut().skip(first).zip(totals) {
                        sum.rows += part.rows;
                        sum.bytes += part.bytes;
                    }
                }
                _ => {}
            }
            waiting.retain(|content| !self.failures.contains_key(content));
            if is_progress {
                self.show(board);
            }
        }
    }

    fn show(&self, board: &ProgressBoard) {
        let copied = || self.progress.values();
        board.update(|figures| {
            figures.segments_done = self.stamps.len() as u64;
            // All segments have the same tables in the same order.
            figures.tables_done = match self.progress.len() as u64 == figures.segments {
                true => copied().map(|part| part.tables).min().unwrap_or(0),
                false => 0,
            };
            figures.rows = copied().map(|part| part.rows).sum();
            figures.bytes = copied().map(|part| part.bytes).sum();
        });
    }

    /// Does something else while an eye is kept on the workers. `None` when one of them failed before it was done: what
    /// the master waits for (a lock, say) may then never come.
    pub async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            if !self.failures.is_empty() {
                return None;
            }
            tokio::select! {
                done = &mut work => return Some(done),
                event = self.fleet.next() => drop(self.note(event)),
            }
        }
    }

    /// Gives all files their names.
    pub async fn publish(&mut self) {
        self.fleet.send_all(&Request::Publish).await;
        self.wait("give its files their names", PUBLISH_LIMIT, |event| match event {
            Event::Published { content } => Some(*content),
            _ => None,
        })
        .await;
    }

    /// After a [`DumpFleet::reset`]: forgets who failed before it, so that it can be tried again. Workers that are gone stay
    /// failed.
    pub fn forget_failures(&mut self) {
        let lost: BTreeSet<ContentId> = (self.lost_hosts.iter())
            .flat_map(|host| self.fleet.segments_of(*host).contents.clone())
            .collect();
        self.failures.retain(|content, _| lost.contains(content));
    }

    /// Takes everything since `start` back. A worker that does not say within the limit that it has counts as lost.
    pub async fn reset(&mut self) {
        self.fleet.send_all(&Request::Reset).await;
        let mut waiting: BTreeSet<usize> = (0..self.fleet.hosts().count()).collect();
        let deadline = Instant::now() + RESET_LIMIT;
        while waiting.iter().any(|host| !self.lost_hosts.contains(host)) {
            let Ok(event) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                break;
            };
            let host = event.host;
            if let Some(Event::ResetDone) = self.note(event) {
                waiting.remove(&host);
            }
        }
        for host in waiting {
            if self.lost_hosts.insert(host) {
                let message = format!("did not take its files back within {} s", RESET_LIMIT.as_secs());
                for content in self.fleet.segments_of(host).contents.clone() {
                    self.failures.entry(content).or_insert_with(|| message.clone());
                }
            }
        }
        self.stamps.clear();
        self.progress.clear();
    }

    /// Writes small files on the segments' hosts: path and text for each. Gives back what could not be written.
    pub async fn write_files(&mut self, files: BTreeMap<ContentId, (Place, String)>) -> Vec<String> {
        let mut waiting = BTreeMap::new();
        for (content, (path, text)) in files {
            let Some(host) = self.host_of(content).filter(|host| !self.lost_hosts.contains(host)) else {
                continue;
            };
            waiting.insert((host, path.clone()), content);
            self.fleet.send(host, &Request::WriteFile { path, text }).await;
        }
        let mut problems = Vec::new();
        let deadline = Instant::now() + PREPARE_LIMIT;
        while !waiting.is_empty() {
            let Ok(event) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                break;
            };
            let host = event.host;
            if let Some(Event::Written { path, result }) = self.note(event)
                && let (Err(reason), Some(content)) = (result, waiting.remove(&(host, path)))
            {
                problems.push(format!("{}: {reason}", self.instances[&content]));
            }
            waiting.retain(|(host, _), _| !self.lost_hosts.contains(host));
        }
        problems.extend(waiting.iter().map(|((_, path), content)| {
            format!("{}: no answer about \"{}\"", self.instances[content], path.display())
        }));
        problems
    }

    /// Looks for files by name and size; gives back what is missing or has another size, as sentences.
    pub async fn check_files(&mut self, directories: &BTreeMap<ContentId, Place>) -> Vec<String> {
        // A host answers in the order in which it was asked.
        let mut asked: BTreeMap<usize, VecDeque<ContentId>> = BTreeMap::new();
        for (content, stamps) in &self.stamps {
            let (Some(host), Some(directory)) = (self.host_of(*content), directories.get(content)) else {
                continue;
            };
            let names = stamps.iter().map(|stamp| stamp.name.clone()).collect();
            let directory = directory.clone();
            asked.entry(host).or_default().push_back(*content);
            self.fleet.send(host, &Request::Find { directory, names }).await;
        }
        let mut found: BTreeMap<ContentId, Vec<FoundFile>> = BTreeMap::new();
        let mut problems = Vec::new();
        let deadline = Instant::now() + PREPARE_LIMIT;
        loop {
            asked.retain(|host, contents| !contents.is_empty() && !self.lost_hosts.contains(host));
            if asked.is_empty() {
                break;
            }
            let Ok(event) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                break;
            };
            let host = event.host;
            if let Some(Event::Found {
                files,
                problems: unseen,
            }) = self.note(event)
                && let Some(content) = asked.get_mut(&host).and_then(VecDeque::pop_front)
            {
                problems.extend(
                    unseen
                        .into_iter()
                        .map(|text| format!("{}: {text}", self.instances[&content])),
                );
                found.insert(content, files);
            }
        }
        for (content, stamps) in &self.stamps {
            let instance = &self.instances[content];
            let Some(found) = found.get(content) else {
                problems.push(format!("{instance}: its host did not say whether its files are there"));
                continue;
            };
            for stamp in stamps {
                if !found
                    .iter()
                    .any(|f| f.name == stamp.name && f.size.is_none_or(|size| size == stamp.size))
                {
                    let path = directories.get(content).map(|directory| directory.join(&stamp.name));
                    let path = path.unwrap_or_default();
                    problems.push(format!(
                        "{instance}: file \"{}\" is not there with its {} bytes",
                        path.display(),
                        stamp.size
                    ));
                }
            }
        }
        problems
    }

    /// Segments whose worker is gone, so that nobody removed its unfinished files.
    pub fn not_cleaned(&self) -> Vec<&Instance> {
        let lost = self
            .lost_hosts
            .iter()
            .flat_map(|host| &self.fleet.segments_of(*host).contents);
        lost.filter_map(|content| self.instances.get(content)).collect()
    }

    pub async fn stop(self) {
        self.fleet.stop().await;
    }

    fn living(&self) -> BTreeSet<ContentId> {
        self.fleet
            .contents()
            .into_iter()
            .filter(|content| !self.failures.contains_key(content))
            .collect()
    }

    fn host_of(&self, content: ContentId) -> Option<usize> {
        self.fleet.hosts().position(|host| host.contents.contains(&content))
    }

    /// Waits until `answer` has recognised an answer of every living segment.
    async fn wait(&mut self, what: &str, limit: Duration, mut answer: impl FnMut(&Event) -> Option<ContentId>) {
        let deadline = Instant::now() + limit;
        let mut waiting = self.living();
        while !waiting.is_empty() {
            let Ok(event) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                for content in waiting {
                    let message = format!("did not {what} within {} s", limit.as_secs());
                    self.failures.entry(content).or_insert(message);
                }
                return;
            };
            if let Some(content) = self.note(event).as_ref().and_then(&mut answer) {
                waiting.remove(&content);
            }
            waiting.retain(|content| !self.failures.contains_key(content));
        }
    }

    /// Keeps book of failures, lost hosts, progress and log lines; hands on what a phase may be waiting for.
    fn note(&mut self, event: FleetEvent) -> Option<Event> {
        match event.event {
            Ok(Event::Failed { content, message }) => {
                self.failures.entry(content).or_insert(message);
                None
            }
            Ok(Event::Progress {
                content,
                tables,
                rows,
                bytes,
            }) => {
                self.progress.insert(content, Copied { tables, rows, bytes });
                None
            }
            Ok(Event::Log { level, text }) => {
                let host = &self.fleet.segments_of(event.host).host;
                match level {
                    LogLevel::Debug => tracing::debug!("{host}: {text}"),
                    LogLevel::Info => tracing::info!("{host}: {text}"),
                    LogLevel::Warning => tracing::warn!("{host}: {text}"),
                }
                None
            }
            Ok(other) => Some(other),
            Err(error) => {
                self.lost_hosts.insert(event.host);
                let message = error_chain(&error);
                for content in self.fleet.segments_of(event.host).contents.clone() {
                    self.failures.entry(content).or_insert_with(|| message.clone());
                }
                None
            }
        }
    }
}
