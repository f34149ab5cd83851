//! `-g`: the configuration files of master and segments, once per run, into the last set (`gpcrondump.md` 2.12).

use std::collections::BTreeMap;
use std::path::PathBuf;

use tracing::{error, info};

use super::set_record::SetRecord;
use crate::db::{catalog, error_chain};
use crate::exec::host_tasks;
use crate::gather::cluster::{MasterAddress, Surroundings};
use crate::launch::Launcher;
use crate::plan::dump_request::DumpRequest;
use crate::words::cluster::HostName;
use crate::words::ids::ContentId;
use crate::words::layout::{DumpFileKind, InstanceId};
use crate::words::place::Place;
use crate::worker::host_tasks::{HostTask, TaskOutcome};

/// False when not all are saved; the log says which and why.
pub(super) async fn save_config_files(
    request: &DumpRequest,
    address: &MasterAddress,
    surroundings: &Surroundings,
    launcher: &Launcher,
    record: &mut SetRecord,
) -> bool {
    info!("Dumping master config files");
    let here = HostName("localhost".to_owned());
    let of_master = HostTask::SaveConfig {
        data_dir: request.master_data_dir.clone(),
        others: configuration_elsewhere(address).await,
        target: record.directory.join(record.names.of_set(DumpFileKind::MasterConfig)),
    };
    let master_tasks = BTreeMap::from([(here, vec![of_master])]);
    let mut all = note(
        record,
        |_| Some(ContentId::MASTER),
        host_tasks::run(launcher, master_tasks, 1).await,
    );
    info!("Dumping segment config files");
    let mut tasks: BTreeMap<HostName, Vec<HostTask>> = BTreeMap::new();
    let mut contents: BTreeMap<Place, ContentId> = BTreeMap::new();
    let single = surroundings.cluster.is_single_server();
    for primary in surroundings.cluster.primaries() {
        let instances = &record.manifest.instances;
        let Some(files) = instances.iter().find(|files| files.content == primary.content) else {
            continue;
        };
        let id = InstanceId {
            content: primary.content,
            dbid: primary.dbid,
        };
        let name = record.names.of_instance(DumpFileKind::SegmentConfig, id);
        let target = files.directory.join(name);
        contents.insert(target.clone(), primary.content);
        tasks
            .entry(primary.host.clone())
            .or_default()
            .push(HostTask::SaveConfig {
                // A single server's segment is the server itself.
                data_dir: if single {
                    &request.master_data_dir
                } else {
                    &primary.data_dir
                }
                .clone(),
                others: Vec::new(),
                target,
            });
    }
    let content_of = |target: &Place| contents.get(target).copied();
    let ends = host_tasks::run(launcher, tasks, request.parallel).await;
    all &= note(record, content_of, ends);
    if let Err(failure) = record.save(&launcher.files) {
        error!(
            "The configuration files are saved, but not on record: {}",
            error_chain(&failure)
        );
        all = false;
    }
    all
}

fn note(
    record: &mut SetRecord,
    content_of: impl Fn(&Place) -> Option<ContentId>,
    ends: Vec<host_tasks::TaskEnd>,
) -> bool {
    let mut all = true;
    for end in ends {
        let HostTask::SaveConfig { target, .. } = &end.task else {
            continue;
        };
        match (end.result, content_of(target)) {
            (Ok(TaskOutcome::ConfigSaved(stamp)), Some(content)) => record.add(content, stamp),
            (Ok(_), _) => {}
            (Err(reason), _) => {
                all = false;
                error!("The configuration files of {} could not be saved: {reason}", end.host);
            }
        }
    }
    all
}

/// Debian keeps configuration in `/etc`. Where that cannot be asked, what lies in the data directory is all.
async fn configuration_elsewhere(address: &MasterAddress) -> Vec<PathBuf> {
    let Ok(session) = address.open_maintenance().await else {
        return Vec::new();
    };
    let files = catalog::read_configuration_files(&session).await.unwrap_or_default();
    session.close().await;
    files
}
