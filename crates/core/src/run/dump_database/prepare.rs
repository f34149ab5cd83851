//! Before the cut: workers on all hosts, directories, room on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::{error, info, warn};

use super::{DumpContext, Sessions};
use crate::db::relations;
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::fanout::{Fleet, HostSegments};
use crate::plan::dump_request::DiskCheck;
use crate::run::refusal_of;
use crate::words::ids::ContentId;
use crate::words::layout::{Compression, dump_directory};
use crate::words::refusal::Refusal;
use crate::worker::host_ops;

pub(super) async fn start_workers(context: &DumpContext<'_>) -> Result<DumpFleet, Refusal> {
    let cluster = &context.surroundings.cluster;
    let down: Vec<String> = cluster
        .primaries()
        .iter()
        .filter(|primary| !primary.up)
        .map(|primary| primary.dbid.to_string())
        .collect();
    if !down.is_empty() {
        warn!("Failed primary segment instances detected");
        return Err(Refusal::known(format!(
            "Detected failed segment(s) with dbid={}",
            down.join(",")
        )));
    }
    let hosts = cluster.hosts().into_iter().map(|(host, primaries)| HostSegments {
        host,
        contents: primaries.iter().map(|primary| primary.content).collect(),
    });
    let fleet = Fleet::start(&context.launcher, hosts.collect(), context.request.parallel).await;
    let fleet = fleet.map_err(|errors| {
        for error in &errors {
            error!("{}", crate::db::error_chain(error));
        }
        let hint = errors.iter().find_map(|error| error.hint());
        let refusal = Refusal::known(format!(
            "Cannot continue. No worker could be started on {} host(s)",
            errors.len()
        ));
        match hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    })?;
    Ok(DumpFleet::new(fleet, cluster.primaries()))
}

/// Dump directories of the master and of every segment.
pub(super) struct Directories {
    pub(super) master: PathBuf,
    pub(super) segments: BTreeMap<ContentId, PathBuf>,
    pub(super) states: BTreeMap<ContentId, crate::worker::protocol::DirectoryState>,
}

pub(super) async fn prepare_directories(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
) -> Result<Directories, Refusal> {
    let root_of = |data_dir: &Path| {
        context
            .request
            .backup_root
            .clone()
            .unwrap_or_else(|| data_dir.to_owned())
    };
    let master_root = root_of(&context.master_data_dir);
    let master = dump_directory(&master_root, context.key);
    if master.is_dir() {
        info!("Directory {} exists", master.display());
    } else {
        info!("Directory {} not found, will try to create", master.display());
    }
    let existed = master.is_dir();
    if let Err(error) = host_ops::prepare_directory(&master) {
        let what = match error {
            host_ops::DirectoryError::Create(..) => {
                error!(
                    "Could not create directory {}: {}",
                    master.display(),
                    crate::db::error_chain(&error)
                );
                "create"
            }
            host_ops::DirectoryError::Write(..) => {
                error!(
                    "Cannot write to {}: {}",
                    master.display(),
                    crate::db::error_chain(&error)
                );
                "write to"
            }
        };
        return Err(Refusal::known(format!(
            "Could not {what} {} on master. Cannot continue.",
            master.display()
        )));
    }
    if !existed {
        info!("Created {}", master.display());
    }
    info!("Checked {} on master", master_root.display());
    let primaries = context.surroundings.cluster.primaries();
    let segments: BTreeMap<ContentId, PathBuf> = primaries
        .iter()
        .map(|primary| {
            // A single server's segment lives where the master's files go.
            let single = context.surroundings.cluster.is_single_server();
            let data_dir = if single {
                &context.master_data_dir
            } else {
                &primary.data_dir
            };
            (primary.content, dump_directory(&root_of(data_dir), context.key))
        })
        .collect();
    let answers = fleet.prepare(&segments).await;
    let mut states = BTreeMap::new();
    let mut failed = 0;
    for primary in primaries {
        match answers.get(&primary.content) {
            Some(Ok(state)) => {
                states.insert(primary.content, state.clone());
            }
            Some(Err(reason)) => {
                failed += 1;
                error!("{reason} on {}, {primary}.", primary.host);
            }
            None => {
                failed += 1;
                error!(
                    "No answer about directory {} from {primary}",
                    segments[&primary.content].display()
                );
            }
        }
    }
    if failed > 0 {
        return Err(Refusal::known(format!(
            "Cannot continue. {failed} segment(s) failed directory checks"
        )));
    }
    Ok(Directories {
        master,
        segments,
        states,
    })
}

/// Need against room, summed for each file system of each host. A guess that spares a doomed dump; what decides is the
/// checked write.
pub(super) async fn check_disk_space(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    directories: &Directories,
) -> Result<(), Refusal> {
    let DiskCheck::KeepFree(percent) = context.request.disk_check else {
        return Ok(());
    };
    info!("Validating disk space");
    let dialect = &context.surroundings.dialect;
    let sizes = relations::read_segment_sizes(&sessions.barrier, dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    // What COPY text and fast compression make of a database's files, by the original's measure.
    let factor = if context.request.compression == Compression::Gzip {
        12
    } else {
        1
    };
    let mut needs: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for primary in context.surroundings.cluster.primaries() {
        let (Some(state), Some(size)) = (directories.states.get(&primary.content), sizes.get(&primary.content)) else {
            continue;
        };
        let sum = needs
            .entry((primary.host.0.clone(), state.device))
            .or_insert((0, state.free_bytes));
        sum.0 += size / factor;
    }
    let keep = u64::from(percent.min(100));
    let mut failed = 0;
    for ((host, _), (need, free)) in &needs {
        let usable = free / 100 * (100 - keep);
        if *need > usable {
            failed += 1;
            error!(
                "{host} has insufficient disk space. [Need: {}K, Free {}K]",
                need / 1024,
                free / 1024
            );
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(Refusal::known(format!(
            "Cannot continue. {n} segment(s) failed disk space checks"
        ))),
    }
}
