//! One worker per host: starts them, talks to all at once, and leaves none behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::launch::{self, Channel, Launcher};
use crate::words::cluster::HostName;
use crate::words::ids::ContentId;
use crate::worker::protocol::{Event, Request};

/// A host and the segments that are worked on there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSegments {
    pub host: HostName,
    pub contents: Vec<ContentId>,
}

/// What one worker said, or why it will say nothing more.
#[derive(Debug)]
pub struct FleetEvent {
    /// Index of the host in the order given at start.
    pub host: usize,
    pub event: Result<Event, launch::Error>,
}

/// All workers of a run. Dropping it kills them; [`Fleet::stop`] lets them clean up first.
#[derive(Debug)]
pub struct Fleet {
    hosts: Vec<HostHandle>,
    events: mpsc::Receiver<FleetEvent>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct HostHandle {
    segments: HostSegments,
    /// Lines to send; closed when the worker is to stop.
    lines: Option<mpsc::Sender<Arc<Vec<u8>>>>,
}

/// How long a worker may take to cancel its queries and remove its unfinished files.
pub const STOP_PATIENCE: Duration = Duration::from_millis(3500);

impl Fleet {
    /// Starts a worker on every host, at most `parallel` logins at a time. All or nothing: the errors name every host
    /// that could not be had, and then no worker is left running.
    pub async fn start(
        launcher: &Launcher,
        hosts: Vec<HostSegments>,
        parallel: usize,
    ) -> Result<Fleet, Vec<launch::Error>> {
        let logins = Arc::new(Semaphore::new(parallel.max(1)));
        let mut starting = JoinSet::new();
        for (at, segments) in hosts.iter().enumerate() {
            let (launcher, host, logins) = (launcher.clone(), segments.host.clone(), Arc::clone(&logins));
            starting.spawn(async move {
                let _turn = logins.acquire().await;
                (at, launcher.start(&host).await)
            });
        }
        let (sender, events) = mpsc::channel(1024);
        let mut tasks = JoinSet::new();
        let (mut lines_of, mut errors) = (Vec::new(), Vec::new());
        while let Some(started) = starting.join_next().await {
            match started {
                Ok((at, Ok(channel))) => {
                    // From its first word on somebody has to listen to a worker, and to tell it that we live: the last
                    // login may come much later.
                    let (lines, queue) = mpsc::channel(8);
                    tasks.spawn(drive(at, channel, queue, sender.clone()));
                    lines_of.push((at, lines));
                }
                Ok((_, Err(error))) => errors.push(error),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        if !errors.is_empty() {
            drop(lines_of);
            drop(events);
            while tasks.join_next().await.is_some() {}
            errors.sort_by_key(ToString::to_string);
            return Err(errors);
        }
        lines_of.sort_by_key(|(at, _)| *at);
        let handles = hosts
            .into_iter()
            .zip(lines_of)
            .map(|(segments, (_, lines))| HostHandle {
                segments,
                lines: Some(lines),
            });
        let hosts = handles.collect();
        Ok(Fleet { hosts, events, tasks })
    }

    pub fn hosts(&self) -> impl Iterator<Item = &HostSegments> {
        self.hosts.iter().map(|handle| &handle.segments)
    }

    pub fn segments_of(&self, host: usize) -> &HostSegments {
        &self.hosts[host].segments
    }

    /// All segments of all hosts.
    pub fn contents(&self) -> BTreeSet<ContentId> {
        self.hosts
            .iter()
            .flat_map(|handle| handle.segments.contents.iter().copied())
            .collect()
    }

    /// Sends a request to one host.
    pub async fn send(&self, host: usize, request: &Request) {
        self.send_lines(host, Arc::new(line_of(request))).await;
    }

    /// Sends the same request to all hosts; it is put into text once.
    pub async fn send_all(&self, request: &Request) {
        let line = Arc::new(line_of(request));
        for host in 0..self.hosts.len() {
            self.send_lines(host, Arc::clone(&line)).await;
        }
    }

    async fn send_lines(&self, host: usize, lines: Arc<Vec<u8>>) {
        if let Some(sender) = &self.hosts[host].lines {
            // A worker that is gone has said so by an event.
            let _ = sender.send(lines).await;
        }
    }

    /// The next word of any worker.
    pub async fn next(&mut self) -> FleetEvent {
        match self.events.recv().await {
            Some(event) => event,
            // Every driving task sends its end before it leaves, so somebody waits for words that nobody owes.
            None => std::future::pending().await,
        }
    }

    /// Stops all workers: their input is closed, they cancel and clean up, and who does not is killed.
    pub async fn stop(mut self) {
        for handle in &mut self.hosts {
            handle.lines = None;
        }
        // Nobody reads events any more; the tasks must not wait for a reader.
        self.events.close();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn line_of(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("a request is plain data");
    line.push(b'\n');
    line
}

/// Moves lines in and events out until the worker ends or is to stop.
async fn drive(
    host: usize,
    mut channel: Channel,
    mut lines: mpsc::Receiver<Arc<Vec<u8>>>,
    events: mpsc::Sender<FleetEvent>,
) {
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => channel.send_raw(&line).await,
                None => break,
            },
            event = channel.recv() => {
                let over = event.is_err();
                if events.send(FleetEvent { host, event }).await.is_err() || over {
                    break;
                }
            }
        }
    }
    channel.stop(STOP_PATIENCE).await;
}
