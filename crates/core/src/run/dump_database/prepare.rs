//! Before the cut: workers on all hosts, directories, room on disk.

use std::collections::BTreeMap;

use tracing::{error, info, warn};

use super::{DumpContext, Sessions};
use crate::db::{self, Session, relations};
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::fanout::{Fleet, HostSegments};
use crate::plan::disk_space::{self, Need};
use crate::plan::dump_request::DiskCheck;
use crate::plan::filter::{Selection, TableFilter};
use crate::run::refusal_of;
use crate::words::cluster::Instance;
use crate::words::ids::ContentId;
use crate::words::layout::{Compression, DUMP_DIR, dump_directory};
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;
use crate::worker::protocol::DirectoryState;

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
    pub(super) master: Place,
    master_state: DirectoryState,
    pub(super) segments: BTreeMap<ContentId, Place>,
    pub(super) states: BTreeMap<ContentId, DirectoryState>,
}

pub(super) async fn prepare_directories(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
) -> Result<Directories, Refusal> {
    let files = context.files;
    let master_root = context.request.root_of(&context.master_data_dir);
    let master = dump_directory(&master_root, context.key);
    // What is wrong with it the check below says.
    let existed = files.is_dir(&master).unwrap_or(true);
    if existed {
        info!("Directory {} exists", master.display());
    } else {
        info!("Directory {} not found, will try to create", master.display());
    }
    let prepared = host_ops::prepare_directory(files, &master);
    let master_state = prepared.map_err(|error| {
        let what = match error {
            host_ops::DirectoryError::Create(..) => {
                error!("Could not create directory {}", master.display());
                "create"
            }
            host_ops::DirectoryError::Write(..) => {
                error!("Cannot write to {}", master.display());
                "write to"
            }
        };
        error!("master: {}", crate::db::error_chain(&error));
        Refusal::known(format!(
            "Could not {what} {} on master. Cannot continue.",
            master_root.display()
        ))
    })?;
    if !existed {
        info!("Created {}", master.display());
    }
    info!("Checked {} on master", master_root.display());
    take_back_uploads(context);
    let primaries = context.surroundings.cluster.primaries();
    // A single server's segment lives where the master's files go.
    let single = context.surroundings.cluster.is_one_place();
    let roots: BTreeMap<ContentId, Place> = primaries
        .iter()
        .map(|primary| match single {
            true => (primary.content, master_root.clone()),
            false => (primary.content, context.request.root_of(&primary.data_dir)),
        })
        .collect();
    let directory = |(content, root): (&ContentId, &Place)| (*content, dump_directory(root, context.key));
    let segments: BTreeMap<ContentId, Place> = roots.iter().map(directory).collect();
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
                // The line that scripts look for has neither the instance nor the reason.
                let what = host_ops::what_failed(reason);
                error!(
                    "Could not {what} {} on {}.",
                    roots[&primary.content].display(),
                    primary.host
                );
                error!("{primary}: {reason}");
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
        master_state,
        segments,
        states,
    })
}

/// What killed runs have begun to upload, or we ourselves when an answer was lost, costs money, and nobody sees it. No other run is under way: the lock of the master's
/// data directory keeps them out, and each cluster has a prefix of its own.
pub(super) fn take_back_uploads(context: &DumpContext<'_>) {
    let place = context.request.root().join(DUMP_DIR);
    if !place.is_stored() {
        return;
    }
    match context.files.remove_uploads(&place) {
        Ok(names) if names.is_empty() => {}
        Ok(names) => info!(
            "Took back {} uploads that a run did not finish: {}",
            names.len(),
            names.join(" ")
        ),
        Err(error) => warn!("could not look for unfinished uploads below {place}: {error}"),
    }
}

/// Need against room, summed for each file system of each host, the master's among them.
pub(super) async fn check_disk_space(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    directories: &Directories,
    selection: &Selection,
) -> Result<(), Refusal> {
    let DiskCheck::KeepFree(percent) = context.request.disk_check else {
        return Ok(());
    };
    info!("Validating disk space");
    let needs = estimate_needs(context, &sessions.barrier, directories, selection)
        .await
        .map_err(|error| refusal_of(&error))?;
    let too_full = disk_space::too_full(&needs, percent);
    for place in &too_full {
        error!("{place}");
    }
    match too_full.len() {
        0 => Ok(()),
        n => Err(Refusal::known(disk_space::cannot_continue(n)).with_hint(format!(
            "{percent} percent of each file system are to stay free (-f); the need is an estimate. Old sets go with -o, -u \
             names another place, -b leaves this check out."
        ))),
    }
}

async fn estimate_needs(
    context: &DumpContext<'_>,
    session: &Session,
    directories: &Directories,
    selection: &Selection,
) -> Result<Vec<Need>, db::Error> {
    let dialect = &context.surroundings.dialect;
    let cluster = &context.surroundings.cluster;
    let compressed = context.request.compression == Compression::Gzip;
    let tables = relations::read_estimated_sizes(session, dialect).await?;
    let sizes = match cluster.is_streams() {
        // All files lie in one place.
        true => BTreeMap::from([(ContentId(0), relations::read_database_bytes(session).await?)]),
        false => relations::read_segment_sizes(session, dialect).await?,
    };
    let need = |instance: &Instance, state: &DirectoryState, bytes| Need {
        host: instance.host.clone(),
        device: state.device,
        free_bytes: state.free_bytes,
        bytes: disk_space::in_a_file(bytes, compressed),
    };
    let mut needs = Vec::new();
    for primary in cluster.primaries() {
        let (Some(state), Some(size)) = (directories.states.get(&primary.content), sizes.get(&primary.content)) else {
            continue;
        };
        let chosen = tables.iter().map(|(oid, bytes)| (*bytes, selection.has(*oid)));
        needs.push(need(primary, state, disk_space::share(*size, chosen)));
    }
    let chosen = tables.iter().filter(|(oid, _)| selection.has(*oid)).count() as u64;
    let mut of_master = chosen * disk_space::BYTES_PER_TABLE;
    if context.request.filter == TableFilter::Everything {
        // Large objects are on the master, and only a full dump has them.
        of_master += relations::read_large_object_bytes(session).await?;
    }
    needs.push(need(cluster.master(), &directories.master_state, of_master));
    Ok(needs)
}
