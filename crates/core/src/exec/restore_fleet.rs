//! The workers of a restore: they look for files, load them, and write status files.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::fanout::{Fleet, FleetEvent, HostSegments};
use crate::db::error_chain;
use crate::launch::Launcher;
use crate::plan::restore::places::{Found, Search};
use crate::words::cluster::HostName;
use crate::words::ids::ContentId;
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;
use crate::worker::host_tasks::{HostTask, Room, TaskOutcome};
use crate::worker::protocol::{Event, LogLevel, Request};
use crate::worker::restore_segment::{LoadedTable, RestoreEvent, RestoreStart, TableTrouble};

/// Tables that failed, told when they fail; all of them are told at the end.
const TOLD_AT_ONCE: usize = 10;

const STOPPED: &str = "the restore was ended at its first error, as --stop-on-error asks";

/// Looking for files, all hosts together.
const FIND_LIMIT: Duration = Duration::from_secs(300);
/// Asking for room on disk, all hosts together.
const ROOM_LIMIT: Duration = Duration::from_secs(30);
/// Writing status files, all hosts together.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// One worker on each host that has to do with the restore.
#[derive(Debug)]
pub struct RestoreFleet {
    pub(super) fleet: Fleet,
    pub(super) hosts: Vec<HostName>,
    /// Workers that have ended before their time: nobody answers for them any more.
    pub(super) lost: BTreeSet<usize>,
}

/// By host and directory; or why it is not known.
pub type FoundRoom = BTreeMap<(HostName, PathBuf), Result<Room, String>>;

/// What came of one data file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOutcome {
    /// Rows that are in; `None` when the file was not read to its end.
    pub rows: Option<u64>,
    /// Why it was not.
    pub failure: Option<String>,
    /// Tables that the server refused.
    pub refused: Vec<String>,
    /// Tables of which the server counted other rows than it was sent.
    pub miscounted: Vec<String>,
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOutcome {
    pub files: BTreeMap<ContentId, FileOutcome>,
    /// Rows loaded, by table.
    pub rows: HashMap<QualifiedName, u64>,
    /// Tables that something was said about already.
    pub troubled: BTreeSet<QualifiedName>,
    /// Those of them that a server refused.
    pub refused: BTreeSet<QualifiedName>,
}

impl LoadOutcome {
    pub fn all_read(&self) -> bool {
        self.files.values().all(|file| file.failure.is_none())
    }
}

impl RestoreFleet {
    /// Starts the workers; all or none.
    pub async fn start(
        launcher: &Launcher,
        hosts: BTreeSet<HostName>,
        parallel: usize,
    ) -> Result<RestoreFleet, Refusal> {
        let hosts: Vec<HostName> = hosts.into_iter().collect();
        let segments = hosts.iter().map(|host| HostSegments {
            host: host.clone(),
            contents: Vec::new(),
        });
        match Fleet::start(launcher, segments.collect(), parallel).await {
            Ok(fleet) => Ok(RestoreFleet {
                fleet,
                hosts,
                lost: BTreeSet::new(),
            }),
            Err(errors) => {
                let text: Vec<String> = errors.iter().map(|error| error_chain(error)).collect();
                let refusal = Refusal::failed(text.join("; "));
                Err(match errors.iter().find_map(|error| error.hint()) {
                    Some(hint) => refusal.with_hint(hint),
                    None => refusal,
                })
            }
        }
    }

