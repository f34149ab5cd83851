//! `-r`: the files of a dump that failed go, from every host, and no other file (`gpcrondump.md` 2.10.2).

use std::collections::BTreeMap;

use tracing::{debug, error, warn};

use super::DumpContext;
use crate::exec::host_tasks;
use crate::words::cluster::HostName;
use crate::words::layout::dump_directory;
use crate::words::place::Place;
use crate::worker::host_tasks::{HostTask, TaskOutcome};

/// False when something may have stayed; the log says where and why.
pub(super) async fn roll_back(context: &DumpContext<'_>) -> bool {
    warn!("Dump request was incomplete, rolling back dump");
    let request = context.request;
    let cluster = &context.surroundings.cluster;
    let task = |root: Place| HostTask::RemoveSet {
        directory: dump_directory(&root, context.key),
        prefix: request.prefix.clone(),
        key: context.key,
    };
    let mut tasks: BTreeMap<HostName, Vec<HostTask>> = BTreeMap::new();
    // This program runs on the master's host, however the catalog calls it.
    let here = HostName("localhost".to_owned());
    tasks
        .entry(here.clone())
        .or_default()
        .push(task(request.root_of(&context.master_data_dir)));
    // What lies in a bucket is the same for all hosts.
    let is_shared = cluster.is_one_place() || request.root().is_stored();
    for primary in cluster.primaries().iter().filter(|_| !is_shared) {
        let of_host = tasks.entry(primary.host.clone()).or_default();
        let task = task(request.root_of(&primary.data_dir));
        if !of_host.contains(&task) {
            of_host.push(task);
        }
    }
    let mut all = true;
    for end in host_tasks::run(&context.launcher, tasks, request.parallel).await {
        let place = if end.host == here {
            "master"
        } else {
            end.host.0.as_str()
        };
        match end.result {
            Ok(TaskOutcome::SetRemoved(files)) => debug!("removed on {place}: {}", files.join(" ")),
            Ok(_) => {}
            Err(reason) => {
                all = false;
                warn!("Error encountered during deletion of {} on {place}", context.key);
                error!("{place}: {reason}");
            }
        }
    }
    all
}
