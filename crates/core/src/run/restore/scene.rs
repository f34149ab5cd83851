//! What is known once the set was found, and what all parts of a restore do with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::definitions::{Definitions, parse_script};
use super::selection::Selection;
use super::stops::Stops;
use crate::db::{Session, catalog, target};
use crate::exec::restore_fleet::RestoreFleet;
use crate::exec::restore_script::{Batches, ScriptContext, ScriptOutcome, encoding_of, run_script};
use crate::format::report::BackupType;
use crate::format::sql_script::Script;
use crate::gather::cluster::{MasterAddress, Surroundings, launcher};
use crate::plan::restore::places::{self, Missing};
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::restore_request::RestoreRequest;
use crate::run::refusal_of;
use crate::words::cluster::HostName;
use crate::words::environment::Environment;
use crate::words::layout::dump_directory;
use crate::words::present::Present;
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;

/// What is known once the set was found.
pub(super) struct Scene<'a> {
    pub(super) environment: &'a Environment,
    pub(super) request: &'a RestoreRequest,
    /// The database did not exist and was made.
    pub(super) created: bool,
    /// The database that is restored into.
    pub(super) database: String,
    pub(super) address: MasterAddress,
    pub(super) around: Surroundings,
    pub(super) set: DumpSet,
    /// The other sets that it needs.
    pub(super) chain: Chain,
    pub(super) stops: &'a Stops,
    pub(super) board: &'a ProgressBoard,
}

impl Scene<'_> {
    pub(super) async fn open(&self, database: &str) -> Result<Session, Refusal> {
        let session = self.address.open(database).await.map_err(|error| refusal_of(&error))?;
        self.stops.add(&session);
        Ok(session)
    }

    pub(super) async fn database_exists(&self, session: &Session) -> Result<bool, Refusal> {
        let info = catalog::read_database(session, &self.around.dialect, &self.database).await;
        Ok(info.map_err(|error| refusal_of(&error))?.is_some())
    }

    pub(super) async fn start_fleet(&self) -> Result<RestoreFleet, Refusal> {
        for primary in self.around.cluster.primaries() {
            if !primary.up {
                return Err(Refusal::known(format!(
                    "Host {} dir {} dbid {} marked as invalid",
                    primary.host,
                    primary.data_dir.display(),
                    primary.dbid
                )));
            }
        }
        let hosts: BTreeSet<HostName> = self.around.cluster.instances().map(|i| i.host.clone()).collect();
        let launcher = launcher(self.environment, self.request.remote_bin.clone());
        RestoreFleet::start(&launcher, hosts, self.request.parallel).await
    }

    pub(super) async fn find_files(&self, set: &DumpSet, fleet: &mut RestoreFleet) -> Result<Vec<DataFile>, Refusal> {
        let own_names = [self.environment.host.clone(), self.environment.host_full.clone()];
        let root = self.request.backup_root.as_deref();
        let search = places::search(set, &self.around.cluster, root, &own_names);
        let found = fleet.find(&search).await?;
        places::choose(set, &self.around.cluster, root, &own_names, &found).map_err(|missing| refuse_missing(&missing))
    }

    pub(super) async fn run_definitions(
        &self,
        session: &Session,
        script: &Script<'_>,
        path: &Path,
        pre_data: &Script<'_>,
        partial: bool,
    ) -> Result<ScriptOutcome, Refusal> {
        let fallback = encoding_of(pre_data).unwrap_or_else(|| "UTF8".to_owned());
        let context = ScriptContext {
            file: &path.display().to_string(),
            set_database: &self.set.database,
            target_database: &self.database,
            fallback_encoding: &fallback,
            fresh: self.request.recreate || self.created,
            partial,
            filtered_set: self.set.is_filtered,
            // Definitions before the data are quick; an index or a constraint may take hours.
            batches: if std::ptr::eq(script, pre_data) {
                Batches::Yes
            } else {
                Batches::No
            },
        };
        run_script(session, script, context).await
    }

    /// What the database has of what is asked for.
    pub(super) async fn read_present(
        &self,
        selection: Option<&Selection>,
        definitions: &Definitions,
    ) -> Result<Present, Refusal> {
        let Some(selection) = selection else {
            return Ok(Present::default());
        };
        let script = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
        let session = self.open(&self.database).await?;
        let present = target::read_present(&session, &self.around.dialect, &selection.sequences(&script)).await;
        session.close().await;
        present.map_err(|error| refusal_of(&error))
    }

    /// `--noplan` of an increment: the tables are there.
    pub(super) fn rows_only(&self) -> bool {
        self.request.noplan && self.set.backup_type == BackupType::Incremental
    }

    /// Where report and status files go, when not to the data directories.
    pub(super) fn report_directory(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.request.report_status_dir {
            return Some(directory.clone());
        }
        let directory = dump_directory(self.request.backup_root.as_deref()?, self.set.names.key);
        if tempfile::tempfile_in(&directory).is_ok() {
            return Some(directory);
        }
        let directory = directory.display();
        tracing::warn!("Backup directory {directory} is not writable. Error No write access permission on {directory}");
        tracing::warn!(
            "Since --report-status-dir option is not specified, report and status file will be written in segment data \
             directory."
        );
        None
    }
}

/// The master's records are written right here: they matter most when a worker was lost.
pub(super) async fn write_records(
    fleet: &mut RestoreFleet,
    own_host: &HostName,
    records: Vec<(HostName, PathBuf, String)>,
) -> Vec<String> {
    let (own, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|(host, ..)| host == own_host);
    let mut problems = fleet.write_files(others).await;
    for (_, path, text) in own {
        if let Err(error) = host_ops::write_file(&path, &text) {
            problems.push(format!("could not write {}: {error}", path.display()));
        }
    }
    problems
}

pub(super) fn refuse_missing(missing: &[Missing]) -> Refusal {
    let Some(first) = missing.first() else {
        return Refusal::failed("data files are missing");
    };
    let text = match first.wrong_size {
        None => format!("No dump file on {} in {}", first.host, first.directory.display()),
        Some(size) => format!(
            "Dump file {} on {} in {} has {} bytes, the manifest of the set says {}",
            first.name,
            first.host,
            first.directory.display(),
            size.found,
            size.expected
        ),
    };
    let mut hint = format!(
        "nothing was changed; file {} of segment {} was written to {} on {}",
        first.name,
        first.content,
        first.expected_directory.display(),
        first.expected_host
    );
    if missing.len() > 1 {
        hint.push_str(&format!(", and {} more data files are missing", missing.len() - 1));
    }
    Refusal::known(text).with_hint(hint)
}