    /// Which of the wanted files are there.
    pub async fn find(&mut self, search: &Search) -> Result<Found, Refusal> {
        let mut queues: Vec<VecDeque<(&Place, &BTreeSet<String>)>> = self
            .hosts
            .iter()
            .map(|host| search.get(host).into_iter().flatten().collect())
            .collect();
        let mut found = Found::new();
        let mut open = 0;
        // One request at a time for each host: answers carry no directory.
        for (host, queue) in queues.iter().enumerate() {
            open += usize::from(!queue.is_empty());
            send_find(&self.fleet, host, queue.front()).await;
        }
        let deadline = Instant::now() + FIND_LIMIT;
        while open > 0 {
            let FleetEvent { host, event } =
                tokio::time::timeout_at(deadline, self.fleet.next())
                    .await
                    .map_err(|_| {
                        Refusal::failed(format!(
                            "looking for the data files took more than {} seconds",
                            FIND_LIMIT.as_secs()
                        ))
                    })?;
            match event {
                Ok(Event::Found { files, problems }) => {
                    let Some((directory, _)) = queues[host].pop_front() else {
                        continue;
                    };
                    match problems.into_iter().next() {
                        // A storage has one place for a file. Of several directories another one may have it.
                        Some(problem) if directory.is_stored() => return Err(Refusal::failed(problem)),
                        Some(problem) => tracing::warn!("{}: {problem}", self.hosts[host]),
                        None => {}
                    }
                    for file in files {
                        found.insert((self.hosts[host].clone(), directory.clone(), file.name), file.size);
                    }
                    open -= usize::from(queues[host].is_empty());
                    send_find(&self.fleet, host, queues[host].front()).await;
                }
                Ok(_) => {}
                Err(error) => return Err(Refusal::failed(error_chain(&error))),
            }
        }
        Ok(found)
    }

    /// What the file systems of these directories have left. What is not known in time is missing from the answer.
    pub async fn room(&mut self, directories: &BTreeMap<HostName, Vec<PathBuf>>) -> Result<FoundRoom, Refusal> {
        let mut open = BTreeSet::new();
        for (at, host) in self.hosts.iter().enumerate() {
            if let Some(directories) = directories.get(host).filter(|some| !some.is_empty()) {
                let directories = directories.clone();
                self.fleet
                    .send(at, &Request::Task(HostTask::Room { directories }))
                    .await;
                open.insert(at);
            }
        }
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + ROOM_LIMIT;
        while !open.is_empty() {
            let Ok(FleetEvent { host, event }) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                break;
            };
            let name = &self.hosts[host];
            match event {
                Ok(Event::TaskEnded(Ok(TaskOutcome::Room(rooms)))) => {
                    open.remove(&host);
                    let asked = directories.get(name).into_iter().flatten();
                    found.extend(
                        asked
                            .zip(rooms)
                            .map(|(path, room)| ((name.clone(), path.clone()), room)),
                    );
                }
                Ok(Event::TaskEnded(_)) => {
                    open.remove(&host);
                }
                Ok(_) => {}
                Err(error) => return Err(Refusal::failed(error_chain(&error))),
            }
        }
        Ok(found)
    }

    /// Loads all files; returns when each of them has been loaded or has failed.
    /// With `stops` the first table that is refused ends it for all. `on_loaded` hears of rows that are in.
    pub async fn load(
        &mut self,
        jobs: BTreeMap<HostName, RestoreStart>,
        stops: bool,
        board: &ProgressBoard,
        on_loaded: &mut dyn FnMut(&[LoadedTable]),
    ) -> LoadOutcome {
        let mut outcome = LoadOutcome::default();
        let mut failures_told = 0;
        let mut waiting: Vec<BTreeSet<ContentId>> = vec![BTreeSet::new(); self.hosts.len()];
        for (at, host) in self.hosts.iter().enumerate() {
            if let Some(start) = jobs.get(host) {
                waiting[at] = start.files.iter().map(|file| file.content).collect();
                self.fleet.send(at, &Request::Restore(start.clone())).await;
            }
        }
        while waiting.iter().any(|contents| !contents.is_empty()) {
            let FleetEvent { host, event } = self.fleet.next().await;
            match event {
                Ok(Event::Restore(RestoreEvent::Progress { rows, bytes, .. })) => board.update(|figures| {
                    figures.rows += rows;
                    figures.bytes += bytes;
                }),
                Ok(Event::Restore(event)) => {
                    if let RestoreEvent::Loaded { tables, .. } = &event {
                        on_loaded(tables);
                    }
                    if stops && matches!(event, RestoreEvent::TableFailed { .. }) {
                        outcome.take(event);
                        for content in waiting.into_iter().flatten() {
                            outcome.files.entry(content).or_default().failure = Some(STOPPED.to_owned());
                        }
                        // The workers are told by the end of their input, soon.
                        return outcome;
                    }
                    if let RestoreEvent::TableFailed { message, .. } = &event
                        && failures_told < TOLD_AT_ONCE
                    {
                        failures_told += 1;
                        tracing::warn!("{message}; the other tables go on");
                    }
                    if let Some(done) = outcome.take(event) {
                        waiting[host].remove(&done);
                        board.update(|figures| figures.segments_done += 1);
                    }
                }
                Ok(Event::Log { level, text }) => log(level, &self.hosts[host], &text),
                Ok(_) => {}
                Err(error) => {
                    self.lost.insert(host);
                    let message = error_chain(&error);
                    for content in std::mem::take(&mut waiting[host]) {
                        outcome.files.entry(content).or_default().failure = Some(message.clone());
                    }
                }
            }
        }
        outcome
    }

    /// Writes small files; returns a sentence for each that could not be written.
    pub async fn write_files(&mut self, files: Vec<(HostName, Place, String)>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut open: BTreeSet<(usize, Place)> = BTreeSet::new();
        for (host, path, text) in files {
            match self.hosts.iter().position(|known| *known == host) {
                Some(at) if self.lost.contains(&at) => {
                    problems.push(could_not_write(&host, &path, "the worker there has ended"));
                }
                Some(at) => {
                    open.insert((at, path.clone()));
                    self.fleet.send(at, &Request::WriteFile { path, text }).await;
                }
                None => problems.push(could_not_write(&host, &path, "no worker runs there")),
            }
        }
        let deadline = Instant::now() + WRITE_LIMIT;
        while !open.is_empty() {
            let Ok(FleetEvent { host, event }) = tokio::time::timeout_at(deadline, self.fleet.next()).await else {
                break;
            };
            match event {
                Ok(Event::Written { path, result }) => {
                    open.remove(&(host, path.clone()));
                    if let Err(error) = result {
                        problems.push(could_not_write(&self.hosts[host], &path, &error));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let (lost, kept) = open.into_iter().partition(|(at, _)| *at == host);
                    open = kept;
                    let lost: BTreeSet<(usize, Place)> = lost;
                    problems.extend(
                        lost.iter()
                            .map(|(_, path)| could_not_write(&self.hosts[host], path, &error_chain(&error))),
                    );
                }
            }
        }
        problems.extend(
            open.iter()
                .map(|(host, path)| could_not_write(&self.hosts[*host], path, "no answer in time")),
        );
        problems
    }

    pub async fn stop(self) {
        self.fleet.stop().await;
    }
}

