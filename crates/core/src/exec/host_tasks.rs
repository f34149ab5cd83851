//! Single tasks on many hosts: every host gets its own in turn, hosts beside each other, and one that cannot be reached
//! keeps no other from its tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fanout::STOP_PATIENCE;
use crate::db::error_chain;
use crate::launch::Launcher;
use crate::store::files::Files;
use crate::words::cluster::HostName;
use crate::worker::host_tasks::{HostTask, TaskOutcome, perform};
use crate::worker::protocol::{Event, Request};

/// A task, where it was to be done, and what came of it.
#[derive(Debug)]
pub struct TaskEnd {
    pub host: HostName,
    pub task: HostTask,
    pub result: Result<TaskOutcome, String>,
}

/// Does all tasks and answers for each, in no order. At most `parallel` hosts at a time.
pub async fn run(launcher: &Launcher, tasks: BTreeMap<HostName, Vec<HostTask>>, parallel: usize) -> Vec<TaskEnd> {
    let turns = Arc::new(Semaphore::new(parallel.max(1)));
    let mut hosts = JoinSet::new();
    for (host, tasks) in tasks {
        let (launcher, turns) = (launcher.clone(), Arc::clone(&turns));
        hosts.spawn(async move {
            let _turn = turns.acquire().await;
            if launcher.is_local(&host) {
                run_here(launcher.files, host, tasks).await
            } else {
                run_there(&launcher, host, tasks).await
            }
        });
    }
    let mut ends = Vec::new();
    while let Some(ended) = hosts.join_next().await {
        match ended {
            Ok(of_host) => ends.extend(of_host),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    ends
}

async fn run_here(files: Files, host: HostName, tasks: Vec<HostTask>) -> Vec<TaskEnd> {
    let work = move || {
        let end = |task: HostTask| TaskEnd {
            host: host.clone(),
            result: perform(&files, &task).map_err(|error| error_chain(&error)),
            task,
        };
        tasks.into_iter().map(end).collect()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(ends) => ends,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn run_there(launcher: &Launcher, host: HostName, tasks: Vec<HostTask>) -> Vec<TaskEnd> {
    let end = |task, result| TaskEnd {
        host: host.clone(),
        task,
        result,
    };
    let mut channel = match launcher.start(&host).await {
        Ok(channel) => channel,
        Err(error) => {
            let reason = error_chain(&error);
            return tasks.into_iter().map(|task| end(task, Err(reason.clone()))).collect();
        }
    };
    let mut ends = Vec::new();
    let mut lost = None;
    for task in tasks {
        if let Some(reason) = &lost {
            ends.push(end(task, Err(String::clone(reason))));
            continue;
        }
        channel.send(&Request::Task(task.clone())).await;
        let result = loop {
            match channel.recv().await {
                Ok(Event::TaskEnded(result)) => break result,
                Ok(_) => {}
                Err(error) => {
                    let reason = error_chain(&error);
                    lost = Some(reason.clone());
                    break Err(reason);
                }
            }
        };
        ends.push(end(task, result));
    }
    channel.stop(STOP_PATIENCE).await;
    ends
}
