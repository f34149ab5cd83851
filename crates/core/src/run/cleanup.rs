//! `-c` and `-o`: old date directories, first on the segments' hosts, then on the master (`gpcrondump.md` 2.11).

use std::collections::BTreeMap;

use tracing::{debug, error, info, warn};

use crate::cli::optparse::python_list;
use crate::exec::host_tasks;
use crate::gather::date_directories::read_date_directories;
use crate::launch::Launcher;
use crate::plan::chores::CleanupRequest;
use crate::plan::dump_request::DumpRequest;
use crate::plan::retention::{self, CleanupPlan, NothingGoes};
use crate::store::files::Files;
use crate::words::cluster::{Cluster, HostName};
use crate::words::exit::Exit;
use crate::words::ids::DumpDate;
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::worker::host_tasks::{HostTask, TaskOutcome};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cleaned {
    pub(super) exit: Exit,
    /// What the report shows behind `Backup set deleted`: a list as Python writes it, or `None`.
    pub(super) deleted: String,
}

impl Cleaned {
    pub(super) fn nothing(exit: Exit) -> Self {
        Cleaned {
            exit,
            deleted: "None".to_owned(),
        }
    }
}

/// Decides and removes. Everything that goes wrong is told; a refusal is for the caller to weigh.
pub(super) async fn clean_up(
    request: &DumpRequest,
    files: &Files,
    cluster: &Cluster,
    launcher: &Launcher,
    asked: &CleanupRequest,
    spared: &[DumpDate],
) -> Result<Cleaned, Refusal> {
    let root = &request.root();
    let directories = read_date_directories(files, root).map_err(|error| {
        let path = root.join(crate::words::layout::DUMP_DIR);
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                Refusal::failed(format!("[Errno 2] No such file or directory: '{}'", path.display()))
            }
            _ => Refusal::failed(format!("could not list dump directory \"{}\": {error}", path.display())),
        }
    })?;
    let plan = match retention::plan(&directories, asked, spared) {
        Ok(plan) => plan,
        Err(nothing @ NothingGoes::NoneThere) => {
            info!("{nothing}");
            return Ok(Cleaned::nothing(Exit::Ok));
        }
        Err(nothing @ NothingGoes::Needed(_)) => {
            return Err(Refusal::known(nothing.to_string())
                .with_hint("wait until the incremental dumps go too, or remove what they need by --force."));
        }
        Err(nothing) => {
            // Nothing is left undone: what was to go is not there. Cron lines of the first week rely on status 0.
            warn!("{nothing}");
            return Ok(Cleaned::nothing(Exit::Ok));
        }
    };
    if asked.dry_run {
        for verdict in &plan.verdicts {
            let what = if verdict.goes { "would be removed" } else { "stays" };
            info!("{} ({} sets) {what}: {}", verdict.date, verdict.sets, verdict.why);
        }
        return Ok(Cleaned::nothing(Exit::Ok));
    }
    Ok(remove(request, cluster, launcher, root, &plan).await)
}

async fn remove(
    request: &DumpRequest,
    cluster: &Cluster,
    launcher: &Launcher,
    root: &Place,
    plan: &CleanupPlan,
) -> Cleaned {
    let mut cleaned = Vec::new();
    let mut exit = Exit::Ok;
    for date in plan.removals() {
        info!("Preparing to remove dump {date} from all hosts");
        let mut whole = true;
        for end in host_tasks::run(launcher, tasks_for(request, cluster, date), request.parallel).await {
            let HostTask::RemoveDate { root, .. } = &end.task else {
                continue;
            };
            match end.result {
                Ok(TaskOutcome::DateRemoved(there)) => {
                    debug!("{}: \"{}\" {date}: removed: {there}", end.host, root.display());
                }
                Ok(_) => {}
                Err(reason) => {
                    whole = false;
                    warn!("Error encountered during deletion of {date} on {}", end.host);
                    error!("{}: {reason}", end.host);
                }
            }
        }
        // The master's directory is the record of what there is: it goes when nothing else is left, so that the next
        // clean-up finds the date again.
        if whole && let Err(reason) = remove_on_master(&launcher.files, root, date).await {
            whole = false;
            warn!("Error encountered during deletion of {date}");
            error!("{reason}");
        }
        if whole {
            cleaned.push(date.to_string());
        } else {
            exit = Exit::Warnings;
        }
    }
    Cleaned {
        exit,
        deleted: python_list(&cleaned),
    }
}

/// One task for each root of each host; segments that share one need only one.
fn tasks_for(request: &DumpRequest, cluster: &Cluster, date: DumpDate) -> BTreeMap<HostName, Vec<HostTask>> {
    let mut tasks: BTreeMap<HostName, Vec<HostTask>> = BTreeMap::new();
    // What lies in a bucket is removed once, from here.
    if cluster.is_one_place() || request.root().is_stored() {
        return tasks;
    }
    for primary in cluster.primaries() {
        let root = request.root_of(&primary.data_dir);
        let task = HostTask::RemoveDate { root, date };
        let of_host = tasks.entry(primary.host.clone()).or_default();
        if !of_host.contains(&task) {
            of_host.push(task);
        }
    }
    tasks
}

async fn remove_on_master(files: &Files, root: &Place, date: DumpDate) -> Result<(), String> {
    let task = HostTask::RemoveDate {
        root: root.clone(),
        date,
    };
    let files = files.clone();
    match tokio::task::spawn_blocking(move || crate::worker::host_tasks::perform(&files, &task)).await {
        Ok(result) => result.map(|_| ()).map_err(|error| crate::db::error_chain(&error)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