async fn send_find(fleet: &Fleet, host: usize, next: Option<&(&Place, &BTreeSet<String>)>) {
    if let Some((directory, names)) = next {
        let request = Request::Find {
            directory: (*directory).clone(),
            names: names.iter().cloned().collect(),
        };
        fleet.send(host, &request).await;
    }
}

impl LoadOutcome {
    /// Returns the content of a file that is over.
    fn take(&mut self, event: RestoreEvent) -> Option<ContentId> {
        match event {
            RestoreEvent::Loaded { content, tables } => {
                self.files.entry(content).or_default();
                for loaded in tables {
                    *self.rows.entry(loaded.table).or_default() += loaded.rows;
                }
                None
            }
            RestoreEvent::TableFailed {
                content,
                table,
                trouble,
                message,
            } => {
                let file = self.files.entry(content).or_default();
                match trouble {
                    TableTrouble::Refused => file.refused.push(message),
                    TableTrouble::RowCount => file.miscounted.push(message),
                }
                if trouble == TableTrouble::Refused {
                    self.refused.insert(table.clone());
                }
                self.troubled.insert(table);
                None
            }
            RestoreEvent::Progress { .. } => None,
            RestoreEvent::Finished { content, rows, .. } => {
                *self.files.entry(content).or_default().rows.get_or_insert(0) += rows;
                Some(content)
            }
            RestoreEvent::Failed { content, message } => {
                self.files.entry(content).or_default().failure = Some(message);
                Some(content)
            }
        }
    }
}

pub(super) fn log(level: LogLevel, host: &HostName, text: &str) {
    match level {
        LogLevel::Debug => tracing::debug!("{host}: {text}"),
        LogLevel::Info => tracing::info!("{host}: {text}"),
        LogLevel::Warning => tracing::warn!("{host}: {text}"),
    }
}

fn could_not_write(host: &HostName, path: &Place, why: &str) -> String {
    format!("could not write {} on {host}: {why}", path.display())
}
